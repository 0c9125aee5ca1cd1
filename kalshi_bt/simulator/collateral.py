"""Collateral return: what the positions of an event cannot lose together is free to use.

The exchange pays out at least this much whatever happens, and lends it while they are held: the
worst case over the outcomes of an event, of which at most one market is YES (exclusive) or all
those up to some threshold are (a ladder), as far as what was settled leaves them open. What is lent
must stay covered: a position is sold only as far as enough is free without it.
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
    results_of,
)
from kalshi_bt.simulator.queue import AT_RESULT, push
from kalshi_bt.simulator.state import NEVER, Ints

ALONE, EXCLUSIVE, LADDER = range(3)
UNTOUCHED = -1  # of an event: nothing of it was ever held
DOLLAR = 10_000  # centi-cents, and micro-dollars of a centi-contract


@compiled
def guaranteed(kind: int, held: Ints, paid: Ints) -> int:
    """Return what the positions of one event pay in its worst outcome, micro-dollars.

    Parameters
    ----------
    kind : int
        ALONE, EXCLUSIVE or LADDER.
    held : Int64 (markets of the event,)
        Signed centi-contracts of YES; of a ladder by rising threshold.
    paid : Int64 (markets of the event,)
        What a YES was settled at, -1 where it is open. Outcomes that contradict it are left out; if
        none is left, or one was paid something between, the event does not follow its rule: 0.

    Examples
    --------
    Of two exclusive markets one at least is NO; once the second is YES, the first is NO:

    >>> int(guaranteed(EXCLUSIVE, np.array([-100, -300]), np.array([-1, -1])))
    1000000
    >>> int(guaranteed(EXCLUSIVE, np.array([-100, 0]), np.array([-1, 10_000])))
    1000000
    """
    if kind == ALONE:
        return 0
    # An outcome is how many thresholds were passed, or which market is YES, counted from 1.
    payout, first, final, winners = 0, 0, len(held), 0
    for m in range(len(held)):
        payout -= min(held[m], 0)
        if paid[m] == DOLLAR:
            first, winners = m + 1, winners + 1
        elif paid[m] == 0:
            final = min(final, m)
        elif paid[m] > 0:
            return 0
    worst, found = payout, winners == 0
    for m in range(len(held)):
        if kind == LADDER:
            payout += held[m]
            possible, value = first <= m + 1 <= final, payout
        else:
            possible = paid[m] != 0 and (winners == 0 or (winners == 1 and first == m + 1))
            value = payout + held[m]
        if possible:
            worst, found = min(worst, value) if found else value, True
    return worst * DOLLAR if found else 0


@inner
def event_credit(c: Any, event: int, market: int, position: int) -> int:
    """Return what an event gives back if a market of it holds `position`; -1: as they are."""
    begin, end = group_starts(c)[event], group_starts(c)[event + 1]
    held, paid = np.empty(end - begin, np.int64), np.empty(end - begin, np.int64)
    for k in range(begin, end):
        m = group_members(c)[k]
        held[k - begin] = position if m == market else positions_of(c)[m]
        paid[k - begin] = results_of(c)[m]
    return int64(guaranteed(group_kinds(c)[event], held, paid))


@inner
def recount(c: Any, event: int) -> None:
    """Bring the credit of an event up to date."""
    credit = event_credit(c, event, -1, 0)
    account_of(c).credit += credit - event_credits(c)[event]
    event_credits(c)[event] = credit


@inner
def count_credit(c: Any, s: Any, time: int) -> None:
    """Bring the credit of an event up to date with a position of it."""
    event = market_at(c, s.market).event
    positions_of(c)[s.market] = s.held * s.side
    if event_credits(c)[event] == UNTOUCHED:
        event_credits(c)[event] = 0
        await_results(c, event, time)
    recount(c, event)


@inner
def await_results(c: Any, event: int, time: int) -> None:
    """Note the results of an event that are known, and queue the others."""
    for k in range(group_starts(c)[event], group_starts(c)[event + 1]):
        m = group_members(c)[k]
        if market_at(c, m).settle < time:
            results_of(c)[m] = market_at(c, m).payout
        elif market_at(c, m).settle != NEVER:
            push(c, market_at(c, m).settle, AT_RESULT, m, 0)


@inner
def note_result(c: Any, market: int) -> None:
    """Let the outcomes of an event know what one of its markets was settled at."""
    results_of(c)[market] = market_at(c, market).payout
    recount(c, market_at(c, market).event)


@inner
def free_after(c: Any, s: Any, quantity: int, proceeds: int) -> int:
    """Return what is free once so much of a position was sold: what it backed is not any more."""
    a, event = account_of(c), market_at(c, s.market).event
    left = event_credit(c, event, s.market, (s.held - quantity) * s.side)
    return a.cash + proceeds - a.reserved + a.credit - event_credits(c)[event] + left


@inner
def most_covered(c: Any, s: Any, quantity: int, price: int, lot: int) -> int:
    """Return the largest quantity, in lots below `quantity`, that could be sold without a fee.

    What is free after a sale is concave in its size: where it is not negative before, the sizes
    that keep it so are all those up to some largest one, and need not be tried one by one.
    """
    if free_after(c, s, quantity, quantity * price) >= 0 or free_after(c, s, 0, 0) < 0:
        return quantity
    low, high = 0, quantity // lot + 1  # lots too few and enough to leave away
    while high - low > 1:
        middle = (low + high) // 2
        rest = quantity - middle * lot
        if free_after(c, s, rest, rest * price) >= 0:
            high = middle
        else:
            low = middle
    return quantity - high * lot
