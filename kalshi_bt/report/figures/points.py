"""Points with what is uncertain about them: calibration, edge by price, mark-outs, evidence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, Figure, amounts, plain, thin, times

CENTS = {"ticksuffix": "¢", "tickformat": ",.3~f", "zeroline": True}
KEY = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
SIGNAL = {"symbol": "circle", "color": "--gain", "size": 10}
PRICE = {"symbol": "square-open", "color": "--loss", "size": 10}
LIMIT = {"color": "--loss", "width": 1, "dash": "dash"}
ENOUGH = 20  # evidence at 5 %, whenever one looks
LOOKS = {"signal": SIGNAL, "price": PRICE, "taker": SIGNAL, "maker": PRICE}


def bounded(
    name: str, x: Sequence[Any], y: Sequence[float | None], low: Sequence[float | None],
    high: Sequence[float | None], **rest: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return points with an interval each; null where a point has none."""
    look = rest.pop("marker")
    down = [_gap(a, b) for a, b in zip(y, low, strict=True)]
    up = [_gap(b, a) for a, b in zip(y, high, strict=True)]
    bars: dict[str, Any] = {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
    bars |= {"color": look["color"], "thickness": 1.5, "width": 4}
    points: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(x),
        "y": list(y),
    }
    return {**points, "marker": look, "error_y": bars, **rest}


def _gap(above: float | None, below: float | None) -> float:
    return 0.0 if above is None or below is None else round(above - below, 6)


def reliability_figure(found: Mapping[str, pl.DataFrame], hover: Mapping[str, list[str]]) -> Figure:
    """Return observed frequency against forecast, of the signal and of the price.

    Parameters
    ----------
    found : mapping
        ``signal`` and ``price`` to their rows of the table of the run.
    hover : mapping
        The same names to a text a row.
    """
    ideal: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "hoverinfo": "skip",
    }
    ideal |= {"showlegend": False, "line": {"color": "--faint", "width": 1, "dash": "dot"}}
    data = [ideal]
    for name, rows in found.items():
        if rows.is_empty():
            continue
        x, y, low, high = (
            rows[c].round(4).to_list()
            for c in ("mean_forecast", "hit_rate", "cluster_low", "cluster_high")
        )
        text = {"text": [plain(t) for t in hover[name]], "hovertemplate": "%{text}<extra></extra>"}
        data.append(bounded(name.capitalize(), x, y, low, high, marker=LOOKS[name], **text))
    axis = {"range": [-0.03, 1.03], "dtick": 0.2, "tickformat": ".0%"}
    return {
        "columns": {},
        "data": data,
        "layout": {
            "height": 420,
            "legend": KEY,
            "hovermode": "closest",
            "xaxis": {**axis, "title": {"text": "Stated probability"}},
            "yaxis": {**axis, "title": {"text": "How often it came true"}},
        },
    }


def edge_figure(groups: pl.DataFrame, names: Sequence[str], hover: Sequence[str]) -> Figure:
    """Return P&L by entry price above the edge expected and the edge that came, a contract.

    Parameters
    ----------
    groups : polars.DataFrame
        As from `tallies.tally`, a row a name, null where nothing was traded.
    names, hover : sequence of str
        The buckets in order, and a text for each.
    """
    pnl = groups["pnl"].fill_null(0)
    text = {
        "customdata": [plain(t) for t in hover],
        "hovertemplate": "%{x}¢<br>%{customdata}<extra></extra>",
    }
    bars = {"type": "bar", "x": list(names), "y": "$pnl", "showlegend": False, **text}
    bars["marker"] = {"color": ["--gain" if value >= 0 else "--loss" for value in pnl]}
    edges = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name.capitalize(),
            "x": list(names),
            "y": (100 * groups[name]).round(3).to_list(),
            "yaxis": "y2",
            "marker": look,
            **text,
        }
        for name, look in (("expected", PRICE), ("realised", SIGNAL))
        if groups[name].null_count() < groups.height
    ]
    told = bool(edges)
    lower = {"yaxis2": {**CENTS, "domain": [0, 0.4], "title": {"text": "Edge a contract"}}}
    across = {"type": "category", "showgrid": False, "title": {"text": "Entry price, ¢"}}
    return {
        "columns": {"pnl": amounts(pnl)},
        "data": [bars, *edges],
        "layout": {
            "height": 440 if told else 300,
            "bargap": 0.25,
            "legend": KEY,
            "hovermode": "closest",
            "xaxis": {**across, "anchor": "y2" if told else "y"},
            "yaxis": {**DOLLARS, "domain": [0.5 if told else 0, 1], "title": {"text": "P&L"}},
            **(lower if told else {}),
        },
    }


def markout_figure(
    names: Sequence[str], means: Mapping[str, Sequence[Mapping[str, float | int | None]]]
) -> Figure:
    """Return the mean mark-out after each time, by role, with its interval.

    Parameters
    ----------
    names : sequence of str
        Times after the fill, in order.
    means : mapping
        Role to what `markouts.mean_by_event` found for each.
    """
    data = []
    for role, found in means.items():
        y, low, high = ([_cents(row[key]) for row in found] for key in ("mean", "low", "high"))
        if all(value is None for value in y):
            continue
        shown: dict[str, Any] = {"hovertemplate": f"{role} %{{x}}<br>%{{y:.2f}}¢<extra></extra>"}
        shown |= {"mode": "lines+markers", "line": {"color": LOOKS[role]["color"], "width": 1}}
        data.append(bounded(role.capitalize(), names, y, low, high, marker=LOOKS[role], **shown))
    return {
        "columns": {},
        "data": data,
        "layout": {
            "height": 320,
            "legend": KEY,
            "hovermode": "closest",
            "xaxis": {"type": "category", "showgrid": False, "title": {"text": "After the fill"}},
            "yaxis": {**CENTS, "title": {"text": "Mid less price paid"}},
        },
    }


def _cents(dollars: float | None) -> float | None:
    return None if dollars is None else round(100 * dollars, 4)


def slippage_figure(counts: pl.DataFrame) -> Figure:
    """Return contracts by slippage, one bar a role; see `markouts.slippage_counts`."""
    data = [
        {
            "type": "bar",
            "name": role.capitalize(),
            "x": counts["cents"].to_list(),
            "y": counts[role].round(2).to_list(),
            "marker": {"color": LOOKS[role]["color"]},
            "hovertemplate": f"{role} %{{x}}¢<br>%{{y:,.2~f}} contracts<extra></extra>",
        }
        for role in ("taker", "maker")
        if counts[role].sum()
    ]
    return {
        "columns": {},
        "data": data,
        "layout": {
            "height": 320,
            "barmode": "stack",
            "bargap": 0.15,
            "legend": KEY,
            "showlegend": True,
            "hovermode": "closest",
            "xaxis": {
                "ticksuffix": "¢",
                "range": [min(-2, *counts["cents"]) - 0.6, max(2, *counts["cents"]) + 0.6],
                "title": {"text": "Paid beyond the quote"},
            },
            "yaxis": {"title": {"text": "Contracts"}},
        },
    }


def evidence_figure(path: pl.DataFrame) -> Figure:
    """Return the wealth of a bettor against "no edge after costs", on a logarithmic scale.

    Parameters
    ----------
    path : polars.DataFrame
        time, wealth (1 at the start; drawn between a millionth and a million millions).
    """
    rows = thin(path.with_columns(pl.col("wealth").clip(1e-6, 1e12)), ["wealth"])
    across = {"xref": "paper", "x0": 0, "x1": 1, "y0": ENOUGH, "y1": ENOUGH}
    said = {"xref": "paper", "x": 0, "y": math.log10(ENOUGH), "yanchor": "bottom"}
    drawn: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": "$time"}
    drawn |= {"y": [float(f"{wealth:.4g}") for wealth in rows["wealth"]]}
    drawn |= {"line": {"shape": "hv", "width": 1.6, "color": "--accent"}}
    return {
        "columns": {"time": times(rows["time"])},
        "data": [{**drawn, "hovertemplate": "%{x|%Y-%m-%d}<br>%{y:.3~g}<extra></extra>"}],
        "layout": {
            "height": 280,
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": {"type": "date"},
            "yaxis": {"type": "log", "dtick": 1, "title": {"text": "Evidence of an edge"}},
            "shapes": [{**across, "type": "line", "line": LIMIT}],
            "annotations": [{**said, "text": f"{ENOUGH}", "showarrow": False}],
        },
    }
