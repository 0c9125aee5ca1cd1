"""How likely each model, or each organisation, is to be on top of a leaderboard at a later time.

Displayed scores are taken to move like independent normal variables. The chance that one ends above
all others is then a single integral, so that no draw is needed; `simulated` draws nevertheless, for
rules that the integral does not cover and as a check of those it does.
"""

from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.distributions import normal_cdf
from kalshi_bt.errors import UsageError
from kalshi_bt.signals.leaderboard_rules import ResolutionRule

__all__ = [
    "TIES",
    "rank_upper_bounds",
    "score_sd",
    "simulated",
    "top_probabilities",
    "with_entrant",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z95 = 3.92  # a 95 % interval in standard deviations
# What counts against what where intervals overlap: own bound, bound of the rivals.
TIES: Final = {"cascade": (0, 0), "alone": (-1, 1), "ties_win": (1, -1)}
_LEAST_SD = 0.25  # scores are published as whole numbers
_NODES: Final = np.linspace(-7.0, 7.0, 57)
_WEIGHTS: Final = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_CHUNK = 256


def rank_upper_bounds(lower: ArrayLike, upper: ArrayLike) -> Ints:
    """Return the best rank that the intervals allow each model.

    That is 1 + the number of models whose lower bound is above its upper bound.

    Parameters
    ----------
    lower, upper : float (..., n)
        Bounds of the scores. NaN: the model is above nobody and below nobody.

    Examples
    --------
    >>> rank_upper_bounds([1500, 1495, 1480, 1470], [1512, 1509, 1492, 1499])
    array([1, 1, 3, 2])
    """
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    above = (low[..., None, :] > high[..., :, None]).sum(-1, dtype=np.int64)
    return np.asarray(above + 1)


def score_sd(
    low: ArrayLike, high: ArrayLike, days: ArrayLike, volatility: float, error_days: float = 0.0
) -> Floats:
    """Return the standard deviation of a score after some days.

    The variance is that of the estimate, ((high - low) / 3.92)^2, and volatility^2 a day.

    Parameters
    ----------
    low, high : float (...)
        95 % interval.
    days : float (...)
        From the snapshot to the check, not negative.
    volatility : float
        Points of score in a day.
    error_days : float
        0: the error of the estimate counts in full at once. Otherwise the share of it that the
        displayed score has shown after d days is 1 - exp(-d / error_days), hence none at the check.

    Examples
    --------
    >>> round(float(score_sd(1495.1, 1502.94, 21.0, 1.0)), 6)
    5.0
    """
    horizon = np.maximum(np.asarray(days, np.float64), 0.0)
    error = (np.asarray(high, np.float64) - np.asarray(low, np.float64)) / Z95
    share = 1.0 if error_days == 0 else -np.expm1(-horizon / error_days)
    return np.asarray(np.sqrt(share * error**2 + volatility**2 * horizon))


def top_probabilities(
    score: ArrayLike,
    sd: ArrayLike,
    group: ArrayLike,
    half_width: ArrayLike = 0.0,
    ties: str = "cascade",
) -> Floats:
    """Return the probability that the group of each model is on top.

    Parameters
    ----------
    score, sd : float (..., n)
        Of each model at the time of the check; NaN: no such model. An sd counts as 0.25 at least.
    group : int (..., n)
        Models that win together, such as those of one organisation. All different: each for itself.
    half_width : float (..., n)
        Half of the interval published with the score.
    ties : {"cascade", "alone", "ties_win"}
        The highest score decides; or a group wins only if the lower bound of one of its models is
        above the upper bounds of all others; or it wins if an upper bound of it is not below any
        other lower bound, so that several can win.

    Returns
    -------
    Float64 (..., n)
        The same number for all models of a group; 0 where there is no model. With ``cascade`` those
        of the groups sum to 1, with ``alone`` to 1 less the chance that nobody wins.

    Raises
    ------
    UsageError
        If there is no such treatment of ties.

    Notes
    -----
    The model of the highest score always has the best rank its interval allows, and so wins the
    cascade. With own shift a, rivals' shift b, group g wins with probability

        sum_{i in g} E[ prod_{j in g, j != i} F_j(x_i - a_j) prod_{j not in g} F_j(x_i - b_j) ],

    x_i = score_i + a_i + noise, F_j the distribution of score j: the trapezoid rule on 57 points of
    the noise, right to 2e-4 where no sd is more than eight times another.

    Examples
    --------
    >>> top_probabilities([1500.0, 1490.0], [3.0, 4.0], [0, 1]).round(4)
    array([0.9772, 0.0228])
    """
    if ties not in TIES:
        raise UsageError.unknown("treatment of ties", ties, TIES)
    arrays = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (score, sd, half_width)))
    mean, spread, width = (x.reshape(-1, x.shape[-1]) for x in arrays)
    owner = np.broadcast_to(np.asarray(group), arrays[0].shape).reshape(mean.shape)
    parts = []
    for k in range(0, len(mean), _CHUNK):
        rows = slice(k, k + _CHUNK)
        parts.append(_on_top(mean[rows], spread[rows], width[rows], owner[rows], TIES[ties]))
    found = np.concatenate(parts) if parts else np.zeros_like(mean)
    return found.reshape(arrays[0].shape)


def _on_top(
    mean: Floats, sd: Floats, width: Floats, group: Ints, shifts: tuple[int, int]
) -> Floats:
    present = ~np.isnan(mean) & ~np.isnan(sd)
    mean, sd = np.where(present, mean, 0.0), np.maximum(np.where(present, sd, 1.0), _LEAST_SD)
    own, rival = (sign * np.nan_to_num(width) for sign in shifts)
    same = (group[:, :, None] == group[:, None, :]) & present[:, :, None] & present[:, None, :]
    alone = np.empty_like(mean)
    for i in range(mean.shape[1]):
        x = mean[:, i, None] + own[:, i, None] + sd[:, i, None] * _NODES
        shift = np.where(same[:, i, :], own, rival)
        z = (x[:, None, :] - (mean + shift)[:, :, None]) / sd[:, :, None]
        under = normal_cdf(z)
        under[:, i] = 1.0
        under[~present] = 1.0
        # A product of matrices rounds by how many rows it has; a row must not depend on others.
        alone[:, i] = (under.prod(1) * _WEIGHTS).sum(1)
    alone = np.where(present, alone, 0.0)
    total: Floats = (same * alone[:, None, :]).sum(2)
    if shifts == (0, 0):  # what the rule leaves of 1 is its own error
        whole = alone.sum(1, keepdims=True)
        total /= np.where(whole > 0, whole, 1.0)
    return np.asarray(np.minimum(total, 1.0))


def with_entrant(
    score: ArrayLike,
    sd: ArrayLike,
    group: ArrayLike,
    half_width: ArrayLike,
    chance: ArrayLike,
    gap: float,
    entrant_sd: float,
    outsiders: float,
    ties: str = "cascade",
) -> tuple[Floats, Floats]:
    """Return the probabilities of `top_probabilities` where a new model may still enter.

    Parameters
    ----------
    score, sd, group, half_width : (n_boards, n)
        As for `top_probabilities`; groups are not negative.
    chance : float (n_boards,)
        That a model enters before the check.
    gap, entrant_sd : float
        Its score is normal around the highest one plus `gap`; its interval is the widest listed.
    outsiders : float
        Share of entrants that belong to no group of the board; the others belong to its groups as
        often as the models on it do. 1: the entrant is always somebody else.
    ties : str

    Returns
    -------
    probability : Float64 (n_boards, n)
    unlisted : Float64 (n_boards,)
        That of an entrant of no group on the board.

    Examples
    --------
    >>> board = [[1500.0, 1480.0]], [[3.0, 3.0]], [[0, 1]], [[5.0, 5.0]]
    >>> p, unlisted = with_entrant(*board, [0.5], 0.0, 15.0, 1.0)
    >>> p.round(4), unlisted.round(4)
    (array([[0.75, 0.  ]]), array([0.25]))
    """
    boards = (np.atleast_2d(np.asarray(x, np.float64)) for x in (score, sd, half_width))
    mean, spread, width = boards
    owner = np.atleast_2d(np.asarray(group))
    q = np.asarray(chance, np.float64)[:, None]
    alone = top_probabilities(mean, spread, owner, width, ties)
    lead = np.where(np.isnan(mean), -np.inf, mean).max(1, keepdims=True)
    column = np.ones_like(lead)
    joined = top_probabilities(
        np.hstack([mean, lead + gap]),
        np.hstack([spread, column * entrant_sd]),
        np.hstack([owner, -column]),
        np.hstack([width, np.nanmax(width, axis=1, keepdims=True)]),
        ties,
    )
    rival, entrant = joined[:, :-1], joined[:, -1:]
    present = ~np.isnan(mean)
    same = (owner[:, :, None] == owner[:, None, :]) & present[:, None, :]
    share = same.sum(2) / np.maximum(present.sum(1, keepdims=True), 1) * (1 - outsiders)
    p = (1 - q) * alone + q * (rival + share * entrant)
    return np.where(present, p, 0.0), (q * entrant * outsiders)[:, 0]


def simulated(
    score: ArrayLike,
    sd: ArrayLike,
    group: ArrayLike,
    half_width: ArrayLike,
    rule: ResolutionRule,
    draws: int = 20_000,
) -> Floats:
    """Return how often the group of each model wins under a rule, over random boards.

    The draws depend on nothing but the arguments: the same question has the same answer.

    Parameters
    ----------
    score, sd, half_width : float (n,)
        As for `top_probabilities`, without NaN.
    group : int (n,)
        Models that win together; under ``ties="organization"`` the organisations.
    rule : ResolutionRule
        Its metric and ties. Of the cascade only the score decides, as equal scores do not occur.
    draws : int
        Boards to draw, at least 1.

    Returns
    -------
    Float64 (n,)

    Examples
    --------
    >>> from kalshi_bt.signals.leaderboard_rules import RULES
    >>> simulated([1500.0, 1400.0], [1.0, 1.0], [0, 1], [3.0, 3.0], RULES["alone"], 100)
    array([1., 0.])
    """
    mean, spread, width = (np.asarray(x, np.float64) for x in (score, sd, half_width))
    owner = np.asarray(group, np.int64)
    facts = np.concatenate([mean, spread, width, owner]).tobytes()
    digest = blake2b(facts + repr(rule).encode(), digest_size=16).digest()
    rng = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))
    drawn = mean + np.maximum(spread, _LEAST_SD) * rng.standard_normal((draws, len(mean)))
    if rule.metric == "rank_ub":
        first = rank_upper_bounds(drawn - width, drawn + width) == 1
    else:
        first = drawn == drawn.max(1, keepdims=True)
    if rule.ties == "cascade":
        first &= drawn == np.where(first, drawn, -np.inf).max(1, keepdims=True)
    elif rule.ties == "nobody":
        first &= first.sum(1, keepdims=True) == 1
    elif rule.ties == "organization":
        low = np.where(first, owner, np.iinfo(np.int64).max).min(1)
        high = np.where(first, owner, np.iinfo(np.int64).min).max(1)
        first &= (low == high)[:, None]
    member = owner[:, None] == owner[None, :]
    return np.asarray((first.astype(np.float64) @ member > 0).mean(0), np.float64)
