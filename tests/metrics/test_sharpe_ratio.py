"""Confidence in Sharpe ratios: published numbers, scipy, inverses of each other, and simulation."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import (
    autocorrelations,
    binary_moments,
    deflated_sharpe,
    expected_maximum,
    lo_factor,
    lo_standard_error,
    minimum_track_record,
    moments,
    observed_fdr,
    planned_fdr,
    power,
    probabilistic_sharpe,
    sharpe_standard_error,
)

FUND = {"skew": -2.448, "kurtosis": 10.164}  # Bailey and Lopez de Prado (2012): mean .036, sd .079
RATIO = 0.036 / 0.079


@pytest.mark.parametrize(
    ("found", "published"),
    [
        (probabilistic_sharpe(RATIO, 24, **FUND), 0.913),
        (probabilistic_sharpe(RATIO, 24), 0.981),
        (probabilistic_sharpe(RATIO, 24, **FUND, convention="2025"), 0.987),
        (probabilistic_sharpe(RATIO, 24, **FUND, benchmark=0.1, convention="2025"), 0.939),
        (sharpe_standard_error(RATIO, 24, **FUND), 0.329),
        (sharpe_standard_error(RATIO, 24), 0.214),
        (minimum_track_record(RATIO, **FUND, convention="2025"), 13.029),
        (1 - power(0.5, 24, **FUND), 0.315),
        (planned_fdr(0.05, power(0.5, 24, **FUND)), 0.581),
        (observed_fdr(RATIO, 24, 0.5, 0.05, **FUND), 0.306),
        (deflated_sharpe(2.5 / math.sqrt(250), 1250, 100, 0.002, -3, 10), 0.9004),
        (expected_maximum(100, 0.002), 0.1132),
    ],
)
def test_ratios_as_published(found: float, published: float) -> None:
    assert found == pytest.approx(published, abs=5e-4)


def shape() -> st.SearchStrategy[dict[str, float]]:
    """Skews with a kurtosis that returns can have."""
    return st.tuples(st.floats(-5, 5), st.floats(0.1, 40)).map(
        lambda x: {"skew": x[0], "kurtosis": 1 + x[0] ** 2 + x[1]}
    )


@given(st.floats(-1, 1), st.integers(2, 2_000), shape(), st.floats(-0.5, 0.5))
def test_confidence_is_a_normal_quantile_of_the_distance(
    ratio: float, n: int, form: dict[str, float], benchmark: float
) -> None:
    g3, g4 = form["skew"], form["kurtosis"]
    at_ratio = 1 - g3 * ratio + (g4 - 1) / 4 * ratio**2
    z = (ratio - benchmark) * math.sqrt(n - 1) / math.sqrt(at_ratio)
    found = probabilistic_sharpe(ratio, n, **form, benchmark=benchmark)
    assert found == pytest.approx(stats.norm.cdf(z), abs=1e-12)
    at_null = 1 - g3 * benchmark + (g4 - 1) / 4 * benchmark**2
    z = (ratio - benchmark) * math.sqrt(n) / math.sqrt(at_null)
    found = probabilistic_sharpe(ratio, n, **form, benchmark=benchmark, convention="2025")
    assert found == pytest.approx(stats.norm.cdf(z), abs=1e-12)


@pytest.mark.parametrize("convention", ["2012", "2025"])
@given(st.floats(0.01, 1), shape(), st.floats(0, 0.9), st.floats(0.01, 0.4))
def test_a_record_of_the_least_length_has_just_the_confidence(
    convention: Any, ratio: float, form: dict[str, float], part: float, alpha: float
) -> None:
    benchmark = part * ratio
    n = minimum_track_record(ratio, **form, benchmark=benchmark, alpha=alpha, convention=convention)
    if n < 2:
        return
    found = probabilistic_sharpe(ratio, n, **form, benchmark=benchmark, convention=convention)
    assert found == pytest.approx(1 - alpha, abs=1e-9)


def test_returns_that_follow_each_other_are_worth_fewer_periods() -> None:
    """The variance of a mean of AR(1) returns grows by (1 + rho)/(1 - rho), for a ratio of 0."""
    plain = sharpe_standard_error(0.0, 100)
    assert sharpe_standard_error(0.0, 100, rho=0.5) == pytest.approx(plain * math.sqrt(3))
    assert sharpe_standard_error(0.0, 100, rho=-0.5) == pytest.approx(plain / math.sqrt(3))


@pytest.mark.slow
def test_the_error_is_that_of_many_simulated_records() -> None:
    rng = np.random.Generator(np.random.Philox(key=5))
    p, cost, n, rho = 0.8, 0.77, 400, 0.3
    won = rng.random((20_000, n)) < p
    ratios = np.mean(won - cost, axis=1) / np.std(won, axis=1)
    ratio, skew, kurtosis = binary_moments(p, cost)
    expected = sharpe_standard_error(ratio, n, skew, kurtosis)
    assert np.std(ratios) == pytest.approx(expected, rel=0.05)
    noise = rng.standard_normal((20_000, n + 100))
    path = np.zeros_like(noise)
    for t in range(1, n + 100):
        path[:, t] = rho * path[:, t - 1] + math.sqrt(1 - rho**2) * noise[:, t]
    returns = 0.3 + path[:, 100:]
    found = np.std(returns.mean(axis=1) / returns.std(axis=1))
    assert found == pytest.approx(sharpe_standard_error(0.3, n, rho=rho), rel=0.05)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=50))
def test_moments_are_those_of_scipy(returns: list[float]) -> None:
    if np.std(returns) < 1e-3:
        return
    found = moments(returns)
    assert found.skew == pytest.approx(stats.skew(returns), abs=1e-9)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), abs=1e-9)
    assert found.sharpe == pytest.approx(np.mean(returns) / np.std(returns, ddof=1), abs=1e-12)
    assert found.n == len(returns)


@pytest.mark.parametrize(("p", "cost"), [(0.98, 0.95), (0.6, 0.5), (0.07, 0.05)])
def test_moments_of_a_contract_are_sums_over_its_two_payoffs(p: float, cost: float) -> None:
    gains, weights = np.array([1 - cost, -cost]), np.array([p, 1 - p])
    mean = weights @ gains
    sd = math.sqrt(weights @ (gains - mean) ** 2)
    expected = [mean / sd, *(weights @ ((gains - mean) / sd) ** k for k in (3, 4))]
    assert binary_moments(p, cost) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("trials", [2, 3, 10, 100, 10_000])
def test_the_exact_maximum_is_the_integral_of_its_density(trials: int) -> None:
    z = np.linspace(-12, 12, 400_001)
    density = trials * stats.norm.pdf(z) * stats.norm.cdf(z) ** (trials - 1)
    expected = float(np.trapezoid(z * density, z))
    assert expected_maximum(trials, method="exact") == pytest.approx(expected, abs=1e-8)
    assert expected_maximum(trials, 4.0, "exact") == pytest.approx(2 * expected, abs=1e-7)


def test_the_mixture_is_a_little_too_high_and_nothing_is_expected_of_one() -> None:
    for trials in (10, 100, 1_000, 10**6):
        exact = expected_maximum(trials, method="exact")
        assert exact < expected_maximum(trials) < 1.03 * exact
    assert expected_maximum(1) == expected_maximum(1, method="exact") == 0.0


@given(st.integers(1, 1_000), st.floats(0.0, 0.1))
def test_more_trials_never_leave_more_confidence(trials: int, variance: float) -> None:
    fewer = deflated_sharpe(0.1, 500, trials, variance, -1, 6)
    assert deflated_sharpe(0.1, 500, trials + 1, variance, -1, 6) <= fewer + 1e-12
    assert fewer <= probabilistic_sharpe(0.1, 500, -1, 6) + 1e-12


def test_false_findings_by_counting() -> None:
    """Of 1000 strategies 100 are good, 80 of which and 45 of the others pass."""
    assert planned_fdr(0.1, 0.8) == pytest.approx(45 / 125)
    assert planned_fdr(0.0, 0.8) == 1
    assert planned_fdr(1.0, 0.8) == 0


@pytest.mark.parametrize(("rho", "printed"), [(-0.2, 4.17), (0.0, 3.46), (0.2, 2.88)])
def test_twelve_months_as_printed(rho: float, printed: float) -> None:
    assert lo_factor(12, rho=rho) == pytest.approx(printed, abs=0.005)
    assert lo_factor(12, [rho**k for k in range(1, 30)]) == pytest.approx(lo_factor(12, rho=rho))


@given(st.integers(1, 30), st.floats(-0.9, 0.95))
def test_the_factor_is_the_variance_of_a_sum(q: int, rho: float) -> None:
    covariance = rho ** np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
    assert lo_factor(q, rho=rho) == pytest.approx(q / math.sqrt(covariance.sum()), rel=1e-9)


def test_missing_lags_are_none_and_arrays_give_arrays() -> None:
    assert lo_factor(4, []) == 2
    assert lo_factor(12, [0.2]) == pytest.approx(12 / math.sqrt(12 + 2 * 11 * 0.2))
    assert lo_factor(12, rho=[0.0, 0.2]).tolist() == [lo_factor(12, rho=r) for r in (0.0, 0.2)]
    assert lo_standard_error([0.1, 0.5], 60).tolist() == pytest.approx(
        [0.129422, 0.136931], abs=1e-6
    )


@given(st.lists(st.integers(-9, 9), min_size=5, max_size=40))
def test_autocorrelations_by_loops(values: list[int]) -> None:
    if len(set(values)) == 1:
        return
    mean = sum(values) / len(values)
    spread = sum((v - mean) ** 2 for v in values)
    expected = [
        sum((values[t] - mean) * (values[t - k] - mean) for t in range(k, len(values))) / spread
        for k in (1, 2, 3)
    ]
    assert autocorrelations(values, 3).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda: moments([0.1]), "1 values; expected 2"),
        (lambda: moments([0.1, 0.1, 0.1]), "do not vary"),
        (lambda: moments([0.1, math.nan]), r"returns\[1\] is nan"),
        (lambda: binary_moments(1.0, 0.5), "p is 1"),
        (lambda: probabilistic_sharpe(0.1, 1), "n is 1"),
        (lambda: probabilistic_sharpe(math.nan, 10), "sharpe is nan"),
        (lambda: probabilistic_sharpe(math.nan, 10, convention="2025"), "sharpe is nan"),
        (lambda: probabilistic_sharpe(0.1, 10, skew=-3, kurtosis=0), "no returns have a skew"),
        (lambda: probabilistic_sharpe(0.1, 10, rho=0.2), "rho needs 2025"),
        (lambda: probabilistic_sharpe(0.1, 10, convention="2013"), "unknown convention"),  # type: ignore[arg-type]
        (lambda: probabilistic_sharpe(2.0, 10, 1.0, 2.0), "has no variance"),
        (lambda: minimum_track_record(-0.1), "is not above 0"),
        (lambda: minimum_track_record(0.1, alpha=0.6), "alpha is 0.6"),
        (lambda: expected_maximum(0), "trials is 0"),
        (lambda: expected_maximum(10, -1.0), "variance is -1"),
        (lambda: expected_maximum(10, 1.0, "gumbel"), "unknown method"),  # type: ignore[arg-type]
        (lambda: deflated_sharpe(0.1, 100, 10, math.nan), "variance is nan"),
        (lambda: power(-0.1, 10), "not above the benchmark"),
        (lambda: planned_fdr(1.5, 0.5), "is no share"),
        (lambda: lo_factor(12), "either"),
        (lambda: lo_factor(12, [0.1], rho=0.1), "either"),
        (lambda: lo_factor(0, [0.1]), "q is 0"),
        (lambda: lo_factor(12, rho=1.0), "not inside"),
        (lambda: lo_factor(12, [-0.9]), "no variance"),
        (lambda: lo_factor(12, [1.1]), "outside -1 to 1"),
        (lambda: lo_standard_error(0.1, 0), "not above 0"),
        (lambda: autocorrelations([1, 1, 1], 1), "do not vary"),
        (lambda: autocorrelations([1, 2, 3], 3), "3 values; expected 4"),
        (lambda: autocorrelations([1, 2, 3], 0), "lags is 0"),
    ],
)
def test_what_has_no_answer_is_refused(call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
