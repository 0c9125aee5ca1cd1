"""Rules on trades beside bars and books: volumes and prices that must agree."""

import polars as pl

from kalshi_bt.data.soundness.bars import TOLERANCE
from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import show
from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE

BOOK_AGE = "10s"  # a book says nothing of later trades
BOOK_TOLERANCE = 200  # centi-cents: a large order walks up the book
_KEY = ["ticker", "period", "end"]


def _ended(rows: Rows) -> pl.LazyFrame:
    """Return trades with the end of the shortest bar of their market that they lie in."""
    shortest = rows.scan("candles").group_by("ticker").agg(pl.col("period").min())
    length = pl.col("period").cast(pl.Int64) * 1_000_000
    end = (pl.col("time").dt.epoch("us") + length - 1) // length * length
    return (
        rows.scan("trades")
        .join(shortest, on="ticker")
        .with_columns(end=end.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    )


def _tape(rows: Rows) -> pl.LazyFrame:
    """Return bars from the first to the last trade of their market, with what was traded."""
    trades = _ended(rows)
    sums = trades.group_by(_KEY).agg(
        total=pl.col("quantity").sum(), top=pl.col("price").max(), bottom=pl.col("price").min()
    )
    span = trades.group_by("ticker", "period").agg(
        first=pl.col("end").min(), last=pl.col("end").max()
    )
    return (
        rows.scan("candles")
        .join(span, on=["ticker", "period"])
        .filter(pl.col("time").is_between("first", "last"))
        .join(sums, left_on=["ticker", "period", "time"], right_on=_KEY, how="left")
        .with_columns(pl.col("total").fill_null(0))
    )


def _quoted(rows: Rows) -> pl.LazyFrame:
    """Return trades with the quotes of the bar they lie in."""
    quotes = rows.scan("candles").filter(pl.col("quote_source").is_in(["candle", "book"]))
    known = [f"{side}_{part}" for side in ("bid", "ask") for part in OHLC]
    return _ended(rows).join(
        quotes.select("ticker", "period", *known, end="time"), on=_KEY, how="inner"
    )


def _repeats(rows: Rows) -> pl.LazyFrame:
    """Return trades that are alike in all but their id, and how many there are."""
    alike = ["ticker", "time", "price", "quantity", "taker_side"]
    return rows.scan("trades").group_by(alike).agg(times=pl.len())


def _ids(rows: Rows) -> pl.LazyFrame:
    return (
        rows.scan("trades")
        .group_by("ticker", "trade_id")
        .agg(pl.col("time").min(), times=pl.len(), until=pl.col("time").max())
    )


def _booked(rows: Rows) -> pl.LazyFrame:
    """Return trades with the best prices of the last book before them."""
    best = [
        pl.col(side).list.first().struct.field("price").alias(name)
        for side, name in (("bids", "bid"), ("asks", "ask"))
    ]
    known = pl.col("bids").is_not_null() & pl.col("asks").is_not_null()
    books = rows.scan("books").select("ticker", "time", *best, known=known).sort("time")
    return (
        rows.scan("trades")
        .sort("time")
        .join_asof(
            books,
            on="time",
            by="ticker",
            strategy="backward",
            tolerance=BOOK_AGE,
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .with_columns(pl.col("bid").fill_null(0), pl.col("ask").fill_null(PRICE_SCALE))
    )


TAPE = View(("candles", "trades"), _tape)
QUOTED = View(("candles", "trades"), _quoted)
ALIKE = View(("trades",), _repeats)
IDS = View(("trades",), _ids)
BOOKED = View(("trades", "books"), _booked)

_price = pl.col("price")
_low = pl.min_horizontal(pl.col(f"bid_{part}").fill_null(0) for part in OHLC)
_high = pl.max_horizontal(pl.col(f"ask_{part}").fill_null(PRICE_SCALE) for part in OHLC)

RULES = (
    Rule(
        "volume_is_not_traded",
        "error",
        "candles",
        "the volume of a bar is not the sum of the stored trades in it",
        TAPE,
        pl.col("total") != pl.col("volume"),
        pl.format("volume={}, trades sum to {}", "volume", "total"),
        asked=pl.col("volume").is_not_null(),
    ),
    Rule(
        "prices_are_not_traded",
        "error",
        "candles",
        "the high or low of a bar is not that of the stored trades in it",
        TAPE,
        (pl.col("top") != pl.col("price_high")) | (pl.col("bottom") != pl.col("price_low")),
        show("price_low", "bottom", "price_high", "top"),
        asked=pl.col("top").is_not_null() & pl.col("price_high").is_not_null(),
    ),
    Rule(
        "outside_bar_quotes",
        "warning",
        "trades",
        "a trade is more than a cent outside all quotes of its bar",
        QUOTED,
        (_price < _low - TOLERANCE) | (_price > _high + TOLERANCE),
        show("price", "bid_low", "ask_high"),
    ),
    Rule(
        "outside_book",
        "warning",
        "trades",
        "a trade is more than two cents outside the book recorded at most ten seconds before it",
        BOOKED,
        (_price < pl.col("bid") - BOOK_TOLERANCE) | (_price > pl.col("ask") + BOOK_TOLERANCE),
        show("price", "bid", "ask"),
        asked=pl.col("known"),
    ),
    Rule(
        "trade_repeated",
        "warning",
        "trades",
        "trades of one moment are alike in all but their id: copies, or parts of one order",
        ALIKE,
        pl.col("times") > 1,
        pl.format("{} times price={}, quantity={}", "times", "price", "quantity"),
        rows=pl.col("times"),
        surplus=pl.col("times") - 1,
    ),
    Rule(
        "trade_id_twice",
        "warning",
        "trades",
        "a trade id stands at several times in one market",
        IDS,
        pl.col("times") > 1,
        pl.format("{} until {}", "trade_id", pl.col("until").cast(pl.String)),
    ),
)
