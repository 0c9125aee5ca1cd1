"""What a stored dataset adds to a session: its past, and outside series while it runs.

Of the dataset counts what was known by the time it is looked at. It may grow meanwhile: prices,
valuations and boards that others write to it are told with the next moment.
"""

import io
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.forecasting import Past
from kalshi_bt.past import past
from kalshi_bt.plan import Plan
from live_adapter import files
from live_adapter.beside import Beside
from live_adapter.moments import Moment
from live_adapter.panels import reference_rows

if TYPE_CHECKING:
    from live_adapter.sources import Source

_AHEAD = timedelta(hours=6)  # how far rows are read at once
_KEY = list(schema.REFERENCES.key)
_FOLDER = "history"


class History:
    """A dataset beside a session.

    Parameters
    ----------
    path : Path
    plan : Plan
    period : int
        Seconds of a bar.
    folder : Path
        Of the session, which keeps the past that it began with: it begins with the same again.

    Attributes
    ----------
    sources : tuple of str
        Whose references it has.

    Raises
    ------
    DataError
        If there is no dataset, or it cannot be read.
    """

    def __init__(self, path: Path, plan: Plan, period: int, folder: Path) -> None:
        self._path, self._plan, self._folder = path, replace(plan, period=period), folder
        self._length = timedelta(seconds=period)
        self._store = Store.open(path)
        self._rows = schema.REFERENCES.empty()
        self._read: datetime | None = None  # until when rows were read
        found = self._store.scan("references", ordered=False).select(pl.col("source").unique())
        self.sources = tuple(found.collect()["source"].sort())

    def past(self, first: datetime) -> Past | None:
        """Return what a signal that learns knew when the bar that ends at `first` began."""
        kept = read_past(self._folder)
        if kept is None:
            begin = self._plan.config.start or first - self._length
            kept = past(self._store, self._plan, begin, first)
            if kept is not None:
                _keep(self._folder, kept)
        return kept

    def known(self, after: datetime | None, until: datetime) -> pl.DataFrame:
        """Return the references that become known after a time, until another that never falls.

        Of rows that were written too late for their time each series' newest is known now.
        """
        late = self._refreshed(after)
        if self._read is None or until > self._read:
            self._read = until + _AHEAD
            self._rows = reference_rows(self._store, self._plan, after or until, self._read)
        rows = self._rows.filter(pl.col("time") <= until)
        if after is not None:
            rows = rows.filter(pl.col("time") > after)
        if late.height:
            newest = late.sort("time").unique(["source", "symbol", "field"], keep="last")
            now = newest.with_columns(time=pl.lit(until, schema.Time))
            rows = pl.concat([rows, now]).unique(_KEY, keep="first", maintain_order=True)
        return rows.sort(_KEY)

    def _refreshed(self, after: datetime | None) -> pl.DataFrame:
        """Read the dataset anew if it grew; return new rows of a time that is over."""
        none = self._rows.clear()
        newer = Store.open(self._path)
        if newer.manifest == self._store.manifest:
            return none
        self._store = newer
        if after is None or self._read is None:
            return none
        before, since = self._rows, self._rows["time"].min()
        self._rows = reference_rows(newer, self._plan, after, self._read)
        over = self._rows.filter(pl.col("time") <= after)
        if isinstance(since, datetime):
            over = over.filter(pl.col("time") >= since)
        return over.join(before, on=_KEY, how="anti")


class Knowing(Beside):
    """A source beside which a dataset tells outside series.

    Parameters
    ----------
    source : Source
    path : Path
        Of the dataset; it is part of the session's settings.
    history : History
    """

    def __init__(self, source: "Source", path: Path, history: History) -> None:
        super().__init__(source)
        self._history = history
        self.name = f"{source.name} with {path}"
        self.sources = tuple(sorted({*source.sources, *history.sources}))

    async def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield the moments of the source with what the dataset knows by then."""
        async with aclosing(self._source.moments(after)) as moments:
            async for moment in moments:
                known = self._history.known(after, moment.time)
                own = moment.references
                both = pl.concat([own, known.select(own.columns)]).unique(
                    _KEY, keep="first", maintain_order=True
                )
                after = moment.time
                yield replace(moment, references=both)


def own_past(
    path: Path | None, plan: Plan, period: int, folder: Path
) -> Callable[[datetime], Past | None] | None:
    """Return what a replayed dataset held before the start of its span, as its backtest knows it.

    None where a replay begins with the dataset, or is none of a dataset.
    """
    if path is None or plan.config.start is None or not Store.exists(path):
        return None
    return History(path, plan, period, folder).past


def read_past(folder: Path) -> Past | None:
    """Return the past that a session began with; None if it had none.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    parts = [folder / _FOLDER / f"{name}.parquet" for name in Past._fields]
    if not parts[-1].exists():
        return None
    try:
        return Past(*(pl.read_parquet(part) for part in parts))
    except (OSError, pl.exceptions.PolarsError):
        raise DataError(f"{folder / _FOLDER} is damaged; restore it, or begin a session") from None


def _keep(folder: Path, kept: Past) -> None:
    """Write a past down; its last file says that it is whole."""
    (folder / _FOLDER).mkdir(exist_ok=True)
    for name, rows in zip(Past._fields, kept, strict=True):
        content = io.BytesIO()
        rows.write_parquet(content)
        files.replace(folder / _FOLDER / f"{name}.parquet", content.getvalue())
