"""Signals that depend on more than the rows of their own market, or say more than they give.

`DATA` is an environment variable with the folder of the dataset, for those that read it.
"""

import os
import random  # noqa: TID251
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.lookahead.planted_ahead import CLOSE, MARKET, PRICE, Base


@dataclass(frozen=True)
class OtherEvents(Base):
    """A scale from all markets of a series, finished ones and others."""

    def fair(self) -> pl.Expr:
        return (PRICE / PRICE.max().over("series")).clip(0, 1)


@dataclass(frozen=True)
class ForgottenOver(Base):
    """The row above, whichever market that is of."""

    def fair(self) -> pl.Expr:
        return PRICE.shift(1)


@dataclass(frozen=True)
class ShortLookback(Base):
    @property
    def lookback(self) -> int:
        return 20

    def fair(self) -> pl.Expr:
        return PRICE.rolling_mean(60).over(MARKET, order_by="time").clip(0, 1)


@dataclass(frozen=True)
class DroppedRows(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return super().__call__(quotes).drop_nulls("close")


@dataclass(frozen=True)
class AddedRows(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        made = super().__call__(quotes)
        return pl.concat([made, made.tail(1)])


@dataclass(frozen=True)
class SortedRows(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return super().__call__(quotes).sort("time")


@dataclass(frozen=True)
class Coin(Base):
    def fair(self) -> pl.Expr:
        return (super().fair() * 0.9 + random.random() / 10).clip(0, 1)  # noqa: S311


@dataclass(frozen=True)
class FreshGenerator(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        frame = quotes.collect()
        return frame.with_columns(fair=np.random.default_rng().random(frame.height)).lazy()


@dataclass(frozen=True)
class Clock(Base):
    """Forgets what is older than a year, as of today."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        since = datetime.now(UTC) - timedelta(days=100_000)  # noqa: TID251
        made = super().__call__(quotes)
        return made.with_columns(fair=pl.when(pl.col("time") > since).then("fair"))


@dataclass(frozen=True)
class SecondsClock(Base):
    def fair(self) -> pl.Expr:
        return pl.lit(time.time() % 1)  # noqa: TID251


@dataclass(frozen=True)
class LocalClock(Base):
    """Believes less on some days of the week."""

    def fair(self) -> pl.Expr:
        return super().fair() * (0.5 if time.localtime().tm_wday >= 5 else 0.9)


@dataclass(frozen=True)
class HourHere(Base):
    """The hour of the bar, as the clocks show it where the machine stands."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        seconds = pl.col("time").dt.epoch("s")
        hour = seconds.map_elements(lambda t: time.localtime(t).tm_hour, pl.Int64)
        return super().__call__(quotes).with_columns(fair=(hour / 24).clip(0, 1))


@dataclass(frozen=True)
class ReadsText(Base):
    """A file of weights that anybody may change after the fact."""

    def fair(self) -> pl.Expr:
        weight = float((Path(os.environ["DATA"]).parent / "weights.txt").read_text("utf-8"))
        return super().fair() * weight


_FIRST: dict[str, float] = {}


@dataclass(frozen=True)
class RemembersFirstMean(Base):
    """Scales by the mean of the first frame it was ever given."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        if "mean" not in _FIRST:
            _FIRST["mean"] = float(quotes.select(pl.col("mid").mean()).collect().item())
        return quotes.with_columns(fair=(CLOSE - _FIRST["mean"] + 0.5).clip(0, 1))


@dataclass(frozen=True)
class CountsCalls(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        _CALLS.append(1)
        return quotes.with_columns(fair=(CLOSE * 0.5 + 0.001 * len(_CALLS)).clip(0, 1))


_CALLS: list[int] = []


@dataclass(frozen=True)
class Lookup(Base):
    """Looks the end of the day up by its time: without the row there is nothing to take."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        frame = quotes.collect()
        ends = frame.group_by(MARKET).agg(pl.col("time").max())
        late = frame.join(ends, on=[MARKET, "time"]).filter(pl.col("time") > NINE)
        return super().__call__(frame.lazy()).with_columns(fair=pl.lit(late["mid"][0]))


NINE = datetime(2026, 5, 4, 21, tzinfo=UTC)
