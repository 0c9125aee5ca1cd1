"""Rows on their way from messages to tables: books at every change, trades, open interest."""

from array import array
from collections.abc import Iterable
from typing import Any

import polars as pl
import pyarrow as pa

from kalshi_bt.data.fold import Book
from kalshi_bt.data.store import Store
from kalshi_bt.data.wire import Quote, Trade
from kalshi_bt.schema import BOOKS, STORED, TRADES, Schema, Time

_UNKNOWN = -1  # how a size that was not sent stands in an array of integers
_INTEREST: Schema = {"ticker": pl.String, "time": Time, "open_interest": pl.Int64}


class Shelf:
    """Books of one recording, a row for every moment at which one of the best levels changed.

    Parameters
    ----------
    depth : int
        Levels to keep on each side.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._tickers: dict[str, int] = {}
        self._touched: dict[str, None] = {}
        self._lost: set[str] = set()
        self._now = 0
        self._clear()

    def _clear(self) -> None:
        self._market, self._time, self._known = array("i"), array("q"), array("b")
        self._counts = {"bids": array("q", [0]), "asks": array("q", [0])}
        self._prices = {"bids": array("h"), "asks": array("h")}
        self._sizes = {"bids": array("q"), "asks": array("q")}

    def touch(self, ticker: str, time: int) -> None:
        """Note that a book changed; what it is at the end of that moment is what is kept."""
        self._touched[ticker] = None
        self._now = time

    def flush(self, books: dict[str, Book]) -> None:
        """Keep the books that changed in the moment that is over."""
        for ticker in self._touched:
            book = books.get(ticker)
            if book is not None:
                self._keep(ticker, self._now, book)
            else:
                self.lose(ticker, self._now)
        self._touched.clear()

    def lose(self, ticker: str, time: int) -> None:
        """Keep that a book is not known from here on."""
        if ticker in self._tickers and ticker not in self._lost:
            self._lost.add(ticker)
            self._row(ticker, time, (), (), known=False)

    def quote(self, said: Quote, time: int) -> None:
        """Keep the best prices of a market whose book is not recorded."""
        bids = () if said.bid is None else ((said.bid, _or_unknown(said.bid_size)),)
        asks = () if said.ask is None else ((said.ask, _or_unknown(said.ask_size)),)
        self._lost.discard(said.ticker)
        self._row(said.ticker, time, bids, asks, known=True)

    def taken(self) -> pl.DataFrame:
        """Return the rows since the last call as `schema.BOOKS`; of one moment the last."""
        names = pl.Series(list(self._tickers), dtype=pl.String)
        known = pl.Series(self._known, dtype=pl.Int8) == 1
        sides = {
            side: _lists(self._counts[side], self._prices[side], self._sizes[side])
            for side in ("bids", "asks")
        }
        frame = pl.DataFrame(
            {
                "ticker": names.gather(pl.Series(self._market, dtype=pl.Int32)),
                "time": _times(self._time),
                **sides,
                "known": known,
            }
        )
        hidden = [pl.when("known").then(pl.col(side)).alias(side) for side in sides]
        frame = frame.with_columns(hidden).drop("known")
        self._clear()
        return BOOKS.filled(frame.unique(BOOKS.key, keep="last", maintain_order=True))

    def _keep(self, ticker: str, time: int, book: Book) -> None:
        self._lost.discard(ticker)
        bids, asks = book.bids.levels(self._depth), book.asks.levels(self._depth)
        self._row(ticker, time, bids, asks, known=True)

    def _row(
        self,
        ticker: str,
        time: int,
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
        *,
        known: bool,
    ) -> None:
        self._market.append(self._tickers.setdefault(ticker, len(self._tickers)))
        self._time.append(time)
        self._known.append(known)
        for side, levels in (("bids", bids), ("asks", asks)):
            prices, sizes = self._prices[side], self._sizes[side]
            for price, size in levels:
                prices.append(price)
                sizes.append(size)
            self._counts[side].append(len(prices))


def _or_unknown(size: int | None) -> int:
    return _UNKNOWN if size is None else size


def _lists(ends: Any, prices: Any, sizes: Any) -> pl.Series:
    """Return levels as lists; list i ends where `ends` says."""
    size = pl.Series("size", sizes, dtype=pl.Int64)
    told = size.to_frame().select(pl.when(pl.col("size") != _UNKNOWN).then("size")).to_series()
    cells = [pl.Series(prices, dtype=pl.Int16).to_arrow(), told.to_arrow()]
    structs = pa.StructArray.from_arrays(cells, names=["price", "size"])
    offsets = pa.array(pl.Series(ends, dtype=pl.Int64).to_arrow(), type=pa.int64())
    return pl.Series(pl.from_arrow(pa.LargeListArray.from_arrays(offsets, structs)))


def _times(micros: Any) -> pl.Series:
    times = pl.Series(micros, dtype=pl.Int64).cast(pl.Datetime("us"))
    return times.dt.replace_time_zone("UTC")


class Tape:
    """Trades of one recording, each once."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, int, str, int, int, int]] = []
        self._seen: dict[str, set[str]] = {}
        self._last: dict[str, int] = {}
        self.repeated = 0

    def add(self, trade: Trade, time: int, *, ordered: bool) -> None:
        """Keep a trade; `ordered`: trades of one moment get times that keep their order."""
        seen = self._seen.setdefault(trade.ticker, set())
        if trade.trade_id in seen:
            self.repeated += 1
            return
        seen.add(trade.trade_id)
        if ordered:
            time = max(time, self._last.get(trade.ticker, 0) + 1)
            self._last[trade.ticker] = time
        told = (trade.price, trade.quantity, trade.taker_side)
        self._rows.append((trade.ticker, time, trade.trade_id, *told))

    def taken(self) -> pl.DataFrame:
        """Return the trades since the last call as `schema.TRADES`."""
        columns = zip(*self._rows, strict=True) if self._rows else ((),) * len(TRADES.columns)
        data: dict[str, Any] = dict(zip(TRADES.columns, columns, strict=True))
        data["time"] = _times(array("q", data["time"]))
        self._rows = []
        return TRADES.filled(pl.DataFrame(data, schema=TRADES.columns))

    def forget(self, tickers: Iterable[str]) -> None:
        """Forget which trades of some markets came."""
        for ticker in tickers:
            self._seen.pop(ticker, None)
            self._last.pop(ticker, None)


def interest(said: list[tuple[str, int, int]]) -> pl.DataFrame:
    """Return open interest as it was stated: ticker, time, open_interest."""
    tickers, times, values = zip(*said, strict=True) if said else ((), (), ())
    data = {"ticker": tickers, "time": _times(array("q", times)), "open_interest": values}
    frame = pl.DataFrame(data, schema=_INTEREST)
    return frame.unique(["ticker", "time"], keep="last").sort("ticker", "time")


def first(frames: list[pl.DataFrame], table: str) -> pl.DataFrame:
    """Return rows of several frames, the first of each key."""
    key = STORED[table].key
    return pl.concat(frames).unique(key, keep="first", maintain_order=True).sort(key)


def unknown(trades: pl.DataFrame, store: Store) -> tuple[pl.DataFrame, int]:
    """Return the trades that are not stored with another time, and how many are."""
    stored = store.scan("trades").select("ticker", "trade_id", had="time")
    both = trades.lazy().join(stored, on=["ticker", "trade_id"], how="left")
    new = both.filter((pl.col("had") == pl.col("time")).fill_null(True)).drop("had").collect()
    return new.sort(TRADES.key), trades.height - new.height
