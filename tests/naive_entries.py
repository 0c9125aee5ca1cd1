"""Entry orders of the plain simulator: what a bar fills of them, and how they end."""

import math

from naive_rules import (
    Market,
    Order,
    Position,
    View,
    buy_price,
    charge,
    down,
    known,
    own_depth,
    own_level,
    own_view,
    stop_entry_price,
)
from naive_state import State, ahead_in_bar, ahead_in_book


class Entries(State):
    def enter(self, market: Market, j: int) -> None:
        order = market.order
        if order is None or j < order.first:
            return
        own = own_view(market.bars[j].yes, order.side)
        if market.bars[j].paused:
            pass  # but rows are counted
        elif order.triggered:
            self.take_depth(market, order, j, None)
        elif order.kind == "ioc":
            self.enter_ioc(market, order, own, j)
        elif order.kind == "stop":
            self.enter_stop(market, order, own, j)
        elif self.queue:
            self.enter_queue(market, order, own, j)
        else:
            self.enter_limit(market, order, own, j)
        # The expiry belongs to the entry part: it comes before an exit in the same bar.
        if market.order is order and j == order.last:
            self.end(market, "expired", "no_volume" if order.starved else "not_reached")

    def end_of_trading(self, market: Market) -> None:
        """Trading is over: what still rests dies, and only now, for nobody knew it earlier."""
        order = market.order
        if order is None:
            return
        if order.first >= market.last:
            self.end(market, "canceled", "market_closed")
        elif order.kind == "ioc" or order.triggered:
            self.end(market, "canceled", "no_quote")
        else:
            self.end(market, "expired", "no_volume" if order.starved else "not_reached")

    def enter_ioc(self, market: Market, order: Order, own: View, j: int) -> None:
        if self.book:
            self.take_depth(market, order, j, order.limit)
            return
        price = buy_price(own.ask, self.rules.fill.end)
        if price is None:
            self.end(market, "canceled", "no_quote")
        elif order.limit is not None and price > order.limit:
            self.end(market, "canceled", "beyond_limit")
        else:
            self.take(market, order, j, self.dearer(order, price, order.limit))

    def dearer(self, order: Order, price: int, limit: int | None) -> int:
        """Where a taker's fill ends up that should have been at `price`."""
        slipped = max(price, min(price + self.slipped(price, order.luck.slip_in), 9_999))
        return slipped if limit is None else min(slipped, limit)

    def enter_stop(self, market: Market, order: Order, own: View, j: int) -> None:
        ask, trigger = own.ask, order.limit
        # A trade at the trigger sets it off whatever `prints` says.
        if not any(x >= trigger for x in known(ask.open, ask.high, ask.close, own.price.high)):
            return
        if self.book:  # what is displayed now is had in the next row
            order.triggered, order.last, order.expires = True, math.inf, None
            return
        price = stop_entry_price(ask, trigger, self.rules.fill.end)
        if price is None:
            self.end(market, "canceled", "no_quote")
        else:
            self.take(market, order, j, self.dearer(order, price, None))

    def possible(self, market: Market, order: Order, j: int, most: float = math.inf) -> int | float:
        """What bar j may fill of the order; its first attempt may be bounded by chance."""
        volume = min(self.capacity(market, j), most)
        if min(order.quantity - order.filled, volume) > 0:
            volume, order.share = min(volume, order.share), math.inf
        return volume

    def take(self, market: Market, order: Order, j: int, price: int) -> None:
        """Fill what can be had now, cancel the rest."""
        possible = self.possible(market, order, j)
        if possible == 0:
            self.end(market, "canceled", "no_volume")
        elif not self.buy(market, order, j, price, "taker", possible):
            self.end(market, "canceled", "cash")
        elif market.order is order:
            # Also where cash and not volume cut the fill: the contract knows one reason here.
            self.end(market, "canceled", "no_volume")

    def take_depth(self, market: Market, order: Order, j: int, limit: int | None) -> None:
        """Take from the recorded book what can be had now, cancel the rest."""
        levels = own_depth(market.bars[j].before, order.side).asks
        if not levels:
            self.end(market, "canceled", "no_quote")
        elif limit is not None and levels[0][0] > limit:
            self.end(market, "canceled", "beyond_limit")
        else:
            broke = self.walk_asks(market, order, j, limit)
            if market.order is order:
                reason = "cash" if broke and not order.filled else "no_volume"
                self.end(market, "canceled", reason)

    def walk_asks(self, market: Market, order: Order, j: int, limit: int | None) -> bool:
        """Buy level by level, best first; return whether cash ended it."""
        bound = order.share  # of the first walk as a whole
        for price, size in own_depth(market.bars[j].before, order.side).asks or []:
            wanted = order.quantity - order.filled
            if wanted == 0 or (limit is not None and price > limit):
                break
            volume = min(self.capacity(market, j), down(size, self.rules.lot))
            if volume == 0:
                continue
            possible, order.share = min(volume, bound), math.inf
            paid = self.dearer(order, price, limit)
            bought = self.buy(market, order, j, paid, "taker", possible)
            bound -= bought
            if bought < min(wanted, possible):
                return True
        return False

    def enter_limit(self, market: Market, order: Order, own: View, j: int) -> None:
        fill, limit = self.rules.fill, order.limit
        ask = own.ask
        if j == order.first and ask.open is not None and ask.open <= limit:
            price = self.dearer(order, min(buy_price(ask, fill.end), limit), limit)
            role = "taker"
        else:
            lows = known(ask.open, ask.low, ask.close)
            evidence = known(min(lows, default=None), own.price.low if fill.prints else None)
            if not any(x < limit or (fill.touch and x == limit) for x in evidence):
                return
            price, role = limit, "maker"
        self.buy_or_starve(market, order, j, price, role)

    def enter_queue(self, market: Market, order: Order, own: View, j: int) -> None:
        """Fill a limit order that waits its turn: none of it in the bar it was placed in."""
        bar, limit, ask = market.bars[j], order.limit, own.ask
        if j > order.first:
            lows = known(ask.open, ask.low, ask.close)
            traded = own.price.low if self.rules.fill.prints else None
            order.ahead, most = self.queue_gives(order.ahead, bar, lows, traded, limit, +1)
            if most is not None:
                self.buy_or_starve(market, order, j, limit, "maker", most)
        elif ask.open is not None and ask.open <= limit:
            if not self.book:
                self.end(market, "canceled", "would_cross")
                return
            order.ahead = 0  # what it cannot take is the best bid
            if not self.walk_asks(market, order, j, limit):
                order.starved = True

    def buy_or_starve(
        self, market: Market, order: Order, j: int, price: int, role: str, most: float = math.inf
    ) -> None:
        possible = self.possible(market, order, j, most)
        # Reached, but the bar has not the volume for all of it.
        if possible < order.quantity - order.filled:
            order.starved = True
        self.buy(market, order, j, price, role, possible)

    def buy(
        self, market: Market, order: Order, j: int, price: int, role: str, possible: float
    ) -> int:
        """Fill as much of the order as volume and cash allow; return the quantity."""
        bar, rules = market.bars[j], self.rules
        quantity = int(min(order.quantity - order.filled, possible))
        rate = market.rate(bar.time, role)
        room = order.reserved + self.free()
        while quantity > 0:
            fee, leg = charge(order.leg, rules, bar.time, rate, quantity, price, buys=True)
            if quantity * price + fee <= room:
                break
            quantity -= rules.lot  # an odd quantity may step past 0: then nothing is bought
        if quantity <= 0:
            return 0
        position = market.position
        if position is None:
            market.position = position = self.open_position(market, order, j, price, role)
        cost = quantity * price + fee
        self.cash -= cost
        order.reserved -= min(order.reserved, cost)
        order.leg = leg
        order.filled += quantity
        order.row["filled"] = order.filled
        market.taken[j] += quantity
        position.quantity += quantity
        position.basis += quantity * price
        position.net -= cost
        columns = {"kind": "trade", "role": role, "leg": "entry", "reason": "entry"}
        columns |= {"quantity": order.side * quantity, "price": own_level(price, order.side)}
        # The naive fill is at the decision, which may come after the last recorded change.
        time = order.row["time"] if self.naive else bar.time
        self.record(order, market.ticker, time, **columns, fee=fee)
        if order.filled == order.quantity:
            self.end(market, "filled", "")
        return quantity

    def open_position(
        self, market: Market, order: Order, j: int, price: int, role: str
    ) -> Position:
        bar = market.bars[j]
        own = own_view(bar.yes, order.side)
        target, stop = order.target, order.stop
        # A target relative to the fill: of the first fill, and only with a stop below it.
        if target is None and order.reward is not None and stop is not None and price > stop:
            target = min(price + order.reward * (price - stop) // 10_000, 9_999)
        taken_at_open = role == "taker" and order.kind != "stop" and self.rules.fill.end == "open"
        position = Position(order, j, price == own.ask.open and taken_at_open, target)
        if target is not None and self.book:
            asks = own_depth(bar.after, order.side).asks
            position.ahead = ahead_in_book(target, asks, above=False)
        elif target is not None and self.queue:
            size = bar.ask_size if order.side == 1 else bar.bid_size
            volume = self.volume(bar)
            position.ahead = ahead_in_bar(target, own.ask.close, size, volume, above=False)
        return position
