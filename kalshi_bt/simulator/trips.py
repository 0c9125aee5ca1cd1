"""Adding fills up to round trips, compiled: one pass over the fills in the order they happened."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled, int64
from kalshi_bt.simulator.rules import TAKER, mirror
from kalshi_bt.simulator.state import AC, AO, BC, BO, ENTERED, Prices

TRIP = np.dtype(
    [
        ("order", np.int64),
        ("market", np.int64),
        ("side", np.int64),
        ("entry_time", np.int64),
        ("exit_time", np.int64),
        ("quantity", np.int64),
        ("stake", np.int64),
        ("proceeds", np.int64),
        ("fees", np.int64),
        ("spread", np.int64),
        ("reason", np.int64),
        ("held", np.int64),
    ]
)


@compiled
def spread_paid(prices: Prices, bar: int, role: int, quantity: int) -> int:
    """Return what crossing the book cost a fill: half the quoted spread of its bar, micro-dollars.

    The spread is that of the bar's opening quotes, else of its closing quotes; 0 where a side was
    empty, for resting orders and for settlements.
    """
    if role != TAKER or bar < 0:
        return int64(0)
    bid, ask = int64(prices[bar, BO]), int64(prices[bar, AO])
    if bid < 0 or ask < 0:
        bid, ask = int64(prices[bar, BC]), int64(prices[bar, AC])
    if bid < 0 or ask < 0:
        return int64(0)
    return abs(quantity) * (ask - bid) // 2


@compiled
def round_trips(fills: Any, orders: int, prices: Prices) -> Any:
    """Return the TRIP records of the orders that ended flat, by order.

    Parameters
    ----------
    fills : records of state.FILL
        In the order in which each order's fills happened.
    orders : int
        How many orders there are.
    prices : Int16 (bars, 11)
    """
    trips = np.zeros(orders, TRIP)
    for i in range(len(fills)):
        f = fills[i]
        t = trips[f.order]
        if t.quantity == 0:
            t.order, t.market, t.entry_time = f.order, f.market, f.time
            t.side = 1 if f.quantity > 0 else -1
        size, own = abs(f.quantity), mirror(f.price, t.side)
        if f.reason == ENTERED:
            t.quantity += size
            t.stake += size * own
            t.held += size
        else:
            t.proceeds += size * own
            t.held -= size
        t.exit_time, t.reason = f.time, f.reason
        t.fees += f.fee
        t.spread += spread_paid(prices, f.bar, f.role, f.quantity)
    kept = 0
    for i in range(orders):
        if trips[i].quantity > 0 and trips[i].held == 0:
            trips[kept] = trips[i]
            kept += 1
    return trips[:kept]
