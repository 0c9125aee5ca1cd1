"""Marking positions on a time grid, compiled: only grid points at which something was held cost."""

from typing import Any

import numpy as np

from kalshi_bt.simulator.compiling import compiled, int64
from kalshi_bt.simulator.rules import mirror, share
from kalshi_bt.simulator.state import AC, BC, Ints, Prices
from kalshi_bt.simulator.worth import mark


@compiled
def mark_positions(
    time: Ints,
    prices: Prices,
    markets: Any,
    said: Any,
    said_start: Ints,
    fills: Any,
    points: Ints,
    flows: Ints,
    locked: Ints,
    marked: Ints,
) -> tuple[int, int]:
    """Add each fill's cash to `flows` and each position's cost and value to every point it spans.

    Parameters
    ----------
    time : Int64 (bars,)
    prices : Int16 (bars, 11)
    markets : records of state.MARKET
    said : records of state.SAID
        By market and time; none where nothing was said.
    said_start : Int64 (markets + 1,)
        Where those of each market begin.
    fills : records of state.FILL
        By market, in the order in which they happened.
    points : Int64 (n,)
        Sorted times; the last is not before the last fill.
    flows, locked, marked : Int64 (n,)
        Micro-dollars; added to in place.

    Returns
    -------
    tuple of int
        Positions still open after the last fill, and those of them of which a result was said.
    """
    open_positions, determined = 0, 0
    for i in range(len(fills)):
        f = fills[i]
        new_market = i == 0 or fills[i - 1].market != f.market
        if new_market:
            held, cost, side = 0, 0, 1
            begin = markets[f.market].begin
            bar = begin
            row, known, first = -1, 0, -1
            if len(said) > 0:
                row, known = said_start[f.market] - 1, said_start[f.market + 1]
                first = row
        if held == 0:
            side = 1 if f.quantity > 0 else -1
        price = f.price if side > 0 else 10_000 - f.price
        size = f.quantity * side
        point = np.searchsorted(points, f.time)
        flows[point] -= size * price + f.fee
        if size > 0:
            cost += size * price
        else:
            cost -= share(cost, -size, held)
        held += size
        last = i + 1 == len(fills) or fills[i + 1].market != f.market
        if held == 0:
            continue
        if last:
            open_positions += 1
        until = len(points) if last else np.searchsorted(points, fills[i + 1].time)
        end = markets[f.market].last
        for k in range(point, until):
            while bar + 1 < end and time[bar + 1] <= points[k]:
                bar += 1
            bid = mirror(int64(prices[bar, BC if side > 0 else AC]), side)
            locked[k] += cost
            while row + 1 < known and said[row + 1].time <= points[k]:
                row += 1
            if row > first:
                bid = mark(bid, mirror(said[row].payout, side), said[row].disputed)
            if bid > 0:
                marked[k] += held * bid
        if last and row > first:
            determined += 1
    return open_positions, determined
