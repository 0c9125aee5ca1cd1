"""Recorded depth, level by level, seen from the side held."""

from typing import Any

from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import levels_of, market_at, spans_of, terms_of
from kalshi_bt.simulator.rules import UNBOUNDED, mirror

Span = tuple[int, int]


@inner
def is_known(c: Any, j: int) -> bool:
    """Tell whether the book is known that row j leaves."""
    return spans_of(c)[j, 0] >= 0


@inner
def row_before(c: Any, market: int, j: int) -> int:
    """Return the row that left the book in force until row j, -1 where that is not known."""
    return j - 1 if j > market_at(c, market).begin and is_known(c, j - 1) else int64(-1)


@inner
def blind(c: Any, market: int, j: int) -> bool:
    """Tell whether an order that rests on recorded depth cannot know its place on row j."""
    return terms_of(c).book and row_before(c, market, j) < 0


@inner
def side_of(c: Any, row: int, side: int) -> Span:
    """Return where the bids of a side that a row leaves begin and end among the levels."""
    if row < 0:
        return int64(0), int64(0)
    half = 0 if side > 0 else 2
    return spans_of(c)[row, half], spans_of(c)[row, half + 1]


@inner
def asks_before(c: Any, s: Any, j: int) -> Span:
    """Return where the levels lie at which the slot's side can buy on row j."""
    return side_of(c, row_before(c, s.market, j), -s.side)


@inner
def bids_before(c: Any, s: Any, j: int) -> Span:
    """Return where the levels lie at which the slot's side can sell on row j."""
    return side_of(c, row_before(c, s.market, j), s.side)


@inner
def level_price(c: Any, k: int, side: int) -> int:
    """Return the price of a level as a side sees it."""
    return mirror(levels_of(c)[k, 0], side)


@inner
def ahead_in_depth(c: Any, j: int, side: int, level: int) -> int:
    """Return what stands before a buy at `level` after row j; UNBOUNDED where it was not seen."""
    if not is_known(c, j):
        return UNBOUNDED
    begin, end = side_of(c, j, side)
    for k in range(begin, end):
        price = level_price(c, k, side)
        if price == level:
            size = levels_of(c)[k, 1]
            return size if size >= 0 else UNBOUNDED
        if price < level:
            return int64(0)
    return int64(0) if begin == end else UNBOUNDED
