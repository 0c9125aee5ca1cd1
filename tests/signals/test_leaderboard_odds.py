"""Probabilities of being on top: against brute force, by hand, and what must hold of any."""

import math
from typing import Any

import numpy as np
import pytest

from kalshi_bt.errors import UsageError
from kalshi_bt.signals.leaderboard_odds import (
    rank_upper_bounds,
    score_sd,
    simulated,
    top_probabilities,
    with_entrant,
)
from kalshi_bt.signals.leaderboard_rules import RULES, ResolutionRule
from tests.signals.naive_leaderboard import frequencies, rank_ub

BOARDS: dict[str, tuple[list[float], list[float], list[float], list[int]]] = {
    "close": ([1504, 1501, 1480, 1469], [4.6, 4.1, 2.0, 5.1], [9, 8, 4, 10], [0, 1, 2, 3]),
    "organisations": ([1504, 1501, 1500, 1495], [5, 4, 6, 9], [3, 4, 2, 5], [0, 0, 1, 2]),
    "very different spreads": ([1500, 1499, 1490], [0.5, 10, 3], [1, 20, 6], [0, 1, 2]),
}
DRAWS = 4_000


@pytest.mark.parametrize("ties", ["cascade", "alone", "ties_win"])
@pytest.mark.parametrize("name", BOARDS)
def test_equals_brute_force(name: str, ties: str) -> None:
    score, sd, width, group = BOARDS[name]
    found = top_probabilities(score, sd, group, width, ties)
    expected = frequencies(score, sd, width, group, ties, DRAWS)
    for p, share in zip(found, expected, strict=True):
        assert abs(p - share) < 4 * math.sqrt(max(p * (1 - p), 0.001) / DRAWS)


def test_two_models_by_hand() -> None:
    """Gap 6 over the root of 3 squared + 4 squared is 1.2: Phi(1.2) = 0.884930."""
    p = top_probabilities([1506.0, 1500.0], [3.0, 4.0], [0, 1])
    assert p[0] == pytest.approx(0.8849303, abs=1e-7)


@pytest.mark.parametrize(("a", "b"), [(0.25, 15.0), (1.0, 8.0), (6.0, 6.0)])
def test_two_models_exactly(a: float, b: float) -> None:
    for gap in (-9.0, 0.0, 0.3, 5.0):
        exact = 0.5 * math.erfc(-gap / math.hypot(a, b) / math.sqrt(2))
        p = top_probabilities([gap, 0.0], [a, b], [0, 1])
        # Very unequal spreads make one of the two integrands a step.
        assert p[0] == pytest.approx(exact, abs=2e-4 if b / a < 10 else 0.02)


def test_overlapping_intervals_by_hand() -> None:
    """Two models, half-widths 5 and 4, gap 12, sd 3 and 4: alone needs 12 - 9 = 3, 0.6 sd."""
    case = ([1512.0, 1500.0], [3.0, 4.0], [0, 1], [5.0, 4.0])
    assert top_probabilities(*case, "alone")[0] == pytest.approx(0.7257469, abs=1e-6)
    # Either wins with ties where it is not 9 below: Phi(21 / 5) and Phi(-3 / 5).
    both = top_probabilities(*case, "ties_win")
    assert both == pytest.approx([0.9999867, 0.2742531], abs=1e-6)


def test_probabilities_of_an_event_sum_to_one() -> None:
    """T17: also of many random boards at once, with absent models."""
    rng = np.random.Generator(np.random.Philox(key=[3, 3]))
    score = rng.normal(1500, 15, (300, 8))
    score[rng.random((300, 8)) < 0.2] = np.nan
    score[:, 0] = 1490.0
    sd, group = rng.uniform(0.3, 12, (300, 8)), rng.integers(0, 5, (300, 8))
    p = top_probabilities(score, sd, group)
    present = ~np.isnan(score)
    for k in range(300):
        total = {g: q for g, q, here in zip(group[k], p[k], present[k], strict=True) if here}
        assert sum(total.values()) == pytest.approx(1, abs=1e-12)
    assert (p[~present] >= 0).all()
    assert (p <= 1).all()


def test_two_tied_at_the_top_do_not_get_sixty_five_each() -> None:
    """T17: the documented table gives 1.3 in sum."""
    p = top_probabilities([1500.0, 1500.0], [4.0, 4.0], [0, 1])
    assert p == pytest.approx([0.5, 0.5])


def test_probabilities_sharpen_as_the_check_comes_near() -> None:
    """T17: the leader's chance rises as days go by and nothing else happens."""
    leads = []
    for days in (365, 90, 30, 7, 1, 0):
        sd = score_sd([1495, 1490], [1505, 1500], days, 1.0)
        leads.append(top_probabilities([1500.0, 1495.0], sd, [0, 1])[0])
    assert leads == sorted(leads)
    assert leads[0] < 0.6
    sure = score_sd([1495, 1490], [1505, 1500], 0.0, 1.0, error_days=30.0)
    assert top_probabilities([1500.0, 1495.0], sure, [0, 1])[0] == pytest.approx(1)


def test_spread_of_a_score_by_hand() -> None:
    """Interval 15.68 wide: error 4; 9 days at 1 a day: 3; together 5."""
    assert float(score_sd(1492.16, 1507.84, 9.0, 1.0)) == pytest.approx(5.0)
    # After ln 2 times error_days half of the variance of the error has shown.
    half = score_sd(1492.16, 1507.84, 30 * math.log(2), 0.0, 30.0)
    assert float(half) == pytest.approx(4 / math.sqrt(2))
    assert float(score_sd(1492.16, 1507.84, -3.0, 1.0)) == pytest.approx(4.0)


def test_rank_upper_bounds_vector() -> None:
    low, high = [1500, 1495, 1480, 1470], [1512, 1509, 1492, 1499]
    assert rank_upper_bounds(low, high).tolist() == [1, 1, 3, 2]
    rng = np.random.Generator(np.random.Philox(key=[4, 4]))
    for _ in range(50):
        middle, width = rng.integers(0, 30, 12), rng.integers(0, 9, 12)
        low, high = (middle - width).tolist(), (middle + width).tolist()
        assert rank_upper_bounds(low, high).tolist() == rank_ub(low, high)


def test_entrants_equal_brute_force() -> None:
    score, sd, width, group = BOARDS["organisations"]
    chance, gap, spread, outsiders = 0.4, 2.0, 15.0, 0.25
    case = ([score], [sd], [group], [width], [chance], gap, spread, outsiders)
    p, unlisted = with_entrant(*case)
    expected = frequencies(
        score, sd, width, group, "cascade", DRAWS, (chance, gap, spread, outsiders)
    )
    for found, share in zip(p[0], expected, strict=True):
        assert abs(found - share) < 4 * math.sqrt(0.25 / DRAWS)
    each = dict(zip(group, p[0], strict=True))
    assert sum(each.values()) + unlisted[0] == pytest.approx(1, abs=1e-9)


def test_without_hazard_an_entrant_changes_nothing() -> None:
    score, sd, width, group = BOARDS["close"]
    p, unlisted = with_entrant([score], [sd], [group], [width], [0.0], 0.0, 15.0, 1.0)
    assert p[0] == pytest.approx(top_probabilities(score, sd, group, width))
    assert unlisted[0] == 0


@pytest.mark.parametrize(
    ("rule", "ties"),
    [
        (RULES["cascade"], "cascade"),
        (RULES["alone"], "alone"),
        (RULES["organization"], "alone"),
        (RULES["ties_win"], "ties_win"),
        (ResolutionRule(metric="score"), "cascade"),
    ],
)
def test_drawn_boards_agree_with_the_integral(rule: ResolutionRule, ties: str) -> None:
    name = "close" if rule.ties == "nobody" else "organisations"
    score, sd, width, group = BOARDS[name]
    drawn = simulated(score, sd, group, width, rule, 40_000)
    exact = top_probabilities(score, sd, group, width, ties)
    assert drawn == pytest.approx(exact, abs=4 * 0.5 / math.sqrt(40_000))


def test_the_same_question_has_the_same_answer() -> None:
    """T19: no clock and no state; another question gets other draws."""
    score, sd, width, group = BOARDS["close"]
    case: tuple[Any, ...] = (score, sd, group, width, RULES["cascade"], 500)
    first, again = simulated(*case), simulated(*case)
    assert first.tobytes() == again.tobytes()
    other = simulated([s + 1 for s in score], *case[1:])
    assert not np.array_equal(other, first)


def test_any_chunking_gives_the_same() -> None:
    rng = np.random.Generator(np.random.Philox(key=[6, 6]))
    score, sd = rng.normal(0, 5, (600, 3)), rng.uniform(1, 4, (600, 3))
    group = np.broadcast_to(np.arange(3), (600, 3))
    whole = top_probabilities(score, sd, group)
    parts = [
        top_probabilities(score[k : k + 7], sd[k : k + 7], group[:7]) for k in range(0, 595, 7)
    ]
    assert np.concatenate(parts) == pytest.approx(whole[:595], abs=1e-12)


def test_an_unknown_treatment_of_ties_is_an_error() -> None:
    with pytest.raises(UsageError, match="unknown treatment of ties 'alon'; did you mean 'alone'"):
        top_probabilities([1.0], [1.0], [0], 0.0, "alon")


@pytest.mark.parametrize("ties", ["cascade", "alone", "ties_win"])
def test_a_model_that_is_not_there_stands_in_nobodys_way(ties: str) -> None:
    p = top_probabilities([-5.0, np.nan], [1.0, 1.0], [0, 1], [0.5, 0.5], ties)
    assert p == pytest.approx([1, 0])


def test_no_row_depends_on_how_many_are_asked_with_it() -> None:
    """Whoever asks about the newest board alone hears the same to the last bit."""
    rng = np.random.Generator(np.random.Philox(11))
    score, sd = rng.normal(1500, 12, (300, 6)), rng.uniform(1, 6, (300, 6))
    group = rng.integers(0, 4, (300, 6))
    whole = top_probabilities(score, sd, group)
    for n in range(0, 300, 7):
        alone = top_probabilities(score[n : n + 1], sd[n : n + 1], group[n : n + 1])
        assert alone.tobytes() == whole[n : n + 1].tobytes()
