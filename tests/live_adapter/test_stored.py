"""A dataset that is told message by message and recorded by a client is the same dataset again."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stream_lines import Happenings, frames, micros, write

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.errors import UsageError
from kalshi_bt.schema import OHLC, STORED
from live_adapter.exchange.happenings import Seen
from live_adapter.exchange.life import Lives
from live_adapter.exchange.paths import UNSIZED
from live_adapter.exchange.stored import Stored

QUARTERS = ["SYNBTC15M-26MAY040015-15", "SYNBTC15M-26MAY040030-30"]
GAME = "SYNGAME-26MAY041900AAABBB-AAA"
OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)
Json = dict[str, Any]
Stage = list[tuple[int, Json]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two markets of the sample, with bars, trades and results."""
    mine = pl.col("ticker").is_in(QUARTERS)
    tables = sample(days=1)
    kept = {n: tables[n].filter(mine) for n in ("markets", "settlements", "candles", "trades")}
    store = Store.create(tmp_path_factory.mktemp("small") / "dataset", name="small")
    store.commit({**kept, "series": tables["series"]})
    return store


@pytest.fixture(scope="module")
def told(small: Store) -> Stage:
    """Everything that is told of them, from before they are listed."""
    return list(frames(Stored(small), now=micros(OPENED - timedelta(days=2))))


@pytest.fixture(scope="module")
def again(told: Stage, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The dataset that a client makes of it."""
    folder = tmp_path_factory.mktemp("again")
    report = import_ws([write(folder / "frames.jsonl", told)], folder / "dataset")
    wrong = {"gap", "restart", "impossible", "crossed", "before_snapshot", "unreadable", "back"}
    assert not wrong & report.messages.keys()
    return Store.open(folder / "dataset")


def test_bars_come_back(small: Store, again: Store) -> None:
    unsaid = ["bid_size", "ask_size", "quote_source"]
    stored, found = (store.read("candles").drop(unsaid) for store in (small, again))
    keys = ["ticker", "period", "time"]
    assert_frame_equal(stored, found.join(stored, on=keys, how="semi"))
    assert stored.height == 30
    assert again.read("candles")["bid_size"].unique().drop_nulls().to_list() == [UNSIZED]


def test_trades_come_back_at_their_time(small: Store, again: Store) -> None:
    stored, found = (store.read("trades") for store in (small, again))
    assert stored.height > 90
    assert_frame_equal(stored.drop("time"), found.drop("time"))
    exact = pl.col("time").dt.epoch("us")
    # Rounded up to a millisecond; what shares one, the recorder moves by microseconds.
    assert_frame_equal(stored.select((exact + 999) // 1_000), found.select(exact // 1_000))


def test_markets_and_results_come_back(small: Store, again: Store) -> None:
    names = ["ticker", "event", "open_time", "close_time", "strike_type", "floor_strike",
             "subtitle", "mutually_exclusive", "price_ranges"]  # fmt: skip
    assert_frame_equal(small.read("markets").select(names), again.read("markets").select(names))
    names = ["ticker", "time", "close_time", "payout", "result"]
    assert_frame_equal(
        small.read("settlements").select(names), again.read("settlements").select(names)
    )


def test_a_stream_that_begins_later_goes_on_as_the_whole_one(small: Store, told: Stage) -> None:
    middle = micros(OPENED + timedelta(minutes=20, seconds=7))
    rest = list(frames(Stored(small), now=middle))
    kinds = ("trade", "market_lifecycle_v2")
    for kind in kinds:
        whole = [(t, f["msg"]) for t, f in told if f["type"] == kind and t > middle + 1_000]
        assert whole
        assert [(t, f["msg"]) for t, f in rest if f["type"] == kind and t > middle + 1_000] == whole
    last, late = ([f for _, f in found if f["type"] == "ticker"][-1] for found in (told, rest))
    assert last["msg"] == late["msg"]


def test_a_market_that_has_ended_has_an_empty_book(small: Store, told: Stage) -> None:
    ended = micros(small.read("settlements")["close_time"].min())  # type: ignore[arg-type]
    fold, seen = Fold(), {}
    for time, frame in told:
        if frame["type"].startswith("orderbook") and frame["msg"]["market_ticker"] == QUARTERS[0]:
            fold.apply(frame)
            book = fold.books[QUARTERS[0]]
            seen[time] = book.bids.levels(), book.asks.levels()
    (last, after) = sorted(seen)[-2:]
    assert last <= ended
    assert any(seen[last])
    assert (after, seen[after]) == (ended + 1_000, ([], []))
    late = next(iter(Stored(small).standing(ended + 1_000)))
    assert late.book == Seen(ended + 1_000, QUARTERS[0], {}, {})


def table(name: str, rows: list[Json]) -> pl.DataFrame:
    types = {column: STORED[name].columns[column] for column in rows[0]}
    return STORED[name].filled(pl.DataFrame(rows, schema=types, orient="row"))


def level(price: int, size: int) -> Json:
    return {"price": price, "size": size}


def at(seconds: float) -> datetime:
    return OPENED + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def booked(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Books of two markets with a hole in one, a trade, and bars beside them."""
    rows = [
        ("S-E-A", at(1), [level(4_000, 500), level(3_900, 100)], [level(4_400, 700)]),
        ("S-E-A", at(2), [level(4_400, 50)], [level(4_800, 60), level(4_900, 70)]),  # up, past it
        ("S-E-A", at(3.0005), [level(3_000, 50)], [level(3_100, 60)]),  # and down again
        ("S-E-A", at(4), None, None),
        ("S-E-A", at(6), [], [level(3_200, 60)]),
        ("S-E-A", at(7), [level(3_100, None)], []),
        ("S-E-B", at(1.5), [level(100, 1)], []),
        ("S-E-B", at(5), [level(100, 1), level(90, 1)], []),
    ]
    books = [dict(zip(("ticker", "time", "bids", "asks"), row, strict=True)) for row in rows]
    trade = {"ticker": "S-E-A", "time": at(2.5), "trade_id": "t", "price": 4_800, "quantity": 10}
    bar = {"ticker": "S-E-A", "period": 60, "time": at(60), "volume": 10, "open_interest": 77}
    bar |= {"bid_close": 3_100, "quote_source": "book"}
    store = Store.create(tmp_path_factory.mktemp("booked") / "dataset", name="booked")
    store.commit(
        {
            "books": table("books", books),
            "trades": table("trades", [{**trade, "taker_side": -1}]),
            "candles": table("candles", [bar]),
        }
    )
    return store


@pytest.mark.parametrize("yes_prices", [False, True])
def test_every_stored_book_is_reached_at_its_time_and_never_crossed(
    booked: Store, yes_prices: Any
) -> None:
    fold = Fold(yes_prices=yes_prices)
    seen: dict[tuple[str, int], Any] = {}
    for time, frame in frames(Stored(booked), yes_prices=yes_prices):
        news = fold.apply(frame)
        for ticker in {news.changed, *news.lost} - {None}:
            book = fold.books.get(ticker)
            seen[ticker, time] = book and (book.bids.levels(), book.asks.levels())
    stored: dict[tuple[str, int], Any] = {}
    for row in booked.read("books").iter_rows(named=True):
        sides = [row[side] for side in ("bids", "asks")]
        told = -(-micros(row["time"]) // 1_000) * 1_000
        known = tuple([(v["price"], v["size"] or UNSIZED) for v in side or ()] for side in sides)
        stored[row["ticker"], told] = None if sides[0] is None else known
    assert seen == stored
    assert dict(fold.counts) == {"impossible": 1}  # how a hole is told


def test_a_side_keeps_a_best_price_while_it_moves(booked: Store) -> None:
    fold, bests = Fold(), set()
    for time, frame in frames(Stored(booked)):
        news = fold.apply(frame)
        if news.changed == "S-E-A" and time <= micros(at(3.001)):
            book = fold.books["S-E-A"]
            bests.add((book.bids.best(), book.asks.best()))
    assert {bid for bid, _ in bests} == {4_000, 4_400, 3_000}
    assert {ask for _, ask in bests} == {4_400, 4_800, 3_100}


def test_open_interest_of_bars_is_told_beside_recorded_books(booked: Store) -> None:
    found = [f["msg"] for _, f in frames(Stored(booked)) if f["type"] == "ticker"]
    mine = [body for body in found if body["market_ticker"] == "S-E-A"]
    assert mine[-1]["open_interest_fp"] == "0.77"
    assert {body["volume_fp"] for body in mine} == {"0.00", "0.10"}
    assert mine[-1]["price_dollars"] == "0.4800"


def results(rows: Iterator[tuple[int, Json]], ticker: str) -> list[tuple[float, Any]]:
    """Return hours since the opening and what was told of a market."""
    found = []
    for time, frame in rows:
        msg = frame["msg"]
        if frame["type"] == "market_lifecycle_v2" and msg["market_ticker"] == ticker:
            word = msg.get("settlement_value", msg.get("close_ts"))
            found.append(((time - micros(OPENED)) / 3_600_000_000, (msg["event_type"], word)))
    return found


def test_the_life_of_a_market_is_told_as_it_became_known(dataset: Store) -> None:
    scheduled, ended = (int((OPENED + timedelta(hours=n)).timestamp()) for n in (30, 9))
    told = frames(Happenings(Lives(dataset).after(0)))
    assert results(told, GAME) == [
        (-24, ("created", scheduled)),
        (0, ("activated", None)),
        (0, ("metadata_updated", None)),
        (9, ("close_date_updated", ended)),
        (9, ("deactivated", None)),
        (9.2, ("determined", "0.0000")),
        (9.6, ("determined", "0.3700")),  # the dispute is not told
        (10, ("settled", None)),
        (11, ("determined", "1.0000")),
        (11, ("settled", None)),
    ]


def test_strikes_are_told_when_a_market_opens(told: Stage, small: Store) -> None:
    row = small.read("markets").row(0, named=True)
    mine = [f["msg"] for _, f in told if f["msg"].get("market_ticker") == row["ticker"]]
    bodies = {body["event_type"]: body for body in mine if "event_type" in body}
    assert str(row["floor_strike"]) not in json.dumps(bodies["created"])
    assert bodies["metadata_updated"]["floor_strike"] == row["floor_strike"]


def test_a_close_after_the_scheduled_one_is_not_told_before(small: Store, tmp_path: Path) -> None:
    ended = OPENED + timedelta(hours=1)
    rows = small.read("settlements").filter(pl.col("ticker") == QUARTERS[0])
    late = rows.with_columns(close_time=ended, time=ended + timedelta(minutes=1))
    store = Store.create(tmp_path / "late", name="late")
    store.commit({n: small.read(n) for n in ("markets", "candles")} | {"settlements": late})
    told = results(frames(Stored(store), now=micros(OPENED)), QUARTERS[0])
    week_on = int((OPENED + timedelta(days=7, minutes=15)).timestamp())
    assert told == [
        (0.25, ("close_date_updated", week_on)),
        (1, ("close_date_updated", int(ended.timestamp()))),
        (1, ("deactivated", None)),
        (pytest.approx(1 + 1 / 60), ("determined", "1.0000")),
        (pytest.approx(1 + 1 / 60), ("settled", None)),
    ]


def test_fees_of_events_are_told_when_they_change(dataset: Store) -> None:
    told = frames(Happenings(Lives(dataset).after(0)))
    fees = [(t, f["msg"]) for t, f in told if f["type"] == "event_fee_update"]
    event = {"event_ticker": "SYNHIGH-26MAY04"}
    assert fees == [
        (
            micros(OPENED + timedelta(hours=1)),
            event | {"fee_type_override": "flat", "fee_multiplier_override": 0.25},
        ),
        (
            micros(OPENED + timedelta(hours=2)),
            event | {"fee_type_override": None, "fee_multiplier_override": None},
        ),
    ]


@pytest.mark.parametrize("shape", ["both", "cents"])
def test_older_shapes_say_the_same_in_cents_and_contracts(booked: Store, shape: str) -> None:
    fold = Fold()
    for _, frame in frames(Stored(booked), shape=shape, until=micros(at(3.001))):
        fold.apply(frame)
        if not frame["msg"]["market_ticker"].endswith("B"):
            assert ("_dollars" in json.dumps(frame)) == (shape == "both")
    # 0.50 and 0.60 contracts are less than one, and are not there; 0.01 neither.
    assert (fold.books["S-E-A"].bids.levels(), fold.books["S-E-A"].asks.levels()) == ([], [])
    fold = Fold()
    for _, frame in frames(Stored(booked), shape=shape, until=micros(at(1))):
        fold.apply(frame)
    book = fold.books["S-E-A"]
    assert book.bids.levels() == [(4_000, 500), (3_900, 100)]
    assert book.asks.levels() == [(4_400, 700)]


def test_a_dataset_in_which_nothing_happens_has_no_beginning(tmp_path: Path) -> None:
    empty = Stored(Store.create(tmp_path / "empty", name="empty"))
    assert list(frames(empty, now=0)) == []
    with pytest.raises(UsageError, match="say what now is"):
        empty.first()


def test_bars_of_a_day_that_begin_on_the_day_before_are_told_in_order(tmp_path: Path) -> None:
    quotes = {f"{side}_{part}": p for side, p in (("bid", 40), ("ask", 60)) for part in OHLC}
    rows = [
        {"ticker": ticker, "period": period, "time": time, "volume": 0, **quotes}
        | {"quote_source": "candle", "open_interest": 5}
        for ticker, period, time in (
            ("S-E-A", 86_400, OPENED + timedelta(hours=2)),
            ("S-E-B", 60, OPENED - timedelta(hours=10)),
            ("S-E-B", 60, OPENED + timedelta(hours=1)),
        )
    ]
    store = Store.create(tmp_path / "days", name="days")
    store.commit({"candles": table("candles", rows)})
    times = [time for time, _ in frames(Stored(store))]
    assert times == sorted(times)
    assert {f["msg"]["market_ticker"] for _, f in frames(Stored(store))} == {"S-E-A", "S-E-B"}
    assert times[0] < micros(OPENED - timedelta(hours=10, minutes=1))
