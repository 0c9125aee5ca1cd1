"""The dataset: immutable parquet files and one small manifest that says which of them count.

A table is cut into parts, by series and month. A commit writes new files beside the old ones and
then replaces `dataset.json` in one step, so a reader sees the state before or after it, never
between. The files of the state before last are removed; those of the last one stay for readers
that opened it.

The files of a part never hold the same key twice: a commit that only adds rows to a large part
writes them to a file of their own, one that changes or drops rows rewrites the part. So a newer row
always wins, and a reader never has to look for one.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl

from kalshi_bt.data.bulk import Bulk
from kalshi_bt.data.change import Change
from kalshi_bt.data.manifest import MANIFEST, Manifest, Part
from kalshi_bt.data.overview import info
from kalshi_bt.data.parts import NAMED_BY, Counts, series_of
from kalshi_bt.data.reading import inspect, lazily, naming_damage, within
from kalshi_bt.data.roots import CATALOGUE, Root, one_line, root_at
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import STORED, Table

__all__ = ["MANIFEST", "Counts", "Store", "info", "series_of"]


class Store:
    """A dataset in a folder or a bucket.

    Attributes
    ----------
    root : Path or str
        Its folder, or its address as ``s3://bucket/prefix``.
    place : Root
        The same, as the data layer reads and writes it.
    manifest : Manifest
        The state that is read: the newest one when the dataset was opened, or written by this.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store.create(folder, name="sample")
    ...     store.read("candles").height
    0
    """

    def __init__(self, place: Root, manifest: Manifest) -> None:
        self.root: Path | str = place.where
        self.place = place
        self.manifest = manifest

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> "Store":
        """Return the dataset in a folder, or at ``s3://bucket/prefix``.

        Raises
        ------
        DataError
            If there is no dataset, or one that cannot be read.
        UsageError
            If the address needs a package that is not installed.
        """
        place = root_at(root)
        return cls(place, Manifest.read(place)[0])

    @staticmethod
    def exists(root: str | os.PathLike[str]) -> bool:
        """Return whether there is a dataset, readable or not."""
        place = root_at(root)
        try:
            place.manifest()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise DataError(f"{place.where} cannot be read ({one_line(error)})") from None
        return True

    @classmethod
    def create(
        cls,
        root: str | os.PathLike[str],
        *,
        name: str,
        synthetic: bool = False,
        note: str = "",
        collateral: bool = False,
        exist_ok: bool = False,
    ) -> "Store":
        """Return a new, empty dataset.

        Parameters
        ----------
        root : path
            A folder that is absent or empty; or ``s3://bucket/prefix`` where nothing lies.
        name : str
            What reports call the dataset.
        synthetic : bool
            Whether its rows are invented; every report says so.
        note : str
            What a reader must know about the data.
        collateral : bool
            Whether these are an account's to which the exchange returns collateral.
        exist_ok : bool
            Return the dataset that is there already, as it is, instead of failing.

        Raises
        ------
        DataError
            If the folder cannot be written, holds other files or (unless `exist_ok`) a dataset.
        """
        place, manifest = root_at(root), Manifest(name, synthetic, note, collateral=collateral)
        if not cls.exists(root):
            place.make()
            with place.writing():
                if not cls.exists(root):  # nobody was quicker
                    manifest.write(place)
                    return cls(place, manifest)
        if exist_ok:
            return cls.open(root)
        raise DataError(f"{place.where} already holds a dataset; open it or choose another folder")

    @property
    def name(self) -> str:
        """What reports call the dataset."""
        return self.manifest.name

    @property
    def synthetic(self) -> bool:
        """Whether the rows are invented."""
        return self.manifest.synthetic

    @property
    def note(self) -> str:
        """What a reader must know about the data; one remark a line."""
        return self.manifest.note

    @property
    def collateral(self) -> bool:
        """Whether the exchange returns collateral to the account that this is data for."""
        return self.manifest.collateral

    def mark(self, *, collateral: bool) -> None:
        """Say whether collateral is returned; where it is, that is part of the fingerprint."""
        with self._changing("") as change:
            change.collateral = collateral

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return rows and bytes on disk of each stored table."""
        found = {name: self.manifest.files(name) for name in STORED}
        return {
            name: (sum(f.rows for f in files), sum(f.bytes for f in files))
            for name, files in found.items()
            if files
        }

    def span(self, *tables: str) -> tuple[datetime | None, datetime | None]:
        """Return the earliest and the latest time in tables; nulls if they have no rows."""
        return self.manifest.span(*tables)

    def scan(
        self,
        table: str,
        *,
        ordered: bool = True,
        series: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.LazyFrame:
        """Return a stored table, lazily; empty if nothing is stored.

        Parameters
        ----------
        table : str
            A name of `schema.STORED`.
        ordered : bool
            Sort by key. Without it rows come in the order of the files, which costs nothing.
        series : sequence of str, optional
            Only rows of these series, as `series_of` takes them from the ticker; of references,
            only these sources.
        start, end : datetime, optional
            Only rows after `start` and not after `end`. Files of other series and months are not
            opened.

        Raises
        ------
        DataError
            If a file is missing or has another size than committed.
        UsageError
            If no such table is declared, or it has no column to choose by.
        """
        declared = _declared(table)
        if series is not None and table not in NAMED_BY:
            raise UsageError(f"{table} is not cut by series; filter it by its columns")
        if (start or end) is not None and "time" not in declared.columns:
            raise UsageError(f"{table} has no column 'time' to choose by")
        if any(time is not None and time.tzinfo is None for time in (start, end)):
            raise UsageError(f"{table}: start and end need a time zone, as in 2026-01-31T12:00Z")
        parts = self._parts(table, series)
        files = within([file for part in parts for file in part.files], start, end)
        frame = lazily(self.place, declared, files, ordered=ordered)
        if series is not None and any(not part.place.series for part in parts):
            frame = frame.filter(series_of(NAMED_BY[table]).is_in(list(series)))
        if start is not None:
            frame = frame.filter(pl.col("time") > start)
        return frame if end is None else frame.filter(pl.col("time") <= end)

    def read(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a stored table, sorted by its key; only some of its columns, if any are named.

        Raises
        ------
        DataError
            As `scan`, or if the content of a file is damaged.
        """
        frame = self.scan(table)
        with naming_damage(self.place, STORED[table], self.manifest.files(table)):
            return (frame if columns is None else frame.select(columns)).collect()

    def sql(self, query: str) -> pl.DataFrame:
        """Return the answer to one SQL query, as DuckDB gives it.

        Parameters
        ----------
        query : str
            A query on the views of `kalshi_bt.data.catalogue`.

        Raises
        ------
        UsageError
            If the query is wrong, or would write.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = Store.create(folder, name="sample")
        ...     store.sql("select count(*) as bars from candles").item()
        0
        """
        from kalshi_bt.data import catalogue  # noqa: PLC0415 - loads another engine

        return catalogue.sql(self, query)

    def fingerprint(self) -> str:
        """Return 64 hex digits that depend on the stored rows of every table but coverage.

        They depend neither on the place, nor on the name, nor on how the rows are cut into files,
        each part has a hash of its values; but on whether collateral is returned.
        """
        return self.manifest.fingerprint()

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
        for name in tables or sorted(STORED):
            for file in self.manifest.files(name):
                inspect(self.place, _declared(name), file)

    def commit(
        self,
        tables: Mapping[str, pl.DataFrame],
        *,
        drop: Mapping[str, pl.DataFrame] | None = None,
        note: str = "",
    ) -> dict[str, Counts]:
        """Add rows, all tables or none, and return what changed in each table.

        Parameters
        ----------
        tables : mapping of table name to frame
            Rows with the declared columns and unique keys, in any order; a row replaces the stored
            one with the same key. A settlement that is replaced moves to `revisions`.
        drop : mapping of table name to frame, optional
            Stored rows that agree with a row of this frame in all its columns are removed first.
        note : str
            A remark to keep with the dataset, unless it is there already.

        Returns
        -------
        dict
            Of the tables given, and of `revisions` where settlements were replaced.

        Raises
        ------
        DataError
            If a table is not as declared, the folder cannot be written, or another process is
            writing it.
        """
        drop = drop or {}
        for name in (*tables, *drop):
            _declared(name)
        given = {n: STORED[n].check(frame.sort(STORED[n].key)) for n, frame in tables.items()}
        with self._changing(note) as change:
            change.commit(given, drop)
        return change.counts

    @contextmanager
    def bulk(self, *, note: str = "", memory: int = 256 << 20) -> Iterator[Bulk]:
        """Return a collector of more rows than fit into memory; all of them count, or none.

        The rows are sorted by part on disk beside the dataset and merged at the end of the context.
        The dataset is locked meanwhile. After an exception nothing has changed.

        Parameters
        ----------
        note : str
            A remark to keep with the dataset, unless it is there already.
        memory : int
            Bytes of rows to hold at a time; the peak is a few times that, and no less than a few
            times the largest part.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from kalshi_bt.schema import TRADES
        >>> with TemporaryDirectory() as folder:
        ...     store = Store.create(folder, name="sample")
        ...     with store.bulk() as bulk:
        ...         bulk.add("trades", TRADES.empty())
        ...     bulk.counts
        {'trades': Counts(added=0, updated=0, unchanged=0, removed=0)}
        """
        with self._changing(note) as change, self.place.spilling() as folder:
            bulk = Bulk(folder, memory)
            yield bulk
            bulk.pour(change)

    def compact(self) -> dict[str, tuple[int, int]]:
        """Merge the files of every part into one; return the files before and after by table.

        Rows and fingerprint stay as they are.
        """
        with self._changing("") as change:
            return {
                name: change.merge(table)
                for name, table in STORED.items()
                if change.before.parts(name)
            }

    @contextmanager
    def _changing(self, note: str) -> Iterator[Change]:
        """Return a change of the newest state; make it count at the end."""
        with self.place.writing():
            before, version = Manifest.read(self.place)
            change = Change(self.place, before)
            yield change
            after = change.manifest(note)
            if after != before:
                after.write(self.place, version)
                self.place.sweep(before.paths() | after.paths())
                self._catalogue()
        self.manifest = after

    def _parts(self, table: str, series: Sequence[str] | None = None) -> list[Part]:
        """Return the parts of a table that may hold rows of these series."""
        parts = self.manifest.parts(table)
        wanted = None if series is None else {"", *series}
        return [part for part in parts if wanted is None or part.place.series in wanted]

    def _catalogue(self) -> None:
        """Keep the catalogue file up to date where there is one."""
        if isinstance(self.root, Path) and (self.root / CATALOGUE).exists():
            from kalshi_bt.data.catalogue import refresh  # noqa: PLC0415 - loads another engine

            refresh(self.place)


def _declared(table: str) -> Table:
    if table not in STORED:
        raise UsageError.unknown("table", table, STORED)
    return STORED[table]
