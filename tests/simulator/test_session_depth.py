"""Sessions that walk recorded depth, worked by hand."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from one_book import ASKS, BIDS, RULES, STILL, Told, heard, levels, order, second, tape
from one_market import ends, fills

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.session import Session
from kalshi_bt.simulator.simulate import Simulation

pytestmark = pytest.mark.slow  # the kernels of a session take half a minute to compile


def opened(rules: Rules = RULES) -> Session:
    """A session of the market of `one_book.tape`."""
    made = tape([STILL])
    rates = pl.DataFrame(
        {"market": [0], "from_time": [second(-9e6)], "taker": [70_000], "maker": [17_500]},
        {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64},
    )
    session = Session(rules, lambda _: rates)
    session.list_markets(made.table)
    return session


def told(session: Session, *books: Told, until: float, trades: Any = ()) -> None:
    """Tell what was recorded up to a second."""
    rows = [("M0", second(t), levels(b), levels(a)) for t, b, a in books]
    printed = [("M0", second(t), f"{t}", 100 * c, 100 * n, 1) for t, c, n in trades]
    session.add_books(
        pl.DataFrame(rows, schema.BOOKS.columns, orient="row"),
        pl.DataFrame(printed, schema.TRADES.columns, orient="row"),
    )
    session.advance(second(until))


def ask(session: Session, number: float = 1, **values: Any) -> None:
    wanted = pl.DataFrame([order(**values) | {"time": second(number)}], schema.INTENTS.columns)
    session.ask(wanted.drop("market").with_columns(ticker=pl.lit("M0")))


def taken(result: Simulation) -> list[tuple[int, int]]:
    return [(quantity, price) for _, _, quantity, price in fills(result)]


def test_a_taker_walks_the_book_that_was_told_last() -> None:
    session = opened()
    told(session, STILL, until=1)
    ask(session, limit=5_300)
    told(session, (3, BIDS, [(90, 500)]), until=4)
    assert taken(session.so_far()) == [(1_000, 5_200), (2_000, 5_300)]
    assert ends(session.end()) == [("partial", "no_volume", 3_000)]


def test_a_level_that_was_taken_is_not_there_again() -> None:
    session = opened()
    told(session, STILL, until=1)
    ask(session, limit=5_200)
    for n in range(2, 90):  # the slices of rows and levels are moved meanwhile
        told(session, (n, BIDS, ASKS), until=n)
        if n == 40:
            ask(session, number=n, side=0)
    ask(session, number=89, limit=5_200)
    told(session, (90, BIDS, ASKS), until=90)
    assert ends(session.so_far())[2:] == [("canceled", "no_volume", 0)]
    assert taken(session.so_far()) == [(1_000, 5_200), (-1_000, 4_800)]


def test_its_last_row_comes_with_the_close_of_a_market() -> None:
    session = opened()
    told(session, STILL, until=1)
    ask(session, limit=5_200)
    assert session.so_far().fills.is_empty()
    session.close({"M0": second(5)})
    told(session, (6, BIDS, [(40, 10)]), until=7)
    assert taken(session.so_far()) == [(1_000, 5_200)]


def test_a_market_with_bars_alone_can_be_decided_on_and_nothing_is_found() -> None:
    session = opened()
    with pytest.raises(DataError, match="nothing of M0 was recorded by"):
        ask(session)
    bar = schema.BARS.filled(heard(1).with_columns(pl.lit(0, pl.Int64).alias("volume")))
    session.add_bars(bar.drop("market").with_columns(ticker=pl.lit("M0")))
    session.advance(second(1))
    ask(session, limit=5_300)
    assert ends(session.end()) == [("canceled", "no_quote", 0)]


def test_a_lost_book_offers_nothing_until_it_is_told_again() -> None:
    session = opened()
    told(session, STILL, (0.5, None, None), until=1)
    ask(session, limit=5_300)
    told(session, (3, BIDS, ASKS), (4, BIDS, ASKS), until=4)
    assert ends(session.end()) == [("canceled", "no_quote", 0)]


def test_a_quiet_market_keeps_the_levels_of_its_newest_book() -> None:
    session = opened()
    for n in range(9):
        told(session, (n, BIDS, ASKS[:2]), until=n)
    assert session._depth.count.tolist() == [5]
    session._room.keep(np.array([0]))
    told(session, (9, BIDS, ASKS), (10, BIDS, []), until=10, trades=[(9.5, 52, 1)])
    assert session._depth.count.tolist() == [5 + 6 + 3]


def test_books_come_in_the_order_of_their_times() -> None:
    session = opened()
    told(session, STILL, (2, BIDS, ASKS), until=2)
    with pytest.raises(DataError, match=r"books: M0 was told of .* after"):
        told(session, (2, BIDS, []), until=3)
    stranger = schema.BOOKS.empty(), schema.TRADES.empty()
    opened(Rules(fill=RULES.fill)).add_books(*stranger)
    with pytest.raises(UsageError, match="needs fills by book"):
        opened(Rules()).add_books(*stranger)
