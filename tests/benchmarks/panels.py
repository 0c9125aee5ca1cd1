"""Panels on which signals are measured: many markets of random quotes, and what is outside them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.data.proxy import SOURCES
from kalshi_bt.forecasting import timed
from kalshi_bt.signals import Signal
from kalshi_bt.signals.leaderboard import Leaderboard
from kalshi_bt.signals.leaderboard_names import code
from kalshi_bt.signals.longshot import Longshot
from kalshi_bt.strategies import STRATEGIES

FIRST = datetime(2026, 5, 4, 12, tzinfo=UTC)
MONTH = 20 * 86_400  # seconds
# Series, seconds of a bar, and seconds from the last bar to the close.
SERIES = {
    "kelly_volatility": ("KXBTC15M", 1, 30),  # inside the window that settlement averages
    "mean_reversion": ("KXBTC15M", 1, 90),
    "leaderboard": ("KXTOPMODEL", 60, MONTH),
}
USUAL = ("KXBENCH", 60, MONTH)
ROOM = 10  # markets of one event
STRIKE = 60_000.0
WINDOW = 25  # of the rolling mean that signals are compared with
MODELS = [f"model-{n}" for n in range(2 * ROOM)]
Ints = NDArray[np.int64]


def seeded(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=list(key)))


def measured(name: str, seconds: int | None = None) -> Signal:
    """A registered signal as it is run; the one that learns has learnt something of every cell."""
    signal = timed(STRATEGIES[name].signal, seconds or seconds_of(name))
    if not isinstance(signal, Longshot):
        return signal
    gaps = seeded(1, 2).normal(0.02, 0.03, 198).tolist()
    cells = [(side, cent) for side in (-1, 1) for cent in range(1, 100)]
    rows = [["KXBENCH", 0, *cell, 300, 250.0, g, 0.01] for cell, g in zip(cells, gaps, strict=True)]
    return replace(signal, calibration=json.dumps(rows))


def rolling_mean(quotes: pl.LazyFrame) -> pl.LazyFrame:
    """The least that a signal could do: one window of every market, in one column."""
    return quotes.with_columns(fair=pl.col("mid").rolling_mean(WINDOW).over("ticker"))


def seconds_of(name: str) -> int:
    """The usual length of a bar."""
    return SERIES.get(name, USUAL)[1]


def quotes_of(name: str, markets: int, bars: int, seconds: int | None = None) -> pl.DataFrame:
    """Return what the signal of a strategy sees of `markets` markets of `bars` bars."""
    series, usual, left = SERIES.get(name, USUAL)
    length = seconds or usual
    last = FIRST + timedelta(seconds=length * bars)
    listed = _listed(markets, series, last + timedelta(seconds=left))
    made = Panel(_bars(markets, bars, length), listed, length)
    quotes = made.quotes().collect()
    return quotes.with_columns(_outside(STRATEGIES[name].signal, quotes, markets, bars))


def newest(quotes: pl.DataFrame, signal: Signal) -> pl.DataFrame:
    """Return what suffices for the newest bar of every market: its last `lookback` rows."""
    tail = quotes.group_by("ticker", maintain_order=True).tail(signal.lookback)
    return tail.select(quotes.columns).rechunk()


def spoken(said: pl.DataFrame) -> int:
    """Return of how many bars the signal said something."""
    return said["side" if "side" in said.columns else "fair"].drop_nulls().len()


def _bars(markets: int, bars: int, seconds: int) -> pl.DataFrame:
    rng = seeded(markets, bars)
    steps = rng.integers(-1, 2, (markets, bars, 4), dtype=np.int64)
    walk = 20 + rng.integers(0, 60, (markets, 1)) + steps.reshape(markets, -1).cumsum(axis=1)
    cents = 2 + np.abs((walk - 2) % 188 - 94).reshape(markets, bars, 4).astype(np.int16)
    ends = ("open", "high", "low", "close")
    four = (cents[..., 0], cents.max(axis=2), cents.min(axis=2), cents[..., 3])
    path = dict(zip(ends, (100 * part.ravel() for part in four), strict=True))
    quiet = pl.Series(rng.random(markets * bars) < 0.15)
    shift = {"price": 0, "bid": -100, "ask": 100}
    columns = {
        f"{side}_{end}": values + move
        for side, move in shift.items()
        for end, values in path.items()
    }
    times = [FIRST + timedelta(seconds=seconds * n) for n in range(1, bars + 1)]
    frame = pl.DataFrame(
        {
            "market": np.repeat(np.arange(markets, dtype=np.uint32), bars),
            "time": pl.concat([pl.Series(times, dtype=schema.Time)] * markets),
            **columns,
            "volume": 100 * rng.integers(1, 500, markets * bars),
        }
    )
    counts = dict.fromkeys(("open_interest", "bid_size", "ask_size"), pl.lit(50_000))
    traded = {f"price_{end}": pl.when(~quiet).then(f"price_{end}") for end in ends}
    return frame.with_columns(**counts, **traded).select(
        *(pl.col(n).cast(t) for n, t in schema.BARS.columns.items()),
        quote_source=pl.lit("candle", dtype=SOURCES),
    )


def _listed(markets: int, series: str, close: datetime) -> pl.DataFrame:
    row = dict.fromkeys(schema.MARKETS.columns) | {
        "series": series,
        "open_time": FIRST,
        "close_time": close,
        "strike_type": "greater_or_equal",
        "floor_strike": STRIKE,
    }
    rows = [
        row | {"ticker": f"{series}-{n // ROOM:04}-{n % ROOM}", "event": f"{series}-{n // ROOM:04}"}
        for n in range(markets)
    ]
    return pl.DataFrame(rows, schema=schema.MARKETS.columns)


def _outside(signal: Any, quotes: pl.DataFrame, markets: int, bars: int) -> list[pl.Series]:
    """Return a column for each series of the references that the signal reads."""
    if isinstance(signal, Leaderboard):
        return _boards(signal, markets, bars)
    rng = seeded(bars, 1)
    rows = markets * bars
    found = {}
    for need in getattr(signal, "references", ()):
        if need.column == "spot":
            moves = rng.standard_normal((markets, bars)).cumsum(axis=1)
            found[need.column] = np.round(STRIKE * np.exp(1e-4 * moves), 2).ravel()
        elif need.column == "spot_volatility":  # of the moves above
            found[need.column] = 1e-4 * rng.uniform(0.8, 1.2, rows)
        elif need.column == "spot_returns":
            found[need.column] = np.full(rows, 240.0)
        elif need.column == "model_fair":
            fair = quotes["mid"].to_numpy() + rng.normal(0, 0.1, rows)
            found[need.column] = np.clip(fair, 0.01, 0.99)
        elif need.column == "model_cutoff":
            found[need.column] = np.zeros(rows)
        else:
            found[need.column] = rng.uniform(0.1, 0.9, rows)
        if need.with_age:
            found[f"{need.column}_age"] = np.zeros(rows)
    return [pl.Series(name, values) for name, values in found.items()]


def _boards(signal: Leaderboard, markets: int, bars: int) -> list[pl.Series]:
    """A board an hour, the same for all markets, each of which is about one of its models."""
    rng = seeded(bars, 7)
    hours = -(-bars // 60)
    scores = np.sort(rng.normal(1_480, 12, (hours, signal.places)), axis=1)[:, ::-1]
    names = np.array([code(name) for name in MODELS])
    at = {
        "score": scores,
        "low": scores - rng.uniform(3, 9, scores.shape),
        "high": scores + rng.uniform(3, 9, scores.shape),
        "model": names[rng.permuted(np.tile(np.arange(len(MODELS)), (hours, 1)), axis=1)],
        "organization": 1.0 + rng.integers(0, 5, scores.shape),
    }
    columns = [pl.Series("contract_name", np.repeat(names[np.arange(markets) % ROOM], bars))]
    for need in signal.references:
        if need.column.startswith("contract_"):
            if need.column != "contract_name":  # no event here has an Other
                columns.append(pl.lit(None, pl.Float64).alias(need.column))
            continue
        _, place, field = need.column.split("_", 2)
        values = np.repeat(at[field][:, int(place) - 1], 60)[:bars]
        columns.append(pl.Series(need.column, np.tile(values, markets)))
    return columns
