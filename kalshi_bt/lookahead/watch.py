"""What code reads besides its arguments, seen through the interpreter's own events.

Files opened and connections made are audit events of the interpreter, in whichever thread. Readers
written in other languages, such as those of Polars, and clocks are seen as calls in this thread and
in those that it starts.
Modules, byte code, shared libraries and what belongs to the installation are no data.
"""

import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_CODE = {".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".nbi", ".nbc", ".pth"}
_SYSTEM = ("/usr/", "/etc/", "/proc/", "/sys/", "/dev/", "/lib")
_EVENTS = {
    "socket.connect": "opens a connection",
    "socket.getaddrinfo": "looks up a host",
    "sqlite3.connect": "opens a database",
    "subprocess.Popen": "starts a program",
    "os.system": "starts a program",
}
_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("", "datetime.now"),
    ("", "datetime.utcnow"),
    ("", "datetime.today"),
    ("", "date.today"),
    ("", "Timestamp.now"),
    ("", "Timestamp.today"),
}
# Functions of `time` that take the moment of the clock unless this argument gives one.
_UNLESS_GIVEN = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}
_OF_A_CLOCK = ("clock_gettime", "clock_gettime_ns")
_READERS = ("/polars/io/", "/pyarrow/parquet/", "/pyarrow/dataset", "/pyarrow/feather")
_READS = re.compile(r"(read|scan)_|dataset$")
_DATABASES = ("/duckdb/", "/polars/sql/")
_FILES = re.compile(
    r"read_(parquet|csv|json)|[.](parquet|csv|json|db|duckdb)\b|\battach\b", re.IGNORECASE
)


def _places() -> tuple[str, ...]:
    """Return the folders of the interpreter, its libraries and this package."""
    paths = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    return tuple(sorted({*paths, *(str(Path(p).resolve()) for p in paths)}))


_INSTALLED = _places()
_OWN = str(Path(__file__).parent)
_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Sight:
    """One thing that was read.

    Attributes
    ----------
    what, path : str
        What happened, and of which file or folder; empty if of none.
    where : str
        File and line of the code that did it.
    """

    what: str
    path: str
    where: str

    def within(self, folder: str) -> bool:
        """Whether it is of a file in a folder."""
        if not (folder and self.path):
            return False
        return Path(self.path).resolve().is_relative_to(Path(folder).resolve())

    @property
    def text(self) -> str:
        """What was read where, in words."""
        named = f"{self.what} {Path(self.path).name}" if self.path else self.what
        return f"it {named} ({self.where})" if self.where else f"it {named}"


class _Observer:
    """Where the events of this process go while somebody watches."""

    def __init__(self) -> None:
        self.sights: list[Sight] | None = None
        self.strangers: set[int] = set()  # threads that have nothing to do with it
        self.installed = False

    def event(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Note an audit event of the interpreter."""
        if self.sights is None or threading.get_ident() in self.strangers:
            return
        if name == "open":
            path, mode = arguments[0], arguments[1]
            reads = mode is None or "r" in str(mode) or "+" in str(mode)
            if reads and isinstance(path, str | bytes) and _is_data(path):
                self.see("reads", path, sys._getframe(1))  # noqa: SLF001 - the documented way
        elif name in _EVENTS:
            path = arguments[0] if arguments else ""
            named = name.startswith("sqlite3") and isinstance(path, str | bytes)
            if not named or _is_data(path):
                self.see(_EVENTS[name], path if named else "", sys._getframe(1))  # noqa: SLF001

    def call(self, frame: FrameType, event: str, called: Any) -> None:
        """Note a call, as `sys.setprofile` tells of it."""
        if self.sights is None:
            return
        code = frame.f_code
        if event == "c_call":
            name = getattr(called, "__qualname__", "")
            module = getattr(called, "__module__", None) or ""
            if (module, name) in _CLOCKS and not _library(code.co_filename):
                self.see(f"reads the clock through {name}", "", frame)
        elif event == "call":
            file = code.co_filename.replace("\\", "/")
            if _READS.match(code.co_name) and any(r in file for r in _READERS):
                given = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
                if not _in_memory(given):
                    self.see("reads", str(given) if isinstance(given, str | Path) else "", frame)
            elif any(place in file for place in _DATABASES):
                words = (frame.f_locals.get(n) for n in code.co_varnames[: code.co_argcount])
                if any(isinstance(word, str) and _FILES.search(word) for word in words):
                    self.see("reads files through a database", "", frame)

    def see(self, what: str, path: str | bytes, frame: FrameType) -> None:
        """Note what was read, and the line of the user's code that led to it."""
        text = path.decode(errors="replace") if isinstance(path, bytes) else path
        if self.sights is not None:
            self.sights.append(Sight(what, text, _caller(frame)))


_OBSERVER = _Observer()


@contextmanager
def watched() -> Iterator[list[Sight]]:
    """Yield a list that fills with what the block reads besides memory.

    Examples
    --------
    >>> import time
    >>> with watched() as sights:
    ...     moment = time.time()
    >>> [sight.what for sight in sights]
    ['reads the clock through time']
    """
    if not _OBSERVER.installed:
        sys.addaudithook(_OBSERVER.event)  # for good: the interpreter has no way back
        _OBSERVER.installed = True
    own = threading.get_ident()
    _OBSERVER.strangers = {t.ident for t in threading.enumerate() if t.ident} - {own}
    profiled = sys.getprofile() is not None  # somebody measures: leave that alone
    sights: list[Sight] = []
    _OBSERVER.sights = sights
    functions = {n: getattr(time, n) for n in (*_UNLESS_GIVEN, *_OF_A_CLOCK) if hasattr(time, n)}
    for name, function in functions.items():
        setattr(time, name, _noting(name, function))
    if not profiled:
        sys.setprofile(_OBSERVER.call)
    others = threading.getprofile()
    threading.setprofile(others or _OBSERVER.call)
    try:
        yield sights
    finally:
        threading.setprofile(others)
        if not profiled:
            sys.setprofile(None)
        for name, function in functions.items():
            setattr(time, name, function)
        _OBSERVER.sights = None


def _noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of `time` that is seen where it asks the clock.

    A call does not tell of its arguments, and of a given moment these functions are no clocks.
    """

    def noting(*given: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001 - the documented way
        stranger = threading.get_ident() in _OBSERVER.strangers
        if not stranger and not _library(caller.f_code.co_filename) and _asks(name, given):
            _OBSERVER.see(f"reads the clock through {name}", "", caller)
        return function(*given)

    return noting


def _asks(name: str, given: tuple[Any, ...]) -> bool:
    """Whether a function of `time` asks for the present."""
    if name in _OF_A_CLOCK:
        return given[:1] == (time.CLOCK_REALTIME,)
    place = _UNLESS_GIVEN[name]
    return len(given) <= place or given[place] is None


def _is_data(path: str | bytes) -> bool:
    text = path.decode(errors="replace") if isinstance(path, bytes) else path
    place = Path(text)
    if place.suffix.lower() in _CODE or place.name in {"", "__pycache__"}:
        return False
    full = str(place if place.is_absolute() else Path.cwd() / place)
    return not full.startswith((*_SYSTEM, *_INSTALLED, _PACKAGE))


def _in_memory(given: Any) -> bool:
    """Whether what a reader was given is bytes or a buffer, and no place."""
    return isinstance(given, bytes) or hasattr(given, "getvalue")


def _library(file: str) -> bool:
    """Whether code belongs to the interpreter or to a library."""
    return file.startswith((*_INSTALLED, "<frozen")) and not file.startswith(_PACKAGE)


def _caller(frame: FrameType | None) -> str:
    """Return file and line of the nearest code of the user, or else of this package."""
    nearest = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if not _library(file) and not file.startswith((_OWN, "<frozen")):
            told = f"{Path(file).name}, line {frame.f_lineno}"
            if not file.startswith(_PACKAGE):
                return told
            nearest = nearest or told
        frame = frame.f_back
    return nearest
