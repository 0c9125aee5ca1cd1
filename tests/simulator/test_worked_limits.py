"""The weekly breaker and fractions of a contract, worked by hand.

Quiet bars quote 0.49 to 0.51: a contract bought and sold loses 0.02 and two fees of 0.0175.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from one_market import bars, ends, fills, intent, run

from kalshi_bt.simulator.assumptions import FillModel, Limit, Risk, Rules
from kalshi_bt.simulator.simulate import Simulation

DEEP = FillModel(participation=None)
MONDAY = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def week(orders: list[dict[str, Any]], start: datetime = MONDAY, **limits: Any) -> Simulation:
    """Two weeks of hours."""
    rules = Rules(latency=0, fill=DEEP, pauses=False, risk=Risk(**limits))
    return run(bars(*[{}] * 336, start=start, minutes=60), orders, rules)


def trip(moment: datetime) -> list[dict[str, Any]]:
    """A hundred contracts bought in the hour after, and sold in the next: at a loss of 5.50."""
    return [
        intent(time=moment, quantity=10_000),
        intent(time=moment + HOUR, side=0, quantity=None),
    ]


def probe(moment: datetime) -> dict[str, Any]:
    return intent(time=moment, quantity=100)


LOSS = Limit(None, 5_000_000)


def test_a_week_that_lost_too_much_is_over() -> None:
    days = [MONDAY + timedelta(days=n, hours=2) for n in (0, 1, 6)]
    last = datetime(2026, 5, 10, 23, tzinfo=UTC)
    monday = datetime(2026, 5, 11, tzinfo=UTC)
    orders = [*trip(MONDAY + HOUR), *map(probe, (days[0] + 2 * HOUR, days[1], days[2], last))]
    result = week([*orders, probe(monday)], weekly_loss=LOSS)
    assert ends(result)[2:6] == [("rejected", "breaker_weekly_loss", 0)] * 4
    assert ends(result)[6] == ("filled", None, 100)


def test_losses_of_the_days_of_a_week_add_up() -> None:
    # 5.50 on Monday and on Tuesday: no day loses 10, the week does.
    limit = Limit(None, 10_000_000)
    trips = [*trip(MONDAY + HOUR), *trip(MONDAY + timedelta(days=1))]
    orders = [*trips, probe(MONDAY + timedelta(days=2))]
    assert ends(week(orders, daily_loss=limit))[4] == ("filled", None, 100)
    assert ends(week(orders, weekly_loss=limit))[4] == ("rejected", "breaker_weekly_loss", 0)


def test_losses_of_last_week_do_not_count() -> None:
    limit = Limit(None, 10_000_000)
    sunday, monday = datetime(2026, 5, 10, 12, tzinfo=UTC), datetime(2026, 5, 11, 1, tzinfo=UTC)
    orders = [*trip(sunday), *trip(monday), probe(monday + 3 * HOUR)]
    assert ends(week(orders, weekly_loss=limit))[4] == ("filled", None, 100)
    # What is sold in the first hour of the week counts for that week.
    late = datetime(2026, 5, 10, 22, tzinfo=UTC)
    orders = [*trip(late), *trip(monday), probe(monday + 3 * HOUR)]
    assert ends(week(orders, weekly_loss=limit))[4] == ("rejected", "breaker_weekly_loss", 0)


def test_the_daily_breaker_is_asked_first() -> None:
    orders = [*trip(MONDAY + HOUR), probe(MONDAY + 5 * HOUR), probe(MONDAY + 30 * HOUR)]
    result = week(orders, daily_loss=LOSS, weekly_loss=LOSS)
    assert [e[1] for e in ends(result)[2:]] == ["breaker_daily_loss", "breaker_weekly_loss"]


def test_a_breaker_that_is_never_reset_stays() -> None:
    monday = datetime(2026, 5, 11, 3, tzinfo=UTC)
    orders = [*trip(MONDAY + HOUR), probe(MONDAY + 5 * HOUR), probe(monday)]
    result = week(orders, weekly_loss=LOSS, breaker_reset="never")
    assert [e[1] for e in ends(result)[2:]] == ["breaker_weekly_loss"] * 2


def test_a_limit_of_the_week_is_a_part_of_equity() -> None:
    # 9 994.50 are left of 10 000: 0.05 per cent are 4.997, 0.06 per cent are 5.997.
    orders = [*trip(MONDAY + HOUR), probe(MONDAY + 5 * HOUR)]
    assert ends(week(orders, weekly_loss=Limit(0.0005)))[2][1] == "breaker_weekly_loss"
    assert ends(week(orders, weekly_loss=Limit(0.0006)))[2] == ("filled", None, 100)


def test_netting_at_a_loss_counts_for_the_week() -> None:
    orders = [
        intent(time=MONDAY, quantity=10_000),
        intent(time=MONDAY + HOUR, side=-1, quantity=10_000),
        probe(MONDAY + 5 * HOUR),
    ]
    assert ends(week(orders, weekly_loss=LOSS))[2][1] == "breaker_weekly_loss"


# --- fractions ------------------------------------------------------------------------------------

FROM = datetime(2026, 4, 17, tzinfo=UTC)


def sized(start: datetime, **rules: Any) -> int:
    """What 10.00 of 10 000 buy at 0.51 in a market whose first bar ends at `start`."""
    tape = bars(*[{}] * 5, start=start)
    order = intent(time=start, quantity=None, stake=0.001)
    made = run(tape, [order], Rules(latency=0, fill=DEEP, pauses=False, **rules))
    return int(made.orders["wanted"][0])


def test_markets_since_april_2026_trade_in_hundredths_where_that_is_assumed() -> None:
    # 18 cost 9.18 and 0.32; 19 cost 9.69 and 0.34. 18.94 cost 9.6594 and 0.34, 18.95 9.6645.
    assert sized(FROM, fractions=True) == 1_894
    assert sized(FROM + timedelta(days=30), fractions=True) == 1_894
    assert sized(FROM - timedelta(microseconds=1), fractions=True) == 1_800
    assert sized(FROM) == sized(FROM + timedelta(days=30)) == 1_800


def test_other_markets_keep_their_lot() -> None:
    assert sized(FROM - timedelta(days=1), fractions=True, lot=10) == 1_890
    assert sized(FROM, lot=10) == 1_890


def test_a_share_of_the_volume_comes_in_the_steps_of_the_market() -> None:
    tape = bars({}, {"volume": 1_230}, {}, start=FROM)
    tenth = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    for rules, got in ((tenth, 100), (replace(tenth, fractions=True), 123)):
        assert fills(run(tape, [intent(time=FROM)], rules), "quantity") == [(got,)]


def test_each_market_has_its_own_step() -> None:
    old, new = FROM - timedelta(days=2), FROM
    tape = bars(*[{}] * 9, start=old, minutes=1_440).vstack(
        bars(*[{}] * 7, start=new, minutes=1_440, market=1)
    )
    half = {"time": new, "quantity": 50}
    rules = Rules(latency=0, fill=DEEP, pauses=False, fractions=True)
    result = run(tape, [intent(**half), intent(market=1, **half)], rules)
    assert ends(result) == [("rejected", "size_zero", 0), ("filled", None, 50)]
