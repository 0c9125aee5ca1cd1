"""Entry orders of the plain simulator: what a bar fills of them, and how they end."""

import math

from naive_liquidity import offers
from naive_rules import (
    Market,
    Order,
    Position,
    View,
    buy_price,
    charge,
    known,
    own_depth,
    own_level,
    own_view,
    stop_entry_price,
    up,
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
        # Whether the market's end was what ended it; that no bar will come later, nobody knew.
        by_market = order.expires is None or (market.closed or math.inf) <= order.expires
        if by_market and order.first >= market.last:
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
        levels = offers(market, j, order.side, buys=True)
        if not levels:
            self.end(market, "canceled", "no_quote")
        elif limit is not None and levels[0].price > limit:  # even if this run took all of it
            self.end(market, "canceled", "beyond_limit")
        else:
            broke = self.walk_asks(market, order, j, limit)
            if market.order is order:
                reason = "cash" if broke and not order.filled else "no_volume"
                self.end(market, "canceled", reason)

    def walk_asks(self, market: Market, order: Order, j: int, limit: int | None) -> bool:
        """Buy level by level, best first; return whether cash ended it."""
        bound = order.share  # of the first walk as a whole
        for offer in offers(market, j, order.side, buys=True):
            wanted = order.quantity - order.filled
            if wanted == 0 or (limit is not None and offer.price > limit):
                break
            volume = min(self.capacity(market, j), offer.size)
            if volume == 0:
                continue
            possible, order.share = min(volume, bound), math.inf
            paid = self.dearer(order, offer.price, limit)
            bought = self.buy(market, order, j, paid, "taker", possible)
            market.drained[offer.level] += bought
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
            order.ahead, most = self.queue_gives(market, order.ahead, bar, lows, traded, limit, +1)
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
        bar = market.bars[j]
        quantity = int(min(order.quantity - order.filled, possible))
        if quantity == 0:
            return 0
        # What could not be paid even without a fee need not be tried lot by lot.
        held = self.split(market, order, quantity, 0)[0]
        most = held + (order.reserved + self.free() + held * (10_000 - price)) // max(price, 1)
        quantity -= max(up(quantity - most, market.lot), 0)
        rate = market.rate(bar.time, role)
        while quantity > 0:
            fee, leg = charge(order.leg, self.rules, bar.time, rate, quantity, price, buys=True)
            nets, borne = self.split(market, order, quantity, fee)
            if self.affords(market, order, quantity, price, fee):
                break
            quantity -= market.lot  # an odd quantity may step past 0: then nothing is bought
        if quantity <= 0 or (nets > 0 and nets * (10_000 - price) - borne <= 0):
            return 0
        order.leg = leg
        order.filled += quantity
        order.row["filled"] = order.filled
        market.taken[j] += quantity
        market.made[bar.time] += quantity if role == "maker" else 0
        # The naive fill is at the decision, which may come after the last recorded change.
        time = order.row["time"] if self.naive else bar.time
        columns = {"kind": "trade", "role": role, "price": own_level(price, order.side)}
        if nets > 0:
            position = market.position
            assert position is not None
            exits = columns | {"leg": "exit", "reason": "netting", "quantity": order.side * nets}
            self.record(order, market.ticker, time, trip=position.order, **exits, fee=borne)
            self.reduce(market, position, nets, nets * (10_000 - price) - borne, time)
        if quantity > nets:
            self.open(market, order, j, quantity - nets, price, role, fee - borne)
            opens = columns | {"leg": "entry", "reason": "entry"}
            opens["quantity"] = order.side * (quantity - nets)
            self.record(order, market.ticker, time, **opens, fee=fee - borne)
        if order.filled == order.quantity:
            self.end(market, "filled", "")
        return quantity

    def split(self, market: Market, order: Order, quantity: int, fee: int) -> tuple[int, int]:
        """Return what of a purchase nets against the other side, and what of its fee that bears."""
        position = market.position
        if position is None or position.order.side == order.side:
            return 0, 0
        nets = min(quantity, position.quantity)
        return nets, fee * nets // quantity

    def affords(self, market: Market, order: Order, quantity: int, price: int, fee: int) -> bool:
        """Whether cash pays what opens, with what netting brings, and collateral is not missed."""
        nets, borne = self.split(market, order, quantity, fee)
        free = self.free()
        if nets > 0:
            assert market.position is not None
            free = self.free_after(market.position, nets, nets * (10_000 - price) - borne)
            if self.rules.collateral and free < 0:
                return False
        return (quantity - nets) * price + fee - borne <= order.reserved + free

    def open(
        self, market: Market, order: Order, j: int, quantity: int, price: int, role: str, fee: int
    ) -> None:
        """Add to the position of the order's own side."""
        if market.position is None:
            market.position = self.open_position(market, order, j, price, role)
        position, cost = market.position, quantity * price + fee
        self.cash -= cost
        order.reserved -= min(order.reserved, cost)
        position.quantity += quantity
        position.basis += quantity * price
        position.net -= cost

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
