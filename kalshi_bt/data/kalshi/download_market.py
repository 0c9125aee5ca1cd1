"""Bars and trades of one market, in pieces that can each be committed.

What is known of a subject is one span, so pieces grow it at one of its ends: bars forward in time
(backward below what is known), trades backward, as the exchange sends the newest first. A market
that is not settled is known up to its newest row only: that holds whatever the clocks say.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

import polars as pl

from kalshi_bt.data.kalshi import parse, parse_routes
from kalshi_bt.data.kalshi.download_listing import Wanted
from kalshi_bt.data.kalshi.download_pages import Lost, Reader
from kalshi_bt.data.kalshi.download_rows import Piece, Span, usable
from kalshi_bt.data.kalshi.parse import Page
from kalshi_bt.data.kalshi.parse_routes import MOST_BARS, Route
from kalshi_bt.schema import CANDLES, TRADES, QuoteSource

FIRST = datetime(2021, 6, 1, tzinfo=UTC)  # nothing traded before
AFTER = timedelta(minutes=1)  # the close, up to which trades are asked for


class Side(Enum):
    """Where a gap is: nothing is known, before what is known, or after it."""

    NEW, LOWER, UPPER = range(3)


@dataclass(frozen=True)
class Market:
    """A market whose rows are wanted.

    Attributes
    ----------
    ticker, series : str
        Its names.
    opens : datetime, optional
        None: not known.
    closes : datetime, optional
        As known now; None: it is not told.
    settled : datetime, optional
        When it was paid; None: not yet.
    """

    ticker: str
    series: str
    opens: datetime | None
    closes: datetime | None
    settled: datetime | None


@dataclass(frozen=True)
class Task:
    """One table of one market.

    Attributes
    ----------
    market : Market
        Whose rows.
    wanted : Wanted
        Which of them.
    period : int
        Seconds of a bar; 0 for trades.
    span : Span, optional
        What is stored already.
    """

    market: Market
    wanted: Wanted
    period: int
    span: Span | None

    @property
    def key(self) -> tuple[str, str, int]:
        """Key of its row in the coverage."""
        return "candles" if self.period else "trades", self.market.ticker, self.period

    @property
    def start(self) -> datetime | None:
        """The start that is wanted; None for the first row there is."""
        start, opens = self.wanted.start, self.market.opens
        return None if start is None or (opens is not None and start <= opens) else start

    @property
    def since(self) -> datetime:
        """The same as a time."""
        return self.start or self.market.opens or FIRST

    @property
    def last(self) -> datetime:
        """The end that is wanted."""
        after = timedelta(seconds=self.period) if self.period else AFTER
        ends = [self.wanted.now, self.wanted.end]
        if self.market.closes is not None:
            # A bar that ends later than this is wholly after the close.
            ends.append(self.market.closes + after - timedelta(seconds=bool(self.period)))
        return min(end for end in ends if end is not None)

    @property
    def final(self) -> bool:
        """Whether the end that is wanted is the end of the market."""
        closes, end = self.market.closes, self.wanted.end
        paid = self.market.settled is not None and closes is not None
        return paid and (end is None or closes is None or end >= closes + AFTER)

    def gaps(self) -> list[tuple[datetime, datetime, "Side"]]:
        """Return what is missing: from, to, and at which end of what is known."""
        span = self.span
        if span is None:
            return [(self.since, self.last, Side.NEW)] if self.since < self.last else []
        found = []
        if not span.reaches(self.start) and span.start is not None:
            # What is known stays in one piece, whatever lies between it and the end that is wanted.
            found.append((self.since, span.start, Side.LOWER))
        if not span.final and span.end < self.last:
            back = timedelta(seconds=max(self.period, 60))
            since = max(span.end - back, span.start or self.market.opens or FIRST)
            found.append((since, self.last, Side.UPPER))
        return [gap for gap in found if gap[0] < gap[1]]


def candles(reader: Reader, task: Task) -> Iterator[Piece]:
    """Yield the missing bars of a market.

    Raises
    ------
    DataError
        As `Reader.page`.
    """
    span = task.span
    for start, end, side in task.gaps():
        windows = chunks(start, end, timedelta(seconds=task.period * MOST_BARS))
        for low, high in reversed(windows) if side is Side.LOWER else windows:
            lost: list[Lost] = []
            frame = _bars(reader, task, low, high, lost)
            first = low if side is Side.LOWER and low != start else task.start
            top = _top(task, high, frame)
            span = _grown(span, side, first, top, final=task.final and high == end)
            yield Piece({"candles": frame}, {task.key: span} if span else {}, lost)


def trades(reader: Reader, task: Task) -> Iterator[Piece]:
    """Yield the missing trades of a market.

    Raises
    ------
    DataError
        As `Reader.pages`.
    """
    span = task.span
    for start, end, side in task.gaps():
        top = _top(task, end, TRADES.empty())
        oldest: datetime | None = None
        backward = side is not Side.UPPER
        lost: list[Lost] = []
        for route, page in _trade_pages(reader, task, start, end, lost):
            frame = _trades(task, route, page, (start, end), lost)
            low, high = frame["time"].min(), frame["time"].max()
            known: Span | None = None
            if isinstance(low, datetime) and isinstance(high, datetime):
                backward = backward and (oldest is None or high <= oldest)
                oldest, top = low, high if top is None else max(top, high)
                known = _grown(span, side, low, top, final=task.final) if backward else None
            yield Piece({"trades": frame}, {task.key: known} if known else {}, lost[:])
            lost.clear()
        span = _grown(span, side, task.start, top, final=task.final)
        yield Piece({}, {task.key: span} if span else {}, lost)


def _grown(
    span: Span | None, side: Side, start: datetime | None, top: datetime | None, *, final: bool
) -> Span | None:
    """Return what is known once a gap is filled from `start`, or up to `top`."""
    if span is None or side is Side.NEW:
        return None if top is None else Span(start, top, final)
    if side is Side.LOWER:
        return replace(span, start=start)
    return Span(span.start, span.end if top is None else max(span.end, top), final)


def _top(task: Task, end: datetime, frame: pl.DataFrame) -> datetime | None:
    """Return up to when rows are complete: of a market that goes on, up to the newest."""
    if task.market.settled is not None:
        return end
    newest = frame["time"].max()
    return newest if isinstance(newest, datetime) else None


def chunks(start: datetime, end: datetime, length: timedelta) -> list[tuple[datetime, datetime]]:
    """Return a span cut into windows of at most `length`, in the order of time."""
    found = []
    while start < end:
        found.append((start, min(start + length, end)))
        start = found[-1][1]
    return found


def _bars(
    reader: Reader, task: Task, start: datetime, end: datetime, lost: list[Lost]
) -> pl.DataFrame:
    """Return the bars of one window, from the tier that has the market."""
    market, cutoff = task.market, task.wanted.markets_cutoff
    first = market.settled is not None and market.settled < cutoff
    for archived in (first, not first):
        route = parse_routes.candles(
            market.series, market.ticker, start, end, task.period, archived=archived
        )
        page = reader.page("candles", route, parse.candles, lost, absent_ok=True)
        if page is not None:
            break
    else:
        return CANDLES.empty()
    frame = usable(
        "candles",
        page.rows,
        page.places,
        str(route),
        lost,
        {
            "ticker": pl.lit(market.ticker),
            "period": pl.lit(task.period, pl.Int32),
            "quote_source": pl.lit("candle", QuoteSource),
        },
    )
    # Bars that have not ended yet say something else the next time.
    return frame.filter((pl.col("time") > start) & (pl.col("time") <= end))


def _trade_pages(
    reader: Reader, task: Task, start: datetime, end: datetime, lost: list[Lost]
) -> Iterator[tuple[Route, Page]]:
    """Yield pages of trades of both tiers, newest first."""
    cutoff = task.wanted.trades_cutoff
    for archived, asked in ((False, end >= cutoff), (True, start < cutoff)):
        if asked:
            route = parse_routes.trades(task.market.ticker, start, end, archived=archived)
            for page in reader.pages("trades", route, parse.trades, lost):
                yield route, page


def _trades(
    task: Task, route: Route, page: Page, gap: tuple[datetime, datetime], lost: list[Lost]
) -> pl.DataFrame:
    places = [page.before + place for place in page.places]
    frame = usable("trades", page.rows, places, str(route), lost)
    start, end = gap
    mine = pl.col("ticker") == task.market.ticker
    return frame.filter(mine & (pl.col("time") > start) & (pl.col("time") <= end))
