"""The sections of the page in their order; a new one is a function and a line here."""

from kalshi_bt.report.sections.breakdown import breakdown
from kalshi_bt.report.sections.calendar import calendar
from kalshi_bt.report.sections.calibration import calibration
from kalshi_bt.report.sections.collateral import collateral
from kalshi_bt.report.sections.costs import costs
from kalshi_bt.report.sections.equity import equity
from kalshi_bt.report.sections.fills import fills
from kalshi_bt.report.sections.ground import assumptions
from kalshi_bt.report.sections.headline import headline
from kalshi_bt.report.sections.part import Part, Section
from kalshi_bt.report.sections.prices import prices
from kalshi_bt.report.sections.run_info import run_info
from kalshi_bt.report.sections.timing import timing
from kalshi_bt.report.sections.trades import trades
from kalshi_bt.report.sections.uncertainty import uncertainty

__all__ = ["SECTIONS", "Part", "Section"]

SECTIONS: list[Section] = [
    headline,
    assumptions,
    equity,
    calendar,
    calibration,
    prices,
    breakdown,
    timing,
    costs,
    fills,
    collateral,
    uncertainty,
    trades,
    run_info,
]
