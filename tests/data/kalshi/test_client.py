"""Questions over real sockets: reused, bounded, asked again after faults, one clear line else."""

import base64
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from local_exchange import QUICK, Local, Raw

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import HOSTS, Client, Retry, Stopped
from kalshi_bt.data.kalshi.limits import PUBLIC
from kalshi_bt.errors import DataError, UsageError


def client(local: Local, **options: Any) -> Client:
    return Client(local.url, **{"retry": QUICK, **options})


def in_turn(*answers: Any) -> Callable[[dict[str, str]], Any]:
    """Answer each time with the next one; the last stays."""
    left = list(answers)
    return lambda _query: left.pop(0) if len(left) > 1 else left[0]


def test_numbers_with_a_point_arrive_as_they_were_written(local: Local) -> None:
    local.answers["/x"] = Raw(200, b'{"a": 0.07, "b": "0.0700", "c": 7, "d": 77314.22}')
    with client(local) as asked:
        found = asked.get("/x")
    assert found == {"a": Decimal("0.07"), "b": "0.0700", "c": 7, "d": Decimal("77314.22")}


def test_an_address_without_a_path_gets_the_exchanges(local: Local) -> None:
    local.answers["/x"] = {}
    with client(local) as bare, Client(f"{local.url}/trade-api/v2/", retry=QUICK) as whole:
        assert bare.base_url == whole.base_url == f"{local.url}/trade-api/v2"
        assert bare.get("/x") == whole.get("/x") == {}


def test_one_connection_carries_many_questions(local: Local) -> None:
    local.answers["/x"] = {}
    with client(local) as asked:
        for _ in range(5):
            asked.get("/x", {"limit": 3})
    assert local.connections == 1
    assert local.asked == [("/x", {"limit": "3"})] * 5


def test_no_more_questions_are_under_way_than_allowed(local: Local) -> None:
    def slow(_query: dict[str, str]) -> Any:
        time.sleep(0.03)
        return {}

    local.answers["/x"] = slow
    with client(local, connections=2) as asked, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: asked.get("/x"), range(12)))
    assert local.busiest == 2


@pytest.mark.parametrize(
    "fault",
    [
        Raw(500, b'{"error": "internal"}'),
        Raw(503),
        Raw(429, b'{"error":"too many requests"}'),
        Raw(200, b'{"whole": "answer"}', cut=True),
        Raw(200, b"<html>not the exchange</html>"),
    ],
    ids=["500", "503", "429", "cut", "no JSON"],
)
def test_after_a_fault_the_question_is_asked_again(local: Local, fault: Raw) -> None:
    local.answers["/x"] = in_turn(fault, fault, {"ok": 1})
    with client(local) as asked:
        assert asked.get("/x") == {"ok": 1}
        assert asked.requests == 3


def test_a_slow_answer_is_given_up_and_asked_for_again(local: Local) -> None:
    waited = threading.Event()

    def answer(_query: dict[str, str]) -> Any:
        if not waited.is_set():
            waited.set()
            time.sleep(0.4)
        return {}

    local.answers["/x"] = answer
    with client(local, timeout=0.1) as asked:
        assert asked.get("/x") == {}
        assert asked.requests == 2


def test_a_retry_after_is_honoured(local: Local) -> None:
    local.answers["/x"] = in_turn(Raw(429, b"", Retry_After="0.3"), {})
    began = time.monotonic()
    with client(local) as asked:
        asked.get("/x")
    assert time.monotonic() - began >= 0.3


def test_a_429_holds_every_question_after_it(local: Local) -> None:
    local.answers["/x"] = Raw(429, b"", Retry_After="0.3")
    local.answers["/y"] = {}
    with client(local, retry=Retry(attempts=1)) as asked:
        with pytest.raises(DataError, match="429"):
            asked.get("/x")
        began = time.monotonic()
        asked.get("/y")
        assert time.monotonic() - began >= 0.25


def test_a_fault_that_stays_is_told_in_one_line(local: Local) -> None:
    local.answers["/x"] = Raw(503, b'{"error":{"message":"exchange\\n is down"}}')
    with client(local) as asked, pytest.raises(DataError) as error:
        asked.get("/x", {"limit": 5})
    assert str(error.value) == (
        f"GET {local.url}/trade-api/v2/x?limit=5 failed 4 times: 503 exchange is down"
    )


@pytest.mark.parametrize(
    ("status", "told"),
    [(400, "400 max candlesticks: 5000"), (401, "check the key"), (404, "404")],
)
def test_a_refusal_is_told_at_once(local: Local, status: int, told: str) -> None:
    local.answers["/x"] = Raw(status, b'{"error":"max candlesticks: 5000"}')
    with client(local) as asked, pytest.raises(DataError, match=told) as error:
        asked.get("/x")
    assert asked.requests == 1
    assert "\n" not in str(error.value)


def test_what_is_not_there_may_be_an_answer(local: Local) -> None:
    with client(local) as asked:
        assert asked.get("/absent", absent_ok=True) is None


def test_nobody_at_the_port_is_told_in_one_line() -> None:
    with Client("http://127.0.0.1:9", retry=QUICK) as asked, pytest.raises(DataError) as error:
        asked.get("/x")
    assert str(error.value).startswith("GET http://127.0.0.1:9/trade-api/v2/x failed 3 times: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "address", ["ftp://host", "nonsense", "http://", "http://[", "http://host:port", ""]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        Client(address)


def test_every_question_is_signed_and_nothing_of_the_key_is_logged(
    local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    key = Ed25519PrivateKey.generate()
    local.answers["/x"] = in_turn(Raw(500), {})
    seen = []
    with (
        caplog.at_level(logging.DEBUG),
        client(
            local, credentials=Credentials("a-key", key), clock=lambda: 1703123456789 * 10**6
        ) as asked,
    ):
        asked.get("/x", {"cursor": "abc"})
    for headers in local.headers:
        found = base64.b64decode(headers["kalshi-access-signature"])
        key.public_key().verify(found, b"1703123456789GET/trade-api/v2/x")
        seen.append(headers["kalshi-access-signature"])
    assert len(seen) == 2
    assert not any(text in caplog.text for text in (*seen, "a-key"))


def test_without_a_key_nothing_is_signed(local: Local) -> None:
    local.answers["/x"] = {}
    with client(local) as asked:
        asked.get("/x")
    assert not [name for name in local.headers[0] if name.startswith("kalshi")]


def test_a_stopped_client_asks_no_more(local: Local) -> None:
    local.answers["/x"] = {}
    with client(local) as asked:
        asked.stop()
        with pytest.raises(Stopped):
            asked.get("/x")
    assert local.asked == []


def test_the_public_limit_holds_for_the_exchange_and_not_for_this_machine(local: Local) -> None:
    with Client(HOSTS["prod"]) as far, client(local) as near:
        assert far.bucket._limit == PUBLIC
        assert near.bucket._limit is None
