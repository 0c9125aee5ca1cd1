"""An order that waits in a queue: what stands before it, and what of the trading reaches it.

Everything is told of a buy at `level` by the side held; a resting sell is a buy of the other side
at the mirrored price. A missing price or size is -1.
"""

from kalshi_bt.simulator.compiling import compiled
from kalshi_bt.simulator.rules import UNBOUNDED


@compiled
def volume_at_touch(volume: int, share: int) -> int:
    """Return the part of a volume taken to have traded at one price; `share` is in 1/10 000."""
    # Split so that a huge volume cannot overflow.
    return volume // 10_000 * share + volume % 10_000 * share // 10_000


@compiled
def ahead_of(level: int, best: int, size: int, volume: int) -> int:
    """Return the centi-contracts that stand before a new order.

    Nothing does where it betters the best bid, the displayed size where it joins it. Where the
    size there was not displayed, all that a bar trades is taken to be ahead.
    """
    if 0 <= best < level:
        return 0
    if best == level and size >= 0:
        return size
    return volume


@compiled
def trading_against(level: int, quote: int, trade: int, traded: int) -> int:
    """Return how much the queue at `level` gave up on a bar; -1 where nothing came to it.

    Parameters
    ----------
    quote, trade : int
        Lowest ask and lowest print of the bar. Below the level they prove that the whole queue was
        used up: UNBOUNDED.
    traded : int
        What a print at the level itself is taken to have brought.
    """
    if 0 <= quote < level or 0 <= trade < level:
        return UNBOUNDED
    return traded if trade == level else -1


@compiled
def served(traded: int, ahead: int, lot: int) -> tuple[int, int]:
    """Return (what of the trading is left for the order, what still stands before it)."""
    if traded == UNBOUNDED:
        return UNBOUNDED, 0
    left = max(traded - ahead, 0)
    return left // lot * lot, max(ahead - traded, 0)
