"""A signal from a user's own Python file: ``path/to/my_signal.py:MySignal``.

The file is run as it is on disk, never from a compiled copy of an earlier state, and it is known by
a hash of its bytes. It stands alone: what it imports from its neighbours is not part of that hash.
"""

import dataclasses
import hashlib
import sys
import traceback
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from kalshi_bt.errors import DataError, UsageError

__all__ = ["is_signal_file", "load_signal", "source_hash", "where", "why_no_signal"]

_SUFFIX = ".py"
_HASH = "__sha256__"  # of the bytes a module was made of


def is_signal_file(name: str) -> bool:
    """Tell whether a strategy's name means a class in a file.

    Examples
    --------
    >>> is_signal_file("my_signal.py:MySignal"), is_signal_file("bollinger")
    (True, False)
    """
    return name.endswith(_SUFFIX) or f"{_SUFFIX}:" in name


def load_signal(spec: str) -> type:
    """Return the signal class that ``FILE.py:CLASS`` means.

    A file that was not changed in between gives the same class again.

    Parameters
    ----------
    spec : str
        Path of a Python file, absolute or from the working folder, and a class in it.

    Raises
    ------
    DataError
        If the file cannot be read, or raises when it is run.
    UsageError
        If no class is named, there is none of that name (the message names the nearest), or it is
        no signal: a frozen dataclass with defaults for all parameters, `lookback` and `__call__`.

    Examples
    --------
    >>> load_signal("absent.py:MySignal")
    Traceback (most recent call last):
    kalshi_bt.errors.DataError: absent.py cannot be read: No such file or directory
    """
    text, _, name = spec.rpartition(":") if not spec.endswith(_SUFFIX) else (spec, "", "")
    path = Path(text)
    module = _module(path)
    signals = sorted(n for n, v in vars(module).items() if why_no_signal(v) is None)
    if not name:
        example = signals[0] if signals else "MySignal"
        raise UsageError(f"{spec} names no class in the file; write {path}:{example}")
    if name not in vars(module):
        raise UsageError.unknown(f"class in {path}", name, signals)
    found: Any = vars(module)[name]
    why = why_no_signal(found)
    if why is not None:
        raise UsageError(f"{spec} is no signal: {why}")
    return found  # type: ignore[no-any-return]


def source_hash(signal: type) -> str | None:
    """Return the SHA-256 of the file a class was loaded from; None for any other class."""
    found: str | None = getattr(sys.modules.get(signal.__module__), _HASH, None)
    return found


def why_no_signal(found: object) -> str | None:
    """Return why an object is no signal class; None if it is one.

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> why_no_signal(Bollinger), why_no_signal(3)
    (None, 'it is no class')
    """
    if not isinstance(found, type):
        return "it is no class"
    if not dataclasses.is_dataclass(found) or not found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "it is no frozen dataclass (write @dataclass(frozen=True) above it)"
    for name in ("__call__", "lookback"):
        if not hasattr(found, name) or (name == "__call__" and not _called(found)):
            return f"it lacks {name}"
    for f in dataclasses.fields(found):
        if f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            return f"its parameter {f.name} has no default"
    return None


def _called(cls: type) -> bool:
    """Tell whether instances can be called, which ``hasattr`` of a class does not."""
    return any("__call__" in vars(base) for base in cls.__mro__)


def _module(path: Path) -> ModuleType:
    """Run a file as a module of its own; the same bytes at the same place are run once."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    place, digest = path.resolve(), hashlib.sha256(source).hexdigest()
    name = f"{path.stem}_{hashlib.sha256(f'{place} {digest}'.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(place))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(place)))
    module.__file__ = str(place)
    setattr(module, _HASH, digest)
    sys.modules[name] = module  # dataclasses and type hints look a class's module up there
    try:
        exec(loader.source_to_code(source, str(place)), vars(module))  # noqa: S102 - asked for
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything
        del sys.modules[name]
        raise DataError(f"{path} raises when it is loaded{where(error, str(place))}") from None
    return module


def where(error: BaseException, file: str) -> str:
    """Return the line of a file in which an error arose, if it is known, and the error.

    Examples
    --------
    >>> where(ValueError("too late"), "my_signal.py")
    ': ValueError: too late'
    """
    rows = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else (rows[-1] if rows else None)
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{f', line {line}' if line else ''}: {type(error).__name__}: {told}"
