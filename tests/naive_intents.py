"""Acceptance of intents by the plain simulator: checks in order, sizes, caps, breakers."""

import math
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from naive_exits import Exits
from naive_rules import (
    DAY,
    MINUTE,
    Lost,
    Luck,
    Market,
    Order,
    Pending,
    RejectedError,
    Row,
    cap,
    down,
    exact_fee,
    first_known,
    largest,
    own_depth,
    own_level,
    own_view,
    up,
)
from naive_state import ahead_in_bar, ahead_in_book, is_paused, week_of

from kalshi_bt.simulator.assumptions import Limit


@dataclass
class Opened:
    """An entry in two parts: what nets against a position is never trimmed, only what opens is."""

    beyond: int
    netted: int
    trimmed: str | None

    def bound(self, room: int, lot: int, reason: str) -> None:
        """Leave so much of what opens, in lots; without a lot in all there is no order."""
        if down(room, lot) < self.beyond:
            self.beyond, self.trimmed = down(room, lot), reason
        if self.beyond + self.netted < lot:
            raise RejectedError(reason)


class Acceptance(Exits):
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
            self.accept(market, intent, row, self.lucks[number])
        except RejectedError as error:
            row |= {"quantity": 0, "reason": str(error)}

    def close(self, market: Market, row: Row) -> None:
        """Sell what is held, or take back an entry order, even one that has not arrived."""
        row["kind"] = "ioc"  # whatever the intent says
        position, order = market.position, market.order
        if position is not None:
            if order is not None and order is not position.order:
                self.end(market, "canceled", "exited" if order.filled else "signal")
            row |= {"wanted": position.quantity, "quantity": position.quantity, "status": "filled"}
            if position.pending is None:  # an exit under way keeps its reason
                pending = Pending("signal", row["time"] + position.order.luck.delay)
                self.set_pending(market, position, pending)
        elif order is not None:
            self.end(market, "canceled", "signal")
            row |= {"status": "filled", "reason": "signal"}
        else:
            row["reason"] = "no_position"

    def accept(self, market: Market, intent: Row, row: Row, luck: Luck) -> None:
        """Run the checks in order; the first that fails raises its reason."""
        time, side, rules = intent["time"], intent["side"], self.rules
        i = market.decision_bar(time)
        equity = self.equity(time)
        self.peak = max(self.peak, equity)
        self.ask_latch(time, equity)
        self.ask_hours(time)
        if rules.pauses and not self.naive and is_paused(time + luck.delay):
            raise RejectedError("paused")
        limit = own_level(intent["limit"], side)
        reference = self.ask_sanity(market, intent, i, limit)
        taker = market.rate(time, "taker")
        self.size(market.lot, intent, row, reference, equity, taker)
        quantity, trimmed = row["wanted"], None
        if rules.risk.max_contracts is not None and quantity > rules.risk.max_contracts * 100:
            quantity, trimmed = rules.risk.max_contracts * 100, "max_contracts"
        self.ask_edge(intent, reference, taker)
        netted = self.ask_position(market, side, quantity)
        opened = Opened(quantity - netted, netted, trimmed)
        self.ask_caps(market, time, equity, reference, opened)
        bounded = intent["kind"] != "stop" and limit is not None
        worst = limit if bounded else 10_000
        reserved = self.ask_cash(market, opened, worst, taker)
        quantity, trimmed = opened.beyond + netted, opened.trimmed
        self.ask_breakers(time, equity)
        recent = [t for t, _ in self.accepted if t > time - MINUTE]
        if rules.risk.max_order_rate is not None and len(recent) >= rules.risk.max_order_rate:
            raise RejectedError("order_rate")
        # Counts for rate and cycle from here on, even if the order ends in this very moment.
        self.accepted.append((time, quantity * reference))
        row["quantity"] = quantity
        arrival = time + luck.delay
        first = market.first_after(arrival)
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
            expires=arrival + bars * rules.bar if rules.bar else None,
            quantity=quantity,
            reference=reference,
            reserved=reserved,
            trimmed=trimmed,
            luck=luck,
            share=self.first_share(market, quantity, luck),
            ahead=self.ahead(market, intent["kind"], side, limit, i),
        )
        if self.naive:
            self.enter_naive(market, market.order, i)

    def first_share(self, market: Market, quantity: int, luck: Luck) -> float:
        return math.inf if luck.ratio is None else down(quantity * luck.ratio // 10_000, market.lot)

    def ahead(self, market: Market, kind: str, side: int, limit: int | None, i: int) -> float:
        """What waits before a limit order at its price when it is decided."""
        if limit is None or kind != "limit" or not self.queue:
            return 0
        bar = market.bars[i]
        if self.book:
            return ahead_in_book(limit, own_depth(bar.after, side).bids, above=True)
        best = own_view(bar.yes, side).bid.close
        size = bar.bid_size if side == 1 else bar.ask_size
        return ahead_in_bar(limit, best, size, self.volume(bar), above=True)

    def enter_naive(self, market: Market, order: Order, i: int) -> None:
        own = own_view(market.bars[i].yes, order.side)
        # Known: an order without limit is only accepted where the ask is known.
        price = first_known(order.limit, own.price.close, own.ask.close)
        self.take(market, order, i, price)

    def equity(self, time: int) -> int:
        """Cash and what is held, as it is marked."""
        held = ((m, m.position) for m in self.markets if m.position is not None)
        return self.cash + sum(p.quantity * self.mark(m, p, time) for m, p in held)

    def ask_latch(self, time: int, equity: int) -> None:
        if self.latch is None:
            return
        reason, latched = self.latch
        risk, new_day = self.rules.risk, time // DAY > latched // DAY
        if reason == "breaker_drawdown":
            if risk.drawdown_reset == "day" and new_day:
                self.latch, self.peak = None, equity
                return
        elif reason != "breaker_session_loss" and risk.breaker_reset == "day":
            new_week = week_of(time) > week_of(latched)
            if new_week if reason == "breaker_weekly_loss" else new_day:
                # Only a latch that is cleared resets the counter; a quiet midnight does not.
                self.latch, self.losses = None, 0
                return
        raise RejectedError(reason)

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

    def size(
        self, lot: int, intent: Row, row: Row, reference: int, equity: int, taker: int
    ) -> None:
        """Set `wanted` of the row: a quantity is taken as it is, the two others come in lots."""
        wanted = 0
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

    def ask_position(self, market: Market, side: int, quantity: int) -> int:
        """Return what of the quantity would net; anything else that is held or bid for stands."""
        position = market.position
        if market.order is not None:
            raise RejectedError("position_open")
        if position is None:
            return 0
        if position.order.side == side or position.pending is not None:
            raise RejectedError("position_open")
        return min(quantity, position.quantity)

    def ask_caps(
        self, market: Market, time: int, equity: int, reference: int, opened: Opened
    ) -> None:
        """Trim what would open; what nets needs no room, and makes some."""
        risk = self.rules.risk
        event = [m for m in self.markets if m.event == market.event]
        cycle = sum(cost for t, cost in self.accepted if t == time)
        leaves = market.position.basis if market.position is not None else 0

        def trim(reason: str, limit: Limit, used: int) -> None:
            most = cap(limit, equity)
            if most is not None and opened.beyond > 0:
                opened.bound(max(most - used, 0) // reference, market.lot, reason)

        trim("market_cap", risk.max_market, 0)
        trim("event_cap", risk.max_event, self.committed(event) - leaves)
        trim("cycle_cap", risk.max_cycle, cycle)
        busy = [m for m in self.markets if m.position is not None or m.order is not None]
        full = risk.max_positions is not None and len(busy) >= risk.max_positions
        if full and market.position is None:  # otherwise it has its place
            raise RejectedError("max_positions")
        trim("exposure", risk.max_exposure, self.committed(self.markets) - leaves)

    def ask_cash(self, market: Market, opened: Opened, worst: int, taker: int) -> int:
        """Trim to what can be paid at the worst price; return what that reserves."""
        dearest = min(worst, 5_000)  # the price below the worst one that has the highest fee
        free = self.free()

        # The fee is rounded up to a cent, the sum is not; a quantity that fits is left as it is.
        def need(q: int) -> int:
            return q * worst + up(exact_fee(taker, q, dearest), 10_000) + 10_000 if q else 0

        if opened.beyond > 0 and need(opened.beyond) > free:
            most = largest(market.lot, opened.beyond, lambda q: need(q) <= free)
            opened.bound(most, market.lot, "cash")
        return need(opened.beyond)

    def ask_breakers(self, time: int, equity: int) -> None:
        risk = self.rules.risk
        lost = Lost(
            day=-self.realised[time // DAY],
            week=-self.by_week[week_of(time)],
            session=-sum(self.realised.values()),
            fallen=self.peak - equity,
            peak=self.peak,
        )
        self.judged.append(lost)

        def beyond(limit: Limit, lost: int) -> bool:
            most = cap(limit, equity)
            return most is not None and 0 < lost >= most

        if beyond(risk.daily_loss, lost.day):
            self.latch = ("breaker_daily_loss", time)
        elif beyond(risk.weekly_loss, lost.week):
            self.latch = ("breaker_weekly_loss", time)
        elif beyond(risk.session_loss, lost.session):
            self.latch = ("breaker_session_loss", time)
        elif risk.max_drawdown is not None and 0 < lost.fallen >= risk.max_drawdown * lost.peak:
            self.latch = ("breaker_drawdown", time)
        elif risk.max_losses is not None and self.losses >= risk.max_losses:
            self.latch = ("breaker_losses", time)
        if self.latch is not None:
            raise RejectedError(self.latch[0])
