"""The plain simulator's own parts by hand, and that random cases reach what they are drawn for."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import naive
import pytest
from naive_collateral import guaranteed, outcomes_of, possible
from naive_rules import Market, Order, Position
from naive_state import State, ahead_in_bar, ahead_in_book, bar_is_paused, is_paused
from one_case import played
from strategies_random import random_case, seeded
from strategies_random_books import random_book_case

pytestmark = pytest.mark.slow

HOUR = 3_600_000_000
MINUTE = HOUR // 60


def at(*parts: int) -> int:
    """Microseconds since 1970 of a moment in UTC."""
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


# --- pauses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begin",
    [
        at(2026, 1, 15, 8),  # a Thursday in winter: New York is five hours behind
        at(2026, 3, 5, 8),  # the last one before clocks go forward on 8 March
        at(2026, 3, 12, 7),  # and the first after it
        at(2026, 7, 16, 7),
        at(2026, 10, 29, 7),  # the last one before clocks go back on 1 November
        at(2026, 11, 5, 8),
    ],
)
def test_the_exchange_stands_from_three_to_five_in_new_york(begin: int) -> None:
    end = begin + 2 * HOUR
    moments = (begin - 1, begin, end - 1, end)
    assert [is_paused(moment) for moment in moments] == [False, True, True, False]
    # A bar counts if all of it lies inside; a bar of no length if it is not of the first moment.
    assert [bar_is_paused(t, MINUTE) for t in (begin, begin + MINUTE - 1)] == [False, False]
    assert [bar_is_paused(t, MINUTE) for t in (begin + MINUTE, end)] == [True, True]
    assert [bar_is_paused(t, 0) for t in (begin, begin + 1, end)] == [False, True, True]
    assert not bar_is_paused(end + 1, 0)
    assert not bar_is_paused(end + 1, MINUTE)
    assert not bar_is_paused(begin + 3 * HOUR, 4 * HOUR)


@pytest.mark.parametrize("day", [14, 16, 17, 18, 19, 20])
def test_the_other_days_have_no_pause(day: int) -> None:
    assert not any(is_paused(at(2026, 1, day, hour)) for hour in range(24))


# --- queues -------------------------------------------------------------------------------------


def test_who_bids_more_than_the_best_has_nobody_ahead() -> None:
    assert ahead_in_bar(51, 50, 700, 9_000, above=True) == 0
    assert ahead_in_bar(50, 50, 700, 9_000, above=True) == 700
    assert ahead_in_bar(50, 50, None, 9_000, above=True) == 9_000
    assert ahead_in_bar(49, 50, 700, 9_000, above=True) == 9_000
    assert ahead_in_bar(50, None, None, 9_000, above=True) == 9_000
    # To sell, the better price is the lower one.
    assert ahead_in_bar(49, 50, 700, 9_000, above=False) == 0
    assert ahead_in_bar(51, 50, 700, 9_000, above=False) == 9_000


def test_a_recorded_book_tells_what_is_ahead_as_far_as_it_reaches() -> None:
    levels = [(50, 700), (47, 200)]
    found = [ahead_in_book(level, levels, above=True) for level in (51, 50, 48, 47)]
    assert found == [0, 700, 0, 200]
    assert ahead_in_book(46, levels, above=True) == float("inf")
    assert ahead_in_book(46, [], above=True) == 0
    assert ahead_in_book(46, None, above=True) == float("inf")
    assert ahead_in_book(49, [(50, 700), (53, 200)], above=False) == 0
    assert ahead_in_book(54, [(50, 700), (53, 200)], above=False) == float("inf")


# --- collateral ---------------------------------------------------------------------------------


def holding(
    quantity: int, *, exclusive: bool | None, kind: str | None = None, floor: float | None = None
) -> Market:
    """A market with a position: of YES, or of NO if negative."""
    market = Market("M", "E", [], {}, 0, None, None, None, [], exclusive, (kind, floor))
    if quantity:
        side = 1 if quantity > 0 else -1
        names = [name for name in Order.__dataclass_fields__ if name not in {"filled", "leg"}]
        order = Order(**dict.fromkeys(names) | {"side": side})
        market.position = Position(order, 0, after_open=False, target=None, quantity=abs(quantity))
    return market


@pytest.mark.parametrize(
    ("held", "contracts"),
    [
        ((-100, -100, -100), 2),  # at most one of them loses
        ((-100, -100, 0), 1),
        ((-100, 0, 0), 0),
        ((-300, -100, 0), 1),  # the worst: the first pays YES
        ((100, -100, -100), 1),  # the second pays YES; the third NO still pays
        ((100, 100, 100), 0),  # that none pays is possible
    ],
)
def test_exclusive_markets_return_what_cannot_be_lost(held: Any, contracts: int) -> None:
    event = [holding(quantity, exclusive=True) for quantity in held]
    assert guaranteed(event) == contracts * 1_000_000


@pytest.mark.parametrize(
    ("held", "contracts"),
    [
        ((100, -100), 1),  # above 1 or not above 2: one of them at least
        ((-100, 100), 0),
        ((200, -100), 1),
        ((100, 100), 0),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_rungs_of_a_ladder_return_what_cannot_be_lost(
    held: Any, contracts: int, *, turned: bool
) -> None:
    event = [
        holding(quantity, exclusive=None, kind="greater", floor=floor)
        for quantity, floor in zip(held, (1.0, 2.0), strict=True)
    ]
    assert guaranteed(event[::-1] if turned else event) == contracts * 1_000_000


def test_markets_without_a_relation_return_nothing() -> None:
    odd = [
        [holding(-100, exclusive=True), holding(-100, exclusive=None)],
        [holding(q, exclusive=False, kind="greater", floor=1.0) for q in (100, -100)],
        [holding(q, exclusive=False, kind="less", floor=float(q)) for q in (100, -100)],
        [holding(q, exclusive=False, kind="greater") for q in (100, -100)],
    ]
    assert [guaranteed(event) for event in odd] == [0, 0, 0, 0]


def test_what_is_free_is_never_negative_while_results_are_those_foreseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Positions are sold, turned and paid one by one, and what was lent is covered throughout."""
    seen: Counter[str] = Counter()
    whole = naive.step

    def step(run: Any, time: int, intents: Any) -> None:
        whole(run, time, intents)
        events: dict[str, list[Market]] = {}
        for market in run.markets:
            events.setdefault(market.event, []).append(market)
        related = [event for event in events.values() if outcomes_of(event)]
        if not all(possible(event) for event in related):
            seen["not foreseen"] += 1
            return
        assert run.free() >= 0
        seen["lent"] += run.cash < 0
        seen["after a result"] += run.cash < 0 and any(market.paid for market in run.markets)

    monkeypatch.setattr(naive, "step", step)
    for seed in range(500):
        played(random_case(seeded(seed), feature="collateral"))
    assert min(seen.values()) >= 20


# --- what random cases reach --------------------------------------------------------------------


def outcomes(feature: str | None, many: int) -> Counter[Any]:
    """How often orders ended in which way, and fills came about in which way."""
    seen: Counter[Any] = Counter()
    for seed in range(many):
        run = played(random_case(seeded(seed), feature=feature))
        seen.update((row["status"], row["reason"]) for row in run.orders)
        seen.update((f["leg"], f["reason"], f["role"]) for f in run.fills)
    return seen


def test_random_cases_reach_every_outcome() -> None:
    seen = outcomes(None, 400)
    rejected = (
        *("trading_hours", "paused", "market_closed", "price_range", "no_quote", "stop_side"),
        *("target_side", "confidence", "reward_risk", "no_stop", "size_zero", "edge"),
        *("position_open", "market_cap", "event_cap", "cycle_cap", "max_positions", "exposure"),
        *("cash", "breaker_daily_loss", "breaker_drawdown", "breaker_losses", "order_rate"),
        "no_position",
    )
    ended = (
        *(("canceled", r) for r in ("beyond_limit", "market_closed", "no_quote", "no_volume")),
        *(("canceled", r) for r in ("signal", "would_cross")),
        *(("expired", r) for r in ("no_volume", "not_reached")),
        *(("partial", r) for r in ("exited", "no_volume")),
        *(("filled", r) for r in (None, "signal", "max_contracts", "market_cap", "event_cap")),
        *(("filled", r) for r in ("cycle_cap", "exposure", "cash")),
    )
    fills = (
        *(("entry", "entry", role) for role in ("taker", "maker")),
        *(("exit", reason, "taker") for reason in ("stop", "time", "signal", "target")),
        *(("exit", "target", "maker"), ("exit", "settlement", "none")),
    )
    for outcome in (*(("rejected", r) for r in rejected), *ended, *fills):
        assert seen[outcome] >= 5, outcome


def test_random_cases_reach_pauses() -> None:
    seen: Counter[str] = Counter()
    for seed in range(150):
        case = random_case(seeded(seed), feature="pauses")
        run = played(case)
        stopped = {(m.ticker, b.time) for m in run.markets for b in m.bars if b.paused}
        going = replace(case, rules=replace(case.rules, pauses=False))
        seen["rejected"] += sum(row["reason"] == "paused" for row in run.orders)
        seen["bars"] += len(stopped)
        seen["not filled"] += sum((f["ticker"], f["time"]) in stopped for f in played(going).fills)
        assert not any(
            (f["ticker"], f["time"]) in stopped for f in run.fills if f["role"] != "none"
        )
    assert seen["rejected"] >= 200
    assert seen["bars"] >= 500
    assert seen["not filled"] >= 50


@pytest.mark.parametrize("feature", ["passive", "books"])
def test_random_cases_reach_queues(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[Any] = Counter()
    whole = State.queue_gives

    def gives(
        self: State, market: Market, ahead: float, bar: Any, *rest: Any
    ) -> tuple[float, float | None]:
        left, most = whole(self, market, ahead, bar, *rest)
        side = "entry" if rest[-1] == 1 else "target"
        reached = "unreached" if most is None else "waits" if left else "through or served"
        seen[side, reached] += 1
        seen[side, "behind others"] += ahead > left == 0 and most not in (0, None)
        return left, most

    monkeypatch.setattr(State, "queue_gives", gives)
    for seed in range(350):
        rng = seeded(seed)
        played(random_book_case(rng) if feature == "books" else random_case(rng, feature=feature))
    assert min(seen["entry", kind] for kind in ("unreached", "waits", "behind others")) >= 10
    assert min(seen["target", kind] for kind in ("unreached", "waits", "behind others")) >= 3


def test_random_cases_reach_partial_fills_and_delays_by_chance() -> None:
    seen = outcomes("random", 200)
    for outcome in (("canceled", "no_volume"), ("partial", "no_volume"), ("exit", "stop", "taker")):
        assert seen[outcome] >= 20, outcome
    assert seen["exit", "signal", "taker"] >= 10


def test_random_cases_reach_walks_over_several_levels() -> None:
    levels: Counter[str] = Counter()
    for seed in range(150):
        taken = Counter(
            (f["order_id"], f["time"], f["leg"])
            for f in played(random_book_case(seeded(seed))).fills
            if f["role"] == "taker"
        )
        levels.update(leg for (_, _, leg), n in taken.items() if n > 1)
    assert min(levels["entry"], levels["exit"]) >= 20


def test_random_cases_depend_on_collateral() -> None:
    changed = 0
    for seed in range(120):
        case = random_case(seeded(seed), feature="collateral")
        without = replace(case, rules=replace(case.rules, collateral=False))
        changed += played(case).orders != played(without).orders
    assert changed >= 12
