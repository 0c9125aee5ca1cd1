"""Bars: one amount a name, and how an amount becomes another."""

from collections.abc import Sequence

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, Figure, amounts, plain
from kalshi_bt.report.wording import micro as money


def bars_figure(
    names: Sequence[str], pnl: Sequence[int], hover: Sequence[str], title: str
) -> Figure:
    """Return one bar of P&L (micro-dollars) a name, coloured by its sign."""
    return {
        "columns": {"pnl": amounts(pl.Series(pnl, dtype=pl.Int64))},
        "data": [
            {
                "type": "bar",
                "x": [plain(name) for name in names],
                "y": "$pnl",
                "marker": {"color": ["--gain" if value >= 0 else "--loss" for value in pnl]},
                "customdata": [plain(text) for text in hover],
                "hovertemplate": "%{x}<br>%{customdata}<extra></extra>",
            }
        ],
        "layout": {
            "height": 300,
            "bargap": 0.25,
            "showlegend": False,
            "xaxis": {"type": "category", "showgrid": False, "title": {"text": plain(title)}},
            "yaxis": DOLLARS,
        },
    }


def waterfall_figure(steps: Sequence[tuple[str, int, str]]) -> Figure:
    """Return how an amount becomes another.

    Parameters
    ----------
    steps : sequence of (name, micro-dollars, measure)
        Measure is ``absolute`` for the first amount, ``relative`` for a step, ``total`` for what
        stands by then.
    """
    return {
        "columns": {"amount": amounts(pl.Series([amount for _, amount, _ in steps]))},
        "data": [
            {
                "type": "waterfall",
                "x": [plain(name) for name, _, _ in steps],
                "y": "$amount",
                "measure": [measure for _, _, measure in steps],
                "text": [money(amount, signed=True) for _, amount, _ in steps],
                "textposition": "outside",
                "cliponaxis": False,
                "connector": {"line": {"color": "--faint", "width": 1}},
                "increasing": {"marker": {"color": "--gain"}},
                "decreasing": {"marker": {"color": "--loss"}},
                "totals": {"marker": {"color": "--total"}},
                "hovertemplate": "%{x}<br>%{text}<extra></extra>",
            }
        ],
        "layout": {
            "height": 300,
            "showlegend": False,
            "xaxis": {"type": "category", "showgrid": False},
            "yaxis": DOLLARS,
        },
    }
