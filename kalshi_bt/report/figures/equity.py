"""Equity over time, what was locked in positions, and what every day added."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, Figure, amounts, line, packed, thin, times
from kalshi_bt.units import MONEY_SCALE

MONTHS = 48  # beyond, a row is a year and a cell a month
STEPS = {"shape": "hv"}
HOVER = {"hovertemplate": "%{y:$,.2f}"}


def equity_figure(equity: pl.DataFrame, initial_cash: int) -> Figure:
    """Return equity above its drawdown above the money locked in positions, on one time axis.

    Parameters
    ----------
    equity : polars.DataFrame
        Equity table; the drawdown is taken from all of it, then all is thinned.
    initial_cash : int
        Micro-dollars; the first peak.
    """
    peak = pl.col("equity").cum_max().clip(lower_bound=initial_cash)
    path = equity.select("time", "equity", "locked", fall=pl.col("equity") - peak)
    path = thin(path, ["equity", "fall", "locked"])
    start = initial_cash / MONEY_SCALE
    above = _steps("Equity", "equity", "--accent", width=1.6)
    below = _steps("Drawdown", "fall", "--loss", "--loss-wash", yaxis="y2")
    held = _steps("Locked", "locked", "--total", "--quote-wash", yaxis="y3")
    return {
        "columns": {
            "time": times(path["time"]),
            "equity": amounts(path["equity"]),
            "fall": amounts(path["fall"]),
            "locked": amounts(path["locked"]),
        },
        "data": [above, below, held],
        "layout": {
            "height": 520,
            "showlegend": False,
            "hovermode": "x unified",
            "hoversubplots": "axis",
            "xaxis": {"type": "date", "anchor": "y3"},
            "yaxis": {**DOLLARS, "domain": [0.5, 1], "title": {"text": "Equity"}},
            "yaxis2": _low("Drawdown", [0.25, 0.46]),
            "yaxis3": {**_low("Locked", [0, 0.21]), "rangemode": "tozero"},
            "shapes": [_level(start, "y")],
        },
    }


def locked_figure(equity: pl.DataFrame) -> Figure:
    """Return the part of equity that was locked in positions, in percent, over time."""
    share = (10_000 * pl.col("locked") / pl.col("equity")).round().cast(pl.Int64)
    path = thin(equity.filter(pl.col("equity") > 0).select("time", share=share), ["share"])
    part = _steps("Locked", "share", "--total", "--quote-wash")
    return {
        "columns": {
            "time": times(path["time"]),
            "share": packed(path["share"], 100),
        },
        "data": [{**part, "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:.2f} %<extra></extra>"}],
        "layout": {
            "height": 260,
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {"type": "date"},
            "yaxis": {"ticksuffix": " %", "rangemode": "tozero", "title": {"text": "Of equity"}},
        },
    }


def calendar_figure(days: pl.DataFrame) -> Figure:
    """Return what every day added, one row a month; of long runs every month, one row a year.

    Parameters
    ----------
    days : polars.DataFrame
        day, pnl (micro-dollars); see `days.daily_pnl`.
    """
    day = pl.col("day")
    row, column, width = day.dt.strftime("%Y-%m"), day.dt.day(), 31
    if days["day"].dt.truncate("1mo").n_unique() > MONTHS:
        row, column, width = day.dt.strftime("%Y"), day.dt.month(), 12
    cells = days.group_by(row.alias("row"), column.alias("column")).agg(pl.col("pnl").sum())
    known = {(r, c): pnl / MONEY_SCALE for r, c, pnl in cells.iter_rows()}
    rows = cells["row"].unique().sort().to_list()
    heat = [[known.get((r, c)) for c in range(1, width + 1)] for r in rows]
    most = max((abs(value) for value in known.values()), default=0) or 1.0
    return {
        "columns": {},
        "data": [
            {
                "type": "heatmap",
                "x": [f"{c:02d}" for c in range(1, width + 1)],
                "y": rows,
                "z": heat,
                "zmin": -most,
                "zmax": most,
                "colorscale": [[0, "--loss"], [0.5, "--surface"], [1, "--gain"]],
                "xgap": 2,
                "ygap": 2,
                "hoverongaps": False,
                "hovertemplate": "%{y}-%{x}<br>%{z:$,.2f}<extra></extra>",
                "colorbar": {
                    "thickness": 10,
                    "outlinewidth": 0,
                    "tickformat": "$~s",
                    "lenmode": "pixels",
                    "len": 72 + 28 * len(rows),
                },
            }
        ],
        "layout": {
            "height": 120 + 28 * len(rows),
            "xaxis": {"type": "category", "showgrid": False, "tickangle": 0},
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
        },
    }


def _steps(
    name: str, column: str, colour: str, fill: str = "", *, width: float = 1, **rest: Any
) -> dict[str, Any]:
    area = {"fill": "tozeroy", "fillcolor": fill} if fill else {}
    stroke = {**STEPS, "width": width, "color": colour}
    return line(name, "time", column, line=stroke, **area, **HOVER, **rest)


def _low(title: str, domain: list[float]) -> dict[str, Any]:
    return {**DOLLARS, "domain": domain, "title": {"text": title}, "nticks": 4}


def _level(at: float, axis: str) -> dict[str, Any]:
    """Draw a dotted line across the figure."""
    return {
        "type": "line",
        "xref": "paper",
        "yref": axis,
        "x0": 0,
        "x1": 1,
        "y0": at,
        "y1": at,
        "line": {"color": "--faint", "width": 1, "dash": "dot"},
    }
