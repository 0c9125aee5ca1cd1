"""Runs of luck in place of a run's trades: by hand, bar by bar, and for who knows something."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from one_market import at, bars, intent, paid, run

import kalshi_bt
from kalshi_bt.controls import LEAST, MOST, controls
from kalshi_bt.metrics import control_p_value
from kalshi_bt.run_schema import CONTROLS
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.walks import Walk, added_up

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

Row = dict[str, Any]
CROSS = Rules(latency=0, balance_precision=100)
FEE = 0.07


def luck(done: Simulation, seed: int = 0, rules: Rules = CROSS) -> tuple[Walk, pl.DataFrame]:
    base = added_up(done.tape, done, rules)
    return base, controls(base, done.tape, seed)


def dollars(amounts: pl.Series) -> list[float]:
    return sorted({amount / 1e6 for amount in amounts})


def fee(*prices: float) -> float:
    """Of ten contracts at each price."""
    return sum(10 * FEE * p * (1 - p) for p in prices)


# --- by hand --------------------------------------------------------------------------------------


def test_in_a_quiet_market_every_time_and_side_costs_the_same() -> None:
    out = intent(side=0, time=at(2), quantity=None)
    _, found = luck(run(bars(*[{}] * 6), [intent(), out], CROSS))
    cost = 10 * (0.49 - 0.51) - fee(0.51, 0.49)
    assert found["draw"].to_list() == list(range(MOST))
    # bought at 0.51 and sold at 0.49, whatever the bar; NO is bought at 0.51, too
    assert dollars(found["random_entry"]) == pytest.approx([cost], abs=1e-6)
    assert np.allclose(found["random_side"] / 1e6, cost, atol=2e-4)  # its own fees are rounded


@pytest.mark.parametrize(("side", "payout"), [(1, 10_000), (1, 0), (-1, 10_000), (-1, 3_000)])
def test_what_was_held_to_the_settlement_is_held_to_it(side: int, payout: int) -> None:
    rows = [{"bid": b, "ask": b + 200} for b in (4_900, 3_000, 6_000, 8_000)]
    done = run(bars(*rows), [intent(side=side)], CROSS, outcomes=[paid(9, payout)])
    base, found = luck(done)
    worth, wins = payout / 1e4, []
    for row in rows:
        cost = row["ask"] / 1e4 if side > 0 else 1 - row["bid"] / 1e4
        back = worth if side > 0 else 1 - worth
        wins.append(10 * (back - cost) - fee(cost))
    assert dollars(found["random_entry"]) == pytest.approx(sorted(wins), abs=1e-6)
    own = base.trades["pnl"].item() / 1e6
    cost = 1 - 0.30 if side > 0 else 0.32  # the other side of the bar on which it filled
    other = 10 * ((1 - worth if side > 0 else worth) - cost) - fee(cost)
    assert dollars(found["random_side"]) == pytest.approx(sorted([own, other]), abs=1e-6)


def test_what_settles_together_is_turned_together() -> None:
    tape = pl.concat([bars(*[{}] * 3, market=m) for m in range(4)])
    orders = [intent(market=m) for m in range(4)]
    events = "AABC"
    listed = [{"ticker": f"M{m}", "event": events[m], "series": "S"} for m in range(4)]
    outcomes = [paid(9 + (m == 3), 10_000 * (m != 1), f"M{m}") for m in range(4)]
    base, found = luck(run(tape, orders, CROSS, outcomes=outcomes, listed=listed))
    # A and B settle at one instant: one coin for M0 to M2, one for M3
    assert len(set(found["random_side"])) == 4
    own = base.trades.sort("ticker")["pnl"].to_list()
    turned = [round(1e6 * (10 * ((m == 1) - 0.51) - fee(0.51))) for m in range(4)]
    ways = {sum(first[:3]) + last[3] for first in (own, turned) for last in (own, turned)}
    assert np.allclose(sorted(set(found["random_side"])), sorted(ways), atol=5)


def test_no_closed_trade_draws_nothing() -> None:
    assert luck(run(bars(*[{}] * 4), [], CROSS))[1].is_empty()
    assert luck(run(bars(*[{}] * 4), [intent()], CROSS))[1].is_empty()  # still open


def test_naive_fills_are_held_against_luck_without_fees() -> None:
    rules = Rules(fill=FILLS["naive"], latency=0)
    done = run(bars(*[{}] * 6), [intent(limit=5_100)], rules, outcomes=[paid(9, 10_000)])
    _, found = luck(done, rules=rules)
    assert dollars(found["random_entry"]) == pytest.approx([10 * 0.49])


# --- bar by bar -----------------------------------------------------------------------------------


def told(rng: np.random.Generator, count: int) -> list[Row]:
    """Bars of which some have no bid, no ask or no opening quote."""
    rows = []
    for bid in rng.integers(10, 90, count).tolist():
        row: Row = {"bid": 100 * bid, "ask": 100 * bid + 300}
        for side in ("bid", "ask"):
            if rng.random() < 0.2:
                row[side] = None
            elif rng.random() < 0.3:
                row[side] = (None, row[side], row[side] - 100, row[side] - 100)
        rows.append(row)
    return rows


def each_bar(rows: Sequence[Row], side: int, minutes: float, payout: int | None) -> list[float]:
    """What ten contracts make that are entered on each bar with two quotes, in plain loops."""
    quotes = []
    for place, row in enumerate(rows):
        parts = [row[s] if isinstance(row[s], tuple) else (row[s],) * 4 for s in ("bid", "ask")]
        bid, ask = ((p[3] if p[0] is None else p[0]) for p in parts)
        if bid is not None and ask is not None:
            quotes.append((place, bid / 1e4, ask / 1e4))
    found = []
    for place, bid, ask in quotes:
        cost = ask if side > 0 else 1 - bid
        later = [q for q in quotes if q[0] >= place + minutes]
        if later or payout is None:
            _, bid, ask = later[0] if later else quotes[-1]  # noqa: PLW2901
            back = bid if side > 0 else 1 - ask
            found.append(10 * (back - cost) - fee(cost, back))
        else:
            back = payout / 1e4 if side > 0 else 1 - payout / 1e4
            found.append(10 * (back - cost) - fee(cost))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_a_random_entry_is_one_of_those_that_a_loop_over_the_bars_finds(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=seed))
    rows = [{}, {}, *told(rng, 12), {}]
    side, payout = int(rng.choice([-1, 1])), [None, 0, 10_000][seed % 3]
    leave = intent(side=0, time=at(float(rng.integers(2, 6))), quantity=None)
    outcomes = [] if payout is None else [paid(40, payout)]
    base, found = luck(run(bars(*rows), [intent(side=side), leave], CROSS, outcomes=outcomes))
    held = base.trades.select(pl.col("exit_time") - pl.col("entry_time")).item()
    full = [{"bid": 4_900, "ask": 5_100} | row for row in rows]
    minutes = held / timedelta(minutes=1)
    settled = base.trades["exit_reason"].item() == "settlement"
    expected = each_bar(full, side, 99 if settled else minutes, payout)
    assert dollars(found["random_entry"]) == pytest.approx(sorted({round(e, 6) for e in expected}))
    error = np.std(expected) / MOST**0.5
    assert found["random_entry"].mean() / 1e6 == pytest.approx(np.mean(expected), abs=5 * error)


# --- what is worth something ----------------------------------------------------------------------


def gambles(seed: int, choose: Any) -> tuple[int, pl.DataFrame]:
    """Forty markets of ten bars around 50 cents, one trade each, where and which way is chosen."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    tape, orders, outcomes = [], [], []
    for m in range(40):
        mids = rng.integers(30, 70, 10) * 100
        won = bool(rng.random() < 0.5)
        tape.append(bars(*[{"bid": p - 100, "ask": p + 100} for p in mids.tolist()], market=m))
        bar, side = choose(rng, mids, won)
        orders.append(intent(market=m, time=at(bar - 1), side=side))
        outcomes.append(paid(20 + m, 10_000 * won, f"M{m}"))
    listed = [{"ticker": f"M{m}", "event": f"E{m}", "series": "S"} for m in range(40)]
    orders.sort(key=lambda row: row["time"])
    base, found = luck(run(pl.concat(tape), orders, CROSS, outcomes=outcomes, listed=listed))
    assert base.trades.height == 40
    return base.trades["pnl"].sum(), found


def test_who_knows_nothing_is_nowhere_special_and_who_knows_is_far_out() -> None:
    def blind(rng: np.random.Generator, *_: Any) -> tuple[int, int]:
        return int(rng.integers(1, 10)), int(rng.choice([-1, 1]))

    def cheap(_: Any, mids: np.ndarray, __: bool) -> tuple[int, int]:  # noqa: FBT001
        return 1 + int(mids[1:].argmin()), 1

    def sure(rng: np.random.Generator, _: Any, won: bool) -> tuple[int, int]:  # noqa: FBT001
        return int(rng.integers(1, 10)), 1 if won else -1

    def p_values(choose: Any, seed: int) -> tuple[float, float]:
        own, found = gambles(seed, choose)
        return control_p_value(own, found["random_entry"]), control_p_value(
            own, found["random_side"]
        )

    blinds = np.array([p_values(blind, seed) for seed in range(12)])
    assert (blinds.mean(axis=0) > 0.25).all()
    assert (blinds.mean(axis=0) < 0.75).all()
    assert p_values(cheap, 1)[0] < 0.01
    timing, sides = p_values(sure, 2)
    assert sides < 0.01
    assert timing > 0.05  # when was left to chance


# --- in a run -------------------------------------------------------------------------------------


def test_draws_follow_the_seed_and_the_number_of_trades() -> None:
    out = [intent(side=0, time=at(2), quantity=None)]
    rows = [{"bid": 4_000 + 100 * n, "ask": 4_200 + 100 * n * n} for n in range(6)]
    done = run(bars(*rows), [intent(), *out], CROSS)
    first, same, other = (luck(done, seed)[1] for seed in (0, 0, 1))
    assert first.equals(same)
    assert not first.equals(other)
    assert LEAST == 200
    assert first.schema == CONTROLS.columns


@pytest.mark.slow
def test_a_run_is_held_against_luck_unless_that_is_switched_off(
    one_day: Path, tmp_path: Path
) -> None:
    made = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, width=1.0)
    drawn = made.run.tables["controls"]
    own = made.trades["pnl"].sum()
    assert made.trades.height > 0
    for name in ("random_entry", "random_side"):
        found = made.metrics[f"{name}_p"]["value"]
        assert found == (1 + (drawn[name] >= own).sum()) / (1 + drawn.height)
    page = (made.run_dir / "report.html").read_text()
    assert f'held against luck <b class="num">{drawn.height:,}</b> times' in page
    bare = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, width=1.0, controls=False)
    assert bare.run.tables["controls"].is_empty()
    assert bare.metrics["random_entry_p"]["reason"] == "no run of luck was drawn"
    assert ("controls", "False") in [(name, value) for name, value, _ in bare.run.assumptions]
    assert "controls = false" in (bare.run_dir / "config.toml").read_text()
    assert json.loads((bare.run_dir / "metrics.json").read_text())["random_side_p"]["value"] is None
