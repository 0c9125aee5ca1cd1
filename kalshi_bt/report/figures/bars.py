"""Bars: one amount a name, how often which amount came, and how an amount becomes another."""

from collections.abc import Mapping, Sequence

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, Figure, amounts, plain
from kalshi_bt.report.wording import micro as money
from kalshi_bt.units import MONEY_SCALE

_BINS = 40


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


def luck_figure(drawn: Mapping[str, pl.Series], own: int) -> Figure:
    """Return how often runs of luck made how much, with what the run made marked.

    Parameters
    ----------
    drawn : mapping
        A name to the micro-dollars of its runs of luck; none of them empty.
    own : int
        Micro-dollars of the run.
    """
    every = pl.concat([*drawn.values(), pl.Series([own])]) / MONEY_SCALE
    low, high = float(every.min()), float(every.max())  # type: ignore[arg-type]
    width = (high - low) / _BINS or 1.0
    data = []
    for (name, amounts_), colour in zip(drawn.items(), ("--gain", "--loss"), strict=False):
        place = ((amounts_ / MONEY_SCALE - low) / width).cast(pl.Int64).clip(0, _BINS - 1)
        counts = place.value_counts().sort(place.name)
        data.append(
            {
                "type": "bar",
                "name": plain(name),
                "x": [round(low + (at + 0.5) * width, 4) for at in counts[place.name]],
                "y": counts["count"].to_list(),
                "width": width,
                "opacity": 0.55,
                "marker": {"color": colour},
                "hovertemplate": "%{y} around %{x:$,.2f}<extra></extra>",
            }
        )
    mark = own / MONEY_SCALE
    line = {"color": "--accent", "width": 2}
    said = {"yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False}
    return {
        "columns": {},
        "data": data,
        "layout": {
            "height": 280,
            "barmode": "overlay",
            "showlegend": True,
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": -0.2, "x": 0},
            "xaxis": DOLLARS,
            "yaxis": {"title": {"text": "Runs of luck"}},
            "shapes": [{"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": mark, "x1": mark,
                        "line": line}],
            "annotations": [{**said, "x": mark, "text": "this run"}],
        },
    }  # fmt: skip


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
