"""Figures as plain Plotly specifications, small enough to be many in one page.

A figure is ``{"columns", "data", "layout"}``. Numbers stand once in `columns`, as differences of
integers; a trace names a column by ``"$name"``. A colour is the name of a CSS variable such as
``"--gain"``, so that one specification serves light and dark. `between` names two columns whose
gap a trace fills. The page's script resolves all three.
"""

from kalshi_bt.report.figures.bars import bars_figure, waterfall_figure
from kalshi_bt.report.figures.columns import POINTS, Figure, packed, plain, thin
from kalshi_bt.report.figures.equity import equity_figure
from kalshi_bt.report.figures.market import market_figure

__all__ = [
    "POINTS",
    "Figure",
    "bars_figure",
    "equity_figure",
    "market_figure",
    "packed",
    "plain",
    "thin",
    "waterfall_figure",
]
