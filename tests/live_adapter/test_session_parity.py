"""What a session did, held to the backtest of what it saw, from its folder alone."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from mover import MOVER
from papered import opened, papered, planned

from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from kalshi_bt.schema import Time
from kalshi_bt.terminal import invoke
from live_adapter.moments import Moment
from live_adapter.panels import replay
from live_adapter.paper import PaperSession
from live_adapter.parity import SETTINGS, of_session, parity
from live_adapter.run import app

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

SETS = ("period=8", "width=1.2", "min_time_to_close=0", "risk.max_losses=none")


@pytest.fixture(scope="module")
def plan(one_day: Path) -> Plan:
    return planned("bollinger", one_day, SETS, end="2026-05-04T05:00:00Z")


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sessions") / "whole"
    assert papered(made, plan).fills.height
    return made


@pytest.mark.slow
def test_a_session_is_the_backtest_of_what_it_saw(folder: Path, plan: Plan) -> None:
    assert parity(folder, plan, 60) is None


def changed(folder: Path, into: Path, change: str) -> Path:
    """Copy a session whose first decision was another."""
    (into / "moments").mkdir(parents=True)
    for path in (folder / "moments").glob("*.jsonl"):
        lines = path.read_text().splitlines()
        first = next(n for n, line in enumerate(lines) if line.startswith('{"asked":[['))
        told = json.loads(lines[first])
        if change == "refused":
            told["asked"] = told["asked"][1:]
        else:
            told["asked"][0][4] -= 100  # its limit
        lines[first] = json.dumps(told, separators=(",", ":"))
        (into / "moments" / path.name).write_text("\n".join(lines) + "\n")
    return into


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "cause"), [("refused", "the session has no such decision"), ("limit", "in limit")]
)
def test_the_first_different_decision_is_told_with_its_cause(
    folder: Path, plan: Plan, tmp_path: Path, change: str, cause: str
) -> None:
    found = parity(changed(folder, tmp_path / "other", change), plan, 60)
    assert found is not None
    assert found.what == "decision"
    assert cause in str(found)
    assert found.ticker.startswith("SYN")


@pytest.mark.slow
def test_other_settings_than_those_of_the_session_show(folder: Path, one_day: Path) -> None:
    other = planned("bollinger", one_day, ("period=9", "width=1.2", "min_time_to_close=0"))
    assert parity(folder, other, 60) is not None


def test_a_session_that_saw_no_bar_is_the_backtest_of_none(plan: Plan, tmp_path: Path) -> None:
    session, told = opened(tmp_path, plan)
    session.take(Moment(next(told.moments()).time - timedelta(hours=1)))
    assert parity(tmp_path, plan, 60) is None


@pytest.mark.slow
def test_a_session_by_the_book_that_never_had_one_is_its_backtest(
    one_day: Path, tmp_path: Path
) -> None:
    """Everything is decided, and nobody is there to trade with."""
    (tmp_path / "own.py").write_text(MOVER)
    strategy, span = f"{tmp_path}/own.py:Mover", {"end": "2026-05-04T04:20:00Z"}
    by_book = planned(strategy, one_day, fills="book", **span)
    told = replay(Store.open(one_day), planned(strategy, one_day, **span))
    session = PaperSession(tmp_path / "session", by_book, told.period)
    for moment in told.moments():
        session.take(moment)
    run = session.broker.so_far()
    assert run.orders.height > 3
    assert run.fills.is_empty()
    assert parity(tmp_path / "session", by_book, told.period) is None


@pytest.mark.slow
def test_a_close_that_was_put_off_moves_the_end_and_not_what_a_signal_knows(
    one_day: Path, tmp_path: Path
) -> None:
    """Listed to close after ten minutes, told otherwise before that, and not paid by the end."""
    (tmp_path / "own.py").write_text(MOVER)
    strategy, ticker = f"{tmp_path}/own.py:Mover", "SYNHIGH-26MAY04-T65"
    plan = planned(strategy, one_day, series="SYNHIGH", end="2026-05-04T04:20:00Z")
    told = replay(Store.open(one_day), plan)
    session = PaperSession(tmp_path / "session", plan, told.period)
    early = datetime(2026, 5, 4, 4, 10, tzinfo=UTC)
    for moment in told.moments():
        mine = pl.col("ticker") == ticker
        close = pl.when(mine).then(early).otherwise("close_time")
        put_off = {ticker: early + timedelta(hours=9)} if moment.time == early else {}
        listed = moment.listed.with_columns(close_time=close.cast(Time))
        session.take(replace(moment, listed=listed, closes=moment.closes | put_off))
    late = session.broker.so_far().orders.filter(pl.col("time") > early, ticker=ticker)
    assert late.filter(pl.col("filled") > 0).height
    assert parity(tmp_path / "session", plan, told.period) is None


@pytest.mark.slow
def test_nothing_is_decided_in_a_market_that_was_paid(one_day: Path, tmp_path: Path) -> None:
    """Its bars go on, with one missing among them, as a dataset may have them."""
    (tmp_path / "own.py").write_text(MOVER)
    store, late = Store.open(one_day), "SYNHIGH-26MAY04-T65"
    folder = tmp_path / "late"
    shutil.copytree(one_day, folder)
    early = datetime(2026, 5, 4, 4, 14, tzinfo=UTC)
    paid = store.read("settlements").filter(ticker=late)
    Store.open(folder).commit({"settlements": paid.with_columns(
        pl.lit(early, Time).alias("time"), pl.lit(early, Time).alias("close_time")
    )})  # fmt: skip
    span = {"series": "SYNHIGH", "end": "2026-05-04T04:20:00Z"}
    plan = planned(f"{tmp_path}/own.py:Mover", folder, ("assumptions.controls=false",), **span)
    done = compute(Store.open(folder), plan)
    mine = done.base.orders.filter(ticker=late)
    assert mine.filter(pl.col("time") <= early).height
    assert mine.filter(pl.col("time") > early).is_empty()
    told = papered(tmp_path / "session", plan)
    assert told.orders.equals(done.base.orders)


@pytest.fixture(scope="module")
def session(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session by the command, with the settings in its folder."""
    out = tmp_path_factory.mktemp("sessions") / "told"
    flags = ["--replay", plan.config.data, "--strategy", "bollinger", "--once", "--out", str(out)]
    flags += ["--to", "2026-05-04T05:00:00Z", "--json"]
    for text in SETS:
        flags += ["--set", text]
    done = subprocess.run(
        [sys.executable, "-m", "live_adapter.run", *flags], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["orders_reported"] > 0
    return out


def compared(session: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kalshi_bt.cli", "compare", "--parity", str(session), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_compares_a_session_by_its_folder(session: Path) -> None:
    found = compared(session, "--json")
    assert json.loads(found.stdout) == {"identical": True, "difference": None}
    assert found.returncode == 0


@pytest.mark.slow
def test_the_command_ends_with_1_and_the_cause(session: Path, tmp_path: Path) -> None:
    other = changed(session, tmp_path / "other", "limit")
    (other / "session.toml").write_bytes((session / "session.toml").read_bytes())
    found = compared(other)
    assert found.returncode == 1
    assert found.stdout.startswith("first different decision: SYN")
    assert "in limit" in found.stdout


@pytest.mark.slow
def test_what_is_not_the_signal_is_told_as_the_cause(
    session: Path, plan: Plan, tmp_path: Path
) -> None:
    """Settings that were changed afterwards; a kill switch; a session that was to order nothing."""
    shutil.copytree(session, tmp_path / "other")
    settings = tmp_path / "other" / SETTINGS
    settings.write_text(settings.read_text().replace("period = 8", "period = 9"))
    assert "are not those it had" in str(of_session(tmp_path / "other"))
    switch = tmp_path / "STOP"
    switch.touch()
    causes = {
        f"kill_switch: {switch} is there": ("--set", f"live.kill_switch={switch}"),
        "was a dry-run": ("--dry-run",),
    }
    for number, (cause, flags) in enumerate(causes.items()):
        folder = tmp_path / str(number)
        given = ("--replay", plan.config.data, "--strategy", "bollinger", "--out", str(folder))
        sets = [word for pair in SETS for word in ("--set", pair)]
        assert invoke(app, [*given, *sets, "--to", "2026-05-04T04:35:00Z", "--once", *flags]) == 0
        assert cause in str(of_session(folder))


def test_what_is_no_session_is_refused_in_one_line(tmp_path: Path) -> None:
    found = compared(tmp_path)
    assert found.returncode == 2
    assert "is no paper session" in found.stderr
    both = compared(tmp_path, "a-run")
    assert both.returncode == 2
    assert "no runs" in both.stderr
