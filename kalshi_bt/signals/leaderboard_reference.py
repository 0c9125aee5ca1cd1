"""The leaderboard strategy as it is documented: a table of probabilities and orders by the piece.

Kept so that its claims can be measured. The table knows neither how many models share a rank nor
how long it is to the check, and its values do not sum to one.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ACTIONS", "Action", "buy_quantity", "fair_cents", "model_fair", "rank_probability"]

Floats = NDArray[np.float64]
_TABLE = (0.65, 0.22, 0.10, 0.06, 0.04)
_WIN_BONUS, _WIN_MOST = 0.05, 0.95
_PAIRWISE_WEIGHT, _PRELIMINARY_CUT = 0.15, 0.30
_MOST_CONTRACTS = 100
_LEAST_EDGE = 3  # cents


class Action(NamedTuple):
    """What is done about a change of the board.

    Attributes
    ----------
    contracts : tuple of str
        Which contracts: of the model, of its organisation.
    urgency : str
        How the order is worked.
    fixed_cents : int or None
        A fair value that overrides the model's; of the organisation it is the least.
    reduce : bool
        Whether a position with a negative edge, or on the former leader, is cut.
    """

    contracts: tuple[str, ...]
    urgency: str
    fixed_cents: int | None = None
    reduce: bool = False


ACTIONS: Final[Mapping[str, Action]] = {
    "new_leader": Action(("model", "organization"), "AGGRESSIVE", 65, reduce=True),
    "ranking_change": Action(("model", "organization"), "by rank", reduce=True),
    "score_shift": Action(("model",), "ADAPTIVE"),
    "new_model": Action(("model",), "by rank"),
    "pairwise_shift": Action(("model",), "ADAPTIVE"),
}


def rank_probability(rank_ub: ArrayLike) -> Floats:
    """Return the documented probability of a best rank; 0 for a rank that is not above 0.

    Parameters
    ----------
    rank_ub : float (...)
        NaN: 0.

    Examples
    --------
    >>> rank_probability([1, 5, 6, 10, 0]).round(5)
    array([0.65   , 0.04   , 0.02963, 0.01   , 0.     ])
    """
    rank = np.nan_to_num(np.asarray(rank_ub, np.float64), nan=0.0)
    listed = np.asarray(_TABLE)[np.clip(rank, 1, len(_TABLE)).astype(np.int64) - 1]
    beyond = np.maximum(0.01, _TABLE[-1] * np.exp(-0.3 * np.maximum(rank - len(_TABLE), 0.0)))
    p = np.where(rank > len(_TABLE), beyond, listed)
    return np.asarray(np.where(rank > 0, p, 0.0))


def model_fair(
    rank_ub: ArrayLike,
    wins: ArrayLike,
    preliminary: ArrayLike,
    battles: ArrayLike = 0,
    win_rate: ArrayLike = 0.5,
) -> Floats:
    """Return the documented probability that a model, or an organisation by its best, is on top.

    Parameters
    ----------
    rank_ub : float (...)
    wins : bool (...)
        Whether it wins the cascade now, on a board of at least two models all of which have votes
        and a release date (of an organisation: on any board).
    preliminary : bool (...)
    battles, win_rate : float (...)
        Pairwise battles of the model, and the share it won; not used for organisations.

    Examples
    --------
    >>> float(model_fair(1, wins=True, preliminary=False, battles=10, win_rate=0.58).round(6))
    0.712
    """
    p = rank_probability(rank_ub)
    p = np.where(np.asarray(wins), np.minimum(_WIN_MOST, p + _WIN_BONUS), p)
    fought = np.asarray(battles) > 0
    tilt = _PAIRWISE_WEIGHT * (np.asarray(win_rate, np.float64) - 0.5)
    p = np.where(fought, np.clip(p + tilt, 0.0, 1.0), p)
    return np.asarray(np.where(np.asarray(preliminary), p * (1 - _PRELIMINARY_CUT), p))


def fair_cents(p: ArrayLike) -> NDArray[np.int64]:
    """Return a probability in whole cents, 1 to 99.

    Examples
    --------
    >>> fair_cents([0.712, 0.4984, 0.001])
    array([71, 50,  1])
    """
    return np.clip(np.rint(100 * np.asarray(p, np.float64)), 1, 99).astype(np.int64)


def buy_quantity(fair: int, price: int, position: int = 0) -> int:
    """Return how many contracts are bought at a price, whole cents; 0 where it is not worth it.

    Parameters
    ----------
    fair, price : int
        Cents.
    position : int
        Contracts held, signed.

    Notes
    -----
    The edge is measured before the fee and held against the larger of the fee of a contract and
    three cents, which is the mistake that the corrected strategy does not repeat.

    Examples
    --------
    >>> buy_quantity(70, 52)
    16
    """
    edge = fair - price
    quantity = min(1 + max(0, edge - _LEAST_EDGE), _MOST_CONTRACTS - abs(position))
    if edge <= 0 or quantity <= 0:
        return 0
    fee = math.ceil(0.07 * quantity * price * (100 - price) / 100 - 1e-9)
    return quantity if edge >= max(math.ceil(fee / quantity), _LEAST_EDGE) else 0
