"""Tests and intervals for fewer than about 30 clusters: the signs of whole clusters are drawn.

Under the null the errors of a cluster might as well have had the other sign. Of G clusters there
are 2^G ways to draw them, so that no p-value is below 2/2^G: six clusters are the least for a level
of 95 %. Where the ways are fewer than the draws asked for, all of them are taken.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import (
    Floats,
    cluster_sums,
    finite,
    generator,
    level_of,
    ratio_table,
)

__all__ = ["WildTest", "wild_cluster_interval", "wild_cluster_test"]

_CELLS: Final = 2**20
_LEAST: Final = 1e-12  # of the variance: signs that leave none count as far from the null
_TIES: Final = 1e-9  # statistics closer than this, in parts, are equal
_STEPS: Final = 60  # of halving: to the last digits of a float


@dataclass(frozen=True)
class WildTest:
    """Whether a number is what the null says, by signs of whole clusters.

    Attributes
    ----------
    statistic : float
        Wald statistic with clustered variance (CR0), chi-squared if clusters are many.
    p_value : float
        Share of the drawn signs with a statistic as large.
    n_clusters, resamples : int
        Resamples are all 2^G ways where these are fewer than asked for.
    """

    statistic: float
    p_value: float
    n_clusters: int
    resamples: int


def wild_cluster_test(
    values: ArrayLike,
    clusters: ArrayLike | Any,
    weights: ArrayLike | None = None,
    *,
    null: float = 0.0,
    resamples: int = 9_999,
    seed: int = 0,
) -> WildTest:
    """Return whether a mean, or ratio of sums, differs from a number, two-sided.

    Parameters
    ----------
    values, clusters, weights
        As for `resampling.cluster_bootstrap`, one column.
    null : float
        The number.
    resamples : int
        Draws of signs, at least 99.
    seed : int
        Of a Philox stream.

    Raises
    ------
    UsageError
        If there are fewer than 3 clusters, lengths differ, a number is null or NaN, a weight is
        negative, or nothing differs from the null.

    References
    ----------
    A. C. Cameron, J. B. Gelbach and D. L. Miller, Bootstrap-based improvements for inference with
    clustered errors, Review of Economics and Statistics 90, 2008, doi:10.1162/rest.90.3.414, there
    with the null imposed and Rademacher weights.

    Examples
    --------
    >>> wild_cluster_test([0.3, 0.2, 0.4, 0.1, 0.3, 0.2], list("abcdef")).p_value  # 2 of 2^6
    0.03125
    """
    finite(null=null)
    by_cluster = cluster_sums(ratio_table(values, weights), clusters)
    if not (by_cluster[:, 0] - null * by_cluster[:, 1]).any():
        raise UsageError(f"every cluster is {null:g} exactly: no test exists")
    found = _of_null(by_cluster, _signs(len(by_cluster), resamples, seed))(null)
    return WildTest(float(found[0]), _p_value(found), len(by_cluster), len(found))


def wild_cluster_interval(
    values: ArrayLike,
    clusters: ArrayLike | Any,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 9_999,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the numbers that `wild_cluster_test` does not refuse.

    Parameters
    ----------
    values, clusters, weights, resamples, seed
        As for `wild_cluster_test`.
    level : float
        Confidence.

    Returns
    -------
    low, high : float

    Raises
    ------
    UsageError
        As for `wild_cluster_test`; if so few clusters refuse nothing at this level.

    Examples
    --------
    >>> low, high = wild_cluster_interval([0.3, 0.2, 0.4, 0.1, 0.3, 0.2], list("abcdef"))
    >>> round(low, 6), round(high, 6)  # refused where all six lie on one side
    (0.1, 0.4)
    """
    by_cluster = cluster_sums(ratio_table(values, weights), clusters)
    alpha = 1 - level_of(level)
    if 2.0 ** (1 - len(by_cluster)) > alpha:
        raise UsageError(
            f"{len(by_cluster)} clusters are too few for an interval of {level:g}; expected "
            f"{math.ceil(1 - math.log2(alpha))} or more"
        )
    total, weight = by_cluster.sum(axis=0)
    estimate = float(total / weight)
    errors = by_cluster[:, 0] - estimate * by_cluster[:, 1]
    step = math.sqrt(float(errors @ errors)) / float(weight)
    if step == 0:
        raise UsageError("no cluster differs from the others: no interval exists")
    statistics = _of_null(by_cluster, _signs(len(by_cluster), resamples, seed))

    def kept(null: float) -> bool:
        return _p_value(statistics(null)) > alpha

    return _edge(kept, estimate, -step), _edge(kept, estimate, step)


def wild_score_test(
    scores: Floats, slopes: Floats, *, resamples: int = 9_999, seed: int = 0
) -> WildTest:
    """Return whether estimating equations hold, by signs of whole clusters.

    Parameters
    ----------
    scores : Float64 (clusters, k)
        Sums of the equations under the null, X'e of a regression.
    slopes : Float64 (clusters, k, k)
        How they change with the parameters, X'X of a regression.
    resamples, seed
        As for `wild_cluster_test`.

    Raises
    ------
    UsageError
        If there are fewer than k + 2 clusters or 99 draws, or all scores are 0.

    Examples
    --------
    >>> ones = np.ones((4, 1, 1))
    >>> wild_score_test(np.array([[1.0], [-1.0], [1.0], [-1.0]]), ones).p_value
    1.0
    """
    count, k = scores.shape
    if count < k + 2:
        raise UsageError(f"{count} clusters; expected {k + 2} or more")
    if not scores.any():
        raise UsageError("nothing differs from the null: no test exists")
    signs = _signs(count, resamples, seed)
    found = _statistics(scores, slopes, signs)
    return WildTest(float(found[0]), _p_value(found), count, len(found))


def _of_null(by_cluster: Floats, signs: NDArray[np.int8]) -> Callable[[float], Floats]:
    """Return the function from a ratio to its statistics: `wild_score_test` of one equation."""
    v, w = by_cluster.T
    signed = np.empty((len(signs), 4))
    at_once = max(1, _CELLS // len(v))
    for start in range(0, len(signs), at_once):
        own = signs[start : start + at_once].astype(np.float64)
        signed[start : start + at_once] = own @ np.stack([v, w, v * w, w * w], axis=1)
    sv, sw, svw, sww = signed.T

    def statistics(null: float) -> Floats:
        score = v - null * w
        total = sv - null * sw
        moved = total / w.sum()
        variance = score @ score - 2 * moved * (svw - null * sww) + moved**2 * (w @ w)
        found: Floats = total**2 / np.maximum(variance, _LEAST * (score @ score))
        return found

    return statistics


def _signs(count: int, resamples: int, seed: int) -> NDArray[np.int8]:
    """Return signs (draws, clusters), the first row as observed."""
    if resamples < 99:
        raise UsageError(f"resamples is {resamples}; expected 99 or more")
    if count < 60 and 2**count <= resamples + 1:
        ways = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return (1 - 2 * ways).astype(np.int8)
    drawn = generator(seed).integers(0, 2, (resamples + 1, count), dtype=np.int8)
    drawn[0] = 0
    return 1 - 2 * drawn


def _statistics(scores: Floats, slopes: Floats, signs: NDArray[np.int8]) -> Floats:
    """Return the Wald statistic of each row of signs."""
    count, k = scores.shape
    inverse = np.linalg.inv(slopes.sum(axis=0))
    at_once = max(1, _CELLS // (count * k))
    found = np.empty(len(signs))
    for start in range(0, len(signs), at_once):
        own = signs[start : start + at_once, :, None] * scores
        total = own.sum(axis=1)
        own -= np.einsum("gij,rj->rgi", slopes, total @ inverse)
        variance = np.einsum("rgi,rgj->rij", own, own)
        least = _LEAST * np.trace(scores.T @ scores)
        solved = np.linalg.solve(variance + least * np.eye(k), total[..., None])[..., 0]
        found[start : start + at_once] = np.einsum("ri,ri->r", total, solved)
    return found


def _p_value(statistics: Floats) -> float:
    """Return the share as large as the first, which counts as one of them."""
    return float(np.mean(statistics >= statistics[0] * (1 - _TIES)))


def _edge(kept: Callable[[float], bool], estimate: float, step: float) -> float:
    """Return where the numbers that are kept end on one side, by doubling and halving."""
    far = estimate + step
    for _ in range(_STEPS):
        if not kept(far):
            break
        step *= 2
        far = estimate + step
    else:
        raise UsageError("no number is refused at this level: too few clusters that differ")
    near = estimate
    for _ in range(_STEPS):
        middle = (near + far) / 2
        if middle in {near, far}:
            break
        near, far = (middle, far) if kept(middle) else (near, middle)
    return near
