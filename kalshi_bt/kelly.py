"""Stakes that make capital grow fastest: one contract, exclusive outcomes, any set of contracts.

A stake is the fraction of the capital that is spent, fees included; a contract costs `cost` dollars
all in and pays one dollar or nothing, unless a table of payoffs says otherwise.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.units import RATE_SCALE

Floats = NDArray[np.float64]
_SLACK = 1e-9  # probabilities that come out of sums may miss 1 by this
_SMALLEST = 1e-22  # of the products that vanish at the optimum
_NEGLIGIBLE = 1e-10  # stakes of contracts that are worth exactly what they cost
_STEPS = 100  # about thirty are needed


def all_in_cost(price: ArrayLike, rate: int) -> Floats:
    """Return what a contract costs with its fee before rounding, dollars.

    Parameters
    ----------
    price : float (...)
        Of the side bought, dollars.
    rate : int
        Of the fee, parts per million.

    Examples
    --------
    >>> float(all_in_cost(0.50, 70_000))
    0.5175
    """
    p = np.asarray(price, np.float64)
    return p + rate / RATE_SCALE * p * (1 - p)


def kelly(p: ArrayLike, cost: ArrayLike) -> Floats:
    """Return the fraction of the capital to spend on one contract, (p - c) / (1 - c) or 0.

    Parameters
    ----------
    p : float (...)
        Probability that the side bought wins, in [0, 1]. NaN: no opinion, no stake.
    cost : float (...)
        All in, dollars, above 0. NaN, or 1 and more: nothing to win, no stake.

    Returns
    -------
    Float64 (...)
        In [0, 1].

    Raises
    ------
    UsageError
        If a probability is outside [0, 1] or a cost is not above 0.

    References
    ----------
    J. L. Kelly, A New Interpretation of Information Rate, Bell System Technical Journal 35, 1956,
    doi:10.1002/j.1538-7305.1956.tb03809.x.

    Examples
    --------
    >>> kelly([0.60, 0.55, 0.05], [0.50, 0.5175, 0.06]).round(6)
    array([0.2     , 0.067358, 0.      ])
    """
    p, c = _checked(p, cost)
    usable = (c < 1) & (p > c)
    stake: Floats = np.where(usable, (p - c) / np.where(usable, 1 - c, 1.0), 0.0)[
        ()
    ]  # scalars stay
    return stake


def growth(p: ArrayLike, cost: ArrayLike, stake: ArrayLike) -> Floats:
    """Return the expected logarithmic growth of capital of a stake in one contract.

    Parameters
    ----------
    p, cost : float (...)
        As for `kelly`.
    stake : float (...)
        Fraction of the capital spent, in [0, 1]; all of it is -inf unless it wins for certain.

    Examples
    --------
    >>> float(growth(0.6, 0.5, 0.2).round(7))
    0.0201355
    """
    p, c = _checked(p, cost)
    f = np.asarray(stake, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        won, lost = p * np.log1p(f * (1 - c) / c), (1 - p) * np.log1p(-f)
    return np.where(p > 0, won, 0.0) + np.where(p < 1, lost, 0.0)


def kelly_shrunk(p: ArrayLike, cost: ArrayLike, sigma: ArrayLike) -> Floats:
    """Return the Kelly stake, shrunk because the probability is an estimate.

    The factor is (p - c)^2 / ((p - c)^2 + sigma^2), the quadratic approximation of the best one.

    Parameters
    ----------
    p, cost : float (...)
        As for `kelly`.
    sigma : float (...)
        Standard error of `p`, not negative; NaN: no stake.

    Raises
    ------
    UsageError
        As for `kelly`; if a standard error is negative.

    References
    ----------
    R. D. Baker and I. G. McHale, Optimal Betting Under Parameter Uncertainty: Improving the Kelly
    Criterion, Decision Analysis 10, 2013, doi:10.1287/deca.2013.0271.

    Examples
    --------
    >>> kelly_shrunk([0.60, 0.55], 0.50, 0.05).round(6)
    array([0.16, 0.05])
    """
    full, error = kelly(p, cost), _errors(sigma)
    edge = np.asarray(p, np.float64) - np.asarray(cost, np.float64)
    usable = (full > 0) & ~np.isnan(error)
    doubt = np.where(usable, error, 0.0) / np.where(usable, edge, 1.0)
    return full * np.where(usable, 1 / (1 + doubt * doubt), 0.0)


def kelly_lcb(p: ArrayLike, cost: ArrayLike, sigma: ArrayLike, z: float = 1.0) -> Floats:
    """Return the Kelly stake at a lower confidence bound, p less z standard errors.

    Parameters
    ----------
    p, cost, sigma : float (...)
        As for `kelly_shrunk`.
    z : float
        Standard errors to take off, not negative.

    Raises
    ------
    UsageError
        As for `kelly_shrunk`; if `z` is negative.

    Examples
    --------
    >>> float(kelly_lcb(0.60, 0.50, 0.05).round(6))
    0.1
    """
    if not z >= 0:
        raise UsageError(f"z is {z}; expected 0 or more standard errors")
    p, _ = _checked(p, cost)
    return kelly(np.maximum(p - z * _errors(sigma), 0.0), cost)


def kelly_exclusive(p: ArrayLike, cost: ArrayLike) -> Floats:
    """Return the fractions to spend on outcomes of which at most one comes true.

    Outcomes enter by falling p / c while p / c > R, with R = (1 - sum p) / (1 - sum c) over those
    already in; each then gets p - R c. One with p below c can get a stake: it insures the others.

    Parameters
    ----------
    p : float (..., n)
        Probabilities of the outcomes of an event, which sum to at most 1. NaN: no opinion.
    cost : float (..., n)
        All in, dollars, above 0. NaN, or 1 and more: not on offer.

    Returns
    -------
    Float64 (..., n)
        Each in [0, 1]; their sum is at most 1, and 1 only where all outcomes together cost less
        than they are certain to pay.

    Raises
    ------
    UsageError
        If a probability is outside [0, 1], their sum is above 1, or a cost is not above 0.

    References
    ----------
    P. Smoczynski and D. Tomkins, An explicit solution to the problem of optimizing the allocations
    of a bettor's wealth when wagering on horse races, Mathematical Scientist 35, 2010.

    Examples
    --------
    >>> kelly_exclusive([0.5, 0.3, 0.2], [0.40, 0.32, 0.33]).round(6)
    array([0.214286, 0.071429, 0.      ])
    """
    p, c = _checked(p, cost)
    if p.ndim == 0:
        raise UsageError("kelly_exclusive needs the outcomes of an event, in the last dimension")
    offered = ~np.isnan(p) & (c < 1) & (p > 0)
    p, c = np.where(offered, p, 0.0), np.where(offered, c, 1.0)
    total = p.sum(-1, initial=0.0)
    if (total > 1 + _SLACK).any():
        raise UsageError(f"probabilities of exclusive outcomes sum to {total.max():.6g}, above 1")
    ratio = np.where(offered, p / c, -np.inf)
    order = np.argsort(-ratio, axis=-1, kind="stable")
    p_in, c_in = (np.take_along_axis(x, order, -1).cumsum(-1) for x in (p, c))
    # R before each outcome enters; costs of 1 and more are never reached by outcomes that enter.
    room = np.maximum(1 - np.concatenate([np.zeros_like(c_in[..., :1]), c_in[..., :-1]], -1), 0)
    left = np.maximum(1 - np.concatenate([np.zeros_like(p_in[..., :1]), p_in[..., :-1]], -1), 0)
    enters = np.take_along_axis(p, order, -1) * room > left * np.take_along_axis(c, order, -1)
    count = np.logical_and.accumulate(enters, -1).sum(-1, keepdims=True)
    if p.shape[-1] == 0:
        return p
    last = np.maximum(count - 1, 0)
    reserve = np.where(
        count > 0,
        np.maximum(1 - np.take_along_axis(p_in, last, -1), 0)
        / np.where(count > 0, 1 - np.take_along_axis(c_in, last, -1), 1.0),
        1.0,
    )
    chosen = np.empty_like(p, dtype=bool)
    np.put_along_axis(chosen, order, np.arange(p.shape[-1]) < count, -1)
    return np.where(chosen, np.maximum(p - reserve * c, 0.0), 0.0)


def kelly_program(outcome_probabilities: ArrayLike, payoffs: ArrayLike, costs: ArrayLike) -> Floats:
    """Return the fractions to spend on any set of contracts: YES and NO together, correlated ones.

    They maximise sum_s q_s ln(1 + sum_j f_j (pay_js / c_j - 1)) over f_j >= 0, sum_j f_j <= 1: what
    is bought is paid in full. Where several answers are equally good, one in their middle.

    Parameters
    ----------
    outcome_probabilities : float (m,)
        Of the states of the world, which exclude each other; they sum to 1.
    payoffs : float (n, m)
        Dollars contract j pays in state s, not negative: one row a contract. The transpose is
        recognised by its shape where n is not m.
    costs : float (n,)
        All in, dollars, above 0.

    Returns
    -------
    Float64 (n,)
        Exact to about 1e-9; 0 where a contract is not bought.

    Raises
    ------
    UsageError
        If shapes do not fit, probabilities do not sum to 1, a payoff is negative or a cost is not
        above 0.

    Notes
    -----
    Cash counts as one more asset. With r_js = pay_js / c_j and W_s = sum_j r_js f_j the optimum is
    where sum_s q_s r_js / W_s is at most 1 for every asset, and 1 for those held. A primal-dual
    interior point method follows f_j (1 - sum_s q_s r_js / W_s) down to zero.

    References
    ----------
    T. M. Cover, An Algorithm for Maximizing Expected Log Investment Return, IEEE Transactions on
    Information Theory 30, 1984, doi:10.1109/TIT.1984.1056869.

    Examples
    --------
    Two independent bets at even money, each won with 0.6:

    >>> states = [0.36, 0.24, 0.24, 0.16]
    >>> kelly_program(states, [[1, 1, 0, 0], [1, 0, 1, 0]], [0.5, 0.5]).round(6)
    array([0.192308, 0.192308])
    """
    q, returns = _program(outcome_probabilities, payoffs, costs)
    stakes: Floats = kelly_programs(q[None], returns[None])[0, 1:]
    return stakes


def kelly_programs(q: Floats, returns: Floats) -> Floats:
    """Return the answers of many programs of one shape, as `kelly_program` finds them.

    Parameters
    ----------
    q : Float64 (programs, m)
        Probabilities of the states, which sum to 1.
    returns : Float64 (programs, n, m)
        What a dollar in each asset becomes in each state; the first asset is cash, 1 throughout.

    Returns
    -------
    Float64 (programs, n)
        Fractions of the capital, cash first.

    Examples
    --------
    >>> kelly_programs(np.array([[0.6, 0.4]]), np.array([[[1.0, 1.0], [2.0, 0.0]]])).round(6)
    array([[0.8, 0.2]])
    """
    count, n, _ = returns.shape
    found: Floats = np.full((count, n), 1 / n)
    slacks: Floats = np.ones((count, n))
    open_ = np.arange(count)
    for _ in range(_STEPS):
        f, slack = found[open_], slacks[open_]
        scaled = returns[open_] / (f[:, None, :] @ returns[open_])
        gradient = 1 - (scaled @ q[open_][:, :, None])[..., 0]
        # Of -sum q ln W + sum f, whose minimum has sum f = 1.
        off = np.abs(gradient - slack).max(1) >= 1e-14 * n
        going = off | ((f * slack).max(1) >= _SMALLEST)
        if not going.any():
            break
        open_, f, slack = open_[going], f[going], slack[going]
        scaled, gradient = scaled[going], gradient[going]
        target = 0.1 * (f * slack).sum(1, keepdims=True) / n
        curvature = (scaled * q[open_][:, None, :]) @ scaled.swapaxes(1, 2)
        # Contracts that can replace each other would make the system singular.
        own = np.arange(n)
        curvature[:, own, own] += slack / f + 1e-12 * curvature[:, own, own]
        move = np.linalg.solve(curvature, (target / f - gradient)[..., None])[..., 0]
        push = (target - slack * move) / f - slack
        found[open_] = f + np.minimum(1.0, 0.995 * _room(f, move)) * move
        slacks[open_] = slack + np.minimum(1.0, 0.995 * _room(slack, push)) * push
    return np.where(found > np.maximum(slacks, _NEGLIGIBLE), found, 0.0)


def cap_groups(stakes: ArrayLike, groups: ArrayLike, cap: float) -> Floats:
    """Return stakes scaled down where those of a group together exceed a cap.

    Parameters
    ----------
    stakes : float (n,)
        Fractions of the capital, not negative.
    groups : (n,)
        What goes together: an event, a settlement time, a cycle.
    cap : float
        Fraction of the capital, not negative.

    Raises
    ------
    UsageError
        If the cap or a stake is negative or NaN.

    Examples
    --------
    >>> cap_groups([0.2, 0.3, 0.1], ["BTC", "BTC", "ETH"], 0.25)
    array([0.1 , 0.15, 0.1 ])
    """
    f = np.asarray(stakes, np.float64)
    if not cap >= 0 or not (f >= 0).all():
        raise UsageError(f"a stake or the cap {cap} is negative or not a number")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    total = np.bincount(group, weights=f)[group]
    return np.where(total > cap, f * (cap / np.where(total > cap, total, 1.0)), f)


def _program(
    outcome_probabilities: ArrayLike, payoffs: ArrayLike, costs: ArrayLike
) -> tuple[Floats, Floats]:
    """Return the probabilities of possible states, and returns by asset (cash first) and state."""
    q = np.asarray(outcome_probabilities, np.float64)
    pay, c = np.asarray(payoffs, np.float64), np.asarray(costs, np.float64)
    if q.ndim != 1 or c.ndim != 1:
        raise UsageError("outcome_probabilities and costs must each have one dimension")
    if pay.shape == (len(q), len(c)) and len(q) != len(c):
        pay = pay.T
    if pay.shape != (len(c), len(q)):
        raise UsageError(
            f"payoffs have the shape {pay.shape}; expected one row a contract: {(len(c), len(q))}"
        )
    if not (q >= 0).all() or not abs(q.sum() - 1) <= _SLACK:
        raise UsageError(f"probabilities of the states sum to {q.sum():.6g}; expected 1, none < 0")
    if not (pay >= 0).all() or not np.isfinite(pay).all():
        raise UsageError("a payoff is negative or not finite")
    if not (c > 0).all():
        raise UsageError("a cost is not above 0")
    possible = q > 0
    returns = np.vstack([np.ones(len(q)), pay / c[:, None]])[:, possible]
    return q[possible] / q.sum(), returns


def _room(value: Floats, move: Floats) -> Floats:
    """Return how far along `move` each row of positive numbers stays positive."""
    falling = move < 0
    far = np.where(falling, -value / np.where(falling, move, -1.0), np.inf)
    nearest: Floats = far.min(1, keepdims=True)
    return nearest


def _checked(p: ArrayLike, cost: ArrayLike) -> tuple[Floats, Floats]:
    """Return probabilities and costs of one shape."""
    p, c = np.broadcast_arrays(np.asarray(p, np.float64), np.asarray(cost, np.float64))
    if ((p < 0) | (p > 1)).any():
        raise UsageError(f"a probability is {p[(p < 0) | (p > 1)][0]}; expected 0 to 1")
    if (c <= 0).any():
        raise UsageError(f"a cost is {c[c <= 0][0]}; expected above 0 dollars, fees included")
    return p, c


def _errors(sigma: ArrayLike) -> Floats:
    error = np.asarray(sigma, np.float64)
    if (error < 0).any():
        raise UsageError(f"a standard error is {error[error < 0][0]}; expected 0 or more")
    return error
