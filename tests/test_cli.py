"""Commands: what they print and where, and one clear line for what went wrong."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt import cli, run
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.settings import plain
from kalshi_bt.signals import parameters
from kalshi_bt.strategies import STRATEGIES
from kalshi_bt.terminal import invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

COMPILING = "compiling the simulator once for this machine"  # may be said before anything else
Captured = pytest.CaptureFixture[str]


def failure(app: Any, words: list[object], capsys: Captured) -> str:
    """The one line on stderr of a command that fails, and nothing on stdout."""
    assert invoke(app, [str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith(COMPILING)]
    assert out == ""
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with things that are no datasets in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "wrong.toml").write_text("sed = 3")
    return tmp_path


WRONG: list[tuple[list[object], list[str]]] = [
    ([], ["--strategy"]),
    (["--strategy"], ["--strategy", "argument"]),
    (["--strategy", "bolinger"], ["unknown strategy 'bolinger'", "'bollinger'"]),
    (["--set", "perod=3"], ["'perod'", "'period'"]),
    (["--set", "period=ten"], ["period", "'ten'", "whole number"]),
    (["--set", "period=1"], ["period is 1", "from 2 to 5000"]),
    (["--set", "period"], ["'period'", "KEY=VALUE"]),
    (["--set", "sizing=kelly"], ["sizing kelly weighs a stated probability", "bollinger"]),
    (["--set", "sizing=edge_quantity"], ["sizing edge_quantity weighs a stated probability"]),
    (["--set", "sizing=joint_kelly"], ["sizing joint_kelly weighs a stated probability"]),
    (["--fills", "cros"], ["unknown fill model 'cros'", "'cross'"]),
    (["--mode", "corected"], ["unknown mode 'corected'", "'corrected'"]),
    (["--cash", "lots"], ["cash", "'lots'"]),
    (["--cash", "-1"], ["cash is -1.00", "above 0"]),
    (["--cash", "1e30"], ["cash is 1e30"]),
    (["--from", "May"], ["--from is 'May'"]),
    (["--from", "2026-05-04T00:00:00"], ["--from", "without a zone"]),
    (["--to", "2026-05-04T00:00:00"], ["--to", "without a zone"]),
    (["--from", "2026-05-05", "--to", "2026-05-04"], ["not after --from"]),
    (["--from", "2030-01-01"], ["one-day", "no candles"]),
    (["--series", "SYNGAM"], ["'SYNGAM'", "'SYNGAME'"]),
    (["--series", ""], ["series is ''"]),
    (["--seed", "x"], ["seed is 'x'"]),
    (["--bar", "5m"], ["300 seconds", "60"]),
    (["--bar", "x"], ["bar", "'x'"]),
    (["--data", "absent"], ["absent is no dataset", "no such folder"]),
    (["--data", "folder"], ["folder is no dataset", "dataset.json"]),
    (["--data", "file"], ["file is no dataset"]),
    (["--data", "sample"], ["sample is no dataset"]),
    (["--out", "file"], ["file cannot be written to", "--out"]),
    (["--out", "file/below"], ["cannot be written to", "file is a file", "--out"]),
    (["--config", "absent.toml"], ["absent.toml cannot be read"]),
    (["--config", "file"], ["file is not valid TOML"]),
    (["--config", "wrong.toml"], ["wrong.toml", "'sed'", "'seed'"]),
    (["--sed", "1"], ["No such option: --sed", "--seed"]),
    (["--nonsense"], ["No such option: --nonsense"]),
    (["extra"], ["extra"]),
]


@pytest.mark.parametrize(("words", "expected"), WRONG, ids=repr)
def test_a_wrong_run_is_answered_in_one_line(
    words: list[object], expected: list[str], one_day: Path, place: Path, capsys: Captured
) -> None:
    named = ["--strategy", "bollinger"] if words and words[0] != "--strategy" else []
    line = failure(run.app, [*named, "--data", one_day, *words], capsys)
    assert line.startswith("error: ")
    assert all(word in line for word in expected), line
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder", "wrong.toml"]


def test_an_unknown_variable_is_answered_in_one_line(
    one_day: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_BT_CSH", "100")
    line = failure(run.app, ["--strategy", "bollinger", "--data", one_day], capsys)
    assert "'KALSHI_BT_CSH'; did you mean 'KALSHI_BT_CASH'?" in line


def test_a_truncated_dataset_is_answered_in_one_line(
    one_day: Path, place: Path, capsys: Captured
) -> None:
    lame = shutil.copytree(one_day, place / "lame")
    file = next((lame / "candles").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:1000])
    for app, words in (
        (run.app, ["--strategy", "bollinger", "--data", lame]),
        (cli.app, ["info", lame]),
    ):
        assert file.name in failure(app, words, capsys)


def test_a_damaged_dataset_is_answered_in_one_line(
    one_day: Path, place: Path, capsys: Captured
) -> None:
    lame = shutil.copytree(one_day, place / "lame")
    file = next((lame / "candles").rglob("*.parquet"))
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"X" * (len(content) // 2) + content[4 + len(content) // 2 :])
    assert file.name in failure(cli.app, ["info", lame], capsys)


def test_layers_reach_the_command(
    one_day: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        f"strategy = 'bollinger'\ndata = '{one_day.as_posix()}'\ncash = 100\nseed = 1\n"
    )
    monkeypatch.setenv("KALSHI_BT_CASH", "200")
    monkeypatch.setenv("KALSHI_BT_SEED", "2")
    words = ["--config", str(file), "--seed", "3", "--out", str(tmp_path / "out"), "--json"]
    assert invoke(run.app, words) == 0
    assert json.loads(capsys.readouterr().out)["initial_cash"]["value"] == "200.00"
    (folder,) = (tmp_path / "out").glob("*-*")
    assert "seed = 3\n" in (folder / "config.toml").read_text("utf-8")


@pytest.mark.slow
def test_json_is_all_of_stdout_and_the_same_by_either_name(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ["--strategy", "bollinger", "--data", str(one_day), "--out", str(tmp_path), "--json"]
    assert invoke(run.app, words) == 0
    first = capsys.readouterr()
    assert invoke(cli.app, ["run", *words]) == 0
    second = capsys.readouterr()
    (folder,) = tmp_path.glob("*-*")
    assert first.out == second.out == (folder / "metrics.json").read_text("utf-8")
    assert second.err == ""


def test_a_run_ends_with_the_place_of_its_report(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ["--strategy", "bollinger", "--data", str(one_day), "--out", str(tmp_path)]
    assert invoke(run.app, words) == 0
    lines = capsys.readouterr().out.splitlines()
    report = Path(lines[-1].removeprefix("report: "))
    assert report.is_file()
    assert report.parents[1] == tmp_path
    assert len(lines) < 40


# --- the other verbs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lst"], ["No such command 'lst'", "'list'"]),
        (["list", "strategis"], ["No such command 'strategis'", "'strategies'"]),
        (["info"], ["Missing argument"]),
        (["info", "absent"], ["absent is no dataset"]),
        (["info", "folder"], ["folder is no dataset"]),
        (["info", "folder", "--jsn"], ["--jsn", "--json"]),
        (["sample"], ["--into"]),
        (["sample", "--into", "file"], ["file"]),
        (["sample", "--into", "file/below"], ["file/below"]),
        (["sample", "--into", "new", "--seed", "x"], ["--seed"]),
        (["sample", "--into", "new", "--seed", "-1"], ["seed is -1", "0 or more"]),
        (["import", "--into", "new"], ["Missing argument"]),
        (["import", "file", "--into", "new"], ["--mapping"]),
        (["import", "file", "--into", "new", "--layout", "tabel"], ["'tabel'", "'table'"]),
        (["import", "file", "--into", "new", "--mapping", "absent.toml"], ["absent.toml"]),
        (["import", "file", "--into", "new", "--mapping", "wrong.toml"], ["wrong.toml"]),
        (["run", "--strategi", "bollinger"], ["--strategi", "--strategy"]),
    ],
    ids=repr,
)
def test_a_wrong_verb_is_answered_in_one_line_and_leaves_nothing(
    words: list[object],
    expected: list[str],
    place: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kalshi_bt.data.synthetic.sample", lambda seed: sample(seed, days=1))
    line = failure(cli.app, words, capsys)
    assert line.startswith("error: ")
    assert all(word in line for word in expected), line
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder", "wrong.toml"]


@pytest.mark.parametrize("words", [[], ["list"]], ids=repr)
def test_without_a_verb_the_help_is_shown_as_an_error(words: list[str], capsys: Captured) -> None:
    assert invoke(cli.app, words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage:")
    assert "Commands:" in err


def test_info_as_json_says_what_the_dataset_holds(one_day: Path, capsys: Captured) -> None:
    assert invoke(cli.app, ["info", str(one_day), "--json"]) == 0
    out, err = capsys.readouterr()
    facts, store = json.loads(out), Store.open(one_day)
    assert err == ""
    assert facts["name"] == "one-day"
    assert facts["synthetic"] is True
    assert facts["fingerprint"] == store.fingerprint()
    candles, markets = store.read("candles"), store.read("markets")
    assert facts["tables"]["candles"]["rows"] == candles.height
    assert facts["markets"] == facts["settled"] + facts["unsettled"] == markets.height
    assert set(facts["series"]) == set(markets["series"])
    assert sum(row["bars"] for row in facts["series"].values()) == candles.height
    assert facts["quarantined"] == {}


def test_info_shows_the_same_facts_as_text(one_day: Path, tmp_path: Path, capsys: Captured) -> None:
    lame = shutil.copytree(one_day, tmp_path / "lame")
    row = {"table": "trades", "source": "a", "row": 1, "reason": "[price]", "found": "x"}
    Store.open(lame).commit({"quarantine": pl.DataFrame([row])}, note="A remark.\nAnother.")
    assert invoke(cli.app, ["info", str(lame), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert invoke(cli.app, ["info", str(lame)]) == 0
    text = capsys.readouterr().out
    cells = {cell for line in text.splitlines() for cell in line.split()}
    assert facts["name"] in text
    assert "A remark.\nAnother.\n" in text
    assert f"{facts['markets']:,} markets: {facts['settled']:,} settled" in text
    assert f"{facts['start']} to {facts['end']}" in text
    for name, table in facts["tables"].items():
        assert {name, f"{table['rows']:,}"} <= cells
    for name, row in facts["series"].items():
        assert {name, f"{row['bars']:,}", row["first"], row["last"]} <= cells
    assert "[price]" in cells


def test_info_of_an_empty_dataset(tmp_path: Path, capsys: Captured) -> None:
    Store.create(tmp_path / "new", name="new")
    assert invoke(cli.app, ["info", str(tmp_path / "new")]) == 0
    assert "0 markets" in capsys.readouterr().out
    words = ["--strategy", "bollinger", "--data", tmp_path / "new", "--out", tmp_path / "out"]
    assert "no candles" in failure(run.app, words, capsys)


def test_list_strategies_as_json_has_every_parameter(capsys: Captured) -> None:
    assert invoke(cli.app, ["list", "strategies", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(STRATEGIES)
    for name, chosen in STRATEGIES.items():
        assert listed[name]["idea"] == chosen.idea
        found = {p["name"]: p for p in listed[name]["parameters"]}
        for p in parameters(chosen.signal):
            assert found[p.name]["default"] == p.default
            assert found[p.name]["doc"] == p.doc
            assert found[p.name].get("low") == p.low
            assert found[p.name].get("high") == p.high
            documented = getattr(chosen.reference, p.name)
            assert found[p.name].get("reference", p.default) == documented
        assert listed[name]["risk"] == plain(chosen.risk)
        assert listed[name]["reference"]["risk"] == plain(chosen.reference_risk)
        assert listed[name]["sizing"]["sizing"] in listed[name]["sizings"]
        needs = getattr(chosen.signal, "references", ())
        assert {row["source"] for row in listed[name]["needs"]} == {need.source for need in needs}
        for row in listed[name]["needs"]:
            own = [need for need in needs if need.source == row["source"]]
            assert set(row["fields"]) == {need.field for need in own}
            assert row["symbols"]
            assert {row["max_age_seconds"]} == {need.max_age_seconds for need in own}
        assert listed[name]["learns"] == (name == "longshot")


def test_list_strategies_as_text_has_every_parameter_that_set_takes(capsys: Captured) -> None:
    assert invoke(cli.app, ["list", "strategies"]) == 0
    text = capsys.readouterr().out
    words = {line.split()[0] for line in text.splitlines() if line}
    for name, chosen in STRATEGIES.items():
        assert f"{name}:" in words
        assert chosen.idea in text
        for part in (chosen.signal, chosen.sizing, chosen.risk):
            assert {field.name for field in dataclasses.fields(part)} <= words
        for need in getattr(chosen.signal, "references", ()):
            assert need.source in words
    assert "2 … 5000" in text
    (line,) = (line for line in text.splitlines() if line.startswith("geometry "))
    assert line.split()[:3] == ["geometry", "fade_limit", "literal"]  # default, reference
    assert "learns from past outcomes" in text.partition("longshot:")[2].partition("mean_rev")[0]


@pytest.mark.slow
def test_a_sample_depends_on_its_seed_alone(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_bt.data.synthetic.sample", lambda seed: sample(seed, days=1))
    prints = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        into = str(tmp_path / name)
        assert invoke(cli.app, ["sample", "--into", into, "--seed", seed]) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert into in err
        store = Store.open(into)
        assert store.note == f"synthetic, seed {seed}"
        prints.append(store.fingerprint())
    assert prints[0] == prints[1] != prints[2]
    again = failure(cli.app, ["sample", "--into", tmp_path / "a", "--seed", 1], capsys)
    assert "already holds a dataset" in again
    assert Store.open(tmp_path / "a").fingerprint() == prints[0]


def test_import_reports_what_became_of_the_rows(place: Path, capsys: Captured) -> None:
    (place / "index.csv").write_text(
        "coin,at,price\nBTC,2026-01-05T12:00:00Z,61000.5\nBTC,2026-01-05T12:01:00Z,none such\n"
    )
    (place / "index.toml").write_text(
        '[[table]]\ninto = "references"\nsource = "index.csv"\n'
        'columns = { source = { value = "x" }, symbol = "coin", time = "at", value = "price" }\n'
    )
    words = ["import", "index.csv", "--mapping", "index.toml", "--into"]
    assert invoke(cli.app, [*words, "one", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["tables"]["references"]["read"] == 2
    assert report["tables"]["references"]["added"] == 1
    assert sum(report["tables"]["references"]["quarantined"].values()) == 1
    assert report["fingerprint"] == Store.open("one").fingerprint()
    assert invoke(cli.app, [*words, "one", "--collateral", "--json"]) == 0
    marked = json.loads(capsys.readouterr().out)["fingerprint"]
    assert Store.open("one").collateral
    assert marked == Store.open("one").fingerprint() != report["fingerprint"]
    assert invoke(cli.app, [*words, "two"]) == 0
    cells = capsys.readouterr().out.split()
    assert {"references", "added", *report["tables"]["references"]["quarantined"]} <= set(cells)
