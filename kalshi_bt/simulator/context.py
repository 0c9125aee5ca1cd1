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
