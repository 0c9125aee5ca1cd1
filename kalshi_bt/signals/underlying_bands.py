"""Bands of an underlying: where the body of its newest finished bar lies, and Wilder's indices."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.units import SECOND

__all__ = ["BandOf"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BandOf:
    """Bars of a series of prices and what is said of each, known at its end.

    A bar holds the prices after its beginning up to its end; ends are whole multiples of `seconds`
    since 1970. An interval without a price repeats the last close, as far back as `reach` periods;
    nothing is said of it.

    Parameters
    ----------
    seconds : int
        Length of a bar.
    period, reach : int
        Closes in a window; periods back beyond which a close is stale.
    include_signal_bar : bool
        Whether the window ends with the bar itself.
    said : {"beyond", "rsi", "adx"}
        The distance from the mean to the nearer end of a body that lies on one side of it, in
        population standard deviations, negative below, 0 for a body across the mean and infinite
        where closes do not vary; or an index of `signals.wilder`.
    n, memory : int
        Bars in an average of the index, and bars back with which it begins.

    Examples
    --------
    Closes of 100, 100, 100, 100 and 90 have a mean of 98 and a deviation of 4:

    >>> from kalshi_bt.schema import Time
    >>> time = pl.Series([60, 120, 180, 240, 299, 300]).cast(pl.Int64) * 1_000_000
    >>> prices = [100.0, 100.0, 100.0, 100.0, 94.0, 90.0]
    >>> known = pl.DataFrame({"symbol": "BTC", "time": time.cast(Time), "value": prices})
    >>> BandOf(60, period=5)(known)["value"].to_list()  # the body ends at 94
    [-1.0]
    """

    seconds: int = 60
    period: int = 25
    reach: int = 2
    include_signal_bar: bool = True
    said: Literal["beyond", "rsi", "adx"] = "beyond"
    n: int = 14
    memory: int = 200

    @property
    def history(self) -> float:
        """Seconds before a number that it depends on."""
        bars = self.reach * self.period if self.said == "beyond" else self.memory
        return (bars + 1) * self.seconds

    def __call__(self, known: pl.DataFrame) -> pl.DataFrame:
        """Return rows (symbol, time, value) made of prices, sorted by symbol and time."""
        from kalshi_bt.signals import wilder  # noqa: PLC0415  # loads Numba

        step = self.seconds * SECOND
        end = (pl.col("time").to_physical() + (step - 1)) // step * step
        price = pl.col("value")
        bars = (
            known.filter(price > 0)
            .group_by("symbol", end.alias("end"), maintain_order=True)
            .agg(open=price.first(), high=price.max(), low=price.min(), close=price.last())
        )
        counts = bars.group_by("symbol", maintain_order=True).len()["len"].to_numpy()
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = bars["end"].to_numpy().astype(np.int64)
        open_, high, low, close = (
            bars[name].to_numpy().astype(np.float64) for name in ("open", "high", "low", "close")
        )
        if self.said == "beyond":
            lag = self.period - self.include_signal_bar
            reach = self.reach * self.period
            value = wilder.beyond(starts, at // step, open_, close, self.period, lag, reach)
        else:
            adx = self.said == "adx"
            rule = wilder.Confirm(
                mode=wilder.FFILL, reach=self.memory, step=step, rsi_n=0 if adx else self.n,
                rsi_level=0.0, adx_n=self.n, adx_side=wilder.OFF, adx_level=0.0,
            )  # fmt: skip
            value = wilder.indices(rule, starts, open_, high, low, close, at)
        said = bars.select(
            "symbol", time=pl.col("end").cast(known.schema["time"]), value=pl.Series(value)
        )
        return said.filter(pl.col("value").is_not_nan())
