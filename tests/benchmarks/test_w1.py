"""The band workload, measured. Nothing here asserts a time.

`ratios.py` compares it with peers, `walk.py` tells bars a second.
"""

from typing import Any

import polars as pl
import pytest
from walk import doubled
from workload import RULES, dips, generate, intents, run, workload

from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import simulate

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def work() -> Any:
    return workload(*generate(markets=2_000, bars=500))


def test_signal(benchmark: Any, work: Any) -> None:
    found = benchmark(lambda: dips(work).collect(engine="in-memory"))
    assert found["side"].sum() > 0


def test_simulation_once_intents_exist(benchmark: Any, work: Any) -> None:
    asked = intents(work, dips(work))
    result = benchmark(lambda: simulate(work.tape, asked, RULES))
    assert len(result.placed) > asked.height // 2


@pytest.mark.parametrize("times", [1, 2])
def test_untouched_markets_cost_nothing(benchmark: Any, work: Any, *, times: int) -> None:
    """The same few intents on a panel, and on one with as many markets again behind it."""
    benchmark.group = "few intents: markets"
    candles, listed = generate(markets=2_000, bars=500)
    panel = work if times == 1 else workload(*doubled(candles.lazy(), listed))
    asked = intents(work, dips(work)).filter(pl.col("market") < 20)
    result = benchmark(lambda: simulate(panel.tape, asked, RULES))
    assert panel.quotes.height == times * work.quotes.height
    alone = closed_trades(work.tape, simulate(work.tape, asked, RULES))
    assert closed_trades(panel.tape, result).equals(alone)


def test_whole_workload(benchmark: Any, work: Any) -> None:
    _, trades = benchmark(lambda: run(work))
    assert trades.height > 0
