"""What stands in for quotes that nobody recorded.

Trades tell a side of the book: a taker who bought YES paid the ask, one who bought NO sold at the
bid. So the last trade of each kind is a quote, with an age; the older side can only be wrong
outwards, because the newer one pushes it away where they would meet.

Snapshots tell one quote at the end of a bar; bars of trades without sides tell none, and get a
spread assumed around the last trade.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.units import PRICE_SCALE, SECOND

MAX_AGE = timedelta(hours=1)
SOURCES = pl.Enum(["candle", "book", "snapshot", "trades", "assumed"])
_CENTS = [{"start": 0, "end": PRICE_SCALE, "step": 100}]


def quotes_from_trades(
    trades: pl.DataFrame, markets: pl.DataFrame, *, max_age: timedelta = MAX_AGE
) -> pl.DataFrame:
    """Return the bid and the ask that each trade leaves behind, with the time since they traded.

    Parameters
    ----------
    trades : frame of schema.TRADES
        Sorted by its key; the order of trades of one time is that of their identifiers.
    markets : frame with `ticker` and `price_ranges`
        The grids; a market that is not in it trades in whole cents.
    max_age : timedelta
        A side that traded longer ago is not known.

    Returns
    -------
    frame
        A row for each trade, same order: ticker, time, trade_id, bid, ask (Int16; null = not known,
        or nobody can quote there), bid_age, ask_age (Duration; null = never traded).

    Notes
    -----
    Where the last bid is not below the last ask, the newer of them stands and the other is put on
    the next price of the grid.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> row = {"ticker": "A", "time": datetime(2026, 5, 4, tzinfo=UTC), "quantity": 100}
    >>> rows = [row | {"trade_id": "1", "price": 4_000, "taker_side": 1},
    ...         row | {"trade_id": "2", "price": 4_200, "taker_side": -1}]
    >>> trades = pl.DataFrame(rows, schema=schema.TRADES.columns)
    >>> quotes_from_trades(trades, schema.MARKETS.empty())["bid", "ask"].rows()
    [(None, 4000), (4200, 4300)]
    """
    told, grid = _last_of_each_side(trades, markets)
    return told.select(
        "ticker",
        "time",
        "trade_id",
        **_at(pl.col("time"), max_age, grid),
        bid_age=pl.col("time") - pl.col("bid_time"),
        ask_age=pl.col("time") - pl.col("ask_time"),
    )


def bars_from_trades(
    trades: pl.DataFrame, markets: pl.DataFrame, seconds: int, *, max_age: timedelta = MAX_AGE
) -> pl.DataFrame:
    """Return bars made of trades alone, with the quotes the trades tell.

    Parameters
    ----------
    trades : frame of schema.TRADES
        Sorted by its key.
    markets : frame with `ticker` and `price_ranges`
        As in `quotes_from_trades`.
    seconds : int
        Length of a bar; bars end at its multiples since 1970 UTC. A trade at the very end of a bar
        belongs to it.
    max_age : timedelta
        A side that traded longer ago is not known.

    Returns
    -------
    frame of schema.CANDLES
        One bar for each that has a trade, `quote_source` "trades". A side opens with what the first
        trade of the bar leaves behind, since nothing says that an older quote was still there for a
        taker, and closes with what is not too old at the end of the bar; null = not known.

    Examples
    --------
    >>> bars_from_trades(schema.TRADES.empty(), schema.MARKETS.empty(), 60).height
    0
    """
    told, grid = _last_of_each_side(trades, markets)
    length = seconds * SECOND
    stamp = pl.col("time").to_physical()
    told = told.with_columns(
        **{f"{side}_now": quote for side, quote in _at(pl.col("time"), max_age, grid).items()},
        end=(-(-stamp // length) * length).cast(schema.Time),
    )
    left = ("ladder", *(f"{side}_{part}" for side in ("bid", "ask") for part in _KNOWN))
    bars = told.group_by("ticker", "end", maintain_order=True).agg(
        *_range("price", "price"),
        pl.col("quantity").sum().alias("volume"),
        *_range("bid", "bid_now"),
        *_range("ask", "ask_now"),
        pl.col(left).last(),
    )
    closed = {f"{side}_close": quote for side, quote in _at(pl.col("end"), max_age, grid).items()}
    return schema.CANDLES.filled(
        bars.with_columns(
            **closed,
            time="end",
            period=pl.lit(seconds, dtype=pl.Int32),
            quote_source=pl.lit("trades", dtype=schema.QuoteSource),
        )
    )


_KNOWN = ("told", "time", "row")


def _last_of_each_side(
    trades: pl.DataFrame, markets: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the trades with the last price, time and row of either side, and the grids.

    Rows of a market follow each other, so what is carried forward is the number of a row, and it
    counts where it is not one of an earlier market.
    """
    ladders = markets.select("price_ranges").unique(maintain_order=True).with_row_index("ladder")
    ladder = markets.join(ladders, on="price_ranges", nulls_equal=True).select("ticker", "ladder")
    frame = trades.join(ladder, on="ticker", how="left", maintain_order="left").with_row_index()
    row, ticker = pl.col("index"), pl.col("ticker")
    begin = pl.when(ticker.ne_missing(ticker.shift())).then(row).forward_fill()
    sides = {"ask": 1, "bid": -1}
    last = {
        f"{side}_row": pl.when(pl.col("taker_side") == sign).then(row).forward_fill()
        for side, sign in sides.items()
    }
    frame = frame.with_columns(begin=begin, **last)
    for side in sides:
        at = pl.when(pl.col(f"{side}_row") >= pl.col("begin")).then(f"{side}_row")
        frame = frame.with_columns(
            at.alias(f"{side}_row"),
            pl.col("price").gather(at).alias(f"{side}_told"),
            pl.col("time").gather(at).alias(f"{side}_time"),
        )
    unlisted = pl.col("ladder").fill_null(ladders.height)
    grids = [*ladders["price_ranges"].to_list(), None]
    return frame.with_columns(unlisted), pl.concat(neighbours(ranges) for ranges in grids)


def neighbours(ranges: list[dict[str, int]] | None) -> pl.DataFrame:
    """Return the next lower and higher price of a grid for every price.

    Parameters
    ----------
    ranges : list of dict
        `start`, `end`, `step` in centi-cents, as in ``markets.price_ranges``; None: whole cents.

    Returns
    -------
    frame (below, above)
        Row p: the nearest prices under and over p, p on the grid or not; null beyond the ends.

    Examples
    --------
    >>> neighbours(None).row(4_500)
    (4400, 4600)
    """
    levels = np.unique(
        np.concatenate([np.arange(r["start"], r["end"] + 1, r["step"]) for r in ranges or _CENTS])
    )
    # Nobody quotes nothing or a dollar.
    levels = levels[(levels > 0) & (levels < PRICE_SCALE)]
    padded = np.concatenate([[-1], levels, [-1]])
    price = np.arange(PRICE_SCALE + 1)
    below = padded[np.searchsorted(levels, price, side="left")]
    above = padded[np.searchsorted(levels, price, side="right") + 1]
    frame = pl.DataFrame({"below": below, "above": above})
    return frame.select(
        pl.when(pl.col(name) > 0).then(name).cast(schema.Price) for name in ("below", "above")
    )


def _at(moment: pl.Expr, max_age: timedelta, grid: pl.DataFrame) -> dict[str, pl.Expr]:
    """Return the sides of the book at a moment from the last trades until then."""
    fresh = {
        side: pl.when(moment - pl.col(f"{side}_time") <= max_age).then(f"{side}_told")
        for side in ("bid", "ask")
    }
    bid, ask = fresh["bid"], fresh["ask"]
    meet, bid_newer = bid >= ask, pl.col("bid_row") > pl.col("ask_row")

    def next_to(price: pl.Expr, name: str) -> pl.Expr:
        cell = pl.col("ladder").cast(pl.Int64) * (PRICE_SCALE + 1) + price
        return pl.lit(grid[name]).gather(cell)

    return {
        "bid": pl.when(meet & ~bid_newer).then(next_to(ask, "below")).otherwise(bid),
        "ask": pl.when(meet & bid_newer).then(next_to(bid, "above")).otherwise(ask),
    }


def _range(name: str, column: str) -> list[pl.Expr]:
    """Return open, high, low and close of a column."""
    ends = (pl.col(column).first(), pl.col(column).max(), pl.col(column).min())
    last = pl.col(column).last()
    return [e.alias(f"{name}_{p}") for e, p in zip((*ends, last), schema.OHLC, strict=True)]


def _if_quoted(name: str, told: pl.Expr) -> pl.Expr:
    return pl.when(pl.col(name).is_not_null()).then(told)


def as_far_as_seen(bars: pl.DataFrame) -> pl.DataFrame:
    """Return bars, what was copied from the end of snapshots replaced by what their trades tell.

    The opening quotes are not known: a taker who came then would get a quote from the end. A trade
    lies between bid and ask, so the bid was once as low as the lowest one and the ask as high as
    the highest: without that a stop would look at the end only, and a target at every trade. A side
    that was empty stays so: a trade does not tell that anybody was left to trade with.

    Parameters
    ----------
    bars : frame of schema.BARS with `quote_source`
    """
    snapshot = pl.col("quote_source") == "snapshot"
    if not bars.select(snapshot.any()).item():
        return bars
    seen = {
        "bid_open": None,
        "ask_open": None,
        "bid_low": _if_quoted("bid_high", pl.min_horizontal("bid_low", "price_low")),
        "ask_high": _if_quoted("ask_low", pl.max_horizontal("ask_high", "price_high")),
    }
    return bars.with_columns(
        pl.when(snapshot).then(told).otherwise(name).alias(name) for name, told in seen.items()
    )


def assumed(bars: pl.DataFrame, half_spread: int) -> pl.DataFrame:
    """Return bars with quotes put around the last trade where none were recorded.

    Parameters
    ----------
    bars : frame of schema.BARS with `quote_source`
        Sorted by (market, time).
    half_spread : int
        Centi-cents between a trade and either side of the book.

    Returns
    -------
    frame
        `quote_source` says "assumed" where it said "none"; null before the first trade of a market
        and where the price would not be inside 0 to 1 dollar.
    """
    unknown = pl.col("quote_source") == "none"
    # By number: half a million names would take longer than all the rest.
    names = [{"none": "assumed"}.get(name, name) for name in schema.QuoteSource.categories]
    told = pl.lit(pl.Series(names, dtype=SOURCES)).gather(pl.col("quote_source").to_physical())
    source = told.alias("quote_source")
    if not bars.select(unknown.any()).item():
        return bars.with_columns(source)
    price, market = pl.col("price_close"), pl.col("market")
    whose = pl.when(price.is_not_null()).then(market).forward_fill()
    last = pl.when(whose == market).then(price.forward_fill()).cast(pl.Int32)
    bars = bars.with_columns(last=last)
    columns = []
    for part in schema.OHLC:
        price = pl.coalesce(pl.col(f"price_{part}").cast(pl.Int32), "last")
        for side, shifted in (("bid", price - half_spread), ("ask", price + half_spread)):
            name = f"{side}_{part}"
            # Beyond 0 or 1 dollar nobody quotes.
            inside = pl.when((shifted > 0) & (shifted < PRICE_SCALE)).then(shifted)
            cell = pl.when(unknown).then(inside.cast(schema.Price)).otherwise(pl.col(name))
            columns.append(cell.alias(name))
    return bars.with_columns(*columns, source).drop("last")
