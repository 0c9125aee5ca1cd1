"""Scores against plain loops, exact fractions, identities and numbers worked out by hand."""

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import brier, brier_decomposition, corp, log_loss, skill

cents = st.integers(0, 100)
rows = st.lists(st.tuples(cents, st.integers(0, 1)), min_size=1, max_size=60)


def columns(given_rows: list[tuple[int, int]]) -> tuple[list[float], list[int]]:
    return [p / 100 for p, _ in given_rows], [y for _, y in given_rows]


def murphy(given_rows: list[tuple[int, int]], width: int) -> dict[str, Fraction]:
    """Five terms by exact fractions, grouped by bins of so many cents."""
    n = len(given_rows)
    bins: dict[int, list[tuple[Fraction, int]]] = defaultdict(list)
    for cent, y in given_rows:
        bins[min(cent // width, 100 // width - 1)].append((Fraction(cent, 100), y))
    base = Fraction(sum(y for _, y in given_rows), n)
    terms = dict.fromkeys(("REL", "RES", "WBV", "WBC"), Fraction(0))
    for held in bins.values():
        f = sum((p for p, _ in held), Fraction(0)) / len(held)
        o = Fraction(sum(y for _, y in held), len(held))
        terms["REL"] += len(held) * (f - o) ** 2 / n
        terms["RES"] += len(held) * (o - base) ** 2 / n
        terms["WBV"] += sum((p - f) ** 2 for p, _ in held) / n
        terms["WBC"] += 2 * sum((y - o) * (p - f) for p, y in held) / n
    terms["UNC"] = base * (1 - base)
    terms["BS"] = sum((Fraction(c, 100) - y) ** 2 for c, y in given_rows) / Fraction(n)
    return terms


@given(rows)
def test_five_terms_are_those_of_exact_fractions(given_rows: list[tuple[int, int]]) -> None:
    p, y = columns(given_rows)
    for width, bins in ((10, 10), (1, 100), (20, 5), (50, 2)):
        found, exact = brier_decomposition(p, y, bins=bins), murphy(given_rows, width)
        assert found.reliability == pytest.approx(float(exact["REL"]), abs=1e-12)
        assert found.resolution == pytest.approx(float(exact["RES"]), abs=1e-12)
        assert found.uncertainty == pytest.approx(float(exact["UNC"]), abs=1e-12)
        assert found.within_bin_variance == pytest.approx(float(exact["WBV"]), abs=1e-12)
        assert found.within_bin_covariance == pytest.approx(float(exact["WBC"]), abs=1e-12)
        assert found.brier == pytest.approx(float(exact["BS"]), abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_terms_add_up_whatever_was_paid(given_rows: list[tuple[float, float]]) -> None:
    p, y = [a for a, _ in given_rows], [b for _, b in given_rows]
    for bins in (None, 1, 7):
        d = brier_decomposition(p, y, bins=bins)
        total = d.reliability - d.resolution + d.uncertainty
        total += d.within_bin_variance - d.within_bin_covariance
        assert total == pytest.approx(d.brier, abs=1e-12)
    c = corp(p, y)
    assert c.miscalibration - c.discrimination + c.uncertainty == pytest.approx(c.score, abs=1e-12)
    assert c.miscalibration >= -1e-12
    assert c.discrimination >= -1e-12
    c = corp(p, y, "log")
    assert c.score == log_loss(p, y)
    assert c.miscalibration - c.discrimination + c.uncertainty == pytest.approx(c.score, abs=1e-12)
    assert c.miscalibration >= -1e-12
    assert c.discrimination >= -1e-12


def test_a_score_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown score 'spherical'"):
        corp([0.5], [1], "spherical")  # type: ignore[arg-type]


def test_identical_forecasts_are_one_bin_in_which_nothing_varies() -> None:
    d = brier_decomposition([0.1] * 5 + [0.5] * 4, [0, 0, 0, 1, 0, 1, 0, 0, 1])
    assert d.within_bin_variance == pytest.approx(0, abs=1e-15)
    assert d.within_bin_covariance == 0
    assert d.reliability == pytest.approx(5 / 9 * 0.01, abs=1e-15)


def pooled(given_rows: list[tuple[int, int]]) -> list[Fraction]:
    """Pool adjacent violators by restarting from the left after each merge."""
    blocks = [
        [sum(y for p, y in given_rows if p == each), sum(1 for p, _ in given_rows if p == each)]
        for each in sorted({p for p, _ in given_rows})
    ]
    owner = [[p] for p in sorted({p for p, _ in given_rows})]
    merged = True
    while merged:
        merged = False
        for i in range(len(blocks) - 1):
            (a, m), (b, n) = blocks[i : i + 2]
            if Fraction(a, m) > Fraction(b, n):
                blocks[i : i + 2], owner[i : i + 2] = [[a + b, m + n]], [owner[i] + owner[i + 1]]
                merged = True
                break
    value = {p: Fraction(*block) for block, ps in zip(blocks, owner, strict=True) for p in ps}
    return [value[p] for p, _ in given_rows]


@given(rows)
def test_recalibration_pools_what_falls(given_rows: list[tuple[int, int]]) -> None:
    p, y = columns(given_rows)
    found, expected = corp(p, y), pooled(given_rows)
    assert found.recalibrated.tolist() == pytest.approx([float(e) for e in expected], abs=1e-12)
    after = sum((e - b) ** 2 for e, b in zip(expected, y, strict=True)) / Fraction(len(y))
    assert found.miscalibration == pytest.approx(found.score - float(after), abs=1e-12)


@given(rows, st.floats(0.001, 0.1))
def test_log_loss_is_its_definition_and_finite(
    given_rows: list[tuple[int, int]], clip: float
) -> None:
    p, y = columns(given_rows)
    total = 0.0
    for a, b in zip(p, y, strict=True):
        q = min(max(a, clip), 1 - clip)
        total -= math.log(q if b else 1 - q)
    assert log_loss(p, y, clip) == pytest.approx(total / len(p), rel=1e-12)


def test_scores_by_hand() -> None:
    assert brier([0.9, 0.2], [1, 0]) == pytest.approx(0.025, abs=1e-15)
    assert log_loss([0.0], [1]) == pytest.approx(-math.log(0.005))
    assert log_loss([0.0], [1], clip=0.0005) == pytest.approx(-math.log(0.0005))
    assert skill([0.9, 0.2], [0.5, 0.5], [1, 0]) == pytest.approx(0.9)
    ours, theirs = -math.log(0.9 * 0.8) / 2, math.log(2)
    assert skill([0.9, 0.2], [0.5, 0.5], [1, 0], log_loss) == pytest.approx(1 - ours / theirs)


@pytest.mark.parametrize("score", [brier, log_loss, brier_decomposition, corp])
def test_lists_series_and_arrays_score_alike(score: Any) -> None:
    p, y = [0.25, 0.75, 0.75], [0, 1, 0]
    plain = repr(score(p, y))
    assert repr(score(np.array(p), np.array(y))) == plain
    assert repr(score(pl.Series(p), pl.Series(y))) == plain
    assert repr(score(p, pl.Series([False, True, False]))) == plain


@pytest.mark.parametrize("score", [brier, log_loss, brier_decomposition, corp])
@pytest.mark.parametrize(
    ("p", "y", "told"),
    [
        ([], [], "forecast has 0 values"),
        ([0.1, 1.5], [0, 1], r"forecast\[1\] is 1.5"),
        ([0.1, math.nan], [0, 1], r"forecast\[1\] is nan"),
        (pl.Series([0.1, None]), [0, 1], r"forecast\[1\] is nan"),
        ([0.1, 0.2], [0, 2], r"outcome\[1\] is 2"),
        ([0.1, 0.2], [0], "forecast 2, outcome 1"),
        ([[0.1], [0.2]], [0, 1], "2 dimensions"),
        (["a"], [0], "cannot be read"),
    ],
)
def test_what_is_no_forecast_is_refused(score: Any, p: Any, y: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        score(p, y)


def test_other_impossible_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="bins is 0"):
        brier_decomposition([0.5], [1], bins=0)
    with pytest.raises(UsageError, match="clip is 0"):
        log_loss([0.5], [1], clip=0.0)
    with pytest.raises(UsageError, match="made no error"):
        skill([0.5], [1.0], [1])
