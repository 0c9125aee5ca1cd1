"""Whether two fits came to the same, whatever they keep what they learned in."""

import math
from types import FunctionType
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.lookahead.compare import TOLERANCE

_ATOMS = (str, bytes, int, type, type(None), set, frozenset)


def alike(a: Any, b: Any, depth: int = 20) -> bool:
    """Tell whether two values are equal part by part; floats may differ by rounding.

    A repr will not do: it leaves fields out, shortens arrays, and shows where an object lies.

    Examples
    --------
    >>> alike((0.1 + 0.2, {"a": [1]}), (0.3, {"a": [1]})), alike(np.zeros(9), np.ones(9))
    (True, False)
    """
    if type(a) is not type(b):
        return False
    if a is b or depth == 0:
        return True
    if isinstance(a, _ATOMS):
        return bool(a == b)
    if isinstance(a, float) or (isinstance(a, np.ndarray) and a.dtype.kind == "f"):
        return _close(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(alike(x, y, depth - 1) for x, y in zip(a, b, strict=True))
    return alike(_parts(a), _parts(b), depth - 1)


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float):
        close = math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        return close or (math.isnan(a) and math.isnan(b))
    return a.shape == b.shape and np.allclose(a, b, TOLERANCE, TOLERANCE, equal_nan=True)


def _parts(value: Any) -> Any:
    """Return what an object is made of, as a copy of it would be."""
    if isinstance(value, pl.DataFrame):
        return value.to_dict(as_series=False)
    if isinstance(value, dict):  # the order in which it was filled is no part of it
        return sorted(value.items(), key=lambda item: repr(item[0]))
    if isinstance(value, np.ndarray | pl.Series):
        return [str(value.dtype), value.tolist() if isinstance(value, np.ndarray) else list(value)]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__.co_code, value.__defaults__, value.__kwdefaults__, cells]
    try:
        return list(value.__reduce_ex__(2)[1:3])
    except (TypeError, AttributeError):
        return type(value).__qualname__
