"""Rows of small datasets, and stores made of them, for the tests of the panel."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.data.store import Store

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = 3_600
Row = dict[str, Any]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def filled(table: schema.Table, rows: Sequence[Row]) -> pl.DataFrame:
    complete = [dict.fromkeys(table.columns) | row for row in rows]
    return pl.DataFrame(complete, schema=table.columns)


def candle(ticker: str, minute: float, period: int = 60, **values: Any) -> Row:
    """A bar; `price`, `bid` and `ask` are open, high, low and close, or one value for all."""
    row: Row = {"ticker": ticker, "time": at(minute), "period": period, "quote_source": "candle"}
    for name in ("price", "bid", "ask"):
        given = values.pop(name, None)
        parts = given if isinstance(given, tuple) else (given,) * 4
        row |= {f"{name}_{p}": v for p, v in zip(schema.OHLC, parts, strict=True)}
    return row | values


def market(ticker: str, **values: Any) -> Row:
    words = {"ticker": ticker, "event": ticker[:-2], "series": ticker.split("-", maxsplit=1)[0]}
    return words | values


def settlement(ticker: str, minute: float, payout: int, result: str) -> Row:
    times = {"time": at(minute), "close_time": at(minute - 1)}
    return {"ticker": ticker, "payout": payout, "result": result} | times


def trade(ticker: str, minute: float, price: int, side: int, number: int = 0, **more: Any) -> Row:
    row = {"ticker": ticker, "time": at(minute), "price": price, "taker_side": side}
    return row | {"trade_id": f"{number:06d}", "quantity": 100} | more


def reference(minute: float, value: float | None, symbol: str = "BTC", **more: Any) -> Row:
    row = {"source": "spot", "symbol": symbol, "field": "close", "time": at(minute)}
    return row | {"value": value} | more


def made_store(folder: Path, tables: Mapping[str, Sequence[Row]], name: str = "made") -> Store:
    """A dataset of these rows; a market for each ticker, where none are given."""
    tickers = {row["ticker"] for rows in tables.values() for row in rows if "ticker" in row}
    listed = {"markets": [market(ticker) for ticker in sorted(tickers)]}
    store = Store.create(folder / name, name=name)
    given = {**listed, **tables}
    store.commit({n: filled(schema.STORED[n], rows) for n, rows in given.items() if rows})
    return store


def seen(made: Panel, *columns: str) -> list[Any]:
    rows = made.quotes().select(columns).collect().rows()
    return [row[0] for row in rows] if len(columns) == 1 else rows
