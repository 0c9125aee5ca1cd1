"""Forecasts of daily temperatures as normal distributions, with errors learnt as they became known.

A forecaster states one number for a day. What else the price of a bracket needs is how far such
numbers were off before: on average, and in spread. Both come from earlier days of the same series
whose outcome was known when the forecast was made, shrunk to what is assumed of any forecaster.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import REFERENCES, Time
from kalshi_bt.units import DAY

__all__ = ["PRIOR_DAYS", "PRIOR_SD", "observed", "temperature_forecasts"]

PRIOR_SD: Final = 3.5  # degrees Fahrenheit a day ahead
PRIOR_DAYS: Final = 10.0  # what that assumption counts for, days of experience
_LEAST_LEAD = 0.25  # days: nearer forecasts are not better than that


def temperature_forecasts(
    references: pl.DataFrame,
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    *,
    series: str,
    source: str,
    field: str,
    prior_sd: float = PRIOR_SD,
    prior_days: float = PRIOR_DAYS,
) -> pl.DataFrame:
    """Return mean and standard deviation of each day's temperature, as `event_value` reads them.

    Parameters
    ----------
    references : frame of `schema.REFERENCES`
        With rows of `source` and `field` whose symbol is the day forecast, YYYY-MM-DD.
    markets, settlements : frame of `schema.MARKETS`, of `schema.SETTLEMENTS`
        Of the events: their day is the last part of their ticker (26APR06).
    series : str
        Such as KXHIGHNY.
    source, field : str
        Of the forecaster's number, degrees of what the market measures.
    prior_sd : float
        Degrees a forecast is off a day ahead, before any experience; above 0.
    prior_days : float
        Days of experience that the assumption counts for; above 0.

    Returns
    -------
    frame of `schema.REFERENCES`
        Source ``forecast/temperature``, symbol = event, fields mean and sd, at the times of the
        forecasts. Days without an event, and forecasts after its close, are left out.

    Raises
    ------
    UsageError
        If a prior is not above 0.

    Notes
    -----
    A forecast f made h days before the close (at least ¼) is off by e = observed - f. With n
    earlier days known, the mean is f + Σe/(k + n) and the variance h·s², with
    s² = (k·prior_sd² + Σ(e²/h))/(k + n) and k = `prior_days`: each day counts once, by its newest
    forecast. The error is counted with its mean in it, so that the spread is rather too wide.
    """
    for name, value in (("prior_sd", prior_sd), ("prior_days", prior_days)):
        if not value > 0:
            raise UsageError(f"{name} is {value}; expected above 0")
    said = _said(references, markets, series, source, field)
    outcomes = {
        event: (known, value) for event, known, value in observed(markets, settlements).iter_rows()
    }
    rows = list(_stated(said, outcomes, prior_sd, prior_days))
    made = pl.DataFrame(
        rows,
        schema={"symbol": pl.String, "time": Time, "mean": pl.Float64, "sd": pl.Float64},
        orient="row",
    )
    return REFERENCES.filled(
        made.unpivot(["mean", "sd"], index=["symbol", "time"], variable_name="field").with_columns(
            source=pl.lit("forecast/temperature"), text=pl.lit(None, dtype=pl.String)
        )
    )


def observed(markets: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return what each settled event measured: event, known_at, value (degrees).

    The stated value where there is one; else the middle of the bracket that was paid, of an open
    one the degree next to its strike.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> market = pl.DataFrame({"ticker": ["T"], "event": ["E"], "strike_type": ["between"],
    ...                        "floor_strike": [56.0], "cap_strike": [57.0]})
    >>> paid = pl.DataFrame({"ticker": ["T"], "time": [datetime(2026, 4, 7, tzinfo=UTC)],
    ...                      "payout": [10_000], "value": pl.Series([None], dtype=pl.Float64)})
    >>> observed(market, paid)["value"].item()
    56.5
    """
    kind, floor, cap = pl.col("strike_type"), pl.col("floor_strike"), pl.col("cap_strike")
    edge = (
        pl.when(kind == "between")
        .then((floor + cap) / 2)
        .when(kind == "greater")
        .then(floor + 1)
        .when(kind == "greater_or_equal")
        .then(floor)
        .when(kind == "less")
        .then(cap - 1)
        .when(kind == "less_or_equal")
        .then(cap)
    )
    won = settlements.filter(pl.col("payout") == 10_000)
    facts = markets.select("ticker", "event", edge=edge)
    return (
        won.join(facts, on="ticker")
        .group_by("event")
        .agg(known_at=pl.col("time").max(), value=pl.coalesce("value", "edge").first())
        .drop_nulls("value")
        .sort("known_at", "event")
    )


def _said(
    references: pl.DataFrame, markets: pl.DataFrame, series: str, source: str, field: str
) -> pl.DataFrame:
    """Return event, close, time and number of each forecast, in order of time."""
    events = (
        markets.filter(series=series)
        .group_by("event")
        .agg(close=pl.col("close_time").max())
        .drop_nulls("close")
        .with_columns(
            day=pl.col("event").str.extract(r"-(\d{2}[A-Z]{3}\d{2})$").str.to_date("%y%b%d")
        )
    )
    told = references.filter(source=source, field=field).with_columns(
        day=pl.col("symbol").str.to_date("%Y-%m-%d", strict=False)
    )
    return (
        told.join(events, on="day")
        .filter(pl.col("time") < pl.col("close"))
        .drop_nulls("value")
        .select("event", "close", "time", "value")
        .sort("time", "event")
    )


def _stated(
    said: pl.DataFrame,
    outcomes: dict[str, tuple[datetime, float]],
    prior_sd: float,
    prior_days: float,
) -> Iterator[tuple[str, datetime, float, float]]:
    """Return event, time, mean and sd of each forecast, from what was known at its time."""
    newest: dict[str, tuple[float, float]] = {}
    for event, close, time, value in said.iter_rows():
        lead = max((close - time).total_seconds() * 1_000_000 / DAY, _LEAST_LEAD)
        known = [
            (outcomes[other][1] - number, ahead)
            for other, (number, ahead) in newest.items()
            if other in outcomes and outcomes[other][0] < time
        ]
        weight = prior_days + len(known)
        bias = math.fsum(off for off, _ in known) / weight
        variance = prior_days * prior_sd**2 + math.fsum(off**2 / ahead for off, ahead in known)
        yield event, time, value + bias, math.sqrt(lead * variance / weight)
        newest[event] = (value, lead)
