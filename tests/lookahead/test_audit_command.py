"""`kalshi-bt audit`: what it prints, and its exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from kalshi_bt import cli
from kalshi_bt.data.store import Store
from kalshi_bt.lookahead.finding import CURES
from kalshi_bt.terminal import invoke
from tests.lookahead.conftest import HERE, own

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

AHEAD = f"{HERE / 'planted_ahead.py'}:NegativeShift"
KEYS = {"check", "column", "ticker", "time", "before", "after", "change", "rows", "cure"}
Capture = pytest.CaptureFixture[str]


def audit(data: Path, *words: str) -> int:
    return invoke(cli.app, ["audit", "--data", str(data), "--markets", "6", *words])


@pytest.mark.slow
def test_a_clean_strategy_exits_with_0_and_says_how_much_was_seen(
    one_day: Path, capsys: Capture
) -> None:
    assert audit(one_day, "--strategy", "bollinger", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clean"] is True
    assert told["findings"] == []
    assert told["opinions"] > 0
    assert told["markets"] <= told["universe"] == 114
    assert set(told["checks"]) <= set(CURES)


def test_a_leak_exits_with_1_and_names_column_market_time_and_cure(
    one_day: Path, capsys: Capture
) -> None:
    assert audit(one_day, "--strategy", AHEAD, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["clean"] is False
    markets = set(Store.open(one_day).read("markets")["ticker"])
    for found in told["findings"]:
        assert set(found) == KEYS
        assert found["ticker"] in markets
        assert found["time"].endswith("Z")
        assert found["cure"]
    first = told["findings"][0]
    assert (first["check"], first["column"]) == ("truncate", "fair")
    assert first["before"] != first["after"]


def test_rows_taken_for_sorted_are_warned_of_and_no_leak(
    tmp_path: Path, one_day: Path, capsys: Capture
) -> None:
    """A mean of five bars, right wherever rows come by time, which they do in every panel."""
    mean = 'pl.col("mid").rolling_mean(5).over("ticker").clip(0, 1)'
    spec = own(tmp_path, f"return quotes.with_columns(fair={mean})")
    assert audit(one_day, "--strategy", spec, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clean"], told["findings"]) == (True, [])
    assert [found["check"] for found in told["warnings"]] == ["order"]
    assert audit(one_day, "--strategy", spec) == 0
    assert "warning: order: fair of SYN" in capsys.readouterr().out


@pytest.mark.slow
def test_the_text_tells_people_the_same(one_day: Path, capsys: Capture) -> None:
    assert audit(one_day, "--strategy", AHEAD) == 1
    text = capsys.readouterr().out
    assert text.startswith("LOOK-AHEAD: ")
    assert "  truncate: fair of SYN" in text
    assert "cure: " in text
    assert audit(one_day, "--strategy", "bollinger") == 0
    assert capsys.readouterr().out.startswith("Look-ahead: nothing found in ")


@pytest.mark.slow
def test_the_same_audit_twice_gives_the_same_bytes(one_day: Path, capsys: Capture) -> None:
    audit(one_day, "--strategy", AHEAD, "--json")
    first = capsys.readouterr().out
    audit(one_day, "--strategy", AHEAD, "--json")
    assert capsys.readouterr().out == first


def test_a_signal_file_gets_its_parameters(tmp_path: Path, one_day: Path, capsys: Capture) -> None:
    """A shift by `depth`, which looks ahead where it is negative."""
    body = (
        "return quotes.with_columns("
        "fair=pl.col('mid').shift(self.depth).over('ticker', order_by='time'))"
    )
    spec = own(tmp_path, body)
    assert audit(one_day, "--strategy", spec) == 0
    assert audit(one_day, "--strategy", spec, "--set", "depth=-1") == 1
    assert audit(one_day, "--strategy", spec, "--set", "dept=1") == 2
    assert "did you mean 'depth'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return quotes.with_columns(fair=pl.col('spott'))", 'unable to find column "spott"'),
        ("raise RuntimeError('no such\\nthing')", "Mine raises RuntimeError (line 9): no such"),
        ("return quotes", "Mine added none of fair, side"),
        ("return 3", "Mine"),
    ],
)
def test_another_fault_of_a_signal_is_one_clear_line(
    tmp_path: Path, one_day: Path, capsys: Capture, body: str, told: str
) -> None:
    assert audit(one_day, "--strategy", own(tmp_path, body)) == 2
    line = capsys.readouterr().err
    assert told in line
    assert line.startswith("error: ")
    assert line.count("\n") == 1


def test_a_demand_for_an_outcome_is_a_finding_and_no_fault(
    tmp_path: Path, one_day: Path, capsys: Capture
) -> None:
    spec = own(tmp_path, "return quotes.with_columns(fair=pl.col('settlement_value'))")
    assert audit(one_day, "--strategy", spec, "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["check"], found["column"]) == ("hidden_columns", "settlement_value")


def test_a_label_among_the_samples_is_a_finding_and_no_fault(
    one_day: Path, capsys: Capture
) -> None:
    spec = f"{HERE / 'planted_outcomes.py'}:SamplesTheResult"
    assert audit(one_day, "--strategy", spec, "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["check"], found["column"]) == ("hidden_columns", "result")


def test_what_a_file_reads_of_the_dataset_when_it_is_loaded_is_found(
    tmp_path: Path, one_day: Path, capsys: Capture
) -> None:
    parts = f"__import__('pathlib').Path({str(one_day)!r}).rglob('settlements/**/*.parquet')"
    head = f"WON = [pl.read_parquet(part) for part in {parts}]"
    spec = own(tmp_path, "return quotes.with_columns(fair=pl.lit(0.5) * len(WON) / len(WON))", head)
    assert audit(one_day, "--strategy", spec, "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["check"] == "outside"
    assert "mine.py, line 3" in found["change"]


def test_the_readme_names_every_option_of_an_audit() -> None:
    page = (HERE.parents[1] / "README.md").read_text("utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| `kalshi-bt audit "))
    command: Any = typer.main.get_command(cli.app)
    options = {o for p in command.commands["audit"].params for o in p.opts if o != "--help"}
    assert set(re.findall(r"--[a-z]+", row)) == options


@pytest.mark.parametrize("check", CURES)
def test_every_check_is_explained_in_the_readme(check: str) -> None:
    page = (HERE.parents[1] / "README.md").read_text("utf-8")
    assert f"`{check}`" in page.partition("## Look-ahead")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    "words",
    [
        ["--strategy", "bolinger"],
        ["--strategy", "absent.py:Mine"],
        ["--strategy", "bollinger", "--markets", "0"],
        ["--strategy", "bollinger", "--set", "perod=3"],
        ["--strategy", "bollinger", "--series", "KXNOTHING"],
    ],
)
def test_bad_input_exits_with_2(one_day: Path, capsys: Capture, words: list[str]) -> None:
    assert audit(one_day, *words) == 2
    assert capsys.readouterr().err.startswith("error: ")
