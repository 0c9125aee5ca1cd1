"""A signal from a user's own file: the class it means, or one line about what is wrong with it."""

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from kalshi_bt.signal_file import is_signal_file, load_signal, source_hash, why_no_signal
from kalshi_bt.signals import parameters
from kalshi_bt.strategies import STRATEGIES

OWN = '''"""An own signal."""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.signals import parameter

STEP = 1


@dataclass(frozen=True, slots=True)
class MySignal:
    """Say the mid, moved."""

    shift: float = parameter(0.01, "dollars added to the mid", low=0.0, high=0.5)

    @property
    def lookback(self) -> int:
        return STEP

    def __call__(self, quotes):
        return quotes.with_columns(fair=(pl.col("mid") + self.shift).clip(0, 1))


@dataclass
class Thawed:
    lookback: int = 1

    def __call__(self, quotes):
        return quotes


@dataclass(frozen=True)
class Mute:
    lookback: int = 1


@dataclass(frozen=True)
class Forgetful:
    def __call__(self, quotes):
        return quotes


@dataclass(frozen=True)
class Demanding:
    period: int
    lookback: int = 1

    def __call__(self, quotes):
        return quotes


def function():
    return None
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_a_class_of_a_file_is_loaded_with_its_parameters(file: Path) -> None:
    cls: Any = load_signal("own.py:MySignal")
    assert cls.__name__ == "MySignal"
    (shift,) = parameters(cls)
    assert (shift.name, shift.default, shift.low, shift.high) == ("shift", 0.01, 0.0, 0.5)
    assert cls(shift=0.2).lookback == 1
    assert source_hash(cls) == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.usefixtures("file")
def test_the_same_file_gives_the_same_class_from_wherever_it_is_named() -> None:
    assert load_signal("own.py:MySignal") is load_signal(f"{Path.cwd()}/own.py:MySignal")


def test_a_changed_file_is_read_anew_though_size_and_time_are_the_same(file: Path) -> None:
    before: Any = load_signal("own.py:MySignal")
    stat = file.stat()
    file.write_text(OWN.replace("STEP = 1", "STEP = 2"), encoding="utf-8")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after: Any = load_signal("own.py:MySignal")
    assert (before().lookback, after().lookback) == (1, 2)
    assert source_hash(before) != source_hash(after)
    assert sorted(path.name for path in file.parent.iterdir()) == ["own.py"]  # nothing compiled


def test_annotations_that_are_text_are_understood(file: Path) -> None:
    lazy = OWN.replace('"""An own signal."""', "from __future__ import annotations")
    file.write_text(lazy, encoding="utf-8")
    assert [p.kind for p in parameters(load_signal("own.py:MySignal"))] == ["float"]


WRONG: list[tuple[str, type[KalshiBtError], list[str]]] = [
    ("absent.py:MySignal", DataError, ["absent.py cannot be read", "No such file"]),
    (".py:MySignal", DataError, [".py cannot be read"]),
    ("own.py", UsageError, ["names no class", "own.py:MySignal"]),
    ("own.py:", UsageError, ["names no class", "own.py:MySignal"]),
    ("own.py:MySingal", UsageError, ["unknown class in own.py 'MySingal'", "'MySignal'"]),
    ("own.py:STEP", UsageError, ["no signal", "it is no class"]),
    ("own.py:function", UsageError, ["no signal", "it is no class"]),
    ("own.py:Thawed", UsageError, ["no signal", "frozen"]),
    ("own.py:Mute", UsageError, ["no signal", "__call__"]),
    ("own.py:Forgetful", UsageError, ["no signal", "lookback"]),
    ("own.py:Demanding", UsageError, ["no signal", "period has no default"]),
]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize(("spec", "kind", "words"), WRONG, ids=repr)
def test_what_is_wrong_is_said_in_one_line(
    spec: str, kind: type[KalshiBtError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        load_signal(spec)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = 1 / 0\n", ["line 2", "ZeroDivisionError: division by zero"]),
        ("x = 1\n\nclass (:\n", ["line 3", "SyntaxError"]),
        ("import no_such_library\n", ["line 1", "ModuleNotFoundError", "no_such_library"]),
        ("raise SystemExit(0)\n", ["line 1", "SystemExit"]),
        ("x = 1\0\n", ["SyntaxError"]),
    ],
    ids=repr,
)
def test_a_file_that_raises_is_named_with_the_line(text: str, words: list[str], file: Path) -> None:
    file.write_text(text, encoding="utf-8")
    for _ in range(2):  # a failure is not remembered as a module
        with pytest.raises(DataError, match=r"own\.py raises when it is loaded") as caught:
            load_signal("own.py:MySignal")
        assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_registered_signal_is_one(name: str) -> None:
    cls = type(STRATEGIES[name].signal)
    assert why_no_signal(cls) is None
    assert source_hash(cls) is None
    assert dataclasses.is_dataclass(cls)


@pytest.mark.parametrize("name", ["a.py:B", "dir/a.py", "a.py:", "C:\\a.py:B"])
def test_a_name_with_a_python_file_means_a_class_in_it(name: str) -> None:
    assert is_signal_file(name)


@pytest.mark.parametrize("name", ["bollinger", "", "a:b", "py", "numpy"])
def test_other_names_do_not(name: str) -> None:
    assert not is_signal_file(name)
