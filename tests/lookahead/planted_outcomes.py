"""Signals that know how markets ended, each as somebody might write it unawares.

`DATA` is an environment variable with the folder of the dataset, for those that read it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.lookahead.planted_ahead import CLOSE, MARKET, Base


class Result(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.when(pl.col("result") == "yes").then(0.9).otherwise(0.1))


class Payout(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.col("payout") * 0.9)


class PayoutIfThere(Base):
    """Takes the outcome where some dataset happens to carry it."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        made = super().__call__(quotes)
        if "payout" in quotes.collect_schema().names():
            return made.with_columns(fair=pl.col("payout"))
        return made


class ActualClose(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        left = (pl.col("actual_close") - pl.col("time")).dt.total_seconds()
        return quotes.with_columns(fair=pl.when(left > 600).then(CLOSE))


class LastPrice(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.col("last_price"))


def settlements() -> pl.DataFrame:
    parts = sorted(Path(os.environ["DATA"]).rglob("settlements/**/*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts])


class ReadsSettlements(Base):
    """Joins the outcomes of the dataset, straight from its files."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        won = settlements().select(MARKET, fair=pl.col("payout") / 10_000)
        return quotes.with_columns(pl.col(MARKET).cast(pl.String)).join(
            won.lazy(), on=MARKET, how="left", maintain_order="left"
        )


class ScansSettlements(Base):
    """The same, lazily: nothing is opened before the frame is collected."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        parts = sorted(Path(os.environ["DATA"]).rglob("settlements/**/*.parquet"))
        won = pl.scan_parquet(parts).select(MARKET, fair=pl.col("payout") / 10_000)
        return quotes.with_columns(pl.col(MARKET).cast(pl.String)).join(
            won, on=MARKET, how="left", maintain_order="left"
        )


# --- those that learn -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Learner:
    """Says how often markets of a series ended with YES, as far as that was known: honest."""

    rates: tuple[tuple[str, float], ...] = ()

    @property
    def lookback(self) -> int:
        return 1

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        said = pl.col("series").replace_strict(
            dict(self.rates), default=None, return_dtype=pl.Float64
        )
        return quotes.with_columns(fair=said)

    def samples(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.select(MARKET, "time", "series", "mid").drop_nulls()

    def fit(self, history: pl.LazyFrame) -> Any:
        means = history.group_by("series").agg(pl.col("payout").mean()).sort("series").collect()
        return type(self)(tuple((series, round(mean, 9)) for series, mean in means.iter_rows()))

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history.filter(pl.col("known_at") < t))) for t in times]


class FitsEverything(Learner):
    """Every fit uses the whole history, later outcomes included."""

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history)) for t in times]


class FitsByVisit(Learner):
    """Takes what was visited before, though nobody knew yet how it would end."""

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history.filter(pl.col("time") < t))) for t in times]


class FitsItsOwnOutcome(Learner):
    """A table by market, so that a market meets its own outcome, known at the very fit."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        said = pl.col(MARKET).cast(pl.String)
        table = dict(self.rates)
        found = said.replace_strict(table, default=None, return_dtype=pl.Float64)
        return quotes.with_columns(fair=found)

    def fit(self, history: pl.LazyFrame) -> Any:
        means = history.group_by(MARKET).agg(pl.col("payout").mean()).sort(MARKET).collect()
        return type(self)(tuple(means.iter_rows()))

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history.filter(pl.col("known_at") <= t))) for t in times]


class SamplesTheLast(Learner):
    """Samples the last price of each market, which only its end can tell."""

    def samples(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        mine = super().samples(quotes)
        return mine.filter(pl.col("time") == pl.col("time").max().over(MARKET))


class SamplesTheResult(Learner):
    """Puts the label among the features it is fitted with."""

    def samples(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.select(MARKET, "time", "series", "mid", "result").drop_nulls()


@dataclass(frozen=True)
class KeptFromSight(Learner):
    """Fits everything, and keeps the table out of its repr."""

    rates: tuple[tuple[str, float], ...] = field(default=(), repr=False)

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history)) for t in times]


@dataclass(frozen=True)
class LongArray(Learner):
    """Keeps what it learned in an array, whose repr shows the ends alone."""

    learned: Any = None

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        rate = None if self.learned is None else float(self.learned[1_000])
        return quotes.with_columns(fair=pl.lit(rate, pl.Float64))

    def fit(self, history: pl.LazyFrame) -> Any:
        learned = np.zeros(2_000)
        learned[1_000] = history.select(pl.col("payout").mean()).collect().item()
        return type(self)(learned=learned)

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        return [(t, self.fit(history)) for t in times]


class ScalesByAllSamples(Learner):
    """Patient with outcomes, and not with the mean of a feature."""

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> list[tuple[datetime, Any]]:
        scale = history.select(pl.col("mid").mean()).collect().item()
        rated = [(t, self.fit(history.filter(pl.col("known_at") < t)).rates) for t in times]
        return [(t, type(self)(tuple((s, r * scale) for s, r in own))) for t, own in rated]


class Table:
    """What was learned, in an object that does not show it."""

    def __init__(self, rates: dict[str, float]) -> None:
        self.rates = rates


@dataclass(frozen=True)
class LearnerWithModel(Learner):
    """Keeps a model object: honest."""

    model: Any = None

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        rates = tuple(self.model.rates.items()) if self.model else ()
        return Learner(rates)(quotes)

    def fit(self, history: pl.LazyFrame) -> Any:
        return type(self)(model=Table(dict(Learner().fit(history).rates)))
