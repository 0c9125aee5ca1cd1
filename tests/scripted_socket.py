"""A WebSocket server that does what a script says, and a small exchange as the usual script."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PATH = "/trade-api/ws/v2"
Script = Callable[["Wire"], Awaitable[None]]
Check = Callable[[ServerConnection, Request], Response | None]


class Wire:
    """One connection as the exchange sees it; `number` counts them from 1."""

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self.socket, self.number = socket, number
        self.commands: list[dict[str, Any]] = []
        self.sids: dict[str, int] = {}
        self.seqs: dict[int, int] = {}
        self.books: dict[str, dict[str, dict[str, int]]] = {}

    async def send(self, kind: str, channel: str | None = None, **more: Any) -> None:
        """Send a message, numbered if it belongs to a channel."""
        numbers: dict[str, int] = {}
        if channel is not None:
            sid = self.sids[channel]
            self.seqs[sid] = self.seqs.get(sid, 0) + 1
            numbers = {"sid": sid, "seq": self.seqs[sid]}
        await self.socket.send(json.dumps({"type": kind, **numbers, **more}))

    async def command(self) -> dict[str, Any]:
        """Return the next command."""
        self.commands.append(json.loads(await self.socket.recv()))
        return self.commands[-1]

    async def serve(self) -> None:
        """Answer commands as the exchange does, until the connection ends."""
        while True:
            await self.answer(await self.command())

    async def answer(self, command: dict[str, Any]) -> None:
        """Answer one command."""
        told, number = command.get("params", {}), command["id"]
        tickers = told.get("market_tickers", [])
        if command["cmd"] == "subscribe":
            [channel] = told["channels"]
            sid = self.sids.setdefault(channel, len(self.sids) + 1)
            self.seqs.pop(sid, None)
            await self.send("subscribed", id=number, msg={"channel": channel, "sid": sid})
        elif command["cmd"] == "list_subscriptions":
            listed = [{"channel": channel, "sid": sid} for channel, sid in self.sids.items()]
            await self.send("ok", id=number, msg=listed)
        elif command["cmd"] == "unsubscribe":
            [gone] = told["sids"]
            self.sids = {c: s for c, s in self.sids.items() if s != gone}
            await self.send("unsubscribed", id=number, sid=gone, seq=self.seqs.pop(gone, 0) + 1)
            return
        elif told["action"] != "get_snapshot":
            [channel] = [c for c, sid in self.sids.items() if [sid] == told["sids"]]
            await self.send("ok", channel, id=number, msg={"market_tickers": tickers})
        if told.get("action") != "delete_markets" and "orderbook_delta" in self.sids:
            for ticker in tickers:
                await self.snapshot(ticker)

    async def snapshot(self, ticker: str) -> None:
        """Send a whole book."""
        book = self.books.setdefault(ticker, {"yes": {"0.4000": 10}, "no": {"0.5000": 10}})
        sides = {
            f"{side}_dollars_fp": [[price, f"{size}.00"] for price, size in sorted(levels.items())]
            for side, levels in book.items()
        }
        told = {"market_ticker": ticker, **sides}
        await self.send("orderbook_snapshot", "orderbook_delta", msg=told)

    async def delta(self, ticker: str, change: int = 1, side: str = "yes") -> None:
        """Change the best level of a side and say so."""
        levels = self.books[ticker][side]
        price = max(levels)
        levels[price] += change
        told = {"side": side, "price_dollars": price, "delta_fp": f"{change}.00"}
        msg = {"market_ticker": ticker, **told}
        await self.send("orderbook_delta", "orderbook_delta", msg=msg)

    async def trade(self, number: int) -> None:
        """Send a trade of that name."""
        told = {"trade_id": str(number), "yes_price_dollars": "0.4500", "count_fp": "1.00"}
        msg = {"market_ticker": next(iter(self.books)), "taker_side": "yes", **told}
        await self.send("trade", "trade", msg=msg)

    def skip(self, channel: str) -> None:
        """Leave out a number, as if a message had been lost."""
        self.seqs[self.sids[channel]] += 1


class Scripted:
    """The server while it runs; `wires` are its connections, first to last."""

    def __init__(self, script: Script) -> None:
        self.wires: list[Wire] = []
        self.failed: BaseException | None = None
        self._script = script

    async def __call__(self, socket: ServerConnection) -> None:
        """Play the script to a new connection."""
        wire = Wire(socket, len(self.wires) + 1)
        self.wires.append(wire)
        try:
            await self._script(wire)
        except ConnectionClosed:
            pass
        except Exception as error:  # noqa: BLE001 - told to the test, which waits elsewhere
            self.failed = error

    def listen(self, server: Server) -> None:
        """Note where the server listens."""
        port = server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{PATH}"


@asynccontextmanager
async def scripted(script: Script, check: Check | None = None) -> AsyncIterator[Scripted]:
    """Run a server at a free port; `check` may refuse a handshake with a response."""
    running = Scripted(script)
    async with serve(
        running, "127.0.0.1", 0, process_request=check, compression=None, ping_interval=None
    ) as server:
        running.listen(server)
        yield running
    if running.failed is not None:
        raise running.failed


async def quiet(wire: Wire) -> None:
    """Say nothing, whatever is asked."""
    while True:
        await wire.command()


async def honest(wire: Wire) -> None:
    """Answer as the exchange does."""
    await wire.serve()


async def turn(times: int = 20) -> None:
    """Let everybody else go on for a while."""
    for _ in range(times):
        await asyncio.sleep(0.001)
