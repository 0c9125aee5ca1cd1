"""The dataset: immutable parquet files and one small manifest that says which of them count.

A commit writes new files beside the old ones and then replaces `dataset.json` in one step, so a
reader sees the state before or after it, never between. Names of files carry the hash of their
content. The files of the state before last are removed; those of the last one stay for readers
that opened it.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.data.manifest import (
    BROKEN,
    FORMAT,
    MANIFEST,
    DataFile,
    Manifest,
    exclusive,
    file_hash,
    one_line,
    sweep,
    write_table,
    writing,
)
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import STORED, Table

__all__ = ["MANIFEST", "Counts", "Store", "info"]


@dataclass(frozen=True)
class Counts:
    """What a commit did to the rows of one table.

    Attributes
    ----------
    added, updated, unchanged : int
        Given rows whose key was new, whose key was stored with other values, and that were stored
        as they are.
    removed : int
        Stored rows that are gone.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0


class Store:
    """A dataset on disk.

    Attributes
    ----------
    root : Path
        Its folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store.create(folder, name="sample")
    ...     store.read("candles").height
    0
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self._manifest = manifest

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> "Store":
        """Return the dataset in a folder.

        Raises
        ------
        DataError
            If the folder holds no dataset, or one that cannot be read.
        """
        path = Path(root)
        return cls(path, Manifest.read(path))

    @classmethod
    def create(
        cls,
        root: str | os.PathLike[str],
        *,
        name: str,
        synthetic: bool = False,
        note: str = "",
        exist_ok: bool = False,
    ) -> "Store":
        """Return a new, empty dataset.

        Parameters
        ----------
        root : path
            A folder that is absent or empty.
        name : str
            What reports call the dataset.
        synthetic : bool
            Whether its rows are invented; every report says so.
        note : str
            What a reader must know about the data.
        exist_ok : bool
            Return the dataset that is there already, as it is, instead of failing.

        Raises
        ------
        DataError
            If the folder cannot be written, holds other files or (unless `exist_ok`) a dataset.
        """
        path = Path(root)
        if (path / MANIFEST).exists():
            if exist_ok:
                return cls.open(path)
            raise DataError(f"{path} already holds a dataset; open it or choose another folder")
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            if any(not found.name.startswith(".") for found in path.iterdir()):
                raise DataError(f"{path} holds other files and no dataset; choose a new folder")
            manifest = Manifest(name, synthetic, note)
            with exclusive(path):
                manifest.write(path)
        return cls(path, manifest)

    @property
    def name(self) -> str:
        """What reports call the dataset."""
        return self._manifest.name

    @property
    def synthetic(self) -> bool:
        """Whether the rows are invented."""
        return self._manifest.synthetic

    @property
    def note(self) -> str:
        """What a reader must know about the data; one remark a line."""
        return self._manifest.note

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return rows and bytes on disk of each stored table."""
        files = self._manifest.tables
        return {
            name: (sum(f.rows for f in files[name]), sum(f.bytes for f in files[name]))
            for name in STORED
            if files.get(name)
        }

    def scan(self, table: str) -> pl.LazyFrame:
        """Return a stored table, lazily, sorted by its key; empty if nothing is stored.

        Parameters
        ----------
        table : str
            A name of `schema.STORED`.

        Raises
        ------
        DataError
            If a file is missing, has another size than committed or cannot be read.
        UsageError
            If no such table is declared.
        """
        if table not in STORED:
            raise UsageError.unknown("table", table, STORED)
        declared = STORED[table]
        files = [self._checked(file, declared) for file in self._manifest.tables.get(table, ())]
        if not files:
            return declared.empty().lazy()
        frame = pl.scan_parquet(files, glob=False).select(list(declared.columns))
        return frame if len(files) == 1 else frame.sort(declared.key)

    def read(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a stored table, sorted by its key; only some of its columns, if any are named.

        Raises
        ------
        DataError
            As `scan`, or if the content of a file is damaged.
        """
        frame = self.scan(table)
        try:
            return (frame if columns is None else frame.select(columns)).collect()
        except BROKEN as error:
            files = ", ".join(str(self.root / f.path) for f in self._manifest.tables[table])
            raise DataError(f"{files} is damaged ({one_line(error)}); import it again") from None

    def fingerprint(self) -> str:
        """Return 64 hex digits that depend on the stored rows, not on the folder or the name."""
        content = {
            table: sorted((f.rows, f.sha256) for f in files)
            for table, files in self._manifest.tables.items()
            if files
        }
        text = json.dumps([FORMAT, sorted(content.items())], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def verify(self, *tables: str) -> None:
        """Read every file and compare it with the hash it was committed with.

        Parameters
        ----------
        *tables : str
            Only files of these tables; of all without any.

        Raises
        ------
        DataError
            If a file is missing or differs; names the first one.
        """
        wanted = tables or tuple(sorted(self._manifest.tables))
        for name in wanted:
            for file in self._manifest.tables.get(name, ()):
                path = self._checked(file, STORED[name])
                if file_hash(path) != file.sha256:
                    raise DataError(f"{path} is not what was committed; import it again")

    def commit(
        self,
        tables: Mapping[str, pl.DataFrame],
        *,
        drop: Mapping[str, pl.DataFrame] | None = None,
        note: str = "",
    ) -> dict[str, Counts]:
        """Add rows, all tables or none, and return what changed in each table given.

        Parameters
        ----------
        tables : mapping of table name to frame
            Rows with the declared columns and unique keys, in any order; a row replaces the stored
            one with the same key.
        drop : mapping of table name to frame, optional
            Stored rows that agree with a row of this frame in all its columns are removed first.
        note : str
            A remark to keep with the dataset, unless it is there already.

        Raises
        ------
        DataError
            If a table is not as declared, the folder cannot be written, or another process is
            writing it.
        """
        drop = drop or {}
        for name in (*tables, *drop):
            if name not in STORED:
                raise UsageError.unknown("table", name, STORED)
        given = {n: STORED[n].check(frame.sort(STORED[n].key)) for n, frame in tables.items()}
        with writing(self.root), exclusive(self.root):
            before = Manifest.read(self.root)
            current = Store(self.root, before)
            files, counts = dict(before.tables), {}
            for name in STORED:
                if name not in given and name not in drop:
                    continue
                declared = STORED[name]
                stored = current.read(name)
                rows = given.get(name, declared.empty())
                merged, counts[name] = _upsert(declared, stored, rows, drop.get(name))
                if counts[name] != Counts(unchanged=rows.height):
                    files[name] = write_table(self.root, declared, merged)
            after = replace(before, tables=files, note=_with_line(before.note, note))
            if after != before:
                after.write(self.root)
            sweep(self.root, {f.path for m in (before, after) for f in m.files()})
        self._manifest = after
        return counts

    def _checked(self, file: DataFile, declared: Table) -> Path:
        path = self.root / file.path
        try:
            size = path.stat().st_size
            if size != file.bytes:
                raise DataError(
                    f"{path} has {size:,} bytes, {file.bytes:,} were committed; import it again"
                )
            found = pl.read_parquet_schema(path)
        except BROKEN as error:
            raise DataError(f"{path} cannot be read ({one_line(error)}); import it again") from None
        for name, dtype in declared.columns.items():
            if found.get(name) != dtype:
                raise DataError(
                    f"{path}: column {name!r} is {found.get(name, 'absent')}, expected {dtype}; "
                    "it was written by another version, import it again"
                )
        return path


def info(store: Store) -> dict[str, Any]:
    """Return what a dataset holds, as plain values that JSON can carry.

    Returns
    -------
    dict
        name, synthetic, note, fingerprint; tables (rows and bytes); markets, settled and unsettled
        (counts); start and end (ISO 8601, first and last bar or trade; null without any); periods
        (seconds of a bar to bars); series (markets, bars, first, last, share of bars with a bid and
        an ask at their end; null without bars); quarantined (table, then reason, to rows).
    """
    markets, candles = store.read("markets", ["ticker", "series"]), store.scan("candles")
    settled = markets.join(store.read("settlements"), on="ticker", how="semi").height
    times = pl.concat([candles.select("time"), store.scan("trades").select("time")])
    start, end = times.select(a=pl.col("time").min(), b=pl.col("time").max()).collect().row(0)
    periods = candles.group_by("period").len().sort("period").collect().rows()
    lost: dict[str, dict[str, int]] = {}
    reasons = store.read("quarantine").group_by("table", "reason").len().sort("table", "reason")
    for table, reason, rows in reasons.rows():
        lost.setdefault(table, {})[reason] = rows
    return {
        "name": store.name,
        "synthetic": store.synthetic,
        "note": store.note,
        "fingerprint": store.fingerprint(),
        "tables": {t: {"rows": r, "bytes": b} for t, (r, b) in store.sizes().items()},
        "markets": markets.height,
        "settled": settled,
        "unsettled": markets.height - settled,
        "start": _iso(start),
        "end": _iso(end),
        "periods": {str(period): bars for period, bars in periods},
        "series": _coverage(markets, candles),
        "quarantined": lost,
    }


def _coverage(markets: pl.DataFrame, candles: pl.LazyFrame) -> dict[str, dict[str, Any]]:
    """Return bars, time span and quoted share of each series."""
    quoted = pl.col("bid_close").is_not_null() & pl.col("ask_close").is_not_null()
    bars = candles.group_by("ticker").agg(
        bars=pl.len(), first=pl.col("time").min(), last=pl.col("time").max(), quoted=quoted.sum()
    )
    rows = (
        markets.lazy()
        .join(bars, on="ticker", how="left")
        .group_by("series")
        .agg(
            pl.len().alias("markets"),
            pl.col("bars").sum(),
            pl.col("first").min(),
            pl.col("last").max(),
            pl.col("quoted").sum() / pl.col("bars").sum(),
        )
        .sort("series")
        .collect()
    )
    return {
        row["series"]: {
            "markets": row["markets"],
            "bars": row["bars"],
            "first": _iso(row["first"]),
            "last": _iso(row["last"]),
            "quoted": round(row["quoted"], 6) if row["bars"] else None,
        }
        for row in rows.iter_rows(named=True)
    }


def _iso(time: Any) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def _with_line(note: str, line: str) -> str:
    return note if line in note.splitlines() or not line else f"{note}\n{line}".strip()


def _upsert(
    table: Table, stored: pl.DataFrame, rows: pl.DataFrame, drop: pl.DataFrame | None
) -> tuple[pl.DataFrame, Counts]:
    """Return `stored` without `drop` and with `rows`, sorted, and what that changed."""
    key = list(table.key)
    kept = stored if drop is None else stored.join(drop, on=drop.columns, how="anti")
    kept = kept.join(rows, on=key, how="anti")
    both = rows.join(stored, on=key, how="inner", suffix=" stored")
    values = [name for name in table.columns if name not in key]
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n} stored")) for n in values)
    unchanged = int(both.select(same.sum()).item())
    counts = Counts(
        added=rows.height - both.height,
        updated=both.height - unchanged,
        unchanged=unchanged,
        removed=stored.height - kept.height - both.height,
    )
    return pl.concat([kept, rows]).sort(key), counts
