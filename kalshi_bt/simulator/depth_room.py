"""Books that come in one after the other: the levels beside the rows of a `Room`.

The walk reads them as it reads the depth of a `Tape`. The levels of a market lie in a slice with
room behind them; a market that nobody asked for has those of its newest book only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.books import as_bars, depth_of, numbered, rows_of
from kalshi_bt.simulator.memory import Memory
from kalshi_bt.simulator.renumbering import move_bars, move_rows, moved
from kalshi_bt.simulator.room import Room
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.tape import Depth, ints, laid_out, times

_FIRST = 64  # levels that a market begins with
_UNKNOWN = np.full(4, -1, np.int64)  # the span of a book that is not known
_ROW = ["market", "time"]
NO_ROWS = pl.DataFrame(schema={"market": pl.UInt32, "time": schema.Time})
NO_BOOKS, NO_TRADES = schema.BOOKS.empty(), schema.TRADES.empty()


@dataclass(frozen=True)
class _Rows:
    """New rows by market and time, and the books they leave.

    Attributes
    ----------
    market, state : Int64 (rows,)
        The state a row leaves, -1 where the book is not known.
    columns : tuple of arrays (rows, …)
        As `tape.laid_out` returns them.
    depth : Depth
    carried : Int64 (markets,)
        The state in force before the first of them, -1 for none.
    """

    market: Ints
    state: Ints
    columns: tuple[Any, ...]
    depth: Depth
    carried: Ints


class DepthRoom:
    """Levels of the books of some markets, and the books that stand.

    Parameters
    ----------
    room : Room
        Of their rows, deep.

    Attributes
    ----------
    levels : Int64 (n, 2)
        Price and size.
    taken : Int64 (n,)
        What was taken of each.
    begin, count, most : Int64 (markets,)
        Of each slice of levels, as of a `Room`.
    standing : frame of schema.BOOKS
        The newest book of each market, known or not, at the time of its newest row.
    fills : int
        How many fills the rows added last can lead to, at most.
    """

    def __init__(self, room: Room) -> None:
        self._room, markets = room, len(room.begin)
        self.levels, self.taken = np.zeros((_FIRST, 2), np.int64), np.zeros(_FIRST, np.int64)
        self.begin, self.count, self.most = (np.zeros(markets, np.int64) for _ in range(3))
        self._used, self.fills, self.standing = 0, 0, NO_BOOKS

    def memory(self) -> Memory:
        """Return what the walk reads, and what it keeps of what it took."""
        arrays = {"spans": self._room.spans, "levels": self.levels, "taken": self.taken}
        lengths = {"deep": len(self._room.spans), "levels_count": len(self.levels)}
        return Memory(arrays, lengths)

    def nothing_taken(self) -> Memory:
        """Return where to note of each market that something is taken from its levels."""
        rows = np.full(len(self.begin) if len(self._room.spans) else 0, -1, np.int64)
        return Memory({"taken_row": rows}, {})

    def state(self) -> dict[str, Any]:
        """Return all there is of it but the room; `restore` takes it back."""
        return {name: value for name, value in vars(self).items() if name != "_room"}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        vars(self).update(state)

    def renumber(self, numbers: Ints, markets: pl.DataFrame) -> None:
        """Give market i the number numbers[i], as `Room.renumber`, among `markets`."""
        for name in ("begin", "count", "most"):
            setattr(self, name, moved(getattr(self, name), numbers, markets.height, 0))
        self.standing = self.standing.join(markets, on="ticker", how="semi", maintain_order="left")

    def pack(self, first: Ints, taken_row: Ints) -> Ints:
        """Move what is needed of the rows and levels together; return how far the rows move.

        Parameters
        ----------
        first : Int64 (markets,)
            From which row on all are needed, see `Room.pack`.
        taken_row : Int64 (markets,)
            After the newest row of a market of which something is taken, else -1; moved with it.
        """
        room, before = self._room, self._room.begin
        if not len(room.spans):
            return room.pack(first)
        # Who acts on a row meets the book before it; what is taken passes from row to row.
        first = np.where(taken_row >= 0, np.where(first < 0, taken_row, first), first)
        first = np.where(first < 0, first, np.maximum(first - 1, before))
        far = room.pack(first)
        taken_row[taken_row >= 0] += far[taken_row >= 0]
        room.spans[room.begin[room.begin != before + far]] = -1
        low, ends = self.begin + self.count, self.begin + self.count
        for m in np.flatnonzero(self.count):
            rows = self._rows(int(m))
            low[m] = rows[rows[:, 0] >= 0][:, [0, 2]].min(initial=ends[m])
        size = ends - low
        self.count, self.most = size, 2 * size
        self.begin = np.append(0, np.cumsum(self.most))[:-1]
        self._used = int(self.most.sum())
        levels, taken = self.levels, self.taken
        self.levels = np.zeros((max(self._used, _FIRST), 2), np.int64)
        self.taken = np.zeros(len(self.levels), np.int64)
        for m in np.flatnonzero(size):
            into, old = slice(self.begin[m], self.begin[m] + size[m]), slice(low[m], ends[m])
            self.levels[into], self.taken[into] = levels[old], taken[old]
            self._shift(int(m), int(self.begin[m] - low[m]))
        return far

    def ended(self, close: Ints, time: int) -> pl.DataFrame:
        """Return the rows that are due at the closes of markets by a time: market, time.

        Parameters
        ----------
        close : Int64 (markets,)
            When trading in each ends.
        time : int
            Microseconds.
        """
        newest = self._room.newest(np.arange(len(close)))
        due = (close <= time) & (newest >= 0) & (self._room.time[newest] < close)
        over = np.flatnonzero(due)
        rows = pl.DataFrame({"market": over, "time": close[over]})
        return rows.cast({"market": pl.UInt32, "time": schema.Time})

    def add(
        self,
        memory: Memory,
        markets: pl.DataFrame,
        close: Ints,
        *,
        books: pl.DataFrame = NO_BOOKS,
        trades: pl.DataFrame = NO_TRADES,
        further: pl.DataFrame = NO_ROWS,
    ) -> Ints:
        """Append rows to some markets, and return those: Int64 (n,).

        Parameters
        ----------
        memory : Memory
            Of the account; told of rows that lie elsewhere then.
        markets : frame
            Row i is market i: ticker.
        close : Int64 (markets,)
            When trading in each ends; what was recorded later concerns nobody.
        books, trades : frames of schema.BOOKS, schema.TRADES
        further : frame (market, time)
            Rows at which nothing was recorded.

        Raises
        ------
        DataError
            If a row is not later than the newest of its market.
        """
        rows = self._laid(markets, close, (books, trades, further))
        found, first = np.unique(rows.market, return_index=True)
        ends, self.fills = np.append(first[1:], len(rows.market)), 0
        for m, part in zip(found.tolist(), map(np.arange, first, ends), strict=True):
            had = int(self._room.count[m])
            levels, far = self._extend(m, rows, part, int(close[m]))
            if far:
                move_bars(memory, m, far)
                move_rows(memory, m, far, int(self._room.begin[m]), had)
            if memory.arrays["slot_of"][m] >= 0:
                # Each level and each row once, by an entry and an exit, and what they net.
                self.fills += 4 * (levels + 3 * len(part))
        return found

    # --- laying out -------------------------------------------------------------------------------

    def _laid(
        self,
        markets: pl.DataFrame,
        close: Ints,
        told: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
    ) -> _Rows:
        """Return the rows that were told, after the books that stand; these are the new ones."""
        books, traded = (_until(numbered(frame, markets), close) for frame in told[:2])
        standing = numbered(self.standing, markets)
        since = standing.select("market", since="time")
        new = pl.concat([frame.select(_ROW) for frame in (books, traded, told[2])])
        _check(new, since, markets)
        involved = standing.join(new, on="market", how="semi", maintain_order="left")
        states = pl.concat([involved, books]).sort(_ROW, maintain_order=True)
        states = states.with_row_index("state")
        rows = rows_of(states, traded, told[2])
        bars = as_bars(rows, states, traded)
        dated = rows.join(since, on="market", how="left", maintain_order="left")
        fresh = dated.select((pl.col("time") != pl.col("since")).fill_null(value=True)).to_series()
        rows, bars = rows.filter(fresh), bars.filter(fresh)
        self._stand(rows, states, markets)
        carried = np.full(markets.height, -1, np.int64)
        first = states.join(since, left_on=_ROW, right_on=["market", "since"], how="semi")
        carried[first["market"].to_numpy()] = first["state"].to_numpy()
        time, prices, volume, sizes = laid_out(bars)
        if not len(sizes):
            sizes = np.full((len(time), 2), -1, np.int64)
        return _Rows(
            market=ints(rows["market"]),
            state=ints(rows["state"]),
            columns=(time, prices, volume, sizes),
            depth=depth_of(states, rows),
            carried=carried,
        )

    def _stand(self, rows: pl.DataFrame, states: pl.DataFrame, markets: pl.DataFrame) -> None:
        """Keep the books that the newest rows leave."""
        last = rows.group_by("market", maintain_order=True).last()
        new = last.select(
            ticker=pl.lit(markets["ticker"].cast(pl.String)).gather(pl.col("market")),
            time="time",
            bids=pl.lit(states["bids"]).gather(pl.col("state")),
            asks=pl.lit(states["asks"]).gather(pl.col("state")),
        )
        others = self.standing.join(new, on="ticker", how="anti", maintain_order="left")
        self.standing = pl.concat([others, new])

    # --- arrays -----------------------------------------------------------------------------------

    def _extend(self, m: int, rows: _Rows, part: Ints, close: int) -> tuple[int, int]:
        """Append rows `part` to a market; return the levels they meet, and how far it moved."""
        room, carried = self._room, int(rows.carried[m])
        had = int(room.count[m])
        added, far = room.extend(m, tuple(column[part] for column in rows.columns), close)
        before = room.spans[room.begin[m] + had - 1].copy() if had else _UNKNOWN
        state, spans = rows.state[part[added]], rows.depth.spans[part[added]]
        new = (state >= 0) & (state != carried)
        at = int(room.begin[m] + room.count[m]) - len(added)
        into = room.spans[at : at + len(added)]
        if not room.kept[m]:
            room.spans[room.begin[m]] = -1
            if new.any():  # the newest book takes the place of the one before
                new, before, self.count[m] = state == state[-1], _UNKNOWN, 0
        into[:] = np.where(((state >= 0) & (state == carried))[:, None], before, _UNKNOWN)
        met = int(before[1] - before[0] + before[3] - before[2])
        if new.any():
            low, high = spans[new][0, [0, 2]], spans[new][-1, [1, 3]]
            halves = [rows.depth.levels[a:b] for a, b in zip(low, high, strict=True)]
            place = self._put(m, np.concatenate(halves))
            shift = np.array([place, place + len(halves[0])]) - low
            into[new] = spans[new] + shift[[0, 0, 1, 1]]
            met += len(halves[0]) + len(halves[1])
        return met, far

    def _put(self, m: int, levels: Ints) -> int:
        """Append levels to the slice of a market; return where they lie."""
        count, wanted = int(self.count[m]), int(self.count[m]) + len(levels)
        if wanted > self.most[m]:
            most = max(2 * wanted, _FIRST)
            while self._used + most > len(self.levels):
                self.levels = np.append(self.levels, np.zeros_like(self.levels), axis=0)
                self.taken = np.append(self.taken, np.zeros_like(self.taken))
            old = slice(self.begin[m], self.begin[m] + count)
            new = slice(self._used, self._used + count)
            self.levels[new], self.taken[new] = self.levels[old], self.taken[old]
            self._shift(m, self._used - int(self.begin[m]))
            self.begin[m], self.most[m] = self._used, most
            self._used += most
        at = int(self.begin[m]) + count
        self.levels[at : at + len(levels)], self.taken[at : at + len(levels)] = levels, 0
        self.count[m] = wanted
        return at

    def _rows(self, m: int) -> Ints:
        """Return where the levels of the rows of a market lie, to be read and written."""
        begin = int(self._room.begin[m])
        return self._room.spans[begin : begin + int(self._room.count[m])]

    def _shift(self, m: int, far: int) -> None:
        """Tell the rows of a market that its levels lie elsewhere."""
        rows = self._rows(m)
        rows[rows[:, 0] >= 0] += far


def _until(rows: pl.DataFrame, close: Ints) -> pl.DataFrame:
    """Return the rows that came before their market had closed."""
    return rows.filter(times(rows["time"], NEVER) <= close[rows["market"].to_numpy()])


def _check(new: pl.DataFrame, since: pl.DataFrame, markets: pl.DataFrame) -> None:
    """Refuse rows that are not later than what was told of their market."""
    late = new.join(since, on="market").filter(pl.col("time") <= pl.col("since"))
    if late.height:
        row = late.row(0, named=True)
        raise DataError(
            f"books: {markets['ticker'][row['market']]} was told of {row['time']} after "
            f"{row['since']}; rows come in the order of their times"
        )
