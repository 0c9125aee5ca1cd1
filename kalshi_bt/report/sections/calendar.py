"""What every day added, and the deepest falls."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from kalshi_bt.report.days import daily_pnl
from kalshi_bt.report.figures import calendar_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.equity import initial_cash
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import duration, micro, moment

WORST = 5


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
    falls = run.tables["drawdowns"].head(WORST) if "drawdowns" in run.tables else pl.DataFrame()
    values = {
        "empty": "",
        "days": f"{days.height:,}",
        "up": f"{(days['pnl'] > 0).sum():,}",
        "down": f"{(days['pnl'] < 0).sum():,}",
        "best": f"{best[0]} ({micro(best[1], signed=True)})",
        "worst": f"{worst[0]} ({micro(worst[1], signed=True)})",
        "unfallen": "Equity never fell below a peak."
        if "drawdowns" in run.tables
        else "The falls were not listed.",
        "falls": [_fall(row) for row in falls.iter_rows(named=True)],
    }
    return Part("calendar", title, "Days", values, {"plot-calendar": calendar_figure(days)})


def _fall(row: Mapping[str, Any]) -> dict[str, str]:
    end, share = row["end"], row["depth_pct"]
    return {
        "start": moment(row["start"]),
        "low": moment(row["trough"]),
        "depth": micro(-row["depth"]),
        "share": "n/a" if share is None else f"{share:.2f}%",
        "recovered": "not by the end" if end is None else moment(end),
        "lasted": duration(row["days"] * 86_400),
    }
