"""Sums by blocks are the sums of the slow twins, however blocks, gaps and windows lie."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kalshi_bt.signals import reversion_kernels
from kalshi_bt.signals.volatility import RECURSIONS, Recursion, variance_of_rows
from tests.signals import naive_reversion, naive_volatility

SECOND = 1_000_000
Sample = tuple[int, float]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def seen(seed: int, step: int, rows: int = 300) -> tuple[Ints, Ints, Floats]:
    """Rows of two markets: where each begins, when a row's price was seen, and the price.

    Some rows see nothing, some what the row before them saw; after some there is a gap.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 55]))
    times: list[int] = []
    prices: list[float] = []
    starts = [0, rows * 2 // 3, rows]
    for first, last in pairwise(starts):
        now, price = 10**15 + int(rng.integers(0, 1_000)) * SECOND, 100.0
        for _ in range(first, last):
            nothing, again = rng.random() < 0.1, rng.random() < 0.2
            if not (nothing or again):
                now += step * SECOND * (40 if rng.random() < 0.02 else 1)
                price *= math.exp(0.001 * rng.standard_normal())
            times.append(now)
            prices.append(math.nan if nothing else price)
    return np.array(starts, np.int64), np.array(times, np.int64), np.array(prices)


def reached(starts: Ints, reach: int) -> Ints:
    """The oldest row of the same market at most `reach` rows before each."""
    rows = np.arange(starts[-1])
    return np.maximum(np.repeat(starts[:-1], np.diff(starts)), rows - reach)


def autoregression(
    starts: Ints, rows: Ints, low: Ints, at: Ints, level: Floats, *rule: float
) -> Floats:
    """Mean, spread, phi, t and step of each row."""
    found = np.full((5, len(rows)), np.nan)
    reversion_kernels.autoregression(starts, rows, low, at, level, *rule, found)
    return found


def own_samples(starts: Ints, at: Ints, price: Floats, i: int, reach: int) -> list[Sample]:
    """What the last `reach` rows before row `i`, and the row, saw: each price once, oldest first.

    A price counts where its newest row lies.
    """
    first = int(starts[np.searchsorted(starts, i, side="right") - 1])
    kept: dict[int, float] = {}
    for j in range(max(first, i - reach), i + 1):
        if not math.isnan(price[j]):
            kept[int(at[j])] = float(price[j])
    return sorted(kept.items())


def weighed(found: list[Sample], recursion: str, half_life: float, max_gap: float) -> float | None:
    if recursion == "elapsed":
        return naive_volatility.variance(found, half_life, max_gap)
    used = [math.log(b[1] / a[1]) for a, b in pairwise(found) if (b[0] - a[0]) / SECOND <= max_gap]
    factor = 0.5 ** (1 / half_life)
    return naive_volatility.stepped(used, factor, recursion) if used else None


@pytest.mark.parametrize("recursion", RECURSIONS)
@pytest.mark.parametrize(
    ("step", "half_life", "reach"), [(1, 5.0, 120), (1, 60.0, 25), (7, 2.0, 300), (60, 100.0, 80)]
)
def test_variances_are_those_of_each_window(
    step: int, half_life: float, reach: int, recursion: Recursion
) -> None:
    starts, at, price = seen(step, step)
    max_gap = 20.0 * step
    rows, low = np.arange(len(at)), reached(starts, reach)
    found, effective, number = variance_of_rows(
        starts, rows, low, at, np.log(price), half_life, max_gap, recursion, 1.0, enough=10**6
    )
    compared = 0
    for i in range(len(at)):
        own = own_samples(starts, at, price, i, reach)
        expected = weighed(own, recursion, half_life, max_gap)
        used = sum((b[0] - a[0]) / SECOND <= max_gap for a, b in pairwise(own))
        assert number[i] == used
        if expected is None:
            assert math.isnan(found[i])
            continue
        assert found[i] == pytest.approx(expected, rel=1e-9)
        assert 0 < effective[i] <= used + 1e-9
        compared += 1
    assert compared > 280


@pytest.mark.parametrize(("step", "lookback"), [(1, 20.0), (1, 150.0), (10, 120.0), (60, 3_000.0)])
@pytest.mark.parametrize("reach", [15, 90, 400])
def test_fits_are_those_of_each_window(step: int, lookback: float, reach: int) -> None:
    starts, at, price = seen(step, step)
    options: dict[str, Any] = {"lookback_seconds": lookback, "least": 5, "coverage": 0.05}
    rows, low = np.arange(len(at)), reached(starts, reach)
    kernel = autoregression(starts, rows, low, at, price, lookback, 0.05, 5)
    mean, spread, phi, t, seconds = kernel
    compared = fitted = 0
    for i in np.flatnonzero(~np.isnan(price)):
        own = own_samples(starts, at, price, int(i), reach)
        window = naive_reversion.window(own, options)
        if window is None:
            assert math.isnan(mean[i])
            continue
        score = naive_reversion.score(own, options)
        assert score is not None
        assert mean[i] == pytest.approx(score[1], rel=1e-12)
        assert spread[i] == pytest.approx(score[2], rel=1e-7)
        compared += 1
        if not math.isnan(t[i]):
            own_speed = naive_reversion.speed(own, options | {"min_t": -math.inf})
            speed = None if phi[i] >= 1 else -math.log(max(phi[i], 0.01)) / seconds[i]
            assert speed == (None if own_speed is None else pytest.approx(own_speed, rel=1e-6))
            fitted += 1
    assert compared > 60
    assert fitted > 60


def test_a_level_that_never_moves_has_no_spread() -> None:
    at = SECOND * np.arange(400)
    level = np.full(400, 11.3)
    level[200:] = 11.4
    starts, rows = np.array([0, 400]), np.arange(400)
    low = reached(starts, 300)
    _, spread, phi, _, _ = autoregression(starts, rows, low, at, level, 100.0, 0.5, 5)
    assert spread[99] == spread[199] == spread[350] == 0
    assert math.isnan(phi[199])
    assert spread[250] > 0.01


def test_rows_whose_times_fall_count_what_is_older_than_all_that_follows() -> None:
    """The second sample was seen before the first: of the row's past only it is in order."""
    at = SECOND * np.array([50, 40, 60, 61, 62, 63, 64])
    level = np.array([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rows = np.arange(7)
    mean, *_ = autoregression(np.array([0, 7]), rows, 0 * rows, at, level, 100.0, 0.0, 1)
    assert mean[2:].tolist() == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0])


@pytest.mark.parametrize("recursion", RECURSIONS)
def test_what_is_said_of_a_row_does_not_depend_on_which_others_are_asked_for(
    recursion: Recursion,
) -> None:
    starts, at, price = seen(3, 1)
    rows, low, logs = np.arange(len(at)), reached(starts, 120), np.log(price)
    options: dict[str, Any] = {"half_life": 5.0, "max_gap": 20.0, "recursion": recursion}
    variances = variance_of_rows(starts, rows, low, at, logs, **options)
    fits = autoregression(starts, rows, low, at, logs, 150.0, 0.05, 5)
    draw = np.random.Generator(np.random.Philox(key=[3, 56])).random(len(at))
    for some in (starts[1:] - 1, np.flatnonzero(draw < 0.1), rows[:0]):
        fewer = variance_of_rows(starts, some, low[some], at, logs, **options)
        few = autoregression(starts, some, low[some], at, logs, 150.0, 0.05, 5)
        for whole, part in zip((*variances, *fits), (*fewer, *few), strict=True):
            assert np.array_equal(whole[some], part, equal_nan=True)
