"""What is said of a day's temperature knows the errors of days that were over, and no others."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.signals.event_weather import observed, temperature_forecasts

FIRST = datetime(2026, 4, 6, 4, 59, tzinfo=UTC) + timedelta(days=1)  # close of 6 April
NUMBERS = [57.0, 51.0, 60.0, 54.0]
PAID = [("between", 56.0, 57.0), ("greater", 55.0, None), ("less", None, 62.0),
        ("between", 50.0, 51.0)]  # fmt: skip
PAID_MIDDLE = [56.5, 56.0, 61.0, 50.5]
ASKED: dict[str, Any] = {"series": "KXHIGHNY", "source": "nws", "field": "forecast_high"}


def event(day: int) -> str:
    return f"KXHIGHNY-26APR{6 + day:02}"


def days(
    count: int = 4, *, hours: float = 30.0, payout: int = 10_000
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return forecasts `hours` before each close, markets, and payouts 12 hours after it."""
    closes = [FIRST + timedelta(days=n) for n in range(count)]
    said = pl.DataFrame(
        {
            "source": "nws",
            "symbol": [f"2026-04-{6 + n:02}" for n in range(count)],
            "field": "forecast_high",
            "time": [close - timedelta(hours=hours) for close in closes],
            "value": NUMBERS[:count],
            "text": None,
        },
        schema=schema.REFERENCES.columns,
    )
    markets = pl.DataFrame(
        {
            "ticker": [f"{event(n)}-X" for n in range(count)],
            "event": [event(n) for n in range(count)],
            "series": "KXHIGHNY",
            "close_time": closes,
            "strike_type": [kind for kind, _, _ in PAID[:count]],
            "floor_strike": [floor for _, floor, _ in PAID[:count]],
            "cap_strike": [cap for _, _, cap in PAID[:count]],
        },
        schema_overrides={"close_time": schema.Time},
    )
    paid = pl.DataFrame(
        {
            "ticker": markets["ticker"],
            "time": [close + timedelta(hours=12) for close in closes],
            "payout": [payout] * count,
            "value": [None] * count,
        },
        schema_overrides={"value": pl.Float64, "time": schema.Time},
    )
    return said, markets, paid


def told(*tables: pl.DataFrame, **asked: Any) -> dict[str, tuple[float, float]]:
    made = schema.REFERENCES.check(temperature_forecasts(*tables, **ASKED | asked))
    assert set(made["source"]) <= {"forecast/temperature"}
    if made.is_empty():
        return {}
    wide = made.pivot("field", index="symbol", values="value")
    return {name: (mean, sd) for name, mean, sd in wide.select("symbol", "mean", "sd").iter_rows()}


def test_errors_by_hand() -> None:
    """Thirty hours before a close the day before yesterday is known, yesterday is not."""
    found = told(*days())
    lead = 30 / 24
    assert found[event(0)] == pytest.approx((57.0, 3.5 * math.sqrt(lead)))
    assert found[event(1)] == pytest.approx((51.0, 3.5 * math.sqrt(lead)))
    off = PAID_MIDDLE[0] - 57.0
    sd = math.sqrt(lead * (10 * 3.5**2 + off**2 / lead) / 11)
    assert found[event(2)] == pytest.approx((60.0 + off / 11, sd))
    other = PAID_MIDDLE[1] - 51.0
    sd = math.sqrt(lead * (10 * 3.5**2 + (off**2 + other**2) / lead) / 12)
    assert found[event(3)] == pytest.approx((54.0 + (off + other) / 12, sd))


@pytest.mark.parametrize("last", range(4))
def test_later_outcomes_change_nothing(last: int) -> None:
    said, markets, paid = days()
    moment = said["time"][last]
    later = paid.with_columns(
        value=pl.when(pl.col("time") >= moment).then(pl.lit(110.0)).otherwise("value")
    )
    one, other = told(said, markets, paid), told(said, markets, later)
    assert all(one[event(n)] == other[event(n)] for n in range(last + 1))
    early = paid.with_columns(value=pl.lit(110.0))
    assert told(said, markets, early)[event(3)] != one[event(3)]


def test_a_nearer_forecast_is_surer_and_the_nearest_not_certain() -> None:
    spread = [told(*days(1, hours=hours))[event(0)][1] for hours in (48.0, 24.0, 6.0, 0.1)]
    assert spread == pytest.approx([3.5 * math.sqrt(2), 3.5, 1.75, 1.75])


def test_days_without_an_event_and_forecasts_after_the_close_are_left_out() -> None:
    said, markets, paid = days()
    assert set(told(said, markets.head(2), paid)) == {event(0), event(1)}
    late = said.with_columns(pl.col("time") + timedelta(hours=31))
    assert told(late, markets, paid) == {}
    assert told(said.with_columns(symbol=pl.lit("April")), markets, paid) == {}


def test_what_a_day_measured() -> None:
    _, markets, paid = days()
    found = observed(markets, paid)
    assert found["event"].to_list() == [event(n) for n in range(4)]
    assert found["value"].to_list() == PAID_MIDDLE
    assert observed(markets, paid.with_columns(payout=pl.lit(0))).is_empty()
    stated = paid.with_columns(value=pl.lit(58.0))
    assert observed(markets, stated)["value"].to_list() == [58.0] * 4


def test_a_prior_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="prior_sd is 0"):
        told(*days(), prior_sd=0)
    with pytest.raises(UsageError, match="prior_days is -1"):
        told(*days(), prior_days=-1)
