"""Fills by recorded depth, worked by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from one_book import ASKS, BIDS, BOOK, RULES, STILL, levels, order, second, seconds, tape, traded
from one_market import START, ends, fills, intent, run

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.simulator.assumptions import RandomExchange, Rules
from kalshi_bt.simulator.books import depth_of, numbered, prepare_books
from kalshi_bt.simulator.ledger import equity_curve
from kalshi_bt.simulator.tape import Tape

# --- the tape -----------------------------------------------------------------------------------


def test_a_row_spans_the_states_before_and_after_it() -> None:
    later = [(50, 7)]
    made = tape(
        [STILL, (5, later, [(51, 9)]), (6, [], [(51, 9)])], [(5, 52, 3), (5, 51, 4), (7, 51, 2)]
    )
    assert [t - made.time[0] for t in made.time.tolist()] == [0, 5e6, 6e6, 7e6, 1_000e6]
    # high, low and last trade, bid open, high, low, close, ask the same; -1 is none.
    assert made.prices.tolist() == [
        [-1, -1, -1, -1, 4_800, 4_800, 4_800, -1, 5_200, 5_200, 5_200],
        [5_200, 5_100, 5_100, 4_800, 5_000, 4_800, 5_000, 5_200, 5_200, 5_100, 5_100],
        [-1, -1, -1, 5_000, 5_000, 5_000, -1, 5_100, 5_100, 5_100, 5_100],
        [5_100, 5_100, 5_100, -1, -1, -1, -1, 5_100, 5_100, 5_100, 5_100],
        [-1, -1, -1, -1, -1, -1, -1, 5_100, 5_100, 5_100, 5_100],
    ]
    assert made.volume.tolist() == [0, 700, 0, 200, 0]
    assert made.sizes.tolist() == [[1_000, 1_000], [700, 900], [-1, 900], [-1, 900], [-1, 900]]
    assert made.depth is not None
    # Three books of three and three, one and one, none and one level.
    books = [[0, 3, 4, 7], [3, 4, 7, 8], [4, 4, 8, 9], [4, 4, 8, 9], [4, 4, 8, 9]]
    assert made.depth.spans.tolist() == books


def test_no_row_follows_a_close_that_is_past_or_not_known() -> None:
    for close, rows in ((None, 1), (0, 1), (-5, 0)):
        assert len(tape([STILL], close=close).time) == rows
    # An early close counts, not the scheduled one.
    assert len(tape([STILL], close=100, paid=(50, 0)).time) == 2
    assert tape([STILL], close=100, paid=(50, 0)).time[1] - tape([STILL]).time[0] == 50e6


def test_what_is_recorded_after_the_close_concerns_nobody() -> None:
    made = tape([STILL, (4, [], ASKS), (6, BIDS, ASKS)], [(7, 52, 3)], close=5)
    assert [(t - made.time[0]) / 1e6 for t in made.time.tolist()] == [0, 4, 5]
    # It arrives after the last change of the book, and meets it at the close.
    late = replace(RULES, latency=3_500_000)
    assert fills(traded(made, order(limit=5_300), rules=late))[0] == (
        "entry", "taker", 1_000, 5_200,
    )  # fmt: skip


def test_a_market_can_be_decided_on_from_its_first_bar() -> None:
    """Nothing was recorded by then: a taker finds nothing, until there is a book."""
    made = tape([(4, BIDS, ASKS), (6, BIDS, ASKS)], bar=1)
    assert [t - made.time[0] for t in made.time.tolist()] == [0, 3e6, 5e6, 999e6]
    assert ends(traded(made, order())) == [("rejected", "no_quote", 0)]
    assert ends(traded(made, order(limit=5_300))) == [("canceled", "no_quote", 0)]
    late = replace(RULES, latency=4_000_000)
    assert len(fills(traded(made, order(limit=5_300), rules=late))) == 2
    # A bar after the first row changes nothing.
    assert len(tape([STILL], bar=1).time) == 2


def test_equity_spans_bars_and_fills_and_not_what_was_recorded_around_them() -> None:
    """The market closes after 1,000 seconds; its book is known three minutes before a bar."""
    made = tape([(-120, BIDS, ASKS)], bar=60)
    still = traded(made, order(limit=100))
    assert equity_curve(made, still, RULES.cash).equity["time"].to_list() == [second(60)]
    late = replace(RULES, latency=110_000_000)
    bought = traded(made, order(limit=5_300), rules=late)
    assert equity_curve(made, bought, RULES.cash).equity["time"].to_list()[-1] == second(1_020)


def test_a_level_of_unknown_size_offers_nothing_and_is_never_passed() -> None:
    row = ("M0", START, *([{"price": p, "size": None}] for p in (4_800, 5_200)))
    books = pl.DataFrame([row], schema.BOOKS.columns, orient="row")
    known = tape([STILL], [(5, 48, 900), (9, 48, 900)])
    made = replace(known, depth=depth_of(*_states(books, known)))
    assert made.depth is not None
    assert made.depth.levels.dtype == np.int64
    assert not fills(traded(made, order(limit=5_300)))
    assert not fills(traded(made, order(kind="limit", limit=4_800, valid_bars=9)))
    assert fills(traded(known, order(kind="limit", limit=4_800, valid_bars=9)))


def _states(books: pl.DataFrame, made: Tape) -> tuple[pl.DataFrame, pl.DataFrame]:
    states = numbered(books, made.table).with_row_index("state")
    rows = pl.DataFrame({"state": [0] * len(made.time)}, {"state": pl.UInt32})
    return states, rows


def test_books_and_trades_of_other_markets_are_left_out() -> None:
    made = tape([STILL])
    books = pl.DataFrame(
        [("OTHER", START, levels(BIDS), levels(ASKS))], schema.BOOKS.columns, orient="row"
    )
    empty = prepare_books(
        books,
        schema.TRADES.empty(),
        made.table,
        schema.SETTLEMENTS.empty(),
        pl.DataFrame(
            schema={
                "market": pl.UInt32,
                "from_time": schema.Time,
                "taker": pl.Int64,
                "maker": pl.Int64,
            }
        ),
    )
    assert len(empty.time) == 0


def test_depth_is_needed() -> None:
    from one_market import bars

    with pytest.raises(UsageError, match="need recorded depth"):
        run(bars({}, {}), [intent()], RULES)


def test_an_intent_before_the_first_row_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing of M0 was recorded by"):
        traded(tape([STILL]), intent(time=second(-1)))


# --- takers -------------------------------------------------------------------------------------


def test_a_taker_walks_the_asks_best_first() -> None:
    result = traded(tape([STILL, (3, BIDS, ASKS)]), order())
    assert fills(result) == [
        ("entry", "taker", 1_000, 5_200),
        ("entry", "taker", 2_000, 5_300),
        ("entry", "taker", 7_000, 6_000),
    ]
    assert seconds(result) == [3, 3, 3]
    assert set(result.fills["source"]) == {"book"}
    assert ends(result) == [("filled", None, 10_000)]
    # 0.07 x 10 x 0.52 x 0.48 = 0.17472, 0.07 x 20 x 0.53 x 0.47 = 0.34874, 0.07 x 70 x 0.24 = 1.176
    # are 0.1748, 0.3488 and 1.176. Whole cents of balance: 5.3748 is 5.38 (0.0052 kept), 10.9488 is
    # 10.95 (0.0064 in all), 43.176 is 43.18 (0.0104), of which a cent comes back: 1.18 less 0.01.
    assert result.fills["fee"].to_list() == [180_000, 350_000, 1_170_000]


def test_no_is_bought_from_the_bids_of_yes() -> None:
    result = traded(tape([STILL, (3, BIDS, ASKS)]), order(side=-1, limit=4_700))
    assert fills(result) == [
        ("entry", "taker", -1_000, 4_800),
        ("entry", "taker", -2_000, 4_700),
    ]
    assert ends(result) == [("partial", "no_volume", 3_000)]


def test_a_limit_ends_the_walk() -> None:
    made = tape([STILL, (3, BIDS, ASKS)])
    assert [f[3] for f in fills(traded(made, order(limit=5_300)))] == [5_200, 5_300]
    assert ends(traded(made, order(limit=5_199))) == [("canceled", "beyond_limit", 0)]


def test_the_book_in_force_is_the_one_before_the_row() -> None:
    # At second 3 everything offered goes away: whoever arrives then still meets it.
    made = tape([STILL, (3, BIDS, [(90, 500)]), (4, BIDS, [])])
    assert [f[3] for f in fills(traded(made, order(limit=5_300)))] == [5_200, 5_300]
    # Three seconds later it meets the offer at 0.90; five seconds later none.
    late = [replace(RULES, latency=s * 1_000_000) for s in (2, 3)]
    assert fills(traded(made, order(), rules=late[0])) == [("entry", "taker", 10_000, 9_000)]
    assert ends(traded(made, order(), rules=late[1])) == [("canceled", "no_quote", 0)]


def test_what_depth_lacks_is_canceled_or_rests() -> None:
    thin = tape([(0, BIDS, [(52, 10)]), (3, BIDS, [(52, 10)]), (4, BIDS, [(52, 10)])])
    assert ends(traded(thin, order())) == [("partial", "no_volume", 1_000)]
    rest = order(kind="limit", limit=5_500, valid_bars=9)
    # The offer it took is still displayed later: that is no new one.
    assert fills(traded(thin, rest)) == [("entry", "taker", 1_000, 5_200)]
    sold = tape([(0, BIDS, [(52, 10)]), (3, BIDS, [(52, 10)])], [(4, 55, 30), (5, 54, 200)])
    # 30 trade at its limit, with nobody ahead; then 200 below it, sixty are still wanted.
    assert fills(traded(sold, rest)) == [
        ("entry", "taker", 1_000, 5_200),
        ("entry", "maker", 3_000, 5_500),
        ("entry", "maker", 6_000, 5_500),
    ]


def test_levels_are_taken_in_whole_lots() -> None:
    odd = [{"price": 5_200, "size": 99}, {"price": 5_300, "size": 250}]
    made = tape([STILL, (3, BIDS, ASKS)])
    assert made.depth is not None
    depth = made.depth.levels.copy()
    start = int(made.depth.spans[0, 2])
    depth[start : start + 2] = [(row["price"], row["size"]) for row in odd]
    made = replace(made, depth=replace(made.depth, levels=depth))
    assert fills(traded(made, order(limit=5_300))) == [("entry", "taker", 200, 5_300)]
    assert ends(traded(made, order(limit=5_200))) == [("canceled", "no_volume", 0)]


def test_cash_ends_the_walk() -> None:
    made = tape([STILL, (3, BIDS, ASKS)])
    poor = replace(RULES, cash=30_000_000)
    result = traded(made, order(limit=6_000), rules=poor)
    # 0.60 q, its fee at the dearest price of 0.50, 0.07 q / 4 up to a cent, and a cent: at 48
    # contracts that is 28.80 + 0.84 + 0.01, at 49 more than $30.
    assert result.orders["quantity"][0] == 4_800
    assert [f[2] for f in fills(result)] == [1_000, 2_000, 1_800]


def test_a_share_of_the_volume_bounds_takers_where_it_is_set() -> None:
    tenth = replace(RULES, fill=replace(BOOK, participation=0.1))
    made = tape([STILL, (3, BIDS, ASKS)], [(3, 52, 150)])
    assert [f[2] for f in fills(traded(made, order(), rules=tenth))] == [1_000, 500]


def test_a_book_that_is_not_known_fills_nothing() -> None:
    hole = tape([STILL, (2, None, None), (3, BIDS, ASKS), (4, BIDS, ASKS)])
    # At second 2 the book before is known, at 3 it is not, at 4 it is again.
    assert seconds(traded(hole, order())) == [2, 2, 2]
    late = [replace(RULES, latency=s * 1_000_000) for s in (1, 2)]
    assert ends(traded(hole, order(), rules=late[0])) == [("canceled", "no_quote", 0)]
    assert seconds(traded(hole, order(), rules=late[1])) == [4, 4, 4]
    # Decided while it is not known: no reference price.
    blind = intent(time=second(2.5), quantity=1_000)
    assert ends(traded(hole, blind)) == [("rejected", "no_quote", 0)]


# --- resting orders -----------------------------------------------------------------------------


def rest(cents: int, **values: Any) -> dict[str, Any]:
    return order(kind="limit", limit=100 * cents, valid_bars=20, **values)


def test_a_resting_order_waits_behind_the_size_at_its_price() -> None:
    # Twenty bid 0.47 before it. 15 trade there, then 12: five are still ahead, seven reach it.
    made = tape([STILL, (2, BIDS, ASKS)], [(3, 47, 15), (4, 47, 12), (5, 47, 3)])
    result = traded(made, rest(47))
    assert fills(result) == [("entry", "maker", 700, 4_700), ("entry", "maker", 300, 4_700)]
    assert seconds(result) == [4, 5]


@pytest.mark.parametrize(
    ("cents", "got"),
    [
        (49, [500]),  # better than the best: first
        (48, []),  # ten ahead
        (45, [500]),  # between the levels: nobody
        (39, []),  # beyond what was recorded: never by touch
    ],
)
def test_what_waits_ahead_is_what_the_book_displays(cents: int, got: list[int]) -> None:
    made = tape([STILL, (2, BIDS, ASKS)], [(3, cents, 5)])
    assert [f[2] for f in fills(traded(made, rest(cents)))] == got


def test_no_bids_at_all_leave_nobody_ahead_and_no_book_everybody() -> None:
    empty = tape([(0, [], ASKS), (2, [], ASKS)], [(3, 45, 5)])
    assert [f[2] for f in fills(traded(empty, rest(45)))] == [500]
    hole = tape([STILL, (1, None, None), (2, BIDS, ASKS), (3, BIDS, ASKS)], [(4, 45, 500)])
    assert fills(traded(hole, rest(45))) == []


def test_trades_through_the_price_fill_as_much_as_they_are() -> None:
    made = tape([STILL, (2, BIDS, ASKS)], [(3, 39, 30), (4, 46, 500)])
    assert [f[2] for f in fills(traded(made, rest(47)))] == [3_000, 7_000]


def test_displayed_quotes_alone_fill_no_resting_order() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, [(30, 5)], [(40, 500)]), (4, BIDS, ASKS)])
    assert ends(traded(made, rest(47))) == [("expired", "not_reached", 0)]


def test_trades_while_the_book_is_not_known_do_not_count() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, None, None), (5, BIDS, ASKS)], [(4, 39, 500)])
    assert ends(traded(made, rest(47))) == [("expired", "not_reached", 0)]


def test_an_order_lives_for_its_time() -> None:
    made = tape([STILL, (2, BIDS, ASKS)], [(70, 39, 500)])
    minute = replace(RULES, bar=60_000_000)
    short = rest(47) | {"valid_bars": 1}
    assert ends(traded(made, short, rules=minute)) == [("expired", "not_reached", 0)]
    assert ends(traded(made, short | {"valid_bars": 2}, rules=minute))[0][0] == "filled"


# --- stops, targets and other exits -------------------------------------------------------------


def held(**values: Any) -> dict[str, Any]:
    """Ten contracts bought at 0.52 in the row of second 2."""
    return intent(time=second(1), quantity=1_000, **values)


FALLEN = [(39, 4), (38, 3), (20, 100)]


def test_a_stop_sells_from_the_row_after_the_one_that_set_it_off() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, FALLEN, ASKS), (4, [(10, 500)], ASKS)])
    result = traded(made, held(stop=4_000))
    # At second 3 the bid is 0.39 and the stop is hit; at 4 it sells to the book of second 3.
    assert fills(result)[1:] == [
        ("stop", "taker", -400, 3_900),
        ("stop", "taker", -300, 3_800),
        ("stop", "taker", -300, 2_000),
    ]
    assert seconds(result)[1:] == [4, 4, 4]


def test_a_stop_that_exhausts_the_bids_goes_on_when_there_are_more() -> None:
    made = tape(
        [
            STILL,
            (2, BIDS, ASKS),
            (3, [(39, 4)], ASKS),
            (4, [], ASKS),
            (5, [(30, 50)], ASKS),
            (6, [], []),
        ]
    )
    result = traded(made, held(stop=4_000))
    assert fills(result)[1:] == [("stop", "taker", -400, 3_900), ("stop", "taker", -600, 3_000)]
    assert seconds(result)[1:] == [4, 6]


def test_time_and_signal_exits_walk_the_bids() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, FALLEN, ASKS), (4, FALLEN, ASKS)])
    result = traded(made, held(exit_time=second(3)))
    assert fills(result)[1:] == [
        ("time", "taker", -400, 3_900),
        ("time", "taker", -300, 3_800),
        ("time", "taker", -300, 2_000),
    ]
    close = intent(time=second(2), side=0, quantity=None)
    result = traded(made, held(), close)
    assert fills(result)[1:] == [("signal", "taker", -1_000, 4_800)]
    assert seconds(result) == [2, 3]


def test_a_level_that_brings_nothing_ends_the_walk_out() -> None:
    # One cent for one contract: 0.01 less the fee of 0.000693, rounded up to 0.0007, and so on
    # brings something; a bid of a hundredth of a cent less 0.0001 of fee does not.
    made = tape([STILL, (2, BIDS, ASKS), (3, [(39, 4), (1, 100)], ASKS), (9, [], ASKS)])
    assert made.depth is not None
    depth = made.depth.levels.copy()
    depth[depth[:, 0] == 100] = (1, 100)
    made = replace(made, depth=replace(made.depth, levels=depth))
    result = traded(made, held(exit_time=second(3)))
    assert [f[2] for f in fills(result)] == [1_000, -400]


def test_a_target_waits_behind_the_offers_at_its_price() -> None:
    # Bought at second 2, when twenty are offered at 0.53. 25 trade there at 3: five of ten; then
    # through it.
    made = tape([STILL, (2, BIDS, ASKS)], [(3, 53, 25), (4, 54, 2), (5, 54, 50)])
    result = traded(made, held(target=5_300))
    assert fills(result)[1:] == [
        ("target", "maker", -500, 5_300),
        ("target", "maker", -200, 5_300),
        ("target", "maker", -300, 5_300),
    ]


def test_a_displayed_bid_beyond_a_target_does_not_fill_it() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, [(70, 500)], [(71, 5)]), (4, BIDS, ASKS)])
    assert len(fills(traded(made, held(target=5_300)))) == 1


def test_a_stop_entry_takes_from_the_row_after_its_trigger() -> None:
    risen = [(58, 5), (59, 500)]
    made = tape([STILL, (2, BIDS, ASKS), (3, BIDS, risen), (4, BIDS, [(80, 900)])])
    result = traded(made, held(kind="stop", limit=5_500, valid_bars=5))
    assert fills(result) == [("entry", "taker", 500, 5_800), ("entry", "taker", 500, 5_900)]
    assert seconds(result) == [4, 4]
    # By a trade at second 3, then the offers of the book that is in force.
    made = tape([STILL, (2, BIDS, ASKS), (4, BIDS, ASKS)], [(3, 55, 1)])
    assert fills(traded(made, held(kind="stop", limit=5_500, valid_bars=5)))[0][3] == 5_200


def test_a_stop_entry_that_no_row_follows_ends_without_a_quote() -> None:
    made = tape([STILL, (2, BIDS, ASKS), (3, BIDS, [(58, 500)])], close=3)
    assert ends(traded(made, held(kind="stop", limit=5_500, valid_bars=5))) == [
        ("canceled", "no_quote", 0)
    ]


@pytest.mark.slow
def test_what_is_held_to_the_end_is_paid() -> None:
    made = tape([STILL, (2, BIDS, ASKS)], paid=(60, 10_000))
    assert fills(traded(made, held()))[1] == ("settlement", "none", -1_000, 10_000)


def test_chance_takes_its_slip_from_every_level() -> None:
    sure = RandomExchange(latency_ms=(0, 0), stress=0.0, slip_ticks=(1, 1), partial=0.0)
    luck = replace(RULES, fill=replace(BOOK, exchange=sure))
    made = tape([STILL, (2, BIDS, ASKS)])
    result = traded(made, order(limit=5_300), rules=luck)
    assert fills(result) == [("entry", "taker", 1_000, 5_300), ("entry", "taker", 2_000, 5_300)]
    half = replace(sure, ratios=(0.15,))
    luck = replace(RULES, fill=replace(BOOK, exchange=half))
    assert [f[2] for f in fills(traded(made, order(), rules=luck))] == [1_000, 500]


def test_other_models_run_on_the_same_tape() -> None:
    made = tape([STILL, (2, BIDS, ASKS)], [(2, 52, 300)])
    result = traded(made, held(), rules=Rules(latency=0, pauses=False))
    assert fills(result) == [("entry", "taker", 1_000, 5_200)]
