"""A dataset in a bucket, asked of a server on this machine: as in a folder, but for the lock."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from store_rows import (
    NOON,
    candles,
    fails,
    references,
    settlement,
    start,
    stored_values,
)

from kalshi_bt import schema
from kalshi_bt.data import buckets, change
from kalshi_bt.data.store import Counts, Store, info
from kalshi_bt.errors import UsageError

pytestmark = pytest.mark.slow

BARS = candles(("KXA-1", NOON, 10), ("KXB-1", NOON, 20), ("KXB-1", NOON + timedelta(40), 21))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a store that speaks S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Where a dataset may lie."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    buckets.Bucket("s3://datasets").filesystem.call_s3("create_bucket", Bucket="datasets")
    return f"s3://datasets/below/{tmp_path.name}"


@pytest.fixture
def store(address: str) -> Store:
    made = Store.create(address, name="sample")
    made.commit({"candles": BARS, "references": references({0: 10, 1: 11})})
    return made


def objects(store: Store) -> list[str]:
    start = store.root.removeprefix("s3://") + "/"
    return sorted(p.removeprefix(start) for p in store.place.filesystem.find(start))


# --- as in a folder -------------------------------------------------------------------------------


def test_what_is_stored_is_read_and_asked_as_in_a_folder(store: Store, tmp_path: Path) -> None:
    local = Store.create(tmp_path / "local", name="sample")
    local.commit({"candles": BARS, "references": references({0: 10, 1: 11})})
    found = Store.open(f"{store.root}/")
    assert found.root == Store.open(Path(store.root)).root == store.root
    assert found.fingerprint() == local.fingerprint()
    assert found.read("candles").equals(local.read("candles"))
    chosen = {"series": ["KXB"], "start": NOON}
    assert (
        found.scan("candles", **chosen).collect().equals(local.scan("candles", **chosen).collect())
    )
    assert info(found) == info(local)
    query = "select ticker, bid_close_dollars, time from candles order by all"
    assert found.sql(query).equals(local.sql(query))
    found.verify()
    assert [n for n in objects(found) if "lock" in n or "catalogue" in n] == []


def test_changes_are_the_same_as_in_a_folder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "SMALL", 0)
    assert store.commit({"candles": BARS})["candles"] == Counts(unchanged=3)
    store.commit({"candles": candles(("KXA-1", NOON + timedelta(minutes=1), 30))})
    store.commit({"settlements": settlement("KXA-1", 0)})
    store.commit({"settlements": settlement("KXA-1", 10_000, hours=1)})
    with store.bulk(memory=1) as bulk:
        bulk.add("candles", candles(("KXC-1", NOON, 40)))
        bulk.add("candles", candles(("KXA-1", NOON, 11)))
    store.commit({}, drop={"references": pl.DataFrame({"symbol": ["BTC"]})})
    assert store.compact()["candles"] == (4, 4)
    again = Store.open(store.root)
    assert again.read("candles")["bid_close"].to_list() == [11, 30, 20, 21, 40]
    assert again.read("revisions").equals(settlement("KXA-1", 0))
    assert again.read("references").is_empty()
    left = set(objects(again)) - again.manifest.paths() - {"dataset.json"}
    assert [name.partition("/")[0] for name in left] == ["references"]  # of the state before


def test_a_reader_keeps_the_state_it_opened_through_the_next_commit(store: Store) -> None:
    reader = Store.open(store.root)
    store.commit({"references": references({0: -1})})
    assert stored_values(reader) == {0: 10, 1: 11}
    assert stored_values(store) == {0: -1, 1: 11}


def test_create_refuses_what_is_there(store: Store, address: str) -> None:
    fails(lambda: Store.create(store.root, name="x"), "already holds a dataset")
    assert Store.create(store.root, name="x", exist_ok=True).name == "sample"
    fails(lambda: Store.create("s3://datasets/below", name="x"), "holds other files")
    assert not Store.exists(address + "2")


def test_what_is_not_there_is_said_in_one_line(address: str) -> None:
    fails(lambda: Store.open(address), address, "no dataset.json", "kalshi-bt import")
    fails(lambda: Store.open("s3://nowhere-at-all/x"), "no such bucket")
    fails(lambda: Store.create("s3://nowhere-at-all/x", name="x"), "cannot write", "bucket")
    fails(lambda: Store.open("s3://"), "names no bucket", kind=UsageError)
    fails(lambda: Store.open("gs://datasets/x"), "gs://", "s3://bucket/prefix", kind=UsageError)


def test_a_server_that_cannot_be_reached_is_said_in_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fails(lambda: Store.open(address), "cannot be read", "127.0.0.1:9")
    fails(lambda: Store.exists(address), "cannot be read", "127.0.0.1:9")
    fails(lambda: Store.create(address, name="x"), "127.0.0.1:9")


def test_without_the_package_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    fails(lambda: Store.open("s3://b/x"), "pip install 'kalshi-bt[s3]'", kind=UsageError)


# --- one writer at a time -------------------------------------------------------------------------


def test_a_second_writer_is_told_who_writes(store: Store) -> None:
    with store.bulk() as bulk:
        other = Store.open(store.root)
        fails(
            lambda: other.commit({"references": references({9: 9})}),
            f"is being written by process {os.getpid()} on",
        )
        bulk.add("references", references({2: 2}))
    assert stored_values(Store.open(store.root)) == {0: 10, 1: 11, 2: 2}


def lock(store: Store, text: str) -> None:
    path = f"{store.root.removeprefix('s3://')}/.lock"
    store.place.filesystem.pipe_file(path, text.encode())


def test_a_lock_of_another_machine_holds_until_it_is_not_renewed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(store, "process 1 on elsewhere")
    fails(lambda: store.commit({"references": references({9: 9})}), "process 1 on elsewhere")
    monkeypatch.setattr(buckets, "_LEASE", timedelta(0))
    store.commit({"references": references({9: 9})})
    assert stored_values(store)[9] == 9


def test_a_lock_is_renewed_while_its_holder_lives_and_then_freed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, put = Event(), buckets.Bucket._put

    def watched(root: buckets.Bucket, path: str, content: bytes, version: str) -> str:
        if path == ".lock" and version:
            renewed.set()
        return put(root, path, content, version)

    monkeypatch.setattr(buckets.Bucket, "_put", watched)
    monkeypatch.setattr(buckets, "_RENEWAL", 0.01)
    with store.place.writing():
        assert renewed.wait(30)
    assert ".lock" not in objects(store)


def test_a_writer_that_was_overtaken_does_not_undo_what_the_other_did(store: Store) -> None:
    def overtaken() -> None:
        with store.bulk() as bulk:
            bulk.add("references", references({5: 5}))
            store.place.filesystem.rm(f"{store.root.removeprefix('s3://')}/.lock")
            Store.open(store.root).commit({"references": references({4: 4})})

    fails(overtaken, "was written by another process meanwhile")
    found = Store.open(store.root)
    assert stored_values(found) == {0: 10, 1: 11, 4: 4}
    found.verify()


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_request_leaves_the_state_before_or_after(
    store: Store, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(buckets, "_is_gone", lambda _text: True)  # its process has ended
    count, value, end = 0, 11, False

    def broken(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal count
            count -= 1
            if count != -1:
                return real(*args, **kwargs)
            if when == "after":
                real(*args, **kwargs)
            raise Crash

        return call

    for number in range(60):
        with monkeypatch.context() as patch:
            for name in ("call_s3", "pipe_file", "rm", "find"):
                patch.setattr(
                    store.place.filesystem, name, broken(getattr(store.place.filesystem, name))
                )
            count = number
            try:
                store.commit({"references": references({1: value + 1})})
            except Crash:
                end = False
            else:
                end = count >= 0
        found = Store.open(store.root)
        found.verify()
        seen = stored_values(found)[1]
        assert seen in ((value + 1,) if end else (value, value + 1))
        value = seen
        if end:
            return
    pytest.fail("there is no end of requests")


WRITER = """
import sys
from store_rows import filled, references
from kalshi_bt import schema
from kalshi_bt.data.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for number in range(1, 10**6):
    title = {"ticker": "A", "event": "E", "series": "S", "title": str(number)}
    rows = references({m: number for m in range(500)})
    store.commit({"references": rows, "markets": filled(schema.MARKETS, [title])})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    "pause",
    [0.05, *(pytest.param(p, marks=pytest.mark.slow) for p in (0.02, 0.07, 0.11, 0.3, 0.7))],
)
def test_a_killed_writer_leaves_a_whole_state_and_a_lock_that_is_taken_over(
    address: str, pause: float
) -> None:
    Store.create(address, name="sample")
    writer = start(WRITER, address)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(pause)
    writer.kill()
    writer.wait()
    writer.stdout.close()
    found = Store.open(address)
    found.verify()
    values = set(found.read("references")["value"])
    titles = set(found.read("markets")["title"])
    assert {str(int(v)) for v in values} == titles
    found.commit({"references": references({0: -1}), "markets": schema.MARKETS.empty()})
    assert stored_values(Store.open(address))[0] == -1
