"""Clustered errors, bootstraps and wild tests: statsmodels, slow twins, and what must hold."""

import itertools
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import (
    cluster_bootstrap,
    cluster_standard_error,
    design_effect,
    effective_size,
    observed_design_effect,
    optimal_block_length,
    paired_bootstrap,
    stationary_bootstrap,
    wild_cluster_interval,
    wild_cluster_test,
)
from kalshi_bt.metrics.wild_clusters import wild_score_test

WON = [1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1]
PRICE = [0.6, 0.6, 0.6, 0.3, 0.3, 0.7, 0.7, 0.5, 0.4, 0.4, 0.4, 0.8]
EVENT = [0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 4, 5]


def record(seed: int, clusters: int, rows: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, weights and clusters of some size, in no order."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    event = np.repeat(np.arange(clusters), rng.integers(1, 2 * rows, clusters))
    rng.shuffle(event)
    values = rng.standard_normal(clusters)[event] + rng.standard_normal(len(event))
    return values, rng.random(len(event)) + 0.1, event


# --- standard errors ------------------------------------------------------------------------------


def test_the_error_of_a_small_record_is_that_of_statsmodels() -> None:
    excess = np.subtract(WON, PRICE)
    fit = sm.OLS(excess, np.ones(12)).fit(cov_type="cluster", cov_kwds={"groups": EVENT})
    assert cluster_standard_error(excess, EVENT) == pytest.approx(fit.bse[0], abs=1e-9)
    assert cluster_standard_error(excess, EVENT, correction="CR0") == pytest.approx(
        0.164411830475, abs=1e-9
    )
    own = cluster_standard_error(excess, range(12), correction="CR0")
    assert own == pytest.approx(np.std(excess) / math.sqrt(12), abs=1e-12)


@given(st.integers(0, 10**6), st.integers(2, 20))
def test_the_error_of_a_ratio_is_that_of_weighted_rows(seed: int, clusters: int) -> None:
    """A ratio of sums is the weighted mean of the ratios of the rows."""
    v, w, event = record(seed, clusters)
    fit = sm.WLS(v / w, np.ones(len(v)), weights=w).fit(
        cov_type="cluster", cov_kwds={"groups": event, "use_correction": False}
    )
    found = cluster_standard_error(v, event, w, correction="CR0")
    assert found == pytest.approx(fit.bse[0], rel=1e-8)


def test_a_design_effect_counts_what_is_said_twice() -> None:
    assert design_effect(6, 0.5455) == pytest.approx(3.7275)
    assert effective_size(600, 6, 0.5455) == pytest.approx(160.965794768612)
    assert design_effect(1, 0.9) == 1
    said = np.random.Generator(np.random.Philox(key=1)).random(500)
    once = observed_design_effect(said, np.arange(500))
    assert once == pytest.approx(1)
    twice = observed_design_effect(np.repeat(said, 2), np.repeat(np.arange(500), 2))
    assert twice == pytest.approx(2, rel=0.005)


# --- bootstrap ------------------------------------------------------------------------------------


def enumerated(table: np.ndarray) -> np.ndarray:
    """Ratios of all ways to draw clusters with replacement."""
    ways = itertools.product(range(len(table)), repeat=len(table))
    return np.array([a / b for a, b in (table[list(way)].sum(axis=0) for way in ways)])


def test_resamples_are_of_whole_clusters() -> None:
    """Few enough clusters for all 6^6 resamples."""
    v, w, event = record(3, 6)
    table = np.array([[v[event == g].sum(), w[event == g].sum()] for g in range(6)])
    found = cluster_bootstrap(v, event, w, method="percentile", resamples=40_000, level=0.8)
    ways = enumerated(table)
    assert np.mean(ways <= found.low) == pytest.approx(0.1, abs=0.01)
    assert np.mean(ways <= found.high) == pytest.approx(0.9, abs=0.01)
    assert found.standard_error == pytest.approx(np.std(ways), rel=0.03)
    assert found.estimate == pytest.approx(v.sum() / w.sum())
    assert found.reason is not None
    assert "6 clusters, fewer than 30" in found.reason


def slow_bca(table: np.ndarray, drawn: list[float], level: float) -> list[float]:
    """Efron (1987), in the order of the book."""
    from scipy.stats import norm

    estimate = table[:, 0].sum() / table[:, 1].sum()
    below = sum(1 for d in drawn if d < estimate) / len(drawn)
    z0 = norm.ppf(below)
    left = []
    for g in range(len(table)):
        rest = [row for i, row in enumerate(table) if i != g]
        left.append(sum(r[0] for r in rest) / sum(r[1] for r in rest))
    centre = sum(left) / len(left)
    a = sum((centre - x) ** 3 for x in left) / (6 * sum((centre - x) ** 2 for x in left) ** 1.5)
    ends = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = norm.ppf(tail)
        ends.append(float(np.quantile(drawn, norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))))))
    return ends


def test_corrected_ends_are_those_of_the_book() -> None:
    v, w, event = record(4, 40)
    v = np.exp(v)  # skewed
    table = np.array([[v[event == g].sum(), w[event == g].sum()] for g in range(40)])
    rng = np.random.Generator(np.random.Philox(key=77))
    drawn = []
    for _ in range(20_000):
        total, weight = table[rng.integers(0, 40, 40)].sum(axis=0)
        drawn.append(float(total / weight))
    found = cluster_bootstrap(v, event, w, resamples=20_000)
    expected = slow_bca(table, drawn, 0.95)
    assert [found.low, found.high] == pytest.approx(expected, rel=0.03)
    plain = cluster_bootstrap(v, event, w, resamples=20_000, method="percentile")
    assert found.high > plain.high * 1.01  # the tail is on the right
    assert found.reason is None


@given(st.integers(0, 1_000))
def test_neither_order_nor_names_nor_kind_of_input_matter(seed: int) -> None:
    v, w, event = record(seed, 12)
    v, w = np.round(v * 64), np.round(w * 64) + 1  # sums that are exact in any order
    plain = cluster_bootstrap(v, event, w, resamples=200, seed=seed)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(v))
    names = pl.Series([f"KX-{n:03d}" for n in event[order]])
    again = cluster_bootstrap(pl.Series(v[order]), names, list(w[order]), resamples=200, seed=seed)
    assert again == plain
    assert cluster_bootstrap(v, event, w, resamples=200, seed=seed + 1) != plain


def test_any_function_of_sums_can_be_had() -> None:
    v, w, event = record(9, 50)
    columns = np.stack([v, w], axis=1)
    found = cluster_bootstrap(columns, event, statistic=lambda s: s[:, 0] / s[:, 1])
    assert found == cluster_bootstrap(v, event, w)


def test_runs_that_are_the_same_do_not_differ_and_common_luck_drops_out() -> None:
    v, w, event = record(11, 60)
    same = paired_bootstrap(v, event, v, event, w, w)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    better = paired_bootstrap(v + 0.1 * w, event, v, event, w, w)
    assert [better.low, better.high] == pytest.approx([0.1, 0.1], abs=1e-12)
    fewer = event < 30
    part = paired_bootstrap(v[fewer], event[fewer], v, event)
    assert part.estimate == pytest.approx(v[fewer].mean() - v.mean())
    assert part.n_clusters == 60


@pytest.mark.slow
def test_the_corrected_interval_holds_for_favourites_where_plain_quantiles_do_not() -> None:
    rng = np.random.Generator(np.random.Philox(key=8))
    missed = {"bca": 0, "percentile": 0}
    for n in range(400):
        gains = (rng.random(60) < 0.95) - 0.93
        for method in missed:
            found = cluster_bootstrap(gains, range(60), resamples=1_000, seed=n, method=method)
            missed[method] += not found.low <= 0.95 - 0.93 <= found.high
    assert missed["bca"] <= 40
    assert missed["percentile"] > 55


# --- few clusters ---------------------------------------------------------------------------------


def slow_wild(table: np.ndarray, null: float) -> float:
    """Share of all ways to draw signs, by loops."""
    count = 0
    statistics = []
    for signs in itertools.product((1, -1), repeat=len(table)):
        scores = [s * (v - null * w) for s, (v, w) in zip(signs, table, strict=True)]
        total = sum(scores)
        moved = total / sum(w for _, w in table)
        variance = sum((s - moved * w) ** 2 for s, (_, w) in zip(scores, table, strict=True))
        statistics.append(total**2 / variance if variance > 1e-14 else math.inf)
    for each in statistics:
        count += each >= statistics[0] * (1 - 1e-9)
    return count / len(statistics)


@given(st.integers(0, 10**6), st.integers(3, 8), st.floats(-1, 1))
def test_signs_are_enumerated_where_they_are_few(seed: int, clusters: int, null: float) -> None:
    v, w, event = record(seed, clusters)
    table = np.array([[v[event == g].sum(), w[event == g].sum()] for g in range(clusters)])
    found = wild_cluster_test(v, event, w, null=null)
    assert found.p_value == pytest.approx(slow_wild(table, null), abs=1e-12)
    assert found.resamples == 2**clusters
    errors = table[:, :1] - null * table[:, 1:]
    general = wild_score_test(errors, table[:, 1:, None])
    assert general.p_value == found.p_value
    assert general.statistic == pytest.approx(found.statistic, rel=1e-6)


@given(st.integers(0, 10**6), st.integers(6, 12))
def test_an_interval_holds_what_is_not_refused(seed: int, clusters: int) -> None:
    v, w, event = record(seed, clusters)
    low, high = wild_cluster_interval(v, event, w)
    assert low < v.sum() / w.sum() < high
    width = high - low
    for inside in (low + 0.001 * width, high - 0.001 * width):
        assert wild_cluster_test(v, event, w, null=inside).p_value > 0.05
    for outside in (low - 0.001 * width, high + 0.001 * width):
        assert wild_cluster_test(v, event, w, null=outside).p_value <= 0.05


def test_six_clusters_of_one_row_are_refused_where_all_lie_on_one_side() -> None:
    """2 of 2^6 is the only p-value below 5 %: all signs alike."""
    low, high = wild_cluster_interval([0.3, 0.2, 0.4, 0.1, 0.35, 0.22], list("abcdef"))
    assert (low, high) == pytest.approx((0.1, 0.4), abs=1e-6)
    with pytest.raises(UsageError, match=r"5 clusters are too few .* expected 6 or more"):
        wild_cluster_interval([1, 2, 3, 4, 5], range(5))


@pytest.mark.slow
def test_the_wild_test_keeps_its_level_where_normal_theory_does_not() -> None:
    rng = np.random.Generator(np.random.Philox(key=21))
    wild = normal = 0
    event = np.repeat(np.arange(8), [1, 1, 1, 2, 2, 4, 8, 16])
    for n in range(1_000):
        v = rng.standard_normal(8)[event] + 0.5 * rng.standard_normal(len(event))
        wild += wild_cluster_test(v, event, resamples=999, seed=n).p_value <= 0.05
        normal += abs(v.mean()) > 1.96 * cluster_standard_error(v, event)
    assert wild <= 75
    assert normal > 110


# --- series ---------------------------------------------------------------------------------------


def ar(rho: float, n: int, seed: int) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=seed))
    noise = rng.standard_normal(n)
    path = np.zeros(n)
    for t in range(1, n):
        path[t] = rho * path[t - 1] + noise[t]
    return path


def test_blocks_widen_the_interval_of_returns_that_follow_each_other() -> None:
    path = ar(0.7, 800, 3)
    blocks = stationary_bootstrap(path, resamples=500)
    single = stationary_bootstrap(path, resamples=500, block_size=1)
    assert single.standard_error == pytest.approx(np.std(path) / math.sqrt(800), rel=0.15)
    assert blocks.standard_error > 1.5 * single.standard_error
    assert blocks == stationary_bootstrap(path, resamples=500)
    assert blocks != stationary_bootstrap(path, resamples=500, seed=1)
    assert blocks.n_clusters == int(800 // optimal_block_length(path)[0])


def test_a_statistic_of_ones_own_is_resampled() -> None:
    found = stationary_bootstrap(ar(0.0, 300, 4), lambda r: r.mean() / r.std(), resamples=300)
    assert found.low < found.estimate < found.high
    assert found.standard_error == pytest.approx(math.sqrt(1 / 300), rel=0.25)


# --- labels ---------------------------------------------------------------------------------------

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
LATER, DAY, NEXT = NOON + timedelta(hours=1), NOON.date(), NOON.date() + timedelta(days=1)


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"], dtype=object),
        np.array(["b", "a", "b"]),
        (2.5, 1.5, 2.5),
        range(3),
        [True, False, True],
        [LATER, NOON, LATER],
        [NEXT, DAY, NEXT],
        np.array(["2025-01-02", "2025-01-01", "2025-01-02"], "M8[us]"),
        pl.Series([LATER, NOON, LATER]),
        pl.Series(["b", "a", "b"], dtype=pl.Categorical),
    ],
    ids=itertools.count(),
)
def test_names_numbers_and_times_are_labels(labels: Any) -> None:
    values = [1.0, 2.0, 4.0]
    expected = cluster_standard_error(values, [0, 1, 2] if isinstance(labels, range) else [0, 1, 0])
    assert cluster_standard_error(values, labels) == pytest.approx(expected)
    assert paired_bootstrap(values, labels, values, labels, resamples=100).estimate == 0


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["a", 1], "of one type"),
        ([["a"], ["b"]], "expected names, numbers or times"),
        ([object(), object()], "clusters"),
        (7, "of one type"),
        ([NOON, None], r"clusters\[1\] is null"),
    ],
    ids=itertools.count(),
)
def test_what_has_no_order_is_no_label(labels: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        cluster_standard_error([1.0, 2.0], labels)


def test_labels_of_two_runs_are_of_one_type() -> None:
    with pytest.raises(UsageError, match="clusters are String in one run and Int64 in the other"):
        paired_bootstrap([1, 2], ["a", "b"], [1, 2], [1, 2])


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda: cluster_bootstrap([], []), "0 values"),
        (lambda: cluster_bootstrap([1, 2], [1]), "1 labels; expected 2"),
        (lambda: cluster_bootstrap([1, 2], [1, 1]), "1 cluster; expected 2"),
        (lambda: cluster_bootstrap([1, 2], ["a", None]), r"clusters\[1\] is null"),
        (lambda: cluster_bootstrap([1, 2], [1.0, math.nan]), r"clusters\[1\] is null"),
        (lambda: cluster_bootstrap([1, math.inf], [1, 2]), r"values\[1\] is inf"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], [1, -1]), "negative"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], [0, 0]), "all are 0"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], [0, 1]), "does not exist for every resample"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], resamples=10), "resamples is 10"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], level=95), "level is 95"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], seed=-1), "seed is -1"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], method="bc"), "did you mean 'bca'"),  # type: ignore[arg-type]
        (lambda: cluster_bootstrap([1, 2], [1, 2], [1, 1], statistic=sum), "belong to a ratio"),
        (lambda: cluster_bootstrap([1, 2], [1, 2], statistic=lambda _: 3.0), "has shape"),
        (lambda: paired_bootstrap([1, 2], [1], [1, 2], [1, 2]), "values 2, clusters 1"),
        (lambda: cluster_standard_error([1, 2], [1, 2], correction="CR2"), "unknown correction"),  # type: ignore[arg-type]
        (lambda: observed_design_effect([1, 1], [1, 2]), "do not vary"),
        (lambda: design_effect(0.5, 0.1), "expected 1 or more"),
        (lambda: design_effect(6, -0.5), "expected 1 or more"),
        (lambda: effective_size(10, 2, -1.0), "no effective size"),
        (lambda: wild_cluster_test([1, 1, 1], [1, 2, 3], null=1.0), "no test exists"),
        (lambda: wild_cluster_test([1, 2, 3], [1, 2, 3], resamples=9), "resamples is 9"),
        (lambda: wild_cluster_interval([1] * 9, range(9)), "no interval exists"),
        (lambda: wild_score_test(np.ones((2, 1)), np.ones((2, 1, 1))), "expected 3 or more"),
        (lambda: stationary_bootstrap([0.1] * 20), "do not vary"),
        (lambda: stationary_bootstrap([0.1, 0.2]), "2 values; expected 8"),
        (lambda: stationary_bootstrap(range(20), block_size=0), "block_size is 0"),
        (lambda: stationary_bootstrap(range(20), resamples=1), "resamples is 1"),
        (lambda: stationary_bootstrap(range(20), lambda _: math.nan), "does not exist"),
        (lambda: optimal_block_length([1] * 20), "do not vary"),
    ],
)
def test_what_has_no_answer_is_refused(call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
