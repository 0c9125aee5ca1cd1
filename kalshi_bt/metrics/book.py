"""What metrics are computed from, and what a computed number is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from kalshi_bt.run_schema import CONTEXT, CONTROLS, FILL_QUALITY, FORECASTS

T = TypeVar("T")


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
    forecasts, context, fill_quality, controls : polars.DataFrame
        Tables of `run_schema` of the same name.
    trials : sequence of float or None
        Daily Sharpe ratios of every variant tried up to this one, itself the last; None where it
        does not exist. Empty: this is the only one.
    trial_days : sequence of sequence of int
        Micro-dollars that each of the variants with the same days made of each day, this run's the
        last; empty if the days are not known.
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
    controls: pl.DataFrame = field(default_factory=CONTROLS.empty)
    trials: Sequence[float | None] = ()
    trial_days: Sequence[Sequence[int]] = ()
    _known: dict[Callable[..., Any], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, compute: Callable[["Book"], T]) -> T:
        """Return what `compute` makes of this book, computed for the first metric that asks.

        Examples
        --------
        >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
        >>> idle = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
        ...             trades_closed=TRADES_CLOSED.empty(), initial_cash=0)
        >>> def rows(book: Book) -> list[int]:
        ...     return [book.fills.height]
        >>> idle.once(rows) is idle.once(rows)
        True
        """
        if compute not in self._known:
            self._known[compute] = compute(self)
        found: T = self._known[compute]
        return found


@dataclass(frozen=True)
class Undefined:
    """A number that does not exist, and why."""

    reason: str


Value = int | float | Undefined


@dataclass(frozen=True)
class Metric:
    """A registered number.

    Attributes
    ----------
    function : callable
        Computes it from a book.
    unit : str
    weight : str
        What counts once in it: a trade, a contract, a dollar, an event, a day, a market.
    doc : str
        What it means, in one sentence.
    reference : str
        A DOI or an address; ``arithmetic`` where the definition says all.
    headline : bool
        Whether it is told first: then with an interval, or the reason why it has none.
    """

    function: Callable[[Book], Value]
    unit: str
    weight: str
    doc: str
    reference: str = "arithmetic"
    headline: bool = False


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
    """A computed metric; `value` is null only together with a `reason`, money is a string.

    An `interval` that does not exist where a metric should have one is null with its own reason.
    """

    value: int | float | str | None
    unit: str
    weight: str
    reason: str | None = None
    interval: Interval | None = None
    interval_reason: str | None = None
