"""How markets end, from a stored dataset to the last micro-dollar: what is paid, and when."""

from pathlib import Path

import polars as pl
import pytest
from one_life import CASH, COST, DOLLAR, Market, T, at, said, settled
from one_market import intent

from kalshi_bt import schema
from kalshi_bt.data.lifecycle import payouts
from kalshi_bt.data.panel import determinations, panel
from kalshi_bt.data.soundness import audit


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path / "data")


def test_after_an_early_close_orders_are_dead_and_positions_wait_for_the_payout(
    market: Market,
) -> None:
    resting = intent(time=at(3), kind="limit", limit=4_000, valid_bars=50)
    assert market.run(resting).money()[0] == (7, "trade", 1_000, 4_000)
    market.put(settlements=[settled(40, 10_000, close=5)])
    waiting = intent(time=at(2), side=0)  # sells at the bid while the market trades
    done = market.run(intent(time=at(0)), intent(time=at(10)))
    assert done.money() == [(1, "trade", 1_000, 5_100), (40, "settlement", -1_000, 10_000)]
    late = done.run.orders.row(1, named=True)
    assert (late["status"], late["filled"]) == ("rejected", 0)
    assert done.cash() == [CASH, CASH - COST, CASH - COST + 10 * DOLLAR]
    (order,) = market.run(resting).run.orders.to_dicts()
    assert (order["status"], order["filled"]) == ("expired", 0)
    assert market.run(intent(time=at(0)), waiting).money()[-1] == (3, "trade", -1_000, 4_900)
    asleep = intent(time=at(6), side=0)  # nobody trades any more
    assert market.run(intent(time=at(0)), asleep).money()[-1] == (40, "settlement", -1_000, 10_000)


@pytest.mark.parametrize(("side", "price", "paid"), [(1, 5_100, 3_700), (-1, 4_900, 6_300)])
def test_a_cancelled_market_pays_both_sides_of_its_value(
    market: Market, side: int, price: int, paid: int
) -> None:
    market.put(settlements=[settled(70, 3_700)])
    done = market.run(intent(time=at(0), side=side))
    assert done.money() == [
        (1, "trade", 1_000 * side, price),
        (70, "settlement", -1_000 * side, 3_700),
    ]
    (trade,) = done.trades.to_dicts()
    assert trade["exit_reason"] == "settlement"
    assert trade["exit_price"] == paid / 10_000
    assert trade["pnl"] == 1_000 * (paid - 5_100)  # either side cost 0.51


WAY = (
    (62, "determined", 10_000),
    (65, "disputed", None),
    (90, "amended", 0),
    (120, "finalized", 0),
)


def test_the_amended_payout_is_paid_when_it_is_final_and_nothing_before(market: Market) -> None:
    market.put(determinations=said(*WAY), settlements=[settled(120, 0)])
    done = market.run()
    assert done.money() == [(1, "trade", 1_000, 5_100), (120, "settlement", -1_000, 0)]
    assert done.cash() == [CASH, CASH - COST]
    assert payouts(market.store.read("determinations")).rows() == [(T, at(120), 0)]
    findings = audit(market.store).findings
    assert [f.rule for f in findings if f.table == "determinations"] == ["payout_amended"]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_until_the_payout_is_final_nothing_is_paid_won_or_lost(market: Market, steps: int) -> None:
    market.put(determinations=said(*WAY[:steps]))
    done = market.run()
    assert done.money() == [(1, "trade", 1_000, 5_100)]
    assert done.trades.is_empty()
    assert done.cash()[-1] == CASH - COST
    scores = done.scores()
    assert (scores["unsettled"], scores["n_trades"], scores["win_rate"]) == (1, 0, None)


EARLY = ((30, "determined", 10_000), (35, "disputed", None), (40, "amended", 0))


def test_a_position_is_marked_at_what_its_result_is_said_to_be(market: Market) -> None:
    market.put(determinations=said(*EARLY, (50, "finalized", 0)), settlements=[settled(50, 0, 20)])
    marked = {}
    for side in (1, -1):
        curve = market.run(intent(time=at(0), side=side)).curve.equity
        marked[side] = {
            minute: curve.row(by_predicate=pl.col("time") == at(minute), named=True)["marked"]
            for minute in (6, 7, 29, 30, 34, 35, 39, 40, 49, 50)
        }
    # A thousand hundredths of a contract; YES is bid 0.49, then 0.33, NO 0.49, then 0.65.
    own = {6: (490, 490), 7: (330, 650), 29: (330, 650), 30: (1_000, 0), 34: (1_000, 0)}
    own |= {35: (330, 0), 39: (330, 0), 40: (0, 1_000), 49: (0, 1_000), 50: (0, 0)}
    for n, side in enumerate((1, -1)):
        assert marked[side] == {minute: 10_000 * v[n] for minute, v in own.items()}


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_open_positions_are_told_in_two_kinds(market: Market, steps: int) -> None:
    if steps:
        market.put(determinations=said(*EARLY[:steps]))
    done = market.run()
    assert (done.curve.unsettled, done.curve.determined) == (1, int(steps > 0))
    assert done.scores()["determined"] == int(steps > 0)
    assert done.curve.unsettled_value == 10_000 * (330, 1_000, 330, 0)[steps]
    assert done.scores()["win_rate"] is None


def test_the_simulator_hears_of_a_result_what_was_said_by_the_end(market: Market) -> None:
    market.put(determinations=[*said(*WAY), *said((130, "determined", 10_000))])
    other = {"ticker": "S-E-B", "time": at(1), "status": "determined", "payout": 0}
    market.put(determinations=[other, *said((91, "amended", 0))])
    markets = panel(market.store).markets
    heard = [len(determinations(market.store, markets, at(m))) for m in (61, 62, 65, 90, 119, 120)]
    assert heard == [0, 1, 2, 3, 3, 4]
    whole = determinations(market.store, markets)
    assert whole.equals(pl.DataFrame(said(*WAY), schema=schema.DETERMINATIONS.columns))


def test_a_run_that_ends_before_the_payout_does_not_know_it(market: Market) -> None:
    market.put(determinations=said(*WAY), settlements=[settled(120, 0)])
    done = market.run(end=at(100))
    assert done.money() == [(1, "trade", 1_000, 5_100)]
    assert done.curve.unsettled == 1


def test_a_corrected_settlement_pays_once_and_the_first_is_kept(market: Market) -> None:
    way = (*WAY[:1], (70, "finalized", 10_000))
    market.put(determinations=said(*way), settlements=[settled(70, 10_000)])
    assert market.run().money()[-1] == (70, "settlement", -1_000, 10_000)
    market.put(determinations=said((200, "finalized", 0)), settlements=[settled(200, 0)])
    assert market.run().money()[1:] == [(200, "settlement", -1_000, 0)]
    assert market.store.read("revisions").select("time", "payout").rows() == [(at(70), 10_000)]
    assert payouts(market.store.read("determinations")).rows() == [(T, at(200), 0)]
    found = {f.rule for f in audit(market.store).findings if f.severity != "note"}
    assert "payout_revised" in found
    assert "finalized_otherwise" not in found


def test_a_run_that_ends_before_a_correction_is_paid_what_stood_then(market: Market) -> None:
    market.put(settlements=[settled(70, 10_000)])
    before = market.run(end=at(100)).run.fills
    market.put(settlements=[settled(200, 0)])
    market.put(settlements=[settled(300, 5_000)])
    assert market.run(end=at(100)).run.fills.equals(before)
    assert market.run(end=at(250)).money()[1:] == [(200, "settlement", -1_000, 0)]
    assert market.run(end=at(69)).money()[1:] == []
    assert market.run().money()[1:] == [(300, "settlement", -1_000, 5_000)]


def test_several_corrections_known_at_one_time_are_all_kept(market: Market) -> None:
    for payout in (10_000, 0, 5_000):
        market.put(settlements=[settled(70, payout)])
    assert market.run().money()[-1] == (70, "settlement", -1_000, 5_000)
    assert market.store.read("revisions")["payout"].to_list() == [0, 10_000]
