"""Collateral return: what positions of one event cannot lose together is free to use."""

from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_market import at, bars, ends, fills, intent, paid, run

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.collateral import ALONE, EXCLUSIVE, LADDER, guaranteed
from kalshi_bt.simulator.simulate import Simulation

HELD = st.lists(st.integers(-5, 5), min_size=1, max_size=5)


def payout(held: list[int], yes: set[int]) -> int:
    """Dollars that signed contracts pay where the markets of `yes` are."""
    return sum(abs(q) for m, q in enumerate(held) if q != 0 and (m in yes) == (q > 0))


def worth(kind: int, held: list[int]) -> float:
    return settled_worth(kind, held, [-1] * len(held))


def settled_worth(kind: int, held: list[int], paid: list[int]) -> float:
    """Dollars, where markets were settled at `paid`, -1: open."""
    both = np.array(held, np.int64) * 100, np.array(paid, np.int64)
    return int(guaranteed(kind, *both)) / 1_000_000


# --- the worst case, by brute force ---------------------------------------------------------------


@settings(deadline=None)
@given(HELD)
def test_exclusive_markets_pay_at_least_their_worst_outcome(held: list[int]) -> None:
    """None is YES, or exactly one."""
    outcomes: list[set[int]] = [set(), *({m} for m in range(len(held)))]
    assert worth(EXCLUSIVE, held) == min(payout(held, yes) for yes in outcomes)


@settings(deadline=None)
@given(HELD)
def test_exclusive_credit_is_by_its_formula(held: list[int]) -> None:
    """N less the most that one market can take of it: max(0, N - max(0, max(no - yes)))."""
    no = [max(-q, 0) for q in held]
    yes = [max(q, 0) for q in held]
    most = max(n - y for n, y in zip(no, yes, strict=True))
    assert worth(EXCLUSIVE, held) == max(0, sum(no) - max(0, most))


@settings(deadline=None)
@given(HELD)
def test_a_ladder_pays_at_least_its_worst_outcome(held: list[int]) -> None:
    """The value passes some of the thresholds, always the lowest ones."""
    outcomes = [set(range(passed)) for passed in range(len(held) + 1)]
    assert worth(LADDER, held) == min(payout(held, yes) for yes in outcomes)


@settings(deadline=None)
@given(HELD)
def test_markets_that_exclude_nothing_guarantee_nothing(held: list[int]) -> None:
    # Any subset may be YES: the worst one loses every position.
    subsets = ({m for m, yes in enumerate(p) if yes} for p in product((0, 1), repeat=len(held)))
    assert min(payout(held, yes) for yes in subsets) == 0
    assert worth(ALONE, held) == 0


@settings(deadline=None)
@given(
    st.sampled_from([EXCLUSIVE, LADDER]),
    st.lists(
        st.tuples(st.integers(-5, 5), st.sampled_from([-1, -1, 0, 10_000, 4_000])),
        min_size=1,
        max_size=5,
    ),
)
def test_what_was_settled_leaves_only_the_outcomes_that_agree(
    kind: int, told: list[tuple[int, int]]
) -> None:
    held, paid = [q for q, _ in told], [p for _, p in told]
    markets = range(len(held))
    outcomes: list[set[int]] = (
        [set(range(k)) for k in range(len(held) + 1)]
        if kind == LADDER
        else [set(), *({m} for m in markets)]
    )
    agreeing = [
        yes for yes in outcomes if all(paid[m] in (-1, 10_000 if m in yes else 0) for m in markets)
    ]
    expected = min((payout(held, yes) for yes in agreeing), default=0)
    assert settled_worth(kind, held, paid) == (0 if 4_000 in paid else expected)


@settings(deadline=None)
@given(st.sampled_from([EXCLUSIVE, LADDER]), HELD, st.integers(0, 4), st.integers(1, 3))
def test_more_of_a_position_never_guarantees_less(
    kind: int, held: list[int], market: int, more: int
) -> None:
    market %= len(held)
    grown = list(held)
    grown[market] += more if held[market] >= 0 else -more
    assert worth(kind, grown) >= worth(kind, held)


def test_examples_by_hand() -> None:
    # Three NO of A, B, C each: at most one is YES, so two of three pay.
    assert worth(EXCLUSIVE, [-1, -1, -1]) == 2
    # NO of A alone may be the one that loses; YES anywhere may lose too.
    assert worth(EXCLUSIVE, [-1, 0, 0]) == 0
    assert worth(EXCLUSIVE, [1, 1, 1]) == 0
    # Three NO of A, one of B: A is YES, one dollar.
    assert worth(EXCLUSIVE, [-3, -1]) == 1
    # YES above 10, NO above 20: below 10 NO pays, between both do, above 20 YES pays.
    assert worth(LADDER, [2, -2]) == 2
    # The other way round nothing pays in between.
    assert worth(LADDER, [-2, 2]) == 0


# --- in a run -----------------------------------------------------------------------------------


def listed(*strikes: float | None, exclusive: bool | None) -> list[dict[str, Any]]:
    return [
        {
            "ticker": f"M{m}",
            "event": "E",
            "series": "S",
            "mutually_exclusive": exclusive,
            "strike_type": None if strike is None else "greater",
            "floor_strike": strike,
        }
        for m, strike in enumerate(strikes)
    ]


CHEAP = {"bid": 5_000, "ask": 5_000}
# Ten NO at 0.50 cost $5 and 0.07 x 10 x 0.25 = $0.175 of fee.
COST = 5_175_000
FILL = FillModel(participation=None)


def walked(
    orders: list[dict[str, Any]], cash: int, markets: list[dict[str, Any]], **given: Any
) -> Simulation:
    tape = pl.concat([bars(*[CHEAP] * 8, market=m) for m in range(len(markets))])
    rules = {"collateral": True} | given.pop("rules", {})
    return run(
        tape,
        orders,
        Rules(cash=cash, latency=0, fill=FILL, pauses=False, balance_precision=100, **rules),
        listed=markets,
        **given,
    )


def no(market: int, minute: int, **values: Any) -> dict[str, Any]:
    return intent(market=market, time=at(minute), side=-1, limit=5_000, **values)


EXCLUDING = listed(None, None, None, exclusive=True)


def test_a_second_no_of_an_exclusive_event_frees_its_dollar() -> None:
    # $11 buy ten NO twice and leave $0.65. Ten dollars come back, as one of the two must pay:
    # the third ten at $5.175 are bought with them.
    three = [no(0, 0), no(1, 2), no(2, 4)]
    assert [e[2] for e in ends(walked(three, 11_000_000, EXCLUDING))] == [1_000, 1_000, 1_000]
    # Without the return there is room for one contract more: 0.50 + 0.0175 + a cent each way.
    off = walked(three, 11_000_000, EXCLUDING, rules={"collateral": False})
    assert [e[2] for e in ends(off)] == [1_000, 1_000, 100]


def test_one_position_frees_nothing() -> None:
    both = [no(0, 0), no(1, 2)]
    result = walked(both, COST + 100_000, EXCLUDING)
    assert ends(result)[1] == ("rejected", "cash", 0)


def test_markets_that_may_all_be_yes_free_nothing() -> None:
    three = [no(0, 0), no(1, 2), no(2, 4)]
    for markets in (
        listed(None, None, None, exclusive=None),
        listed(None, None, None, exclusive=False),
        listed(1.0, 1.0, 2.0, exclusive=False),  # two of one threshold
        listed(1.0, None, 2.0, exclusive=False),
    ):
        assert [e[2] for e in ends(walked(three, 11_000_000, markets))] == [1_000, 1_000, 100]


def test_a_ladder_is_by_threshold_not_by_listing() -> None:
    # Thresholds 30, 10, 20. YES above 10 (M1) and NO above 30 (M0): one of them must pay.
    ladder = listed(30.0, 10.0, 20.0, exclusive=False)
    yes = intent(market=1, time=at(2), limit=5_000)
    third = no(2, 4)
    assert ends(walked([no(0, 0), yes, third], 11_000_000, ladder))[2] == ("filled", None, 1_000)
    # NO above 10 and YES above 30 may both fail.
    other = [no(1, 0), intent(market=0, time=at(2), limit=5_000), third]
    assert ends(walked(other, 11_000_000, ladder))[2][2] == 100


def test_what_is_lent_ends_with_the_positions() -> None:
    # M0 pays NO at minute 4: its ten dollars are cash then, and nothing is lent on M1 alone.
    first = [no(0, 0), no(1, 2)]
    late = no(2, 5, quantity=3_000)
    result = walked([*first, late], 11_000_000, EXCLUDING, outcomes=[paid(4, 0)])
    # $0.65 and $10: 0.50 q + 0.07 q / 4 up to a cent + 0.01: at 20 contracts 10.36, at 21 10.88.
    assert ends(result)[2] == ("filled", "cash", 2_000)
    # M0 pays YES: its NO is lost, but that of M1 is now sure of its ten dollars, which are lent.
    lost = walked([*first, late], 11_000_000, EXCLUDING, outcomes=[paid(4, 10_000)])
    assert ends(lost)[2] == ("filled", "cash", 2_000)
    # Something between: the event does not follow its rule, and $0.65 and ten times 0.60 are free.
    odd = walked([*first, late], 11_000_000, EXCLUDING, outcomes=[paid(4, 4_000)])
    # 0.5175 a contract and a cent: twelve need 6.22, thirteen 6.74.
    assert ends(odd)[2] == ("filled", "cash", 1_200)


def test_results_of_markets_that_are_not_held_count() -> None:
    orders = [no(0, 0), no(1, 5, quantity=3_000)]
    third = {"ticker": "M2"}
    # $0.50 are left after ten NO of M0; when M2 is YES at minute 4, or was before, M0 is sure.
    for minute in (4, -1):
        sure = walked(orders, COST + 500_000, EXCLUDING, outcomes=[paid(minute, 10_000) | third])
        # $10.50: twenty need 10.36.
        assert ends(sure)[1] == ("filled", "cash", 2_000)
    for payout_of in (0, 5_000):
        result = walked(orders, COST + 500_000, EXCLUDING, outcomes=[paid(4, payout_of) | third])
        assert ends(result)[1][:2] == ("rejected", "cash")
    # At minute 5 it is known to what is decided then, at minute 6 it is not yet.
    late = walked(orders, COST + 500_000, EXCLUDING, outcomes=[paid(6, 10_000) | third])
    assert ends(late)[1][:2] == ("rejected", "cash")
    on_time = walked(orders, COST + 500_000, EXCLUDING, outcomes=[paid(5, 10_000) | third])
    assert ends(on_time)[1] == ("filled", "cash", 2_000)


def spent(*orders: dict[str, Any], outcomes: Any = ()) -> Simulation:
    """Ten NO of M0 and M1 for $10.35 of $11, and eighteen YES of an event of its own for $9.315.

    Of the ten dollars that M0 and M1 lend $1.335 are still free.
    """
    alone = {"ticker": "M3", "event": "F", "mutually_exclusive": False}
    markets = [*EXCLUDING, EXCLUDING[0] | alone]
    other = intent(market=3, time=at(3), limit=5_000, quantity=1_800)
    asked = [no(0, 0), no(1, 1), other, *orders]
    return walked(asked, 11_000_000, markets, outcomes=list(outcomes))


def test_what_backs_a_loan_is_not_sold() -> None:
    # A contract of M1 brings 0.4825 and takes a dollar of what is lent with it: two fit in 1.335.
    close = intent(market=1, time=at(4), side=0, quantity=None)
    result = spent(close)
    sold = [f for f in fills(result) if f[0] == "signal"]
    assert sold == [("signal", "taker", 200, 5_000)]
    assert ends(result)[3][0] == "filled"
    # Once M0 has paid its ten dollars the rest is sold.
    free = spent(close, outcomes=[paid(5, 0)])
    assert [f[2] for f in fills(free) if f[0] == "signal"] == [200, 800]


def test_what_backs_a_loan_is_not_netted() -> None:
    opposing = intent(market=1, time=at(4), limit=5_000)
    result = spent(opposing)
    assert [f for f in fills(result) if f[0] == "netting"] == [("netting", "taker", 200, 5_000)]
    assert ends(result)[3] == ("partial", "no_volume", 200)


def test_a_position_that_is_sold_frees_nothing_any_more() -> None:
    close = intent(market=1, time=at(4), side=0, quantity=None)
    third = no(2, 6)
    result = walked([no(0, 0), no(1, 2), close, third], 11_000_000, EXCLUDING)
    # Sold at 0.50 less $0.175: 0.65 + 4.825 = $5.475 free, nothing lent on M0 alone. Ten contracts
    # need 5 + 0.18 + 0.01.
    assert fills(result)[2][0] == "signal"
    assert ends(result)[3] == ("filled", None, 1_000)
    short = walked([no(0, 0), no(1, 2), close, third], 10_600_000, EXCLUDING)
    # $0.40 less: 5.075 hold nine.
    assert ends(short)[3] == ("filled", "cash", 900)


def test_the_structure_of_the_markets_must_be_known() -> None:
    from kalshi_bt import schema
    from kalshi_bt.simulator.simulate import simulate
    from kalshi_bt.simulator.tape import prepare

    since = pl.DataFrame(
        {"market": [0], "from_time": [at(-1)], "taker": [0], "maker": [0]},
        schema={
            "market": pl.UInt32,
            "from_time": schema.Time,
            "taker": pl.Int64,
            "maker": pl.Int64,
        },
    )
    plain = pl.DataFrame({"ticker": ["M0"], "event": ["E"], "series": ["S"]}).with_columns(
        close_time=pl.lit(None, dtype=schema.Time)
    )
    tape = prepare(bars({}, {}), plain, schema.SETTLEMENTS.empty(), since)
    with pytest.raises(UsageError, match="mutually_exclusive"):
        simulate(tape, schema.INTENTS.empty(), Rules(collateral=True))
