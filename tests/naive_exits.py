"""Exits of the plain simulator: stops, targets, market exits, settlement."""

import math

from naive_entries import Entries
from naive_liquidity import offers
from naive_rules import (
    FeeLeg,
    Market,
    Pending,
    Position,
    View,
    balance_step,
    charge,
    known,
    own_level,
    own_view,
    sell_price,
    stop_exit_price,
)


class Exits(Entries):
    def leave(self, market: Market, j: int) -> None:
        position = market.position
        if position is None:
            return
        bar, order = market.bars[j], position.order
        own = own_view(bar.yes, order.side)
        if position.pending and bar.time > position.pending.after:
            # The only thing that can happen in this bar, even where there is no price.
            self.leave_at_market(market, position, own, j)
        else:
            self.leave_at_level(market, position, own, j)
        # The time exit is decided with the bar complete; it never replaces a pending one.
        due = order.exit_time is not None and bar.time >= order.exit_time and j > order.decided
        if due and market.position is position and position.pending is None:
            self.set_pending(market, position, Pending("time", bar.time + order.luck.delay))

    def leave_at_market(self, market: Market, position: Position, own: View, j: int) -> None:
        assert position.pending is not None
        reason = position.pending.reason
        if self.book:
            self.walk_bids(market, position, j, reason)
            return
        price = own.price.close if self.naive else sell_price(own.bid, self.rules.fill.end)
        if price is not None:
            self.sell(market, j, self.cheaper(position, price), "taker", reason)

    def leave_at_level(self, market: Market, position: Position, own: View, j: int) -> None:
        fill, order = self.rules.fill, position.order
        level, most = self.level_hit(market, position, own, j)
        if level == "stop":
            if not self.book:  # there, what the stop saw is had in the next row
                end = fill.end
                price = order.stop if self.naive else stop_exit_price(own.bid, order.stop, end)
                self.sell(market, j, self.cheaper(position, price), "taker", "stop")
            # Whatever remains leaves at the market, in place of a pending exit not yet due.
            self.set_pending(market, position, Pending("stop", market.bars[j].time))
        elif level == "target":
            role = "taker" if self.naive else "maker"
            self.sell(market, j, position.target, role, "target", most)

    def cheaper(self, position: Position, price: int) -> int:
        """Where a taker's fill ends up that should have been at `price`."""
        slip = self.slipped(price, position.order.luck.slip_out)
        return min(price, max(price - slip, 1))

    def walk_bids(self, market: Market, position: Position, j: int, reason: str) -> None:
        """Sell level by level, best first, until one brings nothing or collateral is missed."""
        for offer in offers(market, j, position.order.side, buys=False):
            most = min(self.capacity(market, j), offer.size)
            if market.position is not position:
                return
            wanted = min(position.quantity, most)
            if wanted == 0:
                continue
            sold = self.sell(market, j, self.cheaper(position, offer.price), "taker", reason, most)
            market.drained[offer.level] += sold
            if sold < wanted:
                return

    def set_pending(self, market: Market, position: Position, pending: Pending) -> None:
        position.pending = pending
        if market.order is position.order:
            self.end(market, "canceled", "exited")

    def level_hit(
        self, market: Market, position: Position, own: View, j: int
    ) -> tuple[str | None, float]:
        """Return the level that acts in bar j, and the most a target may fill."""
        fill, stop, target = self.rules.fill, position.order.stop, position.target
        bid, price = own.bid, own.price
        if self.naive:
            if stop is not None and price.low is not None and price.low <= stop:
                return "stop", math.inf  # always before the target
            hit = target is not None and price.high is not None and price.high >= target
            return "target" if hit else None, math.inf
        lows = known(bid.open, bid.low, bid.close)
        highs = known(bid.open, bid.high, bid.close)
        traded = price.high if fill.prints else None
        stopped = stop is not None and any(x <= stop for x in lows)
        most: float | None = math.inf
        if target is None:
            reached = False
        elif self.queue:
            reached = False
            if j != position.first_bar:  # it only starts to wait at the end of that bar
                bar = market.bars[j]
                gives = self.queue_gives(market, position.ahead, bar, highs, traded, target, -1)
                position.ahead, most = gives
                reached = bool(most)
        else:
            if j == position.first_bar and not position.after_open and fill.end != "friendly":
                highs, traded = known(bid.close), None  # what came before the fill is no exit
            reached = any(x > target or (fill.touch and x == target) for x in known(*highs, traded))
        if stopped and (fill.stop_first or not reached):
            return "stop", math.inf
        return ("target", most or 0) if reached else (None, 0)

    def sell(
        self,
        market: Market,
        j: int,
        price: int,
        role: str,
        reason: str,
        most: float = math.inf,
    ) -> int:
        """Fill an exit as far as volume and lent collateral allow, unless it would bring nothing.

        Return the quantity.
        """
        position, bar = market.position, market.bars[j]
        assert position is not None
        quantity = int(min(position.quantity, self.capacity(market, j), most))
        rate = market.rate(bar.time, role)
        before = position.leg if reason == position.leg_reason else FeeLeg()
        while quantity > 0:
            fee, leg = charge(before, self.rules, bar.time, rate, quantity, price, buys=False)
            proceeds = quantity * price - fee
            if not self.rules.collateral or self.free_after(position, quantity, proceeds) >= 0:
                break
            quantity -= market.lot
        if quantity <= 0 or proceeds <= 0:
            return 0  # held to settlement it is worth more; the fee state stays as it was
        position.leg, position.leg_reason = leg, reason
        market.taken[j] += quantity
        market.made[bar.time] += quantity if role == "maker" else 0
        if market.order is position.order:
            self.end(market, "canceled", "exited")
        side = position.order.side
        columns = {"kind": "trade", "role": role, "leg": "exit", "reason": reason}
        columns |= {"quantity": -side * quantity, "price": own_level(price, side), "fee": fee}
        self.record(position.order, market.ticker, bar.time, **columns)
        self.reduce(market, position, quantity, proceeds, bar.time)
        return quantity

    def settle(self, market: Market) -> None:
        assert market.order is None, "an entry order outlived the last executable bar"
        position, time = market.position, market.settled
        market.paid = True
        if position is None:
            return
        quantity, side = position.quantity, position.order.side
        worth = quantity * own_level(market.payout, side)
        # What does not fill a step of the balance is not paid.
        fee = 0 if self.naive else worth % balance_step(self.rules, time)
        columns = {"kind": "settlement", "role": "none", "leg": "exit", "reason": "settlement"}
        columns |= {"quantity": -side * quantity, "price": market.payout, "fee": fee}
        self.record(position.order, market.ticker, time, **columns)
        self.reduce(market, position, quantity, worth - fee, time)
