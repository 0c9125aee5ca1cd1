"""Whether the best of many variants is more than luck: overfitting, superiority, discoveries."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import Codes, Floats, aligned, generator, numbers, probabilities
from kalshi_bt.metrics.time_blocks import optimal_block_length

__all__ = [
    "Overfitting",
    "Superiority",
    "false_discovery",
    "pbo",
    "superior_predictive_ability",
]

_STILL: Final = 1e-12  # variance, in parts of the mean square, below which returns do not vary
_CELLS: Final = 2**18
_MOST: Final = 20  # blocks: 184,756 splits


class Overfitting(float):
    """How often the best variant of one half of the record fails in the other: a share in [0, 1].

    Attributes
    ----------
    pbo : float
        The share itself, of logits that are not above 0.
    logits : Float64 (splits,)
        ln(w/(1 - w)) of each split, w the rank out of sample over variants + 1.
    chosen : Int64 (splits,)
        Column that was best in sample, the first of equals.
    ranks : Float64 (splits,)
        Its rank out of sample, 1 the worst, equals sharing their mean.
    """

    logits: Floats
    chosen: Codes
    ranks: Floats

    def __new__(cls, logits: Floats, chosen: Codes, ranks: Floats) -> Self:
        """Return the share of logits that are not above 0."""
        found = super().__new__(cls, np.mean(logits <= 0))
        found.logits, found.chosen, found.ranks = logits, chosen, ranks
        return found

    def __reduce__(self) -> tuple[type[Self], tuple[Floats, Codes, Floats]]:
        """Return how a copy is made."""
        return type(self), (self.logits, self.chosen, self.ranks)

    @property
    def pbo(self) -> float:
        """The share as a plain number."""
        return float(self)


def pbo(
    returns_matrix: ArrayLike, blocks: int, metric: Literal["mean", "sharpe"] = "mean"
) -> Overfitting:
    """Return the probability of backtest overfitting, by combinatorially symmetric validation.

    Parameters
    ----------
    returns_matrix : float (periods, variants)
        Returns of every variant tried, over the same periods.
    blocks : int
        Pieces into which the periods are cut, even, 2 to 20, no more than periods; as equal as they
        can be. Each half of them is in sample once, in the order of their places.
    metric : {"mean", "sharpe"}
        By which variants are ranked: mean return, or mean over standard deviation (0 of a variant
        that was idle).

    Returns
    -------
    Overfitting
        Of pure noise the share is 0.5 on average, and far from it for single records.

    Raises
    ------
    UsageError
        If there are fewer than 2 variants, blocks do not fit, a return is null, NaN or infinite, or
        the metric is none.

    References
    ----------
    D. H. Bailey, J. M. Borwein, M. Lopez de Prado and Q. J. Zhu, The probability of backtest
    overfitting, Journal of Computational Finance 20, 2017, doi:10.21314/JCF.2016.322. Tests:
    ``pbo_small``, ``pbo_noise_reference``, ``pbo_noise_average_and_signal``.

    Examples
    --------
    >>> found = pbo([[3, 1], [2, 0], [-1, 2], [-2, 1]], 2)
    >>> found, found.chosen.tolist(), found.ranks.tolist()
    (1.0, [0, 1], [1.0, 1.0])
    """
    r = _matrix(returns_matrix)
    if metric not in {"mean", "sharpe"}:
        raise UsageError.unknown("metric", metric, ["mean", "sharpe"])
    if blocks % 2 or not 2 <= blocks <= min(_MOST, len(r)):
        raise UsageError(
            f"blocks is {blocks}; expected an even number from 2 to {min(_MOST, len(r))}"
        )
    r = r / (np.abs(r).max() or 1.0)  # so that what is equal but for rounding is told by places
    edges = np.linspace(0, len(r), blocks + 1).astype(np.int64)[:-1]
    sizes = np.diff([*edges, len(r)]).astype(np.float64)
    # Deviations are from the mean of a column, so that squares lose no digits.
    middle = r.mean(axis=0)
    first = np.add.reduceat(r - middle, edges)
    second = np.add.reduceat((r - middle) ** 2, edges)
    chosen, ranks = [], []
    for inside in _halves(blocks, r.shape[1]):
        own = _performance(inside, sizes, first, second, middle, metric)
        other = _performance(1 - inside, sizes, first, second, middle, metric)
        best = own.argmax(axis=1)
        reached = np.take_along_axis(other, best[:, None], axis=1)
        below, equal = (other < reached).sum(axis=1), (other == reached).sum(axis=1)
        chosen.append(best)
        ranks.append(below + (equal + 1) / 2)
    rank = np.concatenate(ranks)
    logits = np.log(rank / (r.shape[1] + 1 - rank))
    return Overfitting(logits, np.concatenate(chosen), rank)


@dataclass(frozen=True)
class Superiority:
    """p-values of the null that no model beats a benchmark, and by how much each does.

    Attributes
    ----------
    lower, consistent, upper : float
        Models much worse than the benchmark are left out, left out if they are for certain, or kept
        (White's Reality Check). Report the consistent one.
    differences : Float64 (models,)
        Mean loss of the benchmark less that of each model; above 0 the model is better.
    block_size : int
        Mean periods a block.
    """

    lower: float
    consistent: float
    upper: float
    differences: Floats
    block_size: int


def superior_predictive_ability(
    benchmark_losses: ArrayLike,
    model_losses: ArrayLike,
    *,
    block_size: int | None = None,
    resamples: int = 1_000,
    seed: int = 0,
) -> Superiority:
    """Return whether the best of several models beats a benchmark, many having been tried.

    Parameters
    ----------
    benchmark_losses : float (periods,)
        Losses: of P&L the negative.
    model_losses : float (periods, models)
    block_size : int, optional
        Mean length of the blocks of the stationary bootstrap; None: the optimal one, its mean over
        the models. Blocks of a whole root of the periods refuse twice as often as they say.
    resamples : int
        At least 100.
    seed : int
        Of a Philox stream.

    Raises
    ------
    UsageError
        If lengths differ, there are fewer than 8 periods, a loss is null, NaN or infinite, a model
        differs from the benchmark by a constant, or a setting is out of range.

    Notes
    -----
    The largest difference decides as it stands, not in units of its error: of models on different
    scales, divide the losses of each by their deviation first.

    References
    ----------
    P. R. Hansen, A test for superior predictive ability, Journal of Business and Economic
    Statistics 23, 2005, doi:10.1198/073500105000000063; H. White, A reality check for data
    snooping, Econometrica 68, 2000, doi:10.1111/1468-0262.00152. Test:
    ``spa_deterministic_losses``.

    Examples
    --------
    >>> base = [1.0, 2.0, 1.5, 1.0, 2.5, 1.0, 1.5, 2.0] * 5
    >>> better = [[x - 0.5 + 0.1 * (n % 3)] for n, x in enumerate(base)]
    >>> superior_predictive_ability(base, better, resamples=200).consistent
    0.0
    """
    from arch.bootstrap import SPA  # noqa: PLC0415  slow to import

    base, models = numbers(benchmark_losses, "benchmark_losses", least=8), _losses(model_losses)
    aligned(benchmark_losses=base, model_losses=models)
    difference = base[:, None] - models
    if (np.ptp(difference, axis=0) <= _STILL).any():
        raise UsageError("a model differs from the benchmark by a constant: nothing to test")
    if block_size is None:
        lengths = [optimal_block_length(column)[0] for column in difference.T]
        size = min(len(base), math.ceil(np.mean(lengths)))
    else:
        size = block_size
    if not 1 <= size <= len(base) or resamples < 100:
        raise UsageError(
            f"block_size {size} or resamples {resamples}; expected 1 to {len(base)} periods and "
            "100 resamples or more"
        )
    test = SPA(base, models, block_size=size, reps=resamples, seed=generator(seed))
    test.compute()
    p = {name: float(test.pvalues[name]) for name in ("lower", "consistent", "upper")}
    return Superiority(**p, differences=difference.mean(axis=0), block_size=size)


def false_discovery(p_values: ArrayLike, method: Literal["bh", "by"] = "bh") -> Floats:
    """Return p-values adjusted so that those below a level hold at most that share of false ones.

    Parameters
    ----------
    p_values : float (n,)
        In [0, 1], of all tests that were made.
    method : {"bh", "by"}
        Benjamini and Hochberg, for tests independent or positively dependent, or Benjamini and
        Yekutieli, for any.

    Returns
    -------
    Float64 (n,)
        In [0, 1], in the order given.

    Raises
    ------
    UsageError
        If there is none, or one is null, NaN or outside [0, 1], or the method is none.

    References
    ----------
    Y. Benjamini and Y. Hochberg, JRSS B 57, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x;
    Y. Benjamini and D. Yekutieli, Annals of Statistics 29, 2001, doi:10.1214/aos/1013699998.

    Examples
    --------
    >>> false_discovery([0.01, 0.04, 0.03]).round(4).tolist()
    [0.03, 0.04, 0.04]
    """
    if method not in {"bh", "by"}:
        raise UsageError.unknown("method", method, ["bh", "by"])
    p = probabilities(p_values, "p_values")
    order, place = np.argsort(p, kind="stable"), np.arange(1, len(p) + 1)
    factor = 1.0 if method == "bh" else float((1 / place).sum())
    # The least of a value and all larger ones; scipy.stats takes longer to load than all of a run.
    least = np.minimum.accumulate((p[order] * len(p) * factor / place)[::-1])[::-1]
    found = np.empty_like(p)
    found[order] = np.minimum(least, 1)
    return found


def _halves(blocks: int, variants: int) -> Iterator[Floats]:
    """Return which blocks are in sample, splits at a time."""
    splits = combinations(range(blocks), blocks // 2)
    while some := list(islice(splits, max(1, _CELLS // variants))):
        inside = np.zeros((len(some), blocks))
        np.put_along_axis(inside, np.array(some), 1.0, axis=1)
        yield inside


def _performance(
    inside: Floats, sizes: Floats, first: Floats, second: Floats, middle: Floats, metric: str
) -> Floats:
    """Return the metric of each split and variant over the blocks inside."""
    n = (inside @ sizes)[:, None]
    deviation = (inside @ first) / n
    mean: Floats = deviation + middle
    if metric == "mean":
        return mean.round(12)
    square = (inside @ second) / n - deviation**2
    still = square <= _STILL * (mean**2 + square)
    ratio = mean / np.sqrt(np.where(still, 1.0, square * n / np.maximum(n - 1, 1)))
    # Returns that do not vary are better than any that do, or worse, or the variant was idle.
    sure = np.where(np.abs(mean) <= _STILL, 0.0, np.copysign(np.inf, mean))
    found: Floats = np.where(still, sure, ratio).round(12)
    return found


def _matrix(returns: ArrayLike) -> Floats:
    r = np.asarray(returns, dtype=np.float64)
    if r.ndim != 2 or r.shape[1] < 2 or not np.isfinite(r).all():
        raise UsageError(
            f"returns of shape {r.shape}; expected periods by 2 or more variants, all finite"
        )
    return r


def _losses(losses: ArrayLike) -> Floats:
    found = np.asarray(losses, dtype=np.float64)
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[1] < 1 or not np.isfinite(found).all():
        raise UsageError(
            f"model_losses of shape {found.shape}; expected periods by models, all finite"
        )
    return found
