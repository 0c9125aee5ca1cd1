"""Outside series beside the bars: at the end of each bar the newest row that was known by then.

A row stamped exactly at the end of a bar was known; one stamped a microsecond later was not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import SECOND

_TAKEN = {*schema.QUOTES, *schema.SIGNALS, *schema.BARS.columns, *schema.SETTLEMENTS.columns}
_PART = re.compile(r"\{(ticker|event|series)\}")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, eq=False)
class Reference:
    """A column of the panel that comes from the table of references.

    Attributes
    ----------
    source : str
        Who says it, such as "coinbase"; of several, by commas, the first that the data has.
    symbol : str, mapping or frame
        What it is about: the same for all markets, or a symbol for each series, or a frame
        (ticker, symbol). Markets without a symbol get null. A name may hold ``{ticker}``,
        ``{event}`` or ``{series}``, which stand for the market's own.
    field : str
        Which of its numbers, such as "close".
    column : str
        Name of the column in the quotes, Float64; null = nothing was known, or it was too old, or
        the newest row says that there is no number.
    max_age : timedelta, optional
        An older value is not used; without it the newest counts however old it is.
    optional : bool
        Whether data that has nothing of it gives nulls and a remark, instead of an error.
    with_age : bool
        Also add the column ``<column>_age``: seconds since the value was known.
    derive : callable, optional
        Makes rows (symbol, time, value) of such rows, sorted by symbol and time, before they are
        joined. It must make no row of anything later than the row.
    history : timedelta
        How far before the first bar it is shown rows, if `max_age` is given.

    Raises
    ------
    UsageError
        If the name of a column is one that quotes, signals or outcomes have.

    Examples
    --------
    >>> Reference("coinbase", {"KXBTC15M": "BTC-USD"}, "close", "spot", with_age=True).columns
    ('spot', 'spot_age')
    """

    source: str
    symbol: str | Mapping[str, str] | pl.DataFrame
    field: str
    column: str
    max_age: timedelta | None = None
    with_age: bool = False
    optional: bool = False
    derive: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    history: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        for name in self.columns:
            if name in _TAKEN:
                raise UsageError(
                    f"a reference cannot be the column {name!r}, which has a meaning already; "
                    "choose another name"
                )
        if self.max_age is not None and self.max_age < timedelta(0):
            raise UsageError(f"max_age of {self.column!r} is {self.max_age}; expected 0 or more")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns it adds."""
        return (self.column, f"{self.column}_age") if self.with_age else (self.column,)

    @property
    def of_each(self) -> bool:
        """Whether markets have symbols of their own, some of which nobody may speak of."""
        return isinstance(self.symbol, pl.DataFrame) or (
            isinstance(self.symbol, str) and "{" in self.symbol
        )

    def symbols(self, markets: pl.DataFrame) -> pl.Series:
        """Return the symbol of each row of `markets` (String; null = none).

        Raises
        ------
        DataError
            If a frame lacks ticker or symbol, or has a ticker twice.
        """
        if isinstance(self.symbol, str) and self.of_each:
            names = _PART.findall(self.symbol)
            return markets.select(pl.format(_PART.sub("{}", self.symbol), *names)).to_series()
        if isinstance(self.symbol, str):
            return pl.repeat(self.symbol, markets.height, dtype=pl.String, eager=True)
        if isinstance(self.symbol, Mapping):
            given = dict(self.symbol)
            return markets["series"].replace_strict(given, default=None, return_dtype=pl.String)
        lost = {"ticker", "symbol"} - set(self.symbol.columns)
        if lost:
            raise DataError(f"the symbols of {self.column!r} lack the columns {sorted(lost)}")
        if self.symbol["ticker"].n_unique() < self.symbol.height:
            twice = self.symbol["ticker"].filter(self.symbol["ticker"].is_duplicated())[0]
            raise DataError(f"the symbols of {self.column!r} have {twice} more than once")
        known = self.symbol.select(pl.col("ticker", "symbol").cast(pl.String))
        return markets.join(known, on="ticker", how="left", maintain_order="left")["symbol"]


def with_references(
    store: Store, bars: pl.DataFrame, markets: pl.DataFrame, references: Sequence[Reference]
) -> tuple[pl.DataFrame, list[str]]:
    """Return bars with a column for each reference, and remarks on symbols that are not there.

    Parameters
    ----------
    store : Store
        Only its references of these sources, fields, symbols and times are read.
    bars : frame with `market` and `time`
    markets : frame
        Row i is market i.
    references : sequence of Reference

    Raises
    ------
    UsageError
        If a source, a field of it or a symbol named outright is not in the dataset, or two
        references add the same column.
    """
    names = [name for reference in references for name in reference.columns]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two references add the column {name!r}; rename one of them")
    notes = []
    unsaid: dict[str, list[Reference]] = {}  # nothing is said of, by source and age
    for asked in references:
        reference = _first(store, asked)
        symbols = reference.symbols(markets)
        known, absent = _known(store, reference, symbols.drop_nulls().unique().sort(), bars["time"])
        own = reference.derive is None  # else what it is made of has a remark of its own
        if own and known.is_empty() and reference.optional:
            old = "" if reference.max_age is None else f", at most {reference.max_age} old"
            unsaid.setdefault(f"{reference.source}{old}", []).append(reference)
        elif own and reference is not asked:
            notes.append(f"{reference.column}: from {reference.source}")
        if own and absent and not (known.is_empty() and reference.optional):
            notes.append(
                f"{reference.column}: {reference.source} says nothing of {len(absent)} symbols, "
                f"such as {absent[0]}; their markets have none"
            )
        bars = pl.concat([bars, as_of(bars, symbols, known, reference)], how="horizontal")
    there = _there(store) if unsaid else ""
    silences = (_silence(lost, source, markets) + there for source, lost in unsaid.items())
    return bars, [*silences, *notes]


def _first(store: Store, reference: Reference) -> Reference:
    """Return the reference with the first of its sources that the dataset has, else as it is."""
    for source in map(str.strip, reference.source.split(",") if "," in reference.source else ()):
        if store.scan("references", ordered=False, series=[source]).head(1).collect().height:
            return replace(reference, source=source)
    return reference


def _there(store: Store) -> str:
    """Say what the dataset has instead, for whoever named or imported it otherwise."""
    asked = store.scan("references", ordered=False).select("source", "field").unique()
    found = [
        f"{field} of {source}" for source, field in asked.sort("source", "field").collect().rows()
    ]
    return f"; it has {', '.join(found[:3])}{' …' if len(found) > 3 else ''}" if found else ""


def _silence(lost: list[Reference], source: str, markets: pl.DataFrame) -> str:
    """Say of which columns a source says nothing, however many there are."""
    first = lost[0]
    if len(lost) > 1:
        return f"{first.column} and {len(lost) - 1} more: this data says nothing of them ({source})"
    of = first.symbols(markets).drop_nulls().unique().sort().to_list()
    what = (
        f"{first.field} of {', '.join(of[:3])}{' …' if len(of) > 3 else ''}" if of else "no symbol"
    )
    return f"{first.column}: this data says nothing of it ({source}; {what})"


def as_of(
    bars: pl.DataFrame, symbols: pl.Series, known: pl.DataFrame, reference: Reference
) -> pl.DataFrame:
    """Return for each bar the newest value known by its end.

    Parameters
    ----------
    bars : frame (market, time)
        In any order.
    symbols : String (markets,)
        The symbol of each market; null = none.
    known : frame (symbol, time, value)
        No (symbol, time) twice; in any order.
    reference : Reference
        Says how old a value may be and which columns to return.

    Returns
    -------
    frame
        The reference's columns, Float64, in the order of `bars`.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> noon = pl.Series([datetime(2026, 5, 4, 12, tzinfo=UTC)], dtype=schema.Time)
    >>> bars = pl.DataFrame({"market": [0], "time": noon})
    >>> known = pl.DataFrame({"symbol": ["BTC-USD"], "time": noon, "value": [78_000.5]})
    >>> spot = Reference("coinbase", "BTC-USD", "close", "spot")
    >>> as_of(bars, pl.Series(["BTC-USD"]), known, spot).item()
    78000.5
    """
    if symbols.null_count() == len(symbols) or known.is_empty():
        nothing = pl.repeat(None, pl.len(), dtype=pl.Float64)
        return bars.select(nothing.alias(name) for name in reference.columns)
    code = {symbol: n for n, symbol in enumerate(symbols.drop_nulls().unique().sort())}
    coded = symbols.replace_strict(code, default=None, return_dtype=pl.UInt32)
    left = bars.select(
        pl.lit(coded).gather(pl.col("market")).alias("symbol"), "time"
    ).with_row_index()
    right = known.select(
        pl.col("symbol").replace_strict(code, default=None, return_dtype=pl.UInt32),
        "time",
        pl.col("value").fill_nan(None),
        said="time",
    )
    found = left.sort("time").join_asof(
        right.drop_nulls("symbol").sort("time"),
        on="time",
        by="symbol",
        strategy="backward",
        tolerance=reference.max_age,
        check_sortedness=False,  # sorted above; Polars cannot tell within the symbols
    )
    age = ((pl.col("time") - pl.col("said")).dt.total_microseconds() / SECOND).round(6)
    columns = dict(zip(reference.columns, (pl.col("value"), age), strict=False))
    return found.sort("index").select(**columns)


def _known(
    store: Store, reference: Reference, symbols: pl.Series, times: pl.Series
) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows that may be the newest of some bar, and symbols nothing is ever said of."""
    first, last = cast("datetime", times.min()), cast("datetime", times.max())
    # One microsecond more, because what is exactly as old as allowed counts.
    since = None
    if reference.max_age is not None:
        since = first - reference.max_age - reference.history - _MICROSECOND
    of_it = (pl.col("source") == reference.source) & (pl.col("field") == reference.field)
    span = store.scan("references", ordered=False, series=[reference.source], start=since, end=last)
    rows = span.filter(of_it & pl.col("symbol").is_in(symbols.implode()))
    known = rows.select("symbol", "time", "value").collect()
    silent = set(symbols) - set(known["symbol"].unique())
    if reference.derive is not None:
        known = reference.derive(known.sort("symbol", "time"))
    if not silent or reference.optional:
        return known, sorted(silent)
    _check_named(store, reference)
    said = store.scan("references", ordered=False, series=[reference.source]).filter(of_it)
    ever = set(said.select(pl.col("symbol").unique()).collect()["symbol"])
    absent = sorted(silent - ever)
    if absent and (not reference.of_each or not ever & set(symbols)):
        raise UsageError.unknown(f"symbol of {reference.source} in {store.name}", absent[0], ever)
    return known, absent


def _check_named(store: Store, reference: Reference) -> None:
    """Refuse a source or field that the dataset does not have."""
    all_of_it = store.scan("references", ordered=False)
    sources = all_of_it.select(pl.col("source").unique()).collect()["source"]
    if reference.source not in sources:
        raise UsageError.unknown(f"source of references in {store.name}", reference.source, sources)
    fields = all_of_it.filter(pl.col("source") == reference.source).select(pl.col("field").unique())
    names = fields.collect()["field"]
    if reference.field not in names:
        raise UsageError.unknown(
            f"field of {reference.source} in {store.name}", reference.field, names
        )
