"""What was known of a market's activity when it closed, for the documented longshot agents."""

import polars as pl

from kalshi_bt import schema
from kalshi_bt.units import QUANTITY_SCALE

__all__ = ["known_at_close"]


def known_at_close(
    observed: pl.DataFrame,
    trades: pl.LazyFrame,
    candles: pl.LazyFrame | None = None,
    books: pl.LazyFrame | None = None,
    *,
    longshot: int = 20,
) -> pl.DataFrame:
    """Return what each market had traded, had open and offered at its price when it closed.

    Parameters
    ----------
    observed : frame (ticker, time, yes_price)
        Closes, and last prices in cents.
    trades, candles, books : frames of schema.TRADES, schema.CANDLES, schema.BOOKS
        Lazy; what is not given is not known.
    longshot : int
        Cents up to which NO is bought, see `ChainRules`.

    Returns
    -------
    frame (ticker, volume, open_interest, depth)
        Whole contracts, begun ones of `volume` and `depth` included. `volume` of the trades up to
        the close; `open_interest` of the last candle up to it that has one; `depth` what the last
        book up to it offers the side to buy at the last price or better. The last two are null
        where they were not recorded.
    """
    at = observed.lazy().select("ticker", "yes_price", close="time")
    candles = schema.CANDLES.empty().lazy() if candles is None else candles
    books = schema.BOOKS.empty().lazy() if books is None else books
    volume = _past(trades, at).group_by("ticker").agg(volume=pl.col("quantity").sum())
    interest = _last(_past(candles, at).drop_nulls("open_interest"), "open_interest")
    depth = _offered(_last(_past(books, at), "yes_price", "bids", "asks"), longshot)
    found = at
    for part in (volume, interest, depth):
        found = found.join(part, on="ticker", how="left", maintain_order="left")
    return found.select(
        "ticker",
        volume=-(-pl.col("volume").fill_null(0) // QUANTITY_SCALE),
        open_interest=pl.col("open_interest") // QUANTITY_SCALE,  # judged by being below a number
        depth=-(-pl.col("depth") // QUANTITY_SCALE),
    ).collect()


def _past(rows: pl.LazyFrame, at: pl.LazyFrame) -> pl.LazyFrame:
    return rows.join(at, on="ticker").filter(pl.col("time") <= pl.col("close"))


def _last(rows: pl.LazyFrame, *names: str) -> pl.LazyFrame:
    return rows.group_by("ticker").agg(pl.col(*names).sort_by("time").last())


def _offered(books: pl.LazyFrame, longshot: int) -> pl.LazyFrame:
    """Return what each book offers at the last price: NO is bought of those who bid for YES."""
    no, price = pl.col("yes_price") <= longshot, 100 * pl.col("yes_price")
    level = pl.col("level").struct
    found = pl.when(no).then(level.field("price") >= price).otherwise(level.field("price") <= price)
    return (
        books.with_columns(level=pl.when(no).then("bids").otherwise("asks"))
        .drop_nulls("level")
        .explode("level", empty_as_null=True)  # nothing offered is known, too
        .group_by("ticker")
        .agg(depth=level.field("size").filter(found).sum())
    )
