"""That random cases reach what the plain simulator and the walk are compared on.

The plain simulator is watched while it plays: every rule of netting, of results said and paid, of
recorded depth and of lent collateral has to act often enough for agreement to mean something.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import naive
import naive_collateral
import naive_entries
import naive_exits
import naive_liquidity
import naive_state
import pytest
from naive_intents import Acceptance
from naive_rules import Market, Position
from one_case import played
from strategies_random import Case, random_case, seeded
from strategies_random_books import random_book_case

pytestmark = pytest.mark.slow

Seen = Counter[Any]
CAPS = ("market_cap", "event_cap", "cycle_cap", "exposure", "cash")


def drawn(feature: str | None, many: int) -> Iterator[Case]:
    for seed in range(many):
        rng = seeded(seed)
        yield random_book_case(rng) if feature == "books" else random_case(rng, feature=feature)


def opposed(market: Market) -> bool:
    """Whether an order works against what is held."""
    order, position = market.order, market.position
    return order is not None and position is not None and order is not position.order


# --- netting --------------------------------------------------------------------------------------


@pytest.fixture
def netting(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen: Seen = Counter()
    accept, sell, buy, close = Acceptance.accept, Acceptance.sell, Acceptance.buy, Acceptance.close

    def accepting(self: Any, market: Market, intent: Any, row: Any, luck: Any) -> None:
        held = market.position
        opposes = held is not None and held.pending is None and market.order is None
        opposes = opposes and held.order.side == -intent["side"]
        try:
            accept(self, market, intent, row, luck)
        except Exception as error:
            if opposes:
                seen["rejected", str(error)] += 1
            raise
        if opposes and held is not None:
            wanted, sent = row["wanted"], row["quantity"]
            size = "less" if wanted < held.quantity else "more" if wanted > held.quantity else "all"
            seen["accepted", row["kind"], size] += 1
            if market.order is not None and sent < wanted:
                seen["trimmed", market.order.trimmed] += 1
                seen["only nets after a trim"] += sent == held.quantity

    def selling(self: Any, market: Market, *rest: Any) -> int:
        beside, reason = opposed(market), rest[3]
        quantity: int = sell(self, market, *rest)
        if beside and quantity:
            seen["beside", reason] += 1
            seen["outlived"] += market.position is None
        return quantity

    def buying(self: Any, market: Market, order: Any, *rest: Any) -> int:
        against, before = opposed(market), market.position
        held = 0 if before is None else before.quantity
        quantity: int = buy(self, market, order, *rest)
        if against:
            kind = "part" if quantity < held else "turns" if quantity > held else "whole"
            seen[kind if quantity else "nothing"] += 1
            seen[rest[2], "nets"] += quantity > 0
            seen["in several fills"] += bool(quantity) and order.filled > quantity
        return quantity

    def closing(self: Any, market: Market, row: Any) -> None:
        working = market.order if opposed(market) else None
        flat = market.order if market.position is None else None
        close(self, market, row)
        if working is not None:
            seen["taken back", working.filled > 0] += 1
        seen["taken back after its position went"] += flat is not None and flat.filled > 0

    for name, watched in (
        ("accept", accepting),
        ("sell", selling),
        ("buy", buying),
        ("close", closing),
    ):
        monkeypatch.setattr(Acceptance, name, watched)
    return seen


def test_random_cases_reach_netting(netting: Seen) -> None:
    for case in drawn("netting", 900):
        run = played(case)
        for trade in naive.closed_trades(run.orders, run.fills):
            netting["ended by netting"] += trade["exit_reason"] == "netting"
    for kind in ("ioc", "limit", "stop"):
        assert min(netting["accepted", kind, size] for size in ("less", "all", "more")) >= 5
    assert min(netting[kind] for kind in ("part", "whole", "turns", "ended by netting")) >= 50
    assert min(netting["beside", reason] for reason in ("stop", "time", "target")) >= 5
    assert min(netting["trimmed", reason] for reason in CAPS) >= 5
    assert netting["only nets after a trim"] >= 15
    assert min(netting["outlived"], netting["in several fills"], netting["nothing"]) >= 10
    assert min(netting["taken back", filled] for filled in (True, False)) >= 5
    assert min(netting["taker", "nets"], netting["maker", "nets"]) >= 30


# --- results --------------------------------------------------------------------------------------


def test_random_cases_reach_results_said_and_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = Counter()
    whole = Acceptance.mark

    def mark(self: Any, market: Market, position: Position, time: int) -> int:
        worth: int = whole(self, market, position, time)
        heard = [row for row in market.determinations if row.time <= time]
        kept, market.determinations = market.determinations, []
        bid = whole(self, market, position, time)
        market.determinations = kept
        if heard:
            change = "lower" if worth < bid else "higher" if worth > bid else "same"
            seen[heard[-1].status, change] += 1
            seen["heard now"] += heard[-1].time == time
        return worth

    monkeypatch.setattr(Acceptance, "mark", mark)
    changed = 0
    for case in drawn("settlement", 500):
        run = played(case)
        for fill in run.fills:
            if fill["reason"] == "settlement" and fill["fee"]:
                seen["fee", case.rules.balance_precision] += 1
        silent = naive.played(
            case.bars, case.markets, case.settlements, case.rates, case.intents, case.rules
        )
        changed += silent.orders != run.orders
    for status in ("determined", "amended", "disputed"):
        assert seen[status, "lower"] >= 20
    assert min(seen["determined", "higher"], seen["amended", "higher"]) >= 20
    assert seen["disputed", "higher"] == 0
    assert min(seen["disputed", "same"], seen["heard now"]) >= 20
    assert seen["fee", 10_000] >= 10
    assert seen["fee", 100] >= 3
    assert changed >= 25


# --- recorded depth -------------------------------------------------------------------------------


def test_random_cases_take_from_levels_that_were_taken_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: Seen = Counter()
    offers, look = naive_liquidity.offers, naive_liquidity.look

    def offering(market: Market, j: int, side: int, *, buys: bool) -> Any:
        found = offers(market, j, side, buys=buys)
        for offer in found:
            if market.drained[offer.level] > 0:
                leg = "entry" if buys else "exit"
                seen[leg, "some left" if offer.size else "none left"] += 1
        return found

    def looking(market: Market, j: int) -> None:
        before = {level: taken for level, taken in market.drained.items() if taken}
        look(market, j)
        after = market.bars[j].after
        for level, taken in before.items():
            now = market.drained.get(level, 0)
            if after.bids is None:
                seen["not known"] += 1
            elif now < taken:
                seen["shrunk" if now else "gone"] += 1

    for module in (naive_entries, naive_exits):
        monkeypatch.setattr(module, "offers", offering)
    monkeypatch.setattr(naive, "look", looking)
    for case in drawn("books", 500):
        played(case)
    for leg in ("entry", "exit"):
        assert min(seen[leg, "some left"], seen[leg, "none left"]) >= 10
    assert min(seen["shrunk"], seen["gone"], seen["not known"]) >= 10


# --- lent collateral ------------------------------------------------------------------------------


def test_random_cases_reach_collateral_that_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Seen = Counter()
    after, possible = naive_state.State.free_after, naive_collateral.possible
    sell, buy = Acceptance.sell, Acceptance.buy

    def left(self: Any, position: Position, quantity: int, proceeds: int) -> int:
        free: int = after(self, position, quantity, proceeds)
        if self.rules.collateral:
            seen["missed" if free < 0 else "given back"] += 1
        return free

    def selling(self: Any, market: Market, *rest: Any) -> int:
        missed = seen["missed"]
        quantity: int = sell(self, market, *rest)
        if seen["missed"] > missed:
            seen["sold in part" if quantity else "not sold"] += 1
        return quantity

    def buying(self: Any, market: Market, *rest: Any) -> int:
        missed = seen["missed"]
        quantity: int = buy(self, market, *rest)
        if seen["missed"] > missed:
            seen["netted in part" if quantity else "not netted"] += 1
        return quantity

    def outcomes(event: list[Market]) -> Any:
        found = possible(event)
        paid = [market.payout for market in event if market.paid]
        if paid and any(market.position for market in event):
            scalar = any(payout not in {0, 10_000} for payout in paid)
            seen["scalar" if scalar else "fewer" if found else "none"] += 1
        return found

    monkeypatch.setattr(naive_state.State, "free_after", left)
    monkeypatch.setattr(naive_collateral, "possible", outcomes)
    monkeypatch.setattr(Acceptance, "sell", selling)
    monkeypatch.setattr(Acceptance, "buy", buying)
    for case in drawn("collateral", 500):
        played(case)
    assert min(seen["sold in part"], seen["not sold"]) >= 5
    assert min(seen["netted in part"], seen["not netted"]) >= 1, seen
    assert seen["fewer"] >= 100
    assert min(seen["scalar"], seen["none"]) >= 15


# --- limits ---------------------------------------------------------------------------------------


def test_random_cases_reach_fractions_and_the_weekly_breaker() -> None:
    seen: Seen = Counter()
    for case in drawn(None, 700):
        run = played(case)
        lots = {market.ticker: market.lot for market in run.markets}
        seen["mixed"] += len(set(lots.values())) > 1
        for fill in run.fills:
            seen["fraction"] += lots[fill["ticker"]] < case.rules.lot and fill["quantity"] % 100 > 0
        seen.update(row["reason"] for row in run.orders)
    assert seen["fraction"] >= 20
    assert seen["mixed"] >= 5
    assert seen["breaker_weekly_loss"] >= 20
