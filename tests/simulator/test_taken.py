"""Recorded depth is taken once: ten contracts are asked for at 0.52, twenty at 0.53."""

from dataclasses import replace
from typing import Any

from one_book import ASKS, BIDS, RULES, STILL, Told, second, tape, traded
from one_market import ends, fills, intent


def buy(at: float, contracts: int, **values: Any) -> dict[str, Any]:
    return intent(time=second(at), quantity=100 * contracts, **values)


def close(at: float) -> dict[str, Any]:
    return intent(time=second(at), side=0, quantity=None)


def no(at: float, contracts: int) -> dict[str, Any]:
    return buy(at, contracts, side=-1)


# Something changes far from the best prices: a row, and the rest of the book as it was.
def again(at: float) -> Told:
    return (at, [*BIDS, (1, int(at))], ASKS)


def bought(*books: Told, second_buy: float = 6) -> list[tuple[int, int]]:
    """Quantity and price of fifteen bought at second 3, sold at 5, and bought again after 6."""
    orders = [buy(1, 15), close(4), buy(second_buy, 15)]
    result = traded(tape([STILL, again(3), again(5), *books]), *orders)
    entries = [f for f in fills(result, "reason", "quantity", "price") if f[0] == "entry"]
    assert [f[1:] for f in entries[:2]] == [(1_000, 5_200), (500, 5_300)]
    return [f[1:] for f in entries[2:]]


def test_a_level_that_was_bought_is_not_there_again() -> None:
    # All of 0.52 and five of the twenty at 0.53 are gone.
    assert bought(again(7)) == [(1_500, 5_300)]


def test_a_level_that_shrinks_below_what_was_taken_and_grows_again_is_new_size() -> None:
    # Of 0.52 three are displayed at second 6: the ten taken are down to three, of ten seven new.
    shrunk: Told = (5.5, BIDS, [(52, 3), (53, 20), (60, 100)])
    assert bought(shrunk, again(6), again(7)) == [(700, 5_200), (800, 5_300)]


def test_a_level_that_vanishes_and_returns_is_new() -> None:
    gone: Told = (5.5, BIDS, [(53, 20), (60, 100)])
    assert bought(gone, again(6), again(7)) == [(1_000, 5_200), (500, 5_300)]


def test_a_level_that_grows_offers_what_is_more() -> None:
    grown: Told = (6, BIDS, [(52, 14), (53, 20), (60, 100)])
    # At second 7 the taker meets the book of second 6: four more at 0.52.
    assert bought(grown, again(7)) == [(400, 5_200), (1_100, 5_300)]


def test_what_was_taken_is_forgotten_while_the_book_is_not_known() -> None:
    blind: Told = (5.5, None, None)
    assert bought(blind, again(6), again(7)) == [(1_000, 5_200), (500, 5_300)]


def test_bids_that_were_sold_to_are_gone_too() -> None:
    # Ten at 0.48 and five of the twenty at 0.47 are sold to; what is bought again meets the rest.
    orders = [buy(1, 15), close(4), buy(6, 15), close(8)]
    result = traded(tape([STILL, *(again(t) for t in (3, 5, 7, 9))]), *orders)
    sold = [f[1:] for f in fills(result, "reason", "quantity", "price") if f[0] == "signal"]
    assert sold == [(-1_000, 4_800), (-500, 4_700), (-1_500, 4_700)]


def test_a_no_that_nets_takes_the_bids_before_the_stop_of_the_same_row() -> None:
    # The bids fall to 0.47 at second 3 and set the stop off; both orders reach the row of second 5.
    fallen: Told = (3, [(47, 20), (40, 100)], ASKS)
    made = tape([STILL, again(2), fallen, again(5)])
    late = replace(RULES, latency=1_000_000)
    result = traded(made, buy(0, 30, stop=4_750), no(2, 12), rules=late)
    assert fills(result, "order_id", "reason", "quantity", "price") == [
        (0, "entry", 1_000, 5_200),
        (0, "entry", 2_000, 5_300),
        (0, "stop", -800, 4_700),
        (0, "stop", -1_000, 4_000),
        (1, "netting", -1_200, 4_700),
    ]


def test_nothing_left_of_the_levels_within_the_limit_cancels() -> None:
    orders = [buy(1, 10, limit=5_200), close(4), buy(6, 10, limit=5_200)]
    result = traded(tape([STILL, *(again(t) for t in (3, 5, 7))]), *orders)
    assert ends(result)[2] == ("canceled", "no_volume", 0)


def test_trades_fill_one_resting_order_of_a_run_only() -> None:
    # YES is offered at 0.58 by the target and at 0.57 by the NO; ten trade at 0.60.
    held = buy(0, 10, limit=5_200, target=5_800)
    resting = no(1.5, 6) | {"kind": "limit", "limit": 5_700, "valid_bars": 99}
    made = tape([STILL, again(1), again(2), again(4)], [(3, 60, 10), (5, 60, 3)])
    result = traded(made, held, resting)
    assert fills(result, "order_id", "trade_id", "reason", "role", "quantity", "price")[1:] == [
        (0, 0, "target", "maker", -400, 5_800),
        (1, 0, "netting", "maker", -600, 5_700),
    ]
