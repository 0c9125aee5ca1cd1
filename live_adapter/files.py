"""Files that a stop at any moment leaves whole: replaced at once, or appended to line by line."""

import os
from pathlib import Path

from kalshi_bt.data.roots import sync
from kalshi_bt.errors import DataError


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

    Attributes
    ----------
    dropped : int
        Bytes of a torn last line that were dropped.

    Raises
    ------
    DataError
        If it cannot be written, or begins with another header.

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

    def __init__(self, path: Path, header: str = "") -> None:
        self._path, self._header = path, header
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.dropped = mend(path)
            found = path.read_text("utf-8").splitlines()
        except OSError as error:
            raise _refused(path, error) from None
        if header and not found:
            self.append([header])
        elif header and found[0] != header:
            raise DataError(f"{path} does not begin with {header}; move the file away")

    def append(self, lines: list[str]) -> None:
        """Append lines, on disk when this returns."""
        if not lines:
            return
        try:
            with self._path.open("ab", buffering=0) as file:
                _write(file.fileno(), "".join(f"{line}\n" for line in lines).encode())
                os.fsync(file.fileno())
        except OSError as error:
            raise _refused(self._path, error) from None

    def read(self) -> list[str]:
        """Return the lines, without the header."""
        return self._path.read_text("utf-8").splitlines()[1 if self._header else 0 :]


def mend(path: Path) -> int:
    """Drop what follows the last whole line, return its bytes; make the file where it is absent."""
    new = not path.exists()
    with path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
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


def _refused(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be written ({error.strerror}); choose another folder")
