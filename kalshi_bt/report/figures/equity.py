"""Equity over time."""

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, Figure, amounts, line, thin, times
from kalshi_bt.units import MONEY_SCALE


def equity_figure(equity: pl.DataFrame, initial_cash: int) -> Figure:
    """Return equity above its drawdown, on one time axis.

    Parameters
    ----------
    equity : polars.DataFrame
        Equity table; the drawdown is taken from all of it, then both are thinned.
    initial_cash : int
        Micro-dollars; the first peak.
    """
    peak = pl.col("equity").cum_max().clip(lower_bound=initial_cash)
    path = thin(equity.select("time", "equity", fall=pl.col("equity") - peak), ["equity", "fall"])
    start = initial_cash / MONEY_SCALE
    steps, hover = {"shape": "hv"}, {"hovertemplate": "%{y:$,.2f}"}
    above = line(
        "Equity", "time", "equity", line={**steps, "width": 1.6, "color": "--accent"}, **hover
    )
    below = line(
        "Drawdown",
        "time",
        "fall",
        yaxis="y2",
        fill="tozeroy",
        fillcolor="--loss-wash",
        line={**steps, "width": 1, "color": "--loss"},
        **hover,
    )
    opening = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": start,
        "y1": start,
        "line": {"color": "--faint", "width": 1, "dash": "dot"},
    }
    return {
        "columns": {
            "time": times(path["time"]),
            "equity": amounts(path["equity"]),
            "fall": amounts(path["fall"]),
        },
        "data": [above, below],
        "layout": {
            "height": 420,
            "showlegend": False,
            "hovermode": "x unified",
            "hoversubplots": "axis",
            "xaxis": {"type": "date", "anchor": "y2"},
            "yaxis": {**DOLLARS, "domain": [0.34, 1], "title": {"text": "Equity"}},
            "yaxis2": {**DOLLARS, "domain": [0, 0.27], "title": {"text": "Drawdown"}, "nticks": 4},
            "shapes": [opening],
        },
    }
