"""What a holder of one side sees: prices of a bar, the rate in force, the fee of a fill."""

from typing import Any

from kalshi_bt.fees import CENTICENT, EXCHANGE_ROUNDING_FROM, MICRO_FEE_FROM, balance_step
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    draws_of,
    market_at,
    pauses_of,
    prices,
    rate_row,
    sizes,
    terms_of,
    times,
    volumes,
)
from kalshi_bt.simulator.depth import ahead_in_depth
from kalshi_bt.simulator.lots import lot_of
from kalshi_bt.simulator.pauses import EARLIEST, LATEST, WEEK
from kalshi_bt.simulator.resting import ahead_of, volume_at_touch
from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, TAKER, UNBOUNDED, fill_fee, mirror
from kalshi_bt.simulator.state import AC, AH, AL, AO, BC, BH, BL, BO, PH, PL

Quad = tuple[int, int, int, int]
step_at = inner(balance_step)


@inner
def own(c: Any, row: int, j: int, side: int) -> int:
    """Return one price of bar j seen from a side."""
    return mirror(int64(prices(c)[j, row]), side)


@inner
def own_ask(c: Any, j: int, side: int) -> Quad:
    """Return open, high, low, close of what the held side costs on bar j."""
    if side > 0:
        return own(c, AO, j, 1), own(c, AH, j, 1), own(c, AL, j, 1), own(c, AC, j, 1)
    return own(c, BO, j, -1), own(c, BL, j, -1), own(c, BH, j, -1), own(c, BC, j, -1)


@inner
def own_bid(c: Any, j: int, side: int) -> Quad:
    """Return open, high, low, close of what the held side sells for on bar j."""
    if side > 0:
        return own(c, BO, j, 1), own(c, BH, j, 1), own(c, BL, j, 1), own(c, BC, j, 1)
    return own(c, AO, j, -1), own(c, AL, j, -1), own(c, AH, j, -1), own(c, AC, j, -1)


@inner
def own_trades(c: Any, j: int, side: int) -> tuple[int, int]:
    """Return the highest and lowest own price traded on bar j."""
    if side > 0:
        return own(c, PH, j, 1), own(c, PL, j, 1)
    return own(c, PL, j, -1), own(c, PH, j, -1)


@inner
def rate_at(c: Any, market: int, time: int, role: int) -> int:
    """Return the fee rate in force for a market at a time, parts per million."""
    row = market_at(c, market).rate_end - 1
    while row > market_at(c, market).rate_begin and rate_row(c, row).since > time:
        row -= 1
    return rate_row(c, row).taker if role == TAKER else rate_row(c, row).maker


@inner
def regime(terms: Any, time: int) -> tuple[int, int]:
    """Return (rounding, quantum) in force at a time."""
    rounding = terms.rounding
    if rounding < 0:
        rounding = ORDER_CENT if time < EXCHANGE_ROUNDING_FROM else EXCHANGE
    return rounding, CENTICENT if time < MICRO_FEE_FROM else 1


@inner
def precision_at(terms: Any, time: int) -> int:
    """Return the step of a balance in force at a time, micro-dollars."""
    return step_at(time) if terms.precision < 0 else terms.precision


@inner
def entry_fee(
    s: Any, terms: Any, rate: int, time: int, quantity: int, price: int
) -> tuple[int, int, int]:
    """Return (fee, paid, rest) of an entry fill, given the order's earlier fills."""
    rounding, quantum = regime(terms, time)
    step = precision_at(terms, time)
    paid, rest = s.entry_paid, s.entry_rest
    if s.entry_rounding != rounding:
        paid, rest = 0, 0
    spent = -quantity * price
    return fill_fee(rounding, quantum, step, rate, quantity, price, spent, paid, rest)


@inner
def exit_fee(
    s: Any, terms: Any, rate: int, time: int, quantity: int, price: int, reason: int
) -> tuple[int, int, int]:
    """Return (fee, paid, rest) of an exit fill, given the earlier fills of the same exit."""
    rounding, quantum = regime(terms, time)
    step = precision_at(terms, time)
    paid, rest = s.exit_paid, s.exit_rest
    if s.exit_rounding != rounding or s.last_exit != reason:
        paid, rest = 0, 0
    gained = quantity * price
    return fill_fee(rounding, quantum, step, rate, quantity, price, gained, paid, rest)


@inner
def spread_paid(c: Any, bar: int, role: int, quantity: int) -> int:
    """Return what crossing the book cost a fill: half the quoted spread of its bar, micro-dollars.

    The spread is that of the bar's opening quotes, else of its closing quotes; 0 where a side was
    empty, for resting orders and for settlements.
    """
    if role != TAKER or bar < 0:
        return int64(0)
    bid, ask = own(c, BO, bar, 1), own(c, AO, bar, 1)
    if bid < 0 or ask < 0:
        bid, ask = own(c, BC, bar, 1), own(c, AC, bar, 1)
    if bid < 0 or ask < 0:
        return int64(0)
    return abs(quantity) * (ask - bid) // 2


@inner
def pause_at(c: Any, moment: int) -> tuple[int, int]:
    """Return begin and end of the pause of the week of a moment, (0, 0) where it is hours away."""
    week = moment // WEEK
    row, rest = week - c.first_week, moment - week * WEEK
    if rest < EARLIEST or rest > LATEST or row < 0 or row >= c.weeks:
        return int64(0), int64(0)
    return pauses_of(c)[row, 0], pauses_of(c)[row, 1]


@inner
def stands_still(c: Any, j: int) -> bool:
    """Tell whether bar j lies wholly inside a pause of the exchange."""
    begin, end = pause_at(c, times(c)[j])
    started = times(c)[j] - terms_of(c).bar
    # Without a length a row stands for the moment at which it ends.
    return (started >= begin if terms_of(c).bar else started > begin) and times(c)[j] <= end


@inner
def delay_of(c: Any, order: int) -> int:
    """Return the microseconds that a decision of an order takes to arrive."""
    return draws_of(c)[order, 0] if terms_of(c).random else terms_of(c).latency


@inner
def volume_of(c: Any, j: int) -> int:
    """Return the volume of bar j, the assumed one where it was not recorded."""
    return volumes(c)[j] if volumes(c)[j] >= 0 else terms_of(c).assumed_volume


@inner
def touch_volume(c: Any, j: int) -> int:
    """Return what bar j is taken to have traded at a price it touched."""
    return volume_at_touch(volume_of(c, j), terms_of(c).touch_share)


@inner
def most_for_makers(c: Any, market: int, j: int) -> int:
    """Return what row j of recorded depth can still have brought to resting orders.

    What it traded, less what it brought to those of this run that were filled on it before.
    """
    if not terms_of(c).book:
        return UNBOUNDED
    a, lot = account_of(c), lot_of(c, market)
    left = volume_of(c, j) - (a.made if a.made_row == j else 0)
    return max(left, 0) // lot * lot


@inner
def size_after(c: Any, j: int, side: int) -> int:
    """Return the size at the best bid of a side after bar j, -1 where it was not recorded."""
    if c.sized == 0:
        return int64(-1)
    return sizes(c)[j, 0 if side > 0 else 1]


@inner
def ahead_of_limit(c: Any, j: int, side: int, limit: int) -> int:
    """Return what stands before a limit order that is decided on bar j."""
    if terms_of(c).book:
        return ahead_in_depth(c, j, side, limit)
    best = own_bid(c, j, side)[3]
    return ahead_of(limit, best, size_after(c, j, side), volume_of(c, j))


@inner
def ahead_of_target(c: Any, s: Any, j: int) -> int:
    """Return what stands before the target of a position that is entered on bar j."""
    # Selling at the target is buying the other side at its mirror.
    return ahead_of_limit(c, j, -s.side, 10_000 - s.target)
