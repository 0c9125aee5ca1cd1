"""The breakers, worked by hand: what each counts, a part of what it is, and what clears it.

Quiet bars quote 0.49 to 0.51, an hour each. A hundred contracts cost 51 and a fee of 0.07 x 100 x
0.2499 = 1.7493: 52.75 in whole cents. They bring 49 less the same: 47.25. A round trip loses 5.50.
START is Monday noon.
"""

from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

import polars as pl
import pytest
from one_market import START, bars, ends, intent, run

from kalshi_bt.simulator.assumptions import FillModel, Limit, Risk, Rules
from kalshi_bt.simulator.simulate import Simulation

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURS = 504
MONDAY = START.replace(hour=0)
LOST = 5_500_000
Orders = list[dict[str, Any]]


def walked(
    orders: Orders, told: dict[int, dict[str, Any]] | None = None, cash: int = 10_000, **risk: Any
) -> Simulation:
    """Three weeks from Monday noon: market 0 as told, by hour, 1 quiet, and one for each probe."""
    hours = [(told or {}).get(n, {}) for n in range(HOURS)]
    first = bars(*hours, minutes=60) if told else quiet(0)
    new = count(2)
    rows = [o if o["market"] is not None else o | {"market": next(new)} for o in orders]
    rows.sort(key=lambda order: (order["time"], order["market"]))
    tape = pl.concat([first, *(quiet(m) for m in range(1, next(new)))])
    rules = Rules(
        cash=cash * 1_000_000,
        latency=0,
        fill=FillModel(participation=None),
        pauses=False,
        risk=Risk(**risk),
    )
    return run(tape, rows, rules)


@cache
def quiet(market: int) -> pl.DataFrame:
    return bars(*[{}] * HOURS, minutes=60, market=market)


def trip(moment: datetime) -> Orders:
    """A hundred contracts bought within the hour and sold in the next."""
    return [
        intent(time=moment, quantity=10_000, limit=5_100),
        intent(time=moment + HOUR, side=0, quantity=None),
    ]


def probe(moment: datetime) -> dict[str, Any]:
    """A contract of a market that nothing else trades; it costs 0.53 and is worth 0.49."""
    return intent(market=None, time=moment, quantity=100)


def said(result: Simulation) -> list[str | None]:
    """What refused each probe; None where it was filled."""
    found = zip(result.orders["ticker"], ends(result), strict=True)
    probes = [end for ticker, end in found if ticker not in ("M0", "M1")]
    assert all(status == ("rejected" if why else "filled") for status, why, _ in probes)
    return [why for _, why, _ in probes]


TUESDAY, WEDNESDAY, NEXT_WEEK = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 7 * DAY
LOSS = trip(START)  # flat at two in the afternoon
LATER = START + 5 * HOUR

# --- the loss of a run ----------------------------------------------------------------------------

SESSION = "breaker_session_loss"


def test_the_losses_of_a_run_add_up_over_weeks_and_are_never_forgotten() -> None:
    # 5.50 in either week: 11 in all, and no day or week lost 10.
    ten = {name: Limit(dollars=10_000_000) for name in ("daily_loss", "weekly_loss")}
    orders = [*LOSS, probe(TUESDAY), *trip(NEXT_WEEK + HOUR)]
    probes = [probe(NEXT_WEEK + n * DAY) for n in (1, 2, 7, 13)]
    assert said(walked(orders + probes, **ten)) == [None] * 5
    found = walked(orders + probes, session_loss=Limit(dollars=10_000_000), **ten)
    assert said(found) == [None, *[SESSION] * 4]


@pytest.mark.parametrize("reset", ["day", "never"])
def test_nothing_clears_the_loss_of_a_run(reset: str) -> None:
    orders = [*LOSS, *(probe(moment) for moment in (LATER, TUESDAY, NEXT_WEEK))]
    risk = {"breaker_reset": reset, "drawdown_reset": reset}
    found = walked(orders, session_loss=Limit(dollars=LOST), **risk)
    assert said(found) == [SESSION] * 3


@pytest.mark.parametrize(("limit", "tripped"), [(5_430_000, True), (5_430_001, False)])
def test_gains_of_a_run_offset_its_losses(limit: int, tripped: bool) -> None:  # noqa: FBT001
    # At a bid of 0.60 a hundred bring 60 less 0.07 x 100 x 0.24 = 1.68: 58.32 for 52.75, 5.57 more.
    # Then twice 5.50 are lost: 5.43 in all.
    orders = [*LOSS, *trip(START + 4 * HOUR), *trip(START + 8 * HOUR), probe(TUESDAY)]
    told = {2: {"bid": 6_000, "ask": 6_200}}
    found = walked(orders, told, session_loss=Limit(dollars=limit))
    assert said(found) == [SESSION if tripped else None]
    assert all(status == "filled" for status, *_ in ends(found)[:6])


def test_what_is_not_flat_is_not_lost() -> None:
    # A hundred held at a bid of 0.10, and fifty of them sold there.
    held = intent(time=START, quantity=10_000, limit=5_100)
    half = intent(time=START + 3 * HOUR, side=-1, quantity=5_000)
    told = {n: {"bid": 1_000, "ask": 1_200} for n in range(2, 504)}
    found = walked([held, half, probe(TUESDAY)], told, session_loss=Limit(dollars=1))
    assert said(found) == [None]
    rest = intent(time=START + 5 * HOUR, side=0, quantity=None)
    found = walked([held, half, rest, probe(TUESDAY)], told, session_loss=Limit(dollars=1))
    assert said(found) == [SESSION]


# --- what a limit is a part of --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["daily_loss", "weekly_loss", "session_loss"])
@pytest.mark.parametrize(
    ("limit", "tripped"),
    [
        # 94.50 are left of 100: 0.0582 of that are 5.4999, 0.0583 are 5.50935. Of 100 both are more
        # than was lost.
        (Limit(fraction=0.0582), True),
        (Limit(fraction=0.0583), False),
        (Limit(dollars=LOST), True),
        (Limit(dollars=LOST + 1), False),
        # The tighter of two.
        (Limit(0.0583, LOST), True),
        (Limit(0.0582, LOST + 1), True),
        (Limit(0.0583, LOST + 1), False),
    ],
)
def test_a_limit_is_a_part_of_the_equity_of_the_decision(
    name: str,
    limit: Limit,
    tripped: bool,  # noqa: FBT001
) -> None:
    found = walked([*LOSS, probe(LATER)], cash=100, **{name: limit})
    assert said(found) == [f"breaker_{name}" if tripped else None]


# --- drawdown -------------------------------------------------------------------------------------

DRAWDOWN = "breaker_drawdown"
SIXTEENTH = 0.0625  # 5.50 of 88


@pytest.mark.parametrize(("most", "tripped"), [(SIXTEENTH, True), (0.0626, False), (0.0, True)])
def test_a_fall_by_the_whole_limit_trips(most: float, tripped: bool) -> None:  # noqa: FBT001
    found = walked([*LOSS, probe(LATER)], cash=88, max_drawdown=most)
    assert ends(found)[0][0] == "filled"  # without a fall there is none, even of nothing
    assert said(found) == [DRAWDOWN if tripped else None]


HELD = intent(time=START, quantity=10_000, limit=5_100)  # at 52.75: 35.25 are left of 88
SEEN = intent(time=START + 3 * HOUR, quantity=100)  # refused, as something is held there


def test_the_peak_is_the_highest_equity_that_a_decision_saw() -> None:
    # A bid of 0.90 at three makes 125.25, one of 0.49 before and after 84.25, less than 88 by 3.75.
    told = {3: {"bid": 9_000, "ask": 9_200}}
    orders = [HELD, probe(LATER)]
    assert said(walked(orders, told, cash=88, max_drawdown=0.3)) == [None]
    orders.append(SEEN)
    assert said(walked(orders, told, cash=88, max_drawdown=0.3)) == [DRAWDOWN]  # 41 of 125.25
    # At its start it is the cash.
    assert said(walked([HELD, probe(LATER)], cash=88, max_drawdown=0.0426)) == [DRAWDOWN]
    assert said(walked([HELD, probe(LATER)], cash=88, max_drawdown=0.0427)) == [None]


@pytest.mark.parametrize(("most", "tripped"), [(0.0798, True), (0.08, False)])
def test_a_drawdown_is_a_part_of_the_peak(most: float, tripped: bool) -> None:  # noqa: FBT001
    # From 125.25 to 115.25: ten are 7.984 % of the peak, 8.7 % of what is left, 11.4 % of the cash.
    told = {3: {"bid": 9_000, "ask": 9_200}} | {
        n: {"bid": 8_000, "ask": 8_200} for n in range(4, 504)
    }
    found = walked([HELD, SEEN, probe(LATER)], told, cash=88, max_drawdown=most)
    assert said(found) == [DRAWDOWN if tripped else None]


def test_a_drawdown_stays_unless_a_day_clears_it() -> None:
    midnight = [probe(TUESDAY - HOUR), probe(TUESDAY), probe(NEXT_WEEK)]
    orders = [*LOSS, probe(LATER), *midnight]
    limits = {"cash": 88, "max_drawdown": SIXTEENTH}
    assert said(walked(orders, **limits)) == [DRAWDOWN] * 4
    found = walked(orders, drawdown_reset="day", **limits)
    assert said(found) == [DRAWDOWN, DRAWDOWN, None, None]


@pytest.mark.parametrize("losses", ["day", "never"])
def test_the_reset_of_the_drawdown_is_its_own(losses: str) -> None:
    orders = [*LOSS, probe(LATER), probe(TUESDAY)]
    limits = {"cash": 88, "max_drawdown": SIXTEENTH, "breaker_reset": losses}
    assert said(walked(orders, drawdown_reset="day", **limits)) == [DRAWDOWN, None]
    assert said(walked(orders, drawdown_reset="never", **limits)) == [DRAWDOWN, DRAWDOWN]
    daily = {"daily_loss": Limit(dollars=LOST), "breaker_reset": losses}
    for reset in ("day", "never"):
        found = said(walked(orders, drawdown_reset=reset, **daily))
        assert found == ["breaker_daily_loss", None if losses == "day" else "breaker_daily_loss"]


def test_the_peak_starts_anew_at_the_decision_that_clears_it() -> None:
    # 82.50 on Tuesday; a second loss of 5.50 is 6.67 % of it, and 12.5 % of 88.
    second = trip(TUESDAY)
    orders = [*LOSS, probe(LATER), *second, probe(TUESDAY + 5 * HOUR)]
    limits = {"cash": 88, "drawdown_reset": "day"}
    assert said(walked(orders, max_drawdown=SIXTEENTH, **limits)) == [DRAWDOWN] * 2
    # Nothing tripped before: the peak is 88 still, of which 11 are an eighth; 11.04 are gone.
    assert said(walked(orders, max_drawdown=0.125, **limits)) == [None, DRAWDOWN]
    # At 77.00 on Wednesday the peak is new again.
    orders = [*orders, probe(WEDNESDAY)]
    assert said(walked(orders, max_drawdown=SIXTEENTH, **limits)) == [DRAWDOWN, DRAWDOWN, None]


# --- several at once ------------------------------------------------------------------------------


def test_breakers_are_asked_day_week_run_drawdown_row() -> None:
    loss = Limit(dollars=LOST)
    every = {
        "daily_loss": loss,
        "weekly_loss": loss,
        "session_loss": loss,
        "max_drawdown": SIXTEENTH,
        "max_losses": 1,
    }
    reasons = ["breaker_daily_loss", "breaker_weekly_loss", SESSION, DRAWDOWN, "breaker_losses"]
    orders = [*LOSS, probe(LATER)]
    for n, reason in enumerate(reasons):
        left = dict(list(every.items())[n:])
        assert said(walked(orders, cash=88, **left)) == [reason]


def test_one_that_is_cleared_makes_room_for_the_next() -> None:
    loss = Limit(dollars=LOST)
    limits = {"daily_loss": loss, "weekly_loss": loss, "max_drawdown": SIXTEENTH, "cash": 88}
    days = (LATER, TUESDAY, WEDNESDAY, NEXT_WEEK, NEXT_WEEK + DAY)
    orders = [*LOSS, *(probe(day) for day in days)]
    first = ["breaker_daily_loss", "breaker_weekly_loss", "breaker_weekly_loss"]
    # What clears the others leaves the peak alone: 82.50 are still a sixteenth below 88.
    assert said(walked(orders, **limits)) == [*first, DRAWDOWN, DRAWDOWN]
    assert said(walked(orders, drawdown_reset="day", **limits)) == [*first, DRAWDOWN, None]
    assert said(walked(orders, session_loss=loss, **limits)) == [*first, SESSION, SESSION]


def test_a_day_that_clears_a_loss_forgets_the_row_and_one_that_clears_a_drawdown_does_not() -> None:
    orders = [*LOSS, probe(LATER), probe(TUESDAY), probe(WEDNESDAY)]
    found = walked(orders, daily_loss=Limit(dollars=LOST), max_losses=1)
    assert said(found) == ["breaker_daily_loss", None, None]
    found = walked(orders, cash=88, max_drawdown=SIXTEENTH, drawdown_reset="day", max_losses=1)
    assert said(found) == [DRAWDOWN, "breaker_losses", None]


@pytest.mark.parametrize(
    "risk",
    [
        {"daily_loss": Limit(dollars=LOST)},
        {"weekly_loss": Limit(dollars=LOST)},
        {"session_loss": Limit(dollars=LOST)},
        {"max_drawdown": SIXTEENTH},
        {"max_losses": 1},
    ],
    ids=lambda risk: next(iter(risk)),
)
def test_a_latched_breaker_refuses_every_entry_and_no_exit(risk: dict[str, Any]) -> None:
    kept = intent(market=1, time=START, quantity=100)
    out = intent(market=1, time=LATER + HOUR, side=0, quantity=None)
    entries = [probe(LATER) | {"market": 0}, probe(LATER + 2 * HOUR)]
    found = walked([*LOSS, kept, out, *entries], cash=88, **risk)
    kinds = [(status, (why or "").startswith("breaker")) for status, why, _ in ends(found)]
    assert kinds[-3:] == [("rejected", True), ("filled", False), ("rejected", True)]
