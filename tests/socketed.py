"""A paper session against a local exchange, and the backtest of what it recorded."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from papered import Traded, batch

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from live_adapter import feed
from live_adapter.account import Names
from live_adapter.clock import StreamClock, SystemClock
from live_adapter.connecting import Patience
from live_adapter.desk import Desk
from live_adapter.history import History, Knowing, read_past
from live_adapter.moments import EPOCH, Moment
from live_adapter.opening import exchange as opened
from live_adapter.paper import PaperSession, Step
from live_adapter.safety import Limits
from live_adapter.sandbox import Exchange
from live_adapter.settings import Settings
from live_adapter.sources import Source

QUICK = partial(Patience, first=0.01, longest=0.02, hold=0.02)


def key(folder: Path) -> dict[str, str]:
    """Return the environment of somebody with a key."""
    file = folder / "key.pem"
    if not file.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(pem)
    return {"KALSHI_API_KEY_ID": "a-key", "KALSHI_PRIVATE_KEY_FILE": str(file)}


@dataclass(frozen=True)
class Place:
    """The folders of a session."""

    root: Path

    @property
    def session(self) -> Path:
        return self.root / "session"

    @property
    def frames(self) -> Path:
        return self.root / "frames"


class Killed(BaseException):
    """A session ends in the middle of what it does, and nothing is tidied up."""


def trade(
    exchange: Exchange,
    plan: Plan,
    place: Place,
    until: datetime,
    *,
    life: int | None = None,
    history: Path | None = None,
) -> None:
    """Trade a plan on what an exchange tells up to a time, bar by bar.

    After `life` moments the session is killed: before it takes the next one, or (below 0) after.
    """
    settings = Settings(base_url=exchange.url, ws_url=exchange.ws, clock="exchange")
    with ExitStack() as kept, mock.patch.object(feed, "Patience", QUICK):
        clocks = (SystemClock(), StreamClock())
        begins = not place.session.exists()
        source = opened(plan, settings, key(place.root), place.frames, clocks, kept, begins=begins)
        known = None
        if history is not None:
            known = History(history, plan, source.period, place.session)
            source = Knowing(source, history, known)
        names = Names("sockets", plan.name, "paper")
        limits = Limits(max_orders_minute=None)
        desk = kept.enter_context(
            Desk(
                place.session, plan, source.period, names, "exchange",
                limits=limits, pulse=source.pulse, sources=source.sources,
                history=None if known is None else known.past,
            )
        )  # fmt: skip
        source.adopt(desk.session.resumed)
        if life is not None:
            kept.enter_context(mock.patch.object(desk, "take", _mortal(desk, life)))
        with suppress(Killed):
            asyncio.run(_follow(exchange, source, desk, until))


def _mortal(desk: Desk, life: int) -> Callable[[Moment], Step]:
    take, left = desk.take, abs(life)

    def until_killed(moment: Moment) -> Step:
        nonlocal left
        left -= 1
        if left <= 0 < life:
            raise Killed
        step = take(moment)
        if left <= 0:
            raise Killed
        return step

    return until_killed


async def _follow(exchange: Exchange, source: Source, desk: Desk, until: datetime) -> None:
    step = timedelta(seconds=source.period)

    async def read() -> None:
        async with aclosing(source.moments(desk.session.now)) as moments:
            async for moment in moments:
                desk.take(moment)

    task = asyncio.create_task(read())
    try:
        await _read_up(exchange, task)  # subscriptions
        while exchange.now < until and not task.done():
            ahead = step - (exchange.now - EPOCH) % step  # books come back by the end of a bar
            await asyncio.to_thread(exchange.play_until, min(until, exchange.now + ahead))
            await _read_up(exchange, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()  # raises


async def _read_up(exchange: Exchange, task: "asyncio.Task[None]") -> None:
    """Return once what was sent was read, or is lost for good."""
    sent, quiet = -1, 0
    while quiet < 6 and not task.done():
        await asyncio.sleep(0.01)
        told = exchange.streamed()
        busy = told["sent"] != sent or told["waiting"] or not told["clients"]
        sent, quiet = told["sent"], 0 if busy else quiet + 1


def imported(place: Place, plan: Plan, history: Path | None = None) -> Store:
    """Return the recording of a session as a dataset, with the outside series it had."""
    import_ws([place.frames], place.root / "imported", bar_seconds=plan.period or 60)
    store = Store.open(place.root / "imported")
    if history is not None:
        store.commit({"references": Store.open(history).read("references")})
    return store


def outside(store: Store) -> list[str]:
    """Return whose references a dataset has."""
    return store.read("references")["source"].unique().sort().to_list()


def both(store: Store, plan: Plan, place: Place) -> tuple[Traded, Traded]:
    """Return what the backtest of a recording made, and what its session made."""
    past = read_past(place.session)
    history = None if past is None else lambda _: past
    session = PaperSession(
        place.session, plan, plan.period or 60, sources=outside(store), history=history
    )
    config = replace(plan.config, end=session.now)
    done = compute(store, replace(plan, config=config), past=past)
    run = session.broker.end()
    return batch(done), Traded.on_paper(run, session.broker.rules.cash)
