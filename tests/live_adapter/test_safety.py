"""Stops are latched, survive a restart, refuse entries and never exits, and say why."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from told_sessions import Killed

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.simulator.assumptions import Risk
from live_adapter import state
from live_adapter.account import Names
from live_adapter.broker import told_of
from live_adapter.journal import Entry
from live_adapter.moments import INTENTS
from live_adapter.safety import Limits, Safety, Seen

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DOLLAR = 1_000_000
NAMES = Names("one", "bollinger")
CALM = Seen(NOON, NOON, NOON, 100 * DOLLAR, 100 * DOLLAR)


def intents(*sides: int) -> pl.DataFrame:
    rows = [{"ticker": f"M-{n}", "time": NOON, "side": side} for n, side in enumerate(sides)]
    empty = pl.DataFrame(schema=dict(INTENTS))
    kinds = {name: INTENTS[name] for name in ("ticker", "time", "side")}
    return pl.concat([empty, pl.DataFrame(rows, schema=kinds)], how="diagonal")


def refused(safety: Safety, seen: Seen, *sides: int) -> tuple[list[int], list[str]]:
    """Return the sides that pass, and the first word of each refusal."""
    allowed, told = safety.allow(intents(*sides), seen)
    reasons = [e.payload["reason"].partition(":")[0] for e in told if e.event == "refusal"]
    assert allowed.height + len(reasons) == len(sides)
    return allowed["side"].to_list(), reasons


def events(told: list[Entry]) -> list[str]:
    return [entry.event for entry in told]


def test_nothing_is_refused_where_nothing_is_wrong(tmp_path: Path) -> None:
    safety = Safety(tmp_path, Limits(kill_switch=tmp_path / "STOP", daily_loss=DOLLAR), NAMES)
    assert refused(safety, CALM, 1, -1, 0) == ([1, -1, 0], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (replace(CALM, heard=NOON - timedelta(seconds=91)), "feed_stale"),
        (replace(CALM, told=NOON - timedelta(seconds=6)), "clock_skew"),
        (replace(CALM, told=NOON + timedelta(seconds=6)), "clock_skew"),
        (replace(CALM, equity=95 * DOLLAR), "daily_loss"),
        (replace(CALM, recent=[int(NOON.timestamp()) - n for n in range(3)]), "order_rate"),
    ],
)
def test_each_condition_refuses_entries_and_lets_exits_pass(
    tmp_path: Path, seen: Seen, reason: str
) -> None:
    limits = Limits(daily_loss=5 * DOLLAR, max_orders_minute=3)
    assert refused(Safety(tmp_path, limits, NAMES), seen, 1, 0, -1) == ([0], [reason] * 2)


@pytest.mark.parametrize(
    "seen",
    [
        replace(CALM, heard=NOON - timedelta(seconds=90), told=NOON - timedelta(seconds=90)),
        replace(CALM, told=NOON - timedelta(seconds=5)),
        replace(CALM, heard=None, told=None),
        replace(CALM, equity=95 * DOLLAR + 1),
        replace(CALM, recent=[int(NOON.timestamp()) - n for n in (60, 61, 500)]),
    ],
)
def test_what_is_within_the_limits_passes(tmp_path: Path, seen: Seen) -> None:
    limits = Limits(daily_loss=5 * DOLLAR, max_orders_minute=3)
    assert refused(Safety(tmp_path, limits, NAMES), seen, 1, -1) == ([1, -1], [])


def test_the_rate_counts_what_is_sent_at_the_same_moment(tmp_path: Path) -> None:
    seen = replace(CALM, recent=[int(NOON.timestamp()) - 1])
    safety = Safety(tmp_path, Limits(max_orders_minute=3), NAMES)
    assert refused(safety, seen, 1, 0, -1, 1, 1) == ([1, 0, -1], ["order_rate"] * 2)


def test_the_kill_switch_holds_over_restarts_until_it_is_gone_and_the_operator_resumes(
    tmp_path: Path,
) -> None:
    switch = tmp_path / "STOP"
    limits = Limits(kill_switch=switch)
    safety = Safety(tmp_path, limits, NAMES)
    switch.touch()
    assert events(safety.watch(CALM)) == ["stop"]
    assert events(safety.watch(CALM)) == []  # told once
    with pytest.raises(UsageError, match="remove it, then --resume"):
        safety.resume(NOON)
    switch.unlink()
    again = Safety(tmp_path, limits, NAMES)
    tomorrow = replace(CALM, now=NOON + timedelta(days=1), heard=None)
    for seen in (CALM, tomorrow):
        assert refused(again, seen, 1) == ([], ["kill_switch"])
    assert events(again.resume(NOON)) == ["resume"]
    assert refused(again, CALM, 1) == ([1], [])
    assert refused(Safety(tmp_path, limits, NAMES), CALM, 1) == ([1], [])


def test_a_daily_loss_holds_over_restarts_and_recovery_until_the_next_utc_day(
    tmp_path: Path,
) -> None:
    limits = Limits(daily_loss=5 * DOLLAR)
    safety = Safety(tmp_path, limits, NAMES)
    told = safety.watch(replace(CALM, equity=94 * DOLLAR))
    assert told[0].payload["reason"] == "6.00 dollars lost today"
    evening = replace(CALM, now=NOON.replace(hour=23, minute=59), heard=None)
    assert refused(Safety(tmp_path, limits, NAMES), evening, 1) == ([], ["daily_loss"])
    midnight = replace(evening, now=NOON.replace(hour=0) + timedelta(days=1))
    again = Safety(tmp_path, limits, NAMES)
    assert refused(again, midnight, 1) == ([1], [])
    assert again.stops == Safety(tmp_path, limits, NAMES).stops == {}


def test_a_stop_that_ends_is_told_first_and_holds_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Entry] = []
    limits = Limits(daily_loss=5 * DOLLAR)
    safety = Safety(tmp_path, limits, NAMES, told.extend)
    safety.watch(replace(CALM, equity=94 * DOLLAR))
    tomorrow = replace(CALM, now=NOON + timedelta(days=1), heard=None)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(state, "write", killed)
        with pytest.raises(Killed):
            safety.watch(tomorrow)
    assert events(told) == ["resume"]
    again = Safety(tmp_path, limits, NAMES, told.extend)
    assert events(again.latched) == ["stop"]
    again.watch(tomorrow)
    assert told[0] == told[1]  # which the journal takes once
    assert again.stops == {}


WEDNESDAY = date(2026, 6, 3)


@pytest.mark.parametrize(
    ("name", "risk", "until"),
    [
        ("daily_loss", Risk(), date(2026, 6, 4)),
        ("losses", Risk(), date(2026, 6, 4)),
        ("weekly_loss", Risk(), date(2026, 6, 8)),
        ("drawdown", Risk(drawdown_reset="day"), date(2026, 6, 4)),
        ("daily_loss", Risk(breaker_reset="never"), None),
        ("weekly_loss", Risk(breaker_reset="never"), None),
        ("drawdown", Risk(), None),
        ("session_loss", Risk(), None),
    ],
)
def test_a_breaker_is_told_with_what_ends_it(name: str, risk: Risk, until: date | None) -> None:
    """By the words of `assumptions.Risk`."""
    latched = f"breaker_{name}", WEDNESDAY
    found = told_of(latched, risk, WEDNESDAY)
    assert found.startswith(f"breaker_{name} since 2026-06-03")
    last = date(2026, 12, 31) if until is None else until - timedelta(days=1)
    assert told_of(latched, risk, last) == found
    if until is None:
        assert "for good: another --session" in found
    else:
        assert f"until {until}, 00:00 UTC" in found
        assert told_of(latched, risk, until) == ""
    assert told_of(None, risk, WEDNESDAY) == ""


def test_a_refusal_names_the_order_it_refused(tmp_path: Path) -> None:
    seen = replace(CALM, heard=NOON - timedelta(hours=1))
    _, [told] = Safety(tmp_path, Limits(), NAMES).allow(intents(-1), seen)
    assert told.payload["client_order_id"] == NAMES.order("M-0", -1, NOON)
    assert (told.payload["market_id"], told.payload["outcome_id"]) == ("M-0", "no")


@pytest.mark.parametrize("found", ["", "[]", '{"kill_switch": 1}', '{"kill_switch"'])
def test_stops_that_cannot_be_read_stop(tmp_path: Path, found: str) -> None:
    (tmp_path / "stops.json").write_text(found)
    with pytest.raises(DataError, match="damaged"):
        Safety(tmp_path, Limits(), NAMES)


def test_intents_keep_their_columns(tmp_path: Path) -> None:
    allowed, _ = Safety(tmp_path, Limits(), NAMES).allow(intents(1, -1), CALM)
    assert set(allowed.columns) == {"ticker", *schema.INTENTS.columns} - {"market"}
