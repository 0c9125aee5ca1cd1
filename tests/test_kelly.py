"""Kelly stakes: by hand, by published vectors, by the conditions of an optimum, by force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.kelly import (
    all_in_cost,
    cap_groups,
    growth,
    kelly,
    kelly_exclusive,
    kelly_lcb,
    kelly_program,
    kelly_shrunk,
)

Floats = NDArray[np.float64]
PROBABILITY, COST = st.floats(0, 1), st.floats(0.001, 1.5)


def philox(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key))


# --- one contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "cost", "stake", "best", "half", "double"),
    [  # stakes by hand; growth p ln(1 + f(1 - c)/c) + (1 - p) ln(1 - f) in ten digits
        (0.60, 0.50, 0.2, 0.020135513551, 0.015041901619, -0.002446907534),
        (0.70, 0.50, 0.4, 0.082282878505, 0.060682024362, -0.071380708299),
        (0.55, 0.5175, 13 / 193, 0.002119812091, 0.001588394252, -0.000037556254),
        (0.07, 0.05, 2 / 95, 0.003765076008, 0.002921147298, 0.001138898415),
        (0.98, 0.95, 0.6, 0.012142960691, 0.008219295531, None),
        (0.05, 0.06, 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_published_stakes_and_their_growth(
    p: float, cost: float, stake: float, best: float, half: float, double: float | None
) -> None:
    found = float(kelly(p, cost))
    assert found == pytest.approx(stake, abs=1e-12)
    assert float(growth(p, cost, found)) == pytest.approx(best, abs=1e-11)
    assert float(growth(p, cost, found / 2)) == pytest.approx(half, abs=1e-11)
    if double is not None:
        assert float(growth(p, cost, 2 * found)) == pytest.approx(double, abs=1e-11)


def test_fees_are_part_of_the_cost() -> None:
    assert float(all_in_cost(0.5, 70_000)) == pytest.approx(0.5175, abs=1e-15)
    assert float(kelly(0.55, all_in_cost(0.5, 70_000))) == pytest.approx(0.067357512953, abs=1e-12)
    assert float(kelly(0.55, 0.5)) == pytest.approx(0.1)
    assert float(kelly(0.51, all_in_cost(0.5, 70_000))) == 0.0  # an edge, but not after fees


def test_no_is_the_same_bet_with_its_own_chance_and_cost() -> None:
    assert float(kelly(1 - 0.4, 0.5)) == pytest.approx(0.2, abs=1e-12)


@given(PROBABILITY, COST, st.floats(-1, 1))
def test_no_other_stake_grows_faster(p: float, cost: float, step: float) -> None:
    best = float(kelly(p, cost))
    other = min(max(best + step, 0.0), 0.999)
    if best < 1:
        assert growth(p, cost, best) >= growth(p, cost, other) - 1e-12


def test_growth_at_the_best_stake_is_the_divergence_of_the_two_opinions() -> None:
    p, c = 0.83, 0.71
    expected = p * np.log(p / c) + (1 - p) * np.log((1 - p) / (1 - c))
    assert float(growth(p, c, kelly(p, c))) == pytest.approx(expected, abs=1e-14)


def test_certainty_stakes_everything_and_everything_can_be_lost() -> None:
    assert float(kelly(1.0, 0.9)) == 1.0
    assert float(growth(1.0, 0.5, 1.0)) == pytest.approx(np.log(2))
    assert float(growth(0.99, 0.5, 1.0)) == -np.inf


def test_no_opinion_and_nothing_to_win_are_no_stake() -> None:
    found = kelly([np.nan, 0.9, 0.9, 1.0, 0.5], [0.5, np.nan, 1.0, 1.2, 0.5])
    assert found.tolist() == [0.0] * 5
    assert kelly_shrunk(0.6, 0.5, np.nan) == 0.0
    assert kelly_lcb(0.6, 0.5, np.nan) == 0.0


def test_stakes_of_arrays_are_those_of_their_elements() -> None:
    p, c = philox(1).random((3, 4)), np.array([0.2, 0.5, 0.7, 0.95])
    found = kelly(p, c)
    assert found.shape == (3, 4)
    assert found.tolist() == [
        [float(kelly(x, y)) for x, y in zip(row, c, strict=True)] for row in p
    ]


@pytest.mark.parametrize(
    ("p", "cost", "message"),
    [
        (1.2, 0.5, "a probability is 1.2; expected 0 to 1"),
        (-0.1, 0.5, "a probability is -0.1"),
        (0.5, 0.0, r"a cost is 0.0; expected above 0 dollars"),
    ],
)
def test_impossible_values_are_errors(p: float, cost: float, message: str) -> None:
    for stake in (kelly, kelly_exclusive):
        with pytest.raises(UsageError, match=message):
            stake([p], [cost])


# --- estimates ------------------------------------------------------------------------------------


def test_published_shrunk_stakes() -> None:
    """Baker and McHale (2013): the factor is 0.8, 0.5 and 9/13."""
    found = kelly_shrunk([0.60, 0.55, 0.98], [0.50, 0.50, 0.95], [0.05, 0.05, 0.02])
    assert found == pytest.approx([0.16, 0.05, 0.6 * 9 / 13], abs=1e-12)


@given(PROBABILITY, COST, st.floats(0, 0.5), st.floats(0, 0.5))
def test_doubt_never_raises_a_stake(p: float, cost: float, a: float, b: float) -> None:
    sure, unsure = min(a, b), max(a, b)
    for stake in (kelly_shrunk, kelly_lcb):
        assert stake(p, cost, unsure) <= stake(p, cost, sure) <= kelly(p, cost) + 1e-15
        assert stake(p, cost, 0.0) == kelly(p, cost)


def test_a_lower_bound_is_taken_in_standard_errors() -> None:
    assert float(kelly_lcb(0.60, 0.50, 0.05)) == pytest.approx(0.1)
    assert float(kelly_lcb(0.60, 0.50, 0.05, z=2)) == 0.0
    assert float(kelly_lcb(0.60, 0.50, 0.05, z=0.5)) == pytest.approx(0.15)
    assert float(kelly_lcb(0.01, 0.5, 0.3)) == 0.0


def test_errors_of_estimates_are_not_negative() -> None:
    with pytest.raises(UsageError, match=r"a standard error is -0\.1"):
        kelly_shrunk(0.6, 0.5, -0.1)
    with pytest.raises(UsageError, match="z is -1; expected 0 or more"):
        kelly_lcb(0.6, 0.5, 0.1, z=-1)


# --- exclusive outcomes ---------------------------------------------------------------------------

EXCLUSIVE = [  # probabilities, costs, stakes by hand from R, R, growth to twelve digits
    ([0.5, 0.3, 0.2], [0.40, 0.32, 0.33], [1.5 / 7, 0.5 / 7, 0.0], 5 / 7, 0.024915771992),
    ([0.5, 0.3, 0.2], [0.40, 0.25, 0.40], [1.9 / 7, 1.1 / 7, 0.0], 4 / 7, 0.054345085108),
    ([0.6, 0.3, 0.1], [0.40, 0.31, 0.35], [13.4 / 29, 5.6 / 29, 0.0], 10 / 29, 0.126971044319),
    ([0.35, 0.25], [0.25, 0.20], [0.35 - 2 / 11, 0.25 - 1.6 / 11], 8 / 11, 0.046169678199),
]  # fmt: skip


@pytest.mark.parametrize(("p", "cost", "stakes", "reserve", "best"), EXCLUSIVE)
def test_published_exclusive_stakes(
    p: list[float], cost: list[float], stakes: list[float], reserve: float, best: float
) -> None:
    """Smoczynski and Tomkins (2010)."""
    found = kelly_exclusive(p, cost)
    assert found == pytest.approx(stakes, abs=1e-12)
    assert 1 - found.sum() == pytest.approx(reserve, abs=1e-12)
    wealth = 1 - found.sum() + found / cost
    rest = max(1 - sum(p), 0.0)
    grown = float(np.array(p) @ np.log(wealth)) + rest * np.log(1 - found.sum())
    assert grown == pytest.approx(best, abs=1e-11)


def test_an_outcome_below_its_cost_can_insure_the_others() -> None:
    p, cost = EXCLUSIVE[0][:2]
    assert kelly(p[1], cost[1]) == 0.0
    assert kelly_exclusive(p, cost)[1] > 0.07


def naive_exclusive(p: list[float], cost: list[float]) -> list[float]:
    """The recipe in words: by falling p / c, let in while p / c exceeds what cash is worth."""
    order = sorted(range(len(p)), key=lambda i: -p[i] / cost[i])
    members: list[int] = []
    reserve = 1.0
    for i in order:
        if p[i] / cost[i] <= reserve:
            break
        members.append(i)
        reserve = (1 - sum(p[j] for j in members)) / (1 - sum(cost[j] for j in members))
    return [max(p[i] - reserve * cost[i], 0.0) if i in members else 0.0 for i in range(len(p))]


def events(count: int, n: int, key: int) -> tuple[Floats, Floats]:
    rng = philox(key)
    p = rng.dirichlet(np.ones(n + 1), count)[:, :n]
    return p, np.clip(p * rng.uniform(0.6, 1.4, (count, n)) + 0.01, 0.005, 0.99)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_many_events_at_once_are_each_by_itself(n: int) -> None:
    p, cost = events(400, n, key=n)
    found = kelly_exclusive(p, cost)
    expected = [naive_exclusive(a, b) for a, b in zip(p.tolist(), cost.tolist(), strict=True)]
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    assert found.sum() > 1
    if n == 1:
        assert found == pytest.approx(kelly(p, cost), abs=1e-12)


def test_an_arbitrage_stakes_all_by_the_probabilities() -> None:
    assert kelly_exclusive([0.5, 0.5], [0.4, 0.5]) == pytest.approx([0.5, 0.5])
    assert kelly_exclusive([0.7, 0.3], [0.5, 0.5]) == pytest.approx([0.4, 0.0])  # costs a dollar


def test_outcomes_without_opinion_or_offer_get_nothing_and_change_nothing() -> None:
    p, cost = [0.35, 0.25], [0.25, 0.20]
    alone = kelly_exclusive(p, cost)
    for more_p, more_cost in ((np.nan, 0.1), (0.1, np.nan), (0.0, 0.1), (0.1, 1.0)):
        found = kelly_exclusive([*p, more_p], [*cost, more_cost])
        assert found == pytest.approx([*alone, 0.0])


def test_no_outcomes_have_no_stakes() -> None:
    assert kelly_exclusive(np.empty((3, 0)), np.empty((3, 0))).shape == (3, 0)


def test_exclusive_probabilities_cannot_exceed_one() -> None:
    with pytest.raises(UsageError, match=r"sum to 1\.1, above 1"):
        kelly_exclusive([0.6, 0.5], [0.4, 0.4])
    with pytest.raises(UsageError, match="needs the outcomes of an event"):
        kelly_exclusive(0.6, 0.5)


# --- any set of contracts -------------------------------------------------------------------------


def marginal(q: Floats, payoffs: Floats, costs: Floats, stakes: Floats) -> Floats:
    """What one more dollar in each asset is worth, cash first: at most 1 at the optimum."""
    cash = 1 - stakes.sum()
    wealth = cash + (stakes / costs) @ payoffs
    returns = np.vstack([np.ones(len(q)), payoffs / costs[:, None]])
    possible = q > 0
    worth: Floats = (returns[:, possible] / wealth[possible]) @ q[possible]
    return worth


def assert_optimal(q: Floats, payoffs: Floats, costs: Floats, stakes: Floats) -> None:
    """No asset is worth more than 1, those held are worth 1: growth is within 1e-9 of the best."""
    assert (stakes >= 0).all()
    assert stakes.sum() <= 1 + 1e-12
    worth = marginal(q, payoffs, costs, stakes)
    held = np.concatenate([[1 - stakes.sum()], stakes]) > 1e-9
    assert worth.max() <= 1 + 1e-9
    assert np.abs(worth[held] - 1).max() <= 1e-9


def programs(count: int, key: int) -> list[tuple[Floats, Floats, Floats]]:
    """Random states, contracts of all kinds, some that repeat another, some without an edge."""
    rng = philox(key)
    found = []
    for _ in range(count):
        n, m = rng.integers(1, 9), rng.integers(2, 9)
        q = rng.dirichlet(np.ones(m))
        if rng.random() < 0.2:
            q[0], q = 0.0, q / max(q[1:].sum(), 1e-300)
            q[0] = 0.0
        payoffs = (rng.random((n, m)) < 0.5).astype(float)
        if rng.random() < 0.2:
            payoffs *= rng.choice([0.25, 0.5, 1.0], m)
        costs = np.clip((payoffs @ q) * rng.uniform(0.7, 1.3, n), 0.0005, 1.3)
        if n > 1 and rng.random() < 0.3:
            payoffs[1], costs[1] = payoffs[0], costs[0]
        found.append((q, payoffs, costs))
    return found


@pytest.mark.slow
def test_random_programs_are_solved_to_optimality() -> None:
    staked = 0.0
    for q, payoffs, costs in programs(400, key=3):
        stakes = kelly_program(q, payoffs, costs)
        assert_optimal(q, payoffs, costs, stakes)
        staked += stakes.sum()
    assert staked > 40


def test_exclusive_outcomes_are_a_special_case() -> None:
    for n in (1, 3, 6):
        p, costs = events(40, n, key=10 + n)
        for one, cost in zip(p, costs, strict=True):
            q = np.append(one, 1 - one.sum())
            found = kelly_program(q, np.eye(n, n + 1), cost)
            assert found == pytest.approx(kelly_exclusive(one, cost), abs=1e-9)


def test_two_independent_bets_at_even_money() -> None:
    q, payoffs = [0.36, 0.24, 0.24, 0.16], [[1, 1, 0, 0], [1, 0, 1, 0]]
    assert kelly_program(q, payoffs, [0.5, 0.5]) == pytest.approx([5 / 26] * 2, abs=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5455, 1.0])
def test_two_correlated_bets_at_even_money(rho: float) -> None:
    """By hand: f = (a - d) / (2 (a + d)), a = p^2 + rho p q, d = q^2 + rho p q; 0.1 at rho 1."""
    a, d, b = 0.36 + rho * 0.24, 0.16 + rho * 0.24, (1 - rho) * 0.24
    found = kelly_program([a, b, b, d], [[1, 1, 0, 0], [1, 0, 1, 0]], [0.5, 0.5])
    assert found == pytest.approx([(a - d) / (2 * (a + d))] * 2, abs=1e-9)
    if rho == 1:
        assert found == pytest.approx([0.1, 0.1], abs=1e-9)


def test_three_independent_bets() -> None:
    p = [0.6, 0.55, 0.7]
    states = list(product((1, 0), repeat=3))
    q = [np.prod([x if won else 1 - x for x, won in zip(p, s, strict=True)]) for s in states]
    found = kelly_program(q, np.array(states).T, [0.5, 0.5, 0.6])
    assert found == pytest.approx([0.189252895, 0.091197367, 0.236810548], abs=1e-8)
    assert (found < kelly(p, [0.5, 0.5, 0.6])).all()


def brute(q: Floats, payoffs: Floats, costs: Floats, step: float) -> float:
    """The best growth of all stakes on a grid."""
    grid = np.arange(0, 1 + step / 2, step)
    best = -np.inf
    for stakes in product(grid, repeat=len(costs)):
        cash = 1 - sum(stakes)
        if cash >= -1e-12:
            wealth = cash + (np.array(stakes) / costs) @ payoffs
            if (wealth[q > 0] > 1e-12).all():
                best = max(best, float(q[q > 0] @ np.log(wealth[q > 0])))
    return best


YES_AND_NO = [  # three exclusive outcomes; YES and NO of each, then what can be bought of them
    ([0.5, 0.3, 0.2], [0.45, 0.33, 0.28, 0.52, 0.66, 0.70], [0, 4, 5]),
    ([0.2, 0.2, 0.6], [0.25, 0.25, 0.55, 0.72, 0.78, 0.50], [2, 3, 4]),
    ([0.5, 0.4, 0.1], [0.60, 0.50, 0.20, 0.45, 0.55, 0.75], [3, 4, 5]),
]


@pytest.mark.parametrize(("q", "costs", "offered"), YES_AND_NO)
def test_yes_and_no_together_beat_every_grid_point(
    q: list[float], costs: list[float], offered: list[int]
) -> None:
    payoffs = np.vstack([np.eye(3), 1 - np.eye(3)])[offered]
    states, cost = np.array(q), np.array(costs)[offered]
    stakes = kelly_program(states, payoffs, cost)
    assert_optimal(states, payoffs, cost, stakes)
    found = float(states @ np.log(1 - stakes.sum() + (stakes / cost) @ payoffs))
    best = brute(states, payoffs, cost, 0.02)
    assert best <= found + 1e-12
    assert found - best < 2e-3  # the grid comes near: it was the same question


def test_no_of_another_outcome_can_be_better_than_yes() -> None:
    """NO of the second pays in the first and third: cheap enough, it takes the place of YES."""
    states, cost = np.array([0.5, 0.1, 0.4]), np.array([0.49, 0.80])
    stakes = kelly_program(states, [[1, 0, 0], [1, 0, 1]], cost)
    assert stakes[1] > 0.4
    assert stakes[0] < 0.01


def test_what_cannot_happen_does_not_matter() -> None:
    one = kelly_program([0.6, 0.4], [[1, 0]], [0.5])
    more = kelly_program([0.6, 0.0, 0.4], [[1, 0.3, 0]], [0.5])
    assert one == pytest.approx([0.2], abs=1e-9)
    assert more == pytest.approx(one, abs=1e-12)
    assert kelly_program([1.0, 0.0], [[1, 0]], [0.9]) == pytest.approx([1.0], abs=1e-9)


def test_contracts_at_their_worth_or_above_are_left_alone() -> None:
    assert kelly_program([0.5, 0.5], [[1, 0], [0, 1]], [0.5, 0.6]).tolist() == [0.0, 0.0]
    assert kelly_program([0.5, 0.5], np.empty((0, 2)), []).tolist() == []


def test_an_arbitrage_takes_all_the_capital_and_no_more() -> None:
    stakes = kelly_program([0.6, 0.4], [[1, 0], [0, 1]], [0.5, 0.3])
    assert stakes == pytest.approx([0.6, 0.4], abs=1e-9)


def test_rows_are_contracts_and_the_transpose_is_recognised_by_its_shape() -> None:
    payoffs, costs = np.array([[1.0, 0, 0], [1, 1, 0]]), [0.3, 0.6]
    q = [0.4, 0.3, 0.3]
    assert (kelly_program(q, payoffs.T, costs) == kelly_program(q, payoffs, costs)).all()
    square = np.array([[1.0, 1.0], [0, 1]])  # the first pays for certain
    assert kelly_program([0.5, 0.5], square, [0.9, 0.6]) == pytest.approx([1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize(
    ("q", "payoffs", "costs", "message"),
    [
        ([0.6, 0.5], [[1, 0]], [0.5], "states sum to 1.1; expected 1"),
        ([1.5, -0.5], [[1, 0]], [0.5], "states sum to 1; expected 1, none < 0"),
        ([0.6, np.nan], [[1, 0]], [0.5], "states sum to nan"),
        ([0.6, 0.4], [[1, 0, 0]], [0.5], r"shape \(1, 3\); expected one row a contract: \(1, 2\)"),
        ([0.6, 0.4], [[1, -1]], [0.5], "a payoff is negative or not finite"),
        ([0.6, 0.4], [[1, np.inf]], [0.5], "a payoff is negative or not finite"),
        ([0.6, 0.4], [[1, 0]], [0.0], "a cost is not above 0"),
        ([0.6, 0.4], [[1, 0]], 0.5, "must each have one dimension"),
    ],
)
def test_programs_that_make_no_sense_are_errors(
    q: list[float], payoffs: list[list[float]], costs: list[float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        kelly_program(q, payoffs, costs)


# --- groups ---------------------------------------------------------------------------------------


def test_a_group_is_scaled_to_its_cap_and_others_stay() -> None:
    stakes, groups = [0.2, 0.1, 0.3, 0.05], ["a", "b", "a", "b"]
    assert cap_groups(stakes, groups, 0.25) == pytest.approx([0.1, 0.1, 0.15, 0.05])
    assert cap_groups(stakes, groups, 0.0).tolist() == [0.0] * 4
    assert cap_groups(stakes, groups, 1.0).tolist() == stakes


@pytest.mark.parametrize(("stakes", "cap"), [([-0.1], 0.5), ([0.1], -0.5), ([np.nan], 0.5)])
def test_caps_and_stakes_are_not_negative(stakes: list[float], cap: float) -> None:
    with pytest.raises(UsageError, match="negative or not a number"):
        cap_groups(stakes, ["a"], cap)
