"""Intervals of proportions against statsmodels, printed tables, and what they must cover."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import clopper_pearson, jeffreys, wilson

Method = Callable[..., tuple[Any, Any]]
METHODS = {"wilson": wilson, "beta": clopper_pearson, "jeffreys": jeffreys}
counts = st.integers(1, 3_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize("name", METHODS)
@given(counted=counts, level=st.floats(0.5, 0.999))
def test_intervals_are_those_of_statsmodels(
    name: str, counted: tuple[int, int], level: float
) -> None:
    k, n = counted
    expected = list(proportion_confint(k, n, alpha=1 - level, method=name))
    if name == "jeffreys":  # which statsmodels leaves open at the ends
        expected = [0.0 if k == 0 else expected[0], 1.0 if k == n else expected[1]]
    assert METHODS[name](k, n, level) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("method", "k", "n", "low", "high"),
    [  # Newcombe (1998), table I
        (wilson, 81, 263, 0.2553, 0.3662),
        (clopper_pearson, 81, 263, 0.2527, 0.3676),
        (wilson, 0, 20, 0.0, 0.1611),
        (clopper_pearson, 0, 20, 0.0, 0.1684),
        (wilson, 1, 29, 0.0061, 0.1718),
        (clopper_pearson, 1, 29, 0.0009, 0.1776),
    ],
)
def test_intervals_as_printed(method: Method, k: int, n: int, low: float, high: float) -> None:
    assert method(k, n) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("method", METHODS.values())
def test_ends_are_exact_and_nothing_is_known_of_nothing(method: Method) -> None:
    low, high = method([0, 20, 0], [20, 20, 0])
    assert (low[0], high[1]) == (0.0, 1.0)
    assert (low[2], high[2]) == (0.0, 1.0)
    assert 0 < high[0] < 1
    assert low[1] == pytest.approx(1 - high[0], abs=1e-12)
    assert all(isinstance(end, float) for end in method(3, 7))


@pytest.mark.parametrize("method", METHODS.values())
def test_arrays_lists_and_series_are_taken_row_by_row(method: Method) -> None:
    k, n = [0.0, 3.0, 7.5], [4.0, 9.0, 20.25]
    low, high = method(pl.Series(k), np.array(n))
    each = [method(a, b) for a, b in zip(k, n, strict=True)]
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == each


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_the_exact_interval_covers_at_least_as_often_as_it_says(p: float) -> None:
    n = 40
    k = np.arange(n + 1)
    weight = np.array([math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)])
    low, high = clopper_pearson(k, n)
    assert weight[(low <= p) & (p <= high)].sum() >= 0.95


@pytest.mark.parametrize("method", METHODS.values())
@pytest.mark.parametrize(
    ("k", "n", "level", "told"),
    [
        (3, 2, 0.95, "3 successes of 2"),
        (-1, 2, 0.95, "-1 successes"),
        (math.nan, 2, 0.95, "nan successes"),
        (1, math.inf, 0.95, "of inf"),
        (1, 2, 1.0, "level is 1"),
    ],
)
def test_impossible_counts_are_refused(
    method: Method, k: float, n: float, level: float, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        method(k, n, level)
