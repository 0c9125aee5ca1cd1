"""The dataset on disk: rows in, rows out, and what identifies them."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import (
    NOON,
    data_files,
    fails,
    filled,
    references,
    stored_values,
)

from kalshi_bt import schema
from kalshi_bt.data.store import Counts, Store, info
from kalshi_bt.errors import UsageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "sample", name="sample")
    made.commit({"references": references({0: 10, 1: 11})})
    return made


# --- opening --------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    fails(lambda: Store.open(tmp_path / "no"), str(tmp_path / "no"), "no such folder", "import")


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    fails(lambda: Store.open(tmp_path), "no dataset.json", "kalshi-bt import")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": "x"}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    fails(lambda: Store.open(tmp_path), "dataset.json", "cannot be read")


@pytest.mark.parametrize(("number", "cure"), [(99, "upgrade"), (1, "import it again")])
def test_another_format_is_answered_with_the_cure(store: Store, number: int, cure: str) -> None:
    path = store.root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": number}))
    fails(lambda: Store.open(store.root), f"format {number}", cure)


def test_a_dataset_of_another_format_is_not_taken_for_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"format": 1}')
    fails(lambda: Store.create(tmp_path, name="x"), "already holds")
    fails(lambda: Store.create(tmp_path, name="x", exist_ok=True), "format 1")
    assert Store.exists(tmp_path)
    assert not Store.exists(tmp_path / "absent")


def test_name_note_and_origin_survive_reopening(tmp_path: Path) -> None:
    Store.create(tmp_path / "x", name="invented", synthetic=True, note="by hand")
    found = Store.open(str(tmp_path / "x"))
    assert (found.name, found.synthetic, found.note) == ("invented", True, "by hand")


def test_create_does_not_touch_a_folder_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    fails(lambda: Store.create(tmp_path, name="x"), "other files")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_create_refuses_a_dataset_unless_told_and_then_keeps_it(store: Store) -> None:
    fails(lambda: Store.create(store.root, name="other"), "already holds")
    again = Store.create(store.root, name="other", exist_ok=True)
    assert again.name == "sample"
    assert again.fingerprint() == store.fingerprint()


# --- rows in, rows out ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(schema.STORED))
def test_a_table_never_stored_is_empty_with_its_declared_types(tmp_path: Path, table: str) -> None:
    empty = Store.create(tmp_path / "x", name="x")
    assert empty.read(table).schema == pl.Schema(schema.STORED[table].columns)
    assert empty.scan(table).collect_schema() == pl.Schema(schema.STORED[table].columns)


def test_an_unknown_table_is_answered_with_the_nearest(store: Store) -> None:
    with pytest.raises(UsageError, match="did you mean 'candles'"):
        store.scan("candels")
    with pytest.raises(UsageError, match="did you mean 'markets'"):
        store.commit({"market": pl.DataFrame()})


def test_rows_come_back_sorted_by_key_whatever_their_order(store: Store) -> None:
    store.commit({"references": references({5: 1, -3: 2, 4: 3})})
    assert list(stored_values(Store.open(store.root))) == [-3, 0, 1, 4, 5]


def test_counts_tell_new_changed_and_equal_rows(store: Store) -> None:
    counts = store.commit({"references": references({0: 10, 1: 99, 2: 12})})
    assert counts == {"references": Counts(added=1, updated=1, unchanged=1)}
    assert stored_values(store) == {0: 10, 1: 99, 2: 12}


def test_dropped_rows_go_unless_they_are_given_again(store: Store) -> None:
    other = references({0: 7}, symbol="ETH")
    store.commit({"references": other})
    gone = pl.DataFrame({"symbol": ["BTC"]})
    counts = store.commit({"references": references({1: 11})}, drop={"references": gone})
    assert counts == {"references": Counts(unchanged=1, removed=1)}
    kept = store.read("references").select("symbol", "value").rows()
    assert kept == [("BTC", 11.0), ("ETH", 7.0)]


def test_dropping_the_last_row_leaves_an_empty_table(store: Store) -> None:
    counts = store.commit({}, drop={"references": pl.DataFrame({"symbol": ["BTC"]})})
    assert counts == {"references": Counts(removed=2)}
    assert store.read("references").is_empty()
    assert store.sizes() == {}


def test_a_null_and_a_list_are_compared_as_values(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    row = {"ticker": "A", "event": "E", "series": "S", "price_ranges": None}
    grid = [{"start": 0, "end": 10_000, "step": 10}]
    assert made.commit({"markets": filled(schema.MARKETS, [row])})["markets"].added == 1
    assert made.commit({"markets": filled(schema.MARKETS, [row])})["markets"].unchanged == 1
    row["price_ranges"] = grid
    assert made.commit({"markets": filled(schema.MARKETS, [row])})["markets"].updated == 1
    assert made.commit({"markets": filled(schema.MARKETS, [row])})["markets"].unchanged == 1
    assert made.read("markets")["price_ranges"].to_list() == [grid]


def test_a_bad_table_stores_nothing_of_any_table(store: Store) -> None:
    before = store.fingerprint()
    market = filled(schema.MARKETS, [{"ticker": "A", "event": "E", "series": "S"}])
    twice = pl.concat([references({3: 1}), references({3: 2})])
    fails(lambda: store.commit({"markets": market, "references": twice}), "more than once")
    narrow = references({3: 1}).with_columns(pl.col("value").cast(pl.Float32))
    fails(lambda: store.commit({"references": narrow}), "references.value", "Float32")
    lost = references({3: 1}).with_columns(symbol=pl.lit(None, dtype=pl.String))
    fails(lambda: store.commit({"references": lost}), "null has no meaning")
    assert Store.open(store.root).fingerprint() == before
    assert Store.open(store.root).read("markets").is_empty()


def test_remarks_are_kept_once_each(store: Store) -> None:
    store.commit({}, note="from a")
    store.commit({}, note="from b")
    store.commit({}, note="from a")
    assert Store.open(store.root).note == "from a\nfrom b"


def test_only_the_named_columns_are_read(store: Store) -> None:
    assert store.read("references", ["value"]).columns == ["value"]


@settings(deadline=None, max_examples=10)
@given(
    st.lists(
        st.dictionaries(st.integers(0, 6), st.integers(0, 2), max_size=5), min_size=1, max_size=5
    )
)
def test_any_series_of_commits_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[int, float]]
) -> None:
    made, twin = Store.create(tmp_path_factory.mktemp("d") / "x", name="x"), dict[int, float]()
    for step in steps:
        done = made.commit({"references": references(step)})["references"]
        assert done.added == len(step.keys() - twin.keys())
        assert done.updated == sum(twin[k] != v for k, v in step.items() if k in twin)
        assert done.unchanged == sum(twin[k] == v for k, v in step.items() if k in twin)
        twin |= step
        assert stored_values(made) == dict(sorted(twin.items()))


# --- identity -------------------------------------------------------------------------------------


def test_equal_rows_give_equal_files_and_fingerprints_whatever_the_path(tmp_path: Path) -> None:
    one = Store.create(tmp_path / "one", name="one")
    one.commit({"references": references({2: 2})})
    one.commit({"references": references({1: 1})})
    two = Store.create(tmp_path / "two" / "deep", name="two", note="elsewhere")
    two.commit({"references": references({1: 1, 2: 2})})
    assert one.fingerprint() == two.fingerprint()
    assert len(one.fingerprint()) == 64
    (name,) = data_files(two.root)
    assert (one.root / name).read_bytes() == (two.root / name).read_bytes()


def test_any_change_of_a_value_changes_the_fingerprint(store: Store) -> None:
    seen = {store.fingerprint()}
    for values in ({1: 11.5}, {2: 0}, {2: -0.5}):
        store.commit({"references": references(values)})
        assert store.fingerprint() not in seen
        seen.add(store.fingerprint())


def test_a_commit_of_what_is_stored_writes_no_data(store: Store) -> None:
    before = {name: (store.root / name).stat().st_mtime_ns for name in data_files(store.root)}
    text = (store.root / "dataset.json").read_bytes()
    store.commit({"references": references({0: 10, 1: 11})})
    assert {n: (store.root / n).stat().st_mtime_ns for n in data_files(store.root)} == before
    assert (store.root / "dataset.json").read_bytes() == text


def test_the_manifest_states_rows_bytes_and_hash_of_each_file(store: Store) -> None:
    content = json.loads((store.root / "dataset.json").read_text())
    (part,) = content["tables"]["references"]
    assert (part["series"], part["month"]) == ("index", "2026-01")
    (file,) = part["files"]
    raw = (store.root / file["path"]).read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    assert (file["rows"], file["bytes"], file["sha256"]) == (2, len(raw), digest)
    assert digest[:16] in file["path"]


# --- readers and leftovers ------------------------------------------------------------------------


def test_a_reader_keeps_the_state_it_opened_through_the_next_commit(store: Store) -> None:
    reader = Store.open(store.root)
    lazy = reader.scan("references")
    store.commit({"references": references({0: -1})})
    assert stored_values(reader) == {0: 10, 1: 11}
    assert lazy.collect().height == 2
    assert stored_values(store) == {0: -1, 1: 11}


def test_leftovers_are_removed_and_files_of_others_are_not(store: Store) -> None:
    folder = store.root / "references" / "index"
    for name in ("2026-01.0123456789abcdef.parquet", ".draft.tmp"):
        (folder / name).write_bytes(b"half")
    for name in ("references.csv", "mine.0123456789abcdef.parquet"):
        (folder / name).write_bytes(b"kept")
    store.commit({"references": references({7: 7})})
    store.commit({"references": references({8: 8})})
    left = [n for n in data_files(store.root) if "references.csv" not in n and "mine" not in n]
    assert len(left) == 2  # this state and the one before it
    assert len(data_files(store.root)) == 4


# --- what it holds --------------------------------------------------------------------------------


def sample_tables() -> dict[str, pl.DataFrame]:
    markets = [
        {"ticker": t, "event": t[0], "series": s}
        for t, s in (("A1", "A"), ("A2", "A"), ("B1", "B"))
    ]
    bars = [
        ("A1", 3600, 0, 10, 20),
        ("A1", 3600, 60, None, 20),
        ("A1", 60, 60, 10, 20),
        ("A2", 3600, 120, 10, None),
    ]
    candles = filled(
        schema.CANDLES,
        [
            {
                "ticker": t,
                "period": p,
                "time": NOON + timedelta(minutes=m),
                "bid_close": b,
                "ask_close": a,
                "quote_source": "candle",
            }
            for t, p, m, b, a in bars
        ],
    )
    settled = {"ticker": "A1", "time": NOON, "close_time": NOON, "payout": 0, "result": "no"}
    lost = [
        {"table": "candles", "source": "f", "row": r, "reason": w, "found": ""}
        for r, w in ((0, "crossed"), (1, "crossed"), (2, "off_grid"))
    ]
    return {
        "markets": filled(schema.MARKETS, markets),
        "candles": candles.sort(schema.CANDLES.key),
        "settlements": filled(schema.SETTLEMENTS, [settled]),
        "quarantine": filled(schema.QUARANTINE, lost),
    }


def test_info_counts_what_was_stored(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x", synthetic=True, note="n")
    made.commit(sample_tables())
    found, sizes_of = info(made), ("markets", "settlements", "candles", "quarantine")
    assert json.loads(json.dumps(found)) == found
    assert found["name"] == "x"
    assert found["synthetic"] is True
    assert found["fingerprint"] == made.fingerprint()
    assert {t: v["rows"] for t, v in found["tables"].items()} == {
        "markets": 3,
        "settlements": 1,
        "candles": 4,
        "quarantine": 3,
    }
    sizes = {t: sum(p.stat().st_size for p in (made.root / t).rglob("*.parquet")) for t in sizes_of}
    assert {t: v["bytes"] for t, v in found["tables"].items()} == sizes
    assert (found["markets"], found["settled"], found["unsettled"]) == (3, 1, 2)
    assert (found["start"], found["end"]) == ("2026-01-05T12:00:00Z", "2026-01-05T14:00:00Z")
    assert found["periods"] == {"60": 1, "3600": 3}
    assert found["series"] == {
        "A": {
            "markets": 2,
            "bars": 4,
            "first": "2026-01-05T12:00:00Z",
            "last": "2026-01-05T14:00:00Z",
            "quoted": 0.5,
        },
        "B": {"markets": 1, "bars": 0, "first": None, "last": None, "quoted": None},
    }
    assert found["quarantined"] == {"candles": {"crossed": 2, "off_grid": 1}}


def test_info_of_an_empty_dataset_has_no_time_span(tmp_path: Path) -> None:
    found = info(Store.create(tmp_path / "x", name="x"))
    assert found["start"] is None
    assert found["tables"] == {}
    assert found["series"] == {}
