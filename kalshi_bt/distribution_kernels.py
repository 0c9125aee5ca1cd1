"""Compiled loops of `kalshi_bt.distributions`."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROOT = math.sqrt(2.0)


@njit(cache=True, nogil=True, error_model="numpy")
def normal(x: Floats, found: Floats) -> None:
    """Write Φ of each number."""
    for i in range(len(x)):
        found[i] = 0.5 * math.erfc(-x[i] / _ROOT)
