"""Selection among variants: twins by loops, arch and published examples, noise and true signals."""

import itertools
import math
from copy import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, rankdata

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import false_discovery, pbo, superior_predictive_ability


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal(shape)


def sharpe(block: np.ndarray) -> list[float]:
    found = []
    for column in block.T:
        mean, sd = column.mean(), column.std(ddof=1)
        if sd < 1e-12:
            found.append(0.0 if abs(mean) < 1e-12 else math.copysign(math.inf, mean))
        else:
            found.append(round(mean / sd, 12))
    return found


def slow_pbo(returns: np.ndarray, blocks: int, metric: str) -> tuple[float, list[float]]:
    """One split after the other, ranks by scipy."""
    of = {"mean": lambda b: b.mean(axis=0).round(12).tolist(), "sharpe": sharpe}[metric]
    edges = [blocks_of * len(returns) // blocks for blocks_of in range(blocks + 1)]
    pieces = [returns[a:b] for a, b in itertools.pairwise(edges)]
    logits = []
    for split in itertools.combinations(range(blocks), blocks // 2):
        train = of(np.concatenate([pieces[b] for b in split]))
        test = of(np.concatenate([pieces[b] for b in range(blocks) if b not in split]))
        best = train.index(max(train))
        share = rankdata(test)[best] / (len(test) + 1)
        logits.append(math.log(share / (1 - share)))
    return sum(x <= 1e-12 for x in logits) / len(logits), logits


@pytest.mark.parametrize("metric", ["mean", "sharpe"])
@given(st.integers(0, 10**6), st.integers(6, 30), st.integers(2, 5), st.sampled_from([2, 4, 6]))
def test_overfitting_is_that_of_loops(
    metric: Any, seed: int, periods: int, variants: int, blocks: int
) -> None:
    returns = noise(seed, periods, variants).round(1)
    returns[:, 0] *= noise(seed + 1, periods) > 0  # often idle
    found, expected = pbo(returns, blocks, metric), slow_pbo(returns, blocks, metric)
    assert found.logits.tolist() == pytest.approx(expected[1], abs=1e-12)
    assert found.pbo == pytest.approx(expected[0])
    assert len(found.logits) == math.comb(blocks, blocks // 2)


def test_overfitting_is_a_number_that_keeps_its_splits_when_copied() -> None:
    found = pbo([[3, 1], [2, 0], [-1, 2], [-2, 1]], 2)
    assert found == 1.0
    assert copy(found) == 1.0
    assert copy(found).logits.tolist() == found.logits.tolist()


@pytest.mark.parametrize("metric", ["mean", "sharpe"])
def test_scale_does_not_matter_and_an_idle_variant_has_a_ratio_of_zero(metric: Any) -> None:
    returns = noise(5, 40, 4)
    returns[:, 2] = 0.0
    plain = pbo(returns, 8, metric)
    assert pbo(returns * 1e9, 8, metric).ranks.tolist() == plain.ranks.tolist()
    assert pbo(returns * 1e-9, 8, metric).ranks.tolist() == plain.ranks.tolist()
    worse = noise(6, 40, 2) / 100 - 1
    assert (pbo(np.column_stack([worse, np.zeros(40)]), 4, metric).chosen == 2).all()


def test_noise_is_overfitted_half_the_time_and_a_true_strategy_is_not() -> None:
    shares = []
    for seed in range(50):
        returns = np.random.default_rng(seed).standard_normal((240, 20))
        shares.append(pbo(returns, 8, "sharpe").pbo)
    assert shares[0] == pytest.approx(0.4)
    assert np.mean(shares) == pytest.approx(0.509714, abs=0.05)
    returns[:, 3] += 0.5
    assert pbo(returns, 8, "sharpe").pbo == 0


def test_many_splits_are_cut_into_pieces_that_fit() -> None:
    returns = noise(3, 64, 300)
    whole = pbo(returns, 12)
    assert len(whole.logits) == 924
    assert whole.pbo == slow_pbo(returns, 12, "mean")[0]


# --- superior ability -----------------------------------------------------------------------------


def test_a_model_that_is_better_is_found_and_noise_is_not() -> None:
    base = 1 + 0.1 * noise(1, 300)
    passed = 0
    for key in range(2, 22):
        models = base[:, None] + 0.3 * noise(key, 300, 10)
        passed += superior_predictive_ability(base, models, resamples=200).consistent <= 0.05
    assert passed <= 4  # 1 is expected, and more than 4 in one of 400 cases
    nothing = superior_predictive_ability(base, models, seed=4)
    assert nothing.lower <= nothing.consistent <= nothing.upper
    assert superior_predictive_ability(base, models, seed=4).consistent == nothing.consistent
    models[:, 7] -= 0.1
    found = superior_predictive_ability(base, models, seed=4)
    assert found.consistent < 0.01
    assert found.differences.argmax() == 7
    assert found.differences[7] == pytest.approx(np.mean(base - models[:, 7]))
    assert 1 <= found.block_size <= 6  # the losses do not follow each other


# --- discoveries ----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_values_are_the_least_over_larger_ones(p: list[float]) -> None:
    n = len(p)
    order = sorted(range(n), key=lambda i: p[i])
    harmonic = sum(1 / i for i in range(1, n + 1))
    for method, factor in (("bh", 1.0), ("by", harmonic)):
        expected = [0.0] * n
        least = 1.0
        for place in range(n, 0, -1):
            i = order[place - 1]
            least = min(least, p[i] * n / place * factor)
            expected[i] = least
        found = false_discovery(p, method)  # type: ignore[arg-type]
        assert found.tolist() == pytest.approx(expected, abs=1e-12)
        assert found == pytest.approx(false_discovery_control(p, method=method), abs=1e-12)


def test_discoveries_of_benjamini_and_hochberg() -> None:
    """Their table of 15 p-values: four are found at 0.05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert (false_discovery(p) <= 0.05).sum() == 4


@pytest.mark.parametrize(
    ("call", "told"),
    ids=itertools.count(),
    argvalues=[
        (lambda: pbo([[1.0], [2.0]], 2), "2 or more variants"),
        (lambda: pbo([1.0, 2.0], 2), "2 or more variants"),
        (lambda: pbo([[1.0, math.nan], [2.0, 1.0]], 2), "all finite"),
        (lambda: pbo(noise(1, 8, 3), 3), "even number from 2 to 8"),
        (lambda: pbo(noise(1, 8, 3), 10), "even number from 2 to 8"),
        (lambda: pbo(noise(1, 80, 3), 22), "even number from 2 to 20"),
        (lambda: pbo(noise(1, 8, 3), 4, "median"), "unknown metric"),  # type: ignore[arg-type]
        (lambda: superior_predictive_ability([1.0] * 3, [[1.0]] * 3), "expected 8 or more"),
        (lambda: superior_predictive_ability([1.0] * 9, [[1.0]] * 8), "lengths differ"),
        (lambda: superior_predictive_ability([1.0] * 9, [[2.0]] * 9), "by a constant"),
        (lambda: superior_predictive_ability(range(9), noise(1, 9, 1), resamples=3), "100"),
        (lambda: superior_predictive_ability(range(9), noise(1, 9, 1), block_size=10), "1 to 9"),
        (lambda: superior_predictive_ability(range(2), [[math.nan]] * 2), "2 values"),
        (lambda: superior_predictive_ability(range(8), [[math.nan]] * 8), "all finite"),
        (lambda: false_discovery([]), "0 values"),
        (lambda: false_discovery([0.1, 1.1]), "0 to 1"),
        (lambda: false_discovery([0.1], "holm"), "unknown method"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_answer_is_refused(call: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
