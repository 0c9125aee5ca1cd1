"""Where the result of each closed trade came from, and what was known when it was decided."""

from typing import Any

import naive_facts
import polars as pl
import pytest
from facts_of import differing, tables_of
from one_market import at, bars, intent, paid, run
from strategies_random import FEATURES, random_case, seeded
from test_fill_quality import told

from kalshi_bt import schema
from kalshi_bt.run_schema import CONTEXT
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.units import MONEY_SCALE

Row = dict[str, Any]
CROSS = Rules(latency=0, balance_precision=100)


def contexts(rows: list[Row], orders: list[Row], outcomes: list[Row], **more: Any) -> list[Row]:
    """The contexts of the trades of one market, each with what the trade came to."""
    tape = bars(*rows)
    done = run(tape, orders, more.pop("rules", CROSS), outcomes=outcomes, **more)
    found = tables_of(tape, done, pl.DataFrame(outcomes, schema.SETTLEMENTS.columns))
    return found["context"].join(found["trades"], on="trade_id").to_dicts()


def adds_up(row: Row) -> bool:
    parts = row["gross_mid"] - row["spread"] - row["slippage"]
    return bool(parts * MONEY_SCALE - row["fees"] == pytest.approx(row["pnl"], abs=1e-3))


def test_a_trade_of_yes_held_to_settlement_by_hand() -> None:
    """Ten contracts: a mid of 0.50 at the decision, 0.51 asked, 0.53 paid, and a dollar got."""
    rows: list[Row] = [{}, {"bid": 5_200, "ask": 5_300}, {}]
    (row,) = contexts(rows, [intent(fair=0.6)], [paid(50, 10_000)])
    assert row["gross_mid"] == pytest.approx(5.0)
    assert row["spread"] == pytest.approx(0.1)
    assert row["slippage"] == pytest.approx(0.2)
    fee = 0.07 * 0.53 * 0.47  # of one contract; of ten 0.17437, rounded up by the exchange
    assert row["expected"] == pytest.approx(0.6 - 0.53 - fee, abs=1e-4)
    assert (row["decided"], row["settled"], row["outcome"]) == (at(0), at(50), 1.0)
    assert (row["fair"], row["bid"], row["ask"]) == (0.6, 0.49, 0.51)
    assert adds_up(row)


def test_a_trade_of_no_is_told_by_its_holder() -> None:
    """YES at 0.49 to 0.53 is NO at 0.47 to 0.51; a fair of 0.4 is one of 0.6."""
    rows: list[Row] = [{"bid": 4_900, "ask": 5_300}, {"bid": 4_600, "ask": 5_000}, {}]
    (row,) = contexts(rows, [intent(side=-1, fair=0.4)], [paid(50, 2_500)])
    assert (row["bid"], row["ask"], row["fair"]) == (0.47, 0.51, pytest.approx(0.6))
    assert row["outcome"] == 0.75
    assert row["gross_mid"] == pytest.approx(10 * (0.75 - 0.49))
    assert row["spread"] == pytest.approx(0.2)
    assert row["slippage"] == pytest.approx(10 * (0.54 - 0.51))
    assert adds_up(row)


def test_without_an_opinion_nothing_is_expected() -> None:
    (row,) = contexts([{}] * 3, [intent()], [paid(50, 0)])
    assert (row["fair"], row["expected"]) == (None, None)
    assert adds_up(row)


def test_an_empty_side_at_any_decision_leaves_no_mid() -> None:
    """Entered between both sides, left by a stop; the bar before the stop has no ask."""
    rows: list[Row] = [{}, {"ask": (5_100, 5_100, 5_100, None)}, {"bid": 4_000, "ask": 4_200}, {}]
    (row,) = contexts(rows, [intent(stop=4_500)], [])
    assert (row["gross_mid"], row["spread"]) == (None, None)
    assert row["slippage"] == pytest.approx(10 * (0.49 - 0.40))
    assert (row["outcome"], row["settled"]) == (None, None)


def test_an_empty_side_that_was_to_be_taken_leaves_no_slippage() -> None:
    rows: list[Row] = [{"ask": None}, {}, {}]
    (row,) = contexts(rows, [intent(limit=5_200)], [paid(50, 10_000)])
    assert (row["bid"], row["ask"]) == (0.49, None)
    assert (row["gross_mid"], row["spread"], row["slippage"]) == (None, None, None)


def test_what_is_netted_is_decided_by_the_order_that_nets() -> None:
    """Ten YES, then fifteen NO decided at minute 3: ten leave the trade, five are another."""
    rows: list[Row] = [{"bid": 4_900 + 100 * n, "ask": 5_100 + 100 * n} for n in range(6)]
    orders = [intent(), intent(side=-1, time=at(3), quantity=1_500)]
    first, second = contexts(rows, orders, [paid(50, 0)])
    assert first["exit_reason"] == "netting"
    # Mids of 0.50 at the first decision and of 0.53 at the second.
    assert first["gross_mid"] == pytest.approx(10 * (0.53 - 0.50))
    assert first["spread"] == pytest.approx(0.2)
    # Paid 0.52 where 0.51 was asked, sold at 0.53 where 0.52 was bid.
    assert first["slippage"] == pytest.approx(10 * 0.01 - 10 * 0.01)
    assert (second["decided"], second["bid"], second["ask"]) == (at(3), 0.46, 0.48)
    assert second["gross_mid"] == pytest.approx(5 * 0.53)
    assert adds_up(first)
    assert adds_up(second)


def test_parts_on_several_bars_add_up() -> None:
    """Ten contracts a bar: entered on three bars, left on three."""
    thin = {"volume": 10_000}
    rows: list[Row] = [
        thin | {"bid": 4_000 + 100 * n, "ask": 4_300 + 100 * n, "price": None} for n in range(12)
    ]
    orders = [
        intent(kind="limit", limit=4_900, valid_bars=5, quantity=2_500),
        intent(side=0, time=at(6), quantity=None),
    ]
    tape = bars(*rows)
    done = run(tape, orders, CROSS)
    found = tables_of(tape, done, schema.SETTLEMENTS.empty())
    assert found["fill_quality"].height == 6
    (row,) = found["context"].join(found["trades"], on="trade_id").to_dicts()
    # Decided at mids of 0.415 and, for all that leaves, of 0.475.
    assert row["gross_mid"] == pytest.approx(25 * 0.06)
    assert row["spread"] == pytest.approx(25 * 0.03)
    assert adds_up(row)


def test_a_run_without_trades_leaves_an_empty_table() -> None:
    done = run(bars({}, {}), [], CROSS)
    found = tables_of(bars({}, {}), done, schema.SETTLEMENTS.empty())["context"]
    assert found.schema == CONTEXT.columns
    assert found.is_empty()


def test_what_is_still_held_has_no_context() -> None:
    assert contexts([{}] * 3, [intent()], []) == []


@pytest.mark.parametrize("feature", [None, *FEATURES])
@pytest.mark.parametrize("seed", range(6))
def test_a_plain_twin_finds_the_same(seed: int, feature: str | None) -> None:
    case = random_case(seeded(200 + seed), bars=30, feature=feature)
    world, intents, fills, tables = told(case)
    wanted = naive_facts.trade_context(world, intents, fills, tables["trades"].to_dicts())
    assert differing(tables["context"], wanted) == []


@pytest.mark.parametrize("feature", [None, *FEATURES])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_gained_at_mids_less_what_is_lost_is_the_result(
    seed: int, feature: str | None
) -> None:
    case = random_case(seeded(300 + seed), bars=40, feature=feature)
    tables = told(case)[3]
    rows = tables["context"].join(tables["trades"], on="trade_id").to_dicts()
    assert all(adds_up(row) for row in rows if row["gross_mid"] is not None)


@pytest.mark.slow
def test_the_random_cases_reach_every_way_out_on_both_sides() -> None:
    """What the twins are compared on; more than a few of each."""
    seen: dict[tuple[str, int], int] = {}
    for feature in (None, *FEATURES):
        for seed in range(6):
            trades = told(random_case(seeded(200 + seed), bars=30, feature=feature))[3]["trades"]
            for key in trades.select("exit_reason", "side").iter_rows():
                seen[key] = seen.get(key, 0) + 1
    ways = ("target", "stop", "time", "signal", "settlement", "netting")
    assert min(seen.get((way, side), 0) for way in ways for side in (-1, 1)) >= 3
