"""The plain simulator by hand: the step of balances by date, and breakers with their clearing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import naive
import polars as pl
import pytest
from one_market import bars, intent

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Limit, Risk, Rules

WHOLE = FillModel(participation=None)
CHANGE = datetime(2026, 5, 28, tzinfo=UTC)
MONDAY = datetime(2026, 5, 4, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Rows = list[dict[str, Any]]


def play(
    tape: pl.DataFrame, orders: Rows, rules: Rules, payout: tuple[datetime, int] | None = None
) -> tuple[Rows, Rows]:
    """Orders and fills of one market, whose makers pay a quarter of what takers do."""
    listed = pl.DataFrame(
        [dict.fromkeys(schema.MARKETS.columns) | {"ticker": "M", "event": "E", "series": "S"}],
        schema.MARKETS.columns,
    )
    paid = schema.SETTLEMENTS.empty()
    if payout is not None:
        time, worth = payout
        end = {"ticker": "M", "time": time, "close_time": time, "payout": worth}
        paid = pl.DataFrame([end | {"result": "scalar", "value": None}], paid.schema)
    rates = {"market": [0], "from_time": [datetime(2020, 1, 1, tzinfo=UTC)]}
    rates |= {"taker": [70_000], "maker": [17_500]}
    columns = {"from_time": schema.Time}
    asked = pl.DataFrame(orders, schema.INTENTS.columns)
    return naive.simulate(
        tape, listed, paid, pl.DataFrame(rates, schema_overrides=columns), asked, rules
    )


# --- the step of balances ---------------------------------------------------------------------


def rounded(precision: int | None, **rules: Any) -> Rules:
    return Rules(latency=0, pauses=False, balance_precision=precision, **rules)


@pytest.mark.parametrize(
    ("precision", "time", "fee"),
    [
        # Ten contracts at 0.51: 0.17493, a trade fee of 0.1750; of -5.2750 the cent below is -5.28.
        (None, CHANGE - timedelta(microseconds=1), 180_000),
        (None, CHANGE, 175_000),
        (10_000, CHANGE, 180_000),
        (100, CHANGE - timedelta(microseconds=1), 175_000),
    ],
)
def test_a_fill_is_aligned_to_what_is_in_force(
    precision: int | None, time: datetime, fee: int
) -> None:
    tape = bars({}, {}, start=time - MINUTE)
    _, (fill,) = play(tape, [intent(time=time - MINUTE)], rounded(precision, fill=WHOLE))
    assert fill["fee"] == fee


@pytest.mark.parametrize(
    ("precision", "fees"),
    [
        # Five contracts at 0.51 as taker: 0.087465, 0.0875 and 2.6375 in all; as maker 0.0219 and
        # 2.5719. In cents 2.64 keeps 0.0025, 2.58 keeps 0.0081: 0.0106 in all, 0.01 goes back and
        # 0.0006 stays. By date nothing is kept after, and the 0.0006 is below a cent. Without the
        # change 0.0087 is kept next and nothing goes back, then 0.0168.
        (None, [90_000, 20_000, 21_900, 21_900]),
        (100, [87_500, 21_900, 21_900, 21_900]),
        (10_000, [90_000, 20_000, 30_000, 20_000]),
    ],
)
def test_each_fill_of_an_order_takes_the_step_of_its_own_time(
    precision: int | None, fees: list[int]
) -> None:
    start = CHANGE - 3 * MINUTE
    tape = bars(*[{"volume": 500}] * 5, start=start)
    fill = FillModel(participation=1.0, touch=True)
    order = intent(time=start, kind="limit", limit=5_100, quantity=2_000, valid_bars=9)
    _, fills = play(tape, [order], rounded(precision, fill=fill))
    assert [f["fee"] for f in fills] == fees
    assert [f["time"] >= CHANGE.timestamp() * 1e6 for f in fills] == [False, False, True, True]


def test_fees_to_the_cent_of_an_order_know_no_step() -> None:
    # 0.17493 is 0.18 on either side.
    for time in (CHANGE - MINUTE, CHANGE + MINUTE):
        rules = rounded(None, fill=WHOLE, fee_rounding="order_cent")
        _, (fill,) = play(bars({}, {}, start=time), [intent(time=time)], rules)
        assert fill["fee"] == 180_000


@pytest.mark.parametrize(
    ("time", "payout", "precision", "fee"),
    [
        # 10.60 contracts at 0.5971 are worth 6.32926, at 0.597 they are worth 6.3282.
        (datetime(2025, 6, 1, tzinfo=UTC), 5_971, None, 9_260),
        (datetime(2026, 4, 1, tzinfo=UTC), 5_970, None, 8_200),
        (CHANGE - timedelta(microseconds=1), 5_971, None, 9_260),
        (CHANGE, 5_971, None, 60),
        (CHANGE, 5_970, None, 0),
        (CHANGE, 5_971, 10_000, 9_260),
        (datetime(2025, 6, 1, tzinfo=UTC), 5_971, 100, 60),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_payout_is_cut_to_what_is_in_force(
    time: datetime, payout: int, precision: int | None, fee: int, side: int
) -> None:
    start = time - 3 * MINUTE
    order = intent(time=start, quantity=1_060, side=side)
    of_yes = payout if side == 1 else 10_000 - payout
    rules = rounded(precision, fill=WHOLE, lot=1)
    _, fills = play(bars(*[{}] * 3, start=start), [order], rules, (time, of_yes))
    assert (fills[1]["reason"], fills[1]["fee"]) == ("settlement", fee)


def test_naive_payouts_keep_nothing_whatever_the_step() -> None:
    start = CHANGE - 5 * MINUTE
    tape = bars(*[{"price": 5_000}] * 3, start=start)
    rules = rounded(None, fill=FILLS["naive"], lot=1)
    order = intent(time=start, quantity=1_060)
    _, fills = play(tape, [order], rules, (CHANGE - MINUTE, 5_971))
    assert [f["fee"] for f in fills] == [0, 0]


@pytest.mark.parametrize("precision", [0, -100])
def test_a_step_is_at_least_a_micro_dollar(precision: int) -> None:
    with pytest.raises(UsageError, match=f"balance_precision is {precision};"):
        Rules(balance_precision=precision)


# --- breakers ---------------------------------------------------------------------------------

# A hundred contracts bought at 0.51 and sold at 0.49: 2.00 and two fees of 1.7493, each 1.75.
LOSS = 5_500_000
CASH = 5_632_000_000  # 1 024 such losses


def decided(
    *orders: tuple[float, int],
    tape: pl.DataFrame | None = None,
    sizes: dict[int, int] | None = None,
    **limits: Any,
) -> list[str | None]:
    """Reasons of entries, by (days after Monday, side); 0 sells what is held.

    A bar is an hour: what is decided fills an hour later. Sizes of orders that are not of a hundred
    contracts are told by their number.
    """
    asked = [
        intent(
            time=MONDAY + timedelta(hours=round(24 * day)),
            side=side,
            quantity=(sizes or {}).get(n, 10_000) if side else None,
        )
        for n, (day, side) in enumerate(orders)
    ]
    if tape is None:
        tape = bars(*[{}] * 600, start=MONDAY, minutes=60)
    rules = Rules(
        cash=CASH,
        latency=0,
        fill=WHOLE,
        pauses=False,
        fee_rounding="order_cent",
        risk=Risk(**limits),
    )
    made, _ = play(tape, asked, rules)
    return [row["reason"] for row in made if row["side"] != 0]


def trip(day: float) -> tuple[tuple[float, int], ...]:
    """Bought at an hour of a day and sold an hour later, flat after two."""
    return (day, 1), (day + 1 / 24, 0)


def test_what_was_lost_since_the_start_is_never_forgiven() -> None:
    # 5.50 on Monday, 5.50 on Monday a week later: 11.00.
    orders = (*trip(0), *trip(7), (7.5, 1), (8, 1), (15, 1))
    for reset in ("day", "never"):
        limits = {"session_loss": Limit(dollars=2 * LOSS), "breaker_reset": reset}
        found = decided(*orders, **limits, drawdown_reset="day")
        assert found == [None, None, *["breaker_session_loss"] * 3]
    more = decided(*orders[:5], session_loss=Limit(dollars=2 * LOSS + 1))
    assert more == [None, None, None]


def test_what_was_lost_since_the_start_is_net_of_gains() -> None:
    # Sold at 0.60 on Monday: 9.00 less 1.75 and 1.68, so 5.57 are won and 5.50 then lost.
    told = [{"bid": 6_000, "ask": 6_200} if n == 2 else {} for n in range(60)]
    hours = bars(*told, start=MONDAY, minutes=60)
    orders = (*trip(0), *trip(1), *trip(1.25), (2, 1))
    limit = Limit(dollars=LOSS - 70_000)
    found = decided(*orders, tape=hours, session_loss=limit)
    assert found == [None, None, None, "breaker_session_loss"]
    assert decided(*orders[:5], tape=hours, session_loss=Limit(dollars=1))[2] is None
    # Without that gain the first loss is enough.
    assert decided(*orders[:5], session_loss=Limit(dollars=1))[1:] == ["breaker_session_loss"] * 2


def test_a_gain_that_comes_too_late_does_not_forgive() -> None:
    # YES turned into NO at a loss of 5.50, which the next decision sees; the NO is then sold at
    # 0.59, 8.00 less 1.75 and 1.70, and 0.95 are lost in all.
    told = [{} if n < 5 else {"bid": 3_900, "ask": 4_100} for n in range(60)]
    hours = bars(*told, start=MONDAY, minutes=60)
    orders = ((0, 1), (1 / 24, -1), (3 / 24, 1), (4 / 24, 0), (1, 1))
    sizes = {1: 20_000}
    latched = ["breaker_session_loss"] * 2
    found = decided(*orders, tape=hours, sizes=sizes, session_loss=Limit(dollars=LOSS))
    assert found == [None, None, *latched]
    assert decided(*orders, tape=hours, sizes=sizes, daily_loss=Limit(dollars=LOSS))[3] is None


def test_the_loss_since_the_start_may_be_a_part_of_equity() -> None:
    # 5 626.50 are left: 1/1024 of it is 5.4946, 1/1020 is 5.5162.
    orders = (*trip(0), (0.5, 1))
    reason = "breaker_session_loss"
    assert decided(*orders, session_loss=Limit(1 / 1024))[1] == reason
    assert decided(*orders, session_loss=Limit(1 / 1020))[1] is None
    both = Limit(1 / 1020, LOSS)  # the tighter
    assert decided(*orders, session_loss=both)[1] == reason


def test_a_fall_as_large_as_allowed_trips() -> None:
    orders = (*trip(0), (0.5, 1))
    assert decided(*orders, max_drawdown=1 / 1024)[1] == "breaker_drawdown"
    assert decided(*orders, max_drawdown=1.01 / 1024)[1] is None
    assert decided((0, 1), max_drawdown=0.0) == [None]  # without a fall there is none
    assert decided(*orders, max_drawdown=0.0)[1] == "breaker_drawdown"


@pytest.mark.parametrize("other", ["day", "never"])
def test_a_new_day_clears_a_fall_only_where_that_is_asked(other: str) -> None:
    orders = (*trip(0), (0.9, 1), *trip(1), (9, 1))
    limits = {"max_drawdown": 1 / 1024, "breaker_reset": other}
    latched = "breaker_drawdown"
    assert decided(*orders, **limits)[1:] == [latched] * 3
    # On Tuesday it buys again, and falls by 5.50 from 5 626.50: latched at the next decision, on
    # Wednesday of the week after, and not cleared by it.
    assert decided(*orders, **limits, drawdown_reset="day")[1:] == [latched, None, latched]


def test_the_peak_starts_anew_with_the_day_that_clears_a_fall() -> None:
    # 11.00 of at most 9.387; then 5.50 of at most 9.368, from 5 621.00. From the start: 16.50.
    orders = (*trip(0), *trip(0.25), (0.5, 1), *trip(1), (1.5, 1))
    found = decided(*orders, max_drawdown=1 / 600, drawdown_reset="day")
    assert found == [None, None, "breaker_drawdown", None, None]


def test_clearing_a_fall_leaves_the_losses_in_a_row() -> None:
    orders = (*trip(0), *trip(0.25), (0.5, 1), *trip(1), (1.5, 1))
    found = decided(*orders, max_drawdown=1 / 512, drawdown_reset="day", max_losses=3)
    assert found == [None, None, "breaker_drawdown", None, "breaker_losses"]


def test_clearing_losses_in_a_row_leaves_the_peak() -> None:
    # Two losses latch until Tuesday; the third makes 16.50, of at most 16.00.
    orders = (*trip(0), *trip(0.25), (0.5, 1), *trip(1), (1.5, 1))
    found = decided(*orders, max_drawdown=1 / 352, drawdown_reset="day", max_losses=2)
    assert found == [None, None, "breaker_losses", None, "breaker_drawdown"]


def test_breakers_are_asked_in_order() -> None:
    every = {
        "daily_loss": Limit(dollars=LOSS),
        "weekly_loss": Limit(dollars=LOSS),
        "session_loss": Limit(dollars=LOSS),
        "max_drawdown": 1 / 1024,
        "max_losses": 1,
    }
    found = []
    while every:
        reason = decided(*trip(0), (0.5, 1), **every)[1]
        found.append(str(reason).removeprefix("breaker_"))
        every.pop(next(iter(every)))
    assert found == ["daily_loss", "weekly_loss", "session_loss", "drawdown", "losses"]


def test_a_day_and_a_week_clear_their_own_and_nothing_clears_the_session() -> None:
    limits = dict.fromkeys(("daily_loss", "weekly_loss", "session_loss"), Limit(dollars=LOSS))
    found = decided(*trip(0), *((day, 1) for day in (0.5, 1, 6, 7, 8, 14)), **limits)
    assert found[1:] == [
        "breaker_daily_loss",
        *["breaker_weekly_loss"] * 2,
        *["breaker_session_loss"] * 3,
    ]


def test_a_fall_is_cleared_by_a_day_or_never() -> None:
    with pytest.raises(UsageError, match="drawdown_reset is 'week'"):
        Risk(drawdown_reset="week")  # type: ignore[arg-type]
