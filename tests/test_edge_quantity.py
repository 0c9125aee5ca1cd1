"""Quantities of the documented leaderboard orders, against the rule written out for one order."""

from datetime import UTC, datetime

import polars as pl
import pytest

from kalshi_bt.edge_quantity import EdgeQuantity
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import INTENTS, Time
from kalshi_bt.signals.leaderboard_reference import buy_quantity

NOON = datetime(2026, 2, 16, 12, tzinfo=UTC)


def setups(fair: list[float | None], ask: list[float | None]) -> pl.LazyFrame:
    n = len(fair)
    return pl.LazyFrame(
        {"market": range(n), "time": [NOON] * n, "fair": fair, "ask": ask, "taker": [70_000] * n},
        schema={
            "market": pl.UInt32,
            "time": Time,
            "fair": pl.Float64,
            "ask": pl.Float64,
            "taker": pl.Int64,
        },
    )


def test_every_pair_of_cents_is_sized_as_one_order_is() -> None:
    cents = [(fair, price) for fair in range(1, 100) for price in range(1, 100)]
    made = setups([f / 100 for f, _ in cents], [p / 100 for _, p in cents])
    intents = INTENTS.check(EdgeQuantity()(made).collect())
    sized = dict(intents.select("market", "quantity").iter_rows())
    assert sized == {
        row: 100 * count
        for row, (fair, price) in enumerate(cents)
        if (count := buy_quantity(fair, price))
    }
    assert set(intents["side"]) == {1}
    limits = dict(intents.select("market", "limit").iter_rows())
    assert all(limits[row] == 100 * cents[row][1] for row in limits)


def test_the_documented_order_by_hand() -> None:
    """Fair 70, ask 52: 18 cents, so 16 contracts, whose fee is 28 cents or 2 each."""
    (row,) = EdgeQuantity()(setups([0.7], [0.52])).collect().to_dicts()
    assert (row["side"], row["quantity"], row["limit"]) == (1, 1_600, 5_200)


def test_nobody_offers_and_no_opinion_are_no_orders() -> None:
    assert EdgeQuantity()(setups([None, 0.9, 0.02], [0.5, None, 0.9])).collect().is_empty()


def test_an_ask_between_two_cents_counts_as_the_higher_one() -> None:
    (row,) = EdgeQuantity()(setups([0.5], [0.401])).collect().to_dicts()
    assert (row["limit"], row["quantity"]) == (4_100, 100 * (1 + 9 - 3))


def test_a_missing_column_and_a_parameter_out_of_range_are_named() -> None:
    with pytest.raises(DataError, match="'ask'"):
        EdgeQuantity()(setups([0.5], [0.4]).drop("ask"))
    with pytest.raises(UsageError, match="least_edge is 0"):
        EdgeQuantity(least_edge=0)
