"""Equity, drawdown and exposure over time."""

from kalshi_bt.report.figures import equity_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import shown
from kalshi_bt.units import parse_money


def equity(run: Run) -> Part:
    """Return the path of equity, or why there is none."""
    values = {
        "peak_fall": shown(run.scores, "max_drawdown"),
        "peak_fall_pct": shown(run.scores, "max_drawdown_pct"),
        "longest": shown(run.scores, "drawdown_days"),
        "exposure": shown(run.scores, "exposure_max"),
        "empty": why_no_trade(run) if run.equity.is_empty() or run.fills.is_empty() else "",
    }
    title = "Equity, drawdown and exposure"
    if values["empty"]:
        return Part("equity", title, "Equity", values)
    figure = equity_figure(run.equity, initial_cash(run))
    return Part("equity", title, "Equity", values, {"plot-equity": figure})


def initial_cash(run: Run) -> int:
    """Return micro-dollars at the start; of a run that does not say, its first equity."""
    start = run.scores.get("initial_cash", {}).get("value")
    return int(run.equity["equity"][0]) if start is None else parse_money(start)
