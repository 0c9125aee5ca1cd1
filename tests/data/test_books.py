"""Bars of books and trades: every state counts, nothing is made up over a hole, and a slow twin."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_bt.data.books import bars, top
from kalshi_bt.data.validate import checks
from kalshi_bt.errors import UsageError
from kalshi_bt.schema import BOOKS, CANDLES, OHLC, TRADES

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
Side = list[tuple[int, int]] | None


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def books(*rows: tuple[str, float, Side, Side]) -> pl.DataFrame:
    def levels(side: Side) -> list[dict[str, int]] | None:
        return None if side is None else [{"price": p, "size": s} for p, s in side]

    made = [(ticker, at(time), levels(bids), levels(asks)) for ticker, time, bids, asks in rows]
    return BOOKS.check(pl.DataFrame(made, schema=BOOKS.columns, orient="row"))


def trades(*rows: tuple[str, float, str, int, int]) -> pl.DataFrame:
    made = [(ticker, at(time), i, price, size, 1) for ticker, time, i, price, size in rows]
    return TRADES.check(pl.DataFrame(made, schema=TRADES.columns, orient="row"))


def rows(frame: pl.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    CANDLES.check(frame)
    assert all(frame.filter(check.fails).is_empty() for check in checks("candles"))
    seconds = (frame["time"] - NOON).dt.total_seconds()
    return frame.with_columns(seconds.alias("time")).select("ticker", "time", *names).rows()


ASKS = [f"ask_{part}" for part in OHLC]
BIDS = [f"bid_{part}" for part in OHLC]
PRICES = [f"price_{part}" for part in OHLC]


def test_the_best_levels_come_first_and_empty_sides_are_null() -> None:
    frame = books(("A", 0, [(40, 1), (30, 2)], []), ("A", 1, None, None), ("A", 2, [], [(90, 7)]))
    assert top(frame).collect().drop("ticker", "time").rows() == [
        (True, 40, None, 1, None),
        (False, None, None, None, None),
        (True, None, 90, None, 7),
    ]


def test_quotes_span_every_state_of_a_bar_and_the_one_it_began_with() -> None:
    frame = books(
        ("A", 0.5, [(4000, 100)], [(4500, 200)]),
        ("A", 10, [(4200, 300)], [(4300, 400)]),  # at the end of a bar: still in it
        ("A", 11, [(3900, 500)], [(4300, 600)]),
        ("A", 19, [(4100, 700)], [(4400, 800)]),
    )
    assert rows(bars(10, books=frame), *BIDS, "bid_size", *ASKS, "ask_size") == [
        ("A", 10, 4000, 4200, 4000, 4200, 300, 4500, 4500, 4300, 4300, 400),
        ("A", 20, 4200, 4200, 3900, 4100, 700, 4300, 4400, 4300, 4400, 800),
    ]


def test_a_side_that_was_empty_for_a_moment_shows_in_its_extreme() -> None:
    frame = books(
        ("A", 1, [(4000, 1)], [(4500, 1)]),
        ("A", 2, [], [(4500, 1)]),
        ("A", 3, [(4100, 1)], []),
        ("A", 4, [(4100, 1)], [(4600, 1)]),
    )
    assert rows(bars(10, books=frame), *BIDS, *ASKS) == [
        ("A", 10, 4000, 4100, None, 4100, 4500, None, 4500, 4600)
    ]


def test_a_quiet_book_has_a_bar_for_every_stretch_up_to_its_last_row() -> None:
    frame = books(("A", 1, [(40, 5)], []), ("A", 35, [(50, 6)], []), ("B", 7, [], [(60, 1)]))
    assert rows(bars(10, books=frame), "bid_open", "bid_close", "bid_size", "volume") == [
        ("A", 10, 40, 40, 5, None),
        ("A", 20, 40, 40, 5, None),
        ("A", 30, 40, 40, 5, None),
        ("A", 40, 40, 50, 6, None),
        ("B", 10, None, None, None, None),
    ]


def test_a_book_lasts_as_long_as_it_was_recorded_and_no_unfinished_bar_is_made() -> None:
    frame = books(("A", 1, [(40, 5)], []), ("B", 1, [(50, 5)], []))
    until = pl.DataFrame({"ticker": ["A", "B"], "until": [at(29), at(9)]})
    assert rows(bars(10, books=frame, until=until)) == [("A", 10), ("A", 20)]


def test_a_book_lasts_to_the_last_trade() -> None:
    frame, tape = books(("A", 1, [(40, 5)], [])), trades(("A", 25, "1", 4000, 1))
    assert rows(bars(10, books=frame, trades=tape), "volume") == [
        ("A", 10, 0),
        ("A", 20, 0),
        ("A", 30, 1),
    ]


@pytest.mark.parametrize(
    ("lost", "found", "expected"),
    [
        (12, 13, [10, 30, 40]),  # inside a bar
        (10, 11, [30, 40]),  # from the very end of a bar: its last state is not known
        (12, 20, [10, 30, 40]),  # to the very end of a bar
        (12, 21, [10, 40]),
        (12, 34, [10]),  # the last one is touched too
        (25, 36, [10, 20]),
    ],
)
def test_bars_that_touch_a_hole_are_left_out(lost: int, found: int, expected: list[int]) -> None:
    known: Side = [(4000, 100)]
    frame = books(("A", 1, known, []), ("A", lost, None, None), ("A", found, known, []))
    until = pl.DataFrame({"ticker": ["A"], "until": [at(40)]})
    assert [end for _, end in rows(bars(10, books=frame, until=until))] == expected


def test_after_a_hole_without_end_there_are_no_bars() -> None:
    frame = books(("A", 1, [(40, 5)], []), ("A", 12, None, None))
    tape = trades(("A", 2, "1", 4000, 1), ("A", 55, "2", 4000, 1))
    assert rows(bars(10, books=frame, trades=tape)) == [("A", 10)]


def test_trades_give_prices_and_volume_in_the_order_of_time_and_id() -> None:
    frame = books(("A", 0.5, [(4000, 100)], [(4500, 200)]))
    tape = trades(
        ("A", 1, "b", 4400, 10),
        ("A", 9, "a", 4100, 20),
        ("A", 9, "c", 4600, 30),
        ("A", 10, "d", 4200, 40),
        ("A", 10.000001, "e", 4300, 50),
    )
    assert rows(bars(10, books=frame, trades=tape), *PRICES, "volume", "quote_source") == [
        ("A", 10, 4400, 4600, 4100, 4200, 100, "book"),
        ("A", 20, 4300, 4300, 4300, 4300, 50, "book"),
    ]


def test_without_any_book_bars_are_of_trades_alone() -> None:
    tape = trades(("A", 1, "1", 4400, 10), ("A", 31, "2", 4500, 20))
    quotes = [*BIDS, *ASKS, "bid_size", "ask_size"]
    for made in (bars(10, trades=tape), bars(10, books=BOOKS.empty(), trades=tape)):
        assert rows(made, "price_close", "volume", "quote_source", *quotes) == [
            ("A", 10, 4400, 10, "none", *[None] * 10),
            ("A", 40, 4500, 20, "none", *[None] * 10),
        ]


def test_trades_before_the_book_was_seen_make_no_bar() -> None:
    frame, tape = books(("A", 12, [(40, 1)], [])), trades(("A", 1, "1", 4400, 10))
    assert rows(bars(10, books=frame, trades=tape)) == [("A", 20)]


def test_open_interest_is_what_was_last_said_by_the_end_of_the_bar() -> None:
    frame = books(("A", 1, [(40, 1)], []), ("A", 25, [(50, 1)], []), ("B", 5, [(40, 1)], []))
    told = pl.DataFrame(
        {"ticker": ["A", "A"], "time": [at(10.5), at(20)], "open_interest": [700, 800]}
    )
    assert rows(bars(10, books=frame, interest=told), "open_interest") == [
        ("A", 10, None),
        ("A", 20, 800),
        ("A", 30, 800),
        ("B", 10, None),
    ]


def test_nothing_makes_no_bars_and_no_length_is_refused() -> None:
    assert bars(60).is_empty()
    assert bars(60, books=BOOKS.empty()).is_empty()
    with pytest.raises(UsageError, match="0 seconds"):
        bars(0)


# --- the slow twin --------------------------------------------------------------------------------


def slow(frame: pl.DataFrame, tape: pl.DataFrame | None, seconds: int, until: int) -> list[Any]:
    """Walk second by second through every microsecond that matters, one market at a time."""
    found = []
    for ticker in sorted(set(frame["ticker"])):
        states = frame.filter(pl.col("ticker") == ticker).to_dicts()
        sold = [] if tape is None else tape.filter(pl.col("ticker") == ticker).to_dicts()
        end = NOON
        while end < at(until):
            start, end = end, end + timedelta(seconds=seconds)
            before = [s for s in states if s["time"] <= start]
            inside = [s for s in states if start < s["time"] <= end]
            span = ([before[-1]] if before else []) + inside
            if end > at(until) or not span or any(s["bids"] is None for s in span):
                continue
            row: list[Any] = [ticker, end]
            for side, empty in (("bids", -1), ("asks", 10_001)):
                best = [s[side][0]["price"] if s[side] else empty for s in span]
                four = [best[0], max(best), min(best), best[-1]]
                row += [None if price == empty else price for price in four]
                row.append(span[-1][side][0]["size"] if span[-1][side] else None)
            prints = [t for t in sold if start < t["time"] <= end]
            row.append(None if tape is None else sum(t["quantity"] for t in prints))
            prices = [t["price"] for t in prints]
            row += [prices[0], max(prices), min(prices), prices[-1]] if prices else [None] * 4
            found.append(tuple(row))
    return found


SIDES = st.one_of(st.none(), st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), max_size=1))


@st.composite
def recordings(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    tickers, moments = st.sampled_from("AB"), st.integers(1, 120)
    keys = draw(st.lists(st.tuples(tickers, moments), unique=True, min_size=1, max_size=25))
    made = []
    for ticker, half in sorted(keys):
        bids = draw(SIDES)
        asks = None if bids is None else [(p + 5, s) for p, s in draw(SIDES) or []]
        made.append((ticker, half / 2, bids, asks))
    tape = draw(st.lists(st.tuples(tickers, moments, st.integers(1, 99)), max_size=25))
    sold = [(t, half / 2, f"{k:02}", p, k + 1) for k, (t, half, p) in enumerate(tape)]
    return books(*made), trades(*sorted(sold, key=lambda row: row[:3]))


@pytest.mark.slow
@given(
    recorded=recordings(),
    seconds=st.sampled_from([1, 5, 6, 15, 60]),
    with_trades=st.booleans(),
)
@settings(deadline=None)
def test_bars_equal_those_of_a_slow_walk(
    recorded: tuple[pl.DataFrame, pl.DataFrame], seconds: int, *, with_trades: bool
) -> None:
    frame, tape = recorded[0], recorded[1] if with_trades else None
    until = pl.DataFrame({"ticker": ["A", "B"], "until": [at(63)] * 2})
    made = bars(seconds, books=frame, trades=tape, until=until)
    made = made.filter(pl.col("quote_source") == "book")
    names = [*BIDS, "bid_size", *ASKS, "ask_size", "volume", *PRICES]
    assert made.select("ticker", "time", *names).rows() == slow(frame, tape, seconds, 63)
    if with_trades:
        whole = bars(seconds, trades=tape)
        assert whole["volume"].sum() == tape["quantity"].sum()
