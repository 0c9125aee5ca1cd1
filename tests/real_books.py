"""The books of the recorded datasets, read from the raw files without the importer and the panel.

Prices are centi-cents of YES and null where a side was empty, quantities centi-contracts.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kalshi_bt.schema import OHLC


class Book(NamedTuple):
    """What the raw files say of a dataset.

    Attributes
    ----------
    bars : frame
        ticker, time, price, bid and ask of open, high, low and close (null: none), volume.
    closes : mapping
        Ticker to the end of trading, where it is known.
    payouts : mapping
        Ticker to what one YES paid.
    paid : mapping
        Ticker to the time of the payout.
    """

    bars: pl.DataFrame
    closes: Mapping[str, datetime]
    payouts: Mapping[str, int]
    paid: Mapping[str, datetime]


def whole(column: str, scale: int) -> pl.Expr:
    return (pl.col(column) * scale).round().cast(pl.Int64)


def offered(column: str, scale: int, empty: int) -> pl.Expr:
    """A quote; the edge of the price range says that the side was empty."""
    quote = whole(column, scale)
    return pl.when(quote != empty).then(quote)


def columns(name: str, source: str, scale: int, empty: int | None = None) -> list[pl.Expr]:
    made = []
    for part in OHLC:
        column = source.format(part)
        value = whole(column, scale) if empty is None else offered(column, scale, empty)
        made.append(value.alias(f"{name}_{part}"))
    return made


def utc(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def weather(folder: Path) -> Book:
    raw = pl.read_parquet(folder / "kalshi_candles_nyc.parquet")
    # One bar is crossed and set aside by the import.
    raw = raw.filter(pl.col("yes_bid_high") <= pl.col("yes_ask_high"))
    bars = raw.select(
        "ticker",
        pl.from_epoch("end_ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("time"),
        *columns("price", "price_{}", 10_000),
        *columns("bid", "yes_bid_{}", 10_000, 0),
        *columns("ask", "yes_ask_{}", 10_000, 10_000),
        volume=whole("volume", 100),
    )
    markets = pl.read_parquet(folder / "kalshi_markets_nyc.parquet")
    facts = markets.select(
        "ticker", utc("close_time"), utc("expected_expiration_time"), pl.col("result") == "yes"
    ).rows()
    return Book(
        bars,
        closes={ticker: close for ticker, close, _, _ in facts},
        payouts={ticker: 10_000 * won for ticker, _, _, won in facts},
        paid={ticker: paid for ticker, _, paid, _ in facts},
    )


def derived_results(folder: Path, bars: pl.DataFrame, assumed: pl.DataFrame) -> Book:
    """Games: trading ended with the last bar, the payout came a day later."""
    last = dict(bars.group_by("ticker").agg(pl.col("time").max()).iter_rows())
    results = pl.read_parquet(folder / "results_derived.parquet")
    payouts = {t: 10_000 * (r == "yes") for t, r, *_ in results.iter_rows() if t in last}
    return Book(
        assumed,
        closes={t: last[t] for t in payouts},
        payouts=payouts,
        paid={t: last[t] + timedelta(days=1) for t in payouts},
    )


def nba_minute(folder: Path) -> Book:
    """No quotes were recorded: bid and ask lie 200 either side of the bar's trades, or the last."""
    raw = pl.read_parquet(folder / "minute_trade_candles_2025.parquet").sort("ticker", "time")
    bars = raw.select(
        "ticker", "time", *columns("price", "{}", 100), volume=whole("volume", 100)
    ).with_columns(last=pl.col("price_close").forward_fill().over("ticker"))
    quotes = []
    for part in OHLC:
        price = pl.coalesce(f"price_{part}", "last")
        quotes.append(pl.when(price > 200).then(price - 200).alias(f"bid_{part}"))
        quotes.append(pl.when(price < 9_800).then(price + 200).alias(f"ask_{part}"))
    return derived_results(folder, raw, bars.with_columns(quotes).drop("last"))


def nba_hourly(folder: Path) -> Book:
    """One quote a bar, at its end; the bid was once as low as the lowest trade, the ask as high.

    A side that was empty at the end was not there to be traded with.
    """
    raw = pl.read_parquet(folder / "hourly_candles_2025-26.parquet")
    raw = raw.with_columns(pl.col("time").dt.cast_time_unit("us"))
    traded = pl.col("volume") > 0
    bars = raw.with_columns(pl.when(traded).then(part).alias(part) for part in OHLC).select(
        "ticker",
        "time",
        *columns("price", "{}", 10_000),
        *columns("bid", "yes_bid", 10_000, 0),
        *columns("ask", "yes_ask", 10_000, 10_000),
        volume=whole("volume", 100),
    )
    told = {
        "bid_open": pl.lit(None, pl.Int64),
        "ask_open": pl.lit(None, pl.Int64),
        "bid_low": pl.when(pl.col("bid_close").is_not_null()).then(
            pl.min_horizontal("bid_close", "price_low")
        ),
        "ask_high": pl.when(pl.col("ask_close").is_not_null()).then(
            pl.max_horizontal("ask_close", "price_high")
        ),
    }
    return derived_results(folder, raw, bars.with_columns(**told))


def analytics_aug2025(folder: Path) -> Book:
    raw = pl.read_parquet(folder / "candles_long_cents.parquet").filter(interval="1h")
    bars = raw.select(
        "ticker",
        pl.from_epoch("end_period_ts")
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
        .alias("time"),
        *columns("price", "price_{}", 100),
        *columns("bid", "yes_bid_{}", 100, 0),
        *columns("ask", "yes_ask_{}", 100, 10_000),
        volume=whole("volume", 100),
    )
    listed = pl.read_parquet(folder / "active_markets.parquet")
    closes = listed.select("ticker", pl.col("close_time").str.to_datetime(time_zone="UTC"))
    return Book(bars, closes=dict(closes.iter_rows()), payouts={}, paid={})


def crypto15m(folder: Path) -> Book:
    """Closing quotes and one extreme a side; nothing of trades and volumes."""
    markets = pl.read_parquet(folder / "markets_15m.parquet")
    raw = pl.read_parquet(folder / "quotes_1min_paths.parquet").join(
        markets.select("ticker", "close_time"), on="ticker"
    )
    none = pl.lit(None, pl.Int64)
    bars = raw.select(
        "ticker",
        (pl.col("close_time") - pl.duration(minutes=pl.col("minutes_left"))).alias("time"),
        *(none.alias(f"price_{part}") for part in OHLC),
        bid_open=none,
        bid_high=offered("yes_bid_high", 10_000, 0),
        bid_low=offered("yes_bid_close", 10_000, 0),
        bid_close=offered("yes_bid_close", 10_000, 0),
        ask_open=none,
        ask_high=offered("yes_ask_close", 10_000, 10_000),
        ask_low=offered("yes_ask_low", 10_000, 10_000),
        ask_close=offered("yes_ask_close", 10_000, 10_000),
        volume=none,
    )
    facts = markets.select("ticker", "close_time", pl.col("result") == "yes").rows()
    return Book(
        bars,
        closes={ticker: close for ticker, close, _ in facts},
        payouts={ticker: 10_000 * won for ticker, _, won in facts},
        paid={ticker: close + timedelta(minutes=1) for ticker, close, _ in facts},
    )


BOOKS: dict[str, Callable[[Path], Book]] = {
    "weather": weather,
    "nba_minute": nba_minute,
    "nba_hourly": nba_hourly,
    "analytics_aug2025": analytics_aug2025,
    "crypto15m": crypto15m,
}
