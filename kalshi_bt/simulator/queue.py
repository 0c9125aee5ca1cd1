"""The pending events of a walk: a heap of four children a node, ordered by time, kind and market.

The standard library's heap works on a list, whose reference counting costs more here than sifting.
Four children lie on two cache lines and halve the depth, which is what a walk waits for.
"""

from typing import Any

from kalshi_bt.simulator.compiling import inner
from kalshi_bt.simulator.context import account_of, queue_of

ONE_KIND = 1 << 40  # more than there are markets
# What comes first at one time; a result is of a market, whether or not it is held.
AT_BAR, AT_CLOSE, AT_RESULT, AT_SETTLEMENT = range(4)


@inner
def earlier(a: Any, b: Any) -> bool:
    """Tell whether event a comes before event b."""
    return a.time < b.time or (a.time == b.time and a.what < b.what)


@inner
def copy(a: Any, b: Any) -> None:
    """Write event b over event a."""
    a.time, a.what, a.version = b.time, b.what, b.version


@inner
def push(c: Any, time: int, kind: int, market: int, version: int) -> None:
    """Add an event."""
    queue, account, what = queue_of(c), account_of(c), kind * ONE_KIND + market
    hole = account.queued
    account.queued += 1
    while hole > 0:
        parent = queue[(hole - 1) // 4]
        if parent.time < time or (parent.time == time and parent.what <= what):
            break
        copy(queue[hole], parent)
        hole = (hole - 1) // 4
    new = queue[hole]
    new.time, new.what, new.version = time, what, version


@inner
def drop_first(c: Any) -> None:
    """Remove the earliest event."""
    queue, account = queue_of(c), account_of(c)
    account.queued -= 1
    count = account.queued
    last = queue[count]
    hole = 0
    while True:
        child = 4 * hole + 1
        if child >= count:
            break
        for other in range(child + 1, min(child + 4, count)):
            if earlier(queue[other], queue[child]):
                child = other
        if not earlier(queue[child], last):
            break
        copy(queue[hole], queue[child])
        hole = child
    copy(queue[hole], last)
