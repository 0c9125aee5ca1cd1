"""The chart of a market: quotes, trades, the levels of the signal, own fills.

The charts of all markets are one figure, whose columns the page's script cuts out of tables of all
of them; a trace without a number in a market is left out there.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from kalshi_bt.report.figures.columns import Figure, line

MARKS = {
    "Buy YES": ("triangle-up", "--gain", (pl.col("leg") == "entry") & (pl.col("quantity") > 0)),
    "Buy NO": ("triangle-down", "--loss", (pl.col("leg") == "entry") & (pl.col("quantity") < 0)),
    "Exit": ("diamond", "--total", (pl.col("leg") == "exit") & (pl.col("kind") == "trade")),
    "Settlement": ("star", "--settled", pl.col("kind") == "settlement"),
}


def market_figure() -> Figure:
    """Return the chart of any market without its numbers; YES dollars.

    It names the columns of `model.CHART_COLUMNS` and, of every kind of `MARKS`, ``time``, ``price``
    and ``text`` (what the fill did, in words) after the name of the kind.
    """
    return {
        "columns": {},
        "data": [AREA, *map(_observed, LINES), *map(_marks, MARKS)],
        "layout": {
            "height": 440,
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "xaxis": {"type": "date"},
            "yaxis": {"tickformat": "$.2f", "title": {"text": "Price of YES"}},
        },
    }


def _marks(name: str) -> dict[str, Any]:
    symbol, colour, _ = MARKS[name]
    outline = {"color": "--surface", "width": 1.5}
    return line(
        name,
        f"{name} time",
        f"{name} price",
        mode="markers",
        text=f"${name} text",
        marker={"symbol": symbol, "color": colour, "size": 12, "line": outline},
        hovertemplate="%{text}<extra></extra>",
    )


QUOTE = {
    "legendgroup": "quotes",
    "showlegend": False,
    "line": {"shape": "hv", "width": 1, "color": "--quote"},
}
LINES: Mapping[str, Mapping[str, Any]] = {
    "bid": {"name": "Bid", **QUOTE},
    "ask": {"name": "Ask", **QUOTE},
    "close": {
        "name": "Last trade",
        "mode": "markers",
        "marker": {"size": 4, "color": "--text", "opacity": 0.65},
    },
    "fair": {
        "name": "Stated probability",
        "mode": "markers",
        "marker": {"size": 6, "symbol": "circle-open", "color": "--band"},
    },
    "band_lower": {
        "name": "Signal band",
        "legendgroup": "band",
        "line": {"width": 1.2, "dash": "dash", "color": "--band"},
    },
    "band_upper": {
        "name": "Signal band",
        "legendgroup": "band",
        "showlegend": False,
        "line": {"width": 1.2, "dash": "dash", "color": "--band"},
    },
}


# Between bid and ask; the page's script builds the area from the two columns.
AREA = line(
    "Bid to ask",
    "time",
    "bid",
    between=["bid", "ask"],
    legendgroup="quotes",
    fill="toself",
    fillcolor="--quote-wash",
    line={"width": 0, "color": "--quote"},
    hoverinfo="skip",
)


def _observed(name: str) -> dict[str, Any]:
    look = LINES[name]
    return line(
        **{"name": look["name"], "x": "time", "y": name, **look},
        hovertemplate=f"{look['name']} %{{y:$.4~f}}<extra></extra>",
    )
