"""Adding fills up to round trips, compiled: one pass over the fills in the order they happened."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled
from kalshi_bt.simulator.rules import mirror
from kalshi_bt.simulator.state import ENTERED, Ints

TRIP = (
    *("order", "market", "side", "entry_time", "exit_time", "quantity", "stake", "proceeds"),
    *("fees", "spread", "reason", "held"),
)
COLUMNS = len(TRIP)
ORDER, MARKET, SIDE, ENTRY_TIME, EXIT_TIME, QUANTITY, STAKE, PROCEEDS = range(8)
FEES, SPREAD, REASON, HELD = range(8, COLUMNS)


@compiled
def round_trips(fills: Any, orders: int) -> Ints:
    """Return the round trips that ended flat, by entry order: Int64 (12, trips), rows as in `TRIP`.

    Parameters
    ----------
    fills : records of state.FILL
        In the order in which they happened.
    orders : int
        How many orders there are.
    """
    trips = np.zeros((COLUMNS, orders), np.int64)
    for i in range(len(fills)):
        f = fills[i]
        t = trips[:, f.trade]
        if t[QUANTITY] == 0:
            t[ORDER], t[MARKET], t[ENTRY_TIME] = f.trade, f.market, f.time
            t[SIDE] = 1 if f.quantity > 0 else -1
        size, own = abs(f.quantity), mirror(f.price, t[SIDE])
        if f.reason == ENTERED:
            t[QUANTITY] += size
            t[STAKE] += size * own
            t[HELD] += size
        else:
            t[PROCEEDS] += size * own
            t[HELD] -= size
        t[EXIT_TIME], t[REASON] = f.time, f.reason
        t[FEES] += f.fee
        t[SPREAD] += f.spread
    kept = 0
    for i in range(orders):
        if trips[QUANTITY, i] > 0 and trips[HELD, i] == 0:
            trips[:, kept] = trips[:, i]
            kept += 1
    return trips[:, :kept]
