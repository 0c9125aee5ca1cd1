"""What metrics are computed from, and what a computed number is."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Book:
    """The tables of a run from which its metrics are computed.

    Attributes
    ----------
    orders, fills, trades_closed, equity : polars.DataFrame
        Tables of the schema of the same name.
    initial_cash : int
        Micro-dollars at the start.
    quarantined_rows : int
        Rows of the data that were set aside.
    unsettled : int
        Positions still open at the end.
    unsettled_value : int
        Micro-dollars of those positions at the end, at the bid or at the payout determined.
    determined : int
        Those of them whose result was determined and not yet paid.
    """

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades_closed: pl.DataFrame
    equity: pl.DataFrame
    initial_cash: int
    quarantined_rows: int = 0
    unsettled: int = 0
    unsettled_value: int = 0
    determined: int = 0


@dataclass(frozen=True)
class Undefined:
    """A number that does not exist, and why."""

    reason: str


Value = int | float | Undefined


@dataclass(frozen=True)
class Metric:
    """A registered number: how it is computed, its unit, what counts once in it, what it means."""

    function: Callable[[Book], Value]
    unit: str
    weight: str
    doc: str


@dataclass(frozen=True)
class Score:
    """A computed metric; `value` is null only together with a `reason`, money is a string."""

    value: int | float | str | None
    unit: str
    weight: str
    reason: str | None = None
