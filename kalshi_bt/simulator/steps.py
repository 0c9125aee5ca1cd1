"""One slot on one bar: the bookkeeping of entries, exits and settlement around `rules`."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    event_costs,
    fill_at,
    market_at,
    order_at,
    prices,
    terms_of,
    times,
    volumes,
)
from kalshi_bt.simulator.rules import (
    ASK_OPEN,
    AT_STOP,
    AT_TARGET,
    BY_ORDER,
    BY_STOP,
    BY_TARGET,
    DECISION,
    FILLS,
    FRIENDLY,
    HOLD,
    IOC,
    LIMIT,
    NO_QUOTE,
    NO_ROLE,
    OPEN,
    PAYOUT,
    STOP,
    TAKER,
    UNBOUNDED,
    WAITS,
    capacity,
    entry_on_bar,
    exit_on_bar,
    mirror,
    selling_price,
    share,
)
from kalshi_bt.simulator.state import (
    AC,
    AH,
    AL,
    AO,
    BC,
    BEYOND,
    BH,
    BL,
    BO,
    CANCELED,
    CASH,
    ENTERED,
    EXITED,
    EXPIRED,
    FILLED,
    MARKET_CLOSED,
    NEVER,
    NO_VOLUME,
    NOT_REACHED,
    PARTIAL,
    PC,
    PH,
    PL,
    SETTLED,
    STOP_HIT,
    TARGET_HIT,
    TIMED_OUT,
    WITHOUT_QUOTE,
)
from kalshi_bt.simulator.views import (
    Quad,
    entry_fee,
    exit_fee,
    own,
    own_ask,
    own_bid,
    own_trades,
    rate_at,
    regime,
    spread_paid,
)
from kalshi_bt.units import DAY


@inner
def write_fill(
    c: Any,
    s: Any,
    time: int,
    bar: int,
    role: int,
    reason: int,
    quantity: int,
    price: int,
    fee: int,
    source: int,
) -> None:
    """Append a fill given in own terms; without room it is only counted, see `walk`."""
    a = account_of(c)
    if a.fills < c.room:
        f = fill_at(c, a.fills)
        f.order, f.seq, f.market, f.time, f.bar = s.order, s.seq, s.market, time, bar
        f.role, f.reason, f.fee, f.source = role, reason, fee, source
        f.spread = 0 if terms_of(c).naive else spread_paid(c, bar, role, quantity)
        f.quantity = quantity * s.side
        f.price = mirror(price, s.side)
    s.seq += 1
    a.fills += 1


@inner
def end_entry(c: Any, s: Any, status: int, reason: int) -> None:
    """Take the entry order out of the book and give back what it still reserves."""
    a = account_of(c)
    order_at(c, s.order).status, order_at(c, s.order).reason = status, reason
    open_cost = s.remaining * s.level
    a.exposure -= open_cost
    event_costs(c)[market_at(c, s.market).event] -= open_cost
    a.reserved -= s.reserved
    s.reserved, s.remaining, s.live = 0, 0, 0


@inner
def enter(
    c: Any,
    s: Any,
    j: int,
    time: int,
    quantity: int,
    price: int,
    role: int,
    source: int,
) -> int:
    """Book an entry fill of at most `quantity`; return what cash allowed."""
    a, terms = account_of(c), terms_of(c)
    rate = rate_at(c, s.market, time, role)
    spare = s.reserved + a.cash - a.reserved
    fee, paid, rest = int64(0), s.entry_paid, s.entry_rest
    while quantity > 0:
        if not terms.naive:
            fee, paid, rest = entry_fee(s, terms, rate, time, quantity, price)
        if quantity * price + fee <= spare:
            break
        quantity -= terms.lot
    if quantity <= 0:
        return int64(0)
    s.entry_rounding = regime(terms, time)[0]
    s.entry_paid, s.entry_rest = paid, rest
    cost = quantity * price + fee
    a.cash -= cost
    used = min(s.reserved, cost)
    s.reserved -= used
    a.reserved -= used
    moved = quantity * price - quantity * s.level
    a.exposure += moved
    event_costs(c)[market_at(c, s.market).event] += moved
    s.remaining -= quantity
    s.held += quantity
    s.cost += quantity * price
    s.flow -= cost
    order_at(c, s.order).filled += quantity
    if s.entered == 0:
        s.entered, s.mark_bar = 1, j
        whole_bar = source == ASK_OPEN and terms.end == OPEN and role == TAKER and s.kind != STOP
        if not (whole_bar or terms.end == FRIENDLY or terms.naive):
            s.close_only_bar = j
        if s.target < 0 and s.reward >= 0 and 0 <= s.stop < price:
            s.target = min(price + s.reward * (price - s.stop) // 10_000, 9_999)
    write_fill(c, s, time, j, role, ENTERED, quantity, price, fee, source)
    return quantity


@inner
def leave(c: Any, s: Any, quantity: int, proceeds: int, time: int) -> None:
    """Book the cash of an exit; a position that becomes flat counts for the breakers."""
    a = account_of(c)
    freed = share(s.cost, quantity, s.held)
    s.cost -= freed
    s.held -= quantity
    s.flow += proceeds
    a.cash += proceeds
    a.exposure -= freed
    event_costs(c)[market_at(c, s.market).event] -= freed
    if s.held == 0:
        if a.day != time // DAY:
            a.day, a.realised = time // DAY, 0
        a.realised += s.flow
        a.losses = a.losses + 1 if s.flow < 0 else 0


@inner
def entry_step(c: Any, s: Any, j: int, room: int) -> int:
    """Let the live entry act on bar j; return the capacity left."""
    terms = terms_of(c)
    high, low = own_trades(c, j, s.side)
    model = (terms.end, terms.touch, terms.prints, terms.stop_first)
    outcome, price, role, source = entry_on_bar(
        s.kind, s.limit, j == s.first_bar, own_ask(c, j, s.side), high, low, model
    )
    if outcome == FILLS:
        done, wanted = int64(0), min(s.remaining, room)
        if wanted < s.remaining:
            s.starved = 1
        if wanted > 0:
            done = enter(c, s, j, times(c)[j], wanted, price, role, source)
            room -= done
        ended, reason = CANCELED, CASH
        if s.remaining == 0:
            ended, reason = FILLED, s.trimmed
        elif s.held > 0:
            ended, reason = PARTIAL, NO_VOLUME
        elif wanted == 0:
            ended, reason = CANCELED, NO_VOLUME
        if s.remaining == 0 or s.kind != LIMIT:
            end_entry(c, s, ended, reason)
    elif outcome != WAITS:
        reason = WITHOUT_QUOTE if outcome == NO_QUOTE else BEYOND
        end_entry(c, s, CANCELED, reason)
    if s.live and j >= s.final_bar:
        close_entry(c, s)
    return room


@inner
def close_entry(c: Any, s: Any) -> None:
    """End an entry order whose time is over, or whose market has closed."""
    reason = NO_VOLUME if s.starved else NOT_REACHED
    if s.held > 0:
        end_entry(c, s, PARTIAL, reason)
    elif s.first_bar >= market_at(c, s.market).last:
        end_entry(c, s, CANCELED, MARKET_CLOSED)
    elif s.kind == IOC:
        end_entry(c, s, CANCELED, WITHOUT_QUOTE)
    else:
        end_entry(c, s, EXPIRED, reason)


@inner
def naive_exit(c: Any, s: Any, j: int) -> Quad:
    """Return the exit a believer in last prices would book on bar j."""
    high, low = own_trades(c, j, s.side)
    if s.exit_after < times(c)[j]:
        price = own(c, PC, j, s.side)
        return (BY_ORDER if price >= 0 else HOLD), price, TAKER, DECISION
    if s.stop >= 0 and 0 <= low <= s.stop:
        return BY_STOP, s.stop, TAKER, AT_STOP
    if s.target >= 0 and high >= s.target:
        return BY_TARGET, s.target, TAKER, AT_TARGET
    return HOLD, int64(-1), TAKER, DECISION


@inner
def exit_choice(c: Any, s: Any, j: int) -> Quad:
    """Return (exit, price, role, source) of the position on bar j, before size is asked."""
    terms = terms_of(c)
    if terms.naive:
        return naive_exit(c, s, j)
    bid = own_bid(c, j, s.side)
    if s.exit_after < times(c)[j]:
        price, source = selling_price(bid, terms.end)
        return (BY_ORDER if price >= 0 else HOLD), price, TAKER, source
    high, _ = own_trades(c, j, s.side)
    model = (terms.end, terms.touch, terms.prints, terms.stop_first)
    return exit_on_bar(s.stop, s.target, j == s.close_only_bar, bid, high, model)


@inner
def exit_step(c: Any, s: Any, j: int, room: int) -> None:
    """Let the position act on bar j."""
    terms, time = terms_of(c), times(c)[j]
    kind, price, role, source = exit_choice(c, s, j)
    reason = s.exit_reason
    if kind == BY_STOP:
        reason = STOP_HIT
        s.exit_reason, s.exit_after = STOP_HIT, time
    elif kind == BY_TARGET:
        reason = TARGET_HIT
    quantity = min(s.held, room)
    if kind != HOLD and quantity > 0:
        fee, paid, rest = int64(0), int64(0), int64(0)
        if not terms.naive:
            rate = rate_at(c, s.market, time, role)
            fee, paid, rest = exit_fee(s, terms, rate, time, quantity, price, reason)
        proceeds = quantity * price - fee
        if proceeds > 0:  # otherwise the contracts are worth more held to settlement
            s.exit_rounding = regime(terms, time)[0]
            s.exit_paid, s.exit_rest, s.last_exit = paid, rest, reason
            write_fill(c, s, time, j, role, reason, -quantity, price, fee, source)
            if s.live:
                end_entry(c, s, PARTIAL, EXITED)
            leave(c, s, quantity, proceeds, time)
    if s.held > 0 and s.exit_after == NEVER and s.exit_time <= time:
        s.exit_reason = TIMED_OUT
        s.exit_after = time if terms.naive else time + terms.latency
    if s.live and s.exit_after != NEVER:
        end_entry(c, s, PARTIAL, EXITED)


@inner
def bar_step(c: Any, s: Any, j: int) -> None:
    """Let a slot act on bar j: its entry first, then its position."""
    terms = terms_of(c)
    room = UNBOUNDED
    if terms.participation >= 0:
        room = capacity(volumes(c)[j], terms.assumed_volume, terms.participation, terms.lot)
    if s.live and j >= s.first_bar:
        room = entry_step(c, s, j, room)
    if s.held > 0:
        exit_step(c, s, j, room)
    s.bar = j + 1


@inner
def settle(c: Any, s: Any) -> None:
    """Pay out what is held."""
    market = market_at(c, s.market)
    payout, quantity = mirror(market.payout, s.side), s.held
    write_fill(c, s, market.settle, -1, NO_ROLE, SETTLED, -quantity, payout, 0, PAYOUT)
    leave(c, s, quantity, quantity * payout, market.settle)


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
    terms = terms_of(c)
    last = market_at(c, s.market).last
    model = (terms.end, terms.touch, terms.prints, terms.stop_first)
    j = s.bar if s.held > 0 else max(s.bar, s.first_bar)
    while j < last:
        if not s.live:
            j = quiet_until(c, s, j, last)
            if j == last:
                return -1
        elif j >= s.first_bar:
            if s.kind == IOC or j == s.first_bar or j >= s.final_bar:
                return j
            high, low = own_trades(c, j, s.side)
            ask = own_ask(c, j, s.side)
            if entry_on_bar(s.kind, s.limit, False, ask, high, low, model)[0] != WAITS:
                return j
        if s.held > 0:
            if s.exit_after == NEVER and s.exit_time <= times(c)[j]:
                return j
            if exit_choice(c, s, j)[0] != HOLD:
                return j
        j += 1
    return -1
