"""Where the profit and loss of the closed trades came from, and how much hangs on one event."""

from typing import Any

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.groups import SUMS, chances, told
from kalshi_bt.report.sections.part import Part, numbers
from kalshi_bt.report.tallies import decided_trades, tally
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.trade_groups import HELD

CONCENTRATION = ("n_markets", "n_events", "n_clusters", "top_event_share", "top_day_share",
                 "top_market_share", "top_event_stake", "net_without_best_event",
                 "net_without_best_day")  # fmt: skip
MOST = 8  # groups shown one by one; the rest of many is summed up


def breakdown(run: Run) -> Part:
    """Return P&L by category, series, event and more, and how much hangs on the best of each."""
    title = "By category, series and event"
    if run.trades_closed.is_empty():
        return Part("breakdown", title, "Groups", {"empty": why_no_trade(run)})
    trades = decided_trades(run)
    groups = {
        "category": pl.col("category"),
        "series": pl.col("series"),
        "side": HELD,
        "reason of exit": pl.col("exit_reason"),
        "event": pl.col("event"),
    }
    values = {
        "empty": "",
        "groups": {
            f"By {name}": _ranked(tally(trades, by), chances(run, name))
            for name, by in groups.items()
        },
        "concentration": numbers(run, CONCENTRATION),
    }
    return Part("breakdown", title, "Groups", values)


def _ranked(groups: pl.DataFrame, among: dict[str, str]) -> list[dict[str, Any]]:
    """Return the most traded first; the rest of many groups is summed up."""
    groups = groups.sort("trades", "group", descending=[True, False]).select("group", *SUMS)
    if groups.height > MOST:
        rest = groups[MOST - 1 :]
        name = pl.lit(f"{rest.height:,} others").alias("group")
        groups = pl.concat([groups[: MOST - 1], rest.select(name, pl.col(SUMS).sum())])
    return told(groups, among)
