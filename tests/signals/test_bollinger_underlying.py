"""Bands of the underlying: a slow twin, sums by hand, markets too short for bands of their own."""

import math
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import kalshi_bt
from kalshi_bt.errors import DataError
from kalshi_bt.schema import Time
from kalshi_bt.signals import contract
from kalshi_bt.signals.bollinger import Bollinger, bands
from kalshi_bt.signals.underlying_bands import BandOf
from tests.quotes_random import START, flat, mirrored, quotes
from tests.signals import naive_wilder

EAGER: dict[str, Any] = {"on": "underlying", "min_time_to_close": 0, "width": 1.5}
SECOND = 1_000_000


def series(*rows: tuple[int, float], symbol: str = "BTC") -> pl.DataFrame:
    """Prices by seconds since 1970."""
    at, value = zip(*rows, strict=True)
    time = (pl.Series(at, dtype=pl.Int64) * SECOND).cast(Time)
    return pl.DataFrame({"symbol": symbol, "time": time, "value": value})


# --- what is made of the underlying ---------------------------------------------------------------


def bars_of(rows: list[tuple[int, float]], seconds: int) -> dict[int, dict[str, Fraction]]:
    """Bars by the number of their interval; a price at an end belongs to the bar that ends."""
    made: dict[int, dict[str, Fraction]] = {}
    for at, quoted in rows:
        price = Fraction(str(quoted))
        slot = -(-at // seconds)
        bar = made.setdefault(slot, {"open": price, "high": price, "low": price})
        bar |= {"high": max(bar["high"], price), "low": min(bar["low"], price), "close": price}
    return made


def filled(
    bars: dict[int, dict[str, Fraction]], first: int, last: int
) -> list[dict[str, Fraction]]:
    """The bars of a span, from its first price on, silent intervals repeating the last close."""
    found: list[dict[str, Fraction]] = []
    for slot in range(first, last + 1):
        if slot in bars:
            found.append(bars[slot])
        elif found:
            found.append(dict.fromkeys(("open", "high", "low", "close"), found[-1]["close"]))
    return found


def twin(rows: list[tuple[int, float]], made: BandOf) -> dict[int, float]:
    bars, found = bars_of(rows, made.seconds), {}
    for slot, bar in bars.items():
        if made.said != "beyond":
            window = filled(bars, slot - made.memory, slot)
            if made.said == "rsi":
                value = naive_wilder.rsi([b["close"] for b in window], made.n)
            else:
                value = naive_wilder.adx(window, made.n)
            if value is not None:
                found[slot * made.seconds] = float(value)
            continue
        own = filled(bars, slot - made.reach * made.period, slot)
        closes = [b["close"] for b in (own if made.include_signal_bar else own[:-1])]
        if len(closes) < made.period:
            continue
        window_ = closes[-made.period :]
        mean = sum(window_) / made.period
        variance = sum((x - mean) ** 2 for x in window_) / made.period
        top, bottom = max(bar["open"], bar["close"]), min(bar["open"], bar["close"])
        away = (top if top < mean else max(mean, bottom)) - mean
        flat_ = math.copysign(math.inf, away) if away else 0.0
        found[slot * made.seconds] = float(away) / math.sqrt(variance) if variance else flat_
    return found


@pytest.mark.parametrize("said", ["beyond", "rsi", "adx"])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_made_of_prices_is_its_slow_twin(seed: int, said: Any) -> None:
    rng = np.random.Generator(np.random.Philox(key=[12, seed]))
    at = np.cumsum(rng.choice([1, 1, 7, 20, 60, 200], 300)).tolist()
    prices = np.round(60_000 + np.cumsum(rng.standard_normal(300) * 20), 2).tolist()
    rows = list(zip(at, prices, strict=True))
    made = BandOf(
        seconds=int(rng.choice([15, 60])), period=int(rng.integers(3, 9)), reach=2, said=said,
        include_signal_bar=bool(seed % 2), n=int(rng.integers(1, 4)), memory=12,
    )  # fmt: skip
    found = made(series(*rows))
    times = (found["time"].to_physical() // SECOND).to_list()
    expected = twin(rows, made)
    assert times == sorted(expected)
    assert len(times) > 20
    assert found["value"].to_list() == pytest.approx([expected[t] for t in times], abs=1e-6)
    # Nothing that was said by a time depends on a price after it.
    cut = pl.col("time") <= found["time"][len(times) // 2]
    assert made(series(*rows).filter(cut)).filter(cut).equals(found.filter(cut))


def test_series_are_not_spliced() -> None:
    rows = [(60 * k, 100.0 + k % 3) for k in range(1, 30)]
    other = [(60 * k, 5.0 + k % 2) for k in range(1, 30)]
    made = BandOf(60, period=5)
    both = made(pl.concat([series(*rows, symbol="A"), series(*other, symbol="B")]))
    for symbol, own in (("A", rows), ("B", other)):
        assert both.filter(symbol=symbol).equals(made(series(*own, symbol=symbol)))


def test_closes_that_do_not_vary_leave_a_bar_beyond_every_band() -> None:
    rows = [(60 * k, 100.0) for k in range(1, 6)] + [(360, 99.0)]
    made = BandOf(60, period=5, include_signal_bar=False)
    assert made(series(*rows))["value"].to_list() == [-math.inf]


# --- what is made of it ---------------------------------------------------------------------------

BAR = (0.41, 0.43, 0.38, 0.40)


def market(places: list[float | None], ages: list[float], **fields: Any) -> pl.DataFrame:
    """A market of minutes like BAR, and where its underlying was."""
    usual = {"strike_type": "greater_or_equal", "floor_strike": 100.0}
    frame = flat([BAR] * len(places), **(usual | fields))
    return frame.with_columns(
        spot_beyond=pl.Series(places, dtype=pl.Float64),
        spot_beyond_age=pl.Series(ages, dtype=pl.Float64),
    )


def said(signal: Bollinger, frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    names = ("side", "entry", "stop", "target", "confidence")
    found = signal(frame.lazy()).with_row_index("row").collect().drop_nulls("side")
    return found.select("row", *names).rows()


def test_an_underlying_below_its_bands_is_a_long_setup_on_the_contract() -> None:
    # The range of BAR is 0.05: stop 0.38 - 0.05, target 0.38 + 2 x 0.05; mirrored from 0.43.
    frame = market([0.0, -1.5, -1.6, 1.4, 1.6, None], [0.0] * 6)
    long, short = (0.38, 0.33, 0.48, None), (0.43, 0.48, 0.33, None)
    assert said(Bollinger(**EAGER), frame) == [(2, 1, *long), (4, -1, *short)]
    below = frame.with_columns(strike_type=pl.lit("less"))
    assert said(Bollinger(**EAGER), below) == [(2, -1, *short), (4, 1, *long)]
    for kind in ("between", "structured", None):
        other = frame.with_columns(strike_type=pl.lit(kind, pl.String))
        assert said(Bollinger(**EAGER), other) == []


def test_a_bar_of_the_underlying_is_acted_on_once_and_only_while_it_is_new() -> None:
    # Rows a minute apart; ages say that the bars of the underlying ended with rows 0, 0, 2 and 2.
    frame = market([-2.0, -2.0, -2.0, -2.0], [0.0, 60.0, 0.0, 60.0])
    assert [row[0] for row in said(Bollinger(**EAGER, spot_seconds=300), frame)] == [0, 2]
    assert [row[0] for row in said(Bollinger(**EAGER, spot_seconds=60), frame)] == [0, 2]
    late = market([-2.0, -2.0], [45.0, 0.0])
    assert [row[0] for row in said(Bollinger(**EAGER, spot_seconds=30), late)] == [1]


def test_the_indices_are_those_of_the_underlying() -> None:
    frame = market([-2.0, -2.0, 2.0, 2.0], [0.0] * 4).with_columns(
        spot_rsi=pl.Series([30.0, 31.0, 70.0, 69.0]), spot_adx=pl.Series([19.0, 19.0, 20.0, 19.0])
    )
    assert [row[0] for row in said(Bollinger(**EAGER, rsi=True), frame)] == [0, 2]
    assert [row[0] for row in said(Bollinger(**EAGER, adx="below"), frame)] == [0, 1, 3]
    assert [row[0] for row in said(Bollinger(**EAGER, rsi=True, adx="above"), frame)] == [2]


def test_time_to_the_close_and_the_column_are_needed() -> None:
    frame = market([-2.0], [0.0], close_time=START + timedelta(minutes=6))
    assert said(Bollinger(on="underlying"), frame) == []
    assert len(said(Bollinger(**EAGER), frame)) == 1
    with pytest.raises(DataError, match="quotes lacks 'spot_beyond', needed by bollinger"):
        Bollinger(**EAGER)(flat([BAR]).lazy())
    chart = bands(flat([BAR] * 60).lazy(), Bollinger(**EAGER)).collect()
    assert chart["band_lower"].null_count() == 60


def talkative() -> pl.DataFrame:
    frame = quotes(4, bars=90, events=3, absent=0.1, snapshots=0.1)
    rng = np.random.Generator(np.random.Philox(key=5))
    kinds = pl.Series(["greater", "less", "between"])
    return frame.with_columns(
        strike_type=kinds.gather(frame["ticker"].rank("dense") % 3),
        spot_beyond=pl.Series(rng.normal(0, 2, frame.height)),
        spot_beyond_age=pl.Series(rng.choice([0.0, 10.0, 60.0], frame.height)),
    )


def test_the_no_side_sees_the_mirror_image() -> None:
    frame = talkative()
    names = ["side", "entry", "stop", "target"]
    turned = mirrored(frame).with_columns(
        strike_type=pl.col("strike_type").replace({"greater": "less", "less": "greater"})
    )
    yes, no = (
        Bollinger(**EAGER)(each.lazy()).select("ticker", "time", *names).collect()
        for each in (frame, turned)
    )
    assert yes["side"].drop_nulls().len() > 30
    levels = {name: (1 - pl.col(name)).round(9) for name in names[1:]}
    back = no.with_columns(-pl.col("side"), **levels)
    assert back.equals(yes.with_columns(pl.col(names[1:]).round(9)))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_it_holds_to_the_contract(check: contract.Check) -> None:
    check(Bollinger(**EAGER, period=5, reach=1), talkative())


@pytest.mark.slow
def test_quarter_hours_have_setups_though_they_are_too_short_for_bands(
    one_day: Path, tmp_path: Path
) -> None:
    spot = {"source": "synthetic", "symbols": "SYNBTC15M=SYNBTC", "series": "SYNBTC15M"}
    own = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, series="SYNBTC15M")
    assert own.orders.height == 0
    found = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, on="underlying", **spot)
    assert found.orders.height > 10
    assert set(found.orders["side"]) == {-1, 1}
    assert found.trades.height > 0
