"""The declared tables: what `check` lets through, and what it says of the rest."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.schema import Table

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SMALL = Table(
    "small",
    {"name": pl.String, "time": schema.Time, "price": schema.Price, "note": pl.String},
    key=("name", "time"),
    nullable={"note": "nothing to say"},
)
DECLARED = (
    *schema.STORED.values(),
    *(schema.BARS, schema.INTENTS, schema.ORDERS, schema.FILLS),
    *(schema.TRADES_CLOSED, schema.EQUITY),
)


def small(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    records = [(name, NOON + timedelta(minutes=m), price, None) for name, m, price in rows]
    return pl.DataFrame(records, schema=SMALL.columns, orient="row")


GOOD = small(("A", 1, 10), ("A", 2, 20), ("B", 1, 30))


def test_a_good_table_passes_as_it_is() -> None:
    assert SMALL.check(GOOD).equals(GOOD)


def test_columns_come_back_in_the_declared_order_without_others() -> None:
    frame = GOOD.with_columns(extra=pl.lit(1)).select("extra", "note", "price", "time", "name")
    assert SMALL.check(frame).equals(GOOD)
    assert SMALL.check(frame).columns == list(SMALL.columns)


def test_a_missing_column_is_named_with_its_type() -> None:
    with pytest.raises(DataError, match=r"small lacks column 'price' \(Int16\)"):
        SMALL.check(GOOD.drop("price"))


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pl.col("price").cast(pl.Int64), r"small\.price is Int64, expected Int16"),
        (pl.col("time").dt.replace_time_zone(None), r"small\.time is Datetime\(.*None.*expected"),
        (pl.col("time").dt.cast_time_unit("ns"), r"small\.time is Datetime\(.*'ns'.*expected"),
        (pl.col("name").cast(pl.Categorical), r"small\.name is Categorical, expected String"),
    ],
)
def test_another_type_is_named_with_the_declared_one(column: pl.Expr, found: str) -> None:
    with pytest.raises(DataError, match=found):
        SMALL.check(GOOD.with_columns(column))


def test_a_null_without_meaning_is_found_by_its_key() -> None:
    frame = small(("A", 1, 10), ("B", 2, None))
    with pytest.raises(
        DataError, match=r"small\.price is null at name=B, time=2026-05-04 12:02:00"
    ):
        SMALL.check(frame)


def test_a_null_with_a_meaning_passes() -> None:
    assert GOOD["note"].null_count() == 3
    SMALL.check(GOOD)


def test_rows_out_of_order_are_an_error() -> None:
    with pytest.raises(DataError, match=r"small is not sorted by \(name, time\)"):
        SMALL.check(GOOD[::-1])
    with pytest.raises(DataError, match="not sorted"):
        SMALL.check(small(("A", 2, 10), ("A", 1, 20)))


def test_the_same_key_twice_is_an_error_that_names_it() -> None:
    frame = small(("A", 1, 10), ("B", 1, 20), ("B", 1, 30))
    with pytest.raises(DataError, match=r"small has the key \('B', .*12, 1.* more than once"):
        SMALL.check(frame)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3)), max_size=6))
def test_rows_pass_if_and_only_if_their_keys_rise(keys: list[tuple[str, int]]) -> None:
    frame = small(*((name, minute, 1) for name, minute in keys))
    rising = all(a < b for a, b in pairwise(keys))
    if rising:
        assert SMALL.check(frame).height == len(keys)
    else:
        with pytest.raises(DataError):
            SMALL.check(frame)


@pytest.mark.parametrize("table", DECLARED, ids=lambda table: table.name)
def test_every_table_is_declared_soundly(table: Table) -> None:
    assert table.check(table.empty()).schema == pl.Schema(table.columns)
    assert set(table.key) <= set(table.columns)
    assert set(table.nullable) <= set(table.columns)
    assert not set(table.nullable) & set(table.key)
    assert all(meaning for meaning in table.nullable.values())
    for name, dtype in table.columns.items():
        assert dtype != pl.Datetime or dtype == schema.Time, name


@pytest.mark.parametrize("table", [schema.CANDLES, schema.BARS], ids=lambda table: table.name)
def test_prices_of_bars_are_short_integers(table: Table) -> None:
    """Two bytes a price: a year of bars has to fit in memory."""
    prices = [f"{name}_{part}" for name in ("price", "bid", "ask") for part in schema.OHLC]
    assert {table.columns[name] for name in prices} == {pl.Int16}
    assert set(prices) <= set(table.nullable)


def test_a_signal_sees_no_outcome_and_no_integer_price() -> None:
    outcome = set(schema.SETTLEMENTS.columns) - {"ticker", "time", "close_time"}
    assert not outcome & set(schema.QUOTES)
    assert pl.Int16 not in set(schema.QUOTES.values())
    assert not set(schema.QUOTES) & set(schema.SIGNALS)
