"""Days and drawdowns of an equity path."""

from typing import Final

import polars as pl

WORST: Final = 5


def daily_pnl(equity: pl.DataFrame, initial_cash: int) -> pl.DataFrame:
    """Return what every UTC day of the run added to equity, idle days included.

    Parameters
    ----------
    equity : polars.DataFrame
        Equity table; a row of midnight belongs to the day that ends with it.
    initial_cash : int
        Micro-dollars before the first row.

    Returns
    -------
    polars.DataFrame
        day (Date), pnl (Int64, micro-dollars), in order; no row without a row of equity.

    Examples
    --------
    >>> from datetime import datetime
    >>> path = pl.DataFrame({"time": [datetime(2026, 5, 4, 9), datetime(2026, 5, 6, 9)],
    ...                      "equity": [7, 4]})
    >>> daily_pnl(path, 5)["pnl"].to_list()
    [2, 0, -3]
    """
    if equity.is_empty():
        return pl.DataFrame(schema={"day": pl.Date, "pnl": pl.Int64})
    first = equity["time"].dt.date()[0]
    day = (pl.col("time") - pl.duration(microseconds=1)).dt.date().clip(lower_bound=first)
    ends = equity.group_by(day.alias("day")).agg(pl.col("equity").last()).sort("day")
    grid = pl.select(day=pl.date_range(first, ends["day"][-1], "1d"))
    path = grid.join(ends, on="day", how="left").with_columns(pl.col("equity").forward_fill())
    before = pl.col("equity").shift(1).fill_null(initial_cash)
    return path.select("day", pnl=pl.col("equity") - before)


def drawdowns(equity: pl.DataFrame, initial_cash: int) -> pl.DataFrame:
    """Return every time spent below a peak, the deepest first.

    Parameters
    ----------
    equity : polars.DataFrame
        Equity table.
    initial_cash : int
        Micro-dollars; the first peak.

    Returns
    -------
    polars.DataFrame
        start (last time at the peak, or the first row), low (time of the first lowest row),
        recovered (null: not by the end), depth and peak (Int64, micro-dollars).

    Examples
    --------
    >>> path = pl.DataFrame({"time": [0, 1, 2, 3, 4], "equity": [10, 7, 8, 11, 9]})
    >>> drawdowns(path, 10).select("start", "low", "recovered", "depth").rows()
    [(0, 1, 3, 3), (3, 4, None, 2)]
    """
    peak = pl.col("equity").cum_max().clip(lower_bound=initial_cash)
    path = equity.select("time", "equity", peak=peak).with_columns(
        fall=pl.col("peak") - pl.col("equity")
    )
    below = pl.col("fall") > 0
    at_peak = pl.when(~below).then("time")
    path = path.with_columns(
        start=at_peak.forward_fill().fill_null(pl.col("time").first()),
        recovered=at_peak.backward_fill(),
        episode=below.rle_id(),
    )
    return (
        path.filter(below)
        .group_by("episode", maintain_order=True)
        .agg(
            pl.col("start").first(),
            pl.col("time").get(pl.col("fall").arg_max()).alias("low"),
            pl.col("recovered").first(),
            pl.col("fall").max().alias("depth"),
            pl.col("peak").first(),
        )
        .sort("depth", "start", descending=[True, False])
        .drop("episode")
    )
