"""How far a price is from the mean of its samples, and whether they show that it comes back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "fit_before"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FASTEST = 0.01  # least phi: a sample that forgets the one before it


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What was watched before some bars; arrays (k,), NaN where samples do not tell.

    Attributes
    ----------
    level, mean : Float64
        What the bar itself saw, and the mean of what was seen before.
    z : Float64
        The distance between them in spreads; NaN for a level that never moved.
    speed : Float64
        Part of the distance that is lost a second; 0 where no reversion is shown.
    step : Float64
        Seconds from a sample to the next.
    """

    level: Floats
    mean: Floats
    z: Floats
    speed: Floats
    step: Floats

    def __getitem__(self, some: NDArray[Any]) -> "Fit":
        """Return the same of some of the bars."""
        arrays = (self.level, self.mean, self.z, self.speed, self.step)
        return Fit(*(array[some] for array in arrays))


def fit_before(
    starts: Ints,
    rows: Ints,
    low: Ints,
    at: Ints,
    level: Floats,
    lookback: float,
    coverage: float,
    least: int,
    min_t: float,
) -> Fit:
    """Return what the samples before some rows of many markets come to.

    Parameters
    ----------
    starts, rows, low, at
        As for `volatility.variance_of_rows`.
    level : Float64 (n,)
        What is watched, NaN for no sample.
    lookback, coverage, least
        Seconds of samples, and the share of them and the number of samples that it takes.
    min_t : float
        Least t of a reversion.

    Examples
    --------
    >>> ten = np.array([1.0, -1.0] * 5 + [2.0])
    >>> second = np.arange(11) * 1_000_000
    >>> one = fit_before(np.array([0, 11]), np.array([10]), np.array([0]), second, ten, 60, 0, 5, 2)
    >>> one.mean.item(), one.z.item()
    (0.0, 2.0)
    """
    from kalshi_bt.signals import reversion_kernels as kernels  # noqa: PLC0415  # loads Numba

    found = np.full((5, len(rows)), np.nan)
    kernels.autoregression(
        starts, rows, low, at, level, float(lookback), float(coverage), least, found
    )
    mean, spread, phi, t, step = found
    own = level[rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(spread > 0, (own - mean) / spread, np.nan)
        shown = (t > min_t) & (phi < 1)
        speed = np.where(shown, -np.log(np.maximum(phi, _FASTEST)) / step, 0.0)
    return Fit(own, mean, z, speed, step)
