"""What luck alone would have made: the same trades with their sides drawn, and random entries."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import Floats, aligned, codes, finite, generator, numbers, sums

__all__ = ["Permutation", "control_p_value", "side_permutation"]

_CELLS: Final = 2**17
_TIES: Final = 1e-9  # sums closer than this, in parts, are equal


@dataclass(frozen=True)
class Permutation:
    """A total, and what it is when the sides are drawn.

    Attributes
    ----------
    observed : float
        Total of the sides taken.
    p_value : float
        One-sided; never 0: the observed one counts among the drawn.
    mean, standard_deviation : float
        Of the drawn totals.
    n_clusters, resamples : int
    """

    observed: float
    p_value: float
    mean: float
    standard_deviation: float
    n_clusters: int
    resamples: int


def control_p_value(observed: float, controls: ArrayLike) -> float:
    """Return how often controls do as well as what was observed, itself among them.

    Parameters
    ----------
    observed : float
        Such as the P&L of a run.
    controls : float (n,)
        The same of runs that chose at random, such as random entries with the same number of trades
        in the same markets.

    Returns
    -------
    float
        (1 + controls at least as high)/(1 + n), in (0, 1].

    Raises
    ------
    UsageError
        If there is no control, or one number is null, NaN or infinite.

    References
    ----------
    B. Phipson and G. K. Smyth, Permutation p-values should never be zero, Statistical Applications
    in Genetics and Molecular Biology 9, 2010, doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> control_p_value(3.0, [1.0, 2.0, 4.0])
    0.5
    """
    finite(observed=observed)
    drawn = numbers(controls, "controls")
    slack = _TIES * max(abs(observed), float(np.abs(drawn).max()))
    return float((1 + np.sum(drawn >= observed - slack)) / (1 + len(drawn)))


def side_permutation(
    sides: ArrayLike,
    yes: ArrayLike,
    no: ArrayLike,
    events: ArrayLike | Any,
    how: Literal["flip", "shuffle"] = "flip",
    *,
    resamples: int = 9_999,
    seed: int = 0,
) -> Permutation:
    """Return whether the sides of trades were chosen better than by lot.

    Parameters
    ----------
    sides : int (n,)
        1 for YES, -1 for NO.
    yes, no : float (n,)
        What each trade makes on that side, after all costs; in any one unit.
    events : (n,)
        Label of each trade's event or settlement instant.
    how : {"flip", "shuffle"}
        All sides of an event turned over or kept, by a coin an event; or sides exchanged among the
        trades of an event, which keeps how many were YES.
    resamples : int
        At least 99.
    seed : int
        Of a Philox stream.

    Returns
    -------
    Permutation

    Raises
    ------
    UsageError
        If there is none, lengths differ, a side is neither 1 nor -1, a number is null or NaN, or
        there is nothing to exchange within any event.

    References
    ----------
    As for `control_p_value`.

    Examples
    --------
    >>> yes = [0.5, 0.4, 0.6, 0.5, 0.5]
    >>> found = side_permutation([1] * 5, yes, [-0.52] * 5, list("abcde"))
    >>> found.observed, found.p_value < 0.05  # 1 of 32 ways
    (2.5, True)
    """
    side = numbers(sides, "sides")
    gains = np.stack([numbers(yes, "yes"), numbers(no, "no")], axis=1)
    aligned(sides=side, yes=gains)
    if not (np.abs(side) == 1).all():
        raise UsageError("a side is neither 1 (YES) nor -1 (NO)")
    if how not in {"flip", "shuffle"}:
        raise UsageError.unknown("way", how, ["flip", "shuffle"])
    if resamples < 99:
        raise UsageError(f"resamples is {resamples}; expected 99 or more")
    code, count = codes(events, "events", len(side))
    rng = generator(seed)
    if how == "flip":
        drawn = _flipped(side, gains, code, count, resamples, rng)
    else:
        drawn = _shuffled(side, gains, code, count, resamples, rng)
    observed = float(np.where(side > 0, gains[:, 0], gains[:, 1]).sum())
    return Permutation(
        observed=observed,
        p_value=control_p_value(observed, drawn),
        mean=float(drawn.mean()),
        standard_deviation=float(drawn.std(ddof=1)),
        n_clusters=count,
        resamples=resamples,
    )


def _flipped(
    side: Floats, gains: Floats, code: Any, count: int, resamples: int, rng: np.random.Generator
) -> Floats:
    """Return totals with the sides of whole events turned over by coins."""
    taken = np.where(side > 0, gains[:, 0], gains[:, 1])
    kept, turned = sums(np.stack([taken, gains.sum(axis=1) - taken], axis=1), code, count).T
    found = np.empty(resamples)
    at_once = max(1, _CELLS // count)
    for start in range(0, resamples, at_once):
        coins = rng.integers(0, 2, (min(at_once, resamples - start), count), dtype=np.int8)
        found[start : start + at_once] = kept.sum() + coins @ (turned - kept)
    return found


def _shuffled(
    side: Floats, gains: Floats, code: Any, count: int, resamples: int, rng: np.random.Generator
) -> Floats:
    """Return totals with the sides exchanged among the trades of each event."""
    order = np.argsort(code, kind="stable")
    side, gains, place = side[order], gains[order], code[order].astype(np.float64)
    share = np.bincount(code, weights=side[np.argsort(order)] > 0) / np.bincount(code)
    if not ((share > 0) & (share < 1)).any():
        raise UsageError(f"none of {count} events was traded on both sides: nothing to exchange")
    found = np.empty(resamples)
    at_once = max(1, _CELLS // len(side))
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        keys = place + rng.random((size, len(side)))  # sorts within an event
        own = side[np.argsort(keys, axis=1)]
        found[start : start + size] = np.where(own > 0, gains[:, 0], gains[:, 1]).sum(axis=1)
    return found
