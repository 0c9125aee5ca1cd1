"""Regressions of outcomes on forecasts against statsmodels, and where clusters are few."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import cox_recalibration, mincer_zarnowitz

Record = tuple[np.ndarray, np.ndarray, np.ndarray]


def record(seed: int, clusters: int, slope: float = 1.0) -> Record:
    """Forecasts, outcomes that share luck within clusters, and clusters."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    event = np.repeat(np.arange(clusters), rng.integers(1, 6, clusters))
    odds = 1.5 * rng.standard_normal(len(event))
    luck = rng.standard_normal(clusters)[event] / 2
    p, true = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-slope * odds - luck))
    return p, (rng.random(len(event)) < true).astype(float), event


def log_odds(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


@given(st.integers(0, 10**6), st.integers(30, 80), st.floats(0.5, 1.5))
def test_logistic_fits_and_errors_are_those_of_statsmodels(
    seed: int, clusters: int, slope: float
) -> None:
    p, y, event = record(seed, clusters, slope)
    p = np.clip(p, 0.005, 0.995)
    x = sm.add_constant(log_odds(p))
    plain = sm.Logit(y, x).fit(disp=0)
    found = cox_recalibration(p, y)
    assert [found.intercept, found.slope] == pytest.approx(plain.params, abs=1e-6)
    assert found.covariance == pytest.approx(plain.cov_params(), abs=1e-6)
    by = {"cov_type": "cluster", "cov_kwds": {"groups": event}}
    grouped = sm.Logit(y, x).fit(disp=0, **by)
    found = cox_recalibration(p, y, event)
    assert [found.se_intercept, found.se_slope] == pytest.approx(grouped.bse, abs=1e-6)
    large = sm.GLM(y, np.ones(len(y)), sm.families.Binomial(), offset=x[:, 1]).fit(**by)
    assert found.calibration_in_the_large == pytest.approx(large.params[0], abs=1e-6)
    assert found.se_in_the_large == pytest.approx(large.bse[0], abs=1e-6)
    assert (found.n, found.n_clusters, found.reason) == (len(y), clusters, None)


@given(st.integers(0, 10**6), st.integers(30, 80))
def test_lines_and_their_test_are_those_of_statsmodels(seed: int, clusters: int) -> None:
    p, y, event = record(seed, clusters)
    model = sm.OLS(y, sm.add_constant(p))
    for labels, fit in (
        (None, model.fit(cov_type="HC1")),
        (event, model.fit(cov_type="cluster", cov_kwds={"groups": event})),
    ):
        found = mincer_zarnowitz(p, y, labels)
        joint = fit.wald_test((np.eye(2), np.array([0.0, 1.0])), use_f=False, scalar=True)
        assert [found.alpha, found.beta] == pytest.approx(fit.params, abs=1e-9)
        assert found.covariance == pytest.approx(fit.cov_params(), abs=1e-9)
        assert found.wald == pytest.approx(float(joint.statistic), rel=1e-6)
        assert found.p_value == pytest.approx(float(joint.pvalue), abs=1e-9)
        assert found.method == "chi-squared"
    excess = sm.OLS(y - p, sm.add_constant(p)).fit()
    assert found.psi == pytest.approx(excess.params[1], abs=1e-9)


def test_scalar_payouts_are_fitted_too() -> None:
    """A payout of 1/2 counts as a NO and a YES of half the weight."""
    p = np.array([0.2, 0.4, 0.5, 0.7, 0.9, 0.3])
    half = cox_recalibration(p, [0, 0.5, 1, 0.5, 1, 0])
    twice = cox_recalibration(np.repeat(p, 2), [0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0])
    assert [half.intercept, half.slope] == pytest.approx([twice.intercept, twice.slope], abs=1e-9)


def test_few_clusters_get_a_reason_and_no_errors() -> None:
    p, y, event = record(3, 12)
    found = cox_recalibration(p, y, event)
    assert found.covariance is found.se_slope is found.se_intercept is found.se_in_the_large is None
    assert found.reason is not None
    assert "12 clusters" in found.reason
    assert found.slope == cox_recalibration(p, y).slope


def slow_signs(p: np.ndarray, y: np.ndarray, event: np.ndarray) -> float:
    """Refit the line for all signs of clusters, errors taken from y = p."""
    names = sorted(set(event.tolist()))
    x = np.column_stack([np.ones(len(p)), p])

    def wald(outcome: np.ndarray) -> float:
        line = np.linalg.lstsq(x, outcome, rcond=None)[0]
        left = outcome - x @ line
        meat = np.zeros((2, 2))
        for name in names:
            score = x[event == name].T @ left[event == name]
            meat += np.outer(score, score)
        bread = np.linalg.inv(x.T @ x)
        off = line - np.array([0.0, 1.0])
        return float(off @ np.linalg.inv(bread @ meat @ bread) @ off)

    found = []
    for signs in itertools.product((1, -1), repeat=len(names)):
        of = np.array([signs[names.index(e)] for e in event.tolist()])
        found.append(wald(p + of * (y - p)))
    return sum(w >= found[0] * (1 - 1e-9) for w in found) / len(found)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_few_clusters_are_tested_by_their_signs(seed: int) -> None:
    p, y, event = record(seed, 7)
    found = mincer_zarnowitz(p, y, event)
    assert found.p_value == pytest.approx(slow_signs(p, y, event), abs=1 / 64)
    assert found.method == "signs of 7 clusters"


@pytest.mark.slow
def test_the_joint_test_keeps_its_level_with_few_clusters() -> None:
    refused = 0
    for seed in range(600):
        rng = np.random.Generator(np.random.Philox(key=seed))
        event = np.repeat(np.arange(12), rng.integers(2, 12, 12))
        p = rng.uniform(0.1, 0.9, len(event))
        p = 0.5 * p + 0.5 * p[np.searchsorted(event, event)]  # alike within clusters
        y = rng.random(len(event)) < p
        refused += mincer_zarnowitz(p, y, event, resamples=999).p_value <= 0.05
    assert refused <= 45


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda f: f([0.1, 0.2], [0, 1]), "2 values"),
        (lambda f: f([0.3] * 9, [0, 1, 1] * 3), "all forecasts are equal"),
        (lambda f: f([0.1, 0.2, 0.3, math.nan], [0, 1, 1, 0]), r"forecast\[3\] is nan"),
        (lambda f: f([0.1, 0.2, 0.3, 0.4], [0, 1, 1]), "forecast 4, outcome 3"),
        (lambda f: f([0.1, 0.2, 0.3, 0.4], [0, 1, 1, 2]), r"outcome\[3\] is 2"),
        (lambda f: f([0.1, 0.2, 0.3, 0.4], [0, 1, 1, 0], [1, 2]), "2 labels; expected 4"),
    ],
)
@pytest.mark.parametrize("fit", [cox_recalibration, mincer_zarnowitz])
def test_what_has_no_answer_is_refused(fit: Any, call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call(fit)


def test_outcomes_that_forecasts_tell_apart_have_no_slope() -> None:
    p = [0.1, 0.2, 0.3, 0.6, 0.7]
    with pytest.raises(UsageError, match="tell the outcomes apart"):
        cox_recalibration(p, [0, 0, 0, 1, 1])
    with pytest.raises(UsageError, match="tell the outcomes apart"):
        cox_recalibration(p, [1, 1, 1, 0, 0])
    with pytest.raises(UsageError, match="all outcomes are equal"):
        cox_recalibration(p, [0] * 5)
    with pytest.raises(UsageError, match=r"clip is 0\.5"):
        cox_recalibration(p, [0, 1, 0, 1, 1], clip=0.5)
    with pytest.raises(UsageError, match="3 clusters; expected 4"):
        mincer_zarnowitz(p, [0, 1, 0, 1, 1], [1, 1, 2, 2, 3])
    with pytest.raises(UsageError, match="no covariance"):
        mincer_zarnowitz([0.25, 0.25, 0.75, 0.75], [0, 0, 1, 1])
