"""That random cases reach what the plain simulator and the walk are compared on.

The plain simulator is watched while it plays: every rule of netting, of results said and paid, of
recorded depth, of lent collateral, of balances and of breakers has to act often enough for
agreement to mean something.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import naive
import naive_collateral
import naive_entries
import naive_exits
import naive_liquidity
import naive_state
import pytest
from naive_intents import Acceptance
from naive_rules import DAY, Market, Position
from one_case import met_exactly, played
from strategies_random import Case, random_case, seeded
from strategies_random_books import random_book_case
from strategies_random_markets import BALANCES

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
        silent = naive.played(
            case.bars, case.markets, case.settlements, case.rates, case.intents, case.rules
        )
        changed += silent.orders != run.orders
    for status in ("determined", "amended", "disputed"):
        assert seen[status, "lower"] >= 20
    assert min(seen["determined", "higher"], seen["amended", "higher"]) >= 20
    assert seen["disputed", "higher"] == 0
    assert min(seen["disputed", "same"], seen["heard now"]) >= 20
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


# --- balances -------------------------------------------------------------------------------------


def step_of(case: Case, time: int) -> tuple[int | None, bool]:
    """What balances are said to be aligned to, and whether it is after 2026-05-28."""
    return case.rules.balance_precision, time >= BALANCES


def legs_of(fills: list[Any]) -> dict[Any, list[Any]]:
    """Trades by what rounds their fees together: an entry order, or a reason to leave."""
    legs: dict[Any, list[Any]] = {}
    for fill in fills:
        if fill["kind"] == "trade":
            leaves = fill["leg"] == "exit" and fill["reason"] != "netting"
            leg = fill["reason"] if leaves else "entry"
            legs.setdefault((fill["order_id"], leg), []).append(fill)
    return legs


def test_random_cases_reach_balances_whose_step_changes() -> None:
    seen: Seen = Counter()
    fees: dict[Any, list[int]] = {}
    for case in drawn("balances", 300):
        run = played(case)
        for fill in run.fills:
            if fill["reason"] == "settlement" and fill["fee"]:
                fees.setdefault(step_of(case, fill["time"]), []).append(fill["fee"])
        for (_, leg), trades in legs_of(run.fills).items():
            sides = {step_of(case, fill["time"]) for fill in trades}
            rounded = case.rules.fee_rounding != "order_cent" and not case.rules.fill.naive
            if len(sides) == 2 and rounded and case.rules.balance_precision is None:
                seen["spans", "entry" if leg == "entry" else "exit"] += 1
                fixed = [replace(case.rules, balance_precision=step) for step in (100, 10_000)]
                others = [played(replace(case, rules=rules)).fills for rules in fixed]
                seen["like neither"] += run.fills not in others
    assert seen["spans", "entry"] >= 5
    assert seen["spans", "exit"] >= 10
    assert seen["like neither"] >= 10
    # By date: in cents at first, then in hundredths of one; otherwise as told on either side.
    assert min(len(fees[None, after]) for after in (False, True)) >= 15
    assert sum(fee >= 100 for fee in fees[None, False]) >= 15
    assert max(fees[None, True]) < 100
    assert min(len(fees[step, True]) for step in (100, 10_000)) >= 10
    assert min(len(fees[step, False]) for step in (100, 10_000)) >= 3
    assert max(fees[100, False]) < 100


def test_random_cases_of_all_kinds_straddle_the_change_of_balances() -> None:
    straddling = 0
    for case in drawn(None, 300):
        times = case.bars["time"].dt.epoch("us")
        straddling += times.min() < BALANCES <= times.max()  # type: ignore[operator]
    assert straddling >= 30


# --- breakers -------------------------------------------------------------------------------------

LATCHES = ("daily_loss", "weekly_loss", "session_loss", "drawdown", "losses")


@pytest.fixture
def breakers(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """In how many cases a breaker latched and was cleared, and what its clearing left alone."""
    seen: Seen = Counter()
    ask = Acceptance.ask_latch

    def asking(self: Any, time: int, equity: int) -> None:
        before, losses, peak = self.latch, self.losses, self.peak
        try:
            ask(self, time, equity)
        finally:
            if before is not None:
                reason, latched = before
                days, kept = time // DAY - latched // DAY, self.latch is not None
                seen[reason, "kept" if kept else "cleared"] += 1
                seen[reason, "kept over a week"] += kept and days >= 7
                if not kept:
                    seen[reason, "losses kept"] += 0 < losses == self.losses
                    seen[reason, "losses forgotten"] += self.losses < losses
                    seen[reason, "peak lowered"] += self.peak < peak
                    seen[reason, "below the peak"] += equity < self.peak

    monkeypatch.setattr(Acceptance, "ask_latch", asking)
    return seen


def latched(run: Any) -> set[str]:
    reasons = {row["reason"] for row in run.orders if row["status"] == "rejected"}
    return {name for name in LATCHES if f"breaker_{name}" in reasons}


def test_random_cases_trip_every_breaker() -> None:
    seen: Seen = Counter()
    for case in drawn(None, 700):
        seen.update(latched(played(case)))
    assert min(seen[name] for name in LATCHES) > 7  # one in a hundred


def test_random_cases_clear_every_breaker_that_can_be(breakers: Seen) -> None:
    tripped: Seen = Counter()
    for case in drawn("breakers", 300):
        tripped.update(latched(played(case)))
    assert min(tripped[name] for name in LATCHES) >= 20
    cleared = {name: breakers[f"breaker_{name}", "cleared"] for name in LATCHES}
    assert cleared.pop("session_loss") == 0
    assert min(cleared.values()) >= 20
    assert min(breakers[f"breaker_{name}", "kept over a week"] for name in LATCHES) >= 10
    # A new day forgets the losses in a row, and not the peak; of a drawdown it is the reverse.
    assert breakers["breaker_drawdown", "losses kept"] >= 20
    assert breakers["breaker_drawdown", "losses forgotten"] == 0
    assert breakers["breaker_drawdown", "peak lowered"] >= 20
    for name in ("daily_loss", "weekly_loss", "losses"):
        assert breakers[f"breaker_{name}", "losses forgotten"] >= 10
        assert breakers[f"breaker_{name}", "peak lowered"] == 0
        assert breakers[f"breaker_{name}", "below the peak"] >= 10


def test_random_cases_meet_limits_exactly() -> None:
    seen: Seen = Counter()
    for seed, case in enumerate(drawn("breakers", 200)):
        exact = met_exactly(case, seeded(seed))
        risk, run = exact.rules.risk, played(exact)
        for lost in run.judged:
            for name, limit in (
                ("day", risk.daily_loss.dollars),
                ("week", risk.weekly_loss.dollars),
                ("session", risk.session_loss.dollars),
                ("fallen", None if risk.max_drawdown is None else risk.max_drawdown * lost.peak),
            ):
                seen[name] += 0 < getattr(lost, name) == limit
    assert min(seen[name] for name in ("day", "week", "session", "fallen")) >= 10


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
