"""Building blocks of signals: windows that stay inside a market, bars made of quotes, slices.

Never nest two windows in one expression: Polars evaluates the inner one inside the groups of the
outer one. Give each its own `with_columns`.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import DataError
from kalshi_bt.schema import QUOTES

Ints = NDArray[np.int64]


def per_market(expr: pl.Expr) -> pl.Expr:
    """Return `expr` evaluated within each market, its rows in time order.

    Examples
    --------
    >>> bars = pl.DataFrame({"ticker": ["A", "B", "A"], "time": [2, 1, 1], "mid": [0.5, 0.9, 0.4]})
    >>> bars.select(per_market(pl.col("mid").diff()))["mid"].round(4).to_list()
    [0.1, None, None]
    """
    return expr.over("ticker", order_by="time")


def per_event(expr: pl.Expr) -> pl.Expr:
    """Return `expr` evaluated over the markets of one event at one time.

    Examples
    --------
    >>> bars = pl.DataFrame({"event": ["E", "E"], "time": [1, 1], "mid": [0.5, 0.4]})
    >>> bars.select(per_event(pl.col("mid").sum()))["mid"].to_list()
    [0.9, 0.9]
    """
    return expr.over("event", "time")


def mid_bar() -> dict[str, pl.Expr]:
    """Return open, high, low and close of the mid, as far as the quotes of a bar tell.

    The close is the mid at the end. An unknown opening quote leaves the open at the close. The mid
    was at least the highest bid and at most the lowest ask; a side that is unknown tells nothing.
    All four are null where the book was one-sided at the end.

    Examples
    --------
    >>> bar = pl.DataFrame({"bid": 0.25, "ask": 0.75, "bid_open": None, "ask_open": 0.625,
    ...                     "bid_high": 0.5625, "ask_low": 0.4375})
    >>> bar.select(**mid_bar()).row(0, named=True)
    {'open': 0.5, 'high': 0.5625, 'low': 0.4375, 'close': 0.5}
    """
    close = (pl.col("bid") + pl.col("ask")) / 2
    start = ((pl.col("bid_open") + pl.col("ask_open")) / 2).fill_null(close)
    known = close.is_not_null()
    return {
        "open": pl.when(known).then(start),
        "high": pl.when(known).then(pl.max_horizontal(start, close, "bid_high")),
        "low": pl.when(known).then(pl.min_horizontal(start, close, "ask_low")),
        "close": close,
    }


def require(quotes: pl.LazyFrame, columns: Iterable[str], signal: str) -> pl.Schema:
    """Return the schema of `quotes`, which must have `columns`.

    Raises
    ------
    DataError
        If one is missing.
    """
    found = quotes.collect_schema()
    for name in columns:
        if name not in found:
            dtype = f" ({QUOTES[name]})" if name in QUOTES else ""
            raise DataError(
                f"quotes lacks {name!r}{dtype}, needed by {signal}; add it to the panel"
            )
    return found


def market_slices(bars: pl.DataFrame) -> tuple[Ints | None, Ints]:
    """Return how to read `bars` as one slice a market, its rows in time order.

    Parameters
    ----------
    bars : polars.DataFrame
        With ticker and time; rows in any order.

    Returns
    -------
    order : Int64 (n,) or None
        Rows to take, in this order; None if the rows already are in slices.
    starts : Int64 (markets + 1,)
        The first row of each slice, and the end of the last.

    Examples
    --------
    >>> market_slices(pl.DataFrame({"ticker": ["B", "B", "A"], "time": [1, 2, 1]}))
    (None, array([0, 2, 3]))
    >>> market_slices(pl.DataFrame({"ticker": ["B", "B", "A"], "time": [2, 1, 1]}))
    (array([2, 1, 0]), array([0, 1, 3]))
    """
    starts, rising = _runs(bars)
    heads = bars["ticker"].gather(starts[:-1])
    if rising and heads.n_unique() == len(heads):
        return None, starts
    order = bars.select(pl.arg_sort_by("ticker", "time")).to_series()
    starts, _ = _runs(bars.select("ticker", "time")[order])
    return order.to_numpy().astype(np.int64), starts


class Slices(NamedTuple):
    """How bars are read as one slice a market, and which of them are asked about.

    Attributes
    ----------
    order, starts
        As `market_slices` returns them.
    rows : Int64 (m,)
        The asked bars among all that are read so, rising.
    frame : frame (m,)
        The asked bars in the order in which they were given.
    place : Int64 (m,) or None
        Where in `frame` each of `rows` is; None if they are in place.
    """

    order: Ints | None
    starts: Ints
    rows: Ints
    frame: pl.DataFrame
    place: Ints | None


def slices_of(bars: pl.DataFrame, *, newest: bool = False) -> Slices:
    """Return how to read `bars`; asked about is each of them, or the newest of each market.

    Examples
    --------
    >>> mixed = pl.DataFrame({"ticker": ["B", "A", "B"], "time": [2, 1, 1]})
    >>> found = slices_of(mixed, newest=True)
    >>> found.rows, found.frame.rows(), found.place
    (array([0, 2]), [('B', 2), ('A', 1)], array([1, 0]))
    """
    order, starts = market_slices(bars)
    if not newest:
        return Slices(order, starts, np.arange(bars.height), bars, order)
    rows = starts[1:][np.diff(starts) > 0] - 1
    if order is None:
        return Slices(order, starts, rows, bars[rows], None)
    given = order[rows]
    return Slices(order, starts, rows, bars[np.sort(given)], np.argsort(np.argsort(given)))


def _runs(bars: pl.DataFrame) -> tuple[Ints, bool]:
    """Where the ticker changes, and whether time rises in between."""
    if bars.is_empty():
        return np.zeros(1, np.int64), True
    ticker, time = bars["ticker"], bars["time"].to_physical().to_numpy()
    coded = isinstance(ticker.dtype, pl.Enum | pl.Categorical)
    codes = (ticker.to_physical() if coded else ticker.rle_id()).to_numpy()
    change = codes[1:] != codes[:-1]
    rising = bool(np.all(change | (time[1:] > time[:-1])))
    starts = np.concatenate([[0], np.flatnonzero(change) + 1, [bars.height]])
    return starts.astype(np.int64), rising
