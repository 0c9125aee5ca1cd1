"""One opinion a market and moment: which bar it is of, and what it came to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import naive_facts
import polars as pl
import pytest
from facts_of import LONG_AGO, PLAIN, categories, differing, said_of
from one_case import walked
from one_market import at, bars, paid, run
from strategies_random import random_case, seeded

from kalshi_bt import schema
from kalshi_bt.run_schema import FORECASTS, HORIZONS
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import prepare

Row = dict[str, Any]
ONE_SIDED: Row = {"bid": None}


def listed(close: float | None, ticker: str = "M0") -> Row:
    end = None if close is None else at(close)
    return {"ticker": ticker, "event": "E", "series": "S", "close_time": end}


def told(
    rows: Sequence[Row],
    close: float | None,
    fair: Sequence[float | None] | None = None,
    outcomes: Sequence[Row] = (),
    series: pl.DataFrame = PLAIN,
    minutes: float = 1,
) -> dict[str, Row]:
    """The opinions of one market, a bar every so many minutes, by their points."""
    tape = bars(*rows, minutes=minutes)
    done = run(tape, [], Rules(), outcomes=outcomes, listed=[listed(close)])
    results = pl.DataFrame(list(outcomes), schema.SETTLEMENTS.columns)
    table = said_of(tape, done, results, fair, period=round(60 * minutes), series=series)
    return {row["point"]: row for row in table.to_dicts()}


def times(found: dict[str, Row]) -> dict[str, float]:
    return {point: (row["time"] - at(0)) / timedelta(minutes=1) for point, row in found.items()}


def test_the_first_opinion_waits_for_both_sides_and_for_the_signal_to_speak() -> None:
    rows: list[Row] = [ONE_SIDED, {}, {"ask": None}, {}, {"bid": 4_000}]
    assert times(told(rows, None)) == {"first": 1}
    found = told(rows, None, fair=[0.1, None, 0.3, 0.4, 0.5])
    assert times(found) == {"first": 3}
    assert found["first"]["fair"] == 0.4
    assert told(rows, None, fair=[0.1, None, 0.3, float("nan"), None]) == {}


def test_prices_are_dollars_and_the_mid_lies_between() -> None:
    first = told([{"bid": 4_100, "ask": 5_550}], None)["first"]
    assert (first["bid"], first["ask"], first["mid"]) == (0.41, 0.555, (0.41 + 0.555) / 2)


def test_horizons_look_back_from_the_scheduled_close() -> None:
    """Thirty bars a minute apart, 0 to 29, of a market that closes at minute 30."""
    found = told([{}] * 30, 30, fair=[None] * 15 + [0.15] + [None] * 14)
    assert times(found) == {"first": 15, "15m": 15, "5m": 25}
    assert found["15m"]["fair"] == 0.15
    assert found["5m"]["fair"] is None  # an earlier opinion is not one of that bar


def test_a_bar_between_two_horizons_is_the_last_that_ended() -> None:
    assert times(told([{}] * 30, 30.5))["5m"] == 25


@pytest.mark.parametrize(
    ("gap", "kept"),
    [(3.75, True), (3.76, False)],  # a quarter of 15 minutes, more than two bars of one
)
def test_an_old_bar_is_no_opinion_of_a_horizon(gap: float, kept: bool) -> None:  # noqa: FBT001
    assert ("15m" in told([{}], 15 + gap)) == kept


@pytest.mark.parametrize(("gap", "kept"), [(20, True), (20.1, False)])
def test_two_bars_are_never_too_old(gap: float, kept: bool) -> None:  # noqa: FBT001
    """Ten minutes a bar, which is more than a quarter of five minutes."""
    assert ("5m" in told([{}], 5 + gap, minutes=10)) == kept


def test_one_sided_books_are_kept_at_horizons_without_a_mid() -> None:
    row = told([ONE_SIDED], 5, fair=[0.6])["5m"]
    assert (row["fair"], row["bid"], row["ask"], row["mid"]) == (0.6, None, 0.51, None)


def test_a_market_without_a_schedule_has_the_first_alone() -> None:
    assert set(told([{}] * 90, None)) == {"first"}


def test_nothing_is_said_after_an_early_close() -> None:
    """Trading ends at minute 10 though the data goes on; the schedule says minute 30."""
    early = [paid(10, 10_000)]
    found = told([{}] * 30, 30, outcomes=early)
    assert times(found) == {"first": 0}  # 15 minutes before 30 the market was closed for long
    assert times(told([{}] * 30, 18, outcomes=early)) == {"first": 0, "15m": 3}
    late = told([ONE_SIDED] * 11 + [{}] * 10, 30, outcomes=early)
    assert late == {}


def test_the_last_bar_before_an_early_close_may_be_a_fresh_one() -> None:
    assert times(told([{}] * 30, 17, outcomes=[paid(11, 0)]))["5m"] == 11


@pytest.mark.parametrize("payout", [0, 10_000, 5_970])
def test_outcomes_are_payouts_and_scalars_stay_fractions(payout: int) -> None:
    row = told([{}], 5, outcomes=[paid(50, payout)])["first"]
    assert (row["outcome"], row["settled"]) == (payout / 10_000, at(50))


def test_an_unsettled_market_has_no_outcome() -> None:
    row = told([{}], 5)["first"]
    assert (row["outcome"], row["settled"]) == (None, None)


def test_a_category_is_what_a_series_was_called_then() -> None:
    def called(*rows: tuple[datetime, str | None]) -> Any:
        series = categories(*(("S", *row) for row in rows))
        return told([{}], None, series=series)["first"]["category"]

    assert called((LONG_AGO, "Old"), (at(0), "New"), (at(1), "Newer")) == "New"
    assert called((LONG_AGO, "Old"), (at(0), None)) == "Old"
    assert called((at(1), "Later"), (at(2), "Much later")) == "Later"
    assert called((LONG_AGO, None)) is None


def test_without_markets_there_are_no_opinions() -> None:
    table = said_of(schema.BARS.empty(), run_of_nothing(), schema.SETTLEMENTS.empty())
    assert table.schema == FORECASTS.columns
    assert table.is_empty()


def run_of_nothing() -> Simulation:
    rates = {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64}
    tape = prepare(
        schema.BARS.empty(),
        schema.MARKETS.empty(),
        schema.SETTLEMENTS.empty(),
        pl.DataFrame(schema=rates),
    )
    return simulate(tape, schema.INTENTS.empty(), Rules())


def test_the_names_of_horizons_are_their_lengths() -> None:
    units = {"d": 86_400, "h": 3_600, "m": 60}
    assert all(int(name[:-1]) * units[name[-1]] == s for name, s in HORIZONS.items())


@pytest.mark.parametrize("seed", range(40))
def test_a_plain_twin_chooses_the_same(seed: int) -> None:
    rng = seeded(seed)
    case = random_case(rng, bars=40)
    steps = case.bars.group_by("market").agg(pl.col("time").diff().min())["time"].drop_nulls()
    period = int(steps[0].total_seconds()) if len(steps) else 60
    close = pl.Series(rng.choice(case.bars["time"].to_physical().to_numpy(), case.markets.height))
    shift = timedelta(minutes=int(rng.choice([4, 5, 14, 20, 70])))
    near = case.markets.with_columns(close_time=close.cast(schema.Time) + shift)
    markets = near if seed % 2 else case.markets  # so that most horizons lie among the bars
    done = walked(replace(case, markets=markets))[1]
    fair = [None if rng.random() < 0.5 else float(rng.random()) for _ in range(case.bars.height)]
    given = None if seed % 5 == 0 else fair
    series = categories(("S", case.bars["time"][3 % case.bars.height], "B"), ("S", LONG_AGO, "A"))
    found = said_of(case.bars, done, case.settlements, given, period, series.sort("effective_from"))
    world = naive_facts.World(case.bars, markets, case.settlements, series)
    assert differing(found, naive_facts.opinions(world, given, period)) == []
