"""Closed trades counted and summed by what was known when they were decided; cases in order."""

from typing import Final

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.units import QUANTITY_SCALE

CASES: Final = ("base", "optimistic", "pessimistic", "tick_better", "tick_worse", "fees_0",
                "fees_1", "fees_1_5", "latency_bar")  # fmt: skip


def decided_trades(run: Run) -> pl.DataFrame:
    """Return the closed trades with their context, null where there is none."""
    return run.trades_closed.join(run.context, on="trade_id", how="left")


def tally(trades: pl.DataFrame, by: pl.Expr) -> pl.DataFrame:
    """Return trades counted and summed by a group.

    Parameters
    ----------
    trades : polars.DataFrame
        Closed trades with their context; see `decided_trades`.
    by : polars.Expr
        String; null is ``not known``.

    Returns
    -------
    polars.DataFrame
        group, trades, wins, losses, pnl and stake (micro-dollars), paid (mean price of a contract
        of the side held, dollars), expected and realised (mean dollars a contract, over the trades
        of which an expectation was stated; null without one), told (how many these are); in the
        order of the groups.
    """
    count = pl.col("quantity").abs() / QUANTITY_SCALE
    told = pl.col("expected").is_not_null()
    known = count.filter(told).sum()
    wanted = (pl.col("expected") * count).filter(told).sum()
    came = (pl.col("pnl") / 1e6).filter(told).sum()
    return (
        trades.group_by(by.fill_null("not known").alias("group"))
        .agg(
            pl.len().alias("trades"),
            (pl.col("pnl") > 0).sum().alias("wins"),
            (pl.col("pnl") < 0).sum().alias("losses"),
            pl.col("pnl").sum(),
            pl.col("stake").sum(),
            ((pl.col("entry_price") * count).sum() / count.sum()).alias("paid"),
            pl.when(known > 0).then(wanted / known).alias("expected"),
            pl.when(known > 0).then(came / known).alias("realised"),
            told.sum().alias("told"),
        )
        .sort("group")
    )


def in_order(sensitivity: pl.DataFrame) -> pl.DataFrame:
    """Return the cases in the order of `CASES`, others after them by name."""
    place = pl.col("case").replace_strict(CASES, range(len(CASES)), default=len(CASES))
    return sensitivity.sort(place, "case")
