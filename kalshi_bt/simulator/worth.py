"""What a contract is worth while it is held: its bid, or the result once that was determined."""

from typing import Any

from kalshi_bt.simulator.compiling import compiled


@compiled
def last_said(said: Any, begin: int, end: int, time: int) -> int:
    """Return the last row of begin ... end - 1 that was known by a time, -1 without one."""
    row = end - 1
    while row >= begin and said[row].time > time:
        row -= 1
    return row if row >= begin else -1


@compiled
def mark(bid: int, payout: int, disputed: int) -> int:
    """Return what a contract is marked at, centi-cents; all prices those of the side held.

    Parameters
    ----------
    bid : int
        -1 where nobody bids: worth nothing.
    payout : int
        As last determined, -1 if never.
    disputed : int
        Whether that is in doubt: then the lower of both counts.

    Examples
    --------
    >>> mark(9_700, 10_000, 0), mark(9_700, 10_000, 1), mark(-1, -1, 1)
    (10000, 9700, 0)
    """
    sold = max(bid, 0)
    if payout < 0:
        return sold
    return min(sold, payout) if disputed else payout
