"""What a session did, held to the backtest of what it saw, from its folder alone."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from papered import opened, papered, planned

from kalshi_bt.errors import UsageError
from kalshi_bt.plan import Plan
from live_adapter.moments import Moment
from live_adapter.parity import parity

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


def test_other_settings_than_those_of_the_session_show(folder: Path, one_day: Path) -> None:
    other = planned("bollinger", one_day, ("period=9", "width=1.2", "min_time_to_close=0"))
    assert parity(folder, other, 60) is not None


def test_a_session_that_saw_nothing_cannot_be_compared(plan: Plan, tmp_path: Path) -> None:
    session, told = opened(tmp_path, plan)
    session.take(Moment(next(told.moments()).time - timedelta(hours=1)))
    with pytest.raises(UsageError, match="saw no bar"):
        parity(tmp_path, plan, 60)
