"""The panel: bars of many markets with what was known at listing, and the quotes a signal sees.

No outcome is joined here: not the result, not the actual close. A market that closed early keeps
its scheduled close, and bars that a dataset has after the actual one: that they are there is a
defect of the data, that they are ignored is up to the simulator, whose orders die at the close.
Every value of a bar was known at its end. Where quotes come from is told for each bar.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.asof import Reference, with_references
from kalshi_bt.data.lifecycle import FAULT, judged
from kalshi_bt.data.parts import series_of
from kalshi_bt.data.proxy import MAX_AGE, as_far_as_seen, assumed
from kalshi_bt.data.scope import Scope, made_bars, stored_bars
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import DETERMINATIONS
from kalshi_bt.units import QUANTITY_SCALE, dollars

__all__ = [
    "MAX_AGE",
    "PERIOD",
    "Panel",
    "Quotes",
    "Reference",
    "determinations",
    "outcomes",
    "panel",
    "read_for",
]

PERIOD = 60  # seconds of a bar that is made of trades or books, if no other length is asked for
Quotes = Literal["auto", "candles", "trades", "books"]
_STATIC = (
    "event",
    "series",
    "open_time",
    "close_time",
    "strike_type",
    "floor_strike",
    "cap_strike",
)


@dataclass(frozen=True)
class Panel:
    """Bars and markets, joined by row number.

    Attributes
    ----------
    bars : frame
        `schema.BARS`, `quote_source` (candle, book, snapshot, trades or assumed) and the columns
        of the references, sorted by (market, time).
    markets : frame
        Row i is market i: `schema.MARKETS`, sorted by ticker.
    period : int
        Seconds of a bar.
    notes : tuple of str
        What a reader must know about how the panel was made.
    references : tuple of str
        Columns that come from the table of references.
    """

    bars: pl.DataFrame
    markets: pl.DataFrame
    period: int
    notes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def sources(self) -> Mapping[str, int]:
        """How many bars have their quotes from each source."""
        counts = self.bars.group_by("quote_source").len().sort("quote_source")
        return dict(counts.cast({"quote_source": pl.String}).rows())

    def quotes(self, columns: Iterable[str] | None = None) -> pl.LazyFrame:
        """Return what a signal sees: `schema.QUOTES` in dollars, one row a bar, same order.

        The columns of the references follow.

        Parameters
        ----------
        columns : iterable of str, optional
            Those of `schema.QUOTES` that are wanted; all without.
        """
        made = _quotes(self.markets)
        wanted = set(schema.QUOTES if columns is None else columns)
        return self.bars.lazy().select(
            *(made[name].alias(name) for name in schema.QUOTES if name in wanted), *self.references
        )


def _quotes(markets: pl.DataFrame) -> dict[str, pl.Expr]:
    """Return how each column of `schema.QUOTES` is made of bars with the numbers of markets."""
    ticker = markets["ticker"].cast(pl.Enum(markets["ticker"]))
    market = pl.col("market")
    counted = ("volume", "open_interest", "bid_size", "ask_size")
    return {
        "ticker": pl.lit(ticker).gather(market),
        "time": pl.col("time"),
        **{name: _looked_up(markets[name], market) for name in _STATIC},
        "quote_source": pl.col("quote_source"),
        **{part: dollars(f"price_{part}") for part in schema.OHLC},
        **{f"{s}_{part}": dollars(f"{s}_{part}") for s in ("bid", "ask") for part in _INSIDE},
        **{side: dollars(f"{side}_close") for side in ("bid", "ask")},
        "mid": (dollars("bid_close") + dollars("ask_close")) / 2,
        **{name: _contracts(name) for name in counted},
    }


def read_for(columns: Iterable[str]) -> frozenset[str]:
    """Return what of bars, beside the numbers of their markets, `schema.QUOTES` are made of.

    Parameters
    ----------
    columns : iterable of str
        The quotes that are asked about; other names are passed over.

    Examples
    --------
    >>> sorted(read_for(["time", "event", "mid"]))
    ['ask_close', 'bid_close', 'time']
    """
    made, wanted = _quotes(schema.MARKETS.empty()), set(columns)
    roots = (expr.meta.root_names() for name, expr in made.items() if name in wanted)
    return frozenset(root for names in roots for root in names) - {"market"}


_INSIDE = schema.OHLC[:3]


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
    references: Sequence[Reference] = (),
    quotes: Quotes = "auto",
    quote_max_age: timedelta = MAX_AGE,
) -> Panel:
    """Return the panel of a dataset.

    Parameters
    ----------
    store : Store
        The dataset.
    period : int, optional
        Seconds of a bar; without it the period with the most candles, or `PERIOD`.
    series : sequence of str
        Only these series; all without any.
    start, end : datetime, optional
        Only bars that end after `start` and not after `end`.
    half_spread : int
        Centi-cents put between a trade and either side of the book where quotes were not recorded.
    references : sequence of Reference
        Columns to add: the newest value known at the end of each bar.
    quotes : {"auto", "candles", "trades", "books"}
        What bars and quotes are made of; "auto" takes the first of candles, books and trades that
        has a row in the chosen series and time span.
    quote_max_age : timedelta
        How long a trade tells a side of the book, where quotes are made of trades.

    Raises
    ------
    DataError
        If nothing is left, or a bar's market is not in the table of markets.
    UsageError
        If a series, the period or a reference is not in the dataset.
    """
    scope = Scope.of(store, series, start, end)
    kind = _kind(scope, quotes)
    if kind == "candles":
        frame, period, notes = stored_bars(scope, period)
    else:
        period = PERIOD if period is None else period
        frame, notes = made_bars(scope, kind, period, quote_max_age)
    if frame.is_empty():
        raise scope.nothing(f"bars from {kind}")
    markets = _universe(scope, frame, kind)
    bars = assumed(as_far_as_seen(_numbered(frame, markets)), half_spread)
    bars, remarks = with_references(store, bars, markets, references)
    columns = tuple(name for reference in references for name in reference.columns)
    made = Panel(bars, markets, period, references=columns)
    if kind == "candles" and "assumed" in made.sources and scope.has("trades"):
        notes.append(
            "the dataset has trades with the sides takers took: quotes='trades' reads them"
        )
    return replace(made, notes=(*remarks, *_told(made, half_spread), *notes))


def _kind(scope: Scope, quotes: str) -> str:
    """Return the table that bars come from."""
    if quotes not in get_args(Quotes):
        raise UsageError.unknown("source of quotes", quotes, get_args(Quotes))
    if quotes != "auto":
        return quotes
    kinds = ("candles", "books", "trades")
    found = next((kind for kind in kinds if scope.has(kind)), None)
    if found is None:
        raise scope.nothing("candles, books or trades")
    return found


def _universe(scope: Scope, frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Return the markets that have bars, in ticker order."""
    found = scope.markets(frame["ticker"].unique().sort())
    lost = found.filter(pl.col("series").is_null())
    if lost.height:
        raise DataError(
            f"{scope.store.name}: {kind} of {lost['ticker'][0]} have no row in markets "
            f"({lost.height} such tickers); import its market"
        )
    return found


def _numbered(frame: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Replace tickers by row numbers of `markets` and sort."""
    number = pl.col("ticker").cast(pl.Enum(markets["ticker"])).to_physical().cast(pl.UInt32)
    columns = [c for c in schema.BARS.columns if c != "market"]
    bars = frame.select(number.alias("market"), *columns, "quote_source")
    market, time = pl.col("market").diff(), pl.col("time").diff()
    later = (market > 0) | ((market == 0) & (time > timedelta(0)))
    return bars if bars.select(later.all()).item() else bars.sort("market", "time")


def _told(made: Panel, half_spread: int) -> Iterator[str]:
    """Say of how many bars the quotes are assumed, and where they are from if that differs."""
    sources = made.sources
    count = sources.get("assumed", 0)
    if count:
        yield (
            f"{count:,} of {made.bars.height:,} bars have no recorded quotes: bid and ask are "
            f"assumed {half_spread / 10_000:.4f} dollars either side of the last trade"
        )
    if len(sources) > 1:
        counts = ", ".join(f"{n:,} {source}" for source, n in sources.items())
        yield f"where the quotes of the bars come from: {counts}"


def outcomes(store: Store, markets: pl.DataFrame, end: datetime | None = None) -> pl.DataFrame:
    """Return the settlements of a panel's markets that were known by `end`; for the simulator only.

    Parameters
    ----------
    store : Store
        The dataset.
    markets : frame with `ticker`
        Row i is market i.
    end : datetime, optional
        Last moment of the run; a later settlement is not known yet. Of one that was corrected
        afterwards, what stood then is taken from the revisions.
    """
    known = _of(store, "settlements", markets, end)
    if end is None:
        return known.sort("ticker")
    earlier = store.scan("revisions", end=end).join(known.lazy(), on="ticker", how="anti")
    mine = earlier.join(markets.lazy().select("ticker"), on="ticker", how="semi").sort("time")
    stood = mine.unique("ticker", keep="last", maintain_order=True).collect()
    return pl.concat([known, stood]).sort("ticker")


def determinations(
    store: Store, markets: pl.DataFrame, end: datetime | None = None
) -> pl.DataFrame:
    """Return what was said of results of a panel's markets by `end`; for the simulator only.

    Nothing is paid on it: see `outcomes`.

    Parameters
    ----------
    store : Store
        The dataset.
    markets : frame with `ticker`
        Row i is market i.
    end : datetime, optional
        Last moment of the run.

    Returns
    -------
    frame of schema.DETERMINATIONS
        Sorted by key; without rows that repeat or contradict an earlier one, see `lifecycle`.
    """
    rows = judged(_of(store, "determinations", markets, end).sort(DETERMINATIONS.key))
    return rows.filter(pl.col(FAULT).is_null()).select(list(DETERMINATIONS.columns))


def _of(store: Store, table: str, markets: pl.DataFrame, end: datetime | None) -> pl.DataFrame:
    """Return the rows of a panel's markets that were known by `end`, in any order."""
    series = markets.select(series_of("ticker").unique()).to_series().to_list()
    rows = store.scan(table, ordered=False, series=series, end=end)
    return rows.join(markets.lazy().select("ticker"), on="ticker", how="semi").collect()
