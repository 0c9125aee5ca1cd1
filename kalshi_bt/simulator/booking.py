"""What a fill, an end or a payout does to an order, its position and the account."""

from typing import Any

from kalshi_bt.fees import settlement_fee
from kalshi_bt.simulator.breakers import count_result
from kalshi_bt.simulator.collateral import DOLLAR, count_credit, free_after, most_covered
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    event_costs,
    fill_at,
    market_at,
    order_at,
    slot_at,
    terms_of,
)
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.rules import (
    ASK_OPEN,
    FRIENDLY,
    IOC,
    MAKER,
    NO_ROLE,
    OPEN,
    PAYOUT,
    STOP,
    TAKER,
    mirror,
    share,
)
from kalshi_bt.simulator.state import (
    CANCELED,
    ENTERED,
    EXPIRED,
    MARKET_CLOSED,
    NETTED,
    NO_VOLUME,
    NOT_REACHED,
    PARTIAL,
    SETTLED,
    WITHOUT_QUOTE,
)
from kalshi_bt.simulator.views import (
    ahead_of_target,
    entry_fee,
    own_ask,
    precision_at,
    rate_at,
    regime,
    spread_paid,
)

kept_of = inner(settlement_fee)


@inner
def write_fill(
    c: Any,
    s: Any,
    trade: int,
    time: int,
    bar: int,
    role: int,
    reason: int,
    quantity: int,
    price: int,
    fee: int,
    source: int,
) -> None:
    """Append a fill of the slot's order, in own terms; without room it is only counted."""
    a = account_of(c)
    if a.fills < c.room:
        f = fill_at(c, a.fills)
        f.order, f.trade, f.seq, f.market = s.order, trade, s.seq, s.market
        f.time, f.bar = time, bar
        f.role, f.reason, f.fee, f.source = role, reason, fee, source
        f.spread = 0 if terms_of(c).naive else spread_paid(c, bar, role, quantity)
        f.quantity = quantity * s.side
        f.price = mirror(price, s.side)
    if role == MAKER:
        a.made = abs(quantity) + (a.made if a.made_row == bar else 0)
        a.made_row = bar
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
def close_entry(c: Any, s: Any) -> None:
    """End an entry order whose time is over, or whose market has closed."""
    reason, market = NO_VOLUME if s.starved else NOT_REACHED, market_at(c, s.market)
    if order_at(c, s.order).filled > 0:
        end_entry(c, s, PARTIAL, reason)
    elif s.first_bar >= market.last and market.close <= s.expires:
        end_entry(c, s, CANCELED, MARKET_CLOSED)
    elif s.kind == IOC:
        end_entry(c, s, CANCELED, WITHOUT_QUOTE)
    else:
        end_entry(c, s, EXPIRED, reason)


@inner
def most_payable(c: Any, s: Any, quantity: int, price: int, against: int, spare: int) -> int:
    """Return the largest quantity, in lots below `quantity`, that could be paid without a fee."""
    lot = lot_of(c, s.market)
    if price > 0:
        beyond = quantity - (spare + min(quantity, against) * DOLLAR) // price
        quantity -= max(-(-beyond // lot) * lot, 0)
    netted = min(quantity, against)
    if terms_of(c).collateral and netted > 0:
        covered = most_covered(c, slot_at(c, s.pair), netted, DOLLAR - price, lot)
        if covered < netted:  # and not a lot more: what opens counts the lots from elsewhere
            quantity -= max(-(-(quantity - covered - lot + 1) // lot) * lot, 0)
    return quantity


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
    """Book a purchase of at most `quantity`, first against an opposite position of the market.

    Returns
    -------
    int
        What cash allowed: 0 where what is netted would bring nothing.
    """
    a, terms = account_of(c), terms_of(c)
    rate = rate_at(c, s.market, time, role)
    against = slot_at(c, s.pair).held if s.pair >= 0 else int64(0)
    spare = s.reserved + a.cash - a.reserved + a.credit
    fee, paid, rest = int64(0), s.entry_paid, s.entry_rest
    quantity = most_payable(c, s, quantity, price, against, spare)
    while quantity > 0:
        if not terms.naive:
            fee, paid, rest = entry_fee(s, terms, rate, time, quantity, price)
        netted = min(quantity, against)
        if terms.collateral and netted > 0:
            part = share(fee, netted, quantity)
            free = free_after(c, slot_at(c, s.pair), netted, netted * (DOLLAR - price) - part)
            if free >= 0 and (quantity - netted) * price + fee - part <= s.reserved + free:
                break
        elif quantity * price + fee <= spare + netted * DOLLAR:
            break
        quantity -= lot_of(c, s.market)
    netted = min(quantity, against)
    part = share(fee, netted, quantity) if netted > 0 else int64(0)
    if quantity <= 0 or (netted > 0 and netted * (DOLLAR - price) <= part):
        return int64(0)
    s.entry_rounding = regime(terms, time)[0]
    s.entry_paid, s.entry_rest = paid, rest
    given_back = quantity * s.level
    a.exposure -= given_back
    event_costs(c)[market_at(c, s.market).event] -= given_back
    s.remaining -= quantity
    order_at(c, s.order).filled += quantity
    if netted > 0:
        p = slot_at(c, s.pair)
        write_fill(c, s, p.order, time, j, role, NETTED, netted, price, part, source)
        leave(c, p, netted, netted * (DOLLAR - price) - part, time)
    if quantity > netted:
        open_part(c, s, j, time, quantity - netted, price, fee - part, role, source)
    return quantity


@inner
def open_part(
    c: Any,
    s: Any,
    j: int,
    time: int,
    quantity: int,
    price: int,
    fee: int,
    role: int,
    source: int,
) -> None:
    """Book what of a purchase opens a position or adds to it."""
    a, terms = account_of(c), terms_of(c)
    cost = quantity * price + fee
    a.cash -= cost
    used = min(s.reserved, cost)
    s.reserved -= used
    a.reserved -= used
    a.exposure += quantity * price
    event_costs(c)[market_at(c, s.market).event] += quantity * price
    s.held += quantity
    s.cost += quantity * price
    s.flow -= cost
    if s.entered == 0:
        s.entered, s.mark_bar = 1, j
        whole_bar = source == ASK_OPEN and terms.end == OPEN and role == TAKER and s.kind != STOP
        if terms.random and whole_bar:
            whole_bar = price == own_ask(c, j, s.side)[0]
        if terms.queue or not (whole_bar or terms.end == FRIENDLY or terms.naive):
            s.close_only_bar = j
        if s.target < 0 and s.reward >= 0 and 0 <= s.stop < price:
            s.target = min(price + s.reward * (price - s.stop) // 10_000, 9_999)
        if terms.queue and s.target >= 0:
            s.target_ahead = ahead_of_target(c, s, j)
    write_fill(c, s, s.order, time, j, role, ENTERED, quantity, price, fee, source)
    if terms.collateral:
        count_credit(c, s, time)


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
    if terms_of(c).collateral:
        count_credit(c, s, time)
    if s.held == 0:
        count_result(c, s.flow, time)


@inner
def settle(c: Any, s: Any) -> None:
    """Pay out what is held."""
    market = market_at(c, s.market)
    terms, payout, quantity = terms_of(c), mirror(market.payout, s.side), s.held
    fee = int64(0)
    if not terms.naive:
        fee = kept_of(payout, quantity, precision_at(terms, market.settle))
    write_fill(c, s, s.order, market.settle, -1, NO_ROLE, SETTLED, -quantity, payout, fee, PAYOUT)
    leave(c, s, quantity, quantity * payout - fee, market.settle)
