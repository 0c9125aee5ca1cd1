"""A session sees what its recording tells, row for row, whatever it is too slow for.

The line is in memory and its clock is moved by what is sent, so that a reader can be as slow as a
case wants it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import polars as pl
import pytest
from papered import planned
from scripted_socket import Wire, turn
from websockets.exceptions import ConnectionClosedError

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.plan import Plan
from live_adapter import feed as feeds
from live_adapter import sources
from live_adapter.clock import StreamClock
from live_adapter.connecting import Patience
from live_adapter.feed import SocketFeed
from live_adapter.listing import Answer
from live_adapter.moments import BARS, EPOCH, Moment
from live_adapter.record import Recorder
from live_adapter.sitting import Asked, Recorded

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
TICKERS = ("S-E-A", "S-E-B")
PATIENT = Patience(first=0.01, longest=0.01, hold=0.05, answer=1e6, silence=1e6)


class Told:
    """A clock of this machine that goes as it is told."""

    def __init__(self, start: datetime) -> None:
        self._clock = StreamClock(start)
        self.now, self.sleep_until = self._clock.now, self._clock.sleep_until

    def on(self, milliseconds: float) -> None:
        self._clock.advance(self.now() + milliseconds * MILLISECOND)


class Line:
    """Both ends of a connection: what the exchange sends waits here until it is read."""

    def __init__(self, clock: Told, rng: np.random.Generator) -> None:
        self.ended, self._clock, self._rng = False, clock, rng
        self._waiting: list[dict[str, Any]] = []
        self._some = asyncio.Event()
        self.wire = Wire(cast("Any", SimpleNamespace(send=self._told)), 1)

    async def _told(self, text: str) -> None:
        self._waiting.append(json.loads(text))
        self._some.set()

    async def send(self, raw: bytes, *, text: bool) -> None:
        assert text
        await self.wire.answer(json.loads(raw))

    async def recv(self, *, decode: bool) -> bytes:
        assert not decode
        while not self._waiting:
            if self.ended:
                raise ConnectionClosedError(None, None)
            self._some.clear()
            await self._some.wait()
        self._clock.on(self._rng.choice([0.5, 3, 2_500], p=[0.5, 0.4, 0.1]))
        frame = self._waiting.pop(0)
        if frame["type"] in {"orderbook_delta", "trade"}:
            frame["msg"]["ts_ms"] = (self._clock.now() - EPOCH) // MILLISECOND - 2
        return json.dumps(frame).encode()

    async def close(self) -> None:
        self.ended = True
        self._some.set()

    async def happen(self) -> None:
        """Let one thing happen."""
        which, ticker = self._rng.random(), TICKERS[int(self._rng.integers(2))]
        if which < 0.7 and ticker in self.wire.books and "orderbook_delta" in self.wire.sids:
            await self.wire.delta(ticker, int(self._rng.integers(1, 9)))
        elif which < 0.95 and self.wire.books and "trade" in self.wire.sids:
            number = (self._clock.now() - EPOCH) // MILLISECOND * 1_000 + len(self._waiting)
            await self.wire.trade(number)
        else:
            await self.wire.send("news", msg={})

    async def fail(self, fault: str) -> None:
        """Lose a message, end the subscription to books, or end."""
        sids = self.wire.sids
        if fault == "end":
            await self.close()
        elif "orderbook_delta" in sids and fault == "gap":
            self.wire.skip("orderbook_delta")
        elif "orderbook_delta" in sids:
            sid = sids.pop("orderbook_delta")
            sids["gone"] = sid
            await self.wire.send("error", sid=sid, msg={"code": 25, "msg": "too slow"})


class Known:
    """An exchange with two markets."""

    counts: dict[str, int] = {}  # noqa: RUF012  # of a protocol

    def series(self) -> list[Answer]:
        return []

    def markets(self) -> list[Answer]:
        close = (NOON + timedelta(days=1)).isoformat()
        rows = [{"ticker": t, "close_time": close, "status": "active"} for t in TICKERS]
        return [{"markets": rows}]

    def named(self, tickers: Any) -> list[Answer]:
        del tickers
        return []


class Sitting:
    """A session whose reader is slow, and what it saw."""

    def __init__(self, plan: Plan, folder: Path, clock: Told, seed: int) -> None:
        self._plan, self._folder, self._clock = plan, folder, clock
        self._rng = np.random.Generator(np.random.Philox(seed))
        self._lines: list[Line] = []
        self.saw: list[Moment] = []

    async def _open(self, *_: object) -> Line:
        self._lines.append(Line(self._clock, self._rng))
        return self._lines[-1]

    async def _moments(
        self, recorder: Recorder, limit: int, *, by_exchange: bool
    ) -> AsyncIterator[Moment]:
        self.feed = SocketFeed(
            "ws://x", None, self._clock, recorder=recorder, limit=limit, patience=PATIENT
        )
        clock = StreamClock() if by_exchange else self._clock
        source = sources.connected("x", self.feed, clock, self._plan, Known(), self._clock, depth=3)
        asked = mock.create_autospec(Asked, instance=True)
        kept = Recorded(source, asked, recorder, self._clock, by_exchange=by_exchange)
        async with aclosing(kept.moments(None)) as moments:
            async for moment in moments:
                yield moment

    async def run(self, limit: int, *, by_exchange: bool) -> SocketFeed:
        """Trade while bursts of messages come."""
        rng = self._rng

        async def read() -> None:
            async for moment in self._moments(recorder, limit, by_exchange=by_exchange):
                self.saw.append(moment)
                for _ in range(int(rng.integers(6))):
                    await asyncio.sleep(0)

        with ExitStack() as kept:
            kept.enter_context(mock.patch.object(feeds, "open_connection", self._open))
            kept.enter_context(mock.patch.object(sources, "_AT_ONCE", 2))
            kept.enter_context(mock.patch.object(os, "fsync"))
            recorder = kept.enter_context(Recorder(self._folder, safe_within=MILLISECOND))
            reader = asyncio.create_task(read())
            await turn(5)
            for number in range(15):
                line = self._lines[-1]
                for _ in range(int(rng.integers(60 if number % 2 else 5))):
                    await line.happen()
                if number % 4 == 3:
                    await line.fail(["gap", "terminal", "end"][number // 4])
                for _ in range(int(rng.integers(1, 40))):
                    await asyncio.sleep(0)
                if line.ended or number % 5 == 0:
                    await turn(3)
                    self._clock.on(30 if line.ended else rng.integers(4_000))
            for _ in range(800):
                await asyncio.sleep(0)
            reader.cancel()
            [end] = await asyncio.gather(reader, return_exceptions=True)
            assert isinstance(end, asyncio.CancelledError), end
        return self.feed


def rows(moments: list[Moment], name: str) -> list[Any]:
    return pl.concat([getattr(m, name) for m in moments]).sort("ticker", "time").rows()


def same(saw: list[Moment], store: Store) -> None:
    until = pl.col("time") <= saw[-1].time
    for name, table in (("bars", "candles"), ("books", "books"), ("trades", "trades")):
        found = store.read(table).filter(until).sort("ticker", "time")
        columns = list(BARS) if name == "bars" else found.columns
        assert rows(saw, name) == found.select(columns).rows(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "limit", "clock"),
    [(1, 100_000, "system"), (2, 30, "system"), (3, 30, "exchange"), (4, 100_000, "exchange")],
)
def test_a_session_sees_what_its_recording_tells(
    tmp_path: Path, seed: int, limit: int, clock: str
) -> None:
    """Messages are lost, subscriptions and connections end, and the reader is too slow."""
    plan = planned("bollinger", tmp_path, series="S", bar="5s", fills="book")
    sitting = Sitting(plan, tmp_path / "frames", Told(NOON), seed)
    feed = asyncio.run(sitting.run(limit, by_exchange=clock == "exchange"))
    assert (feed.counts["shed"] > 0) == (limit < 100)
    assert sum(moment.bars.height for moment in sitting.saw) > 4
    assert {"gap", "down", "error:25"} <= feed.counts.keys()
    import_ws([tmp_path / "frames"], tmp_path / "data", bar_seconds=5, depth=3)
    same(sitting.saw, Store.open(tmp_path / "data"))
