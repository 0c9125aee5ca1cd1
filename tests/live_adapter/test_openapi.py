"""Every kind of answer is one that the exchange's OpenAPI file describes, with nothing besides."""

from typing import Any

import httpx
import pytest

from live_adapter.exchange.routes import ROUTES
from live_adapter.exchange.service import parse_time
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.slow

START = 1_777_867_200  # 2026-05-04T04:00:00Z
WINDOW = f"start_ts={START}&end_ts={START + 86_400}"
PART = f"start_ts={START + 90}&end_ts={START + 900}&include_latest_before_start=true"
QUARTER, LATE = "SYNBTC15M-26MAY040015-15", "SYNBTC15M-26MAY042000-00"
LADDER = "SYNHIGH-26MAY04-T72"
KEYS = {
    "KALSHI-ACCESS-KEY": "k",
    "KALSHI-ACCESS-TIMESTAMP": "1",
    "KALSHI-ACCESS-SIGNATURE": "c2ln",
}

# Path of the file, path asked, and where rows must stand for the case to say anything.
ANSWERS = [
    ("/exchange/status", "/exchange/status", ""),
    ("/exchange/schedule", "/exchange/schedule", ""),
    ("/account/limits", "/account/limits", ""),
    ("/account/endpoint_costs", "/account/endpoint_costs", ""),
    ("/historical/cutoff", "/historical/cutoff", ""),
    ("/historical/markets", "/historical/markets?limit=1000", "markets"),
    ("/historical/markets/{ticker}", f"/historical/markets/{QUARTER}", ""),
    (
        "/historical/markets/{ticker}/candlesticks",
        f"/historical/markets/{QUARTER}/candlesticks?{WINDOW}&period_interval=1",
        "candlesticks",
    ),
    ("/historical/trades", "/historical/trades?limit=1000", "trades"),
    ("/series", "/series", "series"),
    ("/series/{series_ticker}", "/series/SYNHIGH", ""),
    (
        "/series/fee_changes",
        "/series/fee_changes?show_historical=true",
        "series_fee_change_arr",
    ),
    (
        "/series/{series_ticker}/markets/{ticker}/candlesticks",
        f"/series/SYNHIGH/markets/{LADDER}/candlesticks?{WINDOW}&period_interval=1",
        "candlesticks",
    ),
    (
        "/series/{series_ticker}/markets/{ticker}/candlesticks",
        f"/series/SYNHIGH/markets/{LADDER}/candlesticks?{PART}&period_interval=1",
        "candlesticks",
    ),
    ("/events", "/events?with_nested_markets=true&with_milestones=true", "events"),
    ("/events/multivariate", "/events/multivariate", "events"),
    ("/events/fee_changes", "/events/fee_changes", "event_fee_changes"),
    (
        "/events/{event_ticker}",
        "/events/SYNHIGH-26MAY04?with_nested_markets=true",
        "markets",
    ),
    ("/markets", "/markets?limit=1000", "markets"),
    ("/markets/trades", "/markets/trades?limit=1000", "trades"),
    (
        "/markets/candlesticks",
        f"/markets/candlesticks?market_tickers={LADDER},{LATE}&{WINDOW}&period_interval=60",
        "markets",
    ),
    ("/markets/orderbooks", f"/markets/orderbooks?tickers={LADDER}&tickers=NONE", "orderbooks"),
    ("/markets/{ticker}", f"/markets/{LATE}", ""),
    ("/markets/{ticker}/orderbook", f"/markets/{LATE}/orderbook", ""),
]
ERRORS = [
    ("/historical/markets/{ticker}", f"/historical/markets/{LATE}", 404),
    ("/markets/{ticker}", f"/markets/{QUARTER}", 404),
    ("/markets/{ticker}", "/markets/NONE", 404),
    ("/series/{series_ticker}", "/series/NONE", 404),
    ("/events/{event_ticker}", "/events/NONE", 404),
    ("/account/limits", "/account/limits", 401),
    ("/markets", "/markets?status=all", 400),
    ("/markets", "/markets?limit=1001", 400),
    ("/markets", "/markets?cursor=nonsense", 400),
    ("/markets", "/markets?ticker=A", 400),
    ("/markets", "/markets?status=open&min_settled_ts=1", 400),
    ("/markets", "/markets?min_close_ts=1&min_settled_ts=1", 400),
    ("/markets", "/markets?min_updated_ts=1&series_ticker=SYNHIGH", 400),
    ("/events", "/events?limit=201", 400),
    ("/historical/markets", "/historical/markets?tickers=A&series_ticker=B", 400),
    (
        "/historical/markets/{ticker}/candlesticks",
        f"/historical/markets/{QUARTER}/candlesticks?{WINDOW}",
        400,
    ),
    (
        "/series/{series_ticker}/markets/{ticker}/candlesticks",
        f"/series/S/markets/{LATE}/candlesticks?start_ts=60&end_ts=300060&period_interval=1",
        400,
    ),
]


@pytest.mark.parametrize(("path", "asked", "rows"), ANSWERS)
def test_every_answer_is_as_the_file_says(
    exchange: Exchange, client: httpx.Client, spec: Any, path: str, asked: str, rows: str
) -> None:
    answer = client.get(exchange.url + asked, headers=KEYS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert spec.complaints(path, answer.json()) == []
    assert not rows or answer.json()[rows]


@pytest.mark.parametrize(("path", "asked", "status"), ERRORS)
def test_every_error_has_the_body_of_the_file_in_the_envelope_seen_live(
    exchange: Exchange, client: httpx.Client, spec: Any, path: str, asked: str, status: int
) -> None:
    answer = client.get(exchange.url + asked)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert spec.complaints(path, answer.json()["error"], status) == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_endpoint_knows_the_parameters_of_the_file(spec: Any, route: Any) -> None:
    path = route.path.replace("{series}", "{series_ticker}").replace("{event}", "{event_ticker}")
    assert set(route.parameters) == set(spec.parameters(path))
    # The order books need no key since 3.31, whatever this file says.
    declared = bool(spec.content["paths"][path]["get"].get("security"))
    assert route.secured == declared or "orderbook" in path


@pytest.mark.parametrize("now", ["2026-05-04T04:00:30Z", "2026-05-04T12:07:00Z"])
def test_answers_are_as_the_file_says_while_markets_trade(
    dataset: Any, client: httpx.Client, spec: Any, now: str
) -> None:
    with Exchange(dataset, now=parse_time(now)) as exchange:
        markets = client.get(f"{exchange.url}/markets?limit=1000").json()
        nested = client.get(f"{exchange.url}/events?with_nested_markets=true").json()
        traded = "SYNGAME-26MAY041900AAABBB-AAA"
        book = client.get(f"{exchange.url}/markets/{traded}/orderbook").json()
    assert spec.complaints("/markets", markets) == []
    assert spec.complaints("/events", nested) == []
    assert spec.complaints("/markets/{ticker}/orderbook", book) == []
    assert {"active", "initialized"} <= {market["status"] for market in markets["markets"]}


@pytest.mark.parametrize(
    ("now", "status"),
    [("13:12", "determined"), ("13:24", "disputed"), ("13:36", "amended"), ("14:00", "finalized")],
)
def test_a_result_on_its_way_is_as_the_file_says(
    dataset: Any, client: httpx.Client, spec: Any, now: str, status: str
) -> None:
    with Exchange(dataset, now=parse_time(f"2026-05-04T{now}:00Z")) as exchange:
        answer = client.get(f"{exchange.url}/markets/SYNGAME-26MAY041900AAABBB-AAA").json()
    assert spec.complaints("/markets/{ticker}", answer) == []
    assert answer["market"]["status"] == status


def test_the_check_finds_what_the_file_does_not_say(spec: Any) -> None:
    good = {"read": {"refill_rate": 1, "bucket_capacity": 1}, "usage_tier": "basic", "grants": []}
    path = "/account/limits"
    assert spec.complaints(path, {**good, "write": good["read"]}) == []
    assert spec.complaints(path, good) != []
    assert spec.complaints(path, {**good, "write": good["read"], "more": 1}) != []
    assert spec.complaints(path, {**good, "write": {**good["read"], "more": 1}}) != []
    cutoff = dict.fromkeys(("market_settled_ts", "trades_created_ts", "orders_updated_ts"), "now")
    assert len(spec.complaints("/historical/cutoff", cutoff)) == 3
    levels = {"orderbook_fp": {"yes_dollars": [], "no_dollars": []}}
    assert spec.complaints("/markets/{ticker}/orderbook", levels) == []
    bar = {"ticker": "A", "trade_id": "1", "count_fp": "1.0"}
    assert any("count_fp: '1.0'" in found for found in spec.complaints("/markets/trades", bar))
