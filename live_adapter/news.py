"""What is known of markets beside their bars, told once: listings, closes, results, fees."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt.data.importers.ws_markets import Registry
from kalshi_bt.units import SECOND
from live_adapter.moments import at, micros
from live_adapter.windows import TERMS

_QUIET = 3_600 * SECOND  # a settled market is dropped after it was quiet for so long


class News:
    """What a registry knows that was not told yet.

    Parameters
    ----------
    registry : Registry
        Filled by whoever reads messages.

    Attributes
    ----------
    next_time : int or None
        When there is something to tell next, microseconds.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.next_time: int | None = None
        self._listed: dict[str, datetime | None] = {}
        self._terms: dict[str, list[object]] = {}
        self._said: set[tuple[str, datetime]] = set()
        self._paid: dict[str, int] = {}
        self._series: set[str] = set()
        self._fees: set[tuple[str, datetime]] = set()

    @property
    def listed(self) -> Collection[str]:
        """Which markets were listed, and not dropped since."""
        return self._listed.keys()

    def adopt(self, closes: Mapping[str, datetime | None]) -> None:
        """Count markets as told, with the closes that were."""
        self._listed |= closes

    def due(self, time: int) -> None:
        """Note that the registry learnt something at a time."""
        self.next_time = time if self.next_time is None else min(time, self.next_time)

    def told(self, time: int, traded: pl.Series) -> dict[str, Any]:
        """Return what is to be told at a time, fields of a Moment; `traded` have bars then."""
        strangers = set(traded) - self._listed.keys()
        if not strangers and (self.next_time is None or self.next_time > time):
            return {}
        settled = self._registry.settlements()
        late = (pl.col("time") < at(time)) & pl.col("ticker").is_in(list(self._listed))
        unpaid = settled.filter(late & ~pl.col("ticker").is_in(list(self._paid)))["ticker"]
        if unpaid.len():  # a document tells of it now, whenever it was paid
            self._registry.paid(unpaid, time)
            settled = self._registry.settlements()
        said = self._registry.determinations()
        listed = self._listings(traded, settled, time)
        found: dict[str, Any] = {"listed": listed} if listed.height else {}
        found |= self._fee_rows(listed)
        mine = pl.col("ticker").is_in(list(self._listed))
        settled = settled.filter(mine & ~pl.col("ticker").is_in(list(self._paid)))
        said = said.filter(mine)
        said = said.filter([row not in self._said for row in said.select("ticker", "time").rows()])
        self.next_time = self._later(settled, said, time)
        known = pl.col("time") <= at(time)
        settled, said = settled.filter(known), said.filter(known)
        closes = self._closes(settled)
        self._paid |= dict.fromkeys(settled["ticker"], time)
        self._said |= set(said.select("ticker", "time").rows())
        parts = {"settled": settled, "determined": said}
        found |= {name: part for name, part in parts.items() if part.height}
        return found | ({"closes": closes} if closes else {})

    def over(self, traded: pl.Series, time: int) -> set[str]:
        """Return the markets that were settled, are quiet and can be forgotten; each once."""
        over = {t for t, paid in self._paid.items() if paid + _QUIET < time} - set(traded)
        for ticker in over:
            del self._paid[ticker], self._listed[ticker]
            self._terms.pop(ticker, None)
        self._said = {row for row in self._said if row[0] not in over}
        return over

    def _listings(self, traded: pl.Series, settled: pl.DataFrame, time: int) -> pl.DataFrame:
        """Return the markets to be listed: all that are described and not over, and `traded`.

        That a market was activated does not describe it: the row it is listed with stays. One whose
        strikes are others than were told is listed again.
        """
        named, others = self._registry.markets(traded)
        past = settled.filter(pl.col("time") <= at(time))["ticker"]
        described = pl.col("open_time").is_not_null() | pl.col("close_time").is_not_null()
        both = pl.concat(
            [named.filter(described | pl.col("ticker").is_in(traded.implode())), others]
        )
        terms = {ticker: row for ticker, *row in both.select("ticker", *TERMS).iter_rows()}
        same = [t for t in self._listed if t not in terms or terms[t] == self._terms.get(t)]
        new = ~pl.col("ticker").is_in(same)
        fresh = ~pl.col("ticker").is_in(past.implode()) | pl.col("ticker").is_in(traded.implode())
        listed = both.filter(new & fresh).sort("ticker")
        for ticker, close in listed.select("ticker", "close_time").iter_rows():
            self._listed.setdefault(ticker, close)
            self._terms[ticker] = terms[ticker]
        return listed

    def _fee_rows(self, listed: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Return the fee rows of series that are new, and of events that were not told."""
        found = {}
        series = set(listed["series"]) - self._series
        if series:
            rows, _ = self._registry.series(series)
            found["series"] = rows.filter(pl.col("series").is_in(series))
            self._series |= series
        own = self._registry.event_fees()
        keys = own.select("event", "effective_from").rows()
        new = own.filter([key not in self._fees for key in keys])
        if new.height:
            found["event_fees"] = new
            self._fees |= set(keys)
        return found

    def _closes(self, settled: pl.DataFrame) -> dict[str, datetime]:
        """Return the closes of listed markets that are not those that were told."""
        ends = self._registry.closes() | dict(settled.select("ticker", "close_time").iter_rows())
        new = {t: end for t, end in ends.items() if self._listed.get(t, end) != end}
        self._listed |= new
        return new

    def _later(self, settled: pl.DataFrame, said: pl.DataFrame, time: int) -> int | None:
        """Return when the first fact after a time becomes known; documents tell some in advance."""
        times = pl.concat([settled["time"], said["time"]])
        rest = times.filter(times > at(time)).min()
        return micros(rest) if isinstance(rest, datetime) else None
