"""The first opinion in which two answers differ."""

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.subject import KEY

TOLERANCE = 1e-9  # dollars: what running sums lose is far smaller, what anybody trades far larger
Mask = NDArray[np.bool_]


def moved(before: pl.Series, after: pl.Series, tolerance: float = TOLERANCE) -> Mask:
    """Return where two columns differ; null is not NaN, and floats may differ by rounding.

    Examples
    --------
    >>> moved(pl.Series([1.0, None, 0.5]), pl.Series([1.0, 0.5, 0.5 + 1e-12]))
    array([False,  True, False])
    """
    if before.dtype != pl.Float64 or after.dtype != pl.Float64:
        return ~before.eq_missing(after).to_numpy()
    a, b = before.to_numpy(), after.to_numpy()  # null is NaN here
    with np.errstate(invalid="ignore"):
        same: Mask = (a == b) | (np.abs(a - b) <= tolerance) | (np.isnan(a) & np.isnan(b))
    if before.null_count() or after.null_count():
        same &= before.is_null().to_numpy() == after.is_null().to_numpy()
    return ~same


def first_moved(
    check: str,
    change: str,
    before: pl.DataFrame,
    after: pl.DataFrame,
    columns: list[str],
    *,
    rows: Mask | None = None,
    tolerance: float = TOLERANCE,
) -> Finding | None:
    """Return the earliest opinion that moved between two answers about the same bars.

    Parameters
    ----------
    check, change : str
        Of the finding.
    before, after : frame (ticker, time, the signal's columns)
        Row by row about the same bars; answers whose bars differ are a finding themselves.
    columns : list of str
        Those to compare; one that only one answer has is a finding where the other says something.
    rows : bool (n,), optional
        Where a difference counts; everywhere without.
    tolerance : float
        By how much floats may differ.
    """
    strange = rows_differ(check, change, before, after)
    if strange is not None:
        return strange
    masks = {}
    for name in columns:
        mask = moved(_column(before, name, after), _column(after, name, before), tolerance)
        masks[name] = mask if rows is None else mask & rows
    anywhere = np.logical_or.reduce(list(masks.values()))
    at = np.flatnonzero(anywhere)
    if not at.size:
        return None
    order = before.select(*KEY).with_row_index()[at].sort("time", "ticker")
    row = int(order["index"][0])
    name = next(name for name, mask in masks.items() if mask[row])
    said = (_column(before, name, after)[row], _column(after, name, before)[row])
    ticker, time = str(before["ticker"][row]), before["time"][row]
    return Finding(check, name, ticker, time, *said, change, int(at.size))


def earliest(findings: Iterable[Finding | None]) -> Finding | None:
    """Return the finding about the earliest bar, of all that a check has."""
    found = [finding for finding in findings if finding is not None]
    return min(found, key=lambda f: (f.time, f.ticker), default=None)


def rows_differ(
    check: str, change: str, before: pl.DataFrame, after: pl.DataFrame
) -> Finding | None:
    """Return the first row whose bar is not the one expected there."""
    if all(before[name].equals(after[name]) for name in KEY):
        return None
    height = min(before.height, after.height)
    wrong = np.zeros(height, dtype=bool)
    for name in KEY:
        wrong |= ~before[name][:height].eq_missing(after[name][:height]).to_numpy()
    lost = abs(before.height - after.height)
    if not wrong.any() and not lost:
        return None
    row = int(np.argmax(wrong)) if wrong.any() else height
    frame = before if row < before.height else after
    told = [str(f["ticker"][row]) if row < f.height else None for f in (before, after)]
    if told[0] == told[1]:
        told = [str(f["time"][row]) if row < f.height else None for f in (before, after)]
    ticker, time = str(frame["ticker"][row]), frame["time"][row]
    count = int(wrong.sum()) + lost
    return Finding(check, "rows", ticker, time, told[0], told[1], change, count)


def _column(frame: pl.DataFrame, name: str, other: pl.DataFrame) -> pl.Series:
    """Return a column, nulls where this answer has none of that name."""
    if name in frame.columns:
        return frame[name]
    return pl.repeat(None, frame.height, eager=True, dtype=other.schema.get(name, pl.Float64))
