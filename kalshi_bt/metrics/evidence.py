"""Evidence that may be looked at after every settlement: wealth of a bettor against a null.

An e-process starts at 1 and is, under its null, not expected to grow, however one stops. That it
ever reaches 1/a has a probability of at most a (Ville), so 1 over its highest value is a p-value at
any time. Positions that overlap are one bet: give the batch that settles together, and the process
is updated once for it.
"""

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.kelly import growth, kelly
from kalshi_bt.metrics.arrays import (
    Floats,
    aligned,
    codes,
    finite,
    numbers,
    probabilities,
    sums,
)

__all__ = [
    "EProcess",
    "bernstein_e_process",
    "e_process",
    "reverse_e_process",
    "trades_to_reach",
]

GRID: Final = tuple(0.05 * n for n in range(20))  # fractions that are mixed, 0 to 0.95
_MOST: Final = 700.0  # e to this is a float; more evidence than that is not told apart


@dataclass(frozen=True, eq=False)
class EProcess:
    """Evidence against a null after each batch.

    Attributes
    ----------
    path : Float64 (batches,)
        Wealth that began as 1; at most e^700.
    final, maximum : float
        The last and the highest of it, the beginning included in the maximum; `max` is the same.
    anytime_p : float
        1 over the maximum: valid whenever one stops.
    """

    path: Floats
    final: float
    maximum: float
    anytime_p: float
    max = property(attrgetter("maximum"))


def e_process(
    y: ArrayLike,
    all_in_cost: ArrayLike,
    f: float | None = None,
    *,
    f_grid: ArrayLike = GRID,
    batches: ArrayLike | Any | None = None,
) -> EProcess:
    """Return the evidence that contracts pay more often than they cost: an edge after costs.

    Parameters
    ----------
    y : float (n,)
        Payout of each contract bought, of the side bought, dollars in [0, 1], in order of time.
    all_in_cost : float (n,)
        Dollars, fees included, in (0, 1].
    f : float, optional
        Fraction of wealth bet each time, in [0, 1]; None: the mixture.
    f_grid : float (m,)
        Fractions that are mixed: the mean of their wealths is an e-process too, and nobody chose
        after the fact.
    batches : (n,), optional
        What settles together, in labels that sort by time; None: each contract alone.

    Returns
    -------
    EProcess

    Raises
    ------
    UsageError
        If there is none, lengths differ, or one is null, NaN or out of range.

    Notes
    -----
    M = prod(1 + f (mean over the batch of y/c - 1)): the fraction is spread evenly over a batch,
    and whatever the dependence within it, it is not expected to gain while P(y = 1 | past) <= c.

    References
    ----------
    G. Shafer, Testing by betting, JRSS A 184, 2021, doi:10.1111/rssa.12647. J. Ville, Etude
    critique de la notion de collectif, 1939. Tests: ``wealth_eprocess_fixed_fraction``,
    ``wealth_eprocess_mixture``, ``ville_bound_monte_carlo``.

    Examples
    --------
    >>> round(e_process([1, 1, 0, 1], [0.5, 0.55, 0.6, 0.5], 0.2).final, 6)
    1.340509
    """
    paid, cost = probabilities(y, "y"), probabilities(all_in_cost, "all_in_cost")
    aligned(y=paid, all_in_cost=cost)
    if (cost <= 0).any():
        raise UsageError("an all_in_cost is 0; expected above 0 dollars, fees included")
    gain = _batched(paid / cost - 1, batches)
    fractions = probabilities(f_grid if f is None else [f], "f")
    with np.errstate(divide="ignore"):
        wealth = np.cumsum(np.log1p(fractions[:, None] * gain), axis=1)
    return _process(np.logaddexp.reduce(wealth, axis=0) - math.log(len(fractions)))


def reverse_e_process(
    y: ArrayLike,
    claimed: ArrayLike,
    f: float | None = None,
    *,
    f_grid: ArrayLike = GRID,
    batches: ArrayLike | Any | None = None,
) -> EProcess:
    """Return the evidence that contracts pay less often than was claimed: an edge that has gone.

    Parameters
    ----------
    y, f, f_grid, batches
        As for `e_process`.
    claimed : float (n,)
        Probability that each would pay, in [0, 1).

    Returns
    -------
    EProcess
        Of `e_process` for the other side at a cost of 1 less the claim.

    Raises
    ------
    UsageError
        As for `e_process`.

    Examples
    --------
    >>> round(reverse_e_process([0, 0, 1, 0], [0.6] * 4, 0.2).final, 6)
    1.7576
    """
    paid, said = probabilities(y, "y"), probabilities(claimed, "claimed")
    if (said >= 1).any():
        raise UsageError("a claim is 1; expected below 1, against which something can be said")
    return e_process(1 - paid, 1 - said, f, f_grid=f_grid, batches=batches)


def bernstein_e_process(
    d: ArrayLike, lam: float, c: float = 2.0, *, batches: ArrayLike | Any | None = None
) -> EProcess:
    """Return the evidence that differences are above 0 on average: that one forecast beats another.

    Parameters
    ----------
    d : float (n,)
        Loss of the other forecast less that of this one, in order of time.
    lam : float
        In [0, 1/c); chosen beforehand.
    c : float
        Length of the range of the differences, known beforehand: 2 for those of Brier scores.
    batches : (n,), optional
        As for `e_process`; differences are averaged over a batch.

    Returns
    -------
    EProcess

    Raises
    ------
    UsageError
        If there is none, one is null, NaN or infinite, differences range wider than `c`, or `lam`
        is out of range.

    Notes
    -----
    exp(lam sum d - psi sum (d_i - g_i)^2), psi = (-ln(1 - c lam) - c lam)/c^2 and g_i the mean of
    the differences before, 0 at first.

    References
    ----------
    Y. J. Choe and A. Ramdas, Comparing sequential forecasters, Operations Research 72, 2024,
    doi:10.1287/opre.2021.0792. Test: ``empirical_bernstein_eprocess``.

    Examples
    --------
    >>> bernstein_e_process([0.1, -0.05, 0.2], 0.3, 1.0).path.round(6).tolist()
    [1.029871, 1.013245, 1.074035]
    """
    own = _batched(numbers(d, "d"), batches)
    finite(lam=lam, c=c)
    if c <= 0 or not 0 <= lam < 1 / c:
        raise UsageError(f"lam is {lam} and c {c}; expected c above 0 and lam from 0 to below 1/c")
    if np.ptp([0.0, *own]) > c:
        raise UsageError(f"differences range over {np.ptp([0.0, *own]):.4g}, wider than c = {c}")
    before = np.concatenate([[0.0], np.cumsum(own)[:-1] / np.arange(1, len(own))])
    psi = (-math.log1p(-c * lam) - c * lam) / c**2
    return _process(lam * np.cumsum(own) - psi * np.cumsum((own - before) ** 2))


def trades_to_reach(p: float, c: float, evidence: float = 20.0) -> float:
    """Return after how many trades at the best fraction the evidence is expected to be so high.

    Parameters
    ----------
    p : float
        True probability that a contract pays, in (0, 1).
    c : float
        Its all-in cost, dollars, in (0, p).
    evidence : float
        1 over the level, above 1: 20 for 5 %.

    Returns
    -------
    float
        ln(evidence) over the growth KL(p || c) of full Kelly.

    Raises
    ------
    UsageError
        If one is out of range; without an edge there is no evidence to wait for.

    References
    ----------
    As for `e_process`. Tests: ``gro_growth_p0.55_c0.5``, ``gro_growth_p0.6_c0.5``,
    ``gro_growth_p0.97_c0.95``.

    Examples
    --------
    >>> round(trades_to_reach(0.55, 0.50))
    598
    """
    finite(p=p, c=c, evidence=evidence)
    if not 0 < c < p < 1 or evidence <= 1:
        raise UsageError(f"p {p}, c {c}, evidence {evidence}; expected 0 < c < p < 1 < evidence")
    return math.log(evidence) / float(growth(p, c, kelly(p, c)))


def _batched(values: Floats, batches: Any | None) -> Floats:
    """Return the mean of each batch, in the order of their labels."""
    if batches is None:
        return values
    code, count = codes(batches, "batches", len(values))
    total = sums(np.stack([values, np.ones_like(values)], axis=1), code, count)
    found: Floats = total[:, 0] / total[:, 1]
    return found


def _process(log_path: Floats) -> EProcess:
    path: Floats = np.exp(np.minimum(log_path, _MOST))
    highest = max(1.0, float(path.max()))
    return EProcess(path, float(path[-1]), highest, 1 / highest)
