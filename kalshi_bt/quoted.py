"""What the bars of a run, and the tables beside them, say of a market at a moment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from kalshi_bt.schema import Price, Time
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.tape import Tape, frozen, times
from kalshi_bt.units import PRICE_SCALE, dollars

Rows = pl.Series  # UInt32 rows of the bars; null where there is none


@dataclass(frozen=True)
class Quoted:
    """The bars that could execute, to be asked by market and time.

    Attributes
    ----------
    tape : Tape
        Of these bars.
    bars : frame of schema.BARS
        Only the last bid and ask of each bar are read.
    """

    tape: Tape
    bars: pl.DataFrame

    def last(self, market: pl.Series, moment: pl.Series) -> Rows:
        """Return the last bar of each market that ended by a moment and by the actual close.

        Parameters
        ----------
        market : UInt32 (n,)
        moment : Time (n,)
            Null: no bar.
        """
        from kalshi_bt.simulator.slices import latest_bars  # noqa: PLC0415  slow to import

        number, at = market.cast(pl.Int64).to_numpy(), times(moment, -NEVER)
        begin, last = self.tape.markets["begin"], self.tape.markets["last"]
        row = latest_bars(self.tape.time, frozen(begin), frozen(number), frozen(at))
        row = np.minimum(row, last[number] - 1)
        return _rows(row, row >= begin[number])

    def two_sided(self, market: pl.Series, after: pl.Series, by: pl.Series) -> Rows:
        """Return the last bar of each market with a bid and an ask that ended in (after, by].

        No bar where the market had closed by then.

        Parameters
        ----------
        market : UInt32 (n,)
        after, by : Time (n,)
        """
        row = self.last(market, by).cast(pl.Int64).fill_null(-1).to_numpy()
        found = np.where(row >= 0, self._two_sided[row], -1)
        number = market.cast(pl.Int64).to_numpy()
        known = found >= self.tape.markets["begin"][number]
        known &= self.tape.time[found] > times(after, NEVER)
        return _rows(found, known & (times(by, NEVER) <= self.tape.markets["close"][number]))

    def at(self, rows: Rows) -> pl.DataFrame:
        """Return `time`, `bid` and `ask` (YES, centi-cents) at the ends of bars."""
        columns = {"time": "time", "bid": "bid_close", "ask": "ask_close"}
        return pl.DataFrame({name: self.bars[own].gather(rows) for name, own in columns.items()})

    @cached_property
    def _two_sided(self) -> Ints:
        """The last row up to each with a bid and an ask, whatever its market; -1 without one."""
        both = self.bars["bid_close"].is_not_null() & self.bars["ask_close"].is_not_null()
        rows = np.where(both.to_numpy(), np.arange(len(both)), -1)
        return np.maximum.accumulate(rows)


def _rows(row: Ints, known: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Rows:
    found = pl.DataFrame({"row": row, "known": known})
    return found.select(pl.when("known").then("row").cast(pl.UInt32)).to_series()


@dataclass(frozen=True)
class Facts:
    """What is known of markets besides their bars.

    Attributes
    ----------
    markets : frame of schema.MARKETS
        Row i is market i.
    series : frame of schema.SERIES
    settlements : frame of schema.SETTLEMENTS
    """

    markets: pl.DataFrame
    series: pl.DataFrame
    settlements: pl.DataFrame

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `rows` (market, time ...), in their order, with what is known of each market.

        Returns
        -------
        frame
            ticker, event, series, close_time (scheduled), category, and of the outcome: settled,
            payout (centi-cents of YES). A category is the newest that was stated by `time`, before
            the first that one.
        """
        listed = self.markets.select("ticker", "event", "series", "close_time")
        paid = self.settlements.select("ticker", "payout", settled="time")
        known = listed.join(paid, on="ticker", how="left", maintain_order="left")
        known = known.with_row_index("market").cast({"payout": Price, "settled": Time})
        stated = self.series.filter(pl.col("category").is_not_null()).sort("effective_from")
        stated = stated.select("series", "category", since="effective_from")
        first = stated.unique("series", keep="first").select("series", first="category")
        told = rows.with_row_index("_row").join(known, on="market", how="left").sort("time")
        told = told.join_asof(
            stated, left_on="time", right_on="since", by="series", check_sortedness=False
        )
        told = told.join(first, on="series", how="left").with_columns(
            category=pl.coalesce("category", "first")
        )
        return told.sort("_row").drop("_row", "since", "first", strict=False)


def held(side: str, price: str) -> pl.Expr:
    """Return a YES price in dollars as the holder of a side sees it.

    Examples
    --------
    >>> row = pl.DataFrame({"side": [1, -1], "bid": [4_000, 4_000]})
    >>> row.select(held("side", "bid")).to_series().to_list()
    [0.4, 0.6]
    """
    yes = pl.col(price).cast(pl.Int64)
    return dollars(pl.when(pl.col(side) > 0).then(yes).otherwise(PRICE_SCALE - yes))
