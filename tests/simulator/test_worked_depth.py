"""Recorded depth is taken once, worked by hand: what a run took of a level is not there again.

A row of the record meets the book before it; orders are decided at a second and sent at once.
"""

from dataclasses import replace
from typing import Any

import pytest
from one_book import RULES, Told, second, tape, traded
from one_market import ends, fills, intent

from kalshi_bt.simulator.simulate import Simulation

BIDS, ASKS = [(48, 10), (47, 20)], [(52, 10), (53, 20)]


def buy(at: float, contracts: int, **values: Any) -> dict[str, Any]:
    return intent(time=second(at), quantity=100 * contracts, **values)


def close(at: float) -> dict[str, Any]:
    return intent(time=second(at), side=0, quantity=None)


def still(*seconds: float) -> list[Told]:
    return [(t, BIDS, ASKS) for t in seconds]


def bought(result: Simulation, order: int) -> list[tuple[int, int]]:
    """(cents, contracts) of an order's purchases."""
    rows = fills(result, "order_id", "leg", "price", "quantity")
    return [(price // 100, q // 100) for n, leg, price, q in rows if (n, leg) == (order, "entry")]


def sold(result: Simulation) -> list[tuple[int, int]]:
    rows = fills(result, "leg", "price", "quantity")
    return [(price // 100, -q // 100) for leg, price, q in rows if leg == "exit"]


# --- entries --------------------------------------------------------------------------------------


def test_what_was_taken_is_not_offered_again() -> None:
    # Four are bought at 0.52 and sold again; the same ten go on to be displayed, six are there.
    made = tape(still(0, 2, 4, 6, 8))
    result = traded(made, buy(1, 4), close(2), buy(4, 10))
    assert bought(result, 0) == [(52, 4)]
    assert bought(result, 2) == [(52, 6), (53, 4)]


def test_a_level_that_is_used_up_is_passed_over() -> None:
    made = tape(still(0, 2, 4, 6, 8))
    result = traded(made, buy(1, 10), close(2), buy(4, 3))
    assert bought(result, 2) == [(53, 3)]
    # It is still the best offer: a limit at it finds nothing, but is not beyond it.
    result = traded(made, buy(1, 10), close(2), buy(4, 3, limit=5_200))
    assert ends(result)[2] == ("canceled", "no_volume", 0)
    result = traded(made, buy(1, 10), close(2), buy(4, 3, limit=5_100))
    assert ends(result)[2] == ("canceled", "beyond_limit", 0)


def test_a_level_that_shrinks_shrinks_what_was_taken() -> None:
    # Four of ten taken. Five displayed leave one.
    made = tape([*still(0, 2), (3, BIDS, [(52, 5), (53, 20)]), (6, BIDS, ASKS)])
    assert bought(traded(made, buy(1, 4), close(2), buy(4, 3)), 2) == [(52, 1), (53, 2)]
    # Three displayed were all taken; back at ten, seven of them are new.
    made = tape([*still(0, 2), (3, BIDS, [(52, 3), (53, 20)]), *still(4, 6, 8)])
    assert bought(traded(made, buy(1, 4), close(2), buy(5, 9)), 2) == [(52, 7), (53, 2)]


def test_a_level_that_grows_offers_what_is_new() -> None:
    made = tape([*still(0, 2), (3, BIDS, [(52, 12), (53, 20)]), (6, BIDS, ASKS)])
    assert bought(traded(made, buy(1, 10), close(2), buy(4, 3)), 2) == [(52, 2), (53, 1)]


def test_a_level_that_was_gone_is_new() -> None:
    made = tape([*still(0, 2), (3, BIDS, [(53, 20)]), *still(4, 6, 8)])
    assert bought(traded(made, buy(1, 10), close(2), buy(5, 10)), 2) == [(52, 10)]


def test_after_a_gap_in_the_record_nothing_is_known_to_be_taken() -> None:
    made = tape([*still(0, 2), (3, None, None), *still(4, 6, 8)])
    assert bought(traded(made, buy(1, 10), close(2), buy(5, 10)), 2) == [(52, 10)]


def test_a_row_is_looked_at_after_what_is_taken_on_it() -> None:
    # The row of second 2 takes ten of ten and leaves a book of four: none of them is new.
    four = [(52, 4), (53, 20)]
    made = tape([(0, BIDS, ASKS), (2, BIDS, four), (3, BIDS, four), *still(5, 7)])
    result = traded(made, buy(1, 10), close(2), buy(3, 2))
    assert bought(result, 2) == [(53, 2)]


def test_only_whole_lots_are_left() -> None:
    made = tape([(0, BIDS, [(52, 10)]), *((t, BIDS, [(52, 10)]) for t in (2, 4, 6, 8))])
    result = traded(made, intent(time=second(1), quantity=950), close(2), buy(4, 2))
    # Nine and a half taken: the half that is left is no lot.
    assert ends(result)[2] == ("canceled", "no_volume", 0)


def test_both_halves_of_the_book_are_kept_apart() -> None:
    # YES is bought from the asks; NO at 1 - 0.48 from the bids: ten, of which none was taken.
    made = tape(still(0, 2, 4, 6, 8), close=None)
    no = intent(time=second(2), side=-1, quantity=1_400)
    result = traded(made, buy(1, 4), no)
    assert fills(result, "reason", "price", "quantity")[1:] == [
        ("netting", 4_800, -400),
        ("entry", 4_800, -600),
        ("entry", 4_700, -400),
    ]


def test_a_resting_order_takes_on_arrival_what_is_left() -> None:
    made = tape(still(0, 2, 4, 6, 8), [(7, 51, 30)])
    rests = buy(4, 10, kind="limit", limit=5_200, valid_bars=20)
    result = traded(made, buy(1, 7), close(2), rests)
    # Three at 0.52 at once; trades below its price then fill the rest as a maker.
    assert bought(result, 2) == [(52, 3), (52, 7)]
    assert [role for (role,) in fills(result, "role")][-2:] == ["taker", "maker"]


# --- exits ----------------------------------------------------------------------------------------


def test_bids_are_taken_once_as_well() -> None:
    # Ten are sold at 0.48, which stays displayed: the next ten go at 0.47.
    made = tape(still(0, 2, 4, 6, 8, 10))
    result = traded(made, buy(1, 10), close(2), buy(4, 10), close(6))
    assert sold(result) == [(48, 10), (47, 10)]


def test_an_exit_goes_on_with_the_level_below() -> None:
    # Thirty bid in all, forty held: what is left waits for bids that are new.
    more = [(48, 10), (47, 20), (46, 5)]
    made = tape([(0, BIDS, [(52, 90)]), *((t, BIDS, [(52, 90)]) for t in (2, 4, 6)),
                 (7, more, [(52, 90)]), (8, more, [(52, 90)])])  # fmt: skip
    result = traded(made, buy(1, 40), close(2))
    assert sold(result) == [(48, 10), (47, 20), (46, 5)]


def test_on_one_row_the_second_sees_what_the_first_has_left() -> None:
    # NO for four is under way when the bid falls to the stop: on the row of second 5 it takes four
    # of ten at 0.44, then the stop sells its six there.
    fallen = [(44, 10), (43, 20)]
    made = tape([*still(0, 2), (4, fallen, ASKS), (5, fallen, ASKS), (7, fallen, ASKS)])
    slow = replace(RULES, latency=1_500_000)
    first = buy(0, 10, stop=4_500)
    no = intent(time=second(3), side=-1, quantity=400)
    result = traded(made, first, no, rules=slow)
    rows = fills(result, "reason", "price", "quantity")
    assert rows == [("entry", 5_200, 1_000), ("stop", 4_400, -600), ("netting", 4_400, -400)]
    # With seven to sell, four of ten being gone, one goes at the next level.
    seven = traded(made, buy(0, 11, stop=4_500), no, rules=slow)
    assert sold(seven) == [(44, 6), (43, 1), (44, 4)]
    assert seven.fills["time"].to_list()[2:] == [second(5)] * 3


@pytest.mark.parametrize(("traded_at_60", "left"), [(12, 4), (8, 2), (6, 0), (4, 0)])
def test_trades_fill_the_resting_orders_of_a_run_once(traded_at_60: int, left: int) -> None:
    # NO for six rests at 0.57 of YES, the target for ten at 0.58; both are traded through at 0.60.
    made = tape(still(0, 2, 4), [(5, 60, traded_at_60)])
    rests = intent(time=second(3), side=-1, quantity=600, kind="limit", limit=5_700, valid_bars=9)
    result = traded(made, buy(1, 10, target=5_800), rests)
    netted = min(traded_at_60, 6)
    expected = [("netting", 5_700, -100 * netted)]
    expected = ([("target", 5_800, -100 * left)] if left else []) + expected
    assert fills(result, "reason", "price", "quantity")[1:] == expected
