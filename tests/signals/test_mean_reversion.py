"""Reversion to a mean: slow twins, the documented contradiction, and what was planted."""

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, Planted, sample, truth
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.pricing import digital_probability, reverting_probability
from kalshi_bt.signals import contract, parameters
from kalshi_bt.signals.mean_reversion import MeanReversion, null_scores, variance_ratio
from tests.quotes_random import START, flat, quotes
from tests.signals import naive_reversion as naive
from tests.signals.naive_volatility import recent
from tests.signals.spot_quotes import spot_quotes

PHI = NormalDist().cdf
EAGER: dict[str, Any] = {
    "reach_seconds": 940.0, "bar_seconds": 20,
    "min_z": 0.2, "min_t": 0.0, "agree": False, "min_left": 0.0,
}  # fmt: skip
WIDE: dict[str, Any] = {"lookback_seconds": 900.0, "coverage": 0.3, "least": 6}
SIGNALS = {
    "corrected": MeanReversion(**EAGER, **WIDE),
    "price": MeanReversion(**EAGER, **WIDE, on="price"),
    "agreeing": MeanReversion(**EAGER | {"agree": True}, **WIDE, on="price"),
    "fallback": MeanReversion(**EAGER | {"min_t": 50.0}, **WIDE, fallback=True),
    "reference": replace(MeanReversion.reference(), bar_seconds=20),
}


def market(
    spots: list[float], *, seconds: int = 30, last: float = 0.5, **fields: Any
) -> pl.DataFrame:
    """One market that is open for ten minutes more, whose bars saw these prices."""
    close = START + timedelta(seconds=seconds * len(spots) + 600)
    usual = {
        "strike_type": "greater_or_equal", "floor_strike": 100.0, "close_time": close,
        "bid": last - 0.01, "ask": last + 0.01,
    }  # fmt: skip
    bars = flat([(last,) * 4] * len(spots), seconds=seconds, **(usual | fields))
    return bars.with_columns(spot=pl.Series(spots, dtype=pl.Float64), spot_age=pl.lit(0.0))


def newest(signal: MeanReversion, frame: pl.DataFrame) -> dict[str, Any]:
    return signal(frame.lazy()).collect().row(-1, named=True)


# --- as documented --------------------------------------------------------------------------------

# Ten samples at 101 and 99 have the mean 100 and a spread of 1.
TEN = [101.0, 99.0] * 5


def test_the_documented_contradiction() -> None:
    # z = -2 from a strike out of the way says 0.70; the market is at 0.85.
    frame = market([*TEN, 98.0], last=0.85, floor_strike=90.0)
    said = newest(MeanReversion.reference(), frame)
    assert said["fair"] == pytest.approx(0.70)
    assert said["side"] == 1  # as documented: it buys YES with an edge of -0.15
    assert said["entry"] == pytest.approx(0.85)  # a cent below the ask
    # Corrected, such an order has a negative edge, and nothing is stated.
    options: dict[str, Any] = {"model": "documented", "lookback_seconds": 300.0, "coverage": 0.0}
    assert newest(MeanReversion(**options), frame)["fair"] is None
    assert newest(MeanReversion(**options, agree=False), frame)["fair"] is not None


@pytest.mark.parametrize(
    ("spot", "strike", "z", "fair", "confidence", "side"),
    [
        (98.0 - 1e-9, 99.0, -2.0, 0.5 + 0.15 * 2.0, 0.9, 1),  # the strike lies on the way back
        (98.4, 99.0, -1.6, 0.5 + 0.15 * 1.6, 0.75, 1),
        (98.4, 98.0, -1.6, 0.5 + 0.10 * 1.6, 0.75, 1),
        (98.8, 99.0, -1.2, 0.5 + 0.15 * 1.2, 0.6, 1),
        (96.0, 99.0, -4.0, 0.5 + 0.45, 0.9, 1),
        (101.6, 101.0, 1.6, 0.5 - 0.15 * 1.6, 0.75, -1),
        (101.6, 102.0, 1.6, 0.5 - 0.10 * 1.6, 0.75, -1),
        (104.0, 101.0, 4.0, 0.5 - 0.45, 0.9, -1),
        (99.0, 99.5, -1.0, None, None, None),  # strictly beyond one
        (101.0, 99.5, 1.0, None, None, None),
    ],
)
def test_the_documented_probability_of_z(
    spot: float, strike: float, z: float, fair: Any, confidence: Any, side: Any
) -> None:
    assert (spot - 100) / 1 == pytest.approx(z)
    said = newest(MeanReversion.reference(), market([*TEN, spot], floor_strike=strike))
    assert said["fair"] == (None if fair is None else pytest.approx(fair, abs=1e-6))
    assert (said["confidence"], said["side"]) == (confidence, side)


def test_the_documented_gates() -> None:
    reference = MeanReversion.reference()
    assert newest(reference, market([*TEN, 98.0]))["fair"] is not None
    assert newest(reference, market([*TEN[1:], 98.0]))["fair"] is None  # nine samples
    few = market([*TEN, 98.0], seconds=100)  # four samples in five minutes
    assert newest(reference, few)["fair"] is None
    late = market([*TEN, 98.0], close_time=START + timedelta(seconds=11 * 30 + 59))
    assert newest(reference, late)["fair"] is None
    assert newest(reference, market([100.0] * 10 + [98.0]))["fair"] is None  # no spread
    assert newest(reference, market([*TEN, 98.0], last=0.79))["fair"] is None  # an edge of 0.01


def test_samples_count_however_little_they_weigh_in_the_variance() -> None:
    frame = market([*TEN, 98.0])
    # Beside the newest return the one before it, half a minute older, weighs 2^-75.
    quick = newest(replace(MeanReversion.reference(), half_life=0.4), frame)
    assert quick["fair"] == newest(MeanReversion.reference(), frame)["fair"] is not None
    spots = bouncing(0.2)
    signal = MeanReversion(half_life=0.4, min_samples=10, agree=False)
    assert newest(signal, market(spots, floor_strike=99.95))["fair"] is not None
    few = replace(signal, min_samples=41, reach_seconds=3_600.0)
    assert newest(few, market(spots, floor_strike=99.95))["fair"] is None  # of forty returns


@pytest.mark.parametrize("reach", [300.0, 299.0])
def test_samples_before_the_reach_are_not_counted(reach: float) -> None:
    # Ten samples half a minute apart: the first of them ended 300 seconds before the bar.
    signal = replace(MeanReversion.reference(), reach_seconds=reach)
    said = newest(signal, market([*TEN, 98.0]))
    assert (said["fair"] is not None) == (reach >= 300)


@pytest.mark.parametrize("seed", range(4))
def test_the_reference_equals_its_slow_twin(seed: int) -> None:
    frame = spot_quotes(seed, bars=60, seconds=20, events=2, move=0.0005)
    close = pl.col("time").max().over("ticker") + pl.duration(minutes=9)
    frame = frame.with_columns(close_time=close, open_time=None, strike_type=pl.lit("greater"))
    frame = frame.with_columns(floor_strike=pl.lit(100.02), close=pl.lit(0.001), open=pl.lit(0.001))
    signal = MeanReversion.reference()
    options = {name: getattr(signal, name) for name in ("lookback_seconds", "least", "min_samples")}
    checked = 0
    for _, own in frame.group_by("ticker"):
        rows = own.sort("time").to_dicts()
        said = signal(own.sort("time").lazy()).collect().to_dicts()
        for i, row in enumerate(said):
            expected = naive.reference(rows[: i + 1], options | {"coverage": 0.0})
            if expected is None or abs(expected[0]) <= 1 or expected[1] < 0.031:
                assert row["fair"] is None
                continue
            assert row["fair"] == pytest.approx(expected[1], abs=1e-9)
            assert row["side"] == (1 if expected[0] < 0 else -1)
            checked += 1
    assert checked > 30


# --- corrected ------------------------------------------------------------------------------------


def bouncing(phi: float, n: int = 40, size: float = 1e-3) -> list[float]:
    """Prices whose log is an AR(1) around that of 100, with a last shock downwards."""
    rng = np.random.Generator(np.random.Philox(key=[12, n]))
    x = [0.0]
    for shock in rng.standard_normal(n):
        x.append(phi * x[-1] + size * float(shock))
    return (100 * np.exp([*x[:-1], -3 * size])).tolist()


def test_fair_value_is_that_of_a_price_drawn_to_the_mean() -> None:
    spots = bouncing(0.2)
    signal = MeanReversion(lookback_seconds=900.0, decimals="", eta=0.0, agree=False, clamp=0.0)
    said = newest(signal, market(spots, floor_strike=99.95))
    found = [(30_000_000 * i, math.log(s)) for i, s in enumerate(spots)]
    options = {"lookback_seconds": 900.0, "coverage": 0.6, "least": 8, "min_t": 2.0}
    scored, k = naive.score(found, options), naive.speed(found, options)
    assert scored is not None
    assert k is not None
    squares = lengths = 0.0
    for i in range(1, len(spots)):
        weight = 0.5 ** ((len(spots) - 1 - i) * 30 / 120)
        squares += weight * (found[i][1] - found[i - 1][1]) ** 2
        lengths += weight * 30
    where = (spots[-1], math.exp(scored[1]), 99.95, 600.0)
    expected = reverting_probability(*where, math.sqrt(squares / lengths), k)
    assert said["fair"] == pytest.approx(float(expected), abs=1e-9)
    plain = float(digital_probability(spots[-1], 99.95, 600.0, math.sqrt(squares / lengths)))
    assert said["fair"] > plain + 0.05  # it is drawn up


def test_without_a_significant_reversion_there_is_nothing_to_say_or_a_plain_walk() -> None:
    rng = np.random.Generator(np.random.Philox(key=[13, 1]))
    walk = (100 * np.exp(np.cumsum(1e-3 * rng.standard_normal(40)))).tolist()
    frame = market([*walk, walk[-1] * 1.002])
    options: dict[str, Any] = {"decimals": "", "eta": 0.0, "agree": False, "min_z": 0.0, "clamp": 0}
    assert newest(MeanReversion(**options, min_t=5.0), frame)["fair"] is None
    said = newest(MeanReversion(**options, min_t=5.0, fallback=True), frame)
    from kalshi_bt.signals.volatility import ewma_variance

    sigma = math.sqrt(ewma_variance(np.arange(41) * 30_000_000, frame["spot"])[-1])
    plain = digital_probability(frame["spot"][-1], 100.0, 600.0, sigma)
    assert said["fair"] == pytest.approx(float(plain), abs=1e-9)


def test_samples_must_span_the_lookback_however_many_they_are() -> None:
    signal = MeanReversion(**EAGER | {"reach_seconds": None}, lookback_seconds=900.0, coverage=0.6)
    dense = market(bouncing(0.2), seconds=10)  # 400 of 900 seconds
    assert newest(signal, dense)["fair"] is None
    assert newest(signal, market(bouncing(0.2), seconds=15))["fair"] is not None


@pytest.mark.parametrize("seed", range(4))
def test_on_the_contract_price_it_equals_its_slow_twin(seed: int) -> None:
    frame = quotes(seed, bars=70, events=2, absent=0.1)
    signal = MeanReversion(**EAGER | {"min_t": 1.5}, **WIDE, on="price")
    options = WIDE | {"min_t": 1.5}
    checked = 0
    for _, own in frame.group_by("ticker"):
        rows = own.sort("time").to_dicts()
        said = signal(own.sort("time").lazy()).collect().to_dicts()
        for i, row in enumerate(said):
            expected = naive.on_price(recent(rows[: i + 1], {"lookback_seconds": 940}), options)
            if expected is None or abs(expected[0]) <= 0.2:
                assert row["fair"] is None
                continue
            assert row["fair"] == pytest.approx(expected[1], abs=1e-9)
            checked += 1
    assert checked > 20


def test_fair_value_and_z_point_the_same_way_if_they_must() -> None:
    frame = quotes(2, bars=200, events=3)
    said = SIGNALS["agreeing"](frame.lazy()).collect().drop_nulls("fair")
    free = SIGNALS["price"](frame.lazy()).collect().drop_nulls("fair")
    assert said.height > 20
    assert said.height <= free.height
    assert (said["confidence"].drop_nulls() >= 0.6).all()


# --- as a component -------------------------------------------------------------------------------


def talkative() -> pl.DataFrame:
    """Quotes of which every variant has something to say."""
    frame = spot_quotes(4, bars=110, absent=0.1, seconds=20, events=3)
    close = pl.col("time").max().over("ticker") + pl.duration(minutes=5)
    return frame.with_columns(close_time=close, strike_type=pl.lit("greater"), floor_strike=100.0)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SIGNALS)
def test_it_holds_to_the_contract(name: str, check: contract.Check) -> None:
    check(SIGNALS[name], talkative())


@pytest.mark.parametrize("name", SIGNALS)
def test_the_contract_is_not_checked_on_silence(name: str) -> None:
    assert SIGNALS[name](talkative().lazy()).collect()["fair"].drop_nulls().len() > 20


def test_it_needs_the_spot_only_to_watch_it() -> None:
    frame = quotes(1, bars=30)
    assert "fair" in MeanReversion(on="price")(frame.lazy()).collect_schema()
    with pytest.raises(DataError, match="quotes lacks 'spot', needed by mean_reversion"):
        MeanReversion()(frame.lazy())
    silent = frame.with_columns(
        spot=pl.lit(None, dtype=pl.Float64), spot_age=pl.lit(None, dtype=pl.Float64)
    )
    for signal in (MeanReversion(), MeanReversion.reference()):
        assert signal(silent.lazy()).collect()["fair"].null_count() == frame.height
    assert [need.column for need in MeanReversion().references] == ["spot"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": "price", "model": "documented"},
        {"least": 50, "reach_seconds": 40.0},
        {"symbols": "A"},
    ],
)
def test_wrong_parameters_are_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        MeanReversion(**wrong)
    assert "\n" not in str(error.value)


def test_the_parameters_are_documented_and_the_lookback_follows() -> None:
    assert all(p.doc for p in parameters(MeanReversion))
    assert MeanReversion().lookback == 900 + 300 + 1  # the lookback and one gap, a bar a second
    assert MeanReversion(bar_seconds=60).lookback == 21
    assert MeanReversion(reach_seconds=50.0).lookback == 51


# --- what a random walk looks like ----------------------------------------------------------------


def test_a_random_walk_is_usually_far_from_its_own_mean() -> None:
    scores = null_scores(30, 20_000)
    far = float(np.mean(np.abs(scores) > 1))
    # White noise would be beyond one in 32 of 100 cases, beyond two in 5.
    assert far > 0.55
    assert float(np.mean(np.abs(scores) > 2)) > 0.12
    assert abs(float(np.mean(scores))) < 0.05
    assert np.array_equal(scores, null_scores(30, 20_000))


def test_variance_ratio_by_hand() -> None:
    # Returns 1, 1, -1, -1: no drift, variance 4/3; sums of two 2, 0, -2 and m = 2·3·(1/2).
    ratio, z = variance_ratio([0.0, 1.0, 2.0, 1.0, 0.0], 2)
    assert ratio == pytest.approx(8 / 3 / (4 / 3))
    assert z == pytest.approx((ratio - 1) / math.sqrt(2 * 3 / (6 * 4)))
    with pytest.raises(UsageError, match="lag is 3"):
        variance_ratio([0.0, 1.0, 2.0, 1.0, 0.0], 3)
    assert math.isnan(variance_ratio([1.0] * 9, 2)[0])


def test_variance_ratio_of_walks_is_standard_normal_and_of_reversion_is_not() -> None:
    rng = np.random.Generator(np.random.Philox(key=[14, 1]))
    walks = np.cumsum(rng.standard_normal((400, 301)), axis=1)
    scores = np.array([variance_ratio(walk, 5)[1] for walk in walks])
    assert abs(scores.mean()) < 0.2
    assert 0.85 < scores.std() < 1.15
    noisy = walks[0] * 0.1 + rng.standard_normal(301)
    assert variance_ratio(noisy, 5)[1] < -5


# --- against what was planted ---------------------------------------------------------------------

Judged = tuple[float, float, float, float, int]


def judged(folder: Path, planted: Planted, seed: int) -> Judged:
    """How far the truth follows fair value away from the mid, and what takers earn by it.

    Slope of (truth - mid) on (fair - mid) and its standard error, then the expected result of a
    contract bought or sold at the quote where fair value is 3 cents beyond it, and its error; both
    errors clustered by event.
    """
    store = Store.create(folder / f"{seed}", name="planted", synthetic=True)
    store.commit(sample(seed, planted=planted, days=5))
    made = panel(store).quotes().collect().with_columns(pl.col("ticker").cast(pl.String))
    signal = MeanReversion(on="price", lookback_seconds=3_600.0)
    said = signal(made.lazy()).collect().join(truth(seed, days=5), on=["ticker", "time"])
    said = said.drop_nulls(["fair", "mid"])
    x, y = (said["fair"] - said["mid"]).to_numpy(), (said["probability"] - said["mid"]).to_numpy()
    slope = float(x @ y / (x @ x))
    slope_error = clustered(said["event"], x * (y - slope * x)) / float(x @ x)
    buy, sell = pl.col("fair") > pl.col("ask") + 0.03, pl.col("fair") < pl.col("bid") - 0.03
    gain = (
        pl.when(buy)
        .then(pl.col("probability") - pl.col("ask"))
        .when(sell)
        .then(pl.col("bid") - pl.col("probability"))
    )
    taken = said.with_columns(gain=gain).drop_nulls("gain")
    gains = taken["gain"].to_numpy()
    mean = float(gains.mean())
    return (
        slope,
        slope_error,
        mean,
        clustered(taken["event"], gains - mean) / len(gains),
        len(gains),
    )


def clustered(events: pl.Series, parts: np.ndarray) -> float:
    """Standard error of a sum whose parts hang together within an event."""
    sums = (
        pl.DataFrame({"event": events, "part": parts}).group_by("event").agg(pl.col("part").sum())
    )
    return math.sqrt(float((sums["part"] ** 2).sum()))


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_a_planted_reversion(tmp_path: Path, seed: int) -> None:
    slope, slope_error, gain, error, count = judged(tmp_path, Planted(mean_reversion=0.10), seed)
    assert slope > 0.4
    assert slope > 5 * slope_error
    assert count > 500
    assert gain > 0.02
    assert gain > 4 * error


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_nothing_where_nothing_was_planted(tmp_path: Path, seed: int) -> None:
    slope, slope_error, gain, error, count = judged(tmp_path, FAIR, seed)
    assert slope < 0.15  # quotes on a grid bounce a little
    assert slope_error < 0.05
    assert count < 500
    assert gain < -2 * error  # the spread is lost
