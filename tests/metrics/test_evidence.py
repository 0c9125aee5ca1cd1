"""E-processes by loops and exact expectations, and permutations by all their ways."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import (
    bernstein_e_process,
    control_p_value,
    e_process,
    reverse_e_process,
    side_permutation,
    trades_to_reach,
)

trades = st.lists(st.tuples(st.integers(0, 1), st.integers(2, 98)), min_size=1, max_size=40)


@given(trades, st.integers(0, 20))
def test_wealth_is_that_of_exact_bets(bets: list[tuple[int, int]], twentieths: int) -> None:
    wealth, path = Fraction(1), []
    for won, cents in bets:
        wealth *= 1 + Fraction(twentieths, 20) * (Fraction(100 * won, cents) - 1)
        path.append(float(wealth))
    found = e_process([y for y, _ in bets], [c / 100 for _, c in bets], twentieths / 20)
    assert found.path.tolist() == pytest.approx(path, rel=1e-9)
    assert found.final == found.path[-1]
    assert found.maximum == pytest.approx(max(1.0, *path), rel=1e-9)
    assert found.anytime_p == pytest.approx(1 / found.maximum)


@given(trades)
def test_a_mixture_is_the_mean_of_its_fractions(bets: list[tuple[int, int]]) -> None:
    y, c = [y for y, _ in bets], [c / 100 for _, c in bets]
    grid = [0.05 * n for n in range(20)]
    each = np.mean([e_process(y, c, f).path for f in grid], axis=0)
    assert e_process(y, c).path.tolist() == pytest.approx(each.tolist(), rel=1e-9)


@pytest.mark.parametrize("f", [0.1, 1.0, None])
def test_nothing_is_expected_of_a_fair_price_whatever_goes_together(f: float | None) -> None:
    """Over all outcomes of two batches, the members of each moving as one or against each other."""
    cost = [0.3, 0.3, 0.7, 0.7]
    expected = 0.0
    for first, second in itertools.product((0, 1), repeat=2):
        chance = (0.3 if first else 0.7) * (0.7 if second else 0.3)
        y = [first, first, second, second]
        expected += chance * e_process(y, cost, f, batches=[1, 1, 2, 2]).final
    assert expected == pytest.approx(1.0, abs=1e-12)


def test_a_batch_is_one_bet() -> None:
    once = e_process([1, 0], [0.5, 0.4], 0.2)
    six = e_process([1] * 6 + [0] * 6, [0.5] * 6 + [0.4] * 6, 0.2, batches=["a"] * 6 + ["b"] * 6)
    assert six.path.tolist() == pytest.approx(once.path.tolist())
    hedged = e_process([1, 0], [0.5, 0.5], 0.2, batches=[7, 7])
    assert hedged.path.tolist() == pytest.approx([1.0])


def test_the_other_side_gains_what_this_one_loses() -> None:
    y, p = [1, 0, 0, 1, 0], [0.6, 0.7, 0.55, 0.8, 0.9]
    reverse = reverse_e_process(y, p, 0.3)
    by_hand = np.cumprod([1 + 0.3 * ((1 - a) / (1 - b) - 1) for a, b in zip(y, p, strict=True)])
    assert reverse.path.tolist() == pytest.approx(by_hand.tolist())


def test_losing_everything_and_winning_beyond_all_floats_stay_numbers() -> None:
    lost = e_process([0, 1], [0.5, 0.5], 1.0)
    assert (lost.final, lost.maximum, lost.anytime_p) == (0.0, 1.0, 1.0)
    won = e_process([1] * 2_000, [0.5] * 2_000, 1.0)
    assert won.final == pytest.approx(math.exp(700))
    assert 0 < won.anytime_p < 1e-300


@pytest.mark.slow
def test_a_level_is_crossed_as_rarely_as_it_says() -> None:
    """Ville: of 4000 records of 300 fair trades at most one in 20 ever reaches 20."""
    rng = np.random.Generator(np.random.Philox(key=20))
    cost = np.full(300, 0.5)
    crossed = sum(e_process(rng.random(300) < 0.5, cost, 0.2).maximum >= 20 for _ in range(4_000))
    assert 0.02 < crossed / 4_000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 4_000)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(0, 0.49))
def test_differences_are_bet_on_as_printed(d: list[float], lam: float) -> None:
    psi = (-math.log(1 - 2 * lam) - 2 * lam) / 4
    log, path = 0.0, []
    for i, each in enumerate(d):
        guess = sum(d[:i]) / i if i else 0.0
        log += lam * each - psi * (each - guess) ** 2
        path.append(math.exp(log))
    assert bernstein_e_process(d, lam).path.tolist() == pytest.approx(path, rel=1e-9)


def test_a_coin_of_differences_gains_nothing_on_average() -> None:
    total = sum(
        bernstein_e_process(signs, 0.4).final for signs in itertools.product((-1, 1), repeat=8)
    )
    assert total / 2**8 <= 1
    assert bernstein_e_process([0.2, 0.4, -0.2, 0.0], 0.3, batches=[1, 1, 2, 2]).path.tolist() == (
        bernstein_e_process([0.3, -0.1], 0.3).path.tolist()
    )


@pytest.mark.parametrize(("p", "c"), [(0.55, 0.5), (0.6, 0.5), (0.97, 0.95)])
def test_evidence_grows_by_the_divergence(p: float, c: float) -> None:
    divergence = p * math.log(p / c) + (1 - p) * math.log((1 - p) / (1 - c))
    assert trades_to_reach(p, c) == pytest.approx(math.log(20) / divergence, rel=1e-9)


# --- controls -------------------------------------------------------------------------------------


@given(st.integers(-5, 5), st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_the_observed_counts_among_the_drawn(observed: int, controls: list[int]) -> None:
    expected = (1 + sum(c >= observed for c in controls)) / (1 + len(controls))
    assert control_p_value(observed, controls) == pytest.approx(expected)


YES = [0.6, -0.3, 0.2, 0.5, -0.4, 0.3, 0.1]
NO = [-0.65, 0.25, -0.2, -0.6, 0.35, -0.4, -0.15]
SIDES = [1, -1, 1, 1, -1, -1, 1]
EVENTS = ["a", "a", "a", "b", "b", "c", "d"]


def all_ways(how: str) -> list[float]:
    """Totals of every way to flip events or to shuffle sides within them."""
    names = sorted(set(EVENTS))
    options = []
    for name in names:
        rows = [i for i, e in enumerate(EVENTS) if e == name]
        own = [SIDES[i] for i in rows]
        if how == "flip":
            ways: Any = [own, [-s for s in own]]
        else:
            ways = list(itertools.permutations(own))
        options.append(
            [sum(YES[i] if s > 0 else NO[i] for i, s in zip(rows, w, strict=True)) for w in ways]
        )
    return [sum(way) for way in itertools.product(*options)]


@pytest.mark.parametrize("how", ["flip", "shuffle"])
def test_drawn_sides_are_those_of_all_ways(how: Any) -> None:
    ways = np.array(all_ways(how))
    found = side_permutation(SIDES, YES, NO, EVENTS, how, resamples=20_000)
    assert found.observed == pytest.approx(0.6 + 0.25 + 0.2 + 0.5 + 0.35 - 0.4 + 0.1)
    assert found.mean == pytest.approx(ways.mean(), abs=0.03)
    assert found.standard_deviation == pytest.approx(ways.std(), rel=0.03)
    assert found.p_value == pytest.approx(np.mean(ways >= found.observed - 1e-9), abs=0.01)
    assert found == side_permutation(SIDES, YES, NO, EVENTS, how, resamples=20_000)
    assert found != side_permutation(SIDES, YES, NO, EVENTS, how, resamples=20_000, seed=1)


def test_knowing_the_outcome_is_told_from_luck_and_paying_for_it_is_not() -> None:
    rng = np.random.Generator(np.random.Philox(key=9))
    gain = rng.choice([-0.5, 0.5], 200)
    event = np.repeat(np.arange(100), 2)
    knows = np.sign(gain)
    assert side_permutation(knows, gain - 0.02, -gain - 0.02, event).p_value == 1 / 10_000
    guesses = rng.choice([-1, 1], 200)
    lucky = [
        side_permutation(guesses, gain - cost, -gain - cost, event).p_value for cost in (0.02, 0.4)
    ]
    assert lucky[0] == lucky[1] > 0.01  # costs are the same on either side


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda: e_process([], []), "y has 0 values"),
        (lambda: e_process([1, 0], [0.5]), "y 2, all_in_cost 1"),
        (lambda: e_process([1], [0.0]), "all_in_cost is 0"),
        (lambda: e_process([1], [1.2]), "0 to 1 dollar"),
        (lambda: e_process([2], [0.5]), r"y\[0\] is 2"),
        (lambda: e_process([1], [0.5], 1.5), r"f\[0\] is 1.5"),
        (lambda: e_process([1], [0.5], math.nan), r"f\[0\] is nan"),
        (lambda: e_process([1], [0.5], batches=[1, 2]), "2 labels; expected 1"),
        (lambda: reverse_e_process([1], [1.0]), "a claim is 1"),
        (lambda: bernstein_e_process([0.1], 0.5), "lam is 0.5"),
        (lambda: bernstein_e_process([0.1], 0.1, 0), "c 0"),
        (lambda: bernstein_e_process([-0.9, 0.9], 0.1, 1.0), "wider than c"),
        (lambda: trades_to_reach(0.5, 0.5), "expected 0 < c < p"),
        (lambda: control_p_value(1.0, []), "0 values"),
        (lambda: control_p_value(math.nan, [1.0]), "observed is nan"),
        (lambda: side_permutation([0.5], [1], [1], [1]), "neither 1"),
        (lambda: side_permutation([1, 1], [1], [1], [1, 1]), "sides 2, yes 1"),
        (lambda: side_permutation([1], [1], [1], [1], "turn"), "unknown way"),  # type: ignore[arg-type]
        (lambda: side_permutation([1], [1], [1], [1], resamples=9), "resamples is 9"),
        (lambda: side_permutation([1, -1], [1, 1], [1, 1], [1, 2], "shuffle"), "none of 2 events"),
    ],
)
def test_what_has_no_answer_is_refused(call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
