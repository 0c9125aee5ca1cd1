"""The tables of a dataset as the audit reads them: lazily, and cut into batches of tickers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Protocol

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.parts import series_of
from kalshi_bt.data.store import Store

BATCH = 2_000_000  # rows of bars and trades in memory at a time, some 100 bytes each
_WEIGHT = {"candles": 1, "trades": 1, "books": 20}  # a book has many levels
_END = (
    ("candles", "time"),
    ("trades", "time"),
    ("books", "time"),
    ("settlements", "close_time"),
)
_OF_MARKETS = ("ticker", "event", "series", "open_time", "close_time", "strike_type")


class Readable(Protocol):
    """What the audit needs of a dataset."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def scan(
        self, table: str, *, ordered: bool = True, series: Sequence[str] | None = None
    ) -> pl.LazyFrame:
        """Return a stored table, lazily, sorted by its key; only rows of some series, if given."""


@dataclass(frozen=True)
class Rows:
    """A dataset, or the part of it between two tickers.

    Attributes
    ----------
    store : Readable
        The dataset.
    sizes : dict
        Rows of each table, of the whole dataset.
    unusable : frozenset of str
        Tables whose columns are not as declared; they are treated as empty.
    end : datetime, optional
        The last moment at which the dataset knows anything of a market.
    above, upto : str, optional
        The batch has the tickers after `above` and not after `upto`; without them, all.
    series : tuple of str, optional
        All series of bars, trades and books of the batch.
    frames : dict
        Tables that are in memory.
    """

    store: Readable
    sizes: dict[str, int] = field(repr=False)
    unusable: frozenset[str] = frozenset()
    end: datetime | None = None
    above: str | None = None
    upto: str | None = None
    series: tuple[str, ...] | None = None
    frames: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, store: Readable) -> "Rows":
        """Return the whole of a dataset."""
        if isinstance(store, Store):
            known = store.sizes()
            return cls(store, {name: known.get(name, (0, 0))[0] for name in schema.STORED})
        counts = [store.scan(name).select(pl.len()) for name in schema.STORED]
        sizes = (int(frame.item()) for frame in pl.collect_all(counts))
        return cls(store, dict(zip(schema.STORED, sizes, strict=True)))

    def without(self, unusable: frozenset[str]) -> "Rows":
        """Return the dataset without some tables, and with its end."""
        usable = replace(self, unusable=unusable)
        last = [
            usable.scan(name).select(pl.col(column).max().alias("time")) for name, column in _END
        ]
        return replace(usable, end=pl.concat(last).max().collect().item())

    def has(self, table: str) -> bool:
        """Return whether a table has any rows."""
        return self.sizes[table] > 0 and table not in self.unusable

    def whole(self) -> "Rows":
        """Return all batches as one."""
        return replace(self, above=None, upto=None, series=None, frames={})

    def batches(self, limit: int = BATCH) -> list["Rows"]:
        """Return the dataset cut by ticker, each batch with about `limit` rows or one ticker."""
        if sum(self.sizes[name] * weight for name, weight in _WEIGHT.items()) <= limit:
            return [self]
        counts = pl.concat(
            self.scan(name).group_by("ticker").agg(rows=pl.len().cast(pl.Int64) * weight)
            for name, weight in _WEIGHT.items()
        )
        batch = (pl.col("rows").cum_sum() - 1) // limit
        cuts = (
            counts.group_by("ticker")
            .agg(pl.col("rows").sum())
            .sort("ticker", nulls_last=False)
            .group_by(batch.alias("batch"))
            .agg(last=pl.col("ticker").max(), series=series_of("ticker").unique().sort())
            .sort("last")
            .collect(engine="streaming")
        )
        lost = any(None in series for series in cuts["series"])
        cuts = cuts.drop_nulls("last")
        # The ends are open: tickers without any row are of one batch too.
        last = cuts["last"].to_list()
        ends = pairwise([None, *last[:-1], None])
        return [
            # A row without a ticker is of no series: read all, so that it is seen.
            replace(self, above=above, upto=upto, series=None if lost else tuple(series))
            for (above, upto), series in zip(ends, cuts["series"].to_list(), strict=True)
        ]

    def loaded(self) -> "Rows":
        """Return the batch with its rows in memory."""
        names = [name for name in schema.STORED if self.has(name) and _of_tickers(name)]
        frames = pl.collect_all([self.scan(name) for name in names])
        return replace(self, frames=dict(zip(names, frames, strict=True)))

    def scan(self, table: str) -> pl.LazyFrame:
        """Return the rows of a table; of one keyed by ticker only those of the batch."""
        if table in self.unusable:
            return schema.STORED[table].empty().lazy()
        if table in self.frames:
            return self.frames[table].lazy()
        series = self.series if table in _WEIGHT else None
        frame = self.store.scan(table, series=series)
        if _of_tickers(table):
            if self.above is not None:
                frame = frame.filter(pl.col("ticker") > self.above)
            if self.upto is not None:
                within = pl.col("ticker") <= self.upto
                frame = frame.filter(within.fill_null(value=self.above is None))
        return frame

    def life(self) -> pl.LazyFrame:
        """Return markets with what became of them.

        Columns of `schema.MARKETS` without texts, and ended (when trading really ended), paid
        (when the payout was known), payout, result, value, close (the actual close, else the
        scheduled one) and grid (of prices, as text; null is whole cents).
        """
        settled = self.scan("settlements").select(
            "ticker", "payout", "result", "value", ended="close_time", paid="time"
        )
        columns = (*_OF_MARKETS, "floor_strike", "cap_strike", "mutually_exclusive")
        grid = pl.col("price_ranges").list.eval(pl.element().struct.json_encode()).list.join(";")
        return (
            self.scan("markets")
            .select(*columns, grid=grid)
            .join(settled, on="ticker", how="left")
            .with_columns(close=pl.coalesce("ended", "close_time"))
        )


def _of_tickers(table: str) -> bool:
    return "ticker" in schema.STORED[table].columns
