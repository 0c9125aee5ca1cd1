"""Lent collateral, worked by hand: what it keeps from being sold, and what results do to it.

All markets quote 0.50 on both sides: ten contracts cost 5.00 and 0.07 x 10 x 0.25 = 0.175 of fee.
"""

from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_market import at, bars, ends, fills, intent, paid, run

from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.simulate import Simulation

DEEP = FillModel(participation=None)
EVEN = {"bid": 5_000, "ask": 5_000}


def listed(*strikes: float | None, exclusive: bool) -> list[dict[str, Any]]:
    """Markets of one event, and a last one that has nothing to do with it."""
    related = [
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
    alone = {"ticker": f"M{len(strikes)}", "event": "F", "series": "S"}
    return [*related, alone | {"mutually_exclusive": False}]


EXCLUSIVE = listed(None, None, None, exclusive=True)
LADDER = listed(10.0, 20.0, 30.0, exclusive=False)


def no(market: int, minute: int, **values: Any) -> dict[str, Any]:
    return intent(market=market, time=at(minute), side=-1, limit=5_000, **values)


def walked(
    orders: list[dict[str, Any]], cash: float, markets: list[dict[str, Any]], **given: Any
) -> Simulation:
    tape = pl.concat([bars(*[EVEN] * 12, market=m) for m in range(len(markets))])
    rules = {"collateral": True} | given.pop("rules", {})
    money = round(cash * 1_000_000)
    fine = {"balance_precision": 100} | rules
    rules = Rules(cash=money, latency=0, fill=DEEP, pauses=False, **fine)
    return run(tape, orders, rules, listed=markets, **given)


# --- what was lent is not sold --------------------------------------------------------------------

# Three NO of an exclusive event cost 15.525; two of the three pay, so 20 come back of 11. Of the
# 15.475 there are then, 29 YES of another event take 14.50 and 0.5075: 0.4675 is left.
LEGS = [no(0, 0), no(1, 1), no(2, 2)]
SPENT = [*LEGS, intent(market=3, time=at(3), quantity=2_900, limit=5_000)]


def close(market: int, minute: int) -> dict[str, Any]:
    return intent(market=market, time=at(minute), side=0, quantity=None)


def test_a_leg_whose_collateral_was_lent_is_not_sold() -> None:
    # A leg sold brings 0.4825 and takes back 1.00: the first one lacks 0.05.
    result = walked([*SPENT, close(0, 5)], 11, EXCLUSIVE)
    assert [e[2] for e in ends(result)[:4]] == [1_000, 1_000, 1_000, 2_900]
    assert len(fills(result)) == 4


def test_a_leg_is_sold_as_far_as_its_collateral_can_be_given_back() -> None:
    # A dollar more: two legs lack 1.035 of 1.4675, the third would lack 1.5525.
    result = walked([*SPENT, close(0, 5)], 12, EXCLUSIVE)
    assert fills(result)[1] == ("signal", "taker", 200, 5_000)
    assert len(fills(result)) == 5


def test_what_could_not_be_sold_waits_until_it_can() -> None:
    # The other position is sold at minute 8 for 14.50 less 0.5075: all of the leg can go then.
    result = walked([*SPENT, close(0, 5), close(3, 7)], 11, EXCLUSIVE)
    rows = fills(result, "order_id", "reason", "quantity", "time")
    sold = [row for row in rows if row[1] == "signal"]
    assert sold == [(0, "signal", 1_000, at(9)), (3, "signal", -2_900, at(8))]


def test_netting_gives_collateral_back_as_a_sale_does() -> None:
    # YES of the first market sells its NO: two of ten, as above.
    turn = intent(market=0, time=at(5), limit=5_000)
    result = walked([*SPENT, turn], 12, EXCLUSIVE)
    assert fills(result, "order_id", "trade_id", "reason", "quantity")[-1] == (4, 0, "netting", 200)
    assert ends(result)[4] == ("partial", "no_volume", 200)
    refused = walked([*SPENT, turn], 11, EXCLUSIVE)
    assert ends(refused)[4] == ("canceled", "cash", 0)


def test_an_order_steps_down_from_its_own_size() -> None:
    # The half that would open reserves 0.27 of 1.0775: 0.8075 at 0.5175 a contract are 1.56, and of
    # 10.50 less whole contracts that is 1.50. A sale of the ten has all of it, for two.
    turn = intent(market=0, time=at(5), limit=5_000, quantity=1_050)
    netted = walked([*SPENT, turn], 11.61, EXCLUSIVE)
    assert fills(netted)[-1] == ("netting", "taker", 150, 5_000)
    sold = walked([*SPENT, close(0, 5)], 11.61, EXCLUSIVE)
    assert fills(sold)[1] == ("signal", "taker", 200, 5_000)


@pytest.mark.parametrize(("fractions", "quantity"), [(False, 283_500), (True, 283_574)])
def test_large_legs_are_sold_to_the_last_lot_that_is_covered(
    fractions: bool,  # noqa: FBT001 - a parameter
    quantity: int,
) -> None:
    # A thousand times as much: 1 467.50 at 0.5175 a contract are 2 835.74.
    orders = [order | {"quantity": 1_000 * order["quantity"]} for order in SPENT]
    rules = {"fractions": fractions}
    sold = walked([*orders, close(0, 5)], 12_000, EXCLUSIVE, rules=rules)
    assert fills(sold)[1] == ("signal", "taker", quantity, 5_000)
    turn = intent(market=0, time=at(5), limit=5_000, quantity=1_000_000)
    netted = walked([*orders, turn], 12_000, EXCLUSIVE, rules=rules)
    assert fills(netted)[-1] == ("netting", "taker", quantity, 5_000)


def test_without_the_return_a_leg_is_sold_freely() -> None:
    off = {"collateral": False}
    result = walked([*LEGS, close(0, 5)], 16, EXCLUSIVE, rules=off)
    assert fills(result)[1] == ("signal", "taker", 1_000, 5_000)


# --- what has been paid ---------------------------------------------------------------------------


def free(result: Simulation) -> int:
    """Whole cents that were free for the last order, of contracts at 0.01 without a fee."""
    return int(result.orders["quantity"][-1]) // 100


def probed(
    held: dict[int, int], results: dict[int, int], markets: list[dict[str, Any]], cash: int = 50
) -> int:
    """Cents of credit of positions (contracts by market) once results were paid; no fees.

    A probe in the last market, worth 0.01 a contract and 0.01 for rounding, takes all that is free.
    """
    orders = [
        intent(market=m, side=1 if q > 0 else -1, quantity=100 * abs(q), limit=5_000)
        for m, q in sorted(held.items())
    ]
    last = len(markets) - 1
    probe = intent(market=last, time=at(8), quantity=10**8, limit=100)
    outcomes = [paid(5, payout, f"M{m}") for m, payout in sorted(results.items())]
    result = walked([*orders, probe], cash, markets, outcomes=outcomes, taker=0)
    assert all(order[2] for order in ends(result)[:-1])
    spent = sum(50 * abs(q) for q in held.values())
    return free(result) + 1 - (100 * cash - spent)


ALL_NO = {0: -10, 1: -10, 2: -10}
REST = {1: -10, 2: -10}


@pytest.mark.parametrize(
    ("held", "results", "dollars"),
    [
        (ALL_NO, {}, 20),  # one of the three may lose
        (REST, {}, 10),
        (REST, {0: 10_000}, 20),  # the first is YES: both others are NO
        (REST, {0: 0}, 10),
        ({2: -10}, {0: 0, 1: 0}, 0),  # the last may be YES
        ({2: -10}, {0: 0, 1: 10_000}, 10),
        ({2: 10}, {0: 0, 1: 0}, 0),  # none may be
        (REST, {0: 5_000}, 0),  # paid in between: nothing is sure any more
    ],
)
def test_results_of_exclusive_markets_leave_fewer_outcomes(
    held: dict[int, int], results: dict[int, int], dollars: int
) -> None:
    assert probed(held, results, EXCLUSIVE) == 100 * dollars


@pytest.mark.parametrize(
    ("held", "results", "dollars"),
    [
        ({1: -10, 2: -10}, {}, 0),  # all may be passed
        ({1: -10, 2: -10}, {0: 0}, 20),  # not above 10: not above 20 or 30 either
        ({1: -10, 2: -10}, {0: 10_000}, 0),
        ({0: 10, 1: 10}, {2: 10_000}, 20),  # above 30: above 10 and 20 too
        ({0: 10, 1: -10}, {2: 0}, 10),
        ({0: 10, 2: -10}, {1: 10_000}, 10),  # above 20: the first is sure
        ({1: 10, 2: -10}, {0: 0}, 10),
        ({0: 10, 1: 10}, {2: 2_500}, 0),
    ],
)
def test_results_of_a_ladder_leave_fewer_outcomes(
    held: dict[int, int], results: dict[int, int], dollars: int
) -> None:
    assert probed(held, results, LADDER) == 100 * dollars


def test_results_that_cannot_be_leave_nothing() -> None:
    # Above 30 but not above 10; two of which at most one may be.
    assert probed({1: 10}, {0: 0, 2: 10_000}, LADDER) == 0
    assert probed({2: -10}, {0: 10_000, 1: 10_000}, EXCLUSIVE) == 0


def test_what_is_paid_ends_what_was_lent_on_it_and_no_more() -> None:
    # Ten NO of each; the first is paid 0: 10.00 come in, and of the other two one may lose.
    spent, paid_out = 15, 10
    assert probed(ALL_NO, {0: 0}, EXCLUSIVE) == 100 * (10 + paid_out)
    # It is YES: nothing comes in, and both others are sure.
    assert probed(ALL_NO, {0: 10_000}, EXCLUSIVE) == 100 * 20
    assert spent < 20


def worst(markets: int, kind: str, held: dict[int, int], results: dict[int, int]) -> int:
    """Dollars for sure, over every set of markets that may be YES together."""
    if any(payout not in {0, 10_000} for payout in results.values()):
        return 0
    totals = []
    for count in range(markets + 1):
        for yes in combinations(range(markets), count):
            ladder = yes == tuple(range(count))
            if not (ladder if kind == "ladder" else count <= 1):
                continue
            if any((m in yes) != (payout == 10_000) for m, payout in results.items()):
                continue
            kept = {m: q for m, q in held.items() if m not in results}
            totals.append(sum(abs(q) for m, q in kept.items() if (m in yes) == (q > 0)))
    return min(totals, default=0)


def payouts(held: dict[int, int], results: dict[int, int]) -> int:
    """Cents that results pay positions."""
    own = {m: p if held[m] > 0 else 10_000 - p for m, p in results.items() if m in held}
    return sum(abs(held[m]) * p // 100 for m, p in own.items())


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["ladder", "exclusive"]),
    st.dictionaries(st.integers(0, 3), st.integers(-5, 5).filter(bool), max_size=4),
    st.dictionaries(st.integers(0, 3), st.sampled_from([0, 10_000, 0, 10_000, 5_000]), max_size=3),
)
def test_credit_is_the_worst_of_all_outcomes_that_are_left(
    kind: str, held: dict[int, int], results: dict[int, int]
) -> None:
    strikes = (10.0, 20.0, 30.0, 40.0) if kind == "ladder" else (None,) * 4
    markets = listed(*strikes, exclusive=kind == "exclusive")
    sure = 100 * worst(4, kind, held, results)
    assert probed(held, results, markets) == sure + payouts(held, results)
