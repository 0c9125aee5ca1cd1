"""What a dataset is: its name, and which data files hold the rows of each part of each table.

Every change is a new file; only the manifest is ever replaced, in one step.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt.data.parts import Place, digest, path_of
from kalshi_bt.data.roots import BROKEN, MANIFEST, Root, Written, one_line
from kalshi_bt.errors import DataError
from kalshi_bt.schema import Table

__all__ = ["BROKEN", "FORMAT", "MANIFEST", "DataFile", "Manifest", "Part", "one_line"]

FORMAT = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class DataFile:
    """A data file: its path below the root, and what it must be.

    Attributes
    ----------
    path : str
        Below the root.
    rows, bytes : int
        What it holds.
    sha256 : str
        Of its bytes.
    first, last : tuple
        The keys of its first and last row; times as microseconds.
    start, end : int, optional
        The earliest and latest time in it, in microseconds; null without a column of that name.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    first: tuple[str | int, ...]
    last: tuple[str | int, ...]
    start: int | None
    end: int | None

    @classmethod
    def of(cls, table: Table, frame: pl.DataFrame, written: Written) -> "DataFile":
        """Return the entry of rows that were written, sorted by key."""
        ends = frame.select(table.key)[[0, -1]].rows()
        first, last = (tuple(_plain(value) for value in row) for row in ends)
        timed = "time" in table.columns
        span = frame.select(a=pl.col("time").min(), b=pl.col("time").max()).row(0) if timed else ()
        start, end = (microseconds(time) for time in span) if span else (None, None)
        return cls(
            written.path,
            frame.height,
            written.bytes,
            written.sha256,
            first,
            last,
            start,
            end,
        )


@dataclass(frozen=True)
class Part:
    """The rows of a table that share a series and a month.

    Attributes
    ----------
    place : Place
        The series and the month.
    digest : str
        Of the rows, whatever files they are in.
    files : tuple of DataFile
        No two of them hold the same key.
    """

    place: Place
    digest: str
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """The content of `dataset.json`: what the dataset is and which files hold its tables."""

    name: str
    synthetic: bool
    note: str
    tables: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    collateral: bool = False

    def parts(self, table: str) -> tuple[Part, ...]:
        """Return the parts of a table, in order of their place."""
        return self.tables.get(table, ())

    def files(self, table: str) -> list[DataFile]:
        """Return the files of a table, part by part."""
        return [file for part in self.parts(table) for file in part.files]

    def paths(self) -> set[str]:
        """Return the paths of all data files."""
        return {file.path for table in self.tables for file in self.files(table)}

    def span(self, *tables: str) -> tuple[datetime | None, datetime | None]:
        """Return the earliest and the latest time in tables; nulls if they have no rows."""
        files = [file for table in tables for file in self.files(table)]
        starts = [file.start for file in files if file.start is not None]
        ends = [file.end for file in files if file.end is not None]
        if not starts or not ends:
            return None, None
        return moment(min(starts)), moment(max(ends))

    def fingerprint(self) -> str:
        """Return 64 hex digits of the rows of all tables but coverage, however they are cut.

        That collateral is returned is part of it; that it is not, as everywhere at first, is not.
        """
        content = [
            [table, *part.place, part.rows, part.digest]
            for table in sorted(self.tables)
            if table != "coverage"
            for part in self.tables[table]
        ]
        marks = ["collateral"] if self.collateral else []
        return hashlib.sha256(json.dumps(["rows", content, *marks]).encode()).hexdigest()

    @classmethod
    def read(cls, root: Root) -> tuple["Manifest", str]:
        """Return the manifest of a root and its version.

        Raises
        ------
        DataError
            If there is none, or it cannot be understood.
        """
        try:
            text, version = root.manifest()
            content: dict[str, Any] = json.loads(text)
            if content["format"] != FORMAT:
                raise _other_format(root, content["format"])
            tables = {
                table: tuple(_part(part) for part in parts)
                for table, parts in content["tables"].items()
            }
            about = content["name"], content["synthetic"], content["note"]
            return cls(*about, tables, content.get("collateral", False)), version
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"{root.where} is no dataset ({root.absence()}); make one with `kalshi-bt import`"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{root.uri(MANIFEST)} cannot be read ({one_line(error)}); "
                "restore it or import again"
            ) from None

    def write(self, root: Root, version: str = "") -> None:
        """Replace the manifest of a root, in one step."""
        root.swap(self.text().encode(), version)

    def text(self) -> str:
        """Return the manifest as JSON, one line a part."""
        head = {
            "format": FORMAT,
            "name": self.name,
            "synthetic": self.synthetic,
            "note": self.note,
            **({"collateral": True} if self.collateral else {}),
        }
        tables = (
            f"{json.dumps(table)}: [\n" + ",\n".join(_line(p) for p in self.tables[table]) + "\n]"
            for table in sorted(self.tables)
            if self.tables[table]
        )
        return json.dumps(head)[:-1] + ',\n"tables": {\n' + ",\n".join(tables) + "\n}}\n"


def write_file(root: Root, table: Table, place: Place, rows: pl.DataFrame) -> DataFile:
    """Write rows of one part, sorted by key, to a new file; return its entry."""
    return DataFile.of(table, rows, root.put(path_of(table.name, place), rows))


def whole_part(root: Root, table: Table, place: Place, rows: pl.DataFrame) -> tuple[Part, ...]:
    """Write all rows of a part to one file; without rows there is no part."""
    if rows.is_empty():
        return ()
    return (Part(place, digest(rows), (write_file(root, table, place, rows),)),)


def microseconds(time: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return a time from its microseconds since 1970."""
    return _EPOCH + value * _MICROSECOND


def _plain(value: Any) -> str | int:
    """Return a value of a key as JSON can carry it."""
    return microseconds(value) if isinstance(value, datetime) else value


def _line(part: Part) -> str:
    files = [vars(file) for file in part.files]
    return json.dumps({**part.place._asdict(), "digest": part.digest, "files": files})


def _part(entry: Mapping[str, Any]) -> Part:
    files = tuple(
        DataFile(**{**file, "first": tuple(file["first"]), "last": tuple(file["last"])})
        for file in entry["files"]
    )
    return Part(Place(entry["series"], entry["month"]), entry["digest"], files)


def _other_format(root: Root, found: int) -> DataError:
    cure = "upgrade kalshi_bt" if found > FORMAT else "import it again into a new folder"
    return DataError(f"{root.where} has format {found}, this version reads {FORMAT}; {cure}")
