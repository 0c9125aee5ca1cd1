"""Estimates of variance: published numbers, and what simulated noise and jumps do to them."""

import doctest
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalshi_bt.errors import UsageError
from kalshi_bt.signals.volatility import ewma_variance
from research import realised as rv

BARS = np.array([[100, 102, 99, 101], [101, 101.5, 98, 98.5], [98.5, 100, 98, 99.5],
                 [99.5, 103, 99.5, 102.5]]).T  # fmt: skip
RETURNS = [0.001, -0.0008, 0.0012, -0.0011, 0.0005, 0.0007, -0.0009, 0.0004]
PRICES = [100, 100.1, 100.05, 100.2, 100.15, 100.1, 100.3, 100.25, 100.4, 100.35, 100.5, 100.45,
          100.6]  # fmt: skip
OPEN, HIGH, LOW, CLOSE = BARS


def test_its_examples_run() -> None:
    done = doctest.testmod(rv)
    assert done.attempted >= 11
    assert not done.failed


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (rv.parkinson(HIGH, LOW), 0.00033596105676),
        (rv.garman_klass(OPEN, HIGH, LOW, CLOSE), 0.000300441703485),
        (rv.rogers_satchell(OPEN, HIGH, LOW, CLOSE), 0.000254754376877),
        (rv.yang_zhang(OPEN, HIGH, LOW, CLOSE, 100.0), 0.000284719064575),
        (rv.realised(RETURNS), 6e-06),
        (rv.zhou(RETURNS), -2.54e-06),
        (rv.bipower(RETURNS), 7.806857744e-06),
        (rv.bipower(RETURNS, finite=True), 8.922123136e-06),
        (rv.noise_variance(RETURNS), 6.1e-07),
        (rv.two_scales(PRICES, 3), 5.161265469e-06),
        (rv.two_scales(PRICES, 3, adjusted=True), 7.146367572e-06),
        (rv.realised_kernel(RETURNS, 3), 7.65e-07),
    ],
)
def test_published_numbers(found: float, expected: float) -> None:
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_number_of_returns_that_noise_allows() -> None:
    assert rv.sparse_count(4e-6, 2e-5) == pytest.approx(292.401774, abs=1e-6)


def walks(steps: int, draws: int, key: int) -> np.ndarray:
    """Log prices of walks with a variance of one over all steps."""
    rng = np.random.Generator(np.random.Philox(key=[16, key]))
    moves = rng.standard_normal((draws, steps)) / math.sqrt(steps)
    return np.concatenate([np.zeros((draws, 1)), np.cumsum(moves, axis=1)], axis=1)


def test_a_range_of_few_prices_says_too_little() -> None:
    # Published: 0.5379 for 4 steps, 0.8444 for 60.
    for steps, share in ((4, 0.5379), (60, 0.8444)):
        x = walks(steps, 20_000, steps)
        found = rv.parkinson(np.exp(x.max(axis=1)), np.exp(x.min(axis=1)))
        assert found == pytest.approx(share, abs=0.02)


def test_noise_adds_twice_its_variance_a_return_and_the_robust_ones_do_without_it() -> None:
    rng = np.random.Generator(np.random.Philox(key=[16, 2]))
    n, w = 900, 0.02
    noisy = walks(n, 400, 3) + w * rng.standard_normal((400, n + 1))
    returns = np.diff(noisy, axis=1)
    plain = np.mean([rv.realised(r) for r in returns])
    assert plain == pytest.approx(1 + 2 * n * w**2, abs=0.02)
    assert np.mean([rv.noise_variance(r) for r in returns]) == pytest.approx(w**2, rel=0.05)
    for robust in (
        np.mean([rv.zhou(r) for r in returns]),
        np.mean([rv.two_scales(np.exp(x), 30, adjusted=True) for x in noisy]),
        np.mean([rv.realised_kernel(r, 30) for r in returns]),
    ):
        assert robust == pytest.approx(1, abs=0.06)


def test_a_jump_is_in_the_squares_and_not_in_the_products() -> None:
    returns = np.diff(walks(1_000, 1, 4)[0])
    jumped = returns.copy()
    jumped[500] += 1.0
    assert rv.realised(jumped) - rv.realised(returns) > 0.9
    assert rv.bipower(jumped) - rv.bipower(returns) < 0.15


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="k is 13; expected 2 to 12"):
        rv.two_scales(PRICES, 13)
    with pytest.raises(UsageError, match="needs at least 2"):
        rv.yang_zhang([1.0], [1.0], [1.0], [1.0], 1.0)


@pytest.mark.real
def test_every_number_of_the_published_file(real_data: Path) -> None:
    text = (real_data.parent / "vectors/volatility.json").read_text()
    vectors: dict[str, Any] = {each["id"]: each for each in json.loads(text)["vectors"]}
    seen = set()

    def check(name: str, found: dict[str, float]) -> None:
        seen.add(name)
        expected = vectors[name]["expected"]
        for part, value in found.items():
            wanted = expected[part] if part else expected
            assert value == pytest.approx(wanted, abs=vectors[name]["tolerance"]), (name, part)

    def given(name: str) -> dict[str, Any]:
        inputs: dict[str, Any] = vectors[name]["inputs"]
        return inputs

    def ewma(returns: list[float], lam: float, recursion: Any) -> np.ndarray:
        prices = np.exp(np.cumsum([0.0, *returns]))
        time = np.arange(len(prices)) * 1_000_000
        half_life = math.log(0.5) / math.log(lam)
        return ewma_variance(time, prices, half_life, recursion=recursion)

    one = given("ewma_recursion")
    first = math.sqrt(one["s2_0"])  # what a seeded recursion starts from
    path = ewma([first, *one["returns"]], one["lam"], "seeded")[2:]
    assert path == pytest.approx(vectors["ewma_recursion"]["expected"]["variance_path"], abs=1e-12)
    check("ewma_recursion", {"vol_last": math.sqrt(path[-1])})
    one = given("ewma_one_step_published")
    step = ewma([one["vol_prev"], one["ret"]], one["lam"], "seeded")[-1]
    check("ewma_one_step_published", {"variance": step, "vol": math.sqrt(step)})
    one = given("ewma_pandas_adjust")
    for name, recursion in (("adjust_true", "unbiased"), ("adjust_false", "seeded")):
        last = float(ewma(one["returns"], 1 - one["alpha"], recursion)[-1])
        check("ewma_pandas_adjust", {name: last})
    opened, high, low, close = np.array(given("range_estimators")["bars_ohlc"]).T
    check("range_estimators", {
        "parkinson_var": rv.parkinson(high, low),
        "garman_klass_var": rv.garman_klass(opened, high, low, close),
        "rogers_satchell_var": rv.rogers_satchell(opened, high, low, close),
    })  # fmt: skip
    before = given("yang_zhang")["previous_close_first"]
    check("yang_zhang", {"": rv.yang_zhang(opened, high, low, close, before)})
    returns = given("rv_bpv_roll")["returns"]
    check("rv_bpv_roll", {
        "RV": rv.realised(returns),
        "RV_AC1": rv.zhou(returns),
        "BPV_no_finite_sample_factor": rv.bipower(returns),
        "BPV_with_n_over_nminus1": rv.bipower(returns, finite=True),
        "noise_var_from_autocov": rv.noise_variance(returns),
    })  # fmt: skip
    one = given("rv_noise_bias")
    count = round(rv.sparse_count(one["IV"], one["noise_sd"]), 6)  # as many as are printed
    check("rv_noise_bias", {"n_star": count})
    one = given("tsrv")
    check("tsrv", {
        "tsrv": rv.two_scales(one["prices"], one["K"]),
        "tsrv_adjusted": rv.two_scales(one["prices"], one["K"], adjusted=True),
    })  # fmt: skip
    one = given("realized_kernel_parzen")
    check("realized_kernel_parzen", {"": rv.realised_kernel(one["returns"], one["H"])})
    # What is left are conversions between decay and half-life, and a simulation, see above.
    left = {"ewma_halflife_and_cutoff", "ewma_time_conversion", "ewma_from_halflife"}
    assert set(vectors) - seen == left | {"parkinson_discrete_bias"}
