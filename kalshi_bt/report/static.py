"""A figure for paper: the one that people hover, drawn by Matplotlib, the same bytes each time.

It draws what the builders of `figures` use of Plotly, and nothing more.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from html import unescape
from io import BytesIO
from itertools import chain
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from kalshi_bt.report.figures.unpacked import colours

Axes = Any  # of Matplotlib, which types each of its many options
WIDTH: Final = 8.0  # inches
PIXELS: Final = 100  # of a Plotly figure to the inch
DASHES: Final = {"solid": "-", "dot": ":", "dash": "--"}
SIGNS: Final = {"circle": "o", "square-open": "s"}
# What would say when and by whom a file was made; what tells its parts apart.
UNDATED: Final[Mapping[str, Mapping[str, None]]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
LOOK: Final[dict[Any, Any]] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],  # which comes with Matplotlib
    "font.size": 9,
    "savefig.dpi": 150,
    "svg.hashsalt": "kalshi_bt",
    "text.parse_math": False,  # a dollar is a dollar
}


def look() -> AbstractContextManager[None]:
    """Return the settings of these figures in place of those of their reader."""
    kept = {"backend", "backend_fallback", "toolbar"}
    plain: dict[Any, Any] = {
        name: value for name, value in mpl.rcParamsDefault.items() if name not in kept
    }
    return mpl.rc_context({**plain, **LOOK})


class Static(Figure):
    """A figure of Matplotlib whose files depend on nothing but what it shows."""

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save it; see `matplotlib.figure.Figure.savefig`.

        Parameters
        ----------
        fname : path or file
            A path ends in ``.png``, ``.svg`` or ``.pdf``.
        **kwargs
            As there; `format` where `fname` is a file.
        """
        form = kwargs.get("format") or str(fname).rpartition(".")[2].lower()
        stamps = {**UNDATED.get(form, {}), **(kwargs.pop("metadata", None) or {})}
        with look():
            super().savefig(fname, metadata=stamps, **kwargs)

    def _repr_png_(self) -> bytes:
        page = BytesIO()
        self.savefig(page, format="png")
        return page.getvalue()


def drawn(spec: Mapping[str, Any], title: str) -> Static:
    """Return a figure drawn by Matplotlib.

    Parameters
    ----------
    spec : mapping
        ``data`` and ``layout`` as from `figures.unpacked.unpacked`.
    title : str
        Stands above it.

    Examples
    --------
    >>> spec = {"data": [{"type": "scatter", "mode": "lines", "name": "x", "x": [0.0, 1.0],
    ...                   "y": [1.0, 2.0]}], "layout": {"height": 300}}
    >>> drawn(spec, "two points").axes[0].lines[0].get_ydata().tolist()
    [1.0, 2.0]
    """
    layout, height = spec["layout"], spec["layout"]["height"] / PIXELS + 0.6
    with look():
        figure = Static(figsize=(WIDTH, height))
        figure.text(0.02, 1 - 0.25 / height, title, size=10, weight="bold", va="center")
        names = sorted({trace.get("yaxis", "y") for trace in spec["data"]}) or ["y"]
        axes = {name: _axes(figure, layout, name, height) for name in names}
        for number, trace in enumerate(spec["data"]):
            _DRAW[trace["type"]](axes[trace.get("yaxis", "y")], trace, spec, number)
        for name, axis in axes.items():
            _tick(axis, layout, name)
        _mark(axes["y"], layout)
        if layout.get("showlegend", len(spec["data"]) > 1):
            shown = [axis.get_legend_handles_labels() for axis in axes.values()]
            marks, words = (list(chain.from_iterable(part)) for part in zip(*shown, strict=True))
            above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "frameon": False}
            axes["y"].legend(marks, words, **above)
    return figure


def _axes(figure: Figure, layout: Mapping[str, Any], name: str, height: float) -> Axes:
    """Place an axis in its domain, above the room for the labels of x."""
    low, high = layout.get(name.replace("y", "yaxis"), {}).get("domain", (0, 1))
    foot, head = 0.75 / height, 1 - 0.75 / height
    place = (0.12, foot + low * (head - foot), 0.85, (high - low) * (head - foot))
    return figure.add_axes(place, sharex=figure.axes[0] if figure.axes else None)


def _numbers(values: Any) -> Any:
    return np.array(values, np.float64)


def _ink(colour: str) -> Any:
    """Return a colour of a style sheet as Matplotlib takes it."""
    found = re.fullmatch(r"rgba\((.+), (.+), (.+), (.+)\)", colour)
    if not found:
        return to_rgba(colour)
    *mixed, opacity = (float(part) for part in found.groups())
    return (*(part / 255 for part in mixed), opacity)


def _scatter(axis: Axes, trace: Mapping[str, Any], _spec: Any, number: int) -> None:
    line, y = trace.get("line", {}), _numbers(trace["y"])
    look: dict[str, Any] = {"zorder": 2 + number}
    if "lines" in trace["mode"]:
        look |= {"color": _ink(line.get("color", colours()["--accent"]))}
        look |= {"linewidth": line.get("width", 1), "linestyle": DASHES[line.get("dash", "solid")]}
        look |= {"drawstyle": "steps-post"} if line.get("shape") == "hv" else {}
    else:
        look |= {"linestyle": "none"}
    if "markers" in trace["mode"]:
        sign = trace["marker"]
        hollow = "white" if sign["symbol"].endswith("open") else _ink(sign["color"])
        look |= {"marker": SIGNS[sign["symbol"]], "markersize": 0.6 * sign["size"]}
        look |= {"markeredgecolor": _ink(sign["color"]), "markerfacecolor": hollow}
    named = trace.get("showlegend", True) and trace.get("name")
    axis.plot(trace["x"], y, label=trace["name"] if named else "_none", **look)
    if trace.get("fill") == "tozeroy":
        step = "post" if line.get("shape") == "hv" else None
        axis.fill_between(trace["x"], y, step=step, color=_ink(trace["fillcolor"]), linewidth=0)
    if "error_y" in trace:
        spread = trace["error_y"]
        ends = [spread["arrayminus"], spread["array"]]
        axis.errorbar(trace["x"], y, ends, fmt="none", ecolor=_ink(spread["color"]), capsize=2)


def _bar(axis: Axes, trace: Mapping[str, Any], spec: Mapping[str, Any], number: int) -> None:
    below = spec["data"][:number] if spec["layout"].get("barmode") == "stack" else []
    foot = sum((_numbers(other["y"]) for other in below), np.zeros(len(trace["y"])))
    fill = trace["marker"]["color"]
    ink = [_ink(colour) for colour in ([fill] if isinstance(fill, str) else fill)]
    width = 1 - spec["layout"].get("bargap", 0.2)
    label = trace.get("name", "_none")
    axis.bar(trace["x"], _numbers(trace["y"]), width, foot, color=ink, label=label)


def _waterfall(axis: Axes, trace: Mapping[str, Any], _spec: Any, _number: int) -> None:
    """Draw each step from where the one before it ended; a total stands on zero."""
    level = 0.0
    parts = zip(trace["x"], trace["y"], trace["measure"], trace["text"], strict=True)
    for name, amount, measure, text in parts:
        foot = level if measure == "relative" else 0.0
        level = foot + amount
        way = "totals" if measure == "total" else "increasing" if amount >= 0 else "decreasing"
        axis.bar([name], [amount], 0.8, [foot], color=_ink(trace[way]["marker"]["color"]))
        place = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "size": 8}
        axis.annotate(text, (name, max(foot, level)), **place)


def _heatmap(axis: Axes, trace: Mapping[str, Any], _spec: Any, _number: int) -> None:
    shades = LinearSegmentedColormap.from_list(
        "signed", [(at, _ink(ink)) for at, ink in trace["colorscale"]]
    )
    cells = np.ma.masked_invalid(_numbers(trace["z"]))
    ends = {"vmin": trace["zmin"], "vmax": trace["zmax"]}
    across, down = (np.arange(len(trace[side]) + 1) - 0.5 for side in "xy")
    drawn_cells = axis.pcolormesh(across, down, cells, cmap=shades, edgecolors="white", **ends)
    axis.set_xticks(range(len(trace["x"])), trace["x"], size=7)
    axis.set_yticks(range(len(trace["y"])), trace["y"])
    key = axis.figure.colorbar(drawn_cells, ax=axis, format=FuncFormatter(_dollars), pad=0.01)
    key.set_ticks([trace["zmin"], trace["zmax"]])


_DRAW: Final = {"scatter": _scatter, "bar": _bar, "waterfall": _waterfall, "heatmap": _heatmap}


def _dollars(amount: float, _place: Any = None) -> str:
    text = f"{abs(amount):,.2f}".removesuffix(".00")
    return f"{'−' if amount < 0 else ''}${text}"


def _formatter(axis: Mapping[str, Any]) -> FuncFormatter | None:
    form, after = axis.get("tickformat", ""), axis.get("ticksuffix", "")
    if form.startswith("$"):
        return FuncFormatter(_dollars)
    if form.endswith("%"):
        return FuncFormatter(lambda share, _: f"{share:.0%}")
    log = axis.get("type") == "log"  # whose own labels are formulas
    return FuncFormatter(lambda value, _: f"{value:g}{after}") if after or log else None


def _tick(axis: Axes, layout: Mapping[str, Any], name: str) -> None:
    """Scale and label both sides of an axis; only the anchored one carries the labels of x."""
    told = {"x": layout.get("xaxis", {}), "y": layout.get(name.replace("y", "yaxis"), {})}
    for side, wanted in told.items():
        own = getattr(axis, f"{side}axis")
        if wanted.get("visible") is False:
            own.set_visible(False)
        axis.set(**{f"{side}label": unescape(wanted.get("title", {}).get("text", ""))})
        if wanted.get("type") == "log":
            axis.set(**{f"{side}scale": "log"})
        if "range" in wanted:
            axis.set(**{f"{side}lim": wanted["range"]})
        if shown := _formatter(wanted):
            own.set_major_formatter(shown)
    if told["x"].get("type") == "date":
        places = AutoDateLocator()  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(places)
        words = ConciseDateFormatter(places)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_formatter(words)
    if told["y"].get("autorange") == "reversed":
        axis.invert_yaxis()
    elif told["x"].get("visible", True):
        axis.grid(axis="y", color=colours()["--grid"])
        axis.set_axisbelow(True)
    if told["x"].get("anchor", "y") != name:
        axis.tick_params(labelbottom=False)
        axis.set_xlabel("")


def _mark(axis: Axes, layout: Mapping[str, Any]) -> None:
    """Draw the levels across a figure, and the words in it."""
    for shape in layout.get("shapes", ()):
        line = shape["line"]
        axis.axhline(shape["y0"], color=_ink(line["color"]), ls=DASHES[line["dash"]], lw=1)
    for said in layout.get("annotations", ()):
        whole = said.get("yref") == "paper"
        where = axis.transAxes if whole else axis.get_yaxis_transform()
        log = layout.get("yaxis", {}).get("type") == "log" and not whole
        y = 10.0 ** said["y"] if log else said["y"]
        spot = {"ha": "center", "va": "center"} if whole else {"ha": "left", "va": "bottom"}
        axis.text(said["x"], y, unescape(said["text"]), transform=where, wrap=True, **spot)
