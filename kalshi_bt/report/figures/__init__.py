"""Figures as plain Plotly specifications, small enough to be many in one page.

A figure is ``{"columns", "data", "layout"}``. Numbers stand once in `columns`, as differences of
integers (`columns.packed`); a trace names a column by ``"$name"``. A colour is the name of a CSS
variable such as ``"--gain"``, so that one specification serves light and dark. `between` names two
columns whose gap a trace fills. The page's script resolves all three.
"""

from kalshi_bt.report.figures.bars import bars_figure, luck_figure, waterfall_figure
from kalshi_bt.report.figures.columns import POINTS, Figure, packed, plain, room, thin
from kalshi_bt.report.figures.equity import calendar_figure, equity_figure, locked_figure
from kalshi_bt.report.figures.market import market_figure
from kalshi_bt.report.figures.points import (
    edge_figure,
    evidence_figure,
    markout_figure,
    reliability_figure,
    slippage_figure,
)

__all__ = [
    "POINTS",
    "Figure",
    "bars_figure",
    "calendar_figure",
    "edge_figure",
    "equity_figure",
    "evidence_figure",
    "locked_figure",
    "luck_figure",
    "market_figure",
    "markout_figure",
    "packed",
    "plain",
    "reliability_figure",
    "room",
    "slippage_figure",
    "thin",
    "waterfall_figure",
]
