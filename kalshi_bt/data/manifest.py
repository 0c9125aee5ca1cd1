"""What a dataset is on disk: data files named by their hash, a manifest, a lock.

Every change is a new file; only the manifest is ever replaced, in one step.
"""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.schema import STORED, Table

MANIFEST = "dataset.json"
FORMAT = 1
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_LOCK = ".lock"
_ROW_GROUP = 131_072


@dataclass(frozen=True)
class DataFile:
    """A data file: its path below the root, and what it must be."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of `dataset.json`: what the dataset is and which files hold its tables."""

    name: str
    synthetic: bool
    note: str
    tables: Mapping[str, tuple[DataFile, ...]] = field(default_factory=dict)

    def files(self) -> Iterator[DataFile]:
        """Return all data files, table by table."""
        for name in sorted(self.tables):
            yield from self.tables[name]

    @classmethod
    def read(cls, root: Path) -> "Manifest":
        """Return the manifest in a folder.

        Raises
        ------
        DataError
            If there is none, or it cannot be understood.
        """
        try:
            content: dict[str, Any] = json.loads((root / MANIFEST).read_text("utf-8"))
            if content["format"] > FORMAT:
                raise DataError(
                    f"{root} has format {content['format']}, this version reads {FORMAT}; "
                    "upgrade kalshi_bt"
                )
            tables = {t: tuple(DataFile(**f) for f in fs) for t, fs in content["tables"].items()}
            return cls(content["name"], content["synthetic"], content["note"], tables)
        except (FileNotFoundError, NotADirectoryError):
            found = f"no {MANIFEST} in it" if root.is_dir() else "no such folder"
            raise DataError(
                f"{root} is no dataset ({found}); make one with `kalshi-bt import`"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{root / MANIFEST} cannot be read ({one_line(error)}); restore it or import again"
            ) from None

    def write(self, root: Path) -> None:
        """Replace the manifest in a folder, in one step."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True) + "\n"
        draft = root / f".{MANIFEST}.tmp"
        draft.write_text(text, "utf-8")
        _sync(draft)
        os.replace(draft, root / MANIFEST)  # noqa: PTH105 - the call a crash test breaks
        _sync(root)


def write_table(root: Path, table: Table, frame: pl.DataFrame) -> tuple[DataFile, ...]:
    """Write the rows of a table to a file named by its hash; no rows, no file."""
    if frame.is_empty():
        return ()
    folder = root / table.name
    folder.mkdir(exist_ok=True)
    draft = folder / f".{table.name}.tmp"
    frame.write_parquet(draft, compression="zstd", statistics=True, row_group_size=_ROW_GROUP)
    _sync(draft)
    digest = file_hash(draft)
    path = folder / f"{table.name}.{digest[:16]}.parquet"
    size = draft.stat().st_size
    os.replace(draft, path)  # noqa: PTH105 - the call a crash test breaks
    _sync(folder)
    return (DataFile(f"{table.name}/{path.name}", frame.height, size, digest),)


def sweep(root: Path, keep: set[str]) -> None:
    """Remove data files that no state needs; only names this module gives."""
    for table in STORED:
        ours = re.compile(rf"{table}\.[0-9a-f]{{16}}\.parquet|\.{table}\.tmp")
        with suppress(OSError):  # a leftover costs space, nothing else
            for path in sorted((root / table).iterdir()):
                if ours.fullmatch(path.name) and f"{table}/{path.name}" not in keep:
                    path.unlink()


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Make what was written to a file or folder survive a power cut."""
    if sys.platform == "win32" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Say in one line that a folder cannot be written."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise DataError(f"cannot write dataset {root} ({why}); choose another folder") from None


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees that of a process that died."""
    with (root / _LOCK).open("a+", encoding="utf-8") as file:
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise DataError(
                f"dataset {root} is being written by {holder}; wait for it to end"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _lock(file: TextIO) -> None:
    """Lock an open file for this process, or raise BlockingIOError."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists there only

        try:
            file.seek(1 << 30)  # beyond the text, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
    else:
        import fcntl  # noqa: PLC0415 - exists here only

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
