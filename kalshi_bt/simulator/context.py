"""Reaching what a CONTEXT record points to, from compiled code."""

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from kalshi_bt.simulator.compiling import inner, pointer
from kalshi_bt.simulator.state import (
    ACCOUNT,
    COLUMNS,
    EVENT,
    FILL,
    MARKET,
    ORDER,
    RATE,
    SAID,
    SLOT,
    TERMS,
)


@inner
def times(c: Any) -> Any:
    """Return the ends of all bars, Int64 (bars,)."""
    return carray(pointer(c.time), (c.bars,), np.int64)


@inner
def prices(c: Any) -> Any:
    """Return the prices of all bars, Int16 (bars, 11)."""
    return carray(pointer(c.prices), (c.bars, COLUMNS), np.int16)


@inner
def volumes(c: Any) -> Any:
    """Return the volumes of all bars, Int64 (bars,)."""
    return carray(pointer(c.volume), (c.bars,), np.int64)


@inner
def market_at(c: Any, m: int) -> Any:
    """Return the MARKET record of a market."""
    return carray(pointer(c.market), (c.markets,), MARKET)[m]


@inner
def rate_row(c: Any, row: int) -> Any:
    """Return one RATE record."""
    return carray(pointer(c.rates), (c.rates_count,), RATE)[row]


@inner
def terms_of(c: Any) -> Any:
    """Return the TERMS record."""
    return carray(pointer(c.terms), (1,), TERMS)[0]


@inner
def account_of(c: Any) -> Any:
    """Return the ACCOUNT record."""
    return carray(pointer(c.account), (1,), ACCOUNT)[0]


@inner
def slot_at(c: Any, k: int) -> Any:
    """Return one SLOT record."""
    return carray(pointer(c.slots), (c.slots_count,), SLOT)[k]


@inner
def order_at(c: Any, i: int) -> Any:
    """Return the ORDER record of an intent."""
    return carray(pointer(c.orders), (c.intents,), ORDER)[i]


@inner
def slots_of(c: Any) -> Any:
    """Return the slot of each market, -1 where idle, Int64 (markets,)."""
    return carray(pointer(c.slot_of), (c.markets,), np.int64)


@inner
def event_costs(c: Any) -> Any:
    """Return the cost open in each event, Int64 (markets,)."""
    return carray(pointer(c.event_cost), (c.markets,), np.int64)


@inner
def accepted_times(c: Any) -> Any:
    """Return the times of accepted orders, Int64 (intents,)."""
    return carray(pointer(c.accepted_times), (c.intents,), np.int64)


@inner
def fill_at(c: Any, i: int) -> Any:
    """Return one FILL record."""
    return carray(pointer(c.fills), (c.room,), FILL)[i]


@inner
def free_slots(c: Any) -> Any:
    """Return the stack of idle slots, Int64 (slots,)."""
    return carray(pointer(c.free), (c.slots_count,), np.int64)


@inner
def queue_of(c: Any) -> Any:
    """Return the heap of pending events, EVENT records."""
    return carray(pointer(c.queue), (c.queue_room,), EVENT)


@inner
def sizes(c: Any) -> Any:
    """Return the sizes at the best bid and ask after each bar, Int64 (bars, 2)."""
    return carray(pointer(c.sizes), (c.sized, 2), np.int64)


@inner
def draws_of(c: Any) -> Any:
    """Return delay, slip in, slip out and share drawn for each intent, Int64 (intents, 4)."""
    return carray(pointer(c.draws), (c.intents, 4), np.int64)


@inner
def pauses_of(c: Any) -> Any:
    """Return begin and end of the pause of each week from `first_week` on, Int64 (weeks, 2)."""
    return carray(pointer(c.pauses), (c.weeks, 2), np.int64)


@inner
def spans_of(c: Any) -> Any:
    """Return begin and end of the bids and of the asks that each row leaves, Int64 (rows, 4)."""
    return carray(pointer(c.spans), (c.deep, 4), np.int64)


@inner
def levels_of(c: Any) -> Any:
    """Return price and size of all levels, Int64 (levels, 2)."""
    return carray(pointer(c.levels), (c.levels_count, 2), np.int64)


@inner
def taken_of(c: Any) -> Any:
    """Return what this run has taken of each level, Int64 (levels,)."""
    return carray(pointer(c.taken), (c.levels_count,), np.int64)


@inner
def taken_rows(c: Any) -> Any:
    """Return the row before which `taken_of` is true of each market, -1: none, Int64 (markets,)."""
    return carray(pointer(c.taken_row), (c.markets,), np.int64)


@inner
def positions_of(c: Any) -> Any:
    """Return the signed quantity held in each market, kept for collateral, Int64 (markets,)."""
    return carray(pointer(c.positions), (c.markets,), np.int64)


@inner
def event_credits(c: Any) -> Any:
    """Return the collateral given back in each event, -1: never held, Int64 (markets,)."""
    return carray(pointer(c.event_credit), (c.markets,), np.int64)


@inner
def results_of(c: Any) -> Any:
    """Return what each market was settled at, -1 while open, Int64 (markets,)."""
    return carray(pointer(c.results), (c.markets,), np.int64)


@inner
def said_of(c: Any) -> Any:
    """Return what was said of results, SAID records."""
    return carray(pointer(c.said), (c.said_count,), SAID)


@inner
def said_starts(c: Any) -> Any:
    """Return where what was said of each market begins, Int64 (markets + 1,)."""
    return carray(pointer(c.said_start), (c.markets + 1,), np.int64)


@inner
def group_kinds(c: Any) -> Any:
    """Return how the markets of each event exclude each other, Int64 (events,)."""
    return carray(pointer(c.group_kind), (c.events,), np.int64)


@inner
def group_starts(c: Any) -> Any:
    """Return where the markets of each event begin, Int64 (events + 1,)."""
    return carray(pointer(c.group_start), (c.events + 1,), np.int64)


@inner
def group_members(c: Any) -> Any:
    """Return the markets by event and threshold, Int64 (markets,)."""
    return carray(pointer(c.group_member), (c.markets,), np.int64)
