"""How much money was bound in positions, and which limits spoke."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import locked_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import contracts, reason, shown

# Reasons that are limits of the portfolio; the others are the market's or the strategy's.
LIMITS = (
    "cash",
    "cycle_cap",
    "event_cap",
    "exposure",
    "market_cap",
    "max_contracts",
    "max_positions",
    "order_rate",
    "position_open",
    "size_zero",
    "breaker_daily_loss",
    "breaker_drawdown",
    "breaker_losses",
    "breaker_weekly_loss",
)
TITLE = "Collateral and limits"


def collateral(run: Run) -> Part:
    """Return money locked over time, and how often each limit refused or trimmed an order."""
    path = run.equity.filter(pl.col("equity") > 0)
    values: dict[str, Any] = {
        "empty": why_no_trade(run) if path.is_empty() or run.fills.is_empty() else "",
        "most": shown(run.scores, "exposure_max"),
        "limits": [_limit(row) for row in limit_hits(run.orders).iter_rows(named=True)],
    }
    if values["empty"]:
        return Part("collateral", TITLE, "Collateral", values)
    share = max(path["locked"] / path["equity"])
    values |= {"mean": shown(run.scores, "exposure_mean"), "part": f"{share:.1%}"}
    return Part("collateral", TITLE, "Collateral", values, {"plot-locked": locked_figure(path)})


def limit_hits(orders: pl.DataFrame) -> pl.DataFrame:
    """Return how often each limit of the portfolio refused or trimmed an order.

    Parameters
    ----------
    orders : polars.DataFrame
        Orders table; the reason of an order that was sent smaller than wanted is its last trim,
        unless it ended for another reason, which then stands instead.

    Returns
    -------
    polars.DataFrame
        reason, refused, trimmed (orders), cut (centi-contracts trimmed off), most frequent first.
    """
    refused = pl.col("status") == "rejected"
    trimmed = ~refused & (pl.col("quantity") < pl.col("wanted"))
    limit = pl.when(pl.col("reason").is_in(LIMITS)).then("reason").otherwise(pl.lit("not stated"))
    return (
        orders.filter(trimmed | (refused & pl.col("reason").is_in(LIMITS)))
        .group_by(limit.alias("reason"))
        .agg(
            refused.sum().alias("refused"),
            trimmed.sum().alias("trimmed"),
            (pl.col("wanted") - pl.col("quantity")).filter(trimmed).sum().alias("cut"),
        )
        .sort(pl.col("refused") + pl.col("trimmed"), "reason", descending=[True, False])
    )


def _limit(row: dict[str, Any]) -> dict[str, str]:
    return {
        "code": row["reason"] if row["reason"] in LIMITS else "",
        "reason": reason(row["reason"])
        if row["reason"] in LIMITS
        else "trimmed, then ended otherwise",
        "refused": f"{row['refused']:,}",
        "trimmed": f"{row['trimmed']:,}",
        "cut": contracts(row["cut"]),
    }
