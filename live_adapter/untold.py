"""Recorded depth on its way to moments: rows wait until their time and their market are told."""

from collections.abc import Collection
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.importers.ws_intake import Rows
from live_adapter.moments import at, micros

_NAMES = ("books", "trades")


class Untold:
    """Books and trades that no moment told yet.

    Attributes
    ----------
    until : int
        The time up to which all was told, microseconds; what comes later counts from then on.
    """

    def __init__(self) -> None:
        self.until = 0
        self._waiting = {"books": schema.BOOKS.empty(), "trades": schema.TRADES.empty()}

    def add(self, rows: Rows) -> None:
        """Take what messages came to."""
        for name in _NAMES:
            new = getattr(rows, name)
            if new.height:
                self._waiting[name] = pl.concat([self._waiting[name], new])

    def lose(self, tickers: Collection[str], time: int) -> None:
        """Take it that the books of some markets are not known from a time on."""
        rows = [(ticker, at(time), None, None) for ticker in tickers]
        lost = pl.DataFrame(rows, schema=schema.BOOKS.columns, orient="row")
        self._waiting["books"] = pl.concat([self._waiting["books"], lost])

    def told(self, time: int, listed: Collection[str]) -> dict[str, Any]:
        """Return the rows of listed markets up to a time, fields of a Moment, and forget them."""
        self.until = time
        due = (pl.col("time") <= at(time)) & pl.col("ticker").is_in(list(listed))
        found = {}
        for name in _NAMES:
            waiting = self._waiting[name]
            rows = waiting.filter(due)
            if rows.height:
                found[name] = rows.sort("ticker", "time", maintain_order=True)
                self._waiting[name] = waiting.filter(~due)
        return found

    def rest(self, listed: Collection[str]) -> tuple[int, dict[str, Any]]:
        """Return the time of the last row, and all rows of listed markets by then."""
        last = [micros(frame["time"].max()) for frame in self._waiting.values() if frame.height]  # type: ignore[arg-type]
        time = max(last, default=self.until)
        return time, self.told(time, listed)
