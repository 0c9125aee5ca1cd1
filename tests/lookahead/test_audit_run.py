"""What a run makes of an audit: the verdict comes first, and no number changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from run_folder import contents

import kalshi_bt
from kalshi_bt.errors import UsageError
from tests.lookahead.conftest import HERE, own

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

AHEAD = f"{HERE / 'planted_ahead.py'}:NegativeShift"


def manifest(run: kalshi_bt.Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.run_dir / "manifest.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def run(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> kalshi_bt.Result:
    """A run with the defaults."""
    return kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path_factory.mktemp("run"))


def test_a_run_is_audited_and_says_so_first(run: kalshi_bt.Result) -> None:
    told = manifest(run)["audit"]
    assert told["clean"] is True
    assert told["opinions"] > 0
    line = told["headline"]
    assert line.startswith("Look-ahead: nothing found in ")
    assert line in " ".join(run.summary.split())
    page = (run.run_dir / "report.html").read_text("utf-8")
    before_the_cards = page.partition('<dl class="cards">')[0]
    assert f'<p class="audit clean">{line}</p>' in before_the_cards
    text = (run.run_dir / "report.txt").read_text("utf-8")
    assert line in " ".join(text.partition("TRADE STATISTICS")[0].split())


@pytest.mark.slow
def test_a_rerun_is_audited_to_the_same_bytes(
    run: kalshi_bt.Result, one_day: Path, tmp_path: Path
) -> None:
    again = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path)
    assert contents(run.run_dir) == contents(again.run_dir)


@pytest.mark.slow
def test_without_an_audit_no_number_changes_and_the_report_says_so(
    run: kalshi_bt.Result, one_day: Path, tmp_path: Path
) -> None:
    without = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, audit=False)
    assert without.metrics == run.metrics
    assert without.fills.equals(run.fills)
    assert "Look-ahead: not audited (audit=false)." in without.summary
    assert 'class="audit open"' in (without.run_dir / "report.html").read_text("utf-8")


def test_a_leak_is_shouted_and_the_run_ends_all_the_same(one_day: Path, tmp_path: Path) -> None:
    run = kalshi_bt.backtest(AHEAD, data=one_day, out=tmp_path)
    assert float(run.metrics["net_pnl"]["value"]) > 0  # which is why it has to be shouted
    told = manifest(run)["audit"]
    assert told["clean"] is False
    assert told["findings"][0]["column"] == "fair"
    assert "LOOK-AHEAD: no result of this signal can be believed" in " ".join(run.summary.split())
    assert "!" * 78 in run.summary
    assert run.summary.index("LOOK-AHEAD") < run.summary.index("Makes money")
    assert 'class="audit leak"' in (run.run_dir / "report.html").read_text("utf-8")


def test_a_signal_that_fails_only_when_audited_costs_the_audit_and_not_the_run(
    tmp_path: Path, one_day: Path
) -> None:
    """It wants all bars of the day, or none."""
    body = (
        "assert quotes.collect().height in (0, 12_580); "
        "return quotes.with_columns(fair=pl.lit(0.5))"
    )
    run = kalshi_bt.backtest(own(tmp_path, body), data=one_day, out=tmp_path / "out")
    told = manifest(run)["audit"]
    assert told["checks"] == []
    assert "raises AssertionError" in told["headline"]
    assert "Look-ahead: not audited (" in run.summary


def test_the_documented_fit_is_named_as_what_it_is(one_day: Path, tmp_path: Path) -> None:
    run = kalshi_bt.backtest("longshot", data=one_day, out=tmp_path, mode="reference")
    told = manifest(run)["audit"]
    assert told["by_design"].startswith("reference mode fits it with every outcome")
    assert 'class="audit open"' in (run.run_dir / "report.html").read_text("utf-8")


def test_a_setting_that_is_no_answer_is_refused(one_day: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected true or false"):
        kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, audit="perhaps")
