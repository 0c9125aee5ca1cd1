"""Where moments come from: a stored dataset, a recording, or the exchange while it happens."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

from kalshi_bt.data.kalshi.client import Client
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.store import Store
from kalshi_bt.data.wire import moment as stamped
from kalshi_bt.errors import UsageError
from kalshi_bt.plan import Plan
from live_adapter.bars import Bars
from live_adapter.clock import Clock, StreamClock
from live_adapter.desk import Pulse
from live_adapter.feed import Feed
from live_adapter.frames import Down, FeedEvent, Lost, Received, Up
from live_adapter.moments import EPOCH, Moment, at
from live_adapter.panels import replay
from live_adapter.replay import RecordingFeed

_BOOKS = ("orderbook_delta", "trade")
_NEWS = ("market_lifecycle_v2",)
_GRACE = timedelta(milliseconds=250)  # for messages of a bar that are on their way when it ends
_AGAIN = timedelta(seconds=60)  # how often new markets are looked for
_USUAL_BAR = 60  # seconds
_PAGE = 1_000
DEPTH = 10  # levels of each side of a book, as of an import


class Source(Protocol):
    """Moments, and how whatever brings them is.

    Attributes
    ----------
    name : str
        As it stands in the session's settings.
    period : int
        Seconds of a bar.
    sources : sequence of str
        Whose references will come.
    """

    name: str
    period: int
    sources: Sequence[str]

    def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield what became known, after a time if one is given."""
        ...

    def pulse(self, time: datetime) -> Pulse:
        """Return how the feed is at a moment of that time."""
        ...

    def health(self) -> dict[str, Any]:
        """Return what a screen shows of the feed."""
        ...


class Stored:
    """A dataset, told from its beginning as fast as it is taken; the clock goes with it."""

    def __init__(self, path: Path, plan: Plan, clock: StreamClock) -> None:
        self._clock = clock
        self._told = replay(Store.open(path), plan)
        self.name = f"replay {path}"
        self.period = self._told.period
        self.sources: Sequence[str] = self._told.sources

    async def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield the moments of the dataset."""
        for moment in self._told.moments(after):
            self._clock.advance(moment.time)
            yield moment
            await asyncio.sleep(0)  # Ctrl-C is heard between two moments

    def pulse(self, time: datetime) -> Pulse:
        """Return a feed that is always there."""
        return Pulse(time)

    def health(self) -> dict[str, Any]:
        """Return nothing: there is no feed."""
        return {}


class TimedByExchange:
    """A feed whose messages came when the exchange says they were sent.

    A local exchange that plays a dataset has another time than this machine. What comes before the
    first message with a time waits for it.

    Parameters
    ----------
    feed : Feed
    clock : StreamClock
        Told the time of every event before the event is handed out.
    """

    def __init__(self, feed: Feed, clock: StreamClock) -> None:
        self._feed, self._clock, self.counts = feed, clock, feed.counts

    async def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what becomes known, in order."""
        early: list[FeedEvent] = []
        known = False
        async with aclosing(_closable(self._feed)) as events:
            async for event in events:
                told = _told(event) if isinstance(event, Received) else None
                if told is not None:
                    self._clock.advance(told)
                    known = True
                early.append(event)
                if known:
                    for each in early:
                        yield _at(each, self._clock.now())
                    early = []

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Ask for channels of markets."""
        await self._feed.subscribe(channels, tickers)

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets no longer."""
        await self._feed.unsubscribe(channels, tickers)

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for the books of markets anew."""
        await self._feed.refresh(tickers)


def _closable(feed: Feed) -> AsyncGenerator[FeedEvent, None]:
    """Return the events of a feed, which every feed makes as a generator."""
    return cast("AsyncGenerator[FeedEvent, None]", feed.events())


def _told(event: Received) -> datetime | None:
    """Return the exchange's own time of a message; None if it has none."""
    try:
        told = stamped(event.frame)
    except UnreadableError:
        return None
    return None if told is None else at(told)


def _at(event: FeedEvent, time: datetime) -> FeedEvent:
    return event._replace(time=time) if isinstance(event, Received) else replace(event, time=time)


class Fed:
    """A feed of messages, turned to bars that close on time.

    Parameters
    ----------
    name : str
    feed : Feed
    clock : Clock
        That of the feed.
    plan : Plan
    whole : bool
        As in `fold.Fold`.
    depth : int
        Levels of each side of a book, where takers walk them.
    client : Client, optional
        Asked for the markets of the plan's series, at first and every minute, which are then
        subscribed to until they are settled; without one nothing is subscribed to.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        clock: Clock,
        plan: Plan,
        *,
        whole: bool = True,
        depth: int = DEPTH,
        client: Client | None = None,
    ) -> None:
        self.name, self.period = name, plan.period or _USUAL_BAR
        self.sources: Sequence[str] = ()
        self._feed, self._clock, self._client = feed, clock, client
        self._series = plan.config.series
        self._bars = Bars(
            self.period,
            series=self._series or None,
            whole=whole,
            half_spread=plan.half_spread,
            depth=depth if plan.rules.fill.book else None,
        )
        self._last: Received | None = None
        self._up, self._why = client is None, "not connected yet"
        self._known: set[str] = set()
        self._asked: datetime | None = None
        self._answered: list[dict[str, Any]] = []

    async def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield the moments of the feed."""
        async with aclosing(self._all()) as told:
            async for moment in told:
                if after is None or moment.time > after:
                    yield moment
                if self._client is not None and moment.settled.height:
                    await self._feed.unsubscribe(_BOOKS, moment.settled["ticker"])

    def pulse(self, time: datetime) -> Pulse:
        """Return when the feed was heard last and what time the exchange said it was."""
        if self._client is None:
            return Pulse(time)
        if self._last is None:
            return Pulse(self._clock.now(), datetime.min.replace(tzinfo=UTC))
        return Pulse(self._clock.now(), self._last.time, _told(self._last))

    def health(self) -> dict[str, Any]:
        """Return the connection, messages by kind, and how many wait."""
        waiting = {n: getattr(self._feed, n) for n in ("depth", "peak") if hasattr(self._feed, n)}
        heard = None if self._last is None else self._last.time.isoformat()
        state = "up" if self._up else f"down: {self._why}"
        return {"feed": state, "heard": heard, **waiting, **dict(self._feed.counts)}

    async def _all(self) -> AsyncGenerator[Moment, None]:
        await self._look()
        async with aclosing(_closable(self._feed)) as events:
            coming = asyncio.ensure_future(anext(events, None))
            try:
                while True:
                    end = self._end()
                    tick = asyncio.ensure_future(self._clock.sleep_until(end + _GRACE))
                    await asyncio.wait({coming, tick}, return_when=asyncio.FIRST_COMPLETED)
                    if coming.done():
                        tick.cancel()
                        event = coming.result()
                        if event is None:
                            break
                        for moment in (*self._described(), *self._take(event)):
                            yield moment
                        coming = asyncio.ensure_future(anext(events, None))
                        continue
                    until = self._bars.until(end + timedelta(microseconds=1))
                    for moment in (*self._described(), *until):
                        yield moment
                    await self._look()
            finally:
                coming.cancel()
                await asyncio.wait({coming})
        if self._last is not None:  # a recording is over: so is its last bar, if it was whole
            last = self._bars.until(self._last.time + timedelta(microseconds=1))
            for moment in (*last, *self._bars.rest()):
                yield moment

    def _end(self) -> datetime:
        """Return when the bar that is open by the clock ends."""
        length = timedelta(seconds=self.period)
        now = self._clock.now()
        return EPOCH + ((now - EPOCH - _GRACE) // length + 1) * length

    def _take(self, event: FeedEvent) -> Iterator[Moment]:
        match event:
            case Received():
                self._last = event
                yield from self._bars.take(event.time, event.frame)
            case Lost():
                yield from self._bars.lose(event.time, event.sid)
            case Down():
                self._up, self._why = False, event.why
                yield from self._bars.lose(event.time)
            case Up():
                self._up = True

    def _described(self) -> Iterator[Moment]:
        """Tell the bars of the answers that came, once the time is known."""
        now = self._clock.now()
        if now > EPOCH:
            answers, self._answered = self._answered, []
            for answer in answers:
                yield from self._bars.describe(now, answer)

    async def _look(self) -> None:
        """Ask for the markets of the series, if that is due, and subscribe to the new ones."""
        now = self._clock.now()
        if self._client is None or (self._asked is not None and now - self._asked < _AGAIN):
            return
        first, self._asked = self._asked is None, now
        answers = await asyncio.to_thread(lambda: list(self._answers(series=first)))
        self._answered += answers
        tickers = {m["ticker"] for answer in answers for m in answer.get("markets", ())}
        new = sorted(tickers - self._known)
        if first:
            if not new:
                raise UsageError(
                    f"no market of {', '.join(self._series)} is open at {self.name}; name another "
                    "--series, or wait"
                )
            await self._feed.subscribe(_NEWS)
        if new:
            await self._feed.subscribe(_BOOKS, new)
        self._known = tickers  # what is not open any more is not asked for again

    def _answers(self, *, series: bool) -> Iterator[dict[str, Any]]:
        assert self._client is not None
        for name in self._series:
            if series:
                told = self._client.get(f"/series/{name}", absent_ok=True)
                if told is None:
                    raise UsageError(f"{self.name} has no series {name}; check --series")
                yield told
            for path, key in (("/events", "events"), ("/markets", "markets")):
                yield from self._pages(path, {"series_ticker": name, "status": "open"}, key)

    def _pages(self, path: str, asked: dict[str, str | int], key: str) -> Iterator[dict[str, Any]]:
        assert self._client is not None
        size, cursor = (200 if key == "events" else _PAGE), ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = self._client.get(path, {**asked, "limit": size, **more})
            yield page
            cursor = page.get("cursor") or ""
            if not cursor or not page.get(key):
                return


def played(
    path: Path,
    plan: Plan,
    clock: StreamClock,
    *,
    by_exchange: bool = False,
    depth: int = DEPTH,
) -> Source:
    """Return a recording as a source; the clock goes with its receive times, or the exchange's."""
    feed = RecordingFeed([path], StreamClock() if by_exchange else clock)
    timed: Feed = TimedByExchange(feed, clock) if by_exchange else feed
    return Fed(f"replay {path}", timed, clock, plan, whole=feed.whole, depth=depth)


def connected(
    name: str, feed: Feed, clock: Clock, plan: Plan, client: Client, *, depth: int = DEPTH
) -> Source:
    """Return the exchange as a source; a `StreamClock` goes by the times of its messages.

    Raises
    ------
    UsageError
        If no series is named.
    """
    if not plan.config.series:
        raise UsageError("no series given; name what is to be watched, such as --series KXBTC15M")
    timed = TimedByExchange(feed, clock) if isinstance(clock, StreamClock) else feed
    return Fed(name, timed, clock, plan, depth=depth, client=client)
