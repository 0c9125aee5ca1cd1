"""A feed that goes by the times of its messages, as those of a local exchange with its own time."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import cast

from kalshi_bt.data.importers.ws_lines import OVERFLOW
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import moment
from live_adapter.clock import StreamClock
from live_adapter.feed import Feed
from live_adapter.frames import FeedEvent, Lost, Received
from live_adapter.moments import EPOCH, at


class TimedByExchange:
    """A feed whose messages came when the exchange says they were sent.

    A local exchange that plays a dataset has another time than this machine. What comes before the
    first message with a time waits for it, and a loss for the message that showed it: it is known
    when that came, not when the one before did.

    Parameters
    ----------
    feed : Feed
    clock : StreamClock
        Told the time of every event before the event is handed out.
    """

    def __init__(self, feed: Feed, clock: StreamClock) -> None:
        self._feed, self._clock, self.counts = feed, clock, feed.counts
        self._known = False
        self._early: list[FeedEvent] = []  # what waits for a time
        self._ready: deque[FeedEvent] = deque()
        self.came = EPOCH  # when the newest event really came

    @property
    def depth(self) -> int:
        """Events that wait for their reader."""
        return int(getattr(self._feed, "depth", 0))

    @property
    def peak(self) -> int:
        """The most events that ever waited."""
        return int(getattr(self._feed, "peak", 0))

    async def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what becomes known, in order."""
        async with aclosing(closable(self._feed)) as events:
            async for event in events:
                self._take(event)
                while self._ready:
                    yield self._ready.popleft()

    def next(self) -> FeedEvent | None:
        """Return the oldest event that waits; None if none does, or its time is not known yet."""
        while not self._ready:
            event = self._feed.next()
            if event is None:
                return None
            self._take(event)
        return self._ready.popleft()

    def _take(self, event: FeedEvent) -> None:
        """Line an event up at the time that it tells, or that was told last."""
        told = time_told(event) if isinstance(event, Received) else None
        self.came = event.time
        if told is not None:
            self._clock.advance(told)
            self._known = True
        self._early.append(event)
        shown = isinstance(event, Lost) and event.why != OVERFLOW
        if self._known and not shown:
            now = self._clock.now()
            self._ready.extend(_at(each, now) for each in self._early)
            self._early.clear()

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Ask for channels of markets."""
        await self._feed.subscribe(channels, tickers)

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets no longer."""
        await self._feed.unsubscribe(channels, tickers)

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for the books of markets anew."""
        await self._feed.refresh(tickers)


def closable(feed: Feed) -> AsyncGenerator[FeedEvent, None]:
    """Return the events of a feed, which every feed makes as a generator."""
    return cast("AsyncGenerator[FeedEvent, None]", feed.events())


def time_told(event: Received) -> datetime | None:
    """Return the exchange's own time of a message; None if it has none."""
    try:
        told = moment(event.frame)
    except UnreadableError:
        return None
    return None if told is None else at(told)


def _at(event: FeedEvent, time: datetime) -> FeedEvent:
    return event._replace(time=time) if isinstance(event, Received) else replace(event, time=time)
