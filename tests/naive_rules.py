"""The plain simulator's small parts: a bar from one side, fees as fractions, sizes, caps.

An order and a position see the market from their own side: for a holder of NO every price p is
10 000 - p, so buying is at the ask and selling at the bid. Prices are centi-cents, quantities
centi-contracts, money micro-dollars, times microseconds.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

from kalshi_bt.simulator.assumptions import Limit, Rules

MINUTE = 60_000_000
DAY = 86_400_000_000
EXCHANGE_FROM = 1_772_582_400_000_000  # 2026-03-04T00:00Z, the first time under the new rounding
FINE_BALANCES_FROM = (
    1_779_926_400_000_000  # 2026-05-28T00:00Z, from then on balances step by $0.0001
)
FINE_FROM = 1_788_220_800_000_000  # 2026-09-01T00:00Z, from then on fees step by one micro-dollar
FRACTIONS_FROM = (
    1_776_384_000_000_000  # 2026-04-17T00:00Z, from then on all markets trade fractions
)

Row = dict[str, Any]


class Ohlc(NamedTuple):
    open: int | None
    high: int | None
    low: int | None
    close: int | None


class View(NamedTuple):
    """A bar as one side sees it."""

    price: Ohlc
    bid: Ohlc
    ask: Ohlc


class Depth(NamedTuple):
    """Levels (price, size) of YES, best first; None where the book is not known."""

    bids: list[tuple[int, int]] | None
    asks: list[tuple[int, int]] | None


UNKNOWN = Depth(None, None)


class Determination(NamedTuple):
    """What was said of a result, and when it was known."""

    time: int
    status: str
    payout: int | None


class Bar(NamedTuple):
    time: int
    yes: View
    volume: int | None
    bid_size: int | None = None
    ask_size: int | None = None
    before: Depth = UNKNOWN  # the recorded book in force until this row
    after: Depth = UNKNOWN
    paused: bool = False


class Luck(NamedTuple):
    """What chance holds for one order; without a random exchange only the latency."""

    delay: int
    slip_in: int = 0
    slip_out: int = 0
    ratio: int | None = None


class Lost(NamedTuple):
    """What the breakers judge at a decision: losses that are positive, in micro-dollars."""

    day: int
    week: int
    session: int
    fallen: int
    peak: int


class Pending(NamedTuple):
    """A market exit: acts in bars later than `after`."""

    reason: str
    after: int


@dataclass(frozen=True)
class FeeLeg:
    """What rounding remembers between the fills of one order leg, each regime for itself."""

    exact: Fraction = Fraction(0)  # order_cent: exact fees so far
    accumulated: int = 0  # exchange: rounding not yet given back


@dataclass
class Order:
    """A live entry order, prices on its own side."""

    row: Row
    side: int
    kind: str
    limit: int | None
    stop: int | None
    target: int | None
    reward: int | None
    exit_time: int | None
    decided: int  # index of the decision bar
    first: int  # index of the first eligible bar
    last: float  # index of its last bar, if the market lives that long
    expires: int | None  # it is over after bars of this time
    quantity: int
    reference: int  # price its size was judged by
    reserved: int
    trimmed: str | None
    luck: Luck
    share: float  # what the first bar it fills on may fill; no bound afterwards
    ahead: float  # what waits before it at its price
    triggered: bool = False  # a stop entry that is to take from the book in the next row
    filled: int = 0
    starved: bool = False  # was reached in a bar that could not fill it whole
    leg: FeeLeg = field(default_factory=FeeLeg)


@dataclass
class Position:
    order: Order
    first_bar: int
    after_open: bool  # held from the open of its first bar on
    target: int | None
    ahead: float = 0  # what waits before the target at its price
    quantity: int = 0
    basis: int = 0  # what the contracts held cost, before fees
    net: int = 0  # all cash flows of the round trip
    pending: Pending | None = None
    leg: FeeLeg = field(default_factory=FeeLeg)
    leg_reason: str | None = None


@dataclass
class Market:
    ticker: str
    event: str
    bars: list[Bar]
    index: dict[int, int]  # time -> bar
    last: int  # bars from this index on never execute
    closed: int | None  # when trading ends
    settled: int | None
    payout: int | None
    rates: list[tuple[int, int, int]]  # from_time, taker, maker
    exclusive: bool | None = None
    strike: tuple[str | None, float | None] = (None, None)
    lot: int = 100
    determinations: list[Determination] = field(default_factory=list)
    paid: bool = False  # its settlement has come, whether or not anything was held
    order: Order | None = None  # of the side of the position if it opened that, or opposing it
    position: Position | None = None
    taken: Counter[int] = field(default_factory=Counter)  # bar -> quantity this run filled in it
    made: Counter[int] = field(default_factory=Counter)  # the same of resting orders, by time
    # (bid or ask of YES, price) -> what this run has taken of what is displayed there
    drained: Counter[tuple[str, int]] = field(default_factory=Counter)

    def rate(self, time: int, role: str) -> int:
        _, taker, maker = [row for row in self.rates if row[0] <= time][-1]
        return maker if role == "maker" else taker

    def first_after(self, time: int) -> int:
        later = [j for j, bar in enumerate(self.bars) if bar.time > time and not bar.paused]
        return later[0] if later else len(self.bars)

    def decision_bar(self, time: int) -> int:
        """Index of the bar that ends at `time`, or of the last recorded change before it."""
        return [j for j, bar in enumerate(self.bars) if bar.time <= time][-1]


class RejectedError(Exception):
    """An entry intent failed a check; the argument is the reason."""


# --- one side of one bar ------------------------------------------------------------------------


def mirror(level: int | None) -> int | None:
    return None if level is None else 10_000 - level


def own_level(level: int | None, side: int) -> int | None:
    return level if side == 1 else mirror(level)


def mirror_ohlc(x: Ohlc) -> Ohlc:
    return Ohlc(mirror(x.open), mirror(x.low), mirror(x.high), mirror(x.close))


def own_view(yes: View, side: int) -> View:
    if side == 1:
        return yes
    return View(mirror_ohlc(yes.price), bid=mirror_ohlc(yes.ask), ask=mirror_ohlc(yes.bid))


def own_depth(depth: Depth, side: int) -> Depth:
    if side == 1 or depth.bids is None or depth.asks is None:
        return depth
    bids = [(10_000 - price, size) for price, size in depth.asks]
    return Depth(bids, [(10_000 - price, size) for price, size in depth.bids])


def known(*levels: int | None) -> list[int]:
    return [level for level in levels if level is not None]


def first_known(*levels: int | None) -> int | None:
    return next(iter(known(*levels)), None)


def buy_price(ask: Ohlc, end: str) -> int | None:
    if end == "open":
        return first_known(ask.open, ask.close)
    if end == "friendly":
        return min(known(ask.open, ask.low, ask.close), default=None)
    return max(known(ask.open, ask.high, ask.close), default=None)


def sell_price(bid: Ohlc, end: str) -> int | None:
    if end == "open":
        return first_known(bid.open, bid.close)
    if end == "friendly":
        return max(known(bid.open, bid.high, bid.close), default=None)
    return min(known(bid.open, bid.low, bid.close), default=None)


def stop_entry_price(ask: Ohlc, trigger: int, end: str) -> int | None:
    quote = first_known(ask.open, ask.close)
    if quote is None:
        return None
    if end == "open":
        return max(trigger, quote)
    if end == "hostile":
        return max(trigger, *known(ask.open, ask.high, ask.close))
    return max(trigger, min(known(ask.open, ask.low, ask.close)))


def stop_exit_price(bid: Ohlc, stop: int, end: str) -> int:
    lowest = min(known(bid.open, bid.low, bid.close))
    if end == "hostile":
        return lowest
    quote = first_known(bid.open, bid.close, lowest)
    assert quote is not None
    return min(stop, quote)


# --- fees ---------------------------------------------------------------------------------------


def up(amount: Fraction | int, step: int) -> int:
    return math.ceil(Fraction(amount) / step) * step


def down(amount: Fraction | int, step: int) -> int:
    return math.floor(Fraction(amount) / step) * step


def exact_fee(rate: int, quantity: int, price: int) -> Fraction:
    """Fee in micro-dollars: rate x contracts x p x (1 - p), with rate in parts per million."""
    return Fraction(rate * quantity * price * (10_000 - price), 10**10)


def balance_step(rules: Rules, time: int) -> int:
    """What balances are aligned to at a time, unless one step holds for all times."""
    if rules.balance_precision is not None:
        return rules.balance_precision
    return 100 if time >= FINE_BALANCES_FROM else 10_000


def charge(
    leg: FeeLeg, rules: Rules, time: int, rate: int, quantity: int, price: int, *, buys: bool
) -> tuple[int, FeeLeg]:
    """Fee of one fill, and what rounding remembers after it."""
    if rules.fill.naive:
        return 0, leg
    exact = exact_fee(rate, quantity, price)
    regime = rules.fee_rounding
    if regime == "auto":
        regime = "exchange" if time >= EXCHANGE_FROM else "order_cent"
    if regime == "order_cent":
        total = leg.exact + exact
        return up(total, 10_000) - up(leg.exact, 10_000), replace(leg, exact=total)
    precision = balance_step(rules, time)
    trade_fee = up(exact, 1 if time >= FINE_FROM else 100)
    revenue = -quantity * price if buys else quantity * price
    rounding = revenue - trade_fee - down(revenue - trade_fee, precision)
    accumulated = leg.accumulated + rounding
    step = precision if time >= FINE_FROM else max(precision, 10_000)  # whole cents at first
    rebate = min(down(accumulated, step), down(trade_fee + rounding, step))
    return trade_fee + rounding - rebate, replace(leg, accumulated=accumulated - rebate)


# --- sizes --------------------------------------------------------------------------------------


def largest(lot: int, upper: int, fits: Callable[[int], bool]) -> int:
    """Largest multiple of `lot` up to `upper` that fits (what is smaller fits too), or 0."""
    low, high = 0, max(upper, 0) // lot
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle * lot):
            low = middle
        else:
            high = middle - 1
    return low * lot


def cap(limit: Limit, equity: int) -> int | None:
    """The limit in micro-dollars, the tighter of its two parts; None for no limit."""
    fraction = None if limit.fraction is None else math.floor(limit.fraction * equity)
    return min(known(fraction, limit.dollars), default=None)
