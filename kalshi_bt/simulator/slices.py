"""Finding bars by time inside the slices of their markets."""

import numpy as np

from kalshi_bt.simulator.compiling import compiled
from kalshi_bt.simulator.state import Ints


@compiled
def first_after(time: Ints, begin: int, end: int, moment: int) -> int:
    """Return the first bar of the slice begin … end - 1 that ends after `moment`, else `end`."""
    low, high = begin, end
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
        end = begin[m + 1] if m + 1 < len(begin) else len(time)
        j = first_after(time, begin[m], end, at[i] - 1)
        if j < end and time[j] == at[i]:
            found[i] = j
    return found
