"""Leaderboards become reference values known when they were seen; markets keep their rules."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.data.importers.arena import import_arena
from kalshi_bt.data.importers.table import ImportReport
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError


class Folder:
    def __init__(self, root: Path) -> None:
        self.files, self.into = root / "files", root / "dataset"
        self.files.mkdir()

    def put(self, name: str, **columns: list[object]) -> None:
        frame = pl.DataFrame(columns, strict=False)
        path = self.files / name
        frame.write_csv(path) if name.endswith(".csv") else frame.write_parquet(path)

    def bring(self) -> ImportReport:
        return import_arena([self.files], self.into)

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def hourly(
    folder: Folder, fetched: str = "2026-02-16T17:10:37Z", name: str = "hourly.parquet"
) -> None:
    folder.put(
        name,
        fetched_at=[fetched],
        model=["m-1"],
        rank=[2],
        rank_ub=[1],
        rank_lb=[4],
        organization=["Lab"],
        license=["MIT"],
        score=[1504],
        ci95=[9],
        votes=[4650],
        is_preliminary=[True],
    )


def test_a_board_that_was_looked_at_gives_every_field_at_that_time(folder: Folder) -> None:
    hourly(folder)
    folder.bring()
    rows = folder.read("references")
    assert set(rows.select("source", "symbol", "time").rows()) == {
        ("arena/text", "m-1", datetime(2026, 2, 16, 17, 10, 37, tzinfo=UTC))
    }
    assert rows.select("field", "value", "text").rows() == [
        ("high", 1513.0, None),
        ("license", None, "MIT"),
        ("low", 1495.0, None),
        ("organization", None, "Lab"),
        ("preliminary", 1.0, None),
        ("rank", 2.0, None),
        ("rank_lb", 4.0, None),
        ("rank_ub", 1.0, None),
        ("score", 1504.0, None),
        ("votes", 4650.0, None),
    ]


def test_the_catalogue_tells_the_boards_apart(folder: Folder) -> None:
    folder.put(
        "catalog.parquet",
        commit_ts=["20250307T155635"] * 3,
        board=["text", "text_style_control", "image"],
        model=["m", "m", "m"],
        rating=[1200.5, 1190.5, 1.0],
        rating_q025=[1190.0, 1180.0, 0.0],
        rating_q975=[1210.0, None, 2.0],
    )
    report = folder.bring()
    at = datetime(2025, 3, 7, 15, 56, 35, tzinfo=UTC)
    assert folder.read("references").drop("text").rows() == [
        ("arena/text", "m", "high", at, 1210.0),
        ("arena/text", "m", "low", at, 1190.0),
        ("arena/text", "m", "score", at, 1200.5),
        ("arena/text-style-control", "m", "low", at, 1180.0),
        ("arena/text-style-control", "m", "score", at, 1190.5),
    ]
    assert report.tables["references"].quarantined == {"null_key": 1}


def test_a_day_without_an_hour_is_known_at_its_end(folder: Folder) -> None:
    folder.put("history.csv", date=["20240228"], model=["m"], rating=[1000.0])
    folder.bring()
    assert folder.read("references").select("time", "value").rows() == [
        (datetime(2024, 2, 29, tzinfo=UTC), 1000.0)
    ]


def test_a_board_without_a_time_is_set_aside(folder: Folder) -> None:
    hourly(folder)
    folder.put("undated.csv", rank=[1, 2], model=["a", "b"], arena_score=[1, 2], votes=[3, 4])
    report = folder.bring()
    assert report.tables["references"].quarantined == {"null_key": 2}
    assert folder.read("quarantine").select("table", "source", "row", "reason").rows() == [
        ("references", "undated.csv", 0, "null_key"),
        ("references", "undated.csv", 1, "null_key"),
    ]


def test_markets_keep_their_words_and_series_get_their_fees(folder: Folder) -> None:
    folder.put(
        "markets.parquet",
        ticker=["KXLLM1-25DEC31-A", "KXTOPMODEL-25AUG-M"],
        event_ticker=["KXLLM1-25DEC31", "KXTOPMODEL-25AUG"],
        title=["Best AI?", "Top model?"],
        yes_sub_title=["Claude", "m"],
        open_time=["2024-11-05T15:00:00Z"] * 2,
        close_time=["2025-12-31T15:00:00Z"] * 2,
        rules_primary=["If it leads.", "If it leads."],
        yes_bid=[19, 20],
    )
    folder.bring()
    first = folder.read("markets").row(0, named=True)
    assert (first["series"], first["subtitle"], first["rules"]) == (
        "KXLLM1",
        "Claude",
        "If it leads.",
    )
    assert first["close_time"] == datetime(2025, 12, 31, 15, tzinfo=UTC)
    assert folder.read("series").select("series", "fee_type").rows() == [
        ("KXLLM1", "quadratic_with_maker_fees"),
        ("KXTOPMODEL", "quadratic"),
    ]


def test_importing_again_changes_nothing_and_every_row_is_accounted_for(folder: Folder) -> None:
    hourly(folder)
    hourly(folder, name="again.parquet")
    folder.put("undated.csv", rank=[1], model=["a"], arena_score=[1])
    first, again = folder.bring(), folder.bring()
    assert again.fingerprint == first.fingerprint
    for account in (first.tables["references"], again.tables["references"]):
        kept = account.added + account.updated + account.unchanged
        assert (kept, account.skipped, account.quarantined) == (
            10,
            {"repeated": 10},
            {"null_key": 1},
        )
        assert account.read == 21


def test_other_files_are_named_and_nothing_at_all_is_refused(folder: Folder) -> None:
    with pytest.raises(DataError, match="no parquet or CSV"):
        folder.bring()
    folder.put("other.csv", a=[1])
    with pytest.raises(DataError, match="none of the files"):
        folder.bring()
    assert not folder.into.exists()
    hourly(folder)
    assert folder.bring().warnings == (
        "other.csv is no leaderboard and no list of markets; not read",
    )
    (folder.files / "bad.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read"):
        folder.bring()
    with pytest.raises(DataError, match="does not exist"):
        import_arena([folder.files / "none"], folder.into)
