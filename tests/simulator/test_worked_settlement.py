"""Results that are said before they are paid, and what a payout keeps, worked by hand.

Quiet bars bid 0.49 for either side. Ten YES are bought in minute 1 for 5.10 and a fee of 0.175,
which leaves the balance in whole cents: 5.28.
"""

from typing import Any

import pytest
from one_market import at, bars, ends, fills, intent, paid, run, told

from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation

DEEP = FillModel(participation=None)
RULES = Rules(cash=100_000_000, latency=0, fill=DEEP, pauses=False)
BID = 4_900_000  # of ten contracts
WON, LOST = 10_000_000, 0


def curve_of(result: Simulation, rules: Rules = RULES) -> Curve:
    return equity_curve(result.tape, result, rules.cash)


def marks(result: Simulation) -> list[int]:
    """What is held is marked at, minute by minute."""
    return curve_of(result).equity["marked"].to_list()


def walked(*rows: dict[str, Any], side: int = 1, **given: Any) -> Simulation:
    return run(bars(*[{}] * 10), [intent(side=side)], RULES, said=rows, **given)


def test_what_was_said_of_a_result_is_the_mark_until_it_is_paid() -> None:
    result = walked(
        told(3, "determined", 10_000), told(7, "finalized", 10_000), outcomes=[paid(7, 10_000)]
    )
    assert marks(result) == [0, BID, BID, WON, WON, WON, WON, 0, 0, 0]


def test_nothing_is_paid_before_the_settlement() -> None:
    heard = [told(2, "determined", 10_000), told(4, "disputed"), told(5, "amended", 0)]
    result = walked(*heard, told(7, "finalized", 0), outcomes=[paid(7, 0)])
    assert fills(result, "reason", "price") == [("entry", 5_100), ("settlement", 0)]
    assert result.fills["time"].to_list() == [at(1), at(7)]
    cash = curve_of(result).equity["cash"].to_list()
    assert cash == [100_000_000] + [94_720_000] * 9


def test_a_dispute_takes_the_lower_of_the_bid_and_what_was_said() -> None:
    # 1.00 in dispute is worth its bid of 0.49, 0.20 in dispute no more than 0.20.
    high = walked(told(2, "determined", 10_000), told(4, "disputed"), told(6, "amended", 0))
    assert marks(high) == [0, BID, WON, WON, BID, BID, 0, 0, 0, 0]
    low = walked(told(2, "determined", 2_000), told(4, "disputed"), told(6, "determined", 5_000))
    low_mark, half = 2_000_000, 5_000_000
    assert marks(low) == [0, BID, *[low_mark] * 4, half, half, half, half]


def test_a_dispute_of_nothing_said_leaves_the_bid() -> None:
    assert marks(walked(told(3, "disputed"))) == [0, *[BID] * 9]


def test_a_second_dispute_is_about_what_was_said_last() -> None:
    heard = [told(2, "determined", 10_000), told(3, "disputed")]
    heard += [told(4, "amended", 1_000), told(5, "disputed"), told(6, "disputed")]
    assert marks(walked(*heard)) == [0, BID, WON, BID, *[1_000_000] * 6]


def test_no_is_marked_at_what_no_is_paid() -> None:
    result = walked(told(3, "determined", 2_000), told(5, "disputed"), side=-1)
    # 0.80 for NO; in dispute its bid, 0.49.
    assert marks(result) == [0, BID, BID, 8_000_000, 8_000_000, *[BID] * 5]


def test_what_is_said_before_a_position_is_opened_marks_it_from_the_first() -> None:
    result = walked(told(0.5, "determined", 10_000))
    assert marks(result) == [0, *[WON] * 9]


def test_sizes_go_by_the_equity_that_was_known() -> None:
    # 94.72 in cash. A tenth of equity at 0.51 each with a fee of 0.07 x 0.2499 for each:
    # with ten won, 10.472: 19 for 9.69 + 0.34; at the bid, 9.962: 18 for 9.18 + 0.32 = 9.50
    # (19 would be 10.03); lost, 9.472: 17 for 8.67 + 0.30 (18 would be 9.50).
    tape = bars(*[{}] * 10).vstack(bars(*[{}] * 10, market=1))
    probe = intent(market=1, time=at(4), quantity=None, stake=0.1)
    expected = {10_000: 1_900, None: 1_800, 0: 1_700}
    for payout, quantity in expected.items():
        heard = [] if payout is None else [told(4, "determined", payout)]
        result = run(tape, [intent(), probe], RULES, said=heard)
        assert result.orders["wanted"][1] == quantity
        # A moment later it is not known yet.
        late = [] if payout is None else [told(4.01, "determined", payout)]
        result = run(tape, [intent(), probe], RULES, said=late)
        assert result.orders["wanted"][1] == 1_800


@pytest.mark.parametrize(
    ("payout", "precision", "fee"),
    [
        (5_970, 10_000, 8_200),  # 6.3282 pays 6.32
        (5_970, 100, 0),
        (5_971, 100, 60),  # 6.32926 pays 6.3292
        (0, 10_000, 0),
        (10_000, 10_000, 0),
        (2_500, 10_000, 0),  # 2.65
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_payout_keeps_what_does_not_fill_a_step_of_the_balance(
    payout: int, precision: int, fee: int, side: int
) -> None:
    rules = Rules(lot=1, balance_precision=precision, latency=0, fill=DEEP, pauses=False)
    of_yes = payout if side == 1 else 10_000 - payout
    order = intent(quantity=1_060, side=side)
    result = run(bars(*[{}] * 5), [order], rules, outcomes=[paid(4, of_yes)])
    assert fills(result, "reason", "price", "fee")[1] == ("settlement", of_yes, fee)
    trade = closed_trades(result.tape, result).row(0, named=True)
    assert trade["fees"] == result.fills["fee"][0] + fee
    equity = curve_of(result, rules).equity["cash"][-1]
    assert equity == rules.cash + trade["pnl"]


def test_naive_payouts_keep_nothing() -> None:
    naive = FillModel(participation=None, naive=True)
    rules = Rules(lot=1, balance_precision=10_000, latency=0, fill=naive, pauses=False)
    tape = bars(*[{"price": 5_000}] * 5)
    result = run(tape, [intent(quantity=1_060)], rules, outcomes=[paid(4, 5_970)])
    assert fills(result, "reason", "fee") == [("entry", 0), ("settlement", 0)]


def test_positions_open_at_the_end_are_told_apart() -> None:
    tape = bars(*[{}] * 6)
    for m in (1, 2, 3):
        tape = tape.vstack(bars(*[{}] * 6, market=m))
    heard = [
        told(4, "determined", 10_000),
        told(3, "determined", 10_000, "M1"),
        told(4, "disputed", ticker="M1"),
        told(2_000, "determined", 0, "M2"),
    ]
    orders = [intent(market=m) for m in range(4)]
    result = run(tape, orders, RULES, said=heard)
    curve = curve_of(result)
    # The third is determined after the end, the fourth never.
    assert (curve.unsettled, curve.determined) == (4, 2)
    assert curve.unsettled_value == WON + 3 * BID
    assert closed_trades(result.tape, result).is_empty()
    paid_for = run(tape, orders, RULES, said=heard, outcomes=[paid(5, 10_000)])
    assert (curve_of(paid_for).unsettled, curve_of(paid_for).determined) == (3, 1)
    assert ends(paid_for)[0] == ("filled", None, 1_000)
