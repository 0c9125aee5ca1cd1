"""What a session did, held to the backtest of what it saw, from its folder alone."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from papered import opened, papered, planned

from kalshi_bt.errors import UsageError
from kalshi_bt.plan import Plan
from live_adapter.moments import Moment
from live_adapter.parity import Difference, explained, parity

pytestmark = pytest.mark.usefixtures("settings_only_from_here")


@pytest.fixture(scope="module")
def plan(one_day: Path) -> Plan:
    sets = ("period=8", "width=1.2", "min_time_to_close=0", "risk.max_losses=none")
    return planned("bollinger", one_day, sets, end="2026-05-04T05:00:00Z")


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


def test_a_refused_decision_is_told_with_the_reason_that_the_journal_has(tmp_path: Path) -> None:
    noon, minute = datetime(2026, 6, 1, 12, tzinfo=UTC), timedelta(minutes=1)
    found = Difference("decision", noon, "S-E-A", "nothing", "side 1", "as always")
    entries = [
        (noon - minute, "S-E-A", "kill_switch"),  # of other decisions
        (noon, "S-E-B", "kill_switch"),
        (noon + minute / 2, "S-E-A", "clock_skew: 180.0 s"),
        (noon + minute, "S-E-A", "kill_switch"),
    ]
    journal = tmp_path / "journal.jsonl"
    assert explained(found, journal, minute) == found
    lines = [
        {"ts": time.isoformat(), "event": "refusal",
         "payload": {"client_order_id": str(n), "market_id": ticker, "reason": reason}}
        for n, (time, ticker, reason) in enumerate(entries)
    ]  # fmt: skip
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    cause = "the session refused it: clock_skew: 180.0 s"
    assert explained(found, journal, minute) == replace(found, cause=cause)
    other = replace(found, what="fill")
    assert explained(other, journal, minute) == other


@pytest.mark.slow
def test_other_settings_than_those_of_the_session_show(folder: Path, one_day: Path) -> None:
    other = planned("bollinger", one_day, ("period=9", "width=1.2", "min_time_to_close=0"))
    assert parity(folder, other, 60) is not None


def test_a_session_that_saw_nothing_cannot_be_compared(plan: Plan, tmp_path: Path) -> None:
    session, told = opened(tmp_path, plan)
    session.take(Moment(next(told.moments()).time - timedelta(hours=1)))
    with pytest.raises(UsageError, match="saw no bar"):
        parity(tmp_path, plan, 60)


@pytest.fixture(scope="module")
def session(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session by the command, with the settings in its folder."""
    out = tmp_path_factory.mktemp("sessions") / "told"
    flags = ["--replay", plan.config.data, "--strategy", "bollinger", "--once", "--out", str(out)]
    flags += ["--to", "2026-05-04T05:00:00Z", "--json"]
    for text in ("period=8", "width=1.2", "min_time_to_close=0", "risk.max_losses=none"):
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


def test_what_is_no_session_is_refused_in_one_line(tmp_path: Path) -> None:
    found = compared(tmp_path)
    assert found.returncode == 2
    assert "is no paper session" in found.stderr
    both = compared(tmp_path, "a-run")
    assert both.returncode == 2
    assert "no runs" in both.stderr
