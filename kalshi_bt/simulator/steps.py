"""One slot on its market: the next bar that concerns it, and what it does there."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.booking import close_entry
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import market_at, prices, terms_of, times, volumes
from kalshi_bt.simulator.entries import entry_step, waits_on
from kalshi_bt.simulator.exits import exit_step, keeps_on
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.rules import IOC, UNBOUNDED, capacity
from kalshi_bt.simulator.state import AC, AH, AL, AO, BC, BH, BL, BO, NEVER, PH, PL
from kalshi_bt.simulator.views import stands_still


@inner
def room_on(c: Any, market: int, j: int) -> int:
    """Return what a run may take of bar j of a market."""
    terms = terms_of(c)
    if terms.participation < 0:
        return UNBOUNDED
    return capacity(volumes(c)[j], terms.assumed_volume, terms.participation, lot_of(c, market))


@inner
def bar_step(c: Any, s: Any, j: int, room: int) -> int:
    """Let a slot act on bar j, its entry first, then its position; return what its entry left."""
    s.bar = j + 1
    if s.live and j != s.first_bar and (j >= s.final_bar or s.kind == IOC) and stands_still(c, j):
        # The only bars of a pause that come here: time goes on for an order, but nothing else does.
        if j >= s.final_bar:
            close_entry(c, s)
        return room
    if s.live and j >= s.first_bar:
        room = entry_step(c, s, j, room)
    if s.held > 0:
        exit_step(c, s, j, room)
    return room


@inner
def pair_step(c: Any, position: Any, opposing: Any, j: int) -> None:
    """Let the order against a position act on bar j, then the position on what it leaves."""
    room = room_on(c, position.market, j)
    if opposing.due == j:
        room = bar_step(c, opposing, j, room)
    if position.due == j and position.held > 0:
        bar_step(c, position, j, room)


@inner
def quiet_until(c: Any, s: Any, j: int, last: int) -> int:
    """Return the first bar from j on that could concern the position, else `last`.

    A coarse screen of plain comparisons: what it lets through is asked again by the rules, what it
    holds back cannot trigger a stop, reach a target or be an exit by time or order.
    """
    quotes, time = prices(c), times(c)
    stop, target = s.stop, s.target if s.target >= 0 else 20_000
    due = min(s.exit_after + 1, s.exit_time if s.exit_after == NEVER else NEVER)
    # A NO holder's bid is one less the ask: thresholds are mirrored instead of prices.
    if s.side > 0:
        low, high, first, worst, best, final = stop, target, BO, BL, BH, BC
    else:
        low, high = 10_000 - target, 10_000 - stop if stop >= 0 else 20_000
        first, worst, best, final = AO, AL, AH, AC
    for k in range(np.uint64(j), np.uint64(last)):
        bar = quotes[k]
        if max(bar[first], bar[best], bar[final], bar[PH]) >= high:
            return int64(k)
        if due != NEVER and time[k] >= due:  # a time that is not asked for is not fetched
            return int64(k)
        if 0 <= bar[first] <= low or 0 <= bar[worst] <= low:
            return int64(k)
        if 0 <= bar[final] <= low or 0 <= bar[PL] <= low:
            return int64(k)
    return last


@inner
def next_bar(c: Any, s: Any) -> int:
    """Return the next bar on which the slot can act, -1 if none is left."""
    if not s.live and s.held == 0:
        return -1
    last = market_at(c, s.market).last
    j = s.bar if s.held > 0 else max(s.bar, s.first_bar)
    while j < last:
        if not s.live:
            j = quiet_until(c, s, j, last)
            if j == last:
                return -1
        elif j >= s.first_bar:
            if s.kind == IOC or j == s.first_bar or j >= s.final_bar:
                return j
            if not waits_on(c, s, j) and not stands_still(c, j):
                return j
        if s.held > 0 and not keeps_on(c, s, j) and not stands_still(c, j):
            return j
        j += 1
    return -1
