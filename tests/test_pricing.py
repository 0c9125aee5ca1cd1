"""Probabilities of settlement averages: published numbers, sums done by hand, and simulation."""

import itertools
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from kalshi_bt.pricing import (
    averaged_seconds,
    digital_probability,
    exact_probability,
    normal_cdf,
    required_mean,
    reverting_probability,
    student_cdf,
    values_left,
)

CALENDAR = 365 * 86_400  # seconds of a year of 365 days
JULIAN = 31_557_600  # of 365.25 days
PHI = NormalDist().cdf

# spot, strike, annual volatility (365 days), seconds, known mean, values averaged, and P under an
# arithmetic walk, a matched lognormal and a geometric walk (quadrature checked by simulation).
CASES: list[tuple[float, float, float, float, float, int, float, float, float]] = [
    (60_000, 60_060, 0.5, 300, 0.0, 60, 0.243255622, 0.2431395116, 0.24313938),
    (60_000, 60_020, 0.5, 60, 0.0, 60, 0.204172396, 0.2041543154, 0.20415087),
    (60_010, 60_000, 0.5, 30, 59_995.0, 60, 0.6136004663, 0.6135498524, 0.61354069),
    (60_030, 60_000, 0.5, 1, 59_999.6, 60, 0.8844277065, 0.8844314691, 0.88443147),
    (60_000, 59_990, 0.8, 15, 60_020.0, 60, 0.9999996879, 0.9999996943, 0.9999997),
    (100, 103, 280.7846149631422, 10, 0.0, 10, 0.379882913, 0.3631248847, 0.36051016),
]


@pytest.mark.parametrize("case", CASES)
def test_published_probabilities_of_an_average(case: Sequence[float]) -> None:
    spot, strike, annual, seconds, known, window, arithmetic, lognormal, exact = case
    where = (spot, strike, seconds, annual / math.sqrt(CALENDAR))
    told: dict[str, Any] = {"window": int(window), "known_mean": known}
    found = digital_probability(*where, form="arithmetic", **told)
    assert found == pytest.approx(arithmetic, abs=1e-8)
    assert digital_probability(*where, **told) == pytest.approx(lognormal, abs=1e-8)
    assert exact_probability(*where, **told) == pytest.approx(exact, abs=1e-7)


def test_at_the_open_a_strike_at_the_spot_is_a_little_below_even() -> None:
    where = (60_000.0, 60_000.0, 900.0, 0.5 / math.sqrt(CALENDAR))
    assert digital_probability(*where, form="arithmetic") == 0.5
    assert digital_probability(*where) == pytest.approx(0.4994790179, abs=1e-8)
    # Published as 0.49949262, which leaves the lognormal further than any other case does.
    assert exact_probability(*where) == pytest.approx(0.49949262, abs=2e-5)


@pytest.mark.parametrize("seconds", [900.0, 300.0, 120.0, 60.0, 25.0, 3.0])
@pytest.mark.parametrize("distance", [-1.5, -0.3, 0.6])
def test_the_three_forms_agree_in_a_quarter_hour(seconds: float, distance: float) -> None:
    sigma = 7.3e-5  # 22 basis points in 15 minutes
    known, spot = 60_000.0, 60_000.0
    sd = spot * sigma * math.sqrt(float(averaged_seconds(seconds)))
    share = min(seconds, 60) / 60
    where = (spot, spot + distance * sd * share, seconds, sigma)
    arithmetic = float(digital_probability(*where, known_mean=known, form="arithmetic"))
    lognormal = float(digital_probability(*where, known_mean=known))
    assert arithmetic == pytest.approx(PHI(-distance), abs=1e-9)
    assert arithmetic == pytest.approx(lognormal, abs=5e-4)
    assert lognormal == pytest.approx(exact_probability(*where, known_mean=known), abs=2e-5)


@pytest.mark.parametrize("m", [1, 2, 5, 60])
@pytest.mark.parametrize("seconds", [0.5, 1, 2.0, 17.25, 60, 61.5, 300])
def test_variance_is_the_sum_over_all_pairs_of_values_to_come(m: int, seconds: float) -> None:
    offsets = [seconds - k for k in range(m) if seconds - k > 0]
    pairs = sum(min(a, b) for a, b in itertools.product(offsets, offsets))
    count, first = values_left(seconds, m)
    assert (count, first) == (len(offsets), min(offsets))
    assert averaged_seconds(seconds, m) == pytest.approx(pairs / len(offsets) ** 2, rel=1e-12)


def test_before_a_window_of_sixty_the_variance_lacks_39_seconds_and_a_half() -> None:
    lost = Fraction(60) - Fraction(61 * 121, 360)  # 60 - (m + 1)(2m + 1)/(6m)
    expected = [float(tau - lost) for tau in (60, 120, 300, 900)]
    assert averaged_seconds([60, 120, 300, 900]).tolist() == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx([20.5027777778, 80.5027777778, 260.5027777778, 860.5027777778])


def test_the_point_digital_of_the_documentation() -> None:
    second = 0.80 / math.sqrt(JULIAN)
    at = {"window": 1}
    assert digital_probability(150.30, 150, 600, second, **at) == pytest.approx(0.716010, abs=1e-6)
    averaged = digital_probability(150.30, 150, 560, second, **at)  # 600 - 2/3 · 60 seconds
    assert averaged == pytest.approx(0.722804, abs=1e-6)
    # Sixty values are half a second short of a continuous average.
    assert digital_probability(150.30, 150, 600, second) == pytest.approx(averaged, abs=1e-4)
    floor = math.sqrt(second**2 + 0.0007**2 / 600)
    assert digital_probability(150.30, 150, 600, floor, **at) == pytest.approx(0.712192, abs=1e-6)


def test_simulated_averages_follow_the_averaged_digital_and_not_the_point_one() -> None:
    rng = np.random.Generator(np.random.Philox(key=[5, 1]))
    sigma, spot, strike, draws = 1e-4, 1_000.0, 1_000.5, 40_000
    paths = spot * np.exp(np.cumsum(sigma * rng.standard_normal((draws, 90)), axis=1))
    reached = float((paths[:, 30:].mean(axis=1) >= strike).mean())
    error = math.sqrt(reached * (1 - reached) / draws)
    assert abs(float(digital_probability(spot, strike, 90, sigma)) - reached) < 4 * error
    assert abs(float(digital_probability(spot, strike, 90, sigma, window=1)) - reached) > 8 * error


def test_needed_mean_of_what_is_to_come() -> None:
    assert required_mean(60_000, [30, 1], [59_995.0, 59_999.6]) == pytest.approx([60_005, 60_023.6])
    assert required_mean(100.0, 0, [99.9, 100.0, 100.1]).tolist() == [
        math.inf,
        -math.inf,
        -math.inf,
    ]
    assert required_mean(100.0, 70, 55.0) == 100.0  # before the window nothing is known


def test_a_decided_average_is_certain_whatever_the_volatility() -> None:
    # 59 of 60 values average 100: a strike of 98 needs a last one below 0, reached by any price.
    assert digital_probability(100.0, 98.0, 1, 0.5, known_mean=100.0) == 1
    assert exact_probability(100.0, 98.0, 1, 0.5, known_mean=100.0) == 1
    assert digital_probability(100.0, [-math.inf, math.inf], 300, 1e-4).tolist() == [1, 0]
    assert digital_probability(100.0, [99.0, 100.0, 101.0], 300, 0.0).tolist() == [1, 1, 0]
    assert digital_probability(100.0, [99.0, 100.0], 0, 1e-4, known_mean=99.5).tolist() == [1, 0]


@pytest.mark.parametrize("missing", range(5))
def test_what_is_not_known_has_no_probability(missing: int) -> None:
    inputs = [100.0, 101.0, 30.0, 1e-4, 100.0]
    inputs[missing] = math.nan
    *where, known = inputs
    for form in ("lognormal", "arithmetic"):
        found = digital_probability(*where, known_mean=known, form=form)  # type: ignore[arg-type]
        assert math.isnan(float(found)), form


def test_rounding_half_up_moves_the_strike_by_half_a_unit() -> None:
    sigma = 2.0 / 60_000 / math.sqrt(float(averaged_seconds(300)))  # a spread of two dollars
    rounded = digital_probability(60_000, 60_000.01 - 0.005, 300, sigma, form="arithmetic")
    plain = digital_probability(60_000, 60_000.01, 300, sigma, form="arithmetic")
    assert rounded == pytest.approx(0.499002645337, abs=1e-9)
    assert plain == pytest.approx(0.498005296909, abs=1e-9)


@pytest.mark.parametrize(
    ("nu", "z", "expected"),
    [
        (3, 0.5, 0.774907572124),
        (3, 1.0, 0.909154943092),
        (3, -1.5, 0.040254786649),
        (4, 0.5, 0.740740740741),
        (4, 1.0, 0.88490017946),
        (4, 2.0, 0.976289672208),
        (8, 0.5, 0.710208),
        (8, 2.0, 0.97513221844),
        (8, -1.5, 0.060751459409),
    ],
)
def test_published_student_probabilities(nu: float, z: float, expected: float) -> None:
    assert student_cdf(z, nu) == pytest.approx(expected, abs=1e-11)


def test_a_student_probability_is_the_same_alone_and_among_others() -> None:
    z = np.random.Generator(np.random.Philox(key=[4, 4])).normal(0, 2, 300)
    alone = [float(student_cdf(one, 4)) for one in z]
    assert student_cdf(z, 4).tolist() == alone


@settings(deadline=None)
@given(st.floats(-40, 40), st.floats(2.05, 500))
def test_student_is_a_symmetric_distribution(z: float, nu: float) -> None:
    below, above = float(student_cdf(z, nu)), float(student_cdf(-z, nu))
    assert 0 <= below <= 1
    assert below + above == pytest.approx(1, abs=1e-12)
    assert student_cdf(z + 0.1, nu) >= below


@settings(deadline=None)
@given(st.floats(-60, 60))
def test_student_of_three_degrees_has_a_closed_form(z: float) -> None:
    t = z  # in units of √3 once more: t/√3 with variance 3 is z itself
    closed = 0.5 + (math.atan(t) + t / (1 + t * t)) / math.pi
    assert student_cdf(z, 3) == pytest.approx(closed, abs=1e-12)


def test_many_degrees_of_freedom_are_a_normal_and_fat_tails_favour_the_favourite() -> None:
    z = np.linspace(-4, 4, 33)
    assert student_cdf(z, 1e6) == pytest.approx(normal_cdf(z), abs=1e-6)
    near, far = digital_probability(100, [99.5, 97.0], 300, 1e-4 * 6, window=1, nu=4)
    assert near > digital_probability(100, 99.5, 300, 6e-4, window=1)
    assert far < digital_probability(100, 97.0, 300, 6e-4, window=1)


def test_infinite_and_missing_scores() -> None:
    for cdf in (normal_cdf, lambda z: student_cdf(z, 4)):
        low, high, none = cdf(np.array([-np.inf, np.inf, np.nan])).tolist()
        assert (low, high, math.isnan(none)) == (0, 1, True)


@pytest.mark.parametrize("x", [-3.7, -1.0, 0.0, 0.31, 2.2])
def test_normal_is_that_of_the_standard_library(x: float) -> None:
    assert normal_cdf(x) == pytest.approx(PHI(x), abs=1e-15)


# --- a price drawn to a mean ----------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [300.0, 60.0, 12.0])
@pytest.mark.parametrize("speed", [0.002, 0.05])
def test_a_drawn_average_has_the_moments_of_its_values(seconds: float, speed: float) -> None:
    spot, mean, sigma, known = 101.0, 100.0, 1e-3, 100.4
    offsets = [seconds - k for k in range(60) if seconds - k > 0]
    aims = [math.log(mean) + math.log(spot / mean) * math.exp(-speed * d) for d in offsets]
    covariance = [
        sigma**2 / (2 * speed) * (math.exp(-speed * abs(a - b)) - math.exp(-speed * (a + b)))
        for a, b in itertools.product(offsets, offsets)
    ]
    n = len(offsets)
    needed = (60 * 100.3 - (60 - n) * known) / n
    z = (sum(aims) / n - math.log(needed)) / math.sqrt(sum(covariance) / n**2)
    found = reverting_probability(spot, mean, 100.3, seconds, sigma, speed, known_mean=known)
    assert found == pytest.approx(PHI(z), abs=1e-9)


@pytest.mark.parametrize("seconds", [600.0, 45.0])
def test_a_slow_reversion_is_a_plain_walk(seconds: float) -> None:
    # But for half the variance of the log, which a mean of logs leaves out.
    where = (100.2, 100.0, seconds, 1e-4)
    slow = reverting_probability(100.2, 90.0, *where[1:], 1e-9, known_mean=100.1)
    assert slow == pytest.approx(float(digital_probability(*where, known_mean=100.1)), abs=6e-4)


def test_a_fast_reversion_forgets_the_spot() -> None:
    low, high = reverting_probability([90.0, 110.0], 100.0, 100.05, 600.0, 1e-3, 0.5)
    assert low == pytest.approx(high, abs=1e-9)
    assert low < 0.5
    assert reverting_probability(100, 100, [-math.inf, math.inf], 60, 1e-3, 0.1).tolist() == [1, 0]


# --- the whole of the published file --------------------------------------------------------------


@pytest.mark.real
def test_all_published_vectors(real_data: Path) -> None:
    published = json.loads((real_data.parent / "vectors/digital_under_averaging.json").read_text())
    checked = 0
    for vector in published["vectors"]:
        given, expected = vector["inputs"], vector["expected"]
        if not vector["id"].startswith("asian"):
            continue
        where = (given["spot"], given["strike"], given["seconds_to_future_obs"][1])
        told: dict[str, Any] = {
            "window": given["window_obs"],
            "known_mean": given["known_mean"],
            "sigma": given["vol_annual_365d"] / math.sqrt(CALENDAR),
        }
        arithmetic = digital_probability(*where, **told, form="arithmetic")
        assert arithmetic == pytest.approx(expected["p_abm"], abs=vector["tolerance"])
        matched = digital_probability(*where, **told)
        assert matched == pytest.approx(expected["p_gbm_levy"], abs=vector["tolerance"])
        # One of the exact values was not integrated finely enough, see the test at the open.
        exact = exact_probability(*where, **told)
        assert exact == pytest.approx(expected["p_gbm_exact"], abs=2e-5)
        checked += 1
    # What the spot and the strike of a quarter hour differ by at its open: the mean of the sixty
    # values that end there, as seen from the last of them.
    opening = next(v for v in published["vectors"] if v["id"] == "spot_minus_strike_at_open")
    spread = float(averaged_seconds(60.0)) - 1.0
    assert spread == pytest.approx(opening["expected"]["var_factor"], abs=opening["tolerance"])
    left = float(averaged_seconds(opening["inputs"]["tau_open"]))
    wide = math.sqrt(spread / left)
    assert wide == pytest.approx(opening["expected"]["sd_of_open_z"], abs=1e-6)
    students = next(v for v in published["vectors"] if v["id"] == "student_t_variance_matched")
    for row in students["expected"]:
        assert student_cdf(row["z"], row["nu"]) == pytest.approx(row["p"], abs=1e-9)
    assert checked == 7
