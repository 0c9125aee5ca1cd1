"""What is left of a Sharpe ratio when others were tried too, and how many findings are false."""

import math
from statistics import NormalDist
from typing import Final, Literal

from kalshi_bt.distributions import normal_cdf
from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import finite
from kalshi_bt.metrics.sharpe_ratio import probabilistic_sharpe, sharpe_standard_error

__all__ = ["deflated_sharpe", "expected_maximum", "observed_fdr", "planned_fdr", "power"]

_EULER: Final = 0.5772156649015329


def expected_maximum(
    trials: int, variance: float = 1.0, method: Literal["mixture", "exact"] = "mixture"
) -> float:
    """Return the highest Sharpe ratio to expect of so many trials of nothing.

    Parameters
    ----------
    trials : int
        Independent ones, every variant ever run included; of correlated ones, their clusters.
    variance : float
        Of the ratios of the trials, in the periods of the ratio it is compared with.
    method : {"mixture", "exact"}
        The published mixture of two quantiles, a little too high (1.575 for 1.539 of 10 trials), or
        the integral.

    Returns
    -------
    float
        0 of one trial.

    Raises
    ------
    UsageError
        If there is no trial, the variance is negative or not finite, or the method is none.

    References
    ----------
    D. H. Bailey and M. Lopez de Prado, The deflated Sharpe ratio, Journal of Portfolio Management
    40, 2014, doi:10.3905/jpm.2014.40.5.094. Tests: ``expected_max_sr_N10``,
    ``expected_max_sr_N100``, ``expected_max_sr_N1000``, ``expected_max_exact``.

    Examples
    --------
    >>> round(expected_maximum(10), 4), round(expected_maximum(10, method="exact"), 4)
    (1.5746, 1.5388)
    """
    finite(trials=trials, variance=variance)
    if trials < 1 or trials != int(trials):
        raise UsageError(f"trials is {trials}; expected a whole number of 1 or more")
    if variance < 0:
        raise UsageError(f"variance is {variance}; expected 0 or more")
    if method not in {"mixture", "exact"}:
        raise UsageError.unknown("method", method, ["mixture", "exact"])
    if trials == 1:
        return 0.0
    if method == "exact":
        return math.sqrt(variance) * _exact_maximum(int(trials))
    quantile = NormalDist().inv_cdf
    far, farther = quantile(1 - 1 / trials), quantile(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * far + _EULER * farther)


def deflated_sharpe(
    sharpe: float,
    n: float,
    trials: int,
    variance: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Return the confidence that the best of several trials is better than the best of nothing.

    It is `probabilistic_sharpe` (2012) against `expected_maximum` (mixture).

    Parameters
    ----------
    sharpe, n, skew, kurtosis
        As for `probabilistic_sharpe`, of the trial that was chosen.
    trials : int
        As for `expected_maximum`.
    variance : float
        Of the ratios of all trials, per period.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    UsageError
        As for `probabilistic_sharpe` and `expected_maximum`.

    References
    ----------
    As for `expected_maximum`: an annual ratio of 2.5 over 1250 days, the best of 100. Test:
    ``dsr_2014_example``.

    Examples
    --------
    >>> round(deflated_sharpe(2.5 / 250**0.5, 1250, 100, 0.5 / 250, -3, 10), 4)
    0.9004
    """
    best = expected_maximum(trials, variance)
    return probabilistic_sharpe(sharpe, n, skew, kurtosis, best)


def power(
    alternative: float,
    n: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    alpha: float = 0.05,
    rho: float = 0.0,
) -> float:
    """Return how often a test at a level would find a true Sharpe ratio.

    Parameters
    ----------
    alternative : float
        The true ratio, above the benchmark.
    n, skew, kurtosis, benchmark, rho
        As for `probabilistic_sharpe`, convention 2025.
    alpha : float
        Level of the test, in (0, 1).

    Returns
    -------
    float
        1 - beta, in [0, 1].

    Raises
    ------
    UsageError
        As for `probabilistic_sharpe`; if the alternative is not above the benchmark.

    References
    ----------
    As for `sharpe_ratio.sharpe_standard_error`. Test: ``power_pfdr_ofdr``.

    Examples
    --------
    >>> round(1 - power(0.5, 24, -2.448, 10.164), 3)
    0.315
    """
    finite(benchmark=benchmark)
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}; expected above 0 and below 1, such as 0.05")
    null = sharpe_standard_error(benchmark, n, skew, kurtosis, rho)
    true = sharpe_standard_error(alternative, n, skew, kurtosis, rho)
    if alternative <= benchmark:
        raise UsageError(f"the alternative {alternative} is not above the benchmark {benchmark}")
    critical = benchmark + NormalDist().inv_cdf(1 - alpha) * null
    return float(normal_cdf((alternative - critical) / true))


def planned_fdr(prior: float, power: float, alpha: float = 0.05) -> float:
    """Return the share of false ones among the strategies that a test would pass.

    Parameters
    ----------
    prior : float
        Share of strategies that are good, in [0, 1].
    power : float
        How often the test finds one, in (0, 1].
    alpha : float
        How often it passes one that is not, in (0, 1].

    Raises
    ------
    UsageError
        If one is outside.

    References
    ----------
    As for `sharpe_ratio.sharpe_standard_error`, there the pFDR.

    Examples
    --------
    >>> round(planned_fdr(0.05, power(0.5, 24, -2.448, 10.164)), 3)
    0.581
    """
    return _false_share(prior, alpha, power)


def observed_fdr(
    sharpe: float,
    n: float,
    alternative: float,
    prior: float,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    rho: float = 0.0,
) -> float:
    """Return the share of false ones among strategies with a ratio as high as that observed.

    Parameters
    ----------
    sharpe, n, skew, kurtosis, benchmark, rho
        As for `probabilistic_sharpe`, convention 2025.
    alternative, prior : float
        As for `power` and `planned_fdr`.

    Raises
    ------
    UsageError
        As for these.

    References
    ----------
    As for `sharpe_ratio.sharpe_standard_error`, there the oFDR.

    Examples
    --------
    >>> round(observed_fdr(0.036 / 0.079, 24, 0.5, 0.05, -2.448, 10.164), 3)
    0.306
    """
    finite(sharpe=sharpe, benchmark=benchmark, alternative=alternative)
    above = [
        float(normal_cdf((true - sharpe) / sharpe_standard_error(true, n, skew, kurtosis, rho)))
        for true in (benchmark, alternative)
    ]
    return _false_share(prior, *above)


def _exact_maximum(trials: int) -> float:
    """Integrate the distribution of the largest of normals over both sides of zero."""
    from scipy.integrate import quad  # noqa: PLC0415  slow to import

    def above(x: float) -> float:
        return float(-math.expm1(trials * math.log1p(-math.erfc(x / math.sqrt(2)) / 2)))

    def below(x: float) -> float:
        return float((math.erfc(x / math.sqrt(2)) / 2) ** trials)

    # Above 40 deviations nothing is left even of 1e300 trials.
    step = NormalDist().inv_cdf(1 - 1 / trials) if trials < 1e15 else 8.0
    high = quad(above, 0, 40, points=[step], epsabs=1e-12, limit=200)[0]
    return float(high - quad(below, 0, 40, epsabs=1e-12, limit=200)[0])


def _false_share(prior: float, false: float, true: float) -> float:
    if not 0 <= prior <= 1 or not 0 < false <= 1 or not 0 < true <= 1:
        raise UsageError(f"prior {prior}, alpha {false} or power {true} is no share")
    return false * (1 - prior) / (false * (1 - prior) + true * prior)
