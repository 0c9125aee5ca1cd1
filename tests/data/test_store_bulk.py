"""Many rows at once, and any series of changes: all of it is what a dictionary would hold."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import NOON, candles, data_files, fails, references, start

from kalshi_bt import schema
from kalshi_bt.data import change
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.errors import UsageError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "sample", name="sample")


@pytest.fixture
def deltas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write new rows of parts of any size to files of their own."""
    with monkeypatch.context() as patch:
        patch.setattr(change, "SMALL", 0)
        yield


def bars(numbers: list[int], bid: int = 1) -> pl.DataFrame:
    """Bars of three series and two months, by number."""
    times = [NOON + timedelta(days=n % 40, minutes=n) for n in numbers]
    made = zip(numbers, times, strict=True)
    return candles(*((f"KX{'ABC'[n % 3]}-{n % 5}", time, bid) for n, time in made))


@pytest.mark.parametrize("memory", [1, 3_000, 1 << 30])
def test_rows_in_any_order_are_stored_as_by_one_commit(store: Store, memory: int) -> None:
    numbers = [7 * n % 600 for n in range(600)]
    with store.bulk(memory=memory, note="from afar") as bulk:
        for begin in range(0, 600, 50):
            bulk.add("candles", bars(numbers[begin : begin + 50]))
            bulk.add("references", references({begin: 1}))
    other = Store.create(store.root.with_name("other"), name="other")
    clock = references(dict.fromkeys(range(0, 600, 50), 1))
    other.commit({"candles": bars(numbers), "references": clock})
    assert bulk.counts == {"candles": Counts(added=600), "references": Counts(added=12)}
    assert store.fingerprint() == other.fingerprint()
    assert store.read("candles").equals(other.read("candles"))
    assert data_files(store.root) == data_files(other.root)
    assert Store.open(store.root).note == "from afar"


@pytest.mark.parametrize("memory", [1, 1 << 30])
def test_the_last_row_of_a_key_wins_within_and_over_what_is_stored(
    store: Store, memory: int
) -> None:
    store.commit({"candles": bars([0, 1, 2, 3], bid=1)})
    with store.bulk(memory=memory) as bulk:
        bulk.add("candles", bars([1, 2], bid=2))
        bulk.add("candles", bars([3], bid=1))
        bulk.add("candles", bars([2, 9], bid=3))
    stored = store.read("candles").sort("time")["bid_close"].to_list()
    assert stored == [1, 2, 3, 1, 3]
    assert bulk.counts == {"candles": Counts(added=1, updated=2, unchanged=1)}


def test_an_error_in_the_context_changes_nothing_and_comes_out_as_it_is(store: Store) -> None:
    def broken() -> None:
        with store.bulk(memory=1) as bulk:
            bulk.add("candles", bars([1]))
            raise FileNotFoundError("a source is gone")

    before = (store.root / "dataset.json").read_bytes()
    with pytest.raises(FileNotFoundError, match="a source is gone"):
        broken()
    assert (store.root / "dataset.json").read_bytes() == before
    assert not (store.root / ".spill").exists()
    assert store.commit({"candles": bars([1])})["candles"].added == 1  # nor is it locked


def test_a_bad_frame_is_refused_when_it_is_added(store: Store) -> None:
    with store.bulk() as bulk:
        twice = pl.concat([bars([1]), bars([1])])
        fails(lambda: bulk.add("candles", twice), "more than once")
        fails(lambda: bulk.add("candels", twice), "did you mean 'candles'", kind=UsageError)
        bulk.add("candles", bars([]))
    assert bulk.counts == {"candles": Counts()}


def test_the_dataset_is_locked_while_rows_are_collected_and_can_be_read(store: Store) -> None:
    store.commit({"candles": bars([1])})
    with store.bulk() as bulk:
        bulk.add("candles", bars([2]))
        fails(lambda: Store.open(store.root).commit({"candles": bars([3])}), "is being written by")
        assert Store.open(store.root).read("candles").height == 1
    assert store.read("candles").height == 2


PEAK = """
import resource, sys
import polars as pl
from datetime import timedelta
from kalshi_bt.data.store import Store
from store_rows import NOON
store = Store.create(sys.argv[1], name="x")
rows = pl.DataFrame({"n": range(100_000)}).select(
    ticker=pl.format("KX{}-1", pl.col("n") % 97),
    time=pl.lit(NOON) + pl.duration(milliseconds="n"),
    trade_id=pl.format("{}-of-some-length-0123456789", "n"),
    price=pl.lit(5_000, dtype=pl.Int16), quantity=pl.lit(100, dtype=pl.Int64),
    taker_side=pl.lit(1, dtype=pl.Int8),
)
one = rows.estimated_size()
with store.bulk(memory=2 * one) as bulk:
    for day in range(int(sys.argv[2])):
        bulk.add("trades", rows.with_columns(pl.col("time") + timedelta(days=day)))
print(bulk.counts["trades"].added, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif("sys.platform == 'win32'", reason="nobody tells the peak there")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for days in (4, 40):
        made = start(PEAK, str(tmp_path / str(days)), str(days))
        answer, _ = made.communicate(timeout=120)
        added, peak = map(int, answer.split())
        assert added == days * 100_000
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.5


# --- a dictionary ---------------------------------------------------------------------------------

ROWS = st.dictionaries(st.integers(0, 7), st.integers(1, 3), max_size=4)
STEPS = st.one_of(
    st.tuples(st.just("commit"), ROWS),
    st.tuples(st.just("drop"), st.sets(st.integers(0, 7), max_size=3)),
    st.tuples(st.just("bulk"), st.lists(ROWS, max_size=3)),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


def ticker(n: int) -> str:
    return f"KX{'AB'[n % 2]}-{n}"


def keyed(rows: dict[int, int]) -> pl.DataFrame:
    """Bars of two series and two months whose key is a number from 0 to 7."""
    months = (NOON, NOON + timedelta(days=30))
    return candles(*((ticker(n), months[n // 4], value) for n, value in rows.items()))


def numbers(store: Store) -> dict[int, int]:
    frame = store.read("candles")
    keys = frame["ticker"].str.split("-").list.last().cast(pl.Int64)
    return dict(zip(keys, frame["bid_close"], strict=True))


@pytest.mark.usefixtures("deltas")
@settings(deadline=None, max_examples=12)
@given(st.lists(STEPS, max_size=6))
def test_any_series_of_changes_equals_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    root = tmp_path_factory.mktemp("d") / "x"
    made, twin = Store.create(root, name="x"), dict[int, int]()
    for kind, what in steps:
        if kind == "commit":
            counts = made.commit({"candles": keyed(what)})["candles"]
            assert counts.added == len(what.keys() - twin.keys())
            assert counts.updated == sum(twin[k] != v for k, v in what.items() if k in twin)
            twin |= what
        elif kind == "drop":
            gone = pl.DataFrame({"ticker": map(ticker, what)}, schema={"ticker": pl.String})
            counts = made.commit({}, drop={"candles": gone})["candles"]
            assert counts == Counts(removed=len(what & twin.keys()))
            twin = {k: v for k, v in twin.items() if k not in what}
        elif kind == "bulk":
            with made.bulk(memory=1) as bulk:
                for rows in what:
                    bulk.add("candles", keyed(rows))
            for rows in what:
                twin |= rows
        elif kind == "compact":
            made.compact()
            assert all(len(part.files) == 1 for part in made.manifest.parts("candles"))
        else:
            made = Store.open(root)
        assert numbers(made) == twin
    fresh = Store.create(root.with_name("y"), name="y")
    fresh.commit({"candles": keyed(twin)})
    assert made.fingerprint() == fresh.fingerprint()
    made.verify()
    assert made.scan("candles").collect()["ticker"].is_sorted()


def test_the_declared_order_of_tables_lets_a_settlement_move_to_revisions() -> None:
    names = list(schema.STORED)
    assert names.index("settlements") < names.index("revisions")
