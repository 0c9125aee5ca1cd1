"""What fills cost against the quotes, and where the market stood after them."""

import math
from typing import Final

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.run_schema import MARKOUTS
from kalshi_bt.units import QUANTITY_SCALE

AFTER: Final = {
    **{f"markout_{name}": name for name in MARKOUTS},
    "markout_final": "settlement",
}
ROLES: Final = ("taker", "maker")
FEWEST_EVENTS: Final = 5  # below, no interval is worth its name


def quality_of_fills(run: Run) -> pl.DataFrame:
    """Return `fill_quality` with role, contracts and event of each fill.

    The event is that of the trade; of a fill whose trade was not closed it is looked up in the
    markets and forecasts of the run, and stands for itself where they do not know it.
    """
    event = pl.col("event")
    closed = run.trades_closed.select("ticker", event)
    listed = run.markets.select("ticker", event)
    opined = run.forecasts.select("ticker", event)
    events = pl.concat([closed, listed, opined]).drop_nulls().unique("ticker", keep="first")
    fills = run.fills.select(
        "order_id",
        "seq",
        "ticker",
        pl.col("role").cast(pl.String),
        contracts=pl.col("quantity").abs() / QUANTITY_SCALE,
    )
    known = run.fill_quality.join(fills, on=["order_id", "seq"])
    return known.join(events, on="ticker", how="left").with_columns(pl.coalesce("event", "ticker"))


def mean_by_event(rows: pl.DataFrame, column: str) -> dict[str, float | int | None]:
    """Return the mean of a column a contract, and its 95 % interval by whole events.

    Parameters
    ----------
    rows : polars.DataFrame
        event, contracts, and the column; rows without it are left out.
    column : str
        Dollars a contract.

    Returns
    -------
    dict
        mean, low, high, fills, events; mean is None without a row, low and high are None with
        fewer than five events.

    Notes
    -----
    The mean is a ratio of sums; its variance is that of the residuals summed by event, over the
    squared contracts, times G / (G - 1) for G events, with the t distribution of G - 1 degrees.

    References
    ----------
    Cameron & Miller (2015), doi:10.3368/jhr.50.2.317.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  slow to import

    known = rows.filter(pl.col(column).is_not_null())
    weight = pl.col("contracts")
    sums = known.group_by("event").agg((pl.col(column) * weight).sum().alias("sum"), weight.sum())
    worth, size, events = sums["sum"].to_numpy(), sums["contracts"].to_numpy(), sums.height
    total = float(size.sum())
    if not total:
        return {"mean": None, "low": None, "high": None, "fills": 0, "events": 0}
    mean = float(worth.sum()) / total
    counts = {"fills": known.height, "events": events}
    if events < FEWEST_EVENTS:
        return {"mean": mean, "low": None, "high": None, **counts}
    squares = float(((worth - mean * size) ** 2).sum())
    error = math.sqrt(squares * events / (events - 1)) / total
    half = float(stdtrit(events - 1, 0.975)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half, **counts}


def slippage_counts(fills: pl.DataFrame) -> pl.DataFrame:
    """Return how many contracts slipped by how much.

    Parameters
    ----------
    fills : polars.DataFrame
        As from `quality_of_fills`.

    Returns
    -------
    polars.DataFrame
        cents (slippage rounded to a cent, the ends of the scale gathered at -10 and 10), taker and
        maker (contracts), in order; every cent between the lowest and the highest has a row.
    """
    cents = (pl.col("slippage") * 100).round().clip(-10, 10).cast(pl.Int64).alias("cents")
    known = fills.filter(pl.col("slippage").is_not_null()).select(cents, "role", "contracts")
    if known.is_empty():
        return pl.DataFrame(schema={"cents": pl.Int64} | dict.fromkeys(ROLES, pl.Float64))
    low, high = known.select(pl.col("cents").min(), high=pl.col("cents").max()).row(0)
    grid = pl.DataFrame({"cents": range(low, high + 1)})
    sums = (pl.col("contracts").filter(pl.col("role") == role).sum().alias(role) for role in ROLES)
    return grid.join(known.group_by("cents").agg(sums), on="cents", how="left").fill_null(0.0)
