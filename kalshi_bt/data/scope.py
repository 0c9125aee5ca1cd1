"""The part of a dataset that a panel is made of, and the bars that are in it or can be made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.books import bars as bars_from_books
from kalshi_bt.data.parts import series_of
from kalshi_bt.data.proxy import bars_from_trades
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Scope:
    """Rows of some series and a span of time, read when they are needed.

    Attributes
    ----------
    store : Store
    listed : frame of schema.MARKETS, or None
        The markets of the chosen series; None = all there are.
    start, end : datetime or None
        Bars end after `start` and not after `end`; None = no limit.
    """

    store: Store
    listed: pl.DataFrame | None
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(
        cls, store: Store, series: Sequence[str], start: datetime | None, end: datetime | None
    ) -> Self:
        """Return the scope of some series, of all without any.

        Raises
        ------
        UsageError
            If a series is not in the dataset, or a time has no zone.
        """
        for name, moment in (("start", start), ("end", end)):
            if moment is not None and moment.tzinfo is None:
                raise UsageError(f"{name} is {moment.isoformat()} without a zone; give it in UTC")
        if not series:
            return cls(store, None, start, end)
        chosen = pl.col("series").is_in(list(series))
        # Tickers begin with their series, as a rule; where none does, all markets are asked.
        for some in (list(series), None):
            listed = store.scan("markets", series=some).filter(chosen).collect()
            lacking = sorted(set(series) - set(listed["series"]))
            if not lacking:
                return cls(store, listed, start, end)
        known = store.scan("markets").select(pl.col("series").unique()).collect()["series"]
        raise UsageError.unknown(f"series in {store.name}", lacking[0], known)

    def rows(
        self, table: str, start: datetime | None, end: datetime | None, *, ordered: bool = True
    ) -> pl.LazyFrame:
        """Return the rows of the chosen series with start < time <= end, lazily."""
        parts = None if self.listed is None else _prefixes(self.listed["ticker"])
        frame = self.store.scan(table, ordered=ordered, series=parts, start=start, end=end)
        if self.listed is None:
            return frame
        return frame.filter(pl.col("ticker").is_in(self.listed["ticker"].implode()))

    def has(self, table: str) -> bool:
        """Whether a table has a row in the scope."""
        found = self.rows(table, self.start, self.end, ordered=False)
        return found.select("time").head(1).collect().height > 0

    def nothing(self, what: str) -> DataError:
        """Return the error that there is nothing of a kind."""
        return DataError(f"{self.store.name} has no {what} in the chosen series and time span")

    def markets(self, tickers: pl.Series) -> pl.DataFrame:
        """Return one row of markets for each ticker, in their order; nulls where there is none."""
        if self.listed is None:
            markets = self.store.scan("markets", series=_prefixes(tickers))
            listed = markets.filter(pl.col("ticker").is_in(tickers.implode())).collect()
        else:
            listed = self.listed
        return tickers.to_frame("ticker").join(
            listed, on="ticker", how="left", maintain_order="left"
        )


def _prefixes(tickers: pl.Series) -> list[str]:
    """Return what tickers begin with, which is what a dataset is cut by."""
    names = tickers.to_frame("ticker").select(series_of("ticker").unique().sort())
    return names.to_series().to_list()


def stored_bars(scope: Scope, period: int | None) -> tuple[pl.DataFrame, int, list[str]]:
    """Return stored candles, the seconds of a bar, and a note where several were offered.

    Parameters
    ----------
    scope : Scope
    period : int, optional
        Seconds of a bar; without it those with the most bars, the longer of two as common.

    Raises
    ------
    DataError
        If there are none.
    UsageError
        If there are none of this period.
    """
    candles = scope.rows("candles", scope.start, scope.end, ordered=False)
    counts = candles.group_by("period").len().collect().sort(["len", "period"], descending=True)
    offered, notes = sorted(counts["period"].to_list()), []
    if not offered:
        raise scope.nothing("candles")
    if period is None:
        period = int(counts["period"][0])
        if len(offered) > 1:
            notes.append(f"bars of {offered} seconds are stored; this run uses {period}")
    elif period not in offered:
        raise UsageError(
            f"{scope.store.name} has no bars of {period} seconds; it has {offered} "
            "(quotes='trades' or 'books' makes bars of any length from those)"
        )
    return candles.filter(pl.col("period") == period).collect(), period, notes


def made_bars(
    scope: Scope, kind: str, period: int, max_age: timedelta
) -> tuple[pl.DataFrame, list[str]]:
    """Return bars made of trades, or of books and trades, and how that was done.

    Parameters
    ----------
    scope : Scope
    kind : {"trades", "books"}
    period : int
        Seconds of a bar.
    max_age : timedelta
        How long a trade tells a side of the book.

    Raises
    ------
    UsageError
        If the period is not positive, or the age negative.
    """
    if period <= 0:
        raise UsageError(f"a bar of {period} seconds has no length; give 1 or more")
    if max_age < timedelta(0):
        raise UsageError(f"quote_max_age is {max_age}; expected 0 or more")
    length = timedelta(seconds=period)
    start, end = (m and m - (m - EPOCH) % length for m in (scope.start, scope.end))
    # What traded before the first bar still tells a side of the book in it.
    trades = scope.rows("trades", start and start - max_age, end).collect()
    if kind == "trades":
        grids = scope.markets(trades["ticker"].unique(maintain_order=True))
        frame = bars_from_trades(trades, grids, period, max_age=max_age)
        note = (
            "quotes are told by trades: takers of YES paid the ask, takers of NO the bid; neither "
            f"is known longer than {max_age} after it traded"
        )
    else:
        frame = _from_books(scope, trades, period, end)
        note = f"bars of {period} seconds are made of recorded books"
    return frame if start is None else frame.filter(pl.col("time") > start), [note]


def _from_books(
    scope: Scope, trades: pl.DataFrame, period: int, end: datetime | None
) -> pl.DataFrame:
    """Return bars of books, those of markets without any being made of their trades alone.

    A book stands until the next one however long that takes: where there are bars after the start,
    all books of the market are read.
    """
    books = scope.rows("books", None, end)
    until = _until(scope, [books, trades.lazy()], period)
    if scope.start is not None:
        until = until.filter(pl.col("until") > scope.start)
    live = until.select("ticker")
    found = books.join(live.lazy(), on="ticker", how="semi", maintain_order="left").collect()
    if found.is_empty():
        return schema.CANDLES.empty()
    trades = trades.join(live, on="ticker", how="semi", maintain_order="left")
    frame = bars_from_books(period, books=found, trades=trades, until=until)
    return frame if end is None else frame.filter(pl.col("time") <= end)


def _until(scope: Scope, rows: Sequence[pl.LazyFrame], period: int) -> pl.DataFrame:
    """Return until when each market has bars: to its last row, then while silence says no change.

    The bar of a quiet minute must not be there because something happens later; so as far as the
    recorder is known to have listened, and to the scheduled close, there are bars.
    """
    times = pl.concat([frame.select("ticker", "time") for frame in rows])
    last = pl.col("time").max().dt.offset_by("-1us").dt.truncate(f"{period}s")
    seen = times.group_by("ticker").agg(last=last.dt.offset_by(f"{period}s")).collect()
    heard = (
        scope.store.scan("coverage")
        .filter(pl.col("table") == "books")
        .group_by("subject")
        .agg(heard=pl.col("end").max())
        .collect()
    )
    known = scope.markets(seen["ticker"]).select("ticker", "series", "close_time")
    of_ticker = known.join(heard, left_on="ticker", right_on="subject", how="left")
    both = of_ticker.join(heard, left_on="series", right_on="subject", how="left", suffix="_series")
    heard_until = pl.coalesce("heard", "heard_series")
    quiet = pl.min_horizontal(heard_until, "close_time", pl.lit(scope.end, dtype=schema.Time))
    quiet = pl.when(heard_until.is_not_null()).then(quiet)
    return seen.join(both, on="ticker", how="left").select(
        "ticker", until=pl.max_horizontal("last", quiet)
    )
