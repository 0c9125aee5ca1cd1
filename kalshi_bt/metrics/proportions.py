"""Intervals for the share of contracts that paid, as if they were independent.

Contracts of one event are not: give the effective number (`resampling.observed_design_effect`) or
use `reliability.reliability_table`, which does. Numbers need not be whole for that reason.
"""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import Floats, level_of

__all__ = ["clopper_pearson", "jeffreys", "wilson"]


def wilson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
    """Return the score interval of a proportion, the usual one for buckets of prices.

    Parameters
    ----------
    successes, n : float (...)
        Contracts that paid, and all of them.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    low, high : float or Float64 (...)
        In [0, 1]; exactly 0 below no success and exactly 1 above nothing but successes; (0, 1) of
        no contract, for nothing is known.

    Raises
    ------
    UsageError
        If a count is negative, not finite, or there are more successes than contracts.

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22,
    1927, doi:10.1080/01621459.1927.10502953. R. G. Newcombe, Statistics in Medicine 17, 1998,
    table I: 81 of 263, 0 of 20, 1 of 29. Tests: ``newcombe_81_263``, ``newcombe_0_20``,
    ``newcombe_1_29``, ``wilson_vs_wald_binary_tail``.

    Examples
    --------
    >>> tuple(round(end, 4) for end in wilson(81, 263))
    (0.2553, 0.3662)
    """
    k, size = _counts(successes, n)
    z = NormalDist().inv_cdf(0.5 + level_of(level) / 2)
    some = np.where(size > 0, size, 1.0)
    middle = k + z * z / 2
    half = z * np.sqrt(np.maximum(k * (1 - k / some), 0.0) + z * z / 4)
    return _ends((middle - half) / (some + z * z), (middle + half) / (some + z * z), k, size)


def clopper_pearson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
    """Return the exact interval of a proportion, which covers at least as often as it says.

    Parameters
    ----------
    successes, n, level
        As for `wilson`.

    Returns
    -------
    low, high : float or Float64 (...)
        As for `wilson`.

    Raises
    ------
    UsageError
        As for `wilson`.

    References
    ----------
    C. J. Clopper and E. S. Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934,
    doi:10.1093/biomet/26.4.404. Tests as for `wilson`.

    Examples
    --------
    >>> tuple(round(end, 4) for end in clopper_pearson(0, 20))
    (0.0, 0.1684)
    """
    return _beta(successes, n, level, 0.0)


def jeffreys(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Any, Any]:
    """Return the equal-tailed interval of the posterior of a proportion under Jeffreys' prior.

    Parameters
    ----------
    successes, n, level
        As for `wilson`.

    Returns
    -------
    low, high : float or Float64 (...)
        As for `wilson`.

    Raises
    ------
    UsageError
        As for `wilson`.

    References
    ----------
    L. D. Brown, T. T. Cai and A. DasGupta, Interval estimation for a binomial proportion,
    Statistical Science 16, 2001, doi:10.1214/ss/1009213286.

    Examples
    --------
    >>> [end.round(4).tolist() for end in jeffreys([0, 1], [20, 29])]
    [[0.0, 0.0037], [0.1166, 0.1501]]
    """
    return _beta(successes, n, level, 0.5)


def _beta(successes: ArrayLike, n: ArrayLike, level: float, prior: float) -> tuple[Any, Any]:
    """Return quantiles of beta distributions; the exact interval has one success more above."""
    from scipy.special import betaincinv  # noqa: PLC0415  slow to import

    k, size = _counts(successes, n)
    tail = (1 - level_of(level)) / 2
    more = 1 - 2 * prior
    lost = size - k
    low = betaincinv(np.where(k > 0, k + prior, 1.0), lost + prior + more, tail)
    high = betaincinv(k + prior + more, np.where(lost > 0, lost + prior, 1.0), 1 - tail)
    return _ends(low, high, k, size)


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    k, size = np.broadcast_arrays(
        np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    if not ((k >= 0) & (k <= size) & np.isfinite(size)).all():
        wrong = np.argmax(~((k >= 0) & (k <= size) & np.isfinite(size)))
        raise UsageError(
            f"{k.flat[wrong]:g} successes of {size.flat[wrong]:g}; expected 0 to n, both finite"
        )
    return k, size


def _ends(low: Floats, high: Floats, k: Floats, size: Floats) -> tuple[Any, Any]:
    """Return the ends, exact where they are known, plain floats for plain numbers."""
    ends = np.where(k > 0, np.maximum(low, 0.0), 0.0), np.where(k < size, np.minimum(high, 1), 1.0)
    return ends if size.ndim else (float(ends[0]), float(ends[1]))
