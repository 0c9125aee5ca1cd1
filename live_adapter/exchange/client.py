"""One connected client: what waits for it, and the faults that befall what it is told."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from live_adapter.exchange.commands import Desk, Line, Subscription
from live_adapter.exchange.faults import Fault, Faults

HEARTBEAT = b"heartbeat"
MOST_WAITING = 10_000  # messages, after which a client is too slow


class Client:
    """A connection with its subscriptions.

    Parameters
    ----------
    socket : ServerConnection
        Open.
    desk : Desk
        Its subscriptions.
    faults : Faults
        In force; those of frames strike what it is told, not the answers to its commands.
    taken : Event
        Set whenever a message has gone.

    Attributes
    ----------
    sent : int
        Messages that went to the socket.
    """

    def __init__(
        self, socket: ServerConnection, desk: Desk, faults: Faults, taken: asyncio.Event
    ) -> None:
        self.socket, self.desk, self.sent, self._taken = socket, desk, 0, taken
        self._faults = faults
        self._queue: asyncio.Queue[bytes | float | None] = asyncio.Queue()
        self._held: list[Line] = []

    @property
    def waiting(self) -> int:
        """Messages that are not on their way yet."""
        return self._queue.qsize()

    def answer(self, lines: Sequence[Line]) -> None:
        """Send answers, after whatever is held back."""
        self._release()
        for line in lines:
            self._queue.put_nowait(line.text)

    def tell(self, line: Line) -> None:
        """Send a message of a subscription, unless a fault has it otherwise."""
        of = line.of
        assert of is not None
        struck = self._faults.strike(f"/ws/{of.channel}", "frame") if self._faults else ()
        kinds: dict[str, Fault] = {fault.kind: fault for fault in struck}
        if "overflow" in kinds:
            self.overflow(of)
        elif "disconnect" in kinds:
            self._queue.put_nowait(None)
        elif "gap" not in kinds:
            if "late" in kinds:
                self._queue.put_nowait(kinds["late"].seconds)
            text = line.text[: len(line.text) // 2] if "garbled" in kinds else line.text
            for _ in range(2 if "duplicate" in kinds else 1):
                self._ordered(Line(of, text), hold="reorder" in kinds)

    def overflow(self, of: Subscription) -> None:
        """End a subscription whose messages are not taken fast enough."""
        self.answer(self.desk.end(of, 25))

    def _ordered(self, line: Line, *, hold: bool) -> None:
        """Send a message, or hold it until one of another subscription has overtaken it."""
        if hold or (self._held and self._held[0].of is line.of):
            self._held.append(line)
            return
        self._queue.put_nowait(line.text)
        self._release()

    def _release(self) -> None:
        for line in self._held:
            self._queue.put_nowait(line.text)
        self._held.clear()

    async def run(self, beat: float) -> None:
        """Send what waits, and a heartbeat every `beat` seconds, until the connection ends."""
        beating = asyncio.create_task(self._beat(beat))
        try:
            await self._send()
        except ConnectionClosed:
            return
        finally:
            beating.cancel()

    async def _beat(self, seconds: float) -> None:
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(seconds)
                await self.socket.ping(HEARTBEAT)

    async def _send(self) -> None:
        while True:
            item = await self._queue.get()
            if item is None:
                self.socket.transport.abort()
            elif isinstance(item, float):
                await asyncio.sleep(item)
            else:
                await self.socket.send(item, text=True)
                self.sent += 1
                self._taken.set()
