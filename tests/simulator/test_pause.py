"""Thursday 03:00 to 05:00 in New York: nothing trades, orders and positions wait."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from one_market import MINUTE, at, bars, ends, fills, intent, minutes, run

from kalshi_bt.simulator.assumptions import FILLS, FillModel, Risk, Rules
from kalshi_bt.simulator.pauses import pauses

# In July New York is four hours behind UTC: Thursday 2 July 2026 pauses from 07:00 to 09:00 UTC.
EVE = datetime(2026, 7, 2, 6, 58, tzinfo=UTC)
WIDE = FillModel(participation=1.0)
BY_BAR = Rules(bar=MINUTE, latency=0, fill=WIDE)
BY_COUNT = Rules(latency=0, fill=WIDE)


def micro(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


def spans(first: int, last: int) -> list[tuple[int, int]]:
    return [(begin, end) for begin, end in pauses(first, last).tolist()]


def test_the_pause_is_by_the_clock_of_new_york() -> None:
    # Summer time ends on Sunday 1 November 2026: 03:00 is 07:00 UTC on 29 October, then 08:00.
    found = spans(micro(2026, 10, 28), micro(2026, 11, 6))
    assert (micro(2026, 10, 29, 7), micro(2026, 10, 29, 9)) in found
    assert (micro(2026, 11, 5, 8), micro(2026, 11, 5, 10)) in found
    # It begins on Sunday 8 March 2026.
    found = spans(micro(2026, 3, 4), micro(2026, 3, 13))
    assert (micro(2026, 3, 5, 8), micro(2026, 3, 5, 10)) in found
    assert (micro(2026, 3, 12, 7), micro(2026, 3, 12, 9)) in found


def test_every_week_of_a_span_has_one_pause() -> None:
    new_year = micro(2027, 1, 1)
    found = spans(micro(2026, 1, 1), new_year)
    assert all(end - begin == 120 * MINUTE for begin, end in found)
    starts = [begin for begin, _ in found]
    assert starts == sorted(starts)
    # 2026 begins and ends on a Thursday.
    assert len([b for b in starts if micro(2026, 1, 1) <= b < new_year]) == 53


def night(*extra: dict[str, Any], rows: int = 125) -> Any:
    """A bar a minute from 06:58 to 09:02 UTC; `extra` changes the bars of these minutes."""
    told: list[dict[str, Any]] = [{} for _ in range(rows)]
    for change in extra:
        told[change["minute"]] = {k: v for k, v in change.items() if k != "minute"}
    return bars(*told, start=EVE)


@pytest.mark.parametrize(
    ("minute", "latency", "reason"),
    [
        (1, 0, None),  # decided and there at 06:59
        (1, 59_999_999, None),  # a microsecond before the pause
        (1, MINUTE, "paused"),  # there at 07:00
        (2, 0, "paused"),  # decided at 07:00
        (121, MINUTE - 1, "paused"),  # there a microsecond before 09:00
        (121, MINUTE, None),  # there at 09:00
        (122, 0, None),
    ],
)
def test_an_entry_that_arrives_in_the_pause_is_rejected(
    minute: int, latency: int, reason: str | None
) -> None:
    rules = Rules(bar=MINUTE, latency=latency, fill=WIDE)
    result = run(night(), [intent(time=at(minute, EVE))], rules)
    assert result.orders["reason"][0] == reason
    assert (result.orders["status"][0] == "rejected") == (reason is not None)


def test_the_first_bar_of_an_order_is_one_outside_the_pause() -> None:
    # Counted bars, no length: a bar at 07:00 ends at the begin and trades; one at 07:01 does not.
    result = run(night(), [intent(time=at(1, EVE))], BY_COUNT)
    assert minutes(result, EVE) == [2]
    # The bar of 07:00 is not recorded: the next that trades ends at 09:01.
    gone = night().filter(~(night()["time"] == at(2, EVE)))
    assert minutes(run(gone, [intent(time=at(1, EVE))], BY_COUNT), EVE) == [123]


def test_a_bar_of_known_length_pauses_only_if_all_of_it_does() -> None:
    # Bars of 40 minutes end at 06:58, 07:38 (06:58 to 07:38 is partly before), 08:18, 08:58, 09:38.
    tape = bars({}, {}, {}, {}, {}, start=EVE, minutes=40)
    long = Rules(bar=40 * MINUTE, latency=0, fill=WIDE)
    assert minutes(run(tape, [intent(time=EVE)], long), EVE) == [40]
    order = [intent(time=EVE, kind="limit", limit=4_500, valid_bars=10)]
    low = [{"ask": (4_700, 4_700, 4_400, 4_700)}]
    for row, expected in ((2, []), (3, []), (4, [160.0])):  # 08:18 and 08:58 pause, 09:38 does not
        told = [{}] * row + low + [{}] * (5 - row)
        assert minutes(run(bars(*told, start=EVE, minutes=40), order, long), EVE) == expected


@pytest.mark.parametrize("rules", [BY_BAR, BY_COUNT], ids=["by time", "by count"])
def test_a_resting_order_stays_and_fills_after_the_pause(rules: Rules) -> None:
    low = {"ask": (4_700, 4_700, 4_400, 4_700)}
    order = [intent(time=at(0, EVE), kind="limit", limit=4_500, valid_bars=124)]
    # Traded through at 07:30 (minute 32) and again at 09:01 (minute 123).
    result = run(night(low | {"minute": 32}, low | {"minute": 123}), order, rules)
    assert minutes(result, EVE) == [123]


def test_the_time_of_an_order_runs_on_in_the_pause() -> None:
    low = {"ask": (4_700, 4_700, 4_400, 4_700), "minute": 123}
    for rules in (BY_BAR, BY_COUNT):
        order = [intent(time=at(0, EVE), kind="limit", limit=4_500, valid_bars=100)]
        assert ends(run(night(low), order, rules)) == [("expired", "not_reached", 0)]


def test_an_order_that_ran_out_in_the_pause_gives_its_place_back_then() -> None:
    # Five bars from 06:59 on: its last is 07:03. A new order of 09:00 finds the market free.
    first = intent(time=at(0, EVE), kind="limit", limit=4_500, valid_bars=5)
    second = intent(time=at(122, EVE))
    for rules in (BY_BAR, BY_COUNT):
        result = run(night(), [first, second], rules)
        assert ends(result) == [("expired", "not_reached", 0), ("filled", None, 1_000)]


def test_stops_targets_and_time_exits_wait() -> None:
    hit = {"bid": (3_900,) * 4, "ask": (4_100,) * 4}
    order = intent(time=at(0, EVE), stop=4_000)
    result = run(night(hit | {"minute": 60}, hit | {"minute": 123}), [order], BY_BAR)
    assert minutes(result, EVE) == [1, 123]
    high = {"bid": (6_100,) * 4, "ask": (6_300,) * 4}
    order = intent(time=at(0, EVE), target=6_000)
    result = run(night(high | {"minute": 60}), [order], BY_BAR)
    assert fills(result) == [("entry", "taker", 1_000, 5_100)]
    # Due at 08:00, decided at 09:01 (the first bar that trades), sold at 09:02.
    order = intent(time=at(0, EVE), exit_time=at(62, EVE))
    assert minutes(run(night(), [order], BY_BAR), EVE) == [1, 124]


def test_an_exit_that_was_under_way_waits() -> None:
    order = intent(time=at(0, EVE))
    close = intent(time=at(2, EVE), side=0, quantity=None)  # at 07:00
    result = run(night(), [order, close], BY_BAR)
    assert fills(result)[1][0] == "signal"
    assert minutes(result, EVE) == [1, 123]


def test_nothing_pauses_where_rules_or_model_say_so() -> None:
    order = [intent(time=at(60, EVE))]
    assert ends(run(night(), order, BY_BAR)) == [("rejected", "paused", 0)]
    awake = Rules(bar=MINUTE, latency=0, fill=WIDE, pauses=False)
    assert minutes(run(night(), order, awake), EVE) == [61]
    assert ends(run(night(), order, Rules(fill=FILLS["naive"])))[0][0] == "filled"


def test_trading_hours_are_asked_first_and_a_bad_price_last() -> None:
    closed = Risk(trading_hours="12:00-13:00 UTC")
    order = [intent(time=at(60, EVE), limit=0)]
    assert ends(run(night(), order, Rules(risk=closed))) == [("rejected", "trading_hours", 0)]
    assert ends(run(night(), order, Rules())) == [("rejected", "paused", 0)]


def test_other_days_do_not_pause() -> None:
    for days in range(1, 7):
        start = EVE + timedelta(days=days)
        tape = bars(*[{}] * 125, start=start)
        assert minutes(run(tape, [intent(time=at(60, start))], BY_BAR), start) == [61]
