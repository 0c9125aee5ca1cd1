"""What fills cost against the quotes at their decisions, and how the market moved after them."""

from typing import Any

import naive_facts
import polars as pl
import pytest
from facts_of import PLAIN, differing, tables_of
from one_case import walked
from one_market import at, bars, intent, paid, run
from strategies_random import FEATURES, Case, random_case, seeded

from kalshi_bt import schema
from kalshi_bt.run_schema import FILL_QUALITY
from kalshi_bt.simulator.assumptions import FILLS, Rules

Row = dict[str, Any]
CROSS = Rules(latency=0)


def qualities(rows: list[Row], orders: list[Row], outcomes: list[Row], **more: Any) -> list[Row]:
    tape = bars(*rows)
    done = run(tape, orders, more.pop("rules", CROSS), outcomes=outcomes, **more)
    results = pl.DataFrame(outcomes, schema.SETTLEMENTS.columns)
    return tables_of(tape, done, results)["fill_quality"].to_dicts()


def test_a_taker_of_yes_by_hand() -> None:
    """Decided at 0.49 to 0.51, filled a bar later at 0.53; then 0.54 to 0.58, and paid a dollar."""
    rows: list[Row] = [{}, {"bid": 5_200, "ask": 5_300}, {"bid": 5_400, "ask": 5_800}, *[{}] * 3]
    (row,) = qualities(rows, [intent()], [paid(100, 10_000)])
    assert (row["time"], row["decided"]) == (at(1), at(0))
    assert row["half_spread"] == pytest.approx(0.01)
    assert row["slippage"] == pytest.approx(0.02)
    assert row["markout_1m"] == pytest.approx(0.03)  # 0.56 less 0.53
    assert row["markout_5m"] == row["markout_1h"] == pytest.approx(-0.03)  # back at 0.50
    assert row["markout_final"] == pytest.approx(0.47)


def test_a_taker_of_no_by_hand() -> None:
    """NO is bought by selling YES: to the bid of 0.52 where 0.49 was bid at the decision."""
    rows: list[Row] = [{}, {"bid": 5_200, "ask": 5_300}, {"bid": 5_400, "ask": 5_800}, {}]
    (row,) = qualities(rows, [intent(side=-1)], [paid(100, 2_500)])
    assert row["slippage"] == pytest.approx(-0.03)  # sold for more
    assert row["markout_1m"] == pytest.approx(-0.04)
    assert row["markout_final"] == pytest.approx(0.27)


def test_a_resting_fill_paid_less_than_the_quote() -> None:
    rows: list[Row] = [{}, {}, {"ask": (5_100, 5_100, 4_700, 5_100)}, {}]
    order = intent(kind="limit", limit=4_800, valid_bars=5)
    (row,) = qualities(rows, [order], [])
    assert row["slippage"] == pytest.approx(-0.03)
    assert row["markout_final"] is None


def test_there_is_no_mark_after_the_close_nor_from_one_sided_books() -> None:
    rows: list[Row] = [{}, {}, {"ask": None}, {"bid": None}, *[{}] * 4]
    (row,) = qualities(rows, [intent()], [paid(5, 10_000)])
    assert row["markout_1m"] is None  # nothing two-sided ended within the minute
    assert row["markout_5m"] is None  # filled at 1, closed at 5
    (row,) = qualities(rows, [intent()], [paid(6, 10_000)])
    assert row["markout_5m"] == pytest.approx(-0.01)  # at 6, the very end
    assert row["markout_30m"] is None


def test_a_mark_is_of_a_bar_that_ended_after_the_fill() -> None:
    """The next bar is 45 minutes later: what was quoted at the fill itself says nothing."""
    tape = bars({}, {}, {}).with_columns(time=pl.Series([at(0), at(1), at(46)]).cast(schema.Time))
    done = run(tape, [intent()], CROSS)
    (row,) = tables_of(tape, done, schema.SETTLEMENTS.empty())["fill_quality"].to_dicts()
    assert row["markout_30m"] is None
    assert row["markout_1h"] == pytest.approx(-0.01)


def test_sides_that_were_empty_at_the_decision_are_null() -> None:
    order = intent(limit=5_200)
    (row,) = qualities([{"bid": None}, {}, {}], [order], [])
    assert (row["half_spread"], row["slippage"]) == (None, 0.0)
    (row,) = qualities([{"ask": None}, {}, {}], [order], [])
    assert (row["half_spread"], row["slippage"]) == (None, None)


def test_settlements_are_no_trades() -> None:
    rows = qualities([{}] * 3, [intent()], [paid(50, 10_000)])
    assert [row["seq"] for row in rows] == [0]


def test_exits_are_decided_where_the_bar_before_them_ended() -> None:
    """A stop at 0.45 that is met in the third bar, which opens there."""
    rows: list[Row] = [{}, {"bid": 4_700, "ask": 4_800}, {"bid": 4_000, "ask": 4_200}, {}]
    entry, stop = qualities(rows, [intent(stop=4_500)], [])
    assert (stop["time"], stop["decided"]) == (at(2), at(1))
    assert stop["slippage"] == pytest.approx(0.07)  # 0.47 was bid, 0.40 was got
    assert entry["slippage"] == pytest.approx(-0.03)


def test_an_exit_by_signal_is_decided_where_the_signal_said_so() -> None:
    """Three minutes to the exchange: decided at minute 4, sold at 8, the first bar after 7."""
    rows: list[Row] = [{"bid": 4_000 + 100 * n, "ask": 4_200 + 100 * n} for n in range(12)]
    orders = [intent(), intent(side=0, time=at(4), quantity=None)]
    orders.append(intent(side=0, time=at(6), quantity=None))  # said again meanwhile
    entry, leave = qualities(rows, orders, [], rules=Rules(latency=180_000_000))
    assert (entry["decided"], entry["time"]) == (at(0), at(4))
    assert (leave["decided"], leave["time"]) == (at(4), at(8))
    assert leave["slippage"] == pytest.approx(-0.04)


def test_a_run_without_fills_leaves_an_empty_table() -> None:
    done = run(bars({}, {}), [], CROSS)
    found = tables_of(bars({}, {}), done, schema.SETTLEMENTS.empty())["fill_quality"]
    assert found.schema == FILL_QUALITY.columns
    assert found.is_empty()


def told(case: Case) -> tuple[naive_facts.World, list[Row], list[Row], dict[str, pl.DataFrame]]:
    """A case as the plain twin reads it, and the tables that the package makes of it."""
    _, done = walked(case)
    world = naive_facts.World(case.bars, case.markets, case.settlements, PLAIN)
    texts = pl.selectors.enum().cast(pl.String)
    intents, fills = case.intents.to_dicts(), done.fills.with_columns(texts).to_dicts()
    return world, intents, fills, tables_of(case.bars, done, case.settlements)


@pytest.mark.parametrize("feature", [None, *FEATURES])
@pytest.mark.parametrize("seed", range(6))
def test_a_plain_twin_finds_the_same(seed: int, feature: str | None) -> None:
    case = random_case(seeded(100 + seed), bars=30, feature=feature)
    world, intents, fills, tables = told(case)
    wanted = naive_facts.fill_quality(world, intents, fills)
    assert differing(tables["fill_quality"], wanted) == []


@pytest.mark.parametrize("model", sorted(set(FILLS) - {"book"}))
def test_every_fill_model_is_judged(model: str) -> None:
    rows: list[Row] = [{}, {}, {"ask": (5_100, 5_100, 4_700, 5_100)}, {}, {}]
    orders = [intent(), intent(kind="limit", limit=4_800, valid_bars=5)][model == "passive" :][:1]
    found = qualities(rows, orders, [paid(50, 10_000)], rules=Rules(latency=0, fill=FILLS[model]))
    assert [row["decided"] for row in found] == [at(0)]
    assert found[0]["markout_final"] > 0
