"""Where an opinion hangs on the last digit of a float."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from kalshi_bt.forecasting import Learned
from kalshi_bt.lookahead.subject import Subject
from kalshi_bt.lookahead.trial import Trial
from tests.quotes_random import START, flat


@dataclass(frozen=True)
class Far:
    """Speaks where the mid is two cents or more from its mean."""

    period: int = 20
    lookback = 20

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        mean = pl.col("mid").rolling_mean(self.period).over("ticker", order_by="time")
        return quotes.with_columns(fair=pl.when((mean - pl.col("mid")).abs() >= 0.02).then(mean))


@pytest.mark.parametrize("period", [4, 5, 20])
def test_opinions_on_an_edge_are_not_steady_and_others_are(period: int) -> None:
    steps = np.random.Generator(np.random.Philox(3)).integers(-2, 3, 3_000)
    cents = 50 + np.abs(np.cumsum(steps) % 80 - 40)
    quotes = flat([None] * len(cents)).with_columns(mid=pl.Series(cents / 100))
    subject = Subject("far", Learned([(START, Far(period))]))
    trial = Trial(subject, quotes, subject.says(quotes), (), ())
    sums = np.convolve(cents, np.ones(period, dtype=int))[: len(cents)]
    edge = np.abs(sums - period * cents) == 2 * period
    edge[: period - 1] = False
    assert edge.sum() > 20
    assert np.array_equal(trial.steady, ~edge)
