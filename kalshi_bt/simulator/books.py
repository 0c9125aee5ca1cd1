"""The tape of recorded books: a row at every change of a book or trade, and the depth after it."""

from dataclasses import replace

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.state import Ints
from kalshi_bt.simulator.tape import Depth, Tape, frozen, ints, prepare

_ROW = ["market", "time"]
_UNKNOWN = -1


def prepare_books(
    books: pl.DataFrame,
    trades: pl.DataFrame,
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    determinations: pl.DataFrame | None = None,
    bars: pl.DataFrame | None = None,
) -> Tape:
    """Return the tape of recorded books, which a fill model that walks depth needs.

    A market has a row at each time at which its book changed or it traded, and a last one at its
    close; what was recorded later concerns nobody. A row opens with the book in force before it and
    closes with the one it leaves; a taker on a row meets the book before it.

    Parameters
    ----------
    books : frame of schema.BOOKS
        A row without sides: the book is not known until the next one.
    trades : frame of schema.TRADES
    markets : frame
        Row i is market i: ticker, event, series, close_time. Others are left out.
    settlements : frame of schema.SETTLEMENTS
    rates : frame (market, from_time, taker, maker)
        See `kalshi_bt.fees.market_rates`.
    determinations : frame of schema.DETERMINATIONS, optional
        See `tape.prepare`.
    bars : frame (market, time), optional
        From the first of them on a market may be decided on: if nothing was recorded by then, it
        has a row there, and its book is not known.

    Raises
    ------
    DataError
        If a market has no fee rate in force at its first row.
    """
    ends = _ends(markets, settlements)
    states, traded = (_until(numbered(frame, markets), ends) for frame in (books, trades))
    states = states.with_row_index("state")
    rows = rows_of(states, traded, _further(states, traded, ends, bars))
    made = as_bars(rows, states, traded)
    tape = prepare(made, markets, settlements, rates, determinations)
    span = None
    if bars is not None and bars.height:
        heard = ints(bars["time"])
        span = int(heard.min()), int(heard.max())
    return replace(tape, depth=depth_of(states, rows), span=span)


def numbered(frame: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the markets, by number instead of ticker, in order."""
    numbers = markets.select(pl.col("ticker").cast(pl.String)).with_row_index("market")
    # The order of the trades of one time is kept.
    return frame.join(numbers, on="ticker", maintain_order="left").sort(_ROW, maintain_order=True)


def _ends(markets: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return when trading in each market ends, at the latest when it is paid: market, time."""
    ends = markets.with_row_index("market").join(
        settlements.select("ticker", actual="close_time", paid="time"), on="ticker", how="left"
    )
    close = pl.coalesce("actual", "close_time")
    return ends.select("market", time=pl.min_horizontal(close, "paid"))


def _until(rows: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that came by the end of trading in their market."""
    dated = rows.join(ends.rename({"time": "end"}), on="market", maintain_order="left")
    return dated.filter((pl.col("time") <= pl.col("end")).fill_null(value=True)).drop("end")


def _further(
    states: pl.DataFrame, trades: pl.DataFrame, ends: pl.DataFrame, bars: pl.DataFrame | None
) -> pl.DataFrame:
    """Return the rows at which nothing was recorded: at a first bar before all, and at the ends."""
    seen = pl.concat([states.select(_ROW), trades.select(_ROW)])
    begun = seen.group_by("market").agg(first=pl.col("time").min())
    before = seen.clear()
    if bars is not None:
        heard = (
            bars.group_by("market").agg(pl.col("time").min()).join(begun, on="market", how="left")
        )
        before = heard.filter((pl.col("time") < pl.col("first")).fill_null(True)).select(_ROW)
        begun = pl.concat([seen, before]).group_by("market").agg(first=pl.col("time").min())
    over = ends.join(begun, on="market").filter(pl.col("time") > pl.col("first")).select(_ROW)
    return pl.concat([before, over])


def rows_of(states: pl.DataFrame, trades: pl.DataFrame, further: pl.DataFrame) -> pl.DataFrame:
    """Return market, time and state (null: not known) of each row of the tape.

    Parameters
    ----------
    states : frame
        `numbered` books with `state`, the number of the row.
    trades : frame
        `numbered`.
    further : frame (market, time)
        Rows at which nothing was recorded.
    """
    moments = pl.concat([frame.select(_ROW) for frame in (states, trades, further)])
    known = states.select(*_ROW, pl.when(pl.col("bids").is_not_null()).then("state").alias("state"))
    return (
        moments.unique()
        .sort(_ROW)
        .join_asof(known.with_columns(seen=True), on="time", by="market", check_sortedness=False)
        .drop("seen")
    )


def as_bars(rows: pl.DataFrame, states: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return rows as bars (`schema.BARS`): what was quoted at their ends, and what traded."""
    return schema.BARS.filled(
        _quoted(rows, states)
        .join(_traded(trades), on=_ROW, how="left")
        .with_columns(pl.col("volume").fill_null(0))
        .drop("state")
    )


def _quoted(rows: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the best prices and sizes of the state before and after each."""
    best = {side: pl.col(f"{side}s").list.first().struct for side in ("bid", "ask")}
    top = states.select(
        *(best[side].field("price").alias(side) for side in best),
        *(best[side].field("size").alias(f"{side}_size") for side in best),
    )
    after = pl.col("state")
    before = after.shift(1).over("market")
    quoted = rows.with_columns(before=before)
    columns: dict[str, pl.Series] = {}
    for side in best:
        first, final = (top[side].gather(quoted[name]) for name in ("before", "state"))
        columns |= {f"{side}_open": first, f"{side}_close": final}
        columns[f"{side}_size"] = top[f"{side}_size"].gather(quoted["state"])
    ends = {side: (f"{side}_open", f"{side}_close") for side in best}
    return (
        quoted.drop("before")
        .with_columns(**columns)
        .with_columns(
            **{f"{side}_high": pl.max_horizontal(ends[side]) for side in best},
            **{f"{side}_low": pl.min_horizontal(ends[side]) for side in best},
        )
    )


def _traded(trades: pl.DataFrame) -> pl.DataFrame:
    """Return what traded at each time of a market."""
    price = pl.col("price")
    return trades.group_by(_ROW).agg(
        price_open=price.first(),
        price_high=price.max(),
        price_low=price.min(),
        price_close=price.last(),
        volume=pl.col("quantity").sum(),
    )


def depth_of(states: pl.DataFrame, rows: pl.DataFrame) -> Depth:
    """Return the levels of all states, and which of them each row leaves."""
    levels, spans = [], []
    offset, state = 0, rows["state"]
    for side in ("bids", "asks"):
        sizes = states[side].list.len().fill_null(0).to_numpy().astype(np.int64)
        ends = offset + np.cumsum(sizes)
        for bound in (pl.Series(ends - sizes), pl.Series(ends)):
            spans += [_whole(bound.gather(state).fill_null(_UNKNOWN))]
        shown = states[side].list.explode(keep_nulls=False, empty_as_null=False).struct
        levels.append(np.column_stack([_whole(shown.field(name)) for name in ("price", "size")]))
        offset += len(levels[-1])
    return Depth(spans=frozen(np.column_stack(spans)), levels=frozen(np.concatenate(levels)))


def _whole(column: pl.Series) -> Ints:
    return column.cast(pl.Int64).fill_null(_UNKNOWN).to_numpy()
