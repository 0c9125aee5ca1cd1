"""Scales in and out: nothing is lost, nothing is guessed."""

from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.units import (
    CENT,
    DAY,
    DURATIONS,
    MONEY_SCALE,
    PRICE_SCALE,
    PRICE_UNITS,
    QUANTITY_SCALE,
    SECOND,
    dollars,
    format_money,
    parse_duration,
    parse_money,
)


def test_price_times_quantity_is_money() -> None:
    """A dollar times a contract is a dollar, in every scale."""
    assert PRICE_SCALE * QUANTITY_SCALE == MONEY_SCALE == 100 * CENT
    assert PRICE_UNITS == {"dollars": PRICE_SCALE, "cents": PRICE_SCALE // 100, "centi-cents": 1}


# --- prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pl.Int16, pl.Int64])
def test_every_price_in_dollars_is_the_nearest_number(dtype: pl.DataType) -> None:
    """So that a price compares equal to the same price written down."""
    prices = pl.DataFrame({"price": pl.Series(range(10_001), dtype=dtype)})
    expected = [float(Decimal(k) / 10_000) for k in range(10_001)]
    assert prices.select(dollars("price")).to_series().to_list() == expected
    assert prices.lazy().select(dollars("price")).collect().to_series().to_list() == expected
    assert 0.41 in expected


def test_an_absent_price_stays_absent() -> None:
    prices = pl.DataFrame({"price": [None, 2_900]}, schema={"price": pl.Int16})
    found = prices.select(dollars(pl.col("price").alias("other")))
    assert found.schema == {"other": pl.Float64}
    assert found.to_series().to_list() == [None, 0.29]


# --- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("10000", 10_000_000_000),
        ("10000.01", 10_000_010_000),
        ("0.000001", 1),
        ("-0.57", -570_000),
        (" 12.5 ", 12_500_000),
        ("1e3", 1_000_000_000),
        ("99.500000000", 99_500_000),
        (0.29, 290_000),  # int(0.29 * 100) is 28
        (0.57, 570_000),
        (1_000, 1_000_000_000),
        ("0", 0),
    ],
)
def test_amounts_are_read_exactly(text: str | float, micro: int) -> None:
    assert parse_money(text) == micro


@pytest.mark.parametrize(
    "text", ["", "ten", "$5", "1,000", "nan", "inf", "-Infinity", "1e", "0x10"]
)
def test_what_is_no_amount_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not an amount in dollars"):
        parse_money(text)


@pytest.mark.parametrize("text", ["0.0000001", "1.2345678", "1e-7", 1e-9])
def test_more_than_six_decimals_are_an_error(text: str | float) -> None:
    with pytest.raises(UsageError, match="has more than six decimals"):
        parse_money(text)


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.00"),
        (5, "0.000005"),
        (-5, "-0.000005"),
        (10_000, "0.01"),
        (100_000, "0.10"),
        (-12_345_600, "-12.3456"),
        (1_000_000, "1.00"),
        (10_000_000_000, "10000.00"),
    ],
)
def test_amounts_are_written_with_at_least_two_decimals(micro: int, text: str) -> None:
    assert format_money(micro) == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_is_read_again(micro: int) -> None:
    assert parse_money(format_money(micro)) == micro


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("500ms", 500_000),
        ("15s", 15 * SECOND),
        ("15m", 900 * SECOND),
        ("24h", DAY),
        ("1d", DAY),
        ("7us", 7),
        ("0s", 0),
    ],
)
def test_durations_are_read_in_their_unit(text: str, micro: int) -> None:
    assert parse_duration(text) == micro


@given(st.integers(0, 36_500), st.sampled_from(sorted(DURATIONS)))
def test_a_duration_is_its_number_of_units(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * parse_duration(f"1{unit}")


@pytest.mark.parametrize("text", ["36501d", "876001h", "9" * 30 + "us", "9" * 5_000 + "d"])
def test_a_duration_of_more_than_a_hundred_years_is_an_error(text: str) -> None:
    """Dates and the integers of tables end somewhere."""
    with pytest.raises(UsageError, match="is longer than a hundred years, 36500d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "10", "m", "1.5m", "-5s", "1 m", "1y", "1M", "s1", "1m30s"])
def test_what_is_no_duration_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)
