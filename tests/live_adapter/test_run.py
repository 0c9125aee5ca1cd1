"""The command: a session from a folder, whatever interrupts it, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from papered import planned

from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.terminal import invoke
from live_adapter.account import Names
from live_adapter.connecting import Patience
from live_adapter.desk import Desk
from live_adapter.journal import read
from live_adapter.panels import replay
from live_adapter.run import app
from live_adapter.safety import Limits
from live_adapter.sandbox import Exchange

EARLY = "2026-05-04T05:10:00Z"  # the sample begins at 04:00
SETS = ("period=8", "width=1.2", "min_time_to_close=0", "risk.max_losses=none")
FILES = ("book.json", "trades.csv", "equity.csv", "journal.jsonl", "state.json")


@pytest.fixture(autouse=True)
def from_here_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("KALSHI_", "EXECUTION_", "PAPER_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    sets = [word for pair in SETS for word in ("--set", pair)]
    return [
        *("--strategy", "bollinger", "--replay", str(data), "--to", EARLY, "--once"),
        *("--out", str(out), *sets, *more),
    ]


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def traded(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of the first hour of the sample."""
    folder = tmp_path_factory.mktemp("session") / "whole"
    assert invoke(app, arguments(one_day, folder)) == 0
    return folder


def test_a_replay_trades_as_the_backtest_does(traded: Path, one_day: Path) -> None:
    done = compute(Store.open(one_day), planned("bollinger", one_day, SETS, end=EARLY)).base
    orders, fills = done.orders, done.fills
    assert orders.height > 3
    told = [e.payload for e in read(traded / "journal.jsonl") if e.event == "order_intent"]
    assert [row["order"]["market_id"] for row in told] == orders["ticker"].to_list()
    last = json.loads((traded / "state.json").read_text())["seen_client_order_ids"]
    assert len(set(last)) == orders.height
    trades = pl.read_csv(traded / "trades.csv")
    assert trades.height == fills.height > 0
    assert trades["contracts"].sum() == fills["quantity"].abs().sum() / 100


def test_the_ledger_answers_questions(traded: Path) -> None:
    import duckdb

    with duckdb.connect(str(traded / "ledger.duckdb"), read_only=True) as base:
        fees = base.sql("select sum(fee) from fills").fetchall()[0][0]
        days = base.sql("select sum(realized) from daily_pnl").fetchall()[0][0]
        trips = base.sql("select sum(pnl) from trades").fetchall()[0][0]
        signals = base.sql("select count(*) from signals").fetchall()[0][0]
        orders = base.sql("select count(*) from orders").fetchall()[0][0]
    assert fees > 0
    assert days == trips
    assert signals == orders


def test_the_same_command_again_changes_nothing(
    traded: Path, one_day: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(traded)
    assert invoke(app, arguments(one_day, traded, "--json")) == 0
    assert content(traded) == before
    found = json.loads(capsys.readouterr().out)  # nothing else on stdout
    assert invoke(app, ["--summary", "--json", "--out", str(traded)]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert found["orders_reported"] > 3


@pytest.mark.slow
def test_orders_that_were_open_at_a_stop_are_reconciled_once(one_day: Path, tmp_path: Path) -> None:
    plan, names = planned("bollinger", one_day, SETS, end=EARLY), Names("one", "bollinger")
    told, folder = replay(Store.open(one_day), plan), tmp_path / "one"
    limits = Limits(max_orders_minute=None)

    def opened() -> Desk:
        return Desk(folder, plan, told.period, names, "replay", limits=limits)

    with opened() as desk:
        assert desk.reconcile() == 0
        for moment in told.moments():
            desk.take(moment)
            waiting = json.loads((folder / "state.json").read_text())["open_orders"]
            if waiting:
                break
    for _ in range(2):
        with opened() as desk:
            assert desk.reconcile() == len(waiting) > 0
    entries = [e for e in read(folder / "journal.jsonl") if e.event == "reconcile_order"]
    assert [e.payload["order_id"] for e in entries] == [row["order_id"] for row in waiting]
    assert {e.payload["status"] for e in entries} <= {"New", "PartiallyFilled"}


@pytest.mark.slow
def test_ctrl_c_leaves_a_whole_session_that_the_same_command_ends(
    traded: Path, one_day: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "halted"
    command = [sys.executable, "-m", "live_adapter.run", *arguments(one_day, folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        rows = folder / "equity.csv"
        while not rows.exists() or rows.read_bytes().count(b"\n") < 10:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().count("interrupted;") == 1
    assert "Traceback" not in said.decode()
    assert 10 <= rows.read_bytes().count(b"\n") < content(traded)["equity.csv"].count(b"\n")
    assert invoke(app, arguments(one_day, folder)) == 0
    assert content(folder) == content(traded)


@pytest.mark.slow
def test_a_kill_switch_stops_entries_and_every_refusal_is_told(
    one_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switch = tmp_path / "STOP"
    switch.touch()
    stop = ("--set", f"live.kill_switch={switch}")
    folder = tmp_path / "stopped"
    assert invoke(app, arguments(one_day, folder, *stop, "--json", "--for", "40m")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["orders_reported"] == 0
    assert found["refused"]["kill_switch"] > 0
    cure = f"{switch} is there; remove it, then --resume"
    assert found["stops"] == {"kill_switch": cure}
    switch.unlink()
    assert invoke(app, arguments(one_day, folder, *stop, "--json", "--for", "5m")) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["orders_reported"] == 0
    assert f"stopped: {cure}" in told.err
    assert invoke(app, arguments(one_day, folder, *stop, "--json", "--resume")) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["orders_reported"] > 0
    assert again["stops"] == {}
    assert again["refused"]["kill_switch"] >= found["refused"]["kill_switch"]
    told = [e.event for e in read(folder / "journal.jsonl") if e.event in {"stop", "resume"}]
    assert told == ["stop", "resume"]


def test_a_dry_run_decides_and_orders_nothing(
    traded: Path, one_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dry"
    assert invoke(app, arguments(one_day, folder, "--dry-run", "--json", "--for", "30m")) == 0
    assert json.loads(capsys.readouterr().out)["orders_reported"] == 0
    wanted = [e.payload for e in read(folder / "journal.jsonl")]
    assert {row["mode"] for row in wanted} == {"dry-run"}
    first = next(e.payload["order"] for e in read(traded / "journal.jsonl"))
    assert wanted[0]["order"]["market_id"] == first["market_id"]
    assert wanted[0]["order"]["limit_price"] == first["limit_price"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--mode", "live"], "asks for real orders, and this version sends none"),
        (["--env", "demo"], "--replay needs no exchange"),
        (["--for", "soon"], "--for: 'soon' is not a duration"),
        (["--set", "live.max_skw=1s"], "did you mean 'live.max_skew'"),
        (["--set", "perod=3"], "did you mean 'period'"),
        (["--fills", "book"], "no recorded books; --fills book needs them"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    one_day: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    message: str,
) -> None:
    assert invoke(app, arguments(one_day, tmp_path / "none", *given)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1


def test_without_a_key_the_exchange_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(app, ["--strategy", "bollinger", "--series", "KXBTC15M"]) == 2
    assert "set KALSHI_API_KEY_ID" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("series", "socket", "message"),
    [
        ("KXNONE", "{ws}", "has no series KXNONE; check --series and --env"),
        ("SYNHIGH-26MAY04-T72", "{ws}", "give a series, such as SYNHIGH"),
        ("SYNHIGH", "ws://127.0.0.1:9/", "ws://127.0.0.1:9/ cannot be reached"),
        ("SYNHIGH", "{ws}/nowhere", "answers HTTP 404; expected a WebSocket"),
        ("SYNHIGH", "{ws}", "no market of SYNHIGH is open at http://127.0.0.1:"),
    ],
)
def test_what_the_exchange_does_not_have_is_one_line_before_anything_starts(
    one_day: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    series: str,
    socket: str,
    message: str,
) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv("KALSHI_API_KEY_ID", "a-key")
    monkeypatch.setenv("KALSHI_PRIVATE_KEY", pem.decode())
    monkeypatch.setattr(Patience, "wait", lambda *_, **__: timedelta(0))
    with Exchange(Store.open(one_day)) as exchange:
        there = ["--base-url", exchange.url, "--ws-url", socket.format(ws=exchange.ws)]
        given = ["--strategy", "bollinger", "--series", series, "--out", str(tmp_path / "none")]
        assert invoke(app, [*given, *there]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_session_of_other_settings_is_not_gone_on_with(
    traded: Path, one_day: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(traded)
    assert invoke(app, arguments(one_day, traded, "--set", "period=9")) == 2
    told = "holds a session of other settings (signal.period 8, not 9); go on with those"
    assert told in capsys.readouterr().err
    assert content(traded) == before


def test_paper_data_dir_names_the_folder(
    one_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPER_DATA_DIR", str(tmp_path / "paper"))
    given = arguments(one_day, tmp_path, "--for", "2m")
    del given[given.index("--out") : given.index("--out") + 2]
    assert invoke(app, given) == 0
    assert (tmp_path / "paper" / "book.json").exists()


def test_two_processes_do_not_share_a_session(
    one_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kalshi_bt.data.roots import lock

    folder = tmp_path / "busy"
    folder.mkdir()
    with (folder / "lock").open("a+") as file:
        lock(file)
        assert invoke(app, arguments(one_day, folder)) == 2
    assert "is being run by" in capsys.readouterr().err


def test_summary_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(app, ["--summary", "--out", str(tmp_path / "none")]) == 2
    assert "holds no session" in capsys.readouterr().err
