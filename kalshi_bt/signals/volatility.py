"""Variance of a price from samples at irregular times, newest weighted most.

With r_i the log return that ends at t_i and took dt_i seconds, and h the half-life,

    variance per second = Σ w_i·r_i² / Σ w_i·dt_i,  w_i = 2^(−(t − t_i)/h).

A sample that repeats the one before it (the same value, known since the same time) is no sample: an
unchanged price that was looked at twice would count as calm. Returns over gaps too long to say
anything about the present are left out.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from kalshi_bt import schema
from kalshi_bt.units import SECOND

__all__ = [
    "RECURSIONS",
    "Recursion",
    "VarianceOf",
    "ewma_variance",
    "variance_of_rows",
    "volatility_rows",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Recursion = Literal["elapsed", "unbiased", "seeded", "zero", "reversed"]
RECURSIONS: Final = ("elapsed", "unbiased", "seeded", "zero", "reversed")  # as kernels number them


def ewma_variance(
    time: ArrayLike,
    price: ArrayLike,
    half_life: float = 120.0,
    *,
    max_gap: float = 300.0,
    recursion: Recursion = "elapsed",
    step: float = 1.0,
) -> Floats:
    """Return the variance per second known at each sample of one price.

    Parameters
    ----------
    time : Int64 (n,)
        Microseconds, not falling.
    price : Float64 (n,)
        Above 0; NaN for none.
    half_life : float
        Seconds after which a return counts half.
    max_gap : float
        Seconds; a return over more is left out.
    recursion : {"elapsed", "unbiased", "seeded", "zero", "reversed"}
        ``elapsed`` is the formula above. The others forget by the sample, each taken for `step`
        seconds: from the oldest return on, divided by what n samples can weigh (``unbiased``), with
        the first square as start (``seeded``) or 0 (``zero``, too low at first); ``reversed`` is
        ``zero`` run from the newest return to the oldest, so that the oldest weighs most.
    step : float
        Seconds that a sample is taken to stand for; of no account to ``elapsed``.

    Returns
    -------
    Float64 (n,)
        NaN where no return is known.

    References
    ----------
    J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th ed., 1996, section 5.2.

    Examples
    --------
    >>> second = np.arange(3) * 1_000_000
    >>> ewma_variance(second, np.exp([0.0, 0.001, 0.001]), half_life=1.0).round(9).tolist()
    [nan, 1e-06, 3.33e-07]
    """
    at = np.asarray(time, dtype=np.int64)
    values = np.asarray(price, dtype=np.float64)
    starts = np.array([0, len(at)], dtype=np.int64)
    rows = np.arange(len(at))
    found, _, _ = variance_of_rows(
        starts, rows, 0 * rows, at, np.log(values), half_life, max_gap, recursion, step
    )
    return found


def variance_of_rows(
    starts: Ints,
    rows: Ints,
    low: Ints,
    at: Ints,
    log_price: Floats,
    half_life: float,
    max_gap: float,
    recursion: Recursion = "elapsed",
    step: float = 1.0,
    enough: int = 1,
) -> tuple[Floats, Floats, Ints]:
    """Return the variance per second at some rows of many markets, and what it rests on.

    Parameters
    ----------
    starts : Int64 (markets + 1,)
        The first row of each market, and the end of the last.
    rows : Int64 (m,)
        For which it is wanted, rising.
    low : Int64 (m,)
        The oldest row that counts for each of them.
    at : Int64 (n,)
        When the sample of a row was taken, microseconds.
    log_price : Float64 (n,)
        NaN for no sample.
    half_life, max_gap, recursion, step
        As for `ewma_variance`.
    enough : int
        Returns that are counted even where they weigh nothing any more.

    Returns
    -------
    variance : Float64 (m,)
        NaN where no return is known.
    effective : Float64 (m,)
        How many returns of equal weight would be as sure.
    number : Int64 (m,)
        Returns, `enough` or all of them.
    """
    from kalshi_bt.signals import window_kernels as kernels  # noqa: PLC0415  # loads Numba

    rate = -math.log(2.0) / half_life
    parts = 32 if recursion == "reversed" else 4  # of a half-life; a reversed window never fades
    rule = kernels.Rule(
        recursion=RECURSIONS.index(recursion),
        fixed=math.exp(rate * step),
        rate=rate,
        step=float(step),
        max_gap=float(max_gap),
        length=max(int(parts * half_life * SECOND), 1),
        enough=enough,
    )
    variance, effective = np.empty(len(rows)), np.empty(len(rows))
    number = np.empty(len(rows), np.int64)
    kernels.ewma(rule, starts, rows, low, at, log_price, variance, effective, number)
    return variance, effective, number


def volatility_rows(
    references: pl.DataFrame,
    half_life: float = 120.0,
    *,
    max_gap: float = 300.0,
    field: str = "close",
    said: str = "volatility",
) -> pl.DataFrame:
    """Return the volatility of prices as references of their own, known when the price was.

    A market's own bars are few; the prices behind them, one a second or a minute, are many, and
    reach back before the market opened.

    Parameters
    ----------
    references : frame of `schema.REFERENCES`
        Prices; rows of other fields are ignored.
    half_life, max_gap
        As for `ewma_variance`.
    field, said : str
        The field of the prices, and of the rows returned.

    Returns
    -------
    frame of `schema.REFERENCES`
        One row for each price with a return before it; the value is the standard deviation of a
        one-second log return.
    """
    rows = references.filter(pl.col("field") == field, pl.col("value") > 0).sort(
        "source", "symbol", "time"
    )
    variance, _ = _running(rows, ("source", "symbol"), half_life, max_gap)
    made = rows.with_columns(
        field=pl.lit(said), value=pl.Series(np.sqrt(variance)).fill_nan(None), text=pl.lit(None)
    )
    return schema.REFERENCES.filled(
        made.drop_nulls("value").cast({"text": pl.String}).select(list(schema.REFERENCES.columns))
    )


@dataclass(frozen=True, slots=True)
class VarianceOf:
    """What the prices behind the bars say of volatility, one row for each price with a return.

    Parameters
    ----------
    half_life, max_gap : float
        As for `ewma_variance`.
    said : {"volatility", "returns"}
        The standard deviation of a one-second log return, or how many returns of equal weight
        would be as sure.

    Notes
    -----
    It looks back 40 half-lives and one gap: what lies before weighs less than 1e-12.

    Examples
    --------
    >>> time = pl.Series(range(0, 3_000_000, 1_000_000)).cast(schema.Time)
    >>> known = pl.DataFrame({"symbol": "BTC", "time": time, "value": np.exp([0.0, 1e-3, 1e-3])})
    >>> VarianceOf(half_life=1.0)(known)["value"].round(6).to_list()  # 1e-6, then a third of it
    [0.001, 0.000577]
    """

    half_life: float = 120.0
    max_gap: float = 300.0
    said: Literal["volatility", "returns"] = "volatility"

    @property
    def history(self) -> float:
        """Seconds before a number that it depends on."""
        return 40 * self.half_life + self.max_gap

    def __call__(self, known: pl.DataFrame) -> pl.DataFrame:
        """Return rows (symbol, time, value) made of prices, sorted by symbol and time."""
        rows = known.filter(pl.col("value") > 0)
        variance, effective = _running(rows, ("symbol",), self.half_life, self.max_gap)
        value = np.sqrt(variance) if self.said == "volatility" else effective
        some = ~np.isnan(variance)
        return rows.with_columns(value=pl.Series(value)).filter(pl.Series(some))


def _running(
    rows: pl.DataFrame, by: tuple[str, ...], half_life: float, max_gap: float
) -> tuple[Floats, Floats]:
    """Return variance per second and effective number of returns of prices, sorted by series."""
    from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

    ends = rows.group_by(by, maintain_order=True).len()["len"].to_numpy()
    starts = np.concatenate([[0], np.cumsum(ends)]).astype(np.int64)
    at = rows["time"].to_physical().to_numpy().astype(np.int64)
    prices = np.log(rows["value"].to_numpy())
    variance, effective = np.empty(len(at)), np.empty(len(at))
    kernels.running(starts, at, prices, max_gap, half_life, variance, effective)
    return variance, effective
