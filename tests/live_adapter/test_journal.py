"""The journal keeps everything once, whatever is cut off its end, and orders have one name each."""

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kalshi_bt.errors import DataError
from live_adapter.journal import Entry, Journal, client_order_id, read

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def entries() -> list[Entry]:
    ts = NOON.isoformat()
    found = []
    for name in ("a", "b"):
        found += [
            Entry(ts, "order_intent", {"order": {"client_order_id": name, "market_id": "é"}}),
            Entry(ts, "order_ack", {"ack": {"client_order_id": name}}),
        ]
        for status, filled in (("New", 0), ("PartiallyFilled", 1), ("PartiallyFilled", 2)):
            report = {"client_order_id": name, "status": status, "filled_qty": filled}
            found.append(Entry(ts, "order_report", {"report": report}))
    found.append(Entry(ts, "refusal", {"client_order_id": "c", "reason": "feed_stale"}))
    return [*found, Entry(ts, "down", {"why": "closed"}), Entry(ts, "up", {})]


def test_cut_at_any_byte_nothing_before_is_lost_and_telling_again_completes_it(
    tmp_path: Path,
) -> None:
    path, told = tmp_path / "journal.jsonl", entries()
    Journal(path).tell(told)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert list(read(path)) == told[:kept]
        journal = Journal(path)
        assert journal.dropped == cut - len(b"".join(whole.splitlines(keepends=True)[:kept]))
        assert journal.tell(told) == len(told) - kept
        assert path.read_bytes() == whole


def test_what_was_told_is_not_told_again_but_what_changed_is(tmp_path: Path) -> None:
    journal, told = Journal(tmp_path / "journal.jsonl"), entries()
    assert journal.tell(told + told) == len(told)
    report = {"client_order_id": "a", "status": "Filled", "filled_qty": 2}
    assert journal.tell([Entry("later", "order_report", {"report": report})]) == 1
    assert journal.tell([Entry("later", "down", {"why": "closed"})]) == 1  # at another time


@pytest.mark.parametrize("line", ["{}", "[1]", "null", '{"ts":1,"event":"up","payload":3}', "x"])
def test_a_damaged_line_within_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).tell(entries())
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + f"{line}\n".encode() + b'{"ts":')
    for since in (0, size):
        with pytest.raises(DataError, match=f"line {len(entries()) + 1} is no entry"):
            Journal(path, since)


def test_what_is_over_is_forgotten_but_stops_are_told_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    since = {"name": "daily_loss", "since": NOON.isoformat(), "reason": "lost"}
    stops = [Entry("1", "stop", since), Entry("2", "resume", {**since, "reason": "a new day"})]
    journal.tell([*entries(), *stops])
    assert [journal.has_refused(name) for name in "abc"] == [False, False, True]
    journal.forget({"a"})
    assert journal.tell([*entries()[:5], *stops]) == 0
    assert not journal.has_refused("c")


def test_an_order_has_the_same_name_in_every_process_and_no_two_share_one() -> None:
    base = ("paper-1", "bollinger", "KXHIGHNY-T65", 1, NOON, 0)
    others = ("paper-2", "longshot", "KXHIGHNY-T66", -1, NOON + timedelta(microseconds=1), 1)
    changed = [(*base[:n], other, *base[n + 1 :]) for n, other in enumerate(others)]
    named = [client_order_id(*case) for case in [base, *changed]]  # type: ignore[arg-type]
    assert len(set(named)) == len(named)
    assert {str(uuid.UUID(name)) for name in named} == set(named)
    code = (
        "from datetime import datetime; from live_adapter.journal import client_order_id as f;"
        f"print(f(*{base[:4]!r}, datetime.fromisoformat({NOON.isoformat()!r}), 0))"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == named[0]
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert client_order_id(*base[:4], elsewhere, 0) == named[0]


def test_every_line_is_ts_event_payload(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).tell(entries())
    for line in path.read_text("utf-8").splitlines():
        assert list(json.loads(line)) == ["ts", "event", "payload"]
