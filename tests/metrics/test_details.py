"""Tables behind the numbers: they say what the numbers say, row by row."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from metric_rows import DOLLAR, START, book, equity, forecast, random_rows, rows, trade

from kalshi_bt.metrics import score, tables
from kalshi_bt.metrics.forecast import PARTS, named
from kalshi_bt.run_schema import FIRST, HORIZONS


def test_the_first_moment_has_the_scores_of_the_run() -> None:
    compared = 0
    for seed in range(12):
        drawn = book(random_rows(seed))
        table, scores = tables(drawn)["forecast_scores"], score(drawn, intervals=False)
        for row in table.filter(pl.col("point") == FIRST).iter_rows(named=True):
            assert row["n"] == scores["n_forecasts"].value
            for name in PARTS:
                assert row[name] == scores[named(name, row["source"])].value
                compared += 1
    assert compared > 100


def test_moments_are_apart_and_in_order() -> None:
    late = [forecast(f"M{i}", 0.9, 0.8, 1.0, point="1h") for i in range(4)]
    early = [forecast(f"M{i}", 0.2, 0.3, 1.0, point="first") for i in range(4)]
    given = sorted(early + late, key=lambda row: (row["ticker"], row["point"]))
    table = tables(book(rows(forecasts=given)))["forecast_scores"]
    assert table["point"].to_list() == ["first", "first", "1h", "1h"]
    assert table["source"].to_list() == ["signal", "price"] * 2
    assert table["brier"].to_list() == pytest.approx([0.64, 0.49, 0.01, 0.04])
    assert set(table["point"]) <= {FIRST, *HORIZONS}


def test_a_silent_signal_leaves_the_rows_of_the_price() -> None:
    given = [forecast(f"M{i}", None, 0.5, float(i % 2)) for i in range(4)]
    found = tables(book(rows(forecasts=given)))
    assert found["forecast_scores"]["source"].to_list() == ["price"]
    assert found["reliability"].select("source", "n", "hit_rate").rows() == [("price", 4, 0.5)]


def test_buckets_hold_every_judged_market_once() -> None:
    for seed in range(8):
        found = tables(book(random_rows(seed)))
        whole = {(r["point"], r["source"]): r["n"] for r in found["forecast_scores"].to_dicts()}
        summed = found["reliability"].group_by("point", "source").agg(pl.col("n").sum())
        assert {(p, s): n for p, s, n in summed.iter_rows()} == whole


def hand_drawn() -> pl.DataFrame:
    # 100 -> 120 -> 90 -> 120 -> 118 -> 121 -> 115: 30 deep, then 2, then 6 that is never regained
    path = [(0, 100), (24, 120), (48, 90), (72, 120), (96, 118), (120, 121), (132, 115)]
    return tables(book(rows(path=[equity(h, v * DOLLAR) for h, v in path])))["drawdowns"]


def test_hand_computed_drawdowns() -> None:
    def at(hours: int) -> Any:
        return START + timedelta(hours=hours)

    assert hand_drawn().rows() == [
        (at(24), at(48), at(72), 30 * DOLLAR, 25.0, 2.0),
        (at(120), at(132), None, 6 * DOLLAR, pytest.approx(100 * 6 / 121), 0.5),
        (at(72), at(96), at(120), 2 * DOLLAR, pytest.approx(100 * 2 / 120), 2.0),
    ]


def test_the_worst_drawdowns_are_those_of_the_metrics() -> None:
    for seed in range(12):
        drawn = book(random_rows(seed))
        table, scores = tables(drawn)["drawdowns"], score(drawn, intervals=False)
        deepest = max(table["depth"], default=0)
        assert float(str(scores["max_drawdown"].value)) * DOLLAR == deepest
        assert scores["max_drawdown_pct"].value == pytest.approx(max(table["depth_pct"], default=0))
        assert scores["drawdown_days"].value == pytest.approx(max(table["days"], default=0))


def test_the_evidence_ends_at_its_value() -> None:
    trades = [
        trade(i, (-1) ** (i % 3) * DOLLAR, event=f"E{i}", ticker=f"M{i}", exit_hour=40 - i)
        for i in range(12)
    ]
    drawn = book(rows(trades=trades))
    path = tables(drawn)["evidence"]
    assert path["time"].is_sorted()
    assert path["wealth"][-1] == score(drawn)["e_value"].value
    assert path.height == 12


def test_tables_of_an_empty_run_are_empty() -> None:
    assert all(table.is_empty() for table in tables(book(rows())).values())
