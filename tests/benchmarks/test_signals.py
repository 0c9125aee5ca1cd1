"""Every registered signal beside a rolling mean of the same rows: compare within a group.

Nothing here asserts a time; `signals.py` prints the ratios.
"""

from functools import partial
from typing import Any

import polars as pl
import pytest
from panels import measured, newest, quotes_of, rolling_mean, spoken

from kalshi_bt import signals
from kalshi_bt.strategies import STRATEGIES

pytestmark = pytest.mark.benchmark

MARKETS, BARS = 200, 1_000


@pytest.fixture(scope="module", params=list(STRATEGIES))
def seen(request: pytest.FixtureRequest) -> tuple[str, Any, pl.DataFrame]:
    """A strategy, its signal, and what that sees of two hundred markets."""
    return request.param, measured(request.param), quotes_of(request.param, MARKETS, BARS)


def run(benchmark: Any, work: Any, quotes: pl.DataFrame, group: str) -> pl.DataFrame:
    benchmark.group = group
    found: pl.DataFrame = benchmark(lambda: work(quotes.lazy()).collect(engine="in-memory"))
    return found


@pytest.mark.parametrize("mean", [False, True], ids=["signal", "mean"])
def test_all_rows(benchmark: Any, seen: tuple[str, Any, pl.DataFrame], *, mean: bool) -> None:
    name, signal, quotes = seen
    found = run(
        benchmark, rolling_mean if mean else signal, quotes, f"{name}: {len(quotes):,} rows"
    )
    assert mean or spoken(found) > 0  # it is not silence that is measured


@pytest.mark.parametrize("mean", [False, True], ids=["signal", "mean"])
def test_newest_bar(benchmark: Any, seen: tuple[str, Any, pl.DataFrame], *, mean: bool) -> None:
    name, signal, quotes = seen
    tail = newest(quotes, signal)
    group = f"{name}: newest bar of {MARKETS} markets"
    found = run(benchmark, rolling_mean if mean else partial(signals.newest, signal), tail, group)
    assert found["ticker"].n_unique() == MARKETS
    assert mean or spoken(found) > 0 or name == "bollinger"  # whose newest bars can be inside
