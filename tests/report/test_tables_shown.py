"""The small sums of the report, against loops that were written apart and second opinions."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.metrics import Book, daily_equity
from kalshi_bt.report import Run
from kalshi_bt.report.days import daily_pnl
from kalshi_bt.report.markouts import mean_by_event, quality_of_fills, slippage_counts
from kalshi_bt.report.sections.collateral import limit_hits
from kalshi_bt.report.sections.costs import waterfall
from kalshi_bt.report.tallies import decided_trades, in_order, tally
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
from kalshi_bt.trade_groups import BUCKET, HOUR, left_to_close
from kalshi_bt.units import parse_money

T0 = datetime(2026, 3, 1, tzinfo=UTC)

paths = st.lists(st.tuples(st.integers(1, 200_000), st.integers(-50, 50)), min_size=1, max_size=40)


def path_of(steps: list[tuple[int, int]], cash: int) -> pl.DataFrame:
    """Build an equity table from seconds between its rows and changes of equity."""
    rows, time, equity = [], T0, cash
    for seconds, change in steps:
        time, equity = time + timedelta(seconds=seconds), equity + change
        rows.append((time, equity, 0, 0, equity))
    return pl.DataFrame(rows, schema=EQUITY.columns, orient="row")


# --- days ---


@given(paths)
def test_days_add_what_the_daily_grid_of_the_metrics_adds(steps: list[tuple[int, int]]) -> None:
    path = path_of(steps, 10_000)
    empty = {"orders": ORDERS.empty(), "fills": FILLS.empty()}
    book = Book(**empty, trades_closed=TRADES_CLOSED.empty(), equity=path, initial_cash=10_000)
    grid = daily_equity(book)["equity"]
    found = daily_pnl(path, 10_000)
    assert found["pnl"].to_list() == grid.diff().drop_nulls().to_list()
    assert found["pnl"].sum() == path["equity"][-1] - 10_000


def test_a_row_of_midnight_belongs_to_the_day_it_ends() -> None:
    path = path_of([(3_600, 1), (82_800, 10), (1, 100)], 0)
    assert daily_pnl(path, 0).rows() == [(date(2026, 3, 1), 11), (date(2026, 3, 2), 100)]


# --- tallies ---


def test_a_tally_is_that_of_a_loop_over_the_trades(full_run: Run) -> None:
    trades = decided_trades(full_run)
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trade in trades.iter_rows(named=True):
        cents = round(trade["entry_price"] * 100, 2)
        low = min(90, int(cents // 10 * 10))
        groups[f"{low}–{low + 10}"].append(trade)
    found = {row["group"]: row for row in tally(trades, BUCKET).iter_rows(named=True)}
    assert set(found) == set(groups)
    for name, members in groups.items():
        row = found[name]
        told = [t for t in members if t["expected"] is not None]
        size = sum(t["quantity"] for t in told)
        assert row["trades"] == len(members)
        assert row["wins"] == sum(t["pnl"] > 0 for t in members)
        assert row["losses"] == sum(t["pnl"] < 0 for t in members)
        assert row["pnl"] == sum(t["pnl"] for t in members)
        assert row["told"] == len(told)
        if told:
            wanted = sum(t["expected"] * t["quantity"] for t in told) / size
            assert row["expected"] == pytest.approx(wanted)
            assert row["realised"] == pytest.approx(sum(t["pnl"] for t in told) / 1e4 / size)
        else:
            assert row["expected"] is row["realised"] is None


@pytest.mark.parametrize(
    ("price", "bucket"), [(0.0, "0–10"), (0.0999, "0–10"), (0.1, "10–20"), (1.0, "90–100")]
)
def test_a_bucket_begins_with_its_lower_price(price: float, bucket: str) -> None:
    assert pl.DataFrame({"entry_price": [price]}).select(BUCKET).item() == bucket


@pytest.mark.parametrize(
    ("entry", "hour"),
    [
        (datetime(2026, 1, 15, 15, tzinfo=UTC), "10"),  # winter: five hours behind
        (datetime(2026, 7, 15, 15, tzinfo=UTC), "11"),  # summer: four
        (datetime(2026, 3, 8, 6, 59, tzinfo=UTC), "01"),  # the clocks go forward at 07:00 UTC
        (datetime(2026, 3, 8, 7, 0, tzinfo=UTC), "03"),
    ],
)
def test_the_hour_is_that_of_new_york(entry: datetime, hour: str) -> None:
    assert pl.DataFrame({"entry_time": [entry]}).select(HOUR).item() == hour


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "under 5m"), (299, "under 5m"), (300, "5m–15m"), (3_600, "1h–6h"), (604_800, "over 7d")],
)
def test_time_to_close_is_told_in_spans(seconds: int, words: str) -> None:
    row = pl.DataFrame({"decided": [T0], "close_time": [T0 + timedelta(seconds=seconds)]})
    assert row.select(left_to_close()).item() == words


def test_an_unknown_close_is_told_as_such() -> None:
    row = pl.DataFrame({"decided": [T0], "close_time": [None]}, schema_overrides={
        "close_time": pl.Datetime("us", "UTC")})  # fmt: skip
    assert row.select(left_to_close()).item() == "not known"


def test_the_base_comes_first_and_unknown_cases_last() -> None:
    cases = pl.DataFrame({"case": ["zebra", "pessimistic", "another", "base"]})
    assert in_order(cases)["case"].to_list() == ["base", "pessimistic", "another", "zebra"]


# --- what fills were worth ---


def test_the_interval_of_a_mark_out_is_that_of_a_clustered_regression() -> None:
    rng = np.random.Generator(np.random.Philox(key=3))
    event = rng.integers(0, 12, 300)
    worth = rng.normal(0.01, 0.05, 300) + rng.normal(0, 0.03, 12)[event]
    size = rng.integers(1, 90, 300).astype(float)
    rows = pl.DataFrame({"event": event.astype(str), "m": worth, "contracts": size})
    rows = pl.concat([rows, pl.DataFrame({"event": ["0"], "m": [None], "contracts": [9.0]})])
    found = mean_by_event(rows, "m")
    fitted = sm.WLS(worth, np.ones(300), weights=size).fit(
        cov_type="cluster", cov_kwds={"groups": event}, use_t=True
    )
    assert found["mean"] == pytest.approx(fitted.params[0])
    assert (found["low"], found["high"]) == pytest.approx(tuple(fitted.conf_int()[0]))
    assert (found["fills"], found["events"]) == (300, 12)


def test_few_events_have_no_interval_and_no_fill_has_no_mean() -> None:
    rows = pl.DataFrame({"event": ["A", "B", "B"], "m": [0.1, 0.2, 0.4], "contracts": [1.0] * 3})
    found = mean_by_event(rows, "m")
    assert found["mean"] == pytest.approx(0.7 / 3)
    assert found["low"] is found["high"] is None
    assert mean_by_event(rows.clear(), "m")["mean"] is None


def test_every_judged_fill_has_its_event(full_run: Run) -> None:
    rows = quality_of_fills(full_run)
    assert rows.height == full_run.fill_quality.height
    by_ticker = dict(full_run.trades_closed.select("ticker", "event").iter_rows())
    for ticker, event in rows.select("ticker", "event").iter_rows():
        assert event == by_ticker[ticker]


def test_a_fill_of_an_unknown_event_stands_for_itself(full_run: Run) -> None:
    bare = replace(
        full_run,
        trades_closed=full_run.trades_closed.clear(),
        markets=full_run.markets.clear(),
        forecasts=full_run.forecasts.clear(),
    )
    rows = quality_of_fills(bare)
    assert rows["event"].to_list() == rows["ticker"].to_list()


def test_slippage_is_counted_by_the_cent_and_role() -> None:
    rows = pl.DataFrame(
        {
            "slippage": [0.0, 0.021, 0.019, -0.6, None],
            "role": ["taker", "taker", "maker", "maker", "taker"],
            "contracts": [1.0, 2.0, 4.0, 8.0, 16.0],
        }
    )
    found = slippage_counts(rows)
    assert found["cents"].to_list() == list(range(-10, 3))
    filled = found.filter(pl.col("taker") + pl.col("maker") > 0).rows()
    assert filled == [(-10, 0.0, 8.0), (0, 1.0, 0.0), (2, 2.0, 4.0)]
    assert slippage_counts(rows.clear()).is_empty()


# --- from the mid to the net ---


def steps_of(run: Run) -> dict[str, int]:
    return {name: amount for name, amount, _ in waterfall(run)}


def test_the_waterfall_closes_to_the_micro_dollar(full_run: Run) -> None:
    steps = steps_of(full_run)
    before = sum(steps[n] for n in ("At the mid", "Spread", "Slippage", "Mid not known"))
    assert before == steps["Before fees"] == full_run.trades_closed["gross_pnl"].sum()
    assert steps["Before fees"] + steps["Fees"] == steps["Net"]
    assert steps["Net"] == parse_money(full_run.scores["net_pnl"]["value"])
    spread = full_run.context.drop_nulls("gross_mid")["spread"].sum()
    assert steps["Spread"] == pytest.approx(-spread * 1e6)


def test_what_is_still_open_is_a_step_of_its_own(full_run: Run) -> None:
    held = replace(full_run, trades_closed=full_run.trades_closed[:-3])
    steps = steps_of(held)
    rest = full_run.trades_closed[-3:]["pnl"].sum()
    assert steps["Still open"] == rest
    assert steps["Net"] == steps_of(full_run)["Net"]


def test_without_any_context_no_mid_is_invented(full_run: Run) -> None:
    steps = steps_of(replace(full_run, context=full_run.context.clear()))
    assert (steps["At the mid"], steps["Spread"], steps["Slippage"]) == (0, 0, 0)
    assert steps["Mid not known"] == steps["Before fees"]


# --- limits ---


def orders_of(rows: list[tuple[str, str | None, int, int]]) -> pl.DataFrame:
    """Build orders from status, reason, wanted and sent."""
    return pl.DataFrame(rows, schema=["status", "reason", "wanted", "quantity"], orient="row")


def test_limits_are_counted_by_whether_they_refused_or_trimmed() -> None:
    rows = [
        ("rejected", "cash", 500, 0),
        ("rejected", "edge", 500, 0),  # the strategy's own rule: no limit
        ("filled", "event_cap", 900, 300),
        ("partial", "cash", 700, 600),
        ("expired", "not_reached", 400, 100),  # trimmed by what its end has overwritten
        ("filled", None, 100, 100),
    ]
    assert limit_hits(orders_of(rows)).rows() == [
        ("cash", 1, 1, 100),
        ("event_cap", 0, 1, 600),
        ("not stated", 0, 1, 300),
    ]


def test_the_fixture_is_one_run(build_run: Callable[..., Run]) -> None:
    """What these tests stand on: the made tables agree with the trades they were made for."""
    run = build_run(seed=5)
    joined = run.trades_closed.join(run.context.drop_nulls("gross_mid"), on="trade_id")
    left = joined["gross_mid"] - joined["spread"] - joined["slippage"] - joined["fees"] / 1e6
    assert left.to_list() == pytest.approx((joined["pnl"] / 1e6).to_list())
