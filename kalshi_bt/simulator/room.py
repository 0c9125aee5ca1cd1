"""Bars that come in one after the other, in slices of their markets with room behind them.

A market that nobody asked for keeps its first and its newest bar only; from the first intent on all
its bars are kept. So memory follows what was traded, as the cost of a walk does.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.simulator.memory import Memory
from kalshi_bt.simulator.state import COLUMNS, NEVER, Ints
from kalshi_bt.simulator.tape import Tape, frozen, laid_out

_QUIET = 2  # bars of a market that nobody asked for
_FIRST = 64  # bars a market that was asked for begins with
_COLUMNS = {"time": NEVER, "prices": -1, "volume": -1, "sizes": -1, "spans": -1}  # and no bar yet


class Room:
    """Bars of some markets.

    Parameters
    ----------
    markets : int
        How many there are.
    deep : bool
        Whether the bars are rows of recorded books.

    Attributes
    ----------
    time, prices, volume, sizes : arrays
        As those of a `Tape`; where no bar is yet, time is NEVER.
    spans : Int64 (bars, 4)
        As those of a `Depth`, without rows where the room is not deep.
    begin, count, most : Int64 (markets,)
        Of each slice: its first bar, how many bars it has and how many it has room for.
    open : Int64 (markets,)
        How many of the bars ended by the close of their market: only those can execute.
    kept : bool (markets,)
        Whether all bars of a market are kept.
    span : pair of int or None
        As that of a `Tape`.
    """

    def __init__(self, markets: int, *, deep: bool = False) -> None:
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
        self.spans = np.full((self._used if deep else 0, 4), -1, np.int64)
        self.span: tuple[int, int] | None = None
        self._columns = [name for name in _COLUMNS if deep or name != "spans"]

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

    def extend(self, m: int, columns: tuple[Ints, ...], close: int) -> tuple[Ints, int]:
        """Append bars to one market; their spans are left to the caller.

        Parameters
        ----------
        m : int
        columns : time, prices, volume, sizes
            Of one bar or more, in the order of time, as `tape.laid_out` returns them.
        close : int
            When trading in it ends.

        Returns
        -------
        tuple
            Which of the bars are kept, Int64, and by how many bars the market's slice was moved.
        """
        had, added, far = int(self.count[m]), np.arange(len(columns[0])), 0
        if not self.kept[m]:
            had = min(had, 1)
            added = added[[0, -1]] if had == 0 and len(added) > 1 else added[-1:]
        elif had + len(added) > self.most[m]:
            far = self._move(m, 2 * (had + len(added)))
        at = slice(self.begin[m] + had, self.begin[m] + had + len(added))
        time, prices, volume, sizes = (column[added] for column in columns)
        self.time[at], self.prices[at], self.volume[at] = time, prices, volume
        self.sizes[at] = sizes if len(sizes) else -1
        self.count[m] = had + len(added)
        self.open[m] = min(self.open[m], had) + np.count_nonzero(time <= close)
        return added, far

    def keep(self, market: Ints) -> None:
        """Keep all bars of some markets from now on: nothing refers to those they have."""
        for m in np.unique(market[~self.kept[market]]):
            self._move(int(m), _FIRST)
            self.kept[m] = True

    def newest(self, market: Ints) -> Ints:
        """Return the newest bar of some markets, -1 without one."""
        return np.where(self.count[market] > 0, self.begin[market] + self.count[market] - 1, -1)

    def memory(self, market: Any) -> Memory:
        """Return what the walk reads of bars, and say in `market` (records) where they lie."""
        market["begin"], market["last"] = self.begin, self.begin + self.open
        names = ("time", "prices", "volume", "sizes")
        lengths = {"bars": len(self.time), "sized": len(self.sizes)}
        return Memory({name: getattr(self, name) for name in names}, lengths)

    def laid(self, facts: Tape, market: Any) -> Tape:
        """Return the tape of what there is, packed.

        Parameters
        ----------
        facts : Tape
            Of the markets, without bars.
        market : records of state.MARKET
        """
        rows, begin = self.packed()
        markets = market.copy()
        markets["begin"], markets["last"] = begin[:-1], begin[:-1] + self.open
        names = ("time", "prices", "volume", "sizes")
        bars = {name: frozen(getattr(self, name)[rows]) for name in names}
        return replace(facts, **bars, markets=frozen(markets), span=self.span)

    def hear(self, time: int) -> None:
        """Learn that bars ended at a time, where rows are those of books."""
        self.span = (time if self.span is None else self.span[0], time)

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
        for name in self._columns:
            bars = getattr(self, name)
            packed = np.full((self._used, *bars.shape[1:]), _COLUMNS[name], bars.dtype)
            packed[into] = bars[source]
            setattr(self, name, packed)
        return self.begin - old - dropped

    def _move(self, m: int, most: int) -> int:
        """Give a market room for `most` bars behind all others; return how far its bars moved."""
        while self._used + most > len(self.time):
            self._grow()
        old = slice(self.begin[m], self.begin[m] + self.count[m])
        new = slice(self._used, self._used + self.count[m])
        for name in self._columns:
            getattr(self, name)[new] = getattr(self, name)[old]
        far = self._used - int(self.begin[m])
        self.begin[m], self.most[m] = self._used, most
        self._used += most
        return far

    def _grow(self) -> None:
        """Double the room for bars of any market."""
        more = max(len(self.time), _FIRST)
        for name in self._columns:
            bars = getattr(self, name)
            bare = np.full((more, *bars.shape[1:]), _COLUMNS[name], bars.dtype)
            setattr(self, name, np.append(bars, bare, axis=0))
