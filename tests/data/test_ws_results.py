"""What recorded messages say of results: determined is not paid, all is known when it came."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.table import ImportReport
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.soundness import audit
from kalshi_bt.data.store import Store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
T = "S-E-A"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def life(seconds: float, kind: str, **told: Any) -> str:
    message = {"event_type": kind, "market_ticker": T, **told}
    event = {"type": "market_lifecycle_v2", "sid": 14, "msg": message}
    return json.dumps({"recv_ms": int(at(seconds).timestamp() * 1_000), "event": event})


def determined(seconds: float, result: str, value: str, at_second: int = 300) -> str:
    stamp = int(at(at_second).timestamp())
    return life(
        seconds, "determined", result=result, settlement_value=value, determination_ts=stamp
    )


class Folder:
    """A folder of recordings, and the dataset they go into."""

    def __init__(self, root: Path) -> None:
        self.files, self.into = root / "files", root / "dataset"
        self.files.mkdir()

    def bring(self, *lines: str, name: str = "a.jsonl", **documents: Any) -> ImportReport:
        (self.files / name).write_text("\n".join(lines) + "\n")
        for stem, document in documents.items():
            (self.files / f"{stem}.json").write_text(json.dumps(document))
        return import_ws([self.files], self.into)

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)

    def said(self) -> list[tuple[datetime, str, int | None]]:
        rows = self.read("determinations").cast({"status": pl.String})
        return rows.select("time", "status", "payout").rows()

    def paid(self) -> list[tuple[datetime, datetime, int]]:
        return self.read("settlements").select("time", "close_time", "payout").rows()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_result_that_is_only_determined_pays_nothing(folder: Folder) -> None:
    report = folder.bring(determined(301, "yes", "1.0000"))
    assert folder.said() == [(at(301), "determined", 10_000)]
    assert "settlements" not in report.tables
    assert folder.read("settlements").is_empty()


def test_a_result_that_is_determined_anew_was_amended_and_the_last_one_is_paid(
    folder: Folder,
) -> None:
    folder.bring(
        life(290, "close_date_updated", close_ts=int(at(280).timestamp())),
        determined(301, "yes", "1.0000"),
        determined(350, "yes", "1.0000"),  # sent again
        determined(4_000, "scalar", "0.3700", at_second=3_999),
        life(7_600, "settled", settled_ts=int(at(7_599).timestamp())),
    )
    assert folder.said() == [
        (at(301), "determined", 10_000),
        (at(4_000), "amended", 3_700),
        (at(7_600), "finalized", 3_700),
    ]
    assert folder.paid() == [(at(7_600), at(280), 3_700)]


@pytest.mark.parametrize(
    ("value", "payout", "result"),
    [("1.0000", 10_000, "yes"), ("0.0000", 0, "no"), ("0.3700", 3_700, "scalar")],
)
def test_a_result_that_is_told_by_its_value_alone_is_paid(
    folder: Folder, value: str, payout: int, result: str
) -> None:
    """The exchange calls both fields optional."""
    told = {"settlement_value": value, "determination_ts": int(at(300).timestamp())}
    folder.bring(life(301, "determined", **told), life(310, "settled"))
    assert folder.paid() == [(at(310), at(300), payout)]
    assert folder.read("settlements")["result"].to_list() == [result]


def test_trading_ended_before_the_first_determination(folder: Folder) -> None:
    folder.bring(
        determined(301, "yes", "1.0000", at_second=300),
        determined(4_000, "no", "0.0000", at_second=3_999),
        life(7_600, "settled"),
    )
    assert folder.paid() == [(at(7_600), at(300), 0)]


def test_what_is_said_after_the_payment_does_not_change_it(folder: Folder) -> None:
    report = folder.bring(
        determined(301, "no", "0.0000"),
        life(310, "settled"),
        determined(400, "yes", "1.0000"),
    )
    assert folder.paid() == [(at(310), at(300), 0)]
    assert folder.said() == [(at(301), "determined", 0), (at(310), "finalized", 0)]
    assert report.tables["determinations"].quarantined == {"impossible_step": 1}
    (found,) = folder.read("quarantine")["found"]
    assert found == "amended 10000 after finalized 0"


def test_a_payment_without_a_result_pays_nothing(folder: Folder) -> None:
    folder.bring(life(310, "settled"), life(311, "activated"))
    assert folder.read("settlements").is_empty()
    assert folder.read("determinations").is_empty()


def test_both_messages_within_one_receive_time_leave_the_payment(folder: Folder) -> None:
    folder.bring(determined(301, "no", "0.0000"), life(301, "settled"))
    assert folder.said() == [(at(301), "finalized", 0)]
    assert folder.paid() == [(at(301), at(300), 0)]


def test_a_document_that_says_when_it_paid_ends_what_messages_began(folder: Folder) -> None:
    market = {
        "ticker": T,
        "event_ticker": "S-E",
        "status": "finalized",
        "open_time": "2026-01-05T12:00:00Z",
        "close_time": "2026-01-05T12:05:00Z",
        "result": "yes",
        "settlement_value_dollars": "1.0000",
        "settlement_ts": "2026-01-05T12:05:30Z",
    }
    folder.bring(determined(301, "yes", "1.0000"), market={"market": market})
    assert folder.said() == [(at(301), "determined", 10_000), (at(330), "finalized", 10_000)]
    assert folder.paid() == [(at(330), at(300), 10_000)]


def test_a_second_recorder_adds_nothing_and_nothing_is_wrong(folder: Folder) -> None:
    lines = determined(301, "no", "0.0000"), life(310, "settled")
    folder.bring(*lines)
    first = folder.said(), folder.paid()
    (folder.files / "again").mkdir()
    later = determined(302, "no", "0.0000"), life(311, "settled")
    again = folder.bring(*later, name="again/b.jsonl")
    assert again.tables["determinations"].skipped == {"known": 2}
    assert (folder.said(), folder.paid()) == first
    assert not [f for f in audit(Store.open(folder.into)).findings if f.severity == "error"]


LISTED = {
    "ticker": T,
    "event_ticker": "S-E",
    "market_type": "binary",
    "status": "active",
    "open_time": "2026-01-05T11:00:00Z",
    "close_time": "2026-01-05T12:02:00Z",
}
ENDED = (
    determined(301, "yes", "1.0000"),
    life(7_600, "settled", settled_ts=int(at(7_599).timestamp())),
)


def test_a_market_closes_as_it_was_listed_where_no_message_says_otherwise(folder: Folder) -> None:
    """Not when its result is determined, minutes later: nobody traded meanwhile."""
    folder.bring(*ENDED, markets={"markets": [LISTED]})
    assert folder.paid() == [(at(7_600), at(120), 10_000)]


def test_of_a_message_and_an_answer_the_newer_says_when_a_market_closed(folder: Folder) -> None:
    """A session that was away learns by asking what it was not there to hear."""
    event = {"type": "feed_answer", "msg": {"markets": [{**LISTED, "status": "closed"}]}}
    asked = {"recv_ms": int(at(200).timestamp() * 1_000), "event": event}
    later = life(100, "close_date_updated", close_ts=int(at(90_000).timestamp()))
    folder.bring(later, json.dumps(asked), *ENDED)
    assert folder.paid() == [(at(7_600), at(120), 10_000)]


def test_a_close_that_followed_from_the_outcome_leaves_the_one_that_was_listed(
    folder: Folder,
) -> None:
    """The answer that tells of the end does not say when the market was to close."""
    ended = {**LISTED, "status": "closed", "can_close_early": True}
    lines = []
    for seconds, told in ((0, LISTED), (100, {**ended, "close_time": "2026-01-05T12:01:39Z"})):
        event = {"type": "feed_answer", "msg": {"markets": [told]}}
        lines.append(json.dumps({"recv_ms": int(at(seconds).timestamp() * 1_000), "event": event}))
    folder.bring(*lines, *ENDED)
    assert folder.read("markets")["close_time"].to_list() == [at(120)]
    assert folder.paid() == [(at(7_600), at(99), 10_000)]


def test_fees_of_a_series_that_change_hold_from_when_they_were_told(folder: Folder) -> None:
    """What was charged before stays; the same told again changes nothing."""
    lines = []
    for seconds, multiplier in ((10, 1), (20, 1), (30, 0), (40, 0)):
        told = {"ticker": "S", "fee_type": "quadratic", "fee_multiplier": multiplier}
        event = {"type": "feed_answer", "msg": {"series": [told]}}
        stamp = int(at(seconds).timestamp() * 1_000)
        lines.append(json.dumps({"recv_ms": stamp, "event": event}))
    folder.bring(*lines, *ENDED, markets={"markets": [LISTED]})
    rows = folder.read("series").select("effective_from", "fee_multiplier").rows()
    assert rows == [(datetime(1970, 1, 1, tzinfo=UTC), 1_000_000), (at(30), 0)]
