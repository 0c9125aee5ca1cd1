"""A live entry order on one bar: whether it fills, for how much, and how it ends."""

from typing import Any

from kalshi_bt.simulator.booking import close_entry, end_entry, enter
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import draws_of, order_at, terms_of, times
from kalshi_bt.simulator.depth import asks_before, blind, level_price
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.resting import served, trading_against
from kalshi_bt.simulator.rules import (
    AT_LIMIT,
    BOOK,
    FILLS,
    IOC,
    LIMIT,
    MAKER,
    NO_QUOTE,
    STOP,
    TAKER,
    WAITS,
    WOULD_TAKE,
    dearer,
    entry_on_bar,
    highest,
    lowest,
)
from kalshi_bt.simulator.state import (
    BEYOND,
    CANCELED,
    CASH,
    FILLED,
    NEVER,
    NO_VOLUME,
    PARTIAL,
    WITHOUT_QUOTE,
    WOULD_CROSS,
)
from kalshi_bt.simulator.taken import carry_taken, offered, take
from kalshi_bt.simulator.views import most_for_makers, own_ask, own_trades, touch_volume


@inner
def traded_through(c: Any, s: Any, j: int) -> int:
    """Return what bar j brought to a queued limit order, as `trading_against` says.

    Recorded depth goes on to display what an order has taken: there only trades prove a fill.
    """
    terms = terms_of(c)
    if blind(c, s.market, j):
        return int64(-1)
    ask = own_ask(c, j, s.side)
    _, low = own_trades(c, j, s.side)
    quote = int64(-1) if terms.book else lowest(ask[0], ask[2], ask[3])
    trade = low if terms.prints else int64(-1)
    return trading_against(s.limit, quote, trade, touch_volume(c, j))


@inner
def waits_on(c: Any, s: Any, j: int) -> bool:
    """Tell whether a resting entry is left alone by bar j, one after its first."""
    terms = terms_of(c)
    if terms.queue and s.kind == LIMIT:
        return traded_through(c, s, j) < 0
    high, low = own_trades(c, j, s.side)
    model = (terms.end, terms.touch, terms.prints, terms.stop_first)
    return entry_on_bar(s.kind, s.limit, False, own_ask(c, j, s.side), high, low, model)[0] == WAITS


@inner
def queued_entry(c: Any, s: Any, j: int) -> tuple[int, int]:
    """Return (outcome, what may fill at the limit) of a queued order, and move its queue on."""
    if j == s.first_bar:
        opening = own_ask(c, j, s.side)[0]
        return (WOULD_TAKE if 0 <= opening <= s.limit else WAITS), int64(0)
    traded = traded_through(c, s, j)
    if traded < 0:
        return WAITS, int64(0)
    left, s.ahead = served(traded, s.ahead, lot_of(c, s.market))
    return FILLS, min(left, most_for_makers(c, s.market, j))


@inner
def drawn_share(c: Any, s: Any, wanted: int) -> int:
    """Return what a random exchange fills of `wanted`: on its first try not more than was drawn."""
    if s.attempted or wanted == 0:
        return wanted
    s.attempted = 1
    part = order_at(c, s.order).quantity * draws_of(c)[s.order, 3] // 10_000
    lot = lot_of(c, s.market)
    return min(wanted, part // lot * lot)


@inner
def try_entry(c: Any, s: Any, j: int, room: int, price: int, role: int, source: int) -> int:
    """Fill what `room`, chance and cash allow; return the quantity."""
    done, wanted = int64(0), min(s.remaining, room)
    if terms_of(c).random:
        wanted = drawn_share(c, s, wanted)
        if role == TAKER:
            cap = s.limit if s.kind != STOP else int64(-1)
            price = dearer(price, draws_of(c)[s.order, 1], terms_of(c).in_bps, cap)
    if wanted < s.remaining:
        s.starved = 1
    if wanted > 0:
        done = enter(c, s, j, times(c)[j], wanted, price, role, source)
    ended, reason = CANCELED, CASH
    if s.remaining == 0:
        ended, reason = FILLED, s.trimmed
    elif order_at(c, s.order).filled > 0:
        ended, reason = PARTIAL, NO_VOLUME
    elif wanted == 0:
        ended, reason = CANCELED, NO_VOLUME
    if s.remaining == 0 or s.kind != LIMIT:
        end_entry(c, s, ended, reason)
    return done


@inner
def buy_from_depth(c: Any, s: Any, j: int, room: int) -> int:
    """Buy level by level what the limit, `room`, chance and cash allow; return the quantity."""
    terms = terms_of(c)
    begin, end = asks_before(c, s, j)
    carry_taken(c, s.market, j)
    wanted, left, there, slip = s.remaining, min(s.remaining, room), int64(0), int64(0)
    for k in range(begin, end):
        if 0 <= s.limit < level_price(c, k, s.side):
            break
        there += offered(c, s.market, k)
    left = min(left, there)
    if terms.random:
        left, slip = drawn_share(c, s, left), draws_of(c)[s.order, 1]
    asked, done = left, int64(0)
    for k in range(begin, end):
        quantity = min(left, offered(c, s.market, k))
        if left == 0:
            break
        if quantity == 0:
            continue
        price = level_price(c, k, s.side)
        if terms.random:
            price = dearer(price, slip, terms.in_bps, s.limit)
        bought = enter(c, s, j, times(c)[j], quantity, price, TAKER, BOOK)
        take(c, s.market, j, k, bought)
        done += bought
        left -= bought
        if bought < quantity:  # cash is short
            break
    if asked < wanted:
        s.starved = 1
    if s.remaining == 0:
        end_entry(c, s, FILLED, s.trimmed)
    elif s.kind == IOC and order_at(c, s.order).filled > 0:
        end_entry(c, s, PARTIAL, NO_VOLUME)
    elif s.kind == IOC:
        end_entry(c, s, CANCELED, CASH if asked > 0 else NO_VOLUME)
    return done


@inner
def depth_entry(c: Any, s: Any, j: int, room: int) -> int:
    """Let an entry that may take act on row j of recorded depth; return the capacity left."""
    if s.kind == STOP:
        ask, (high, _) = own_ask(c, j, s.side), own_trades(c, j, s.side)
        if highest(ask[0], ask[1], ask[3]) >= s.limit or high >= s.limit:
            # What set it off is over when it arrives: it takes from the next row on.
            s.kind, s.limit, s.final_bar, s.expires = IOC, -1, NEVER, NEVER
        return room
    begin, end = asks_before(c, s, j)
    best = level_price(c, begin, s.side) if begin < end else int64(-1)
    takes = best >= 0 and (s.limit < 0 or best <= s.limit)
    if takes:
        s.ahead = 0
        return room - buy_from_depth(c, s, j, room)
    if s.kind == IOC:
        end_entry(c, s, CANCELED, WITHOUT_QUOTE if best < 0 else BEYOND)
    return room


@inner
def entry_step(c: Any, s: Any, j: int, room: int) -> int:
    """Let the live entry act on bar j; return the capacity left."""
    terms = terms_of(c)
    if terms.book and (s.kind != LIMIT or j == s.first_bar):
        room = depth_entry(c, s, j, room)
        outcome, left, price, role, source = WAITS, room, s.limit, TAKER, BOOK
    elif terms.queue and s.kind == LIMIT:
        outcome, left = queued_entry(c, s, j)
        left, price, role, source = min(room, left), s.limit, MAKER, AT_LIMIT
    else:
        high, low = own_trades(c, j, s.side)
        model = (terms.end, terms.touch, terms.prints, terms.stop_first)
        outcome, price, role, source = entry_on_bar(
            s.kind, s.limit, j == s.first_bar, own_ask(c, j, s.side), high, low, model
        )
        left = room
    if outcome == FILLS:
        room -= try_entry(c, s, j, left, price, role, source)
    elif outcome != WAITS:
        reason = BEYOND
        if outcome == NO_QUOTE:
            reason = WITHOUT_QUOTE
        elif outcome == WOULD_TAKE:
            reason = WOULD_CROSS
        end_entry(c, s, CANCELED, reason)
    if s.live and j >= s.final_bar:
        close_entry(c, s)
    return room
