"""Whether probabilities mean what they say, by regression of outcomes on them.

Outcomes of one event are not independent: give clusters, and errors allow for it (CR1). With fewer
than 30 of them a logistic regression states no errors, and the linear test draws signs of clusters.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import HALF_TICK, Codes, Floats, codes, pairs, sums
from kalshi_bt.metrics.clustering import FEW
from kalshi_bt.metrics.wild_clusters import wild_score_test

__all__ = ["MincerZarnowitz", "Recalibration", "cox_recalibration", "mincer_zarnowitz"]

_STEPS: Final = 100  # about six are needed
_CLOSE: Final = 1e-10
_SINGULAR: Final = 1e14
_FAR: Final = 1e3  # a slope beyond which the outcomes are as good as told apart


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Logistic regression of outcomes on the log odds of forecasts.

    Attributes
    ----------
    intercept, slope : float
        0 and 1 of a calibrated forecast; a slope below 1 is overconfident.
    calibration_in_the_large : float
        Intercept with the slope fixed at 1; above 0 the forecasts are too low.
    covariance : Float64 (2, 2) or None
        Of intercept and slope; None: see `reason`.
    se_intercept, se_slope, se_in_the_large : float or None
        Standard errors.
    n, n_clusters : int
        Forecasts, and clusters; each forecast is one if none were given.
    reason : str or None
        Why there are no errors.
    """

    intercept: float
    slope: float
    calibration_in_the_large: float
    covariance: Floats | None
    se_intercept: float | None
    se_slope: float | None
    se_in_the_large: float | None
    n: int
    n_clusters: int
    reason: str | None = None


def cox_recalibration(
    forecast: ArrayLike,
    outcome: ArrayLike,
    clusters: ArrayLike | Any | None = None,
    clip: float = HALF_TICK,
) -> Recalibration:
    """Return the intercept and slope that would recalibrate forecasts, logit P(y) = a + b logit(p).

    Parameters
    ----------
    forecast, outcome : float (n,)
        Probability of YES, and payout of one YES in dollars; each in [0, 1].
    clusters : (n,), optional
        Label of each row's event or settlement instant; None: rows are independent, and errors
        those of the likelihood.
    clip : float
        Forecasts are moved to at least this far from 0 and 1, whose log odds are infinite.

    Raises
    ------
    UsageError
        If there are fewer than 3, lengths differ, one is null, NaN or outside [0, 1], all forecasts
        are equal, or no finite slope is best because the forecasts tell the outcomes apart.

    Notes
    -----
    Newton's method on the likelihood. With clusters the covariance is H^-1 (sum_g s_g s_g') H^-1
    times G/(G - 1) (n - 1)/(n - k).

    References
    ----------
    D. R. Cox, Two further applications of a model for binary regression, Biometrika 45, 1958,
    doi:10.1093/biomet/45.3-4.562. Test: ``calibration_slope_intercept``.

    Examples
    --------
    >>> p = [0.2] * 10 + [0.8] * 10
    >>> found = cox_recalibration(p, [1] * 3 + [0] * 7 + [1] * 7 + [0] * 3)
    >>> round(found.slope, 4), abs(round(found.intercept, 4)), found.calibration_in_the_large < 1e-9
    (0.6112, 0.0, True)
    """
    p, y = pairs(forecast, outcome, least=3)
    if not 0 < clip < 0.5:
        raise UsageError(f"clip is {clip}; expected above 0 and below 0.5, such as half a tick")
    q = np.clip(p, clip, 1 - clip)
    odds = np.log(q / (1 - q))
    if np.ptp(odds) <= _CLOSE:
        raise UsageError("all forecasts are equal: no slope exists")
    if y.max() == 0 or y.min() == 1:
        raise UsageError("all outcomes are equal: no finite intercept is best")
    x = np.stack([np.ones_like(odds), odds], axis=1)
    both = _likeliest(x, y, np.zeros_like(y), np.array([0.0, 1.0]))
    large = _likeliest(x[:, :1], y, odds, np.zeros(1))
    code, count = _own(clusters, len(p))
    covariance, reason = None, None
    se: tuple[float | None, ...] = (None, None, None)
    if clusters is not None and count < FEW:
        reason = f"{count} clusters, fewer than {FEW}: errors by cluster would be too small"
    else:
        group = None if clusters is None else (code, count)
        covariance = _logit_covariance(x, y, np.zeros_like(y), both, group)
        in_large = _logit_covariance(x[:, :1], y, odds, large, group)
        se = tuple(float(e) for e in np.sqrt([*np.diag(covariance), in_large[0, 0]]))
    a, b, alone = (float(part) for part in (*both, *large))
    return Recalibration(
        intercept=a,
        slope=b,
        calibration_in_the_large=alone,
        covariance=covariance,
        se_intercept=se[0],
        se_slope=se[1],
        se_in_the_large=se[2],
        n=len(p),
        n_clusters=count,
        reason=reason,
    )


@dataclass(frozen=True, eq=False)
class MincerZarnowitz:
    """Linear regression of outcomes on forecasts, and whether it is the line y = p.

    Attributes
    ----------
    alpha, beta : float
        Intercept and slope; 0 and 1 of a calibrated forecast.
    psi : float
        beta - 1, the slope of the excess y - p; above 0 favourites are too cheap.
    covariance : Float64 (2, 2)
        Of intercept and slope, clustered.
    wald : float
        Of alpha = 0 and beta = 1 together.
    p_value : float
        Of the same: chi-squared with 2 degrees, or by signs of clusters if these are few.
    method : str
        Which of the two.
    n, n_clusters : int
        Forecasts, and clusters; each forecast is one if none were given.
    """

    alpha: float
    beta: float
    psi: float
    covariance: Floats
    wald: float
    p_value: float
    method: str
    n: int
    n_clusters: int


def mincer_zarnowitz(
    forecast: ArrayLike,
    outcome: ArrayLike,
    clusters: ArrayLike | Any | None = None,
    *,
    resamples: int = 9_999,
    seed: int = 0,
) -> MincerZarnowitz:
    """Return the line of outcomes on forecasts and the joint test that it is y = p.

    Parameters
    ----------
    forecast, outcome : float (n,)
        As for `cox_recalibration`, not clipped.
    clusters : (n,), optional
        As there; None: errors allow for differing variances only (HC1).
    resamples, seed : int
        Draws of signs and their Philox stream, used below 30 clusters.

    Raises
    ------
    UsageError
        If there are fewer than 4 forecasts or clusters, lengths differ, one is null, NaN or outside
        [0, 1], all forecasts are equal, or the line goes through all outcomes.

    References
    ----------
    J. Mincer and V. Zarnowitz, The evaluation of economic forecasts, in Economic Forecasts and
    Expectations, NBER 1969. Signs: as for `wild_cluster_test`, the null imposed. Test:
    ``mincer_zarnowitz``.

    Examples
    --------
    >>> p = [0.2] * 20 + [0.8] * 20
    >>> found = mincer_zarnowitz(p, [1] * 6 + [0] * 14 + [1] * 14 + [0] * 6)
    >>> round(found.beta, 4), found.method
    (0.6667, 'chi-squared')
    """
    p, y = pairs(forecast, outcome, least=4)
    if np.ptp(p) <= _CLOSE:
        raise UsageError("all forecasts are equal: no slope exists")
    code, count = _own(clusters, len(p))
    if count < 4:
        raise UsageError(f"{count} clusters; expected 4 or more")
    x = np.stack([np.ones_like(p), p], axis=1)
    bread = np.linalg.inv(x.T @ x)
    line = bread @ (x.T @ y)
    covariance = _sandwich(bread, sums(x * (y - x @ line)[:, None], code, count), len(p))
    off = line - np.array([0.0, 1.0])
    if not covariance.any() or np.linalg.cond(covariance) > _SINGULAR:
        raise UsageError("the errors of the line have no covariance: no test exists")
    wald = float(off @ np.linalg.solve(covariance, off))
    p_value, method = float(np.exp(-wald / 2)), "chi-squared"
    if count < FEW:
        slopes = np.stack([sums(x * column[:, None], code, count) for column in x.T], axis=2)
        scores = sums(x * (y - p)[:, None], code, count)
        p_value = wild_score_test(scores, slopes, resamples=resamples, seed=seed).p_value
        method = f"signs of {count} clusters"
    alpha, beta = (float(part) for part in line)
    return MincerZarnowitz(
        alpha, beta, float(off[1]), covariance, wald, p_value, method, len(p), count
    )


def _own(clusters: Any | None, n: int) -> tuple[Codes, int]:
    return (np.arange(n), n) if clusters is None else codes(clusters, "clusters", n)


def _likeliest(x: Floats, y: Floats, offset: Floats, start: Floats) -> Floats:
    """Return the coefficients of a logistic regression, each step halved until it loses nothing."""
    found, reached = start, _likelihood(x, y, offset, start)
    for _ in range(_STEPS):
        fitted = _logistic(offset + x @ found)
        curvature = (x * (fitted * (1 - fitted))[:, None]).T @ x
        if np.abs(found).max() > _FAR or np.linalg.cond(curvature) > _SINGULAR:
            break
        step = np.linalg.solve(curvature, x.T @ (y - fitted))
        if np.abs(step).max() < _CLOSE:
            return found
        least = reached - _CLOSE * abs(reached)  # what rounding takes is no loss
        while (gained := _likelihood(x, y, offset, found + step)) < least:
            step *= 0.5
        found, reached = found + step, gained
    raise UsageError("the forecasts tell the outcomes apart: no finite slope is best")


def _likelihood(x: Floats, y: Floats, offset: Floats, at: Floats) -> float:
    odds = offset + x @ at
    return float(y @ odds - np.logaddexp(0.0, odds).sum())


def _logistic(odds: Floats) -> Floats:
    found: Floats = np.exp(-np.logaddexp(0.0, -odds))
    return found


def _logit_covariance(
    x: Floats, y: Floats, offset: Floats, at: Floats, group: tuple[Codes, int] | None
) -> Floats:
    """Return the covariance of the coefficients, clustered if there are groups."""
    fitted = _logistic(offset + x @ at)
    weighted: Floats = x * (fitted * (1 - fitted))[:, None]
    bread = np.asarray(np.linalg.inv(weighted.T @ x), dtype=np.float64)
    if group is None:
        return bread
    return _sandwich(bread, sums(x * (y - fitted)[:, None], *group), len(x))


def _sandwich(bread: Floats, scores: Floats, n: int) -> Floats:
    """Return the clustered covariance (CR1)."""
    count, k = scores.shape
    scale = count / (count - 1) * (n - 1) / (n - k)
    found: Floats = scale * (bread @ (scores.T @ scores) @ bread)
    return found
