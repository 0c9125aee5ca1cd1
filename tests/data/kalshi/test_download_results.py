"""What a download keeps of results that are not paid yet: known when the exchange was asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_exchange import QUICK, Local, Small, stamp

from kalshi_bt.data.kalshi.download import DownloadReport, download
from kalshi_bt.data.soundness import audit
from kalshi_bt.data.store import Store

pytestmark = pytest.mark.slow

A = "KXA-26SEP101015-15"
CLOSE = datetime(2026, 9, 10, 10, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAITING: dict[str, Any] = {"settlement_ts": None, "result": "yes"}


class Watched:
    """An exchange with one market, looked at hour by hour."""

    def __init__(self, local: Local, into: Path) -> None:
        self.small, self.into = Small(local), into
        self.small.add_series("KXA")
        self.market = self.small.add_market(A, **WAITING)

    def look(self, hours: int, status: str, value: str | None, **fields: Any) -> DownloadReport:
        """Download some hours after the close, when the market says this of itself."""
        now = CLOSE + hours * HOUR
        self.small.tick(now)
        self.market |= {"status": status, "settlement_value_dollars": value, **fields}
        self.market["updated_time"] = stamp(now)
        return download(
            self.into,
            base_url=self.small.local.url,
            series=["KXA"],
            what=["markets"],
            retry=QUICK,
        )

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)

    def found(self) -> set[tuple[str, str]]:
        """Return what the audit has against results: the market's ticker fits no schedule."""
        tables = ("determinations", "settlements", "revisions")
        findings = audit(Store.open(self.into)).findings
        return {(f.rule, f.severity) for f in findings if f.table in tables}

    def said(self) -> list[tuple[float, str, int | None]]:
        rows = self.read("determinations").cast({"status": pl.String})
        return [((t - CLOSE) / HOUR, s, p) for t, s, p in rows.drop("ticker").iter_rows()]


@pytest.fixture
def watched(local: Local, tmp_path: Path) -> Watched:
    return Watched(local, tmp_path / "data")


def test_a_determined_market_is_not_settled_yet_and_its_result_known_at_the_answer(
    watched: Watched,
) -> None:
    watched.look(1, "determined", "1.0000")
    assert watched.read("settlements").is_empty()
    assert watched.said() == [(1, "determined", 10_000)]


def test_a_market_without_a_result_says_nothing(watched: Watched) -> None:
    watched.look(1, "closed", None, result="")
    assert watched.said() == []


def test_what_a_market_says_at_each_look_becomes_its_way_to_the_payment(watched: Watched) -> None:
    watched.look(1, "determined", "1.0000")
    watched.look(2, "determined", "1.0000")  # nothing new
    watched.look(3, "disputed", "1.0000")
    watched.look(4, "amended", "0.3700", result="scalar")
    assert watched.read("settlements").is_empty()
    paid = CLOSE + 4.5 * HOUR
    watched.look(5, "finalized", "0.3700", settlement_ts=stamp(paid))
    assert watched.said() == [
        (1, "determined", 10_000),
        (3, "disputed", None),
        (4, "amended", 3_700),
        (4.5, "finalized", 3_700),
    ]
    settled = watched.read("settlements").select("time", "payout", "result").rows()
    assert settled == [(paid, 3_700, "scalar")]
    report = watched.look(6, "finalized", "0.3700")
    assert report.tables["determinations"].added == 0
    assert [name for name, severity in watched.found() if severity == "error"] == []


def test_the_settlement_of_a_market_that_nobody_watched_is_finalized_when_it_paid(
    watched: Watched,
) -> None:
    watched.look(9, "finalized", None, settlement_ts=stamp(CLOSE + HOUR))
    assert watched.said() == [(1, "finalized", 10_000)]


def test_a_payment_of_unknown_time_is_not_said_to_be_known(watched: Watched) -> None:
    watched.look(9, "finalized", "1.0000")
    assert watched.said() == []
    assert watched.read("settlements").height == 1  # a day after the close is taken


def test_a_correction_after_the_payment_is_kept_with_what_it_replaced(watched: Watched) -> None:
    watched.look(2, "finalized", "1.0000", settlement_ts=stamp(CLOSE + HOUR))
    report = watched.look(
        30, "finalized", "0.0000", result="no", settlement_ts=stamp(CLOSE + 29 * HOUR)
    )
    assert watched.said() == [(1, "finalized", 10_000), (29, "finalized", 0)]
    assert watched.read("settlements")["payout"].to_list() == [0]
    assert watched.read("revisions")["payout"].to_list() == [10_000]
    assert report.warnings[-1].startswith("1 settlements were replaced by others")
    assert watched.found() == {("payout_revised", "warning"), ("payout_amended", "note")}


def test_a_state_that_cannot_follow_is_set_aside(watched: Watched) -> None:
    watched.look(2, "finalized", "1.0000", settlement_ts=stamp(CLOSE + HOUR))
    Store.open(watched.into).commit(
        {}, drop={"settlements": pl.DataFrame({"ticker": [A]})}
    )  # so that it is asked for again
    report = watched.look(3, "determined", "0.0000", settlement_ts=None)
    assert report.quarantined == {"determinations": {"impossible_step": 1}}
    assert watched.said() == [(1, "finalized", 10_000)]


def test_a_determined_market_without_a_result_is_set_aside(watched: Watched) -> None:
    report = watched.look(1, "determined", None, result="")
    assert report.quarantined == {"determinations": {"null_value": 1}}
    assert watched.said() == []
