"""Faults of the stream do what they say to what is told, and nothing to what is asked."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import httpx
import pytest
from stream_lines import SIDS
from stream_watcher import Watcher, watching
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.store import Store
from live_adapter.exchange import stream
from live_adapter.exchange.client import Client
from live_adapter.exchange.commands import Subscription
from live_adapter.exchange.walk import BEGIN, Walk
from live_adapter.sandbox import Exchange

Json = dict[str, Any]
SECOND = timedelta(seconds=1)
FEW = Walk(markets=2, rate=20)  # 19 changes and a trade a second


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return FEW.store(tmp_path_factory.mktemp("load") / "dataset")


Start = Callable[..., tuple[Exchange, Watcher]]


@pytest.fixture
def start(load: Store) -> Iterator[Start]:
    """Start an exchange with faults and a client of two channels."""
    from contextlib import ExitStack

    with ExitStack() as kept:

        def begin(*faults: str) -> tuple[Exchange, Watcher]:
            exchange = Exchange(load, now=BEGIN, tape=lambda: FEW, faults=faults)
            kept.enter_context(exchange)
            watcher = kept.enter_context(watching(exchange.ws))
            watcher.ask("subscribe", channels=["orderbook_delta", "trade"],
                        market_tickers=FEW.tickers())  # fmt: skip
            return exchange, watcher

        yield begin


def told(exchange: Exchange, watcher: Watcher, seconds: int = 1) -> list[Json]:
    exchange.play_until(exchange.now + seconds * SECOND)
    return watcher.new()


def numbers(found: list[Json], channel: str = "orderbook_delta") -> list[int]:
    return [frame["seq"] for frame in found if frame.get("sid") == SIDS[channel]]


def test_without_faults_nothing_is_lost(start: Start) -> None:
    found = told(*start())
    assert len(found) == 20
    assert numbers(found) == list(range(3, 22))  # after two snapshots
    assert numbers(found, "trade") == [1]


def test_a_gap_uses_the_number_of_what_is_lost(start: Start) -> None:
    exchange, watcher = start("gap:first=1,skip=2,path=/ws/orderbook_delta")
    found = told(exchange, watcher)
    assert numbers(found) == [3, 4, *range(6, 22)]
    fold = Fold()
    for frame in watcher.frames:
        fold.apply(frame)
    assert (fold.counts["gap"], fold.books) == (1, {})
    for frame in watcher.ask("update_subscription", sid=1, action="get_snapshot",
                             market_tickers=FEW.tickers()):  # fmt: skip
        fold.apply(frame)
    assert len(fold.books) == 2


def test_a_duplicate_is_the_same_message_twice(start: Start) -> None:
    found = told(*start("duplicate:first=1,path=/ws/trade"))
    one, two = (frame for frame in found if frame["sid"] == SIDS["trade"])
    assert one == two


def test_a_garbled_message_ends_in_the_middle(start: Start) -> None:
    exchange, watcher = start("garbled:first=1,path=/ws/trade")
    exchange.play_until(BEGIN + SECOND)
    texts = [watcher.socket.recv(timeout=10) for _ in range(20)]
    bad = [text for text in texts if not str(text).endswith("}")]
    assert len(bad) == 1
    assert str(bad[0]).startswith('{"type":"trade"')


def test_the_connection_can_end_without_a_word(start: Start) -> None:
    exchange, watcher = start("disconnect:first=1,skip=5")
    exchange.play_until(BEGIN + SECOND)
    for _ in range(5):
        watcher.socket.recv(timeout=10)
    with pytest.raises(ConnectionClosed):
        watcher.socket.recv(timeout=10)
    assert watcher.socket.close_code == 1006
    with watching(exchange.ws) as again:
        assert again.ask("subscribe", channels=["trade"])[0]["msg"]["sid"] == 1


def test_what_is_late_holds_up_all_that_follows(start: Start) -> None:
    exchange, watcher = start("late:first=1,seconds=0.4,path=/ws/trade")
    begun = time.monotonic()
    found = told(exchange, watcher)
    assert time.monotonic() - begun >= 0.4
    assert len(found) == 20
    assert numbers(found) == list(range(3, 22))


def test_order_changes_between_subscriptions_and_never_within_one(start: Start) -> None:
    exchange, watcher = start("reorder:skip=3,first=1")
    found = told(exchange, watcher, 3)
    assert numbers(found) == list(range(3, 60))
    assert numbers(found, "trade") == [1, 2, 3]
    stamps = [frame["sending_ts_ms"] for frame in found]
    assert stamps != sorted(stamps)
    trade = next(n for n, frame in enumerate(found) if frame["type"] == "trade")
    assert trade == 3  # it came before everything from the fourth change on
    assert len(found) == 60


def test_who_is_too_slow_loses_the_subscription(start: Start) -> None:
    exchange, watcher = start("overflow:first=1,skip=4,path=/ws/orderbook_delta")
    found = told(exchange, watcher)
    error = next(frame for frame in found if frame["type"] == "error")
    assert error["sid"] == SIDS["orderbook_delta"]
    assert error["msg"] == {"code": 25, "msg": "Subscription buffer overflow"}
    after = found[found.index(error) + 1 :]
    assert {frame["type"] for frame in after} == {"trade"}
    assert len(watcher.ask("list_subscriptions")[0]["msg"]) == 1


def test_a_client_that_does_not_read_is_not_waited_for_where_time_runs(
    load: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_WAITING", 50)
    struck, overflow = Event(), Client.overflow

    def noted(client: Client, of: Subscription) -> None:
        overflow(client, of)
        struck.set()

    monkeypatch.setattr(Client, "overflow", noted)
    busy = Walk(markets=2, rate=100_000)
    with (
        Exchange(load, now=BEGIN, tape=lambda: busy, speed=1.0) as exchange,
        watching(exchange.ws, max_queue=1, compression=None) as watcher,
    ):
        params = {"channels": ["orderbook_delta"], "market_tickers": busy.tickers()}
        watcher.socket.send(json.dumps({"id": 1, "cmd": "subscribe", "params": params}))
        assert struck.wait(60)
        frame: Json = {}
        while frame.get("type") != "error":
            frame = json.loads(watcher.socket.recv(timeout=30))
        assert frame["msg"]["code"] == 25


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_handshake_can_be_refused(load: Store, status: int) -> None:
    with Exchange(load, now=BEGIN, faults=[f"{status}:first=1,path=/ws"]) as exchange:
        with pytest.raises(InvalidStatus) as caught, watching(exchange.ws):
            pass
        assert caught.value.response.status_code == status
        assert httpx.get(f"{exchange.url}/markets").status_code == 200
        with watching(exchange.ws) as watcher:
            watcher.new()
        counted = httpx.get(f"{exchange.origin}/sandbox/faults").json()["faults"]
        assert (counted[0]["met"], counted[0]["struck"]) == (2, 1)


def test_a_handshake_can_be_slow(load: Store) -> None:
    begun = time.monotonic()
    with Exchange(load, faults=["slow:seconds=0.3,path=/ws"], now=BEGIN) as exchange:
        with watching(exchange.ws) as watcher:
            watcher.new()
        assert time.monotonic() - begun >= 0.3


def test_faults_of_rest_do_not_strike_the_stream_nor_the_other_way_round(start: Start) -> None:
    exchange, watcher = start("malformed", "cut:path=/series", "gap:path=/markets", "unknown")
    assert len(told(exchange, watcher)) == 20
    exchange.set_faults("gap", "disconnect", "garbled")
    assert httpx.get(f"{exchange.url}/markets").status_code == 200
