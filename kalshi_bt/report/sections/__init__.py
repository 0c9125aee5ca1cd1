"""The sections of the page in their order; a new one is a function and a line here."""

from kalshi_bt.report.sections.breakdown import breakdown
from kalshi_bt.report.sections.costs import costs
from kalshi_bt.report.sections.equity import equity
from kalshi_bt.report.sections.ground import assumptions, quality, run_info
from kalshi_bt.report.sections.headline import headline
from kalshi_bt.report.sections.markets import markets
from kalshi_bt.report.sections.orders import orders
from kalshi_bt.report.sections.part import Part, Section
from kalshi_bt.report.sections.scores import scores
from kalshi_bt.report.sections.trades import trades

__all__ = ["SECTIONS", "Part", "Section"]

SECTIONS: list[Section] = [
    headline,
    assumptions,
    equity,
    breakdown,
    costs,
    orders,
    trades,
    markets,
    scores,
    quality,
    run_info,
]
