"""What a session may forget: markets that were paid, and the orders and fills that are over."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.memory import Memory
from kalshi_bt.simulator.renumbering import in_use
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.state import NEVER, Ints


@dataclass(frozen=True)
class Gone:
    """What a session let go, each row once over its life.

    Attributes
    ----------
    orders, fills, trades : frames of schema.ORDERS, schema.FILLS, schema.TRADES_CLOSED
        Numbered as the session numbers them; a round trip goes as a whole.
    """

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades: pl.DataFrame

    @staticmethod
    def nothing() -> "Gone":
        """Return empty frames."""
        tables = schema.ORDERS, schema.FILLS, schema.TRADES_CLOSED
        return Gone(*(table.empty() for table in tables))


def needed(memory: Memory, orders: int) -> tuple[Any, Any]:
    """Return which orders and which fills may still matter: bool (orders,), bool (fills,).

    They are the round trips that orders in slots began or filled, as a whole, and the orders that
    those fills name.
    """
    made = memory.arrays["fills"][: int(memory.arrays["account"]["fills"][0])]
    waiting = np.zeros(orders, np.bool_)
    waiting[memory.arrays["slots"]["order"][in_use(memory)]] = True
    trips = waiting.copy()
    trips[made["trade"][waiting[made["order"]]]] = True
    fills = trips[made["trade"]]
    named = trips.copy()
    named[made["order"][fills]] = True
    return named, fills


def gone(run: Simulation, orders: Any, fills: Any) -> Gone:
    """Return what of a run is not among the orders and fills that are kept."""
    rest = replace(run, placed=run.placed[~fills])
    kept = pl.Series(orders)
    return Gone(run.orders.filter(~kept), rest.fills, closed_trades(run.tape, rest))


def over(market: Any, slot_of: Ints, now: int, *, by_event: bool) -> Any:
    """Return which markets were paid by now and are flat: bool (markets,).

    Parameters
    ----------
    market : records of state.MARKET
    slot_of : Int64 (markets,)
    now : int
        Microseconds.
    by_event : bool
        Whether a market stays as long as another one of its event: its result says what the
        others can still lose.
    """
    past = (market["settle"] != NEVER) & (market["settle"] <= now) & (slot_of < 0)
    if by_event and len(past):
        past &= np.bincount(market["event"], ~past)[market["event"]] == 0
    return past


def first_bars(memory: Memory) -> Ints:
    """Return the first bar of each market that a slot may look at again, -1 without a slot."""
    slots, slot_of = memory.arrays["slots"], memory.arrays["slot_of"]
    first = np.full(len(slot_of), NEVER, np.int64)
    for k in in_use(memory):
        s = slots[k]
        looked = [s["bar"], s["mark_bar"], *([s["first_bar"]] if s["live"] else [])]
        first[s["market"]] = min(first[s["market"]], *looked)
    return np.where(first == NEVER, -1, first)
