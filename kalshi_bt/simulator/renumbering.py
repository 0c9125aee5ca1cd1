"""The memory of an account whose markets, events or orders get other numbers.

Markets are numbered by ticker, for that is the order of what happens at one time; one that is
listed later moves those after it up, and those that are over make room.
"""

from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.simulator.collateral import UNTOUCHED
from kalshi_bt.simulator.memory import Memory
from kalshi_bt.simulator.queue import AT_RESULT, ONE_KIND
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.tape import ints

_BARS = ("bar", "due", "first_bar", "final_bar", "close_only_bar", "mark_bar")  # of a slot
# What a new one has, by name of the array.
_OF_MARKETS = {"slot_of": -1, "positions": 0, "results": -1, "taken_row": -1}
_OF_EVENTS = {"event_cost": 0, "event_credit": UNTOUCHED}


def numbers_in(markets: pl.DataFrame, before: pl.DataFrame) -> Ints:
    """Return the number that each market of `before` has in `markets`, -1: none; both by ticker."""
    numbered = markets.select("ticker").with_row_index("number")
    names = before.select("ticker").join(numbered, on="ticker", how="left", maintain_order="left")
    return ints(names["number"])


def events_in(events: Ints, before: Ints, numbers: Ints) -> Ints:
    """Return the number that each event of before has now, -1: none.

    Parameters
    ----------
    events, before : Int64 (markets,), Int64 (old markets,)
        Of each market now and before.
    numbers : Int64 (old markets,)
        Of each market now, -1: it is gone.
    """
    found, here = np.full(int(before.max(initial=-1)) + 1, -1, np.int64), numbers >= 0
    found[before[here]] = events[numbers[here]]
    return found


def moved(array: Any, numbers: Ints, count: int, empty: int) -> Any:
    """Return an array of `count` in which row i of the old one is row numbers[i], if not -1."""
    made = np.full(count, empty, array.dtype)
    here = numbers >= 0
    made[numbers[here]] = array[: len(numbers)][here]
    return made


def renumber_markets(memory: Memory, markets: Ints, events: Ints, count: int) -> None:
    """Give market i the number markets[i] and event i the number events[i]; -1: it is forgotten.

    Parameters
    ----------
    memory : Memory
        Nothing in it may be held or bid for in what is forgotten.
    markets, events : Int64 (old markets,), Int64 (old events,)
        Rising: the order stays.
    count : int
        How many markets there are then.
    """
    arrays, account = memory.arrays, memory.arrays["account"]
    for names, numbers in ((_OF_MARKETS, markets), (_OF_EVENTS, events)):
        for name, empty in names.items():
            if len(arrays[name]):
                arrays[name] = moved(arrays[name], numbers, count, empty)
    slots = arrays["slots"][: int(account["slots"][0])]
    slots["market"] = np.maximum(markets[slots["market"]], 0)  # of idle ones it does not matter
    made = arrays["fills"][: int(account["fills"][0])]
    made["market"] = markets[made["market"]]
    queue = arrays["queue"][: int(account["queued"][0])]
    kind, market = np.divmod(queue["what"], ONE_KIND)
    queue["what"] = kind * ONE_KIND + markets[market]
    drop_events(memory, markets[market] < 0)
    more_slots(memory, 2 * count)


def drop_events(memory: Memory, void: Any) -> None:
    """Take pending events out of the queue; those that are left keep their order."""
    account, queue = memory.arrays["account"], memory.arrays["queue"]
    if not void.any():
        return
    left = queue[: len(void)][~void]
    queue[: len(left)] = np.sort(left, order=("time", "what"), kind="stable")  # sorted is a heap
    account["queued"] = len(left)


def void_events(memory: Memory) -> Any:
    """Return which pending events concern no slot any more, bool (events,).

    An account on books that seldom fill leaves one behind with each order that is taken back.
    """
    queue = memory.arrays["queue"][: int(memory.arrays["account"]["queued"][0])]
    slots, slot_of = memory.arrays["slots"], memory.arrays["slot_of"]
    kind, market = np.divmod(queue["what"], ONE_KIND)
    first = slot_of[market]
    second = np.where(first >= 0, slots["pair"][first], -1)
    waits = [(k >= 0) & (slots["version"][k] == queue["version"]) for k in (first, second)]
    return (kind != AT_RESULT) & ~waits[0] & ~waits[1]


def more_slots(memory: Memory, count: int) -> None:
    """See that there are so many slots; idle ones of low numbers are taken first."""
    arrays, account = memory.arrays, memory.arrays["account"]
    had, idle = len(arrays["slots"]), int(account["free"][0])
    if had >= count:
        return
    slots, free = np.zeros(count, arrays["slots"].dtype), np.empty(count, np.int64)
    slots[:had] = arrays["slots"]
    free[: count - had] = np.arange(count - 1, had - 1, -1)
    free[count - had : count - had + idle] = arrays["free"][:idle]
    account["free"] = idle + count - had
    memory.hold(Memory({"slots": slots, "free": free}, {"slots_count": count}))


def in_use(memory: Memory) -> Any:
    """Return the numbers of the slots in which something is held or bid for."""
    slots, slot_of = memory.arrays["slots"], memory.arrays["slot_of"]
    first = slot_of[slot_of >= 0]
    second = slots["pair"][first]
    return np.concatenate([first, second[second >= 0]])


def move_bars(memory: Memory, market: int, far: int) -> None:
    """Tell the slots of a market that its bars lie elsewhere."""
    slots, k = memory.arrays["slots"], int(memory.arrays["slot_of"][market])
    for slot in (k, int(slots["pair"][k])) if k >= 0 else ():
        if slot >= 0:
            for name in _BARS:
                if 0 <= slots[name][slot] < NEVER:
                    slots[name][slot] += far


def move_rows(memory: Memory, market: int, far: int, begin: int, count: int) -> None:
    """Tell what was taken from recorded depth that the rows of a market lie elsewhere.

    Parameters
    ----------
    memory : Memory
    market, far : int
    begin, count : int
        Where its first row lies now, and how many rows were moved.
    """
    account, row = memory.arrays["account"], memory.arrays["taken_row"]
    if row[market] >= 0:
        row[market] += far
    if begin - far <= account["made_row"][0] < begin - far + count:
        account["made_row"] += far


def renumber_orders(memory: Memory, orders: Any, fills: Any) -> None:
    """Forget orders and fills; the others close up.

    Parameters
    ----------
    memory : Memory
    orders : bool (orders,)
        Which are kept: those in slots, and those of the fills that are kept.
    fills : bool (fills,)
        Which are kept.
    """
    arrays, account = memory.arrays, memory.arrays["account"]
    numbers = np.cumsum(orders) - 1
    rows = arrays["orders"][: len(orders)][orders]
    arrays["orders"] = np.append(rows, np.zeros(len(rows), rows.dtype))
    if len(arrays["draws"]):
        arrays["draws"] = np.ascontiguousarray(arrays["draws"][orders])
    made = arrays["fills"][: len(fills)][fills]
    made["order"], made["trade"] = numbers[made["order"]], numbers[made["trade"]]
    arrays["fills"] = made
    slots = in_use(memory)
    arrays["slots"]["order"][slots] = numbers[arrays["slots"]["order"][slots]]
    # Of the accepted orders only those of the last minute are counted.
    head, accepted = int(account["rate_head"][0]), int(account["accepted"][0])
    arrays["accepted_times"] = arrays["accepted_times"][head:accepted].copy()
    account["accepted"], account["rate_head"] = accepted - head, 0
    account["fills"] = len(made)
