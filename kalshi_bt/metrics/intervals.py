"""Where numbers lie: what is independent is resampled whole, once for all numbers that rest on it.

Sums are of whole numbers below 2^53, so that no order of rows or threads changes a digit.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kalshi_bt.metrics.arrays import Codes, Floats, generator
from kalshi_bt.metrics.book import Interval, Undefined
from kalshi_bt.metrics.clustering import FEW, cluster_standard_error
from kalshi_bt.metrics.resampling import bca_ends, resampled_sums

LEVEL = 0.95
LEAST = 5  # clusters below which nothing is said
MANY = 2_000  # clusters above which the normal limit is as good, and resampling is slow
LEAST_DAYS = 10
RESAMPLES = 10_000
SEED = 0

_SAME = 1e-12  # numbers closer than this, in parts, do not vary
_STILL = "the clusters do not differ: resampling cannot say where it lies"
_CELLS = 2**20  # drawn at one time: 8 MB


@dataclass(frozen=True)
class Ratio:
    """A number that is ``shift + scale * sum(top) / sum(bottom)`` over clusters.

    Attributes
    ----------
    top, bottom : str
        Names of columns.
    scale, shift : float
    odds : bool
        Whether it is the odds of that share, r/(1 - r), instead: as a share it exists in resamples
        of which the odds are infinite.
    """

    top: str
    bottom: str
    scale: float = 1.0
    shift: float = 0.0
    odds: bool = False

    def of(self, sums: Mapping[str, Floats]) -> Floats:
        """Return the ratios of sums, not finite where there is none."""
        found: Floats = sums[self.top] / sums[self.bottom]
        return found

    def error(self, columns: Mapping[str, Floats]) -> float:
        """Return the standard error of the ratio by the delta method with CR1."""
        top, bottom = columns[self.top], columns[self.bottom]
        return cluster_standard_error(top, np.arange(len(top)), bottom)

    def ends(self, low: float, high: float) -> tuple[float, float] | Undefined:
        """Return where the number lies from where the ratio does."""
        if not self.odds:
            low, high = sorted((self.shift + self.scale * low, self.shift + self.scale * high))
            return low, high
        low, high = max(low, 0.0), min(high, 1.0)
        if low >= 1 - _SAME:
            return Undefined("hardly a resample of the clusters has an end to it")
        if high >= 1 - _SAME:
            above = f"it lies above {low / (1 - low):.3g} and has no upper end"
            return Undefined(f"in too many resamples of the clusters nothing is lost: {above}")
        return low / (1 - low), high / (1 - high)


@dataclass(frozen=True)
class Formula:
    """A number that is any function of sums over clusters.

    Attributes
    ----------
    of : callable
        Sums by name to the numbers, not finite where there is none.
    """

    of: Callable[[Mapping[str, Floats]], Floats]

    def error(self, columns: Mapping[str, Floats]) -> float:
        """Return the standard error by leaving out one cluster after the other."""
        without = self.of({name: column.sum() - column for name, column in columns.items()})
        count = len(without)
        return float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))

    def ends(self, low: float, high: float) -> tuple[float, float] | Undefined:
        """Return the ends as they are."""
        return low, high


def of_ratios(
    columns: Mapping[str, Floats], ratios: Mapping[str, Ratio | Formula], kind: str
) -> dict[str, Interval | Undefined]:
    """Return the interval of each ratio, all from the same resamples of whole clusters.

    Parameters
    ----------
    columns : mapping of Float64 (g,)
        Sums of each cluster by name.
    ratios : mapping
        Name of a number to its ratio, or to any formula of the sums.
    kind : str
        What makes a cluster, in words.

    Returns
    -------
    dict of str to Interval or Undefined
        BCa ends up to `MANY` clusters, beyond by the normal limit with errors by cluster; a reason
        where there are fewer than `LEAST`, clusters do not differ, or some resample has no such
        number.

    References
    ----------
    As for `resampling.cluster_bootstrap` and `clustering.cluster_standard_error`.

    Examples
    --------
    >>> gains = {"pnl": np.array([3.0, -1.0, 2.0, 0.0, 1.0]), "n": np.ones(5)}
    >>> found = of_ratios(gains, {"mean": Ratio("pnl", "n")}, "event")["mean"]
    >>> found.low < 1 < found.high, found.n_clusters
    (True, 5)
    """
    count = len(next(iter(columns.values())))
    if count < LEAST:
        few = Undefined(f"{count} independent clusters ({kind}): an interval needs {LEAST}")
        return dict.fromkeys(ratios, few)
    if count > MANY:
        return {name: _by_normal(columns, ratio, kind) for name, ratio in ratios.items()}
    names = list(columns)
    sums = resampled_sums(np.stack([columns[n] for n in names], axis=1), RESAMPLES, SEED)
    drawn = dict(zip(names, sums.T, strict=True))
    return {name: _by_resampling(columns, drawn, ratio, kind) for name, ratio in ratios.items()}


def _by_resampling(
    columns: Mapping[str, Floats], sums: Mapping[str, Floats], ratio: Ratio | Formula, kind: str
) -> Interval | Undefined:
    whole = {name: column.sum(keepdims=True) for name, column in columns.items()}
    without = {name: whole[name] - column for name, column in columns.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        (estimate,), drawn, left_out = (ratio.of(each) for each in (whole, sums, without))
    if not (np.isfinite(drawn).all() and np.isfinite(left_out).all() and np.isfinite(estimate)):
        return Undefined("some resamples of the clusters have no such number")
    if np.ptp(drawn) <= _SAME * np.abs(drawn).max():
        return Undefined(_STILL)
    method = f"bootstrap of whole clusters (BCa), {RESAMPLES:,} resamples"
    count = len(left_out)
    if count < FEW:
        method += f"; fewer than {FEW} clusters: may be too short"
    ends = ratio.ends(*bca_ends(drawn, float(estimate), left_out, LEVEL))
    return ends if isinstance(ends, Undefined) else Interval(*ends, LEVEL, method, kind, count)


def _by_normal(
    columns: Mapping[str, Floats], ratio: Ratio | Formula, kind: str
) -> Interval | Undefined:
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = float(ratio.of({name: column.sum() for name, column in columns.items()}))
    if not math.isfinite(middle):
        return Undefined("no cluster has such a number")
    error = ratio.error(columns)
    if not error > _SAME * abs(middle):
        return Undefined(_STILL)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    method = f"normal limit, errors by cluster (CR1), as there are more than {MANY:,}"
    ends = ratio.ends(middle - reach, middle + reach)
    count = len(next(iter(columns.values())))
    return ends if isinstance(ends, Undefined) else Interval(*ends, LEVEL, method, kind, count)


def of_days(returns: Floats, periods: int) -> dict[str, Interval | Undefined]:
    """Return the intervals of annual Sharpe and Sortino ratio, blocks of days resampled.

    Parameters
    ----------
    returns : Float64 (n,)
        Daily.
    periods : int
        Days of a year.

    Returns
    -------
    dict of str to Interval or Undefined
        ``sharpe`` and ``sortino``, quantiles of resamples with blocks of n^(1/3) days on average; a
        reason where there are fewer than `LEAST_DAYS`, or so few of a loss that some resamples
        have none.

    References
    ----------
    D. N. Politis and J. P. Romano, The stationary bootstrap, JASA 89, 1994,
    doi:10.1080/01621459.1994.10476870.

    Examples
    --------
    >>> found = of_days(np.array([0.01, -0.01, 0.02, 0.0] * 9), 365)["sharpe"]
    >>> found.low < 0.005 / 0.0115 * 365**0.5 < found.high
    True
    """
    n = len(returns)
    if n < LEAST_DAYS:
        few = Undefined(f"fewer than {LEAST_DAYS} daily returns")
        return {"sharpe": few, "sortino": few}
    block = n ** (1 / 3)
    ratios = [_ratios(returns[pick]) for pick in stationary_picks(n, block)]
    method = f"stationary bootstrap of days in blocks of {block:.1f} on average, "
    method += f"{RESAMPLES:,} resamples"
    found: dict[str, Interval | Undefined] = {}
    for name, drawn in zip(("sharpe", "sortino"), np.concatenate(ratios, axis=1), strict=True):
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low, high = np.quantile(drawn * math.sqrt(periods), tails, method="inverted_cdf").tolist()
        if math.isfinite(low) and math.isfinite(high):
            found[name] = Interval(low, high, LEVEL, method, "day", n)
        else:
            found[name] = Undefined("some resamples of the days hold no risk: the ratio has no end")
    return found


def stationary_picks(n: int, block: float) -> Iterator[Codes]:
    """Yield the days of resamples, Int64 (resamples, n): runs of random length that wrap around."""
    rng, day = generator(SEED), np.arange(n)
    at_once = max(1, _CELLS // n)
    for start in range(0, RESAMPLES, at_once):
        shape = (min(at_once, RESAMPLES - start), n)
        first, fresh = rng.integers(0, n, shape), rng.random(shape) < 1 / block
        fresh[:, 0] = True
        begun = np.maximum.accumulate(np.where(fresh, day, 0), axis=1)
        yield (np.take_along_axis(first, begun, axis=1) + day - begun) % n


def _ratios(returns: Floats) -> Floats:
    """Return Sharpe and Sortino ratio of resamples, (2, resamples); infinite without risk."""
    mean = returns.mean(axis=1)
    loss = np.sqrt((np.minimum(returns, 0) ** 2).mean(axis=1))
    risk = np.stack([returns.std(axis=1, ddof=1), loss])
    ratio: Floats = np.ones_like(risk) * np.where(mean > 0, np.inf, -np.inf)
    ratio[:, mean == 0] = 0
    np.divide(mean, risk, out=ratio, where=risk > _SAME)
    return ratio
