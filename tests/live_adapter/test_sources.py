"""Messages that wait become moments in the order in which they came."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from papered import planned

from live_adapter.backlog import Backlog
from live_adapter.clock import StreamClock
from live_adapter.frames import FeedEvent, Lost, Received
from live_adapter.listing import Answer
from live_adapter.moments import Moment
from live_adapter.sources import Fed
from live_adapter.timed import TimedByExchange, closable

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HERE = datetime(2026, 9, 1, tzinfo=UTC)  # this machine's time
SECOND = timedelta(seconds=1)
TICKER = "S-E-A"


class Waiting:
    """A feed whose events wait already; `recording`: it has to be awaited for each."""

    def __init__(self, events: Sequence[FeedEvent], *, recording: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.asked: list[list[str]] = []
        self._backlog, self._recording = Backlog(10_000), recording
        for event in events:
            self._backlog.put(event)
        self._backlog.end()

    async def events(self) -> AsyncIterator[FeedEvent]:
        while (event := await self._backlog.get()) is not None:
            yield event

    def next(self) -> FeedEvent | None:
        return None if self._recording else self._backlog.next()

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Change nothing."""

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Change nothing."""

    async def refresh(self, tickers: Iterable[str]) -> None:
        self.asked.append(list(tickers))


class Known:
    """An exchange with one market."""

    counts: dict[str, int]

    def __init__(self) -> None:
        self.counts = {}

    def series(self) -> list[Answer]:
        return []

    def markets(self) -> list[Answer]:
        close = (NOON + timedelta(days=1)).isoformat()
        return [{"markets": [{"ticker": TICKER, "close_time": close, "status": "active"}]}]

    def named(self, tickers: Sequence[str]) -> list[Answer]:
        del tickers
        return []


def message(kind: str, seq: int, seconds: float | None = None, **said: Any) -> Received:
    """A message that came as the `seq`-th second here, and was sent `seconds` after noon."""
    told = {} if seconds is None else {"ts_ms": int((NOON.timestamp() + seconds) * 1_000)}
    frame = {"type": kind, "sid": 1, "seq": seq, "msg": {"market_ticker": TICKER, **said, **told}}
    return Received(HERE + seq * SECOND, b"", frame)


def snapshot(seq: int, bid: int = 40) -> Received:
    yes, no = [[f"0.{bid:02d}00", "10.00"]], [["0.5000", "10.00"]]
    return message("orderbook_snapshot", seq, yes_dollars_fp=yes, no_dollars_fp=no)


def delta(seq: int, seconds: float, price: int, more: float, side: str = "yes") -> Received:
    said = {"price_dollars": f"0.{price:02d}00", "delta_fp": f"{more:.2f}", "side": side}
    return message("orderbook_delta", seq, seconds, **said)


async def all_of(feed: TimedByExchange, *, ask: bool) -> list[FeedEvent]:
    """Read a feed, what waits of it first if `ask`."""
    found = []
    async with aclosing(closable(feed)) as events:
        async for event in events:
            found.append(event)
            while ask and (more := feed.next()) is not None:
                found.append(more)
    return found


@pytest.mark.parametrize("ask", [False, True])
def test_what_comes_before_a_time_keeps_its_place(ask: bool) -> None:  # noqa: FBT001
    """Before the first one all waits, later a loss for the message that shows it."""
    lost = Lost(HERE + 2 * SECOND, 1, "gap")
    sent = [snapshot(1), lost, snapshot(3), delta(4, 7, 41, 5), delta(5, 8, 41, 5), snapshot(6)]
    sent += [lost, delta(9, 20, 41, 5)]
    clock = StreamClock()
    found = asyncio.run(all_of(TimedByExchange(Waiting(sent), clock), ask=ask))
    assert [type(event) for event in found] == [type(event) for event in sent]
    numbers = [event.frame["seq"] for event in found if isinstance(event, Received)]
    assert numbers == [1, 3, 4, 5, 6, 9]
    seconds = [(event.time - NOON).total_seconds() for event in found]
    assert seconds == [7, 7, 7, 7, 8, 8, 20, 20]


async def fed(feed: Waiting, data: Path, clock: StreamClock) -> list[Moment]:
    plan = planned("bollinger", data, series="S", bar="5s")
    source = Fed("x", TimedByExchange(feed, clock), clock, plan, listing=Known())
    async with aclosing(source.moments(None)) as moments:
        found = [moment async for moment in moments]
    assert source.heard == HERE + 300 * SECOND  # by this machine's clock
    return found


@pytest.mark.usefixtures("settings_only_from_here")
def test_messages_that_wait_make_the_bars_that_they_make_one_by_one(tmp_path: Path) -> None:
    sent = [snapshot(1), *(delta(n, n / 10, 41, 1 + n % 3) for n in range(2, 301))]
    told = []
    for recording in (True, False):
        clock = StreamClock()
        found = asyncio.run(fed(Waiting(sent, recording=recording), tmp_path, clock))
        told.append([(m.time, m.bars.rows(), m.listed.rows()) for m in found])
    assert told[0] == told[1]
    bars = [(time, rows) for time, rows, _ in told[0] if rows]
    assert [time for time, _ in bars] == [NOON + 5 * n * SECOND for n in range(1, 7)]


class Ahead:
    """A clock that is past all messages that wait."""

    def now(self) -> datetime:
        return HERE + 400 * SECOND

    async def sleep_until(self, _: datetime) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.mark.usefixtures("settings_only_from_here")
def test_an_answer_closes_no_bar_of_messages_that_wait(tmp_path: Path) -> None:
    feed = Waiting([snapshot(1), *(delta(n, n, 41, 1) for n in range(2, 31))])
    plan = planned("bollinger", tmp_path, series="S", bar="5s")

    async def told() -> list[datetime]:
        source = Fed("x", feed, Ahead(), plan, listing=Known())
        async with aclosing(source.moments(None)) as moments:
            return [moment.time async for moment in moments if moment.bars.height]

    assert asyncio.run(told()) == [HERE + 5 * n * SECOND for n in range(1, 7)]


@pytest.mark.usefixtures("settings_only_from_here")
def test_a_book_that_a_message_shows_to_be_wrong_is_asked_for_anew(tmp_path: Path) -> None:
    # Somebody takes more than there was: that cannot be, so something was missed.
    sent = [snapshot(1), delta(2, 1, 40, -99), *(delta(n, n / 10, 41, 1) for n in range(20, 301))]
    feed = Waiting(sent)
    asyncio.run(fed(feed, tmp_path, StreamClock()))
    assert feed.asked[0] == [TICKER]
    back = [snapshot(297), delta(298, 1, 40, -99), snapshot(299), delta(300, 30, 41, 1)]
    feed = Waiting(back)
    asyncio.run(fed(feed, tmp_path, StreamClock()))
    assert not feed.asked  # it was told again before anybody had to ask


@pytest.mark.usefixtures("settings_only_from_here")
def test_before_a_message_tells_the_time_a_session_goes_on_at_its_own(tmp_path: Path) -> None:
    """A loss of the day that is latched would else be over, as of the year 1."""
    plan, clock = planned("bollinger", tmp_path, series="S", bar="5s"), StreamClock()
    source = Fed("x", TimedByExchange(Waiting([]), clock), clock, plan, listing=Known())
    seen = source.pulse(NOON)
    assert seen.now == NOON
    assert seen.heard is not None
    assert seen.now - seen.heard > timedelta(days=1)  # and nothing new is begun on what was heard
    later = Fed("x", Waiting([]), StreamClock(NOON + SECOND), plan, listing=Known())
    assert later.pulse(NOON).now == NOON + SECOND
