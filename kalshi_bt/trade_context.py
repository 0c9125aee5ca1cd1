"""What was known when each closed trade was decided, and where its result came from."""

import polars as pl

from kalshi_bt.quoted import Facts, held
from kalshi_bt.run_schema import CONTEXT
from kalshi_bt.units import MONEY_SCALE, QUANTITY_SCALE


def trade_context(
    facts: Facts, intents: pl.DataFrame, decided: pl.DataFrame, trades: pl.DataFrame
) -> pl.DataFrame:
    """Return the context of every closed trade: frame of `run_schema.CONTEXT`.

    Parameters
    ----------
    facts : Facts
    intents : frame of schema.INTENTS
        Row i is order i.
    decided : frame
        Fills as `decisions.decisions` returns them.
    trades : frame of schema.TRADES_CLOSED

    Notes
    -----
    With q the signed quantity of a fill (positive: YES is bought), p its price, b and a the bid and
    the ask at its decision and m their mean, summed over the fills of a trade that are trades:

    * ``gross_mid`` is the sum of -q m, payouts of a settlement included at their own price;
    * ``spread`` the sum of ``abs(q) (a - b) / 2``;
    * ``slippage`` the sum of q (p - a) of what bought and of q (p - b) of what sold.

    So ``gross_mid - spread - slippage - fees`` is the trade's ``pnl``, whichever side it held and
    in however many fills it was entered and left. A resting order that filled at its price has a
    negative slippage: it did not pay the quote it might have taken.
    """
    quantity, price = pl.col("quantity"), pl.col("price").cast(pl.Int64)
    paid = pl.col("kind") == "settlement"
    buys = quantity > 0
    parts = decided.select(
        "trade_id",
        entry_fee=pl.when(pl.col("leg") == "entry").then("fee").otherwise(0),
        gross_mid=-quantity
        * pl.when(paid).then(2 * price).otherwise(pl.col("bid") + pl.col("ask")),
        spread=pl.when(paid).then(0).otherwise(quantity.abs() * (pl.col("ask") - pl.col("bid"))),
        slippage=pl.when(paid)
        .then(0)
        .otherwise(2 * quantity * (price - pl.when(buys).then("ask").otherwise("bid"))),
    )
    split = ("gross_mid", "spread", "slippage")  # twice the micro-dollars, so that they are whole
    sums = parts.group_by("trade_id").agg(
        pl.col("entry_fee").sum(),
        *(pl.when(pl.col(n).is_not_null().all()).then(pl.col(n).sum()).alias(n) for n in split),
    )
    entries = decided.filter(pl.col("leg") == "entry").unique("trade_id", keep="first")
    entry = entries.select("trade_id", "market", "decided", "bid", "ask")
    own = trades.join(entry, on="trade_id", how="left").join(sums, on="trade_id", how="left")
    rows = facts.of(
        own.with_columns(time="decided", yes=intents["fair"].gather(own["trade_id"])).drop(
            "ticker", "event", "series"
        )
    )
    return CONTEXT.check(rows.sort("trade_id").select(*_columns(split)))


def _columns(split: tuple[str, ...]) -> list[pl.Expr]:
    """Return the columns of the table from trades joined with their sums and facts."""
    long = pl.col("side") > 0
    fair = pl.when(long).then("yes").otherwise(1 - pl.col("yes"))
    contracts = pl.col("quantity") / QUANTITY_SCALE
    fee = pl.col("entry_fee") / MONEY_SCALE / contracts
    bid, ask = held("side", "bid"), held("side", "ask")
    return [
        *(pl.col(name) for name in ("trade_id", "decided", "category", "close_time", "settled")),
        held("side", "payout").alias("outcome"),
        fair.alias("fair"),
        pl.when(long).then(bid).otherwise(ask).alias("bid"),
        pl.when(long).then(ask).otherwise(bid).alias("ask"),
        (fair - pl.col("entry_price") - fee).alias("expected"),
        *(pl.col(name) / (2 * MONEY_SCALE) for name in split),
    ]
