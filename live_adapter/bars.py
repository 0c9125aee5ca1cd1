"""Messages of the exchange as moments: bars that close on time, and news when they come.

A bar holds what came after the one before, up to its end. What comes later never changes it. The
importer makes the same bars of the same messages, with three exceptions that only it can know of: a
book that was lost is told to be so when that is noticed, not from the message before; a market that
was described after its first bar keeps the row it was listed with, but for its strikes; and a
market has bars until it is known to have closed.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.books import bars
from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws_intake import Intake, Rows
from kalshi_bt.data.importers.ws_lines import Line
from kalshi_bt.data.importers.ws_markets import Registry
from kalshi_bt.data.proxy import assumed
from kalshi_bt.units import SECOND
from live_adapter.moments import BARS, Moment, Resumed, at, micros
from live_adapter.news import News
from live_adapter.untold import Untold

Frame = Mapping[str, Any]
_SOURCE = "feed"
_TOP = 1  # levels of a book that a bar looks at


class Bars:
    """One connection's messages on their way to moments.

    Tell it messages as they come, and now and then the time; in return it yields what became known.
    What is yielded has to be read to its end: the message itself is folded after that.

    Parameters
    ----------
    period : int
        Seconds of a bar; bars end at its multiples since 1970 UTC.
    series : collection of str, optional
        News of markets of other series are passed over; None: of none.
    booked, trading : bool
        Whether books and trades are sent: then no ticker message stands in for a book, and a bar
        without a trade has a volume of 0.
    whole : bool
        As in `Fold`.
    half_spread : int
        Centi-cents between a trade and either side of the book where books are not sent.
    depth : int, optional
        Levels of each side of the books that moments tell, as an import of that depth stores them;
        without it they tell bars alone.

    Attributes
    ----------
    counts : Counter
        What came, and what became of it; ``late``: messages that came after their bar had closed.
    """

    def __init__(
        self,
        period: int,
        *,
        series: Collection[str] | None = None,
        booked: bool = True,
        trading: bool = True,
        whole: bool = True,
        half_spread: int = 200,
        depth: int | None = None,
    ) -> None:
        self._registry, self._fold = Registry(), Fold(whole=whole)
        self._intake = Intake(self._fold, self._registry, depth or _TOP, quoted=not booked)
        self._rows = None if depth is None else Untold()
        self._fresh: list[Rows] = []  # what came since the last bar
        self._intake.trading = trading
        self.counts = self._intake.counts
        self._news = News(self._registry)
        self._length, self._seconds = period * SECOND, period
        self._series, self._booked, self._half = series, booked, half_spread
        self._adopted: dict[str, datetime] = {}  # closes that were known before
        self._after: int | None = None  # how far a session had come that goes on
        self._closed: int | None = None
        self._heard = False  # whether anything came since the last bar
        self._state, self._left = schema.BOOKS.empty(), schema.TRADES.empty()
        self._stated: pl.DataFrame | None = None
        self._traded = pl.DataFrame(schema={"ticker": pl.String, "price_close": schema.Price})

    def take(self, time: datetime, frame: Frame) -> Iterator[Moment]:
        """Learn of a message; yield the moments before it."""
        now = self._moved(micros(time))
        yield from self._until(now)
        if self._wanted(frame):
            self._heard = True
            self._intake.take(Line(now, dict(frame), _SOURCE, 0))
            if not str(frame.get("type", "")).startswith(("orderbook", "trade", "ticker")):
                self._news.due(now)
        else:
            self._intake.stand(now)

    def describe(self, time: datetime, answer: Mapping[str, Any]) -> Iterator[Moment]:
        """Learn what an answer of the exchange tells of markets, events or series."""
        now = self._moved(micros(time))
        yield from self._until(now)
        if self._registry.answer(dict(answer), _SOURCE, now):
            self._news.due(now)

    def adopt(self, resumed: Resumed) -> None:
        """Go on with what a session has: its markets are listed, its books are lost."""
        self._news.adopt(resumed.closes)
        self._adopted = {t: close for t, close in resumed.closes.items() if close is not None}
        if resumed.after is not None:
            self._after = micros(resumed.after)
            if self._rows is not None:
                self._rows.lose(resumed.booked, self._after + 1)

    def lose(self, time: datetime, sid: int | None = None) -> Iterator[Moment]:
        """Lose the books of a subscription, or all; they come back with their snapshots."""
        now = self._moved(micros(time))
        yield from self._until(now)
        self._intake.drop(sid, now)

    def begin_anew(self, time: datetime) -> Iterator[Moment]:
        """Lose all books and the bar that is open: nobody listened until the next message."""
        yield from self.lose(time)
        self._take_rows()
        self._fresh.clear()
        self._state, self._left = self._state.clear(), self._left.clear()
        self._stated, self._traded = None, self._traded.clear()
        self._closed, self._heard = None, False

    def broken(self) -> set[str]:
        """Return the markets whose books were found wrong since the last call, and are not back."""
        found = self._intake.broken
        if not found:
            return found
        self._intake.broken = set()
        return found - self._fold.books.keys()

    def until(self, time: datetime) -> Iterator[Moment]:
        """Yield the moments before a time; call it once all messages up to then were told."""
        yield from self._until(micros(time))

    def rest(self) -> Iterator[Moment]:
        """Yield the moment of what was not told when messages end, if there is something."""
        if self._rows is not None:
            self._take_rows()
            time, told = self._rows.rest(self._news.listed)
            if told:
                yield Moment(at(time), **told)

    def _take_rows(self) -> None:
        """Take what messages came to since the last time."""
        rows = self._intake.taken()
        self._fresh.append(rows)
        if self._rows is not None:
            self._rows.add(rows)

    def _moved(self, time: int) -> int:
        """Return when something counts as known: never within a bar that is closed."""
        if self._after is not None:
            time = max(time, self._after + 2)  # its books were lost before
        if self._closed is None:
            self._closed = (time - 1) // self._length * self._length
        if time <= self._closed:
            self.counts["late"] += 1
            return self._closed + 1
        return time if self._rows is None else max(time, self._rows.until + 1)

    def _wanted(self, frame: Frame) -> bool:
        """Whether a message is about a market or event that is traded; others are passed over."""
        inner = frame.get("msg")
        if self._series is None or not isinstance(inner, dict):
            return True
        name = inner.get("market_ticker") or inner.get("event_ticker") or inner.get("ticker")
        return not isinstance(name, str) or name.partition("-")[0] in self._series

    def _until(self, now: int) -> Iterator[Moment]:
        if self._closed is None:
            return
        while True:
            end = self._closed + self._length
            time = min(end, self._news.next_time or end)
            if time >= now:
                return
            if time == end and self._idle():
                # Nothing is known of any market: on to the bar in which that changes.
                last = self._news.next_time or now
                self._closed = max(end, (min(last, now) - 1) // self._length * self._length)
                if time != self._news.next_time:
                    continue
            told = self._moment(time)
            if told is not None:
                yield told

    def _idle(self) -> bool:
        return not self._heard and self._state.is_empty() and self._left.is_empty()

    def _moment(self, time: int) -> Moment | None:
        """Return what became known up to a time, the bars that end then included."""
        made = pl.DataFrame(schema=dict(BARS))
        if time == (self._closed or 0) + self._length:
            made = self._bars(time)
            self._closed = time
            self._intake.stand(time)  # a loss that is noticed from here on is none of this bar
        told = self._news.told(time, made["ticker"])
        if self._rows is not None:
            self._take_rows()
            told |= self._rows.told(time, self._news.listed)
            self._intake.stand(time)
        if made.is_empty() and not told:
            return None
        if time == self._closed:  # between bars nothing tells that one has none any more
            self._forget(self._news.over(made["ticker"], time))
        return Moment(at(time), bars=made, **told)

    def _bars(self, end: int) -> pl.DataFrame:
        """Return the bars that end at a time, and keep what the next ones begin with."""
        self._heard = False
        self._take_rows()
        rows, self._fresh, time = self._fresh, [], at(end)
        books = pl.concat([self._state, *(part.books for part in rows)])
        trades = pl.concat([self._left, *(part.trades for part in rows)]).sort(schema.TRADES.key)
        later = pl.col("time") > time  # of one moment trades are a microsecond apart
        trades, self._left = trades.filter(~later), trades.filter(later)
        said = (self._stated, *(part.interest for part in rows))
        stated = [frame for frame in said if frame is not None]
        interest = pl.concat(stated) if stated else None
        tickers = pl.concat([books["ticker"], trades["ticker"]]).unique().sort()
        made = bars(
            self._seconds,
            books=books.sort(schema.BOOKS.key),
            trades=trades if self._intake.trading else None,
            interest=interest,
            until=tickers.to_frame("ticker").with_columns(until=pl.lit(time, schema.Time)),
        ).filter(pl.col("time") == time)
        # A state stands until the next one: to the next bars it is as if it came at their start.
        start = pl.lit(time, schema.Time).alias("time")
        over = pl.col("ticker").is_in(self._over(end))
        last = books.filter(~over).group_by("ticker", maintain_order=True).last()
        self._state = last.with_columns(start).select(books.columns).sort("ticker")
        if interest is not None:
            newest = interest.group_by("ticker", maintain_order=True).last()
            self._stated = newest.with_columns(start).select(interest.columns)
        if self._booked:
            made = made.filter(pl.col("quote_source") != "none")
        return self._priced(made.filter(~over))

    def _over(self, end: int) -> list[str]:
        """Return the markets that had closed before the bar that ends at a time began."""
        closes = (self._adopted | self._registry.closes()).items()
        return [t for t, close in closes if end > -(-micros(close) // self._length) * self._length]

    def _priced(self, made: pl.DataFrame) -> pl.DataFrame:
        """Return bars with quotes around the last trade where no book is sent."""
        bare = pl.DataFrame(schema=dict(BARS)).with_columns(
            pl.col("quote_source").cast(schema.QuoteSource)
        )
        before = pl.concat([bare, self._traded], how="diagonal").with_columns(
            quote_source=pl.lit("none", schema.QuoteSource)
        )
        known = before.join(made, on="ticker", how="semi").filter(not self._booked)
        both = pl.concat([known, made.select(before.columns)]).sort("ticker", "time")
        found = assumed(both.with_columns(market="ticker"), self._half).drop("market")
        if not self._booked:
            traded = both.filter(pl.col("price_close").is_not_null())
            last = pl.concat([self._traded, traded.select(self._traded.columns)])
            self._traded = last.unique("ticker", keep="last", maintain_order=True)
        return found.filter(pl.col("time").is_not_null()).select(list(BARS))

    def _forget(self, tickers: set[str]) -> None:
        """Drop markets that were settled and have no bars any more."""
        if not tickers:
            return
        self._intake.forget(tickers)
        self._registry.forget(tickers)
        self._adopted = {t: c for t, c in self._adopted.items() if t not in tickers}
        for ticker in tickers & self._fold.books.keys():
            del self._fold.books[ticker]
        gone = pl.col("ticker").is_in(tickers)
        self._state, self._left = self._state.filter(~gone), self._left.filter(~gone)
        self._traded = self._traded.filter(~gone)
        if self._stated is not None:
            self._stated = self._stated.filter(~gone)
