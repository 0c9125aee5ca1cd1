"""What figures are made of: thinned rows, packed columns, lines."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import polars as pl

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


def times(column: pl.Series) -> dict[str, Any]:
    """Return UTC times packed as milliseconds since 1970, which is how Plotly takes them."""
    return packed(column.dt.epoch("ms"))


def prices(column: pl.Series) -> dict[str, Any]:
    """Return dollars a contract packed as centi-cents; null stays null."""
    return packed((column * PRICE_SCALE).round(), PRICE_SCALE)


def amounts(micro: pl.Series) -> dict[str, Any]:
    """Return micro-dollars packed as dollars, to the nearest cent."""
    return packed((micro.cast(pl.Int64) + CENT // 2) // CENT, MONEY_SCALE // CENT)


def line(name: str, x: str, y: str, **rest: Any) -> dict[str, Any]:
    """Return a line through two packed columns."""
    return {"type": "scatter", "mode": "lines", "name": name, "x": f"${x}", "y": f"${y}", **rest}
