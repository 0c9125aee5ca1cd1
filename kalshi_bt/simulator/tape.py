"""The tape: a panel laid out once in the form that every walk reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.state import MARKET, NEVER, RATE, Floats, Ints, Prices


@dataclass(frozen=True)
class Tape:
    """Bars and facts of the markets in the form the walk reads; made once, used by every run.

    Attributes
    ----------
    table : frame
        Row i is market i of the bars: ticker, event, series.
    time : Int64 (bars,)
        Ends of the bars, microseconds.
    prices : Int16 (bars, 11)
        Columns as in `state`; missing is -1.
    volume : Int64 (bars,)
        Centi-contracts; -1 where not recorded.
    markets : records of state.MARKET
        Slices, last executable bars, settlements.
    rates : records of state.RATE
        Dated fee rates.
    """

    table: pl.DataFrame
    time: Ints
    prices: Prices
    volume: Ints
    markets: Any
    rates: Any


def times(column: pl.Series, missing: int) -> Ints:
    """Return microseconds since 1970, `missing` for null."""
    return column.dt.timestamp("us").fill_null(missing).to_numpy()


def ints(column: pl.Series, missing: int = -1) -> Ints:
    """Return whole numbers, `missing` for null."""
    return column.cast(pl.Int64).fill_null(missing).to_numpy()


def floats(column: pl.Series) -> Floats:
    """Return numbers, NaN for null."""
    return column.fill_null(np.nan).to_numpy()


def frozen(array: Any) -> Any:
    """Make an array contiguous and read-only, so that a kernel compiles for one type."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def records(dtype: np.dtype[Any], columns: Mapping[str, Any], count: int) -> Any:
    """Return `count` records made of columns by field name."""
    rows = np.empty(count, dtype)
    for name, values in columns.items():
        rows[name] = values
    return frozen(rows)


_PRICES = (
    *(f"price_{part}" for part in ("high", "low", "close")),
    *(f"{side}_{part}" for side in ("bid", "ask") for part in schema.OHLC),
)


def prepare(
    bars: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame, rates: pl.DataFrame
) -> Tape:
    """Return the tape of a panel.

    Parameters
    ----------
    bars : frame of schema.BARS
        Sorted by (market, time).
    markets : frame
        Row i is market i: ticker, event, series, close_time (scheduled; null = not known).
    settlements : frame of schema.SETTLEMENTS
        Results; markets without one are never settled.
    rates : frame (market, from_time, taker, maker)
        See `kalshi_bt.fees.market_rates`.

    Raises
    ------
    DataError
        If a market has no fee rate in force at its first bar.
    """
    from kalshi_bt.simulator.slices import interleaved, last_bars

    count = markets.height
    begin = np.searchsorted(bars["market"].to_numpy(), np.arange(count + 1)).astype(np.int64)
    known = markets.select("ticker", "event", "close_time").join(
        settlements.select("ticker", "time", "payout", actual="close_time"),
        on="ticker",
        how="left",
        maintain_order="left",
    )
    settle = times(known["time"], NEVER)
    close = np.minimum(times(known["actual"].fill_null(known["close_time"]), NEVER), settle)
    time = frozen(times(bars["time"], NEVER))
    prices = interleaved(*(frozen(bars[name].fill_null(-1).to_numpy()) for name in _PRICES))
    rate_begin = np.searchsorted(rates["market"].to_numpy(), np.arange(count + 1)).astype(np.int64)
    since = times(rates["from_time"], NEVER)
    _check_rates(markets, begin, time, rate_begin, since)
    facts = {
        "begin": begin[:-1],
        "last": last_bars(time, frozen(begin), frozen(close)),
        "close": close,
        "event": ints(known["event"].rank("dense")) - 1,
        "settle": settle,
        "payout": ints(known["payout"]),
        "rate_begin": rate_begin[:-1],
        "rate_end": rate_begin[1:],
    }
    dated = {"since": since, "taker": ints(rates["taker"]), "maker": ints(rates["maker"])}
    return Tape(
        table=markets,
        time=time,
        prices=frozen(prices),
        volume=frozen(ints(bars["volume"])),
        markets=records(MARKET, facts, count),
        rates=records(RATE, dated, rates.height),
    )


def _check_rates(
    markets: pl.DataFrame, begin: Ints, time: Ints, rate_begin: Ints, rate_from: Ints
) -> None:
    """Refuse a market whose first bar comes before its first fee rate."""
    traded = np.flatnonzero(begin[1:] > begin[:-1])
    has_rate = rate_begin[traded + 1] > rate_begin[traded]
    bad = ~has_rate
    first = traded[has_rate]
    bad[has_rate] = rate_from[rate_begin[first]] > time[begin[first]]
    if bad.any():
        row = markets.row(int(traded[bad][0]), named=True)
        raise DataError(
            f"series {row['series']!r} has no fee rate in force when {row['ticker']} starts; "
            "add an earlier effective_from to the table 'series'"
        )
