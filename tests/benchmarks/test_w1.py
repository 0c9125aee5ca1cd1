"""The band workload, measured. Nothing here asserts a time; `ratios.py` compares with peers."""

from typing import Any

import pytest
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


def test_untouched_markets_cost_nothing(benchmark: Any, work: Any) -> None:
    """The same few intents on twice the markets: compare with the next line of the table."""
    asked = intents(work, dips(work)).filter(market=7)
    result = benchmark(lambda: simulate(work.tape, asked, RULES))
    assert len(closed_trades(work.tape, result)) > 0


def test_whole_workload(benchmark: Any, work: Any) -> None:
    _, trades = benchmark(lambda: run(work))
    assert trades.height > 0
