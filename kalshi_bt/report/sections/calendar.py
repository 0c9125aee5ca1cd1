"""What every day added, and the deepest falls."""

from collections.abc import Mapping
from typing import Any

from kalshi_bt.report.days import WORST, daily_pnl, drawdowns
from kalshi_bt.report.figures import calendar_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.equity import initial_cash
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import duration, micro, moment


def calendar(run: Run) -> Part:
    """Return what every day added, and the deepest falls."""
    title = "Days and worst drawdowns"
    if run.equity.is_empty() or run.fills.is_empty():
        return Part("calendar", title, "Days", {"empty": why_no_trade(run)})
    cash = initial_cash(run)
    days = daily_pnl(run.equity, cash)
    best, worst = (
        days.sort("pnl", "day", descending=[down, False]).row(0) for down in (True, False)
    )
    values = {
        "empty": "",
        "days": f"{days.height:,}",
        "up": f"{(days['pnl'] > 0).sum():,}",
        "down": f"{(days['pnl'] < 0).sum():,}",
        "best": f"{best[0]} ({micro(best[1], signed=True)})",
        "worst": f"{worst[0]} ({micro(worst[1], signed=True)})",
        "falls": [
            _fall(row) for row in drawdowns(run.equity, cash).head(WORST).iter_rows(named=True)
        ],
    }
    return Part("calendar", title, "Days", values, {"plot-calendar": calendar_figure(days)})


def _fall(row: Mapping[str, Any]) -> dict[str, str]:
    end = row["recovered"]
    return {
        "start": moment(row["start"]),
        "low": moment(row["low"]),
        "depth": micro(-row["depth"]),
        "share": f"{row['depth'] / row['peak']:.2%}" if row["peak"] > 0 else "n/a",
        "recovered": "not by the end" if end is None else moment(end),
        "lasted": "" if end is None else duration((end - row["start"]).total_seconds()),
    }
