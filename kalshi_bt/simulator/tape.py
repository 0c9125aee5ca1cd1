"""The tape: a panel laid out once in the form that every walk reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.state import MARKET, NEVER, RATE, SAID, Ints, Prices


@dataclass(frozen=True)
class Depth:
    """Recorded books, level by level.

    Attributes
    ----------
    spans : Int64 (rows, 4)
        Where the bids that a row leaves begin and end in `levels`, and where its asks do; -1 where
        the book is not known.
    levels : Int64 (levels, 2)
        Price and size, best first.
    """

    spans: Ints
    levels: Ints


@dataclass(frozen=True)
class Groups:
    """Which markets belong together, and how their outcomes exclude each other.

    Attributes
    ----------
    kind : Int64 (events,)
        As in `collateral`.
    start : Int64 (events + 1,)
        Where the markets of each event begin in `member`.
    member : Int64 (markets,)
        Markets by event, then by threshold.
    """

    kind: Ints
    start: Ints
    member: Ints


@dataclass(frozen=True)
class Said:
    """What was said of results before they were paid.

    Attributes
    ----------
    start : Int64 (markets + 1,)
        Where the rows of each market begin.
    rows : records of state.SAID
        By market and time.
    """

    start: Ints
    rows: Any


def _nothing() -> Ints:
    return np.empty((0, 2), np.int64)


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
    sizes : Int64 (bars, 2)
        Centi-contracts at the best bid and the best ask at the end of the bar; -1 where not
        recorded, without rows where none was.
    depth : Depth or None
        What was recorded beyond the best prices, see `books.prepare_books`.
    groups : Groups or None
        None where the markets do not say how they exclude each other.
    said : Said or None
        None without determinations: then positions are marked at the bid until they are paid.
    span : pair of int or None
        The first and the last bar, microseconds, where rows are other times than those of bars.
    """

    table: pl.DataFrame
    time: Ints
    prices: Prices
    volume: Ints
    markets: Any
    rates: Any
    sizes: Ints = field(default_factory=_nothing)
    depth: Depth | None = None
    groups: Groups | None = None
    said: Said | None = None
    span: tuple[int, int] | None = None


def times(column: pl.Series, missing: int) -> Ints:
    """Return microseconds since 1970, `missing` for null."""
    return ints(column.cast(schema.Time), missing)


def ints(column: pl.Series, missing: int = -1) -> Ints:
    """Return whole numbers, `missing` for null."""
    whole = column.cast(pl.Int64)
    # To count nulls costs nothing; to replace them starts the query engine.
    return (whole.fill_null(missing) if whole.null_count() else whole).to_numpy()


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


NOTHING_SAID = Said(frozen(np.empty(0, np.int64)), records(SAID, {}, 0))
_STRUCTURE = ("mutually_exclusive", "strike_type", "floor_strike")
_ALONE, _EXCLUSIVE, _LADDER = range(3)  # as `collateral` numbers them
_PRICES = (
    *(f"price_{part}" for part in ("high", "low", "close")),
    *(f"{side}_{part}" for side in ("bid", "ask") for part in schema.OHLC),
)


def prepare(
    bars: pl.DataFrame,
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    determinations: pl.DataFrame | None = None,
) -> Tape:
    """Return the tape of a panel.

    Parameters
    ----------
    bars : frame of schema.BARS
        Sorted by (market, time).
    markets : frame
        Row i is market i: ticker, event, series, close_time (scheduled; null = not known). With
        mutually_exclusive, strike_type and floor_strike collateral can be returned.
    settlements : frame of schema.SETTLEMENTS
        Results; markets without one are never settled.
    rates : frame (market, from_time, taker, maker)
        See `kalshi_bt.fees.market_rates`.
    determinations : frame of schema.DETERMINATIONS, optional
        What a position is marked at from when its result was said. Money moves by `settlements`
        alone.

    Raises
    ------
    DataError
        If a market has no fee rate in force at its first bar.
    """
    from kalshi_bt.simulator.slices import last_bars

    count = markets.height
    begin = _starts(bars, count)
    known, close, settle = _ends(markets, settlements)
    time, prices, volume, sizes = laid_out(bars)
    rate_begin = _starts(rates, count)
    since = times(rates["from_time"], NEVER)
    _check_rates(markets, begin, time, rate_begin, since)
    event = ints(known["event"].rank("dense")) - 1
    facts = {
        "begin": begin[:-1],
        "last": last_bars(time, frozen(begin), frozen(close)),
        "close": close,
        "event": event,
        "settle": settle,
        "payout": ints(known["payout"]),
        "rate_begin": rate_begin[:-1],
        "rate_end": rate_begin[1:],
    }
    dated = {"since": since} | {name: ints(rates[name]) for name in ("taker", "maker")}
    return Tape(
        table=markets,
        time=time,
        prices=prices,
        volume=volume,
        markets=records(MARKET, facts, count),
        rates=records(RATE, dated, rates.height),
        sizes=sizes,
        groups=_groups(markets, event),
        said=_said(markets, determinations),
    )


def laid_out(bars: pl.DataFrame) -> tuple[Ints, Prices, Ints, Ints]:
    """Return time, prices, volume and sizes of bars as a `Tape` holds them."""
    from kalshi_bt.simulator.slices import interleaved

    quoted = bars.select(pl.col(_PRICES).fill_null(-1))
    prices = interleaved(*(frozen(column.to_numpy()) for column in quoted))
    time, volume = times(bars["time"], NEVER), ints(bars["volume"])
    return frozen(time), frozen(prices), frozen(volume), _sizes(bars)


def _ends(markets: pl.DataFrame, settlements: pl.DataFrame) -> tuple[pl.DataFrame, Ints, Ints]:
    """Return the markets with their results, when trading in each ends and when each is paid."""
    known = markets.select("ticker", "event", "close_time").join(
        settlements.select("ticker", "time", "payout", actual="close_time"),
        on="ticker",
        how="left",
        maintain_order="left",
    )
    settle = times(known["time"], NEVER)
    close = times(known["actual"].fill_null(known["close_time"]), NEVER)
    return known, np.minimum(close, settle), settle


def _starts(frame: pl.DataFrame, count: int) -> Ints:
    """Return where the rows of each of `count` markets begin, and where the last ones end."""
    return np.searchsorted(frame["market"].to_numpy(), np.arange(count + 1)).astype(np.int64)


def _groups(markets: pl.DataFrame, event: Ints) -> Groups | None:
    """Return the events and how the outcomes of their markets exclude each other."""
    if not set(_STRUCTURE) <= set(markets.columns):
        return None
    listed = markets.select(_STRUCTURE).with_columns(event=pl.Series(event)).with_row_index("row")
    exclusive, strike = pl.col("mutually_exclusive").fill_null(value=False), pl.col("floor_strike")
    above = pl.col("strike_type").is_in(["greater", "greater_or_equal"]).fill_null(value=False)
    distinct = (strike.null_count() == 0) & (strike.n_unique() == pl.len())
    kinds = listed.group_by("event").agg(
        pl.when(exclusive.all())
        .then(_EXCLUSIVE)
        .when(exclusive.not_().all() & above.all() & distinct)
        .then(_LADDER)
        .otherwise(_ALONE)
        .alias("kind"),
        size=pl.len(),
    )
    kinds = kinds.sort("event")
    return Groups(
        kind=frozen(ints(kinds["kind"])),
        start=frozen(np.append(0, np.cumsum(ints(kinds["size"])))),
        member=frozen(ints(listed.sort("event", "floor_strike", "row")["row"])),
    )


def _said(markets: pl.DataFrame, determinations: pl.DataFrame | None) -> Said | None:
    """Return what was said of the results of the markets; others are left out."""
    if determinations is None or determinations.is_empty():
        return None
    numbers = markets.select(pl.col("ticker").cast(pl.String)).with_row_index("market")
    said = determinations.join(numbers, on="ticker").sort("market", "time")
    disputed = pl.col("status") == "disputed"
    before = pl.when(~disputed).then("payout").forward_fill().over("market")
    said = said.with_columns(
        disputed=disputed, payout=pl.when(disputed).then(before).otherwise("payout")
    )
    columns = {"time": times(said["time"], NEVER)}
    columns |= {name: ints(said[name]) for name in ("payout", "disputed")}
    return Said(
        start=frozen(_starts(said, markets.height)), rows=records(SAID, columns, said.height)
    )


def _sizes(bars: pl.DataFrame) -> Ints:
    """Return the sizes at the end of each bar, without rows where none was recorded."""
    columns = bars["bid_size"], bars["ask_size"]
    if all(column.null_count() == bars.height for column in columns):
        return frozen(_nothing())
    return frozen(np.column_stack([ints(column) for column in columns]))


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
