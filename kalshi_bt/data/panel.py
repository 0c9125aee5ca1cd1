"""The panel: bars of many markets with what was known at listing, and the quotes a signal sees.

No outcome is joined here: not the result, not the actual close. A dataset that recorded trades but
no quotes gets a bid and an ask assumed around the last trade, and says so in `quote_source`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import QUANTITY_SCALE, dollars

_STATIC = (
    "event",
    "series",
    "open_time",
    "close_time",
    "strike_type",
    "floor_strike",
    "cap_strike",
)
_SOURCES = pl.Enum(["candle", "snapshot", "assumed"])


@dataclass(frozen=True)
class Panel:
    """Bars and markets, joined by row number.

    Attributes
    ----------
    bars : frame
        `schema.BARS` and `quote_source` (candle, snapshot or assumed), sorted by (market, time).
    markets : frame
        Row i is market i: `schema.MARKETS`, sorted by ticker.
    period : int
        Seconds of a bar.
    notes : tuple of str
        What a reader must know about how the panel was made.
    """

    bars: pl.DataFrame
    markets: pl.DataFrame
    period: int
    notes: tuple[str, ...] = ()

    def quotes(self) -> pl.LazyFrame:
        """Return what a signal sees: `schema.QUOTES` in dollars, one row a bar, same order."""
        tickers = self.markets["ticker"]
        ticker = tickers.cast(pl.Enum(tickers))
        market = pl.col("market")
        static = [_looked_up(self.markets[name], market).alias(name) for name in _STATIC]
        mid = (dollars("bid_close") + dollars("ask_close")) / 2
        return self.bars.lazy().select(
            pl.lit(ticker).gather(market).alias("ticker"),
            "time",
            *static,
            "quote_source",
            *(dollars(f"price_{part}").alias(part) for part in schema.OHLC),
            *(dollars(f"bid_{part}") for part in schema.OHLC[:3]),
            dollars("bid_close").alias("bid"),
            *(dollars(f"ask_{part}") for part in schema.OHLC[:3]),
            dollars("ask_close").alias("ask"),
            mid.alias("mid"),
            volume=_contracts("volume"),
            open_interest=_contracts("open_interest"),
        )


def _contracts(column: str) -> pl.Expr:
    return (pl.col(column) / QUANTITY_SCALE).round(2)


def _looked_up(column: pl.Series, row: pl.Expr) -> pl.Expr:
    """Return a market's value for each bar.

    Literal series without a value are one and the same to the optimiser, whatever their types.
    """
    if column.null_count() == len(column):
        return pl.lit(None, dtype=column.dtype)
    return pl.lit(column).gather(row)


def panel(
    store: Store,
    *,
    period: int | None = None,
    series: Sequence[str] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    half_spread: int = 200,
) -> Panel:
    """Return the panel of a dataset.

    Parameters
    ----------
    store : Store
        The dataset.
    period : int, optional
        Seconds of a bar; without it the period with the most bars.
    series : sequence of str
        Only these series; all without any.
    start, end : datetime, optional
        Only bars that end after `start` and not after `end`.
    half_spread : int
        Centi-cents put between a trade and either side of the book where quotes were not recorded.

    Raises
    ------
    DataError
        If nothing is left, or a bar's market is not in the table of markets.
    UsageError
        If a series or the period is not in the dataset.
    """
    candles, markets = store.scan("candles"), store.read("markets")
    if series:
        known = markets["series"].unique().to_list()
        for name in series:
            if name not in known:
                raise UsageError.unknown(f"series in {store.name}", name, known)
        markets = markets.filter(pl.col("series").is_in(list(series)))
        candles = candles.filter(pl.col("ticker").is_in(markets["ticker"].to_list()))
    if start is not None:
        candles = candles.filter(pl.col("time") > start)
    if end is not None:
        candles = candles.filter(pl.col("time") <= end)
    period, notes = _period(store, candles, period)
    frame = candles.filter(pl.col("period") == period).collect()
    if frame.is_empty():
        raise DataError(f"{store.name} has no candles in the chosen series and time span")
    markets = _universe(store, frame, markets)
    bars = _as_far_as_seen(_numbered(frame, markets))
    bars, assumed = _assume_quotes(bars, half_spread)
    if assumed:
        notes.append(
            f"{assumed:,} of {bars.height:,} bars have no recorded quotes: bid and ask are assumed "
            f"{half_spread / 10_000:.4f} dollars either side of the last trade"
        )
    return Panel(bars, markets, period, tuple(notes))


def _period(store: Store, candles: pl.LazyFrame, period: int | None) -> tuple[int, list[str]]:
    """Return the period to use and a note where the dataset offers several."""
    counts = candles.group_by("period").len().collect().sort(["len", "period"], descending=True)
    offered = sorted(counts["period"].to_list())
    if period is None:
        if not offered:
            raise DataError(f"{store.name} has no candles in the chosen series and time span")
        period = int(counts["period"][0])
        if len(offered) > 1:
            return period, [f"bars of {offered} seconds are stored; this run uses {period}"]
    elif period not in offered:
        raise UsageError(f"{store.name} has no bars of {period} seconds; it has {offered}")
    return period, []


def _universe(store: Store, frame: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return the markets that have bars, in ticker order."""
    tickers = frame.select(pl.col("ticker").unique()).sort("ticker")
    found = tickers.join(markets, on="ticker", how="left", maintain_order="left")
    lost = found.filter(pl.col("series").is_null())
    if lost.height:
        raise DataError(
            f"{store.name}: candles of {lost['ticker'][0]} have no row in markets "
            f"({lost.height} such tickers); import its market"
        )
    return found


def _numbered(frame: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Replace tickers by row numbers of `markets` and sort."""
    number = pl.col("ticker").cast(pl.Enum(markets["ticker"])).to_physical().cast(pl.UInt32)
    columns = [c for c in schema.BARS.columns if c != "market"]
    return frame.select(number.alias("market"), *columns, "quote_source").sort("market", "time")


def _as_far_as_seen(bars: pl.DataFrame) -> pl.DataFrame:
    """Replace what was copied from the end of snapshots by what their trades tell of the rest.

    The opening quotes are not known: a taker who came then would get a quote from the end. A trade
    lies between bid and ask, so the bid was once as low as the lowest one and the ask as high as
    the highest: without that a stop would look at the end only, and a target at every trade.
    """
    snapshot = pl.col("quote_source") == "snapshot"
    if not bars.select(snapshot.any()).item():
        return bars
    seen = {
        "bid_open": None,
        "ask_open": None,
        "bid_low": pl.min_horizontal("bid_low", "price_low"),
        "ask_high": pl.max_horizontal("ask_high", "price_high"),
    }
    return bars.with_columns(
        pl.when(snapshot).then(told).otherwise(name).alias(name) for name, told in seen.items()
    )


def _assume_quotes(bars: pl.DataFrame, half_spread: int) -> tuple[pl.DataFrame, int]:
    """Put quotes around the last trade where none were recorded; return how many bars that is."""
    unknown = pl.col("quote_source") == "none"
    count = int(bars.select(unknown.sum()).item())
    renamed = (
        pl.when(unknown).then(pl.lit("assumed")).otherwise(pl.col("quote_source").cast(pl.String))
    )
    if not count:
        return bars.with_columns(quote_source=renamed.cast(_SOURCES)), 0
    last = pl.col("price_close").forward_fill().over("market").cast(pl.Int32)
    bars = bars.with_columns(last=last)
    columns = []
    for part in schema.OHLC:
        price = pl.coalesce(pl.col(f"price_{part}").cast(pl.Int32), "last")
        for side, shifted in (("bid", price - half_spread), ("ask", price + half_spread)):
            name = f"{side}_{part}"
            # Beyond 0 or 1 dollar nobody quotes.
            inside = pl.when((shifted > 0) & (shifted < 10_000)).then(shifted).cast(schema.Price)
            columns.append(pl.when(unknown).then(inside).otherwise(pl.col(name)).alias(name))
    return bars.with_columns(*columns, quote_source=renamed.cast(_SOURCES)).drop("last"), count


def outcomes(store: Store, markets: pl.DataFrame, end: datetime | None = None) -> pl.DataFrame:
    """Return the settlements of a panel's markets that were known by `end`; for the simulator only.

    Parameters
    ----------
    store : Store
        The dataset.
    markets : frame with `ticker`
        Row i is market i.
    end : datetime, optional
        Last moment of the run; a later settlement is not known yet.
    """
    frame = store.scan("settlements").join(markets.lazy().select("ticker"), on="ticker", how="semi")
    if end is not None:
        frame = frame.filter(pl.col("time") <= end)
    return frame.collect().sort("ticker")
