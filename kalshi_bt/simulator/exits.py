"""A position on one bar: whether it is left, why, at what price and for how much."""

from typing import Any

from kalshi_bt.simulator.booking import end_entry, leave, write_fill
from kalshi_bt.simulator.collateral import free_after, most_covered
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import draws_of, terms_of, times
from kalshi_bt.simulator.depth import bids_before, blind, level_price
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.resting import served, trading_against
from kalshi_bt.simulator.rules import (
    AT_STOP,
    AT_TARGET,
    BOOK,
    BY_ORDER,
    BY_STOP,
    BY_TARGET,
    DECISION,
    HOLD,
    TAKER,
    cheaper,
    exit_on_bar,
    highest,
    mirror,
    selling_price,
)
from kalshi_bt.simulator.state import (
    EXITED,
    NEVER,
    PARTIAL,
    PC,
    STOP_HIT,
    TARGET_HIT,
    TIMED_OUT,
)
from kalshi_bt.simulator.taken import carry_taken, offered, take
from kalshi_bt.simulator.views import (
    Quad,
    delay_of,
    exit_fee,
    most_for_makers,
    own,
    own_bid,
    own_trades,
    rate_at,
    regime,
    touch_volume,
)


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
def traded_beyond(c: Any, s: Any, j: int) -> int:
    """Return what bar j brought to a queued target, as `trading_against` says of its mirror."""
    if s.target < 0 or j == s.close_only_bar or s.exit_after < times(c)[j]:
        return int64(-1)
    if blind(c, s.market, j):
        return int64(-1)
    o, h, _, close = own_bid(c, j, s.side)
    high, _ = own_trades(c, j, s.side)
    # As for entries: recorded depth proves nothing by what it displays.
    quote = int64(-1) if terms_of(c).book else highest(o, h, close)
    trade = high if terms_of(c).prints else int64(-1)
    level = 10_000 - s.target
    return trading_against(level, mirror(quote, -1), mirror(trade, -1), touch_volume(c, j))


@inner
def queued_exit(c: Any, s: Any, j: int, bid: Quad) -> Quad:
    """Return the exit of a position whose target waits in a queue."""
    terms = terms_of(c)
    traded = traded_beyond(c, s, j)
    left = int64(0)
    if traded >= 0:
        left, _ = served(traded, s.target_ahead, lot_of(c, s.market))
        left = min(left, most_for_makers(c, s.market, j))
    # Once the queue has been passed, the target is as good as traded through.
    trade = s.target + 1 if left > 0 else int64(-1)
    model = (terms.end, False, True, terms.stop_first)
    beyond = s.target if left > 0 else int64(-1)
    return exit_on_bar(s.stop, beyond, False, bid, trade, model)


@inner
def exit_choice(c: Any, s: Any, j: int) -> Quad:
    """Return (exit, price, role, source) of the position on bar j, before size is asked."""
    terms = terms_of(c)
    if terms.naive:
        return naive_exit(c, s, j)
    bid = own_bid(c, j, s.side)
    if s.exit_after < times(c)[j] and terms.book:
        begin, end = bids_before(c, s, j)
        return (BY_ORDER if begin < end else HOLD), int64(-1), TAKER, BOOK
    if s.exit_after < times(c)[j]:
        price, source = selling_price(bid, terms.end)
        return (BY_ORDER if price >= 0 else HOLD), price, TAKER, source
    if terms.queue:
        return queued_exit(c, s, j, bid)
    high, _ = own_trades(c, j, s.side)
    model = (terms.end, terms.touch, terms.prints, terms.stop_first)
    return exit_on_bar(s.stop, s.target, j == s.close_only_bar, bid, high, model)


@inner
def keeps_on(c: Any, s: Any, j: int) -> bool:
    """Tell whether the position is left alone by bar j."""
    if s.exit_after == NEVER and s.exit_time <= times(c)[j]:
        return False
    if terms_of(c).queue and traded_beyond(c, s, j) >= 0:
        return False
    return exit_choice(c, s, j)[0] == HOLD


@inner
def sell(
    c: Any, s: Any, j: int, quantity: int, price: int, role: int, reason: int, source: int
) -> int:
    """Book an exit fill unless it would bring nothing; return the quantity that was sold."""
    terms, time = terms_of(c), times(c)[j]
    rate = rate_at(c, s.market, time, role)
    proceeds, fee, paid, rest = int64(0), int64(0), int64(0), int64(0)
    if terms.collateral:
        quantity = most_covered(c, s, quantity, price, lot_of(c, s.market))
    while quantity > 0:
        if not terms.naive:
            fee, paid, rest = exit_fee(s, terms, rate, time, quantity, price, reason)
        proceeds = quantity * price - fee
        if not terms.collateral or free_after(c, s, quantity, proceeds) >= 0:
            break
        quantity -= lot_of(c, s.market)
    if quantity <= 0 or proceeds <= 0:  # then they are worth more held to settlement
        return int64(0)
    s.exit_rounding = regime(terms, time)[0]
    s.exit_paid, s.exit_rest, s.last_exit = paid, rest, reason
    write_fill(c, s, s.order, time, j, role, reason, -quantity, price, fee, source)
    if s.live:
        end_entry(c, s, PARTIAL, EXITED)
    leave(c, s, quantity, proceeds, time)
    return quantity


@inner
def sell_to_depth(c: Any, s: Any, j: int, room: int) -> None:
    """Sell level by level as long as a level brings something."""
    terms = terms_of(c)
    begin, end = bids_before(c, s, j)
    carry_taken(c, s.market, j)
    for k in range(begin, end):
        quantity = min(s.held, room, offered(c, s.market, k))
        if s.held == 0 or room == 0:
            break
        if quantity == 0:
            continue
        price = level_price(c, k, s.side)
        if terms.random:
            price = cheaper(price, draws_of(c)[s.order, 2], terms.in_bps)
        sold = sell(c, s, j, quantity, price, TAKER, s.exit_reason, BOOK)
        take(c, s.market, j, k, sold)
        room -= sold
        if sold < quantity:
            break


@inner
def exit_step(c: Any, s: Any, j: int, room: int) -> None:
    """Let the position act on bar j."""
    terms, time = terms_of(c), times(c)[j]
    kind, price, role, source = exit_choice(c, s, j)
    reason = s.exit_reason
    if terms.queue:
        traded = traded_beyond(c, s, j)
        if traded >= 0:
            left, s.target_ahead = served(traded, s.target_ahead, lot_of(c, s.market))
            left = min(left, most_for_makers(c, s.market, j))
            room = min(room, left) if kind == BY_TARGET else room
    if terms.random and role == TAKER and price >= 0:
        price = cheaper(price, draws_of(c)[s.order, 2], terms.in_bps)
    if kind == BY_STOP:
        reason = STOP_HIT
        s.exit_reason, s.exit_after = STOP_HIT, time
    elif kind == BY_TARGET:
        reason = TARGET_HIT
    quantity = min(s.held, room)
    if terms.book and kind == BY_ORDER:
        sell_to_depth(c, s, j, room)
    elif terms.book and kind == BY_STOP:
        pass  # what set it off is over when it arrives: it sells from the next row on
    elif kind != HOLD and quantity > 0:
        sell(c, s, j, quantity, price, role, reason, source)
    if s.held > 0 and s.exit_after == NEVER and s.exit_time <= time:
        s.exit_reason = TIMED_OUT
        s.exit_after = time if terms.naive else time + delay_of(c, s.order)
    if s.live and s.exit_after != NEVER:
        end_entry(c, s, PARTIAL, EXITED)
