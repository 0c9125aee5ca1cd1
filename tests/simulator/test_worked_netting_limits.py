"""Limits of orders that net, worked by hand: they bound what would open, never what is given up.

All markets quote 0.49 to 0.51: a contract of either side costs 0.51.
"""

from typing import Any

import pytest
from one_market import at, bars, ends, intent, run

from kalshi_bt.simulator.assumptions import FillModel, Limit, Risk, Rules
from kalshi_bt.simulator.simulate import Simulation

DEEP = FillModel(participation=None)


def no(minute: float, quantity: int, **values: Any) -> dict[str, Any]:
    return intent(time=at(minute), side=-1, quantity=quantity, **values)


def yes(market: int, quantity: int, **values: Any) -> dict[str, Any]:
    return intent(market=market, quantity=quantity, **values)


def walked(orders: list[dict[str, Any]], cash: int = 10**9, **limits: Any) -> Simulation:
    """Two markets of one event for nine quiet minutes."""
    tape = bars(*[{}] * 9).vstack(bars(*[{}] * 9, market=1))
    rules = Rules(
        cash=cash,
        latency=0,
        fill=DEEP,
        pauses=False,
        balance_precision=100,
        risk=Risk(**limits),
    )
    return run(tape, orders, rules)


def dollars(amount: float) -> Limit:
    return Limit(None, round(amount * 1_000_000))


@pytest.mark.parametrize("name", ["max_event", "max_exposure", "max_market", "max_cycle"])
def test_what_only_nets_asks_for_no_room(name: str) -> None:
    # 5.10 of 5.20 are held, or used by this market, or paid in a cycle: NO for 9.90 would not fit.
    turn = no(1, 1_000, limit=100)
    result = walked([yes(0, 1_000), turn], **{name: dollars(5.2)})
    assert ends(result)[1] == ("filled", None, 1_000)


@pytest.mark.parametrize(
    ("name", "reason"), [("max_event", "event_cap"), ("max_exposure", "exposure")]
)
def test_the_cost_of_the_position_makes_room_for_what_opens(name: str, reason: str) -> None:
    # YES for 3.57 of 4.00; they are given up first: 4.00 hold seven NO beyond the seven.
    result = walked([yes(0, 700), no(1, 2_000)], **{name: dollars(4)})
    assert ends(result)[1] == ("filled", reason, 1_400)
    # Four YES of the other market for 2.04 stay: 1.96 hold three.
    both = [yes(0, 300), yes(1, 400), no(1, 2_000)]
    result = walked(both, **{name: dollars(4)})
    assert ends(result)[2] == ("filled", reason, 600)


def test_the_cap_of_a_market_is_for_what_opens() -> None:
    result = walked([yes(0, 300), no(1, 2_000)], max_market=dollars(2))
    assert ends(result)[1] == ("filled", "market_cap", 600)


def test_a_cycle_counts_what_was_sent_in_it_before() -> None:
    # Four contracts sent for 2.04 leave 0.96: one NO beyond the two that net.
    orders = [
        yes(1, 200),
        yes(0, 400, time=at(1)),
        no(1, 1_000, market=1),
    ]
    result = walked(orders, max_cycle=dollars(3))
    assert ends(result)[2] == ("filled", "cycle_cap", 300)
    # And an order that only nets is sent as well: at its full price.
    orders = [yes(0, 400), no(1, 400), yes(1, 400, time=at(1))]
    result = walked(orders, max_cycle=dollars(3))
    assert ends(result)[2] == ("filled", "cycle_cap", 100)


def test_a_cap_without_room_leaves_the_netting() -> None:
    # Seven YES of the other market for 3.57 leave 0.51 of 4.08, and NO at a limit of 0.60 nothing.
    orders = [yes(0, 100), yes(1, 700), no(1, 500, limit=4_000)]
    result = walked(orders, max_exposure=dollars(4.08))
    assert ends(result)[2] == ("filled", "exposure", 100)
    assert result.orders["quantity"][2] == 100


def test_less_than_a_lot_is_no_order() -> None:
    # Of 1.50 contracts one nets; the half that is left cost 0.255. Two of the other market cost
    # 1.02, and 0.48 hold none beyond the half, which alone is less than a lot.
    orders = [yes(0, 150), no(1, 100), yes(1, 200, time=at(2)), no(3, 500)]
    result = walked(orders, max_event=dollars(1.5))
    assert ends(result)[:3] == [("filled", None, n) for n in (150, 100, 200)]
    assert ends(result)[3] == ("rejected", "event_cap", 0)
    assert result.orders["quantity"][3] == 0
    # Where nothing bounds what opens, the half nets with it.
    assert ends(walked(orders))[3] == ("filled", None, 500)


def test_the_market_has_its_place_among_the_positions() -> None:
    result = walked([yes(0, 300), no(1, 500), yes(1, 100, time=at(1))], max_positions=1)
    assert ends(result)[1] == ("filled", None, 500)
    assert ends(result)[2] == ("rejected", "max_positions", 0)


def test_a_market_with_position_and_order_counts_once() -> None:
    waits = no(1, 300, kind="limit", limit=6_000, valid_bars=9)
    result = walked([yes(0, 300), waits, yes(1, 100, time=at(2))], max_positions=2)
    assert ends(result)[2] == ("filled", None, 100)


def test_an_order_at_work_is_committed_at_its_price() -> None:
    # Ten YES for 5.10, ten NO bid for at 0.40: 9.10 of 10 are taken, 0.90 hold one.
    waits = no(1, 1_000, kind="limit", limit=6_000, valid_bars=9)
    orders = [yes(0, 1_000), waits, yes(1, 500, time=at(2))]
    result = walked(orders, max_exposure=dollars(10))
    assert ends(result)[2] == ("filled", "exposure", 100)
    assert ends(walked(orders, max_event=dollars(10)))[2] == ("filled", "event_cap", 100)


def test_netting_needs_no_cash_to_begin_with() -> None:
    # 1.50 YES at a limit of 0.51 need 0.765, a fee of at most 0.03 and a cent: 0.81 are enough.
    first = yes(0, 150, limit=5_100)
    result = walked([first, no(1, 150, limit=100)], cash=810_000)
    assert ends(result)[1] == ("filled", None, 150)
    # What would open is left away: its cost of 0.51 is not there before the sale.
    result = walked([first, no(1, 500, limit=4_900)], cash=810_000)
    assert ends(result)[1] == ("filled", "cash", 150)
    # Half a contract is no order.
    result = walked([first, no(1, 100), no(2, 500, limit=4_900)], cash=810_000)
    assert ends(result)[2] == ("rejected", "cash", 0)


def test_what_opens_is_reserved() -> None:
    # Of 20.00, 5.10 and 0.175 pay ten YES. Ten NO beyond at 0.40 reserve 4.00 + 0.17 + 0.01, so
    # 10.545 are free: at 0.51 that buys 19, 9.69 + 0.34 + 0.01, and not 20.
    waits = no(1, 2_000, kind="limit", limit=6_000, valid_bars=9)
    probe = yes(1, 9_000, time=at(2), limit=5_100)
    result = walked([yes(0, 1_000), waits, probe], cash=20_000_000)
    assert ends(result)[2] == ("filled", "cash", 1_900)
    # An order that only nets reserves nothing: 14.725 are free, for 27 and not for 28.
    result = walked([yes(0, 1_000), waits | {"quantity": 1_000}, probe], cash=20_000_000)
    assert ends(result)[2] == ("filled", "cash", 2_700)


def test_a_latched_breaker_refuses_the_order_and_lets_a_close_pass() -> None:
    # A round trip in the other market loses its spread.
    trip = [yes(1, 100), intent(market=1, time=at(1), side=0, quantity=None)]
    orders = [yes(0, 300), *trip, no(3, 100), intent(time=at(4), side=0, quantity=None)]
    result = walked(orders, max_losses=1)
    assert ends(result)[3:] == [("rejected", "breaker_losses", 0), ("filled", None, 0)]
    assert result.fills.filter(order_id=0)["reason"].to_list()[-1] == "signal"


def test_netting_at_a_loss_counts_among_the_losses() -> None:
    result = walked([yes(0, 100), no(1, 100), yes(1, 100, time=at(3))], max_losses=1)
    assert ends(result)[2] == ("rejected", "breaker_losses", 0)
    # Of two one is still held: nothing is decided yet.
    result = walked([yes(0, 200), no(1, 100), yes(1, 100, time=at(3))], max_losses=1)
    assert ends(result)[2] == ("filled", None, 100)


def test_most_contracts_of_an_order_count_those_that_net() -> None:
    result = walked([yes(0, 300), no(1, 900)], max_contracts=5)
    assert ends(result)[1] == ("filled", "max_contracts", 500)
