"""Adding fills up to round trips, compiled: one pass over the fills in the order they happened."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled
from kalshi_bt.simulator.rules import mirror
from kalshi_bt.simulator.state import ENTERED

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
def round_trips(fills: Any, orders: int) -> Any:
    """Return the TRIP records of the orders that ended flat, by order.

    Parameters
    ----------
    fills : records of state.FILL
        In the order in which each order's fills happened.
    orders : int
        How many orders there are.
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
        t.spread += f.spread
    kept = 0
    for i in range(orders):
        if trips[i].quantity > 0 and trips[i].held == 0:
            trips[kept] = trips[i]
            kept += 1
    return trips[:kept]
