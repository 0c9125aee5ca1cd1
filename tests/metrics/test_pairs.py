"""Differences between runs: against sums in plain Python, the paired bootstrap, and coverage."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.metrics import Book
from kalshi_bt.metrics.book import Interval, Undefined
from kalshi_bt.metrics.pairs import PAIRED, paired_differences, paired_sums
from kalshi_bt.metrics.resampling import cluster_bootstrap
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED

START = datetime(2026, 1, 1, tzinfo=UTC)
SUMS = ("pnl", "n", "wins", "decided", "stake")


def trade(event: int, pnl: int, *, market: int = 0, stake: int = 1_000_000) -> dict[str, Any]:
    return {
        "ticker": f"E{event}-M{market}", "event": f"E{event}", "series": "S", "side": 1,
        "entry_time": START, "exit_time": START + timedelta(hours=event), "quantity": 100,
        "entry_price": 0.5, "exit_price": 0.5, "exit_reason": "stop", "stake": stake,
        "gross_pnl": pnl, "fees": 0, "pnl": pnl, "spread_paid": 0,
    }  # fmt: skip


def book(trades: list[dict[str, Any]]) -> Book:
    rows = [{"trade_id": n, **row} for n, row in enumerate(trades)]
    return Book(
        orders=ORDERS.empty(),
        fills=FILLS.empty(),
        equity=EQUITY.empty(),
        trades_closed=pl.DataFrame(rows, schema=TRADES_CLOSED.columns),
        initial_cash=10**9,
    )


def drawn(seed: int, events: int, trades: int, edge: float = 0.0) -> list[dict[str, Any]]:
    rng = np.random.Generator(np.random.Philox(key=seed))
    picked = rng.integers(0, events, trades)
    pnl = rng.normal(edge, 1, trades) * 1e6
    return [
        trade(int(e), int(p), market=int(m), stake=int(s))
        for e, p, m, s in zip(
            picked, pnl, rng.integers(0, 3, trades), rng.integers(1, 5, trades) * 10**5, strict=True
        )
    ]


def plain(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[list[int]]:
    """Sums of both runs by event, events in any order, written separately."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 10)
    for shift, trades in ((0, first), (5, second)):
        for row in trades:
            found = sums[row["event"]]
            values = (row["pnl"], 1, row["pnl"] > 0, row["pnl"] != 0, row["stake"])
            for n, value in enumerate(values):
                found[shift + n] += int(value)
    return sorted(sums.values())


@pytest.mark.parametrize("seed", range(5))
def test_sums_are_over_the_union_of_events(seed: int) -> None:
    first, second = drawn(seed, 12, 30), drawn(seed + 100, 15, 25)
    sums, kind = paired_sums(book(first), book(second))
    assert kind == "event"
    assert sums.columns == [*SUMS, *(f"{name}_2" for name in SUMS)]
    assert sorted(map(list, sums.rows())) == plain(first, second)


def test_events_that_settle_at_one_instant_are_one_cluster() -> None:
    first, second = book([trade(1, 5), trade(2, 5)]), book([trade(2, 5), trade(3, 5)])
    settled = [
        replace(b, context=b.context.clear(2).with_columns(
            trade_id=pl.Series([0, 1]), settled=pl.lit(START).cast(pl.Datetime("us", "UTC"))))
        for b in (first, second)
    ]  # fmt: skip
    assert paired_sums(first, second)[0].height == 3
    sums, kind = paired_sums(*settled)
    assert (sums.height, kind) == (1, "settlement instant")


@pytest.mark.parametrize("metric", PAIRED)
def test_intervals_are_those_of_the_cluster_bootstrap_of_the_difference(metric: str) -> None:
    first, second = book(drawn(1, 40, 120)), book(drawn(2, 40, 110, edge=0.3))
    sums, _ = paired_sums(first, second)
    top, bottom = PAIRED[metric]

    def difference(s: np.ndarray) -> np.ndarray:
        over = (1, 1) if bottom == "one" else (s[:, 1], s[:, 3])
        return s[:, 2] / over[1] - s[:, 0] / over[0]

    other = top if bottom == "one" else bottom
    picked = [sums[name] for name in (top, other, f"{top}_2", f"{other}_2")]
    table = np.stack([column.to_numpy().astype(float) for column in picked], axis=1)
    expected = cluster_bootstrap(table, np.arange(len(table)), statistic=difference)
    found = paired_differences(first, second)[metric]
    assert isinstance(found, Interval)
    assert found.n_clusters == sums.height
    scale = 1e6 if isinstance(found.low, str) else 1
    digit = 0.51 if scale > 1 else 1e-12  # money is rounded to a micro-dollar
    assert float(found.low) * scale == pytest.approx(expected.low, rel=1e-12, abs=digit)
    assert float(found.high) * scale == pytest.approx(expected.high, rel=1e-12, abs=digit)


def test_a_run_against_itself_and_a_shift_known_by_hand() -> None:
    trades = drawn(3, 30, 60)
    for found in paired_differences(book(trades), book(trades)).values():
        assert isinstance(found, Undefined)
        assert "do not differ" in found.reason
    # 30 events, each a dollar better: the difference is certain, however much the runs vary.
    one = [trade(event, 1_000_000 * (event % 7 - 3)) for event in range(30)]
    better = [{**row, "pnl": row["pnl"] + 1_000_000} for row in one]
    sure = paired_differences(book(one), book(better))["net_pnl"]
    assert isinstance(sure, Undefined)


def test_an_event_only_one_run_traded_counts_as_nothing_for_the_other() -> None:
    shared = [trade(event, 10_000 * (event % 3)) for event in range(20)]
    more = [trade(event, -500_000 - 1_000 * event) for event in range(20, 30)]
    found = paired_differences(book(shared), book(shared + more))["net_pnl"]
    assert isinstance(found, Interval)
    assert found.n_clusters == 30
    assert Decimal(found.high) < 0
    total = Decimal(sum(row["pnl"] for row in more)) / 1_000_000
    assert Decimal(found.low) < total < Decimal(found.high)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([], [], "0 independent clusters"),
        ([trade(n, 5) for n in range(4)], [], "4 independent clusters"),
        ([trade(n, n) for n in range(9)], [], "no such number"),
        ([trade(n, n - 4) for n in range(9)], [trade(0, 5)], "no such number"),
    ],
)
def test_what_cannot_be_said_has_a_reason(
    first: list[dict[str, Any]], second: list[dict[str, Any]], reason: str
) -> None:
    found = paired_differences(book(first), book(second))["expectancy"]
    assert isinstance(found, Undefined)
    assert reason in found.reason


@pytest.mark.slow
def test_many_clusters_take_the_normal_limit_which_agrees_with_resampling() -> None:
    first, second = book(drawn(5, 2_500, 6_000)), book(drawn(6, 2_500, 6_000, edge=0.1))
    sums, _ = paired_sums(first, second)
    assert sums.height > 2_000
    found = paired_differences(first, second)
    columns = {
        "net_pnl": ("pnl", None),
        "expectancy": ("pnl", "n"),
        "win_rate": ("wins", "decided"),
    }
    for metric, (top, bottom) in columns.items():
        interval = found[metric]
        assert isinstance(interval, Interval)
        assert "CR1" in interval.method
        other = bottom or top
        picked = [sums[name] for name in (top, other, f"{top}_2", f"{other}_2")]
        table = np.stack([column.to_numpy().astype(float) for column in picked], axis=1)
        over = bottom is not None
        expected = cluster_bootstrap(
            table,
            np.arange(len(table)),
            statistic=lambda s, over=over: (
                s[:, 2] / (s[:, 3] if over else 1) - s[:, 0] / (s[:, 1] if over else 1)
            ),
            resamples=2_000,
        )
        scale = 1e6 if isinstance(interval.low, str) else 1
        width = (float(interval.high) - float(interval.low)) * scale
        assert width == pytest.approx(expected.high - expected.low, rel=0.1)
        middle = (float(interval.high) + float(interval.low)) / 2 * scale
        assert middle == pytest.approx(expected.estimate, abs=width / 50)


@pytest.mark.slow
def test_intervals_of_no_difference_hold_zero_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        both = drawn(seed, 60, 100), drawn(seed + 10_000, 60, 100)
        found = paired_differences(book(both[0]), book(both[1]))["expectancy"]
        assert isinstance(found, Interval)
        held += Decimal(found.low) <= 0 <= Decimal(found.high)
    assert 180 <= held <= 199
