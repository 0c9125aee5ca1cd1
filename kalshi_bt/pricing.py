"""Probabilities of contracts that settle on the average of an underlying, on plain arrays.

A market that settles at T on the mean A of m values, one each second of (T − m, T], pays by where A
lies. Of the m, n = min(m, ceil(tau)) are still to come tau seconds before T, the first of them
d = tau − (n − 1) seconds from now and then one each second. With P the mean of the k = m − n values
that are known, A reaches K exactly when the mean of those to come reaches R = (m·K − k·P)/n.

The underlying walks without drift, with `sigma` the standard deviation of its return over one
second. What a year makes of it depends on how long the year is, so that nothing here is annual.
With m = 1 all of this is the ordinary digital, which is wrong for a market that averages: near the
close it takes the remaining variance for up to three times what it is.
"""

import math
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.distributions import normal_cdf, student_cdf

__all__ = [
    "averaged_seconds",
    "digital_probability",
    "exact_probability",
    "normal_cdf",
    "required_mean",
    "reverting_probability",
    "student_cdf",
    "values_left",
]

Floats = NDArray[np.float64]
Form = Literal["lognormal", "arithmetic"]

WINDOW: Final = 60  # values in a settlement average of a crypto market


def values_left(seconds: ArrayLike, window: int = WINDOW) -> tuple[Floats, Floats]:
    """Return how many values of the average are to come, and how far off the first of them is.

    Parameters
    ----------
    seconds : array
        To the close; 0 and less leave nothing.
    window : int
        Values in the average, at least 1.

    Returns
    -------
    count, first : Float64
        Values, and seconds to the first.

    Examples
    --------
    >>> [part.tolist() for part in values_left([300.0, 60.0, 29.5])]
    [[60.0, 60.0, 30.0], [241.0, 1.0, 0.5]]
    """
    left = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0)
    count = np.minimum(np.ceil(left), window)
    return count, np.where(count > 0, left - (count - 1), 0.0)


def averaged_seconds(seconds: ArrayLike, window: int = WINDOW) -> Floats:
    """Return the variance of the mean of the values to come, in seconds of the walk's variance.

    Parameters
    ----------
    seconds : array
        To the close.
    window : int
        Values in the average.

    Notes
    -----
    (1/n²)·Σ_ij min(d_i, d_j) = d + (n − 1)(2n − 1)/(6n). Before a window of 60 this is
    tau − 39.497; 0 where nothing is to come.

    Examples
    --------
    >>> averaged_seconds([900.0, 60.0, 1.0, 0.0]).round(6).tolist()
    [860.502778, 20.502778, 1.0, 0.0]
    """
    count, first = values_left(seconds, window)
    some = np.maximum(count, 1.0)
    return np.where(count > 0, first + (some - 1) * (2 * some - 1) / (6 * some), 0.0)


def required_mean(
    strike: ArrayLike, seconds: ArrayLike, known_mean: ArrayLike = 0.0, window: int = WINDOW
) -> Floats:
    """Return what the values to come must average for the whole average to be the strike.

    Parameters
    ----------
    strike, seconds : array
        Price, and seconds to the close.
    known_mean : array
        Mean of the values already known; of no account before the window.
    window : int
        Values in the average.

    Returns
    -------
    Float64
        Price; ±inf where nothing is to come: −inf if the average reached the strike.

    Examples
    --------
    >>> required_mean(60_000, [30.0, 1.0], [59_995.0, 59_999.6]).round(6).tolist()
    [60005.0, 60023.6]
    """
    count, _ = values_left(seconds, window)
    level = np.asarray(strike, dtype=np.float64)
    known = np.where(count < window, np.asarray(known_mean, dtype=np.float64), 0.0)
    needed = window * level - (window - count) * known
    decided = np.where(known >= level, -np.inf, np.inf)
    decided = np.where(np.isnan(known) | np.isnan(level), np.nan, decided)
    return np.where(count > 0, needed / np.maximum(count, 1.0), decided)


def digital_probability(
    spot: ArrayLike,
    strike: ArrayLike,
    seconds: ArrayLike,
    sigma: ArrayLike,
    *,
    window: int = WINDOW,
    known_mean: ArrayLike = 0.0,
    form: Form = "lognormal",
    nu: float | None = None,
) -> Floats:
    """Return the probability that the settlement average is at least the strike.

    Parameters
    ----------
    spot : array
        Price now, above 0; all arrays are broadcast.
    strike : array
        Price; ±inf is never and always reached. Where the average is rounded to dp decimals,
        half up, give ``strike - 0.5 * 10**-dp``.
    seconds : array
        To the close; at 0 the average is known.
    sigma : array
        Standard deviation of a one-second return; 0 for a spot that stands still.
    window : int
        Values in the average, one a second; 1 if the market settles on the last value alone.
    known_mean : array
        Mean of the values already known, where `seconds` < `window`.
    form : {"lognormal", "arithmetic"}
        A geometric walk, the average replaced by the lognormal of the same first two moments, or
        an arithmetic walk with sigma·spot a second. In a quarter hour they differ by 5e-4 at most.
    nu : float, optional
        Degrees of freedom of a Student t of the same variance in place of the normal, above 2.

    Returns
    -------
    Float64
        In [0, 1]; NaN where an input is NaN.

    Notes
    -----
    Lognormal: with m2 = (1/n²)·Σ_ij exp(sigma²·min(d_i, d_j)) and s² = ln m2 the probability is
    Φ((ln(S/R) − s²/2)/s). Arithmetic: Φ((S − R)/(sigma·S·√V)), V of `averaged_seconds`.

    References
    ----------
    E. Levy, Pricing European average rate currency options, Journal of International Money and
    Finance 11, 1992, doi:10.1016/0261-5606(92)90013-N.

    Examples
    --------
    >>> second = 0.5 / (365 * 86_400) ** 0.5  # half a year's price, a year of 365 days
    >>> digital_probability(60_000, 60_060, [300.0, 900.0], second).round(6).tolist()
    [0.24314, 0.350493]
    >>> digital_probability(60_000, 60_060, 300.0, second, form="arithmetic").round(6).tolist()
    0.243256
    """
    needed = required_mean(strike, seconds, known_mean, window)
    z = _distance(spot, needed, seconds, sigma, window, form)
    return normal_cdf(z) if nu is None else student_cdf(z, nu)


def reverting_probability(
    spot: ArrayLike,
    mean: ArrayLike,
    strike: ArrayLike,
    seconds: ArrayLike,
    sigma: ArrayLike,
    speed: ArrayLike,
    *,
    window: int = WINDOW,
    known_mean: ArrayLike = 0.0,
    extra: ArrayLike = 0.0,
) -> Floats:
    """Return the probability of `digital_probability` for a log price drawn back to a mean.

    Parameters
    ----------
    spot, strike, seconds, sigma, window, known_mean
        As for `digital_probability`.
    mean : array
        Price to which it is drawn.
    speed : array
        Part of the distance that is lost a second, above 0 (Ornstein-Uhlenbeck).
    extra : array
        Variance added to that of the log.

    Notes
    -----
    With x the log of the spot, mu that of the mean and q = e^(−speed), the log at offset d is
    normal around mu + (x − mu)·q^d with variance sigma²(1 − q^(2d))/(2·speed). The mean of the n
    values to come is taken for lognormal with the mean and variance of the mean of their logs.

    Examples
    --------
    >>> reverting_probability(101.0, 100.0, 100.5, 600.0, 1e-3, [1e-9, 0.01], window=1).round(3)
    array([0.58 , 0.241])
    """
    needed = required_mean(strike, seconds, known_mean, window)
    count, first = values_left(seconds, window)
    n, k = np.maximum(count, 1.0), np.asarray(speed, dtype=np.float64)
    q, lost = np.exp(-k), -np.expm1(-k)
    near = np.exp(-k * first) * -np.expm1(-k * n) / (n * lost)  # of the distance, on average
    pairs = (n * (1 + q) / lost - 2 * q * -np.expm1(-k * n) / lost**2) / n**2
    variance = np.asarray(sigma) ** 2 * np.maximum(pairs - near**2, 0.0) / (2 * k) + extra
    level, aim = np.log(np.asarray(spot)), np.log(np.asarray(mean))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = aim + (level - aim) * near - np.log(np.where(needed > 0, needed, np.nan))
        away = np.where(distance >= 0, np.inf, -np.inf)
        z = np.where(variance > 0, distance / np.sqrt(variance), away)
    z = np.where(np.isposinf(needed), -np.inf, np.where(needed <= 0, np.inf, z))
    return normal_cdf(np.where(np.isnan(level + aim + variance) | np.isnan(needed), np.nan, z))


def _distance(
    spot: ArrayLike, needed: Floats, seconds: ArrayLike, sigma: ArrayLike, window: int, form: Form
) -> Floats:
    """Return how far above the mean that is needed a walk is expected, in standard deviations."""
    level, left, scale, needed = np.broadcast_arrays(
        *(np.asarray(part, dtype=np.float64) for part in (spot, seconds, sigma, needed))
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if form == "arithmetic":
            distance = level - needed
            sd = scale * level * np.sqrt(averaged_seconds(left, window))
        else:
            variance = _log_variance(left, scale, window)
            sd = np.sqrt(variance)
            distance = np.where(needed > 0, np.log(level / needed), np.inf) - variance / 2
        z = np.where(sd > 0, distance / sd, np.where(distance >= 0, np.inf, -np.inf))
    # A strike out of reach on either side is decided whatever the spread of the walk.
    z = np.where(np.isposinf(needed), -np.inf, np.where(np.isneginf(needed), np.inf, z))
    return np.where(np.isnan(level + left + scale) | np.isnan(needed), np.nan, z)


def _log_variance(seconds: Floats, sigma: Floats, window: int) -> Floats:
    """Return the variance of the log of the lognormal that matches the mean of the values left.

    With J the smaller of two values drawn from 0 … n − 1, m2 = exp(sigma²·d)·E[exp(sigma²·J)], and
    the log of the expectation is a series of the cumulants of J that converges at once where a
    window moves the price by a few percent. Elsewhere the sum is done.
    """
    count, first = values_left(seconds.ravel(), window)
    second = np.square(sigma.ravel())
    k1, k2, k3, k4 = _cumulants(window)[np.nan_to_num(count).astype(np.int64)].T
    series = second * (k1 + second / 2 * (k2 + second / 3 * (k3 + second / 4 * k4)))
    found: Floats = second * first + series
    wild = np.flatnonzero(second * count > 0.01)
    if len(wild):
        found[wild] = _summed(count[wild], first[wild], second[wild])
    return found.reshape(seconds.shape)


@cache
def _cumulants(window: int) -> Floats:
    """Return the first four cumulants (window + 1, 4) of the smaller of two of n places."""
    table = np.zeros((window + 1, 4))
    for n in range(1, window + 1):
        j = np.arange(n)
        weights = (2 * (n - j) - 1) / n**2
        mean = float(weights @ j)
        m2, m3, m4 = (float(weights @ (j - mean) ** p) for p in (2, 3, 4))
        table[n] = mean, m2, m3, m4 - 3 * m2 * m2
    return table


def _summed(count: Floats, first: Floats, second: Floats) -> Floats:
    step = np.expm1(second)
    grown = np.expm1(second * first)  # exp(sigma²·d_i) − 1
    total = np.zeros_like(grown)
    for i in range(int(np.max(count))):
        total += np.where(i < count, (2 * (count - i) - 1) * grown, 0.0)
        grown = grown + step * (1 + grown)
    found: Floats = np.log1p(total / count**2)
    return found


def exact_probability(
    spot: float,
    strike: float,
    seconds: float,
    sigma: float,
    *,
    window: int = WINDOW,
    known_mean: float = 0.0,
) -> float:
    """Return the probability of `digital_probability` for a geometric walk, without approximation.

    For judging the other forms: half a second of work for one number, good to about 1e-7.

    Parameters
    ----------
    spot, strike, seconds, sigma, window, known_mean
        As for `digital_probability`, one number each; sigma above 0.

    Notes
    -----
    With j values left and x = j·R/S, f_j(x) = E[f_{j−1}(x·e^{−X} − 1)] and f_1(x) = P(e^X >= x), X
    the log return to the next value. Each f_j is tabulated over nine standard deviations of the log
    of the mean and read by cubic interpolation; expectations are trapezoidal sums.

    Examples
    --------
    >>> round(exact_probability(100.0, 103.0, 10.0, 0.05, window=10), 5)
    0.36051
    """
    count, first = (float(part) for part in values_left(seconds, window))
    needed = float(required_mean(strike, seconds, known_mean, window))
    if count == 0 or needed <= 0:
        return float(needed <= 0)
    if count == 1:
        return float(_reached(np.array(needed / spot), sigma * math.sqrt(first)))
    u = np.linspace(-9.0, 9.0, 801)
    coarse, fine = np.linspace(-8.5, 8.5, 44), np.linspace(-8.5, 8.5, 1_701)
    table = _reached(np.exp(sigma * u), sigma)
    for j in range(2, int(count)):
        wide = sigma * math.sqrt(float(averaged_seconds(j, j)))
        table = _expected(j * np.exp(wide * u), j, sigma, sigma, coarse, table)
    x = np.array([count * needed / spot])
    return float(_expected(x, int(count), sigma, sigma * math.sqrt(first), fine, table)[0])


def _reached(x: Floats, sd: float) -> Floats:
    return normal_cdf(-(np.log(x) + sd * sd / 2) / sd)


def _expected(x: Floats, j: int, sigma: float, sd: float, nodes: Floats, table: Floats) -> Floats:
    """Return E[f_{j−1}(x·e^{−X} − 1)] with f_{j−1} in `table`."""
    weights = np.exp(-nodes * nodes / 2)
    rest = x[:, None] * np.exp(sd * sd / 2 - sd * nodes) - 1
    wide = sigma * math.sqrt(float(averaged_seconds(j - 1, j - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(rest > 0, np.log(rest / (j - 1)) / wide, -np.inf)
    values: Floats = _cubic(table, (np.clip(u, -9.0, 9.0) + 9.0) * (len(table) - 1) / 18.0)
    found: Floats = values @ weights / weights.sum()
    return found


def _cubic(table: Floats, at: Floats) -> Floats:
    """Return Lagrange's cubic through the four entries around each place of an even table."""
    i = np.clip(at.astype(np.int64) - 1, 0, len(table) - 4)
    t = at - i
    a, b, c, d = (table[i + k] for k in range(4))
    return (
        -a * (t - 1) * (t - 2) * (t - 3) / 6
        + b * t * (t - 2) * (t - 3) / 2
        - c * t * (t - 1) * (t - 3) / 2
        + d * t * (t - 1) * (t - 2) / 6
    )
