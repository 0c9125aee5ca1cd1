"""A strategy of a user's own, from a file or handed over: how it is sized, named and repeated."""

import dataclasses
import json
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pytest
from run_folder import contents

import kalshi_bt
from kalshi_bt import run
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.own_strategy import find, handed_over, strategy_of
from kalshi_bt.signal_file import load_signal
from kalshi_bt.signals import parameter
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.simulator.assumptions import Limit, Risk
from kalshi_bt.sizing import FixedStake, Kelly, RiskToStop
from kalshi_bt.terminal import invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

OWN = '''from dataclasses import dataclass

import polars as pl

from kalshi_bt.signals import parameter


@dataclass(frozen=True)
class Mover:
    """Believe that the mid is too low.

    By so much.
    """

    shift: float = parameter(0.04, "dollars added to the mid", low=0.0, high=0.5)
    participation: int = parameter(1, "named like an assumption", low=1)
    lookback = 1

    def __call__(self, quotes):
        return quotes.with_columns(fair=(pl.col("mid") + self.shift).clip(0, 1))
'''
LEVELS = {"side": 1, "entry": 0.5}
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_day: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "data").symlink_to(one_day)
    return tmp_path


def folder(out: str) -> Path:
    (found,) = Path(out).glob("*-*")
    return found


def ran(capsys: Captured, *words: str) -> None:
    assert invoke(run.app, ["--data", "data", *words]) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_a_strategy_of_a_file_runs_and_can_be_repeated(capsys: Captured) -> None:
    words = ("--strategy", "own.py:Mover", "--set", "shift=0.06", "--set", "max_fraction=0.01")
    ran(capsys, *words, "--set", "signal.participation=2", "--set", "assumptions.latency=2s")
    first = folder("reports")
    assert first.name.startswith("Mover-")
    assert pl.read_parquet(first / "fills.parquet").height > 0
    settings = tomllib.loads((first / "config.toml").read_text("utf-8"))
    assert settings["strategy"] == "own.py:Mover"
    assert settings["signal"] == {"shift": 0.06, "participation": 2}
    assert settings["sizing"]["method"] == "kelly"
    assert (settings["sizing"]["max_fraction"], settings["assumptions"]["latency"]) == (0.01, "2s")
    report = (first / "report.txt").read_text("utf-8")
    assert "Believe that the mid is too low." in report
    again = shlex.split(report.partition("REPRODUCE\n---------\n")[2])
    assert invoke(run.app, [*again[3:], "--out", "second"]) == 0
    assert invoke(run.app, ["--config", str(first / "config.toml"), "--out", "third"]) == 0
    assert contents(folder("second")) == contents(first) == contents(folder("third"))


@pytest.mark.slow
def test_a_changed_file_is_another_run_and_its_configuration_is_refused(
    place: Path, capsys: Captured
) -> None:
    ran(capsys, "--strategy", "own.py:Mover", "--out", "first")
    config = str(folder("first") / "config.toml")
    (place / "own.py").write_text(OWN + "\n# nothing but a remark\n", encoding="utf-8")
    ran(capsys, "--strategy", "own.py:Mover", "--out", "second")
    assert folder("first").name != folder("second").name
    capsys.readouterr()
    assert invoke(run.app, ["--config", config, "--out", "third"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "own.py:Mover is not what it was when strategy_sha256 was written" in line
    # The hash belongs to the strategy of the file, not to one that a flag puts in its place.
    Path("other.toml").write_text('strategy = "own.py:Mover"\nstrategy_sha256 = "old"\n')
    words = ["--config", "other.toml", "--strategy", "bollinger", "--data", "data"]
    assert invoke(run.app, [*words, "--out", "fourth"]) == 0


@pytest.mark.slow
def test_a_run_is_the_same_wherever_its_file_lies(place: Path, capsys: Captured) -> None:
    ran(capsys, "--strategy", "own.py:Mover", "--out", "first")
    (place / "deep").mkdir()
    (place / "own.py").rename(place / "deep" / "other.py")
    ran(capsys, "--strategy", "deep/other.py:Mover", "--out", "second")
    assert folder("first").name == folder("second").name
    manifest = json.loads((folder("first") / "manifest.json").read_text("utf-8"))
    assert len(manifest["hashed"]["config"]["strategy_sha256"]) == 64


LATE = "lambda f: f.with_columns(fair=1 / (f.height - f.height))"
FAIR = "{'fair': pl.Float64}"
WRONG: list[tuple[list[str], list[str]]] = [
    (["--strategy", "absent.py:Mover"], ["absent.py cannot be read"]),
    (["--strategy", "own.py:Muver"], ["'Muver'", "'Mover'"]),
    (["--set", "shift=0.6"], ["shift is 0.6", "0.0 to 0.5"]),
    (["--set", "shift=much"], ["shift", "'much'", "a number"]),
    (["--set", "shft=0.1"], ["unknown parameter of own.py:Mover 'shft'", "'shift'"]),
    (["--strategy", "object:Mover"], ["Mover was handed over in Python"]),
]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("words", "expected"), WRONG, ids=repr)
def test_a_wrong_word_is_answered_in_one_line(
    words: list[str], expected: list[str], capsys: Captured
) -> None:
    given = ["--strategy", "own.py:Mover", "--data", "data", *words]
    assert invoke(run.app, given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in expected), line
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('return quotes.with_columns(fair=pl.col("nowhere"))', ["quotes without rows", "nowhere"]),
        ("return quotes", ["adds neither 'fair' nor 'side'"]),
        ("return 1 / 0", ["quotes without rows", "ZeroDivisionError"]),
        (
            'fair = quotes.collect()["mid"][0]; return quotes.with_columns(fair=fair)',
            ["IndexError"],
        ),
        (
            f"return quotes.map_batches({LATE}, schema=quotes.collect_schema() | {FAIR})",
            ["Mover raises on the quotes", "division by zero"],
        ),
        (
            'return quotes.with_columns(fair=pl.col("mid")).filter(pl.col("mid") > 0.5)',
            ["Mover did not return the rows it was given"],
        ),
    ],
    ids=repr,
)
def test_a_signal_that_fails_is_answered_in_one_line(
    body: str, words: list[str], place: Path, capsys: Captured
) -> None:
    text = OWN.replace(OWN.splitlines()[-1].strip(), body)
    (place / "own.py").write_text(text, encoding="utf-8")
    assert invoke(run.app, ["--strategy", "own.py:Mover", "--data", "data"]) == 2
    (line,) = (li for li in capsys.readouterr().err.splitlines() if "compiling" not in li)
    assert all(word in line for word in words), line


def test_a_sizing_of_ones_own_may_fail_too(place: Path, capsys: Captured) -> None:
    sizing = (
        "@dataclass(frozen=True)\nclass Lame:\n    part: float = 0.5\n\n"
        "    def __call__(self, setups):\n        return setups.select(1 / 0)\n\n\n"
    )
    head, _, tail = OWN.partition("@dataclass")
    text = head + sizing + "@dataclass" + tail + "    sizing = Lame()\n"
    (place / "own.py").write_text(text, encoding="utf-8")
    words = ["--strategy", "own.py:Mover", "--data", "data", "--set", "part=0.25"]
    assert invoke(run.app, words) == 2
    (line,) = (li for li in capsys.readouterr().err.splitlines() if "compiling" not in li)
    assert "Mover raises on what it sizes, line 13: ZeroDivisionError" in line


def _write(place: Path, said: dict[str, float]) -> None:
    added = ", ".join(f"{name}=pl.lit({value})" for name, value in said.items())
    body = OWN.replace('fair=(pl.col("mid") + self.shift).clip(0, 1)', added)
    (place / "own.py").write_text(body, encoding="utf-8")


@pytest.mark.parametrize("said", [{"side": 1}, LEVELS, {"side": -1, "stop": 0.99}])
def test_a_set_up_may_leave_out_its_levels(place: Path, said: dict[str, float]) -> None:
    _write(place, said)
    words = ["--strategy", "own.py:Mover", "--data", "data", "--set", "audit=false"]
    assert invoke(run.app, words) == 0
    (fills,) = place.glob("reports/*/fills.parquet")
    assert pl.read_parquet(fills).height > 0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"side": 2}, "says side 2 for"),
        ({"side": -3}, "expected 1, -1 or 0"),
        ({"side": 1, "entry": 1.5}, "expected 0 to 1 dollar"),
    ],
)
def test_a_set_up_that_means_nothing_is_refused(
    place: Path, capsys: Captured, said: dict[str, float], why: str
) -> None:
    _write(place, said)
    words = ["--strategy", "own.py:Mover", "--data", "data", "--set", "audit=false"]
    assert invoke(run.app, words) == 2
    assert why in capsys.readouterr().err


# --- what is chosen -------------------------------------------------------------------------------


def signal(said: dict[str, Any], **attributes: Any) -> Any:
    """A signal class that adds literals."""

    def call(self: Any, quotes: pl.LazyFrame) -> pl.LazyFrame:  # noqa: ARG001
        return quotes.with_columns(**{name: pl.lit(value) for name, value in said.items()})

    body = {"lookback": 1, "__call__": call, **attributes}
    return dataclasses.make_dataclass("Made", [], frozen=True, namespace=body)


@pytest.mark.parametrize(
    ("said", "sizing"),
    [
        ({"fair": 0.5}, Kelly()),
        ({"fair": 0.5} | LEVELS, Kelly()),
        (LEVELS | {"stop": 0.4, "target": 0.7}, RiskToStop()),
        (LEVELS, FixedStake()),
        ({"side": 1}, FixedStake()),
    ],
    ids=repr,
)
def test_what_a_signal_adds_decides_its_sizing(said: dict[str, Any], sizing: Any) -> None:
    made = strategy_of(signal(said), "Made")
    assert (made.sizing, made.risk, made.reference) == (sizing, Risk(), made.signal)


def test_a_class_may_bring_sizing_limits_idea_and_reference() -> None:
    limits = Risk(max_positions=3, max_event=Limit(dollars=50_000_000))
    bold = Kelly(scale=1.0)
    cls = signal({"side": 1}, sizing=bold, risk=limits, idea="Buy.\nMore.")
    made = strategy_of(cls, "Made")
    assert (made.sizing, made.risk, made.reference_risk) == (bold, limits, limits)
    assert made.idea == "Buy."

    @dataclasses.dataclass(frozen=True)
    class Two(cls):  # type: ignore[misc]
        shift: float = 0.1

        @classmethod
        def reference(cls) -> "Two":
            return cls(shift=0.2)

    two = strategy_of(Two, "Two")
    assert (two.signal, two.reference) == (Two(shift=0.1), Two(shift=0.2))


def test_an_attribute_that_is_a_parameter_is_no_offer() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mine(signal({"fair": 0.5})):  # type: ignore[misc]
        risk: float = 0.5
        idea: str = "x"

    made = strategy_of(Mine, "Mine")
    assert (made.risk, made.idea) == (Risk(), "A strategy of your own, Mine.")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"sizing": 3}, "sizing is 3"),
        ({"sizing": Kelly}, "expected a sizing such as"),
        ({"sizing": staticmethod(lambda setups: setups)}, "expected a sizing such as"),
        ({"risk": 0.5}, "risk is 0.5; expected limits"),
        ({"risk": Risk}, "expected limits"),
    ],
    ids=["number", "class", "function", "fraction", "limits"],
)
def test_an_offer_of_another_kind_is_refused(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        strategy_of(signal({"fair": 0.5}, **attributes), "Made")


@pytest.mark.parametrize(
    ("hint", "default", "fits"),
    [
        (int, 1, True),
        (float | None, None, True),
        (Literal["a", "b"], "a", True),
        (Literal["a"] | None, None, True),
        (bool, True, True),
        (tuple[int, ...], (), False),
        (int | str, 1, False),
        (Literal[1, 2], 1, False),
        (dict, None, False),
    ],
    ids=repr,
)
def test_parameters_have_types_that_a_setting_has(hint: Any, default: Any, fits: bool) -> None:  # noqa: FBT001
    base = signal({"fair": 0.5})
    cls = dataclasses.make_dataclass("Typed", [("x", hint, default)], bases=(base,), frozen=True)
    if fits:
        assert strategy_of(cls, "Typed").signal.x == default  # type: ignore[attr-defined]
        return
    with pytest.raises(UsageError, match=r"Typed\.x is of type .*; a parameter is int"):
        strategy_of(cls, "Typed")


# --- handed over ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Lower:
    """Believe that the mid is too high."""

    shift: float = parameter(0.04, "dollars", low=0.0, high=0.5)
    lookback: ClassVar[int] = 1

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=(pl.col("mid") - self.shift).clip(0, 1))


@pytest.mark.slow
def test_a_signal_is_handed_over_in_python(one_day: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": one_day, "out": tmp_path, "risk": {"max_positions": 3}}
    found = kalshi_bt.backtest(Lower(shift=0.06), **options)
    assert found.fills.height > 0
    assert found.run_dir.name.startswith("Lower-")
    report = (found.run_dir / "report.txt").read_text("utf-8")
    assert "the signal was handed over as an object" in report
    call = report.partition("REPRODUCE\n---------\n")[2].strip().replace("\n", " ")
    names = {"kalshi_bt": kalshi_bt, "Lower": Lower}
    again = eval(call.replace("data=", f"out={str(tmp_path / 'again')!r}, data="), names)  # noqa: S307
    assert contents(again.run_dir) == contents(found.run_dir)
    with pytest.raises(UsageError, match=r"Lower was handed over in Python.*FILE\.py:Lower"):
        find("object:Lower")


@pytest.mark.slow
def test_a_class_and_an_object_with_its_defaults_are_one_run(one_day: Path, tmp_path: Path) -> None:
    names = {
        kalshi_bt.backtest(given, data=one_day, out=tmp_path).run_dir.name
        for given in (Lower, Lower(), Lower(shift=0.04))
    }
    assert len(names) == 1


def test_other_code_is_another_run() -> None:
    def hashed(call: Callable[..., Any]) -> str | None:
        return strategy_of(signal({}, __call__=call), "Made").source

    def one(_: Any, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.col("mid"))

    def other(_: Any, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.col("bid"))

    assert hashed(one) == hashed(one) != hashed(other)


@pytest.mark.slow
def test_a_registered_signal_that_is_handed_over_is_the_registered_strategy(
    one_day: Path, tmp_path: Path
) -> None:
    handed = kalshi_bt.backtest(Bollinger(period=20), data=one_day, out=tmp_path / "a")
    named = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path / "b", period=20)
    assert contents(handed.run_dir) == contents(named.run_dir)


@pytest.mark.slow
def test_a_loaded_signal_that_is_handed_over_is_that_of_its_file(place: Path) -> None:
    cls: Any = load_signal("own.py:Mover")
    handed = kalshi_bt.backtest(cls(shift=0.06), data="data", out="a")
    named = kalshi_bt.backtest("own.py:Mover", data="data", out="b", shift=0.06)
    assert handed.run_dir.name == named.run_dir.name
    assert handed.fills.equals(named.fills)
    assert handed_over(cls)[0] == f"{(place / 'own.py').resolve()}:Mover"


@pytest.mark.parametrize(
    "given", [3, None, pl.DataFrame, object()], ids=["number", "none", "frame", "object"]
)
def test_what_is_no_signal_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="no strategy's name and no signal: it is no frozen"):
        kalshi_bt.backtest(given)


def test_a_fault_keeps_its_cause_in_python(one_day: Path, tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Faulty:
        lookback: ClassVar[int] = 1

        def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
            if quotes.limit(1).collect().height:
                raise LookupError("no more")
            return quotes.with_columns(fair=pl.col("mid"))

    with pytest.raises(DataError, match=r"Faulty raises on the quotes, line \d+: LookupError") as e:
        kalshi_bt.backtest(Faulty(), data=one_day, out=tmp_path)
    assert isinstance(e.value.__cause__, LookupError)
