"""Netting worked by hand: buying NO while YES is held sells it, a pair releases its dollar.

Quiet bars quote 0.49 to 0.51, so YES costs 0.51 and NO costs 0.51. Ten contracts at 0.51 bear a fee
of 0.07 x 10 x 0.51 x 0.49 = 0.17493, rounded up to 0.1750.
"""

from typing import Any

import pytest
from one_market import at, bars, ends, fills, intent, paid, run

from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import Simulation

DEEP = FillModel(participation=None)
RULES = Rules(latency=0, fill=DEEP, pauses=False, balance_precision=100)
NAIVE = Rules(latency=0, fill=FillModel(participation=None, naive=True), pauses=False)
ROW = ("order_id", "seq", "trade_id", "leg", "reason", "quantity", "price", "fee")
HELD = (0, 0, 0, "entry", "entry", 1_000, 5_100, 175_000)


def no(minute: float, quantity: int, **values: Any) -> dict[str, Any]:
    return intent(time=at(minute), side=-1, quantity=quantity, **values)


def rows(result: Simulation) -> list[tuple[Any, ...]]:
    return fills(result, *ROW)


def quiet(*told: tuple[int, dict[str, Any]], many: int = 9) -> Any:
    changed = dict(told)
    return bars(*(changed.get(n, {}) for n in range(many)))


# --- what nets, what opens ------------------------------------------------------------------------


def test_a_part_of_the_other_side_is_a_sale_of_it() -> None:
    result = run(quiet(), [intent(), no(1, 400)], RULES, outcomes=[paid(6, 10_000)])
    # Four NO at 0.51 sell four YES at 0.49; 0.07 x 4 x 0.51 x 0.49 = 0.069972.
    assert rows(result) == [
        HELD,
        (0, 1, 0, "exit", "settlement", -600, 10_000, 0),
        (1, 0, 0, "exit", "netting", -400, 4_900, 70_000),
    ]
    assert ends(result)[1] == ("filled", None, 400)
    trade = closed_trades(result.tape, result).row(0, named=True)
    # Bought for 5.10, sold for 1.96, paid 6: the six were the last to go.
    assert (trade["gross_pnl"], trade["fees"]) == (2_860_000, 245_000)
    assert (trade["quantity"], trade["exit_reason"]) == (1_000, "settlement")


def test_as_much_of_the_other_side_ends_the_round_trip() -> None:
    result = run(quiet(), [intent(), no(1, 1_000)], RULES, outcomes=[paid(6, 0)])
    assert rows(result) == [HELD, (1, 0, 0, "exit", "netting", -1_000, 4_900, 175_000)]
    trades = closed_trades(result.tape, result)
    assert trades.select("trade_id", "side", "gross_pnl", "fees", "exit_reason").rows() == [
        (0, 1, -200_000, 350_000, "netting")
    ]


def test_more_of_the_other_side_turns_the_position() -> None:
    result = run(quiet(), [intent(), no(1, 1_500)], RULES, outcomes=[paid(6, 0)])
    # One fee of 0.07 x 15 x 0.51 x 0.49 = 0.262395 -> 0.2624: ten of fifteen bear 0.17493333.
    assert rows(result) == [
        HELD,
        (1, 0, 0, "exit", "netting", -1_000, 4_900, 174_933),
        (1, 1, 1, "entry", "entry", -500, 4_900, 87_467),
        (1, 2, 1, "exit", "settlement", 500, 0, 0),
    ]
    assert ends(result)[1] == ("filled", None, 1_500)
    trades = closed_trades(result.tape, result)
    names = ("trade_id", "side", "quantity", "gross_pnl", "fees", "exit_reason")
    assert trades.select(names).rows() == [
        (0, 1, 1_000, -200_000, 349_933, "netting"),
        (1, -1, 500, 2_450_000, 87_467, "settlement"),
    ]


def test_yes_nets_against_no_as_no_against_yes() -> None:
    orders = [no(0, 1_000), intent(time=at(1), quantity=1_500)]
    assert rows(run(quiet(), orders, RULES)) == [
        (0, 0, 0, "entry", "entry", -1_000, 4_900, 175_000),
        (1, 0, 0, "exit", "netting", 1_000, 5_100, 174_933),
        (1, 1, 1, "entry", "entry", 500, 5_100, 87_467),
    ]


def test_a_pair_releases_its_dollar() -> None:
    # YES at 0.40, NO at 0.35 when YES is bid at 0.65: a quarter is left of a pair.
    tape = quiet((1, {"bid": 3_800, "ask": 4_000}), (3, {"bid": 6_500, "ask": 6_700}))
    result = run(tape, [intent(), no(2, 1_000)], RULES, taker=0)
    assert closed_trades(result.tape, result)["pnl"].to_list() == [2_500_000]


def test_the_new_position_has_the_levels_of_its_own_order() -> None:
    tape = quiet((4, {"bid": 3_900, "ask": 4_100}), (5, {"bid": 2_400, "ask": 2_600}))
    turn = no(1, 1_500, stop=7_000, target=3_000)
    result = run(tape, [intent(stop=4_000), turn], RULES)
    # The stop of the ten YES went with them: only the target of the five NO acts, at 0.70.
    assert rows(result)[-1][:7] == (1, 2, 1, "exit", "target", 500, 3_000)
    assert len(rows(result)) == 4


def test_naive_fills_net_at_the_decision_without_a_fee() -> None:
    tape = bars(*[{"price": p, "volume": 9} for p in (5_000, 5_200, 5_300)])
    assert rows(run(tape, [intent(), no(1, 1_500)], NAIVE)) == [
        (0, 0, 0, "entry", "entry", 1_000, 5_000, 0),
        (1, 0, 0, "exit", "netting", -1_000, 5_200, 0),
        (1, 1, 1, "entry", "entry", -500, 5_200, 0),
    ]


# --- together with the exits of the position ------------------------------------------------------


def test_the_order_acts_before_the_bracket_and_leaves_it_the_rest_of_the_volume() -> None:
    # Five contracts can be had of the bar: four are netted at its open, one leaves at the target.
    tape = quiet((2, {"bid": (4_900, 6_100, 4_900, 4_900), "volume": 5_000}))
    rules = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    result = run(tape, [intent(target=6_000), no(1, 400)], rules)
    assert [row[:7] for row in rows(result)] == [
        HELD[:7],
        (0, 1, 0, "exit", "target", -100, 6_000),
        (1, 0, 0, "exit", "netting", -400, 4_900),
    ]


def test_what_is_left_of_the_position_keeps_its_bracket() -> None:
    tape = quiet((4, {"bid": 6_100, "ask": 6_300}))
    result = run(tape, [intent(target=6_000), no(1, 400)], RULES)
    assert rows(result)[1][:7] == (0, 1, 0, "exit", "target", -600, 6_000)


def test_an_order_outlives_the_position_it_opposed() -> None:
    # The stop sells at 0.44; at 0.61 somebody takes the NO bid of 0.40: it opens.
    tape = quiet((2, {"bid": 4_400, "ask": 4_600}), (4, {"bid": 6_100, "ask": 6_300}))
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    result = run(tape, [intent(stop=4_500), waits], RULES)
    assert [row[:7] for row in rows(result)] == [
        HELD[:7],
        (0, 1, 0, "exit", "stop", -1_000, 4_400),
        (1, 0, 1, "entry", "entry", -1_000, 6_000),
    ]


def test_a_resting_order_nets_as_a_maker() -> None:
    tape = quiet((3, {"bid": 6_100, "ask": 6_300}))
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    result = run(tape, [intent(), waits], RULES, maker=17_500)
    # 0.0175 x 10 x 0.6 x 0.4 = 0.042.
    assert rows(result)[1] == (1, 0, 0, "exit", "netting", -1_000, 6_000, 42_000)
    assert fills(result, "role")[1] == ("maker",)


def test_an_exit_under_way_goes_on_beside_the_order() -> None:
    # Time is up at minute 3, in the same bar in which the order is still waiting for its price.
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    tape = quiet((6, {"bid": 6_100, "ask": 6_300}))
    result = run(tape, [intent(exit_time=at(3)), waits], RULES)
    assert [row[3:6] for row in rows(result)] == [
        ("entry", "entry", 1_000),
        ("exit", "time", -1_000),
        ("entry", "entry", -1_000),
    ]


# --- close intents and ends -----------------------------------------------------------------------


def test_a_close_takes_the_order_back_and_sells() -> None:
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    close = intent(time=at(2), side=0, quantity=None)
    result = run(quiet(), [intent(), waits, close], RULES)
    assert rows(result)[1][:7] == (0, 1, 0, "exit", "signal", -1_000, 4_900)
    assert ends(result)[1:] == [("canceled", "signal", 0), ("filled", None, 0)]
    assert result.orders["quantity"][2] == 1_000


def test_a_close_leaves_what_the_order_had_netted() -> None:
    tape = quiet((2, {"bid": 6_100, "ask": 6_300, "volume": 4_000}))
    rules = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    close = intent(time=at(2), side=0, quantity=None)
    result = run(tape, [intent(), waits, close], rules)
    assert [row[4:6] for row in rows(result)] == [
        ("entry", 1_000),
        ("signal", -600),
        ("netting", -400),
    ]
    assert ends(result)[1] == ("partial", "exited", 400)


def test_a_close_takes_back_an_order_that_has_netted_all_there_was() -> None:
    # Ten of fifteen can be had of the bar: the YES are gone, nothing of NO is open yet.
    tape = quiet((2, {"bid": 6_100, "ask": 6_300, "volume": 10_000}))
    rules = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    waits = no(1, 1_500, kind="limit", limit=6_000, valid_bars=9)
    close = intent(time=at(2), side=0, quantity=None)
    result = run(tape, [intent(), waits, close], rules)
    assert [row[4:6] for row in rows(result)] == [("entry", 1_000), ("netting", -1_000)]
    assert ends(result)[1:] == [("partial", "signal", 1_000), ("filled", "signal", 0)]


def test_an_order_that_netted_a_part_ends_partial() -> None:
    thin = {"bid": 6_100, "ask": 6_300, "volume": 4_000}
    rules = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    at_once = run(quiet((2, thin)), [intent(), no(1, 1_000)], rules)
    assert ends(at_once)[1] == ("partial", "no_volume", 400)
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=3)
    assert ends(run(quiet((2, thin)), [intent(), waits], rules))[1] == (
        "partial",
        "no_volume",
        400,
    )


def test_at_the_end_of_trading_the_order_dies_and_the_position_waits() -> None:
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=99)
    end = paid(8, 10_000) | {"close_time": at(5)}
    tape = quiet((7, {"bid": 6_100, "ask": 6_300}))
    result = run(tape, [intent(), waits], RULES, outcomes=[end])
    assert ends(result)[1] == ("expired", "not_reached", 0)
    assert [row[4:7] for row in rows(result)[1:]] == [("settlement", -1_000, 10_000)]


# --- what is not an opposing order ----------------------------------------------------------------


def test_the_same_side_twice_is_refused() -> None:
    result = run(quiet(), [intent(), intent(time=at(1))], RULES)
    assert ends(result)[1] == ("rejected", "position_open", 0)


def test_one_working_order_a_market() -> None:
    waits = no(1, 400, kind="limit", limit=6_000, valid_bars=9)
    result = run(quiet(), [intent(), waits, no(2, 400)], RULES)
    assert ends(result)[2] == ("rejected", "position_open", 0)
    # The entry itself still works: 20 wanted, ten a bar.
    rules = Rules(latency=0, fill=FillModel(participation=0.01), pauses=False)
    buys = intent(kind="limit", limit=5_200, valid_bars=9, quantity=3_000)
    result = run(quiet(), [buys, no(1, 400)], rules)
    assert ends(result)[1] == ("rejected", "position_open", 0)


def test_an_exit_under_way_refuses_the_order() -> None:
    slow = Rules(latency=120_000_000, fill=DEEP, pauses=False)
    close = intent(time=at(3), side=0, quantity=None)
    result = run(quiet(), [intent(), close, no(4, 400)], slow)
    assert ends(result)[2] == ("rejected", "position_open", 0)
    assert [row[4] for row in rows(result)] == ["entry", "signal"]


# --- what it must bring ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "valid"), [("ioc", 0), ("limit", 3)])
def test_netting_that_brings_nothing_is_not_done(kind: str, valid: int) -> None:
    # A YES bid of 0.0001: a contract brings 0.0001 less a fee of at least as much.
    tape = quiet(*((n, {"bid": 1, "ask": 100}) for n in range(2, 9)))
    turn = no(1, 100, kind=kind, limit=1, valid_bars=valid)
    result = run(tape, [intent(quantity=100), turn], RULES, maker=70_000)
    ended = {"ioc": ("canceled", "cash", 0), "limit": ("expired", "not_reached", 0)}
    assert ends(result)[1] == ended[kind]
    assert len(rows(result)) == 1


def test_what_opens_is_bounded_by_cash_when_the_position_has_left_first() -> None:
    # 6.00 buy ten YES at 0.51: 0.725 is left. The stop brings 1.00 less 0.063: 1.662 in all, for
    # two of ten NO at 0.60, made without a fee.
    tape = quiet(
        (2, {"bid": 1_000, "ask": 1_200}),
        *((n, {"bid": 4_500, "ask": 4_700}) for n in (4, 5)),
        (6, {"bid": 1_000, "ask": 1_200}),
    )
    waits = no(1, 1_000, kind="limit", limit=4_000, valid_bars=5)
    first = intent(limit=5_100, stop=4_500)
    rules = Rules(cash=6_000_000, latency=0, fill=DEEP, pauses=False)
    result = run(tape, [first, waits], rules)
    assert [row[3:7] for row in rows(result)] == [
        ("entry", "entry", 1_000, 5_100),
        ("exit", "stop", -1_000, 1_000),
        ("entry", "entry", -200, 4_000),
    ]
    assert ends(result)[1][::2] == ("partial", 200)
