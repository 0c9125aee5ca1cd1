"""Where a dataset lies: a folder, or a prefix of an S3 bucket.

A root holds immutable data files, one manifest that is replaced in one step, and a lock for the
one who writes. What the files mean is not its business.
"""

import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Protocol

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import STORED

MANIFEST = "dataset.json"
CATALOGUE = "catalogue.duckdb"
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
ROW_GROUP = 131_072
OURS = re.compile(r"(?:all|\d{4}-\d{2})\.[0-9a-f]{16}\.parquet|\.draft\.tmp")
_LOCK, _DRAFT, _SPILL = ".lock", ".draft.tmp", ".spill"


@dataclass(frozen=True)
class Written:
    """A data file that was written: its path below the root, and what it must be."""

    path: str
    bytes: int
    sha256: str


class Root(Protocol):
    """What a dataset needs of the place it lies in; paths are below the root, with slashes."""

    @property
    def where(self) -> Path | str:
        """The place, as messages name it."""

    @property
    def options(self) -> dict[str, str] | None:
        """What Polars must know to read there; nothing for a folder."""

    @property
    def filesystem(self) -> Any:
        """What DuckDB must know to read there; nothing for a folder."""

    def uri(self, path: str) -> str:
        """Return the name under which Polars and DuckDB read a file."""

    def absence(self) -> str:
        """Return, in words, why there is no manifest."""

    def make(self) -> None:
        """Make the place, if it is not there; refuse one that holds other files."""

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest and its version, or raise FileNotFoundError."""

    def swap(self, content: bytes, version: str) -> None:
        """Replace the manifest of that version in one step, after all that was put."""

    def put(self, prefix: str, frame: pl.DataFrame) -> Written:
        """Write a data file named by its hash."""

    def get(self, path: str) -> bytes:
        """Return a file's content."""

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; null where it cannot differ."""

    def sweep(self, keep: set[str]) -> None:
        """Remove data files that are not to be kept; only names `put` gives."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock; say in one line that the place cannot be written."""

    @contextmanager
    def spilling(self) -> Iterator[Path]:
        """Return a folder for rows on their way; it is gone afterwards."""


def root_at(where: str | os.PathLike[str]) -> Root:
    """Return the root of a path or of an ``s3://bucket/prefix``.

    Raises
    ------
    UsageError
        If the address has another scheme, or a package it needs is not installed.

    Examples
    --------
    >>> root_at("datasets/sample").uri("a.parquet")
    'datasets/sample/a.parquet'
    """
    text = re.sub(r"^s3:/(?=[^/])", "s3://", os.fspath(where))  # a Path folds the slashes
    scheme, found, _ = text.partition("://")
    if not found:
        return Folder(Path(text))
    if scheme != "s3":
        raise UsageError(f"{text}: a dataset is a folder or s3://bucket/prefix, not {scheme}://")
    from kalshi_bt.data.buckets import Bucket  # noqa: PLC0415 - an optional dependency

    return Bucket(text)


class Folder:
    """A root that is a folder of this machine."""

    options = None
    filesystem = None

    def __init__(self, where: Path) -> None:
        self.where = where
        self._dirty: set[Path] = set()

    def uri(self, path: str) -> str:
        """Return the name under which Polars and DuckDB read a file."""
        return str(self.where / path)

    def absence(self) -> str:
        """Return, in words, why there is no manifest."""
        return f"no {MANIFEST} in it" if self.where.is_dir() else "no such folder"

    def make(self) -> None:
        """Make the folder, if it is not there; refuse one that holds other files."""
        with saying_refusal(self.where):
            self.where.mkdir(parents=True, exist_ok=True)
            if any(not name.startswith(".") for name in _entries(self.where)):
                raise DataError(
                    f"{self.where} holds other files and no dataset; choose a new folder"
                )

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest; a folder needs no version, its lock is enough."""
        return (self.where / MANIFEST).read_bytes(), ""

    def swap(self, content: bytes, version: str) -> None:  # noqa: ARG002 - see `manifest`
        """Replace the manifest in one step, after all that was put."""
        with saying_refusal(self.where):
            for folder in sorted(self._dirty):
                sync(folder)
            self._dirty.clear()
            draft = self.where / f".{MANIFEST}.tmp"
            draft.write_bytes(content)
            sync(draft)
            os.replace(draft, self.where / MANIFEST)  # noqa: PTH105 - the call a crash test breaks
            sync(self.where)

    def put(self, prefix: str, frame: pl.DataFrame) -> Written:
        """Write a data file named by its hash."""
        folder = (self.where / prefix).parent
        draft = folder / _DRAFT
        with saying_refusal(self.where):
            folder.mkdir(parents=True, exist_ok=True)
            self._dirty |= {folder, folder.parent, self.where}
            write_parquet(frame, draft)
            sync(draft)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            path, size = f"{prefix}.{digest[:16]}.parquet", draft.stat().st_size
            os.replace(draft, self.where / path)  # noqa: PTH105 - the call a crash test breaks
        return Written(path, size, digest)

    def get(self, path: str) -> bytes:
        """Return a file's content."""
        return (self.where / path).read_bytes()

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        return os.stat(self.uri(path)).st_size  # noqa: PTH116 - twice as fast, for each file of a scan

    def sweep(self, keep: set[str]) -> None:
        """Remove data files that are not to be kept; a leftover costs space, nothing else."""
        shutil.rmtree(self.where / _SPILL, ignore_errors=True)
        for table in STORED:
            with suppress(OSError):
                for folder in (self.where / table, *(self.where / table).iterdir()):
                    if folder.is_dir():
                        _sweep_folder(folder, folder.relative_to(self.where).as_posix(), keep)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock; say in one line that the folder cannot be written."""
        self._dirty.clear()
        with ExitStack() as stack:
            with saying_refusal(self.where):
                stack.enter_context(exclusive(self.where))
            yield  # what fails in here has reasons of its own

    @contextmanager
    def spilling(self) -> Iterator[Path]:
        """Return a folder beside the data, for rows on their way; it is gone afterwards."""
        folder = self.where / _SPILL
        shutil.rmtree(folder, ignore_errors=True)  # of a writer that was killed
        with saying_refusal(self.where):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_parquet(frame: pl.DataFrame, file: Path | BytesIO) -> None:
    """Write a data file."""
    frame.write_parquet(file, compression="zstd", statistics=True, row_group_size=ROW_GROUP)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def sync(path: Path) -> None:
    """Make what was written to a file or folder survive a power cut."""
    if sys.platform == "win32" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees that of a process that died."""
    with (folder / _LOCK).open("a+", encoding="utf-8") as file:
        try:
            lock(file)
        except BlockingIOError:
            file.seek(0)
            raise being_written(folder, file.read().strip()) from None
        file.truncate(0)
        file.write(holder())
        file.flush()
        yield


def holder() -> str:
    """Return how a lock names this process."""
    return f"process {os.getpid()} on {platform.node()}"


def being_written(where: Path | str, by: str) -> DataError:
    """Return the error of a second writer."""
    by = by or "another process"
    return DataError(f"dataset {where} is being written by {by}; wait for it to end")


def refused(where: Path | str, error: BaseException) -> DataError:
    """Return the error of a place that cannot be written."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return DataError(f"cannot write dataset {where} ({why}); choose another folder")


@contextmanager
def saying_refusal(where: Path | str) -> Iterator[None]:
    """Say in one line that a place cannot be written."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        raise refused(where, error) from None


def _sweep_folder(folder: Path, name: str, keep: set[str]) -> None:
    """Remove what is ours and not to be kept from one folder, and the folder if that empties it."""
    found = list(_entries(folder))
    gone = [e for e in found if OURS.fullmatch(e) and f"{name}/{e}" not in keep]
    for entry in gone:
        (folder / entry).unlink()
    if gone and len(gone) == len(found):
        folder.rmdir()


def _entries(folder: Path) -> Iterable[str]:
    return os.listdir(folder)  # noqa: PTH208 - names are all that is needed, of every part


def lock(file: IO[Any], *, wait: bool = False) -> None:
    """Lock an open file for this process until it is closed; the system frees that of a dead one.

    Raises
    ------
    BlockingIOError
        If another process holds it and this one is not to wait, or waited in vain for long.
    """
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists there only

        file.seek(1 << 30)  # beyond the text, which others may read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, "another process holds it") from error
        return
    import fcntl  # noqa: PLC0415 - exists here only

    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
