"""Answers recorded from the exchange, served again over a socket: January and August 2026."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_exchange import QUICK, Local

from kalshi_bt.data.kalshi import parse
from kalshi_bt.data.kalshi.download import download
from kalshi_bt.data.store import Store

pytestmark = pytest.mark.real

ELON = "KXELONMARS-99"


def recorded(real_data: Path, name: str) -> Any:
    """Return a recorded answer as the client reads it."""
    file = real_data / "rest-fixtures" / "golden-2026-01" / f"{name}_response.json"
    return json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)["response"]


@pytest.mark.parametrize(
    ("name", "read", "rows"),
    [
        ("series_candlesticks", parse.candles, 90),
        ("events_list", parse.events, 5),
        ("events_multivariate_list", parse.events, 5),
        ("markets_list", parse.markets, 5),
        ("trades_list", parse.trades, 5),
        ("series_list", parse.series, 241),
        ("series_single", parse.series, 1),
        ("series_fee_changes", parse.series_fees, 0),
    ],
)
def test_every_row_is_read_and_every_field_known(
    real_data: Path, name: str, read: parse.Parse, rows: int
) -> None:
    page = read(recorded(real_data, name))
    assert len(page.rows) == len(page.items) == rows
    assert (page.unusable, page.unknown) == ([], set())


def test_combos_are_recognised(real_data: Path) -> None:
    assert all(row["combo"] for row in parse.markets(recorded(real_data, "markets_list")).rows)


def test_bars_are_the_recorded_cents(real_data: Path) -> None:
    answer = recorded(real_data, "series_candlesticks")
    for row, item in zip(parse.candles(answer).rows, answer["candlesticks"], strict=True):
        for part in ("open", "high", "low", "close"):
            for side, name in (("price", "price"), ("yes_bid", "bid"), ("yes_ask", "ask")):
                cents = item[side][part]
                assert row[f"{name}_{part}"] == (None if cents is None else cents * 100)
        assert row["volume"] == item["volume"] * 100
        assert (row["price_open"] is None) == (item["volume"] == 0)


def test_a_market_of_january_2026_is_fetched_whole(
    real_data: Path, local: Local, tmp_path: Path
) -> None:
    event = recorded(real_data, "event_single")
    bars = recorded(real_data, "series_candlesticks")
    trades = {**recorded(real_data, "trades_list"), "cursor": ""}
    fees = {"ticker": "KXELONMARS", "fee_type": "quadratic", "fee_multiplier": 1}
    times = {
        "market_settled_ts": "2025-08-01T00:00:00Z",
        "trades_created_ts": "2025-08-01T00:00:00Z",
    }
    local.answers = {
        "/historical/cutoff": times,
        "/series/fee_changes": recorded(real_data, "series_fee_changes"),
        "/series/KXELONMARS": {"series": fees},
        "/events/fee_changes": {"event_fee_changes": [], "cursor": ""},
        "/events": {"events": [event["event"]], "cursor": ""},
        "/markets": {"markets": event["markets"], "cursor": ""},
        "/historical/markets": {"markets": [], "cursor": ""},
        f"/series/KXELONMARS/markets/{ELON}/candlesticks": bars,
        "/markets/trades": trades,
        "/historical/trades": {"trades": [], "cursor": ""},
    }
    local.answers = {path: _plain(answer) for path, answer in local.answers.items()}
    local.date = "Mon, 12 Jan 2026 22:08:11 GMT"
    into = tmp_path / "data"
    report = download(into, series=["KXELONMARS"], period=86_400, base_url=local.url, retry=QUICK)
    assert (report.quarantined, report.unknown_fields) == ({}, ())
    store = Store.open(into)
    market = store.read("markets").row(0, named=True)
    assert market["close_time"].isoformat() == "2099-08-01T04:59:00+00:00"
    assert market["mutually_exclusive"] is False
    assert market["price_ranges"] == [{"start": 0, "end": 10_000, "step": 100}]
    candles = store.read("candles")
    assert candles.height == 90
    assert candles["volume"].sum() == sum(bar["volume"] for bar in bars["candlesticks"]) * 100
    tape = store.read("trades").sort("time", descending=True)
    assert tape["price"].to_list() == [item["yes_price"] * 100 for item in trades["trades"]]
    assert store.read("settlements").is_empty()


def test_markets_of_august_2026_settle_as_recorded(
    real_data: Path, local: Local, tmp_path: Path
) -> None:
    files = sorted((real_data / "gold15m-ws" / "metadata").glob("*.json"))
    answers = [json.loads(file.read_text(encoding="utf-8"))["response"] for file in files]
    markets = [market for answer in answers for market in answer["markets"]]
    local.answers = {
        "/historical/cutoff": {
            "market_settled_ts": "2026-07-01T00:00:00Z",
            "trades_created_ts": "2026-07-01T00:00:00Z",
        },
        "/events": {"events": [answer["event"] for answer in answers], "cursor": ""},
        "/markets": {"markets": markets, "cursor": ""},
        "/historical/markets": {"markets": [], "cursor": ""},
    }
    into = tmp_path / "data"
    report = download(into, series=["KXGOLD15M"], what=["markets"], base_url=local.url, retry=QUICK)
    assert (report.quarantined, report.unknown_fields) == ({}, ())
    store = Store.open(into)
    joined = store.read("markets").join(store.read("settlements"), on="ticker", suffix="_really")
    assert joined.height == len(markets) == len(files)
    # All of them closed on schedule, and the rule of the contract gives every result.
    assert joined["close_time"].equals(joined["close_time_really"].alias("close_time"))
    above = pl.col("value") >= pl.col("floor_strike")
    assert joined.select((above == (pl.col("result") == "yes")).all()).item()
    known = {market["ticker"]: market["result"] for market in markets}
    assert dict(joined.select("ticker", "result").iter_rows()) == known


def _plain(answer: Any) -> Any:
    """Return an answer with its decimals as JSON can carry them."""
    return json.loads(json.dumps(answer, default=float))
