"""Bars, trades and books of markets, each in its tier."""

import polars as pl

from kalshi_bt.schema import OHLC
from live_adapter.exchange import wire
from live_adapter.exchange.asked import Answer, Asked
from live_adapter.exchange.listings import one
from live_adapter.exchange.query import Query, bad_request, page
from live_adapter.exchange.wire import Json

PERIODS = (1, 60, 1440)  # minutes
MOST_BARS, MOST_BATCH_BARS, MOST_TICKERS = 5_000, 10_000, 100


def _window(query: Query) -> tuple[int, int, int]:
    """Return start, end and length of bars asked for, in seconds, both ends inclusive."""
    start, end = query.needed("start_ts"), query.needed("end_ts")
    period = query.needed("period_interval")
    if period not in PERIODS:
        raise bad_request("period_interval must be 1, 60 or 1440")
    if end < start:
        raise bad_request("end_ts must not be before start_ts")
    return start, end, 60 * period


def _limited(window: tuple[int, int, int], markets: int, most: int) -> None:
    start, end, seconds = window
    if (end // seconds - -(-start // seconds) + 1) * markets > most:
        raise bad_request(f"max candlesticks: {most}")


def _bars(asked: Asked, ticker: str, window: tuple[int, int, int], tier: str) -> list[Json]:
    """Return the bars of a market within a window, after the last one before it if wanted."""
    start, end, seconds = window
    found = asked.archive.bars(ticker, seconds)
    at = pl.col("time").dt.epoch("s")
    rows = found.filter((at >= start) & (at <= end))
    bars = [wire.candle(row, historical=tier == "historical") for row in rows.iter_rows(named=True)]
    earlier = found.filter(at < start).tail(1)
    wanted = "include_latest_before_start"
    if tier == "live" and asked.query.flag(wanted) and earlier.height:
        bars.insert(0, _carried(earlier.row(0, named=True), -(-start // seconds) * seconds))
    return bars


def _carried(row: Json, boundary: int) -> Json:
    """Return the synthetic bar that carries an earlier one to the start of a window."""
    last = row["price_close"] if row["price_close"] is not None else row["previous"]
    quotes = {f"{side}_{part}": row[f"{side}_close"] for side in ("bid", "ask") for part in OHLC}
    bar = wire.candle({**row, **quotes, "volume": 0}, historical=False)
    nothing: Json = dict.fromkeys((f"{part}_dollars" for part in OHLC), None)
    previous = {} if last is None else {"previous_dollars": wire.price(last)}
    return bar | {"end_period_ts": boundary, "price": nothing | previous}


def candlesticks(tier: str) -> Answer:
    """Return the endpoint of a market's bars in a tier."""

    def answer(asked: Asked) -> Json:
        row, window = one(asked, tier), _window(asked.query)
        _limited(window, 1, MOST_BARS)
        return {"ticker": row["ticker"], "candlesticks": _bars(asked, row["ticker"], window, tier)}

    return answer


def batch_candlesticks(asked: Asked) -> Json:
    """Answer the bars of several live markets; those unknown or archived are left out."""
    tickers, window = asked.query.listed("market_tickers"), _window(asked.query)
    if not 0 < len(tickers) <= MOST_TICKERS:
        raise bad_request(f"market_tickers must name 1 to {MOST_TICKERS} markets")
    known = [ticker for ticker in tickers if asked.archive.market(ticker, "live")]
    _limited(window, len(known), MOST_BATCH_BARS)
    found = ({"market_ticker": t, "candlesticks": _bars(asked, t, window, "live")} for t in known)
    return {"markets": list(found)}


def trades(tier: str) -> Answer:
    """Return the endpoint of the trades of a tier, newest first."""

    def answer(asked: Asked) -> Json:
        query = asked.query
        low, high = query.time("min_ts"), query.time("max_ts")
        wanted = pl.lit(not query.flag("is_block_trade"))
        wanted &= pl.lit(True) if low is None else pl.col("time") >= low
        wanted &= pl.lit(True) if high is None else pl.col("time") <= high
        found = asked.archive.trades(query.text("ticker"), tier).filter(wanted)
        key = (("time", True), ("ticker", True), ("trade_id", True))
        kind = f"{tier}/trades"
        rows, cursor = page(found, key, query, kind, default=100, most=1000)
        return {"trades": [wire.trade(row) for row in rows.iter_rows(named=True)], "cursor": cursor}

    return answer


def _book(asked: Asked, ticker: str, depth: int) -> Json:
    """Return the book of a market, empty unless it is trading."""
    row = asked.archive.market(ticker, "live")
    trading = row is not None and row["status"] == "active"
    book = asked.archive.book(ticker) if trading else {"bids": None, "asks": None}
    return wire.levels(book, depth)


def orderbook(asked: Asked) -> Json:
    """Answer the book of a market."""
    depth = asked.query.integer("depth", 0, 100) or 0
    return {"orderbook_fp": _book(asked, asked.names["ticker"], depth)}


def orderbooks(asked: Asked) -> Json:
    """Answer the books of several markets, each named by a parameter of its own."""
    tickers = asked.query.every("tickers")
    if not 0 < len(tickers) <= MOST_TICKERS:
        raise bad_request(f"tickers must name 1 to {MOST_TICKERS} markets")
    return {"orderbooks": [{"ticker": t, "orderbook_fp": _book(asked, t, 0)} for t in tickers]}
