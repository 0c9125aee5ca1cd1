"""Reliability tables by loops, and what clusters do to their intervals."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import expected_calibration_error, reliability_table

rows = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 1)), min_size=1, max_size=80)


@given(rows)
def test_rows_are_those_of_loops(given_rows: list[tuple[int, int]]) -> None:
    p, y = [c / 100 for c, _ in given_rows], [o for _, o in given_rows]
    table = reliability_table(p, y, buckets=20)
    expected = []
    for bucket in range(20):
        low, high = 5 * bucket, 5 * bucket + 5
        own = [(c, o) for c, o in given_rows if low <= c < high or (c == 100 and high == 100)]
        if own:
            hits = sum(o for _, o in own)
            ends = proportion_confint(hits, len(own), method="wilson")
            mean = sum(c for c, _ in own) / len(own) / 100
            expected.append((low / 100, high / 100, len(own), mean, hits / len(own), *ends))
    columns = ["low", "high", "n", "mean_forecast", "hit_rate", "wilson_low", "wilson_high"]
    assert table.columns[:7] == columns
    for found, row in zip(table.select(columns).rows(), expected, strict=True):
        assert found == pytest.approx(row, abs=1e-9)
    # Without clusters the two intervals are one.
    assert table["cluster_low"].to_list() == table["wilson_low"].to_list()
    assert table["n_eff"].to_list() == table["n"].to_list()
    gaps = sum(abs(row[4] - row[3]) * row[2] for row in expected) / len(given_rows)
    assert expected_calibration_error(table) == pytest.approx(gaps, abs=1e-12)


def test_rows_said_six_times_are_worth_one() -> None:
    rng = np.random.Generator(np.random.Philox(key=2))
    p = np.full(300, 0.45)
    y = rng.random(300) < 0.45
    once = reliability_table(p, y)
    six = reliability_table(np.repeat(p, 6), np.repeat(y, 6), np.repeat(np.arange(300), 6))
    assert six["n_eff"][0] == pytest.approx(300, rel=0.01)
    found = [six["cluster_low"][0], six["cluster_high"][0]]
    assert found == pytest.approx([once["wilson_low"][0], once["wilson_high"][0]], abs=5e-4)
    assert six["wilson_high"][0] - six["wilson_low"][0] < 0.5 * (found[1] - found[0])
    assert six["n_clusters"][0] == 300


def test_clusters_count_once_where_no_variance_can_be_seen() -> None:
    table = reliability_table([0.05] * 9, [0] * 9, [1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert table["n_eff"][0] == 3
    assert table["cluster_high"][0] == pytest.approx(proportion_confint(0, 3, method="wilson")[1])
    alone = reliability_table([0.05] * 4, [0, 1, 0, 0], ["x"] * 4)
    assert alone["n_eff"][0] == 1


def test_no_row_is_worth_more_than_itself() -> None:
    """Rows of an event that make up for each other: one of two pays, always."""
    table = reliability_table([0.5] * 40, [0, 1] * 20, np.repeat(np.arange(20), 2))
    assert table["n_eff"][0] == 40


@pytest.mark.slow
def test_the_cluster_interval_covers_where_the_plain_one_does_not() -> None:
    plain = grouped = 0
    for seed in range(500):
        rng = np.random.Generator(np.random.Philox(key=seed))
        luck = rng.beta(2, 3, 60)  # of an event; 0.4 on average
        event = np.repeat(np.arange(60), 6)
        y = rng.random(360) < luck[event]
        row = reliability_table(np.full(360, 0.45), y, event).row(0, named=True)
        plain += not row["wilson_low"] <= 0.4 <= row["wilson_high"]
        grouped += not row["cluster_low"] <= 0.4 <= row["cluster_high"]
    assert grouped <= 45
    assert plain > 70


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda: reliability_table([], []), "0 values"),
        (lambda: reliability_table([0.5], [1], buckets=0), "buckets is 0"),
        (lambda: reliability_table([0.5], [1], level=0), "level is 0"),
        (lambda: reliability_table([0.5], [1], [1, 2]), "2 labels; expected 1"),
        (lambda: reliability_table([0.5, 1.1], [1, 1]), "0 to 1 dollar"),
    ],
)
def test_what_has_no_answer_is_refused(call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
