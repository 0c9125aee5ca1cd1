"""Orders that wait in a queue, worked by hand."""

from dataclasses import replace
from typing import Any

import pytest
from one_market import at, bars, ends, fills, intent, minutes, paid, run

from kalshi_bt.simulator.assumptions import FILLS, FillModel, Rules
from kalshi_bt.simulator.simulate import Simulation

PASSIVE = FILLS["passive"]
WIDE = replace(PASSIVE, participation=1.0)  # the queue alone bounds what fills
RULES = Rules(latency=0, fill=WIDE, pauses=False)


def resting(**values: Any) -> dict[str, Any]:
    """Ten contracts at 0.45 that live for ten bars."""
    return intent(kind="limit", limit=4_500, valid_bars=10, **values)


def touching(volume: int) -> dict[str, Any]:
    """A bar that trades down to 0.45 and not below it; asks stay above."""
    price = (4_700, 4_700, 4_500, 4_600)
    return {"price": price, "bid": (4_600, 4_600, 4_400, 4_400), "ask": 4_700, "volume": volume}


def walk(*rows: dict[str, Any], order: dict[str, Any] | None = None, **given: Any) -> Simulation:
    return run(bars(*rows), [order or resting()], given.pop("rules", RULES), **given)


QUEUED = {"bid": 4_500, "ask": 4_700, "bid_size": 3_000}  # thirty contracts wait at 0.45
BEHIND = {"bid": 4_600, "ask": 4_700, "volume": 2_000}  # 0.45 lies below the best bid


def test_the_preset_is_a_queue_with_a_tenth_of_the_volume() -> None:
    assert FillModel(queue=True, participation=0.1, touch_share=0.5) == PASSIVE


# --- the bar it was placed in -------------------------------------------------------------------


def test_an_order_that_would_take_is_canceled() -> None:
    crossed = {"ask": (4_500, 4_700, 4_500, 4_700), "bid": 4_300}
    result = walk({}, crossed, {})
    assert ends(result) == [("canceled", "would_cross", 0)]


def test_nothing_fills_in_the_bar_it_was_placed_in() -> None:
    through = {"ask": (4_700, 4_700, 4_000, 4_100), "price": 4_000, "bid": 3_900}
    result = walk(QUEUED, through)
    assert ends(result) == [("expired", "not_reached", 0)]
    # A bar later the same prices fill it: the open of that bar asks nothing any more.
    result = walk(QUEUED, {}, through)
    assert fills(result) == [("entry", "maker", 1_000, 4_500)]


def test_an_unknown_opening_ask_does_not_cross() -> None:
    unknown = {"ask": (None, 4_400, 4_400, 4_400), "bid": 4_300}
    through = {"ask": (4_700, 4_700, 4_000, 4_100), "bid": 3_900}
    assert fills(walk({}, unknown, through)) == [("entry", "maker", 1_000, 4_500)]


# --- through the price --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "filled"),
    [
        ({"ask": (4_700, 4_700, 4_499, 4_700)}, True),
        ({"ask": (4_700, 4_700, 4_500, 4_700)}, False),  # an ask at the limit is not a trade at it
        ({"price": (4_600, 4_600, 4_499, 4_600)}, True),
        ({"price": (4_600, 4_600, 4_501, 4_600)}, False),
    ],
)
def test_trading_through_the_limit_fills_whatever_waits_ahead(
    row: dict[str, Any], *, filled: bool
) -> None:
    result = walk(QUEUED, {}, {"bid": 4_400, "ask": 4_700} | row)
    assert fills(result) == ([("entry", "maker", 1_000, 4_500)] if filled else [])


def test_prints_count_only_where_they_are_believed() -> None:
    blind = replace(RULES, fill=replace(WIDE, prints=False))
    row = {"price": 4_400, "bid": 4_400, "ask": 4_700}
    assert ends(walk(QUEUED, {}, row, rules=blind)) == [("expired", "not_reached", 0)]


def test_what_trades_through_is_bounded_by_the_share_of_the_bar() -> None:
    tenth = replace(RULES, fill=PASSIVE)
    row = {"ask": (4_700, 4_700, 4_400, 4_700), "bid": 4_300, "volume": 4_900}
    # A tenth of 49 contracts is 4.9: four; the next bar has the other six of its 100.
    result = walk(QUEUED, {}, row, row | {"volume": 10_000}, rules=tenth)
    assert fills(result, "quantity") == [(400,), (600,)]
    short = walk(QUEUED, {}, row, rules=tenth)
    assert ends(short) == [("partial", "no_volume", 400)]


# --- at the price -------------------------------------------------------------------------------


def test_half_of_what_trades_at_the_touch_eats_the_queue_before_the_order() -> None:
    # Thirty ahead. 40 contracts trade: twenty of them at 0.45, ten still ahead. Then 33 trade:
    # 16.5 at 0.45, ten of them ahead, 6.5 reach the order: six. Then ten trade: five, four wanted.
    result = walk(QUEUED, {}, touching(4_000), touching(3_300), touching(1_000))
    assert fills(result) == [
        ("entry", "maker", 600, 4_500),
        ("entry", "maker", 400, 4_500),
    ]
    assert minutes(result) == [3, 4]
    assert ends(result) == [("filled", None, 1_000)]


def test_a_queue_that_is_just_used_up_leaves_nothing_for_the_order() -> None:
    # 60 trade, thirty at the touch, thirty ahead.
    result = walk(QUEUED, {}, touching(6_000))
    assert ends(result) == [("expired", "no_volume", 0)]
    # Two more contracts: one of them.
    assert fills(walk(QUEUED, {}, touching(6_200)), "quantity") == [(100,)]


def test_the_bar_of_the_arrival_does_not_move_the_queue() -> None:
    result = walk(QUEUED, touching(100_000), touching(6_000))
    assert ends(result) == [("expired", "no_volume", 0)]


def test_a_better_bid_than_the_best_waits_behind_nobody() -> None:
    improved = {"bid": 4_400, "ask": 4_700, "bid_size": 9_900_000}
    result = walk(improved, {}, touching(400))
    # Half of four contracts.
    assert fills(result, "quantity") == [(200,)]


def test_below_the_best_bid_a_bar_of_volume_is_ahead() -> None:
    # Twenty contracts traded in the bar of the decision; 60 trade: thirty at the touch, ten left.
    assert fills(walk(BEHIND, {}, touching(6_000)), "quantity") == [(1_000,)]
    assert fills(walk(BEHIND, {}, touching(4_000)), "quantity") == []


@pytest.mark.parametrize("told", [{"bid": None}, {"bid": 4_500}], ids=["no bid", "no size"])
def test_where_no_size_was_displayed_a_bar_of_volume_is_ahead(told: dict[str, Any]) -> None:
    first = BEHIND | told
    assert fills(walk(first, {}, touching(4_200)), "quantity") == [(100,)]
    assert fills(walk(first, {}, touching(4_000)), "quantity") == []


def test_unknown_volumes_are_assumed_ahead_and_at_the_touch() -> None:
    some = replace(RULES, assumed_volume=3_000)
    unknown = touching(0) | {"volume": None}
    # Thirty assumed ahead, fifteen assumed at the touch of each bar: the third bar's reach it.
    first = BEHIND | {"volume": None}
    result = walk(first, {}, unknown, unknown, unknown, rules=some)
    assert fills(result, "quantity") == [(1_000,)]
    assert minutes(result) == [4]


def test_trading_through_ends_the_queue_for_good() -> None:
    tenth = replace(RULES, fill=replace(WIDE, participation=0.05))
    through = {"price": (4_600, 4_600, 4_400, 4_500), "bid": 4_300, "ask": 4_700, "volume": 4_000}
    # Two of forty through it; then at the touch half of 20 contracts, of which a bar gives one.
    result = walk(QUEUED, {}, through, touching(2_000), rules=tenth)
    assert fills(result, "quantity") == [(200,), (100,)]


def test_a_no_order_waits_behind_the_offers_of_yes() -> None:
    # NO at 0.45 is an offer of YES at 0.55, where twenty contracts wait; 60 trade up to 0.55.
    first = {"bid": 5_300, "ask": 5_500, "ask_size": 2_000, "bid_size": 7}
    up = {"price": (5_300, 5_500, 5_300, 5_400), "bid": 5_300, "ask": 5_600, "volume": 6_000}
    order = intent(side=-1, kind="limit", limit=5_500, valid_bars=5, quantity=2_000)
    result = walk(first, {}, up, order=order)
    assert fills(result) == [("entry", "maker", -1_000, 5_500)]


def test_maker_fees_are_charged() -> None:
    result = walk(QUEUED, {}, {"ask": (4_700, 4_700, 4_400, 4_700), "bid": 4_300}, maker=17_500)
    # 4.50 and 0.0175 x 10 x 0.45 x 0.55 = 0.0434, up to $0.0001: 4.5434, in whole cents 4.55.
    assert fills(result, "fee") == [(50_000,)]


# --- targets ------------------------------------------------------------------------------------

HELD = intent(target=6_000, stop=3_000)


def rising(volume: int, **told: Any) -> dict[str, Any]:
    """A bar that trades up to 0.60 and not above it; bids stay below."""
    price = (5_500, 6_000, 5_500, 5_800)
    return {"price": price, "bid": 5_500, "ask": 6_100, "volume": volume} | told


def test_takers_are_what_they_are_without_a_queue() -> None:
    hit = {"bid": (3_500, 3_500, 2_900, 2_950), "ask": 3_600}
    result = walk({}, {}, {}, hit, order=HELD)
    assert fills(result) == [("entry", "taker", 1_000, 5_100), ("stop", "taker", -1_000, 3_000)]
    level = intent(kind="stop", limit=5_500, valid_bars=5)
    row = {"ask": (5_600, 5_700, 5_600, 5_700), "bid": 5_400}
    assert fills(walk({}, row, order=level)) == [("entry", "taker", 1_000, 5_600)]


def test_a_target_waits_behind_the_size_at_its_price() -> None:
    # Bought in the second bar, at whose end eight contracts are offered at 0.60. Twenty trade: ten
    # at 0.60, two of them reach the target; then forty more: the other eight.
    entry = {"ask": (5_100, 6_000, 5_100, 6_000), "ask_size": 800, "bid": 4_900}
    result = walk({}, entry, rising(2_000), rising(4_000), order=HELD)
    assert fills(result)[1:] == [
        ("target", "maker", -200, 6_000),
        ("target", "maker", -800, 6_000),
    ]
    assert minutes(result) == [1, 2, 3]


def test_a_target_below_every_offer_is_first_in_the_queue() -> None:
    entry = {"ask": (5_100, 6_100, 5_100, 6_100), "ask_size": 800, "bid": 4_900}
    assert fills(walk({}, entry, rising(600), order=HELD))[1:] == [("target", "maker", -300, 6_000)]


def test_a_target_above_the_offers_waits_behind_a_bar_of_volume() -> None:
    # The bar of the entry trades ten contracts; 40 trade at the touch's bar: twenty, ten left.
    result = walk({}, {"volume": 1_000}, rising(2_000), rising(4_000), order=HELD)
    assert fills(result)[1:] == [("target", "maker", -1_000, 6_000)]
    assert minutes(result) == [1, 3]


def test_trading_through_a_target_fills_it() -> None:
    for told in ({"bid": (5_500, 6_001, 5_500, 5_900)}, {"price": (5_500, 6_001, 5_500, 5_900)}):
        row = {"bid": 5_500, "ask": 6_100} | told
        result = walk({}, {}, row, order=HELD)
        assert fills(result)[1:] == [("target", "maker", -1_000, 6_000)]
    blind = replace(RULES, fill=replace(WIDE, prints=False))
    row = {"price": 6_100, "bid": 5_500, "ask": 6_200}
    assert len(fills(walk({}, {}, row, order=HELD, rules=blind))) == 1


def test_a_target_never_fills_in_the_bar_of_the_entry() -> None:
    swing = {"ask": 5_100, "bid": (4_900, 7_000, 4_900, 7_000), "price": 7_000}
    result = walk({}, swing, {}, order=HELD)
    assert fills(result) == [("entry", "taker", 1_000, 5_100)]


def test_a_target_by_reward_waits_too() -> None:
    # In at 0.51 with the stop at 0.30: target 0.51 + 0.21 = 0.72, behind ten contracts.
    order = intent(stop=3_000, reward=10_000)
    touch = {"price": (7_000, 7_200, 7_000, 7_000), "bid": 6_900, "ask": 7_300, "volume": 3_000}
    result = walk({}, {"volume": 1_000}, touch, order=order)
    assert fills(result)[1:] == [("target", "maker", -500, 7_200)]


def test_a_stop_comes_before_a_target_in_one_bar() -> None:
    both = {"bid": (5_500, 6_100, 2_900, 5_500), "ask": 6_200}
    assert fills(walk({}, {}, both, order=HELD))[1][:2] == ("stop", "taker")
    kind = replace(RULES, fill=replace(WIDE, stop_first=False))
    assert fills(walk({}, {}, both, order=HELD, rules=kind))[1][:2] == ("target", "maker")
    # A touch that the queue uses up is no target: then the stop acts.
    behind = rising(1_000, bid=(5_500, 5_500, 2_900, 5_500))
    assert fills(walk({}, {}, behind, order=HELD, rules=kind))[1][:2] == ("stop", "taker")


def test_a_target_of_no_mirrors_one_of_yes() -> None:
    # NO bought at 0.51 (YES bid 0.49), target NO 0.60 is YES 0.40, where eight contracts bid.
    entry = {"bid": (4_900, 4_900, 4_000, 4_000), "bid_size": 800, "ask": 5_100}
    fall = {"price": (4_500, 4_500, 4_000, 4_200), "bid": 3_900, "ask": 4_500, "volume": 2_000}
    result = walk({}, entry, fall, order=intent(side=-1, target=4_000, stop=7_000))
    assert fills(result) == [("entry", "taker", -1_000, 4_900), ("target", "maker", 200, 4_000)]


def test_what_is_left_settles() -> None:
    result = walk(QUEUED, {}, touching(6_400), order=resting(), outcomes=[paid(30, 10_000)])
    assert fills(result, "reason", "quantity") == [("entry", 200), ("settlement", -200)]
    assert result.fills["time"][1] == at(30)
