"""A session of a few invented bars, before the real one listens to anything.

The first decision loads and compiles what later ones use, which takes seconds; meanwhile thousands
of messages would wait, or be lost. What the strategy cannot do at all is found here, too.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.plan import Plan
from kalshi_bt.units import PRICE_SCALE
from live_adapter.moments import BARS, EPOCH, INTENTS, TABLES, Moment
from live_adapter.paper import PaperSession

_BEGIN = datetime(2026, 6, 1, 12, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_MID, _CENT = PRICE_SCALE // 2, PRICE_SCALE // 100


def rehearse(plan: Plan, period: int) -> None:
    """Return after a made-up market was listed, quoted, decided on, closed and paid.

    Parameters
    ----------
    plan : Plan
    period : int
        Seconds of a bar.

    Raises
    ------
    DataError, UsageError
        If the plan cannot be traded on bars as they come.
    """
    length = timedelta(seconds=period)
    with TemporaryDirectory() as folder:
        session = PaperSession(Path(folder), plan, period)
        market = {"event": "REHEARSAL-1", "open_time": _BEGIN - _HOUR}
        end = _BEGIN + _HOUR + 4 * length
        named = {"ticker": "REHEARSAL-1-A", "series": "REHEARSAL", "close_time": end}
        listed = _table("listed", {**market, **named, "mutually_exclusive": False})
        fees = {"fee_type": "quadratic", "fee_multiplier": 1_000_000}
        series = _table("series", {"series": "REHEARSAL", "effective_from": EPOCH, **fees})
        session.take(Moment(_BEGIN, listed=listed, series=series))
        for number in (1, 2, 3):
            time = _BEGIN + number * length
            session.take(Moment(time, bars=_bar(number, time)))
            if number == 1:  # whatever the strategy thinks of it, something is bought
                session.broker.submit(_wanted(time))
        paid = {"ticker": "REHEARSAL-1-A", "close_time": end, "payout": PRICE_SCALE}
        settled = _table("settled", {**paid, "time": end, "result": "yes"})
        session.take(Moment(end, settled=settled))
        session.broker.so_far()


def _wanted(time: datetime) -> pl.DataFrame:
    order = {"side": 1, "kind": "ioc", "limit": 9_000, "quantity": 100, "valid_bars": 2}
    return _filled(INTENTS, {"ticker": "REHEARSAL-1-A", "time": time, **order})


def _bar(number: int, time: datetime) -> pl.DataFrame:
    mid = _MID + number * _CENT
    quotes = {"price": mid, "bid": mid - _CENT, "ask": mid + _CENT}
    prices = {f"{name}_{part}": at for name, at in quotes.items() for part in schema.OHLC}
    sizes = dict.fromkeys(("bid_size", "ask_size", "volume"), 10_000)
    row: dict[str, Any] = {"ticker": "REHEARSAL-1-A", "time": time}
    return _filled(BARS, {**row, **prices, **sizes, "quote_source": "book"})


def _table(name: str, row: dict[str, Any]) -> pl.DataFrame:
    return _filled(TABLES[name], row)


def _filled(columns: schema.Schema, row: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame({name: [row.get(name)] for name in columns}, schema=dict(columns))
