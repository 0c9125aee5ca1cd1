"""When each fill was decided, and what was quoted then."""

from datetime import timedelta

import polars as pl

from kalshi_bt.quoted import Quoted

_INSTANT = timedelta(microseconds=1)


def decisions(quoted: Quoted, intents: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """Return the fills, in their order, with what was quoted when they were decided.

    An order's own fills, those that net included, were decided where its intent stands; an exit by
    signal on the first order to close since the entry began to fill; any other exit on the last bar
    that ended before its fill. A settlement is nobody's decision.

    Parameters
    ----------
    quoted : Quoted
    intents : frame of schema.INTENTS
        Row i is order i.
    fills : frame of schema.FILLS

    Returns
    -------
    frame
        The columns of `fills`, `market`, `decided` (end of that bar; null: no bar of the panel, or
        a settlement), `bid` and `ask` of YES there (Int64 centi-cents; null: none).
    """
    order = fills["order_id"]
    rows = fills.with_columns(
        market=intents["market"].gather(order), asked=intents["time"].gather(order)
    )
    closing = intents.filter(pl.col("side") == 0).select("market", closed="time").sort("closed")
    entered = pl.col("time").filter(pl.col("leg") == "entry").min().over("trade_id")
    rows = rows.with_row_index("_row").with_columns(entered=entered).sort("entered")
    rows = rows.join_asof(
        closing,
        left_on="entered",
        right_on="closed",
        by="market",
        strategy="forward",
        check_sortedness=False,
    ).sort("_row")
    own = (pl.col("leg") == "entry") | (pl.col("reason") == "netting")
    moment = (
        pl.when(pl.col("kind") == "settlement")
        .then(None)
        .when(own)
        .then("asked")
        .when(pl.col("reason") == "signal")
        .then("closed")
        .otherwise(pl.col("time") - _INSTANT)
    )
    moments = rows.select(moment).to_series()
    quotes = quoted.at(quoted.last(rows["market"], moments)).rename({"time": "decided"})
    quotes = quotes.cast({"bid": pl.Int64, "ask": pl.Int64})
    return rows.select(*fills.columns, "market").hstack(quotes)
