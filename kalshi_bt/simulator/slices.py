"""Laying bars out for the walk, and finding them by time inside the slices of their markets."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled
from kalshi_bt.simulator.state import INTENT, Floats, Ints, Prices


@compiled
def first_after(time: Ints, begin: int, end: int, moment: int) -> int:
    """Return the first bar of the slice begin … end - 1 that ends after `moment`, else `end`."""
    low, high = begin, end
    if low < high and time[low] > moment:  # the usual case: the very next bar
        return low
    while low < high:
        middle = (low + high) // 2
        if time[middle] > moment:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def last_bars(time: Ints, begin: Ints, close: Ints) -> Ints:
    """Return for each market the end of its bars that close by `close`.

    Parameters
    ----------
    time : Int64 (bars,)
    begin : Int64 (markets + 1,)
        Slices: the last entry is the number of bars.
    close : Int64 (markets,)

    Returns
    -------
    Int64 (markets,)
        One past the last such bar.
    """
    last = np.empty(len(close), np.int64)
    for m in range(len(close)):
        last[m] = first_after(time, begin[m], begin[m + 1], close[m])
    return last


@compiled
def find_bars(time: Ints, begin: Ints, market: Ints, at: Ints) -> Ints:
    """Return the bar of each (market, time) pair, -1 where there is none; all Int64 (n,)."""
    found = np.full(len(market), -1, np.int64)
    for i in range(len(market)):
        m = market[i]
        first = begin[m]
        end = begin[m + 1] if m + 1 < len(begin) else len(time)
        # Bars mostly lie at even distances: look where this one would be, then search.
        j = first
        if first + 1 < end and at[i] > time[first]:
            j += (at[i] - time[first]) // (time[first + 1] - time[first])
        if j >= end or time[j] != at[i]:
            j = first_after(time, first, end, at[i] - 1)
        if j < end and time[j] == at[i]:
            found[i] = j
    return found


@compiled
def latest_bars(time: Ints, begin: Ints, market: Ints, at: Ints) -> Ints:
    """Return the last bar of each market that ends by a time, -1 without one; all Int64 (n,)."""
    found = np.full(len(market), -1, np.int64)
    for i in range(len(market)):
        m = market[i]
        first = begin[m]
        end = begin[m + 1] if m + 1 < len(begin) else len(time)
        j = first_after(time, first, end, at[i]) - 1
        if j >= first:
            found[i] = j
    return found


@compiled
def packed(who: tuple[Ints, ...], how: tuple[Ints, ...], how_much: tuple[Floats, ...]) -> Any:
    """Return INTENT records of columns (n,), read and written once.

    Parameters
    ----------
    who : market, bar, time
    how : side, kind, limit, stop, target, reward, quantity, valid_bars, exit_time, outside
    how_much : stake, risk, fair, confidence
    """
    market, bar, time = who
    side, kind, limit, stop, target, reward, quantity, valid_bars, exit_time, outside = how
    stake, risk, fair, confidence = how_much
    rows = np.empty(len(market), INTENT)
    for i in range(len(market)):
        r = rows[i]
        r.market, r.bar, r.time = market[i], bar[i], time[i]
        r.side, r.kind, r.limit, r.stop, r.target = side[i], kind[i], limit[i], stop[i], target[i]
        r.reward, r.quantity, r.valid_bars = reward[i], quantity[i], valid_bars[i]
        r.exit_time, r.outside, r.stake, r.risk = exit_time[i], outside[i], stake[i], risk[i]
        r.fair, r.confidence = fair[i], confidence[i]
    return rows


@compiled
def interleaved(
    a: Prices,
    b: Prices,
    c: Prices,
    d: Prices,
    e: Prices,
    f: Prices,
    g: Prices,
    h: Prices,
    i: Prices,
    j: Prices,
    k: Prices,
) -> Prices:
    """Return eleven columns (n,) as one array (n, 11), read and written once."""
    result = np.empty((len(a), 11), np.int16)
    for row in range(len(a)):
        bar = result[row]
        bar[0], bar[1], bar[2], bar[3] = a[row], b[row], c[row], d[row]
        bar[4], bar[5], bar[6], bar[7] = e[row], f[row], g[row], h[row]
        bar[8], bar[9], bar[10] = i[row], j[row], k[row]
    return result
