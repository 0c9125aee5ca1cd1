"""A figure as plain Plotly, its columns and colours in place: what the page's script does."""

import re
from base64 import b64decode
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from kalshi_bt.report.figures.columns import Figure

_PALETTE = ":root[data-theme"  # what stands before it in the style sheet is the light one


@cache
def colours() -> dict[str, str]:
    """Return the light colours of the page by the name of their CSS variable.

    Examples
    --------
    >>> colours()["--gain"]
    '#0072b2'
    """
    style = (files("kalshi_bt.report") / "templates" / "page.css").read_text(encoding="utf-8")
    return dict(re.findall(r"(--[\w-]+): ([^;]+);", style.partition(_PALETTE)[0]))


def unpacked(figure: Figure) -> dict[str, Any]:
    """Return ``data`` and ``layout`` with numbers and colours where a figure names them.

    Parameters
    ----------
    figure : Figure
        As the builders of this package make it, without a `between`.

    Returns
    -------
    dict
        Amounts are dollars; on an axis of dates x is datetime64 in milliseconds, UTC; a number
        that is not known is None.

    Examples
    --------
    >>> spec = {"columns": {"t": {"steps": "AQM=", "per": 1, "times": 60_000}},
    ...         "data": [{"x": "$t", "line": {"color": "--gain"}}],
    ...         "layout": {"xaxis": {"type": "date"}}}
    >>> trace, = unpacked(spec)["data"]
    >>> trace["x"][1], trace["line"]
    (np.datetime64('1970-01-01T00:01:00.000'), {'color': '#0072b2'})
    """
    columns = {name: _sums(column) for name, column in figure["columns"].items()}
    layout = _placed(figure["layout"], columns)
    data = [_placed(trace, columns) for trace in figure["data"]]
    if layout.get("xaxis", {}).get("type") == "date":
        for trace in data:
            trace["x"] = np.array(trace["x"], np.int64).astype("datetime64[ms]")
    return {"data": data, "layout": layout}


def _sums(column: dict[str, Any]) -> list[float | None]:
    """Undo `columns.packed`."""
    total, found = 0, list[float | None]()
    code, place = 0, 0
    for octet in b64decode(column["steps"]):
        code += (octet & 127) << place
        place += 7
        if octet > 127:
            continue
        total += (code // 2 if code % 2 else -(code // 2)) * column["times"]
        found.append(total / column["per"] if code else None)
        code = place = 0
    return found


def _placed(node: Any, columns: dict[str, list[float | None]], key: str = "") -> Any:
    if key in {"x", "y"} and isinstance(node, str) and node.startswith("$"):
        return columns[node[1:]]
    if re.search(r"color(scale)?$", key):
        return _coloured(node)
    if isinstance(node, list):
        return [_placed(item, columns) for item in node]
    if isinstance(node, dict):
        return {name: _placed(item, columns, name) for name, item in node.items()}
    return node


def _coloured(node: Any) -> Any:
    if isinstance(node, list):
        return [_coloured(item) for item in node]
    return colours()[node] if isinstance(node, str) and node.startswith("--") else node
