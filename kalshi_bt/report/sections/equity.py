"""Equity and drawdown over time."""

from kalshi_bt.report.figures import equity_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import shown, why_no_trade
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
    if values["empty"]:
        return Part("equity", "Equity and drawdown", values)
    start = run.scores.get("initial_cash", {}).get("value")
    cash = run.equity["equity"][0] if start is None else parse_money(start)
    figure = equity_figure(run.equity, cash)
    return Part("equity", "Equity and drawdown", values, {"plot-equity": figure})
