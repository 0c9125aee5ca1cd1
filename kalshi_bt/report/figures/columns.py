"""What figures are made of: thinned rows, packed columns, lines."""

from base64 import b64encode
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


def thin(
    frame: pl.DataFrame, columns: Sequence[str], points: int = POINTS, by: str | None = None
) -> pl.DataFrame:
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
    by : str, optional
        Column of groups, each of which is thinned as if it were a frame of its own.

    Examples
    --------
    >>> wave = pl.DataFrame({"y": [0, 9, 0, 0, 0, 0, 0, -9, 0, 0, 0, 0]})
    >>> thin(wave, ["y"], points=6)["y"].to_list()
    [0, 9, 0, -9, 0]
    """
    runs = max(1, points // (3 * len(columns)))
    whole = pl.lit(0).alias("group") if by is None else pl.col(by).alias("group")
    place, height = (e.over("group") for e in (pl.int_range(pl.len()), pl.len().cast(pl.Int64)))
    numbered = frame.select(*columns, whole).with_row_index("row")
    numbered = numbered.with_columns(place=place, height=height)
    long = numbered.filter(pl.col("height") > points)
    if long.is_empty():
        return frame
    run = (pl.col("place") * runs // pl.col("height")).alias("run")
    landmarks = [mark for name in columns for mark in _landmarks(name)]
    kept = long.group_by("group", run).agg(landmarks).drop("group", "run")
    rows = {row for line in kept.rows() for row in line if row is not None}
    place, height = pl.col("place"), pl.col("height")
    rows |= set(numbered.filter((place == 0) | (place == height - 1) | (height <= points))["row"])
    return frame[sorted(rows)]


def _landmarks(name: str) -> list[pl.Expr]:
    """First lowest, first highest and first null row of a column within a group."""
    column, row = pl.col(name), pl.col("row")
    return [
        row.filter(column == column.min()).first().alias(f"{name} low"),
        row.filter(column == column.max()).first().alias(f"{name} high"),
        row.filter(column.is_null()).first().alias(f"{name} null"),
    ]


def packed(values: pl.Series | Sequence[int | None], per: int = 1) -> dict[str, Any]:
    """Return integers as differences from the last known one: short to write, exact to read.

    Parameters
    ----------
    values : polars.Series or sequence of int
        Integers; null stays null.
    per : int
        What to divide the integers by when they are read.

    Returns
    -------
    dict
        ``steps``: the differences in units of ``times``, in base 64, each as one number (0: null;
        1, 2, 3, 4, 5: 0, -1, 1, -2, 2 and so on) of seven bits a byte, the lowest first, the
        eighth bit set in all its bytes but the last (LEB128, as in DWARF 5, section 7.6).

    Examples
    --------
    >>> packed(pl.Series([5_000, 5_100, None, 5_100]), per=10_000)
    {'steps': 'ZQMAAQ==', 'per': 10000, 'times': 100}
    """
    codes, times = _codes(values)
    octets = np.zeros((codes.size, 10), np.uint8)
    lengths = _lengths(codes)
    for place in range(int(lengths.max(initial=0))):
        more = (lengths > place + 1) * 128
        octets[:, place] = (codes >> np.uint64(7 * place) & np.uint64(127)) + more
    written = octets[np.arange(10) < lengths[:, None]]
    return {"steps": b64encode(written.tobytes()).decode(), "per": per, "times": times}


def room(values: pl.Series) -> pl.Series:
    """Return about how many characters each of the integers takes when they are `packed`."""
    return pl.Series(values.name, _lengths(_codes(values)[0]) * 4 / 3)


def _codes(values: pl.Series | Sequence[int | None]) -> tuple[Any, int]:
    """Return one natural number a value, and the unit of the differences."""
    values = pl.Series(values, dtype=pl.Int64)
    steps = values - values.forward_fill().shift(1).fill_null(0)
    known = steps.fill_null(0).to_numpy()
    common = int(np.gcd.reduce(known)) or 1 if known.size else 1
    known = known // common
    codes = np.where(known < 0, -2 * known, 2 * known + 1)
    return np.where(steps.is_null().to_numpy(), 0, codes).astype(np.uint64), common


def _lengths(codes: Any) -> Any:
    """Return how many bytes of seven bits each number takes."""
    return 1 + sum((codes >> np.uint64(7 * place) > 0).astype(np.int64) for place in range(1, 9))


def times(column: pl.Series) -> dict[str, Any]:
    """Return UTC times packed as milliseconds since 1970, which is how Plotly takes them."""
    return packed(column.dt.epoch("ms"))


def prices(column: pl.Series) -> dict[str, Any]:
    """Return dollars a contract packed as centi-cents; null stays null."""
    return packed((column * PRICE_SCALE).round().cast(pl.Int64), PRICE_SCALE)


def amounts(micro: pl.Series) -> dict[str, Any]:
    """Return micro-dollars packed as dollars, to the nearest cent."""
    return packed((micro.cast(pl.Int64) + CENT // 2) // CENT, MONEY_SCALE // CENT)


def line(name: str, x: str, y: str, **rest: Any) -> dict[str, Any]:
    """Return a line through two packed columns."""
    return {"type": "scatter", "mode": "lines", "name": name, "x": f"${x}", "y": f"${y}", **rest}
