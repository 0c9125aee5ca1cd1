"""Bars that come in one after the other, in slices of their markets with room behind them.

A market that nobody asked for keeps its first and its newest bar only; from the first intent on all
its bars are kept. So memory follows what was traded, as the cost of a walk does.
"""

import numpy as np
import polars as pl

from kalshi_bt.simulator.state import COLUMNS, NEVER, Ints
from kalshi_bt.simulator.tape import laid_out

_QUIET = 2  # bars of a market that nobody asked for
_FIRST = 64  # bars a market that was asked for begins with


class Room:
    """Bars of some markets.

    Parameters
    ----------
    markets : int
        How many there are.

    Attributes
    ----------
    time, prices, volume, sizes : arrays
        As those of a `Tape`; where no bar is yet, time is NEVER.
    begin, count, most : Int64 (markets,)
        Of each slice: its first bar, how many bars it has and how many it has room for.
    open : Int64 (markets,)
        How many of the bars ended by the close of their market: only those can execute.
    kept : bool (markets,)
        Whether all bars of a market are kept.
    """

    def __init__(self, markets: int) -> None:
        self.begin = np.arange(markets, dtype=np.int64) * _QUIET
        self.count = np.zeros(markets, np.int64)
        self.open = np.zeros(markets, np.int64)
        self.most = np.full(markets, _QUIET, np.int64)
        self.kept = np.zeros(markets, np.bool_)
        self._used = markets * _QUIET
        self.time = np.full(self._used, NEVER, np.int64)
        self.prices = np.full((self._used, COLUMNS), -1, np.int16)
        self.volume = np.full(self._used, -1, np.int64)
        self.sizes = np.full((self._used, 2), -1, np.int64)

    def add(self, market: Ints, bars: pl.DataFrame, close: Ints) -> dict[int, int]:
        """Append one bar to each of some markets.

        Parameters
        ----------
        market : Int64 (n,)
            Each at most once.
        bars : frame of schema.BARS, its market left aside
            Row i is of market[i].
        close : Int64 (n,)
            When trading in each ends.

        Returns
        -------
        dict of int to int
            Markets whose slices were moved, and by how many bars.
        """
        full = self.kept[market] & (self.count[market] == self.most[market])
        moved = {int(m): self._move(int(m), 2 * int(self.most[m])) for m in market[full]}
        newest = np.where(self.kept[market], self.count[market], np.minimum(self.count[market], 1))
        at = self.begin[market] + newest
        time, prices, volume, sizes = laid_out(bars)
        self.time[at], self.prices[at], self.volume[at] = time, prices, volume
        self.sizes[at] = sizes if len(sizes) else -1
        self.count[market] = newest + 1
        self.open[market] = np.where(
            time <= close, newest + 1, np.minimum(self.open[market], newest)
        )
        return moved

    def keep(self, market: Ints) -> None:
        """Keep all bars of some markets from now on: nothing refers to those they have."""
        for m in np.unique(market[~self.kept[market]]):
            self._move(int(m), _FIRST)
            self.kept[m] = True

    def newest(self, market: Ints) -> Ints:
        """Return the newest bar of some markets, -1 without one."""
        return np.where(self.count[market] > 0, self.begin[market] + self.count[market] - 1, -1)

    def packed(self) -> tuple[Ints, Ints]:
        """Return the bars that there are, by market and time, and where each market begins then."""
        begin = np.append(0, np.cumsum(self.count))
        inside = np.arange(begin[-1]) - np.repeat(begin[:-1], self.count)
        return np.repeat(self.begin, self.count) + inside, begin

    def renumber(self, numbers: Ints, markets: int) -> None:
        """Give market i the number numbers[i], -1: it is forgotten; other numbers are new markets.

        No bar moves.
        """
        here = numbers >= 0
        fresh = np.ones(markets, np.bool_)
        fresh[numbers[here]] = False
        for name, empty in (("begin", 0), ("count", 0), ("open", 0), ("most", _QUIET), ("kept", 0)):
            old = getattr(self, name)
            new = np.full(markets, empty, old.dtype)
            new[numbers[here]] = old[here]
            setattr(self, name, new)
        came = int(fresh.sum())
        self.begin[fresh] = self._used + _QUIET * np.arange(came)
        self._used += _QUIET * came
        while self._used > len(self.time):
            self._grow()

    def pack(self, first: Ints) -> Ints:
        """Move what is needed of the bars together; return how far the bars of each market move.

        The first bar of a market stays, for it says since when the market trades.

        Parameters
        ----------
        first : Int64 (markets,)
            From which bar on all are needed; -1: nobody asks for more than the newest.
        """
        self.kept &= first >= 0
        newest = self.begin + self.count - 1
        since = np.minimum(np.where(self.kept, first, newest), newest)
        dropped = np.maximum(since - self.begin - 1, 0)  # after the first
        self.open = np.minimum(self.open, 1) + np.maximum(self.open - 1 - dropped, 0)
        count, old, self.count = self.count, self.begin, self.count - dropped
        self.most = np.where(self.kept, np.maximum(2 * self.count, _FIRST), _QUIET)
        self.begin = np.append(0, np.cumsum(self.most))[:-1]
        self._used = int(self.most.sum())
        place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        gap = np.repeat(dropped, count)
        stay = (place == 0) | (place > gap)
        source = (np.repeat(old, count) + place)[stay]
        into = (np.repeat(self.begin, count) + np.maximum(place - gap, 0))[stay]
        for name, empty in (("time", NEVER), ("prices", -1), ("volume", -1), ("sizes", -1)):
            bars = getattr(self, name)
            packed = np.full((self._used, *bars.shape[1:]), empty, bars.dtype)
            packed[into] = bars[source]
            setattr(self, name, packed)
        return self.begin - old - dropped

    def _move(self, m: int, most: int) -> int:
        """Give a market room for `most` bars behind all others; return how far its bars moved."""
        while self._used + most > len(self.time):
            self._grow()
        old = slice(self.begin[m], self.begin[m] + self.count[m])
        new = slice(self._used, self._used + self.count[m])
        for array in (self.time, self.prices, self.volume, self.sizes):
            array[new] = array[old]
        far = self._used - int(self.begin[m])
        self.begin[m], self.most[m] = self._used, most
        self._used += most
        return far

    def _grow(self) -> None:
        """Double the room for bars of any market."""
        more = max(len(self.time), _FIRST)
        self.time = np.append(self.time, np.full(more, NEVER, np.int64))
        self.prices = np.append(self.prices, np.full((more, COLUMNS), -1, np.int16), axis=0)
        self.volume = np.append(self.volume, np.full(more, -1, np.int64))
        self.sizes = np.append(self.sizes, np.full((more, 2), -1, np.int64), axis=0)
