"""How many messages a second a feed takes: socket, decoding, books, rows, on one core.

``python tests/benchmarks/feed.py [--seconds 60] [--rate 5000] [--markets 500] [--record FOLDER]``

Another process sends; each message carries when it was sent, and its latency ends when its book is
changed and its row is kept. Every few seconds the rows become a table, as at the close of a bar.
Where other programs want the processor too, run it as ``chrt -f 1 python …``: what it waits for
them is not its own.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from array import array
from collections.abc import Iterator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from websockets.asyncio.server import ServerConnection, serve

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws_shelf import Shelf
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from live_adapter.clock import SystemClock
from live_adapter.connecting import Patience
from live_adapter.feed import SocketFeed
from live_adapter.frames import Received
from live_adapter.record import Recorder

CALM = Patience(heartbeat=60, answer=60)  # a machine that is busy elsewhere is no dead connection
BURST = 0.004  # seconds between two bursts of messages
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class Measured:
    """What a run took."""

    messages: int
    seconds: float
    cpu: float  # seconds of this process
    latencies: "np.ndarray[Any, Any]"  # milliseconds
    memory: list[float]  # MiB at every bar
    peak: int  # messages that ever waited
    tables: list[float]  # seconds that each table took
    counts: dict[str, int]

    def __str__(self) -> str:
        each, busy = self.cpu / self.messages, self.cpu / self.seconds
        names = {50: "p50", 99: "p99", 99.9: "p99.9", 100: "max"}
        late = zip(names.values(), np.percentile(self.latencies, list(names)), strict=True)
        return "\n".join(
            (
                f"{self.messages:,} messages, {self.messages / self.seconds:,.0f} a second",
                f"{1e6 * each:.0f} us of CPU each, {100 * busy:.0f} % of a core",
                "latency " + ", ".join(f"{name} {found:.2f} ms" for name, found in late),
                f"at most {self.peak:,} waited; a table took {max(self.tables):.2f} s at most",
                f"memory {' '.join(f'{m:.0f}' for m in self.memory)} MiB",
                str(self.counts),
            )
        )


# --- the exchange ---------------------------------------------------------------------------------


def ticker(number: int) -> str:
    """The name of a market."""
    return f"KXBENCH-26SEP131715-T{number:03d}"


def snapshot(number: int) -> str:
    """A whole book of 20 levels a side."""
    yes = [[f"0.{price:02d}00", "1000.00"] for price in range(25, 45)]
    no = [[f"0.{price:02d}00", "1000.00"] for price in range(30, 50)]
    told = {"market_ticker": ticker(number), "yes_dollars_fp": yes, "no_dollars_fp": no}
    return json.dumps({"type": "orderbook_snapshot", "sid": 1, "seq": number + 1, "msg": told})


def messages(markets: int) -> Iterator[str]:
    """Changes of books, in 20 a trade and a ticker message; without the time they are sent."""
    rng = np.random.Generator(np.random.Philox(1))
    seqs, step = [markets, 0], 0
    mid = "9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1"
    more: dict[tuple[int, int, int], bool] = {}
    while True:
        for at, side, level in zip(
            rng.integers(markets, size=10_000).tolist(),
            rng.integers(2, size=10_000).tolist(),
            rng.geometric(0.3, size=10_000).tolist(),
            strict=True,
        ):
            step += 1
            depth = min(level, 20) - 1
            if step % 20 == 0:
                seqs[1] += 1
                yield (
                    f'{{"type":"trade","sid":2,"seq":{seqs[1]},"msg":{{"trade_id":"{step}",'
                    f'"market_ticker":"{ticker(at)}","yes_price_dollars":"0.4400",'
                    '"no_price_dollars":"0.5600","count_fp":"1.25","taker_side":"yes",'
                    '"taker_outcome_side":"yes","taker_book_side":"bid","ts":1789333805,'
                    '"ts_ms":1789333805125},"sent":%d}'
                )
                continue
            if step % 20 == 10:
                yield (
                    f'{{"type":"ticker","sid":3,"msg":{{"market_ticker":"{ticker(at)}",'
                    '"price_dollars":"0.4400","yes_bid_dollars":"0.4400","yes_ask_dollars":"0.5100",'
                    '"volume_fp":"33896.00","open_interest_fp":"20422.00","ts_ms":1669149841000,'
                    '"time":"2022-11-22T20:44:01Z"},"sent":%d}'
                )
                continue
            seqs[0] += 1
            key = (at, side, depth)
            more[key] = not more.get(key, False)
            price = (44 if side else 49) - depth
            yield (
                f'{{"type":"orderbook_delta","sid":1,"seq":{seqs[0]},"msg":{{"market_ticker":'
                f'"{ticker(at)}","market_id":"{mid}","price_dollars":"0.{price:02d}00","delta_fp":'
                f'"{"" if more[key] else "-"}{depth + 1}4.50","side":"{"yes" if side else "no"}",'
                '"ts_ms":1789333805125},"sent":%d}'
            )


def framed(text: str) -> bytes:
    """A text as a frame of the protocol, as servers send it."""
    data = text.encode()
    return b"\x81\x7e" + len(data).to_bytes(2, "big") + data


async def exchange(told: Connection, markets: int, rate: int, seconds: float) -> None:
    """Send what was asked for at a steady rate, then say so."""
    over = asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        for number in range(2):
            command = json.loads(await socket.recv())
            msg = {"channel": command["params"]["channels"][0], "sid": number + 1}
            await socket.send(json.dumps({"id": command["id"], "type": "subscribed", "msg": msg}))
        for number in range(markets):
            await socket.send(snapshot(number))
        await asyncio.sleep(1)
        source, sent, start = messages(markets), 0, time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            due = int(now * rate) - sent
            sent += due
            stamp = time.monotonic_ns()
            socket.transport.write(b"".join(framed(next(source) % stamp) for _ in range(due)))
            await asyncio.sleep(BURST)
        await socket.send(json.dumps({"type": "done", "msg": {"sent": sent}}))
        await socket.wait_closed()
        over.set()

    async with serve(talk, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        told.send(server.sockets[0].getsockname()[1])
        await over.wait()


def _exchange(told: Connection, *args: Any) -> None:
    asyncio.run(exchange(told, *args))


# --- the reader -----------------------------------------------------------------------------------


async def read(port: int, markets: int, bar: int, **options: Any) -> Measured:
    """Read until all is said."""
    feed = SocketFeed(f"ws://127.0.0.1:{port}/", None, SystemClock(), patience=CALM, **options)
    tickers = [ticker(number) for number in range(markets)]
    await feed.subscribe(["orderbook_delta", "trade"], tickers)
    fold, shelf, own = Fold(), Shelf(10), psutil.Process()
    latencies = array("q")
    memory: list[float] = []
    tables: list[float] = []
    start = cpu = 0.0
    last = closed = 0
    length = bar * 1_000_000
    async with aclosing(feed.events()) as events:
        async for event in events:
            if not isinstance(event, Received):
                continue
            now = (event.time - EPOCH) // _MICROSECOND
            if now != last:
                shelf.flush(fold.books)
                last = now
            news = fold.apply(event.frame)
            if news.changed is not None and news.better < 10:
                shelf.touch(news.changed, now)
            sent = event.frame.get("sent")
            if sent is None:
                if event.frame["type"] == "done":
                    break
                continue
            if not latencies:
                start, cpu, closed = time.monotonic(), time.process_time(), now // length
            latencies.append(time.monotonic_ns() - sent)
            if now // length != closed:
                closed = now // length
                begun = time.monotonic()
                shelf.taken()
                shelf = Shelf(10)
                tables.append(time.monotonic() - begun)
                memory.append(own.memory_info().rss / 2**20)
    seconds, used = time.monotonic() - start, time.process_time() - cpu
    assert len(fold.books) == markets
    return Measured(
        len(latencies),
        seconds,
        used,
        np.array(latencies) / 1e6,
        memory,
        feed.peak,
        tables,
        dict(feed.counts + fold.counts),
    )


def measure(
    *, seconds: float = 60, rate: int = 5_000, markets: int = 500, bar: int = 5, **options: Any
) -> Measured:
    """Run both, each in a process of one thread."""
    here, there = multiprocessing.Pipe()
    args = (there, markets, rate, seconds)
    other = multiprocessing.get_context("spawn").Process(target=_exchange, args=args, daemon=True)
    other.start()
    try:
        return asyncio.run(read(here.recv(), markets, bar, **options))
    finally:
        other.join(10)
        other.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--record", type=Path)
    given = vars(parser.parse_args())
    folder = given.pop("record")
    with nullcontext() if folder is None else Recorder(folder) as recorder:
        print(measure(**given, recorder=recorder))
