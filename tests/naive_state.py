"""What the plain simulator knows at a moment: cash, orders, positions, and what they are worth.

Also the weekly pause of the exchange, and what waits ahead of an order at its price.
"""

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from naive_collateral import guaranteed
from naive_rules import (
    DAY,
    Bar,
    Lost,
    Luck,
    Market,
    Order,
    Position,
    Row,
    down,
    known,
    own_level,
    own_view,
)

from kalshi_bt.simulator.assumptions import Rules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
THURSDAY = 3
WEEK = 7 * DAY
MONDAY = 4 * DAY  # 1970-01-05, the first one

# --- the weekly pause ---------------------------------------------------------------------------


def pause_of(time: int) -> tuple[int, int] | None:
    """Begin and end of the pause on the New York day of `time`, if that is a Thursday."""
    day = (EPOCH + timedelta(microseconds=time)).astimezone(NEW_YORK)
    if day.weekday() != THURSDAY:
        return None
    begin, end = (
        datetime(day.year, day.month, day.day, hour, tzinfo=NEW_YORK).astimezone(UTC)
        for hour in (3, 5)
    )
    step = timedelta(microseconds=1)
    return (begin - EPOCH) // step, (end - EPOCH) // step


def is_paused(time: int) -> bool:
    pause = pause_of(time)
    return pause is not None and pause[0] <= time < pause[1]


def bar_is_paused(time: int, length: int) -> bool:
    """Whether all of the bar that ends at `time` lies in a pause; of length 0: whether it does."""
    pause = pause_of(time)
    if pause is None or time > pause[1]:
        return False
    return time - length >= pause[0] if length else time > pause[0]


def week_of(time: int) -> int:
    """Number of the week of `time`, from Monday 00:00 UTC on."""
    return (time - MONDAY) // WEEK


# --- queues -------------------------------------------------------------------------------------


def ahead_in_book(level: int, levels: list[tuple[int, int]] | None, *, above: bool) -> float:
    """What the recorded side shows at `level`; `above`: a better level is a higher one."""
    if levels is None:
        return math.inf  # not known: never by touch
    if not levels:
        return 0
    prices = [price for price, _ in levels]
    if level > prices[0] if above else level < prices[0]:
        return 0
    if level < prices[-1] if above else level > prices[-1]:
        return math.inf  # beyond what was recorded
    return sum(size for price, size in levels if price == level)


def ahead_in_bar(
    level: int, best: int | None, size: int | None, volume: int, *, above: bool
) -> int:
    """What is taken to wait at `level` at the end of a bar: all its volume, if nothing is known."""
    if best is not None and (level > best if above else level < best):
        return 0
    return size if level == best and size is not None else volume


# --- the state of a run -------------------------------------------------------------------------


class State:
    def __init__(self, markets: list[Market], rules: Rules, lucks: list[Luck]) -> None:
        self.markets = markets
        self.rules = rules
        self.lucks = lucks  # of each intent
        self.naive = rules.fill.naive
        self.book = rules.fill.book and not self.naive
        self.queue = self.book or (rules.fill.queue and not self.naive)
        self.cash = rules.cash
        self.peak = rules.cash
        self.orders: list[Row] = []
        self.fills: list[Row] = []
        self.latch: tuple[str, int] | None = None  # reason, time at which it latched
        self.judged: list[Lost] = []  # what the breakers were asked about
        self.losses = 0  # losing trades in a row
        self.realised: Counter[int] = Counter()  # day -> net of the trades closed in it
        self.by_week: Counter[int] = Counter()  # the same by week
        self.accepted: list[tuple[int, int]] = []  # time, cost at the reference price

    def free(self) -> int:
        reserved = sum(m.order.reserved for m in self.markets if m.order)
        return self.cash - reserved + self.returned()

    def returned(self) -> int:
        """What the exchange gives back of collateral that the positions held cannot lose."""
        if not self.rules.collateral:
            return 0
        events = {market.event for market in self.markets}
        return sum(guaranteed([m for m in self.markets if m.event == e]) for e in events)

    def volume(self, bar: Bar) -> int:
        return self.rules.assumed_volume if bar.volume is None else bar.volume

    def capacity(self, market: Market, j: int) -> float:
        fill = self.rules.fill
        if self.naive or fill.participation is None:
            return math.inf
        share = self.volume(market.bars[j]) * round(fill.participation * 10_000) // 10_000
        return down(share, market.lot) - market.taken[j]

    def slipped(self, price: int, draw: int) -> int:
        """How far a taker's fill is off the price: centi-cents."""
        exchange = self.rules.fill.exchange
        if exchange is None or self.naive:
            return 0
        return draw if exchange.slip_bps is None else max(0, -(-price * draw // 10_000))

    def queue_gives(
        self,
        market: Market,
        ahead: float,
        bar: Bar,
        evidence: list[int],
        traded: int | None,
        level: int,
        sign: int,
    ) -> tuple[float, float | None]:
        """Return what still waits ahead after the bar, and what it can fill; None: not reached.

        `evidence` are quotes; `traded` the trade price that comes farthest. `sign` is +1 for an
        order to buy, reached from above, -1 for one to sell.
        """
        share = round(self.rules.fill.touch_share * 10_000)
        volume = self.volume(bar)
        if self.book:
            evidence = []  # what is displayed may be what this run has taken
            if bar.before.bids is None:
                return ahead, None
        # What a row traded fills the resting orders of this run once.
        most = down(volume - market.made[bar.time], market.lot) if self.book else math.inf
        if any(sign * x < sign * level for x in known(*evidence, traded)):
            return 0, most
        if traded != level:
            return ahead, None
        passing = volume * share // 10_000
        if ahead >= passing:
            return ahead - passing, 0
        return 0, min(down(int(passing - ahead), market.lot), most)

    def record(
        self, order: Order, ticker: str, time: int, *, trip: Order | None = None, **columns: Any
    ) -> None:
        """Write a fill of an order; `trip` is the entry whose round trip it belongs to."""
        number = order.row["order_id"]
        seq = sum(1 for fill in self.fills if fill["order_id"] == number)
        row = {"order_id": number, "seq": seq, "ticker": ticker, "time": time}
        row["trade_id"] = (trip or order).row["order_id"]
        self.fills.append(row | columns)

    def reduce(
        self, market: Market, position: Position, quantity: int, proceeds: int, time: int
    ) -> None:
        self.cash += proceeds
        position.net += proceeds
        # The share that was sold, rounded down.
        position.basis -= position.basis * quantity // position.quantity
        position.quantity -= quantity
        if position.quantity == 0:
            market.position = None
            self.realised[time // DAY] += position.net
            self.by_week[week_of(time)] += position.net
            self.losses = self.losses + 1 if position.net < 0 else 0

    def free_after(self, position: Position, quantity: int, proceeds: int) -> int:
        """What would be free once so much of a position is sold for so much."""
        position.quantity -= quantity
        left = self.free() + proceeds
        position.quantity += quantity
        return left

    def mark(self, market: Market, position: Position, time: int) -> int:
        """What one contract of a position counts for: its bid, or what was said of its result."""
        side = position.order.side
        bar = [b for b in market.bars[: market.last] if b.time <= time][-1]
        bid = own_view(bar.yes, side).bid.close or 0
        heard = [row for row in market.determinations if row.time <= time]
        said = known(*(own_level(row.payout, side) for row in heard))
        if heard and heard[-1].payout is not None:
            return said[-1]
        return min(bid, *said[-1:]) if said else bid

    def end(self, market: Market, unfilled: str, reason: str) -> None:
        """End the live entry order: `unfilled` is its status if it never filled."""
        order = market.order
        assert order is not None
        status = "partial" if order.filled else unfilled
        if order.filled == order.quantity:
            status, reason = "filled", order.trimmed
        order.row |= {"status": status, "reason": reason}
        market.order = None  # with it goes its reservation

    def committed(self, markets: Iterable[Market]) -> int:
        """Cost of what is held and of what live orders may still buy at their reference price."""
        total = 0
        for market in markets:
            if market.position is not None:
                total += market.position.basis
            if market.order is not None:
                order = market.order
                total += (order.quantity - order.filled) * order.reference
        return total
