"""Set-ups of a contract where its underlying leaves the bands."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.signals.bollinger_rows import (
    Columns,
    bracket_rule,
    floats,
    in_time,
    of_rows,
    window_rule,
)
from kalshi_bt.signals.needs import Need
from kalshi_bt.signals.underlying import spot_need
from kalshi_bt.signals.underlying_bands import BandOf
from kalshi_bt.units import SECOND

if TYPE_CHECKING:
    from kalshi_bt.signals.bollinger import Bollinger

__all__ = ["band_needs", "setups_of_underlying"]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SLACK = 1e-9  # what a distance in deviations owes to rounding
_PAYS = {"greater": 1, "greater_or_equal": 1, "less": -1, "less_or_equal": -1}


def band_needs(signal: "Bollinger") -> tuple[Need, ...]:
    """Return what a signal must know of the underlying."""
    place = BandOf(
        seconds=signal.spot_seconds,
        period=signal.period,
        reach=signal.reach,
        include_signal_bar=signal.include_signal_bar,
        memory=signal.wilder_bars,
    )
    needs = [spot_need(signal, "spot_beyond", derive=place, with_age=True)]
    if signal.rsi:
        index = replace(place, said="rsi", n=signal.rsi_period)
        needs.append(spot_need(signal, "spot_rsi", derive=index))
    if signal.adx != "off":
        index = replace(place, said="adx", n=signal.adx_period)
        needs.append(spot_need(signal, "spot_adx", derive=index))
    return tuple(needs)


def setups_of_underlying(frame: pl.DataFrame, signal: "Bollinger") -> pl.DataFrame:
    """Return the columns of a set-up for each row; no confidence is stated."""
    known = tuple(name for need in signal.references for name in need.columns)
    found = of_rows(frame, signal, _setups, ("strike_type", *known))
    return found.with_columns(confidence=pl.lit(None, pl.Float64))


def _setups(bars: pl.DataFrame, starts: Ints, signal: "Bollinger") -> Columns:
    from kalshi_bt.signals.kernels import brackets  # noqa: PLC0415  # loads Numba

    place = floats(bars["spot_beyond"])
    away = np.where(np.abs(place) > signal.width + _SLACK, -np.sign(place), 0.0)  # NaN is not
    kind = bars["strike_type"].cast(pl.String)
    pays = kind.replace_strict(_PAYS, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
    side = away.astype(np.int64) * pays
    rows = np.flatnonzero((side != 0) & _new(bars, starts, signal) & _confirmed(bars, away, signal))
    at = bars.select(pl.col("time", "close_time", "low", "high").gather(rows))
    low, high = at.select(pl.when(in_time(signal)).then("low"), "high")
    form = bracket_rule(signal)._replace(capped=0)
    none = np.zeros(len(rows), np.int64)  # nothing is known of bands of the contract
    hit, entry, stop, target, _ = brackets(
        window_rule(signal), form, floats(low), floats(high), -side[rows], none, none
    )
    found: dict[str, NDArray[Any]] = {
        "row": rows[hit],
        "side": side[rows[hit]].astype(np.int8),
        "entry": entry,
        "stop": stop,
        "target": target,
        "entry_stop": np.full(len(hit), signal.geometry == "reversal_break"),
    }
    return found


def _new(bars: pl.DataFrame, starts: Ints, signal: "Bollinger") -> Flags:
    """Tell which bars are the first of their market to know a bar of the underlying."""
    age = floats(bars["spot_beyond_age"])
    fresh = (age >= 0) & (age < signal.spot_seconds)
    time = bars["time"].to_physical().to_numpy()
    ended = time - np.rint(np.where(fresh, age, 0.0) * SECOND).astype(np.int64)
    seen = np.zeros(len(age), np.bool_)
    seen[1:] = fresh[:-1] & (ended[1:] == ended[:-1])
    seen[starts[:-1][np.diff(starts) > 0]] = False
    new: Flags = fresh & ~seen
    return new


def _confirmed(bars: pl.DataFrame, away: NDArray[np.float64], signal: "Bollinger") -> Flags:
    """Tell which bars the indices of the underlying confirm, as far as they are asked."""
    kept = np.ones(bars.height, np.bool_)
    if signal.rsi:
        strength = floats(bars["spot_rsi"])
        kept &= np.where(away < 0, 100 - strength, strength) <= signal.rsi_level + _SLACK
    if signal.adx != "off":
        trend = floats(bars["spot_adx"])
        weak, strong = trend < signal.adx_level - _SLACK, trend >= signal.adx_level - _SLACK
        kept &= weak if signal.adx == "below" else strong
    return kept
