"""Buying NO while long YES is selling YES: opposing orders, worked by hand.

Markets stand at 0.49 to 0.51 unless told otherwise; ten contracts at 0.51 pay a fee of
0.07 x 10 x 0.51 x 0.49 = $0.17493, rounded up to $0.175.
"""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from one_market import at, bars, ends, fills, intent, minutes, paid, run

from kalshi_bt.simulator.assumptions import FILLS, FillModel, Limit, Risk, Rules
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation

WHOLE = FillModel(participation=None)
RULES = Rules(latency=0, fill=WHOLE, pauses=False, balance_precision=100)
FEE = 175_000
COLUMNS = ("order_id", "trade_id", "seq", "leg", "reason", "quantity", "price", "fee")


def yes(minute: int = 0, **values: Any) -> dict[str, Any]:
    return intent(time=at(minute)) | values


def no(minute: int = 2, **values: Any) -> dict[str, Any]:
    return intent(time=at(minute), side=-1) | values


def walked(*orders: dict[str, Any], rows: Any = None, rules: Rules = RULES, **more: Any) -> Any:
    return run(bars(*(rows or [{}] * 8)), orders, rules, **more)


def cash(result: Simulation, rules: Rules = RULES) -> int:
    """Cash at the end."""
    return int(equity_curve(result.tape, result, rules.cash).equity["cash"][-1])


def test_an_equal_no_leaves_nothing_and_brings_the_bid() -> None:
    result = walked(yes(), no())
    # NO at 0.51 is YES sold at 0.49: the round trip loses two cents each and two fees.
    assert fills(result, *COLUMNS) == [
        (0, 0, 0, "entry", "entry", 1_000, 5_100, FEE),
        (1, 0, 0, "exit", "netting", -1_000, 4_900, FEE),
    ]
    assert ends(result) == [("filled", None, 1_000), ("filled", None, 1_000)]
    (trade,) = closed_trades(result.tape, result).rows(named=True)
    assert (trade["trade_id"], trade["exit_reason"], trade["side"]) == (0, "netting", 1)
    assert trade["pnl"] == -200_000 - 2 * FEE
    assert cash(result) == RULES.cash - 200_000 - 2 * FEE


def test_a_larger_no_turns_the_position() -> None:
    result = walked(yes(), no(quantity=1_500), outcomes=[paid(7, 0)])
    # 15 at 0.51: 0.07 x 15 x 0.2499 = 0.262395, up to 0.2624; ten of fifteen bear 0.174933.
    whole = 262_400
    netted = whole * 1_000 // 1_500
    assert fills(result, *COLUMNS)[1:] == [
        (1, 0, 0, "exit", "netting", -1_000, 4_900, netted),
        (1, 1, 1, "entry", "entry", -500, 4_900, whole - netted),
        (1, 1, 2, "exit", "settlement", 500, 0, 0),
    ]
    assert ends(result)[1] == ("filled", None, 1_500)
    trades = closed_trades(result.tape, result).select("trade_id", "side", "quantity", "pnl").rows()
    # Five NO at 0.51 pay a dollar each.
    assert trades == [
        (0, 1, 1_000, -200_000 - FEE - netted),
        (1, -1, 500, 5 * 490_000 - (whole - netted)),
    ]


def test_a_smaller_no_leaves_the_rest_with_its_bracket() -> None:
    falling = [{}] * 4 + [{"bid": 4_000, "ask": 4_200}] * 2
    result = walked(yes(stop=4_500), no(quantity=400, stop=9_000), rows=falling)
    assert fills(result)[1:] == [
        ("stop", "taker", -600, 4_000),
        ("netting", "taker", -400, 4_900),
    ]
    (trade,) = closed_trades(result.tape, result).rows(named=True)
    assert (trade["quantity"], trade["exit_reason"]) == (1_000, "stop")
    assert trade["stake"] == 5_100_000
    # Four at 0.49 and six at 0.40.
    assert trade["gross_pnl"] == 1_960_000 + 2_400_000 - 5_100_000


def test_a_no_that_is_long_is_netted_by_yes_alike() -> None:
    result = walked(no(0), yes(2))
    assert fills(result, "reason", "quantity", "price") == [
        ("entry", -1_000, 4_900),
        ("netting", 1_000, 5_100),
    ]


def test_only_an_opposite_order_against_a_quiet_position_is_taken() -> None:
    rests = {"kind": "limit", "limit": 6_000, "valid_bars": 9}  # NO at 0.40: never reached
    same = walked(yes(), yes(2))
    assert ends(same)[1] == ("rejected", "position_open", 0)
    second = walked(yes(), no(2, **rests), no(4))
    assert ends(second)[2] == ("rejected", "position_open", 0)
    working = walked(yes(kind="limit", limit=4_000, valid_bars=9), no(2))
    assert ends(working)[1] == ("rejected", "position_open", 0)
    # The signal to close is still on its way when the NO is decided.
    slow = Rules(latency=120_000_000, fill=WHOLE, pauses=False)
    leaving = walked(yes(), intent(time=at(4), side=0, quantity=None), no(5), rules=slow)
    assert ends(leaving)[2] == ("rejected", "position_open", 0)


def test_cash_is_asked_only_for_what_goes_beyond() -> None:
    # $5.30 buy ten at 0.51 with a fee of 0.175 and a cent kept: 2.5 cents are left.
    poor = replace(RULES, cash=5_300_000)
    limited = {"limit": 5_100}
    assert ends(walked(yes(**limited), no(limit=4_900), rules=poor))[1][2] == 1_000
    # Of fifteen the five beyond find no cash; the sale of ten is not held up by that.
    trimmed = walked(yes(**limited), no(limit=4_900, quantity=1_500), rules=poor)
    assert ends(trimmed)[1] == ("filled", "cash", 1_000)
    assert trimmed.orders["quantity"][1] == 1_000


@pytest.mark.parametrize(
    ("risk", "reason", "quantity"),
    [
        (Risk(max_contracts=12), "max_contracts", 1_200),
        (Risk(max_market=Limit(dollars=5_100_000)), None, 1_500),
        (Risk(max_event=Limit(dollars=5_100_000)), None, 1_500),
        (Risk(max_exposure=Limit(dollars=6_000_000)), None, 1_500),
        (Risk(max_positions=1), None, 1_500),
    ],
)
def test_limits_hold_what_goes_beyond(risk: Risk, reason: str | None, quantity: int) -> None:
    rules = Rules(latency=0, fill=WHOLE, pauses=False, risk=risk)
    result = walked(yes(), no(quantity=1_500), rules=rules)
    assert ends(result)[0] == ("filled", None, 1_000)
    assert ends(result)[1] == ("filled", reason, quantity)


def limited(**limits: Any) -> Rules:
    return Rules(latency=0, fill=WHOLE, pauses=False, risk=Risk(**limits))


def test_what_is_netted_gives_its_place_back_first() -> None:
    # Ten YES at 0.51 are all that the event may cost; sold, they leave room for ten NO at 0.51.
    rules = limited(max_event=Limit(dollars=5_100_000))
    result = walked(yes(), no(quantity=3_000), rules=rules)
    assert ends(result)[1] == ("filled", "event_cap", 2_000)


def test_a_cap_without_room_leaves_the_sale_alone() -> None:
    # At minute 2 the YES of M0 takes $5.10 of the $5.20 a decision may cost.
    rules = limited(max_cycle=Limit(dollars=5_200_000))
    tape = pl.concat([bars(*[{}] * 6), bars(*[{}] * 6, market=1)])
    result = run(tape, [yes(market=1), yes(2), no(2, market=1, quantity=3_000)], rules)
    assert ends(result)[2] == ("filled", "cycle_cap", 1_000)
    assert fills(result)[-1] == ("netting", "taker", -1_000, 4_900)


def test_a_breaker_refuses_an_opposing_order_but_not_a_close() -> None:
    tape = pl.concat([bars(*[{}] * 8), bars(*[{}] * 8, market=1)])
    close = intent(time=at(5), market=1, side=0, quantity=None)
    orders = [yes(), yes(market=1), no(1), no(4, market=1), close]
    result = run(tape, orders, limited(max_losses=1))
    assert ends(result)[3] == ("rejected", "breaker_losses", 0)
    assert ends(result)[4][0] == "filled"


def test_limits_of_positions_count_a_market_once() -> None:
    tape = pl.concat([bars(*[{}] * 8), bars(*[{}] * 8, market=1)])
    rests = no(2, kind="limit", limit=6_000, valid_bars=9)
    result = run(tape, [yes(), rests, yes(4, market=1)], limited(max_positions=2))
    assert ends(result)[2] == ("filled", None, 1_000)


def test_a_worthless_sale_waits() -> None:
    # One YES sold at 0.0001 brings $0.0001, and the least fee is as much.
    gone = [{}] * 3 + [{"bid": 1, "ask": 200}] * 4
    result = walked(yes(quantity=100), no(quantity=100), rows=gone)
    assert ends(result)[1] == ("canceled", "cash", 0)
    assert len(fills(result)) == 1


def test_a_bar_is_shared_between_the_order_and_the_stop() -> None:
    tenth = Rules(latency=0, fill=FillModel(), pauses=False)
    deep, thin = {"volume": 100_000}, {"volume": 7_000, "bid": 4_000, "ask": 4_200}
    rows = [deep, deep, deep, thin, deep | {"bid": 3_900}]
    result = walked(yes(stop=4_500), no(quantity=400), rows=rows, rules=tenth)
    # Seven may trade on the bar: four are netted, the stop gets three and the rest a bar later.
    stop, late, netted = fills(result)[1:]
    assert netted == ("netting", "taker", -400, 4_000)
    assert (stop, late) == (("stop", "taker", -300, 4_000), ("stop", "taker", -300, 3_900))


def test_an_order_outlives_the_position_it_was_against() -> None:
    # NO rests at 0.45 (YES at 0.55); the stop sells at minute 4, the NO opens at minute 6.
    rests = no(2, kind="limit", limit=5_500, valid_bars=9, quantity=1_500)
    low, high = {"bid": 4_000, "ask": 4_200}, {"bid": 5_600, "ask": 5_800}
    result = walked(yes(stop=4_500), rests, rows=[{}, {}, {}, {}, low, {}, high, {}])
    assert fills(result, "order_id", "trade_id", "reason", "quantity", "price") == [
        (0, 0, "entry", 1_000, 5_100),
        (0, 0, "stop", -1_000, 4_000),
        (1, 1, "entry", -1_500, 5_500),
    ]
    assert minutes(result) == [1, 4, 6]
    assert ends(result)[1] == ("filled", None, 1_500)


def test_a_resting_no_sells_dearer_and_the_target_waits() -> None:
    # NO rests at 0.45: a bid above 0.55 sells ten YES and opens five NO.
    rests = no(2, kind="limit", limit=5_500, valid_bars=9, quantity=1_500, target=3_000)
    high, low = {"bid": 5_600, "ask": 5_800}, {"bid": 2_700, "ask": 2_800}
    result = walked(yes(target=9_000), rests, rows=[{}, {}, {}, {}, high, {}, low, {}])
    assert fills(result, "order_id", "trade_id", "reason", "role", "quantity", "price") == [
        (0, 0, "entry", "taker", 1_000, 5_100),
        (1, 0, "netting", "maker", -1_000, 5_500),
        (1, 1, "entry", "maker", -500, 5_500),
        (1, 1, "target", "maker", 500, 3_000),
    ]


def test_a_close_takes_the_order_back_and_sells() -> None:
    rests = no(2, kind="limit", limit=6_000, valid_bars=9)
    closing = intent(time=at(4), side=0, quantity=None)
    result = walked(yes(), rests, closing)
    assert ends(result)[1:] == [("canceled", "signal", 0), ("filled", None, 0)]
    assert fills(result)[1] == ("signal", "taker", -1_000, 4_900)
    again = walked(yes(), rests, closing, no(6))
    assert ends(again)[3][:2] == ("filled", None)


def test_at_the_end_the_order_dies_and_the_position_is_paid() -> None:
    rests = no(2, kind="limit", limit=6_000, valid_bars=99)
    result = walked(yes(), rests, outcomes=[paid(5, 10_000)])
    assert ends(result)[1] == ("expired", "not_reached", 0)
    assert fills(result)[1][0] == "settlement"


def test_a_naive_run_nets_where_it_decides() -> None:
    naive = Rules(latency=0, fill=FILLS["naive"], pauses=False)
    traded = [{"price": 5_000}] * 6
    result = walked(yes(), no(quantity=1_500), rows=traded, rules=naive)
    assert fills(result, *COLUMNS)[1:] == [
        (1, 0, 0, "exit", "netting", -1_000, 5_000, 0),
        (1, 1, 1, "entry", "entry", -500, 5_000, 0),
    ]
    assert minutes(result) == [0, 2, 2]
