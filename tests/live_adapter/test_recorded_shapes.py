"""The sandbox writes the fields that recorded answers have, and no others but where it is said."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from kalshi_bt.data.store import Store
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.real

OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)
EARLY = "SYNGAME-26MAY041900AAABBB-AAA"
LADDER = "SYNHIGH-26MAY04-T72"
START = int(OPENED.timestamp())
WINDOW = {"start_ts": START, "end_ts": START + 86_400, "period_interval": 1}

# Of combos and of markets with special strikes, which are not stored; and words of the exchange.
UNSTORED = {
    "custom_strike", "early_close_condition", "mve_collection_ticker", "mve_selected_legs",
    "occurrence_datetime",
}  # fmt: skip
# Always 0 from February 2026, gone in October.
REMOVED = {"liquidity_dollars"}
# Sent as null where the recorded answers, and those of other days, leave them out.
NULLABLE = {"fee_type_override", "fee_multiplier_override"}


@pytest.fixture(scope="module")
def shapes(dataset: Store) -> Iterator[dict[str, Exchange]]:
    """An exchange of each shape, after all has settled."""
    with (
        Exchange(dataset, now=OPENED + timedelta(hours=40)) as new,
        Exchange(dataset, now=OPENED + timedelta(hours=2), shape="both") as old,
    ):
        yield {"dollars": new, "both": old}


def recorded(folder: Path, name: str) -> Any:
    path = folder / "rest-fixtures" / "golden-2026-01" / f"{name}_response.json"
    return json.loads(path.read_text(encoding="utf-8"))["response"]


def kinds(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the types each field has in some rows, whole and other numbers as one."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kind = "number" if type(value) in {int, float} else type(value).__name__
            found.setdefault(name, set()).add(kind)
    return found


def agree(
    served: list[dict[str, Any]], seen: list[dict[str, Any]], *, unsent: set[str], unseen: set[str]
) -> None:
    """Check that rows have the same fields, of the same types, but for some."""
    ours, theirs = kinds(served), kinds(seen)
    assert theirs.keys() - ours.keys() <= unsent
    assert ours.keys() - theirs.keys() <= unseen
    for name in ours.keys() & theirs.keys():
        known = theirs[name] | {"NoneType"}
        assert ours[name] <= known or theirs[name] == {"NoneType"}, name


def test_a_settled_market_and_its_event_have_the_fields_of_august_2026(
    real_data: Path, client: httpx.Client, shapes: dict[str, Exchange]
) -> None:
    files = sorted((real_data / "gold15m-ws" / "metadata").glob("*.json"))
    seen = [json.loads(path.read_text(encoding="utf-8"))["response"] for path in files]
    assert len(seen) > 5
    event = EARLY.rpartition("-")[0]
    found = client.get(f"{shapes['dollars'].url}/events/{event}").json()
    assert found.keys() == seen[0].keys()
    markets = [market for answer in seen for market in answer["markets"]]
    agree(found["markets"], markets, unsent=UNSTORED | REMOVED, unseen=set())
    unsent = {"strike_date", "product_metadata"}
    agree([found["event"]], [a["event"] for a in seen], unsent=unsent, unseen=NULLABLE)
    # Times, prices and counts are written alike.
    ours, theirs = found["markets"][0], markets[0]
    for name in ("open_time", "last_price_dollars", "volume_fp", "settlement_value_dollars"):
        assert len(ours[name].partition(".")[2]) == len(theirs[name].partition(".")[2])
    sides = [f"{side}_{kind}" for side in ("yes", "no") for kind in ("bid", "ask")]
    sizes = ["yes_bid_size_fp", "yes_ask_size_fp", "notional_value_dollars", "status"]
    for name in [f"{side}_dollars" for side in sides] + sizes:
        assert ours[name] == theirs[name]  # of a market that has settled


@pytest.mark.parametrize(
    ("name", "path", "rows", "unsent"),
    [
        ("markets_list", "/markets?limit=1000&mve_filter=only", "markets", UNSTORED),
        ("trades_list", "/markets/trades", "trades", set()),
        ("events_list", "/events", "events", set()),
        ("series_list", "/series", "series", set()),
    ],
)
def test_lists_of_january_2026_have_the_same_fields(
    real_data: Path, client: httpx.Client, shapes: dict[str, Exchange], name: str, path: str,
    rows: str, unsent: set[str],
) -> None:  # fmt: skip
    seen = recorded(real_data, name)
    found = client.get(shapes["both"].url + path).json()
    assert found.keys() == seen.keys() - {"milestones"}
    assert found[rows]
    # Strikes stand where a market has them, and settlement sources where a series has.
    unseen = {"floor_strike", "cap_strike", "category"}
    agree(found[rows], seen[rows], unsent=unsent, unseen=unseen)


def test_bars_of_january_2026_have_the_same_fields(
    real_data: Path, client: httpx.Client, shapes: dict[str, Exchange]
) -> None:
    seen = recorded(real_data, "series_candlesticks")
    path = f"/series/SYNHIGH/markets/{LADDER}/candlesticks"
    found = client.get(shapes["both"].url + path, params=WINDOW).json()
    assert found.keys() == seen.keys()
    bars = found["candlesticks"], seen["candlesticks"]
    agree(*bars, unsent=set(), unseen=set())
    for part in ("price", "yes_bid", "yes_ask"):
        sides = ([bar[part] for bar in rows] for rows in bars)
        unsent = {"mean_dollars"} if part == "price" else set()  # no mean is stored
        agree(*sides, unsent=unsent, unseen=set())
    without = [
        next(b["price"] for b in rows if not b["volume"] and b["price"]["previous"])
        for rows in bars
    ]
    assert without[0].keys() == without[1].keys()
    batch = client.get(
        f"{shapes['both'].url}/markets/candlesticks", params={**WINDOW, "market_tickers": LADDER}
    ).json()
    assert batch["markets"][0]["candlesticks"] == found["candlesticks"]
    seen_batch = recorded(real_data, "candlesticks_batch")
    assert batch.keys() == seen_batch.keys()
    assert batch["markets"][0].keys() == seen_batch["markets"][0].keys()


def test_what_never_changes_is_as_recorded(
    real_data: Path, client: httpx.Client, shapes: dict[str, Exchange]
) -> None:
    url = shapes["both"].url
    schedule = client.get(f"{url}/exchange/schedule").json()
    assert schedule == recorded(real_data, "exchange_schedule")
    assert client.get(f"{url}/series/fee_changes").json() == recorded(
        real_data, "series_fee_changes"
    )
    status = client.get(f"{url}/exchange/status").json()
    assert status.items() >= recorded(real_data, "exchange_status").items()
    empty = client.get(f"{url}/markets/NONE/orderbook").json()
    assert empty == recorded(real_data, "orderbook")
