"""Where moments come from: a stored dataset, a recording, or the exchange while it happens."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from kalshi_bt.data.importers.ws_lines import RESUMED
from kalshi_bt.data.store import Store
from kalshi_bt.errors import KalshiBtError
from kalshi_bt.plan import Plan
from live_adapter.bars import Bars
from live_adapter.clock import Clock, StreamClock
from live_adapter.desk import Pulse
from live_adapter.feed import Feed
from live_adapter.frames import Down, FeedEvent, Lost, Received, Up
from live_adapter.journal import Entry
from live_adapter.listing import Answer, Listing, Lookout, aside, nothing_open
from live_adapter.logs import note, warn
from live_adapter.moments import EPOCH, Moment, Resumed
from live_adapter.panels import replay
from live_adapter.replay import RecordingFeed
from live_adapter.timed import TimedByExchange, closable, time_told

_BOOKS = ("orderbook_delta", "trade")
_NEWS = ("market_lifecycle_v2",)
_GRACE = timedelta(milliseconds=250)  # for messages of a bar that are on their way when it ends
_USUAL_BAR = 60  # seconds
DEPTH = 10  # levels of each side of a book, as of an import
_NAMED = 20  # tickers in a line of the log
_AT_ONCE = 64  # messages that are taken between two turns of the loop


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
    listens : bool
        Whether moments come as they happen.
    tell : callable
        Given what the journal is told of the feed.
    came : datetime, datetime
        When what closed the newest bars came, by the clock of the session and by this machine's.
    heard : datetime or None
        When the last message came, by this machine's clock.
    """

    name: str
    period: int
    sources: Sequence[str]
    listens: bool
    tell: Callable[[list[Entry]], object]

    @property
    def came(self) -> tuple[datetime, datetime]:
        """When the newest bars came."""
        ...

    @property
    def heard(self) -> datetime | None:
        """When the last message came."""
        ...

    def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield what became known, after a time if one is given."""
        ...

    def pulse(self, time: datetime) -> Pulse:
        """Return how the feed is at a moment of that time."""
        ...

    def health(self) -> dict[str, Any]:
        """Return what a screen shows of the feed."""
        ...

    def adopt(self, resumed: Resumed) -> None:
        """Learn what a session has that goes on."""
        ...


class Stored:
    """A dataset, told from its beginning as fast as it is taken; the clock goes with it."""

    def __init__(self, path: Path, plan: Plan, clock: StreamClock) -> None:
        self._clock = clock
        self._told = replay(Store.open(path), plan)
        self.name = f"replay {path}"
        self.period = self._told.period
        self.sources: Sequence[str] = self._told.sources
        self.listens, self.came = False, (EPOCH, EPOCH)
        self.heard: datetime | None = None
        self.tell: Callable[[list[Entry]], object] = _nobody

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

    def adopt(self, resumed: Resumed) -> None:
        """Do nothing: the dataset tells of all its markets."""


def _nobody(entries: list[Entry]) -> None:
    """Tell nobody."""


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
    listing : Listing, optional
        Asked for the markets of the plan's series, which are then subscribed to until they are
        settled; without one nothing is subscribed to.
    here : Clock, optional
        That of this machine, if the other is not.
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
        listing: Listing | None = None,
        here: Clock | None = None,
    ) -> None:
        self.name, self.period = name, plan.period or _USUAL_BAR
        self.sources: Sequence[str] = ()
        self._feed, self._clock, self._listing = feed, clock, listing
        self._here = here or clock
        self.listens, self.came = listing is not None, (EPOCH, EPOCH)
        self.heard: datetime | None = None
        self.tell: Callable[[list[Entry]], object] = _nobody
        self._series = plan.config.series
        self._bars = Bars(
            self.period,
            series=self._series or None,
            whole=whole,
            half_spread=plan.half_spread,
            depth=depth if plan.rules.fill.book else None,
        )
        self._last: Received | None = None
        self._up, self._why = listing is None, "not connected yet"
        self._lookout = Lookout(self._series)
        self._looking: asyncio.Future[list[Answer]] | None = None
        self._subscribed: set[str] = set()
        self._answered: list[Answer] = []

    async def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield the moments of the feed."""
        async with aclosing(self._all()) as told:
            async for moment in told:
                self._lookout.over(moment.settled["ticker"])
                if after is None or moment.time > after:
                    yield moment

    def pulse(self, time: datetime) -> Pulse:
        """Return when the feed was heard last and what time the exchange said it was."""
        if self._listing is None:
            return Pulse(time)
        if self._last is None:  # a clock that goes by messages stands at no time yet
            return Pulse(max(self._clock.now(), time), datetime.min.replace(tzinfo=UTC))
        now = self._clock.now()
        if self._here is not self._clock:  # time goes by with messages: there is no other to ask
            return Pulse(now, now)
        return Pulse(now, self._last.time, time_told(self._last))

    def health(self) -> dict[str, Any]:
        """Return the connection, messages by kind, and how many wait."""
        waiting = {n: getattr(self._feed, n) for n in ("depth", "peak") if hasattr(self._feed, n)}
        heard = None if self._last is None else f"{self._last.time:%H:%M:%S}"
        state = "up" if self._up else f"down: {self._why}"
        known: dict[str, Any] = {}
        if self._listing is not None:
            known = {"markets": len(self._subscribed), **self._listing.counts}
        return {"feed": state, "heard": heard, **known, **waiting, **dict(self._feed.counts)}

    def adopt(self, resumed: Resumed) -> None:
        """Go on with markets of a session that was stopped: their results are asked for, too."""
        if self._listing is not None:  # a recording is told from its beginning
            self._lookout.known |= resumed.closes
            self._bars.adopt(resumed)

    async def _all(self) -> AsyncGenerator[Moment, None]:
        await self._begin()
        async with aclosing(closable(self._feed)) as events:
            coming = asyncio.ensure_future(anext(events, None))
            try:
                while True:
                    end = self._end()
                    tick = asyncio.ensure_future(self._clock.sleep_until(self._wake(end)))
                    waiting: set[asyncio.Future[Any]] = {coming, tick}
                    waiting |= {self._looking} if self._looking else set()
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    tick.cancel()
                    await self._look()
                    if coming.done():
                        event = coming.result()
                        if event is None:
                            break
                        for moment in self._batch(event):
                            yield moment
                        if broken := self._bars.broken():
                            await self._feed.refresh(sorted(broken))
                        coming = asyncio.ensure_future(anext(events, None))
                    elif self._clock.now() >= end + _GRACE:
                        self.came = self._clock.now(), self._here.now()
                        until = self._bars.until(end + timedelta(microseconds=1))
                        for moment in (*self._described(self._clock.now()), *until):
                            yield moment
            finally:
                coming.cancel()
                await asyncio.wait({coming})
        if self._last is not None:  # a recording is over: so is its last bar, if it was whole
            last = self._bars.until(self._last.time + timedelta(microseconds=1))
            for moment in (*last, *self._bars.rest()):
                yield moment

    def _batch(self, event: FeedEvent | None) -> Iterator[Moment]:
        """Take an event and those that wait behind it: a turn of the loop for each is dear."""
        left = _AT_ONCE
        while event is not None:
            yield from self._described(event.time)  # of what waits, the clock may be ahead
            yield from self._take(event)
            left -= 1
            event = self._feed.next() if left else None

    def _end(self) -> datetime:
        """Return when the bar that is open by the clock ends."""
        length = timedelta(seconds=self.period)
        now = self._clock.now()
        return EPOCH + ((now - EPOCH - _GRACE) // length + 1) * length

    def _wake(self, end: datetime) -> datetime:
        """Return when there is something to do though no message comes."""
        if self._listing is None or self._looking is not None:
            return end + _GRACE
        return min(end + _GRACE, self._lookout.due)

    def _take(self, event: FeedEvent) -> Iterator[Moment]:
        really: datetime = getattr(self._feed, "came", event.time)
        self.came, self.heard = (event.time, really), really
        match event:
            case Received():
                self._last = event
                self._lookout.news(event.frame, event.time)
                yield from self._bars.take(event.time, event.frame)
            case Lost():
                self._tell("feed_hole", event.time, sid=event.sid, why=event.why)
                yield from self._bars.lose(event.time, event.sid)
            case Down():
                self._up, self._why = False, event.why
                self._tell("feed_down", event.time, why=event.why)
                resumed = event.why == RESUMED
                lose = self._bars.begin_anew if resumed else self._bars.lose
                yield from lose(event.time)
            case Up():
                self._up = True
                self._tell("feed_up", event.time)

    def _tell(self, event: str, time: datetime, **payload: object) -> None:
        """Tell the journal of the feed; of a recording what it says of itself is enough."""
        if self.listens:
            self.tell([Entry(time.isoformat(), event, payload)])

    def _described(self, now: datetime) -> Iterator[Moment]:
        """Tell the bars of the answers that came, once the time is known."""
        if self._answered and now > EPOCH:
            answers, self._answered = self._answered, []
            for answer in answers:
                yield from self._bars.describe(now, answer)

    # --- markets ----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Ask for the series and their markets, and subscribe to what there is."""
        if self._listing is None:
            return
        listing = self._listing
        now = self._clock.now()
        unpaid = self._lookout.unpaid(now) if now > EPOCH else []
        self._learn(
            await aside(lambda: [*listing.series(), *listing.markets(), *listing.named(unpaid)])
        )
        if not self._lookout.known:
            raise nothing_open(self._series, self.name)
        await self._feed.subscribe(_NEWS)
        await self._follow()

    async def _look(self) -> None:
        """Ask for markets when that is due, aside; take what was answered."""
        if self._listing is None:
            return
        if self._looking is not None and self._looking.done():
            looked, self._looking = self._looking, None
            try:
                self._learn(looked.result())
            except KalshiBtError as error:
                times = self._lookout.failed(self._clock.now())
                words = f"markets cannot be looked for, those that are known go on: {error}"
                warn("listing_failed", words, times=times, markets=len(self._lookout.known))
        if self._looking is None and self._clock.now() >= self._lookout.due:
            listing, unpaid = self._listing, self._lookout.unpaid(self._clock.now())
            self._looking = aside(lambda: [*listing.markets(), *listing.named(unpaid)])
        await self._follow()

    def _learn(self, answers: list[Answer]) -> None:
        self._lookout.learn(answers, self._clock.now())
        self._answered += answers

    async def _follow(self) -> None:
        """Subscribe to the markets that are new, and no longer to those that are over."""
        new = sorted(self._lookout.known.keys() - self._subscribed)
        over = sorted(self._subscribed - self._lookout.known.keys())
        for event, tickers in (("watched", new), ("dropped", over)):
            if tickers:
                words = f"{len(tickers)} markets are {event}"
                note(f"markets_{event}", words, count=len(tickers), tickers=tickers[:_NAMED])
        if new:
            await self._feed.subscribe(_BOOKS, new)
        if over:
            await self._feed.unsubscribe(_BOOKS, over)
        self._subscribed = set(self._lookout.known)


def played(
    path: Path,
    plan: Plan,
    clock: StreamClock,
    *,
    by_exchange: bool = False,
    depth: int = DEPTH,
) -> Source:
    """Return a recording as a source; the clock goes with its receive times, or the exchange's.

    What a session recorded goes by the clock that the session went by.
    """
    feed = RecordingFeed([path], clock)
    timed: Feed = feed
    if by_exchange and not feed.acting:
        timed = TimedByExchange(RecordingFeed([path], StreamClock()), clock)
    return Fed(f"replay {path}", timed, clock, plan, whole=feed.whole, depth=depth)


def connected(
    name: str,
    feed: Feed,
    clock: Clock,
    plan: Plan,
    listing: Listing,
    here: Clock,
    *,
    depth: int = DEPTH,
) -> Source:
    """Return the exchange as a source; a `StreamClock` goes by the times of its messages.

    `here` is the clock of this machine, which is that of `feed`.
    """
    timed = TimedByExchange(feed, clock) if isinstance(clock, StreamClock) else feed
    return Fed(name, timed, clock, plan, depth=depth, here=here, listing=listing)
