"""The tape of recorded books: a row at every change of a book or trade, and the depth after it."""

from dataclasses import replace

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.state import Ints
from kalshi_bt.simulator.tape import Depth, Tape, frozen, prepare

_ROW = ["market", "time"]
_NO_STATE = -1


def prepare_books(
    books: pl.DataFrame,
    trades: pl.DataFrame,
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    determinations: pl.DataFrame | None = None,
) -> Tape:
    """Return the tape of recorded books, which a fill model that walks depth needs.

    A market has a row at each time at which its book changed or it traded, and a last one at its
    close. A row opens with the book in force before it and closes with the one it leaves; a taker
    on a row meets the book before it.

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

    Raises
    ------
    DataError
        If a market has no fee rate in force at its first row.
    """
    states = _numbered(books, markets).with_row_index("state")
    rows = _rows(states, _numbered(trades, markets), markets, settlements)
    bars = schema.BARS.filled(
        _quoted(rows, states)
        .join(_traded(_numbered(trades, markets)), on=_ROW, how="left")
        .with_columns(pl.col("volume").fill_null(0))
        .drop("state")
    )
    tape = prepare(bars, markets, settlements, rates, determinations)
    return replace(tape, depth=_depth(states, rows))


def _numbered(frame: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the markets, by number instead of ticker, in order."""
    numbers = markets.select(pl.col("ticker").cast(pl.String)).with_row_index("market")
    # The order of the trades of one time is kept.
    return frame.join(numbers, on="ticker", maintain_order="left").sort(_ROW, maintain_order=True)


def _rows(
    states: pl.DataFrame, trades: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame
) -> pl.DataFrame:
    """Return market, time and state (null: not known) of each row of the tape."""
    moments = pl.concat([states.select(_ROW), trades.select(_ROW)]).unique().sort(_ROW)
    ends = markets.with_row_index("market").join(
        settlements.select("ticker", actual="close_time"), on="ticker", how="left"
    )
    ends = ends.select("market", time=pl.coalesce("actual", "close_time"))
    last = moments.group_by("market").agg(last=pl.col("time").last())
    late = ends.join(last, on="market").filter(pl.col("time") > pl.col("last"))
    moments = pl.concat([moments, late.select(_ROW)]).sort(_ROW)
    known = states.select(*_ROW, pl.when(pl.col("bids").is_not_null()).then("state").alias("state"))
    return moments.join_asof(
        known.with_columns(seen=True), on="time", by="market", check_sortedness=False
    ).drop("seen")


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


def _depth(states: pl.DataFrame, rows: pl.DataFrame) -> Depth:
    levels, starts = [], []
    offset = 0
    for side in ("bids", "asks"):
        sizes = states[side].list.len().fill_null(0).to_numpy().astype(np.int64)
        starts.append(offset + np.append(0, np.cumsum(sizes)))
        shown = states[side].list.explode(keep_nulls=False, empty_as_null=False).struct
        levels.append(np.column_stack([_whole(shown.field(name)) for name in ("price", "size")]))
        offset += len(levels[-1])
    return Depth(
        state=frozen(rows["state"].cast(pl.Int64).fill_null(_NO_STATE).to_numpy()),
        start=frozen(np.array(starts, np.int64)),
        levels=frozen(np.concatenate(levels)),
    )


def _whole(column: pl.Series) -> Ints:
    return column.cast(pl.Int64).to_numpy()
