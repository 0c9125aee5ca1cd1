"""A result is said, disputed, amended and at last paid: what is held is marked so, money waits.

Ten contracts at 0.51 in markets of 0.49 to 0.51; their last bar ends at minute 5.
"""

from typing import Any

import polars as pl
import pytest
from one_market import at, bars, ends, fills, intent, paid, run, told

from kalshi_bt.simulator.assumptions import FILLS, FillModel, Rules
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation

WHOLE = FillModel(participation=None)
RULES = Rules(latency=0, fill=WHOLE, pauses=False)
FEE = 180_000  # 5.10 and 0.175 are 5.275: 5.28 in the whole cents of the balance
TOLD = [
    told(7, "determined", 10_000),
    told(8, "disputed", None),
    told(9, "amended", 0),
    told(10, "finalized", 0),
]


def walked(*orders: dict[str, Any], rules: Rules = RULES, **more: Any) -> Simulation:
    count = 1 + max(order["market"] for order in orders)
    tape = pl.concat([bars(*[{}] * 6, market=m) for m in range(count)])
    return run(tape, orders, rules, **more)


def curve(result: Simulation, rules: Rules = RULES) -> Curve:
    return equity_curve(result.tape, result, rules.cash)


def marked(result: Simulation) -> dict[int, int]:
    """Micro-dollars at each minute from the sixth on."""
    frame = curve(result).equity.filter(pl.col("time") >= at(6))
    return {(t - at(0)).seconds // 60: m for t, m in frame.select("time", "marked").iter_rows()}


@pytest.mark.parametrize(
    ("side", "worth"),
    [
        # Bid 0.49; determined at a dollar; disputed: the lower of both; amended to nothing.
        (1, {6: 4_900_000, 7: 10_000_000, 8: 4_900_000, 9: 0, 10: 0, 11: 0}),
        # NO is bid 0.49 too, is worth nothing when YES is, and nothing while that is disputed.
        (-1, {6: 4_900_000, 7: 0, 8: 0, 9: 10_000_000, 10: 0, 11: 0}),
    ],
)
def test_a_position_is_marked_at_what_was_said(side: int, worth: dict[int, int]) -> None:
    other = intent(market=1)  # keeps the curve going for two minutes
    outcomes = [paid(10, 0), paid(11, 0) | {"ticker": "M1", "close_time": at(5)}]
    outcomes[0]["close_time"] = at(5)
    result = walked(intent(side=side), other, said=TOLD, outcomes=outcomes)
    both = marked(result)
    alone = {minute: both[minute] - (4_900_000 if minute < 11 else 0) for minute in both}
    assert alone == worth


def test_money_moves_only_when_it_is_paid() -> None:
    outcome = paid(10, 0) | {"close_time": at(5)}
    result = walked(intent(), said=TOLD, outcomes=[outcome])
    cash = curve(result).equity.select("time", "cash").rows()
    assert {money for time, money in cash if at(1) <= time} == {RULES.cash - 5_100_000 - FEE}
    assert fills(result)[-1] == ("settlement", "none", -1_000, 0)
    # Without what was said nothing but the marks would differ.
    assert result.fills.equals(walked(intent(), outcomes=[outcome]).fills)


def test_a_dispute_of_what_nobody_said_is_no_result() -> None:
    result = walked(intent(), said=[told(3, "disputed", None)])
    assert curve(result).equity["marked"][-1] == 4_900_000


def test_a_scalar_result_is_marked_at_its_value() -> None:
    result = walked(intent(side=-1), said=[told(3, "determined", 3_700)])
    assert curve(result).equity["marked"][-1] == 6_300_000


def test_what_was_said_of_other_markets_counts_nothing() -> None:
    result = walked(intent(), said=[told(3, "determined", 0, ticker="M7")])
    assert curve(result).equity["marked"][-1] == 4_900_000


def test_open_positions_with_a_result_are_told_from_those_without() -> None:
    said = [told(3, "determined", 10_000), told(4, "disputed", None)]
    end = curve(walked(intent(), intent(market=1), intent(market=2), said=said))
    assert (end.unsettled, end.determined) == (3, 1)
    # Disputed: the bid of 0.49 is lower than the dollar.
    assert end.unsettled_value == 3 * 4_900_000
    nothing = curve(walked(intent(), intent(market=1)))
    assert (nothing.unsettled, nothing.determined) == (2, 0)


@pytest.mark.parametrize(("minute", "known"), [(4, True), (3, False)], ids=["at", "before"])
def test_equity_for_sizing_knows_what_was_said_by_then(minute: int, known: bool) -> None:  # noqa: FBT001
    # $10 buy ten at 0.51: 10 - 5.1 - 0.18 = $4.72 are left. Of contracts at 0.51 with a fee of
    # 0.0175 each, up to the cent, three cost 1.53 + 0.06, two 1.02 + 0.04, one 0.51 + 0.02.
    poor = Rules(cash=10_000_000, latency=0, fill=WHOLE, pauses=False)
    staked = intent(market=1, time=at(minute), quantity=None, stake=0.11)
    said = [told(4, "determined", 10_000)]
    result = walked(intent(limit=5_100), staked, rules=poor, said=said)
    assert ends(result)[0] == ("filled", None, 1_000)
    # With ten dollars 0.11 x 14.72 = 1.619, with ten bids 0.11 x (4.72 + 4.9) = 1.0582.
    assert result.orders["wanted"][1] == (300 if known else 100)


def test_what_does_not_fill_a_step_of_the_balance_is_kept_at_settlement() -> None:
    # 10.60 contracts at 0.597 are 6.3282: at whole cents 6.32 are paid and 0.0082 kept.
    rules = Rules(latency=0, fill=WHOLE, pauses=False, lot=1, balance_precision=10_000)
    result = walked(intent(quantity=1_060), rules=rules, outcomes=[paid(9, 5_970)])
    assert fills(result, "reason", "price", "fee")[1] == ("settlement", 5_970, 8_200)
    (trade,) = closed_trades(result.tape, result).rows(named=True)
    entry = int(result.fills["fee"][0])
    assert trade["pnl"] == 6_320_000 - 1_060 * 5_100 - entry
    assert curve(result, rules).equity["cash"][-1] == rules.cash + trade["pnl"]
    for payout in (0, 10_000):
        whole = walked(intent(quantity=1_060), rules=rules, outcomes=[paid(9, payout)])
        assert fills(whole, "fee")[1] == (0,)


def test_a_naive_settlement_costs_nothing() -> None:
    naive = Rules(latency=0, fill=FILLS["naive"], lot=1, balance_precision=10_000)
    result = walked(intent(quantity=1_060, limit=5_100), rules=naive, outcomes=[paid(9, 5_970)])
    assert ends(result) == [("filled", None, 1_060)]
    assert fills(result, "reason", "fee")[1] == ("settlement", 0)
