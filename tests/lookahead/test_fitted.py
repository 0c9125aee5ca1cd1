"""Whether two fits came to the same, part by part."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.lookahead.fitted import alike


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(frozen=True, slots=True)
class Slotted:
    value: Any = field(default=None, repr=False)


def line(slope: float) -> Callable[[float], float]:
    return lambda x: slope * x


WRAPPED: dict[str, Callable[[float], Any]] = {
    "number": float,
    "numpy number": np.float64,
    "list": lambda x: [1, x],
    "dict": lambda x: {"a": (x, None)},
    "array": lambda x: np.append(np.zeros(5_000), [x] + [0.0] * 5_000),
    "objects": lambda x: np.array([None, x], dtype=object),
    "series": lambda x: pl.Series([0.0] * 100 + [x] + [0.0] * 100),
    "frame": lambda x: pl.DataFrame({"a": [0.0] * 100 + [x] + [0.0] * 100}),
    "object": Plain,
    "slots": Slotted,
    "nested": lambda x: Plain([Slotted({"a": np.array([x])})]),
    "closure": line,
    "polynomial": lambda x: np.poly1d([1.0, x]),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=list(WRAPPED))
def test_what_differs_inside_differs(wrap: Callable[[float], Any]) -> None:
    assert alike(wrap(0.5), wrap(0.5))
    assert alike(wrap(0.1 + 0.2), wrap(0.3))  # rounding
    assert alike(wrap(float("nan")), wrap(float("nan")))
    assert not alike(wrap(0.5), wrap(0.5 + 1e-7))


def test_atoms_and_moments() -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    assert alike({now, "a"}, {"a", now})
    assert not alike(now, now.replace(hour=1))
    assert not alike(1, 1.0)
    assert not alike([1], [1, 2])
    assert not alike({"a": 1}, {"b": 1})
    assert not alike(np.zeros(3), np.zeros(4))


def test_a_thing_that_holds_itself_ends() -> None:
    first, second = [1.0], [1.0]
    first.append(first)  # type: ignore[arg-type]
    second.append(second)  # type: ignore[arg-type]
    assert alike(first, second)
