"""Bars of the lengths the exchange serves, from the candles that are stored."""

import polars as pl

from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE

EASTERN = "America/New_York"
DAY_SECONDS = 86_400
# What the wire says where a side of the book was empty.
EMPTY = {"bid": 0, "ask": PRICE_SCALE}


def bars(candles: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Return the bars of one market in one length.

    Parameters
    ----------
    candles : DataFrame
        All stored candles of the market, of every period.
    seconds : int
        Length of a bar. Stored bars of that length are returned as they are; else they are put
        together from the longest stored ones that fit.

    Returns
    -------
    DataFrame
        One row a bar that has candles, by time: quotes without nulls (0 and 10 000 are empty
        sides), prices null without a trade, and `previous`, the last price before the bar.
    """
    stored = candles["period"].unique().to_list()
    fitting = [period for period in stored if seconds % period == 0 and period <= seconds]
    base = max(fitting, default=seconds)
    found = candles.filter(pl.col("period") == base).sort("time")
    found = found.with_columns(
        pl.col(f"{side}_{part}").fill_null(empty) for side, empty in EMPTY.items() for part in OHLC
    )
    if base != seconds:
        found = _longer(found, seconds)
    return found.with_columns(previous=pl.col("price_close").forward_fill().shift(1))


def bar_end(seconds: int) -> pl.Expr:
    """Return the end of the bar a time falls in; a day ends at midnight US Eastern.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 5, 4, 3, 59, tzinfo=UTC)
    >>> pl.DataFrame({"time": [at]}).select(bar_end(86_400)).item().isoformat()
    '2026-05-04T04:00:00+00:00'
    """
    inside = pl.col("time") - pl.duration(microseconds=1)
    if seconds == DAY_SECONDS:
        local = inside.dt.convert_time_zone(EASTERN).dt.truncate("1d").dt.offset_by("1d")
        return local.dt.convert_time_zone("UTC")
    return inside.dt.truncate(f"{seconds}s").dt.offset_by(f"{seconds}s")


def _longer(found: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Return bars put together from shorter ones."""
    sides = ("price", *EMPTY)
    return (
        found.group_by(time=bar_end(seconds), maintain_order=True)
        .agg(
            *(pl.col(f"{side}_open").drop_nulls().first() for side in sides),
            *(pl.col(f"{side}_high").max() for side in sides),
            *(pl.col(f"{side}_low").min() for side in sides),
            *(pl.col(f"{side}_close").drop_nulls().last() for side in sides),
            pl.col("volume").sum(),
            pl.col("open_interest").drop_nulls().last(),
        )
        .sort("time")
    )
