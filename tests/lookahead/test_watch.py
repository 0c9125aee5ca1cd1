"""What is seen of code that reads besides its arguments, and what is no reading."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kalshi_bt.lookahead.watch import watched

FRAME = pl.DataFrame({"a": [1.0, 2.0]})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_csv(tmp_path / "a.csv")
    np.save(tmp_path / "a.npy", FRAME["a"].to_numpy())
    return tmp_path


def sights(act: Callable[[], Any]) -> list[Any]:
    with watched() as found:
        act()
    return found


READS: dict[str, Callable[[Path], Any]] = {
    "open": lambda d: (d / "a.csv").read_text("utf-8"),
    "bytes": lambda d: (d / "a.parquet").read_bytes(),
    "polars read": lambda d: pl.read_parquet(d / "a.parquet"),
    "polars scan": lambda d: pl.scan_parquet(str(d / "a.parquet")),
    "polars csv": lambda d: pl.read_csv(d / "a.csv"),
    "numpy": lambda d: np.load(d / "a.npy"),
    "arrow dataset": lambda d: ds.dataset(d / "a.parquet").to_table(),
    "arrow": lambda d: pq.read_table(d / "a.parquet"),
    "in a column": lambda d: FRAME.select(
        pl.col("a").map_elements(lambda x: x * len((d / "a.csv").read_text()), pl.Float64)
    ),
}


@pytest.mark.parametrize("name", READS)
def test_a_file_that_is_read_is_seen_with_its_reader(files: Path, name: str) -> None:
    found = sights(lambda: READS[name](files))
    assert found
    assert found[0].what == "reads"
    assert "test_watch.py, line" in found[0].where
    assert found[0].within(str(files))
    assert not found[0].within(str(files / "other"))


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "sqlite": (lambda d: sqlite3.connect(d / "a.db").close(), "opens a database"),
    "duckdb": (
        lambda d: duckdb.sql(f"from '{d / 'a.parquet'}'").fetchall(),
        "reads files through a database",
    ),
    "polars sql": (
        lambda d: pl.sql(f"from read_parquet('{d / 'a.parquet'}')", eager=True),
        "reads files through a database",
    ),
    "a thread of its own": (
        lambda d: ThreadPoolExecutor(1).submit(pl.read_parquet, d / "a.parquet").result(),
        "reads",
    ),
    "program": (lambda _: subprocess.run([sys.executable, "-V"], check=True), "starts a program"),
    "time": (lambda _: time.time(), "reads the clock through time"),  # noqa: TID251
    "now": (lambda _: datetime.now(UTC), "reads the clock through datetime.now"),  # noqa: TID251
    "localtime": (lambda _: time.localtime(), "reads the clock through localtime"),
    "gmtime": (lambda _: time.gmtime(None), "reads the clock through gmtime"),
    "ctime": (lambda _: time.ctime(), "reads the clock through ctime"),
    "asctime": (lambda _: time.asctime(), "reads the clock through asctime"),
    "strftime": (lambda _: time.strftime("%Y"), "reads the clock through strftime"),
    "clock_gettime": (
        lambda _: time.clock_gettime(time.CLOCK_REALTIME),
        "reads the clock through clock_gettime",
    ),
    "today": (lambda _: date.today(), "reads the clock through date.today"),  # noqa: DTZ011
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_is_read_is_seen(files: Path, name: str) -> None:
    act, what = OTHERS[name]
    assert what in [sight.what for sight in sights(lambda: act(files))]


QUIET: dict[str, Callable[[Path], Any]] = {
    "frames": lambda _: FRAME.lazy().with_columns(b=pl.col("a").rolling_mean(2)).collect(),
    "SQL on frames": lambda _: FRAME.sql("select a from self"),
    "SQL in memory": lambda _: duckdb.sql("select 1").fetchall(),
    "text in memory": lambda _: pl.read_csv(BytesIO(b"a\n1\n")),
    "a module": lambda _: __import__("colorsys"),
    "a zone": lambda _: ZoneInfo.no_cache("America/New_York").utcoffset(datetime(2026, 1, 1)),  # noqa: DTZ001
    "a file that is written": lambda d: (d / "log.txt").write_text("done", encoding="utf-8"),
    "how long it takes": lambda _: time.perf_counter(),
    "a clock of no date": lambda _: time.clock_gettime(time.CLOCK_MONOTONIC),
    "a given moment": lambda _: time.strftime("%Y", time.gmtime(0)) + time.asctime(time.gmtime(0)),
    "a given time": lambda _: datetime.fromtimestamp(0, UTC),
}


@pytest.mark.parametrize("name", QUIET)
def test_what_is_no_reading_is_not_seen(files: Path, name: str) -> None:
    assert sights(lambda: QUIET[name](files)) == []


def test_clocks_are_as_before_when_nobody_watches() -> None:
    before = time.localtime
    with watched() as found:
        kept = time.localtime  # as a module that is run meanwhile binds it
    assert time.localtime is before
    assert kept()[:5] == before()[:5]
    assert found == []


def test_nothing_is_seen_when_nobody_watches(files: Path) -> None:
    with watched() as found:
        pass
    (files / "a.csv").read_text("utf-8")
    assert found == []


def test_what_other_threads_do_meanwhile_is_their_own(files: Path) -> None:
    go, done = threading.Event(), threading.Event()

    def other() -> None:
        go.wait()
        (files / "a.csv").read_text("utf-8")
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with watched() as found:
        go.set()
        done.wait()
    thread.join()
    assert found == []


def test_a_profiler_at_work_is_left_alone(files: Path) -> None:
    def profiler(*_: Any) -> None:
        return None

    sys.setprofile(profiler)
    try:
        found = sights(lambda: (files / "a.csv").read_text("utf-8"))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert found[0].what == "reads"
