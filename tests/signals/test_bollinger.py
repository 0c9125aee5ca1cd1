"""The Bollinger signal against its slow twin, sums done by hand, and the traps it must avoid."""

import dataclasses
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import SIGNALS
from kalshi_bt.signals import check_parameters, parameter, parameters
from kalshi_bt.signals.bollinger import ADDED, Bollinger, bands
from kalshi_bt.signals.expr import market_slices
from kalshi_bt.signals.kernels import FFILL, Window, _ceiling
from tests.quotes_random import PRICES, START, flat, mirrored, quotes
from tests.signals.naive_bollinger import setups

Bars = Sequence[tuple[float, float, float, float] | None]
CASES, CONFIRMED = 80, 40
LEVELS = ("side", "entry", "stop", "target")
GROSS: dict[str, Any] = {"fee_aware": False, "min_time_to_close": 0}
EAGER: dict[str, Any] = {"period": 6, "width": 0.8, "reward": 3.0, **GROSS}


def said(signal: Bollinger, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the set-ups alone."""
    return signal(frame.lazy()).collect().drop_nulls("side")


def drawn(rng: np.random.Generator) -> Bollinger:
    """Draw a signal that is likely to find something."""
    pick = rng.choice
    return Bollinger(
        period=int(rng.integers(2, 14)),
        width=float(pick([0.0, 0.5, 0.75, 1.0, 1.125, 1.5, 2.0])),
        include_signal_bar=bool(rng.random() < 0.6),
        empty_bar=str(pick(["skip", "ffill", "nan"])),  # type: ignore[arg-type]
        bar_seconds=int(pick([30, 60, 90])) if rng.random() < 0.5 else None,
        reach=int(rng.integers(1, 4)),
        price="mid" if rng.random() < 0.3 else "trade",
        geometry=str(pick(["fade_limit", "reversal_break", "literal"])),  # type: ignore[arg-type]
        reward=float(pick([1.0, 2.0, 2.5, 4.0, 3.333])),
        target_band_cap=bool(rng.random() < 0.5),
        min_rr=float(pick([0.0, 0.5, 1.0, 1.25, 2.0])),
        fee_aware=bool(rng.random() < 0.5),
        fee_rate=float(pick([0.07, 0.035, 0.0175])),
        tick=float(pick([0.01, 0.001])),
        min_time_to_close=int(pick([60, 480, 900])),
        min_exit_before_close=int(pick([0, 30])),
    )


def confirmed(rng: np.random.Generator) -> Bollinger:
    """Draw a signal whose set-ups RSI or ADX must confirm."""
    pick, kind = rng.choice, int(rng.integers(3))
    return dataclasses.replace(
        drawn(rng),
        width=float(pick([0.0, 0.5, 1.0])),
        rsi=kind != 1,
        rsi_period=int(rng.integers(1, 6)),
        rsi_level=float(pick([25.0, 33.3, 50.0])),
        adx=str(pick(["below", "above"])) if kind else "off",  # type: ignore[arg-type]
        adx_period=int(rng.integers(1, 5)),
        adx_level=float(pick([20.0, 33.3, 50.0])),
        wilder_bars=int(rng.integers(9, 30)),
    )


@cache
def case(seed: int) -> tuple[Bollinger, pl.DataFrame, pl.DataFrame]:
    """Return a random signal, random quotes and the set-ups it sees in them."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    signal = drawn(rng) if seed < CASES else confirmed(rng)
    share = float(rng.choice([0.0, 0.3]))
    empty = float(rng.choice([0.0, 0.2, 0.6]))
    frame = quotes(seed, bars=90, events=3, empty=empty, absent=share, snapshots=share)
    return signal, frame, said(signal, frame)


@pytest.mark.parametrize(
    "seed",
    [pytest.param(n, marks=pytest.mark.slow if n % 3 else ()) for n in range(CASES + CONFIRMED)],
)
def test_equals_the_slow_twin(seed: int) -> None:
    signal, frame, seen = case(seed)
    expected = setups(frame.to_dicts(), **dataclasses.asdict(signal))
    found = {(row["ticker"], row["time"]): row for row in seen.to_dicts()}
    assert found.keys() == expected.keys()
    for key, setup in expected.items():
        confidence = setup.pop("confidence")
        assert {name: found[key][name] for name in setup} == setup, key
        assert found[key]["confidence"] == pytest.approx(confidence, abs=1e-9)


@pytest.mark.slow
def test_the_twin_is_compared_on_many_setups_of_every_kind() -> None:
    kinds: Counter[tuple[str, str, int]] = Counter()
    for signal, _, seen in map(case, range(CASES)):
        kinds.update((signal.geometry, signal.empty_bar, side) for side in seen["side"])
    assert kinds.total() > 1_000
    tradable = {kind for kind in kinds if kind[0] != "literal"}
    assert len(tradable) == 2 * 3 * 2


@pytest.mark.slow
def test_the_twin_is_compared_on_setups_that_are_confirmed_and_on_some_that_are_not() -> None:
    kept = lost = 0
    for seed in range(CASES, CASES + CONFIRMED):
        signal, frame, seen = case(seed)
        free = dataclasses.replace(signal, rsi=False, adx="off")
        kept, lost = kept + seen.height, lost + said(free, frame).height - seen.height
    assert min(kept, lost) > 500


# Four closes of 0.50 and the signal bar's 0.40: mean (4 x 0.50 + 0.40) / 5 = 0.48, variance
# (4 x 0.02² + 0.08²) / 5 = 0.0016, deviation 0.04; with a width of 1.5 the bands are 0.42 and 0.54.
# The body ends at 0.41, 0.01 below its band: confidence 0.6 + 2 x 0.01. The range is 0.43 - 0.38.
BY_HAND: Bars = [(0.5, 0.5, 0.5, 0.5)] * 4 + [(0.41, 0.43, 0.38, 0.40)]
FIVE: dict[str, Any] = {"period": 5, "width": 1.5, **GROSS}


@pytest.mark.parametrize(
    ("geometry", "entry", "stop", "target"),
    [
        ("fade_limit", 0.38, 0.33, 0.48),  # stop 0.38 - 0.05, target 0.38 + 2 x 0.05
        ("reversal_break", 0.43, 0.38, 0.53),  # 0.43 + 2 x 0.05, just the cap of 0.54 - 0.01
    ],
)
def test_a_long_setup_by_hand_and_its_mirror_image(
    geometry: Any, entry: float, stop: float, target: float
) -> None:
    signal = Bollinger(geometry=geometry, **FIVE)
    frame = flat(BY_HAND)
    long = said(signal, frame).row(0, named=True)
    assert [long[name] for name in LEVELS] == [1, entry, stop, target]
    assert long["confidence"] == pytest.approx(0.62, abs=1e-12)
    assert long["time"] == frame["time"][-1]
    assert long["entry_stop"] is (geometry == "reversal_break")
    assert long["exit_time"] is None
    short = said(signal, mirrored(frame)).row(0, named=True)
    expected = [-1, *(round(1 - level, 2) for level in (entry, stop, target))]
    assert [short[name] for name in LEVELS] == expected


def test_the_band_caps_the_target_and_the_ratio_is_judged_after_it() -> None:
    # With a range of 0.44 - 0.37 = 0.07 a reward of 2.5 wants the target at 0.37 + 0.175 = 0.545
    # and gets 0.54 - 0.01 = 0.53: 0.16 / 0.07 = 2.29 is enough for 2.25, not for 2.5.
    frame = flat([*BY_HAND[:4], (0.41, 0.44, 0.37, 0.40)])
    wide = {**FIVE, "reward": 2.5}
    assert said(Bollinger(**wide, min_rr=2.25), frame)["target"].to_list() == [0.53]
    assert said(Bollinger(**wide, min_rr=2.5), frame).is_empty()
    free = Bollinger(**wide, min_rr=2.5, target_band_cap=False)
    assert said(free, frame)["target"].to_list() == [0.545]


def test_fees_come_off_the_reward_and_on_the_risk() -> None:
    # 0.07 p(1 - p): entry 0.38 pays 0.016492, target 0.48 0.017472, stop 0.33 0.015477. Reward
    # 0.10 - 0.033964 = 0.066036 over risk 0.05 + 0.031969 = 0.081969 is 0.8056.
    fees = {**FIVE, "fee_aware": True}
    assert said(Bollinger(**fees, min_rr=0.805), flat(BY_HAND)).height == 1
    assert said(Bollinger(**fees, min_rr=0.806), flat(BY_HAND)).is_empty()


def test_a_clipped_stop_changes_the_ratio() -> None:
    # Closes 0.10 x 4 and 0.02: mean 0.084, deviation 0.032, lower band 0.036 at width 1.5. The low
    # of 0.02 and a range of 0.03 put the stop at -0.01: clipped to 0.01, the risk is 0.01, and the
    # reward of 2 x 0.03 is six times as much.
    bars: Bars = [(0.1, 0.1, 0.1, 0.1)] * 4 + [(0.02, 0.05, 0.02, 0.02)]
    found = said(Bollinger(**FIVE, min_rr=6.0), flat(bars)).row(0, named=True)
    assert [found[name] for name in LEVELS] == [1, 0.02, 0.01, 0.08]
    assert said(Bollinger(**FIVE, min_rr=6.001), flat(bars)).is_empty()


def test_a_body_on_the_band_is_inside_where_floats_disagree() -> None:
    # Of five closes one lies D below the other four: mean - close = 4D/5 and the deviation is 2D/5,
    # so that at a width of 2 the close lies on the band, whatever D.
    pairs = [(high, low) for high in (23, 50, 71, 98) for low in range(1, high)]
    frames, fooled = [], 0
    for high, low in pairs:
        a, b = high / 100, low / 100
        closes = np.array([a] * 4 + [b])
        fooled += b < closes.mean() - 2 * closes.std()
        bars: Bars = [(a, a, a, a)] * 4 + [(b, min(b + 0.01, 0.99), b, b)]
        frames.append(flat(bars).with_columns(ticker=pl.lit(f"{high}-{low}")))
    frame = pl.concat(frames)
    eager = {"period": 5, "reward": 10.0, "min_rr": 0.0, "target_band_cap": False, **GROSS}
    assert fooled > 10
    assert said(Bollinger(**eager), frame).is_empty()
    assert said(Bollinger(**eager, width=1.999), frame).height > 200


@pytest.mark.parametrize("geometry", ["fade_limit", "reversal_break"])
@pytest.mark.parametrize("seed", range(5))
def test_stop_and_target_lie_on_their_sides_of_the_entry(geometry: Any, seed: int) -> None:
    frame = said(Bollinger(geometry=geometry, **EAGER), quotes(seed, bars=200, events=4))
    entry, stop, target = (pl.col(name) * pl.col("side") for name in ("entry", "stop", "target"))
    assert frame.height > 20
    assert frame.filter(~((stop < entry) & (entry < target))).is_empty()
    assert frame.filter(~pl.all_horizontal(pl.col(LEVELS[2:]).is_between(0.01, 0.99))).is_empty()


@pytest.mark.parametrize("seed", range(10))
def test_literal_levels_never_give_a_long_nor_a_short_that_can_be_traded(seed: int) -> None:
    literal = dataclasses.replace(Bollinger.reference(), period=6, width=0.8)
    frame = said(literal, quotes(seed, bars=300, events=4))
    assert frame.filter(side=1).is_empty()
    assert frame.height > 0
    assert frame.filter(~(pl.col("target") > pl.col("entry"))).is_empty()
    assert frame.filter(~(pl.col("stop") < pl.col("entry"))).is_empty()


@pytest.mark.parametrize("geometry", ["fade_limit", "reversal_break"])
@pytest.mark.parametrize("price", ["trade", "mid"])
def test_the_no_side_sees_the_same_setups_mirrored(geometry: Any, price: Any) -> None:
    signal = Bollinger(geometry=geometry, price=price, **EAGER)
    frame = quotes(3, bars=200, snapshots=0.1)
    levels = ["entry", "stop", "target"]
    yes = signal(frame.lazy()).select("ticker", "time", *LEVELS).collect()
    no = signal(mirrored(frame).lazy()).select("ticker", "time", *LEVELS).collect()
    flipped = no.with_columns(-pl.col("side"), *((1 - pl.col(name)).alias(name) for name in levels))
    assert yes["side"].drop_nulls().len() > 0
    assert_frame_equal(yes, flipped, abs_tol=1e-12)


@pytest.mark.slow
def test_reversing_the_path_inside_the_signal_bar_changes_nothing() -> None:
    signal = Bollinger(**EAGER, include_signal_bar=False)
    compared = 0
    for seed in range(40):
        frame = quotes(seed, bars=30, empty=0.0)
        last = pl.col("time") == pl.col("time").max().over("ticker")
        reversed_ = frame.with_columns(
            open=pl.when(last).then("close").otherwise("open"),
            close=pl.when(last).then("open").otherwise("close"),
        )
        ends = said(signal, frame.clone()).filter(time=frame["time"].max())
        assert_frame_equal(
            ends.select(ADDED),
            said(signal, reversed_).filter(time=frame["time"].max()).select(ADDED),
        )
        compared += ends.height
    assert compared > 5


def test_wicks_do_not_make_a_signal() -> None:
    bars: Bars = [*BY_HAND[:4], (0.5, 0.5, 0.01, 0.40)]
    assert said(Bollinger(**FIVE), flat(bars)).is_empty()


@pytest.mark.slow
def test_absent_bars_count_like_recorded_bars_without_a_trade() -> None:
    for empty_bar in ("ffill", "nan"):
        signal = Bollinger(**EAGER, bar_seconds=60, empty_bar=empty_bar)
        for seed in range(10):
            frame = quotes(seed, bars=120, empty=0.4, snapshots=0.0)
            first = pl.col("time") == pl.col("time").min().over("ticker")
            without = frame.filter(pl.col("close").is_not_null() | first)
            assert without.height < frame.height
            found = said(signal, frame)
            assert found.height > 0 or empty_bar == "nan"
            assert_frame_equal(said(signal, without), found)


def test_a_gap_counts_as_repeated_closes_only_if_the_bar_length_is_given() -> None:
    # 0.50, then 0.40 held over an absent bar, then 0.30. The last three intervals close at 0.40,
    # 0.40, 0.30: mean 0.3667, deviation 0.0471, lower band 0.3195 at width 1. The last three rows
    # close at 0.50, 0.40, 0.30: mean 0.40, deviation 0.0816, lower band 0.3184. A body that ends at
    # 0.319 tells them apart.
    bars: Bars = [(0.5, 0.5, 0.5, 0.5), (0.4, 0.4, 0.4, 0.4), None, (0.319, 0.33, 0.3, 0.3)]
    options = {"period": 3, "width": 1.0, "min_rr": 0.0, **GROSS, "tick": 0.001}
    frame = flat(bars)
    absent = frame.filter(pl.col("close").is_not_null())
    assert said(Bollinger(**options), frame).height == 1
    assert said(Bollinger(**options, bar_seconds=60), absent).height == 1
    assert said(Bollinger(**options), absent).is_empty()
    assert said(Bollinger(**options, empty_bar="skip"), frame).is_empty()
    assert said(Bollinger(**options, empty_bar="nan"), frame).is_empty()


def test_markets_are_not_spliced_into_one_series() -> None:
    # The first market leaves closes of 0.90 behind; the second must warm up on its own.
    high = flat([(0.9, 0.9, 0.9, 0.9)] * 30).with_columns(ticker=pl.lit("A"))
    low = flat([(0.2, 0.22, 0.18, 0.2)] * 24).with_columns(ticker=pl.lit("B"))
    frame = pl.concat([high, low])
    assert said(Bollinger(**GROSS, min_rr=0.0), frame).is_empty()
    spliced = frame.with_columns(
        ticker=pl.lit("A"),
        time=pl.lit(START) + pl.duration(minutes=pl.int_range(pl.len())),
    )
    assert said(Bollinger(**GROSS, min_rr=0.0), spliced).height > 0


def test_arrival_order_changes_nothing() -> None:
    frame = quotes(5, bars=120)
    signal = Bollinger(**EAGER)
    key = ["ticker", "time"]
    shuffled = frame.sample(fraction=1, shuffle=True, seed=3)
    assert_frame_equal(said(signal, shuffled).sort(key), said(signal, frame))


def test_an_enum_of_tickers_gives_what_strings_give() -> None:
    frame = quotes(6, bars=100)
    coded = frame.with_columns(pl.col("ticker").cast(pl.Enum(frame["ticker"].unique().sort())))
    assert_frame_equal(
        said(Bollinger(**EAGER), coded).select(ADDED), said(Bollinger(**EAGER), frame).select(ADDED)
    )


def test_threads_give_what_one_market_at_a_time_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = quotes(8, bars=150, events=4, absent=0.2)
    signal = Bollinger(**EAGER, bar_seconds=60)
    alone = pl.concat([said(signal, part) for part in frame.partition_by("ticker")])
    monkeypatch.setattr("kalshi_bt.signals.bollinger_rows._SHARE", 100)
    assert_frame_equal(said(signal, frame), alone)


def test_a_stale_close_gives_no_bands() -> None:
    # With period 3 and reach 2 a close may lie six bars back; at seven the window is not full.
    options = {"period": 3, "width": 0.0, "min_rr": 0.0, **GROSS, "reward": 0.5}
    for silent, count in ((5, 1), (6, 0)):
        bars: Bars = [(0.5, 0.5, 0.5, 0.5), *[None] * silent, (0.3, 0.32, 0.28, 0.3)]
        assert said(Bollinger(**options), flat(bars)).height == count


def test_a_bar_without_a_trade_is_never_a_setup() -> None:
    frame = said(Bollinger(**EAGER), quotes(9, bars=300, empty=0.5))
    assert frame.height > 0
    assert frame["open"].null_count() == 0


def test_setups_near_the_scheduled_close_are_dropped_and_unknown_schedules_pass() -> None:
    time = flat(BY_HAND)["time"][-1]
    late = {**FIVE, "min_time_to_close": 480}
    for seconds, count in ((480, 1), (479, 0)):
        frame = flat(BY_HAND, close_time=time + timedelta(seconds=seconds))
        assert said(Bollinger(**late), frame).height == count
    assert said(Bollinger(**late), flat(BY_HAND)).height == 1
    leaving = Bollinger(**late, min_exit_before_close=60)
    frame = flat(BY_HAND, close_time=time + timedelta(seconds=600))
    assert said(leaving, frame)["exit_time"].to_list() == [time + timedelta(seconds=540)]
    assert said(leaving, flat(BY_HAND))["exit_time"].to_list() == [None]


def test_where_trades_were_not_recorded_the_mid_makes_the_bars() -> None:
    book = {"bid": pl.col("close") - 0.01, "ask": pl.col("close") + 0.01}
    book |= {"bid_open": pl.col("open") - 0.01, "ask_open": pl.col("open") + 0.01}
    book |= {"bid_high": pl.col("high"), "ask_low": pl.col("low")}
    traded = flat(BY_HAND)
    nothing = [pl.lit(None, pl.Float64).alias(name) for name in PRICES]
    unseen = [*nothing, pl.lit(None, pl.Float64).alias("volume")]
    snapshot = traded.with_columns(**book).with_columns(*unseen, quote_source=pl.lit("snapshot"))
    assert_frame_equal(
        said(Bollinger(**FIVE), snapshot).select(ADDED),
        said(Bollinger(**FIVE), traded).select(ADDED),
    )
    quiet = snapshot.with_columns(volume=pl.lit(0.0))
    assert said(Bollinger(**FIVE), quiet).is_empty()
    candle = snapshot.with_columns(quote_source=pl.lit("candle"))
    assert said(Bollinger(**FIVE), candle).is_empty()
    assert said(Bollinger(**FIVE, price="mid"), candle).height == 1


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.2, 1.2, None])
def test_a_bar_with_a_value_that_is_no_price_counts_as_one_without_a_trade(wrong: Any) -> None:
    signal = Bollinger(**FIVE)
    missing = said(signal, flat([*BY_HAND[:4], None, *BY_HAND[4:]]))
    assert missing.height == 1
    for name in ("open", "close"):
        bar = pl.int_range(pl.len()) == 4
        frame = flat([*BY_HAND[:4], (0.47, 0.47, 0.47, 0.47), *BY_HAND[4:]]).with_columns(
            pl.when(bar).then(pl.lit(wrong, pl.Float64)).otherwise(name).alias(name)
        )
        assert_frame_equal(said(signal, frame), missing)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.2, 1.2, None])
@pytest.mark.parametrize("name", ["low", "high"])
@pytest.mark.parametrize("geometry", ["fade_limit", "reversal_break"])
def test_a_bar_without_a_range_is_no_setup(wrong: Any, name: str, geometry: Any) -> None:
    signal = Bollinger(**FIVE, geometry=geometry, min_rr=0.0)
    for frame in (flat(BY_HAND), mirrored(flat(BY_HAND))):
        broken = frame.with_columns(pl.lit(wrong, pl.Float64).alias(name))
        assert said(signal, frame).height == 1
        assert said(signal, broken).is_empty()


def test_a_target_at_the_entry_is_no_setup() -> None:
    # The cap of 0.54 - 0.01 is where the high is: nothing to gain, which even a ratio of 0 refuses.
    signal = Bollinger(**FIVE, geometry="reversal_break", min_rr=0.0)
    assert said(signal, flat([*BY_HAND[:4], (0.41, 0.53, 0.38, 0.40)])).is_empty()
    assert said(signal, flat([*BY_HAND[:4], (0.41, 0.52, 0.38, 0.40)])).height == 1


def test_the_tick_inside_a_band_is_found_exactly() -> None:
    # The mean is 0 and the band lies one dollar above it, or one part in 2e16 less, which no double
    # tells apart: n x 20 000 half centi-cents are 1e8, the root of 1e16.
    rule = Window(mode=FFILL, n=5_000, lag=4_999, reach=10_000, step=0, p=1, q=1)
    assert _ceiling(rule, 200, 0, 10**16) == 20_000
    assert _ceiling(rule, 200, 0, 10**16 - 1) == 19_800
    assert _ceiling(rule, 200, 0, 0) == 0
    # And a band at or above 0.95 that doubles place below it: d² q² <= p² v, with d = n·0.95 - s.
    rule = rule._replace(n=2_872, p=99, q=40)
    s, v = 10_189_058, 321_516_660_428_832
    assert ((2_872 * 19_000 - s) * 40) ** 2 <= 99**2 * v
    assert s + math.sqrt(v) * 99 / 40 < 2_872 * 19_000
    assert _ceiling(rule, 200, s, v) == 19_000


def test_bands_are_the_mean_and_the_population_deviation() -> None:
    frame = quotes(4, bars=80, empty=0.0)
    signal = Bollinger(period=10, width=1.5)
    close = pl.col("close")
    middle = close.rolling_mean(10).over("ticker", order_by="time")
    half = 1.5 * close.rolling_std(10, ddof=0).over("ticker", order_by="time")
    expected = frame.with_columns(middle.alias("m"), half.alias("h")).select(
        band_middle="m", band_lower=pl.col("m") - pl.col("h"), band_upper=pl.col("m") + pl.col("h")
    )
    drawn_ = bands(frame.sample(fraction=1, shuffle=True, seed=1).lazy(), signal).collect()
    found = drawn_.sort("ticker", "time").select(expected.columns)
    assert_frame_equal(found, expected, abs_tol=1e-6)
    assert found["band_middle"].null_count() == 4 * 9


def test_bands_are_drawn_through_bars_without_a_trade_when_closes_are_carried() -> None:
    bars: Bars = [(0.4, 0.4, 0.4, 0.4), (0.5, 0.5, 0.5, 0.5), None]
    middle = bands(flat(bars).lazy(), Bollinger(period=2)).collect()["band_middle"]
    assert middle.to_list() == [None, 0.45, 0.5]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"period": 1}, "Bollinger.period is 1; expected int from 2 to 5000"),
        ({"period": 25.0}, "Bollinger.period is 25.0; expected int"),
        ({"period": True}, "Bollinger.period is True"),
        ({"width": -1}, "Bollinger.width is -1; expected float from 0 to 10"),
        ({"width": float("nan")}, "Bollinger.width is nan"),
        ({"width": 1 / 3}, "at most 3 decimals"),
        ({"period": 5_000, "width": 1.999}, "give the width fewer decimals"),
        ({"empty_bar": "drop"}, "expected 'skip' or 'ffill' or 'nan'"),
        ({"fee_aware": 1}, "Bollinger.fee_aware is 1; expected bool"),
        ({"tick": 0.03}, "a whole part of a dollar"),
        ({"min_time_to_close": -1}, "expected int, at least 0"),
        ({"min_time_to_close": 60, "min_exit_before_close": 60}, "expected less than"),
        ({"bar_seconds": 0}, "expected int or none from 1 to 86400"),
    ],
)
def test_parameters_out_of_range_are_refused_in_one_line(wrong: Any, told: str) -> None:
    with pytest.raises(UsageError) as error:
        Bollinger(**wrong)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_the_widest_window_that_is_accepted_does_not_overflow() -> None:
    # 151 x 2 x 1000 = 302 000 is just within the bound: a body one dollar from the mean makes the
    # square of 151 x 20 000 x 1000, which is 9.12e18 of 9.22e18.
    options = {"period": 151, "width": 0.999, "include_signal_bar": False, "tick": 0.0001, **GROSS}
    walls: Bars = [(1.0, 1.0, 1.0, 1.0)] * 151
    frame = flat([*walls, (0.0, 0.001, 0.0, 0.0)])
    assert said(Bollinger(**options, geometry="reversal_break"), frame).height == 1
    with pytest.raises(UsageError, match="decimals"):
        Bollinger(period=152, width=0.999)


def test_every_parameter_is_documented_and_its_default_in_range() -> None:
    for p in parameters(Bollinger):
        assert p.doc, p.name
        assert p.default is None or p.low is None or p.low <= p.default
        assert p.default is None or p.high is None or p.default <= p.high
        assert not p.choices or p.default in p.choices
    named = {p.name: p for p in parameters(Bollinger())}
    assert named["geometry"].choices == ("fade_limit", "reversal_break", "literal")
    assert named["bar_seconds"].kind == "int or none"
    assert named["min_rr"].expected == "float from 0 to 10"


def test_any_dataclass_declares_and_checks_its_parameters() -> None:
    @dataclasses.dataclass(frozen=True)
    class Plain:
        share: float = parameter(0.5, "a share", None, 1)
        note: str = parameter("a", "a note", choices=("a", "b"))
        given: tuple[float, ...] = ()

    check_parameters(Plain(share=1, given=(0.1,)))
    for wrong in ({"share": 1.5}, {"note": "c"}, {"given": [0.1]}, {"share": "1"}):
        with pytest.raises(UsageError, match="expected"):
            check_parameters(Plain(**wrong))
    assert parameters(Plain)[0].expected == "float, at most 1"


def test_a_missing_column_is_named() -> None:
    frame = flat(BY_HAND).drop("close_time")
    with pytest.raises(DataError, match=r"quotes lacks 'close_time' .* needed by bollinger"):
        Bollinger()(frame.lazy())


def test_slices_follow_markets_and_times() -> None:
    frame = pl.DataFrame({"ticker": ["B", "A", "B", "A"], "time": [1, 2, 0, 1]})
    order, starts = market_slices(frame)
    assert order is not None
    assert frame[order].rows() == [("A", 1), ("A", 2), ("B", 0), ("B", 1)]
    assert starts.tolist() == [0, 2, 4]
    assert market_slices(frame.clear())[1].tolist() == [0]


def test_columns_are_those_declared() -> None:
    schema = Bollinger()(flat(BY_HAND).lazy()).collect_schema()
    assert {name: schema[name] for name in ADDED} == {name: SIGNALS[name] for name in ADDED}


def test_importing_the_signal_does_not_load_numba() -> None:
    code = (
        "import sys, json, kalshi_bt.signals.bollinger; print(json.dumps('numba' in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) is False
