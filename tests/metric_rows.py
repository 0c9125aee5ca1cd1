"""Books of metrics as plain rows, written by hand or drawn, and as the tables they stand for."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.metrics import Book, score
from kalshi_bt.run_schema import CONTEXT, CONTROLS, FORECASTS
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED

Row = dict[str, Any]
Plain = dict[str, Any]  # table -> rows, name -> number

START = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
DOLLAR = 1_000_000
MARKETS = 24


def order(
    order_id: int, status: str = "filled", side: int = 1, quantity: int = 100, filled: int = 100
) -> Row:
    return {
        **dict.fromkeys(ORDERS.columns),
        "order_id": order_id,
        "ticker": "A",
        "time": START,
        "side": side,
        "kind": "ioc",
        "wanted": quantity,
        "quantity": quantity,
        "filled": filled,
        "status": status,
    }


def fill(
    order_id: int,
    seq: int,
    quantity: int,
    price: int,
    fee: int = 0,
    leg: str = "entry",
    kind: str = "trade",
) -> Row:
    return {
        "order_id": order_id,
        "trade_id": order_id,
        "seq": seq,
        "ticker": "A",
        "time": START,
        "kind": kind,
        "role": "none" if kind == "settlement" else "taker",
        "leg": leg,
        "reason": "entry" if leg == "entry" else "target",
        "quantity": quantity,
        "price": price,
        "fee": fee,
        "source": "ask_open",
    }


def trade(
    trade_id: int,
    pnl: int,
    hours: float = 1,
    stake: int = 10 * DOLLAR,
    spread: int = 0,
    exit_hour: int | None = None,
    **more: Any,
) -> Row:
    exit_time = START + timedelta(hours=trade_id if exit_hour is None else exit_hour)
    return {
        "trade_id": trade_id,
        "ticker": "A",
        "event": "E",
        "series": "S",
        "side": 1,
        "entry_time": exit_time - timedelta(hours=hours),
        "exit_time": exit_time,
        "quantity": 100,
        "entry_price": 0.5,
        "exit_price": 0.5,
        "exit_reason": "target",
        "stake": stake,
        "gross_pnl": pnl,
        "fees": 0,
        "pnl": pnl,
        "spread_paid": spread,
        **more,
    }


def context(trade_id: int, settled_hour: int | None = None, **more: Any) -> Row:
    """What was known of a trade; parts of its costs are null unless given."""
    settled = None if settled_hour is None else START + timedelta(hours=settled_hour)
    return {
        **dict.fromkeys(CONTEXT.columns),
        "trade_id": trade_id,
        "decided": START,
        "settled": settled,
        **more,
    }


def forecast(
    ticker: str,
    fair: float | None,
    mid: float | None,
    outcome: float | None,
    event: str | None = None,
    settled_hour: int | None = None,
    point: str = "first",
) -> Row:
    """An opinion on a market, an event of its own unless told."""
    settled = None if settled_hour is None else START + timedelta(hours=settled_hour)
    return {
        **dict.fromkeys(FORECASTS.columns),
        "ticker": ticker,
        "point": point,
        "time": START,
        "event": event or ticker,
        "series": "S",
        "settled": settled,
        "fair": fair,
        "mid": mid,
        "outcome": outcome,
    }


def equity(hours: float, value: int, locked: int = 0) -> Row:
    at = START + timedelta(hours=hours)
    return {"time": at, "cash": value, "locked": locked, "marked": 0, "equity": value}


def rows(
    orders: Iterable[Row] = (),
    fills: Iterable[Row] = (),
    trades: Iterable[Row] = (),
    path: Iterable[Row] = (),
    cash: int = 100 * DOLLAR,
    contexts: Iterable[Row] = (),
    forecasts: Iterable[Row] = (),
    **counts: Any,
) -> Plain:
    """Build a book as plain rows, which is what the twins read."""
    return {
        "orders": list(orders),
        "fills": list(fills),
        "trades_closed": list(trades),
        "equity": list(path),
        "initial_cash": cash,
        "context": list(contexts),
        "forecasts": list(forecasts),
        "quarantined_rows": 0,
        "unsettled": 0,
        "unsettled_value": 0,
        "determined": 0,
        "controls": [],
        "trials": (),
        "trial_days": (),
        **counts,
    }


def book(plain: Plain) -> Book:
    declared = (ORDERS, FILLS, TRADES_CLOSED, EQUITY, CONTEXT, FORECASTS, CONTROLS)
    tables = {t.name: t for t in declared}
    return Book(
        **{
            name: tables[name].check(pl.DataFrame(value, schema=tables[name].columns))
            if name in tables
            else value
            for name, value in plain.items()
        }
    )


def values(plain: Plain) -> dict[str, Any]:
    return {name: s.value for name, s in score(book(plain)).items()}


def random_contexts(rng: np.random.Generator, traded: list[int]) -> list[Row]:
    """Contexts of trades in these markets: some markets settle together, some are not known to."""
    hours = [None if rng.random() < 0.2 else 200 + int(rng.integers(20)) for _ in range(MARKETS)]
    parts = ("gross_mid", "spread", "slippage")
    drawn = [dict(zip(parts, rng.normal(size=3).round(6).tolist(), strict=True)) for _ in traded]
    return [
        context(i, hours[market], **(drawn[i] if rng.random() < 0.8 else {}))
        for i, market in enumerate(traded)
    ]


def random_forecasts(rng: np.random.Generator) -> list[Row]:
    """Opinions on up to 60 markets at two moments: some silent, some open, some scalar."""
    made = []
    for market in range(rng.integers(0, 60)):
        hour = int(rng.integers(40))
        outcome = rng.choice([0.0, 1.0, 1.0, 0.3, None], p=[0.5, 0.2, 0.2, 0.05, 0.05])
        for point in ("1h", "first"):
            fair = None if rng.random() < 0.1 else round(float(rng.random()), 2)
            mid = None if rng.random() < 0.1 else round(float(rng.uniform(0.01, 0.99)), 3)
            made.append(
                forecast(f"F{market:02}", fair, mid, outcome, f"E{market // 3}", hour, point)
            )
    return made


def random_trial_days(rng: np.random.Generator) -> list[list[int]]:
    """Up to three variants over the same days: some too few, some idle, some of one result."""
    days, variants = int(rng.integers(8, 12)), int(rng.integers(1, 4))
    made = rng.normal(0.2, 1, (variants, days)) * rng.choice(
        [0, 1, 9], (variants, 1), p=[0.1, 0.6, 0.3]
    )
    return [[round(x) * DOLLAR for x in row] for row in made.tolist()]


def random_controls(rng: np.random.Generator) -> list[Row]:
    """Runs of luck that make a dollar or two, or lose them; one in five books has none."""
    drawn = rng.integers(-2, 3, (0 if rng.random() < 0.2 else 30, 2)) * DOLLAR
    return [
        {"draw": n, "random_entry": entry, "random_side": side}
        for n, (entry, side) in enumerate(drawn.tolist())
    ]


def random_rows(seed: int) -> Plain:
    rng = np.random.Generator(np.random.Philox(key=seed))
    n_trades, n_orders, n_equity = rng.integers(0, 20), rng.integers(0, 12), rng.integers(0, 120)
    steps = np.cumsum(rng.integers(1, 30 * 3600, n_equity)) / 3600
    # steps of a few dollars, many of them zero, so that ties with the peak occur
    path = 100 * DOLLAR + np.cumsum(rng.integers(-2, 3, n_equity)) * DOLLAR
    traded = rng.integers(0, MARKETS, n_trades).tolist()
    statuses = ["filled", "partial", "rejected", "expired", "canceled"]
    return rows(
        [
            order(
                i,
                statuses[rng.integers(5)],
                int(rng.integers(-1, 2)),
                int(rng.integers(1, 900)),
                int(rng.integers(0, 900)),
            )
            for i in range(n_orders)
        ],
        [
            fill(
                i,
                seq,
                int(rng.choice([-1, 1]) * rng.integers(1, 900)),
                int(rng.integers(0, 10_001)),
                int(rng.integers(0, DOLLAR)),
                ["entry", "exit"][rng.integers(2)],
                ["trade", "settlement"][rng.integers(2)],
            )
            for i in range(n_orders)
            for seq in range(rng.integers(0, 3))
        ],
        [
            trade(
                i,
                int(rng.integers(-2, 3) * rng.integers(1, DOLLAR)),
                float(rng.integers(0, 99)),
                int(rng.integers(1, 50 * DOLLAR)),
                int(rng.integers(0, DOLLAR)),
                int(rng.integers(0, 99)),
                ticker=f"M{market}",
                event=f"E{market // 2}",
                fees=int(rng.integers(0, DOLLAR)),
                quantity=int(rng.integers(1, 900)),
                exit_reason=["target", "settlement"][rng.integers(2)],
            )
            for i, market in enumerate(traded)
        ],
        [
            equity(float(hour), int(value), int(rng.integers(0, 90 * DOLLAR)))
            for hour, value in zip(steps, path, strict=True)
        ],
        contexts=random_contexts(rng, traded),
        forecasts=random_forecasts(rng),
        quarantined_rows=int(rng.integers(9)),
        unsettled=int(rng.integers(9)),
        unsettled_value=int(rng.integers(9 * DOLLAR)),
        determined=int(rng.integers(9)),
        trials=[
            None if rng.random() < 0.2 else round(float(rng.normal()) / 9, 4)
            for _ in range(rng.integers(0, 6))
        ],
        trial_days=random_trial_days(rng),
        controls=random_controls(rng),
    )
