"""Sharpe ratios of more periods than one: how they grow, and their error if returns are normal."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import FLAT, Floats, numbers

__all__ = ["autocorrelations", "lo_factor", "lo_standard_error"]


def lo_standard_error(sharpe: ArrayLike, n: ArrayLike) -> Any:
    """Return the standard error of Sharpe ratios of independent normal returns.

    Parameters
    ----------
    sharpe : float (...)
        Per period.
    n : float (...)
        Periods, above 0.

    Returns
    -------
    float or Float64 (...)
        sqrt((1 + SR^2/2)/n).

    Raises
    ------
    UsageError
        If `n` is not above 0 or a ratio is not finite.

    References
    ----------
    A. W. Lo, The statistics of Sharpe ratios, Financial Analysts Journal 58, 2002,
    doi:10.2469/faj.v58.n4.2453. Test: ``lo_se_iid``.

    Examples
    --------
    >>> round(lo_standard_error(0.5, 60), 6)
    0.136931
    """
    ratio, size = np.asarray(sharpe, np.float64), np.asarray(n, np.float64)
    if not (np.isfinite(ratio).all() and np.isfinite(size).all() and (size > 0).all()):
        raise UsageError("a Sharpe ratio is not finite or a number of periods is not above 0")
    found: Floats = np.sqrt((1 + ratio**2 / 2) / size)
    return found if found.ndim else float(found)


def autocorrelations(returns: ArrayLike, lags: int) -> Floats:
    """Return how returns go with those of 1 to so many periods before.

    Parameters
    ----------
    returns : float (n,)
        One a period, more than `lags`.
    lags : int
        At least 1.

    Returns
    -------
    Float64 (lags,)
        In [-1, 1].

    Raises
    ------
    UsageError
        If there are too few, they do not vary, or one is null, NaN or infinite.

    Examples
    --------
    >>> autocorrelations([1, -1, 1, -1], 2).tolist()
    [-0.75, 0.5]
    """
    if lags < 1:
        raise UsageError(f"lags is {lags}; expected 1 or more")
    r = numbers(returns, "returns", least=lags + 1)
    if np.ptp(r) <= FLAT:
        raise UsageError("the returns do not vary: no autocorrelation exists")
    e = r - r.mean()
    found: Floats = np.array([e[lag:] @ e[:-lag] for lag in range(1, lags + 1)]) / (e @ e)
    return found


def lo_factor(
    q: int, autocorrelations: ArrayLike | None = None, *, rho: ArrayLike | None = None
) -> Any:
    """Return by what a Sharpe ratio grows from one period to q of them, sqrt(q) if independent.

    Parameters
    ----------
    q : int
        Periods put together, at least 1: 365 from days to a year.
    autocorrelations : float (k,) or float, optional
        Of 1 to k periods; those of longer lags are taken as 0, those beyond q - 1 do not count. A
        single number is a `rho`.
    rho : float (...), optional
        In place of them: first autocorrelations of AR(1) returns, in (-1, 1).

    Returns
    -------
    float or Float64 (...)
        One a `rho`.

    Raises
    ------
    UsageError
        If both or none is given, one is outside [-1, 1], or q periods together would have no
        variance, as estimated autocorrelations may have it.

    Notes
    -----
    q/sqrt(q + 2 sum_{k<q} (q - k) rho_k).

    References
    ----------
    As for `lo_standard_error`: 4.17, 3.46 and 2.88 for rho of -0.2, 0 and 0.2 and q of 12. Test:
    ``lo_eta_ar1``.

    Examples
    --------
    >>> round(lo_factor(12, 0.2), 2), round(lo_factor(12, [0.2]), 2)
    (2.88, 2.96)
    """
    if q < 1 or q != int(q):
        raise UsageError(f"q is {q}; expected a whole number of 1 or more periods")
    if (autocorrelations is None) == (rho is None):
        raise UsageError("lo_factor needs either the autocorrelations or one rho")
    if autocorrelations is not None and np.ndim(autocorrelations) == 0:
        autocorrelations, rho = None, autocorrelations
    lag = np.arange(1, int(q), dtype=np.float64)
    if rho is not None:
        first = np.asarray(rho, np.float64)
        if not (np.abs(first) < 1).all():
            raise UsageError("a rho of AR(1) returns is not inside (-1, 1)")
        series = np.power(first[..., None], lag)
    else:
        given = numbers(np.asarray(autocorrelations), "autocorrelations", least=0)[: len(lag)]
        if (np.abs(given) > 1).any():
            raise UsageError("an autocorrelation is outside -1 to 1")
        series = np.pad(given, (0, len(lag) - len(given)))
    variance = q + 2 * series @ (q - lag)
    if (variance <= 0).any():
        raise UsageError(f"these autocorrelations leave {q} periods together no variance")
    found: Floats = np.asarray(q / np.sqrt(variance))
    return found if found.ndim else float(found)
