"""SQL over the dataset: the rows of the store, in units people use, and never a write."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from store_rows import NOON, candles, data_files, fails, filled, references, settlement, start

from kalshi_bt import schema
from kalshi_bt.data import catalogue, change
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

VIEWS = [*schema.STORED, "references_", "fees"]


def tables() -> dict[str, pl.DataFrame]:
    """A few rows of every table."""
    market = {
        "ticker": "KXA-1",
        "event": "KXA",
        "series": "KXA",
        "price_ranges": [{"start": 0, "end": 10_000, "step": 10}],
    }
    trade = {
        "ticker": "KXA-1",
        "time": NOON,
        "trade_id": "it's",
        "price": 2_900,
        "quantity": 150,
        "taker_side": -1,
    }
    level = [{"price": 2_900, "size": 250}]
    books = [
        {"ticker": "KXA-1", "time": NOON, "bids": level, "asks": []},
        {"ticker": "KXA-1", "time": NOON + timedelta(1), "bids": None, "asks": None},
    ]
    said = [
        {"ticker": "KXA-1", "time": NOON, "status": "determined", "payout": 10_000},
        {"ticker": "KXA-1", "time": NOON + timedelta(1), "status": "disputed", "payout": None},
    ]
    fee = {"effective_from": NOON, "fee_type": "quadratic", "fee_multiplier": 1_000_000}
    lost = {"table": "candles", "source": "f", "row": 0, "reason": "crossed", "found": "x"}
    seen = {"table": "candles", "subject": "KXA", "period": 60, "end": NOON, "final": True}
    return {
        "markets": filled(schema.MARKETS, [market]),
        "settlements": settlement("KXA-1", 10_000),
        "revisions": settlement("KXA-2", 0),
        "determinations": filled(schema.DETERMINATIONS, said),
        "candles": candles(
            ("KXA-1", NOON, 2_900), ("KXA-1", NOON + timedelta(40), 57), ("x", NOON, 1)
        ),
        "trades": filled(schema.TRADES, [trade]),
        "books": filled(schema.BOOKS, books),
        "references": references({0: 1.5}),
        "series": filled(schema.SERIES, [{"series": "KXA", **fee}]),
        "event_fees": filled(schema.EVENT_FEES, [{"event": "KXA-9", **fee}]),
        "quarantine": filled(schema.QUARANTINE, [lost]),
        "coverage": filled(schema.COVERAGE, [seen]),
    }


def made(folder: Path) -> Store:
    store = Store.create(folder / "it's [a] sample*", name="sample")
    store.commit(tables())
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return made(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same, for tests that only ask."""
    return made(tmp_path_factory.mktemp("catalogue"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.create(tmp_path_factory.mktemp("catalogue") / "empty", name="empty")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Without the types that SQL does not know."""
    return frame.cast({pl.Enum: pl.String})


# --- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(schema.STORED))
def test_a_view_holds_what_a_scan_gives(kept: Store, table: str) -> None:
    names = ", ".join(f'"{name}"' for name in schema.STORED[table].columns)
    order = ", ".join(f'"{name}"' for name in schema.STORED[table].key)
    found = kept.sql(f'select {names} from "{table}" order by {order}')  # noqa: S608
    assert_frame_equal(found, plain(kept.read(table)))
    assert found.height > 0


def test_parts_of_several_files_are_read_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "SMALL", 0)
    for minute in range(3):
        store.commit({"candles": candles(("KXA-1", NOON + timedelta(minutes=minute), minute))})
    assert max(len(part.files) for part in store.manifest.parts("candles")) > 1
    found = store.sql("select ticker, period, time, bid_close from candles order by all")
    assert_frame_equal(found, store.read("candles", ["ticker", "period", "time", "bid_close"]))


COLUMNS = """
select table_name, column_index, column_name, data_type, is_nullable
from duckdb_columns() where not internal order by all
"""


@pytest.fixture(scope="module")
def columns(kept: Store, empty: Store) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of all views, with rows and without."""
    return kept.sql(COLUMNS), empty.sql(COLUMNS)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_no_rows_has_the_columns_of_one_with_rows(
    columns: tuple[pl.DataFrame, pl.DataFrame], view: str
) -> None:
    one, two = (frame.filter(table_name=view) for frame in columns)
    assert_frame_equal(one, two)
    assert one.height > 0


def test_prices_are_offered_in_dollars_and_quantities_in_contracts(kept: Store) -> None:
    found = kept.sql("select price, price_dollars, quantity, quantity_contracts from trades")
    assert found.rows() == [(2_900, 0.29, 150, 1.5)]
    assert kept.sql("select payout_dollars from settlements").item() == 1.0
    ((bids, asks),) = kept.sql("select bids_dollars, asks_dollars from books limit 1").rows()
    assert (bids, asks) == ([{"price": 0.29, "size": 2.5}], [])
    (grid,) = kept.sql("select price_ranges_dollars from markets").item()
    assert grid == {"start": 0.0, "end": 1.0, "step": 0.001}
    prices = {n for n, t in schema.CANDLES.columns.items() if t == schema.Price}
    offered = set(kept.sql("select * from candles").columns)
    assert {f"{name}_dollars" for name in prices} <= offered
    sizes = ("volume", "open_interest", "bid_size", "ask_size")
    assert {f"{name}_contracts" for name in sizes} <= offered


def test_times_are_shown_in_utc(kept: Store) -> None:
    found = kept.sql("select time, time::varchar as text from trades")
    assert found.schema["time"] == schema.Time
    assert found["text"].item() == "2026-01-05 12:00:00+00"
    assert kept.sql("select date_trunc('day', time) from trades").item() == datetime(
        2026, 1, 5, tzinfo=UTC
    )


def test_fees_of_series_and_of_events_are_told_apart(kept: Store) -> None:
    found = kept.sql("select scope, subject, fee_multiplier from fees order by scope")
    assert found.rows() == [("event", "KXA-9", 1_000_000), ("series", "KXA", 1_000_000)]


def test_sums_come_as_whole_numbers_of_64_bits_where_they_fit(kept: Store) -> None:
    found = kept.sql(
        "select sum(bid_close) as small, (1::hugeint << 100) as large, null::hugeint as none "
        "from candles"
    )
    assert found.row(0) == (2_900 + 57 + 1, 2**100, None)
    assert found.schema["small"] == pl.Int64


def test_a_reader_asks_the_state_it_opened(store: Store) -> None:
    reader = Store.open(store.root)
    store.commit({}, drop={"trades": pl.DataFrame({"ticker": ["KXA-1"]})})
    assert reader.sql("select count(*) from trades").item() == 1
    assert store.sql("select count(*) from trades").item() == 0


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "copy trades to '{}/stolen.csv'",
        "-- x\n/* y */ copy (pivot candles on period using count(*)) to '{}/stolen.csv'",
        "explain analyze copy trades to '{}/stolen.csv'",
        "explain (analyze, format json) copy trades to '{}/stolen.csv'",
        "create table stolen as select * from trades",
        "insert into trades select * from trades",
        "delete from trades",
        "drop view trades",
        "attach '{}/stolen.csv'",
        "export database '{}/stolen.csv'",
        "set memory_limit = '1GB'",
        "install httpfs",
        "checkpoint",
    ],
)
def test_a_query_that_writes_is_refused(kept: Store, tmp_path: Path, query: str) -> None:
    catalogue.refresh(kept.place)
    before = data_files(kept.root)
    fails(lambda: kept.sql(query.format(tmp_path)), "is refused", kind=UsageError)
    assert not (tmp_path / "stolen.csv").exists()
    assert data_files(kept.root) == before


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "with x as (select 1) select * from x",
        "from trades",
        "values (1)",
        "describe trades",
        "summarize trades",
        "show tables",
        "explain select * from trades",
        "explain analyze select * from trades",
        "/* by period */ pivot candles on period using count(*)",
    ],
)
def test_a_query_that_reads_is_answered(kept: Store, query: str) -> None:
    assert kept.sql(query).height > 0


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select tickr from trades", ['"tickr" not found', '"ticker"']),
        ("select * from trade", ["trade does not exist", "trades"]),
        ("selec 1", ["syntax error", "selec"]),
        ("select cast('x' as integer)", ["Could not convert", "'x'"]),
        ("", ["one query, not 0"]),
        ("select 1; select 2", ["one query, not 2"]),
        ("select interval 1 month", ["no type"]),
        ("select * from frame", ["frame does not exist"]),
    ],
)
def test_a_wrong_query_is_answered_in_one_line(kept: Store, query: str, words: list[str]) -> None:
    frame = pl.DataFrame({"hidden": [1]})  # variables of Python are no tables
    fails(lambda: kept.sql(query), *words, kind=UsageError)
    assert frame.height == 1


def test_a_truncated_file_is_named(store: Store) -> None:
    path = next((store.root / "trades").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    fails(lambda: store.sql("select * from trades"), str(path), "bytes", kind=DataError)


def test_a_file_of_others_that_is_not_there_is_named(kept: Store) -> None:
    fails(lambda: kept.sql("select * from 'none.parquet'"), "none.parquet", kind=DataError)


# --- the catalogue file ---------------------------------------------------------------------------

ELSEWHERE = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as catalogue:
    found = catalogue.execute("select count(*) from candles where bid_close_dollars = 0.29")
    print(found.fetchone()[0])
"""


def test_any_duckdb_reads_the_catalogue_from_any_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = catalogue.refresh(store.place)
    assert path == store.root / "catalogue.duckdb"
    monkeypatch.chdir(tmp_path)
    other = start(ELSEWHERE, str(path))
    assert other.communicate(timeout=60)[0] == "1\n"


def asked(store: Store, query: str) -> object:
    with duckdb.connect(store.root / "catalogue.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchone()[0]


def test_the_catalogue_is_made_when_first_asked_and_follows_every_commit(store: Store) -> None:
    assert not (store.root / "catalogue.duckdb").exists()
    identity = store.fingerprint()
    store.sql("select 1")
    assert asked(store, "select count(*) from candles") == 3
    store.commit({"candles": candles(("KXA-7", NOON, 1))})
    assert asked(store, "select count(*) from candles") == 4
    store.compact()
    store.commit({}, drop={"candles": pl.DataFrame({"ticker": ["KXA-7"]})})
    assert asked(store, "select count(*) from candles") == 3
    assert store.fingerprint() == identity


def test_a_catalogue_that_is_up_to_date_is_left_alone(store: Store) -> None:
    path = catalogue.refresh(store.place)
    stamp = path.stat().st_mtime_ns
    store.sql("select 1")
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_the_catalogue_of_a_moved_dataset_is_rebuilt(store: Store, move: object) -> None:
    store.sql("select 1")
    moved = store.root.with_name("moved")
    move(store.root, moved)
    shutil.rmtree(store.root, ignore_errors=True)
    again = Store.open(moved)
    assert again.sql("select count(*) from candles").item() == 3
    assert asked(again, "select count(*) from candles") == 3
    assert asked(again, "select root from about") == str(moved.resolve())


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_a_broken_catalogue_is_replaced(store: Store, content: bytes) -> None:
    (store.root / "catalogue.duckdb").write_bytes(content)
    store.sql("select 1")
    assert asked(store, "select count(*) from candles") == 3


def test_a_catalogue_that_cannot_be_written_is_in_nobodys_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refused)
    assert store.sql("select count(*) from candles").item() == 3
    assert catalogue.refresh(store.place) is None
    assert [n for n in data_files(store.root) if "catalogue" in n] == []


def test_what_a_killed_process_left_of_a_catalogue_is_removed(store: Store) -> None:
    left = store.root / ".catalogue.duckdb.1.tmp"
    left.write_bytes(b"half")
    store.sql("select 1")
    assert not left.exists()


def test_a_catalogue_that_somebody_has_open_is_in_nobodys_way(store: Store) -> None:
    store.sql("select 1")
    with duckdb.connect(store.root / "catalogue.duckdb"):
        store.commit({"candles": candles(("KXA-7", NOON, 1))})
        assert store.sql("select count(*) from candles").item() == 4
    assert json.loads((store.root / "dataset.json").read_text())["name"] == "sample"
