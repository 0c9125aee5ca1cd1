"""What a Sharpe ratio is worth: its error, and the length of record it needs.

Ratios are per period (a day, a trade), never annual; kurtosis is that of which the normal has 3.
Two conventions are published. "2012" (Bailey and Lopez de Prado) takes the variance at the ratio
observed and n - 1 periods; "2025" (Lopez de Prado, Lipton and Zoonekynd) takes it at the ratio of
the null and n periods, and allows for returns that follow each other.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.distributions import normal_cdf
from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import FLAT, finite, numbers

__all__ = [
    "Moments",
    "binary_moments",
    "minimum_track_record",
    "moments",
    "probabilistic_sharpe",
    "sharpe_standard_error",
]

Convention = Literal["2012", "2025"]

_SLACK: Final = 1e-9  # a payoff of two values has the least kurtosis there is


@dataclass(frozen=True)
class Moments:
    """What the distribution of a Sharpe ratio depends on.

    Attributes
    ----------
    n : int
        Periods.
    mean, sd : float
        Of the returns, `sd` with n - 1.
    sharpe : float
        Mean over standard deviation, per period.
    skew, kurtosis : float
        Of the returns, by population moments; the normal has 0 and 3.
    """

    n: int
    mean: float
    sd: float
    sharpe: float
    skew: float
    kurtosis: float


def moments(returns: ArrayLike) -> Moments:
    """Return the Sharpe ratio of returns with their skew and kurtosis.

    Parameters
    ----------
    returns : float (n,)
        One a period, idle periods included.

    Raises
    ------
    UsageError
        If there are fewer than 2, they do not vary, or one is null, NaN or infinite.

    Examples
    --------
    >>> found = moments([0.01, -0.01, 0.02, 0.02])
    >>> round(found.sharpe, 6), round(found.skew, 6), round(found.kurtosis, 6)
    (0.707107, -0.816497, 2.0)
    """
    r = numbers(returns, "returns", least=2)
    if np.ptp(r) <= FLAT:
        raise UsageError("the returns do not vary: no Sharpe ratio exists")
    mean, sd = float(np.mean(r)), float(np.std(r, ddof=1))
    z = (r - mean) / np.std(r)
    return Moments(len(r), mean, sd, mean / sd, float(np.mean(z**3)), float(np.mean(z**4)))


def binary_moments(p: float, all_in_cost: float) -> tuple[float, float, float]:
    """Return Sharpe ratio, skew and kurtosis of one contract that pays a dollar or nothing.

    Parameters
    ----------
    p : float
        Probability that it pays, in (0, 1).
    all_in_cost : float
        Dollars, fees included.

    Raises
    ------
    UsageError
        If `p` is not inside (0, 1): a certain payoff has no variance.

    Notes
    -----
    (p - c)/sqrt(pq), (1 - 2p)/sqrt(pq) and 3 + (1 - 6pq)/(pq), whatever the stake. Tests:
    ``binary_moments_p0.98_c0.95``, ``binary_moments_p0.6_c0.5``, ``binary_moments_p0.07_c0.05``.

    Examples
    --------
    >>> [round(x, 4) for x in binary_moments(0.98, 0.95)]
    [0.2143, -6.8571, 48.0204]
    """
    if not 0 < p < 1:
        raise UsageError(f"p is {p}; expected above 0 and below 1, where a payoff varies")
    v = p * (1 - p)
    return (p - all_in_cost) / math.sqrt(v), (1 - 2 * p) / math.sqrt(v), 3 + (1 - 6 * v) / v


def sharpe_standard_error(
    sharpe: float, n: float, skew: float = 0.0, kurtosis: float = 3.0, rho: float = 0.0
) -> float:
    """Return the standard error of a Sharpe ratio of returns that are not normal.

    Parameters
    ----------
    sharpe : float
        At which it is taken, per period.
    n : float
        Periods.
    skew, kurtosis : float
        Of the returns; the normal has 0 and 3.
    rho : float
        First autocorrelation of the returns, taken as AR(1), in (-1, 1).

    Raises
    ------
    UsageError
        If `n` is not above 0, `rho` is not inside (-1, 1), one is not finite, or no distribution
        has such a skew and kurtosis (it needs kurtosis >= 1 + skew^2).

    Notes
    -----
    sqrt((1 + 2B - (1 + B + C) skew SR + (1 + 2C) (kurtosis - 1)/4 SR^2)/n) with
    B = rho/(1 - rho) and C = rho^2/(1 - rho^2).

    References
    ----------
    M. Lopez de Prado, A. Lipton and V. Zoonekynd, Sharpe Ratio Inference: A New Standard for
    Decision-Making and Reporting, 2025, with code at github.com/zoonek/2025-sharpe-ratio. Test:
    ``psr_2025_convention``.

    Examples
    --------
    >>> round(sharpe_standard_error(0.036 / 0.079, 24, -2.448, 10.164), 3)
    0.329
    """
    finite(sharpe=sharpe, n=n, skew=skew, kurtosis=kurtosis, rho=rho)
    if n <= 0:
        raise UsageError(f"n is {n}; expected a number of periods above 0")
    return math.sqrt(_variance(sharpe, skew, kurtosis, rho) / n)


def probabilistic_sharpe(
    sharpe: float,
    n: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    convention: Convention = "2012",
    rho: float = 0.0,
) -> float:
    """Return the confidence that the true Sharpe ratio is above a benchmark.

    Parameters
    ----------
    sharpe : float
        Observed, per period.
    n : float
        Periods, at least 2.
    skew, kurtosis : float
        Of the returns; the normal has 0 and 3.
    benchmark : float
        Per period.
    convention : {"2012", "2025"}
        As the module says: 0.913 and 0.987 of the same hedge fund.
    rho : float
        As for `sharpe_standard_error`; convention 2025 alone allows for it.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    UsageError
        As for `sharpe_standard_error`; if `n` is below 2, or the convention is none of the two.

    References
    ----------
    D. H. Bailey and M. Lopez de Prado, The Sharpe ratio efficient frontier, Journal of Risk 15,
    2012, doi:10.21314/JOR.2012.255; and as for `sharpe_standard_error`. Tests:
    ``psr_2012_convention``, ``psr_2025_convention``.

    Examples
    --------
    >>> round(probabilistic_sharpe(0.036 / 0.079, 24, -2.448, 10.164), 3)
    0.913
    >>> round(probabilistic_sharpe(0.036 / 0.079, 24, -2.448, 10.164, convention="2025"), 3)
    0.987
    """
    _convention(convention, rho)
    finite(n=n, benchmark=benchmark)
    if n < 2:
        raise UsageError(f"n is {n}; expected 2 or more periods")
    if convention == "2012":
        error = sharpe_standard_error(sharpe, n - 1, skew, kurtosis)
    else:
        finite(sharpe=sharpe)
        error = sharpe_standard_error(benchmark, n, skew, kurtosis, rho)
    return float(normal_cdf((sharpe - benchmark) / error))


def minimum_track_record(
    sharpe: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    alpha: float = 0.05,
    convention: Convention = "2012",
    rho: float = 0.0,
) -> float:
    """Return how many periods it takes until a Sharpe ratio is above a benchmark with confidence.

    Parameters
    ----------
    sharpe, skew, kurtosis, benchmark, convention, rho
        As for `probabilistic_sharpe`.
    alpha : float
        One less the confidence asked for, in (0, 0.5).

    Returns
    -------
    float
        Periods, not rounded.

    Raises
    ------
    UsageError
        As for `probabilistic_sharpe`; if the ratio is not above the benchmark, which a record of no
        length would show.

    References
    ----------
    As for `probabilistic_sharpe`. Tests: ``mintrl_2012``, ``psr_2025_convention``.

    Examples
    --------
    >>> round(minimum_track_record(0.036 / 0.079, -2.448, 10.164), 2)
    34.76
    >>> round(minimum_track_record(0.036 / 0.079, -2.448, 10.164, convention="2025"), 2)
    13.03
    """
    _convention(convention, rho)
    finite(sharpe=sharpe, benchmark=benchmark)
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}; expected above 0 and below 0.5, such as 0.05")
    if sharpe <= benchmark:
        raise UsageError(
            f"a Sharpe ratio of {sharpe:.4g} is not above {benchmark:.4g}: no length would show it"
        )
    scale = (NormalDist().inv_cdf(1 - alpha) / (sharpe - benchmark)) ** 2
    if convention == "2012":
        return 1 + _variance(sharpe, skew, kurtosis, 0.0) * scale
    return _variance(benchmark, skew, kurtosis, rho) * scale


def _variance(sharpe: float, skew: float, kurtosis: float, rho: float) -> float:
    """Return n times the variance of a ratio."""
    finite(sharpe=sharpe, skew=skew, kurtosis=kurtosis, rho=rho)
    if kurtosis < 1 + skew * skew - _SLACK * (1 + skew * skew):
        raise UsageError(
            f"no returns have a skew of {skew:.4g} and a kurtosis of {kurtosis:.4g}; expected "
            "1 + skew^2 or more, the normal having 3"
        )
    if not -1 < rho < 1:
        raise UsageError(f"rho is {rho}; expected inside (-1, 1)")
    b, c = rho / (1 - rho), rho * rho / (1 - rho * rho)
    square = (1 + 2 * c) * (kurtosis - 1) / 4 * sharpe * sharpe
    found = 1 + 2 * b - (1 + b + c) * skew * sharpe + square
    if found <= 0:
        raise UsageError(f"a ratio of {sharpe:.4g} of such returns has no variance")
    return found


def _convention(convention: str, rho: float) -> None:
    if convention not in {"2012", "2025"}:
        raise UsageError.unknown("convention", convention, ["2012", "2025"])
    if convention == "2012" and rho:
        raise UsageError("convention 2012 takes returns for independent; rho needs 2025")
