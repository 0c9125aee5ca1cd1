"""How far equity falls on other paths: the days of the run, drawn anew in blocks and put in a row.

A drawdown belongs to a path, not to a population. What is told is where the deepest fall of 95 of
100 such paths lies: not a margin of error of the one fall that happened.
"""

import numpy as np
import polars as pl

from kalshi_bt.metrics.arrays import Codes, Floats
from kalshi_bt.metrics.book import Book, Interval, Undefined
from kalshi_bt.metrics.equity import daily_equity
from kalshi_bt.metrics.intervals import LEAST_DAYS, LEVEL, RESAMPLES, stationary_picks

_SAME = 1e-12  # falls closer than this, in parts, do not differ

# What a day is on a path, seen from its beginning: how it ends, how high and how low it gets, and
# its own deepest fall. That is all that the deepest fall of days in a row depends on.
_END, _HIGH, _LOW, _FALL = range(4)


def day_shapes(book: Book) -> tuple[Floats, Floats]:
    """Return end, high, low and deepest fall of each UTC day, in micro-dollars and in parts.

    Returns
    -------
    dollars, parts : Float64 (days, 4)
        Less the equity at the beginning of the day, and over it; a fall over the peak it is from.
        A day without a row is flat. Parts are NaN or infinite where equity is zero.
    """
    midnights = daily_equity(book)
    opening = midnights["equity"].to_numpy().astype(np.float64)
    rows = book.equity.select(
        "equity",
        day=midnights["time"].search_sorted(book.equity["time"], "left").cast(pl.Int64),
    ).with_columns(day=pl.col("day").clip(lower_bound=1) - 1)
    begins = pl.DataFrame({"equity": midnights["equity"][:-1]}).with_row_index("day")
    path = pl.concat([begins.select("equity", pl.col("day").cast(pl.Int64)), rows])
    peak = pl.col("equity").cum_max()
    falls = path.group_by("day", maintain_order=True).agg(
        end=pl.col("equity").last(),
        high=pl.col("equity").max(),
        low=pl.col("equity").min(),
        fall=(peak - pl.col("equity")).max(),
        part=((peak - pl.col("equity")) / peak).max(),
    )
    table = falls.sort("day").select(pl.exclude("day").cast(pl.Float64)).to_numpy()
    start = opening[:-1, None]
    dollars = np.concatenate([table[:, :_FALL] - start, table[:, _FALL : _FALL + 1]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.concatenate([table[:, :_FALL] / start, table[:, _FALL + 1 :]], axis=1)
    return dollars, parts


def deepest_falls(shapes: Floats, picks: Codes, *, parts: bool) -> Floats:
    """Return the deepest fall of each path of days put in a row.

    Parameters
    ----------
    shapes : Float64 (days, 4)
        As `day_shapes` returns them.
    picks : Int64 (paths, n)
        The days of each path.
    parts : bool
        Whether shapes are over the beginning of the day, and falls over the peak.

    Returns
    -------
    Float64 (paths,)

    Examples
    --------
    >>> up_and_down = np.array([[-1.0, 2.0, -1.0, 3.0], [-2.0, 0.0, -2.0, 2.0]])
    >>> deepest_falls(up_and_down, np.array([[0, 1], [1, 0]]), parts=False).tolist()
    [5.0, 3.0]
    """
    end, high, low, fall = shapes.T
    begin = np.full(len(picks), 1.0 if parts else 0.0)
    peak, found = begin.copy(), np.zeros(len(picks))
    for day in np.ascontiguousarray(picks.T):  # all paths at once stay in the cache
        top = begin * high[day] if parts else begin + high[day]
        bottom = begin * low[day] if parts else begin + low[day]
        below = (peak - bottom) / peak if parts else peak - bottom
        np.maximum(found, below, out=found)
        np.maximum(found, fall[day], out=found)
        np.maximum(peak, top, out=peak)
        begin = begin * end[day] if parts else begin + end[day]
    return found


def drawdown_intervals(book: Book) -> dict[str, Interval | Undefined]:
    """Return where the deepest fall lies, in micro-dollars and per cent, on resampled paths.

    Returns
    -------
    dict of str to Interval or Undefined
        ``max_drawdown`` and ``max_drawdown_pct``, quantiles over paths as long as the run, of its
        days in blocks of n^(1/3) on average, each day with its own highs and lows; a reason where
        there are fewer than `LEAST_DAYS`, or every path falls as far.

    References
    ----------
    D. N. Politis and J. P. Romano, The stationary bootstrap, JASA 89, 1994,
    doi:10.1080/01621459.1994.10476870.
    """
    n = max(0, book.once(daily_equity).height - 1)
    names = ("max_drawdown", "max_drawdown_pct")
    if n < LEAST_DAYS:
        return dict.fromkeys(names, Undefined(f"fewer than {LEAST_DAYS} days of equity"))
    block = n ** (1 / 3)
    dollars, parts = day_shapes(book)
    whole = bool(np.isfinite(parts).all() and (parts[:, :_FALL] > 0).all())
    drawn: list[list[Floats]] = [[], []]
    for picks in stationary_picks(n, block):
        drawn[0].append(deepest_falls(dollars, picks, parts=False))
        if whole:
            drawn[1].append(100 * deepest_falls(parts, picks, parts=True))
    method = f"stationary bootstrap of days in blocks of {block:.1f} on average, {RESAMPLES:,} "
    method += "paths: where the deepest fall of 95 of 100 lies"
    return {name: _interval(falls, n, method) for name, falls in zip(names, drawn, strict=True)}


def _interval(falls: list[Floats], days: int, method: str) -> Interval | Undefined:
    if not falls:
        return Undefined("equity fell to zero: a fall in per cent needs a peak above it")
    paths = np.concatenate(falls)
    if np.ptp(paths) <= _SAME * paths.max():
        return Undefined("every path of these days falls as far")
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(paths, tails, method="inverted_cdf").tolist()
    return Interval(low, high, LEVEL, method, "day", days)
