"""A second engine agrees where it can speak: no fees, no spread, no bound on size.

vectorbt knows no order book, no volume, no fees of this kind and no settlement; what is left is
who trades when, at which price, and what that adds up to. Needs vectorbt, the `bench` extra, in
this interpreter or in the one that KALSHI_BT_VECTORBT names (a path to a Python).
"""

import importlib.util
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import simulate
from kalshi_bt.simulator.tape import prepare

pytestmark = pytest.mark.slow

VARIABLE = "KALSHI_BT_VECTORBT"
MARKETS, BARS, MINUTE = 300, 60, 60_000_000
START = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()) * 1_000_000
CASH = 1_000_000  # dollars
LOTS = 10
Grid = np.ndarray[Any, Any]


def random_markets() -> tuple[Grid, Grid, Grid]:
    """Opens and closes in centi-cents, and what is wanted at each close: +1, -1, 0, or 2 for no.

    A row a bar, a column a market. Nothing is wanted at the last close: no bar would fill it.
    """
    rng = np.random.Generator(np.random.Philox(31))
    steps = rng.integers(-6, 7, (2 * BARS, MARKETS))
    path = 1 + np.abs((rng.integers(1, 99, MARKETS) + steps.cumsum(axis=0)) % 196 - 98).clip(0, 98)
    wants = rng.choice([1, -1, 0, 2], (BARS, MARKETS), p=[0.12, 0.12, 0.12, 0.64])
    wants[-1] = 2
    return 100 * path[::2], 100 * path[1::2], wants


def ours(opens: Grid, closes: Grid, wants: Grid) -> dict[str, Any]:
    """Trips as the script tells them, the order of each, and final cash and value in all."""
    market = np.repeat(np.arange(MARKETS), BARS)
    ends = START + MINUTE * np.arange(BARS)
    quotes = {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes)}
    quotes["close"] = closes
    flat = {f"{s}_{p}": quotes[p].T.ravel() for s in ("price", "bid", "ask") for p in schema.OHLC}
    bars = pl.DataFrame({"market": market, "time": np.tile(ends, MARKETS), **flat})
    counts = dict.fromkeys(("volume", "open_interest", "bid_size", "ask_size"), pl.lit(None))
    bars = bars.with_columns(**counts).cast(dict(schema.BARS.columns))
    names = [f"M{m:03}" for m in range(MARKETS)]
    listed = pl.DataFrame({"ticker": names, "event": names, "series": "S"})
    listed = listed.with_columns(close_time=pl.lit(None, dtype=schema.Time))
    since = datetime(2020, 1, 1, tzinfo=UTC)
    rates = pl.DataFrame({"market": np.arange(MARKETS, dtype=np.uint32)}).with_columns(
        from_time=pl.lit(since).cast(schema.Time),
        taker=pl.lit(0, dtype=pl.Int64),
        maker=pl.lit(0, dtype=pl.Int64),
    )
    tape = prepare(bars, listed, schema.SETTLEMENTS.empty(), rates)
    row, column = np.nonzero(wants != 2)
    empty = {name: pl.lit(None, dtype=dtype) for name, dtype in schema.INTENTS.columns.items()}
    told = pl.DataFrame(
        {"market": column, "time": ends[row], "side": wants[row, column]}
    ).with_columns(
        kind=pl.lit("ioc"),
        quantity=pl.lit(LOTS * 100, dtype=pl.Int64),
        valid_bars=pl.lit(0),
    )
    asked = told.with_columns(**{n: x for n, x in empty.items() if n not in told.columns})
    asked = asked.select(list(schema.INTENTS.columns)).cast(dict(schema.INTENTS.columns))
    rules = Rules(
        cash=CASH * MARKETS * 1_000_000, latency=0, fill=FillModel(participation=None), pauses=False
    )
    run = simulate(tape, asked, rules)
    curve = equity_curve(tape, run, rules.cash)
    return {
        "trips": closed_trades(tape, run),
        "fills": run.fills,
        "cash": int(curve.equity["cash"][-1]) / 1e6,
        "value": int(curve.equity["equity"][-1]) / 1e6,
        "open": curve.unsettled,
    }


def rows_of(run: dict[str, Any]) -> dict[tuple[int, int], tuple[float, ...]]:
    """Exit row, contracts, prices of YES, P&L and side of each closed trip, by market and entry."""
    trips = run["trips"].with_columns(pl.col("entry_time", "exit_time").to_physical())
    found = {}
    for t in trips.iter_rows(named=True):
        first, last = ((t[n] - START) // MINUTE for n in ("entry_time", "exit_time"))
        prices = [p if t["side"] > 0 else 1 - p for p in (t["entry_price"], t["exit_price"])]
        figures = (last, t["quantity"] / 100, *prices, t["pnl"] / 1e6, t["side"])
        found[int(t["ticker"][1:]), first] = figures
    return found


def interpreter() -> str:
    """A Python that has vectorbt."""
    if VARIABLE not in os.environ and importlib.util.find_spec("vectorbt") is None:
        pytest.skip(
            "no vectorbt in this interpreter: install the extra 'bench', or set "
            f"{VARIABLE} to a Python that has it"
        )
    return os.environ.get(VARIABLE, sys.executable)


def vectorbt(python: str, asked: dict[str, Any]) -> dict[str, Any]:
    script = Path(__file__).with_name("vectorbt_portfolio.py")
    done = subprocess.run(
        [python, str(script)],
        input=json.dumps(asked), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def both() -> tuple[dict[str, Any], dict[str, Any]]:
    """Our run and what vectorbt says of the same markets."""
    python = interpreter()
    opens, closes, wants = random_markets()
    run = ours(opens, closes, wants)
    # What is decided at a close is done at the next open.
    late = np.vstack([np.full((1, MARKETS), 2), wants[:-1]])
    # Orders are what one trade a bar comes to: an entry if flat, an exit if not.
    orders, held = np.zeros((BARS, MARKETS)), np.zeros(MARKETS)
    for row in range(BARS):
        enters = (np.abs(late[row]) == 1) & (held == 0)
        orders[row] = np.where(enters, LOTS * late[row], np.where(late[row] == 0, -held, 0))
        held += orders[row]
    said = vectorbt(
        python,
        {
            "price": (opens / 10_000).tolist(),
            "close": (closes / 10_000).tolist(),
            "orders": orders.tolist(),
            "long": (late == 1).tolist(),
            "short": (late == -1).tolist(),
            "leave": (late == 0).tolist(),
            "size": LOTS,
            "cash": CASH,
        },
    )
    return run, said


@pytest.mark.parametrize("way", ["orders", "signals"])
def test_every_round_trip_is_that_of_vectorbt(
    both: tuple[dict[str, Any], dict[str, Any]], way: str
) -> None:
    run, said = both
    theirs = {(m, a): tuple(rest) for m, a, *rest in said[way]["trips"] if rest[0] is not None}
    found = rows_of(run)
    assert len(found) > 3 * MARKETS
    assert found.keys() == theirs.keys()
    for trip, figures in found.items():
        assert figures == pytest.approx(theirs[trip], abs=1e-9), trip
    assert len({figures[-1] for figures in found.values()}) == 2  # both sides were traded


@pytest.mark.parametrize("way", ["orders", "signals"])
def test_final_cash_and_value_are_those_of_vectorbt(
    both: tuple[dict[str, Any], dict[str, Any]], way: str
) -> None:
    run, said = both
    open_trips = [trip for trip in said[way]["trips"] if trip[2] is None]
    assert run["open"] == len(open_trips) > 0
    assert run["value"] == pytest.approx(sum(said[way]["value"]), abs=1e-3)
    # Who is short YES there has been paid its price; here the NO was bought for a dollar less it.
    shorts = sum(size for _, _, _, size, _, _, _, side in open_trips if side < 0)
    assert run["cash"] == pytest.approx(sum(said[way]["cash"]) - shorts, abs=1e-3)
    assert run["fills"]["fee"].sum() == 0
