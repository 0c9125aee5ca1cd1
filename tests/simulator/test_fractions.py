"""Steps of 0.01 contracts in markets that began once the exchange allowed them everywhere."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from one_book import levels
from one_market import bars, ends, intent, run

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Limit, Risk, Rules
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.simulate import simulate

NEW = datetime(2026, 4, 17, tzinfo=UTC)  # Friday midnight
OLD = NEW - timedelta(microseconds=1)
MARKETS = pytest.mark.parametrize(
    ("start", "fractions", "fine"),
    [(NEW, True, True), (OLD, True, False), (NEW, False, False)],
    ids=["first bar from that day on", "a moment earlier", "switched off"],
)


def filled(start: datetime, rules: Rules, rows: Any = ({}, {}, {}), **values: Any) -> int:
    """Centi-contracts of one order decided in the first bar."""
    result = run(bars(*rows, start=start), [intent(time=start, **values)], rules)
    quantity: int = ends(result)[0][2]
    return quantity


@MARKETS
def test_a_share_of_the_volume(start: datetime, fractions: bool, fine: bool) -> None:  # noqa: FBT001
    # A tenth of 57.39 contracts.
    thin = {"volume": 5_739}
    rules = Rules(latency=0, pauses=False, fractions=fractions)
    assert filled(start, rules, [thin] * 3) == (573 if fine else 500)


@MARKETS
def test_a_stake(start: datetime, fractions: bool, fine: bool) -> None:  # noqa: FBT001
    # A ten-thousandth of $10 000 is a dollar: 1.88 at 0.51 cost 0.9588 and a fee of 0.04, together
    # less than that; 1.89 cost 0.9639 and 0.04.
    whole = FillModel(participation=None)
    rules = Rules(latency=0, pauses=False, fill=whole, fractions=fractions)
    assert filled(start, rules, quantity=None, stake=0.0001) == (188 if fine else 100)


@MARKETS
def test_a_cap(start: datetime, fractions: bool, fine: bool) -> None:  # noqa: FBT001
    # $5 at 0.51 are 9.80 contracts.
    capped = Risk(max_market=Limit(dollars=5_000_000))
    whole = FillModel(participation=None)
    rules = Rules(latency=0, pauses=False, fill=whole, fractions=fractions, risk=capped)
    assert filled(start, rules) == (980 if fine else 900)


@MARKETS
def test_less_than_a_contract(start: datetime, fractions: bool, fine: bool) -> None:  # noqa: FBT001
    rules = Rules(latency=0, pauses=False, fractions=fractions)
    assert filled(start, rules, quantity=37) == (37 if fine else 0)


@MARKETS
def test_recorded_depth(start: datetime, fractions: bool, fine: bool) -> None:  # noqa: FBT001
    book = ("M0", start, levels([(48, 10)]), levels([(52, 1)]))
    later = start + timedelta(seconds=2)
    asks = [{"price": 5_200, "size": 150}, {"price": 5_300, "size": 275}]
    columns = {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64}
    listed = {"ticker": ["M0"], "event": ["E"], "series": ["S"]}
    tape = prepare_books(
        pl.DataFrame(
            [(*book[:3], asks), ("M0", later, *book[2:])], schema.BOOKS.columns, orient="row"
        ),
        schema.TRADES.empty(),
        pl.DataFrame(listed).with_columns(close_time=pl.lit(None, dtype=schema.Time)),
        schema.SETTLEMENTS.empty(),
        pl.DataFrame([(0, OLD, 70_000, 0)], columns, orient="row"),
    )
    order = pl.DataFrame([intent(time=start)], schema.INTENTS.columns)
    rules = Rules(latency=0, pauses=False, fill=FILLS["book"], fractions=fractions)
    # One and a half contracts at 0.52, two and three quarters at 0.53.
    found = simulate(tape, order, rules).fills["quantity"].to_list()
    assert found == ([150, 275] if fine else [100, 200])


def test_markets_of_one_run_trade_in_their_own_steps() -> None:
    rows = [{"volume": 5_739}] * 3
    tape = pl.concat([bars(*rows, start=OLD), bars(*rows, start=NEW, market=1)])
    orders = [intent(time=OLD), intent(time=NEW, market=1)]
    result = run(tape, orders, Rules(latency=0, pauses=False, fractions=True))
    assert [e[2] for e in ends(result)] == [500, 573]
