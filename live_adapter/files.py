"""Files that a stop at any moment leaves whole: replaced at once, or appended to line by line."""

import os
from pathlib import Path

from kalshi_bt.data.roots import sync
from kalshi_bt.errors import NO_ROOM, DataError


def replace(path: Path, content: bytes) -> None:
    """Put a file in the place of another; after a stop one of the two is there, whole.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            _write(file.fileno(), content)
            os.fsync(file.fileno())
        _swap(draft, path)
        sync(path.parent)
    except OSError as error:
        raise _refused(path, error) from None


class Lines:
    r"""A file of lines that only grows; what a stop left of a line is dropped when it is opened.

    Parameters
    ----------
    path : Path
    header : str
        The first line, where the file is new; none when empty.
    since : int
        Bytes of whole lines that are passed over: they were read before.

    Attributes
    ----------
    dropped : int
        Bytes of a torn last line that were dropped.

    Raises
    ------
    DataError
        If it cannot be written, begins with another header, or has a line of other cells.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "equity.csv")
    ...     _ = path.write_text("time,cash\n1,10\n2,")
    ...     lines = Lines(path, "time,cash")
    ...     lines.append(["2,11"])
    ...     lines.dropped, lines.read()
    (2, ['1,10', '2,11'])
    """

    def __init__(self, path: Path, header: str = "", *, since: int = 0) -> None:
        self._path, self._header, self._since = path, header, since
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.dropped = mend(path, since)
            with path.open("rb") as file:
                first = file.readline().decode("utf-8", "replace").rstrip("\n")
        except OSError as error:
            raise _refused(path, error) from None
        if header and not first:
            self.append([header])
        elif header and first != header:
            raise DataError(f"{path} does not begin with {header}; move the file away")
        elif header:
            self._check()

    def append(self, lines: list[str]) -> None:
        """Append lines, on disk when this returns."""
        if lines:
            append(self._path, "".join(f"{line}\n" for line in lines).encode())

    def read(self) -> list[str]:
        """Return the lines, without the header and those that are passed over."""
        with self._path.open("rb") as file:
            file.seek(self._since)
            lines = file.read().decode("utf-8").split("\n")[:-1]
        return lines[1 if self._header and not self._since else 0 :]

    def _check(self) -> None:
        """Refuse a line that no session wrote: of other cells than the header, or no text."""
        cells = self._header.count(",")
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.count(b",") != cells or b"\0" in line or not _is_text(line):
                    raise DataError(
                        f"{self._path}, line {number} is damaged: not {cells + 1} cells of text; "
                        f"mend it, or move the file away and it is made again from what was fed"
                    )

    @property
    def size(self) -> int:
        """Bytes there are."""
        return self._path.stat().st_size


def append(path: Path, content: bytes) -> None:
    """Append to a file, on disk when this returns.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as file:
            _write(file.fileno(), content)
            os.fsync(file.fileno())
    except OSError as error:
        raise _refused(path, error) from None


def holds(path: Path, size: int) -> bool:
    """Tell whether a file has whole lines of so many bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(size - 1, 0))
            return size == 0 or file.read(1) == b"\n"
    except OSError:
        return size == 0


def cut(path: Path, size: int) -> None:
    """Drop what a file has beyond so many bytes.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    try:
        with path.open("a+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise _refused(path, error) from None


def mend(path: Path, since: int = 0) -> int:
    """Drop what follows the last whole line, return its bytes; make the file where it is absent."""
    new = not path.exists()
    with path.open("a+b") as file:
        file.seek(since)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(since + whole)
            os.fsync(file.fileno())
    if new:
        sync(path.parent)
    return len(content) - whole


def _swap(draft: Path, path: Path) -> None:
    draft.replace(path)


def _write(handle: int, content: bytes) -> None:
    """Write all of it: the system may take less at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refused(path: Path, error: OSError) -> DataError:
    cure = "make room, then go on" if error.errno in NO_ROOM else "choose another folder"
    return DataError(f"{path} cannot be written ({error.strerror}); {cure}")
