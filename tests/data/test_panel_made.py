"""Bars made of trades or of books where a dataset has no candles, or where they are asked for."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from panel_rows import HOUR, Row, at, candle, made_store, market, seen, trade

from kalshi_bt import schema
from kalshi_bt.data.panel import PERIOD, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

UP, DOWN = 1, -1
TRADES = [
    trade("KXA-1-A", 0.5, 5_200, UP, 1, quantity=300),
    trade("KXA-1-A", 1.5, 4_900, DOWN, 2),
    trade("KXA-1-A", 30.5, 5_000, DOWN, 3),
    trade("KXB-1-A", 30.5, 700, UP, 4),
]


def book(ticker: str, minute: float, bid: int | None, ask: int | None) -> Row:
    """One level a side; None is an empty side, and both None a book that is not known."""
    sides = [None if p is None else [{"price": p, "size": 500}] for p in (bid, ask)]
    known = bid is not None or ask is not None
    bids, asks = ((side or []) if known else None for side in sides)
    return {"ticker": ticker, "time": at(minute), "bids": bids, "asks": asks}


def covered(subject: str, end: float) -> Row:
    return {"table": "books", "subject": subject, "period": 0, "end": at(end), "final": False}


def test_a_dataset_of_trades_alone_gets_bars_of_a_minute(tmp_path: Path) -> None:
    made = panel(made_store(tmp_path, {"trades": TRADES}))
    assert made.period == PERIOD == 60
    assert seen(made, "ticker", "time", "bid", "ask", "close", "volume") == [
        ("KXA-1-A", at(1), None, 0.52, 0.52, 3.0),
        ("KXA-1-A", at(2), 0.49, 0.52, 0.49, 1.0),
        ("KXA-1-A", at(31), 0.50, 0.52, 0.50, 1.0),
        ("KXB-1-A", at(31), None, 0.07, 0.07, 1.0),
    ]
    assert made.sources == {"trades": 4}
    (note,) = made.notes
    assert note.startswith("quotes are told by trades: takers of YES paid the ask, takers of NO th")
    assert note.endswith("neither is known longer than 1:00:00 after it traded")
    schema.BARS.check(made.bars)
    assert made.quotes().collect_schema().names() == list(schema.QUOTES)


def test_the_length_of_made_bars_is_the_callers(tmp_path: Path) -> None:
    store = made_store(tmp_path, {"trades": TRADES})
    made = panel(store, period=HOUR)
    assert (made.period, seen(made, "time", "volume")[0]) == (HOUR, (at(60), 5.0))
    with pytest.raises(UsageError, match="a bar of 0 seconds has no length"):
        panel(store, period=0)


def test_the_age_of_a_quote_is_the_callers(tmp_path: Path) -> None:
    store = made_store(tmp_path, {"trades": TRADES})
    made = panel(store, quote_max_age=timedelta(minutes=5), series=["KXA"])
    assert seen(made, "ask") == [0.52, 0.52, None]
    with pytest.raises(UsageError, match="quote_max_age is -1 day"):
        panel(store, quote_max_age=timedelta(days=-1))


def test_what_traded_before_the_start_still_tells_the_book(tmp_path: Path) -> None:
    store = made_store(tmp_path, {"trades": TRADES})
    made = panel(store, start=at(1), end=at(31), series=["KXA"])
    assert seen(made, "time", "ask") == [(at(2), 0.52), (at(31), 0.52)]
    within = panel(store, start=at(1.9), end=at(30.9), series=["KXA"])  # of no whole bar's end
    assert seen(within, "time") == [at(2)]


def test_the_grid_of_a_market_is_that_of_its_listing(tmp_path: Path) -> None:
    fine = [{"start": 0, "end": 10_000, "step": 10}]
    rows = [trade("KXA-1-A", 0.5, 5_000, UP), trade("KXA-1-A", 0.6, 5_000, DOWN, 1)]
    listed = [market("KXA-1-A", price_ranges=fine)]
    made = panel(made_store(tmp_path, {"trades": rows, "markets": listed}))
    assert seen(made, "bid", "ask") == [(0.5, 0.501)]


def both_ways(folder: Path) -> Store:
    rows = [candle("KXA-1-A", k, bid=4_000, ask=4_100) for k in (1, 2)]
    books = [book("KXB-1-A", 1, 600, 800)]
    return made_store(folder, {"candles": rows, "trades": TRADES, "books": books})


def test_candles_come_first_then_books_then_trades(tmp_path: Path) -> None:
    store = both_ways(tmp_path)
    assert panel(store).sources == {"candle": 2}
    assert panel(store, series=["KXB"]).sources == {"book": 31}
    assert panel(store, series=["KXA"], start=at(2)).sources == {"trades": 1}
    assert panel(store, quotes="trades").sources == {"trades": 4}
    message = r"made has no bars of 30 seconds; it has \[60\] \(quotes='trades' or 'books' makes"
    with pytest.raises(UsageError, match=message):
        panel(store, period=30)


def test_quotes_are_not_assumed_in_silence_where_trades_tell_them(tmp_path: Path) -> None:
    bare = [candle("KXA-1-A", 1, price=5_000, quote_source="none")]
    store = made_store(tmp_path, {"candles": bare, "trades": TRADES})
    assert panel(store).notes[1].endswith("quotes='trades' reads them")
    assert len(panel(made_store(tmp_path, {"candles": bare}, "alone")).notes) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quotes": "books", "series": ["KXA"]}, "made has no bars from books in the chosen"),
        ({"quotes": "candles", "series": ["KXB"]}, "made has no candles in the chosen series and"),
        ({"quotes": "trades", "start": at(40)}, "made has no bars from trades in the chosen"),
        ({"quotes": "trades", "end": at(0.7)}, "made has no bars from trades in the chosen"),
        ({"start": at(40)}, "made has no candles, books or trades in the chosen series and"),
    ],
)
def test_nothing_to_make_bars_of_is_an_error(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        panel(both_ways(tmp_path), **options)


def test_a_misspelt_source_of_quotes_is_an_error(tmp_path: Path) -> None:
    wrong: Any = "trade"
    with pytest.raises(UsageError, match="unknown source of quotes 'trade'; did you mean 'trades'"):
        panel(both_ways(tmp_path), quotes=wrong)


def test_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    naive = at(1).replace(tzinfo=None)
    with pytest.raises(UsageError, match="start is 2026-05-04T12:01:00 without a zone"):
        panel(both_ways(tmp_path), start=naive)


def test_trades_without_their_market_are_an_error(tmp_path: Path) -> None:
    store = made_store(tmp_path, {"trades": TRADES, "markets": [market("KXA-1-A")]})
    with pytest.raises(DataError, match="trades of KXB-1-A have no row in markets"):
        panel(store)


# --- from books -----------------------------------------------------------------------------------

BOOKS = [
    book("KXA-1-A", 0.5, 4_800, 5_000),
    book("KXA-1-A", 1.25, 4_900, 5_000),
    book("KXA-1-A", 1.5, 4_700, None),
]


def test_bars_of_books_have_the_extremes_of_every_state(tmp_path: Path) -> None:
    made = panel(made_store(tmp_path, {"books": BOOKS, "trades": TRADES[:1]}), period=60)
    names = ("time", "bid_open", "bid_high", "bid_low", "bid", "ask", "close")
    assert seen(made, *names) == [
        (at(1), 0.48, 0.48, 0.48, 0.48, 0.5, 0.52),
        (at(2), 0.48, 0.49, 0.47, 0.47, None, None),
    ]
    assert made.sources == {"book": 2}
    assert made.notes == ("bars of 60 seconds are made of recorded books",)


def test_quiet_bars_go_as_far_as_the_recorder_listened_and_the_market_was_to_trade(
    tmp_path: Path,
) -> None:
    """Not as far as the next row: that there will be one is not known yet."""
    listed = [market("KXA-1-A", close_time=at(5))]
    tables = {"books": BOOKS, "markets": listed}
    for name, coverage, end in (
        ("unheard", [], 2),
        ("ticker", [covered("KXA-1-A", 4)], 4),
        ("series", [covered("KXA", 3.5)], 3),
        ("closed", [covered("KXA", 60)], 5),
        ("other", [covered("KXB", 60)], 2),
    ):
        store = made_store(tmp_path, {**tables, "coverage": coverage}, name)
        assert seen(panel(store), "time")[-1] == at(end), name
        assert seen(panel(store, end=at(2.5)), "time")[-1] == at(2), name


def test_a_panel_of_books_that_starts_later_begins_with_what_stood(tmp_path: Path) -> None:
    tables = {"books": BOOKS, "coverage": [covered("KXA-1-A", 9)]}
    made = panel(made_store(tmp_path, tables), start=at(7), quotes="books")
    assert seen(made, "time", "bid_open", "bid") == [(at(k), 0.47, 0.47) for k in (8, 9)]


def test_a_market_without_a_book_gets_an_assumed_spread(tmp_path: Path) -> None:
    made = panel(made_store(tmp_path, {"books": BOOKS, "trades": TRADES[-1:]}), quotes="books")
    assert made.sources == {"book": 2, "assumed": 1}
    assert made.notes[1] == "where the quotes of the bars come from: 2 book, 1 assumed"
