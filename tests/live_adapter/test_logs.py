"""The log of a session: lines that a script can read, in files that do not grow for ever."""

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kalshi_bt.errors import DataError
from live_adapter import logs
from live_adapter.clock import StreamClock
from live_adapter.logs import kept, note, warn

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_says_when_what_and_how_bad_and_warnings_are_said_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = StreamClock()
    with kept(tmp_path / "log.jsonl", clock, aloud=True):
        note("session_start", "no time is known yet")
        clock.advance(NOON)
        note("subscribed", "trade of 2 markets", sid=7, tickers=["S-A", "S-B"])
        clock.advance(NOON + timedelta(seconds=1))
        warn("gap", "a number is missing", expected=4, got=6)
    note("late", "after the session")
    first, *rest = lines(tmp_path / "log.jsonl")
    assert (first["ts"], first["event"]) == (None, "session_start")
    assert rest == [
        {
            "ts": "2026-06-01T12:00:00+00:00",
            "level": "info",
            "event": "subscribed",
            "message": "trade of 2 markets",
            "sid": 7,
            "tickers": ["S-A", "S-B"],
        },
        {
            "ts": "2026-06-01T12:00:01+00:00",
            "level": "warning",
            "event": "gap",
            "message": "a number is missing",
            "expected": 4,
            "got": 6,
        },
    ]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "warning: a number is missing\n"


def test_with_a_table_on_the_terminal_nothing_is_said_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept(tmp_path / "log.jsonl", StreamClock(NOON), aloud=False):
        warn("gap", "a number is missing")
    assert capsys.readouterr().err == ""


def test_files_are_bounded_and_their_lines_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 2_000)
    path = tmp_path / "log.jsonl"
    with kept(path, StreamClock(NOON), aloud=False):
        for number in range(200):
            note("counts", "x" * 90, number=number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.jsonl", *(f"log.jsonl.{n}" for n in range(1, 5))]
    assert all(file.stat().st_size <= 2_000 for file in files)
    told = [line["number"] for file in (*files[:0:-1], path) for line in lines(file)]
    assert told == list(range(200 - len(told), 200))  # the newest, in order, none torn


def test_a_torn_line_of_a_stop_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "old"}\n{"event": "to')
    with kept(path, StreamClock(NOON), aloud=False):
        note("new", "again")
    assert [line["event"] for line in lines(path)] == ["old", "new"]


def test_a_log_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with kept(tmp_path / "log.jsonl", StreamClock(NOON), aloud=False):
        monkeypatch.setattr(logging.StreamHandler, "flush", full)
        note("one", "first")
        note("two", "second")
        monkeypatch.undo()
    told = capsys.readouterr().err
    assert told.count("cannot be written") == told.count("\n") == 1
    with (
        pytest.raises(DataError, match="cannot be written"),
        kept(tmp_path, StreamClock(NOON), aloud=False),
    ):
        pass


def test_an_error_is_told_by_its_kind_and_never_by_what_it_holds(tmp_path: Path) -> None:
    with kept(tmp_path / "log.jsonl", StreamClock(NOON), aloud=False):
        failed = ValueError("a planted secret")
        logging.getLogger("live_adapter.anywhere").error("it failed", exc_info=failed)
    text = (tmp_path / "log.jsonl").read_text()
    assert "ValueError" in text
    assert "planted" not in text
