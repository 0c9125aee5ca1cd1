"""Bars of any length from recorded books and trades, right-labelled, from UTC multiples on.

A bar that ends at E holds what happened in (E - length, E]. Its quotes span every state of the book
in it, the one at its start included. Three cases need a word:

- The bar in which a market's book is first seen begins with that state.
- A bar that touches a hole (the book is not known) is left out, however short the hole: neither its
  extremes nor its end could be told. Bars go on with the first one that is known throughout.
- A market without any book has bars where it traded, with ``quote_source`` none.
"""

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import CANDLES, OHLC, Price, QuoteSource
from kalshi_bt.units import PRICE_SCALE, SECOND

_KEY = ["ticker", "end"]
_QUOTES = [f"{side}_{part}" for side in ("bid", "ask") for part in (*OHLC, "size")]
_NEVER = [
    pl.lit(None, dtype=CANDLES.columns[name]).alias(name)
    for name in (*(f"price_{part}" for part in OHLC), "volume")
]


def top(books: pl.DataFrame | pl.LazyFrame) -> pl.LazyFrame:
    """Return the best levels of recorded books.

    Parameters
    ----------
    books : frame
        `schema.BOOKS`.

    Returns
    -------
    LazyFrame
        ticker, time, known (whether the book was), bid and ask (Int16 centi-cents; null where that
        side was empty or not known), bid_size and ask_size (Int64 centi-contracts), in the same
        order.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from kalshi_bt.schema import BOOKS
    >>> at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> row = ("S-E-A", at, [{"price": 4500, "size": 1000}], [])
    >>> top(pl.DataFrame([row], schema=BOOKS.columns, orient="row")).collect().row(0)[2:]
    (True, 4500, None, 1000, None)
    """
    best = {side: pl.col(f"{side}s").list.first().struct for side in ("bid", "ask")}
    return books.lazy().select(
        "ticker",
        "time",
        pl.col("bids").is_not_null().alias("known"),
        *(best[side].field("price").alias(side) for side in best),
        *(best[side].field("size").alias(f"{side}_size") for side in best),
    )


def bars(
    seconds: int,
    *,
    books: pl.DataFrame | None = None,
    trades: pl.DataFrame | None = None,
    interest: pl.DataFrame | None = None,
    until: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return bars (`schema.CANDLES`) of the markets in books or trades.

    Parameters
    ----------
    seconds : int
        Length of a bar.
    books : frame, optional
        `schema.BOOKS`, sorted; a row without sides opens a hole.
    trades : frame, optional
        `schema.TRADES`, sorted. Without it prices and volume are null: not recorded.
    interest : frame, optional
        ticker, time, open_interest (Int64 centi-contracts), sorted by them: what was last said by
        the end of a bar is its open interest.
    until : frame, optional
        ticker, until: how far a market was recorded, or traded. Bars that end later are left out,
        and quiet bars up to there are made. Without it bars run to the one that holds the market's
        last row.

    Raises
    ------
    UsageError
        If `seconds` is not positive.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from kalshi_bt.schema import TRADES
    >>> at = datetime(2026, 1, 5, 12, 0, 7, tzinfo=UTC)
    >>> row = ("S-E-A", at, "1", 4500, 300, 1)
    >>> made = bars(15, trades=pl.DataFrame([row], schema=TRADES.columns, orient="row"))
    >>> str(made["time"][0]), made["volume"][0]
    ('2026-01-05 12:00:15+00:00', 300)
    """
    if seconds <= 0:
        raise UsageError(f"a bar of {seconds} seconds has no length; give 1 or more")
    length = seconds * SECOND
    limits = None if until is None else until.select("ticker", _micros("until").alias("until"))
    traded = None if trades is None else _traded(trades, length)
    frame = _unquoted(traded)
    if books is not None:
        quoted = _quoted(books, traded, limits, length)
        alone = frame.join(
            books.lazy().select("ticker").unique().collect(), on="ticker", how="anti"
        )
        frame = pl.concat([_priced(quoted, traded), alone], how="diagonal")
    if limits is not None:
        frame = frame.join(limits, on="ticker", how="left", maintain_order="left")
        frame = frame.filter((pl.col("end") <= pl.col("until")).fill_null(True))
    frame = frame.with_columns(
        period=pl.lit(seconds, dtype=pl.Int32),
        time=pl.col("end").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    ).sort("ticker", "time")
    return CANDLES.filled(_with_interest(frame, interest))


def _micros(name: str) -> pl.Expr:
    return pl.col(name).dt.epoch("us")


def _end(length: int) -> pl.Expr:
    """Return the end of the bar that holds `time`, in microseconds."""
    return (_micros("time") + (length - 1)) // length * length


def _traded(trades: pl.DataFrame, length: int) -> pl.DataFrame:
    """Return open, high, low, close and volume of the bars with a trade."""
    price = pl.col("price")
    frame = trades.lazy().with_columns(end=_end(length)).group_by(_KEY, maintain_order=True)
    return frame.agg(
        price_open=price.first(),
        price_high=price.max(),
        price_low=price.min(),
        price_close=price.last(),
        volume=pl.col("quantity").sum(),
    ).collect()


def _quoted(
    books: pl.DataFrame, traded: pl.DataFrame | None, limits: pl.DataFrame | None, length: int
) -> pl.DataFrame:
    """Return the quotes of the bars whose book was known throughout."""
    states = _lasting(books, traded, limits, length)
    # A state begins every bar up to the next one; of a hole only the bar it ends in matters.
    known = pl.when("known").then(pl.col("end") + length)
    first = known.otherwise(pl.max_horizontal(pl.col("end") + length, "next"))
    begun = states.with_columns(end=pl.int_ranges(first, pl.col("next") + length, length))
    begun = begun.explode("end").filter(pl.col("end").is_not_null())
    every = pl.concat([begun, states]).sort("ticker", "end", "at")
    spans = []
    for side, empty in (("bid", 0), ("ask", PRICE_SCALE)):
        price = pl.col(side).fill_null(empty)  # an empty side is the end of the range
        found = (price.first(), price.max(), price.min(), price.last())
        spans += [
            _unless(e, empty).alias(f"{side}_{part}") for part, e in zip(OHLC, found, strict=True)
        ]
        spans.append(pl.col(f"{side}_size").last())
    spanned = every.group_by(_KEY, maintain_order=True).agg(*spans, pl.col("known").all())
    return spanned.filter("known").drop("known").collect()


def _lasting(
    books: pl.DataFrame, traded: pl.DataFrame | None, limits: pl.DataFrame | None, length: int
) -> pl.LazyFrame:
    """Return each state with the bar it came in and the bar of the next one."""
    states = top(books).with_columns(at=_micros("time"), end=_end(length)).drop("time")
    if limits is not None:
        last = limits.lazy().select("ticker", last=pl.col("until") // length * length)
    elif traded is not None:
        last = traded.lazy().group_by("ticker").agg(last=pl.col("end").max())
    else:
        last = states.group_by("ticker").agg(last=pl.col("end").max())
    states = states.join(last, on="ticker", how="left", maintain_order="left")
    after = pl.col("end").shift(-1).over("ticker")
    return states.with_columns(next=pl.coalesce(after, pl.max_horizontal("end", "last"))).drop(
        "last"
    )


def _unless(price: pl.Expr, empty: int) -> pl.Expr:
    return pl.when(price != empty).then(price).cast(Price)


def _priced(quoted: pl.DataFrame, traded: pl.DataFrame | None) -> pl.DataFrame:
    """Return bars with quotes, and with the trades in them where trades were recorded."""
    source = pl.lit("book", dtype=QuoteSource).alias("quote_source")
    if traded is None:
        return quoted.with_columns(source, *_NEVER)
    both = quoted.join(traded, on=_KEY, how="left")
    return both.with_columns(source, pl.col("volume").fill_null(0))


def _unquoted(traded: pl.DataFrame | None) -> pl.DataFrame:
    """Return bars of trades alone."""
    names = {n: CANDLES.columns[n] for n in _QUOTES}
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in names.items()]
    source = pl.lit("none", dtype=QuoteSource).alias("quote_source")
    if traded is None:
        return pl.DataFrame(schema={"ticker": pl.String, "end": pl.Int64}).with_columns(
            source, *_NEVER, *absent
        )
    return traded.with_columns(source, *absent)


def _with_interest(frame: pl.DataFrame, interest: pl.DataFrame | None) -> pl.DataFrame:
    """Add the open interest that was last stated by the end of each bar."""
    if interest is None:
        return frame.with_columns(open_interest=pl.lit(None, dtype=pl.Int64))
    stated = interest.select("ticker", "time", "open_interest").sort("time")
    joined = frame.sort("time").join_asof(
        stated, on="time", by="ticker", strategy="backward", check_sortedness=False
    )
    return joined.sort("ticker", "time")
