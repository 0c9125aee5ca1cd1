"""What the statistics take: lists, series and arrays, checked once and told in one line."""

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

FLAT = 1e-12  # returns closer than this do not vary
HALF_TICK = 0.005  # of a market quoted in cents, dollars


def numbers(values: ArrayLike, what: str, *, least: int = 1) -> Floats:
    """Return one dimension of finite numbers.

    Parameters
    ----------
    values : float (n,)
        A list, an array or a Polars series; booleans count as 0 and 1.
    what : str
        Their name in messages.
    least : int
        How many there must be.

    Raises
    ------
    UsageError
        If they are not numbers of one dimension, too few, or one is null, NaN or infinite.

    Examples
    --------
    >>> numbers([True, 0.5], "outcome").tolist()
    [1.0, 0.5]
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} cannot be read as numbers: {error}") from None
    if found.ndim != 1:
        raise UsageError(f"{what} has {found.ndim} dimensions; expected one")
    if len(found) < least:
        raise UsageError(f"{what} has {len(found)} values; expected {least} or more")
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        raise UsageError(f"{what}[{wrong[0]}] is {found[wrong[0]]}; drop what is not known")
    return found


def probabilities(values: ArrayLike, what: str, *, least: int = 1) -> Floats:
    """Return one dimension of numbers from 0 to 1.

    Raises
    ------
    UsageError
        As for `numbers`; if one is outside.

    Examples
    --------
    >>> probabilities([0, 0.25], "forecast").tolist()
    [0.0, 0.25]
    """
    found = numbers(values, what, least=least)
    wrong = np.flatnonzero((found < 0) | (found > 1))
    if len(wrong):
        raise UsageError(f"{what}[{wrong[0]}] is {found[wrong[0]]}; expected 0 to 1 dollar")
    return found


def pairs(forecast: ArrayLike, outcome: ArrayLike, *, least: int = 1) -> tuple[Floats, Floats]:
    """Return forecasts and what became of them, each from 0 to 1 and as many.

    Raises
    ------
    UsageError
        As for `probabilities`; if there are not as many of one as of the other.

    Examples
    --------
    >>> [each.tolist() for each in pairs([0.3], [1])]
    [[0.3], [1.0]]
    """
    p, y = probabilities(forecast, "forecast", least=least), probabilities(outcome, "outcome")
    aligned(forecast=p, outcome=y)
    return p, y


def aligned(**arrays: Any) -> None:
    """Refuse arrays of different lengths.

    Raises
    ------
    UsageError
        With the length of each.
    """
    if len({len(each) for each in arrays.values()}) > 1:
        told = ", ".join(f"{name} {len(each)}" for name, each in arrays.items())
        raise UsageError(f"lengths differ: {told}; expected one entry a row in each")


def labelled(labels: Any, what: str) -> pl.Series:
    """Return labels as a series, whose type sorts.

    Raises
    ------
    UsageError
        If they are of several types, or of one that has no order.

    Examples
    --------
    >>> labelled(["b", "a"], "event").to_list()
    ['b', 'a']
    """
    plain = isinstance(labels, np.ndarray) and labels.dtype != object
    try:
        found = labels if plain or isinstance(labels, pl.Series) else list(labels)
        series = pl.Series(found)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{what} cannot be read as labels of one type: {error}") from None
    if series.dtype.is_nested() or series.dtype == pl.Object:
        raise UsageError(f"{what} are {series.dtype}; expected names, numbers or times")
    return series


def codes(labels: Any, what: str, count: int) -> tuple[Codes, int]:
    """Return the places of labels in their sorted order, and how many differ.

    Parameters
    ----------
    labels : (n,)
        Names, numbers or times.
    what : str
        Their name in messages.
    count : int
        How many there must be.

    Returns
    -------
    codes : Int64 (n,)
        From 0.
    different : int

    Raises
    ------
    UsageError
        If there are more or fewer, or one is null or NaN.

    Examples
    --------
    >>> codes(["b", "a", "b"], "event", 3)
    (array([1, 0, 1]), 2)
    """
    given = labelled(labels, what)
    if len(given) != count:
        raise UsageError(f"{what} has {len(given)} labels; expected {count}, one a row")
    unknown = given.is_null() | given.is_nan() if given.dtype.is_float() else given.is_null()
    if unknown.any():
        raise UsageError(f"{what}[{unknown.arg_max()}] is null; every row belongs somewhere")
    found = given.rank("dense").to_numpy().astype(np.int64) - 1
    return found, int(found.max()) + 1 if count else 0


def sums(values: Floats, code: Codes, different: int) -> Floats:
    """Return the sums of rows (n, k) by code, (different, k).

    Examples
    --------
    >>> sums(np.array([[1.0], [2.0], [4.0]]), np.array([1, 0, 1]), 2).tolist()
    [[2.0], [5.0]]
    """
    columns = [np.bincount(code, weights=column, minlength=different) for column in values.T]
    return np.stack(columns, axis=1)


def ratio_table(values: ArrayLike, weights: ArrayLike | None) -> Floats:
    """Return values beside what their sum is divided by (n, 2): weights, or 1 for a mean.

    Raises
    ------
    UsageError
        If lengths differ, a number is null or NaN, a weight is negative, or all are 0.

    Examples
    --------
    >>> ratio_table([3.0], None).tolist()
    [[3.0, 1.0]]
    """
    v = numbers(values, "values")
    w = np.ones_like(v) if weights is None else numbers(weights, "weights")
    aligned(values=v, weights=w)
    if (w < 0).any() or not w.any():
        raise UsageError("a weight is negative, or all are 0; expected 0 or more")
    return np.stack([v, w], axis=1)


def cluster_sums(table: Floats, clusters: Any) -> Floats:
    """Return the sums of rows (n, k) by cluster, in the order of their labels.

    Raises
    ------
    UsageError
        If there are not as many labels as rows, one is null, or they are all the same.

    Examples
    --------
    >>> cluster_sums(np.array([[1.0], [2.0], [4.0]]), ["b", "a", "b"]).tolist()
    [[2.0], [5.0]]
    """
    code, count = codes(clusters, "clusters", len(table))
    if count < 2:
        raise UsageError(f"{count} cluster; expected 2 or more, between which something varies")
    return sums(table, code, count)


def level_of(level: float) -> float:
    """Return a level of confidence, refused outside 0 to 1."""
    if not 0 < level < 1:
        raise UsageError(f"level is {level}; expected above 0 and below 1, such as 0.95")
    return float(level)


def generator(seed: int) -> np.random.Generator:
    """Return the counter-based generator of a seed; zero is a seed like any other.

    Raises
    ------
    UsageError
        If it is negative.
    """
    if seed < 0:
        raise UsageError(f"seed is {seed}; expected 0 or more")
    return np.random.Generator(np.random.Philox(key=seed))


def finite(**given: float) -> None:
    """Refuse a number that is NaN or infinite, by its name.

    Raises
    ------
    UsageError
        If one is.
    """
    for name, value in given.items():
        if not math.isfinite(value):
            raise UsageError(f"{name} is {value}; expected a finite number")
