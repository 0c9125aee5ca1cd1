"""What recorded depth still has to offer the plain simulator: a level is taken once."""

from typing import NamedTuple

from naive_rules import Market, down, own_level


class Offer(NamedTuple):
    """One level as a side sees it."""

    price: int  # own
    size: int  # whole lots that are displayed and were not taken
    level: tuple[str, int]  # bid or ask of YES, and its price


def offers(market: Market, j: int, side: int, *, buys: bool) -> list[Offer]:
    """The levels that a buyer or a seller of `side` meets in row j, best first."""
    half = "ask" if buys == (side == 1) else "bid"
    before = market.bars[j].before
    found = []
    for price, displayed in (before.asks if half == "ask" else before.bids) or []:
        level = (half, price)
        own = own_level(price, side)
        assert own is not None
        size = down(max(displayed - market.drained[level], 0), market.lot)
        found.append(Offer(own, size, level))
    return found


def look(market: Market, j: int) -> None:
    """See the book that row j leaves: nothing stays taken that is not displayed any more."""
    after = market.bars[j].after
    if after.bids is None or after.asks is None:
        market.drained.clear()
        return
    displayed = {("bid", price): size for price, size in after.bids}
    displayed |= {("ask", price): size for price, size in after.asks}
    for level, taken in list(market.drained.items()):
        market.drained[level] = min(taken, displayed.get(level, 0))
