"""Trading on paper from a command line: ``python -m live_adapter.run --strategy bollinger``.

Moments come from the exchange, a recording or a stored dataset; the strategy, its sizing and the
rules of fills, fees and limits are those of a backtest. No order is ever sent to an exchange.
"""

import gc
import json as jsons
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kalshi_bt.errors import UsageError
from kalshi_bt.terminal import application, leave_on_interrupt, program, say

if __name__ == "__main__":  # the next imports take a moment in which Ctrl-C may come
    leave_on_interrupt()

import asyncio

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kalshi_bt.plan import Plan
    from live_adapter.clock import Clock
    from live_adapter.desk import Desk
    from live_adapter.settings import Settings
    from live_adapter.sources import Source
    from live_adapter.vitals import Vitals

app = application("Trade a strategy on paper, on quotes as they come.")
_LOG = "log.jsonl"
_BELOW = 12  # lines of the live table that are no market
_BEAT = timedelta(seconds=1)  # between two looks at the feed
_HOW = {False: "its source or its time was over", True: "interrupted"}


@dataclass(frozen=True)
class _Until:
    """When a session ends by itself."""

    span: timedelta | None
    once: bool


@app.command()
def run(
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="Such as bollinger, or my_signal.py:MySignal.")
    ] = "",
    series: Annotated[str | None, typer.Option(metavar="A,B", help="Which are watched.")] = None,
    env: Annotated[str | None, typer.Option(metavar="NAME", help="demo or prod [demo].")] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="REST root of another exchange.")
    ] = None,
    ws_url: Annotated[
        str | None, typer.Option(metavar="URL", help="WebSocket of another exchange.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="A dataset or a recording instead.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep every message as it came.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A dataset: the past, and outside series as they come."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="MODE", help="paper or dry-run [paper]; also corrected or reference."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter, or live.NAME of a limit."),
    ] = None,
    cash: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="At the start [10000].")
    ] = None,
    fills: Annotated[
        str | None, typer.Option(metavar="MODEL", help="How orders fill on paper [cross].")
    ] = None,
    bar: Annotated[str | None, typer.Option(metavar="1m", help="Bar length.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", help="Of every random stream.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Of a dataset: bars after it.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Of a dataset: bars until then.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the session; it goes on if it is there.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Its folder [PAPER_DATA_DIR, or data/paper/<session>]."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="10m", help="End after so long.")
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after one bar; a replay after its end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and write it down; order nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="End the stops of a session.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only say what a session did so far.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON, alone.")] = False,
) -> None:
    """Trade a strategy on paper, on quotes as they come; Ctrl-C ends it, the same command goes on.

    A session is a folder: book.json, trades.csv, equity.csv, journal.jsonl, state.json,
    ledger.duckdb, and what it was fed.
    """
    from kalshi_bt.config import environment, layered
    from kalshi_bt.plan import plan
    from live_adapter import settings

    environ = environment()
    execution, rules = settings.mode(mode, dry_run=dry_run, environ=environ)
    addresses = {"env": env, "base_url": base_url, "ws_url": ws_url}
    own, rest = settings.layered(environ, {**addresses, "history": history}, sets or [])
    if replay is not None and any(value is not None for value in (*addresses.values(), record)):
        raise UsageError(
            "--replay needs no exchange; leave out --env, --base-url, --ws-url, --record"
        )
    until = _Until(settings.span(duration, "--for"), once)
    flags = {
        "strategy": strategy or None,
        "data": None if replay is None else str(replay),
        "fills": fills,
        "mode": rules,
        "cash": cash,
        "start": start,
        "end": end,
        "series": series,
        "bar": bar,
        "seed": seed,
    }
    if summary and not strategy and (out is not None or session is not None):
        _tell(settings.folder_of(out, session or "", environ), as_json=json)
        return
    made = plan(layered(config, environ, flags, rest))
    where = f"replay {replay}" if replay is not None else own.base_url or own.env
    where += f" with {own.history}" if own.history else ""
    name = session or settings.name_of(made, where, execution)
    folder = settings.folder_of(out, name, environ)
    if not summary:
        _trade(
            *(made, own, environ, folder, (name, execution)),
            *(replay, record, until),
            resume=resume,
            quiet=json,
        )
    _tell(folder, as_json=json)


def _tell(folder: Path, *, as_json: bool) -> None:
    """Print the summary of a session."""
    from live_adapter.summary import shown
    from live_adapter.summary import summary as of

    found = of(folder)
    sys.stdout.write((jsons.dumps(found, indent=2) if as_json else shown(found)) + "\n")


def _trade(
    plan: "Plan",
    own: "Settings",
    environ: "Mapping[str, str]",
    folder: Path,
    who: tuple[str, str],
    replay: Path | None,
    record: Path | None,
    until: _Until,
    *,
    resume: bool,
    quiet: bool,
) -> None:
    """Run a session until it ends, is ended, or Ctrl-C."""
    from rich.console import Console

    from live_adapter import logs
    from live_adapter.account import Names
    from live_adapter.clock import StreamClock, SystemClock
    from live_adapter.desk import Desk
    from live_adapter.history import History, Knowing, own_past
    from live_adapter.opening import exchange, replayed
    from live_adapter.parity import SETTINGS
    from live_adapter.rehearsal import rehearse
    from live_adapter.safety import explained
    from live_adapter.vitals import Vitals

    with ExitStack() as kept:
        here = SystemClock()
        played = StreamClock()
        clock = here if replay is None and own.clock == "system" else played
        if replay is None:
            begins = not (folder / SETTINGS).exists()
            source = exchange(plan, own, environ, record, (here, clock), kept, begins=begins)
        else:
            source = replayed(replay, plan, played, own)
        past = own_past(replay, plan, source.period, folder)
        if own.history:
            known = History(Path(own.history), plan, source.period, folder)
            source, past = Knowing(source, Path(own.history), known), known.past
        elif hasattr(plan.signal, "fit") and past is None:
            say(f"{plan.name} learns from outcomes and knows none yet; --history DIR names a past")
        console = None if quiet else Console(stderr=True)
        aloud = console is None or not console.is_terminal
        names = Names(who[0], plan.name, who[1])
        desk = kept.enter_context(
            Desk(
                folder, plan, source.period, names, source.name,
                limits=own.limits(listens=source.listens), pulse=source.pulse,
                sources=source.sources, history=past,
            )
        )  # fmt: skip
        kept.enter_context(logs.kept(folder / _LOG, clock, aloud=aloud))
        source.tell = desk.blotter.journal.tell
        source.adopt(desk.session.resumed)
        vitals = Vitals(source, here, folder, own.limits().max_silence)
        vitals.began(plan, names, again=desk.session.again)
        if desk.repaired:
            say(f"repaired {folder}: {desk.repaired} bytes of lines that a stop had torn")
        if desk.passed_over:
            told = f"the checkpoint is passed over, all is fed again: {desk.passed_over}"
            logs.warn("checkpoint_passed_over", told, reason=desk.passed_over)
        if desk.session.again:
            again = desk.session.again
            logs.note("fed_again", f"{again} moments were fed again", moments=again)
        if resume:
            desk.resume(max(clock.now(), desk.session.now or clock.now()))
        for word, stop in desk.safety.stops.items():
            say(f"stopped: {explained(word, stop)}")
        if breaker := desk.session.broker.breaker:
            say(f"stopped: {breaker}")
        with vitals.until_ended():
            if source.listens:
                desk.reconcile()
                rehearse(plan, source.period)
                gc.collect()
                gc.freeze()  # what is loaded stays: nobody has to look through it again
                kept.callback(gc.unfreeze)
            interrupted = asyncio.run(_follow(source, desk, vitals, here, until, console))
            vitals.ended(_HOW[interrupted])
    if interrupted:
        say(f"stopped; the session is whole in {folder}, the same command goes on with it")
        raise KeyboardInterrupt


async def _follow(
    source: "Source",
    desk: "Desk",
    vitals: "Vitals",
    clock: "Clock",
    until: _Until,
    console: Any,
) -> bool:
    """Feed a desk until it is over; return whether it was interrupted."""
    from live_adapter.screen import Board, shown

    board = Board(f"{desk.folder.name}: {source.name}")
    rows = 0 if console is None else max(console.height - _BELOW, 3)
    first: datetime | None = None

    def draw() -> Any:
        work = vitals.latencies.work.summary()
        return board.draw(desk, source.health(), rows=rows, work=work)

    with _ctrl_c() as pressed, shown(console, clock) as show:
        ended = asyncio.ensure_future(pressed.wait())
        limit: asyncio.Future[None] | None = None
        if until.span is not None and source.listens:
            limit = asyncio.ensure_future(clock.sleep_until(clock.now() + until.span))
        beat = asyncio.ensure_future(clock.sleep_until(clock.now() + _BEAT))
        try:
            async with aclosing(source.moments(desk.session.now)) as moments:
                coming = asyncio.ensure_future(anext(moments, None))
                while True:
                    waiting = {coming, ended, beat, *({limit} if limit else ())}
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if ended.done() or (limit is not None and limit.done()):
                        break
                    if beat.done():
                        vitals.beat()
                        beat = asyncio.ensure_future(clock.sleep_until(clock.now() + _BEAT))
                        show(draw)
                    if not coming.done():
                        continue
                    moment = coming.result()
                    if moment is None:
                        break
                    first = first or moment.time
                    over = until.span is not None and moment.time > first + until.span
                    if over and not source.listens:
                        break
                    step = desk.take(moment)
                    vitals.take(step)
                    board.learn(step)
                    show(draw)
                    if until.once and source.listens and moment.bars.height:
                        break
                    coming = asyncio.ensure_future(anext(moments, None))
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
        finally:
            for task in (ended, limit, beat):
                if task is not None:
                    task.cancel()
        return pressed.is_set()


@contextmanager
def _ctrl_c() -> Iterator[asyncio.Event]:
    """Give an event that Ctrl-C and a request to end set; the second Ctrl-C ends at once."""
    pressed, loop = asyncio.Event(), asyncio.get_running_loop()

    def press() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        leave_on_interrupt()
        pressed.set()

    before = signal.getsignal(signal.SIGINT)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, press)
    except (NotImplementedError, RuntimeError, ValueError):  # not there, or not the main thread
        yield pressed
        return
    try:
        yield pressed
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    program(app)
