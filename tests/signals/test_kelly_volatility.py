"""Fair values of averaged digitals: a slow twin, sums by hand, the contract, and known truth."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.data import synthetic
from kalshi_bt.data.panel import Reference, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.forecasting import references
from kalshi_bt.pricing import averaged_seconds, digital_probability
from kalshi_bt.signals import contract, parameters
from kalshi_bt.signals.kelly_volatility import YEAR, KellyVolatility, strength
from kalshi_bt.signals.needs import Need
from kalshi_bt.signals.underlying import DECIMALS, SYMBOLS, bounds, pairs
from kalshi_bt.signals.volatility import VarianceOf, volatility_rows
from tests.quotes_random import START, flat
from tests.signals.naive_volatility import fairs
from tests.signals.spot_quotes import spot_quotes

PHI = NormalDist().cdf
SHORT: dict[str, Any] = {"lookback_seconds": 600.0, "max_left": 1e6, "decimals": "KXRANDOM=2"}
SIGNALS = {
    name: replace(signal, bar_seconds=20)
    for name, signal in {
        "corrected": KellyVolatility(**SHORT),
        "reference": KellyVolatility.reference(),
        "conviction": KellyVolatility.high_conviction(),
        "student": KellyVolatility(**SHORT, nu=4.0, form="arithmetic", drift=0.5, spike=1.5),
        "seeded": KellyVolatility(**SHORT, recursion="seeded", step=60.0, eta_mode="max"),
    }.items()
}


def market(spots: list[float | None], *, seconds: int = 60, **fields: Any) -> pl.DataFrame:
    """One market at 99.5/100.5 cents of nothing, whose bars saw these prices at their ends."""
    close = START + timedelta(seconds=seconds * len(spots) + fields.pop("left", 300))
    usual = {
        "strike_type": "greater_or_equal", "floor_strike": 100.0, "open_time": START,
        "close_time": close, "bid": 0.49, "ask": 0.51, "mid": 0.50,
    }  # fmt: skip
    bars = flat([(0.5, 0.5, 0.5, 0.5)] * len(spots), seconds=seconds, **(usual | fields))
    age = [None if spot is None else 0.0 for spot in spots]
    return bars.with_columns(
        spot=pl.Series(spots, dtype=pl.Float64), spot_age=pl.Series(age, dtype=pl.Float64)
    )


def newest(signal: KellyVolatility, frame: pl.DataFrame) -> dict[str, Any]:
    """What the signal says of the last bar."""
    return signal(frame.lazy()).collect().row(-1, named=True)


def walk(*returns: float, end: float = 100.0) -> list[float | None]:
    """Prices with these log returns that end at `end`."""
    logs = np.cumsum([0.0, *returns])
    return (end * np.exp(logs - logs[-1])).tolist()


PLAIN: dict[str, Any] = {"eta": 0.0, "decimals": "", "min_returns": 1, "clamp": 0.0}
EVEN = (0.001, -0.001, 0.001, -0.001)  # a variance of 1e-6 a minute whatever the weights


# --- by hand and by a slow twin -------------------------------------------------------------------


def test_fair_value_by_hand() -> None:
    said = newest(KellyVolatility(**PLAIN), market(walk(*EVEN, end=100.1)))
    sd = math.sqrt(1e-6 / 60 * (300 - 60 + 61 * 121 / 360))
    assert said["fair"] == pytest.approx(PHI((math.log(100.1 / 100) - sd**2 / 2) / sd), abs=1e-6)


def test_eta_adds_to_the_variance_or_is_its_floor() -> None:
    frame = market(walk(*EVEN, end=100.1))
    variance = 1e-6 / 60 * float(averaged_seconds(300))
    for mode, total in (("add", variance + 4e-6), ("max", max(variance, 4e-6))):
        said = newest(KellyVolatility(**PLAIN | {"eta": 0.002}, eta_mode=mode), frame)  # type: ignore[arg-type]
        z = (math.log(100.1 / 100) - total / 2) / math.sqrt(total)
        assert said["fair"] == pytest.approx(PHI(z), abs=1e-6), mode


def test_the_documented_reference_by_hand() -> None:
    said = newest(KellyVolatility.reference(), market(walk(*EVEN, end=100.1)))
    # From the newest return: 1e-6·(1 - 0.94^4) a step, taken for a second; eta is a floor.
    variance = max(300 * 1e-6 * (1 - 0.94**4), 0.0007**2)
    z = (math.log(100.1 / 100) - variance / 2) / math.sqrt(variance)
    assert said["fair"] == pytest.approx(PHI(z), abs=1e-9)
    assert said["confidence"] == strength(np.array([PHI(z) - 0.5]))[0]


def test_only_the_last_quarter_of_an_hour_of_bars_makes_the_volatility() -> None:
    frame = market(walk(*[0.001, -0.001] * 10, end=100.3))
    said = newest(KellyVolatility.reference(), frame)
    variance = 300 * 1e-6 * (1 - 0.94**15)  # of twenty returns, a minute each
    z = (math.log(100.3 / 100) - variance / 2) / math.sqrt(variance)
    assert said["fair"] == pytest.approx(PHI(z), abs=1e-9)


@pytest.mark.parametrize(
    ("lookback", "variance"),
    [
        (540.0, (1e-4 + 2e-6) / 540),  # the bar at the very edge counts
        (539.0, 2e-6 / 480),
        (480.0, 2e-6 / 480),
        (479.0, 1e-6 / 420),
    ],
)
def test_bars_count_by_their_time_however_many_there_are(lookback: float, variance: float) -> None:
    # Returns of 0.01 and 0.001 in a minute each, -0.001 in three and none in four: gaps without
    # a bar.
    frame = market(walk(0.01, *[0.001, -0.001] * 4, end=100.1))[[0, 1, 2, 5, 9]]
    signal = KellyVolatility(**PLAIN, half_life=1e7, lookback_seconds=lookback)
    sd = math.sqrt(variance * (300 - 60 + 61 * 121 / 360))
    expected = PHI((math.log(100.1 / 100) - sd**2 / 2) / sd)
    assert newest(signal, frame)["fair"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seconds", [1, 10, 60])
@pytest.mark.parametrize("seed", range(4))
def test_fair_values_equal_their_slow_twin(seed: int, seconds: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=[6, seed]))
    options: dict[str, Any] = {
        "lookback_seconds": seconds * float(rng.integers(6, 80)),
        "half_life": float(rng.choice([20.0, 120.0])),
        "max_gap": float(rng.choice([15.0, 90.0, 300.0])), "min_returns": int(rng.integers(1, 5)),
        "eta": float(rng.choice([0.0, 0.0007])), "average": int(rng.choice([1, 20, 60])),
        "min_left": 0.0, "max_left": 900.0, "clamp": 0.001,
    }  # fmt: skip
    frame = spot_quotes(seed, bars=70, events=3, seconds=seconds, dense=seconds == 1)
    close = pl.col("time").max().over("ticker") + pl.duration(seconds=5)
    frame = frame.with_columns(close_time=pl.when(pl.col("close_time").is_not_null()).then(close))
    signal = KellyVolatility(**options, decimals="KXRANDOM=1")
    said = signal(frame.lazy()).collect()
    expected = dict(fairs(frame.to_dicts(), options | {"decimals": {"KXRANDOM": 1}}))
    wanted = [expected[key] for key in said.select("ticker", "time").rows()]
    assert [fair is None for fair in said["fair"]] == [fair is None for fair in wanted]
    stated = said["fair"].drop_nulls().to_numpy()
    assert stated == pytest.approx([fair for fair in wanted if fair is not None], abs=2e-8)


def test_the_slow_twin_meets_fair_values_inside_the_averaging_window() -> None:
    frame = spot_quotes(1, bars=70, events=3, seconds=1, dense=True)
    frame = frame.with_columns(close_time=pl.col("time").max().over("ticker"))
    said = KellyVolatility(max_left=58.0, decimals="")(frame.lazy()).collect()
    assert said.filter(pl.col("fair").is_between(0.01, 0.99)).height > 30


# --- what settles a market ------------------------------------------------------------------------


def test_inside_the_window_what_is_known_counts() -> None:
    # Thirty values of 100.02 are known and thirty are to come: they need to average 99.98.
    quiet = walk(*[1e-5, -1e-5] * 20, end=100.02)
    said = newest(KellyVolatility(**PLAIN), market(quiet, seconds=1, left=30))
    sd = 1e-5 * math.sqrt(30 * 31 * 61 / 6) / 30
    needed = 2 * 100 - float(np.mean(quiet[-30:]))  # type: ignore[arg-type]
    assert said["fair"] == pytest.approx(PHI(math.log(100.02 / needed) / sd), abs=1e-6)
    # A window the bars did not see from its start tells nothing.
    assert newest(KellyVolatility(**PLAIN), market(quiet[-20:], seconds=1, left=30))["fair"] is None


def test_a_point_digital_misses_what_an_average_already_knows() -> None:
    quiet = walk(*[1e-5, -1e-5] * 30, end=100.02)
    fell = [*quiet[:-1], 99.999]
    averaged = newest(KellyVolatility(**PLAIN), market(fell, seconds=1, left=5))
    point = newest(KellyVolatility(**PLAIN, average=1), market(fell, seconds=1, left=5))
    assert averaged["fair"] > 0.999
    assert point["fair"] < 0.5


@pytest.mark.parametrize(
    ("kind", "floor", "cap", "lower", "upper"),
    [
        ("greater_or_equal", 100.0, None, 99.995, math.inf),  # rounded half up, ties pay
        ("greater", 100.0, None, 100.005, math.inf),
        ("less", None, 100.0, -math.inf, 99.995),
        ("less_or_equal", None, 100.0, -math.inf, 100.005),
        ("between", 99.9, 100.1, 99.895, 100.105),
    ],
)
def test_strike_types_and_rounding(
    kind: str, floor: float | None, cap: float | None, lower: float, upper: float
) -> None:
    frame = market(walk(*EVEN), strike_type=kind, floor_strike=floor, cap_strike=cap)
    said = newest(KellyVolatility(**PLAIN | {"decimals": "S=2"}), frame)
    where = (300, math.sqrt(1e-6 / 60))
    low, high = (float(digital_probability(100, bound, *where)) for bound in (lower, upper))
    assert said["fair"] == pytest.approx(low - high, abs=1e-9)


def test_brackets_of_a_ladder_sum_to_one() -> None:
    edges = [99.8, 99.9, 100.0, 100.1]
    kinds: list[dict[str, Any]] = [
        {"strike_type": "less", "cap_strike": edges[0], "floor_strike": None},
        *(
            {"strike_type": "between", "floor_strike": low, "cap_strike": high}
            for low, high in pairwise(edges)
        ),
        {"strike_type": "greater", "floor_strike": edges[-1]},
    ]
    said = [newest(KellyVolatility(**PLAIN), market(walk(*EVEN), **kind)) for kind in kinds]
    assert sum(row["fair"] for row in said) == pytest.approx(1, abs=1e-12)


def test_a_basis_moves_the_spot_to_the_index() -> None:
    near = newest(KellyVolatility(**PLAIN, basis=0.001), market(walk(*EVEN)))
    moved = newest(KellyVolatility(**PLAIN), market(walk(*EVEN, end=100 * math.exp(0.001))))
    assert near["fair"] == pytest.approx(moved["fair"], abs=1e-12)


# --- when it speaks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"strike_type": "structured"},
        {"floor_strike": None},
        {"close_time": None},
        {"open_time": START + timedelta(hours=1)},  # its strike is not known yet
        {"left": 3_700},
        {"left": 0},
    ],
)
def test_there_is_no_opinion_without_a_question_or_in_its_time(fields: dict[str, Any]) -> None:
    assert newest(KellyVolatility(), market(walk(*EVEN)))["fair"] is not None
    assert newest(KellyVolatility(), market(walk(*EVEN), **fields))["fair"] is None


def test_there_is_no_opinion_without_prices_and_a_plain_error_without_the_column() -> None:
    frame = market([None] * 9)
    assert KellyVolatility()(frame.lazy()).collect()["fair"].null_count() == 9
    assert newest(KellyVolatility(), market([100.0] * 4))["fair"] is None  # three returns
    assert newest(KellyVolatility(), market([*walk(*EVEN), None]))["fair"] is None
    with pytest.raises(DataError, match="quotes lacks 'spot', needed by kelly_volatility"):
        KellyVolatility()(frame.drop("spot").lazy())
    with pytest.raises(DataError, match="'spot_volatility'"):
        KellyVolatility(volatility="volatility")(frame.lazy())


def test_an_old_price_leaves_more_time_to_move() -> None:
    frame = market(walk(*EVEN, end=100.1))
    late = frame.with_columns(spot_age=pl.lit(45.0))
    now, then = newest(KellyVolatility(**PLAIN), frame), newest(KellyVolatility(**PLAIN), late)
    assert 0.5 < then["fair"] < now["fair"]
    longer = newest(KellyVolatility(**PLAIN), market(walk(*EVEN, end=100.1), left=345))
    assert then["fair"] == pytest.approx(longer["fair"], abs=1e-12)


def test_volatility_that_comes_with_the_data_goes_before_our_own() -> None:
    frame = market(walk(*EVEN, end=100.1)).with_columns(
        spot_volatility=pl.Series([None, None, None, None, 5e-5])
    )
    said = newest(KellyVolatility(**PLAIN, volatility="volatility"), frame)
    assert said["fair"] == pytest.approx(
        float(digital_probability(100.1, 100, 300, 5e-5)), abs=1e-9
    )
    assert said["confidence"] is None
    without = frame.with_columns(spot_volatility=pl.lit(None, dtype=pl.Float64))
    own = newest(KellyVolatility(**PLAIN, volatility="volatility"), without)
    assert own["fair"] == newest(KellyVolatility(**PLAIN), frame.drop("spot_volatility"))["fair"]


def test_confidence_is_one_less_the_standard_error_of_the_volatility() -> None:
    said = newest(KellyVolatility(**PLAIN, half_life=1e7), market(walk(*EVEN)))
    assert said["confidence"] == pytest.approx(1 - 1 / math.sqrt(8), abs=1e-5)


def test_the_high_conviction_variant_wants_near_certainty_and_calm() -> None:
    variant = KellyVolatility.high_conviction()
    calm = [0.0001, -0.0001] * 20
    near = market(walk(*calm, end=100.05), seconds=10)
    far = market(walk(*calm, end=100.3), seconds=10)
    assert newest(variant, near)["fair"] is None
    assert newest(variant, far)["fair"] > 0.90
    assert newest(variant, market(walk(*calm, end=99.7), seconds=10))["fair"] < 0.10
    # The newest fifth of the returns of 300 seconds is three times as wild as the rest.
    wild = [*calm[:-6], *[0.0003, -0.0003] * 3]
    assert newest(variant, market(walk(*wild, end=100.5), seconds=10))["fair"] is None
    for left in (20, 700):
        assert (
            newest(variant, market(walk(*calm, end=100.3), seconds=10, left=left))["fair"] is None
        )


def test_a_large_move_of_the_last_minute_goes_on_by_half() -> None:
    options = PLAIN | {"half_life": 1e7}
    for gone, expected in ((0.002, 100 * math.exp(0.001)), (0.001, 100.0)):
        frame = market(walk(*EVEN, gone))
        drifting = newest(KellyVolatility(**options, drift=0.5), frame)["fair"]
        variance = (4e-6 + gone**2) / 300
        plain = digital_probability(expected, 100, 300, math.sqrt(variance))
        assert drifting == pytest.approx(float(plain), abs=1e-6)


# --- as a component -------------------------------------------------------------------------------


def talkative() -> pl.DataFrame:
    """Quotes of which every variant has something to say."""
    frame = spot_quotes(3, bars=80, absent=0.1, seconds=20, events=3)
    return frame.with_columns(close_time=pl.col("time").max().over("ticker"))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SIGNALS)
def test_it_holds_to_the_contract(name: str, check: contract.Check) -> None:
    check(SIGNALS[name], talkative())


@pytest.mark.parametrize("name", SIGNALS)
def test_the_contract_is_not_checked_on_silence(name: str) -> None:
    assert SIGNALS[name](talkative().lazy()).collect()["fair"].drop_nulls().len() > 20


def test_later_prices_of_the_underlying_change_nothing_before_them() -> None:
    frame = spot_quotes(5, bars=60, seconds=20)
    now: datetime = frame["time"].unique().sort()[30]
    later = pl.col("time") > now
    poisoned = frame.with_columns(pl.when(later).then(1e6).otherwise("spot").alias("spot"))
    signal = SIGNALS["corrected"]
    before, after = (contract.run(signal, each).filter(~later) for each in (frame, poisoned))
    contract.same(after, before, "later prices leak")


def test_its_needs_are_the_spot_of_each_series_and_its_age() -> None:
    chosen: dict[str, Any] = {"symbols": "KXBTC15M=BTC-USD", "source": "venue", "max_age": 30}
    where = ("venue", (("KXBTC15M", "BTC-USD"),), "close", 30)
    spot = Need("spot", *where, with_age=True)
    assert KellyVolatility(**chosen, estimate="bars").references == (spot,)
    assert KellyVolatility(**chosen, recursion="unbiased").references == (spot,)
    assert KellyVolatility(**chosen, half_life=60.0).references == (
        spot,
        Need("spot_volatility", *where, derive=VarianceOf(60.0, 300.0, "volatility")),
        Need("spot_returns", *where, derive=VarianceOf(60.0, 300.0, "returns")),
    )
    more = KellyVolatility(symbols="A=B", volatility="vol60").references
    assert [each.column for each in more] == ["spot", "spot_volatility"]
    assert {"KXBTC15M", "KXBTCD", "KXBTC", "KXETH15M", "KXSOLD"} < set(pairs(SYMBOLS, ""))
    assert pairs(DECIMALS, "")["KXBTC15M"] == "2"
    assert "KXBTCD" not in pairs(DECIMALS, "")  # ladders settle without rounding


@pytest.mark.parametrize(
    "wrong",
    [
        {"symbols": "KXBTC15M"},
        {"symbols": "A=B,A=C"},
        {"decimals": "A=x"},
        {"min_left": 10.0, "max_left": 5.0},
        {"min_returns": 31, "lookback_seconds": 30.0},
        {"lookback_seconds": 0.5},
        {"bar_seconds": 0},
        {"nu": 2.0},
        {"recursion": "newest"},
    ],
)
def test_wrong_parameters_are_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        KellyVolatility(**wrong)
    assert "\n" not in str(error.value)


def test_the_parameters_are_documented_and_the_lookback_follows() -> None:
    assert all(p.doc for p in parameters(KellyVolatility))
    assert KellyVolatility(lookback_seconds=50.0).lookback == 51
    assert KellyVolatility(bar_seconds=15).lookback == 61
    assert KellyVolatility(lookback_seconds=899.0, bar_seconds=60).lookback == 15
    assert YEAR == 86_400 * 365.25


# --- against the truth ----------------------------------------------------------------------------

OURS = {
    "source": synthetic.LABEL,
    "symbols": f"SYNBTC15M={synthetic.SYMBOL}",
    "decimals": "SYNBTC15M=2",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Quotes of the quarter hours of two days, what they knew, and the true probability."""
    tables = synthetic.sample(3, days=10)
    finer = volatility_rows(tables["references"], 120.0)
    key = ["source", "symbol", "field", "time"]
    tables["references"] = pl.concat([tables["references"], finer]).sort(key)
    store = Store.create(tmp_path_factory.mktemp("world") / "d", name="d", synthetic=True)
    store.commit(tables)
    asked = references(KellyVolatility(**OURS))  # type: ignore[arg-type]
    stored = Reference(
        synthetic.LABEL, {"SYNBTC15M": synthetic.SYMBOL}, "volatility", "stored_volatility"
    )
    made = panel(store, series=["SYNBTC15M"], references=[*asked, stored]).quotes().collect()
    truth = synthetic.truth(3, days=10)
    named = made.with_columns(pl.col("ticker").cast(pl.String))
    return named.join(truth, on=["ticker", "time"], how="left")


def errors(frame: pl.DataFrame, **options: Any) -> pl.DataFrame:
    """Fair value less truth, wherever one is stated."""
    signal = KellyVolatility(**OURS, **options)
    said = signal(frame.lazy()).collect().drop_nulls("fair")
    return said.with_columns(error=pl.col("fair") - pl.col("probability"))


def rms(frame: pl.DataFrame) -> float:
    return float(np.sqrt(np.mean(frame["error"].to_numpy() ** 2)))


def deciles(frame: pl.DataFrame) -> pl.DataFrame:
    bins = (pl.col("fair") * 10).floor().clip(0, 9).alias("bin")
    return frame.group_by(bins).agg(pl.len(), pl.col("error").mean()).sort("bin")


def test_with_prices_of_each_second_fair_value_is_the_truth(world: pl.DataFrame) -> None:
    found = errors(world, eta=0.0)
    assert found.height == 14 * 192  # every bar of every market but its last
    assert rms(found) < 0.012
    assert deciles(found)["error"].abs().max() < 0.006  # type: ignore[operator]


def test_the_volatility_it_makes_is_the_one_that_can_be_stored(world: pl.DataFrame) -> None:
    made, stored = world["spot_volatility"], world["stored_volatility"]
    assert made.null_count() == 0
    # The stored one remembers all of the day, this one the last 40 half-lives.
    assert ((made / stored - 1).abs() < 1e-9).all()
    assert (
        errors(world, eta=0.0)["confidence"].is_between(0.9, 1).all()
    )  # some 350 returns of equal weight


def test_with_the_prices_of_its_own_bars_it_is_calibrated(world: pl.DataFrame) -> None:
    found = errors(world, eta=0.0, estimate="bars")
    assert found.height == 10 * 192  # four returns first
    assert rms(found) < 0.07
    table = deciles(found)
    assert table.height == 10
    assert table["error"].abs().max() < 0.035  # type: ignore[operator]


@pytest.mark.parametrize(
    "change", [{"average": 1}, {"basis": 0.001}, {"recursion": "unbiased", "step": 1.0}]
)
def test_each_correction_is_needed(world: pl.DataFrame, change: dict[str, Any]) -> None:
    finer = {"estimate": "bars"} if "recursion" in change else {}
    late = world.filter(pl.col("close_time") - pl.col("time") <= pl.duration(minutes=3))
    late = world.join(late.select("ticker", "time"), on=["ticker", "time"])
    keep = late.select("ticker", "time")
    good = errors(world, eta=0.0, **finer).join(keep, on=["ticker", "time"])
    bad = errors(world, eta=0.0, **finer, **change).join(keep, on=["ticker", "time"])
    assert rms(bad) > 1.5 * rms(good)


@pytest.mark.slow
def test_the_documented_reference_is_far_from_the_truth(world: pl.DataFrame) -> None:
    said = KellyVolatility.reference()(world.lazy()).collect().drop_nulls("fair")
    away = (said["fair"] - said["probability"]).abs().mean()
    assert isinstance(away, float)
    assert away > 0.10
    assert (said["fair"] - said["close"].fill_null(strategy="forward")).abs().min() >= 0  # type: ignore[operator]


# --- against the record ---------------------------------------------------------------------------


@pytest.mark.real
def test_settled_quarter_hours_have_these_decimals_and_pay_on_a_tie(real_data: Path) -> None:
    columns = ["series", "floor_strike", "expiration_value", "result"]
    markets = pl.read_parquet(real_data / "crypto15m-2026/markets_15m.parquet", columns=columns)
    places = {series: int(n) for series, n in pairs(DECIMALS, "").items()}
    assert set(markets["series"].unique()) <= set(places)
    settled = markets.drop_nulls().with_columns(
        unit=10.0 ** -pl.col("series").replace_strict(places, return_dtype=pl.Int64)
    )
    value, strike, unit = (pl.col(c) for c in ("expiration_value", "floor_strike", "unit"))
    off = settled.select(((value / unit) - (value / unit).round()).abs().max()).item()
    assert off < 1e-3
    lower, _ = bounds(
        settled.with_columns(
            strike_type=pl.lit("greater_or_equal"), cap_strike=pl.lit(None, dtype=pl.Float64)
        ),
        places,
    )
    paid = settled.with_columns(bound=lower).select(
        right=(value >= pl.col("bound")) == (pl.col("result") == "yes"),
        tie=(value - strike).abs() < unit / 2,
        yes=pl.col("result") == "yes",
    )
    assert paid.height > 40_000
    assert float(paid["right"].mean()) > 0.999  # type: ignore[arg-type]
    assert paid.filter("tie")["yes"].all()
    assert paid["tie"].sum() > 100
