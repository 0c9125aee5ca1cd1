"""What closed trades are grouped by: what was known when they were decided, in words.

Expressions over closed trades (`schema.TRADES_CLOSED`) with their context (`run_schema.CONTEXT`).
"""

from typing import Final

import polars as pl

from kalshi_bt.units import PRICE_SCALE

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


def left_to_close() -> pl.Expr:
    """Return the time from the decision to the scheduled close, in the words of `LEFT`."""
    seconds = (pl.col("close_time") - pl.col("decided")).dt.total_seconds()
    told = pl.lit(LEFT[-1][1])
    for limit, name in reversed(LEFT[:-1]):
        told = pl.when(seconds < limit).then(pl.lit(name)).otherwise(told)
    return pl.when(seconds.is_null()).then(pl.lit("not known")).otherwise(told)


# Groups of which a report tells the result. Not how a trade ended: nobody chooses that.
GROUPS: Final = {
    "category": pl.col("category"),
    "series": pl.col("series"),
    "side": HELD,
    "entry price": BUCKET,
    "time to close": left_to_close(),
    "hour of entry": HOUR,
}
