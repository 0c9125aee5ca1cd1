"""What fills and opinions were worth, told again in plain loops; shares nothing with the package.

Frames come in and lists of dicts go out. Prices are centi-cents of YES until they are told.
"""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

Row = dict[str, Any]
HORIZONS = {"1d": 24 * 60, "6h": 360, "1h": 60, "15m": 15, "5m": 5}  # minutes
MARKOUTS = {"1m": 1, "5m": 5, "30m": 30, "1h": 60}


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class World:
    """The tables as lists, by market."""

    def __init__(
        self,
        bars: pl.DataFrame,
        markets: pl.DataFrame,
        settlements: pl.DataFrame,
        series: pl.DataFrame,
    ) -> None:
        self.markets = markets.to_dicts()
        self.series = series.to_dicts()
        self.paid = {row["ticker"]: row for row in settlements.to_dicts()}
        self.bars: list[list[Row]] = [[] for _ in self.markets]
        self.numbers = {row["ticker"]: m for m, row in enumerate(self.markets)}
        ends = [self.end(m) for m in range(len(self.markets))]
        for i, bar in enumerate(bars.to_dicts()):
            end = ends[bar["market"]]
            if end is None or bar["time"] <= end:
                self.bars[bar["market"]].append(bar | {"row": i})

    def number(self, ticker: str) -> int:
        return self.numbers[ticker]

    def end(self, market: int) -> datetime | None:
        """When trading ended; None: not known."""
        listed = self.markets[market]
        paid = self.paid.get(listed["ticker"])
        return min(paid["close_time"], paid["time"]) if paid else listed["close_time"]

    def by(self, market: int, moment: datetime) -> Row | None:
        """The last bar that ended by a moment."""
        for bar in reversed(self.bars[market]):
            if bar["time"] <= moment:
                return bar
        return None

    def category(self, series: str, time: datetime) -> str | None:
        stated = [r for r in self.series if r["series"] == series and r["category"] is not None]
        if not stated:
            return None
        earlier = [r for r in stated if r["effective_from"] <= time]
        if earlier:
            return max(earlier, key=lambda r: r["effective_from"])["category"]
        return min(stated, key=lambda r: r["effective_from"])["category"]


def quoted(bar: Row | None) -> bool:
    return bar is not None and None not in (bar["bid_close"], bar["ask_close"])


def dollars(price: float | None) -> float | None:
    return None if price is None else price / 10_000


# --- opinions -------------------------------------------------------------------------------------


def opinions(world: World, fair: list[float | None] | None, period: int) -> list[Row]:
    rows = []
    for market, listed in enumerate(world.markets):
        chosen: dict[str, Row] = {}
        for bar in world.bars[market]:
            spoke = fair is None or fair[bar["row"]] is not None
            if spoke and quoted(bar) and "first" not in chosen:
                chosen["first"] = bar
        for name, count in HORIZONS.items():
            if listed["close_time"] is None:
                continue
            moment = listed["close_time"] - minutes(count)
            bar = world.by(market, moment)
            oldest = max(2 * timedelta(seconds=period), minutes(count) / 4)
            if bar is not None and moment - bar["time"] <= oldest:
                chosen[name] = bar
        for point, bar in chosen.items():
            rows.append(opinion(world, listed, point, bar, fair))
    return sorted(rows, key=lambda row: (row["ticker"], row["point"]))


def opinion(
    world: World, listed: Row, point: str, bar: Row, fair: list[float | None] | None
) -> Row:
    paid = world.paid.get(listed["ticker"])
    bid, ask = dollars(bar["bid_close"]), dollars(bar["ask_close"])
    return {
        "ticker": listed["ticker"],
        "point": point,
        "time": bar["time"],
        "event": listed["event"],
        "series": listed["series"],
        "category": world.category(listed["series"], bar["time"]),
        "close_time": listed["close_time"],
        "settled": paid["time"] if paid else None,
        "fair": fair[bar["row"]] if fair is not None else None,
        "bid": bid,
        "ask": ask,
        "mid": None if bid is None or ask is None else (bid + ask) / 2,
        "outcome": dollars(paid["payout"]) if paid else None,
    }


# --- fills ----------------------------------------------------------------------------------------


def decision(world: World, intents: list[Row], fills: list[Row], fill: Row) -> Row | None:
    """The bar on which a fill was decided."""
    market = world.number(fill["ticker"])
    if fill["kind"] == "settlement":
        return None
    if fill["leg"] == "entry" or fill["reason"] == "netting":
        return world.by(market, intents[fill["order_id"]]["time"])
    if fill["reason"] == "signal":
        begun = min(
            f["time"] for f in fills if f["trade_id"] == fill["trade_id"] and f["leg"] == "entry"
        )
        for intent in intents:
            if intent["side"] == 0 and intent["market"] == market and intent["time"] >= begun:
                return world.by(market, intent["time"])
    earlier = [bar for bar in world.bars[market] if bar["time"] < fill["time"]]
    return earlier[-1] if earlier else None


def fill_quality(world: World, intents: list[Row], fills: list[Row]) -> list[Row]:
    return [quality(world, intents, fills, fill) for fill in fills if fill["kind"] != "settlement"]


def quality(world: World, intents: list[Row], fills: list[Row], fill: Row) -> Row:
    market, sign = world.number(fill["ticker"]), 1 if fill["quantity"] > 0 else -1
    bar = decision(world, intents, fills, fill)
    taken = bar["ask_close" if sign > 0 else "bid_close"] if bar else None
    row = {
        "order_id": fill["order_id"],
        "seq": fill["seq"],
        "time": fill["time"],
        "decided": bar["time"] if bar else None,
        "half_spread": dollars(bar["ask_close"] - bar["bid_close"]) / 2 if quoted(bar) else None,
        "slippage": None if taken is None else sign * (fill["price"] - taken) / 10_000,
    }
    for name, count in MARKOUTS.items():
        until = fill["time"] + minutes(count)
        seen = [b for b in world.bars[market] if fill["time"] < b["time"] <= until and quoted(b)]
        end = world.end(market)
        if not seen or (end is not None and until > end):
            row[f"markout_{name}"] = None
        else:
            mid = (seen[-1]["bid_close"] + seen[-1]["ask_close"]) / 2
            row[f"markout_{name}"] = sign * (mid - fill["price"]) / 10_000
    paid = world.paid.get(fill["ticker"])
    row["markout_final"] = sign * (paid["payout"] - fill["price"]) / 10_000 if paid else None
    return row


# --- trades ---------------------------------------------------------------------------------------


def trade_context(
    world: World, intents: list[Row], fills: list[Row], trades: list[Row]
) -> list[Row]:
    return [context(world, intents, fills, trade) for trade in trades]


def own(price: float | None, side: int) -> float | None:
    if price is None:
        return None
    return price / 10_000 if side > 0 else (10_000 - price) / 10_000


def context(world: World, intents: list[Row], fills: list[Row], trade: Row) -> Row:
    intent, side = intents[trade["trade_id"]], trade["side"]
    mine = [f for f in fills if f["trade_id"] == trade["trade_id"]]
    entries = [f for f in mine if f["leg"] == "entry"]
    listed = world.markets[intent["market"]]
    paid = world.paid.get(trade["ticker"])
    bar = world.by(intent["market"], intent["time"])
    assert bar is not None
    near, far = ("bid_close", "ask_close") if side > 0 else ("ask_close", "bid_close")
    fair = intent["fair"]
    fair = fair if fair is None or side > 0 else 1 - fair
    fees = sum(f["fee"] for f in entries) / 1e6
    contracts = sum(abs(f["quantity"]) for f in entries) / 100
    average = sum(abs(f["quantity"]) * own(f["price"], side) for f in entries) / 100 / contracts
    return {
        "trade_id": trade["trade_id"],
        "decided": bar["time"],
        "category": world.category(listed["series"], bar["time"]),
        "close_time": listed["close_time"],
        "settled": paid["time"] if paid else None,
        "outcome": own(paid["payout"], side) if paid else None,
        "fair": fair,
        "bid": own(bar[near], side),
        "ask": own(bar[far], side),
        "expected": None if fair is None else fair - average - fees / contracts,
        **attribution(world, intents, fills, mine, side),
    }


def attribution(
    world: World, intents: list[Row], fills: list[Row], mine: list[Row], side: int
) -> Row:
    """Where the result came from, told by the holder: what was bought, and what was sold."""
    total: dict[str, float | None] = {"gross_mid": 0.0, "spread": 0.0, "slippage": 0.0}

    def add(name: str, amount: float | None) -> None:
        before = total[name]
        total[name] = None if amount is None or before is None else before + amount

    for f in mine:
        contracts, price = abs(f["quantity"]) / 100, own(f["price"], side)
        sign = 1 if f["leg"] == "entry" else -1  # what is entered is paid for
        if f["kind"] == "settlement":
            add("gross_mid", contracts * price)
            continue
        bar = decision(world, intents, fills, f)
        bid, ask = (own(bar[n], side) if bar else None for n in ("bid_close", "ask_close"))
        bid, ask = (bid, ask) if side > 0 else (ask, bid)
        taken = ask if sign > 0 else bid
        mid = None if bid is None or ask is None else (bid + ask) / 2
        add("gross_mid", None if mid is None else -sign * contracts * mid)
        add("spread", None if mid is None else contracts * (ask - bid) / 2)
        add("slippage", None if taken is None else sign * contracts * (price - taken))
    return total
