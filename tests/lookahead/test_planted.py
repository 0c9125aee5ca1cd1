"""Every planted leak is found, with the column, the market and the time of its first opinion."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.forecasting import Learned
from kalshi_bt.lookahead.audit import Audit
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.sampling import IN_A_RUN
from kalshi_bt.lookahead.subject import Subject
from kalshi_bt.signal_file import load_signal
from kalshi_bt.signals.bollinger import Bollinger
from tests.lookahead.conftest import HERE, Audited, Bench

# Class to the column it gives itself away with. Each is asked by itself below.
AHEAD = {
    "NegativeShift": "fair",
    "CentredWindow": "fair",
    "FullMean": "fair",
    "FullZScore": "side",
    "MinMaxScaling": "fair",
    "RankOverLife": "fair",
    "BackwardFill": "fair",
    "ForwardJoin": "fair",
    "CountOfBars": "side",
    "LastBarsTime": "fair",
    "ReversedSum": "fair",
    "ReversedEwm": "fair",
    "SameBarFill": "entry",
    "StopOnly": "stop",
    "ConfidenceOnly": "confidence",
    "OneInAMillion": "fair",
    "BeforeBigMoves": "side",
    "NearTheEnd": "fair",
    "FewMarkets": "fair",
    "LongWarmUp": "fair",
    "LastOfTheDay": "fair",
}
HIDDEN = {
    "Result": "result",
    "Payout": "payout",
    "PayoutIfThere": "payout",
    "ActualClose": "actual_close",
    "LastPrice": "last_price",
}
# Class to check and column.
IMPURE = {
    "OtherEvents": ("events", "fair"),
    "ForgottenOver": ("order", "fair"),
    "ShortLookback": ("warm_up", "fair"),
    "DroppedRows": ("rows", "rows"),
    "AddedRows": ("rows", "rows"),
    "SortedRows": ("rows", "rows"),
    "Coin": ("repeat", "fair"),
    "FreshGenerator": ("repeat", "fair"),
    "CountsCalls": ("repeat", "fair"),
    "RemembersFirstMean": ("repeat", "fair"),
    "Clock": ("outside", "fair"),
    "SecondsClock": ("outside", "fair"),
    "LocalClock": ("outside", "fair"),
    "HourHere": ("zone", "fair"),
    "ReadsText": ("outside", "fair"),
    "Lookup": ("truncate", "fair"),
}
LEARNING = {
    "FitsEverything": "fit",
    "FitsByVisit": "fit",
    "FitsItsOwnOutcome": "fit",
    "KeptFromSight": "fit",
    "LongArray": "fit",
    "ScalesByAllSamples": "fit",
    "SamplesTheLast": "samples",
}


@pytest.fixture(autouse=True)
def dataset(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.data.parent / "weights.txt").write_text("0.9", encoding="utf-8")
    monkeypatch.setenv("DATA", str(bench.data))


def of(verdict: Any, check: str) -> Finding:
    """The finding of a check."""
    assert not verdict.clean
    (found,) = [found for found in verdict.findings if found.check == check]
    return found  # type: ignore[no-any-return]


def opinion(bench: Bench, name: str, found: Finding, until: datetime | None) -> Any:
    """What a planted signal says at the place of a finding, with rows up to a time, or with all."""
    signal = load_signal(f"{HERE / 'planted_ahead.py'}:{name}")()
    quotes = bench.panel.quotes()
    if until is not None:
        quotes = quotes.filter(pl.col("time") <= until)
    place = (pl.col("ticker").cast(pl.String) == found.ticker) & (pl.col("time") == found.time)
    return signal(quotes).filter(place).select(found.column).collect().item()


def moments(bench: Bench, found: Finding) -> list[datetime]:
    """The time of a finding, and some later ones: the cut that gave it away may lie there."""
    times = bench.panel.bars["time"].unique().sort()
    later = times.filter(times >= found.time)
    return later.gather_every(max(len(later) // 40, 1)).to_list()


def apart(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > 1e-9


@pytest.mark.parametrize(("name", "column"), AHEAD.items(), ids=list(AHEAD))
def test_a_later_row_that_is_seen_is_found(
    audited: Audited, bench: Bench, name: str, column: str
) -> None:
    """At the place that is named, the signal itself says something else without later rows."""
    verdict = audited(f"planted_ahead:{name}")
    found = of(verdict, "truncate")
    assert found.column == column
    whole = opinion(bench, name, found, None)
    assert found.before == pytest.approx(whole, abs=1e-9) if whole is not None else not found.before
    pasts = (opinion(bench, name, found, until) for until in moments(bench, found))
    assert any(apart(whole, past) for past in pasts)


@pytest.mark.parametrize("name", ["NegativeShift", "BackwardFill", "StopOnly", "OneInAMillion"])
def test_another_future_is_found_as_well_as_none(audited: Audited, name: str) -> None:
    assert of(audited(f"planted_ahead:{name}"), "perturb").column == AHEAD[name]


def test_interpolation_is_found_by_another_future(audited: Audited) -> None:
    assert of(audited("planted_ahead:Interpolation"), "perturb").column == "fair"


def test_the_first_bar_of_all_is_named_where_all_bars_leak(audited: Audited, bench: Bench) -> None:
    found = of(audited("planted_ahead:NegativeShift"), "truncate")
    assert found.time == bench.panel.bars["time"].min()


def test_a_leak_in_some_markets_is_pinned_on_one_of_them(audited: Audited) -> None:
    found = of(audited("planted_ahead:FewMarkets"), "truncate")
    assert found.ticker.startswith("SYNHIGH-")


def test_a_leak_before_large_moves_is_found_where_one_follows(
    audited: Audited, bench: Bench
) -> None:
    found = of(audited("planted_ahead:BeforeBigMoves"), "truncate")
    own = bench.panel.quotes().filter(pl.col("ticker").cast(pl.String) == found.ticker)
    bars = own.select("time", "mid").collect()
    row = bars["time"].to_list().index(found.time)
    assert abs(bars["mid"][row + 1] - bars["mid"][row]) > 0.12


def test_a_leak_at_the_end_is_found_at_the_end(audited: Audited, bench: Bench) -> None:
    found = of(audited("planted_ahead:NearTheEnd"), "truncate")
    closes = bench.panel.markets.filter(ticker=found.ticker)["close_time"].item()
    assert (closes - found.time).total_seconds() < 300


@pytest.mark.parametrize(("name", "column"), HIDDEN.items(), ids=list(HIDDEN))
def test_a_column_that_no_signal_may_see_is_named(audited: Audited, name: str, column: str) -> None:
    found = of(audited(f"planted_outcomes:{name}"), "hidden_columns")
    assert found.column == column
    assert found.before != found.after


@pytest.mark.parametrize("name", ["ReadsSettlements", "ScansSettlements"])
def test_reading_the_dataset_is_found_with_the_line_that_does_it(
    audited: Audited, name: str
) -> None:
    found = of(audited(f"planted_outcomes:{name}"), "outside")
    assert "reads" in found.change
    assert "planted_outcomes.py, line" in found.change


@pytest.mark.parametrize(("name", "told"), IMPURE.items(), ids=list(IMPURE))
def test_what_depends_on_more_than_its_market_is_found(
    audited: Audited, name: str, told: tuple[str, str]
) -> None:
    check, column = told
    assert of(audited(f"planted_impure:{name}"), check).column == column


def test_a_signal_that_is_never_the_same_is_compared_with_nothing_else(audited: Audited) -> None:
    assert [found.check for found in audited("planted_impure:Coin").findings] == ["repeat"]


def test_a_lookback_too_short_tells_what_more_bars_say(audited: Audited) -> None:
    found = of(audited("planted_impure:ShortLookback"), "warm_up")
    assert "only the last 20 bars" in found.change
    assert f"(40 bars say nothing; 80 bars say {found.before:.9g})" in found.change  # it needs 60
    assert found.after is None


@pytest.mark.parametrize(("name", "check"), LEARNING.items(), ids=list(LEARNING))
def test_learning_from_what_nobody_knew_is_found(
    audited: Audited, bench: Bench, name: str, check: str
) -> None:
    verdict = audited(f"planted_outcomes:{name}")
    assert [found.check for found in verdict.findings] == [check]
    found = of(verdict, check)
    assert found.ticker in bench.panel.markets["ticker"]
    if check == "fit":
        assert found.column == ("samples" if name == "ScalesByAllSamples" else "payout")
    if found.column == "payout":  # named is an outcome that a fit used before it was known
        settled = bench.settlements.filter(ticker=found.ticker)
        assert found.time == settled["time"].item()
        assert found.before == settled["payout"].item() / 10_000


def test_honest_signals_pass(audited: Audited) -> None:
    learners = ("planted_outcomes:Learner", "planted_outcomes:LearnerWithModel")
    for name in ("planted_ahead:Base", *learners):
        verdict = audited(name)
        assert verdict.clean, verdict.text()
        assert verdict.opinions > 0


def test_what_cannot_be_checked_is_said(bench: Bench) -> None:
    """One market of one bar has no future and no other event."""
    lone = bench.panel.bars.head(1)
    subject = Subject("bollinger", Learned([(lone["time"][0], Bollinger())]))
    told = Audit(subject, replace(bench.panel, bars=lone), IN_A_RUN).verdict()
    assert told.clean
    assert not {"truncate", "perturb", "events", "warm_up"} & set(told.checks)
    assert len(told.notes) == 3
    assert told.tone == "open"


def test_every_planted_signal_is_expected_to_be_found() -> None:
    known = {*AHEAD, *HIDDEN, *IMPURE, *LEARNING, "ReadsSettlements", "ScansSettlements"}
    known |= {"Base", "Learner", "LearnerWithModel", "Table", "Interpolation", "SamplesTheResult"}
    text = "".join(path.read_text("utf-8") for path in Path(HERE).glob("planted_*.py"))
    classes = {line.split()[1].partition("(")[0].rstrip(":") for line in text.splitlines()
               if line.startswith("class ")}  # fmt: skip
    assert classes == known
    assert len(known) >= 40
