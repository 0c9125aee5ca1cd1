"""Folders of runs appear complete or not at all, whatever happens on the way."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from run_folder import contents

import kalshi_bt
from kalshi_bt import run
from kalshi_bt.errors import DataError

pytestmark = pytest.mark.usefixtures("settings_only_from_here")


@pytest.fixture
def left(one_day: Path, tmp_path: Path) -> Iterator[tuple[run.Result, Path]]:
    """A run in a folder of its own; afterwards nothing else may be there."""
    place = tmp_path / "reports"
    result = kalshi_bt.backtest("bollinger", data=one_day, out=place)
    yield result, place
    assert {path.name for path in place.iterdir()} == {result.run_dir.name, "trials.jsonl"}


@pytest.mark.slow
def test_a_rerun_replaces_the_whole_folder(left: tuple[run.Result, Path], one_day: Path) -> None:
    first, place = left
    before = contents(first.run_dir)
    (first.run_dir / "stale.txt").write_text("from long ago")
    (first.run_dir / "orders.parquet").write_bytes(b"damaged")
    again = kalshi_bt.backtest("bollinger", data=one_day, out=place)
    assert again.run_dir == first.run_dir
    assert contents(again.run_dir) == before


@pytest.mark.slow
@pytest.mark.parametrize("step", range(5))
def test_a_full_disk_leaves_the_earlier_run(
    step: int,
    left: tuple[run.Result, Path],
    one_day: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, place = left
    before = contents(first.run_dir)
    write, calls = pl.DataFrame.write_parquet, []

    def full(frame: pl.DataFrame, *arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) > step:
            raise OSError(28, "No space left on device")
        write(frame, *arguments, **options)

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left.*--out"):
        kalshi_bt.backtest("bollinger", data=one_day, out=place)
    assert contents(first.run_dir) == before


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1])
def test_a_failed_swap_leaves_the_earlier_run(
    step: int,
    left: tuple[run.Result, Path],
    one_day: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, place = left
    before = contents(first.run_dir)
    replace, calls = Path.replace, []

    def stuck(path: Path, target: Path) -> Path:
        calls.append(1)
        if len(calls) == step + 1:
            raise PermissionError(13, "Permission denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(DataError, match="Permission denied"):
        kalshi_bt.backtest("bollinger", data=one_day, out=place)
    assert contents(first.run_dir) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent otherwise there")
def test_an_interrupt_waits_until_the_folder_is_complete(
    left: tuple[run.Result, Path], one_day: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, place = left
    before = contents(first.run_dir)
    write, handler = pl.DataFrame.write_parquet, signal.default_int_handler
    inherited = signal.signal(signal.SIGINT, handler)  # what runs in the background ignores it

    def interrupted(frame: pl.DataFrame, *arguments: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        write(frame, *arguments, **options)

    monkeypatch.setattr(pl.DataFrame, "write_parquet", interrupted)
    shutil.rmtree(first.run_dir)
    try:
        with pytest.raises(KeyboardInterrupt):
            kalshi_bt.backtest("bollinger", data=one_day, out=place)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert contents(first.run_dir) == before


@pytest.mark.slow
def test_runs_in_threads_do_not_meet(
    left: tuple[run.Result, Path], one_day: Path, tmp_path: Path
) -> None:
    done = contents(left[0].run_dir)
    with ThreadPoolExecutor(2) as pool:
        places = [tmp_path / name for name in "ab"]
        runs = pool.map(
            lambda place: kalshi_bt.backtest("bollinger", data=one_day, out=place), places
        )
        for place, found in zip(places, runs, strict=True):
            assert contents(place / found.run_dir.name) == done


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_file_in_the_place_of_the_folder_is_said_before_the_work(
    below: str, one_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "reports"
    file.write_text("mine")
    monkeypatch.setattr("kalshi_bt.pipeline.compute", None)  # not reached
    with pytest.raises(DataError, match=r"cannot be written to \(.*reports is a file\).*--out"):
        kalshi_bt.backtest("bollinger", data=one_day, out=file / below)
    assert file.read_text() == "mine"


def test_a_missing_out_folder_is_made(one_day: Path, tmp_path: Path) -> None:
    found = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path / "a" / "b")
    assert found.run_dir.parent == tmp_path / "a" / "b"
