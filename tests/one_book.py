"""One market told by its books, for cases worked by hand.

A book is told as (second, bids, asks) with levels (price in cents, contracts), best first; None is
a book that is not known.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from one_market import START, intent

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape

BOOK = FILLS["book"]
RULES = Rules(latency=0, fill=BOOK, pauses=False)
Level = tuple[int, int]
Told = tuple[float, Sequence[Level] | None, Sequence[Level] | None]

BIDS = [(48, 10), (47, 20), (40, 100)]
ASKS = [(52, 10), (53, 20), (60, 100)]
STILL: Told = (0, BIDS, ASKS)


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def levels(told: Sequence[Level] | None) -> list[dict[str, int]] | None:
    if told is None:
        return None
    return [{"price": 100 * cents, "size": 100 * contracts} for cents, contracts in told]


def tape(
    books: Sequence[Told],
    trades: Sequence[tuple[float, int, int]] = (),
    *,
    close: float | None = 1_000,
    paid: tuple[float, int] | None = None,
    bar: float | None = None,
) -> Tape:
    """One market; trades are (second, cents, contracts), and `bar` is when its first bar ended."""
    quoted = [("M0", second(t), levels(b), levels(a)) for t, b, a in books]
    printed = [
        ("M0", second(t), f"{n:04}", 100 * cents, 100 * contracts, 1)
        for n, (t, cents, contracts) in enumerate(trades)
    ]
    listed = {"ticker": ["M0"], "event": ["E"], "series": ["S"]}
    end = pl.lit(None if close is None else second(close), dtype=schema.Time)
    since = datetime(2020, 1, 1, tzinfo=START.tzinfo)
    rates = {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64}
    outcome = (
        [] if paid is None else [("M0", second(paid[0]), second(paid[0]), paid[1], "yes", None)]
    )
    return prepare_books(
        pl.DataFrame(quoted, schema.BOOKS.columns, orient="row"),
        pl.DataFrame(printed, schema.TRADES.columns, orient="row"),
        pl.DataFrame(listed).with_columns(close_time=end),
        pl.DataFrame(outcome, schema.SETTLEMENTS.columns, orient="row"),
        pl.DataFrame([(0, since, 70_000, 17_500)], rates, orient="row"),
        bars=None if bar is None else heard(bar),
    )


def heard(bar: float) -> pl.DataFrame:
    row = {"market": [0], "time": [second(bar)]}
    return pl.DataFrame(row, {name: schema.BARS.columns[name] for name in row})


def traded(made: Tape, *orders: dict[str, Any], rules: Rules = RULES) -> Simulation:
    return simulate(made, pl.DataFrame(list(orders), schema.INTENTS.columns), rules)


def order(**values: Any) -> dict[str, Any]:
    """A hundred contracts of YES, decided at second 1."""
    return intent(time=second(1), quantity=10_000, **values)


def seconds(result: Simulation) -> list[float]:
    return [(t - START) / timedelta(seconds=1) for t in result.fills["time"]]
