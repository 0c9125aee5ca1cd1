"""The sandbox shows the rows of its dataset, each in its tier, and nothing of the future."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import polars as pl
import pytest

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from live_adapter.sandbox import Exchange

Json = dict[str, Any]
Get = Callable[..., Json]
OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)
NOON = OPENED + timedelta(hours=12)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EARLY = "SYNGAME-26MAY041900AAABBB-AAA"  # ended after nine hours of thirty; a scalar, then a yes
LADDER = "SYNHIGH-26MAY04-T72"
QUARTER = "SYNBTC15M-26MAY041200-00"  # the quarter hour before noon, US Eastern
WINDOW = "start_ts=1777867200&end_ts=1777953600&period_interval=60"
LISTS = [
    "/series",
    "/series/fee_changes?show_historical=true",
    "/events?with_nested_markets=true",
    "/events/multivariate",
    "/events/fee_changes",
    "/markets?limit=1000",
    "/markets/trades?limit=1000",
    "/historical/markets?limit=1000",
    "/historical/trades?limit=1000",
    f"/markets/orderbooks?tickers={EARLY}&tickers={LADDER}",
    f"/markets/candlesticks?market_tickers={EARLY},{LADDER}&{WINDOW}",
]


@pytest.fixture
def get(exchange: Exchange, client: httpx.Client) -> Get:
    """Ask the exchange for a path."""

    def get(path: str, at: Exchange | None = None, **parameters: Any) -> Json:
        answer = client.get((at or exchange).url + path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    return get


@pytest.fixture
def at(dataset: Store) -> Iterator[Callable[..., Exchange]]:
    """Start exchanges that stop with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda now, **more: stack.enter_context(Exchange(dataset, now=now, **more))


def every(get: Get, path: str, name: str, **parameters: Any) -> list[Json]:
    """Return the rows of all pages."""
    rows, cursor = [], ""
    for _ in range(500):  # a list that never ends must not hang the tests
        found = get(path, **parameters, **({"cursor": cursor} if cursor else {}))
        rows += found[name]
        cursor = found["cursor"]
        if not cursor:
            return rows
    pytest.fail(f"{path} has no last page")


def whole(text: str, scale: int) -> int:
    value = Decimal(text) * scale
    assert value == int(value)
    return int(value)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def microseconds(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# --- what is stored is what is served -------------------------------------------------------------


def test_all_trades_are_served_once_in_one_of_the_tiers(dataset: Store, get: Get) -> None:
    live = every(get, "/markets/trades", "trades", limit=1000)
    historical = every(get, "/historical/trades", "trades", limit=1000)
    assert all(moment(row["created_time"]) >= NOON for row in live)
    assert all(moment(row["created_time"]) < NOON for row in historical)
    served = live + historical
    assert [moment(row["created_time"]) for row in served] == sorted(
        (moment(row["created_time"]) for row in served), reverse=True
    )
    decoded = {
        (
            row["ticker"],
            microseconds(moment(row["created_time"])),
            row["trade_id"],
            whole(row["yes_price_dollars"], 10_000),
            whole(row["count_fp"], 100),
            {"yes": 1, "no": -1}[row["taker_outcome_side"]],
        )
        for row in served
    }
    stored = dataset.read("trades").with_columns(pl.col("time").to_physical()).rows()
    assert len(served) == len(stored)
    assert decoded == set(stored)
    for row in served:
        assert whole(row["yes_price_dollars"], 100_00) + whole(row["no_price_dollars"], 10_000) == (
            10_000
        )
        assert {"yes": "bid", "no": "ask"}[row["taker_side"]] == row["taker_book_side"]


@pytest.mark.parametrize(
    ("ticker", "path", "suffixes"),
    [
        (LADDER, f"/series/any/markets/{LADDER}/candlesticks", ("_dollars", "_fp")),
        (
            "SYNBTC15M-26MAY040015-15",
            "/historical/markets/SYNBTC15M-26MAY040015-15/candlesticks",
            ("", ""),
        ),
    ],
)
def test_all_bars_are_served_as_stored(
    dataset: Store, get: Get, ticker: str, path: str, suffixes: tuple[str, str]
) -> None:
    dollars, fixed = suffixes
    start = int(OPENED.timestamp())
    bars = get(path, start_ts=start, end_ts=start + 86_400, period_interval=1)["candlesticks"]
    stored = dataset.read("candles").filter(pl.col("ticker") == ticker).rows(named=True)
    assert [bar["end_period_ts"] for bar in bars] == [row["time"].timestamp() for row in stored]
    previous = None
    for bar, row in zip(bars, stored, strict=True):
        for part in ("open", "high", "low", "close"):
            bid, ask = (whole(bar[f"yes_{s}"][f"{part}{dollars}"], 10_000) for s in ("bid", "ask"))
            assert bid == (row[f"bid_{part}"] or 0)
            assert ask == (10_000 if row[f"ask_{part}"] is None else row[f"ask_{part}"])
            price = bar["price"].get(f"{part}{dollars}")
            assert (price is None) == (row[f"price_{part}"] is None)
            assert price is None or whole(price, 10_000) == row[f"price_{part}"]
            # The live tier leaves out what the historical one says is null.
            assert (f"{part}{dollars}" in bar["price"]) == (price is not None or dollars == "")
        assert bar["price"].get(f"previous{dollars}") == previous
        previous = bar["price"].get(f"close{dollars}") or previous
        assert whole(bar[f"volume{fixed}"], 100) == row["volume"]
        assert whole(bar[f"open_interest{fixed}"], 100) == row["open_interest"]


def test_all_settled_markets_are_served_once_with_what_is_known_of_them(
    dataset: Store, get: Get
) -> None:
    live = every(get, "/markets", "markets", limit=50)
    historical = every(get, "/historical/markets", "markets", limit=50)
    served = {row["ticker"]: row for row in live + historical}
    assert len(served) == len(live) + len(historical)
    markets = {row["ticker"]: row for row in dataset.read("markets").rows(named=True)}
    settled = {row["ticker"]: row for row in dataset.read("settlements").rows(named=True)}
    assert served.keys() == markets.keys()
    assert {row["ticker"] for row in historical} == {
        ticker for ticker, row in settled.items() if row["time"] < NOON
    }
    settlements = [row["settlement_ts"] for row in historical]
    assert settlements == sorted(settlements, reverse=True)
    for ticker, row in settled.items():
        found, market = served[ticker], markets[ticker]
        assert found["status"] == "finalized"
        assert found["result"] == row["result"]
        assert whole(found["settlement_value_dollars"], 10_000) == row["payout"]
        assert moment(found["settlement_ts"]) == row["time"]
        assert moment(found["close_time"]) == row["close_time"]
        assert moment(found["open_time"]) == market["open_time"]
        assert found["event_ticker"] == market["event"]
        for name in ("title", "strike_type", "floor_strike", "cap_strike"):
            assert found.get(name) == market[name]
        ranges = [
            {edge: whole(text, 10_000) for edge, text in part.items()}
            for part in found["price_ranges"]
        ]
        assert ranges == (market["price_ranges"] or [{"start": 0, "end": 10_000, "step": 100}])


def test_words_and_values_are_served_as_stored(get: Get) -> None:
    found = get(f"/historical/markets/{EARLY}")["market"]
    assert found["yes_sub_title"] == "Target: 4128.56"
    assert found["rules_primary"] == "If so, YES."
    assert found["can_close_early"] is True
    assert (found["floor_strike"], found["expiration_value"]) == (4128.56, "4128.4")


def test_the_series_is_that_of_its_newest_row_and_its_log_has_every_fee(get: Get) -> None:
    found = get("/series/SYNHIGH")["series"]
    assert (found["title"], found["fee_multiplier"]) == ("Highest (SYN)", 0.5)
    assert [source["name"] for source in found["settlement_sources"]] == [
        "Synthetic Weather",
        "A second one",
    ]
    log = get("/series/fee_changes", series_ticker="SYNHIGH", show_historical="true")
    changes = [(r["scheduled_ts"], r["fee_multiplier"]) for r in log["series_fee_change_arr"]]
    assert changes == [("2026-01-01T00:00:00Z", 1), ("2026-05-04T07:00:00Z", 0.5)]
    assert get("/series/fee_changes")["series_fee_change_arr"] == []
    assert [r["ticker"] for r in get("/series", category="Crypto")["series"]] == ["SYNBTC15M"]


def test_an_event_shows_the_fees_that_override_its_series(at: Any, get: Get) -> None:
    path, seen = "/events/SYNHIGH-26MAY04", []
    for hours in (0.5, 1.5, 2.5):
        event = get(path, at(OPENED + hours * HOUR))["event"]
        seen.append((event["fee_type_override"], event["fee_multiplier_override"]))
    assert seen == [(None, None), ("flat", 0.25), (None, None)]
    log = get("/events/fee_changes", event_ticker="SYNHIGH-26MAY04")["event_fee_changes"]
    assert [row["fee_type_override"] for row in log] == ["flat", None]
    assert {row["series_ticker"] for row in log} == {"SYNHIGH"}


def test_a_book_has_bids_of_both_sides_best_last(at: Any, get: Get) -> None:
    exchange = at(OPENED + 2 * HOUR)
    book = get(f"/markets/{EARLY}/orderbook", exchange)["orderbook_fp"]
    assert book["yes_dollars"] == [["0.0100", "200.00"], ["0.4100", "13.00"]]
    assert book["no_dollars"] == [["0.0100", "100.00"], ["0.5600", "17.25"]]
    best = get(f"/markets/{EARLY}/orderbook", exchange, depth=1)["orderbook_fp"]
    assert best == {"yes_dollars": [["0.4100", "13.00"]], "no_dollars": [["0.5600", "17.25"]]}
    empty = {"yes_dollars": [], "no_dollars": []}
    assert get("/markets/NONE/orderbook", exchange)["orderbook_fp"] == empty
    assert get(f"/markets/{EARLY}/orderbook")["orderbook_fp"] == empty  # it has settled


# --- bars that are not stored ---------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [60, 1440])
def test_longer_bars_are_those_of_a_plain_loop(dataset: Store, get: Get, minutes: int) -> None:
    eastern = ZoneInfo("America/New_York")
    stored = dataset.read("candles").filter(pl.col("ticker") == LADDER).rows(named=True)
    expected: dict[datetime, list[Json]] = {}
    for row in stored:
        local = (row["time"] - timedelta(microseconds=1)).astimezone(eastern)
        begin = local.replace(minute=0, second=0, microsecond=0)
        if minutes == 1440:
            end = (begin.replace(hour=0) + timedelta(days=1)).astimezone(UTC)
        else:
            end = begin.astimezone(UTC) + HOUR
        expected.setdefault(end, []).append(row)
    path = f"/series/SYNHIGH/markets/{LADDER}/candlesticks"
    start = int(OPENED.timestamp())
    found = get(path, start_ts=start, end_ts=start + 90_000, period_interval=minutes)
    bars = {datetime.fromtimestamp(b["end_period_ts"], UTC): b for b in found["candlesticks"]}
    assert bars.keys() == expected.keys()
    assert len(bars) == 1440 // minutes
    for end, rows in expected.items():
        bids = [[row[f"bid_{part}"] or 0 for row in rows] for part in ("open", "low", "close")]
        traded = [row for row in rows if row["price_close"] is not None]
        bar = bars[end]
        assert whole(bar["yes_bid"]["open_dollars"], 10_000) == bids[0][0]
        assert whole(bar["yes_bid"]["low_dollars"], 10_000) == min(bids[1])
        assert whole(bar["yes_bid"]["close_dollars"], 10_000) == bids[2][-1]
        assert whole(bar["volume_fp"], 100) == sum(row["volume"] for row in rows)
        assert whole(bar["open_interest_fp"], 100) == rows[-1]["open_interest"]
        if traded:
            prices = [
                whole(bar["price"][f"{p}_dollars"], 10_000) for p in ("open", "high", "close")
            ]
            assert prices[0] == traded[0]["price_open"]
            assert prices[1] == max(row["price_high"] for row in traded)
            assert prices[2] == traded[-1]["price_close"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cursor", ["markets", 1]),
        ("cursor", ["markets", None]),
        ("cursor", ["trades", "A"]),
        ("cursor", ["markets"]),
        ("limit", "1_0"),
        ("limit", "\u0661"),  # a digit elsewhere
        ("limit", "9" * 5_000),
    ],
)
def test_numbers_and_cursors_that_nobody_gave_out_are_refused(
    exchange: Exchange, client: httpx.Client, name: str, value: object
) -> None:
    text = b64encode(json.dumps(value).encode()).decode() if name == "cursor" else str(value)
    refused = client.get(f"{exchange.url}/markets", params={name: text})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")


def test_a_bar_that_has_not_ended_is_not_shown(at: Any, get: Get) -> None:
    path = f"/series/SYNHIGH/markets/{LADDER}/candlesticks"
    start = int(OPENED.timestamp())
    for now, minute_bars, hour_bars in ((90 * MINUTE, 90, 1), (120 * MINUTE, 120, 2)):
        exchange = at(OPENED + now)
        window = {"start_ts": start, "end_ts": start + 86_400}
        assert len(get(path, exchange, period_interval=1, **window)["candlesticks"]) == minute_bars
        assert len(get(path, exchange, period_interval=60, **window)["candlesticks"]) == hour_bars


def test_windows_are_inclusive_and_limited_to_five_thousand_bars(
    exchange: Exchange, client: httpx.Client, get: Get
) -> None:
    url = f"/series/SYNHIGH/markets/{LADDER}/candlesticks"
    start = int(OPENED.timestamp()) + 60
    bars = get(url, start_ts=start, end_ts=start + 120, period_interval=1)["candlesticks"]
    assert [bar["end_period_ts"] for bar in bars] == [start, start + 60, start + 120]
    most = {"start_ts": start, "end_ts": start + 4_999 * 60, "period_interval": 1}
    assert client.get(exchange.url + url, params=most).status_code == 200
    refused = client.get(exchange.url + url, params={**most, "end_ts": most["end_ts"] + 60})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "max candlesticks: 5000"


def test_a_window_may_begin_with_the_bar_before_it(get: Get) -> None:
    url = f"/series/SYNHIGH/markets/{LADDER}/candlesticks"
    start = int(OPENED.timestamp())
    all_bars = get(url, start_ts=start, end_ts=start + 600, period_interval=1)["candlesticks"]
    window = {"start_ts": start + 270, "end_ts": start + 600, "period_interval": 1}
    plain = get(url, **window)["candlesticks"]
    carried, *rest = get(url, **window, include_latest_before_start="true")["candlesticks"]
    assert rest == plain
    last = all_bars[3]  # ends at 240 seconds
    assert carried["end_period_ts"] == start + 300
    assert carried["yes_bid"]["open_dollars"] == last["yes_bid"]["close_dollars"]
    assert carried["price"]["close_dollars"] is None
    known = last["price"].get("close_dollars") or last["price"]["previous_dollars"]
    assert carried["price"]["previous_dollars"] == known


# --- nothing of the future ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("hours", [0.01, 5.33, 8.2, 10.5, 20.0])
def test_no_answer_depends_on_a_row_of_the_future(
    dataset: Store, tmp_path: Path, client: httpx.Client, hours: float
) -> None:
    now = OPENED + hours * HOUR
    rows = {name: dataset.read(name) for name in ("series", "event_fees", "markets", "settlements",
            "revisions", "determinations", "candles", "trades", "books")}  # fmt: skip
    for name, frame in rows.items():
        column = "effective_from" if "effective_from" in frame.columns else "time"
        if name != "markets":
            rows[name] = frame.filter(pl.col(column) <= now)
    unopened = pl.col("open_time") > now
    rows["markets"] = rows["markets"].filter(pl.col("open_time") <= now + 24 * HOUR).with_columns(
        pl.when(unopened).then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in (("floor_strike", 1.0), ("cap_strike", 2.0), ("subtitle", "x"),
                            ("rules", "y"))
    )  # fmt: skip
    settled = rows["settlements"].join(rows["revisions"], on="ticker", how="full", coalesce=True)
    if settled.height > rows["settlements"].height:  # what was corrected later stood until then
        first = rows["revisions"].join(rows["settlements"], on="ticker", how="anti")
        rows["settlements"] = pl.concat([rows["settlements"], first])
        rows["revisions"] = rows["revisions"].clear()
    past = Store.create(tmp_path / "past", name="past")
    past.commit(rows)
    cutoff = min(now, NOON)
    with (
        Exchange(dataset, now=now, cutoff=cutoff) as one,
        Exchange(past, now=now, cutoff=cutoff) as other,
    ):
        for path in LISTS:
            assert client.get(one.url + path).json() == client.get(other.url + path).json(), path


def test_a_market_is_listed_then_opens_closes_and_settles(at: Any, get: Get) -> None:
    opens = NOON - 15 * MINUTE
    exchange = at(opens - 25 * HOUR)
    seen = []
    for now in (
        -25 * HOUR,
        -24 * HOUR,
        timedelta(0),
        15 * MINUTE,
        15 * MINUTE + timedelta(seconds=6),
    ):
        exchange.now = opens + now
        found = get("/markets", exchange, tickers=QUARTER)["markets"]
        seen += [(m["status"], m["result"], m.get("floor_strike") is not None) for m in found] or [
            None
        ]
    assert seen[:-1] == [
        None,
        ("initialized", "", False),
        ("active", "", True),
        ("closed", "", True),
    ]
    assert seen[-1][0] == "finalized"
    assert seen[-1][1] in {"yes", "no"}


def test_an_early_close_and_a_corrected_result_appear_when_they_were_known(
    at: Any, get: Get
) -> None:
    exchange = at(OPENED)
    seen = []
    names = ("status", "close_time", "result", "settlement_value_dollars")
    for hours in (8.9, 9, 9.2, 9.4, 9.6, 10, 11):
        exchange.now = OPENED + hours * HOUR
        market = get(f"/markets/{EARLY}", exchange)["market"]
        assert ("settlement_ts" in market) == (market["status"] == "finalized")
        seen.append(tuple(market.get(name) for name in names))
    late, early = "2026-05-05T10:00:00Z", "2026-05-04T13:00:00Z"
    assert seen == [
        ("active", late, "", None),
        ("closed", early, "", None),
        ("determined", early, "no", "0.0000"),
        ("disputed", early, "no", "0.0000"),
        ("amended", early, "scalar", "0.3700"),
        ("finalized", early, "scalar", "0.3700"),
        ("finalized", early, "yes", "1.0000"),
    ]


def test_a_market_that_trades_past_its_schedule_does_not_tell_its_end(
    dataset: Store, tmp_path: Path, client: httpx.Client
) -> None:
    ended = NOON + HOUR
    row = dataset.read("settlements").filter(pl.col("ticker") == QUARTER)
    late = row.with_columns(close_time=ended, time=ended + MINUTE)
    store = Store.create(tmp_path / "late", name="late")
    store.commit({"markets": dataset.read("markets"), "settlements": late})
    with Exchange(store, now=NOON + MINUTE) as exchange:
        found = client.get(f"{exchange.url}/markets/{QUARTER}").json()["market"]
        assert (found["status"], found["close_time"]) == ("active", "2026-05-11T16:00:00Z")
        exchange.now = ended
        found = client.get(f"{exchange.url}/markets/{QUARTER}").json()["market"]
        assert (found["status"], found["close_time"]) == ("closed", "2026-05-04T17:00:00Z")


def test_quotes_and_volume_are_those_of_the_moment(dataset: Store, at: Any, get: Get) -> None:
    now = OPENED + 7 * HOUR
    market = get(f"/markets/{LADDER}", at(now))["market"]
    mine = (pl.col("ticker") == LADDER) & (pl.col("time") <= now)
    bars = dataset.read("candles").filter(mine)
    trades = dataset.read("trades").filter(mine)
    last = bars.row(-1, named=True)
    assert whole(market["yes_bid_dollars"], 10_000) == (last["bid_close"] or 0)
    assert whole(market["yes_ask_dollars"], 10_000) == last["ask_close"]
    assert whole(market["no_bid_dollars"], 10_000) == 10_000 - last["ask_close"]
    assert whole(market["last_price_dollars"], 10_000) == trades["price"][-1]
    assert whole(market["volume_fp"], 100) == bars["volume"].sum()
    assert whole(market["open_interest_fp"], 100) == last["open_interest"]


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "name", "key"),
    [
        ("/markets", "markets", "ticker"),
        ("/historical/markets", "markets", "ticker"),
        ("/events", "events", "event_ticker"),
        ("/events/fee_changes", "event_fee_changes", "id"),
    ],
)
def test_pages_of_any_size_are_complete_and_without_repeats(
    get: Get, path: str, name: str, key: str
) -> None:
    one = [row[key] for row in every(get, path, name, limit=200)]
    assert len(one) == len(set(one)) > 1
    for limit in (1, 7):
        assert [row[key] for row in every(get, path, name, limit=limit)] == one
    last = get(path, limit=len(one))
    assert (len(last[name]), last["cursor"]) == (len(one), "")


def test_pages_of_trades_stay_complete_while_trades_are_added(at: Any, get: Get) -> None:
    exchange = at(OPENED + HOUR)
    before = get("/markets/trades", exchange, limit=1000)["trades"]
    assert len(before) > 30
    page = get("/markets/trades", exchange, limit=10)
    exchange.now = OPENED + 2 * HOUR
    rows = page["trades"]
    while page["cursor"] and len(rows) <= len(before):
        page = get("/markets/trades", exchange, limit=10, cursor=page["cursor"])
        rows += page["trades"]
    assert rows[: len(before)] == before
    assert len(rows) == len(before)


def test_the_live_tier_may_reach_before_the_cutoff(at: Any, get: Get, dataset: Store) -> None:
    now = OPENED + 30 * HOUR
    exchange = at(now, cutoff=NOON, overlap=HOUR)
    both = [
        get(path, exchange, limit=1000)["markets"] for path in ("/markets", "/historical/markets")
    ]
    live, historical = ({row["ticker"] for row in rows} for rows in both)
    settled = dataset.read("settlements")
    near = settled.filter((pl.col("time") >= NOON - HOUR) & (pl.col("time") < NOON))["ticker"]
    assert live & historical == set(near)
    assert len(near) > 0


def test_what_falls_on_the_cutoff_is_live(dataset: Store, at: Any, get: Get) -> None:
    settled = dataset.read("settlements").filter(pl.col("ticker") == QUARTER)["time"][0]
    exchange = at(OPENED + 30 * HOUR, cutoff=settled)
    assert get(f"/markets/{QUARTER}", exchange)["market"]["ticker"] == QUARTER
    historical = get("/historical/markets", exchange, tickers=QUARTER)
    assert historical == {"markets": [], "cursor": ""}
    trades = dataset.read("trades").filter(pl.col("ticker") == QUARTER)
    exchange = at(OPENED + 30 * HOUR, cutoff=trades["time"][4])
    rows = [
        len(every(get, path, "trades", at=exchange, ticker=QUARTER))
        for path in ("/historical/trades", "/markets/trades")
    ]
    assert rows == [4, trades.height - 4]


def test_filters_choose_the_rows_they_name(at: Any, get: Get) -> None:
    exchange = at(NOON + MINUTE)
    rows = get("/markets", exchange, limit=1000)["markets"]

    def chosen(**parameters: Any) -> set[str]:
        return {m["ticker"] for m in get("/markets", exchange, limit=1000, **parameters)["markets"]}

    def where(wanted: Callable[[Json], bool]) -> set[str]:
        found = {row["ticker"] for row in rows if wanted(row)}
        assert 0 < len(found) < len(rows)
        return found

    words = {
        "unopened": "initialized",
        "open": "active",
        "closed": "closed",
        "settled": "finalized",
    }
    for word, status in words.items():
        if word != "closed":
            assert chosen(status=word) == where(lambda m, s=status: m["status"] == s)
    assert chosen(status="paused") == set()
    assert chosen(series_ticker="SYNHIGH") == where(lambda m: m["ticker"].startswith("SYNHIGH-"))
    assert chosen(event_ticker="SYNHIGH-26MAY04") == chosen(series_ticker="SYNHIGH")
    assert chosen(tickers=f"{LADDER},{QUARTER},NONE") == {LADDER, QUARTER}
    assert chosen(mve_filter="exclude") == where(lambda m: not m["ticker"].startswith("KXMVE"))
    assert chosen(mve_filter="only") == {"KXMVESYN-1-A"}
    edge = int(NOON.timestamp())
    for name, key in (
        ("close", "close_time"),
        ("settled", "settlement_ts"),
        ("created", "created_time"),
    ):
        low, high = f"min_{name}_ts", f"max_{name}_ts"
        split = edge - 7200 if name == "settled" else edge - 86_400 if name == "created" else edge
        known = {m["ticker"]: moment(m[key]).timestamp() for m in rows if key in m}
        assert chosen(**{low: split}) == {t for t, time in known.items() if time >= split} != set()
        assert chosen(**{high: split}) == {t for t, time in known.items() if time <= split} != set()
    recent = chosen(min_updated_ts=edge, mve_filter="exclude")
    assert QUARTER in recent
    assert LADDER not in recent


@pytest.mark.slow
def test_filters_of_trades_choose_by_ticker_and_time(get: Get) -> None:
    rows = every(get, "/markets/trades", "trades", limit=1000)
    mine = every(get, "/markets/trades", "trades", ticker=LADDER)
    assert mine == [row for row in rows if row["ticker"] == LADDER]
    low, high = int(NOON.timestamp()) + 3600, int(NOON.timestamp()) + 7200
    window = every(get, "/markets/trades", "trades", min_ts=low, max_ts=high)
    times = [moment(row["created_time"]).timestamp() for row in rows]
    assert len(window) == len([t for t in times if low <= t <= high]) > 0
    assert get("/markets/trades", is_block_trade="true")["trades"] == []
    second = int(next(t for t in times if t % 1))  # what falls within it is after it
    until = every(get, "/markets/trades", "trades", max_ts=second)
    assert len(until) == len([t for t in times if t <= second]) < len(rows)
    since = every(get, "/markets/trades", "trades", min_ts=second)
    assert len(since) == len(rows) - len(until) + times.count(second)


def test_events_leave_out_combos_and_archived_markets(get: Get) -> None:
    events = {e["event_ticker"]: e for e in get("/events", with_nested_markets="true")["events"]}
    assert "KXMVESYN-1" not in events
    assert "markets" not in events["SYNBTC15M-26MAY040015"]
    assert [m["ticker"] for m in events["SYNBTC15M-26MAY042000"]["markets"]] == [
        "SYNBTC15M-26MAY042000-00"
    ]
    assert events["SYNHIGH-26MAY04"]["mutually_exclusive"] is True
    combos = get("/events/multivariate")["events"]
    assert [e["event_ticker"] for e in combos] == ["KXMVESYN-1"]
    assert {e["event_ticker"] for e in get("/events", series_ticker="SYNHIGH")["events"]} == {
        "SYNHIGH-26MAY04"
    }
    opened = get("/events", status="open")["events"]
    assert "SYNBTC15M-26MAY042000" not in {e["event_ticker"] for e in opened}
    plain = get("/events/SYNHIGH-26MAY04")
    nested = get("/events/SYNHIGH-26MAY04", with_nested_markets="true")
    assert "markets" not in plain["event"]
    assert plain["markets"] == nested["markets"] == nested["event"]["markets"] != []


# --- older shapes, and the service itself ---------------------------------------------------------


def test_older_shapes_write_cents_and_whole_contracts(at: Any, get: Get) -> None:
    now = OPENED + 30 * HOUR
    new, both, cents = (at(now, shape=shape) for shape in ("dollars", "both", "cents"))
    trade, mixed, old = (
        get("/markets/trades", e, limit=1)["trades"][0] for e in (new, both, cents)
    )
    price = whole(trade["yes_price_dollars"], 10_000) // 100
    assert old == {
        "trade_id": trade["trade_id"],
        "ticker": trade["ticker"],
        "count": whole(trade["count_fp"], 100) // 100,
        "yes_price": price,
        "no_price": whole(trade["no_price_dollars"], 10_000) // 100,
        "price": price / 100,
        "taker_side": trade["taker_side"],
        "created_time": trade["created_time"],
    }
    dollars = {name: trade[name] for name in ("yes_price_dollars", "no_price_dollars")}
    assert mixed == {**old, **dollars}
    market, other = (get(f"/markets/{EARLY}", e)["market"] for e in (new, cents))
    assert other["settlement_value"] == 100 * whole(market["settlement_value_dollars"], 1)
    assert other["volume"] == whole(market["volume_fp"], 100) // 100
    assert (other["yes_ask"], other["no_bid"], other["tick_size"]) == (100, 0, 1)
    assert not any(name.endswith(("_dollars", "_fp")) for name in other)
    start = int(OPENED.timestamp())
    window = {"start_ts": start, "end_ts": start + 3600, "period_interval": 1}
    path = f"/series/S/markets/{LADDER}/candlesticks"
    bars = get(path, new, **window)["candlesticks"]
    for bar, late in zip(get(path, cents, **window)["candlesticks"], bars, strict=True):
        traded = "close_dollars" in late["price"]
        close = late["price"].get("close_dollars", "0.00")
        assert bar["price"]["close"] == (whole(close, 10_000) // 100 if traded else None)
        assert bar["yes_ask"]["open"] == whole(late["yes_ask"]["open_dollars"], 10_000) // 100
        assert bar["volume"] == whole(late["volume_fp"], 100) // 100
        assert not any("dollars" in name for name in bar["price"])


def test_new_commits_are_served_after_a_reload(
    one_day: Path, tmp_path: Path, client: httpx.Client
) -> None:
    import shutil

    shutil.copytree(one_day, tmp_path / "grown")
    store = Store.open(tmp_path / "grown")
    with Exchange(store, now=OPENED + 40 * HOUR) as exchange:
        url = f"{exchange.url}/markets/{QUARTER}"
        before = client.get(url).json()["market"]["settlement_value_dollars"]
        row = store.read("settlements").filter(pl.col("ticker") == QUARTER)
        Store.open(store.root).commit(
            {"settlements": row.with_columns(pl.lit(3_700, pl.Int16).alias("payout"))}
        )
        assert client.get(url).json()["market"]["settlement_value_dollars"] == before
        exchange.reload()
        assert client.get(url).json()["market"]["settlement_value_dollars"] == "0.3700"


def test_now_is_the_newest_row_by_default(dataset: Store) -> None:
    newest = max(dataset.read(name)["time"].max() for name in ("settlements", "candles", "trades"))
    assert Exchange(dataset).now == newest


def test_wrong_arguments_are_refused(dataset: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        Exchange(dataset, now=datetime(2026, 5, 4))  # noqa: DTZ001
    with pytest.raises(UsageError, match="after now"):
        Exchange(dataset, now=OPENED, cutoff=NOON)
    with pytest.raises(UsageError, match="did you mean 'cents'"):
        Exchange(dataset, shape="cent")
    with pytest.raises(UsageError, match="say what now is"):
        Exchange(Store.create(tmp_path / "empty", name="empty"))
    with Exchange(dataset) as exchange, pytest.raises(UsageError, match="cannot listen"):  # noqa: SIM117
        with Exchange(dataset, port=int(exchange.origin.rpartition(":")[2])):
            pass


def test_requests_are_counted_by_path(dataset: Store, client: httpx.Client) -> None:
    with Exchange(dataset) as exchange:
        for path in ("/markets?limit=1", "/markets", "/series/NONE"):
            client.get(exchange.url + path)
        assert exchange.requests() == {"/markets": 2, "/series/NONE": 1}
        found = client.get(f"{exchange.origin}/sandbox/requests").json()
        assert found == {"total": 3, "paths": {"/markets": 2, "/series/NONE": 1}}
        client.delete(f"{exchange.origin}/sandbox/requests")
        assert exchange.requests() == {}
        moved = client.post(f"{exchange.origin}/sandbox/now", json={"now": "2026-05-04T05:00:00Z"})
        assert moved.json() == {"now": "2026-05-04T05:00:00Z"}
        assert exchange.now == OPENED + HOUR
        assert client.get(f"{exchange.origin}/elsewhere").status_code == 404
        assert client.get(f"{exchange.origin}/sandbox/else").status_code == 404
        assert client.post(f"{exchange.url}/markets").status_code == 405


def test_a_connection_is_kept_and_many_are_served_at_once(dataset: Store) -> None:
    import socket
    from concurrent.futures import ThreadPoolExecutor

    with Exchange(dataset) as exchange:
        host, port = exchange.origin.removeprefix("http://").split(":")
        request = f"GET /trade-api/v2/exchange/status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        with (
            socket.create_connection((host, int(port))) as connection,
            connection.makefile("rb") as lines,
        ):
            for _ in range(3):
                connection.sendall(request)
                head = list(iter(lines.readline, b"\r\n"))
                assert head[0].split()[1] == b"200"
                length = next(x for x in head if x.lower().startswith(b"content-length"))
                lines.read(int(length.split()[1]))
        with httpx.Client() as one, ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda _: one.get(f"{exchange.url}/markets?limit=5"), range(16))
            )
    assert len({answer.text for answer in answers}) == 1
