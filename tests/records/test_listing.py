"""The runs of a folder at a glance; a broken one is told and stops nothing."""

import json
import shutil
import statistics
from pathlib import Path

import pytest

import kalshi_bt
from kalshi_bt import cli, trials
from kalshi_bt.listing import listed
from kalshi_bt.metrics import deflated_sharpe
from kalshi_bt.run import make_sample
from kalshi_bt.terminal import invoke
from kalshi_bt.trials import Trial

Captured = pytest.CaptureFixture[str]


def test_every_run_is_listed_with_what_its_files_say(finished: Path, named: dict[str, str]) -> None:
    found = {row["run"]: row for row in listed(finished)}
    assert set(found) == set(named.values())
    for name, run in named.items():
        row = found[run]
        if name == "agents":
            assert "no simulation" in row["broken"]
            continue
        folder = finished / run
        metrics = json.loads((folder / "metrics.json").read_text())
        manifest = json.loads((folder / "manifest.json").read_text())
        for score in ("n_trades", "net_pnl", "sharpe", "max_drawdown"):
            assert row[score] == metrics[score]
        assert [row["from"], row["to"]] == manifest["span"]
        assert row["strategy"] == run.rpartition("-")[0]
        assert row["dataset"] == manifest["hashed"]["data"]["name"]


def test_trials_are_numbered_by_strategy_over_the_whole_ledger(
    finished: Path, named: dict[str, str]
) -> None:
    found = {row["run"]: row for row in listed(finished)}
    for number, name in enumerate(("usual", "wide", "idle", "passive"), start=1):
        row = found[named[name]]
        assert (row["trial"], row["trials"]) == (number, 4)
    assert [found[named["own"]][k] for k in ("trial", "trials")] == [1, 1]
    assert [found[named["files"]][k] for k in ("trial", "trials")] == [1, 2]  # and the agents


def trial(number: int, sharpe: float | None, days: int = 50) -> Trial:
    return Trial(trial=f"t{number}", strategy="a", data="d", run_id=f"a-{number}", sharpe=sharpe,
                 days=days, skew=-0.5, kurtosis=4.0, net=0)  # fmt: skip


def test_the_deflated_ratio_is_over_all_trials_to_date() -> None:
    ledger = [trial(1, 0.3), trial(2, None), trial(3, 0.1), trial(4, -0.1)]
    variance = statistics.variance([0.3, 0.1, -0.1])
    expected = deflated_sharpe(0.3, 50, 4, variance, -0.5, 4.0)
    assert trials.deflated(ledger, ledger[0]) == pytest.approx(expected)
    # One trial alone is held to zero, which is an easier test.
    assert trials.deflated(ledger[:1], ledger[0]) > expected  # type: ignore[operator]


@pytest.mark.slow
def test_the_newest_run_reports_the_ratio_that_the_list_shows(tmp_path: Path) -> None:
    make_sample(tmp_path / "data", tell=lambda _: None)
    out = tmp_path / "out"
    for width in (2.0, 1.5, 2.5):
        run = kalshi_bt.backtest("bollinger", tmp_path / "data", out=out, width=width, audit=False)
        rows = {row["run"]: row for row in listed(out)}
        own = rows[run.run_dir.name]
        assert own["trial"] == own["trials"] == run.metrics["n_trials"]["value"] == len(rows)
        assert own["deflated_sharpe"] == pytest.approx(run.metrics["deflated_sharpe"]["value"])
    first = next(row for row in rows.values() if row["trial"] == 1)
    assert first["trials"] == 3  # to date, whatever its own report counted


@pytest.mark.parametrize(
    ("ledger", "own"),
    [
        ([trial(1, None)], trial(1, None)),
        ([trial(1, 0.3, days=9)], trial(1, 0.3, days=9)),
        ([trial(1, 0.3), trial(2, None)], trial(1, 0.3)),
    ],
)
def test_a_deflated_ratio_that_does_not_exist_is_null(ledger: list[Trial], own: Trial) -> None:
    assert trials.deflated(ledger, own) is None


def test_broken_folders_are_told_last_and_stop_nothing(
    finished: Path, named: dict[str, str], tmp_path: Path, capsys: Captured
) -> None:
    good = shutil.copytree(finished / named["usual"], tmp_path / named["usual"])
    bad = shutil.copytree(good, tmp_path / "a-damaged")
    (bad / "metrics.json").write_text("{}")
    old = shutil.copytree(good, tmp_path / "b-old")
    (old / "manifest.json").write_text('{"run_id": "b-old"}')
    (tmp_path / "c-other").mkdir()
    (tmp_path / ".desk").mkdir()
    (tmp_path / "trials.jsonl").write_text("")
    rows = listed(tmp_path)
    assert [row["run"] for row in rows] == [good.name, "a-damaged", "b-old", "c-other"]
    assert rows[0]["trial"] is None  # the ledger here does not know it
    assert invoke(cli.app, ["runs", "--in", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert good.name in out
    for said in ("is not what the run wrote", "another version", "has no manifest.json"):
        assert said in out
    assert invoke(cli.app, ["runs", "--in", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_the_list_shows_what_it_is_about(finished: Path, capsys: Captured) -> None:
    assert invoke(cli.app, ["runs", "--in", str(finished)]) == 0
    out = capsys.readouterr().out
    for word in ("run", "dataset", "trades", "net P&L", "Sharpe", "max drawdown", "1 of 4"):
        assert word in out


def test_no_runs_and_no_folder_are_said(tmp_path: Path, capsys: Captured) -> None:
    assert invoke(cli.app, ["runs", "--in", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no run\n"
    assert invoke(cli.app, ["runs", "--in", str(tmp_path / "absent")]) == 2
    assert "is no folder; expected one of runs" in capsys.readouterr().err
    (tmp_path / "trials.jsonl").write_text("x\n")
    assert invoke(cli.app, ["runs", "--in", str(tmp_path)]) == 2
    assert "line 1 is no trial" in capsys.readouterr().err
