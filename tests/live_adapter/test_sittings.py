"""A session that walks books and is stopped now and then is the backtest of what it recorded."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mover import MOVER
from numpy.random import Generator, Philox
from papered import Traded, agree, planned
from socketed import Place, both, imported

from kalshi_bt.plan import Plan
from live_adapter.bars import Bars
from live_adapter.clock import StreamClock
from live_adapter.frames import Lost
from live_adapter.moments import Moment, at, micros
from live_adapter.paper import PaperSession
from live_adapter.parity import parity
from live_adapter.record import note
from live_adapter.sources import played

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

SECOND, START, LENGTH = 1_000_000, 1_780_315_200_000_000, 10
STEP, END = SECOND // 2, START + 200 * SECOND
TICKERS = ("KXA-26JUN01-A", "KXA-26JUN01-B", "KXA-26JUN01-C")
Frame = dict[str, Any]


def message(kind: str, ticker: str, **told: Any) -> Frame:
    return {"type": kind, "sid": 1, "msg": {"market_ticker": ticker} | told}


def dollars(cents: int) -> str:
    return f"{cents / 100:.4f}"


@dataclass
class Exchange:
    """Three markets that end one after the other, while quotes move and people trade."""

    rng: Generator
    bids: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TICKERS, 40))
    results: dict[str, Frame] = field(default_factory=dict)

    def closes(self) -> dict[str, int]:
        return {t: START // SECOND + 60 * (n + 1) for n, t in enumerate(TICKERS)}

    def answers(self) -> list[Frame]:
        """Return what whoever begins is told of markets: when they close, and results."""
        times = {"open_ts": START // SECOND - 600}
        listed = [
            message("market_lifecycle_v2", t, event_type="created", close_ts=close, **times)
            for t, close in self.closes().items()
        ]
        return [*listed, *self.results.values()]

    def snapshots(self, time: int) -> list[Frame]:
        return [self._book(t) for t, close in self.closes().items() if close * SECOND > time]

    def at(self, time: int) -> list[Frame]:
        """Return what is sent at a time."""
        found = []
        for ticker, close in self.closes().items():
            if close * SECOND <= time - 7 * SECOND and self.rng.random() < 0.2:
                told: Frame = {"event_type": "settled", "settled_ts": time // SECOND}
                if self.rng.integers(2):
                    told = {"event_type": "determined", "determination_ts": close, "result": "yes"}
                    self.results[ticker] = message("market_lifecycle_v2", ticker, **told)
                found.append(message("market_lifecycle_v2", ticker, **told))
            elif close * SECOND > time and self.rng.random() < 0.4:
                found.append(self._moves(ticker))
        return found

    def _moves(self, ticker: str) -> Frame:
        if self.rng.random() < 0.3:
            told = {"yes_price_dollars": dollars(self.bids[ticker] + 2), "count_fp": "3.00"}
            name = {"trade_id": f"t{self.rng.integers(2**40)}", "taker_side": "yes"}
            return message("trade", ticker, **told, **name) | {"sid": 2}
        step = int(self.rng.choice([-2, -1, 1, 2]))
        self.bids[ticker] = min(max(self.bids[ticker] + step, 5), 90)
        return self._book(ticker)

    def _book(self, ticker: str) -> Frame:
        bid = self.bids[ticker]
        yes = [[dollars(bid - n), f"{5 + n}.00"] for n in range(3)]
        no = [[dollars(98 - bid - n), f"{4 + n}.00"] for n in range(3)]
        return message("orderbook_snapshot", ticker, yes_dollars_fp=yes, no_dollars_fp=no)


@dataclass
class Sitting:
    """A session from when it is begun until it is killed; it writes down what it heard."""

    plan: Plan
    place: Place
    number: int
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = PaperSession(self.place.session, self.plan, LENGTH)
        deep = self.plan.rules.fill.book
        self.bars = Bars(LENGTH, series=("KXA",), depth=10 if deep else None)
        self.bars.adopt(self.session.resumed)
        self.seq = 0

    def begin(self, time: int) -> None:
        if self.number:
            self.note(time, {"type": "feed_lost", "msg": {"why": "recorder"}})
        after = self.session.now
        acted = {} if after is None else {"after_us": micros(after)}
        self.note(time, {"type": "feed_time", "msg": {"clock": "system", **acted}})

    def note(self, time: int, frame: Frame) -> None:
        self.lines.append(json.dumps({"recv_us": time, "event": frame}))

    def hear(self, time: int, frame: Frame) -> Iterator[Moment]:
        if frame["sid"] == 1 and frame["type"].startswith("orderbook"):
            self.seq += 1
            frame = frame | {"seq": self.seq}
        self.note(time, frame)
        return self.told(time, self.bars.take(at(time), frame))

    def lose(self, time: int) -> Iterator[Moment]:
        lost = Lost(at(time), 1, "terminal")
        self.note(time, note(lost))
        return self.told(time, self.bars.lose(at(time), 1))

    def pass_(self, time: int) -> Iterator[Moment]:
        return self.told(time, self.bars.until(at(time)))

    def told(self, time: int, moments: Iterator[Moment]) -> Iterator[Moment]:
        for moment in moments:
            if self.session.now is None or moment.time > self.session.now:
                paid = moment.settled["ticker"].to_list()
                said = {"until_us": micros(moment.time)} | ({"paid": paid} if paid else {})
                self.note(time, {"type": "feed_time", "msg": said})
                yield moment

    def end(self) -> None:
        self.place.frames.mkdir(exist_ok=True)
        path = self.place.frames / f"frames-{self.number + 1:06}.jsonl"
        path.write_text("".join(f"{line}\n" for line in self.lines))


def sit(sitting: Sitting, exchange: Exchange, times: range, life: int) -> int:
    """Let a session trade for a while; return when it died: before or after it took a moment."""
    rng = exchange.rng
    left, early = life, bool(rng.integers(2))
    sitting.begin(times.start)
    for time in times:
        told = exchange.at(time)
        if time == times.start:
            told = [*exchange.answers(), *exchange.snapshots(time), *told]
        streams = [sitting.hear(time, frame) for frame in told]
        if rng.random() < 0.02:
            streams.append(sitting.lose(time))
            streams += [sitting.hear(time + 1, f) for f in exchange.snapshots(time)]
        if time % SECOND == 0:
            streams.append(sitting.pass_(time))
        for moment in (moment for stream in streams for moment in stream):
            left -= 1
            if left == 0 and early:
                return time
            sitting.session.take(moment)
            if left == 0:
                return time
    return times.stop


def traded(place: Place, plan: Plan, seed: int, stops: int) -> None:
    rng = Generator(Philox(seed))
    exchange, time = Exchange(rng), START
    for number in range(stops + 1):
        sitting = Sitting(plan, place, number)
        life = int(rng.integers(1, 14)) if number < stops else 10**6
        time = sit(sitting, exchange, range(time, END, STEP), life)
        sitting.end()
        # The machine's clock may be set back while nobody listens.
        time += STEP * (1 + int(rng.choice([-3, 0, 1, 4, 11, 25, 42])))
        if time >= END - 10 * SECOND:
            return


def replayed(place: Place, plan: Plan) -> Traded:
    """Trade on the recording, from its beginning to its end."""
    session = PaperSession(place.root / "again", plan, LENGTH)
    source = played(place.frames, plan, StreamClock())

    async def follow() -> None:
        async with aclosing(source.moments(None)) as moments:
            async for moment in moments:
                session.take(moment)

    asyncio.run(follow())
    return Traded.on_paper(session.broker.end(), session.broker.rules.cash)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_session_that_is_stopped_is_the_backtest_of_its_recording(
    seed: int, tmp_path: Path
) -> None:
    (tmp_path / "mover.py").write_text(MOVER)
    place = Place(tmp_path)
    plan = planned(f"{tmp_path}/mover.py:Mover", tmp_path, series="KXA", bar="10s", fills="book")
    traded(place, plan, seed, stops=seed % 5)
    batch, session = both(imported(place, plan), plan, place)
    assert session.orders.height
    agree(batch, session)
    agree(batch, replayed(place, plan))
    assert parity(place.session, plan, LENGTH) is None
