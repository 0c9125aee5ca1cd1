"""A run as a cell of a notebook shows it: verdict, headline numbers, a small path of equity."""

import polars as pl

from kalshi_bt.report.figures import thin
from kalshi_bt.report.html import filled
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.headline import headline

WIDTH, HEIGHT, EDGE = 480, 90, 2  # of the path, in pixels
POINTS = 300


def render_inline(run: Run) -> str:
    """Return a run as a fragment of HTML, without a script and with nothing to fetch.

    Parameters
    ----------
    run : Run
        What is shown; every text of it is escaped.
    """
    return filled("inline.html.j2", run=run, v=headline(run).values, path=_path(run.equity),
                  width=WIDTH, height=HEIGHT)  # fmt: skip


def _path(equity: pl.DataFrame) -> str:
    """Return equity over time as the corners of a line of steps, empty where there is none."""
    rows = thin(equity.select("time", "equity"), ["equity"], POINTS)
    at, level = (rows[name].cast(pl.Int64).cast(pl.Float64) for name in ("time", "equity"))
    if rows.height < 2 or at[0] == at[-1]:
        return ""
    low, high = float(level.min()), float(level.max())  # type: ignore[arg-type]
    across = (at - at[0]) / (at[-1] - at[0]) * WIDTH
    down = EDGE + (high - level) / (high - low or 1.0) * (HEIGHT - 2 * EDGE)
    corners, before = [], down[0]
    for x, y in zip(across, down, strict=True):
        corners += [f"{x:.1f},{before:.1f}", f"{x:.1f},{y:.1f}"]
        before = y
    return " ".join(corners)
