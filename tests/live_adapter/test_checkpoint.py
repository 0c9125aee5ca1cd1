"""Sessions that forget what is over, and go on from a checkpoint: nothing else may change."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from rolling_series import BEGIN, frame, moments, mover
from strategies_random import seeded
from told_sessions import Killed, Killer

from kalshi_bt.errors import DataError
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from live_adapter import checkpoint, desk, files
from live_adapter.account import Names
from live_adapter.desk import Desk, Pulse
from live_adapter.journal import read
from live_adapter.log import MomentLog
from live_adapter.moments import Moment
from live_adapter.parity import parity, seen
from live_adapter.safety import Limits
from live_adapter.screen import Board
from live_adapter.summary import summary

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

FILES = ("book.json", "trades.csv", "equity.csv", "journal.jsonl", "state.json")
LENGTH, MARKETS, WINDOWS = 6, 3, 4  # minutes of a window, its markets, windows of a day


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here ends the machine, so nothing waits for its disk; checkpoints are frequent."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(desk, "EVERY", 4)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return mover(tmp_path_factory.mktemp("own"))


def rolling(days: int) -> Iterator[Moment]:
    return moments(days, WINDOWS, MARKETS, LENGTH)


def opened(folder: Path, plan: Plan, pulse: Callable[[datetime], Pulse] = Pulse) -> Desk:
    limits = Limits(kill_switch=None, max_orders_minute=None)
    return Desk(folder, plan, 60, Names("one", plan.name), "here", limits=limits, pulse=pulse)


def traded(folder: Path, plan: Plan, told: list[Moment]) -> None:
    """Feed a session from where it stands, until it ended without being killed."""
    while True:
        at: Desk | None = None
        try:
            at = opened(folder, plan)
            now = at.session.now
            for moment in told:
                if now is None or moment.time > now:
                    at.take(moment)
            with at:
                return
        except Killed:
            if at is not None:
                at._lock.close()


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def ledger(folder: Path) -> list[Any]:
    import duckdb

    with duckdb.connect(str(folder / "ledger.duckdb"), read_only=True) as base:
        return [base.sql(f"from {name}").fetchall() for name in ("orders", "fills", "trades")]


@pytest.fixture(scope="module")
def whole(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that forgot nothing and was never stopped."""
    folder = tmp_path_factory.mktemp("sessions") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "EVERY", 1 << 30)
        traded(folder, plan, list(rolling(1)))
    return folder


@pytest.mark.slow
def test_a_session_that_forgets_is_the_backtest_of_what_it_saw(
    plan: Plan, whole: Path, tmp_path: Path
) -> None:
    traded(tmp_path / "kept", plan, list(rolling(1)))
    assert content(tmp_path / "kept") == content(whole)
    assert ledger(tmp_path / "kept") == ledger(whole)
    assert len(ledger(whole)[2]) > 5
    assert (tmp_path / "kept" / "past.jsonl").read_bytes().count(b"\n") > 2
    assert parity(tmp_path / "kept", plan, 60) is None
    done = compute(seen(list(rolling(1)), tmp_path / "seen", 60), plan)
    assert done.base.orders.height == len(ledger(whole)[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_session_killed_at_any_write_leaves_the_same_files(
    plan: Plan, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Kills come within, before and after writes, of lines, of books, and of checkpoints."""
    killer = Killer(monkeypatch, seeded(seed))
    killer.odds = 0.04
    written: list[bool] = []
    write = checkpoint.write

    def noted(*what: Any) -> None:
        written.append(False)
        write(*what)
        written[-1] = True

    monkeypatch.setattr(checkpoint, "write", noted)
    traded(tmp_path / "killed", plan, list(rolling(1)))
    killer.odds = 0.0
    assert content(tmp_path / "killed") == content(whole)
    assert ledger(tmp_path / "killed") == ledger(whole)
    assert True in written
    assert killer.count > 100


@pytest.mark.slow
def test_a_kill_at_each_write_of_a_checkpoint_changes_nothing(
    plan: Plan, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Due(Killer):
        keeping = False

        def _due(self) -> bool:
            return self.keeping and super()._due()

    killer = Due(monkeypatch, seeded(7))
    keep = Desk.keep

    def kept(self: Desk) -> None:
        killer.keeping = True
        keep(self)
        killer.keeping = False

    monkeypatch.setattr(Desk, "keep", kept)
    killer.odds = 0.5
    traded(tmp_path / "killed", plan, list(rolling(1)))
    killer.odds = 0.0
    assert killer.count > 8
    assert content(tmp_path / "killed") == content(whole)
    assert ledger(tmp_path / "killed") == ledger(whole)


@pytest.mark.slow
def test_memory_and_restarts_do_not_grow_with_the_age_of_a_session(
    plan: Plan, tmp_path: Path
) -> None:
    """All that session, trader and files' writers know, in bytes, at the end of each day."""
    sizes, bars, again = [], [], []
    told = list(rolling(3))
    for day in range(3):
        now = opened(tmp_path, plan)
        again.append(now.session.again)
        with now:
            for moment in told[day * len(told) // 3 : (day + 1) * len(told) // 3]:
                now.take(moment)
            now.keep()
        sizes.append((tmp_path / checkpoint.CHECKPOINT).stat().st_size)
        state, _ = checkpoint.read(tmp_path, now._of)
        assert state is not None
        session = state["session"]["broker"]["session"]
        bars.append(len(session["_memory"]["arrays"]["time"]))
        assert session["_known"]["markets"].height <= 2 * MARKETS
    assert again == [0, 0, 0]
    assert max(sizes[1:]) <= sizes[0] + 100  # a number that needs another byte
    assert bars[0] == bars[1] == bars[2]


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["torn", "other settings", "no equity", "none"])
def test_a_checkpoint_that_does_not_fit_is_passed_over_and_said_so(
    plan: Plan, whole: Path, tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list(rolling(1))
    now = opened(tmp_path, plan)
    for moment in told[:10]:
        now.take(moment)
    now._lock.close()  # a kill: two moments after a checkpoint
    path = tmp_path / checkpoint.CHECKPOINT
    expected, again = "", 2
    if harm == "torn":
        path.write_bytes(path.read_bytes()[:-7])
        expected, again = "damaged", 10
    elif harm == "other settings":
        monkeypatch.setattr(checkpoint, "code", lambda: "newer")
        expected, again = "other code", 10
    elif harm == "no equity":
        (tmp_path / "equity.csv").unlink()
        expected, again = "another time", 10
    then = opened(tmp_path, plan)
    assert (expected in then.passed_over) if expected else not then.passed_over
    assert then.session.again == again
    then._lock.close()
    traded(tmp_path, plan, told)
    assert content(tmp_path) == content(whole)
    assert ledger(tmp_path) == ledger(whole)


@pytest.mark.slow
@pytest.mark.parametrize("left", [6, 0])
def test_files_of_what_is_no_longer_there_are_not_gone_on_with(
    plan: Plan, tmp_path: Path, left: int
) -> None:
    now = opened(tmp_path, plan)
    for moment in list(rolling(1))[:10]:
        now.take(moment)
    now._lock.close()
    before = content(tmp_path)
    (log,) = (tmp_path / "moments").iterdir()
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [n for n, line in enumerate(lines) if line.startswith(b'{"time"')][left]
    log.write_bytes(b"".join(lines[:kept]))
    with pytest.raises(DataError, match=r"what was fed is gone; restore it"):
        opened(tmp_path, plan)
    assert content(tmp_path) == before


def test_a_kill_between_a_stop_and_the_journal_leaves_both(plan: Plan, tmp_path: Path) -> None:
    stop = {"since": BEGIN.isoformat(), "day": "2026-06-01", "reason": "STOP is there"}
    (tmp_path / "stops.json").write_text(json.dumps({"kill_switch": stop}))
    for moment in list(rolling(1))[:3]:
        with opened(tmp_path, plan) as at:  # at its end what is over is let go of
            at.take(moment)
    (told,) = (e for e in read(tmp_path / "journal.jsonl") if e.event == "stop")
    assert told.ts == stop["since"]
    assert told.payload == {"name": "kill_switch", **stop}


def test_what_was_refused_when_a_session_was_killed_stays_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "journal.jsonl", list(rolling(1))[:4]
    asked = MomentLog.asked

    def killed(self: MomentLog, intents: pl.DataFrame) -> None:
        if any(entry.event == "refusal" for entry in read(path)):
            raise Killed
        asked(self, intents)

    def traded_on() -> None:
        with opened(tmp_path, plan, lambda time: Pulse(time, time - timedelta(hours=1))) as at:
            for moment in told:
                at.take(moment)

    with monkeypatch.context() as patch:
        patch.setattr(MomentLog, "asked", killed)
        with pytest.raises(Killed):
            traded_on()
    refused = [e.payload["client_order_id"] for e in read(path) if e.event == "refusal"]
    with opened(tmp_path, plan) as again:  # the feed is heard again
        assert again.session.again
        again.take(told[-1])
    entries = list(read(path))
    assert [e.payload["client_order_id"] for e in entries if e.event == "refusal"] == refused
    ordered = {e.payload["order"]["client_order_id"] for e in entries if e.event == "order_intent"}
    assert refused
    assert not ordered & set(refused)


def test_a_breaker_of_the_strategy_is_told_on_the_day_and_over_a_restart(
    plan: Plan, tmp_path: Path
) -> None:
    risk = replace(plan.risk, max_losses=1)
    strict = replace(plan, risk=risk, rules=replace(plan.rules, risk=risk))
    with opened(tmp_path, strict) as at:
        for moment in rolling(1):
            at.take(moment)
            told, rejected = at.session.broker.breaker, summary(tmp_path)["rejected"]
            assert bool(told) == ("breaker_losses" in rejected)
    assert told == "breaker_losses since 2026-06-01, until 2026-06-02, 00:00 UTC"
    with opened(tmp_path, strict) as again:
        assert again.session.broker.breaker == told
        console = Console(file=StringIO(), width=120)
        console.print(Board("one").draw(again, {}))
        assert f"STOPPED {told}" in console.file.getvalue()


def test_a_torn_moment_is_counted_among_what_was_repaired(plan: Plan, tmp_path: Path) -> None:
    with opened(tmp_path, plan):
        (tmp_path / "moments" / "2026-06-01.jsonl").write_bytes(b'{"time":17')
    with opened(tmp_path, plan) as at:
        assert at.repaired == 10


def test_a_session_without_its_settings_is_not_gone_on_with(plan: Plan, tmp_path: Path) -> None:
    with opened(tmp_path, plan) as at:
        at.take(next(rolling(1)))
    (tmp_path / "session.toml").unlink()
    with pytest.raises(DataError, match=r"session.toml is gone, of a session that began"):
        opened(tmp_path, plan)


def test_a_disk_that_is_full_is_told_by_what_met_it_first(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    first, second, *_ = rolling(1)

    def traded_on() -> None:
        with opened(tmp_path, plan) as at:
            at.take(first)
            monkeypatch.setattr(files, "_write", full)
            at.take(second)

    with pytest.raises(DataError, match=r"jsonl cannot be written \(No space.*make room"):
        traded_on()
    monkeypatch.undo()
    opened(tmp_path, plan)._lock.close()  # the lock was let go of


def test_lines_cut_and_held(tmp_path: Path) -> None:
    path = tmp_path / "past.jsonl"
    files.cut(path, 0)
    assert files.holds(path, 0)
    path.write_bytes(b"one\ntwo\n")
    assert files.holds(path, 4)
    assert not files.holds(path, 5)
    assert not files.holds(path, 12)
    files.cut(path, 4)
    assert path.read_bytes() == b"one\n"


def test_state_survives_its_bytes_and_other_bytes_are_no_state(tmp_path: Path) -> None:
    state = {"time": BEGIN, "rows": frame("series", [{"series": "KXR"}]), "n": [1, None, "x"]}
    checkpoint.write(tmp_path, "this", state)
    found, why = checkpoint.read(tmp_path, "this")
    assert found is not None
    assert not why
    assert found["rows"].equals(state["rows"])
    assert found["rows"].schema == state["rows"].schema  # type: ignore[attr-defined]
    assert (found["time"], found["n"]) == (BEGIN, [1, None, "x"])
    assert checkpoint.read(tmp_path, "that") == (None, "it is of other code or settings")
    path = tmp_path / checkpoint.CHECKPOINT
    content = path.read_bytes()
    for cut in range(0, len(content), 97):
        path.write_bytes(content[:cut])
        assert checkpoint.read(tmp_path, "this") == (None, "it is damaged")
    assert json.dumps(why) == '""'
