"""Every kind of message is as the exchange's AsyncAPI file describes it, with nothing besides."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stream_watcher import watching

from kalshi_bt.data.store import Store
from live_adapter.exchange.commands import KNOWN
from live_adapter.sandbox import Exchange

OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)
LADDER, EARLY = "SYNHIGH-26MAY04-T72", "SYNGAME-26MAY041900AAABBB-AAA"
Json = dict[str, Any]


@pytest.mark.slow
def test_every_message_is_as_the_file_says(dataset: Store, asyncapi: Any) -> None:
    start = OPENED - timedelta(days=1, hours=1)
    with Exchange(dataset, now=start) as exchange, watching(exchange.ws) as watcher:
        channels = ["ticker", "trade", "market_lifecycle_v2"]
        watcher.ask("subscribe", 1, channels=channels)
        markets = [LADDER, EARLY, "SYNBTC15M-26MAY040015-15"]
        watcher.ask("subscribe", 2, channels=["orderbook_delta"], market_tickers=markets)
        for hours in (0.2, 1.5, 3, 12):
            exchange.play_until(OPENED + timedelta(hours=hours))
            asked = {"action": "get_snapshot", "market_tickers": markets}
            watcher.ask("update_subscription", 3, sids=[4], **asked)
        watcher.ask("list_subscriptions", 4)
        watcher.ask("subscribe", 5, channels=["none"])
        watcher.ask("update_subscription", 6, sid=1, action="none")
        watcher.ask("unsubscribe", 7, sids=[4])
    kinds = {frame["type"] for frame in watcher.frames}
    assert kinds == {*asyncapi.payloads, "ok"}
    steps = {f["msg"].get("event_type") for f in watcher.frames if isinstance(f.get("msg"), dict)}
    assert steps >= {"created", "activated", "metadata_updated", "close_date_updated",
                     "deactivated", "determined", "settled"}  # fmt: skip
    seen: dict[Any, Json] = {}
    for frame in watcher.frames:  # one of each shape
        inner = frame.get("msg")
        step = inner.get("event_type") if isinstance(inner, dict) else None
        shape = (frame["type"], step, tuple(frame), tuple(inner or ()) if step else len(seen) % 40)
        seen.setdefault(str(shape), frame)
    assert [(f, found) for f in seen.values() if (found := asyncapi.complaints(f))] == []
    assert len(seen) > 40


def test_every_channel_of_the_file_is_known_and_no_other(asyncapi: Any) -> None:
    params = asyncapi.schemas["subscribeCommandPayload"]["properties"]["params"]
    channels = set(params["properties"]["channels"]["items"]["enum"])
    assert KNOWN - channels == {"cfbenchmarks_value_5hz"}  # of September 2026
    assert channels <= KNOWN


def test_words_of_errors_are_those_of_the_file(asyncapi: Any) -> None:
    from live_adapter.exchange.commands import WORDS

    codes = asyncapi.schemas["errorResponsePayload"]["properties"]["msg"]["properties"]["code"]
    named = dict(re.findall(r"- (\d+): (.+?) - ", codes["description"]))
    assert {str(code): words for code, words in WORDS.items()}.items() <= named.items()


def test_the_check_finds_what_the_file_does_not_say(asyncapi: Any) -> None:
    named = {"market_ticker": "A", "market_id": "9b0f6b43-5b68-4f9f-9f02-9a2d1b8ac1a1"}
    body = {**named, "price_dollars": "0.9600", "delta_fp": "-54.00", "side": "yes"}
    good = {"type": "orderbook_delta", "sid": 2, "seq": 3, "msg": body}
    assert asyncapi.complaints(good) == []
    assert asyncapi.complaints({**good, "more": 1}) != []
    assert asyncapi.complaints({n: v for n, v in good.items() if n != "seq"}) != []
    for wrong in ({"side": "bid"}, {"price_dollars": 96}, {"delta_fp": "1"}, {"new": 1}):
        assert asyncapi.complaints({**good, "msg": {**body, **wrong}}) != []
    assert asyncapi.complaints({"type": "error", "msg": {"code": 29, "msg": "none"}}) != []


@pytest.mark.real
@pytest.mark.slow
def test_recorded_frames_have_the_same_fields(real_data: Path, dataset: Store) -> None:
    """Those the exchange sent in August 2026; what is told besides stands below."""
    import gzip
    import json

    seen: dict[str, set[str]] = {}
    (path,) = (real_data / "gold15m-ws" / "events" / "KXGOLD15M-26AUG050000-00").glob("*.gz")
    with gzip.open(path, "rt") as lines:
        for line in lines:
            frame = json.loads(line)["event"]
            seen.setdefault(frame["type"], set()).update(frame["msg"])
    with Exchange(dataset, now=OPENED) as exchange, watching(exchange.ws) as watcher:
        channels = ["orderbook_delta", "trade"]
        watcher.ask("subscribe", channels=channels, market_tickers=[LADDER, EARLY])
        exchange.play_until(OPENED + timedelta(hours=8))
        watcher.new()
    told: dict[str, set[str]] = {}
    for frame in watcher.frames:
        if frame["type"] in seen:
            told.setdefault(frame["type"], set()).update(frame["msg"])
    assert told.keys() == seen.keys()
    for kind, names in seen.items():
        assert names - told[kind] == set()
        assert told[kind] - names <= {"is_block_trade"}  # the recorder left it out
