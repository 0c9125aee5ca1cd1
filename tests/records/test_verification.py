"""A run comes out the same again, or the first difference of every file is told."""

import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from finished_runs import RUNS

import kalshi_bt
from kalshi_bt import cli, trials
from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.terminal import invoke
from kalshi_bt.verification import _first, verify

Captured = pytest.CaptureFixture[str]
Copy = Callable[[str], Path]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RUNS, "agents"])
def test_every_run_comes_out_the_same_and_registers_nothing(
    name: str, finished: Path, named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_BT_CASH", "77")  # settings of whoever verifies
    monkeypatch.setenv("PAPER_DATA_DIR", str(finished / "paper"))
    before = trials.read(finished)
    kept = sorted(path.name for path in finished.iterdir())
    found = verify(finished / named[name])
    assert found.identical, found.text()
    assert found.changed == ()
    assert found.files == len(list((finished / named[name]).iterdir()))
    assert trials.read(finished) == before
    assert sorted(path.name for path in finished.iterdir()) == kept


@pytest.mark.slow
def test_what_was_tampered_with_is_told_by_row_and_by_line(copy: Copy, capsys: Captured) -> None:
    folder = copy("usual")
    fills = pl.read_parquet(folder / "fills.parquet")
    fills[3, "fee"] = fills[3, "fee"] + 1
    fills.write_parquet(folder / "fills.parquet")
    text = (folder / "report.txt").read_text().replace("Closed trades", "Clsoed trades")
    (folder / "report.txt").write_text(text)
    (folder / "more.txt").write_text("mine")
    (folder / "metrics.json").unlink()
    (folder / "orders.parquet").write_bytes(b"damaged")
    assert invoke(cli.app, ["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"fills.parquet: row 4, fee: {fills[3, 'fee']} then, {fills[3, 'fee'] - 1} now" in out
    line = 1 + text[: text.index("Clsoed")].count("\n")
    assert f"report.txt: line {line}: " in out
    assert "Clsoed trades" in out
    assert "more.txt: it was there, and is not now" in out
    assert "metrics.json: it is there now, and was not" in out
    assert "orders.parquet: what was there is no table any more" in out
    assert "5 of " in out
    assert "changed since" not in out
    assert invoke(cli.app, ["verify", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["identical"], len(told["differences"])) == (False, 5)


def test_trials_that_were_tampered_with_are_told(copy: Copy) -> None:
    folder = copy("wide")
    rest = (folder / "run.json").read_text()
    (folder / "run.json").write_text(rest.replace('"days": 2', '"days": 3', 1))
    found = verify(folder)
    assert "run.json" not in found.differences  # what was said of others is taken as it stands
    assert "manifest.json" in found.differences


def test_changed_code_and_libraries_are_said_first(
    copy: Copy, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("usual")
    monkeypatch.setattr("kalshi_bt.artifacts.code_version", lambda: "f" * 64)
    monkeypatch.setattr("kalshi_bt.artifacts._version", lambda name: f"{name} 9")
    assert invoke(cli.app, ["verify", str(folder)]) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("changed since: code: ")
    assert first.endswith(" then, ffffffffffff now")
    assert second.startswith("changed since: numba: ")


@pytest.mark.slow
def test_changed_data_are_said_and_moved_data_are_the_same(
    copy: Copy, one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    folder = copy("usual")
    moved = shutil.copytree(one_day, tmp_path / "moved")
    assert verify(folder, str(moved)).identical
    store = Store.open(moved)
    last = store.read("candles").tail(1)
    store.commit({"candles": last.with_columns(volume=pl.col("volume") + 1)})
    assert invoke(cli.app, ["verify", str(folder), "--data", str(moved)]) == 1
    assert capsys.readouterr().out.startswith("changed since: data: ")


@pytest.mark.slow
def test_a_changed_signal_file_is_said(
    finished: Path, one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "dear.py"
    file.write_text((finished.parent / "dear.py").read_text())
    run = kalshi_bt.backtest(f"{file}:Dear", data=one_day, out=tmp_path / "out")
    file.write_text(file.read_text().replace("0.7", "0.8"))
    assert invoke(cli.app, ["verify", str(run.run_dir)]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"changed since: {file}:Dear: ")
    assert "config.toml: line " in out


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("manifest.json", "{", "is damaged"),
        ("run.json", "{", "run.json is damaged"),
        ("run.json", '{"trials": [{"a": 1}, 2]}', "run.json is damaged"),
        ("config.toml", "=", "is not valid TOML"),
        ("config.toml", 'strategy = "x"\n', "unknown strategy"),
    ],
)
def test_a_run_that_cannot_be_run_again_is_said_in_one_line(
    file: str, content: str, message: str, copy: Copy, capsys: Captured
) -> None:
    folder = copy("usual")
    (folder / file).write_text(content)
    assert invoke(cli.app, ["verify", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_data_that_are_gone_are_said(copy: Copy, tmp_path: Path, capsys: Captured) -> None:
    assert invoke(cli.app, ["verify", str(copy("usual")), "--data", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err


def test_a_signal_that_was_handed_over_cannot_be_found_again(one_day: Path, tmp_path: Path) -> None:
    class Mine(Bollinger):
        """Bands of one's own."""

    run = kalshi_bt.backtest(Mine(), data=one_day, out=tmp_path)
    with pytest.raises(UsageError, match="was handed over in Python"):
        verify(run.run_dir)


# --- first differences ----------------------------------------------------------------------------


def table(**columns: list[object]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(columns).write_parquet(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        (table(a=[1, 2], b=[1, 2]), table(a=[1, 3], b=[1, 3]), "row 2, a: 2 then, 3 now"),
        (table(a=[1, 2], b=[1, 2]), table(a=[1, 3], b=[2, 2]), "row 1, b: 1 then, 2 now"),
        (table(a=[1, None]), table(a=[1, 0]), "row 2, a: None then, 0 now"),
        (
            table(a=[datetime(2026, 5, 4, tzinfo=UTC)]),
            table(a=[datetime(2026, 5, 4, 0, 0, 1, tzinfo=UTC)]),
            "row 1, a: 2026-05-04T00:00:00.000000Z then, 2026-05-04T00:00:01.000000Z now",
        ),
        (table(a=[1]), table(a=[1, 2]), "1 rows then, 2 now"),
        (table(a=[1]), table(a=["1"]), "columns {'a': Int64} then, {'a': String} now"),
        (table(a=[1]), table(b=[1]), "columns {'a': Int64} then, {'b': Int64} now"),
    ],
)
def test_the_first_difference_of_tables(then: bytes, now: bytes, message: str) -> None:
    assert _first("a.parquet", then, now) == message
    assert _first("a.parquet", then, then) == ""


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        (b"a\nb", b"a\nc", "line 2: 'b' then, 'c' now"),
        (b"a\n", b"a\nb\n", "line 2: '' then, 'b' now"),
        (b"a", b"a\n", "line 2: '' then, '' now"),
        (b"\xff", b"a", "line 1: '\ufffd' then, 'a' now"),
        (b"x" * 500 + b"1" + b"y" * 500, b"x" * 500 + b"2" + b"y" * 500,
         f"line 1: {'x' * 60 + '1' + 'y' * 59!r} then, {'x' * 60 + '2' + 'y' * 59!r} now"),
    ],
)  # fmt: skip
def test_the_first_difference_of_texts(then: bytes, now: bytes, message: str) -> None:
    assert _first("a.txt", then, now) == message
