"""How good probabilities were: proper scores, what they are made of, and what was missed.

Scores are means over the forecasts given. Give one forecast a market at one moment: markets with
many quotes would count many times, and near the close every forecast looks good.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import HALF_TICK, Codes, Floats, pairs, sums

__all__ = [
    "Corp",
    "Decomposition",
    "brier",
    "brier_decomposition",
    "corp",
    "log_loss",
    "skill",
]

_EDGE = 1e-9  # 100 * 0.29 is a little below 29


def brier(p: ArrayLike, y: ArrayLike) -> float:
    """Return the mean squared difference of forecasts and outcomes; 0 is perfect.

    Parameters
    ----------
    p, y : float (n,)
        Probability of YES, and the payout of one YES in dollars; each in [0, 1].

    Raises
    ------
    UsageError
        If there is none, lengths differ, or one is null, NaN or outside [0, 1].

    References
    ----------
    G. W. Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review
    78, 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> round(brier([0.9, 0.2], [1, 0]), 6)
    0.025
    """
    p, y = pairs(p, y)
    return float(np.mean((p - y) ** 2))


def log_loss(p: ArrayLike, y: ArrayLike, clip: float = HALF_TICK) -> float:
    """Return the mean of -y ln p - (1 - y) ln(1 - p); 0 is perfect.

    Parameters
    ----------
    p, y : float (n,)
        As for `brier`.
    clip : float
        Forecasts are moved to at least this far from 0 and 1, where one surprise would outweigh
        everything: half a tick of one cent unless told; 0.0005 where ticks are a tenth of one.

    Raises
    ------
    UsageError
        As for `brier`; if `clip` is not in (0, 0.5).

    References
    ----------
    I. J. Good, Rational decisions, JRSS B 14, 1952, doi:10.1111/j.2517-6161.1952.tb00104.x. Test:
    ``log_loss_edge``.

    Examples
    --------
    >>> round(log_loss([0.9, 0.2], [1, 0]), 9)
    0.164252033
    """
    p, y = pairs(p, y)
    if not 0 < clip < 0.5:
        raise UsageError(f"clip is {clip}; expected above 0 and below 0.5, such as half a tick")
    q = np.clip(p, clip, 1 - clip)
    return float(-np.mean(y * np.log(q) + (1 - y) * np.log1p(-q)))


def skill(
    forecast: ArrayLike,
    reference: ArrayLike,
    outcome: ArrayLike,
    measure: Callable[[ArrayLike, ArrayLike], float] = brier,
) -> float:
    """Return the part of a reference's loss that a forecast saves; below 0 it is worse.

    Parameters
    ----------
    forecast, reference, outcome : float (n,)
        As for `brier`; the reference is such as the mid of the market at the same moment.
    measure : callable
        Of forecasts and outcomes; `brier` or `log_loss`.

    Raises
    ------
    UsageError
        As for `brier`; if the reference made no error, of which no part can be saved.

    Examples
    --------
    >>> skill([0.75, 0.25], [0.5, 0.5], [1, 0])
    0.75
    """
    theirs = measure(reference, outcome)
    ours = measure(forecast, outcome)
    if theirs <= 0:
        raise UsageError("the reference made no error: no part of it can be saved")
    return 1 - ours / theirs


@dataclass(frozen=True)
class Decomposition:
    """What a Brier score is made of.

    ``brier = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance``

    Attributes
    ----------
    brier : float
        Mean squared error.
    reliability : float
        Mean squared distance of a bin's mean forecast to its rate of YES; 0 is calibrated.
    resolution : float
        Variance of the rates of YES over bins; large tells outcomes apart.
    uncertainty : float
        Variance of the outcomes, which no forecast changes.
    within_bin_variance, within_bin_covariance : float
        What bins hide: variance of forecasts in them, and twice their covariance with outcomes.
    REL, RES, UNC, WBV, WBC : float
        The same five by their published symbols.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin_variance: float
    within_bin_covariance: float

    REL = property(attrgetter("reliability"))
    RES = property(attrgetter("resolution"))
    UNC = property(attrgetter("uncertainty"))
    WBV = property(attrgetter("within_bin_variance"))
    WBC = property(attrgetter("within_bin_covariance"))


def brier_decomposition(
    forecast: ArrayLike, outcome: ArrayLike, bins: int | None = None
) -> Decomposition:
    """Return reliability, resolution and uncertainty, and what bins add to them.

    Parameters
    ----------
    forecast, outcome : float (n,)
        As for `brier`.
    bins : int, optional
        Equal bins of [0, 1], an edge belonging to the bin above it, 1 to the last. None: a bin for
        each different forecast, within which nothing varies.

    Raises
    ------
    UsageError
        As for `brier`; if `bins` is below 1.

    References
    ----------
    A. H. Murphy, A new vector partition of the probability score, Journal of Applied Meteorology
    12, 1973, doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2. D. B. Stephenson, C. A. S. Coelho
    and I. T. Jolliffe, Two extra components in the Brier score decomposition, Weather and
    Forecasting 23, 2008, doi:10.1175/2007WAF2006116.1. Tests: ``murphy_small``,
    ``binned_five_terms``.

    Examples
    --------
    >>> parts = brier_decomposition([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 0])
    >>> round(parts.reliability, 4), round(parts.resolution, 4), parts.uncertainty
    (0.065, 0.0625, 0.1875)
    """
    p, y = pairs(forecast, outcome)
    code, different = _binned(p, bins)
    n, f, o = sums(np.stack([np.ones_like(p), p, y], axis=1), code, different).T
    some = n > 0
    f[some], o[some] = f[some] / n[some], o[some] / n[some]
    share, base = n / len(p), float(np.mean(y))
    return Decomposition(
        brier=brier(p, y),
        reliability=float(share @ (f - o) ** 2),
        resolution=float(share[some] @ (o[some] - base) ** 2),
        uncertainty=float(np.mean((y - base) ** 2)),
        within_bin_variance=float(np.mean((p - f[code]) ** 2)),
        within_bin_covariance=float(2 * np.mean((y - o[code]) * (p - f[code]))),
    )


def bin_of(p: Floats, bins: int) -> Codes:
    """Return which of equal bins of [0, 1] each probability is in, an edge in the one above it.

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.1, 0.29, 1.0]), 10).tolist()
    [0, 1, 2, 9]
    """
    if bins < 1:
        raise UsageError(f"bins is {bins}; expected 1 or more")
    return np.minimum(np.floor(bins * p + _EDGE).astype(np.int64), bins - 1)


def _binned(p: Floats, bins: int | None) -> tuple[Codes, int]:
    if bins is not None:
        return bin_of(p, bins), bins
    values, code = np.unique(p, return_inverse=True)
    return code, len(values)


@dataclass(frozen=True, eq=False)
class Corp:
    """What a Brier score or a log loss is made of, without bins.

    ``score = miscalibration - discrimination + uncertainty``

    Attributes
    ----------
    score : float
        Brier score of the forecasts, or their log loss.
    miscalibration : float
        What the best monotone recalibration would save.
    discrimination : float
        What recalibrated forecasts save against always saying the mean outcome.
    uncertainty : float
        The score of always saying the mean outcome.
    recalibrated : Float64 (n,)
        Forecasts after recalibration, in the order given.
    brier, MCB, DSC, UNC : float
        Score, miscalibration, discrimination and uncertainty by their published symbols.
    """

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float
    recalibrated: Floats

    brier = property(attrgetter("score"))
    MCB = property(attrgetter("miscalibration"))
    DSC = property(attrgetter("discrimination"))
    UNC = property(attrgetter("uncertainty"))


def corp(forecast: ArrayLike, outcome: ArrayLike, score: Literal["brier", "log"] = "brier") -> Corp:
    """Return miscalibration, discrimination and uncertainty by isotonic recalibration.

    Parameters
    ----------
    forecast, outcome : float (n,)
        As for `brier`. Equal forecasts are recalibrated to one value.
    score : {"brier", "log"}
        What is taken apart: `brier`, or `log_loss` with its half tick. The recalibration is the
        same, best by either.

    Returns
    -------
    Corp
        Its recalibrated forecasts saw their outcomes, and can be exactly 0 or 1: they describe, and
        are nothing to trade on.

    Raises
    ------
    UsageError
        As for `brier`; if the score is none.

    References
    ----------
    T. Dimitriadis, T. Gneiting and A. I. Jordan, Stable reliability diagrams for probabilistic
    classifiers, PNAS 118, 2021, doi:10.1073/pnas.2016191118: EMOS, Niamey 2016, 0.232 = 0.018 -
    0.030 + 0.244. Tests: ``corp_niamey_Logistic``, ``corp_niamey_EMOS``, ``corp_niamey_EPC``.

    Examples
    --------
    >>> found = corp([0.1, 0.4, 0.3, 0.9], [0, 0, 1, 1])
    >>> found.recalibrated.tolist(), round(found.miscalibration, 4)
    ([0.0, 0.5, 0.5, 1.0], 0.0425)
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415  slow to import

    if score not in {"brier", "log"}:
        raise UsageError.unknown("score", score, ["brier", "log"])
    p, y = pairs(forecast, outcome)
    code, different = _binned(p, None)
    n, total = sums(np.stack([np.ones_like(p), y], axis=1), code, different).T
    fitted: Floats = isotonic_regression(total / n, weights=n).x[code]
    base = np.full_like(y, y.mean())
    if score == "brier":
        own, after, uncertainty = brier(p, y), brier(fitted, y), brier(base, y)
    else:
        own, after, uncertainty = log_loss(p, y), _entropy(fitted, y), _entropy(base, y)
    return Corp(own, own - after, uncertainty - after, uncertainty, fitted)


def _entropy(q: Floats, y: Floats) -> float:
    """Return the log loss of forecasts that are 0 or 1 only where all outcomes are."""
    from scipy.special import xlogy  # noqa: PLC0415  slow to import

    return float(-np.mean(xlogy(y, q) + xlogy(1 - y, 1 - q)))
