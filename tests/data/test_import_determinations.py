"""A file that says what was known of results: which rows are steps, and what they do not pay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.data.importers.table import ImportReport, import_tables
from kalshi_bt.data.store import Store

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MAPPING = """
[[series]]
prefix = "*"
fee_type = "quadratic"

[[table]]
into = "markets"
source = "markets.csv"
columns = { ticker = "ticker", event = "ticker", series = "ticker" }

[[table]]
into = "determinations"
source = "seen*.csv"
price_unit = "dollars"
columns = { ticker = "ticker", time = { column = "at", zone = "UTC" }, status = "status", \
payout = "value" }
"""


class Folder:
    """A folder of files, and the dataset they go into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "markets.csv").write_text("ticker\nA\nB\n")

    def bring(self, *seen: str, name: str = "seen.csv") -> ImportReport:
        """Import rows of (ticker, hours after noon, status, value)."""
        lines = ["ticker,at,status,value"]
        for row in seen:
            ticker, hours, status, *value = row.split()
            time = NOON + timedelta(hours=float(hours))
            lines.append(f"{ticker},{time:%Y-%m-%dT%H:%M:%S},{status},{''.join(value)}")
        (self.root / name).write_text("\n".join(lines))
        (self.root / "mapping.toml").write_text(MAPPING)
        files = [self.root / "markets.csv", self.root / name]
        return import_tables(self.root / "mapping.toml", files, self.root / "dataset")

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.root / "dataset").read(table)

    def stored(self) -> list[tuple[str, float, str, int | None]]:
        rows = self.read("determinations").cast({"status": pl.String}).rows()
        return [(t, (at - NOON) / timedelta(hours=1), s, p) for t, at, s, p in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_looks_at_a_market_leave_what_was_new_in_each(folder: Folder) -> None:
    report = folder.bring(
        "A 0 active",
        "A 1 closed",
        "A 2 determined 0.00",
        "A 3 determined 0.00",
        "A 4 disputed 0.00",
        "A 5 amended 1.0000",
        "A 6 settled 1.00",
        "B 2 finalized 0.37",
    )
    assert folder.stored() == [
        ("A", 2, "determined", 0),
        ("A", 4, "disputed", None),
        ("A", 5, "amended", 10_000),
        ("A", 6, "finalized", 10_000),
        ("B", 2, "finalized", 3_700),
    ]
    done = report.tables["determinations"]
    assert done.skipped == {"open": 2, "known": 1}
    assert (done.read, done.added, done.quarantined) == (8, 5, {})
    assert folder.read("settlements").is_empty()  # said, not paid


def test_what_cannot_be_is_set_aside_with_its_reason(folder: Folder) -> None:
    report = folder.bring(
        "A 1 determined 0.00",
        "A 2 determined 1.00",
        "A 3 finalized",
        "A 4 guessed 1.00",
        "A 5 determined 1.01",
        "C 1 determined 1.00",
        "A 6 finalized 0.00",
        "A 7 disputed",
    )
    assert folder.stored() == [("A", 1, "determined", 0), ("A", 6, "finalized", 0)]
    lost = folder.read("quarantine").sort("row").select("row", "reason", "found").rows()
    assert [(row, reason) for row, reason, _ in lost] == [
        (1, "impossible_step"),
        (2, "null_value"),
        (3, "unknown_status"),
        (4, "price_range"),
        (5, "unknown_ticker"),
        (7, "impossible_step"),
    ]
    assert lost[-1][2] == "disputed null after finalized 0"
    assert report.tables["determinations"].read == 8


def test_importing_again_changes_nothing_and_later_rows_follow_on_stored_ones(
    folder: Folder,
) -> None:
    first = folder.bring("A 1 determined 1.00", "A 2 determined 0.00")
    again = folder.bring("A 1 determined 1.00", "A 2 determined 0.00")
    assert again.fingerprint == first.fingerprint
    assert again.tables["determinations"].unchanged == 1
    later = folder.bring("A 3 determined 1.00", "A 4 amended 0.00", name="seen2.csv")
    assert later.tables["determinations"].skipped == {"known": 1}
    assert [status for _, _, status, _ in folder.stored()] == ["determined", "amended"]
