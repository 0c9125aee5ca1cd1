"""The WebSocket half of the exchange: connections, and the clock that lets things happen.

It runs in a thread of its own beside that of the REST half. Time stands still until somebody has
subscribed; then it goes as fast as it was told, or where it is told to go step by step.
"""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from threading import Event, Thread
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from kalshi_bt.errors import UsageError
from live_adapter.exchange.archive import EPOCH, Archive
from live_adapter.exchange.client import MOST_WAITING, Client
from live_adapter.exchange.commands import TICKER, Desk, Line, Subscription
from live_adapter.exchange.faults import STATUSES, Faults
from live_adapter.exchange.floor import Floor, Message
from live_adapter.exchange.frames import CHANNELS, envelope
from live_adapter.exchange.happenings import Tape
from live_adapter.exchange.life import micros
from live_adapter.exchange.query import AnswerError
from live_adapter.exchange.signatures import PublicKey, check
from live_adapter.exchange.stage import Stage
from live_adapter.exchange.wire import Json

PATH = "/trade-api/ws/v2"
HANDSHAKE = "/ws"  # how faults call it
TICK = 0.005  # seconds between two looks at the clock
QUIET = 0.25  # seconds without a command, after which the fastest clock starts
BATCH = 64  # happenings between two turns of the senders
AHEAD = 1_000  # messages that may wait for the slowest client at the fastest speed


@dataclass(frozen=True)
class Setting:
    """How a stream is set up.

    Attributes
    ----------
    speed : float or None
        Simulated seconds in a real one; infinity: as fast as clients take it; None: only step by
        step.
    key : public key or None
        What signatures are checked with; None accepts any.
    shape : str
        Of messages, as of `frames.aged`.
    host : str
        Where to listen.
    port : int
        0 for any that is free.
    beat : float
        Seconds between two heartbeats.
    """

    speed: float | None = None
    key: PublicKey | None = None
    shape: str = "dollars"
    host: str = "127.0.0.1"
    port: int = 0
    beat: float = 10.0


class Stream:
    """The exchange's WebSocket.

    Parameters
    ----------
    tape : callable
        Returns the tape to play; called when it is needed, and anew after `drop`.
    archive : Archive
        Its `now` goes with the stream.
    faults : Faults
        Shared with the REST half.
    setting : Setting
        Everything else.

    Attributes
    ----------
    url : str
        Where it is, once it has started.
    """

    def __init__(
        self, tape: Callable[[], Tape], archive: Archive, faults: Faults, setting: Setting
    ) -> None:
        self._tape, self._archive, self._faults = tape, archive, faults
        self._setting = setting
        self._clients: dict[Client, None] = {}
        self._stage: Stage | None = None
        self._began: tuple[int, float] | None = None  # simulated and real time of the start
        self._asked = math.inf  # when the last command came
        self._sent = 0  # messages to clients that are gone
        self._halted = False  # whoever plays must stop
        self._ready, self._failed = Event(), ""
        self.url = ""

    def start(self) -> None:
        """Listen in the background.

        Raises
        ------
        UsageError
            If nothing can listen there.
        """
        self._thread = Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed:
            self._thread.join()
            raise UsageError(self._failed)

    def stop(self) -> None:
        """End all connections and free the port."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def play_until(self, time: datetime) -> None:
        """Let everything up to a moment happen, and clients be told of it.

        Raises
        ------
        UsageError
            If the clock runs by itself, or the moment is past.
        """
        if self._setting.speed is not None:
            raise UsageError("the clock runs by itself; leave out the speed to move it")
        if time < self._archive.now:
            raise UsageError(f"{time} is before now, {self._archive.now}; time does not go back")
        self._call(self._play(micros(time), MOST_WAITING))

    def drop(self, now: datetime) -> None:
        """Begin anew at a moment; connections end, as when the exchange restarts."""
        self._call(self._dropped(now))

    def counts(self) -> Json:
        """Return clients, messages sent to them all in all, and messages that wait."""
        clients = list(self._clients)
        sent = self._sent + sum(client.sent for client in clients)
        waiting = sum(client.waiting for client in clients)
        stage = self._stage
        over = stage is not None and stage.over
        return {"clients": len(clients), "sent": sent, "waiting": waiting, "over": over}

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._turn, self._taken = asyncio.Lock(), asyncio.Event()
        host, port = self._setting.host, self._setting.port
        try:
            server = await serve(
                self._connected, host, port, process_request=self._greet, ping_interval=None,
                close_timeout=1, server_header="sandbox",
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            self._failed = f"cannot listen at {host}:{port} ({error})"
            self._ready.set()
            return
        address = server.sockets[0].getsockname()
        self.url = f"ws://{address[0]}:{address[1]}{PATH}"
        self._ready.set()
        clock = asyncio.create_task(self._run())
        await self._stopping.wait()
        clock.cancel()
        server.close()
        await server.wait_closed()

    async def _greet(self, socket: ServerConnection, request: Request) -> Response | None:
        """Let a client in, or refuse it."""
        for fault in self._faults.strike(HANDSHAKE, "handshake"):
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.kind in STATUSES:
                return _refusal(socket, int(fault.kind), "refused", "refused by a fault")
        path = request.path.partition("?")[0]
        if path != PATH:
            return _refusal(socket, 404, "not_found", f"no WebSocket at {path}; it is at {PATH}")
        try:
            check(self._setting.key, "GET", PATH, request.headers, needed=True)
        except AnswerError as error:
            return _refusal(socket, error.status, error.code, error.message)
        return None

    async def _connected(self, socket: ServerConnection) -> None:
        """Serve a client until it goes."""
        client = Client(socket, Desk(self._body, self._sending), self._faults, self._taken)
        self._clients[client] = None
        self._taken.set()
        sender = asyncio.create_task(client.run(self._setting.beat))
        try:
            async for text in socket:
                self._begin()
                client.answer(client.desk.take(text))
                self._heard(client)
        except ConnectionClosed:
            return
        finally:
            del self._clients[client]
            self._sent += client.sent
            self._taken.set()
            sender.cancel()

    def _begin(self) -> Stage:
        """Return the stage, set up if it is not."""
        if self._stage is None:
            floor = Floor(self._setting.shape)
            self._stage = Stage(self._tape(), floor, micros(self._archive.now))
            self._began = None
        return self._stage

    def _heard(self, client: Client) -> None:
        """Note that a command came; the first subscription starts the clock."""
        self._asked = self._loop.time()
        stage = self._begin()
        if client.desk.channels and self._began is None:
            self._began = stage.time, self._asked
        stage.floor.tickers_wanted |= TICKER in client.desk.channels

    def _body(self, of: Subscription, ticker: str) -> bytes | None:
        stage = self._begin()
        if of.channel == TICKER:
            return stage.floor.ticker(ticker, stage.time)
        return stage.floor.snapshot(ticker, yes_prices=of.yes_prices)

    def _sending(self) -> int | None:
        return self._begin().time if self._setting.shape == "dollars" else None

    async def _run(self) -> None:
        """Let time go by."""
        speed = self._setting.speed
        while speed is not None:
            await asyncio.sleep(TICK)
            if self._began is None:
                continue
            then, real = self._began
            if speed == math.inf:
                if self._loop.time() - self._asked > QUIET:
                    await self._play(math.inf, AHEAD)
            else:
                limit = then + (self._loop.time() - real) * speed * 1_000_000
                await self._play(limit, None)

    async def _play(self, limit: float, ahead: int | None) -> None:
        """Play up to a moment; wait for clients with more than `ahead` messages to take.

        None waits for nobody: then who is too slow loses the subscription.
        """
        async with self._turn:
            stage = self._begin()
            for number, messages in enumerate(stage.until(limit), 1):
                for message in messages:
                    self._tell(message, stage)
                if number % BATCH == 0:
                    self._archive.now = _moment(stage.time)
                    await self._room(ahead, alone=limit < math.inf)
                if self._halted:
                    return
            self._archive.now = _moment(stage.time)

    async def _room(self, ahead: int | None, *, alone: bool) -> None:
        """Give others a turn, and wait for who is behind; `alone`: go on without any client."""
        await asyncio.sleep(0)
        if ahead is None:
            for client in self._clients:
                if client.waiting > MOST_WAITING:
                    for of in list(client.desk.channels.values()):
                        client.overflow(of)
            return
        while not self._halted:
            behind = any(client.waiting > ahead for client in self._clients)
            if not behind and (alone or self._clients):
                return
            self._taken.clear()
            await self._taken.wait()

    def _tell(self, message: Message, stage: Stage) -> None:
        """Tell every client that wants to know."""
        channel = CHANNELS[message.kind]
        sent = stage.time if self._setting.shape == "dollars" else None
        for client in self._clients:
            of = client.desk.channels.get(channel)
            if of is None or not of.wants(message.ticker):
                continue
            body = message.yes_body if of.yes_prices and message.yes_body else message.body
            if not body:
                assert message.ticker is not None
                body = stage.floor.snapshot(message.ticker, yes_prices=of.yes_prices) or b"{}"
            of.seq += message.lost
            seq = None if channel == TICKER else of.next()
            client.tell(Line(of, envelope(message.kind, of.sid, seq, body, sent)))

    async def _dropped(self, now: datetime) -> None:
        self._halted = True
        self._taken.set()
        async with self._turn:
            self._stage, self._began, self._halted = None, None, False
            self._archive.now = now
            for client in list(self._clients):
                await client.socket.close(1012)


def _moment(time: int) -> datetime:
    return EPOCH + timedelta(microseconds=time)


def _refusal(socket: ServerConnection, status: int, code: str, message: str) -> Response:
    """Return an answer that refuses a handshake, in the words of the REST half."""
    inner = {"code": code, "message": message, "details": message}
    response = socket.respond(HTTPStatus(status), json.dumps({"error": inner}))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
