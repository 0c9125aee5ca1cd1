"""Rules on scheduled times: tickers carry dates and hours of US Eastern time.

KXBTC15M-26FEB150330 closes at 03:30 of 15 February in New York, KXBTCD-26FEB1517 and
KXINX-26FEB13H1600 on the hour; KXHIGHNY-26FEB15 says the day alone.
"""

from typing import Literal

import polars as pl

from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import show
from kalshi_bt.units import SECOND

EASTERN = "America/New_York"
USUAL = 5  # events of a series that make a schedule
SHARE = 0.6  # of them, at the same time of the day
_DATE = r"^[^-]+-(\d{2}(?:JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\d{2})"
_CLOCK = _DATE + r"H?(\d{2})(\d{2})?$"
_START = _DATE + r"(\d{4})[A-Z]"  # of a game, before the teams
Twice = Literal["earliest", "latest"]  # of an hour that the clock repeats
_TWICE: tuple[Twice, ...] = ("earliest", "latest")
_MINUTE, _HOUR = 60 * SECOND, 3_600 * SECOND


def _coded(rows: Rows) -> pl.LazyFrame:
    """Return events with the date and time in their ticker.

    `off` is how far the close lies from the coded time, in microseconds; `local` and `utc` how far
    from midnight of the coded date, by either clock.
    """
    event, close = pl.col("event"), pl.col("close_time")
    date = event.str.extract(_DATE, 1).str.to_titlecase().str.to_date("%y%b%d", strict=False)
    hour = event.str.extract(_CLOCK, 2).cast(pl.Int64)
    minute = event.str.extract(_CLOCK, 3).cast(pl.Int64).fill_null(0)
    valid = (hour < 24) & (minute < 60)
    midnight = date.cast(pl.Datetime("us"))
    coded = pl.when(valid).then(midnight + pl.duration(hours=hour, minutes=minute))
    offs = [(close - _in_utc(coded, twice)).dt.total_microseconds() for twice in _TWICE]
    nearer = pl.when(offs[1].abs() < offs[0].abs()).then(offs[1]).otherwise(offs[0])
    eastern = close.dt.convert_time_zone(EASTERN).dt.replace_time_zone(None)
    return (
        rows.life()
        .filter(close.is_not_null())
        .group_by("event", "series")
        .agg(close.min())
        .with_columns(
            off=nearer,
            local=(eastern - midnight).dt.total_microseconds(),
            utc=(close.dt.replace_time_zone(None) - midnight).dt.total_microseconds(),
            day=_in_utc(midnight, "earliest"),
        )
    )


def _started(rows: Rows) -> pl.LazyFrame:
    """Return events with the start of their game, if the ticker says it, and their last close."""
    start = pl.concat_str(pl.col("event").str.extract_groups(_START).struct.unnest())
    local = start.str.to_titlecase().str.strptime(pl.Datetime("us"), "%y%b%d%H%M", strict=False)
    return (
        rows.life()
        .group_by("event")
        .agg(pl.col("close").max())
        .with_columns(start=_in_utc(local, "earliest"))
    )


def _in_utc(eastern: pl.Expr, twice: Twice) -> pl.Expr:
    """Return Eastern times in UTC; null where the clock skipped them."""
    zoned = eastern.dt.replace_time_zone(EASTERN, ambiguous=twice, non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _usual(rows: Rows) -> pl.LazyFrame:
    """Return events of series with a schedule, and how far each close is from it.

    A schedule holds by one of the clocks: temperatures are read by standard time all year.
    """
    coded = _coded(rows).filter(pl.col("off").is_null(), pl.col("local").is_not_null())
    usual = []
    for clock in ("local", "utc"):
        times = coded.group_by("series", clock).agg(events=pl.len())
        best = pl.struct(-pl.col("events").cast(pl.Int64), clock)
        ranked = times.with_columns(total=pl.col("events").sum().over("series"))
        usual.append(
            ranked.sort("series", best)
            .group_by("series", maintain_order=True)
            .first()
            .select("series", "total", pl.col(clock).alias(f"usual_{clock}"), **{
                f"share_{clock}": pl.col("events") / pl.col("total")
            })
        )  # fmt: skip
    by_local = pl.col("share_local") >= pl.col("share_utc")
    slip = pl.when(by_local).then(pl.col("local") - pl.col("usual_local"))
    return (
        coded.join(usual[0], on="series")
        .join(usual[1].drop("total"), on="series")
        .with_columns(
            slip=slip.otherwise(pl.col("utc") - pl.col("usual_utc")),
            share=pl.max_horizontal("share_local", "share_utc"),
        )
    )


CODED = View(("markets",), _coded, batched=False)
STARTED = View(("markets",), _started, batched=False)
SCHEDULED = View(("markets",), _usual, batched=False)

_off, _slip = pl.col("off"), pl.col("slip")
_hours = (_off / _HOUR).round().cast(pl.Int64)
_whole_hours = ((_off - _hours * _HOUR).abs() <= _MINUTE) & _hours.abs().is_between(1, 14)

RULES = (
    Rule(
        "close_shifted",
        "error",
        "markets",
        "the close is whole hours off the Eastern time in the ticker: wrong zone or clock change",
        CODED,
        _whole_hours,
        pl.format("close_time={}, {} h off", pl.col("close_time").cast(pl.String), _hours),
        asked=_off.is_not_null(),
        subject="event",
        time="close_time",
    ),
    Rule(
        "close_off_ticker",
        "warning",
        "markets",
        "the close is not at the Eastern time in the ticker",
        CODED,
        ~_whole_hours & (_off.abs() > _MINUTE),
        pl.format("close_time={}, {} s off", pl.col("close_time").cast(pl.String), _off // SECOND),
        asked=_off.is_not_null(),
        subject="event",
        time="close_time",
    ),
    Rule(
        "close_off_schedule",
        "warning",
        "markets",
        "the close is not at the time of day of its series (by UTC or by Eastern time)",
        SCHEDULED,
        _slip != 0,
        pl.format("close_time={}, {} s off", pl.col("close_time").cast(pl.String), _slip // SECOND),
        asked=(pl.col("total") >= USUAL) & (pl.col("share") >= SHARE),
        subject="event",
        time="close_time",
    ),
    Rule(
        "close_before_ticker_date",
        "warning",
        "markets",
        "the close lies more than a day before the (Eastern) date in the ticker",
        CODED,
        pl.col("close_time") < pl.col("day") - pl.duration(days=1),
        show("close_time", "day"),
        asked=pl.col("day").is_not_null(),
        subject="event",
        time="close_time",
    ),
    Rule(
        "close_before_start",
        "warning",
        "markets",
        "trading ends before the (Eastern) time at which the game in the ticker begins",
        STARTED,
        pl.col("close") < pl.col("start"),
        show("close", "start"),
        asked=pl.col("close").is_not_null() & pl.col("start").is_not_null(),
        subject="event",
        time="close",
    ),
)
