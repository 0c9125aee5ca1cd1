"""What a holder of one side sees: prices of a bar, the rate in force, the fee of a fill."""

from typing import Any

from kalshi_bt.fees import CENTICENT, EXCHANGE_ROUNDING_FROM, MICRO_FEE_FROM
from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import market_at, prices, rate_row
from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, TAKER, fill_fee, mirror
from kalshi_bt.simulator.state import AC, AH, AL, AO, BC, BH, BL, BO, PH, PL

Quad = tuple[int, int, int, int]


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
def entry_fee(
    s: Any, terms: Any, rate: int, time: int, quantity: int, price: int
) -> tuple[int, int, int]:
    """Return (fee, paid, rest) of an entry fill, given the order's earlier fills."""
    rounding, quantum = regime(terms, time)
    paid, rest = s.entry_paid, s.entry_rest
    if s.entry_rounding != rounding:
        paid, rest = 0, 0
    spent = -quantity * price
    return fill_fee(rounding, quantum, terms.precision, rate, quantity, price, spent, paid, rest)


@inner
def exit_fee(
    s: Any, terms: Any, rate: int, time: int, quantity: int, price: int, reason: int
) -> tuple[int, int, int]:
    """Return (fee, paid, rest) of an exit fill, given the earlier fills of the same exit."""
    rounding, quantum = regime(terms, time)
    paid, rest = s.exit_paid, s.exit_rest
    if s.exit_rounding != rounding or s.last_exit != reason:
        paid, rest = 0, 0
    gained = quantity * price
    return fill_fee(rounding, quantum, terms.precision, rate, quantity, price, gained, paid, rest)


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
