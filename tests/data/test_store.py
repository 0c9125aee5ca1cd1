"""The dataset on disk: nothing is lost, nothing is half written, nothing is silently wrong."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_bt import schema
from kalshi_bt.data import manifest
from kalshi_bt.data.store import Counts, Store, info
from kalshi_bt.errors import DataError, UsageError

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def references(values: dict[int, float], symbol: str = "BTC") -> pl.DataFrame:
    """Rows of the smallest table; the key is the minute."""
    return pl.DataFrame(
        [("index", symbol, NOON + timedelta(minutes=m), float(v)) for m, v in values.items()],
        schema=schema.REFERENCES.columns,
        orient="row",
    )


def filled(table: schema.Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows with every column that is not given as null."""
    return pl.DataFrame(rows, schema={n: table.columns[n] for n in rows[0]}).select(
        pl.col(n) if n in rows[0] else pl.lit(None, dtype=t).alias(n)
        for n, t in table.columns.items()
    )


def stored_values(store: Store) -> dict[int, float]:
    frame = store.read("references")
    minutes = (frame["time"] - NOON).dt.total_minutes()
    return dict(zip(minutes, frame["value"], strict=True))


def data_files(root: Path) -> list[str]:
    paths = (p for p in root.rglob("*") if p.is_file() and p.name not in {"dataset.json", ".lock"})
    return sorted(p.relative_to(root).as_posix() for p in paths)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "sample", name="sample")
    made.commit({"references": references({0: 10, 1: 11})})
    return made


def fails(action: Callable[[], object], *words: str) -> str:
    """Run what must fail, in one line that holds all words."""
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# --- opening --------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path) -> None:
    fails(lambda: Store.open(tmp_path / "no"), str(tmp_path / "no"), "no such folder", "import")


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    fails(lambda: Store.open(tmp_path), "no dataset.json", "kalshi-bt import")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": "x"}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    fails(lambda: Store.open(tmp_path), "dataset.json", "cannot be read")


def test_a_newer_format_asks_for_an_upgrade(store: Store) -> None:
    path = store.root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    fails(lambda: Store.open(store.root), "99", "upgrade")


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
    lost = references({3: 1}).with_columns(value=pl.lit(None, dtype=pl.Float64))
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


@settings(deadline=None)
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
    (file,) = content["tables"]["references"]
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
    folder = store.root / "references"
    for name in ("references.0123456789abcdef.parquet", ".references.tmp"):
        (folder / name).write_bytes(b"half")
    for name in ("references.csv", "mine.0123456789abcdef.parquet"):
        (folder / name).write_bytes(b"kept")
    store.commit({"references": references({7: 7})})
    store.commit({"references": references({8: 8})})
    left = [n for n in data_files(store.root) if "references.csv" not in n and "mine" not in n]
    assert len(left) == 2  # this state and the one before it
    assert len(data_files(store.root)) == 4


# --- crashes --------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here: no handler may catch it."""


@pytest.mark.parametrize("call", ["replace", "fsync", "open"])
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_leaves_the_state_before_or_after(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str, number: int, when: str
) -> None:
    real, count = getattr(os, call), 0

    def breaking(*args: object, **kwargs: object) -> object:
        nonlocal count
        count += 1
        if count - 1 == number:
            if when == "after":
                real(*args, **kwargs)
            raise Crash
        return real(*args, **kwargs)

    old, new = {0: 10.0, 1: 11.0}, {0: 10.0, 1: 12.0, 2: 13.0}
    market = filled(schema.MARKETS, [{"ticker": "A", "event": "E", "series": "S"}])
    tables = {"references": references({1: 12, 2: 13}), "markets": market}
    monkeypatch.setattr(manifest.os, call, breaking)
    try:
        store.commit(tables)
        crashed = False
    except Crash:
        crashed = True
    monkeypatch.undo()
    found = Store.open(store.root)
    state = (stored_values(found), found.read("markets").height)
    assert state in ([(old, 0), (new, 1)] if crashed else [(new, 1)])
    found.verify()
    Store.open(store.root).commit(tables)
    healed = Store.open(store.root)
    assert (stored_values(healed), healed.read("markets").height) == (new, 1)
    healed.commit({"references": references({3: 1})})
    healed.commit({"references": references({3: 2})})
    assert len(data_files(store.root)) == 3  # markets, references, and references one state ago


def test_a_full_disk_is_said_in_one_line_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest.os, "fsync", full)
    fails(lambda: store.commit({"references": references({9: 9})}), "No space left", "cannot write")
    monkeypatch.undo()
    assert stored_values(Store.open(store.root)) == {0: 10, 1: 11}


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store import references, filled
from kalshi_bt import schema
from kalshi_bt.data.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for number in range(1, 10**6):
    title = {"ticker": "A", "event": "E", "series": "S", "title": str(number)}
    rows = references({m: number for m in range(500)})
    store.commit({"references": rows, "markets": filled(schema.MARKETS, [title])})
"""


def start(code: str, *args: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("pause", [0.011, 0.023, 0.047, 0.086, 0.171])
def test_a_killed_writer_leaves_a_whole_state_and_no_lock(tmp_path: Path, pause: float) -> None:
    root = tmp_path / "sample"
    Store.create(root, name="sample")
    writer = start(WRITER, str(root), str(Path(__file__).parent))
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(pause)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    found = Store.open(root)
    found.verify()
    values = set(found.read("references")["value"])
    titles = set(found.read("markets")["title"])
    assert {str(int(v)) for v in values} == titles
    assert len(titles) <= 1
    found.commit({"references": references({0: -1}), "markets": schema.MARKETS.empty()})
    assert stored_values(Store.open(root))[0] == -1


# --- two writers ----------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from kalshi_bt.data.manifest import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_writes_and_a_dead_one_does_not_block(store: Store) -> None:
    holder = start(HOLDER, str(store.root))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        fails(
            lambda: store.commit({"references": references({9: 9})}),
            f"process {holder.pid} on",
            "wait",
        )
        assert stored_values(Store.open(store.root)) == {0: 10, 1: 11}
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    store.commit({"references": references({9: 9})})
    assert stored_values(store)[9] == 9


def test_a_lock_file_of_a_process_that_is_gone_is_taken_over(store: Store) -> None:
    (store.root / ".lock").write_text("process 999999999 on elsewhere")
    assert store.commit({"references": references({9: 9})})["references"].added == 1


def test_a_writer_adds_to_what_another_committed_after_it_opened(store: Store) -> None:
    other = Store.open(store.root)
    other.commit({"references": references({2: 2})})
    store.commit({"references": references({3: 3})})
    assert stored_values(store) == {0: 10, 1: 11, 2: 2, 3: 3}


# --- damage ---------------------------------------------------------------------------------------


def damaged(store: Store, change: Callable[[bytes], bytes]) -> Path:
    path = store.root / data_files(store.root)[0]
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_truncated_file_is_named_before_any_row_is_used(store: Store, keep: int) -> None:
    path = damaged(store, lambda raw: raw[:keep])
    for action in (lambda: store.scan("references"), lambda: store.read("references")):
        fails(action, str(path), "bytes", "import it again")


def test_a_missing_file_is_named(store: Store) -> None:
    path = store.root / data_files(store.root)[0]
    path.unlink()
    fails(lambda: store.read("references"), str(path), "No such file")


@pytest.mark.parametrize("place", [-10, -200])
def test_a_damaged_end_of_the_same_size_is_named(store: Store, place: int) -> None:
    path = damaged(store, lambda raw: raw[:place] + b"\xff" * 6 + raw[place + 6 :])
    fails(lambda: store.read("references"), str(path))


def test_damaged_pages_are_named(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    made.commit({"references": references({m: (m * 7919) % 1013 for m in range(5_000)})})
    path = damaged(made, lambda raw: raw[:40] + b"\xa5" * 4_000 + raw[4_040:])
    fails(lambda: made.read("references"), str(path), "damaged")


def test_verify_finds_a_single_changed_bit(store: Store) -> None:
    store.verify()
    path = damaged(store, lambda raw: raw[:30] + bytes([raw[30] ^ 1]) + raw[31:])
    fails(store.verify, str(path), "not what was committed")


def test_a_file_with_other_columns_than_declared_is_refused(store: Store) -> None:
    path = store.root / data_files(store.root)[0]
    pl.read_parquet(path).drop("symbol").write_parquet(path)
    content = json.loads((store.root / "dataset.json").read_text())
    content["tables"]["references"][0]["bytes"] = path.stat().st_size
    (store.root / "dataset.json").write_text(json.dumps(content))
    reopened = Store.open(store.root)
    fails(lambda: reopened.read("references"), "'symbol' is absent", "import it again")


# --- folders that cannot be written ---------------------------------------------------------------


def test_a_file_in_place_of_the_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for root in (tmp_path / "taken", tmp_path / "taken" / "below"):
        fails(lambda root=root: Store.create(root, name="x"), str(root), "cannot write")
        fails(lambda root=root: Store.open(root), str(root))


def test_a_folder_without_permission_is_said_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(manifest.os, "replace", refused)
    fails(
        lambda: store.commit({"references": references({9: 9})}),
        "Permission denied",
        "choose another folder",
    )
    monkeypatch.undo()
    assert stored_values(Store.open(store.root)) == {0: 10, 1: 11}


def test_a_dataset_that_is_gone_cannot_be_written(store: Store, tmp_path: Path) -> None:
    store.root.rename(tmp_path / "moved")
    fails(lambda: store.commit({"references": references({9: 9})}), str(store.root))


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
    found = info(made)
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
    sizes = {p.parent.name: p.stat().st_size for p in made.root.rglob("*.parquet")}
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


def test_verify_reads_only_the_tables_it_is_asked_for(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "d", name="d")
    store.commit({"references": references({1: 0.5}), "series": schema.SERIES.empty()})
    victim = next((tmp_path / "d" / "references").glob("*.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    store.verify("series", "markets")
    with pytest.raises(DataError, match="references"):
        store.verify("references")
