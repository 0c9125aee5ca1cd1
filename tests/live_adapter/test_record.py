"""What was recorded is what came: an import and a replay of it read the same, holes included."""

import asyncio
import errno
import gzip
import json
import os
import time as wall
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from live_adapter.clock import StreamClock
from live_adapter.frames import Down, FeedEvent, Lost, Received
from live_adapter.record import Recorder
from live_adapter.replay import RecordingFeed

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
QUICK = timedelta(milliseconds=5)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def snapshot(seq: int, price: str = "0.4500") -> bytes:
    told = {"market_ticker": "S-E-A", "yes_dollars_fp": [[price, "10.00"]]}
    return json.dumps({"type": "orderbook_snapshot", "sid": 1, "seq": seq, "msg": told}).encode()


def played(source: Path, clock: StreamClock | None = None, **options: Any) -> list[FeedEvent]:
    feed = RecordingFeed([source], clock or StreamClock(), **options)

    async def play() -> list[FeedEvent]:
        return [event async for event in feed.events()]

    return asyncio.run(play())


def lines(folder: Path) -> list[list[Any]]:
    return [
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted(folder.iterdir())
    ]


def test_an_import_of_a_recording_has_its_books_times_and_holes(tmp_path: Path) -> None:
    with Recorder(tmp_path / "tape") as recorder:
        recorder.write(at(0.000001), snapshot(1))
        recorder.write(at(1), b"no JSON")
        recorder.write(at(1), b"\xff\xfe")
        recorder.note(Lost(at(5), 1, "overflow"))
        recorder.write(at(6), snapshot(5, "0.4100"))  # whoever recorded was too slow for it
        recorder.note(Lost(at(6.5), 1, "caught_up"))
        recorder.write(at(7), snapshot(9, "0.4600"))
        recorder.note(Down(at(8), "closed"))
        recorder.write(at(9), snapshot(1, "0.4700"))
    report = import_ws([tmp_path / "tape"], tmp_path / "dataset")
    rows = Store.open(tmp_path / "dataset").read("books").select("time", "bids").rows()
    first = [{"price": 4_500, "size": 1_000}]
    assert rows[:2] == [(at(0.000001), first), (at(0.000002), None)]
    assert [(t, b and b[0]["price"]) for t, b in rows[2:]] == [
        (at(7), 4_600),
        (at(7.000001), None),
        (at(9), 4_700),
    ]
    assert report.messages["unreadable"] == 2
    assert (report.messages["shed"], report.messages.get("gap", 0)) == (1, 0)
    again = played(tmp_path / "tape")
    assert [e.frame["seq"] for e in again if isinstance(e, Received)] == [1, 9, 1]
    assert Lost(at(5), 1, "overflow") in again


def test_a_replay_gives_what_was_recorded_and_tells_the_clock_first(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.write(at(1), b'{"type":"news","msg":{"fee":0.10}}')
        recorder.note(Lost(at(2), 1, "gap"))
        recorder.note(Down(at(3), "closed"))
        recorder.write(at(4), '{"type":"n\u00e4her"}'.encode())
    clock = StreamClock()
    feed = RecordingFeed([tmp_path], clock)

    async def play() -> list[FeedEvent]:
        found = []
        async for event in feed.events():
            assert clock.now() == event.time
            found.append(event)
        return found

    assert asyncio.run(play()) == [
        Received(at(1), b"", {"type": "news", "msg": {"fee": Decimal("0.10")}}),
        Lost(at(2), 1, "gap"),
        Down(at(3), "closed"),
        Received(at(4), b"", {"type": "n\u00e4her"}),
    ]
    assert feed.whole


def test_files_are_begun_by_size_by_time_and_by_every_recorder(tmp_path: Path) -> None:
    with Recorder(tmp_path, size=60, span=timedelta(seconds=10)) as recorder:
        for seconds in (0, 1, 2, 5, 14.9, 15):
            recorder.write(at(seconds), b"%d" % seconds)
    per_file = [[line["raw"] for line in file] for file in lines(tmp_path)]
    assert per_file == [["0"], ["1"], ["2"], ["5"], ["14"], ["15"]]  # a line has some 45 bytes
    with Recorder(tmp_path, span=timedelta(seconds=10)) as recorder:
        for seconds in (20, 21, 29.9, 30):
            recorder.write(at(seconds), b"%d" % seconds)
    resumed, later = lines(tmp_path)[6:]
    # What came between the recorders is a hole.
    assert resumed[0]["event"] == {"type": "feed_lost", "msg": {"why": "recorder"}}
    assert [line["raw"] for line in resumed[1:]] == ["20", "21", "29"]
    assert [line["raw"] for line in later] == ["30"]


def wait_for(true: Callable[[], bool]) -> None:
    end = wall.monotonic() + 20
    while not true():
        assert wall.monotonic() < end
        wall.sleep(0.002)


def test_a_message_is_safe_soon_without_another_one_and_what_was_torn_is_passed_over(
    tmp_path: Path,
) -> None:
    with Recorder(tmp_path, safe_within=QUICK) as recorder:
        recorder.write(at(1), b"{}")
        wait_for(lambda: recorder.behind == 0)
        wait_for(lambda: any(p.stat().st_size for p in tmp_path.iterdir()))
    [file] = tmp_path.iterdir()
    with file.open("ab") as torn:
        torn.write(b'{"recv_us":17676')
    with Recorder(tmp_path) as recorder:
        recorder.write(at(2), b'{"type":"ok"}')
    assert [event.time for event in played(tmp_path)] == [at(1), at(2), at(2)]


def test_every_file_is_synced_before_the_next_one_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    with Recorder(tmp_path, size=1) as recorder:
        for seconds in range(3):
            recorder.write(at(seconds), b"{}")
    assert {path.stat().st_ino for path in tmp_path.iterdir()} <= set(synced)


def test_a_disk_that_fails_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder = Recorder(tmp_path, safe_within=QUICK)
    monkeypatch.setattr(os, "fsync", full)
    recorder.write(at(1), b"{}")
    wait_for(lambda: not recorder._thread.is_alive())
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)$"):
        recorder.write(at(2), b"{}")
    with pytest.raises(DataError, match="cannot be written"), recorder:
        pass


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/tape cannot be written"):
        Recorder(tmp_path / "file" / "tape")


class Pace:
    """A clock that notes how long it was asked to wait."""

    def __init__(self) -> None:
        self.time, self.waits = NOON + timedelta(days=9), []

    def now(self) -> datetime:
        return self.time

    async def sleep_until(self, time: datetime) -> None:
        self.waits.append((time - self.time).total_seconds())
        self.time = max(self.time, time)


def test_a_speed_is_kept_by_the_clock_that_was_given(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for seconds in (1, 3, 3, 13):
            recorder.write(at(seconds), b'{"type":"ok"}')
    pace = Pace()
    assert len(played(tmp_path, speed=4, pace=pace)) == 4
    assert pace.waits == [0, 0.5, 0, 2.5]
    with pytest.raises(UsageError, match="speed of 0 needs"):
        RecordingFeed([tmp_path], StreamClock(), speed=0, pace=pace)
    with pytest.raises(UsageError, match="needs"):
        RecordingFeed([tmp_path], StreamClock(), speed=2)


def test_times_never_go_back_and_lines_without_any_are_counted(tmp_path: Path) -> None:
    text = [
        '{"type": "ok"}',
        '{"recv_ms": 1767614405000, "event": {"type": "ok"}}',
        '{"recv_ms": 1767614404000, "event": {"type": "ok"}}',
        '{"type": "trade", "msg": {"ts_ms": 1767614407000}}',
        '{"type": "trade", "msg": {"ts": "noon"}}',
        "nonsense",
        '{"recv_ms": 17676',
    ]
    path = tmp_path / "old.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(text).encode()))
    feed = RecordingFeed([path], StreamClock())

    async def play() -> list[datetime]:
        return [event.time async for event in feed.events()]

    assert asyncio.run(play()) == [at(5), at(5), at(7), at(7)]
    expected = {"type:ok": 2, "type:trade": 2, "malformed": 2, "torn": 1, "back": 1}
    assert feed.counts == expected


def test_two_recordings_are_not_played_as_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Recorder(tmp_path / name) as recorder:
            recorder.write(NOON, b"{}")
    with pytest.raises(UsageError, match="hold 2 recordings"):
        RecordingFeed([tmp_path], StreamClock())
    with pytest.raises(DataError, match="does not exist"):
        RecordingFeed([tmp_path / "c"], StreamClock())


@pytest.mark.real
def test_a_recording_of_one_market_is_played_whole(real_data: Path) -> None:
    folder = min(p for p in (real_data / "gold15m-ws" / "events").iterdir() if p.is_dir())
    feed = RecordingFeed([folder], StreamClock())

    async def play() -> list[datetime]:
        return [event.time async for event in feed.events()]

    times = asyncio.run(play())
    rows = 0
    for path in folder.iterdir():
        with gzip.open(path, "rb") as file:
            rows += sum(1 for line in file if line.strip())
    assert len(times) == rows > 1_000
    assert times == sorted(times)
    assert not feed.whole
