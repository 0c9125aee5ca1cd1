"""The dataset in parts: what is read, what is written, and that nobody can tell from the rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import NOON, candles, data_files, fails, filled, references, settlement

from kalshi_bt import schema
from kalshi_bt.data import change
from kalshi_bt.data.parts import Place, digest, path_of
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.errors import DataError, UsageError

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
BARS = candles(
    ("KXA-1", NOON, 10),
    ("KXA-1", MARCH, 11),
    ("KXA-2", MARCH, 12),
    ("KXB-1", NOON, 20),
    ("KXB-1", MARCH, 21),
    ("plain", NOON, 30),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "sample", name="sample")
    made.commit({"candles": BARS})
    return made


@pytest.fixture
def deltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write new rows of parts of any size to files of their own."""
    monkeypatch.setattr(change, "SMALL", 0)


def bids(frame: pl.LazyFrame | pl.DataFrame) -> list[int]:
    return frame.lazy().collect()["bid_close"].to_list()


# --- cut and read ---------------------------------------------------------------------------------


def test_a_file_holds_a_month_of_a_series_and_tickers_without_one_share(store: Store) -> None:
    parts = [name.rpartition(".")[0].rpartition(".")[0] for name in data_files(store.root)]
    assert parts == [
        "candles/KXA/2026-01",
        "candles/KXA/2026-03",
        "candles/KXB/2026-01",
        "candles/KXB/2026-03",
        "candles/~/2026-01",
    ]


def test_the_month_of_a_part_is_that_of_utc(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    last = MARCH - timedelta(microseconds=1)
    made.commit({"candles": candles(("KXA-1", last, 1), ("KXA-1", MARCH, 2))})
    assert [Path(n).name[:7] for n in data_files(made.root)] == ["2026-02", "2026-03"]


@pytest.mark.parametrize(
    ("series", "path"),
    [
        ("KX_A", "candles/KX_A/all"),
        ("", "candles/~/all"),
        ("..", "candles/~2e~2e/all"),
        ("a/b:ü", "candles/a~2fb~3a~c3~bc/all"),
    ],
)
def test_no_series_leaves_its_folder(series: str, path: str) -> None:
    assert path_of("candles", Place(series, "")) == path


def test_long_names_of_series_stay_apart() -> None:
    one, two = (path_of("references", Place("x" * 300 + end, "")) for end in "ab")
    assert one != two
    assert len(one) < 130


def test_names_that_differ_in_case_only_stay_apart(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    rows = candles(("KXA-1", NOON, 1), ("kxa-1", NOON, 2))
    made.commit({"candles": rows})
    assert made.read("candles").equals(rows)


def test_rows_come_sorted_by_key_across_parts_unless_that_is_not_asked_for(store: Store) -> None:
    assert store.read("candles").equals(BARS.sort(schema.CANDLES.key))
    loose = store.scan("candles", ordered=False)
    assert "SORT" not in loose.explain()
    assert sorted(bids(loose)) == sorted(bids(BARS))


def test_parts_that_follow_each_other_are_not_sorted_again(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    made.commit({"candles": candles(("KXA-1", NOON, 1), ("KXB-1", NOON, 2))})
    assert "SORT" not in made.scan("candles").explain()
    assert bids(made.scan("candles")) == [1, 2]


@pytest.mark.parametrize(
    ("choice", "found", "files"),
    [
        ({"series": ["KXA"]}, [10, 11, 12], {"KXA/2026-01", "KXA/2026-03", "~/2026-01"}),
        ({"series": ["plain"]}, [30], {"~/2026-01"}),
        ({"series": []}, [], {"~/2026-01"}),
        ({"start": NOON}, [11, 12, 21], {"KXA/2026-03", "KXB/2026-03"}),
        ({"end": NOON}, [10, 20, 30], {"KXA/2026-01", "KXB/2026-01", "~/2026-01"}),
        ({"series": ["KXB"], "start": NOON, "end": MARCH}, [21], {"KXB/2026-03"}),
        ({"end": NOON - timedelta(seconds=1)}, [], set()),
    ],
)
def test_only_parts_that_can_match_are_opened(
    store: Store, choice: dict[str, object], found: list[int], files: set[str]
) -> None:
    assert bids(store.scan("candles", **choice)) == found
    for path in store.root.rglob("*.parquet"):  # the others may as well not be there
        if f"{path.parent.name}/{path.name.partition('.')[0]}" not in files:
            path.unlink()
    assert bids(store.scan("candles", **choice)) == found


def test_a_choice_that_a_table_cannot_make_is_refused(store: Store) -> None:
    fails(lambda: store.scan("series", series=["KXA"]), "not cut by series", kind=UsageError)
    fails(lambda: store.scan("markets", start=NOON), "no column 'time'", kind=UsageError)
    naive = NOON.replace(tzinfo=None)
    fails(lambda: store.scan("candles", start=naive), "time zone", kind=UsageError)


def test_references_are_chosen_by_their_whole_source(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    other = references({0: 2}).with_columns(source=pl.lit("proxy:a-b"))
    made.commit({"references": pl.concat([references({0: 1}), other])})
    assert made.scan("references", series=["proxy:a-b"]).collect()["value"].to_list() == [2.0]


def test_the_span_of_time_is_known_without_reading(store: Store) -> None:
    for path in store.root.rglob("*.parquet"):
        path.unlink()
    assert store.span("candles", "trades") == (NOON, MARCH)
    assert store.span("trades") == (None, None)


# --- deltas and merging ---------------------------------------------------------------------------


def add(store: Store, *minutes: int, bid: int = 1) -> dict[str, Counts]:
    bars = [("KXA-1", NOON + timedelta(minutes=m), bid) for m in minutes]
    return store.commit({"candles": candles(*bars)})


def files_of(store: Store, table: str = "candles") -> dict[tuple[str, str], int]:
    return {tuple(part.place): len(part.files) for part in store.manifest.parts(table)}


@pytest.mark.usefixtures("deltas")
def test_new_rows_of_a_large_part_are_written_beside_it(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    add(made, 0, 2)
    (first,) = data_files(made.root)
    add(made, 1)
    assert len(data_files(made.root)) == 2
    assert first in data_files(made.root)
    assert made.read("candles")["time"].is_sorted()


@pytest.mark.usefixtures("deltas")
def test_a_part_has_eight_files_at_most(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    seen = []
    for minute in range(10):
        add(made, minute)
        seen.append(*files_of(made).values())
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    assert made.read("candles").height == 10


@pytest.mark.usefixtures("deltas")
def test_a_changed_or_dropped_row_is_in_no_file_any_more(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    add(made, 0)
    add(made, 1)
    add(made, 0, bid=7)
    assert files_of(made) == {("KXA", "2026-01"): 1}
    add(made, 2)
    made.commit({}, drop={"candles": made.read("candles").select("time").head(1)})
    assert files_of(made) == {("KXA", "2026-01"): 1}
    assert bids(made.scan("candles")) == [1, 1]


def test_a_small_part_stays_one_file(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    for minute in range(3):
        add(made, minute)
    assert files_of(made) == {("KXA", "2026-01"): 1}


@pytest.mark.usefixtures("deltas")
def test_compacting_leaves_one_file_a_part_and_the_same_rows_and_fingerprint(store: Store) -> None:
    add(store, 1)
    add(store, 2)
    rows, identity = store.read("candles"), store.fingerprint()
    assert store.compact() == {"candles": (7, 5)}
    assert set(files_of(store).values()) == {1}
    assert Store.open(store.root).read("candles").equals(rows)
    assert Store.open(store.root).fingerprint() == identity
    assert store.compact() == {"candles": (5, 5)}


def test_a_commit_leaves_the_files_of_other_parts_alone(store: Store) -> None:
    before = set(data_files(store.root))
    add(store, 5)
    gone = before - store.manifest.paths()
    assert [name[:19] for name in gone] == ["candles/KXA/2026-01"]


# --- identity -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("deltas")
def test_rows_not_files_make_the_fingerprint(tmp_path: Path) -> None:
    whole, pieces = (Store.create(tmp_path / name, name=name) for name in ("whole", "pieces"))
    whole.commit({"candles": BARS})
    for row in range(BARS.height):
        pieces.commit({"candles": BARS[row]})
    assert pieces.fingerprint() == whole.fingerprint()
    assert len(data_files(pieces.root)) >= len(data_files(whole.root))


def test_the_fingerprint_leaves_out_what_was_fetched(store: Store) -> None:
    identity = store.fingerprint()
    row = {"table": "candles", "subject": "KXA", "period": 60, "end": NOON, "final": True}
    store.commit({"coverage": filled(schema.COVERAGE, [row])})
    assert store.fingerprint() == identity


VALUES = st.fixed_dictionaries(
    {
        "a": st.one_of(st.none(), st.booleans()),
        "b": st.one_of(st.none(), st.text(max_size=3)),
        "c": st.one_of(st.none(), st.integers(-5, 5)),
        "d": st.one_of(
            st.none(),
            st.lists(st.fixed_dictionaries({"price": st.integers(0, 2), "size": st.none()})),
        ),
    }
)
TYPES = {"a": pl.Boolean, "b": pl.String, "c": pl.Int16, "d": schema.Levels}


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4), st.integers(0, 4))
def test_two_frames_share_a_digest_exactly_if_they_are_equal(
    one: list[dict[str, object]], two: list[dict[str, object]], cut: int
) -> None:
    left, right = (pl.DataFrame(rows, schema=TYPES) for rows in (one, two))
    assert (digest(left) == digest(right)) == (one == two)
    pieces = pl.concat([left[:cut], left[cut:]], rechunk=False)
    assert digest(pieces) == digest(left)


# --- settlements ----------------------------------------------------------------------------------


def test_a_settlement_that_is_replaced_is_kept_with_the_time_it_was_known(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    assert made.commit({"settlements": settlement("KXA-1", 0)}) == {"settlements": Counts(added=1)}
    same = made.commit({"settlements": settlement("KXA-1", 0)})
    assert same == {"settlements": Counts(unchanged=1)}
    counts = made.commit({"settlements": settlement("KXA-1", 10_000, hours=2)})
    assert counts == {"settlements": Counts(updated=1), "revisions": Counts(added=1)}
    assert made.read("settlements").equals(settlement("KXA-1", 10_000, hours=2))
    assert made.read("revisions").equals(settlement("KXA-1", 0))
    with made.bulk() as bulk:
        bulk.add("settlements", settlement("KXA-1", 0, hours=3))
    assert bulk.counts["revisions"] == Counts(added=1)
    assert made.read("revisions")["payout"].to_list() == [0, 10_000]


def test_two_corrections_with_the_same_known_at_are_both_kept(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    scalar = settlement("KXA-1", 3_700).with_columns(result=pl.lit("scalar"))
    for believed in (settlement("KXA-1", 0), scalar, settlement("KXA-1", 10_000)):
        made.commit({"settlements": believed})
    assert made.read("settlements")["payout"].to_list() == [10_000]
    replaced = made.read("revisions")
    assert replaced.select("payout", "result").rows() == [(0, "no"), (3_700, "scalar")]
    assert replaced["time"].n_unique() == 1
    made.commit({"settlements": settlement("KXA-1", 0)})  # back to the first, then away again
    made.commit({"settlements": scalar})
    assert made.read("revisions")["payout"].to_list() == [0, 3_700, 10_000]


def test_a_settlement_that_is_only_dropped_is_gone(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    made.commit({"settlements": settlement("KXA-1", 0)})
    made.commit({}, drop={"settlements": pl.DataFrame({"ticker": ["KXA-1"]})})
    assert made.read("settlements").is_empty()
    assert made.read("revisions").is_empty()


def test_a_damaged_part_stops_a_commit_and_is_named(store: Store) -> None:
    path = store.root / data_files(store.root)[0]
    raw = path.read_bytes()
    path.write_bytes(raw[:40] + b"\xa5" * 40 + raw[80:])
    fails(lambda: add(store, 1), str(path), "damaged", kind=DataError)
