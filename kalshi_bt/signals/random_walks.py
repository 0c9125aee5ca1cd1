"""What a random walk looks like to who looks for reversion."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError

__all__ = ["null_scores", "variance_ratio", "walk_remark"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LAG = 5  # samples of the longer returns
_SHORTEST = 2 * _LAG + 2  # samples of a market that counts
_DRAWS, _MOST = 20_000, 500  # walks, and samples of each


def variance_ratio(log_price: ArrayLike, lag: int) -> tuple[float, float]:
    """Return the variance ratio of a series and its z under a random walk.

    Parameters
    ----------
    log_price : Float64 (n,)
        Evenly spaced, without NaN.
    lag : int
        Steps of the longer returns, at least 2 and at most half of n - 1.

    Returns
    -------
    ratio, z : float
        Below 1 and negative where returns are taken back; NaN for a price that never moved.

    Raises
    ------
    UsageError
        If `lag` does not fit the series.

    References
    ----------
    A. W. Lo, A. C. MacKinlay, Stock market prices do not follow random walks, Review of Financial
    Studies 1, 1988, doi:10.1093/rfs/1.1.41 (overlapping, without bias; z of equal variances).

    Examples
    --------
    >>> ratio, z = variance_ratio([0.0, 1.0] * 50, 2)
    >>> round(ratio, 3), z < -5
    (0.0, True)
    """
    x = np.asarray(log_price, dtype=np.float64)
    n = len(x) - 1
    if not 2 <= lag <= n // 2:
        raise UsageError(f"lag is {lag}; expected 2 to {n // 2} for {n} returns")
    drift = (x[-1] - x[0]) / n
    short = float(np.sum((np.diff(x) - drift) ** 2)) / (n - 1)
    long = float(np.sum((x[lag:] - x[:-lag] - lag * drift) ** 2))
    if short == 0:
        return math.nan, math.nan
    ratio = long / (lag * (n - lag + 1) * (1 - lag / n)) / short
    return ratio, (ratio - 1) / math.sqrt(2 * (2 * lag - 1) * (lag - 1) / (3 * lag * n))


def null_scores(samples: int, draws: int, seed: int = 0) -> Floats:
    """Return z of the next value of random walks against the `samples` values before it.

    Parameters
    ----------
    samples : int
        Evenly spaced values that make mean and spread, at least 2.
    draws : int
        How many walks.
    seed : int
        Of a Philox stream; the same seed gives the same walks.

    Returns
    -------
    Float64 (draws,)

    Examples
    --------
    >>> scores = null_scores(30, 4_000)
    >>> bool(np.mean(np.abs(scores) > 1) > 0.5)  # of a walk, most values are "far" from the mean
    True
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, samples]))
    walks = np.cumsum(rng.standard_normal((draws, samples + 1)), axis=1)
    before = walks[:, :-1]
    scores: Floats = (walks[:, -1] - before.mean(axis=1)) / before.std(axis=1)
    return scores


def walk_remark(
    starts: Ints, at: Ints, level: Floats, z: Floats, min_z: float, samples: float, group: Ints
) -> str:
    """Return a sentence that sets distances from a mean, and returns, against a random walk's.

    Parameters
    ----------
    starts : Int64 (markets + 1,)
        First row of each market, and the end of the last.
    at : Int64 (n,)
        When the level of a row was seen, microseconds; a level seen twice is one sample.
    level, z : Float64 (n,)
        What is watched, and its distance from its mean in spreads; NaN for none.
    min_z : float
        Distance that counts.
    samples : float
        Samples that make a mean, as a rule.
    group : Int64 (markets,)
        What goes together: a mean of each group counts once.

    Returns
    -------
    str
        Empty where no distance is known.
    """
    known = z[~np.isnan(z)]
    if not len(known):
        return ""
    walk = null_scores(int(np.clip(round(samples), 2, _MOST)), _DRAWS)
    far, usual = (float(np.mean(np.abs(scores) > min_z)) for scores in (known, walk))
    text = (
        f"{far:.1%} of {len(known):,} bars lie more than {min_z:g} spreads from their mean; of a "
        f"random walk {usual:.1%} would"
    )
    ratios: dict[int, list[float]] = {}
    for market in range(len(starts) - 1):
        own = slice(starts[market], starts[market + 1])
        some = ~np.isnan(level[own])
        times, values = at[own][some], level[own][some]
        fresh = np.diff(times, prepend=times[:1] - 1) > 0
        if fresh.sum() >= _SHORTEST:
            ratio, _ = variance_ratio(values[fresh], _LAG)
            if not math.isnan(ratio):
                ratios.setdefault(int(group[market]), []).append(ratio)
    means = np.array([np.mean(found) for found in ratios.values()])
    if len(means) < 2:
        return text
    error = float(means.std(ddof=1)) / math.sqrt(len(means))
    return (
        f"{text}; returns over {_LAG} samples have {means.mean():.3f} of the variance of a walk's "
        f"(standard error {error:.3f}, {len(means):,} events), less where prices come back"
    )
