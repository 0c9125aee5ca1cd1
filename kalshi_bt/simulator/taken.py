"""What this run has taken from recorded depth: a level that was bought is not there to buy again.

The recorded book goes on to display it, for nobody bought it there. What was taken from a level
stays with its price until the recorded size falls below it: then others must have taken it too.
"""

from typing import Any

from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import levels_of, spans_of, taken_of, taken_rows
from kalshi_bt.simulator.depth import is_known
from kalshi_bt.simulator.lots import lot_of


@inner
def carry_half(c: Any, half: int, old: int, new: int) -> bool:
    """Move what was taken from half of the book of a row to a later one; tell if any is left."""
    levels, taken, left = levels_of(c), taken_of(c), False
    up = -1 if half == 0 else 1  # bids fall, asks rise
    spans, begin = spans_of(c), 2 * half
    i, end = spans[old, begin], spans[old, begin + 1]
    for k in range(spans[new, begin], spans[new, begin + 1]):
        while i < end and up * levels[i, 0] < up * levels[k, 0]:
            i += 1
        if i < end and levels[i, 0] == levels[k, 0] and taken[i] > 0:
            taken[k] = min(taken[i], max(levels[k, 1], 0))
            left = left or taken[k] > 0
    return left


@inner
def carry_taken(c: Any, market: int, j: int) -> None:
    """Bring what was taken from a market up to date with the book before row j."""
    row, spans = taken_rows(c)[market], spans_of(c)
    while 0 <= row < j:
        old, new = row - 1, row
        row += 1
        if not is_known(c, new):
            row = int64(-1)
        elif spans[new, 0] != spans[old, 0] or spans[new, 2] != spans[old, 2]:
            bids, asks = carry_half(c, 0, old, new), carry_half(c, 1, old, new)
            if not bids and not asks:
                row = int64(-1)
    taken_rows(c)[market] = row


@inner
def take(c: Any, market: int, j: int, k: int, quantity: int) -> None:
    """Note what was taken from level k on row j."""
    taken_of(c)[k] += quantity
    taken_rows(c)[market] = j


@inner
def offered(c: Any, market: int, k: int) -> int:
    """Return the whole lots that a level displays beyond what this run has taken from it."""
    left, lot = max(levels_of(c)[k, 1] - taken_of(c)[k], 0), lot_of(c, market)
    return left // lot * lot
