"""How often what was called likely came true, judged by one forecast a market."""

from typing import Final

import polars as pl

from kalshi_bt.run_schema import FIRST, HORIZONS

POINTS: Final = (FIRST, *HORIZONS)
NORMAL: Final = 1.959963984540054  # quantile 0.975
FORECASTERS: Final = {"signal": "fair", "price": "mid"}


def compared(forecasts: pl.DataFrame, point: str) -> pl.DataFrame:
    """Return the markets on which signal and price can be judged by one outcome at one moment.

    Parameters
    ----------
    forecasts : polars.DataFrame
        The table of `run_schema`.
    point : str
        ``first`` or a horizon.

    Returns
    -------
    polars.DataFrame
        Rows with a mid and an outcome of 0 or 1; `fair` may be null.
    """
    settled = pl.col("outcome").is_in([0.0, 1.0])
    return forecasts.filter(pl.col("point") == point, pl.col("mid").is_not_null(), settled)


def reliability(forecasts: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return observed frequency against forecast in ten buckets of equal width.

    The markets of one event share their fate, so the interval is Wilson's for as many independent
    outcomes as Kish's effective size counts were they to agree entirely: n² over the sum of the
    squares of the sizes of the events.

    Parameters
    ----------
    forecasts : polars.DataFrame
        Rows of one moment, outcomes 0 or 1.
    column : str
        ``fair`` or ``mid``; rows without it are left out.

    Returns
    -------
    polars.DataFrame
        bucket (0 to 9), markets, events, forecast (mean), observed (share that paid), low and high
        (95 %), in order; buckets without a market are absent.

    References
    ----------
    Wilson (1927), doi:10.1080/01621459.1927.10502953; Kish (1965), Survey Sampling, 8.2.

    Examples
    --------
    >>> coins = pl.DataFrame({"event": ["A", "B"], "fair": [0.5, 0.5], "outcome": [1.0, 0.0]})
    >>> reliability(coins, "fair").select(pl.col("low", "high").round(4)).row(0)
    (0.0945, 0.9055)
    """
    known = forecasts.filter(pl.col(column).is_not_null())
    bucket = (pl.col(column) * 10).floor().clip(0, 9).cast(pl.Int64).alias("bucket")
    by_event = known.group_by(bucket, "event").agg(
        pl.len().alias("size"), pl.col(column, "outcome").sum()
    )
    size = pl.col("size").sum()
    rows = by_event.group_by("bucket").agg(
        size.alias("markets"),
        pl.len().alias("events"),
        (pl.col(column).sum() / size).alias("forecast"),
        (pl.col("outcome").sum() / size).alias("observed"),
        (size**2 / (pl.col("size") ** 2).sum()).alias("effective"),
    )
    share, count, z = pl.col("observed"), pl.col("effective"), NORMAL
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)).sqrt()
    return (
        rows.with_columns(
            low=(centre - half).clip(lower_bound=0), high=(centre + half).clip(upper_bound=1)
        )
        .drop("effective")
        .sort("bucket")
    )


def brier(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Return the mean squared error of signal and price at every moment, on the same markets.

    Parameters
    ----------
    forecasts : polars.DataFrame
        The table of `run_schema`.

    Returns
    -------
    polars.DataFrame
        point, markets, events, signal, price (null without a market on which both spoke), in the
        order of `POINTS`; moments without any market are absent.
    """
    rows = []
    for point in POINTS:
        judged = compared(forecasts, point)
        if judged.is_empty():
            continue
        both = judged.filter(pl.col("fair").is_not_null())
        paired = judged if both.is_empty() else both
        rows.append(
            paired.select(
                pl.lit(point).alias("point"),
                pl.len().alias("markets"),
                pl.col("event").n_unique().alias("events"),
                ((pl.col("fair") - pl.col("outcome")) ** 2).mean().alias("signal"),
                ((pl.col("mid") - pl.col("outcome")) ** 2).mean().alias("price"),
            )
        )
    counts = {"markets": pl.UInt32, "events": pl.UInt32}
    empty = {"point": pl.String, **counts, "signal": pl.Float64, "price": pl.Float64}
    return pl.concat(rows) if rows else pl.DataFrame(schema=empty)
