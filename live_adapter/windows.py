"""The newest bars of each market that is traded: as much of the past as a signal looks at."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.units import dollars
from live_adapter.moments import BARS

Ints = NDArray[np.int64]
Numbers = NDArray[np.uint32]
_NONE: Numbers = np.zeros(0, np.uint32)
_PIECES = 16
TERMS = ("strike_type", "floor_strike", "cap_strike")  # told when a window opens, not before
_STATE = ("markets", "_rows", "_last", "_most")
_SPARE = 2_000  # rows that may gather before old ones are dropped


def taken_up(known: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return known markets and those that are new, sorted by ticker, with strikes as told last.

    Parameters
    ----------
    known, markets : frame of schema.MARKETS

    Examples
    --------
    >>> def told(*rows):
    ...     names = ["ticker", "title", "floor_strike"]
    ...     frame = pl.DataFrame(rows, schema=names, orient="row")
    ...     return schema.MARKETS.filled(frame.with_columns(event=pl.lit("E"), series=pl.lit("S")))
    >>> then = taken_up(told(("A", "at first", 0.5)), told(("A", "later", 2.5), ("B", "new", 1.5)))
    >>> then.select("ticker", "title", "floor_strike").rows()
    [('A', 'at first', 2.5), ('B', 'new', 1.5)]
    """
    told = known.update(markets.select("ticker", *TERMS), on="ticker")
    new = markets.join(known, on="ticker", how="anti")
    return pl.concat([told, new.select(known.columns)]).sort("ticker")


class Windows:
    """Markets that are traded and their last bars, outside series beside them.

    Parameters
    ----------
    lookback : int
        Bars of each market that a signal is shown.
    period : int
        Seconds of a bar.
    columns : sequence of str
        Of the outside series.
    read : collection of str, optional
        What is kept of bars beside ticker and time; all that there is without.

    Attributes
    ----------
    markets : frame of schema.MARKETS
        Those that are listed and not dropped, sorted by ticker; their rows are their numbers.
    """

    def __init__(
        self,
        lookback: int,
        period: int,
        columns: Sequence[str],
        read: Collection[str] = tuple(BARS),
    ) -> None:
        self.markets = schema.MARKETS.empty()
        self._lookback, self._period, self._columns = lookback, period, tuple(columns)
        outside: schema.Schema = dict.fromkeys(self._columns, pl.Float64())
        kept = {name: BARS[name] for name in BARS if name in {"ticker", "time", *read}}
        self._rows = pl.DataFrame(schema={**kept, **outside})
        self._last = pl.DataFrame(schema={"ticker": pl.String, "price_close": schema.Price})
        self._most = _SPARE
        self._numbers: Numbers = _NONE  # of the rows' markets; of another length: not known

    def list_markets(self, markets: pl.DataFrame) -> None:
        """Take up markets; those that are known stay as they are, but for their strikes."""
        known, self.markets = self.markets, taken_up(self.markets, markets)
        if self.markets.height != known.height:
            self._numbers = _NONE

    def drop(self, tickers: Sequence[str]) -> None:
        """Forget markets."""
        gone = pl.col("ticker").is_in(list(tickers))
        self.markets = self.markets.filter(~gone)
        self._rows, self._last = self._rows.filter(~gone), self._last.filter(~gone)
        self._numbers = _NONE

    def numbered(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Return bars of the markets there are with their numbers, sorted by (market, time)."""
        known = bars.join(self.markets, on="ticker", how="semi")
        return known.with_columns(market=self._number(known)).sort("market", "time")

    def add(self, bars: pl.DataFrame) -> None:
        """Take numbered bars of one moment with the columns of the outside series."""
        numbers = np.concatenate([self._numbered(), bars["market"].to_numpy()])
        self._rows = pl.concat([self._rows, bars.select(self._rows.columns)])
        if self._rows.n_chunks() > _PIECES:  # what lies in many pieces is read slowly
            self._rows = self._rows.rechunk()
        traded = bars.filter(pl.col("price_close").is_not_null())
        last = pl.concat([self._last, traded.select(self._last.columns)])
        self._last = last.unique("ticker", keep="last", maintain_order=True)
        if self._rows.height > self._most:
            # By market: what lies together is read quickly.
            kept = self._newest(numbers, np.arange(self.markets.height))
            self._rows, numbers = self._rows[kept], numbers[kept]
            self._most = self._rows.height * 5 // 4 + _SPARE
        self._numbers = numbers

    def state(self) -> dict[str, Any]:
        """Return what it knows; `restore` takes it back."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in _STATE:
            setattr(self, name, state[name])

    def panel(self, now: datetime, since: datetime | None = None) -> Panel:
        """Return the last bars of all markets of events that have one now, after `since` only.

        Of their columns it has those that are kept.
        """
        number, time = self._numbered(), self._rows["time"]
        events = self.markets["event"].rank("dense").to_numpy()
        asked = np.isin(events, events[number[(time == now).to_numpy()]])
        rows = self._newest(number, np.flatnonzero(asked))
        if since is not None:
            rows = rows[(time > since).to_numpy()[rows]]
        market = pl.Series("market", number[rows], pl.UInt32)
        bars = self._rows.drop("ticker")[rows]
        return Panel(
            bars.insert_column(0, market), self.markets, self._period, references=self._columns
        )

    def _numbered(self) -> Numbers:
        """Return the number of each row's market, worked out anew after markets came or went."""
        if len(self._numbers) != self._rows.height:
            self._numbers = self._number(self._rows).to_numpy()
        return self._numbers

    def _number(self, rows: pl.DataFrame) -> pl.Series:
        names = pl.Enum(self.markets["ticker"])
        return rows["ticker"].cast(names).to_physical().cast(pl.UInt32)

    def _newest(self, number: Numbers, asked: Ints) -> Ints:
        """Return the last `lookback` rows of each of some markets, by (market, time)."""
        # Rows of a market rise in time. The sort is stable, and of 16 bits it takes one pass.
        narrow = number.astype(np.uint16) if self.markets.height < 2**16 else number
        order = np.argsort(narrow, kind="stable")
        counts = np.bincount(number, minlength=self.markets.height)
        ends = np.cumsum(counts)
        begins = ends - np.minimum(counts, self._lookback)
        return np.concatenate([order[:0], *(order[begins[m] : ends[m]] for m in asked)])

    def last_traded(self) -> pl.DataFrame:
        """Return the price of the last trade of each market: market, last (dollars)."""
        return self.numbered(self._last.with_columns(time=None)).select(
            "market", last=dollars("price_close")
        )
