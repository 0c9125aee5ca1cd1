"""A plain client of the exchange's WebSocket, which shares nothing with the project's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]
SIGNED = {
    "KALSHI-ACCESS-KEY": "a-key",
    "KALSHI-ACCESS-TIMESTAMP": "1703123456789",
    "KALSHI-ACCESS-SIGNATURE": "c2ln",
}


class Watcher:
    """A connection; everything it received stands in `frames`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Json] = []
        self._last = 1_000_000

    def ask(self, cmd: str, name: int = 0, **params: Any) -> list[Json]:
        """Send a command; return all that came until its answers are over."""
        given = {"params": params} if params else {}
        self.socket.send(json.dumps({"id": name, "cmd": cmd, **given}))
        return self.new()

    def new(self) -> list[Json]:
        """Return what came since and is on its way."""
        self._last += 1
        self.socket.send(json.dumps({"id": self._last, "cmd": "list_subscriptions"}))
        found: list[Json] = []
        while True:
            frame = json.loads(self.socket.recv(timeout=30))
            if frame.get("id") == self._last:
                self.frames += found
                return found
            found.append(frame)


@contextmanager
def watching(url: str, headers: Json | None = None, **options: Any) -> Iterator[Watcher]:
    """Connect, and close the connection in the end."""
    signed = SIGNED if headers is None else headers
    with connect(url, additional_headers=signed, **options) as socket:
        yield Watcher(socket)
