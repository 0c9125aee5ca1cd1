"""Variance of a span from its bars or its returns: what studies judge a volatility by.

Nothing that trades reads these. A signal weighs returns as they come; what that missed is judged
afterwards, by all that a span holds.

Returns are logarithmic. What a bar's range says is too little where few prices make it: of a walk
of 60 steps Parkinson's estimate finds 0.84, of 4 steps 0.54. What squared returns say is too much
where prices are noisy: n returns with noise of variance w² in each price have 2·n·w² more.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError

__all__ = [
    "bipower",
    "garman_klass",
    "noise_variance",
    "parkinson",
    "realised",
    "realised_kernel",
    "rogers_satchell",
    "sparse_count",
    "two_scales",
    "yang_zhang",
    "zhou",
]

Floats = NDArray[np.float64]


def parkinson(high: ArrayLike, low: ArrayLike) -> float:
    """Return the mean variance of bars from their ranges, ln(H/L)² / (4 ln 2).

    Parameters
    ----------
    high, low : Float64 (n,)
        Above 0.

    References
    ----------
    M. Parkinson, The extreme value method for estimating the variance of the rate of return,
    Journal of Business 53, 1980, doi:10.1086/296071.

    Examples
    --------
    >>> round(parkinson([102.0], [99.0]), 6)
    0.000321
    """
    return float(np.mean(_log(high, low) ** 2) / (4 * math.log(2)))


def garman_klass(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike) -> float:
    """Return the mean variance of bars, ln(H/L)²/2 - (2 ln 2 - 1)·ln(C/O)².

    Parameters
    ----------
    open_, high, low, close : Float64 (n,)
        Above 0.

    References
    ----------
    M. B. Garman, M. J. Klass, On the estimation of security price volatilities from historical
    data, Journal of Business 53, 1980, doi:10.1086/296072 (their practical form).

    Examples
    --------
    >>> round(garman_klass([100.0], [102.0], [99.0], [101.0]), 6)
    0.000407
    """
    body = (2 * math.log(2) - 1) * _log(close, open_) ** 2
    return float(np.mean(0.5 * _log(high, low) ** 2 - body))


def rogers_satchell(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike) -> float:
    """Return the mean variance of bars whatever their drift, ln(H/C)·ln(H/O) + ln(L/C)·ln(L/O).

    Parameters
    ----------
    open_, high, low, close : Float64 (n,)
        Above 0.

    References
    ----------
    L. C. G. Rogers, S. E. Satchell, Estimating variance from high, low and closing prices, Annals
    of Applied Probability 1, 1991, doi:10.1214/aoap/1177005835.

    Examples
    --------
    >>> round(rogers_satchell([100.0], [102.0], [99.0], [101.0]), 6)
    0.000396
    """
    up = _log(high, close) * _log(high, open_)
    return float(np.mean(up + _log(low, close) * _log(low, open_)))


def yang_zhang(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, before: float
) -> float:
    """Return the variance of bars with the jumps between them.

    Parameters
    ----------
    open_, high, low, close : Float64 (n,)
        Above 0, of at least two bars in a row.
    before : float
        The close before the first bar.

    Notes
    -----
    V_o + k·V_c + (1 - k)·RS, with V_o and V_c the sample variances of ln(O/C') and ln(C/O), RS of
    `rogers_satchell` and k = 0.34 / (1.34 + (n + 1)/(n - 1)).

    Raises
    ------
    UsageError
        If there are fewer than two bars.

    References
    ----------
    D. Yang, Q. Zhang, Drift-independent volatility estimation based on high, low, open, and close
    prices, Journal of Business 73, 2000, doi:10.1086/209650.

    Examples
    --------
    >>> still = [1.0, 2.0]  # two bars of one price each: all is jump, ln(2)² / 2
    >>> round(yang_zhang(still, still, still, still, 1.0), 6)
    0.240227
    """
    o, c = np.asarray(open_, np.float64), np.asarray(close, np.float64)
    n = len(o)
    if n < 2:
        raise UsageError(f"yang_zhang got {n} bars; it needs at least 2")
    jumps = _log(o, np.concatenate([[before], c[:-1]]))
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    moves = float(np.var(jumps, ddof=1)) + k * float(np.var(_log(c, o), ddof=1))
    return moves + (1 - k) * rogers_satchell(o, high, low, c)


def realised(returns: ArrayLike) -> float:
    """Return the sum of squared returns.

    Examples
    --------
    >>> round(realised([0.001, -0.0008]), 9)
    1.64e-06
    """
    r = np.asarray(returns, np.float64)
    return float(r @ r)


def zhou(returns: ArrayLike) -> float:
    """Return the realised variance with its noise taken off by the first autocovariance.

    RV + 2·Σ r_i·r_{i-1}: without bias under independent noise, and at times negative.

    References
    ----------
    B. Zhou, High-frequency data and volatility in foreign-exchange rates, Journal of Business and
    Economic Statistics 14, 1996, doi:10.1080/07350015.1996.10524628.

    Examples
    --------
    >>> round(zhou([0.001, -0.0008]), 9)
    4e-08
    """
    r = np.asarray(returns, np.float64)
    return realised(r) + 2 * float(r[1:] @ r[:-1])


def noise_variance(returns: ArrayLike) -> float:
    """Return the variance of the noise in one price, less the first autocovariance of returns.

    Examples
    --------
    >>> round(noise_variance([0.001, -0.0008]), 9)
    8e-07
    """
    r = np.asarray(returns, np.float64)
    return -float(np.mean(r[1:] * r[:-1]))


def bipower(returns: ArrayLike, *, finite: bool = False) -> float:
    """Return the variance without jumps, (π/2)·Σ|r_i|·|r_{i-1}|, times n/(n - 1) if `finite`.

    References
    ----------
    O. E. Barndorff-Nielsen, N. Shephard, Power and bipower variation with stochastic volatility and
    jumps, Journal of Financial Econometrics 2, 2004, doi:10.1093/jjfinec/nbh001.

    Examples
    --------
    >>> round(bipower([0.001, -0.0008]), 9)
    1.257e-06
    """
    r = np.abs(np.asarray(returns, np.float64))
    found = math.pi / 2 * float(r[1:] @ r[:-1])
    return found * len(r) / (len(r) - 1) if finite else found


def sparse_count(variance: float, noise: float) -> float:
    """Return how many returns make the realised variance most accurate, (V² / (4·w⁴))^(1/3).

    Parameters
    ----------
    variance : float
        V of the span, without noise.
    noise : float
        Standard deviation w of the noise in one price.

    References
    ----------
    F. M. Bandi, J. R. Russell, Microstructure noise, realized variance, and optimal sampling,
    Review of Economic Studies 75, 2008, doi:10.1111/j.1467-937X.2008.00474.x.

    Examples
    --------
    >>> round(sparse_count(4e-6, 2e-5), 1)
    292.4
    """
    return float((variance**2 / (4 * noise**4)) ** (1 / 3))


def two_scales(price: ArrayLike, k: int, *, adjusted: bool = False) -> float:
    """Return the variance from returns on two time scales, which takes the noise off.

    Parameters
    ----------
    price : Float64 (n + 1,)
        Above 0.
    k : int
        Steps of the slow scale, at least 2 and at most n.
    adjusted : bool
        Whether to divide by 1 - m/n, with m = (n - k + 1)/k, for small samples.

    Notes
    -----
    (1/k)·Σ (x_{i+k} - x_i)² - (m/n)·RV, with x the logs.

    Raises
    ------
    UsageError
        If `k` does not fit.

    References
    ----------
    L. Zhang, P. A. Mykland, Y. Aït-Sahalia, A tale of two time scales, Journal of the American
    Statistical Association 100, 2005, doi:10.1198/016214505000000169.

    Examples
    --------
    >>> round(two_scales([1.0, 2.0, 4.0], 2), 6)  # (4 / 2 - 2 / 4)·ln(2)²
    0.72068
    """
    x = np.log(np.asarray(price, np.float64))
    n = len(x) - 1
    if not 2 <= k <= n:
        raise UsageError(f"k is {k}; expected 2 to {n} for {n} returns")
    m = (n - k + 1) / k
    slow = float(np.sum((x[k:] - x[:-k]) ** 2)) / k
    found = slow - m / n * realised(np.diff(x))
    return found / (1 - m / n) if adjusted else found


def realised_kernel(returns: ArrayLike, lags: int) -> float:
    """Return the realised variance with Parzen weights on `lags` autocovariances; never negative.

    Notes
    -----
    γ_0 + 2·Σ k(h/(H + 1))·γ_h, with γ_h = Σ r_i·r_{i-h}, k(x) = 1 - 6x² + 6x³ up to 1/2 and
    2(1 - x)³ beyond; ends are not averaged.

    References
    ----------
    O. E. Barndorff-Nielsen, P. R. Hansen, A. Lunde, N. Shephard, Realized kernels in practice:
    trades and quotes, Econometrics Journal 12, 2009, doi:10.1111/j.1368-423X.2008.00275.x.

    Examples
    --------
    >>> round(realised_kernel([0.001, -0.0008, 0.0012], 1), 9)
    2.2e-06
    """
    r = np.asarray(returns, np.float64)
    total = realised(r)
    for h in range(1, min(lags, len(r) - 1) + 1):
        x = h / (lags + 1)
        weight = 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3
        total += 2 * weight * float(r[h:] @ r[:-h])
    return total


def _log(above: ArrayLike, below: ArrayLike) -> Floats:
    found: Floats = np.log(np.asarray(above, np.float64) / np.asarray(below, np.float64))
    return found
