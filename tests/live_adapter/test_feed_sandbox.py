"""Against the local exchange, whatever goes wrong there: in the end every book is the exchange's.

What is true is told by a plain client that comes later and shares nothing with the feed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from stream_watcher import watching

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.store import Store
from live_adapter.clock import SystemClock
from live_adapter.connecting import Patience
from live_adapter.exchange.walk import BEGIN, Walk
from live_adapter.feed import SocketFeed
from live_adapter.frames import Down, Lost, Received
from live_adapter.record import Recorder
from live_adapter.sandbox import Exchange
from live_adapter.subscriptions import BOOKS

FEW = Walk(markets=3, rate=40)
SECOND = timedelta(seconds=1)
QUICK = Patience(first=0.01, longest=0.05, hold=0.05)
Books = dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return FEW.store(tmp_path_factory.mktemp("load") / "dataset")


@pytest.fixture(scope="module")
def signed() -> Credentials:
    return Credentials("a-key", Ed25519PrivateKey.generate())


def plain(fold: Fold) -> Books:
    return {t: (book.bids.levels(), book.asks.levels()) for t, book in fold.books.items()}


def truth(exchange: Exchange) -> Books:
    """The books of somebody who has only just come."""
    fold = Fold()
    with watching(exchange.ws) as watcher:
        watcher.ask("subscribe", channels=[BOOKS], market_tickers=FEW.tickers())
        for frame in watcher.frames:
            fold.apply(frame)
    return plain(fold)


class Reader:
    """Whoever keeps books by a feed, as the feed's documentation says."""

    def __init__(self, feed: SocketFeed) -> None:
        self.feed, self.fold, self.trades = feed, Fold(), 0

    async def run(self) -> None:
        """Read for ever."""
        async with aclosing(self.feed.events()) as events:
            async for event in events:
                if isinstance(event, Lost):
                    self.fold.lose(event.sid)
                elif isinstance(event, Down):
                    self.fold.restart()
                elif isinstance(event, Received):
                    self.trades += event.frame.get("type") == "trade"
                    await self._fold(event)

    async def _fold(self, event: Received) -> None:
        try:
            lost: tuple[str, ...] = self.fold.apply(event.frame).lost
        except UnreadableError:
            lost = self.fold.unreadable(event.frame)
        missing = [ticker for ticker in lost if ticker not in self.fold.books]
        if missing:
            await self.feed.refresh(missing)

    async def until(self, true: Callable[[Fold], object]) -> None:
        """Return once something is true of the books."""
        async with asyncio.timeout(20):
            while not true(self.fold):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(feed: SocketFeed) -> AsyncIterator[Reader]:
    """Read a feed in the background."""
    await feed.subscribe([BOOKS, "trade"], FEW.tickers())
    reader = Reader(feed)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        task.cancel()
        [end] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError), end


async def play(exchange: Exchange, steps: int) -> None:
    """Let time go by in halves of a second."""
    for _ in range(steps):
        await asyncio.to_thread(exchange.play_until, exchange.now + SECOND / 2)
        await asyncio.sleep(0.02)


def scene(load: Store, key: Credentials, *faults: str, **options: Any) -> Reader:
    """Read through the faults and a while longer; the books must be the exchange's."""

    async def played() -> Reader:
        with Exchange(load, now=BEGIN, tape=lambda: FEW) as exchange:
            exchange.set_faults(*faults)
            feed = SocketFeed(exchange.ws, key, SystemClock(), patience=QUICK, **options)
            async with reading(feed) as reader:
                await reader.until(lambda fold: len(fold.books) == FEW.markets)
                await play(exchange, 8)
                exchange.set_faults()
                await play(exchange, 2)
                books = await asyncio.to_thread(truth, exchange)
                await reader.until(lambda fold: plain(fold) == books)
        return reader

    return asyncio.run(played())


FAULTS = {
    "gap:every=7,path=/ws/orderbook_delta": ("gap",),
    "gap:every=3": ("gap",),
    "duplicate:every=3": ("repeated",),
    "garbled:every=9": ("malformed", "gap"),
    "late:first=1,skip=5,seconds=0.05": (),
    "reorder:every=4": (),
    "overflow:every=40,path=/ws/orderbook_delta": ("error:25",),
    "disconnect:every=50": ("down",),
    "429:first=2,path=/ws": ("refused",),
    "503:first=2,path=/ws": ("refused",),
    "slow:first=1,seconds=0.1,path=/ws": (),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_every_book_is_the_exchanges(
    load: Store, signed: Credentials, fault: str
) -> None:
    reader = scene(load, signed, fault)
    for name in FAULTS[fault]:
        assert reader.feed.counts[name] > 0
    # A book that a snapshot corrects was wrong before it, and nobody knew.
    assert reader.fold.counts["rebased"] == 0
    assert reader.trades > 0


def test_all_faults_at_once_and_a_recording_of_them(
    load: Store, signed: Credentials, tmp_path: Path
) -> None:
    with Recorder(tmp_path / "tape") as recorder:
        reader = scene(load, signed, *FAULTS, recorder=recorder)
    assert reader.fold.counts["rebased"] == 0
    import_ws([tmp_path / "tape"], tmp_path / "dataset", bar_seconds=1)
    rows = Store.open(tmp_path / "dataset").read("books")
    last = rows.group_by("ticker").last().select("ticker", "bids", "asks").rows()
    books = {
        ticker: tuple([(level["price"], level["size"]) for level in side] for side in sides)
        for ticker, *sides in last
    }
    # The import keeps ten levels a side.
    assert books == {t: (b[:10], a[:10]) for t, (b, a) in plain(reader.fold).items()}


@pytest.mark.parametrize("shape", ["dollars", "both", "cents"])
def test_messages_of_every_year_give_the_same_books(
    load: Store, signed: Credentials, shape: str
) -> None:
    async def played() -> None:
        with Exchange(load, now=BEGIN, tape=lambda: FEW, shape=shape) as exchange:
            async with reading(SocketFeed(exchange.ws, signed, SystemClock())) as reader:
                books = await asyncio.to_thread(truth, exchange)
                await reader.until(lambda fold: plain(fold) == books)
                await play(exchange, 2)
                books = await asyncio.to_thread(truth, exchange)
                await reader.until(lambda fold: plain(fold) == books)
                assert reader.fold.counts == {}

    asyncio.run(played())
