"""A made-up rolling series, told moment by moment, and a strategy that trades it at every bar."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from mover import MOVER
from papered import planned

from kalshi_bt import schema
from kalshi_bt.plan import Plan
from live_adapter.moments import TABLES, Moment

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)


def mover(folder: Path) -> Plan:
    """A plan that follows every move with a small stake, whatever it lost."""
    file = folder / "own.py"
    file.write_text(MOVER)
    sets = ("bars=2", "sizing.method=fixed_stake", "risk.max_losses=none", "risk.max_drawdown=none")
    return planned(f"{file}:Mover", Path("nowhere"), sets)


def moments(days: int, windows: int, markets: int, length: int) -> Iterator[Moment]:
    """Tell windows of some markets, each of so many minutes, evenly over days that are alike."""
    for n in range(days * windows):
        opened = BEGIN + timedelta(days=1) * n / windows
        closed = opened + timedelta(minutes=length)
        names = [f"KXR-{n:05}-T{k:02}" for k in range(markets)]
        rng = np.random.Generator(np.random.Philox(n % windows))
        moved = np.cumsum(rng.integers(-9, 10, (length, markets)) * 100, axis=0)
        for minute, bids in enumerate((5_000 + moved).clip(200, 9_600).tolist(), start=1):
            time = opened + timedelta(minutes=minute)
            found = {"bars": frame("bars", [bar(*x, time) for x in zip(names, bids, strict=True)])}
            if minute == 1:
                event = {"event": f"KXR-{n:05}", "series": "KXR", "mutually_exclusive": False}
                event |= {"open_time": opened, "close_time": closed}
                found["listed"] = frame("listed", [{"ticker": name} | event for name in names])
            if minute == 1 and not n:
                fees = {"series": "KXR", "effective_from": BEGIN, "fee_type": "quadratic"}
                found["series"] = frame("series", [{**fees, "fee_multiplier": 1_000_000}])
            if minute == 2 and n:
                ended = closed - timedelta(days=1) / windows
                paid = {"time": time, "close_time": ended, "result": "yes"}
                found["settled"] = frame("settled", [
                    {"ticker": f"KXR-{n - 1:05}-T{k:02}", "payout": 10_000 * (k % 2)} | paid
                    for k in range(markets)
                ])  # fmt: skip
            yield Moment(time, **found)


def bar(ticker: str, bid: int, time: datetime) -> dict[str, Any]:
    quotes = {
        f"{side}_{part}": bid + more
        for part in schema.OHLC
        for side, more in (("bid", 0), ("ask", 100))
    }
    return {"ticker": ticker, "time": time, "volume": 50_000, "quote_source": "candle", **quotes}


def frame(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a table of moments, absent columns as nulls."""
    columns = TABLES[name]
    given = pl.DataFrame(rows, schema={n: columns[n] for n in rows[0]})
    absent = (pl.lit(None, t).alias(n) for n, t in columns.items() if n not in given.columns)
    return given.with_columns(*absent).select(list(columns))
