"""Limits in dollars, and the breakers that stop a run: a latched one refuses every entry."""

import math
from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import accepted_times, account_of
from kalshi_bt.simulator.state import LATCH_DAY, LATCH_DRAWDOWN, LATCH_LOSSES, NONE
from kalshi_bt.units import DAY

MARKET, EVENT, CYCLE, EVERYTHING, DAILY = range(5)  # rows of the caps
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
    if a.peak - equity > terms.max_drawdown * a.peak:
        return latch(c, LATCH_DRAWDOWN, time)
    if 0 <= terms.max_losses <= a.losses:
        return latch(c, LATCH_LOSSES, time)
    return NONE


@inner
def release_breaker(c: Any, terms: Any, time: int) -> None:
    """Let a new UTC day clear the loss breakers where the terms say so."""
    a = account_of(c)
    by_day = a.latched == LATCH_DAY or a.latched == LATCH_LOSSES  # noqa: PLR1714 - compiled
    if terms.reset_daily and by_day and time // DAY > a.latch_day:
        a.latched, a.losses = NONE, 0


@inner
def too_many(c: Any, terms: Any, time: int) -> bool:
    """Tell whether the orders of the last minute leave no room for another."""
    a = account_of(c)
    while a.rate_head < a.accepted and accepted_times(c)[a.rate_head] <= time - MINUTE:
        a.rate_head += 1
    return 0 <= terms.max_order_rate <= a.accepted - a.rate_head
