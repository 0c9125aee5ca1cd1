"""The WebSocket of the sandbox: who is let in, what commands are answered, and who is told what."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from stream_lines import micros, write
from stream_watcher import SIGNED, Watcher, watching
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.errors import UsageError
from live_adapter.exchange.recorded import Recorded
from live_adapter.exchange.walk import BEGIN, Walk
from live_adapter.sandbox import Exchange

OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIRST, SECOND = "SYNBTC15M-26MAY040015-15", "SYNHIGH-26MAY04-T72"
THIRD = "SYNHIGH-26MAY04-T65"
BOOKS = {"channels": ["orderbook_delta"], "market_tickers": [FIRST, SECOND]}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The first minutes of the sample."""
    tables = {n: f for n, f in sample(days=1).items() if n != "references"}
    kept = {
        name: frame.filter(frame["time"] <= OPENED + 20 * MINUTE)
        if "time" in frame.columns
        else frame
        for name, frame in tables.items()
    }
    store = Store.create(tmp_path_factory.mktemp("minutes") / "dataset", name="minutes")
    store.commit(kept)
    return store


@pytest.fixture
def exchange(store: Store) -> Iterator[Exchange]:
    with Exchange(store, now=OPENED + 2 * MINUTE) as running:
        yield running


@pytest.fixture
def watcher(exchange: Exchange) -> Iterator[Watcher]:
    with watching(exchange.ws) as running:
        yield running


# --- who is let in --------------------------------------------------------------------------------


def refused(url: str, headers: Json) -> tuple[int, Json]:
    with pytest.raises(InvalidStatus) as caught, watching(url, headers):
        pass
    response = caught.value.response
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, json.loads(response.body)["error"]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_only_who_signed_the_path_of_the_stream_is_let_in(store: Store, kind: str) -> None:
    from base64 import b64encode

    rsa_key = rsa.generate_private_key(65_537, 2_048)
    key = rsa_key if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()

    def headers(path: str) -> Json:
        message = f"1703123456789GET{path}".encode()
        if isinstance(key, rsa.RSAPrivateKey):
            signed = key.sign(message, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        else:
            signed = key.sign(message)
        return {**SIGNED, "KALSHI-ACCESS-SIGNATURE": b64encode(signed).decode()}

    with Exchange(store, key=key.public_key()) as exchange:
        with watching(exchange.ws, headers("/trade-api/ws/v2")) as watcher:
            assert watcher.ask("list_subscriptions") == [{"type": "ok", "msg": []}]
        for wrong in (headers("/trade-api/v2"), {}, SIGNED, dict(list(SIGNED.items())[:2])):
            status, error = refused(exchange.ws, wrong)
            assert (status, error["code"]) == (401, "token_authentication_failure")


def test_without_a_key_headers_are_needed_all_the_same(exchange: Exchange) -> None:
    assert refused(exchange.ws, {})[0] == 401
    assert refused(exchange.ws + "/other", SIGNED)[0] == 404


def test_both_halves_are_where_the_exchange_has_them(exchange: Exchange) -> None:
    assert exchange.ws.startswith("ws://127.0.0.1:")
    assert exchange.ws.endswith("/trade-api/ws/v2")


def test_a_port_that_is_taken_is_refused(store: Store, exchange: Exchange) -> None:
    port = int(exchange.ws.split(":")[2].partition("/")[0])
    with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1:{port}"):  # noqa: SIM117
        with Exchange(store, ws_port=port):
            pass


# --- commands -------------------------------------------------------------------------------------


def test_a_subscription_is_answered_and_begins_with_snapshots(watcher: Watcher) -> None:
    answer, *books = watcher.ask("subscribe", 3, **BOOKS)
    assert answer == {
        "id": 3,
        "type": "subscribed",
        "msg": {"channel": "orderbook_delta", "sid": 1},
    }
    assert [(f["type"], f["sid"], f["seq"], f["msg"]["market_ticker"]) for f in books] == [
        ("orderbook_snapshot", 1, 1, FIRST),
        ("orderbook_snapshot", 1, 2, SECOND),
    ]
    stamp = int((OPENED + 2 * MINUTE).timestamp()) * 1_000
    assert {frame["sending_ts_ms"] for frame in books} == {stamp}


def test_each_channel_has_a_number_of_its_own(watcher: Watcher) -> None:
    channels = ["trade", "ticker", "market_lifecycle_v2", "fill"]
    answers = watcher.ask("subscribe", 1, channels=channels)
    assert [(a["msg"]["channel"], a["msg"]["sid"]) for a in answers] == [
        (channel, n + 1) for n, channel in enumerate(channels)
    ]
    (listed,) = watcher.ask("list_subscriptions", 7)
    assert listed == {"id": 7, "type": "ok", "msg": [a["msg"] for a in answers]}
    assert watcher.ask("unsubscribe", 8, sids=[2, 4]) == [
        {"id": 8, "sid": sid, "seq": 1, "type": "unsubscribed"} for sid in (2, 4)
    ]
    (listed,) = watcher.ask("list_subscriptions")
    assert [s["sid"] for s in listed["msg"]] == [1, 3]


def test_markets_can_be_added_and_taken_away(watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["orderbook_delta"], market_ticker=FIRST)
    update = {"action": "add_markets", "market_tickers": [SECOND, FIRST]}
    ok, book = watcher.ask("update_subscription", 2, sids=[1], **update)
    assert ok == {
        "id": 2, "sid": 1, "seq": 2, "type": "ok", "msg": {"market_tickers": [FIRST, SECOND]},
    }  # fmt: skip
    assert (book["seq"], book["msg"]["market_ticker"]) == (3, SECOND)
    gone = {"action": "delete_markets", "market_ticker": FIRST}
    (ok,) = watcher.ask("update_subscription", 3, sid=1, **gone)
    assert (ok["seq"], ok["msg"]) == (4, {"market_tickers": [SECOND]})


def test_subscribing_again_adds_markets_to_the_subscription(watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["orderbook_delta"], market_ticker=FIRST)
    ok, book = watcher.ask("subscribe", 2, channels=["orderbook_delta"], market_ticker=SECOND)
    assert (ok["type"], ok["sid"], ok["msg"]["market_tickers"]) == ("ok", 1, [FIRST, SECOND])
    assert (book["seq"], book["msg"]["market_ticker"]) == (3, SECOND)


def test_a_snapshot_can_be_asked_for_and_changes_nothing(watcher: Watcher) -> None:
    _, before, _ = watcher.ask("subscribe", **BOOKS)
    asked = {"action": "get_snapshot", "market_tickers": [FIRST, "NONE"]}
    ok, book = watcher.ask("update_subscription", 2, sids=[1], **asked)
    assert (ok["type"], ok["msg"]["market_tickers"]) == ("ok", [FIRST, SECOND])
    assert (book["seq"], book["msg"]) == (4, before["msg"])


def test_answers_can_leave_the_markets_out(watcher: Watcher) -> None:
    watcher.ask("subscribe", **BOOKS, skip_ticker_ack=True)
    ok, _ = watcher.ask("update_subscription", sid=1, action="add_markets", market_ticker=THIRD)
    assert ok["msg"] == {}


def test_the_ticker_channel_can_begin_with_a_snapshot(watcher: Watcher) -> None:
    params = {"channels": ["ticker"], "market_tickers": [FIRST, "NONE"]}
    _, first = watcher.ask("subscribe", **params, send_initial_snapshot=True)
    assert first["type"] == "ticker"
    assert "seq" not in first
    assert first["msg"]["market_ticker"] == FIRST


def words(cmd: str, **params: Any) -> str:
    return json.dumps({"id": 5, "cmd": cmd, "params": params})


UPDATE = "update_subscription"
BAD = [
    ("[]", 1),
    ("{", 1),
    ('{"id": 5, "cmd": 7}', 1),
    ('{"id": 5}', 5),
    ("[" * 100_000, 1),
    ('{"id": true, "cmd": "login"}', 5),
    (words("login"), 5),
    ('{"id": 5, "cmd": "subscribe"}', 2),
    (words("subscribe"), 3),
    (words("subscribe", channels=[]), 3),
    (words("subscribe", channels=["ticker_v2"]), 8),
    (words("subscribe", channels=["orderbook_delta"]), 14),
    (words("subscribe", channels=["trade"], market_tickers=1), 11),
    (words("subscribe", channels=["trade"], market_ticker="A", market_tickers=["A"]), 11),
    (words("subscribe", channels=["trade"], use_yes_price=1), 11),
    (words("subscribe", channels=["ticker"], market_ids=["9b0f6b43"]), 11),
    (words("unsubscribe"), 4),
    (words("unsubscribe", sids=[9]), 7),
    (words(UPDATE, sids=[1, 2]), 12),
    (words(UPDATE, sid=1, sids=[1]), 12),
    (words(UPDATE, action="add_markets"), 12),
    (words(UPDATE, sid=9), 7),
    (words(UPDATE, sid=True), 7),
    (words(UPDATE, sid=1), 15),
    (words(UPDATE, sid=1, action="x"), 13),
    (words(UPDATE, sid=1, action="add_markets"), 14),
    (words(UPDATE, sid=1, action="get_snapshot", market_ticker="A"), 13),
]


def test_what_cannot_be_done_is_refused_with_the_codes_of_the_exchange(watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["trade"])
    found, scoped = [], []
    for text, _ in BAD:
        watcher.socket.send(text)
        (answer,) = watcher.new()
        assert answer["type"] == "error"
        assert "id" not in answer or answer["id"] == 5
        found.append((text, answer["msg"]["code"]))
        scoped.append(answer.get("sid"))
    assert found == BAD
    # What is about a subscription carries its number.
    assert scoped == [None] * 23 + [1] * 4
    assert answer["seq"] == 4


def test_a_subscription_that_is_given_up_twice_at_once_ends_once(watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["trade"])
    (answer,) = watcher.ask("unsubscribe", sids=[1, 1])
    assert (answer["type"], answer["sid"]) == ("unsubscribed", 1)
    assert watcher.ask("list_subscriptions")[0]["msg"] == []


# --- who is told what -----------------------------------------------------------------------------


def test_deltas_lead_from_snapshot_to_snapshot(exchange: Exchange, watcher: Watcher) -> None:
    fold = Fold()
    for frame in watcher.ask("subscribe", **BOOKS):
        fold.apply(frame)
    exchange.play_until(OPENED + 12 * MINUTE)
    told = watcher.new()
    assert {frame["type"] for frame in told} == {"orderbook_delta"}
    for frame in told:
        fold.apply(frame)
    asked = {"action": "get_snapshot", "market_tickers": [FIRST, SECOND]}
    for frame in watcher.ask("update_subscription", sid=1, **asked):
        fold.apply(frame)  # counts a snapshot that differs from what it replaces
    assert fold.counts == {}
    assert exchange.now == OPENED + 12 * MINUTE


def test_numbers_rise_by_one_over_all_markets_of_a_subscription(
    exchange: Exchange, watcher: Watcher
) -> None:
    watcher.ask("subscribe", channels=["orderbook_delta", "trade"], market_tickers=[FIRST, SECOND])
    watcher.ask("subscribe", channels=["ticker", "market_lifecycle_v2"])
    exchange.play_until(OPENED + 16 * MINUTE)
    watcher.new()
    for sid in (1, 2, 4):
        numbers = [f["seq"] for f in watcher.frames if f.get("sid") == sid]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers
    assert not any("seq" in frame for frame in watcher.frames if frame.get("sid") == 3)
    mine = {f["msg"]["market_ticker"] for f in watcher.frames if f.get("sid") in {1, 2}}
    assert mine == {FIRST, SECOND}
    others = {f["msg"]["market_ticker"] for f in watcher.frames if f["type"] == "ticker"}
    assert len(others) > len(mine)
    times = [f["sending_ts_ms"] for f in watcher.frames if "sending_ts_ms" in f]
    assert times == sorted(times)


def test_prices_of_no_are_those_of_yes_where_asked_for(exchange: Exchange) -> None:
    with watching(exchange.ws) as plain, watching(exchange.ws) as mirrored:
        folds = [Fold(), Fold(yes_prices=True)]
        plain.ask("subscribe", **BOOKS)
        mirrored.ask("subscribe", **BOOKS, use_yes_price=True)
        exchange.play_until(OPENED + 6 * MINUTE)
        for fold, watcher in zip(folds, (plain, mirrored), strict=True):
            watcher.new()
            for frame in watcher.frames:
                fold.apply(frame)
        books = [
            [(book.bids.levels(), book.asks.levels()) for book in fold.books.values()]
            for fold in folds
        ]
        assert books[0] == books[1]
        assert plain.frames != mirrored.frames


def test_a_market_is_told_of_once_it_is_subscribed_to_though_it_opens_later(
    exchange: Exchange, watcher: Watcher
) -> None:
    later = "SYNBTC15M-26MAY040030-30"
    assert len(watcher.ask("subscribe", channels=["orderbook_delta"], market_ticker=later)) == 1
    exchange.play_until(OPENED + 18 * MINUTE)
    kinds = [frame["type"] for frame in watcher.new()]
    assert kinds[0] == "orderbook_snapshot"
    assert set(kinds[1:]) == {"orderbook_delta"}


def test_after_unsubscribing_nothing_is_told(exchange: Exchange, watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["trade", "orderbook_delta"], market_tickers=[SECOND])
    watcher.ask("unsubscribe", sids=[2])
    exchange.play_until(OPENED + 6 * MINUTE)
    assert {frame["type"] for frame in watcher.new()} == {"trade"}


def test_what_a_recording_lost_is_lost_to_its_subscribers_too(store: Store, tmp_path: Path) -> None:
    begin = micros(OPENED)
    msg = {"market_ticker": FIRST, "yes_dollars_fp": [["0.4000", "5.00"]]}
    book = {"type": "orderbook_snapshot", "sid": 3, "msg": msg}
    found = [(begin + n, {**book, "seq": seq}) for n, seq in enumerate((1, 2, 7, 8))]
    path = write(tmp_path / "frames.jsonl", found)
    with (
        Exchange(store, now=OPENED - MINUTE, tape=lambda: Recorded(path)) as exchange,
        watching(exchange.ws) as watcher,
    ):
        watcher.ask("subscribe", **BOOKS)
        exchange.play_until(OPENED + MINUTE)
        assert [frame["seq"] for frame in watcher.new()] == [1, 2, 4, 5]


def test_rest_and_stream_share_one_time(exchange: Exchange, watcher: Watcher) -> None:
    watcher.ask("subscribe", channels=["trade"])
    with httpx.Client() as client:
        for minutes in (5, 9):
            exchange.play_until(OPENED + minutes * MINUTE)
            last = watcher.new()[-1]["msg"]
            (found,) = client.get(f"{exchange.url}/markets/trades?limit=1").json()["trades"]
            assert found["trade_id"] == last["trade_id"]


def test_time_that_is_set_ends_connections_and_begins_there(exchange: Exchange) -> None:
    with watching(exchange.ws) as watcher:
        watcher.ask("subscribe", **BOOKS)
        exchange.now = OPENED + 10 * MINUTE
        with pytest.raises(ConnectionClosed):
            watcher.socket.recv(timeout=10)
        assert watcher.socket.close_code == 1012
    with watching(exchange.ws) as watcher:
        book = watcher.ask("subscribe", **BOOKS)[1]
        assert book["sending_ts_ms"] == int((OPENED + 10 * MINUTE).timestamp()) * 1_000


@pytest.mark.slow
def test_time_can_be_set_while_an_endless_tape_runs_as_fast_as_it_can(tmp_path: Path) -> None:
    from math import inf

    walk = Walk(markets=2, rate=1_000)
    store, later = walk.store(tmp_path / "load"), BEGIN + timedelta(days=3)
    with Exchange(store, now=BEGIN, tape=lambda: walk, speed=inf) as exchange:
        with watching(exchange.ws, close_timeout=0.1) as watcher:
            watcher.ask("subscribe", channels=["orderbook_delta"], market_tickers=walk.tickers())
            for _ in range(1_000):
                watcher.socket.recv(timeout=30)
            moved = {"now": later.isoformat()}
            httpx.post(f"{exchange.origin}/sandbox/now", json=moved).raise_for_status()
            assert exchange.now == later
        with watching(exchange.ws, close_timeout=0.1) as watcher:
            first = watcher.ask("subscribe", channels=["ticker"], market_tickers=walk.tickers(),
                                send_initial_snapshot=True)[1]  # fmt: skip
            assert first["sending_ts_ms"] == int(later.timestamp()) * 1_000


def test_time_does_not_go_back_nor_by_hand_where_it_runs(store: Store, exchange: Exchange) -> None:
    with pytest.raises(UsageError, match="time does not go back"):
        exchange.play_until(OPENED)
    with (
        Exchange(store, now=OPENED, speed=2.0) as running,
        pytest.raises(UsageError, match="runs by itself"),
    ):
        running.play_until(OPENED + MINUTE)


def test_a_heartbeat_comes_at_its_time(store: Store) -> None:
    beats: list[bytes] = []

    with Exchange(store, beat=0.05) as exchange, watching(exchange.ws) as watcher:
        protocol = watcher.socket.protocol
        receive = protocol.recv_frame

        def noting(frame: Any) -> None:
            if frame.opcode == 9:
                beats.append(bytes(frame.data))
            receive(frame)

        protocol.recv_frame = noting  # type: ignore[method-assign]
        deadline = time.monotonic() + 20
        while len(beats) < 2 and time.monotonic() < deadline:
            watcher.new()
    assert beats[:2] == [b"heartbeat"] * 2


def test_messages_are_compressed_for_who_wants_it(exchange: Exchange) -> None:
    for compression, extensions in (("deflate", 1), (None, 0)):
        with watching(exchange.ws, compression=compression) as watcher:
            assert len(watcher.socket.protocol.extensions) == extensions
            assert len(watcher.ask("subscribe", **BOOKS)) == 3


# --- the clock ------------------------------------------------------------------------------------


def test_at_the_fastest_everything_is_told_and_nothing_is_lost(store: Store) -> None:
    from math import inf

    with Exchange(store, now=OPENED) as stepped, watching(stepped.ws) as watcher:
        watcher.ask("subscribe", channels=["trade", "market_lifecycle_v2"])
        stepped.play_until(OPENED + timedelta(days=2))
        expected = watcher.new()
    with Exchange(store, now=OPENED, speed=inf) as fast, watching(fast.ws) as watcher:
        watcher.ask("subscribe", channels=["trade", "market_lifecycle_v2"])
        found = [json.loads(watcher.socket.recv(timeout=30)) for _ in expected]
        deadline = time.monotonic() + 30
        while not fast.streamed()["over"]:
            assert time.monotonic() < deadline
            watcher.new()
    assert found == expected


def test_time_stands_until_someone_subscribes_and_then_runs(store: Store) -> None:
    with Exchange(store, now=OPENED, speed=60.0) as exchange, watching(exchange.ws) as watcher:
        watcher.new()
        assert exchange.now == OPENED
        begun = time.monotonic()
        watcher.ask("subscribe", channels=["trade"], market_ticker=FIRST)
        frame = json.loads(watcher.socket.recv(timeout=30))
        passed = time.monotonic() - begun
    simulated = frame["sending_ts_ms"] / 1_000 - OPENED.timestamp()
    assert simulated <= 60 * passed  # never before its time


def test_the_sandbox_tells_what_it_sent(exchange: Exchange, watcher: Watcher) -> None:
    watcher.ask("subscribe", **BOOKS)
    exchange.play_until(OPENED + 5 * MINUTE)
    watcher.new()
    counted = httpx.get(f"{exchange.origin}/sandbox/stream").json()
    assert counted == exchange.streamed()
    assert counted["clients"] == 1
    assert counted["sent"] >= len(watcher.frames)


def test_a_dataset_that_grew_is_told_after_a_reload(store: Store, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(store.root, tmp_path / "grown")
    grown = Store.open(tmp_path / "grown")
    with Exchange(grown, now=OPENED + 20 * MINUTE) as exchange:
        with watching(exchange.ws) as watcher:
            watcher.ask("subscribe", channels=["trade"])
            exchange.play_until(OPENED + 21 * MINUTE)
            assert watcher.new() == []
        row = store.read("trades").tail(1)
        moved = row.with_columns(time=row["time"] + timedelta(hours=1))
        Store.open(grown.root).commit({"trades": moved})
        exchange.reload()
        with watching(exchange.ws) as watcher:
            watcher.ask("subscribe", channels=["trade"])
            exchange.play_until(OPENED + 90 * MINUTE)
            assert len(watcher.new()) == 1
