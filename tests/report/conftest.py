"""A made-up run: seeded prices and trades whose tables agree with each other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_tables import (
    made_context,
    made_controls,
    made_fill_quality,
    made_forecasts,
    made_sensitivity,
)

from kalshi_bt.metrics import METRICS, Book, score, tables, to_json
from kalshi_bt.report import Run
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED

START = datetime(2025, 3, 1, tzinfo=UTC)
CASH = 10_000_000_000
REJECTED = ["position_open", "edge", "cash", "event_cap", "market_closed"]
UNFILLED = ["not_reached", "beyond_limit", "no_volume"]
LISTED = {
    **dict.fromkeys(["ticker", "title", "event", "series"], pl.String),
    "close_time": pl.Datetime("us", "UTC"),
}
ASSUMPTIONS = [
    ("fill model", "cross", "A taker gets the opening quote of the first bar after the latency."),
    ("latency", "1s", "From the decision to the exchange; a bar must end after it."),
    ("participation", "10% of the bar's volume", "More would have moved the market."),
    ("fees", "7% of price times its complement", "The exchange's schedule on the day of the fill."),
    ("exits", "stop before target", "One bar cannot tell which of them came first."),
    ("open positions", "valued at the bid", "The side at which they could be sold."),
]


def _prices(rng: np.random.Generator, bars: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bid, ask and last in centi-cents of a walk that stays inside the price range."""
    walk = 5_000 + np.cumsum(rng.normal(0, 60, bars)).round(-2)
    mid = np.clip(walk, 600, 9_400).astype(int) // 100 * 100
    half = rng.choice([100, 100, 200, 300], bars)
    return mid - half, mid + half, mid + rng.choice([-1, 1], bars) * half


def _chart(start: datetime, bid: np.ndarray, ask: np.ndarray, last: np.ndarray) -> pl.DataFrame:
    times = [start + timedelta(minutes=minute + 1) for minute in range(len(bid))]
    frame = pl.DataFrame({"time": times, "bid": bid / 1e4, "ask": ask / 1e4, "close": last / 1e4})
    minute = pl.int_range(pl.len())
    return frame.with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")),
        pl.when(minute % 97 > 5).then("ask").alias("ask"),  # now and then nobody offers
        pl.when(minute % 5 == 0).then("close").alias("close"),
        band_lower=pl.col("close").rolling_mean(25) - 2 * pl.col("close").rolling_std(25),
        band_upper=pl.col("close").rolling_mean(25) + 2 * pl.col("close").rolling_std(25),
    )


class _Tables:
    """Rows of a run, gathered market by market."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.fills: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        self.flows: list[tuple[datetime, int, int]] = []  # time, cash, cost of what is held

    def order(self, ticker: str, time: datetime, side: int, quantity: int, **more: Any) -> int:
        number = len(self.orders)
        row = {"order_id": number, "ticker": ticker, "time": time, "side": side, "kind": "ioc"}
        self.orders.append(
            dict.fromkeys(ORDERS.columns)
            | row
            | {"wanted": quantity, "quantity": quantity, "filled": 0, "status": "canceled"}
            | more
        )
        return number

    def fill(self, number: int, leg: str, time: datetime, price: int, **more: Any) -> None:
        seq = sum(row["order_id"] == number for row in self.fills[-2:])
        ticker = self.orders[number]["ticker"]
        row = {"order_id": number, "trade_id": number, "seq": seq, "ticker": ticker}
        row |= {"time": time, "leg": leg}
        self.fills.append(row | {"price": price, "kind": "trade", "source": "ask_open"} | more)

    def trade(self, number: int, entry: tuple[datetime, int], leave: tuple[datetime, int, str],
              spread: int) -> None:  # fmt: skip
        """One round trip, prices of YES."""
        asked = self.orders[number]
        side, quantity = asked["side"], asked["quantity"]
        own = [price if side > 0 else 10_000 - price for price in (entry[1], leave[1])]
        settled = leave[2] == "settlement"
        fees = [-(-7 * quantity * p * (10_000 - p) // 10**10) * 10_000 for p in own]
        if settled:
            fees[1] = 0
        self.fill(number, "entry", *entry, role="taker", reason="entry", quantity=side * quantity,
                  fee=fees[0])  # fmt: skip
        self.fill(number, "exit", leave[0], leave[1], role="none" if settled else "taker",
                  reason=leave[2], quantity=-side * quantity, fee=fees[1],
                  kind="settlement" if settled else "trade")  # fmt: skip
        gross = quantity * (own[1] - own[0])
        self.closed.append(
            {
                "trade_id": number,
                "ticker": asked["ticker"],
                "event": asked["ticker"].rsplit("-", 1)[0],
                "series": asked["ticker"].split("-")[0],
                "side": side,
                "entry_time": entry[0],
                "exit_time": leave[0],
                "quantity": quantity,
                "entry_price": own[0] / 1e4,
                "exit_price": own[1] / 1e4,
                "exit_reason": leave[2],
                "stake": quantity * own[0],
                "gross_pnl": gross,
                "fees": sum(fees),
                "pnl": gross - sum(fees),
                "spread_paid": spread * quantity,
            }
        )
        self.flows.append((entry[0], -quantity * own[0] - fees[0], quantity * own[0]))
        self.flows.append((leave[0], quantity * own[1] - fees[1], -quantity * own[0]))

    def equity(self) -> pl.DataFrame:
        flows = pl.DataFrame(self.flows, schema=["time", "cash", "locked"], orient="row")
        flows = flows.cast({"time": EQUITY.columns["time"]}).group_by("time").sum().sort("time")
        return flows.select(
            "time",
            cash=pl.col("cash").cum_sum() + CASH,
            locked=pl.col("locked").cum_sum(),
            marked=pl.col("locked").cum_sum(),
        ).with_columns(equity=pl.col("cash") + pl.col("marked"))


def _trade_market(tables: _Tables, rng: np.random.Generator, ticker: str, trades: int,
                  edge: int, bars: int, start: datetime) -> tuple[pl.DataFrame, float]:  # fmt: skip
    bid, ask, last = _prices(rng, bars)
    payout = 10_000 if last[-1] > 5_000 else 0
    ends = start + timedelta(minutes=bars + 60)
    cuts = np.sort(rng.choice(np.arange(30, bars - 5), 2 * trades, replace=False))
    for entry, leave in cuts.reshape(-1, 2):
        side = int(rng.choice([1, -1]))
        at = [start + timedelta(minutes=int(bar) + 1) for bar in (entry, leave)]
        for reason in rng.choice(REJECTED, rng.integers(0, 3)):
            tables.order(ticker, at[0], side, 0, status="rejected", reason=reason)
        if rng.random() < 0.3:
            missed = str(rng.choice(UNFILLED))
            tables.order(ticker, at[0], side, 1_000, status="expired", reason=missed)
        quantity = int(rng.integers(1, 60)) * 100
        number = tables.order(ticker, at[0], side, quantity, filled=quantity, status="filled")
        half = int(ask[entry] - bid[entry]) // 2
        paid = int(ask[entry] if side > 0 else bid[entry])
        got = int(bid[leave] if side > 0 else ask[leave]) + side * edge
        move = (got - paid) * side
        left = (at[1], got, "target" if move > 300 else "stop" if move < -300 else "time")
        if rng.random() < 0.25:
            left = (ends + timedelta(seconds=number), payout, "settlement")
        tables.trade(number, (at[0], paid), left, half)
    return _chart(start, bid, ask, last), payout / 1e4


def _counted(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.filter(pl.col("status") == "rejected").group_by("reason").len("count")


def build(seed: int = 1, *, trades: int = 8, markets: int = 15, bars: int = 1_200,
          edge: int = 0, compared: bool = True, **changes: Any) -> Run:  # fmt: skip
    """Build a made-up run of `trades` round trips in each of `markets`."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    rows, charts, payouts, listed = _Tables(), {}, {}, []
    for number in range(markets if trades else 0):
        event = f"FAKE{'AB'[number % 2]}-25MAR{1 + number % 28:02d}"
        ticker = f"{event}-T{number}"
        start = START + timedelta(days=number * 3 % 40, hours=number % 7)
        chart, payout = _trade_market(rows, rng, ticker, trades, edge, bars, start)
        charts[ticker], payouts[ticker] = chart, payout
        close = start + timedelta(minutes=bars)
        listed.append((ticker, f"Made up: coin {number} lands heads?", event, event[:5], close))
    frames = {
        "orders": ORDERS.check(pl.DataFrame(rows.orders, schema=ORDERS.columns)),
        "fills": FILLS.check(pl.DataFrame(rows.fills, schema=FILLS.columns)),
        "trades_closed": TRADES_CLOSED.check(
            pl.DataFrame(rows.closed, schema=TRADES_CLOSED.columns)
        ),
        "equity": EQUITY.check(rows.equity()) if rows.flows else EQUITY.empty(),
    }
    about = pl.DataFrame(listed, schema=LISTED, orient="row")
    facts = {
        "forecasts": made_forecasts(rng, about, payouts),
        "context": made_context(rng, frames["trades_closed"], about),
        "fill_quality": made_fill_quality(rng, frames["fills"]),
        "sensitivity": made_sensitivity(frames["trades_closed"]),
    }
    known = {name: facts[name] for name in ("forecasts", "context", "fill_quality")}
    known["controls"] = made_controls(rng, frames["trades_closed"])
    book = Book(**frames, **known, initial_cash=CASH, quarantined_rows=37)
    scores = json.loads(to_json(score(book, intervals=compared)))
    cases = {"optimistic": 150, "cross": 0, "pessimistic": -250} if compared else {}
    same = {"trades": trades, "markets": markets, "bars": bars, "compared": False}
    given: dict[str, Any] = {
        "run_id": f"fixture-{seed}",
        "strategy": "bollinger",
        "dataset": "made-up coins",
        "synthetic": True,
        "title_lines": ["15 markets, 1-minute bars", "2025-03-01 to 2025-04-10"],
        "scores": scores,
        "bands": {name: build(seed, edge=edge + e, **same).scores for name, e in cases.items()},
        "metric_docs": {name: metric.doc for name, metric in METRICS.items()},
        "assumptions": ASSUMPTIONS,
        "config": {
            "strategy": "bollinger",
            "period": "25",
            "width": "2.0",
            "geometry": "fade_limit",
            "cash": "10000.00",
            "fill_model": "cross",
            "latency": "1s",
            "seed": str(seed),
            "kalshi_bt": "0.1.0",
            "polars": "2.1.0",
        },
        "notes": ["3 markets had fewer than 25 closes, so no band: they were never traded."],
        "command": "kalshi-bt run --strategy bollinger --set period=25 --set width=2.0",
        "charts": charts,
        "markets": about,
        **facts,
        "tables": tables(book),
        "trials": [
            {"run_id": f"fixture-{n}", "sharpe": 0.1 * n, "days": 40} for n in range(seed + 1)
        ],
        "payouts": payouts,
        "rejections": _counted(frames["orders"]),
        "quarantine": pl.DataFrame(
            {"reason": ["bid above ask", "price out of range"], "count": [25, 12]}
        ),
    }
    return Run(**(given | frames | changes))


@pytest.fixture(scope="session")
def build_run() -> Callable[..., Run]:
    return build


@pytest.fixture(scope="session")
def full_run() -> Run:
    return build()


@pytest.fixture(scope="session")
def idle_run() -> Run:
    return build(trades=0)
