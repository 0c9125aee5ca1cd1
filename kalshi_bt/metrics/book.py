"""What metrics are computed from, and what a computed number is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from kalshi_bt.run_schema import CONTEXT, FILL_QUALITY, FORECASTS


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
    forecasts, context, fill_quality : polars.DataFrame
        Tables of `run_schema` of the same name.
    trials : sequence of float or None
        Daily Sharpe ratios of every variant tried up to this one, itself the last; None where it
        does not exist. Empty: this is the only one.
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
    forecasts: pl.DataFrame = field(default_factory=FORECASTS.empty)
    context: pl.DataFrame = field(default_factory=CONTEXT.empty)
    fill_quality: pl.DataFrame = field(default_factory=FILL_QUALITY.empty)
    trials: Sequence[float | None] = ()


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
class Interval:
    """Where a number lies with a stated confidence, and what that rests on.

    Attributes
    ----------
    low, high : float or str
        In the unit of the number; money is a string as there.
    level : float
        Confidence, such as 0.95.
    method : str
        How it was found, in words, such as ``bootstrap of whole events, 10,000 resamples``.
    clusters : str
        What is taken to be independent: event, settlement instant or day.
    n_clusters : int
        How many of them there were.
    """

    low: float | str
    high: float | str
    level: float
    method: str
    clusters: str
    n_clusters: int


@dataclass(frozen=True)
class Score:
    """A computed metric; `value` is null only together with a `reason`, money is a string."""

    value: int | float | str | None
    unit: str
    weight: str
    reason: str | None = None
    interval: Interval | None = None
