"""What a run says of how its prices differ from a random walk."""

import re

import numpy as np
import polars as pl
import pytest

from kalshi_bt.signals.mean_reversion import MeanReversion
from kalshi_bt.signals.random_walks import null_scores, walk_remark
from tests.quotes_random import flat

EVENTS, BARS = 30, 120
PATTERN = (
    r"([\d.]+)% of ([\d,]+) bars lie more than 1 spreads from their mean; of a random walk "
    r"([\d.]+)% would; returns over 5 samples have ([\d.]+) of the variance of a walk's "
    r"\(standard error ([\d.]+), (\d+) events\), less where prices come back"
)


def spots(reversion: float) -> pl.DataFrame:
    """Markets of minutes whose spot walks, or comes back by a share a minute."""
    rng = np.random.Generator(np.random.Philox(key=[15, int(100 * reversion)]))
    frames = []
    for event in range(EVENTS):
        level = [0.0]
        for shock in rng.standard_normal(BARS - 1) * 1e-3:
            level.append((1 - reversion) * level[-1] + float(shock))
        bars = flat([(0.5, 0.5, 0.5, 0.5)] * BARS, event=f"E{event}", ticker=f"T{event}")
        frames.append(bars.with_columns(spot=100 * np.exp(pl.Series(level)), spot_age=pl.lit(0.0)))
    return pl.concat(frames)


def told(frame: pl.DataFrame, signal: MeanReversion) -> list[float]:
    (text,) = signal.remarks(frame.lazy())
    found = re.fullmatch(PATTERN, text)
    assert found, text
    return [float(part.replace(",", "")) for part in found.groups()]


def test_a_walk_looks_like_a_walk() -> None:
    far, bars, usual, ratio, error, events = told(spots(0.0), MeanReversion())
    # Fifteen samples span the lookback; the first ten bars of a market span too little of it.
    assert bars == pytest.approx(EVENTS * BARS, rel=0.15)
    assert usual == pytest.approx(100 * np.mean(np.abs(null_scores(15, 50_000)) > 1), abs=1.5)
    assert far == pytest.approx(usual, abs=4)
    assert abs(ratio - 1) < 3 * error
    assert events == EVENTS


def test_prices_that_come_back_have_less_variance_over_more_samples() -> None:
    _, _, _, ratio, error, _ = told(spots(0.5), MeanReversion())
    # Of an AR(1) with phi 1/2 the ratio of five is (2/5)·(1 - phi⁵)/(2·(1 - phi)) ≈ 0.39.
    assert ratio == pytest.approx(0.2 * (1 - 0.5**5) / 0.5, abs=4 * error + 0.02)


def test_looking_twice_at_a_price_is_no_sample() -> None:
    walk = spots(0.0)
    twice = pl.concat(
        [walk, walk.with_columns(pl.col("time") + pl.duration(seconds=30), spot_age=pl.lit(30.0))]
    ).sort("ticker", "time")
    once, again = (told(frame, MeanReversion())[3:] for frame in (walk, twice))
    assert once == again


def test_there_is_nothing_to_say_of_nothing_and_no_test_of_one_event() -> None:
    none = spots(0.0).with_columns(spot=pl.lit(None, pl.Float64))
    assert MeanReversion().remarks(none.lazy()) == ()
    (text,) = MeanReversion().remarks(spots(0.0).filter(event="E0").lazy())
    assert text.endswith("% would")
    no = np.zeros(0, np.int64)
    assert walk_remark(np.zeros(1, np.int64), no, np.zeros(0), np.zeros(0), 1.0, 15, no) == ""
