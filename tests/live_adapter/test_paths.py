"""Stored bars, told as changes of a book and trades, come back when bars are made of them."""

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_lines import Happenings, frames

from kalshi_bt.data.books import bars
from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws_shelf import Shelf, Tape, interest
from kalshi_bt.data.wire import Quote, Trade
from kalshi_bt.schema import OHLC
from live_adapter.exchange.happenings import Counted, Printed, Seen
from live_adapter.exchange.paths import UNSIZED, path

MINUTE, START = 60_000_000, 1_767_614_400_000_000
NAMES = [f"{kind}_{part}" for kind in ("price", "bid", "ask") for part in OHLC]
Row = dict[str, Any]


def told(rows: list[Row]) -> pl.DataFrame:
    """Return bars that a client makes of what it is told of stored ones."""
    whole = (None, None)
    said = [s for row in rows for s in path(row, whole, booked=False, traded=False)]
    fold, shelf, tape = Fold(), Shelf(depth=10), Tape()
    stated: list[tuple[str, int, int]] = []
    now = 0
    for time, frame in frames(Happenings(said)):
        if time != now:
            shelf.flush(fold.books)
            now = time
        news = fold.apply(frame)
        if news.changed is not None:
            shelf.touch(news.changed, time)
        if isinstance(news.body, Trade):
            tape.add(news.body, time, ordered=True)
        if isinstance(news.body, Quote) and news.body.open_interest is not None:
            stated.append((news.body.ticker, time, news.body.open_interest))
    shelf.flush(fold.books)
    assert fold.counts == Counter()  # nothing crossed, was lost or impossible on the way
    made = bars(60, books=shelf.taken(), trades=tape.taken(), interest=interest(stated))
    return made.with_columns(pl.col("time").dt.epoch("us"))


def bar(number: int, **cells: Any) -> Row:
    """Return a bar in which nothing is known but what is given."""
    nothing = dict.fromkeys([*NAMES, "open_interest", "bid_size", "ask_size"])
    named = {"ticker": "S-E-A", "period": 60, "time": START + number * MINUTE, "volume": 0}
    return {**nothing, **named, "quote_source": "candle", **cells}


def ohlc(kind: str, values: list[int | None], empty: int) -> Row:
    """Return open, high, low and close of states, by plain comparison; empty sides are null."""
    filled = [empty if value is None else value for value in values]
    found = (filled[0], max(filled), min(filled), filled[-1])
    return {
        f"{kind}_{part}": None if v == empty else v for part, v in zip(OHLC, found, strict=True)
    }


books = st.tuples(st.integers(0, 98), st.integers(1, 99)).map(
    lambda book: (book[0] * 100 or None, (book[0] + book[1]) * 100)
)
states = books.map(lambda book: (book[0], None if book[1] >= 10_000 else book[1]))
prices = st.lists(st.integers(1, 99).map(lambda cents: cents * 100), max_size=5)


@st.composite
def markets(draw: st.DrawFn) -> list[Row]:
    """Return bars of a market, one after the other, each beginning as the one before ended."""
    rows, last = [], draw(states)
    for number in range(1, draw(st.integers(1, 5)) + 1):
        seen = [last, *draw(st.lists(states, max_size=4))]
        traded = draw(prices)
        bids, asks = ([book[side] for book in seen] for side in (0, 1))
        volume = sum(draw(st.integers(1, 500)) for _ in traded)
        sized = {"bid_size": bids[-1] and draw(st.integers(1, 900))}
        sized |= {"ask_size": asks[-1] and draw(st.integers(1, 900))}
        cells = ohlc("bid", bids, 0) | ohlc("ask", asks, 10_000) | sized
        cells |= ohlc("price", list(traded), -1) if traded else {}
        held = draw(st.integers(0, 9_999))
        rows.append(bar(number, **cells, volume=volume, open_interest=held))
        last = seen[-1]
    return rows


@settings(max_examples=60)
@given(markets())
def test_a_bar_told_as_changes_and_trades_is_the_same_bar_again(rows: list[Row]) -> None:
    made = {row["time"]: row for row in told(rows).iter_rows(named=True)}
    for row in rows:
        found = made.get(row["time"])
        if found is None:  # quiet bars after the last thing that was told are not made
            assert row["volume"] == 0
            assert all(row[f"{side}_low"] == row[f"{side}_high"] for side in ("bid", "ask"))
            continue
        names = [*NAMES, "volume", "open_interest"]
        assert {n: found[n] for n in names} == {n: row[n] for n in names}
        moved = any(row[f"{side}_open"] != row[f"{side}_close"] for side in ("bid", "ask"))
        if moved:
            for name in ("bid_size", "ask_size"):
                assert found[name] == row[name]


def test_a_bar_that_does_not_begin_where_the_last_one_ended_holds_both() -> None:
    flat = {**ohlc("bid", [4_000], 0), **ohlc("ask", [4_400], 10_000)}
    jumped = {**ohlc("bid", [5_000], 0), **ohlc("ask", [5_400], 10_000)}
    made = told([bar(1, **flat), bar(2, **jumped)])
    quotes = made.select("bid_open", "bid_high", "bid_low", "bid_close").rows()
    assert quotes == [(4_000,) * 4, (4_000, 5_000, 4_000, 5_000)]


def test_sizes_that_are_not_stored_are_large() -> None:
    cells = {**ohlc("bid", [4_000], 0), **ohlc("ask", [None], 10_000)}
    (seen, *_) = path(bar(1, **cells), (None, None), booked=False, traded=False)
    assert isinstance(seen, Seen)
    assert (seen.bids, seen.asks) == ({4_000: UNSIZED}, {})


def test_nothing_happens_before_a_market_opens_or_after_it_ends() -> None:
    cells = {**ohlc("bid", [4_000, 4_100], 0), **ohlc("ask", [4_400], 10_000)}
    row = bar(1, **cells, **ohlc("price", [4_200, 4_300], -1), volume=200, open_interest=5)
    span = START + 20_000_000, START + 41_000_000
    times = [said.time for said in path(row, span, booked=False, traded=False)]
    assert len(times) == 7
    assert span[0] < times[0] <= times[-1] < span[1]
    assert times == sorted(times)


@pytest.mark.parametrize(("source", "expected"), [("snapshot", 1), ("trades", 0), ("none", 0)])
def test_only_what_was_seen_of_a_book_is_told(source: str, expected: int) -> None:
    row = bar(1, bid_close=4_000, ask_close=4_400, quote_source=source)
    said = list(path(row, (None, None), booked=False, traded=False))
    assert [type(happening) for happening in said] == [Seen] * expected


def test_what_is_stored_elsewhere_is_not_made_of_bars() -> None:
    cells = {**ohlc("bid", [4_000], 0), **ohlc("ask", [4_400], 10_000)}
    row = bar(1, **cells, **ohlc("price", [4_200], -1), volume=200, open_interest=5)
    kinds = [
        [type(said) for said in path(row, (None, None), booked=booked, traded=traded)]
        for booked, traded in ((True, True), (True, False), (False, True))
    ]
    assert kinds == [[Counted], [Printed, Counted], [Seen, Seen, Seen, Seen, Counted]]


@pytest.mark.parametrize(
    ("volume", "quantities"),
    [(None, [200, 200]), (7, [3, 4]), (2, [1, 1]), (1, []), (0, [])],
)
def test_volume_is_shared_among_the_prices_of_a_bar(
    volume: int | None, quantities: list[int]
) -> None:
    row = bar(1, **ohlc("price", [4_200, 4_300], -1), volume=volume)
    said = path(row, (None, None), booked=True, traded=False)
    assert [s.quantity for s in said if isinstance(s, Printed)] == quantities
