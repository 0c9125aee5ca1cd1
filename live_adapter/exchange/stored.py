"""A dataset as a tape: recorded books and trades, or what could have made its bars; and news."""

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any

import polars as pl

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.units import DAY
from live_adapter.exchange.archive import COMBO
from live_adapter.exchange.happenings import Happening, Levels, Printed, Seen, Stood, Totals
from live_adapter.exchange.life import Lives, micros
from live_adapter.exchange.paths import UNSIZED, path

_TABLES = ("books", "trades", "candles")
_EMPTY = Totals(0, 0, None, 0)


class Stored:
    """The happenings of a dataset.

    Markets with recorded books are told by them, others by the shortest bars that are stored (see
    `paths`), and their books are empty a millisecond after trading ended; trades are the stored
    ones where a market has any.

    Parameters
    ----------
    store : Store
        Read a day at a time.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._lives = store, Lives(store)
        self._booked, self._traded = (
            set(store.scan(table).select("ticker").unique().collect()["ticker"])
            for table in ("books", "trades")
        )
        shortest = store.scan("candles").group_by("ticker").agg(pl.col("period").min())
        self._periods = shortest.collect()
        self._longest = int(self._periods["period"].max() or 0) * 1_000_000  # type: ignore[arg-type]
        quoted = set(self._periods["ticker"]) - self._booked
        emptied = ((micros(end) + 1_000, t) for t, end in self._lives.ends.items() if t in quoted)
        self._emptied = {ticker: Seen(end, ticker, {}, {}) for end, ticker in sorted(emptied)}
        self._days = self._with_rows()

    def _with_rows(self) -> list[tuple[int, int]]:
        """Return the spans in which there are rows, each at most a day, open at its start."""
        ends = [
            self._store.scan(table)
            .select(pl.col("time").dt.epoch("us"))
            .select(day=(pl.col("time") - 1) // DAY, least=pl.col("time"))
            .group_by("day")
            .agg(pl.col("least").min())
            .collect()
            for table in _TABLES
        ]
        days = pl.concat(ends).group_by("day").agg(pl.col("least").min()).sort("day")
        whole, least = days["day"].to_list(), days["least"].to_list()
        self._first: int | None = least[0] if least else None
        # What happens in a bar may do so on the day before its end.
        before = {day - 1 for day in whole} - set(whole) if self._longest else set()
        return [(day * DAY, (day + 1) * DAY) for day in sorted({*whole, *before})]

    def first(self) -> int:
        """Return a moment before the first row.

        Raises
        ------
        UsageError
            If there is none.
        """
        if self._first is None:
            raise UsageError(f"{self._store.root} holds no candle, trade or book; say what now is")
        return self._first - max(self._longest, 1)

    def standing(self, now: int) -> Iterator[Stood]:
        """Return how the markets stood at a moment."""
        totals = self._totals(now)
        books: dict[str, Seen] = {}
        kept = self._table("books", 0, now).group_by("ticker").last().collect()
        for row in kept.iter_rows(named=True):
            books[row["ticker"]] = _seen(row)
        candles = self._candles(0, now).group_by("ticker", maintain_order=True).last().collect()
        for row in candles.iter_rows(named=True):
            if row["ticker"] not in self._booked:
                for said in path(row, (None, None), booked=False, traded=True):
                    if isinstance(said, Seen):
                        books[row["ticker"]] = said
        books |= {t: empty for t, empty in self._emptied.items() if empty.time <= now}
        for ticker in sorted(books.keys() | totals.keys()):
            yield Stood(ticker, books.get(ticker), totals.get(ticker, _EMPTY))

    def after(self, now: int) -> Iterator[Happening]:
        """Return what happens after a moment, in the order of time; news come first."""
        emptied = (empty for empty in self._emptied.values() if empty.time > now)
        yield from merge(self._lives.after(now), self._rows(now), emptied, key=_time)

    def _rows(self, now: int) -> Iterator[Happening]:
        for begin, end in self._days:
            if end > now:
                yield from self._day(max(begin, now), end)

    def _day(self, begin: int, end: int) -> Iterator[Happening]:
        """Yield what happens after `begin` and not after `end`."""
        books = self._table("books", begin, end).sort("time", maintain_order=True).collect()
        trades = self._table("trades", begin, end).sort("time", "ticker", "trade_id").collect()
        rows: Iterable[Happening] = sorted(self._inside(begin, end), key=_time)
        seen = (_seen(row) for row in books.iter_rows(named=True))
        columns = ("time", "ticker", "trade_id", "price", "quantity", "taker_side")
        printed = (Printed(*row) for row in trades.select(columns).iter_rows())
        yield from merge(rows, seen, printed, key=_time)

    def _inside(self, begin: int, end: int) -> Iterator[Happening]:
        """Yield what happens inside of bars, unordered; also of those that end later."""
        for row in self._candles(begin, end + self._longest).collect().iter_rows(named=True):
            ticker = row["ticker"]
            said = {"booked": ticker in self._booked, "traded": ticker in self._traded}
            for happening in path(row, self._lives.span(ticker), **said):
                if begin < happening.time <= end:
                    yield happening

    def _table(self, table: str, begin: int, end: int) -> pl.LazyFrame:
        """Return the rows of a table after `begin` and not after `end`, times in microseconds."""
        rows = self._store.scan(table).with_columns(pl.col("time").dt.epoch("us"))
        inside = (pl.col("time") > begin) & (pl.col("time") <= end)
        return rows.filter(inside & ~pl.col("ticker").str.starts_with(COMBO))

    def _candles(self, begin: int, end: int) -> pl.LazyFrame:
        rows = self._table("candles", begin, end)
        return rows.join(self._periods.lazy(), on=["ticker", "period"], how="semi").sort(
            "ticker", "time"
        )

    def _totals(self, now: int) -> dict[str, Totals]:
        """Return what was traded in each market by a moment."""
        volume = pl.col("volume")
        bars = (
            self._candles(0, now)
            .group_by("ticker")
            .agg(
                volume.sum(),
                bar_money=(volume * pl.col("price_close")).sum(),
                bar_price=pl.col("price_close").drop_nulls().last(),
                open_interest=pl.col("open_interest").drop_nulls().last(),
            )
        )
        price, quantity = pl.col("price"), pl.col("quantity")
        rows = self._table("trades", 0, now).sort("time").group_by("ticker")
        trades = rows.agg(quantity.sum(), (price * quantity).sum().alias("money"), price.last())
        both = bars.join(trades, on="ticker", how="full", coalesce=True).select(
            "ticker",
            pl.coalesce("quantity", "volume", 0),
            pl.coalesce("money", "bar_money", 0),
            pl.coalesce("price", "bar_price"),
            pl.col("open_interest").fill_null(0),
        )
        return {ticker: Totals(*row) for ticker, *row in both.collect().iter_rows()}


def _time(said: Happening) -> int:
    return said.time


def _seen(row: dict[str, Any]) -> Seen:
    bids, asks = row["bids"], row["asks"]
    return Seen(row["time"], row["ticker"], _levels(bids), _levels(asks))


def _levels(levels: list[dict[str, Any]] | None) -> Levels | None:
    if levels is None:
        return None
    return {level["price"]: level["size"] or UNSIZED for level in levels}
