"""Where a row of quotes lies in the table of `longshot`: bands, cents and places in an array."""

import math
from itertools import pairwise

import polars as pl

from kalshi_bt.errors import UsageError

CENTS = 100


def limits(name: str, text: str) -> tuple[float, ...]:
    """Return rising numbers from text, separated by commas; none from empty text.

    Raises
    ------
    UsageError
        If it cannot be read so.

    Examples
    --------
    >>> limits("hours", "1, 24")
    (1.0, 24.0)
    """
    try:
        found = tuple(float(word) for word in text.split(",")) if text.strip() else ()
    except ValueError:
        found = (math.nan,)
    rising = all(early < late for early, late in pairwise(found))
    if not rising or not all(math.isfinite(number) for number in found):
        raise UsageError(f"{name} is {text!r}; expected rising numbers, such as 1,24")
    return found


def cut(value: pl.Expr, edges: tuple[float, ...]) -> tuple[pl.Expr, int]:
    """Return which band a value is in (the last one: not known), and how many bands there are."""
    if not edges:
        return pl.lit(0, pl.Int32), 1
    above = pl.sum_horizontal((value >= edge).cast(pl.Int32) for edge in edges)
    return pl.when(value.is_null()).then(len(edges) + 1).otherwise(above), len(edges) + 2


def cent_of(cost: pl.Expr) -> pl.Expr:
    """Return the nearest cent, half up."""
    return (cost * CENTS + 0.5 + 1e-9).floor().cast(pl.Int32)


def dense(table: pl.DataFrame, groups: list[str], bands: int) -> dict[str, pl.Series]:
    """Return columns of the table in the order of group, band, side and cent, null where absent."""
    places = {name: place for place, name in enumerate(groups)}
    group = pl.col("group").replace_strict(places, return_dtype=pl.Int32)
    at = table.with_columns(
        at=place_of(group, pl.col("band"), pl.col("side"), pl.col("cent"), bands)
    )
    every = pl.DataFrame({"at": range(len(groups) * bands * 2 * CENTS)}, schema={"at": pl.Int64})
    names = ("shift", "gap", "error", "visits", "confidence")
    full = every.join(at, on="at", how="left", maintain_order="left")
    return {name: full[name] for name in names}


def place_of(group: pl.Expr, band: pl.Expr, side: pl.Expr, cent: pl.Expr, bands: int) -> pl.Expr:
    """Return the place of a cell in an array of all; null where a part of it is."""
    row = (group.cast(pl.Int64) * bands + band) * 2 + (side > 0).cast(pl.Int64)
    return row * CENTS + cent
