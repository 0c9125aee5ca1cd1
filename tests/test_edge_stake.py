"""The documented stake, number by number, and what is wrong with it."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.config import layered
from kalshi_bt.edge_stake import EdgeStake
from kalshi_bt.errors import UsageError
from kalshi_bt.plan import plan

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
Row = tuple[float | None, float | None, float | None, float | None]


def made(stake: EdgeStake, *rows: Row, side: list[int] | None = None, **levels: Any) -> Any:
    """Side, limit and contracts of rows of fair, last, bid and ask."""
    fair, last, bid, ask = zip(*rows, strict=True)
    prices = {"fair": fair, "last": last, "bid": bid, "ask": ask}
    frame = pl.DataFrame(prices, schema=dict.fromkeys(prices, pl.Float64)).with_columns(
        market=pl.int_range(pl.len()).cast(pl.UInt32), time=pl.lit(NOON, schema.Time)
    )
    if side is not None:
        frame = frame.with_columns(side=pl.Series(side, dtype=pl.Int8), **levels)
    found = schema.INTENTS.check(stake(frame.lazy()).collect())
    assert set(found["kind"]) <= {"limit"}
    return found.select("side", "limit", pl.col("quantity") / 100).rows()


def test_edge_over_price_of_a_bankroll_that_never_changes() -> None:
    rows: tuple[Row, ...] = (
        (0.60, 0.50, 0.48, 0.52),  # 10,000 x 0.25 x 0.10 / 0.50 / 0.50 = 1,000, a cent inside
        (0.40, 0.50, 0.48, 0.52),  # NO at 0.50, for at most 1 - 0.49
        (0.20, 0.10, 0.09, 0.11),  # 2,500 x 0.10 / 0.01 = 25,000
        (0.00, 0.10, None, 0.11),  # NO at 0.90: 2,500 x 0.10 / 0.81 = 308.6; nobody bids: at 0.10
        (0.56, 0.50, 0.48, None),  # nobody asks: at the last trade
    )
    assert made(EdgeStake(), *rows) == [
        (1, 5_100, 1_000),
        (-1, 4_900, 1_000),
        (1, 1_000, 25_000),
        (-1, 1_000, 308),
        (1, 5_000, 600),
    ]


def test_the_gate_is_a_gross_edge_of_five_cents_inclusive() -> None:
    rows: tuple[Row, ...] = ((0.55, 0.50, 0.4, 0.6), (0.549, 0.50, 0.4, 0.6), (0.45, 0.5, 0.4, 0.6))
    assert [row[0] for row in made(EdgeStake(), *rows)] == [1, -1]


def test_never_less_than_one_contract() -> None:
    assert made(EdgeStake(bankroll=1.0), (0.56, 0.50, 0.48, 0.52)) == [(1, 5_100, 1)]


def test_the_side_a_signal_states_is_kept_against_its_own_edge() -> None:
    # Worth 0.70 at a last trade of 0.85: an edge of -0.15, and YES is bought all the same.
    found = made(EdgeStake(), (0.70, 0.85, 0.84, 0.86), side=[1], entry=pl.lit(0.85))
    assert found == [(1, 8_500, 519)]  # 2,500 x 0.15 / 0.7225 = 519.03


def test_without_a_last_trade_inside_the_dollar_there_is_no_edge() -> None:
    rows: tuple[Row, ...] = ((0.6, None, 0.4, 0.6), (0.6, 0.0, 0.4, 0.6), (0.6, 1.0, 0.4, 0.6))
    assert made(EdgeStake(), *rows) == []


@pytest.mark.parametrize(
    "wrong", [{"scale": 0}, {"bankroll": 0}, {"min_edge": -1}, {"inside": 1}, {"valid_bars": 0}]
)
def test_out_of_range_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is "):
        EdgeStake(**wrong)


@pytest.mark.parametrize("name", ["kelly_volatility", "mean_reversion"])
def test_it_is_what_both_strategies_on_a_spot_are_documented_with(name: str) -> None:
    made_of = {
        mode: plan(layered(None, {}, {"strategy": name, "mode": mode}, ()))
        for mode in ("reference", "corrected")
    }
    assert made_of["reference"].sizing == EdgeStake()
    assert not isinstance(made_of["corrected"].sizing, EdgeStake)
