"""What a session that recorded itself acted on is what counts of its recording."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store

NOON = 1_767_614_400  # seconds since 1970
Frame = dict[str, Any]


def book(seq: int, price: str) -> Frame:
    told = {"market_ticker": "S-E-A", "yes_dollars_fp": [[price, "10.00"]]}
    return {"type": "orderbook_snapshot", "sid": 1, "seq": seq, "msg": told}


def noted(**told: Any) -> Frame:
    return {"type": "feed_time", "msg": told}


BEGUN, HANDED = noted(clock="system"), noted(until_us=NOON * 1_000_000)
AGAIN: tuple[Frame, Frame] = ({"type": "feed_lost", "msg": {"why": "recorder"}}, BEGUN)


def write(path: Path, second: int, *frames: Frame) -> None:
    times = ((NOON + second + n) * 1_000_000 for n in range(len(frames)))
    lines = [json.dumps({"recv_us": t, "event": f}) for t, f in zip(times, frames, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("moments", "next_one", "kept"),
    [
        (0, None, 0),
        (1, None, 1),
        (0, AGAIN, 1),
        (1, AGAIN, 1),  # handed out, and not taken: the next one begins with nothing
        (2, AGAIN, 2),
        (1, AGAIN[:1], 2),  # whoever follows says nothing of it
    ],
)
def test_what_came_to_a_session_that_acted_on_nothing_is_left_out_and_said_so(
    moments: int, next_one: tuple[Frame, ...] | None, kept: int, tmp_path: Path
) -> None:
    (tmp_path / "frames").mkdir()
    first = (BEGUN, book(1, "0.4000"), *[HANDED] * moments)
    write(tmp_path / "frames" / "frames-000001.jsonl", 0, *first)
    if next_one is not None:
        more = (*next_one, book(1, "0.4500"), HANDED, HANDED)
        write(tmp_path / "frames" / "frames-000002.jsonl", 60, *more)
    report = import_ws([tmp_path / "frames"], tmp_path / "data")
    found = Store.open(tmp_path / "data").read("books")
    assert found.filter(found["bids"].list.len() > 0).height == kept
    left = kept < 1 + (next_one is not None)
    assert report.messages.get("vain", 0) == (len(first) + (next_one is not None)) * left
    assert any("ended before it acted on any" in words for words in report.warnings) == left


def test_a_clock_that_was_set_back_between_two_sittings_mixes_nothing(tmp_path: Path) -> None:
    """The books are lost right after the last moment that was acted on; what came later, later."""
    (tmp_path / "frames").mkdir()
    acted = (NOON + 63) * 1_000_000
    told = [noted(until_us=acted - 1), noted(until_us=acted)]
    write(tmp_path / "frames" / "frames-000001.jsonl", 60, BEGUN, book(1, "0.4000"), *told)
    again = (AGAIN[0], noted(clock="system", after_us=acted), book(1, "0.4500"), HANDED)
    write(tmp_path / "frames" / "frames-000002.jsonl", 50, *again)
    import_ws([tmp_path / "frames"], tmp_path / "data")
    found = Store.open(tmp_path / "data").read("books")
    rows = found.select(pl.col("time").dt.epoch("us"), pl.col("bids").list.first().struct[0])
    assert rows.rows() == [(acted - 2_000_000, 4000), (acted + 1, None), (acted + 2, 4500)]
