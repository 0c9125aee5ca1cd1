"""The dataset on disk: nothing is half written, and one writes at a time."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from store_rows import (
    NOON,
    candles,
    data_files,
    fails,
    filled,
    references,
    settlement,
    start,
    stored_values,
)

from kalshi_bt import schema
from kalshi_bt.data import roots
from kalshi_bt.data.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "sample", name="sample")
    made.commit({"references": references({0: 10, 1: 11})})
    return made


# --- crashes --------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here: no handler may catch it."""


OLD, NEW = {0: 10.0, 1: 11.0}, {0: 10.0, 1: 12.0, 2: 13.0}
TABLES = {
    "references": references({1: 12, 2: 13}),
    "markets": filled(schema.MARKETS, [{"ticker": "A-1", "event": "A", "series": "A"}]),
    "settlements": settlement("A-1", 0),
    "candles": candles(("A-1", NOON, 10), ("B-1", NOON, 20), ("B-1", NOON + timedelta(40), 30)),
}


def by_commit(store: Store) -> None:
    store.commit(TABLES)


def by_bulk(store: Store) -> None:
    with store.bulk(memory=1) as bulk:
        for name, frame in TABLES.items():
            bulk.add(name, frame)


def state(store: Store) -> tuple[object, ...]:
    store.verify()
    heights = [store.read(name).height for name in ("markets", "settlements")]
    bars = store.read("candles").height
    return stored_values(store), *heights, bars


@pytest.mark.parametrize("act", [by_commit, by_bulk])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "calls",
    [range(0, 100, 9), pytest.param(range(200), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_a_crash_at_any_call_leaves_the_state_before_or_after(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Store], None],
    when: str,
    calls: range,
) -> None:
    old, new = (OLD, 0, 0, 0), (NEW, 1, 1, 3)
    before = shutil.copytree(store.root, store.root.with_name("before"))
    for number in calls:
        seen, crashed = crashing(monkeypatch, number, when), False
        try:
            act(Store.open(store.root))
        except Crash:
            crashed = True
        monkeypatch.undo()
        found = Store.open(store.root)
        assert state(found) in ([old, new] if crashed else [new])
        act(found)  # what is left of the crash is in nobody's way
        assert state(Store.open(store.root)) == new
        shutil.rmtree(store.root)
        shutil.copytree(before, store.root)
        if len(seen) <= number:
            return
    pytest.fail("there is no end of calls")


def crashing(patch: pytest.MonkeyPatch, number: int, when: str) -> list[str]:
    """End the process at one call of the system; return the calls seen."""
    seen: list[str] = []

    def broken(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            seen.append(name)
            if len(seen) - 1 != number:
                return real(*args, **kwargs)
            if when == "after":
                real(*args, **kwargs)
            raise Crash

        return call

    for name in ("replace", "fsync", "open", "unlink", "mkdir", "rmdir"):
        patch.setattr(roots.os, name, broken(name, getattr(os, name)))
    return seen


def test_what_a_crash_leaves_is_removed_by_the_next_change(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing(monkeypatch, 20, "before")
    with pytest.raises(Crash):
        by_bulk(store)
    monkeypatch.undo()
    assert len(data_files(store.root)) > 1
    store.commit({"references": references({3: 1})})
    assert len(data_files(store.root)) == 2  # this state and the one before it


def test_rows_that_a_killed_writer_spilled_are_removed_by_the_next_change(store: Store) -> None:
    (store.root / ".spill").mkdir()
    (store.root / ".spill" / "0.parquet").write_bytes(b"half")
    store.commit({"references": references({3: 1})})
    assert not (store.root / ".spill").exists()


def test_a_full_disk_is_said_in_one_line_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(roots.os, "fsync", full)
    fails(lambda: store.commit({"references": references({9: 9})}), "No space left", "cannot write")
    monkeypatch.undo()
    assert stored_values(Store.open(store.root)) == {0: 10, 1: 11}


WRITER = """
import sys
from store_rows import filled, references
from kalshi_bt import schema
from kalshi_bt.data.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for number in range(1, 10**6):
    title = {"ticker": "A", "event": "E", "series": "S", "title": str(number)}
    market, rows = filled(schema.MARKETS, [title]), references({m: number for m in range(500)})
    if number % 2:
        store.commit({"references": rows, "markets": market})
        continue
    with store.bulk(memory=1) as bulk:
        bulk.add("references", rows)
        bulk.add("markets", market)
    store.compact()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    "pause",
    [
        0.061,
        *(pytest.param(p, marks=pytest.mark.slow) for p in (0.011, 0.023, 0.047, 0.086, 0.171)),
    ],
)
def test_a_killed_writer_leaves_a_whole_state_and_no_lock(tmp_path: Path, pause: float) -> None:
    root = tmp_path / "sample"
    Store.create(root, name="sample")
    writer = start(WRITER, str(root))
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
from kalshi_bt.data.roots import exclusive
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

    monkeypatch.setattr(roots.os, "replace", refused)
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
