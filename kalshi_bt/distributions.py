"""Distribution functions on arrays: the normal, and Student's t with a variance of one."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["normal_cdf", "student_cdf"]

Floats = NDArray[np.float64]

_TINY = 1e-300


def normal_cdf(x: ArrayLike) -> Floats:
    """Return Φ(x) elementwise by the C library's ``erfc``, exact to about 1e-16; NaN stays NaN.

    Examples
    --------
    >>> normal_cdf([-np.inf, 0.0, 1.0]).round(6).tolist()
    [0.0, 0.5, 0.841345]
    """
    from kalshi_bt import distribution_kernels as kernels  # noqa: PLC0415  # loads Numba

    array = np.asarray(x, dtype=np.float64)
    found = np.empty(array.size)
    kernels.normal(array.ravel(), found)
    return found.reshape(array.shape)


def student_cdf(z: ArrayLike, nu: float) -> Floats:
    """Return the distribution function of a Student t scaled to variance one.

    Parameters
    ----------
    z : array
        In standard deviations; NaN stays NaN.
    nu : float
        Degrees of freedom, above 2: below, there is no variance.

    Notes
    -----
    F(z·√(nu/(nu − 2))) with F the usual distribution. For |z| below about 1.9 this moves a
    probability towards the favourite, beyond it away.

    References
    ----------
    W. H. Press et al., Numerical Recipes, 3rd ed., section 6.4 (incomplete beta function).

    Examples
    --------
    >>> student_cdf([0.5, 2.0, -1.5], 4).round(6).tolist()
    [0.740741, 0.97629, 0.050596]
    """
    array = np.asarray(z, dtype=np.float64)
    squared = array * array / (nu - 2)
    inside = 1 / (1 + squared)  # nu / (nu + t²)
    # The fraction converges fast below this point, its mirror image above.
    near = inside >= (nu / 2 + 1) / (nu / 2 + 2.5)
    with np.errstate(invalid="ignore"):
        beyond = np.where(
            near,
            1 - _beta_ratio(0.5, nu / 2, np.where(near, squared / (1 + squared), 0.0)),
            _beta_ratio(nu / 2, 0.5, np.where(near, 0.0, inside)),
        )
    tail = 0.5 * np.where(np.isinf(array), 0.0, beyond)
    found: Floats = np.where(np.isnan(array), np.nan, np.where(array > 0, 1 - tail, tail))
    return found


def _beta_ratio(a: float, b: float, x: Floats) -> Floats:
    """Return the regularised incomplete beta function I_x(a, b) by its continued fraction."""
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - math.log(a)
    with np.errstate(divide="ignore"):
        scale = np.exp(front + a * np.log(x) + b * np.log1p(-x))
    c, d = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    h = d.copy()
    going = np.ones(x.shape, dtype=np.bool_)  # each by itself: no entry depends on the others
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = np.ones_like(x)
        for part in (even, odd):
            d = 1 + part * d
            d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = 1 + part / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            step = c * d
            h = np.where(going, h * step, h)
        going &= np.abs(step - 1) >= 1e-15
        if not going.any():
            break
    return scale * h
