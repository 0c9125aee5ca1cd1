"""How much less rows say that go together: standard errors by cluster, and the size they amount to.

A cluster is what settles together: the event, or the instant when several events share one. With
two of them, take the coarser.
"""

import math
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import FLAT, cluster_sums, finite, numbers, ratio_table

__all__ = ["cluster_standard_error", "design_effect", "effective_size", "observed_design_effect"]

FEW: Final = 30  # clusters, below which normal theory and resampling give too short intervals


def cluster_standard_error(
    values: ArrayLike,
    clusters: ArrayLike | Any,
    weights: ArrayLike | None = None,
    correction: Literal["CR0", "CR1"] = "CR1",
) -> float:
    """Return the standard error of a mean, or ratio of sums, of rows that go together.

    Parameters
    ----------
    values, clusters, weights
        As for `resampling.cluster_bootstrap`, one column.
    correction : {"CR0", "CR1"}
        None, or G/(G - 1) for G clusters (as statsmodels does for a mean).

    Raises
    ------
    UsageError
        As for `resampling.cluster_bootstrap`; if the correction is none of the two.

    Notes
    -----
    sqrt(sum_g (sum_{i in g} (v_i - r w_i))^2) / sum w, r the ratio; every cluster alone gives the
    ordinary error. CR1 multiplies its square by G/(G - 1) (n - 1)/(n - 1).

    References
    ----------
    A. C. Cameron and D. L. Miller, A practitioner's guide to cluster-robust inference, Journal of
    Human Resources 50, 2015, doi:10.3368/jhr.50.2.317. Test: ``cluster_se_mean``.

    Examples
    --------
    >>> round(cluster_standard_error([1, 1, 0, 0], ["a", "a", "b", "b"], correction="CR0"), 6)
    0.353553
    """
    if correction not in {"CR0", "CR1"}:
        raise UsageError.unknown("correction", correction, ["CR0", "CR1"])
    by_cluster = cluster_sums(ratio_table(values, weights), clusters)
    count = len(by_cluster)
    total, weight = by_cluster.sum(axis=0)
    if not weight > 0:
        raise UsageError("the weights sum to zero: no ratio exists")
    errors = by_cluster[:, 0] - total / weight * by_cluster[:, 1]
    square = float(errors @ errors) * (count / (count - 1) if correction == "CR1" else 1)
    return math.sqrt(square) / float(weight)


def design_effect(m: float, icc: float) -> float:
    """Return by how much correlation in clusters of a size inflates the variance of a mean.

    Parameters
    ----------
    m : float
        Rows a cluster, at least 1.
    icc : float
        Correlation of two rows of one cluster, in [-1, 1].

    Returns
    -------
    float
        1 + (m - 1) icc.

    Raises
    ------
    UsageError
        If `m` is below 1, `icc` is outside, or no rows can go against each other as much.

    References
    ----------
    L. Kish, Survey Sampling, Wiley 1965. Test: ``design_effect``.

    Examples
    --------
    >>> design_effect(6, 0.5455)  # six coins that settle at one instant
    3.7275
    """
    finite(m=m, icc=icc)
    found = 1 + (m - 1) * icc
    if m < 1 or not -1 <= icc <= 1 or found < 0:
        raise UsageError(f"{m} rows a cluster of correlation {icc}: expected 1 or more, in [-1, 1]")
    return found


def effective_size(n: float, m: float, icc: float) -> float:
    """Return how many independent rows say as much as n in clusters of m, n over `design_effect`.

    Raises
    ------
    UsageError
        As for `design_effect`; if `n` is negative, or the effect is 0 and no number is enough.

    Examples
    --------
    >>> round(effective_size(600, 6, 0.5455), 3)
    160.966
    """
    finite(n=n)
    effect = design_effect(m, icc)
    if n < 0 or effect == 0:
        raise UsageError(f"{n} rows at a design effect of {effect:g} have no effective size")
    return n / effect


def observed_design_effect(values: ArrayLike, clusters: ArrayLike | Any) -> float:
    """Return the variance of a mean with clusters (CR1) over that of independent rows.

    Parameters
    ----------
    values, clusters
        As for `resampling.cluster_bootstrap`, one column.

    Returns
    -------
    float
        Not negative; below 1 where rows of a cluster make up for each other.

    Raises
    ------
    UsageError
        As for `resampling.cluster_bootstrap`; if the values do not vary.

    Examples
    --------
    >>> round(observed_design_effect([1, 1, 0, 0, 1, 1], [1, 1, 2, 2, 3, 3]), 3)  # pairs, n - 1
    2.5
    """
    v = numbers(values, "values", least=2)
    if np.ptp(v) <= FLAT:
        raise UsageError("the values do not vary: no design effect exists")
    return cluster_standard_error(v, clusters) ** 2 / (float(np.var(v, ddof=1)) / len(v))


def few(count: int, what: str = "clusters") -> str | None:
    """Return what to say of an interval that rests on few clusters; None if they are enough.

    Examples
    --------
    >>> few(12), few(30)
    ('12 clusters, fewer than 30: the interval may be too short', None)
    """
    return (
        f"{count} {what}, fewer than {FEW}: the interval may be too short" if count < FEW else None
    )
