"""Whether an intent becomes an order, and how large: every check in its order, caps trim."""

import math
from typing import Any

import numpy as np

from kalshi_bt.simulator.breakers import (
    CYCLE,
    DAILY,
    EVENT,
    MARKET,
    breaker,
    cap,
    release_breaker,
    too_many,
)
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    event_costs,
    market_at,
    said_of,
    said_starts,
    slot_at,
    slots_of,
    terms_of,
    times,
)
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.rules import IOC, STOP, TAKER, cent_fee, mirror
from kalshi_bt.simulator.state import (
    CASH,
    CONFIDENCE,
    CYCLE_CAP,
    EDGE,
    EVENT_CAP,
    EXPOSURE,
    HOURS,
    MARKET_CAP,
    MARKET_CLOSED,
    MAX_CONTRACTS,
    MAX_POSITIONS,
    NEVER,
    NONE,
    ORDER_RATE,
    PAUSED,
    POSITION_OPEN,
    PRICE_RANGE,
    REWARD_RISK,
    SIZE_ZERO,
    STOP_SIDE,
    TARGET_SIDE,
    WITHOUT_QUOTE,
    WITHOUT_STOP,
)
from kalshi_bt.simulator.views import delay_of, own_ask, own_bid, pause_at, rate_at
from kalshi_bt.simulator.worth import last_said, mark
from kalshi_bt.units import CENT, QUANTITY_SCALE


@inner
def worth_at(c: Any, s: Any, bid: int, time: int) -> int:
    """Return what a contract of a position is marked at now."""
    row = int64(-1)
    if c.said_count > 0:
        begin, end = said_starts(c)[s.market], said_starts(c)[s.market + 1]
        row = last_said(said_of(c), begin, end, time)
    if row < 0:
        return max(bid, 0)
    return mark(bid, mirror(said_of(c)[row].payout, s.side), said_of(c)[row].disputed)


@inner
def equity_at(c: Any, time: int) -> int:
    """Return cash plus every position at what it is marked at now, micro-dollars."""
    total = account_of(c).cash
    for k in range(account_of(c).slots):
        s = slot_at(c, k)
        if s.held == 0:
            continue
        last = market_at(c, s.market).last
        while s.mark_bar + 1 < last and times(c)[s.mark_bar + 1] <= time:
            s.mark_bar += 1
        total += s.held * worth_at(c, s, own_bid(c, s.mark_bar, s.side)[3], time)
    return total


@inner
def within(quantity: int, limit: int, used: int, level: int, lot: int) -> int:
    """Return the quantity trimmed so that `used` plus its cost stays within `limit`."""
    if limit < 0:
        return quantity
    return min(quantity, max(limit - used, 0) // level // lot * lot)


@inner
def largest(budget: int, most: int, price: int, rate: int, at: int, extra: int, lot: int) -> int:
    """Return the largest multiple of `lot` up to `most` whose cost and fee stay within budget."""
    low, high = 0, most // lot
    while low < high:
        middle = (low + high + 1) // 2
        quantity = middle * lot
        if quantity * price + cent_fee(rate, quantity, at) + extra <= budget:
            low = middle
        else:
            high = middle - 1
    return low * lot


@inner
def sane(c: Any, it: Any) -> tuple[int, int, int, int, int]:
    """Return (reason, level, limit, stop, target) in own terms; level is the reference price."""
    terms = terms_of(c)
    limit = mirror(it.limit, it.side)
    stop, target = mirror(it.stop, it.side), mirror(it.target, it.side)
    level = limit if limit >= 0 else own_ask(c, it.bar, it.side)[3]
    reason = NONE
    if it.time >= market_at(c, it.market).close:
        reason = MARKET_CLOSED
    elif (limit >= 0 and not 1 <= limit <= 9_999) or (limit < 0 and it.kind != IOC):
        reason = PRICE_RANGE
    elif level < 1:
        reason = WITHOUT_QUOTE
    elif stop >= level:
        reason = STOP_SIDE
    elif 0 <= target <= level:
        reason = TARGET_SIDE
    elif it.confidence < terms.min_confidence:
        reason = CONFIDENCE
    elif stop >= 0 and target >= 0 and target - level < terms.min_reward_risk * (level - stop):
        reason = REWARD_RISK
    return reason, level, limit, stop, target


@inner
def sized(it: Any, lot: int, level: int, stop: int, equity: int, rate: int) -> int:
    """Return the quantity an intent asks for, -1 where it is to be sized to a stop it lacks."""
    if it.quantity >= 0:
        return it.quantity
    if not np.isnan(it.stake):
        budget = int64(math.floor(it.stake * equity))
        if budget <= 0:
            return int64(0)
        return largest(budget, budget // level, level, rate, level, 0, lot)
    if np.isnan(it.risk):
        return int64(0)
    if stop < 0:
        return int64(-1)
    budget = int64(math.floor(it.risk * equity))
    return max(budget, 0) // (level - stop) // lot * lot


@inner
def to_net(s: Any, side: int) -> tuple[int, int]:
    """Return what an order of a side would net in its market, and its cost; (0, 0): it may not."""
    if s.side == side or s.live or s.pair >= 0 or s.exit_after != NEVER:
        return int64(0), int64(0)
    return s.held, s.cost


@inner
def capped(
    c: Any, terms: Any, equity: int, market: int, quantity: int, level: int, held: int, basis: int
) -> tuple[int, int, int]:
    """Return (quantity, reason of the last trim, reason of rejection) after the caps.

    Parameters
    ----------
    held, basis : int
        The position the order would net, and its cost: the caps trim what goes beyond it.
    """
    a, lot = account_of(c), lot_of(c, market)
    trimmed = NONE
    if 0 <= terms.max_contracts * QUANTITY_SCALE < quantity:
        quantity, trimmed = terms.max_contracts * QUANTITY_SCALE, MAX_CONTRACTS
    netted = min(quantity, held)
    beyond = quantity - netted
    for row in range(DAILY):
        if beyond == 0 and netted >= lot:
            break
        if row == MARKET:
            used, reason = int64(0), MARKET_CAP
        elif row == EVENT:
            used, reason = event_costs(c)[market_at(c, market).event] - basis, EVENT_CAP
        elif row == CYCLE:
            used, reason = a.cycle_cost, CYCLE_CAP
        else:
            if held == 0 and 0 <= terms.max_positions <= a.busy:
                return int64(0), trimmed, MAX_POSITIONS
            used, reason = a.exposure - basis, EXPOSURE
        allowed = within(beyond, cap(terms, row, equity), used, level, lot)
        if allowed < beyond:
            beyond, trimmed = allowed, reason
        if netted + beyond < lot:
            return int64(0), trimmed, reason
    return netted + beyond, trimmed, NONE


@inner
def cash_need(rate: int, quantity: int, worst: int) -> int:
    """Return what an order may cost at most: its price bound, its fee, and a cent of rounding."""
    return quantity * worst + cent_fee(rate, quantity, min(worst, 5_000)) + CENT


@inner
def affordable(
    c: Any, lot: int, rate: int, quantity: int, worst: int, held: int
) -> tuple[int, int, bool]:
    """Return (quantity, what it reserves, whether cash trimmed it) of an order."""
    a = account_of(c)
    netted = min(quantity, held)
    beyond = quantity - netted
    if beyond == 0:
        return quantity, int64(0), False
    free = a.cash - a.reserved + a.credit
    need, short = cash_need(rate, beyond, worst), False
    if need > free:
        beyond = largest(free, beyond, worst, rate, min(worst, 5_000), CENT, lot)
        need, short = cash_need(rate, beyond, worst) if beyond > 0 else int64(0), True
    return netted + beyond, need, short


@inner
def accept(c: Any, it: Any, i: int, order: Any) -> tuple[int, int, int, int, int, int, int, int]:
    """Ask every check in its order.

    Returns
    -------
    tuple of int
        (reason of rejection or NONE, quantity, trim reason, level, limit, stop, target, reserve).
    """
    a, terms, lot = account_of(c), terms_of(c), lot_of(c, it.market)
    release_breaker(c, terms, it.time)
    equity = equity_at(c, it.time) if terms.needs_equity else a.cash
    a.peak = max(a.peak, equity)
    if a.cycle_time != it.time:
        a.cycle_time, a.cycle_cost = it.time, 0
    reason, level, limit, stop, target = sane(c, it)
    arrival = it.time + delay_of(c, i)
    begin, end = pause_at(c, arrival)
    if begin <= arrival < end:
        reason = PAUSED
    if it.outside:
        reason = HOURS
    if a.latched != NONE:
        reason = a.latched
    rate = rate_at(c, it.market, it.time, TAKER)
    quantity, trimmed, reserve = int64(0), NONE, int64(0)
    held, basis = int64(0), int64(0)
    if reason == NONE:
        quantity, reason = sized_and_wanted(it, order, lot, level, stop, equity, rate)
    if reason == NONE:
        fair = it.fair if it.side > 0 else 1.0 - it.fair
        fee = rate * level * (10_000 - level) / 1e10
        if fair * 10_000 - level - fee < terms.min_edge * 10_000:
            reason = EDGE
        elif slots_of(c)[it.market] >= 0:
            held, basis = to_net(slot_at(c, slots_of(c)[it.market]), it.side)
            reason = NONE if held > 0 else POSITION_OPEN
    if reason == NONE:
        quantity, trimmed, reason = capped(
            c, terms, equity, it.market, quantity, level, held, basis
        )
    if reason == NONE:
        worst = limit if limit >= 0 and it.kind != STOP else 10_000
        quantity, reserve, short = affordable(c, lot, rate, quantity, worst, held)
        trimmed = CASH if short else trimmed
        reason = CASH if quantity < lot else breaker(c, terms, equity, it.time)
    if reason == NONE and too_many(c, terms, it.time):
        reason = ORDER_RATE
    return reason, quantity, trimmed, level, limit, stop, target, reserve


@inner
def sized_and_wanted(
    it: Any, order: Any, lot: int, level: int, stop: int, equity: int, rate: int
) -> tuple[int, int]:
    """Return (quantity, reason) of the sizing and record what was wanted."""
    quantity = sized(it, lot, level, stop, equity, rate)
    if quantity < 0:
        return int64(0), WITHOUT_STOP
    order.wanted = quantity
    return quantity, SIZE_ZERO if quantity < lot else NONE
