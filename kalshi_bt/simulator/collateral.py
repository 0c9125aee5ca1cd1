"""Collateral return: what the positions of an event cannot lose together is free to use.

The exchange pays out at least this much whatever happens, and lends it while they are held: the
worst case over the outcomes of an event, of which at most one market is YES (exclusive) or all
those up to some threshold are (a ladder).
"""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled, inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    event_credits,
    group_kinds,
    group_members,
    group_starts,
    market_at,
    positions_of,
)
from kalshi_bt.simulator.state import Ints

ALONE, EXCLUSIVE, LADDER = range(3)
DOLLAR = 10_000  # centi-cents, and micro-dollars of a centi-contract


@compiled
def guaranteed(kind: int, held: Ints) -> int:
    """Return what the positions of one event pay in its worst outcome, micro-dollars.

    Parameters
    ----------
    kind : int
        ALONE, EXCLUSIVE or LADDER.
    held : Int64 (markets of the event,)
        Signed centi-contracts of YES; of a ladder by rising threshold.

    Examples
    --------
    Of two exclusive markets one at least is NO:

    >>> int(guaranteed(EXCLUSIVE, np.array([-100, -300])))
    1000000
    """
    if kind == ALONE:
        return 0
    payout = 0  # where no market is YES, or no threshold was passed
    for quantity in held:
        payout -= min(quantity, 0)
    worst = payout
    for quantity in held:
        if kind == LADDER:
            payout += quantity
            worst = min(worst, payout)
        else:
            worst = min(worst, payout + quantity)
    return worst * DOLLAR


@inner
def count_credit(c: Any, s: Any) -> None:
    """Bring the credit of an event up to date with a position of it."""
    event, account = market_at(c, s.market).event, account_of(c)
    positions_of(c)[s.market] = s.held * s.side
    begin, end = group_starts(c)[event], group_starts(c)[event + 1]
    held = np.empty(end - begin, np.int64)
    for k in range(begin, end):
        held[k - begin] = positions_of(c)[group_members(c)[k]]
    credit = int64(guaranteed(group_kinds(c)[event], held))
    account.credit += credit - event_credits(c)[event]
    event_credits(c)[event] = credit
