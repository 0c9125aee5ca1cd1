"""How a table is cut into parts, what a commit does to one, and what identifies its rows.

A part is a table's rows of one series and one month: small enough to be rewritten in memory, large
enough to be read in one go. Its rows are sorted by the key of the table.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from kalshi_bt.schema import Table

# The column whose text before the first "-" is the series; tables that are not named are one part.
NAMED_BY = {
    "markets": "ticker",
    "settlements": "ticker",
    "determinations": "ticker",
    "candles": "ticker",
    "trades": "ticker",
    "books": "ticker",
    "references": "source",
}
MONTHLY = ("candles", "trades", "books", "references")
_SERIES, _MONTH = " series", " month"  # no declared column begins with a blank


class Place(NamedTuple):
    """Which part a row belongs to.

    Attributes
    ----------
    series : str
        Of Kalshi; the source, of references. Empty where a name has none, and for tables that are
        not cut by series.
    month : str
        As ``2026-01``; empty for tables that are not cut by month.
    """

    series: str
    month: str


@dataclass(frozen=True)
class Counts:
    """What a commit did to the rows of one table.

    Attributes
    ----------
    added, updated, unchanged : int
        Given rows whose key was new, whose key was stored with other values, and that were stored
        as they are.
    removed : int
        Stored rows that are gone.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.removed + other.removed,
        )


@dataclass(frozen=True)
class Upsert:
    """A part after a commit.

    Attributes
    ----------
    rows : frame
        All of them, sorted by key.
    added, replaced : frame
        Rows whose key is new; stored rows in whose place others have come.
    counts : Counts
        What changed.
    """

    rows: pl.DataFrame
    added: pl.DataFrame
    replaced: pl.DataFrame
    counts: Counts


def series_of(column: str | pl.Expr) -> pl.Expr:
    """Return the series of tickers: the text before the first dash, or all of it without one.

    Examples
    --------
    >>> tickers = pl.DataFrame({"ticker": ["KXHIGHNY-26JAN01-B40", "A"]})
    >>> tickers.select(series_of("ticker")).to_series().to_list()
    ['KXHIGHNY', 'A']
    """
    text = pl.col(column) if isinstance(column, str) else column
    return text.str.extract(r"^([^-]*)", 1)


def placed(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows with two columns more, which name their part, in the order of the parts.

    Rows of one part keep their order.
    """
    name = NAMED_BY.get(table.name)
    series, month = pl.lit(""), pl.lit(0, dtype=pl.Int32)
    if name == "source":
        series = pl.col(name)
    elif name is not None:  # names without a dash share a part: there may be one for each row
        text = pl.col(name)
        series = (
            pl.when(text.str.contains("-", literal=True))
            .then(series_of(name))
            .otherwise(pl.lit(""))
        )
    if table.name in MONTHLY:
        time = pl.col("time")
        month = time.dt.year().cast(pl.Int32) * 12 + time.dt.month().cast(pl.Int32) - 1
    marked = frame.with_columns(series.alias(_SERIES), month.alias(_MONTH))
    return marked.sort(_SERIES, _MONTH, maintain_order=True)


def runs(frame: pl.DataFrame) -> list[tuple[Place, int]]:
    """Return the parts of `placed` rows, and how many rows each has, in order."""
    groups = frame.group_by(_SERIES, _MONTH, maintain_order=True).len().rows()
    return [(Place(series, _month(month)), rows) for series, month, rows in groups]


def split(table: Table, frame: pl.DataFrame) -> Iterator[tuple[Place, pl.DataFrame]]:
    """Return rows part by part; rows of one part keep their order."""
    ordered, begin = placed(table, frame), 0
    rows = ordered.select(list(table.columns))
    for place, length in runs(ordered):
        yield place, rows.slice(begin, length)
        begin += length


def path_of(table: str, place: Place) -> str:
    """Return where the files of a part lie, without their hash and ending.

    Examples
    --------
    >>> path_of("candles", Place("KXHIGHNY", "2026-01"))
    'candles/KXHIGHNY/2026-01'
    >>> path_of("references", Place("proxy:x", "2026-01"))
    'references/proxy~3ax/2026-01'
    """
    stem = place.month or "all"
    if table not in NAMED_BY:
        return f"{table}/{stem}"
    name = re.sub(
        r"[^A-Za-z0-9_-]", lambda m: "".join(f"~{b:02x}" for b in m[0].encode()), place.series
    )
    if len(name) > 100:
        name = f"{name[:80]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{table}/{name or '~'}/{stem}"


def upsert(
    table: Table, stored: pl.DataFrame, rows: pl.DataFrame, drop: pl.DataFrame | None = None
) -> Upsert:
    """Return a part without `drop` and with `rows`, all sorted by key."""
    if stored.is_empty():
        return Upsert(rows, rows, stored, Counts(added=rows.height))
    if drop is None and stored.equals(rows):  # as when the same is imported twice
        return Upsert(rows, rows.clear(), rows.clear(), Counts(unchanged=rows.height))
    key = list(table.key)
    kept = stored if drop is None else stored.join(drop, on=drop.columns, how="anti")
    kept = kept.join(rows, on=key, how="anti")
    both = rows.join(stored, on=key, how="inner", suffix=" stored")
    values = [name for name in table.columns if name not in key]
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n} stored")) for n in values)
    other = both.filter(~same)
    counts = Counts(
        added=rows.height - both.height,
        updated=other.height,
        unchanged=both.height - other.height,
        removed=stored.height - kept.height - both.height,
    )
    return Upsert(
        pl.concat([kept, rows]).sort(key),
        rows.join(stored, on=key, how="anti", maintain_order="left"),
        other.select(*key, *(pl.col(f"{n} stored").alias(n) for n in values)).sort(key),
        counts,
    )


def digest(frame: pl.DataFrame) -> str:
    """Return 64 hex digits of the values of sorted rows, whatever file they come from.

    Each column is hashed as its nulls and its values in a form that belongs to no library: numbers
    as little-endian bytes, texts as lengths and UTF-8, lists as lengths and elements.
    """
    hashed = hashlib.sha256()
    for column in frame.iter_columns():
        hashed.update(f"{column.name}:{column.dtype.base_type()}:{len(column)};".encode())
        for chunk in _canonical(column):
            hashed.update(chunk)
    return hashed.hexdigest()


def _canonical(column: pl.Series) -> Iterator[bytes]:
    """Return which values of a column are null, then its values, as bytes."""
    dtype, nulls = column.dtype, column.null_count()
    if nulls == len(column):
        yield b"none;"
        return
    yield f"{nulls};".encode()
    if nulls:
        yield np.packbits(column.is_null().to_numpy()).tobytes()
    if isinstance(dtype, pl.List):
        yield _numbers(column.list.len().fill_null(0).cast(pl.UInt32))
        yield from _canonical(column.drop_nulls().explode(empty_as_null=False))
    elif isinstance(dtype, pl.Struct):
        for name in column.struct.fields:
            yield from _canonical(column.struct.field(name))
    elif dtype in (pl.String, pl.Enum):
        text = column.cast(pl.String) if dtype == pl.Enum else column
        yield _numbers((text.fill_null("") if nulls else text).str.len_bytes())
        yield str(text.str.join("").item()).encode()
    else:
        whole = column.to_physical() if nulls else column
        yield _numbers(whole.fill_null(False if dtype == pl.Boolean else 0) if nulls else whole)


def _numbers(column: pl.Series) -> bytes:
    """Return numbers, times or truths as little-endian bytes."""
    values: np.ndarray[Any, Any] = column.to_numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _month(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}" if number else ""
