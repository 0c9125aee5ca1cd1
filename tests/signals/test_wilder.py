"""RSI and ADX: a published series, sums by hand, exact twins, and what confirms a set-up."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from kalshi_bt.errors import UsageError
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.signals.wilder import adx, rsi
from tests.quotes_random import flat, mirrored
from tests.signals import naive_wilder

# The worked example of ChartSchool's page on the RSI: closes of 14-19 December 2009 on, and what
# its table gives from the fifteenth on, to two decimals.
CLOSES = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826,
    45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
]  # fmt: skip
PUBLISHED = [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]

cents = st.integers(1, 99).map(lambda k: Fraction(k, 100))
series = st.lists(cents, min_size=1, max_size=25)
bars = st.lists(st.tuples(cents, cents, cents).map(sorted), min_size=1, max_size=25)


def floats(values: list[Fraction]) -> np.ndarray:
    return np.array([float(v) for v in values])


@pytest.mark.parametrize(("last", "expected"), list(enumerate(PUBLISHED, start=15)))
def test_the_published_rsi_of_a_worked_example(last: int, expected: float) -> None:
    assert rsi(np.array(CLOSES[:last]), 14) == pytest.approx(expected, abs=0.006)


@settings(deadline=None)  # compiles on first use
@given(series, st.integers(1, 6))
def test_the_rsi_is_its_exact_twin(closes: list[Fraction], n: int) -> None:
    exact = naive_wilder.rsi(closes, n)
    found = rsi(floats(closes), n)
    assert (exact is None) == np.isnan(found)
    assert exact is None or found == pytest.approx(float(exact), abs=1e-9)


@settings(deadline=None)
@given(bars, st.integers(1, 5))
def test_the_adx_is_its_exact_twin(rows: list[list[Fraction]], n: int) -> None:
    low, close, high = (list(part) for part in zip(*rows, strict=True))
    exact = naive_wilder.adx([{"high": h, "low": w, "close": c} for w, c, h in rows], n)
    found = adx(floats(high), floats(low), floats(close), n)
    assert (exact is None) == np.isnan(found)
    assert exact is None or found == pytest.approx(float(exact), abs=1e-9)


def test_the_adx_by_hand() -> None:
    # n = 2. Moves up 1, 0, 2 and down 0, 2, 0, in cents: sums 1 and 2, then 1/2 + 2 and 2/2 + 0.
    # DX = 100/3, then 100·(2.5 - 1)/3.5; the ADX is the mean of both.
    high = np.array([0.50, 0.51, 0.50, 0.52])
    low = np.array([0.45, 0.45, 0.43, 0.44])
    close = np.array([0.48, 0.48, 0.45, 0.50])
    assert adx(high, low, close, 2) == pytest.approx((100 / 3 + 150 / 3.5) / 2, abs=1e-9)
    assert np.isnan(adx(high[1:], low[1:], close[1:], 2))


# Ten closes that rise by a cent, then a bar far below: RSI with three changes (1, 1, -29 cents) is
# 100·2/31 = 6.45 if the averages begin with them, and the trend before was all up.
FALL = [(0.40 + k / 100,) * 4 for k in range(10)] + [(0.21, 0.22, 0.19, 0.20)]
EAGER = {"period": 5, "width": 1.0, "min_rr": 0.0, "min_time_to_close": 0, "rsi_period": 3}
NEAR = {**EAGER, "wilder_bars": 3}


def said(signal: Bollinger, *, mirror: bool = False) -> list[int]:
    frame = mirrored(flat(FALL)) if mirror else flat(FALL)
    sides: list[int] = signal(frame.lazy()).collect()["side"].drop_nulls().to_list()
    return sides


def test_an_oversold_bar_confirms_a_long_and_its_mirror_image_a_short() -> None:
    index = 100 * 2 / 31
    for level, sides in ((index + 1e-6, [1]), (index - 1e-6, [])):
        signal = Bollinger(**NEAR, rsi=True, rsi_level=level)  # type: ignore[arg-type]
        assert said(signal) == sides
        assert said(signal, mirror=True) == [-side for side in sides]


def test_a_fade_is_confirmed_where_there_is_no_trend() -> None:
    # Of the last four bars two rise by a cent, one falls by 30: sums of two up 2 and down 0, then
    # 2 - 2/2 and 30, so that DX is 100 and 100·29/31.
    options = {**EAGER, "adx_period": 2, "wilder_bars": 3}
    trend = (100 + 100 * 29 / 31) / 2
    for level, below in ((trend + 1e-3, [1]), (trend - 1e-3, [])):
        weak = Bollinger(**options, adx="below", adx_level=level)  # type: ignore[arg-type]
        strong = Bollinger(**options, adx="above", adx_level=level)  # type: ignore[arg-type]
        assert said(weak, mirror=True) == [-side for side in below]
        assert said(weak) == below
        assert said(strong) == ([] if below else [1])


def test_an_index_with_too_few_bars_confirms_nothing() -> None:
    long = {**EAGER, "rsi_period": 11}
    assert said(Bollinger(**EAGER)) == [1]  # type: ignore[arg-type]
    assert said(Bollinger(**long, rsi=True, rsi_level=50.0)) == []  # type: ignore[arg-type]


def test_both_are_off_by_default_and_the_lookback_holds_them_when_on() -> None:
    assert (Bollinger().rsi, Bollinger().adx, Bollinger().adx_level) == (False, "off", 20.0)
    assert Bollinger(period=5).lookback == 11
    assert Bollinger(period=5, rsi=True).lookback == 201


@pytest.mark.parametrize(
    "wrong", [{"rsi": True, "rsi_period": 21}, {"adx": "above", "adx_period": 11}]
)
def test_averages_must_fit_into_the_bars_they_begin_with(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="wilder_bars is 20; expected at least 21"):
        Bollinger(wilder_bars=20, **wrong)  # type: ignore[arg-type]
