"""Every published number of the statistics, each to its own tolerance."""

import inspect
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_bt import metrics as m

Vector = dict[str, Any]
Pairs = list[tuple[Any, Any]]  # found, expected

FILES = ["sharpe", "overfitting_and_resampling", "scoring_and_calibration", "intervals", "evalues"]


@pytest.fixture(scope="module")
def published(real_data: Path) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for name in FILES:
        path = real_data.parent / "vectors" / f"{name}.json"
        found |= {each["id"]: each for each in json.loads(path.read_text())["vectors"]}
    return found


# --- Sharpe ratios --------------------------------------------------------------------------------


def psr_2012(given: Any, expected: Any) -> Pairs:
    ratio, n = given["mean"] / given["sd"], given["T"]
    form = {"skew": given["skew"], "kurtosis": given["kurtosis_nonexcess"]}
    return [
        (ratio, expected["SR"]),
        (m.probabilistic_sharpe(ratio, n, **form, benchmark=given["SR0"]), expected["PSR"]),
        (m.probabilistic_sharpe(ratio, n), expected["PSR_if_normal"]),
    ]


def psr_2025(given: Any, expected: Any) -> Pairs:
    ratio, n = given["mean"] / given["sd"], given["T"]
    form = {"skew": given["skew"], "kurtosis": given["kurtosis_nonexcess"]}
    psr = [
        m.probabilistic_sharpe(ratio, n, **form, benchmark=null, convention="2025")
        for null in (0, 0.1)
    ]
    return [
        (m.sharpe_standard_error(ratio, n, **form), expected["se_nonnormal"]),
        (m.sharpe_standard_error(ratio, n), expected["se_normal"]),
        (psr, [expected["PSR_SR0_0"], expected["PSR_SR0_0p1"]]),
        (
            m.minimum_track_record(ratio, **form, alpha=0.05, convention="2025"),
            expected["MinTRL_alpha_5pct"],
        ),
    ]


def power_and_fdr(given: Any, expected: Any) -> Pairs:
    form = {"skew": given["skew"], "kurtosis": given["kurtosis"], "benchmark": given["SR0"]}
    power = m.power(given["SR1"], given["T"], **form, alpha=given["alpha"])
    observed = m.observed_fdr(given["SR"], given["T"], given["SR1"], given["p_H1"], **form)
    return [
        (1 - power, expected["type2_beta"]),
        (m.planned_fdr(given["p_H1"], power, given["alpha"]), expected["pFDR"]),
        (observed, expected["oFDR"]),
    ]


def record_2012(given: Any, expected: Any) -> Pairs:
    form = {"skew": given["skew"], "kurtosis": given["kurtosis"], "benchmark": given["SR0"]}
    return [(m.minimum_track_record(given["SR"], **form, alpha=given["alpha"]), expected)]


def deflated(given: Any, expected: Any) -> Pairs:
    found = m.deflated_sharpe(
        given["SR_daily"],
        given["T"],
        given["N"],
        given["var_SR_daily"],
        given["skew"],
        given["kurtosis_nonexcess"],
    )
    best = m.expected_maximum(given["N"], given["var_SR_daily"])
    return [(found, expected["DSR"]), (best, expected["E_max_SR_daily"])]


def mixture(given: Any, expected: Any) -> Pairs:
    return [(m.expected_maximum(given["N"], given["var_SR"]), expected)]


def exact(given: Any, expected: Any) -> Pairs:
    return [([m.expected_maximum(n, method="exact") for n in given["N"]], expected)]


def lo_ar1(given: Any, expected: Any) -> Pairs:
    alone = [m.lo_factor(given["q"], rho) for rho in given["rho"]]
    return [(m.lo_factor(given["q"], rho=given["rho"]).tolist(), expected), (alone, expected)]


def lo_error(given: Any, expected: Any) -> Pairs:
    return [(m.lo_standard_error(given["SR"], given["T"]).tolist(), expected)]


def binary(given: Any, expected: Any) -> Pairs:
    ratio, skew, kurtosis = m.binary_moments(given["p"], given["all_in_cost"])
    return [
        (ratio, expected["SR_per_trade"]),
        (skew, expected["skew"]),
        (kurtosis, expected["kurtosis_nonexcess"]),
        (m.probabilistic_sharpe(ratio, 200, skew, kurtosis), expected["PSR2012_T200"]),
    ]


def binary_record(given: Any, expected: Any) -> Pairs:
    """Printed to six decimals, whatever the tolerance of the rest."""
    found = m.minimum_track_record(*m.binary_moments(given["p"], given["all_in_cost"]))
    return [(round(found, 6), expected["trades_for_PSR95"])]


# --- overfitting and resampling -------------------------------------------------------------------


def small_pbo(given: Any, expected: Any) -> Pairs:
    found = m.pbo(given["matrix_T8_N3"], given["S"])
    splits = expected["splits"]
    assert [tuple(s["train"]) for s in splits] == list(itertools.combinations(range(4), 2))
    return [
        (found, expected["PBO"]),
        (found.pbo, expected["PBO"]),
        (found.logits.tolist(), [s["logit"] for s in splits]),
        (found.chosen.tolist(), [s["best"] for s in splits]),
        (found.ranks.tolist(), [s["oos_rank"] for s in splits]),
    ]


def noise_pbo(given: Any, expected: Any) -> Pairs:
    returns = np.random.default_rng(given["seed"]).standard_normal(given["shape"])
    return [(m.pbo(returns, given["S"], "sharpe").pbo, expected["PBO"])]


def average_pbo(given: Any, expected: Any) -> Pairs:
    assert given["seeds"] == "0..49"
    records = [np.random.default_rng(seed).standard_normal((240, 20)) for seed in range(50)]
    noise = [m.pbo(each, 8, "sharpe").pbo for each in records]
    records[0][:, 0] += 0.5
    return [
        (np.mean(noise), expected["mean_PBO_noise"]),
        (
            m.pbo(records[0], 8, "sharpe").pbo,
            expected["PBO_one_true_strategy_mean_shift_0p5sd"],
        ),
    ]


def superiority(given: Any, expected: Any) -> Pairs:
    t, k = np.arange(given["T"]), np.arange(given["K"])
    base = 1 + 0.5 * np.sin(0.37 * t) + 0.3 * np.cos(1.7 * t)
    wave = np.sin(0.7 * (t[:, None] + 1 + 37 * k) ** 2)
    models = base[:, None] - 0.05 * (k == 0) + 0.9 * wave + 0.02 * k
    found = m.superior_predictive_ability(
        base,
        models,
        block_size=given["block_size"],
        resamples=given["reps"],
        seed=given["seed"],
    )
    exact = found.differences.tolist()
    assert exact == pytest.approx(expected["mean_loss_differential"], abs=1e-8)
    return [
        (found.lower, expected["p_lower"]),
        (found.consistent, expected["p_consistent"]),
        (found.upper, expected["p_upper_is_white_RC"]),
    ]


def block_length(given: Any, expected: Any) -> Pairs:
    assert "0.6*x[i-1]+sin(0.7*i^2), i=1..499" in given["series"]
    x = [0.0]
    for i in range(1, 500):
        x.append(0.6 * x[-1] + math.sin(0.7 * i * i))
    return [(list(m.optimal_block_length(x)), [expected["stationary"], expected["circular"]])]


def cluster_errors(given: Any, expected: Any) -> Pairs:
    excess, event = np.subtract(given["won"], given["price"]), given["event"]
    alone = range(len(event))
    return [
        (m.cluster_bootstrap(excess, event).estimate, expected["mean_excess"]),
        (m.cluster_standard_error(excess, event, correction="CR0"), expected["se_cluster_CR0"]),
        (m.cluster_standard_error(excess, event), expected["se_cluster_statsmodels"]),
        (m.cluster_standard_error(excess, alone), expected["se_iid"]),
    ]


def kish(given: Any, expected: Any) -> Pairs:
    return [
        (m.design_effect(given["m"], given["icc"]), expected["deff"]),
        (m.effective_size(given["n"], given["m"], given["icc"]), expected["n_eff"]),
    ]


# --- scores and calibration -----------------------------------------------------------------------


def murphy(given: Any, expected: Any) -> Pairs:
    found = m.brier_decomposition(given["p"], given["y"])
    return [
        (found.reliability, expected["reliability"]),
        (found.resolution, expected["resolution"]),
        (found.uncertainty, expected["uncertainty"]),
        (found.brier, expected["brier"]),
        (m.brier(given["p"], given["y"]), expected["brier"]),
        (m.log_loss(given["p"], given["y"]), expected["log_loss"]),
    ]


def five_terms(given: Any, expected: Any) -> Pairs:
    found = m.brier_decomposition(given["p"], given["y"], bins=5)
    ignored = abs(found.brier - (found.reliability - found.resolution + found.uncertainty))
    return [
        (found.reliability, expected["REL"]),
        (found.resolution, expected["RES"]),
        (found.uncertainty, expected["UNC"]),
        (found.within_bin_variance, expected["WBV"]),
        (found.within_bin_covariance, expected["WBC"]),
        (found.brier, expected["brier"]),
        *((getattr(found, name), expected[name]) for name in ("REL", "RES", "UNC", "WBV", "WBC")),
        (ignored, expected["error_if_WBV_WBC_ignored"]),
    ]


def niamey(given: Any, expected: Any) -> Pairs:
    found = m.corp(given["p"], given["y"])
    return [
        (found.score, expected["brier"]),
        (found.miscalibration, expected["MCB"]),
        (found.discrimination, expected["DSC"]),
        (found.uncertainty, expected["UNC"]),
        *((getattr(found, name), value) for name, value in expected.items()),
    ]


def cox(given: Any, expected: Any) -> Pairs:
    found = m.cox_recalibration(given["p"], given["y"])
    return [
        (found.intercept, expected["intercept"]),
        (found.slope, expected["slope"]),
        (found.se_intercept, expected["se_intercept"]),
        (found.se_slope, expected["se_slope"]),
        (found.calibration_in_the_large, expected["citl_offset"]),
    ]


def line(given: Any, expected: Any) -> Pairs:
    found = m.mincer_zarnowitz(given["p"], given["y"])
    return [
        (found.alpha, expected["alpha"]),
        (found.beta, expected["beta"]),
        (found.psi, expected["psi"]),
        (found.wald, expected["wald_chi2"]),
        (found.p_value, expected["p_value"]),
    ]


def log_loss(given: Any, expected: Any) -> Pairs:
    return [(m.log_loss(given["p"], given["y"]), expected)]


def bucket(given: Any, expected: Any) -> Pairs:
    row = m.reliability_table(given["p"], given["y"]).row(0, named=True)
    middle = (row["low"] + row["high"]) / 2
    assert m.reliability_table(given["p"], given["y"]).height == 1
    return [
        (row["mean_forecast"], expected["mean_forecast"]),
        (row["hit_rate"], expected["hit_rate"]),
        (middle, expected["midpoint_0_10c"]),
    ]


# --- intervals ------------------------------------------------------------------------------------


def newcombe(given: Any, expected: Any) -> Pairs:
    methods = {"wilson": m.wilson, "clopper_pearson": m.clopper_pearson, "jeffreys": m.jeffreys}
    return [(list(methods[name](**given)), ends) for name, ends in expected.items()]


def wald(given: Any, expected: Any) -> Pairs:
    """The interval of two standard errors reaches below 0; Wilson's does not."""
    k, n = given["successes"], given["n"]
    won = np.arange(n) < k
    half = 1.959963984540054 * m.cluster_standard_error(won, range(n), correction="CR0")
    return [
        (list(m.wilson(k, n)), expected["wilson"]),
        ([k / n - half, k / n + half], expected["wald"]),
    ]


# --- evidence -------------------------------------------------------------------------------------


def best_growth(given: Any, expected: Any) -> Pairs:
    trades = m.trades_to_reach(given["p"], given["c"])
    assert trades == pytest.approx(expected["trades_to_reach_20"], abs=1e-6)  # six decimals
    return [(math.log(20) / trades, expected["growth"])]


def fixed_fraction(given: Any, expected: Any) -> Pairs:
    found = m.e_process(**given)
    return [
        (found.path.tolist(), expected["path"]),
        (found.maximum, expected["max"]),
        (found.max, expected["max"]),
        (found.anytime_p, expected["anytime_p"]),
    ]


def mixed_fractions(given: Any, expected: Any) -> Pairs:
    assert given["f_grid"] == "20 equally spaced in [0,0.95]"
    y, cost = given["y"], given["all_in_cost"]
    grid = np.linspace(0, 0.95, 20)
    return [
        (m.e_process(y, cost).final, expected),
        (m.e_process(y, cost, f_grid=grid).final, expected),
    ]


def bernstein(given: Any, expected: Any) -> Pairs:
    c, lam = given["c"], given["lam"]
    psi = (-math.log(1 - c * lam) - c * lam) / c**2
    found = m.bernstein_e_process(given["d"], lam, c).path
    return [
        (found.tolist(), expected["path"]),
        (psi, expected["psi"]),
        (lam * given["d"][0] - psi * given["d"][0] ** 2, math.log(found[0])),
    ]


def ville(given: Any, expected: Any) -> Pairs:
    """Few enough records for every day; one in ten of the published ones."""
    rng = np.random.Generator(np.random.Philox(key=1))
    cost = np.full(300, 0.5)
    high = [m.e_process(rng.random(300) < 0.5, cost, 0.2).maximum for _ in range(2_000)]
    rate = np.mean(np.array(high) >= 1 / given["alpha"])
    error = math.sqrt(0.05 * 0.95 / len(high))
    assert rate <= expected["crossing_rate_upper_bound"] + 2 * error
    return [(abs(rate - expected["simulated"]) < 3 * error, True)]


CHECKS: dict[str, Callable[[Any, Any], Pairs]] = {
    "psr_2012_convention": psr_2012,
    "psr_2025_convention": psr_2025,
    "power_pfdr_ofdr": power_and_fdr,
    "mintrl_2012": record_2012,
    "dsr_2014_example": deflated,
    "expected_max_sr_N10": mixture,
    "expected_max_sr_N100": mixture,
    "expected_max_sr_N1000": mixture,
    "expected_max_exact": exact,
    "lo_eta_ar1": lo_ar1,
    "lo_se_iid": lo_error,
    "binary_moments_p0.98_c0.95": binary,
    "binary_moments_p0.6_c0.5": binary,
    "binary_moments_p0.07_c0.05": binary,
    "pbo_small": small_pbo,
    "pbo_noise_reference": noise_pbo,
    "pbo_noise_average_and_signal": average_pbo,
    "spa_deterministic_losses": superiority,
    "optimal_block_length": block_length,
    "cluster_se_mean": cluster_errors,
    "design_effect": kish,
    "murphy_small": murphy,
    "binned_five_terms": five_terms,
    "corp_niamey_Logistic": niamey,
    "corp_niamey_EMOS": niamey,
    "corp_niamey_EPC": niamey,
    "calibration_slope_intercept": cox,
    "mincer_zarnowitz": line,
    "log_loss_edge": log_loss,
    "ece_bucket_convention": bucket,
    "newcombe_81_263": newcombe,
    "newcombe_0_20": newcombe,
    "newcombe_1_29": newcombe,
    "wilson_vs_wald_binary_tail": wald,
    "gro_growth_p0.55_c0.5": best_growth,
    "gro_growth_p0.6_c0.5": best_growth,
    "gro_growth_p0.97_c0.95": best_growth,
    "wealth_eprocess_fixed_fraction": fixed_fraction,
    "wealth_eprocess_mixture": mixed_fractions,
    "empirical_bernstein_eprocess": bernstein,
    "ville_bound_monte_carlo": ville,
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_docstring_names_each_published_number(name: str) -> None:
    told = [inspect.getdoc(getattr(m, public)) or "" for public in m.__all__]
    assert any(f"``{name}``" in text for text in told)


@pytest.mark.real
def test_no_published_number_is_left_out(published: dict[str, Vector]) -> None:
    assert set(CHECKS) == set(published)


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n.startswith("spa") else n for n in CHECKS],
)
def test_numbers_are_as_published(name: str, published: dict[str, Vector]) -> None:
    vector = published[name]
    given, tolerance = vector["inputs"], vector["tolerance"]
    if given == "EMOS vector above":
        given = published["corp_niamey_EMOS"]["inputs"]
    tolerance = tolerance if isinstance(tolerance, float) else 0.0  # in words: see the check
    for found, expected in CHECKS[name](given, vector["expected"]):
        assert found == pytest.approx(expected, abs=tolerance)
    if name.startswith("binary_moments"):
        assert all(a == pytest.approx(b) for a, b in binary_record(given, vector["expected"]))
