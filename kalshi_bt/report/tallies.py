"""Closed trades counted and summed by what was known when they were decided; cases in order."""

from typing import Final

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE

BUCKETS: Final = tuple(f"{low}–{low + 10}" for low in range(0, 100, 10))
LEFT: Final = (  # seconds up to which, in words
    (300, "under 5m"),
    (900, "5m–15m"),
    (3_600, "15m–1h"),
    (21_600, "1h–6h"),
    (86_400, "6h–1d"),
    (604_800, "1d–7d"),
    (None, "over 7d"),
)
CASES: Final = ("base", "optimistic", "pessimistic", "tick_better", "tick_worse", "fees_0",
                "fees_1", "fees_1_5", "latency_bar")  # fmt: skip
EASTERN: Final = "America/New_York"  # the clock by which the exchange names its days

HELD: Final = pl.when(pl.col("side") > 0).then(pl.lit("YES")).otherwise(pl.lit("NO"))
BUCKET: Final = (
    ((pl.col("entry_price") * PRICE_SCALE).round().cast(pl.Int64) // (PRICE_SCALE // 10))
    .clip(0, 9)
    .replace_strict(range(10), BUCKETS, return_dtype=pl.String)
)
HOUR: Final = (
    pl.col("entry_time").dt.convert_time_zone(EASTERN).dt.hour().cast(pl.String).str.zfill(2)
)


def decided_trades(run: Run) -> pl.DataFrame:
    """Return the closed trades with their context, null where there is none."""
    return run.trades_closed.join(run.context, on="trade_id", how="left")


def left_to_close() -> pl.Expr:
    """Return the time from the decision to the scheduled close, in the words of `LEFT`."""
    seconds = (pl.col("close_time") - pl.col("decided")).dt.total_seconds()
    told = pl.lit(LEFT[-1][1])
    for limit, name in reversed(LEFT[:-1]):
        told = pl.when(seconds < limit).then(pl.lit(name)).otherwise(told)
    return pl.when(seconds.is_null()).then(pl.lit("not known")).otherwise(told)


def tally(trades: pl.DataFrame, by: pl.Expr) -> pl.DataFrame:
    """Return trades counted and summed by a group.

    Parameters
    ----------
    trades : polars.DataFrame
        Closed trades with their context; see `decided_trades`.
    by : polars.Expr
        String; null is ``not known``.

    Returns
    -------
    polars.DataFrame
        group, trades, wins, losses, pnl and stake (micro-dollars), paid (mean price of a contract
        of the side held, dollars), expected and realised (mean dollars a contract, over the trades
        of which an expectation was stated; null without one), told (how many these are); in the
        order of the groups.
    """
    count = pl.col("quantity").abs() / QUANTITY_SCALE
    told = pl.col("expected").is_not_null()
    known = count.filter(told).sum()
    wanted = (pl.col("expected") * count).filter(told).sum()
    came = (pl.col("pnl") / 1e6).filter(told).sum()
    return (
        trades.group_by(by.fill_null("not known").alias("group"))
        .agg(
            pl.len().alias("trades"),
            (pl.col("pnl") > 0).sum().alias("wins"),
            (pl.col("pnl") < 0).sum().alias("losses"),
            pl.col("pnl").sum(),
            pl.col("stake").sum(),
            ((pl.col("entry_price") * count).sum() / count.sum()).alias("paid"),
            pl.when(known > 0).then(wanted / known).alias("expected"),
            pl.when(known > 0).then(came / known).alias("realised"),
            told.sum().alias("told"),
        )
        .sort("group")
    )


def in_order(sensitivity: pl.DataFrame) -> pl.DataFrame:
    """Return the cases in the order of `CASES`, others after them by name."""
    place = pl.col("case").replace_strict(CASES, range(len(CASES)), default=len(CASES))
    return sensitivity.sort(place, "case")
