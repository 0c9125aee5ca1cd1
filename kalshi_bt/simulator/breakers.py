"""Limits in dollars, and the breakers that stop a run: a latched one refuses every entry."""

import math
from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled, inner, int64
from kalshi_bt.simulator.context import accepted_times, account_of
from kalshi_bt.simulator.state import (
    LATCH_DAY,
    LATCH_DRAWDOWN,
    LATCH_LOSSES,
    LATCH_SESSION,
    LATCH_WEEK,
    NEVER,
    NONE,
)
from kalshi_bt.units import DAY

MARKET, EVENT, CYCLE, EVERYTHING, DAILY, WEEKLY, SESSION = range(7)  # rows of the limits
MINUTE = 60_000_000


@inner
def cap(terms: Any, row: int, equity: int) -> int:
    """Return a cap in micro-dollars, -1 where there is none."""
    limit = terms.dollars[row]
    if not np.isnan(terms.fractions[row]):
        part = int64(math.floor(terms.fractions[row] * equity))
        if limit < 0 or part < limit:
            limit = max(part, 0)
    return limit


@compiled
def week_of(day: int) -> int:
    """Return the number of a week that begins on Monday, of days since 1970-01-01, a Thursday.

    Examples
    --------
    >>> week_of(3), week_of(4), week_of(10), week_of(11)
    (0, 1, 1, 2)
    """
    return (day + 3) // 7


@inner
def count_result(c: Any, result: int, time: int) -> None:
    """Count what a round trip that became flat brought, for day, week, run and row."""
    a, day = account_of(c), time // DAY
    if a.day != day:
        a.day, a.realised = day, 0
    if a.week != week_of(day):
        a.week, a.realised_week = week_of(day), 0
    a.realised += result
    a.realised_week += result
    a.realised_run += result
    a.losses = a.losses + 1 if result < 0 else 0


@inner
def latch(c: Any, reason: int, time: int) -> int:
    """Latch a breaker and return its reason."""
    a = account_of(c)
    a.latched, a.latch_day = reason, time // DAY
    return reason


@inner
def breaker(c: Any, terms: Any, equity: int, time: int) -> int:
    """Return the breaker that trips now, NONE if none does."""
    a = account_of(c)
    lost = -a.realised if a.day == time // DAY else 0
    limit = cap(terms, DAILY, equity)
    if lost > 0 and 0 <= limit <= lost:
        return latch(c, LATCH_DAY, time)
    lost = -a.realised_week if a.week == week_of(time // DAY) else 0
    limit = cap(terms, WEEKLY, equity)
    if lost > 0 and 0 <= limit <= lost:
        return latch(c, LATCH_WEEK, time)
    lost, limit = -a.realised_run, cap(terms, SESSION, equity)
    if lost > 0 and 0 <= limit <= lost:
        return latch(c, LATCH_SESSION, time)
    fall = a.peak - equity
    if fall > 0 and fall >= terms.max_drawdown * a.peak:
        return latch(c, LATCH_DRAWDOWN, time)
    if 0 <= terms.max_losses <= a.losses:
        return latch(c, LATCH_LOSSES, time)
    return NONE


@inner
def release_breaker(c: Any, terms: Any, time: int) -> None:
    """Let a new UTC day, or a new week, clear a breaker where the terms say so.

    Nothing clears the loss of the run. Where a day clears a drawdown, what was lost until then
    would trip it again: the peak starts anew, at the equity of the decision that is asked for.
    """
    a, day = account_of(c), time // DAY
    if a.latched == LATCH_DRAWDOWN:
        if terms.renew_peak and day > a.latch_day:
            a.latched, a.peak = NONE, -NEVER
        return
    over = False
    if a.latched == LATCH_WEEK:
        over = week_of(day) > week_of(a.latch_day)
    elif a.latched == LATCH_DAY or a.latched == LATCH_LOSSES:  # noqa: PLR1714 - compiled
        over = day > a.latch_day
    if terms.reset_daily and over:
        a.latched, a.losses = NONE, 0


@inner
def too_many(c: Any, terms: Any, time: int) -> bool:
    """Tell whether the orders of the last minute leave no room for another."""
    a = account_of(c)
    while a.rate_head < a.accepted and accepted_times(c)[a.rate_head] <= time - MINUTE:
        a.rate_head += 1
    return 0 <= terms.max_order_rate <= a.accepted - a.rate_head
