"""One market: quotes, trades, the levels of the signal, own fills."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from kalshi_bt.report.figures.columns import (
    POINTS,
    Figure,
    line,
    packed,
    plain,
    prices,
    thin,
    times,
)
from kalshi_bt.report.model import CHART_COLUMNS
from kalshi_bt.report.wording import cents, contracts
from kalshi_bt.report.wording import micro as money
from kalshi_bt.units import PRICE_SCALE

MARKS = {
    "Buy YES": ("triangle-up", "--gain", (pl.col("leg") == "entry") & (pl.col("quantity") > 0)),
    "Buy NO": ("triangle-down", "--loss", (pl.col("leg") == "entry") & (pl.col("quantity") < 0)),
    "Exit": ("diamond", "--total", (pl.col("leg") == "exit") & (pl.col("kind") == "trade")),
    "Settlement": ("star", "--settled", pl.col("kind") == "settlement"),
}


def market_figure(chart: pl.DataFrame, fills: pl.DataFrame, points: int = POINTS) -> Figure:
    """Return one market: quotes as a band, trades, signal bands, own fills; YES dollars.

    Parameters
    ----------
    chart : polars.DataFrame
        time, bid, ask, close, perhaps band_lower and band_upper: dollars, null where unknown.
    fills : polars.DataFrame
        Fills of this market, all of them drawn.
    points : int
        Rows of the chart to keep at most.
    """
    names = [name for name in CHART_COLUMNS if name in chart.columns]
    observed = [name for name in names if not name.startswith("band")]
    chart = chart.select("time", pl.col(names).cast(pl.Float64).fill_nan(None))
    rows = thin(chart, observed, points)
    figure: Figure = {
        "columns": {"time": times(rows["time"])} | {name: prices(rows[name]) for name in names},
        "data": [
            *_spread(names),
            *(_observed(n) for n in names if rows[n].null_count() < rows.height),
        ],
        "layout": {
            "height": 440,
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "xaxis": {"type": "date"},
            "yaxis": {"tickformat": "$.2f", "title": {"text": "Price of YES"}},
        },
    }
    for mark, (symbol, colour, which) in MARKS.items():
        _add_marks(figure, fills.filter(which), mark, {"symbol": symbol, "color": colour})
    return figure


def _add_marks(figure: Figure, fills: pl.DataFrame, name: str, marker: dict[str, Any]) -> None:
    if fills.is_empty():
        return
    at, price = f"{name} time", f"{name} price"
    figure["columns"] |= {at: times(fills["time"]), price: packed(fills["price"], PRICE_SCALE)}
    outline = {"color": "--surface", "width": 1.5}
    figure["data"].append(
        line(
            name,
            at,
            price,
            mode="markers",
            text=[_fill_text(fill) for fill in fills.iter_rows(named=True)],
            marker={**marker, "size": 12, "line": outline},
            hovertemplate="%{text}<extra></extra>",
        )
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


def _spread(names: Sequence[str]) -> list[dict[str, Any]]:
    """Fill between bid and ask; the page's script builds the area from the two columns."""
    if not {"bid", "ask"} <= set(names):
        return []
    area = line(
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
    return [area]


def _observed(name: str) -> dict[str, Any]:
    look = LINES[name]
    return line(
        **{"name": look["name"], "x": "time", "y": name, **look},
        hovertemplate=f"{look['name']} %{{y:$.4~f}}<extra></extra>",
    )


def _fill_text(fill: Mapping[str, Any]) -> str:
    """Say what a fill did on the side that is held: NO bought, not YES sold."""
    entry, buys_yes = fill["leg"] == "entry", fill["quantity"] > 0
    yes = buys_yes == entry
    price = cents(fill["price"] if yes else PRICE_SCALE - fill["price"])
    verb = "Bought" if entry else "Settled" if fill["kind"] == "settlement" else "Sold"
    what = f"{verb} {contracts(fill['quantity'])} {'YES' if yes else 'NO'} at {price}"
    return f"{what}<br>" + plain(f"{fill['reason']}, {fill['role']}, fee {money(fill['fee'])}")
