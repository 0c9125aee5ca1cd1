"""The skeleton of a strategy: it runs as written, its test passes and can fail, nothing is lost."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt import cli
from kalshi_bt.signal_file import load_signal
from kalshi_bt.signals.contract import check_signal
from kalshi_bt.terminal import invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(*words: str) -> None:
    assert invoke(cli.app, ["new-strategy", *words]) == 0


def outside(command: Any, place: Path, *words: str) -> Any:
    """Run pytest as a user does: elsewhere, without the settings of this repository."""
    return command("-m", "pytest", "-p", "no:cacheprovider", "--rootdir", place, "-q", *words)


def test_what_is_written_runs_as_it_is(one_day: Path, capsys: Captured) -> None:
    written("my_signal")
    told = capsys.readouterr().out
    assert "kalshi-bt run --strategy my_signal.py:MySignal" in told
    assert "pytest test_my_signal.py" in told
    assert sorted(path.name for path in Path().iterdir()) == ["my_signal.py", "test_my_signal.py"]
    words = ["run", "--strategy", "my_signal.py:MySignal", "--data", str(one_day)]
    assert invoke(cli.app, [*words, "--set", "period=10"]) == 0
    (fills,) = Path("reports").glob("MySignal-*/fills.parquet")
    assert pl.read_parquet(fills).height > 0
    cls: Any = load_signal("my_signal.py:MySignal")
    check_signal(cls(), seed=5)


@pytest.mark.slow
def test_the_test_that_is_written_passes_outside_the_repository_and_can_fail(
    command: Any, place: Path
) -> None:
    written("MySignal", "--into", "deep/own.py")
    done = outside(command, place, "deep/test_own.py")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed", done.stdout)
    file = Path("deep/own.py")
    text = file.read_text("utf-8")
    for fault, failing in (
        ('per_market(pl.col("mid").rolling_mean(self.period))', "order_free"),
        ("return self.period\n", "tail"),
    ):
        assert fault in text
        cure = {"order_free": 'pl.col("mid").rolling_mean(self.period)', "tail": "return 2\n"}
        file.write_text(text.replace(fault, cure[failing]), encoding="utf-8")
        done = outside(command, place, "deep/test_own.py")
        assert done.returncode == 1, done.stdout
        assert f"test_it_holds_to_the_contract[check_{failing}]" in done.stdout


@pytest.mark.parametrize("there", ["my_signal.py", "test_my_signal.py"])
def test_nothing_is_overwritten(there: str, capsys: Captured) -> None:
    Path(there).write_text("mine", encoding="utf-8")
    assert invoke(cli.app, ["new-strategy", "my_signal"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{there} is there already" in line
    assert [path.name for path in Path().iterdir()] == [there]
    assert Path(there).read_text("utf-8") == "mine"


WRONG: list[tuple[list[str], str]] = [
    ([], "Missing argument"),
    ([""], "'' is no name"),
    (["my-signal"], "'my-signal' is no name"),
    (["../x"], "'../x' is no name"),
    (["1st"], "'1st' is no name"),
    (["über"], "'über' is no name"),
    (["bollinger"], "bollinger is a registered strategy"),
    (["Bollinger"], "Bollinger is a registered strategy"),
    (["class"], "class has a meaning"),
    (["None"], "None has a meaning"),
    (["CHECKS"], "CHECKS has a meaning"),
    (["polars"], "polars.py would hide the module polars"),
    (["mine", "--into", "mine.txt"], "--into is mine.txt; expected a Python file such as mine.py"),
    (["mine", "--into", "."], "--into is .; expected a Python file"),
    (["mine", "--into", "my-file.py"], "expected a Python file"),
    (["mine", "--into", "file/mine.py"], "file/mine.py cannot be written"),
]


@pytest.mark.parametrize(("words", "expected"), WRONG, ids=repr)
def test_a_wrong_word_is_answered_in_one_line(
    words: list[str], expected: str, capsys: Captured
) -> None:
    Path("file").write_text("text", encoding="utf-8")
    assert invoke(cli.app, ["new-strategy", *words]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (out, expected in line) == ("", True), line
    assert [path.name for path in Path().iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "file", "cls"),
    [
        ("MySignal", "my_signal.py", "MySignal"),
        ("mean_2", "mean_2.py", "Mean2"),
        ("x", "x.py", "X"),
        ("FastMA", "fast_ma.py", "FastMA"),
    ],
)
def test_file_and_class_are_named_after_the_strategy(name: str, file: str, cls: str) -> None:
    written(name)
    assert load_signal(f"{file}:{cls}").__name__ == cls
