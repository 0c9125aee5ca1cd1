"""The weekly loss breaker, a bar a day at noon: ten contracts bought and sold lose $0.55.

They are bought at 0.51 and sold at 0.49 with a fee of $0.175 each time; START is a Monday.
"""

from datetime import timedelta
from typing import Any

import pytest
from one_market import START, bars, ends, intent, run

from kalshi_bt.simulator.assumptions import FillModel, Limit, Risk, Rules

DAY = 1_440
LIMITS = {"weekly_loss": Limit(dollars=1_000_000), "daily_loss": Limit(dollars=800_000)}


def decided(*orders: tuple[int, int], first: int = 0, **limits: Any) -> list[tuple[Any, ...]]:
    """What becomes of orders (day, side), days counted from Monday on; 0 sells what is held."""
    start = START + timedelta(days=first)
    asked = [
        intent(time=START + timedelta(days=day), side=side, quantity=1_000 if side else None)
        for day, side in orders
    ]
    rules = Rules(
        latency=0,
        fill=FillModel(participation=None),
        pauses=False,
        balance_precision=100,
        risk=Risk(**{**LIMITS, **limits}),
    )
    return [e[:2] for e in ends(run(bars(*[{}] * 14, start=start, minutes=DAY), asked, rules))]


# Each fills a day later: flat on Wednesday and again on Friday.
TWO_LOSSES = ((0, 1), (1, 0), (2, 1), (3, 0))


def test_the_loss_of_a_week_latches_until_monday() -> None:
    found = decided(*TWO_LOSSES, (4, 1), (6, 1), (7, 1))
    assert found[4:] == [("rejected", "breaker_weekly_loss")] * 2 + [("filled", None)]


def test_one_loss_is_below_the_limit() -> None:
    assert decided((0, 1), (1, 0), (2, 1))[2] == ("filled", None)


def test_a_week_does_not_count_the_loss_of_the_one_before() -> None:
    # Flat on Sunday and on Tuesday.
    assert decided((4, 1), (5, 0), (6, 1), (7, 0), (8, 1), first=4)[4] == ("filled", None)


def test_a_week_latched_for_good_stays_so() -> None:
    found = decided(*TWO_LOSSES, (4, 1), (7, 1), breaker_reset="never")
    assert found[4:] == [("rejected", "breaker_weekly_loss")] * 2


def test_the_daily_loss_is_asked_first_and_is_over_before_the_weekly_one() -> None:
    # $0.50 a day: latched on Wednesday; Thursday clears it and asks for the week, $0.55 of $0.55.
    half = {"daily_loss": Limit(dollars=500_000), "weekly_loss": Limit(dollars=550_000)}
    found = decided((0, 1), (1, 0), (2, 1), (3, 1), (8, 1), **half)
    assert [reason for _, reason in found[2:]] == [
        "breaker_daily_loss",
        "breaker_weekly_loss",
        None,
    ]


@pytest.mark.parametrize("fraction", [0.0001, 0.0002])
def test_the_limit_may_be_a_part_of_equity(fraction: float) -> None:
    # $10 000 less $1.10: a ten-thousandth is $0.9999, two are $1.9998.
    found = decided(*TWO_LOSSES, (4, 1), weekly_loss=Limit(fraction=fraction))
    assert found[4][0] == ("rejected" if fraction == 0.0001 else "filled")
