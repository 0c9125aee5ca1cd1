"""Profit and loss by when trades were made."""

import polars as pl

from kalshi_bt.report.figures import Figure, bars_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.groups import chances, in_order, told
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.tallies import decided_trades, tally
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.trade_groups import HOUR, LEFT, left_to_close


def timing(run: Run) -> Part:
    """Return P&L by time to the scheduled close and by hour of the day in New York."""
    title = "By time to close and hour of day"
    if run.trades_closed.is_empty():
        return Part("timing", title, "Timing", {"empty": why_no_trade(run)})
    trades = decided_trades(run)
    left = [name for _, name in LEFT]
    by_left = tally(trades, left_to_close())
    unknown = by_left.filter(pl.col("group") == "not known")
    by_hour = in_order(tally(trades, HOUR), [f"{hour:02d}" for hour in range(24)])
    by_left = in_order(by_left, left if unknown.is_empty() else [*left, "not known"])
    figures = {
        "plot-left": _bars(by_left, "Time to the scheduled close", chances(run, "time to close")),
        "plot-hours": _bars(by_hour, "Hour of entry, New York", chances(run, "hour of entry")),
    }
    traded = pl.col("trades") > 0
    values = {"left": told(by_left.filter(traded)), "hours": told(by_hour.filter(traded))}
    return Part("timing", title, "Timing", {"empty": "", **values}, figures)


def _bars(groups: pl.DataFrame, title: str, among: dict[str, str]) -> Figure:
    hover = []
    for row in told(groups, among):
        words = f"{row['pnl']}, {row['trades']} trades, {row['won']} won"
        hover.append(words + (f", q {row['chance']}" if row["chance"] else ""))
    return bars_figure(groups["group"].to_list(), groups["pnl"].to_list(), hover, title)
