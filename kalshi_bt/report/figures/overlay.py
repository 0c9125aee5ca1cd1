"""Several runs in one figure."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from kalshi_bt.report.figures.columns import DOLLARS, POINTS, Figure, amounts, line, thin, times
from kalshi_bt.report.model import Run
from kalshi_bt.units import parse_money

# Told apart by dash and by colour, so that colour is not needed.
_COLOURS = ("--accent", "--loss", "--settled", "--band", "--total", "--quote")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def overlay_figure(runs: Mapping[str, Run]) -> Figure | None:
    """Return what every run won since its start, on one time axis; None if none traded.

    Parameters
    ----------
    runs : mapping
        Short name to run.
    """
    columns: dict[str, Any] = {}
    data = []
    for number, (name, run) in enumerate(runs.items()):
        if run.equity.is_empty():
            continue
        start = run.scores.get("initial_cash", {}).get("value")
        cash = run.equity["equity"][0] if start is None else parse_money(start)
        gain = run.equity.select("time", gain=pl.col("equity") - cash)
        gain = thin(gain, ["gain"], max(200, POINTS // len(runs)))
        columns |= {f"{name} time": times(gain["time"]), f"{name} gain": amounts(gain["gain"])}
        stroke = {
            "shape": "hv",
            "width": 1.6,
            "color": _COLOURS[number % len(_COLOURS)],
            "dash": _DASHES[(number + number // len(_COLOURS)) % len(_DASHES)],
        }
        data.append(
            line(name, f"{name} time", f"{name} gain", line=stroke, hovertemplate="%{y:$,.2f}")
        )
    if not data:
        return None
    return {
        "columns": columns,
        "data": data,
        "layout": {
            "height": 420,
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.08},
            "hovermode": "x unified",
            "xaxis": {"type": "date"},
            "yaxis": {**DOLLARS, "title": {"text": "Gain since the start"}},
        },
    }
