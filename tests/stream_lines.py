"""A stream without sockets: what a client of all markets would be told, as a recording."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from live_adapter.exchange.floor import Floor
from live_adapter.exchange.frames import CHANNELS, envelope
from live_adapter.exchange.happenings import Happening, Stood, Tape
from live_adapter.exchange.stage import Stage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SIDS = {"orderbook_delta": 1, "trade": 2, "ticker": 3, "market_lifecycle_v2": 4}
Json = dict[str, Any]


class Happenings:
    """A tape of given happenings."""

    def __init__(self, said: Iterable[Happening]) -> None:
        self._said = sorted(said, key=lambda happening: happening.time)

    def first(self) -> int:
        return self._said[0].time - 1

    def standing(self, now: int) -> Iterator[Stood]:
        del now
        yield from ()

    def after(self, now: int) -> Iterator[Happening]:
        return (said for said in self._said if said.time > now)


def micros(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def frames(
    tape: Tape,
    *,
    now: int | None = None,
    until: float = math.inf,
    yes_prices: bool = False,
    shape: str = "dollars",
) -> Iterator[tuple[int, Json]]:
    """Yield each message with the time, in whole milliseconds but given in microseconds."""
    floor = Floor(shape)
    floor.tickers_wanted = True
    stage = Stage(tape, floor, tape.first() if now is None else now)
    counted: Counter[str] = Counter()
    for messages in stage.until(until):
        for message in messages:
            channel = CHANNELS[message.kind]
            body = message.yes_body if yes_prices and message.yes_body else message.body
            if not body:
                assert message.ticker is not None
                body = floor.snapshot(message.ticker, yes_prices=yes_prices) or b""
            counted[channel] += 1 + message.lost
            seq = None if channel == "ticker" else counted[channel]
            text = envelope(message.kind, SIDS[channel], seq, body, stage.time)
            yield -(-stage.time // 1000) * 1000, json.loads(text)


def write(path: Path, found: Iterable[tuple[int, Json]]) -> Path:
    """Write messages as a recording, and return its path."""
    lines = [json.dumps({"recv_us": time, "raw": json.dumps(frame)}) for time, frame in found]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path
