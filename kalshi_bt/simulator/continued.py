"""The walk in pieces, for bars, results and intents that come one after the other.

What `kernels.walk` does to a whole panel, these do to as much of it as is known: the same slots,
the same heap, the same rules. A market's bars lie in a slice with room behind them; until a bar is
there, its time is NEVER.
"""

from typing import Any

from kalshi_bt.simulator.collateral import UNTOUCHED, recount
from kalshi_bt.simulator.compiling import compiled, inner, int64
from kalshi_bt.simulator.context import (
    account_of,
    event_credits,
    market_at,
    slot_at,
    slots_of,
    terms_of,
    times,
)
from kalshi_bt.simulator.kernels import ask, begin, end, run_until, wait
from kalshi_bt.simulator.queue import AT_RESULT, push
from kalshi_bt.simulator.risk import equity_at
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.steps import next_bar
from kalshi_bt.simulator.taken import carry_taken
from kalshi_bt.simulator.views import stands_still


@compiled
def begin_account(context: Any) -> None:
    """Open the account with nothing held."""
    begin(context[0])


@inner
def look_at_new_bars(c: Any, k: int, clock: int) -> int:
    """Queue the slot's next event if the bars that were added hold one; return the clock."""
    s, terms = slot_at(c, k), terms_of(c)
    market = market_at(c, s.market)
    while (
        s.live
        and s.first_bar < market.last
        and (times(c)[s.first_bar] <= s.arrival or stands_still(c, s.first_bar))
    ):
        s.first_bar += 1
        if not terms.bar:
            s.final_bar += 1
    j = next_bar(c, s)
    if j < 0:
        s.bar = market.last  # what was looked at and concerns nobody is not looked at again
        return clock
    wait(c, k, clock + 1)
    return clock + 1


@compiled
def add_bars(context: Any, market: Ints, clock: int) -> int:
    """Let what is held and bid for in some markets see their new bars; return the clock.

    Parameters
    ----------
    market : Int64 (n,)
        Markets whose `last` was moved.
    """
    c = context[0]
    for i in range(len(market)):
        k = slots_of(c)[market[i]]
        if k < 0:
            continue
        pair = slot_at(c, k).pair
        clock = look_at_new_bars(c, k, clock)
        if pair >= 0 and slots_of(c)[market[i]] == k and slot_at(c, k).pair == pair:
            clock = look_at_new_bars(c, pair, clock)
    return clock


@compiled
def add_ends(context: Any, market: Ints, clock: int) -> int:
    """Let what is held and bid for know of closes and results; return the clock.

    Parameters
    ----------
    market : Int64 (n,)
        Markets whose `close`, or `settle` and `payout`, were set.
    """
    c = context[0]
    for i in range(len(market)):
        m = market[i]
        k = slots_of(c)[m]
        pair = slot_at(c, k).pair if k >= 0 else int64(-1)
        if k >= 0:
            clock += 1
            wait(c, k, clock)
        if pair >= 0 and slots_of(c)[m] == k and slot_at(c, k).pair == pair:
            clock += 1
            wait(c, pair, clock)
        if terms_of(c).collateral and market_at(c, m).settle != NEVER:
            untouched = event_credits(c)[market_at(c, m).event] == UNTOUCHED
            if not untouched:
                push(c, market_at(c, m).settle, AT_RESULT, m, 0)
    return clock


@compiled
def list_in_events(context: Any, event: Ints) -> None:
    """Let events know of markets that were listed in them: what is held may lose in those, too."""
    c = context[0]
    for i in range(len(event)):
        if event_credits(c)[event[i]] != UNTOUCHED:
            recount(c, event[i])


@compiled
def bring_forward(context: Any, clock: int) -> int:
    """Bring what was taken of recorded depth up to date with the newest rows; return the clock."""
    c = context[0]
    for m in range(c.markets):
        carry_taken(c, m, market_at(c, m).last)
    return clock


@compiled
def advance(context: Any, time: int, clock: int) -> int:
    """Let everything up to and including `time` happen; return the clock."""
    return run_until(context[0], time, clock)


@compiled
def ask_all(context: Any, intents: Any, first: int, clock: int) -> int:
    """Ask intents of one time, numbered from `first` on; return the clock."""
    c = context[0]
    for i in range(len(intents)):
        clock = run_until(c, intents[i].time, clock)
        clock = ask(c, intents[i], first + i, clock)
    return clock


@compiled
def end_all(context: Any, clock: int) -> int:
    """Let all that is pending happen; return how many fills there are."""
    end(context[0], clock)
    return account_of(context[0]).fills


@compiled
def equity_now(context: Any, time: int) -> int:
    """Return cash plus every position at what it is marked at, micro-dollars."""
    return int64(equity_at(context[0], time))
