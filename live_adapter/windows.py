"""The newest bars of each market that is traded: as much of the past as a signal looks at."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.units import dollars
from live_adapter.moments import BARS

_STATE = ("markets", "_rows", "_last", "_most")
_SPARE = 2_000  # rows that may gather before old ones are dropped


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

    Attributes
    ----------
    markets : frame of schema.MARKETS
        Those that are listed and not dropped, sorted by ticker; their rows are their numbers.
    """

    def __init__(self, lookback: int, period: int, columns: Sequence[str]) -> None:
        self.markets = schema.MARKETS.empty()
        self._lookback, self._period, self._columns = lookback, period, tuple(columns)
        outside: schema.Schema = dict.fromkeys(self._columns, pl.Float64())
        self._rows = pl.DataFrame(schema={**BARS, **outside})
        self._last = pl.DataFrame(schema={"ticker": pl.String, "price_close": schema.Price})
        self._most = _SPARE

    def list_markets(self, markets: pl.DataFrame) -> None:
        """Take up markets; those that are known stay as they are."""
        new = markets.join(self.markets, on="ticker", how="anti")
        if new.height:
            self.markets = pl.concat([self.markets, new.select(self.markets.columns)]).sort(
                "ticker"
            )

    def drop(self, tickers: Sequence[str]) -> None:
        """Forget markets."""
        gone = pl.col("ticker").is_in(list(tickers))
        self.markets = self.markets.filter(~gone)
        self._rows, self._last = self._rows.filter(~gone), self._last.filter(~gone)

    def numbered(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Return bars of the markets there are with their numbers, sorted by (market, time)."""
        known = bars.join(self.markets, on="ticker", how="semi")
        names = pl.Enum(self.markets["ticker"])
        number = pl.col("ticker").cast(names).to_physical().cast(pl.UInt32)
        return known.with_columns(market=number).sort("market", "time")

    def add(self, bars: pl.DataFrame) -> None:
        """Take numbered bars with the columns of the outside series."""
        self._rows = pl.concat([self._rows, bars.select(self._rows.columns)])
        traded = bars.filter(pl.col("price_close").is_not_null())
        last = pl.concat([self._last, traded.select(self._last.columns)])
        self._last = last.unique("ticker", keep="last", maintain_order=True)
        if self._rows.height > self._most:
            kept = self._rows.group_by("ticker", maintain_order=True).tail(self._lookback)
            self._rows = kept.select(self._rows.columns)
            self._most = 2 * self._rows.height + _SPARE

    def state(self) -> dict[str, Any]:
        """Return what it knows; `restore` takes it back."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in _STATE:
            setattr(self, name, state[name])

    def panel(self, now: datetime, since: datetime | None = None) -> Panel:
        """Return the last bars of all markets of events that have one now, after `since` only."""
        rows = self._rows if since is None else self._rows.filter(pl.col("time") > since)
        bars = self.numbered(rows)
        event = pl.lit(self.markets["event"]).gather(pl.col("market"))
        bars = bars.with_columns(event=event)
        asked = bars.filter(pl.col("time") == now).select("event").unique()
        mine = bars.join(asked, on="event", how="semi", maintain_order="left")
        mine = mine.group_by("market", maintain_order=True).tail(self._lookback)
        columns = [*schema.BARS.columns, "quote_source", *self._columns]
        return Panel(mine.select(columns), self.markets, self._period, references=self._columns)

    def last_traded(self) -> pl.DataFrame:
        """Return the price of the last trade of each market: market, last (dollars)."""
        return self.numbered(self._last.with_columns(time=None)).select(
            "market", last=dollars("price_close")
        )
