"""Trading hours: windows of a day on the clock of a place."""

from datetime import UTC, datetime

import polars as pl
import pytest

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import Time
from kalshi_bt.simulator.hours import outside, parse


def inside(hours: str | None, *moments: datetime) -> list[bool]:
    found = outside(pl.Series(moments, dtype=Time), hours)
    return [not flag for flag in found.tolist()]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_the_first_moment_is_inside_and_the_end_is_not() -> None:
    moments = [utc(2026, 5, 4, 9, 29, 59), utc(2026, 5, 4, 9, 30), utc(2026, 5, 4, 15, 59, 59)]
    assert inside("09:30-16:00 UTC", *moments, utc(2026, 5, 4, 16)) == [False, True, True, False]


def test_hours_over_midnight_are_two_parts_of_a_day() -> None:
    moments = [utc(2026, 5, 4, h) for h in (21, 22, 23, 0, 5, 6, 12)]
    found = inside("22:00-06:00 UTC", *moments)
    assert found == [False, True, True, True, True, False, False]


def test_the_clock_of_the_place_counts_with_its_summer_time() -> None:
    # 14:30 UTC is 09:30 in New York in winter, and 10:30 in summer.
    hours = "10:00-16:00 America/New_York"
    assert inside(hours, utc(2026, 1, 15, 14, 30), utc(2026, 7, 15, 14, 30)) == [False, True]
    # Clocks go forward on 8 March 2026 at 07:00 UTC: 14:30 UTC is 09:30 before, 10:30 after.
    assert inside(hours, utc(2026, 3, 7, 14, 30), utc(2026, 3, 8, 14, 30)) == [False, True]


def test_without_hours_everything_is_inside() -> None:
    assert inside(None, utc(2026, 5, 4), utc(2026, 5, 4, 3)) == [True, True]
    assert inside("09:30-16:00 UTC") == []


@pytest.mark.parametrize(
    "text",
    ["", "9:30-16:00 UTC", "09:30-24:00 UTC", "09:30 16:00 UTC", "09:30-16:00", "09:30-16:00 Mars"],
)
def test_hours_that_cannot_be_read_are_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="expected such as"):
        parse(text)


def test_hours_without_length_are_an_error() -> None:
    with pytest.raises(UsageError, match="must differ"):
        parse("09:30-09:30 UTC")
