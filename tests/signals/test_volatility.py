"""The variance of irregular samples: published numbers, a slow twin, and the traps."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from kalshi_bt.schema import REFERENCES, Time
from kalshi_bt.signals.volatility import RECURSIONS, VarianceOf, ewma_variance, volatility_rows
from tests.signals import naive_volatility as naive

DAILY = math.log(0.5) / math.log(0.94)  # half-life of a factor of 0.94 a step
RETURNS = [0.001, -0.0005, 0.0002, 0.0015]


def path(returns: list[float], seconds: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Times in microseconds and prices of evenly spaced returns."""
    prices = np.exp(np.cumsum([0.0, *returns]))
    return (np.arange(len(prices)) * seconds * 1e6).astype(np.int64), prices


@pytest.mark.parametrize(
    ("recursion", "expected"),
    [
        ("zero", 2.0034504e-7),
        ("unbiased", 9.1377008e-7),
        ("elapsed", 9.1377008e-7),
        ("seeded", 9.81094e-7),
        ("reversed", 1.8834948e-7),
    ],
)
def test_published_variances_of_four_returns(recursion: str, expected: float) -> None:
    found = ewma_variance(*path(RETURNS), DAILY, recursion=recursion)[-1]  # type: ignore[arg-type]
    assert found == pytest.approx(expected, rel=1e-7)


def test_the_published_path_of_the_recursion() -> None:
    # Seeded with 1e-4: a first return of 0.01. Then as RiskMetrics has it.
    returns = [0.01, 0.01, -0.02, 0.015, 0.0, 0.03]
    found = ewma_variance(*path(returns), DAILY, recursion="seeded")
    expected = [0.0001, 0.0001, 0.000118, 0.00012442, 0.0001169548, 0.000163937512]
    assert found[1:] == pytest.approx(expected, rel=1e-9)
    adjusted = ewma_variance(*path(returns[1:]), DAILY, recursion="unbiased")
    assert adjusted[-1] == pytest.approx(0.000340279889146, rel=1e-9)


def test_starting_from_nothing_underestimates_by_what_is_not_weighed_yet() -> None:
    zero = ewma_variance(*path(RETURNS), DAILY, recursion="zero")[-1]
    whole = ewma_variance(*path(RETURNS), DAILY, recursion="unbiased")[-1]
    assert zero / whole == pytest.approx(1 - 0.94**4, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("recursion", RECURSIONS)
def test_all_recursions_equal_their_slow_twin(recursion: str, seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=[3, seed]))
    half_life, max_gap = 40.0, 50.0
    time = np.cumsum(rng.choice([0, 1, 7, 30, 80], 60, p=[0.2, 0.3, 0.3, 0.1, 0.1])) * 1_000_000
    once = np.exp(rng.normal(0, 0.01, 60))[np.unique(time, return_inverse=True)[1]]
    price = np.where(rng.random(60) < 0.1, np.nan, once)
    found = ewma_variance(time, price, half_life, max_gap=max_gap, recursion=recursion)  # type: ignore[arg-type]
    seen: list[naive.Sample] = []
    for now, said, expected_of in zip(time.tolist(), price.tolist(), found.tolist(), strict=True):
        if not math.isnan(said) and (not seen or now > seen[-1][0]):
            seen.append((now, said))
        returns = [
            math.log(b[1] / a[1]) for a, b in pairwise(seen) if (b[0] - a[0]) / 1e6 <= max_gap
        ]
        if not returns:
            assert math.isnan(expected_of)
        elif recursion != "elapsed":
            expected = naive.stepped(returns, 0.5 ** (1 / half_life), recursion)
            assert expected_of == pytest.approx(expected, rel=1e-9)
        else:
            assert expected_of == pytest.approx(naive.variance(seen, half_life, max_gap), rel=1e-9)


def test_resampling_a_path_changes_its_volatility_little_but_not_by_the_step() -> None:
    rng = np.random.Generator(np.random.Philox(key=[8, 8]))
    time, price = path((7e-5 * rng.standard_normal(7_200)).tolist())
    fine = math.sqrt(ewma_variance(time, price, 1_800.0)[-1])
    assert fine == pytest.approx(7e-5, rel=0.05)
    for every in (2, 5, 10):
        coarse = math.sqrt(ewma_variance(time[::every], price[::every], 1_800.0)[-1])
        assert coarse == pytest.approx(fine, rel=0.12)
        # The documented recursion takes every sample for a second.
        wrong = math.sqrt(
            ewma_variance(time[::every], price[::every], 1_800.0, recursion="unbiased")[-1]
        )
        assert wrong / fine == pytest.approx(math.sqrt(every), rel=0.15)


def test_looking_twice_at_a_price_does_not_calm_it() -> None:
    time, price = path(RETURNS, 10.0)
    once = ewma_variance(time, price, 60.0)[-1]
    twice = ewma_variance(np.repeat(time, 3), np.repeat(price, 3), 60.0)[-1]
    assert twice == pytest.approx(once, rel=1e-12)
    held = ewma_variance(np.append(time, time[-1] + 10_000_000), np.append(price, price[-1]), 60.0)
    assert held[-1] < once  # but a price that really stood still does


def test_a_return_over_a_gap_is_left_out() -> None:
    time = np.array([0, 10, 400, 410]) * 1_000_000
    price = np.exp([0.0, 0.001, 0.5, 0.501])
    assert ewma_variance(time, price, 60.0, max_gap=300)[-1] == pytest.approx(1e-7, rel=1e-6)
    assert ewma_variance(time, price, 60.0, max_gap=500)[-1] > 1e-4


def test_the_newest_return_weighs_most() -> None:
    late, early = [0.0] * 9 + [0.01], [0.01] + [0.0] * 9
    for recursion in RECURSIONS:
        found = [ewma_variance(*path(r), 3.0, recursion=recursion)[-1] for r in (late, early)]
        assert (found[0] > found[1]) == (recursion != "reversed"), recursion


def test_nothing_is_known_of_nothing() -> None:
    assert ewma_variance([], [], 60.0).tolist() == []
    assert np.isnan(ewma_variance([0], [1.0], 60.0)).all()


def references(prices: dict[str, list[float | None]]) -> pl.DataFrame:
    """A price a second of each symbol."""
    start = datetime(2026, 5, 4, tzinfo=UTC)
    rows = [
        ("venue", symbol, "close", start + timedelta(seconds=k), value)
        for symbol, path in prices.items()
        for k, value in enumerate(path)
    ]
    columns = ["source", "symbol", "field", "time", "value"]
    types = {name: REFERENCES.columns[name] for name in columns}
    return REFERENCES.filled(pl.DataFrame(rows, schema=types, orient="row"))


def test_volatility_as_references_is_known_when_the_price_was() -> None:
    rng = np.random.Generator(np.random.Philox(key=[4, 4]))
    prices = {name: np.exp(rng.normal(0, 1e-3, 50)).tolist() for name in ("BTC", "ETH")}
    table = references({**prices, "NEW": [1.0], "BAD": [None, 0.0]})
    found = volatility_rows(table, 20.0)
    assert found["field"].unique().to_list() == ["volatility"]
    assert found["symbol"].unique().sort().to_list() == ["BTC", "ETH"]
    for name, path in prices.items():
        own = found.filter(symbol=name)
        seconds = np.arange(50) * 1_000_000
        expected = np.sqrt(ewma_variance(seconds, path, 20.0))[1:]
        assert own["value"].to_numpy() == pytest.approx(expected, rel=1e-9)
        assert own["time"].to_list() == table.filter(symbol=name)["time"].to_list()[1:]
    past = table.filter(pl.col("time") <= table["time"][20])
    assert volatility_rows(past, 20.0).equals(found.filter(pl.col("time") <= table["time"][20]))
    assert volatility_rows(table.clear()).is_empty()


def test_what_is_made_of_a_series_is_its_slow_twin_and_depends_on_nothing_later() -> None:
    rng = np.random.Generator(np.random.Philox(key=[8, 1]))
    at = (np.cumsum(rng.choice([1, 2, 30, 400], 60)) * 1_000_000).tolist()
    prices = (100 * np.exp(np.cumsum(1e-3 * rng.standard_normal(60)))).tolist()
    time = pl.Series(at).cast(Time)
    known = pl.DataFrame({"symbol": ["A"] * 30 + ["B"] * 30, "time": time, "value": prices})
    derive = VarianceOf(60.0, 300.0)
    made = derive(known)
    samples = list(zip(at, prices, strict=True))
    for symbol, own in (("A", samples[:30]), ("B", samples[30:])):
        twin = [naive.variance(own[: k + 1], 60.0, 300.0) for k in range(len(own))]
        expected = [math.sqrt(v) for v in twin if v is not None]
        assert made.filter(symbol=symbol)["value"].to_list() == pytest.approx(expected, rel=1e-9)
    for cut in (5, 29, 44):
        head = derive(known.filter(pl.col("time") <= time[cut]))
        assert head.equals(made.filter(pl.col("time") <= time[cut]))
    assert derive(known.clear()).is_empty()


def test_a_hundred_equal_returns_count_as_a_hundred_and_old_ones_for_nothing() -> None:
    time = pl.Series(range(0, 101_000_000, 1_000_000)).cast(Time)
    known = pl.DataFrame({"symbol": "A", "time": time, "value": np.arange(1.0, 102.0)})
    assert VarianceOf(1e9, said="returns")(known)["value"][-1] == pytest.approx(100, rel=1e-6)
    # Weights 1, q, q², … with q = 2^(-1/10) add up to (1 + q)/(1 - q) returns of equal weight.
    q = 0.5**0.1
    found = VarianceOf(10.0, said="returns")(known)["value"][-1]
    assert found == pytest.approx((1 + q) / (1 - q), rel=0.005)
