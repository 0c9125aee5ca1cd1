"""T14 moving variances, T15 the average that settles, T16 orders against their own edge."""

import math
from datetime import timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.pricing import averaged_seconds, digital_probability
from kalshi_bt.signals.mean_reversion import MeanReversion
from kalshi_bt.signals.volatility import ewma_variance
from kalshi_bt.strategies import STRATEGIES
from tests.quotes_random import START, flat
from tests.signals.spot_quotes import spot_quotes

PHI = NormalDist().cdf
SECOND = 1_000_000

# --- T14 ------------------------------------------------------------------------------------------

RETURNS = (0.001, -0.0005, 0.0002, 0.0015)  # the oldest first
LAMBDA = 0.94
HALF_LIFE = math.log(0.5) / math.log(LAMBDA)


def naive_reversed(returns: tuple[float, ...]) -> float:
    """From nothing, and from the newest return to the oldest."""
    variance = 0.0
    for r in reversed(returns):
        variance = LAMBDA * variance + (1 - LAMBDA) * r * r
    return variance


def naive_zero_start(returns: tuple[float, ...]) -> float:
    variance = 0.0
    for r in returns:
        variance = LAMBDA * variance + (1 - LAMBDA) * r * r
    return variance


def ours(recursion: Any = "elapsed") -> float:
    prices = np.exp(np.cumsum([0.0, *RETURNS]))
    at = SECOND * np.arange(len(prices))
    return float(ewma_variance(at, prices, half_life=HALF_LIFE, recursion=recursion)[-1])


def test_t14_the_newest_return_weighs_most_and_nothing_is_no_calm() -> None:
    for recursion in ("elapsed", "unbiased"):
        assert ours(recursion) == pytest.approx(9.1377008e-7, rel=1e-7)
    assert ours("seeded") == pytest.approx(9.81094e-7, rel=1e-5)
    assert naive_reversed(RETURNS) == pytest.approx(1.8834948e-7, rel=1e-7)
    assert naive_zero_start(RETURNS) == pytest.approx(2.0034504e-7, rel=1e-7)
    assert math.sqrt(naive_zero_start(RETURNS) / ours()) < 0.47  # 53 percent too low


def test_t14_the_variance_of_a_path_does_not_depend_on_how_often_it_was_looked_at() -> None:
    """Half an hour of a walk by the second; every fifth price, and prices at random times."""
    rng = np.random.Generator(np.random.Philox(14))
    path = np.exp(1e-4 * rng.standard_normal(1_800).cumsum())
    at = SECOND * np.arange(len(path))
    rare = np.arange(0, len(path), 5)
    uneven = np.flatnonzero(rng.random(len(path)) < 0.3)
    every = float(ewma_variance(at, path, half_life=600.0)[-1])
    assert every == pytest.approx(1e-8, rel=0.15)
    for rows in (rare, uneven):
        found = float(ewma_variance(at[rows], path[rows], half_life=600.0)[-1])
        assert found == pytest.approx(every, rel=0.25)
        returns = tuple(np.diff(np.log(path[rows])))
        naive = naive_zero_start(returns)  # a second each, whatever they were
        assert naive > 2 * every


# --- T15 ------------------------------------------------------------------------------------------

SPOT, STRIKE, LEFT, WINDOW = 150.30, 150.00, 600, 60
SIGMA = 0.80 / math.sqrt(31_557_600)  # a second


def naive_point_digital(seconds: float) -> float:
    sd = SIGMA * math.sqrt(seconds)
    return PHI((math.log(SPOT / STRIKE) - sd**2 / 2) / sd)


def simulated(draws: int) -> tuple[float, float]:
    """How often the mean of the last sixty of six hundred values is at the strike, and its error.

    The value before them is one draw; with each walk goes the one with all moves turned round.
    """
    rng = np.random.Generator(np.random.Philox(15))
    moves = rng.standard_normal((draws // 2, WINDOW + 1))
    first = math.sqrt(LEFT - WINDOW) * moves[:, :1]
    steps = np.concatenate([first, moves[:, 1:]], axis=1).cumsum(axis=1)[:, 1:]
    drift = -(SIGMA**2) / 2 * np.arange(LEFT - WINDOW + 1, LEFT + 1)
    hits = [SPOT * np.exp(drift + sign * SIGMA * steps).mean(axis=1) >= STRIKE for sign in (1, -1)]
    pairs = (hits[0].astype(float) + hits[1]) / 2
    return float(pairs.mean()), float(pairs.std(ddof=1) / math.sqrt(len(pairs)))


@pytest.mark.slow
def test_t15_a_market_that_settles_on_an_average_has_less_time_left() -> None:
    found, error = simulated(200_000)
    ours = float(digital_probability(SPOT, STRIKE, LEFT, SIGMA, window=WINDOW))
    assert error < 0.001
    assert abs(ours - found) < 4 * error
    naive = naive_point_digital(LEFT)
    assert naive == pytest.approx(0.716010, abs=1e-6)
    assert abs(naive - found) > 8 * error
    # T_eff is 560 seconds but for the steps of a second: 0.722804, simulated 0.7230.
    assert float(averaged_seconds(LEFT, WINDOW)) == pytest.approx(560, rel=2e-3)
    assert ours == pytest.approx(0.722804, abs=1e-4)
    assert naive_point_digital(560) == pytest.approx(0.722804, abs=1e-6)


# --- T16 ------------------------------------------------------------------------------------------

TEN = [99.0, 101.0] * 5  # a mean of 100 and a spread of 1
DOCUMENTED: dict[str, Any] = {
    "model": "documented", "lookback_seconds": 300.0, "coverage": 0.0, "least": 5,
}  # fmt: skip


def naive_side(z: float) -> int:
    """A price far below its mean rises: buy YES, whatever YES costs."""
    return 1 if z < -1 else -1 if z > 1 else 0


def stretched(market: float) -> pl.DataFrame:
    """The spot two spreads below its mean, the strike out of the way, YES at 85 cents."""
    spots = [*TEN, 98.0]
    last = (market,) * 4
    bars = flat(
        [last] * len(spots), seconds=30, strike_type="greater_or_equal", floor_strike=90.0,
        open_time=START, close_time=START + timedelta(seconds=30 * len(spots) + 300),
        bid=market - 0.01, ask=market + 0.01, mid=market,
    )  # fmt: skip
    return bars.with_columns(
        spot=pl.Series(spots, dtype=pl.Float64), spot_age=pl.lit(0.0, dtype=pl.Float64)
    )


def orders(frame: pl.DataFrame, signal: MeanReversion) -> pl.DataFrame:
    numbers = {t: n for n, t in enumerate(frame["ticker"].unique().sort())}
    said = signal(frame.lazy()).with_columns(
        market=pl.col("ticker").replace_strict(numbers, return_dtype=pl.UInt32),
        taker=pl.lit(70_000, dtype=pl.Int64),
    )
    return STRATEGIES["mean_reversion"].sizing(said).collect()


def test_t16_the_documented_contradiction_is_not_traded() -> None:
    """z is -2, P 0.70 and the market at 0.85: to buy YES is to give 15 cents away."""
    frame = stretched(0.85)
    reference = MeanReversion.reference()(frame.lazy()).collect().row(-1, named=True)
    assert reference["fair"] == pytest.approx(0.70)
    assert reference["side"] == naive_side(-2.0) == 1
    assert reference["fair"] - 0.85 == pytest.approx(-0.15)
    sides = []
    for market in (0.85, 0.55):
        made = orders(stretched(market), MeanReversion(**DOCUMENTED))
        sides.append(made.filter(time=frame["time"].max())["side"].to_list())
    assert sides == [[], [1]]  # at 55 cents z and edge agree


def test_t16_no_order_has_an_edge_that_is_not_above_nought() -> None:
    against = traded = 0
    for seed in range(6):
        frame = spot_quotes(seed, bars=80, seconds=30, dense=True, events=3)
        close = pl.col("time").max().over("ticker") + pl.duration(minutes=5)
        frame = frame.with_columns(close_time=close, open_time=None)
        for signal in (
            MeanReversion(reach_seconds=1_800.0, min_t=0.0),
            MeanReversion(**DOCUMENTED),
        ):
            made = orders(frame, signal)
            price = pl.col("limit") / 10_000
            cost = pl.when(pl.col("side") > 0).then(price).otherwise(1 - price)
            won = pl.when(pl.col("side") > 0).then("fair").otherwise(1 - pl.col("fair"))
            edge = made.select(won - cost - 0.07 * price * (1 - price)).to_series()
            assert (edge > 0).all()
            traded += made.height
        z_alone = MeanReversion(**DOCUMENTED, agree=False)(frame.lazy()).collect()
        bought, sold = pl.col("fair") - pl.col("ask"), pl.col("bid") - pl.col("fair")
        naive = pl.when(pl.col("side") > 0).then(bought).otherwise(sold)
        against += int((z_alone.drop_nulls("side").select(naive).to_series() <= 0).sum())
    assert traded > 50
    assert against > 50
