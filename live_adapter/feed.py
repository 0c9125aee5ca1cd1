"""Feeds: where a trader's messages come from; the live one is the exchange's WebSocket."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from kalshi_bt.data.importers.ws_lines import BOOK_MESSAGES, CAUGHT_UP, OVERFLOW
from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.data.wire import KINDS
from live_adapter.backlog import Backlog
from live_adapter.clock import Clock
from live_adapter.connecting import Patience, RefusedError, closed, open_connection
from live_adapter.frames import Down, FeedEvent, Frame, Lost, Received, Up
from live_adapter.logs import note, warn
from live_adapter.record import Recorder
from live_adapter.subscriptions import Subscriptions

_DECODE = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Feed(Protocol):
    """A source of messages.

    Attributes
    ----------
    counts : Counter
        Messages by type and everything that went wrong, by name.
    """

    counts: Counter[str]

    def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what becomes known, in order, until the feed ends."""
        ...

    def next(self) -> FeedEvent | None:
        """Return what `events` would yield, if it is there already; None if it must be awaited."""
        ...

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Ask for channels of markets; without tickers for all there are.

        What is wanted stays wanted over every reconnection, and can be asked for before `events`.
        """
        ...

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets no longer; without tickers the channels themselves."""
        ...

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for the books of markets anew: whoever folds them found them broken."""
        ...


class SocketFeed:
    """The exchange's WebSocket as a feed: one connection at a time, and another when it ends.

    Books are told to be lost (`Lost`) when a number is missing, a subscription ends or the reader
    is too slow, and their snapshots are asked for at once, or when it caught up; `Down` loses
    everything until `Up`.
    Messages of unknown types are passed on and counted, what is no JSON object is counted.

    Parameters
    ----------
    url : str
        As in `connecting.SOCKETS`.
    credentials : Credentials or None
        Who asks; the exchange answers nobody else, a local one may.
    clock : Clock
        Receive times, the time of signatures, and all waiting.
    patience : Patience
        How long to wait for what.
    recorder : Recorder, optional
        Given every message as it came, before its reader is, and what is lost where that is told.
    limit : int
        Events that may wait for their reader; see `backlog` for what happens then.
    seed : int
        Of the chance in the waits.

    Attributes
    ----------
    counts : Counter
        ``type:`` and ``unknown:`` with the type, ``error:`` with the code, malformed, gap, restart,
        repeated, overflow, shed (messages of books that gave way), up, down, refused.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        clock: Clock,
        *,
        patience: Patience | None = None,
        recorder: Recorder | None = None,
        limit: int = 20_000,
        seed: int = 0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._url, self._credentials, self._clock = url, credentials, clock
        self._patience, self._seed = patience or Patience(), seed
        self._recorder = recorder
        self._subscriptions = Subscriptions(self.counts, timedelta(seconds=self._patience.hold))
        self._limit, self._backlog = limit, Backlog(limit)
        self._due = asyncio.Event()
        self._heard = self._probed = EPOCH
        self._behind: int | None = None  # whose messages give way
        self._why: str | None = None
        self._worked = False

    @property
    def depth(self) -> int:
        """Events that wait for their reader."""
        return len(self._backlog)

    @property
    def peak(self) -> int:
        """The most events that ever waited."""
        return self._backlog.peak

    @property
    def heard(self) -> datetime:
        """When the last message came, UTC; 1970 before the first connection."""
        return self._heard

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Ask for channels of markets, now and on every connection to come.

        Raises
        ------
        UsageError
            As `Subscriptions.want`. A channel the exchange refuses is an error of `events`.
        """
        self._subscriptions.want(channels, tickers)
        self._due.set()

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets no longer."""
        self._subscriptions.unwant(channels, tickers)
        self._due.set()

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for books anew, unless they are on their way."""
        self._subscriptions.refresh(tickers)
        self._due.set()

    async def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what becomes known, for ever; close it (`contextlib.aclosing`) to disconnect.

        Raises
        ------
        UsageError
            If the exchange refuses the key, or a channel it never agreed to.
        DataError
            If nobody is there at first, or the recording cannot be written.
        """
        backlog, self._behind = Backlog(self._limit), None
        self._backlog = backlog
        running = asyncio.create_task(self._run(), name="feed")
        running.add_done_callback(lambda _: backlog.end())
        try:
            while (event := await backlog.get()) is not None:
                self._catch_up()
                yield event
            await running  # raises: it has no other end
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def next(self) -> FeedEvent | None:
        """Return the oldest event that waits; None if none does."""
        event = self._backlog.next()
        self._catch_up()
        return event

    # --- one connection after the other -----------------------------------------------------------

    async def _run(self) -> None:
        tried, ever = 0, False
        while True:
            tried += 1
            wait = self._patience.wait(tried, seed=self._seed)
            try:
                connection = await open_connection(
                    self._url, self._credentials, self._clock, self._patience
                )
            except RefusedError as error:
                self.counts["refused"] += 1
                enough = error.answered or tried >= self._patience.strange
                if error.hopeless is not None and not ever and enough:
                    raise error.hopeless from None
                wait = max(wait, timedelta(seconds=error.wait))
                why = str(error)
            else:
                note("connection_up", "connected", attempt=tried)
                why = await self._converse(connection)
                if self._worked:  # the next one is tried as if it were the first
                    tried, ever = 0, True
                    wait = self._patience.wait(1, seed=self._seed)
            seconds = round(wait.total_seconds(), 1)
            words = f"no connection: {why}; again in {seconds} s"
            warn("connection_down", words, why=why, attempt=tried, wait=seconds)
            await self._clock.sleep_until(self._clock.now() + wait)

    async def _converse(self, connection: ClientConnection) -> str:
        """Use a connection until it ends; return why it did."""
        self._heard = self._probed = self._clock.now()
        self._why, self._worked = None, False
        self.counts["up"] += 1
        self._put(Up(self._heard))
        self._due.set()
        parts = (self._listen(connection), self._speak(connection), self._watch(connection))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            why = self._why
            for end in await _ended(tasks):
                if isinstance(end, ConnectionClosed):
                    why = why or closed(end)
                elif isinstance(end, Exception):
                    raise end
            why = why or "closed"
            self.counts["down"] += 1
            self._lose(Down(self._clock.now(), why))
            return why
        finally:
            await _ended(tasks)
            self._subscriptions.down()
            await connection.close()

    async def _speak(self, connection: ClientConnection) -> None:
        """Send what is due."""
        while True:
            await self._due.wait()
            self._due.clear()
            for command in self._subscriptions.commands(self._clock.now()):
                await connection.send(msgspec.json.encode(command), text=True)

    async def _watch(self, connection: ClientConnection) -> None:
        """Notice silence and what stays unanswered; the library sees to pings."""
        answer = timedelta(seconds=self._patience.answer)
        silence = timedelta(seconds=self._patience.silence)
        tick = min(timedelta(seconds=self._patience.hold), answer / 4, silence / 4)
        while True:
            await self._clock.sleep_until(self._clock.now() + tick)
            now = self._clock.now()
            asked = self._subscriptions.overdue(now - answer)
            if asked is not None:
                self._why = f"no answer to {asked}"
                return
            self._due.set()  # what was held back
            if now - max(self._heard, self._probed) >= silence:
                self._probed = now
                question = self._subscriptions.ask(now)
                await connection.send(msgspec.json.encode(question), text=True)

    # --- messages ---------------------------------------------------------------------------------

    async def _listen(self, connection: ClientConnection) -> None:
        while True:
            raw = await connection.recv(decode=False)
            now = self._heard = self._clock.now()
            self._worked = True
            try:
                frame = self._read(raw, now)
            finally:
                if self._recorder is not None:
                    self._recorder.write(now, raw)
            if frame is None:
                continue
            if self._behind is not None and str(frame.get("type")) in BOOK_MESSAGES:
                self.counts["shed"] += 1
                continue
            self._put(Received(now, raw, frame))
            if self._behind is None and self._backlog.crowded():
                self._fall_behind(now)
            await self._backlog.wait_for_room()

    def _read(self, raw: bytes, now: datetime) -> Frame | None:
        """Return a message, None if it is none; first tell what it shows to be lost."""
        try:
            frame = _DECODE(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.counts["malformed"] += 1
            return None
        kind = str(frame.get("type"))
        self.counts[f"{'type' if kind in KINDS else 'unknown'}:{kind[:40]}"] += 1
        losses = self._subscriptions.take(frame, now)
        for sid, why in losses:  # numbers show the most of them to whoever reads the recording
            self._lose(Lost(now, sid, why), noted=why == "terminal" or self._behind is not None)
        if losses or "id" in frame:  # an answer may be what the next command waited for
            self._due.set()
        return frame

    def _fall_behind(self, now: datetime) -> None:
        """Let books give way from here on."""
        sid = self._subscriptions.books
        if sid is not None:
            self.counts["overflow"] += 1
            warn("overflow", "the reader is too slow: books wait until it caught up", sid=sid)
            self._lose(Lost(now, sid, OVERFLOW))
            self._behind = sid

    def _catch_up(self) -> None:
        """Ask for the books that gave way, once there is room for them."""
        if self._behind is not None and self._backlog.eased():
            if self._recorder is not None:
                self._recorder.note(Lost(self._clock.now(), self._behind, CAUGHT_UP))
            self._behind = None
            self._subscriptions.lost(None)
            self._due.set()

    def _put(self, event: FeedEvent) -> None:
        self._backlog.put(event)

    def _lose(self, event: Lost | Down, *, noted: bool = True) -> None:
        if noted and self._recorder is not None:
            self._recorder.note(event)
        if isinstance(event, Down) or event.sid is None:
            self._behind = None
        self._put(event)


async def _ended(tasks: list["asyncio.Task[None]"]) -> list[BaseException | None]:
    """Cancel tasks and return how they ended."""
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)
