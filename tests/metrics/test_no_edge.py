"""Runs of a known edge, drawn many times: what the metrics say of luck, and of an edge."""

from functools import cache

import numpy as np
import pytest
from metric_rows import DOLLAR, Plain, book, equity, rows, trade

from kalshi_bt.metrics import Score, score

pytestmark = pytest.mark.slow
RUNS = 150


def drawn(seed: int, edge: float) -> Plain:
    """Sixty events of two contracts that pay together, bought at prices from 10 to 90 cents."""
    rng = np.random.Generator(np.random.Philox(key=[seed, round(edge * 100)]))
    trades, path, money = [], [], 100 * DOLLAR
    for event in range(60):
        cents = int(rng.integers(10, 91))
        paid = rng.random() < cents / 100 + edge
        for leg in range(2):
            pnl = (100 * paid - cents) * 10_000
            money += pnl
            trades.append(
                trade(
                    2 * event + leg,
                    pnl,
                    stake=cents * 10_000,
                    exit_hour=12 * event,
                    exit_reason="settlement",
                    ticker=f"M{event}-{leg}",
                    event=f"E{event:02}",
                )
            )
        path.append(equity(12 * event, money))
    return rows(trades=trades, path=path)


@cache
def found(edge: float) -> list[dict[str, Score]]:
    return [score(book(drawn(seed, edge))) for seed in range(RUNS)]


def share(edge: float, name: str, level: float) -> float:
    """In how many of the runs a number is at most so high."""
    return float(np.mean([float(run[name].value or 0) <= level for run in found(edge)]))


def covered(edge: float, name: str, truth: float) -> float:
    """In how many of the runs the interval holds the truth."""
    intervals = [run[name].interval for run in found(edge)]
    assert all(intervals)
    return float(np.mean([float(i.low) <= truth <= float(i.high) for i in intervals if i]))


# Of 150 runs at 95 %, fewer than 135 cover by chance in one of 100 (binomial).
def test_intervals_hold_what_is_true() -> None:
    for edge in (0.0, 0.1):
        assert covered(edge, "expectancy", edge) >= 0.9
        assert covered(edge, "win_rate_excess", edge) >= 0.9
        assert covered(edge, "net_pnl", 120 * edge) >= 0.9


def test_luck_is_seldom_taken_for_an_edge() -> None:
    assert share(0.0, "e_process_p", 0.05) <= 0.05
    assert share(0.0, "permutation_p", 0.05) <= 0.1
    assert share(0.0, "psr_2012", 0.95) >= 0.88


def test_an_edge_is_found() -> None:
    assert share(0.2, "permutation_p", 0.05) >= 0.9
    assert share(0.2, "e_process_p", 0.05) >= 0.5
    needed = np.median([run["power_trades"].value for run in found(0.2)])
    # (1.645 + 0.842)^2 x 2 trades an event x variance over the square of the mean: 61
    assert 40 <= needed <= 90
