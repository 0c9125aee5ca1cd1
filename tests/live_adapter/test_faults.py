"""Faults do what they say, when they say, and the same every time."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from live_adapter.exchange.faults import Faults
from live_adapter.sandbox import Exchange, Fault

SERIES = "/series/SYNHIGH"


@pytest.fixture(scope="module")
def exchange(dataset: Store) -> Iterator[Exchange]:
    """An exchange whose faults each test sets."""
    with Exchange(dataset) as running:
        yield running


def statuses(client: httpx.Client, exchange: Exchange, times: int, path: str = SERIES) -> list[int]:
    return [client.get(exchange.url + path).status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("500", [500, 500, 500, 500, 500, 500]),
        ("500:every=3", [200, 200, 500, 200, 200, 500]),
        ("503:first=2", [503, 503, 200, 200, 200, 200]),
        ("500:first=2,skip=1", [200, 500, 500, 200, 200, 200]),
        ("500:every=2,first=4,skip=1", [200, 200, 500, 200, 500, 200]),
        ("500:path=/series", [200, 200, 200, 200, 200, 200]),
        ("500:path=/series/*,first=1", [500, 200, 200, 200, 200, 200]),
    ],
)
def test_a_fault_strikes_the_requests_it_names(
    exchange: Exchange, client: httpx.Client, fault: str, expected: list[int]
) -> None:
    for _ in range(2):  # and again, once counting begins anew
        exchange.set_faults(fault)
        assert statuses(client, exchange, 6) == expected


def test_more_requests_in_a_second_than_are_allowed_are_refused_until_it_is_over() -> None:
    now = [0.0]
    faults = Faults(["rate:per_second=2,path=/markets"], clock=lambda: now[0])
    refused = []
    for now[0] in (0.0, 0.25, 0.5, 0.75, 1.0, 1.125, 1.25, 1.75, 2.5):
        refused += [now[0]] if faults.strike("/markets", "any") else []
        assert not faults.strike("/series", "any")  # another path
    assert refused == [0.5, 0.75, 1.125, 1.75]  # 1.0 comes when that of 0.0 is a second old


def test_a_limit_of_requests_is_answered_with_429(exchange: Exchange, client: httpx.Client) -> None:
    exchange.set_faults("rate:per_second=1")
    first, *rest = statuses(client, exchange, 6)
    assert first == 200
    assert 429 in rest


@given(
    every=st.integers(1, 5), first=st.integers(0, 6), skip=st.integers(0, 4), n=st.integers(1, 30)
)
def test_striking_is_as_a_plain_count_has_it(every: int, first: int, skip: int, n: int) -> None:
    candidates = list(range(skip + 1, 31))
    candidates = candidates[:first] if first else candidates
    struck = candidates[every - 1 :: every]
    assert Fault("500", every=every, first=first, skip=skip).strikes(n) == (n in struck)


def test_too_many_requests_say_when_to_come_again_if_told_to(
    exchange: Exchange, client: httpx.Client
) -> None:
    for fault, header in (("429", "1"), ("429:retry_after=7", "7"), ("429:retry_after=none", None)):
        exchange.set_faults(fault)
        answer = client.get(exchange.url + SERIES)
        assert answer.status_code == 429
        assert answer.headers.get("retry-after") == header
        assert answer.json() == {"error": "too many requests"}


def test_a_slow_answer_is_whole_and_late(exchange: Exchange, client: httpx.Client) -> None:
    exchange.set_faults("slow:seconds=0.15,first=1")
    begun = time.monotonic()
    assert client.get(exchange.url + SERIES).json()["series"]["ticker"] == "SYNHIGH"
    late = time.monotonic() - begun
    assert late >= 0.15


def test_stopping_does_not_wait_for_slow_answers(dataset: Store) -> None:
    begun = time.monotonic()
    with Exchange(dataset, faults=["slow:seconds=3000"]) as exchange:
        host, port = exchange.origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /trade-api/v2/series HTTP/1.1\r\nHost: x\r\n\r\n")
            while not exchange.requests():
                time.sleep(0.01)
    assert time.monotonic() - begun < 60


def test_a_cut_connection_ends_in_the_middle_of_the_body(
    exchange: Exchange, client: httpx.Client
) -> None:
    exchange.set_faults("cut:first=1")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(exchange.url + SERIES)
    assert statuses(client, exchange, 1) == [200]


def test_a_malformed_page_is_whole_as_http_and_broken_as_json(
    exchange: Exchange, client: httpx.Client
) -> None:
    exchange.set_faults("malformed:first=1")
    answer = client.get(exchange.url + SERIES)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        answer.json()
    assert client.get(exchange.url + SERIES).json()["series"]


def pages(client: httpx.Client, exchange: Exchange, most: int = 12) -> list[Any]:
    """Return the pages of the markets, at most some."""
    found, cursor = [], ""
    while len(found) < most:
        address = f"{exchange.url}/markets?limit=20" + (f"&cursor={cursor}" if cursor else "")
        found.append(client.get(address).json())
        cursor = found[-1]["cursor"]
        if not cursor:
            break
    return found


def test_a_page_that_repeats_has_the_rows_of_the_first_and_its_own_cursor(
    exchange: Exchange, client: httpx.Client
) -> None:
    exchange.set_faults()
    good = pages(client, exchange)
    exchange.set_faults("repeat:first=1")
    bad = pages(client, exchange)
    assert len(good) == len(bad) > 3
    assert bad[1] == {"markets": good[0]["markets"], "cursor": good[1]["cursor"]}
    assert bad[:1] + bad[2:] == good[:1] + good[2:]


@pytest.mark.slow
def test_a_cursor_that_loops_leads_back_for_ever(exchange: Exchange, client: httpx.Client) -> None:
    exchange.set_faults()
    good = pages(client, exchange)
    exchange.set_faults("loop")
    bad = pages(client, exchange)
    assert len(bad) == 12
    assert bad[0] == good[0]
    assert bad[1:] == [{"markets": good[1]["markets"], "cursor": good[0]["cursor"]}] * 11
    exchange.set_faults("loop:every=2")  # a loop of two pages
    assert [page["markets"] for page in pages(client, exchange)] == [
        good[n]["markets"] for n in (0, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1)
    ]


def test_rows_lack_a_field_or_have_one_more_or_none_that_is_known(
    exchange: Exchange, client: httpx.Client
) -> None:
    url = f"{exchange.url}/markets?limit=3"
    exchange.set_faults()
    good = client.get(url).json()["markets"]
    exchange.set_faults("missing:field=close_time,first=1", "missing:skip=1")
    first, second = (client.get(url).json()["markets"] for _ in range(2))
    assert first[1:] == second[1:] == good[1:]
    assert good[0].keys() - first[0].keys() == {"close_time"}
    assert good[0].keys() - second[0].keys() == {"ticker"}
    exchange.set_faults("unknown")
    more = client.get(url).json()["markets"]
    assert all(
        new.keys() - old.keys() == {"sandbox_unknown"} for new, old in zip(more, good, strict=True)
    )
    exchange.set_faults("broken")
    broken = client.get(url).json()["markets"]
    assert all(not new.keys() & old.keys() for new, old in zip(broken, good, strict=True))
    assert len(broken) == 3
    assert "renamed_ticker" in client.get(exchange.url + SERIES).json()["series"]


def test_faults_of_rows_pass_over_answers_without_rows(
    exchange: Exchange, client: httpx.Client
) -> None:
    exchange.set_faults("broken:first=1", "repeat:first=1")
    assert "market_settled_ts" in client.get(f"{exchange.url}/historical/cutoff").json()
    assert client.get(f"{exchange.url}/markets?tickers=NONE").json()["markets"] == []
    assert client.get(f"{exchange.url}/exchange/status").json()["exchange_active"]
    assert [f["met"] for f in exchange_faults(client, exchange)] == [0, 0]
    client.get(f"{exchange.url}/markets?limit=1")
    assert [f["struck"] for f in exchange_faults(client, exchange)] == [1, 0]


def exchange_faults(client: httpx.Client, exchange: Exchange) -> list[dict[str, Any]]:
    return client.get(f"{exchange.origin}/sandbox/faults").json()["faults"]


def test_faults_are_steered_over_http(exchange: Exchange, client: httpx.Client) -> None:
    control = f"{exchange.origin}/sandbox/faults"
    exchange.set_faults()
    answer = client.post(control, json={"faults": ["500:every=2,path=/series/*"]})
    shown = "Fault('500', path='/series/*', every=2)"
    assert answer.json() == {"faults": [{"fault": shown, "met": 0, "struck": 0}]}
    assert statuses(client, exchange, 3) == [200, 500, 200]
    assert exchange_faults(client, exchange)[0] == {"fault": shown, "met": 3, "struck": 1}
    for wrong in ({"faults": ["5OO"]}, {"faults": "500"}, ["500"]):
        assert client.post(control, json=wrong).status_code == 400
    assert exchange_faults(client, exchange)  # a refused request changes nothing
    client.delete(control)
    assert statuses(client, exchange, 3) == [200, 200, 200]


def test_a_closed_exchange_still_tells_its_state(exchange: Exchange, client: httpx.Client) -> None:
    exchange.set_faults("503")
    answer = client.get(f"{exchange.url}/exchange/status")
    assert (answer.status_code, answer.json()["exchange_active"]) == (503, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slw", "unknown fault 'slw'; did you mean 'slow'"),
        ("500:evry=2", "did you mean 'every'"),
        ("500:every=0", "every cannot be '0'"),
        ("500:first=-1", "first cannot be '-1'"),
        ("slow:seconds=nan", "seconds cannot be 'nan'"),
        ("429:retry_after=soon", "retry_after cannot be 'soon'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Fault.parse(text)


@pytest.mark.parametrize(
    "text",
    ["500", "429:retry_after=none", "slow:seconds=0.5,path=/a/*,skip=2", "rate:per_second=3"],
)
def test_a_fault_shows_what_makes_it_again(text: str) -> None:
    fault = Fault.parse(text)
    assert eval(repr(fault)) == fault  # noqa: S307
