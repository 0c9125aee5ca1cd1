"""The simulator once more: slow, plain, bar by bar, sharing no logic with the package.

Walks every distinct time in order. At each: bars (entry part, exit part), closes, settlements,
intents, each by market index. What one side sees of a bar, and fees, are in `naive_rules`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from naive_rules import (
    DAY,
    MINUTE,
    Bar,
    FeeLeg,
    Market,
    Ohlc,
    Order,
    Pending,
    Position,
    RejectedError,
    Row,
    View,
    buy_price,
    cap,
    charge,
    down,
    exact_fee,
    first_known,
    known,
    largest,
    own_level,
    own_view,
    sell_price,
    stop_entry_price,
    stop_exit_price,
    up,
)

from kalshi_bt.simulator.assumptions import Limit, Rules

# --- the run ------------------------------------------------------------------------------------


class Run:
    def __init__(self, markets: list[Market], rules: Rules) -> None:
        self.markets = markets
        self.rules = rules
        self.cash = rules.cash
        self.peak = rules.cash
        self.orders: list[Row] = []
        self.fills: list[Row] = []
        self.latch: tuple[str, int] | None = None  # reason, day it latched
        self.losses = 0  # losing trades in a row
        self.realised: Counter[int] = Counter()  # day -> net of the trades closed in it
        self.accepted: list[tuple[int, int]] = []  # time, cost at the reference price

    def free(self) -> int:
        return self.cash - sum(m.order.reserved for m in self.markets if m.order)

    def capacity(self, market: Market, j: int) -> int | float:
        fill = self.rules.fill
        if fill.naive or fill.participation is None:
            return math.inf
        volume = market.bars[j].volume
        volume = self.rules.assumed_volume if volume is None else volume
        share = volume * round(fill.participation * 10_000) // 10_000
        return share - share % self.rules.lot - market.taken[j]

    def record(self, order: Order, ticker: str, time: int, **columns: Any) -> None:
        number = order.row["order_id"]
        seq = sum(1 for fill in self.fills if fill["order_id"] == number)
        row = {"order_id": number, "seq": seq, "ticker": ticker, "time": time}
        self.fills.append(row | columns)

    # --- entries ---

    def end(self, market: Market, unfilled: str, reason: str) -> None:
        """End the live entry order: `unfilled` is its status if it never filled."""
        order = market.order
        assert order is not None
        status = "partial" if order.filled else unfilled
        if order.filled == order.quantity:
            status, reason = "filled", order.trimmed
        order.row |= {"status": status, "reason": reason}
        market.order = None  # with it goes its reservation

    def enter(self, market: Market, j: int) -> None:
        order = market.order
        if order is None or j < order.first:
            return
        own = own_view(market.bars[j].yes, order.side)
        if order.kind == "ioc":
            self.enter_ioc(market, order, own, j)
        elif order.kind == "limit":
            self.enter_limit(market, order, own, j)
        else:
            self.enter_stop(market, order, own, j)
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
        elif order.kind == "ioc":
            self.end(market, "canceled", "no_quote")
        else:
            self.end(market, "expired", "no_volume" if order.starved else "not_reached")

    def enter_ioc(self, market: Market, order: Order, own: View, j: int) -> None:
        price = buy_price(own.ask, self.rules.fill.end)
        if price is None:
            self.end(market, "canceled", "no_quote")
        elif order.limit is not None and price > order.limit:
            self.end(market, "canceled", "beyond_limit")
        else:
            self.take(market, order, j, price)

    def enter_stop(self, market: Market, order: Order, own: View, j: int) -> None:
        ask, trigger = own.ask, order.limit
        # A trade at the trigger sets it off whatever `prints` says.
        if not any(x >= trigger for x in known(ask.open, ask.high, ask.close, own.price.high)):
            return
        price = stop_entry_price(ask, trigger, self.rules.fill.end)
        if price is None:
            self.end(market, "canceled", "no_quote")
        else:
            self.take(market, order, j, price)

    def take(self, market: Market, order: Order, j: int, price: int) -> None:
        """Fill what can be had now, cancel the rest."""
        if self.capacity(market, j) == 0:
            self.end(market, "canceled", "no_volume")
        elif not self.buy(market, order, j, price, "taker"):
            self.end(market, "canceled", "cash")
        elif market.order is order:
            # Also where cash and not volume cut the fill: the contract knows one reason here.
            self.end(market, "canceled", "no_volume")

    def enter_limit(self, market: Market, order: Order, own: View, j: int) -> None:
        fill, limit = self.rules.fill, order.limit
        ask = own.ask
        if j == order.first and ask.open is not None and ask.open <= limit:
            price, role = min(buy_price(ask, fill.end), limit), "taker"
        else:
            lows = known(ask.open, ask.low, ask.close)
            evidence = known(min(lows, default=None), own.price.low if fill.prints else None)
            if not any(x < limit or (fill.touch and x == limit) for x in evidence):
                return
            price, role = limit, "maker"
        # Reached, but the bar has not the volume for all of it.
        if self.capacity(market, j) < order.quantity - order.filled:
            order.starved = True
        self.buy(market, order, j, price, role)

    def buy(self, market: Market, order: Order, j: int, price: int, role: str) -> int:
        """Fill as much of the order as volume and cash allow; return the quantity."""
        bar, rules = market.bars[j], self.rules
        quantity = min(order.quantity - order.filled, self.capacity(market, j))
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
        self.record(order, market.ticker, bar.time, **columns, fee=fee)
        if order.filled == order.quantity:
            self.end(market, "filled", "")
        return quantity

    def open_position(
        self, market: Market, order: Order, j: int, price: int, role: str
    ) -> Position:
        target, stop = order.target, order.stop
        # A target relative to the fill: of the first fill, and only with a stop below it.
        if target is None and order.reward is not None and stop is not None and price > stop:
            target = min(price + order.reward * (price - stop) // 10_000, 9_999)
        at_open = price == own_view(market.bars[j].yes, order.side).ask.open
        taken_at_open = role == "taker" and order.kind != "stop" and self.rules.fill.end == "open"
        return Position(order, j, at_open and taken_at_open, target)

    # --- exits ---

    def leave(self, market: Market, j: int) -> None:
        position, fill = market.position, self.rules.fill
        if position is None:
            return
        bar, order = market.bars[j], position.order
        own = own_view(bar.yes, order.side)
        if position.pending and bar.time > position.pending.after:
            # The only thing that can happen in this bar, even where there is no price.
            price = own.price.close if fill.naive else sell_price(own.bid, fill.end)
            if price is not None:
                self.sell(market, j, price, "taker", position.pending.reason)
        elif (level := self.level_hit(position, own, j)) == "stop":
            price = order.stop if fill.naive else stop_exit_price(own.bid, order.stop, fill.end)
            self.sell(market, j, price, "taker", "stop")
            # Whatever remains leaves at the market, in place of a pending exit not yet due.
            self.set_pending(market, position, Pending("stop", bar.time))
        elif level == "target":
            self.sell(market, j, position.target, "taker" if fill.naive else "maker", "target")
        # The time exit is decided with the bar complete; it never replaces a pending one.
        due = order.exit_time is not None and bar.time >= order.exit_time and j > order.decided
        if due and market.position is position and position.pending is None:
            self.set_pending(market, position, Pending("time", bar.time + self.latency()))

    def latency(self) -> int:
        return 0 if self.rules.fill.naive else self.rules.latency

    def set_pending(self, market: Market, position: Position, pending: Pending) -> None:
        position.pending = pending
        if market.order is position.order:
            self.end(market, "canceled", "exited")

    def level_hit(self, position: Position, own: View, j: int) -> str | None:
        fill, stop, target = self.rules.fill, position.order.stop, position.target
        bid, price = own.bid, own.price
        if fill.naive:
            if stop is not None and price.low is not None and price.low <= stop:
                return "stop"  # always before the target
            hit = target is not None and price.high is not None and price.high >= target
            return "target" if hit else None
        lows = known(bid.open, bid.low, bid.close)
        if j == position.first_bar and not position.after_open and fill.end != "friendly":
            highs = known(bid.close)  # what came before the fill is no exit
        else:
            highs = known(bid.open, bid.high, bid.close, price.high if fill.prints else None)
        stopped = stop is not None and any(x <= stop for x in lows)
        reached = target is not None and any(
            x > target or (fill.touch and x == target) for x in highs
        )
        if stopped and reached:
            return "stop" if fill.stop_first else "target"
        return "stop" if stopped else "target" if reached else None

    def sell(self, market: Market, j: int, price: int, role: str, reason: str) -> None:
        """Fill an exit as far as volume allows, unless it would bring nothing."""
        position, bar = market.position, market.bars[j]
        assert position is not None
        quantity = min(position.quantity, self.capacity(market, j))
        if quantity == 0:
            return
        rate = market.rate(bar.time, role)
        leg = position.leg if reason == position.leg_reason else FeeLeg()
        fee, leg = charge(leg, self.rules, bar.time, rate, quantity, price, buys=False)
        if quantity * price - fee <= 0:
            return  # held to settlement it is worth more; the fee state stays as it was
        position.leg, position.leg_reason = leg, reason
        market.taken[j] += quantity
        if market.order is position.order:
            self.end(market, "canceled", "exited")
        side = position.order.side
        columns = {"kind": "trade", "role": role, "leg": "exit", "reason": reason}
        columns |= {"quantity": -side * quantity, "price": own_level(price, side), "fee": fee}
        self.record(position.order, market.ticker, bar.time, **columns)
        self.reduce(market, position, quantity, quantity * price - fee, bar.time)

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
            self.losses = self.losses + 1 if position.net < 0 else 0

    def settle(self, market: Market) -> None:
        assert market.order is None, "an entry order outlived the last executable bar"
        position, time = market.position, market.settled
        if position is None:
            return
        quantity, side = position.quantity, position.order.side
        columns = {"kind": "settlement", "role": "none", "leg": "exit", "reason": "settlement"}
        columns |= {"quantity": -side * quantity, "price": market.payout, "fee": 0}
        self.record(position.order, market.ticker, time, **columns)
        self.reduce(market, position, quantity, quantity * own_level(market.payout, side), time)

    # --- intents ---

    def decide(self, number: int, intent: Row) -> None:
        market = self.markets[intent["market"]]
        row = {"order_id": number, "ticker": market.ticker}
        row |= {name: intent[name] for name in ("time", "side", "kind", "limit", "stop", "target")}
        # What a rejected row says; sizing fills in `wanted` (not rounded if given), acceptance
        # the rest.
        row |= {"wanted": 0, "quantity": 0, "filled": 0, "status": "rejected", "reason": None}
        self.orders.append(row)
        if intent["side"] == 0:
            self.close(market, row)
            return
        try:
            self.accept(market, intent, row)
        except RejectedError as error:
            row |= {"quantity": 0, "reason": str(error)}

    def close(self, market: Market, row: Row) -> None:
        """Sell what is held, or take back an entry order, even one that has not arrived."""
        row["kind"] = "ioc"  # whatever the intent says
        position = market.position
        if position is not None:
            row |= {"wanted": position.quantity, "quantity": position.quantity, "status": "filled"}
            if position.pending is None:  # an exit under way keeps its reason
                pending = Pending("signal", row["time"] + self.latency())
                self.set_pending(market, position, pending)
        elif market.order is not None:
            self.end(market, "canceled", "signal")
            row |= {"status": "filled", "reason": "signal"}
        else:
            row["reason"] = "no_position"

    def accept(self, market: Market, intent: Row, row: Row) -> None:
        """Run the checks in order; the first that fails raises its reason."""
        time, side, rules = intent["time"], intent["side"], self.rules
        i = market.index[time]
        equity = self.equity(time)
        self.peak = max(self.peak, equity)
        self.ask_latch(time)
        self.ask_hours(time)
        limit = own_level(intent["limit"], side)
        reference = self.ask_sanity(market, intent, i, limit)
        taker = market.rate(time, "taker")
        self.size(intent, row, reference, equity, taker)
        quantity, trimmed = row["wanted"], None
        if rules.risk.max_contracts is not None and quantity > rules.risk.max_contracts * 100:
            quantity, trimmed = rules.risk.max_contracts * 100, "max_contracts"
        self.ask_edge(intent, reference, taker)
        if market.position is not None or market.order is not None:
            raise RejectedError("position_open")
        quantity, trimmed = self.ask_caps(market, time, equity, reference, quantity, trimmed)
        bounded = intent["kind"] != "stop" and limit is not None
        worst = limit if bounded else 10_000
        quantity, trimmed, reserved = self.ask_cash(quantity, trimmed, worst, taker)
        self.ask_breakers(time, equity)
        recent = [t for t, _ in self.accepted if t > time - MINUTE]
        if rules.risk.max_order_rate is not None and len(recent) >= rules.risk.max_order_rate:
            raise RejectedError("order_rate")
        # Counts for rate and cycle from here on, even if the order ends in this very moment.
        self.accepted.append((time, quantity * reference))
        row["quantity"] = quantity
        first = market.first_after(time + rules.latency)
        bars = 1 if intent["kind"] == "ioc" else max(intent["valid_bars"], 1)
        levels = {name: own_level(intent[name], side) for name in ("stop", "target")}
        market.order = Order(
            row=row,
            side=side,
            kind=intent["kind"],
            limit=limit,
            **levels,
            reward=intent["reward"],
            exit_time=intent["exit_time"],
            decided=i,
            first=first,
            last=math.inf if rules.bar else first + bars - 1,
            expires=time + self.latency() + bars * rules.bar if rules.bar else None,
            quantity=quantity,
            reference=reference,
            reserved=reserved,
            trimmed=trimmed,
        )
        if rules.fill.naive:
            self.enter_naive(market, market.order, i)

    def enter_naive(self, market: Market, order: Order, i: int) -> None:
        own = own_view(market.bars[i].yes, order.side)
        # Known: an order without limit is only accepted where the ask is known.
        price = first_known(order.limit, own.price.close, own.ask.close)
        self.take(market, order, i, price)

    def equity(self, time: int) -> int:
        """Cash and what is held, at the price it could be sold for at the last bar's end."""
        total = self.cash
        for market in self.markets:
            position = market.position
            if position is not None:
                bar = [b for b in market.bars[: market.last] if b.time <= time][-1]
                bid = own_view(bar.yes, position.order.side).bid.close
                total += position.quantity * (bid or 0)
        return total

    def ask_latch(self, time: int) -> None:
        if self.latch is None:
            return
        reason, day = self.latch
        resets = self.rules.risk.breaker_reset == "day" and reason != "breaker_drawdown"
        if not (resets and time // DAY > day):
            raise RejectedError(reason)
        # Only a latch that is cleared resets the counter; a quiet midnight does not.
        self.latch, self.losses = None, 0

    def ask_hours(self, time: int) -> None:
        hours = self.rules.risk.trading_hours
        if hours is None:
            return
        span, zone = hours.split()
        begin, end = span.split("-")
        now = datetime.fromtimestamp(time // 1_000_000, ZoneInfo(zone)).strftime("%H:%M")
        within = begin <= now < end if begin < end else not end <= now < begin
        if not within:
            raise RejectedError("trading_hours")

    def ask_sanity(self, market: Market, intent: Row, i: int, limit: int | None) -> int:
        """Return the reference price."""
        side, risk = intent["side"], self.rules.risk
        # Settlements of this very time came before: the market is gone, though its bar was good.
        if market.closed is not None and intent["time"] >= market.closed:
            raise RejectedError("market_closed")
        # A resting order without its price, or a stop entry without its trigger, has no price.
        if limit is None and intent["kind"] != "ioc":
            raise RejectedError("price_range")
        if limit is not None and not 1 <= limit <= 9_999:
            raise RejectedError("price_range")
        reference = first_known(limit, own_view(market.bars[i].yes, side).ask.close)
        if reference is None:
            raise RejectedError("no_quote")
        stop, target = own_level(intent["stop"], side), own_level(intent["target"], side)
        if stop is not None and stop >= reference:
            raise RejectedError("stop_side")
        if target is not None and target <= reference:
            raise RejectedError("target_side")
        confidence, least = intent["confidence"], risk.min_confidence
        if confidence is not None and least is not None and confidence < least:
            raise RejectedError("confidence")
        if stop is not None and target is not None and risk.min_reward_risk is not None:
            reward, lost = float(target - reference), float(reference - stop)
            if reward < risk.min_reward_risk * lost:
                raise RejectedError("reward_risk")
        return reference

    def size(self, intent: Row, row: Row, reference: int, equity: int, taker: int) -> None:
        """Set `wanted` of the row: a quantity is taken as it is, the two others come in lots."""
        lot, wanted = self.rules.lot, 0
        if intent["quantity"] is not None:
            wanted = intent["quantity"]
        elif intent["stake"] is not None:
            budget = math.floor(intent["stake"] * equity)

            def fits(q: int) -> bool:
                return q * reference + up(exact_fee(taker, q, reference), 10_000) <= budget

            wanted = largest(lot, budget // reference, fits)
        elif intent["risk"] is not None:
            stop = own_level(intent["stop"], intent["side"])
            if stop is None:
                raise RejectedError("no_stop")
            wanted = down(math.floor(intent["risk"] * equity) // (reference - stop), lot)
        row["wanted"] = max(wanted, 0)
        if row["wanted"] < lot:
            raise RejectedError("size_zero")

    def ask_edge(self, intent: Row, reference: int, taker: int) -> None:
        fair, least = intent["fair"], self.rules.risk.min_edge
        if fair is None or least is None:
            return
        # In floats: a probability is one. The order of operations is part of the rule.
        fair = fair if intent["side"] == 1 else 1.0 - fair
        fee = taker * reference * (10_000 - reference) / 1e10
        if fair * 10_000 - reference - fee < least * 10_000:
            raise RejectedError("edge")

    def ask_caps(
        self,
        market: Market,
        time: int,
        equity: int,
        reference: int,
        quantity: int,
        trimmed: str | None,
    ) -> tuple[int, str | None]:
        risk, lot = self.rules.risk, self.rules.lot
        event = [m for m in self.markets if m.event == market.event]
        cycle = sum(cost for t, cost in self.accepted if t == time)

        def trim(reason: str, limit: Limit, used: int) -> None:
            nonlocal quantity, trimmed
            most = cap(limit, equity)
            if most is None:
                return
            room = down((most - used) // reference, lot)
            if room < quantity:
                quantity, trimmed = room, reason
            if quantity < lot:
                raise RejectedError(reason)

        trim("market_cap", risk.max_market, 0)
        trim("event_cap", risk.max_event, self.committed(event))
        trim("cycle_cap", risk.max_cycle, cycle)
        busy = [m for m in self.markets if m.position is not None or m.order is not None]
        if risk.max_positions is not None and len(busy) >= risk.max_positions:
            raise RejectedError("max_positions")
        trim("exposure", risk.max_exposure, self.committed(self.markets))
        return quantity, trimmed

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

    def ask_cash(
        self, quantity: int, trimmed: str | None, worst: int, taker: int
    ) -> tuple[int, str | None, int]:
        """Return the quantity that can be paid at the worst price, and what that reserves."""
        dearest = min(worst, 5_000)  # the price below the worst one that has the highest fee
        free = self.free()

        # The fee is rounded up to a cent, the sum is not; a quantity that fits is left as it is.
        def need(q: int) -> int:
            return q * worst + up(exact_fee(taker, q, dearest), 10_000) + 10_000

        if need(quantity) > free:
            quantity, trimmed = largest(self.rules.lot, quantity, lambda q: need(q) <= free), "cash"
        if quantity < self.rules.lot:
            raise RejectedError("cash")
        return quantity, trimmed, need(quantity)

    def ask_breakers(self, time: int, equity: int) -> None:
        risk, day = self.rules.risk, time // DAY
        most, lost = cap(risk.daily_loss, equity), -self.realised[day]
        fallen = self.peak - equity
        if most is not None and lost > 0 and lost >= most:
            self.latch = ("breaker_daily_loss", day)
        elif risk.max_drawdown is not None and fallen > risk.max_drawdown * self.peak:
            self.latch = ("breaker_drawdown", day)
        elif risk.max_losses is not None and self.losses >= risk.max_losses:
            self.latch = ("breaker_losses", day)
        if self.latch is not None:
            raise RejectedError(self.latch[0])


# --- tables in, lists out -----------------------------------------------------------------------


def rows(frame: pl.DataFrame) -> list[Row]:
    """Rows with times as microseconds since 1970."""
    return frame.with_columns(pl.col(pl.Datetime).dt.epoch("us")).rows(named=True)


def read_markets(
    bars: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame, rates: pl.DataFrame
) -> list[Market]:
    tapes: dict[int, list[Bar]] = defaultdict(list)
    for row in rows(bars):
        quotes = (Ohlc(*(row[f"{name}_{part}"] for part in Ohlc._fields)) for name in View._fields)
        tapes[row["market"]].append(Bar(row["time"], View(*quotes), row["volume"]))
    schedule: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in rows(rates):
        schedule[row["market"]].append((row["from_time"], row["taker"], row["maker"]))
    outcomes = {row["ticker"]: row for row in rows(settlements)}
    listed = []
    for m, row in enumerate(rows(markets)):
        tape, outcome = tapes[m], outcomes.get(row["ticker"])
        end = row["close_time"] if outcome is None else min(outcome["close_time"], outcome["time"])
        executable = [bar for bar in tape if end is None or bar.time <= end]
        listed.append(
            Market(
                ticker=row["ticker"],
                event=row["event"],
                bars=tape,
                index={bar.time: j for j, bar in enumerate(tape)},
                last=len(executable),
                closed=end,
                settled=outcome and outcome["time"],
                payout=outcome and outcome["payout"],
                rates=schedule[m],
            )
        )
    return listed


def simulate(
    bars: pl.DataFrame,
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    intents: pl.DataFrame,
    rules: Rules,
) -> tuple[list[Row], list[Row]]:
    """Return (orders, fills) as rows: times in microseconds, names as text, null as None."""
    run = Run(read_markets(bars, markets, settlements, rates), rules)
    agenda: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    for number, intent in enumerate(rows(intents)):
        agenda[intent["time"]].append((number, intent))
    times = {bar.time for market in run.markets for bar in market.bars}
    times |= {market.settled for market in run.markets if market.settled is not None}
    times |= {market.closed for market in run.markets if market.closed is not None}
    if rules.bar:
        # When an order of each intent would run out, should it be accepted.
        lags = {0, rules.latency}
        for intent in rows(intents):
            good = max(intent["valid_bars"], 1) * rules.bar
            times |= {intent["time"] + lag + n for lag in lags for n in (good, rules.bar)}
    for time in sorted(times):
        for market in run.markets:
            j = market.index.get(time)
            if j is not None and j < market.last:
                run.enter(market, j)
                run.leave(market, j)
        for market in run.markets:
            if market.closed == time or (market.order and market.order.expires == time):
                run.end_of_trading(market)
        for market in run.markets:
            if market.settled == time:
                run.settle(market)
        for number, intent in agenda[time]:
            run.decide(number, intent)
    for market in run.markets:
        run.end_of_trading(market)
    return run.orders, sorted(run.fills, key=lambda fill: (fill["order_id"], fill["seq"]))


# --- what can be derived from the two tables ----------------------------------------------------


def cash_flow(fill: Row) -> int:
    """Cash a fill brings before its fee: q of YES at p costs q*p, of NO q*(10 000 - p)."""
    quantity, price = fill["quantity"], fill["price"]
    buys_yes = quantity > 0
    holds_yes = buys_yes == (fill["leg"] == "entry")  # an exit trades against what is held
    own = price if holds_yes else 10_000 - price
    return -abs(quantity) * own if fill["leg"] == "entry" else abs(quantity) * own


def replay_cash(initial: int, fills: Iterable[Row]) -> int:
    """Cash after all fills."""
    return initial + sum(cash_flow(fill) - fill["fee"] for fill in fills)


def closed_trades(orders: list[Row], fills: list[Row]) -> list[Row]:
    """Round trips from flat to flat, one per entry order, in the order of `trade_id`."""
    closed = []
    for order in orders:
        own = [fill for fill in fills if fill["order_id"] == order["order_id"]]
        if not own or sum(fill["quantity"] for fill in own) != 0:
            continue
        entries = [fill for fill in own if fill["leg"] == "entry"]
        gross, fees = sum(map(cash_flow, own)), sum(fill["fee"] for fill in own)
        closed.append(
            {
                "trade_id": order["order_id"],
                "ticker": order["ticker"],
                "side": order["side"],
                "entry_time": own[0]["time"],
                "exit_time": own[-1]["time"],
                "quantity": sum(abs(fill["quantity"]) for fill in entries),
                "gross_pnl": gross,
                "fees": fees,
                "pnl": gross - fees,
                "exit_reason": own[-1]["reason"],  # of the fill that made it flat
                "stake": -sum(map(cash_flow, entries)),
            }
        )
    return closed
