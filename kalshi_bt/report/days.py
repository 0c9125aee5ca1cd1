"""What every day of a run added."""

import polars as pl


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
