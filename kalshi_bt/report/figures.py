"""Figures as plain Plotly specifications, small enough to be many in one page.

A figure is ``{"columns", "data", "layout"}``. Numbers stand once in `columns`, as differences of
integers; a trace names a column by ``"$name"``. A colour is the name of a CSS variable such as
``"--gain"``, so that one specification serves light and dark. `between` names two columns whose
gap a trace fills. The page's script resolves all three.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.report.model import CHART_COLUMNS
from kalshi_bt.report.wording import cents, contracts
from kalshi_bt.report.wording import micro as money
from kalshi_bt.units import CENT, MONEY_SCALE, PRICE_SCALE

Figure = dict[str, Any]

POINTS = 4_000  # of one line
DOLLARS = {"tickformat": "$,.2~f"}


def plain(text: str) -> str:
    """Return text that Plotly shows as it is, tags and all.

    Examples
    --------
    >>> plain("<b>no</b>")
    '&lt;b&gt;no&lt;/b&gt;'
    """
    return escape(text, quote=False)


def thin(frame: pl.DataFrame, columns: Sequence[str], points: int = POINTS) -> pl.DataFrame:
    """Return at most about `points` rows that keep every peak, trough and gap of `columns`.

    Rows are cut into equal runs; of each run the first lowest, first highest and first null row of
    every column stay, and the first and last row of the frame.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows in order.
    columns : sequence of str
        Numeric columns whose shape must survive.
    points : int
        Rows aimed at; a frame that is not longer is returned as it is.

    Examples
    --------
    >>> wave = pl.DataFrame({"y": [0, 9, 0, 0, 0, 0, 0, -9, 0, 0, 0, 0]})
    >>> thin(wave, ["y"], points=6)["y"].to_list()
    [0, 9, 0, -9, 0]
    """
    if frame.height <= points:
        return frame
    runs = max(1, points // (3 * len(columns)))
    numbered = frame.select(columns).with_row_index("row")
    run = (pl.col("row").cast(pl.Int64) * runs // frame.height).alias("run")
    landmarks = [mark for name in columns for mark in _landmarks(name)]
    kept = numbered.group_by(run).agg(landmarks).drop("run")
    rows = {row for line in kept.rows() for row in line if row is not None}
    return frame[sorted(rows | {0, frame.height - 1})]


def _landmarks(name: str) -> list[pl.Expr]:
    """First lowest, first highest and first null row of a column within a group."""
    column, row = pl.col(name), pl.col("row")
    return [
        row.filter(column == column.min()).first().alias(f"{name} low"),
        row.filter(column == column.max()).first().alias(f"{name} high"),
        row.filter(column.is_null()).first().alias(f"{name} null"),
    ]


def packed(values: pl.Series, per: int = 1) -> dict[str, Any]:
    """Return integers as differences from the last known one: short to write, exact to read.

    Parameters
    ----------
    values : polars.Series
        Integers; null stays null.
    per : int
        What to divide the integers by when they are read.

    Examples
    --------
    >>> packed(pl.Series([5_000, 5_100, None, 5_100]), per=10_000)
    {'steps': [5000, 100, None, 0], 'per': 10000, 'times': 1}
    """
    values = values.cast(pl.Int64)
    steps = values - values.forward_fill().shift(1).fill_null(0)
    common = int(np.gcd.reduce(steps.drop_nulls().to_numpy())) or 1 if per == 1 else 1
    return {"steps": (steps // common).to_list(), "per": per, "times": common}


def _times(column: pl.Series) -> dict[str, Any]:
    """Milliseconds since 1970, which is how Plotly takes a UTC time."""
    return packed(column.dt.epoch("ms"))


def _prices(column: pl.Series) -> dict[str, Any]:
    return packed((column * PRICE_SCALE).round(), PRICE_SCALE)


def _cents(amounts: pl.Series) -> dict[str, Any]:
    """Dollars from micro-dollars, to the nearest cent."""
    return packed((amounts.cast(pl.Int64) + CENT // 2) // CENT, MONEY_SCALE // CENT)


def _scatter(name: str, x: str, y: str, **rest: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": f"${x}", "y": f"${y}", **rest}


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
    above = _scatter(
        "Equity", "time", "equity", line={**steps, "width": 1.6, "color": "--accent"}, **hover
    )
    below = _scatter(
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
            "time": _times(path["time"]),
            "equity": _cents(path["equity"]),
            "fall": _cents(path["fall"]),
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


def bars_figure(
    names: Sequence[str], pnl: Sequence[int], hover: Sequence[str], title: str
) -> Figure:
    """Return one bar of P&L (micro-dollars) a name, coloured by its sign."""
    return {
        "columns": {"pnl": _cents(pl.Series(pnl, dtype=pl.Int64))},
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
        "columns": {"amount": _cents(pl.Series([amount for _, amount, _ in steps]))},
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
        "columns": {"time": _times(rows["time"])} | {name: _prices(rows[name]) for name in names},
        "data": [*_spread(names), *(_line(n) for n in names if rows[n].null_count() < rows.height)],
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
    figure["columns"] |= {at: _times(fills["time"]), price: packed(fills["price"], PRICE_SCALE)}
    outline = {"color": "--surface", "width": 1.5}
    figure["data"].append(
        _scatter(
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
    area = _scatter(
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


def _line(name: str) -> dict[str, Any]:
    look = LINES[name]
    return _scatter(
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
