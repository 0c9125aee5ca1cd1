"""The arrays of one walk: what it reads, what it keeps, and the record that points to both."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.draws import draws
from kalshi_bt.simulator.pauses import WEEK, pauses
from kalshi_bt.simulator.state import ACCOUNT, CONTEXT, EVENT, FILL, NEVER, ORDER, SLOT, Ints
from kalshi_bt.simulator.tape import NOTHING_SAID, Depth, Groups, Tape, frozen

_NO_DEPTH = Depth(np.empty((0, 4), np.int64), np.empty((0, 2), np.int64))
_NO_GROUPS = Groups(*(np.empty(0, np.int64) for _ in range(3)))


@dataclass
class Memory:
    """Arrays by their names in CONTEXT, and their lengths.

    Whoever walks keeps the value alive until the walk is over: kernels borrow bare addresses.
    """

    arrays: dict[str, Any]
    lengths: dict[str, int]

    def context(self) -> Any:
        """Return the record that a kernel is handed, one row."""
        context = np.zeros(1, CONTEXT)
        for name, array in self.arrays.items():
            context[name] = array.ctypes.data
        for name, length in self.lengths.items():
            context[name] = length
        return frozen(context)

    def after(self, name: str, rows: Ints) -> Ints:
        """Return the rows of an array, if there is one, and more."""
        before = self.arrays.get(name)
        return rows if before is None or not len(before) else np.concatenate([before, rows])

    def hold(self, more: "Memory") -> None:
        """Put the arrays of `more` in place of those of the same names."""
        self.arrays |= more.arrays
        self.lengths |= more.lengths


def is_random(rules: Rules) -> bool:
    """Tell whether fills are drawn."""
    return rules.fill.exchange is not None and not rules.fill.naive


def drawn(tape: Tape, market: Ints, rules: Rules, before: Ints | None = None) -> Ints:
    """Return delay, slip in, slip out and share of each intent, without rows where not random.

    As many intents of each market as `before` says came before these, see `draws.draws`.
    """
    exchange = rules.fill.exchange
    if exchange is None or rules.fill.naive:
        return np.empty((0, 4), np.int64)
    tickers = tape.table["ticker"].cast(str).to_list()
    luck = draws(rules.seed, tickers, market, exchange, before)
    return frozen(np.column_stack([luck.delay, luck.slip_in, luck.slip_out, luck.ratio]))


def paused(rules: Rules, first: int, last: int) -> Memory:
    """Return the pauses of a span of time, without rows where they do not matter."""
    still = np.empty((0, 2), np.int64)
    if rules.pauses and not rules.fill.naive:
        still = frozen(pauses(first, last))
    begins = int(still[0, 0]) // WEEK if len(still) else 0
    return Memory({"pauses": still}, {"weeks": len(still), "first_week": begins})


def recorded(tape: Tape) -> Memory:
    """Return what a walk only reads."""
    depth, groups = tape.depth or _NO_DEPTH, tape.groups or _NO_GROUPS
    said = tape.said or NOTHING_SAID
    arrays = {
        "time": tape.time,
        "prices": tape.prices,
        "volume": tape.volume,
        "market": tape.markets,
        "rates": tape.rates,
        "sizes": tape.sizes,
        "spans": depth.spans,
        "levels": depth.levels,
        "group_kind": groups.kind,
        "group_start": groups.start,
        "group_member": groups.member,
        "said": said.rows,
        "said_start": said.start,
    }
    lengths = {
        "bars": len(tape.time),
        "markets": len(tape.markets),
        "rates_count": len(tape.rates),
        "sized": len(tape.sizes),
        "deep": len(depth.spans),
        "levels_count": len(depth.levels),
        "events": len(groups.kind),
        "said_count": len(said.rows),
    }
    return Memory(arrays, lengths)


def accounts(tape: Tape, rules: Rules, slots: int) -> Memory:
    """Return the account and what is held of it in each market and event, nothing yet."""
    markets = len(tape.markets)
    lent = markets if rules.collateral else 0
    account = np.zeros(1, ACCOUNT)
    account["cycle_time"], account["made_row"] = -NEVER, -1
    arrays = {
        "account": account,
        "slots": np.zeros(slots, SLOT),  # pages that are never used cost nothing
        "free": np.empty(slots, np.int64),
        "slot_of": np.full(markets, -1, np.int64),
        "event_cost": np.zeros(markets, np.int64),
        "taken": np.zeros(len((tape.depth or _NO_DEPTH).levels), np.int64),
        "taken_row": np.full(0 if tape.depth is None else markets, -1, np.int64),
        "positions": np.zeros(lent, np.int64),
        "results": np.full(lent, -1, np.int64),
        "event_credit": np.full(lent, -1, np.int64),
    }
    return Memory(arrays, {"slots_count": slots})


def written(intents: int, fills: int, queue: int) -> Memory:
    """Return room for what becomes of intents, for fills, and for pending events."""
    arrays = {
        "orders": np.zeros(intents, ORDER),
        "accepted_times": np.empty(intents, np.int64),
        "fills": np.empty(fills, FILL),
        "queue": np.empty(queue, EVENT),
    }
    return Memory(arrays, {"intents": intents, "room": fills, "queue_room": queue})


def make_room(memory: Memory, intents: int, more: int = 0) -> None:
    """See that a kernel has room for what may become of so many intents and of what is pending.

    Fills have room for `more`: an order that walks recorded depth has one a level.
    """
    account, arrays, slots = memory.arrays["account"], memory.arrays, memory.lengths["slots_count"]
    wanted = {
        "orders": intents,
        "accepted_times": int(account["accepted"][0]) + intents,
        "fills": int(account["fills"][0]) + 3 * intents + 4 * slots + 16 + more,
        "queue": int(account["queued"][0]) + 4 * slots + 2 * intents + 16,
    }
    for name, least in wanted.items():
        if len(arrays[name]) < least:
            bigger = np.zeros(2 * least, arrays[name].dtype)
            bigger[: len(arrays[name])] = arrays[name]
            arrays[name] = bigger
    sizes = {"intents": "orders", "room": "fills", "queue_room": "queue"}
    memory.lengths |= {length: len(arrays[name]) for length, name in sizes.items()}
