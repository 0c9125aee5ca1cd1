"""The batch walk: intents in global time order, a heap of what is pending.

An accepted intent takes a slot. A slot scans its own market forward to the next bar on which
something can happen and waits in the heap until then, so bars nobody holds or bids for are never
read: the cost is intents x log plus bars held. Before an intent is asked, everything that happened
up to its time has happened: bars by market, then settlements by market.
"""

from typing import Any

from kalshi_bt.simulator.booking import close_entry, end_entry, enter, settle
from kalshi_bt.simulator.collateral import note_result
from kalshi_bt.simulator.compiling import compiled, inner, int64
from kalshi_bt.simulator.context import (
    accepted_times,
    account_of,
    event_costs,
    free_slots,
    market_at,
    order_at,
    queue_of,
    slot_at,
    slots_of,
    terms_of,
    times,
)
from kalshi_bt.simulator.queue import (
    AT_BAR,
    AT_CLOSE,
    AT_RESULT,
    AT_SETTLEMENT,
    ONE_KIND,
    drop_first,
    push,
)
from kalshi_bt.simulator.risk import accept
from kalshi_bt.simulator.rules import DECISION, IOC, LIMIT, TAKER
from kalshi_bt.simulator.slices import first_after
from kalshi_bt.simulator.state import (
    CANCELED,
    CASH,
    EXITED,
    FILLED,
    NEVER,
    NO_POSITION,
    NO_VOLUME,
    NONE,
    PARTIAL,
    PC,
    REJECTED,
    SIGNAL,
    SIGNALLED,
    WITHOUT_QUOTE,
)
from kalshi_bt.simulator.steps import bar_step, next_bar, pair_step, room_on
from kalshi_bt.simulator.views import ahead_of_limit, delay_of, own, own_ask, stands_still


@inner
def release(c: Any, k: int) -> None:
    """Put a slot back on the stack and leave its market to the other one of a pair, if any."""
    a, s = account_of(c), slot_at(c, k)
    free_slots(c)[a.free] = k
    a.free += 1
    slots_of(c)[s.market] = s.pair
    if s.pair >= 0:
        slot_at(c, s.pair).pair = -1
    else:
        a.busy -= 1


@inner
def wait(c: Any, k: int, clock: int) -> None:
    """Queue the slot's next event, which voids its earlier one; release it when nothing is left."""
    s = slot_at(c, k)
    if s.pair >= 0 and s.pair == slots_of(c)[s.market] and slot_at(c, s.pair).held == 0:
        release(c, s.pair)  # the position this order was against is netted or gone
    s.version, s.due = clock, -1
    j = next_bar(c, s)
    market = market_at(c, s.market)
    over = min(market.close, s.expires) if s.live else NEVER
    if j >= 0 and times(c)[j] <= over:
        s.due = j
        push(c, times(c)[j], AT_BAR, s.market, clock)
        return
    if s.live:
        # Without another bar it rests until its time is up: that there is none, nobody knew.
        if over != NEVER:
            push(c, over, AT_CLOSE, s.market, clock)
    elif s.held == 0:
        release(c, k)
    elif market.settle != NEVER:
        push(c, market.settle, AT_SETTLEMENT, s.market, clock)


@inner
def open_slot(
    c: Any,
    it: Any,
    i: int,
    k: int,
    accepted: tuple[int, int, int, int, int, int, int, int],
) -> None:
    """Put an accepted intent into slot k as a live order."""
    _, quantity, trimmed, level, limit, stop, target, reserve = accepted
    a, s, terms, market = account_of(c), slot_at(c, k), terms_of(c), market_at(c, it.market)
    s.market, s.side, s.order, s.live = it.market, it.side, i, 1
    s.pair = slots_of(c)[it.market]
    s.kind, s.limit, s.remaining, s.level = it.kind, limit, quantity, level
    s.reserved, s.starved, s.trimmed = reserve, 0, trimmed
    arrival = it.time + (0 if terms.naive else delay_of(c, i))
    s.arrival = arrival
    s.first_bar = first_after(times(c), it.bar + 1, market.last, arrival)
    while s.first_bar < market.last and stands_still(c, s.first_bar):
        s.first_bar += 1
    bars_valid = 1 if it.kind == IOC else max(it.valid_bars, 1)
    s.final_bar = NEVER if terms.bar else s.first_bar + bars_valid - 1
    s.expires = arrival + bars_valid * terms.bar if terms.bar else NEVER
    s.bar = it.bar + 1
    s.held, s.cost, s.flow, s.entered, s.seq = 0, 0, 0, 0, 0
    s.stop, s.target, s.reward = stop, target, it.reward
    if terms.random:
        s.attempted = 0
    if terms.queue:
        s.target_ahead = 0
        s.ahead = ahead_of_limit(c, it.bar, it.side, limit) if it.kind == LIMIT else 0
    s.close_only_bar, s.exit_after, s.exit_reason = -1, NEVER, NONE
    s.exit_time, s.last_exit, s.mark_bar = it.exit_time, -1, it.bar
    s.entry_rounding, s.entry_paid, s.entry_rest = -1, 0, 0
    s.exit_rounding, s.exit_paid, s.exit_rest = -1, 0, 0
    if s.pair >= 0:
        slot_at(c, s.pair).pair = k
    else:
        slots_of(c)[it.market] = k
        a.busy += 1
    order_at(c, i).quantity = quantity
    a.reserved += reserve
    cost = quantity * level
    a.exposure += cost
    a.cycle_cost += cost
    event_costs(c)[market.event] += cost
    accepted_times(c)[a.accepted] = it.time
    a.accepted += 1


@inner
def fill_naively(c: Any, it: Any, k: int) -> None:
    """Fill the whole order where it was decided."""
    s = slot_at(c, k)
    price = s.limit
    if price < 0:
        price = own(c, PC, it.bar, s.side)
    if price < 0:
        price = own_ask(c, it.bar, s.side)[3]
    if price < 0:
        end_entry(c, s, CANCELED, WITHOUT_QUOTE)
        return
    done = enter(c, s, it.bar, it.time, s.remaining, price, TAKER, DECISION)
    ended, reason = FILLED, s.trimmed
    if done == 0:
        ended, reason = CANCELED, CASH
    elif s.remaining > 0:
        ended, reason = PARTIAL, NO_VOLUME
    end_entry(c, s, ended, reason)


@inner
def take_back(c: Any, k: int) -> None:
    """End the order against a position that is to be closed."""
    s = slot_at(c, k)
    if order_at(c, s.order).filled > 0:
        end_entry(c, s, PARTIAL, EXITED)
    else:
        end_entry(c, s, CANCELED, SIGNAL)
    release(c, k)


@inner
def close_intent(c: Any, it: Any, i: int) -> int:
    """Apply an intent of side 0; return its slot, -1 if there is nothing to close."""
    terms, order, k = terms_of(c), order_at(c, i), slots_of(c)[it.market]
    if k < 0:
        order.status, order.reason = REJECTED, NO_POSITION
        return k
    s = slot_at(c, k)
    s.bar = max(s.bar, it.bar + 1)
    order.status, order.reason = FILLED, NONE
    if s.held == 0:
        end_entry(c, s, PARTIAL if order_at(c, s.order).filled else CANCELED, SIGNAL)
        order.reason = SIGNAL
        return k
    if s.live:
        end_entry(c, s, PARTIAL, EXITED)
    if s.pair >= 0:
        take_back(c, s.pair)
    order.wanted, order.quantity = s.held, s.held
    if s.exit_after == NEVER:
        s.exit_reason = SIGNALLED
        s.exit_after = it.time if terms.naive else it.time + delay_of(c, s.order)
    return k


@inner
def both_act(c: Any, k: int, j: int, clock: int) -> int:
    """Let the position in slot k and the order against it act on bar j; return the clock."""
    s, other = slot_at(c, k), slot_at(c, k).pair
    opposing = slot_at(c, other)
    for_position, for_order = s.due == j, opposing.due == j
    pair_step(c, s, opposing, j)
    if for_position:
        wait(c, k, clock)
        clock += 1
    if for_order:
        wait(c, other, clock)
    return clock


@inner
def run_until(c: Any, time: int, clock: int) -> int:
    """Let everything up to and including `time` happen; return the clock."""
    a, first = account_of(c), queue_of(c)[0]
    while a.queued > 0 and first.time <= time:
        what, version = first.what, first.version
        drop_first(c)
        if what // ONE_KIND == AT_RESULT:
            note_result(c, what % ONE_KIND)
            continue
        k = slots_of(c)[what % ONE_KIND]
        if k >= 0 and slot_at(c, k).version != version:
            k = slot_at(c, k).pair
        if k < 0 or slot_at(c, k).version != version:
            continue
        s, kind = slot_at(c, k), what // ONE_KIND
        clock += 1
        if kind == AT_BAR and s.pair >= 0:
            clock = both_act(c, slots_of(c)[s.market], s.due, clock)
        elif kind == AT_BAR:
            bar_step(c, s, s.due, room_on(c, s.market, s.due))
            wait(c, k, clock)
        elif kind == AT_CLOSE:
            close_entry(c, s)
            wait(c, k, clock)
        else:
            settle(c, s)
            s.version = clock
            release(c, k)
    return clock


@inner
def begin(c: Any) -> None:
    """Open the account with nothing held."""
    a = account_of(c)
    a.cash, a.peak = terms_of(c).cash, terms_of(c).cash
    for k in range(c.slots_count):
        free_slots(c)[k] = c.slots_count - 1 - k
    a.free = c.slots_count


@inner
def ask(c: Any, it: Any, i: int, clock: int) -> int:
    """Let intent i become an order, close a position, or be refused; return the clock."""
    a = account_of(c)
    clock += 1
    if it.side == 0:
        k = close_intent(c, it, i)
    else:
        accepted = accept(c, it, i, order_at(c, i))
        order_at(c, i).status, order_at(c, i).reason = REJECTED, accepted[0]
        if accepted[0] != NONE:
            return clock
        a.free -= 1
        k = free_slots(c)[a.free]
        a.slots = max(a.slots, k + 1)
        open_slot(c, it, i, k, accepted)
        if terms_of(c).naive:
            fill_naively(c, it, k)
    if k >= 0:
        wait(c, k, clock)
    return clock


@inner
def end(c: Any, clock: int) -> None:
    """Let all that is pending happen, and end the orders that nothing else would end."""
    run_until(c, NEVER, clock)
    for k in range(account_of(c).slots):
        if slot_at(c, k).live:
            close_entry(c, slot_at(c, k))


@compiled
def walk(context: Any, intents: Any) -> int:
    """Write an ORDER record for each intent and the FILL records by time; return how many fills.

    Where the fills outnumber the room for them the rest is not written: walk again with that room.

    Parameters
    ----------
    context : record array of CONTEXT, one row
        Addresses of bars, markets, rates, terms, and of fresh arrays of slots, accounts and
        orders; whoever calls keeps all of them alive.
    intents : records of INTENT
        Sorted by (time, market).
    """
    c, clock = context[0], int64(0)
    begin(c)
    for i in range(len(intents)):
        clock = run_until(c, intents[i].time, clock)
        clock = ask(c, intents[i], i, clock)
    end(c, clock)
    return account_of(c).fills
