"""Intervals of what is computed from a series in time, such as a Sharpe ratio of daily returns."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import FLAT, Floats, generator, level_of, numbers
from kalshi_bt.metrics.clustering import few
from kalshi_bt.metrics.resampling import Bootstrap

__all__ = ["optimal_block_length", "stationary_bootstrap"]


def optimal_block_length(series: ArrayLike) -> tuple[float, float]:
    """Return how long blocks of a series should be for its mean, not rounded.

    Parameters
    ----------
    series : float (n,)
        One a period, at least 8.

    Returns
    -------
    stationary, circular : float
        Mean length for the stationary bootstrap, and length for the circular one.

    Raises
    ------
    UsageError
        If there are fewer than 8, they do not vary or too regularly, or one is null, NaN or
        infinite.

    References
    ----------
    D. N. Politis and H. White, Automatic block-length selection for the dependent bootstrap,
    Econometric Reviews 23, 2004, doi:10.1081/ETC-120028836; A. Patton, D. N. Politis and H. White,
    correction, 28, 2009, doi:10.1080/07474930802459016. Test: ``optimal_block_length``.

    Examples
    --------
    >>> x = [0.0]
    >>> for i in range(1, 500):
    ...     x.append(0.6 * x[-1] + np.sin(0.7 * i * i))
    >>> [round(length, 4) for length in optimal_block_length(x)]
    [9.0517, 10.3616]
    """
    from arch.bootstrap import optimal_block_length as lengths  # noqa: PLC0415  slow to import

    with np.errstate(divide="ignore", invalid="ignore"):  # at lags that leave nothing
        found = lengths(_varying(series)).iloc[0]
    stationary, circular = float(found["stationary"]), float(found["circular"])
    if not np.isfinite([stationary, circular]).all():
        raise UsageError("the series is too short or too regular for an optimal block length")
    return stationary, circular


def stationary_bootstrap(
    returns: ArrayLike,
    statistic: Callable[[Floats], float] = np.mean,
    *,
    block_size: float | None = None,
    resamples: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Return the interval of a statistic of returns, blocks of random length resampled.

    Parameters
    ----------
    returns : float (n,)
        One a period, idle ones included, at least 8.
    statistic : callable
        Of returns (n,) to a number, such as mean over standard deviation.
    block_size : float, optional
        Mean length of a block, at least 1; None: the optimal one.
    resamples : int
        At least 100.
    level : float
        Confidence.
    seed : int
        Of a Philox stream.

    Returns
    -------
    Bootstrap
        Quantiles of the resamples; `n_clusters` is the number of blocks of mean length, and
        `reason` says if they are few.

    Raises
    ------
    UsageError
        As for `optimal_block_length`; if the statistic does not exist for some resample, or a
        setting is out of range.

    References
    ----------
    D. N. Politis and J. P. Romano, The stationary bootstrap, JASA 89, 1994,
    doi:10.1080/01621459.1994.10476870.

    Examples
    --------
    >>> returns = [0.01, -0.01, 0.02, 0.0, 0.01, -0.02, 0.03, 0.01] * 10
    >>> found = stationary_bootstrap(returns, resamples=200)
    >>> found.low < found.estimate < found.high
    True
    """
    from arch.bootstrap import StationaryBootstrap  # noqa: PLC0415  slow to import

    r = _varying(returns)
    if resamples < 100:
        raise UsageError(f"resamples is {resamples}; expected 100 or more")
    size = max(1.0, optimal_block_length(r)[0]) if block_size is None else float(block_size)
    if not 1 <= size <= len(r):
        raise UsageError(f"block_size is {size:g}; expected 1 to {len(r)} periods")
    tail = (1 - level_of(level)) / 2
    # The library takes any mean length, though it declares a whole number.
    draw = StationaryBootstrap(size, r, seed=generator(seed))  # type: ignore[arg-type]
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.asarray(draw.apply(statistic, resamples), dtype=np.float64).ravel()
    if len(drawn) != resamples or not np.isfinite(drawn).all():
        raise UsageError("the statistic does not exist for every resample: some do not vary")
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Bootstrap(
        estimate=float(statistic(r)),
        low=float(low),
        high=float(high),
        standard_error=float(np.std(drawn, ddof=1)),
        level=level,
        method="percentile",
        n_clusters=int(len(r) // size),
        resamples=resamples,
        reason=few(int(len(r) // size), "blocks"),
    )


def _varying(series: ArrayLike) -> Floats:
    found = numbers(series, "returns", least=8)
    if np.ptp(found) <= FLAT:
        raise UsageError("the returns do not vary: there is nothing to resample")
    return found
