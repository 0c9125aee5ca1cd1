"""The pending events of a walk: a binary heap in plain memory, ordered by time, kind and market.

The standard library's heap works on a list, whose reference counting costs more here than sifting.
"""

from typing import Any

from kalshi_bt.simulator.compiling import inner
from kalshi_bt.simulator.context import account_of, queue_of


@inner
def earlier(a: Any, b: Any) -> bool:
    """Tell whether event a comes before event b."""
    if a.time != b.time:
        return a.time < b.time
    if a.kind != b.kind:
        return a.kind < b.kind
    return a.market < b.market


@inner
def copy(a: Any, b: Any) -> None:
    """Write event b over event a."""
    a.time, a.kind, a.market, a.slot, a.version = b.time, b.kind, b.market, b.slot, b.version


@inner
def push(c: Any, time: int, kind: int, market: int, slot: int, version: int) -> None:
    """Add an event."""
    queue, account = queue_of(c), account_of(c)
    hole = account.queued
    account.queued += 1
    while hole > 0:
        parent = queue[(hole - 1) // 2]
        if parent.time < time or (
            parent.time == time
            and (parent.kind < kind or (parent.kind == kind and parent.market <= market))
        ):
            break
        copy(queue[hole], parent)
        hole = (hole - 1) // 2
    new = queue[hole]
    new.time, new.kind, new.market, new.slot, new.version = time, kind, market, slot, version


@inner
def drop_first(c: Any) -> None:
    """Remove the earliest event."""
    queue, account = queue_of(c), account_of(c)
    account.queued -= 1
    last = queue[account.queued]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= account.queued:
            break
        if child + 1 < account.queued and earlier(queue[child + 1], queue[child]):
            child += 1
        if not earlier(queue[child], last):
            break
        copy(queue[hole], queue[child])
        hole = child
    copy(queue[hole], last)
