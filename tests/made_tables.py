"""Made-up opinions, contexts, fill qualities and sensitivities for the trades of a made-up run."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.run_schema import (
    CONTEXT,
    CONTROLS,
    FILL_QUALITY,
    FORECASTS,
    HORIZONS,
    MARKOUTS,
    SENSITIVITY,
)

CATEGORIES = ("Sports", None, "Climate")
CASES = {
    "base": ("as the run was", 0),
    "optimistic": ("optimistic fills", 15_000_000),
    "pessimistic": ("pessimistic fills", -40_000_000),
    "tick_worse": ("every quote met is one tick worse", -20_000_000),
    "tick_better": ("every quote met is one tick better", 20_000_000),
    "fees_1_5": ("fees × 1.5", -9_000_000),
    "fees_0": ("no fees", 18_000_000),
    "latency_bar": ("one bar more latency", -3_000_000),
}


def made_forecasts(
    rng: np.random.Generator, markets: pl.DataFrame, payouts: dict[str, float]
) -> pl.DataFrame:
    """One row a market and moment; every fifth opinion is missing, a sixth market is scalar."""
    rows = []
    for number, market in enumerate(markets.iter_rows(named=True)):
        outcome = 0.5 if number % 6 == 5 else payouts[market["ticker"]]
        for point, before in {"first": 90_000, **HORIZONS}.items():
            mid = float(np.clip(rng.normal(0.35 + 0.3 * outcome, 0.2), 0.02, 0.98).round(2))
            fair = float(np.clip(mid + rng.normal(0, 0.08), 0.0, 1.0))
            rows.append(
                {
                    **{name: market[name] for name in ("ticker", "event", "series", "close_time")},
                    "point": point,
                    "time": market["close_time"] - timedelta(seconds=before),
                    "category": CATEGORIES[number % 3],
                    "settled": market["close_time"] + timedelta(hours=1),
                    "fair": None if len(rows) % 5 == 4 else fair,
                    "bid": mid - 0.01,
                    "ask": mid + 0.01,
                    "mid": mid,
                    "outcome": outcome,
                }
            )
    return FORECASTS.check(pl.DataFrame(rows, schema=FORECASTS.columns).sort(FORECASTS.key))


def made_context(
    rng: np.random.Generator, closed: pl.DataFrame, markets: pl.DataFrame
) -> pl.DataFrame:
    """One row a trade; every seventh had no mid, every fourth no opinion."""
    closes = dict(markets.select("ticker", "close_time").iter_rows())
    rows = []
    for number, trade in enumerate(closed.iter_rows(named=True)):
        spread = trade["spread_paid"] / 1e6
        slippage = float(rng.integers(-2, 4)) * trade["quantity"] / 1e4
        row: dict[str, Any] = {
            "trade_id": trade["trade_id"],
            "decided": trade["entry_time"] - timedelta(minutes=1),
            "category": CATEGORIES[number % 3],
            "close_time": closes[trade["ticker"]],
            "settled": trade["exit_time"],
            "outcome": 1.0,
            "gross_mid": trade["gross_pnl"] / 1e6 + spread + slippage,
            "spread": spread,
            "slippage": slippage,
            "bid": trade["entry_price"] - 0.02,
            "ask": trade["entry_price"],
        }
        if number % 7 == 6:
            row |= dict.fromkeys(("gross_mid", "spread", "slippage", "bid"))
        if number % 4:
            row |= {"fair": 0.5, "expected": float(rng.normal(0.02, 0.03))}
        rows.append(dict.fromkeys(CONTEXT.columns) | row)
    return CONTEXT.check(pl.DataFrame(rows, schema=CONTEXT.columns).sort("trade_id"))


def made_fill_quality(rng: np.random.Generator, fills: pl.DataFrame) -> pl.DataFrame:
    """One row a fill that is a trade, some without quotes before or after."""
    rows = []
    for number, fill in enumerate(fills.filter(pl.col("kind") == "trade").iter_rows(named=True)):
        after = rng.normal(-0.01, 0.05, len(MARKOUTS)).round(4)
        row = {f"markout_{name}": float(m) for name, m in zip(MARKOUTS, after, strict=True)}
        row |= {"slippage": float(rng.integers(-3, 6)) / 100, "half_spread": 0.01}
        row |= {"markout_final": float(rng.normal(0, 0.4)), "markout_1h": None}
        if number % 9 == 8:
            row = {}
        known = {name: fill[name] for name in ("order_id", "seq", "time")}
        known |= {"decided": fill["time"] - timedelta(minutes=1)}
        rows.append(dict.fromkeys(FILL_QUALITY.columns) | known | row)
    frame = pl.DataFrame(rows, schema=FILL_QUALITY.columns)
    return FILL_QUALITY.check(frame.sort(FILL_QUALITY.key))


def made_sensitivity(closed: pl.DataFrame) -> pl.DataFrame:
    """The same trades under every case, the result moved by a fixed amount."""
    if closed.is_empty():
        return SENSITIVITY.empty()
    net, fees = int(closed["pnl"].sum()), int(closed["fees"].sum())
    rows = [
        {
            "case": case,
            "what": what,
            "net_pnl": net + change,
            "fees": fees,
            "trades": closed.height,
            "contracts": int(closed["quantity"].sum()),
            "win_rate": None if case == "fees_0" else 0.5,
            "max_drawdown": 5_000_000,
        }
        for case, (what, change) in sorted(CASES.items())
    ]
    return SENSITIVITY.check(pl.DataFrame(rows, schema=SENSITIVITY.columns))


def made_controls(rng: np.random.Generator, closed: pl.DataFrame) -> pl.DataFrame:
    """Three hundred runs of luck; those with random entries lose ten dollars on average."""
    if closed.is_empty():
        return CONTROLS.empty()
    drawn = rng.normal((-10_000_000, 0), 60_000_000, (300, 2)).round().astype(int)
    columns = {"draw": range(300), "random_entry": drawn[:, 0], "random_side": drawn[:, 1]}
    return CONTROLS.check(pl.DataFrame(columns, schema=CONTROLS.columns))
