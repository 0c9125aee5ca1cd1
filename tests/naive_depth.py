"""Rows of the plain simulator made of recorded books and trades."""

from collections import defaultdict

import polars as pl
from naive_rules import UNKNOWN, Bar, Depth, Ohlc, Row, View, known


def moments(frame: pl.DataFrame) -> dict[str, dict[int, list[Row]]]:
    """Rows of a table by ticker and time (microseconds since 1970)."""
    found: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in frame.with_columns(pl.col("time").dt.epoch("us")).rows(named=True):
        found[row["ticker"]][row["time"]].append(row)
    return found


def depth_of(row: Row) -> Depth:
    if row["bids"] is None or row["asks"] is None:
        return UNKNOWN
    bids, asks = ([(x["price"], x["size"]) for x in row[side]] for side in ("bids", "asks"))
    return Depth(bids, asks)


def best(levels: list[tuple[int, int]] | None) -> int | None:
    return levels[0][0] if levels else None


def quotes(before: int | None, after: int | None) -> Ohlc:
    both = known(before, after)
    return Ohlc(before, max(both, default=None), min(both, default=None), after)


def row_of(time: int, before: Depth, after: Depth, trades: list[Row]) -> Bar:
    prices = [trade["price"] for trade in sorted(trades, key=lambda trade: trade["trade_id"])]
    price = Ohlc(None, None, None, None)
    if prices:
        price = Ohlc(prices[0], max(prices), min(prices), prices[-1])
    bid = quotes(best(before.bids), best(after.bids))
    ask = quotes(best(before.asks), best(after.asks))
    volume = sum(trade["quantity"] for trade in trades)
    return Bar(time, View(price, bid, ask), volume, before=before, after=after)


def read_books(
    books: pl.DataFrame, trades: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame
) -> dict[int, list[Bar]]:
    """A row at each time of a book or a trade, and one at the close if it is after the first."""
    states, traded = moments(books), moments(trades)
    closes = {row["ticker"]: row["close_time"] for row in markets.rows(named=True)}
    for row in settlements.rows(named=True):
        closes[row["ticker"]] = min(row["close_time"], row["time"])
    tapes = {}
    for m, ticker in enumerate(markets["ticker"]):
        times = set(states[ticker]) | set(traded[ticker])
        if times and closes[ticker] is not None:
            close = pl.Series([closes[ticker]]).dt.epoch("us")[0]
            times |= {close} if close > min(times) else set()
        now, tape = UNKNOWN, []
        for time in sorted(times):
            changed = [depth_of(row) for row in states[ticker].get(time, [])]
            after = changed[-1] if changed else now
            tape.append(row_of(time, now, after, traded[ticker].get(time, [])))
            now = after
        tapes[m] = tape
    return tapes
