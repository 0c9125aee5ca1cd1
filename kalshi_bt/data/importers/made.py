"""Rows that no file states: bars of the books and trades just read, holes after long silences."""

from collections.abc import Mapping

import polars as pl

from kalshi_bt.data.books import bars
from kalshi_bt.schema import BOOKS, Levels, QuoteSource


def made_bars(
    seconds: int, books: pl.DataFrame | None, trades: pl.DataFrame | None, *, polled: bool
) -> pl.DataFrame:
    """Return bars of books and trades.

    Parameters
    ----------
    seconds : int
        Their length.
    books, trades : frame, optional
        `schema.BOOKS` and `schema.TRADES`.
    polled : bool
        Whether the books were looked at now and then, so that changes between two looks are not in
        them: their bars have the source snapshot instead of book.
    """
    made = bars(seconds, books=books, trades=trades)
    return looked_at(made) if polled else made


def looked_at(made: pl.DataFrame) -> pl.DataFrame:
    """Return bars of books that were looked at now and then under that name."""
    source = pl.col("quote_source")
    named = pl.when(source == "book").then(pl.lit("snapshot")).otherwise(source)
    return made.with_columns(quote_source=named.cast(QuoteSource))


def holes(rows: pl.DataFrame, origin: str, silences: Mapping[str, int]) -> pl.DataFrame:
    """Return the rows of BOOKS that open a hole where a recording was silent for too long.

    Parameters
    ----------
    rows : frame
        `schema.BOOKS` and a column `origin` that names the file of each row.
    origin : str
        The name of that column.
    silences : mapping of str to int
        The longest silence of a file, microseconds; of files without one a book is known for good.
    """
    kinds: dict[str, type[pl.DataType]] = {origin: pl.String, "silence": pl.Int64}
    told = pl.DataFrame(list(silences.items()), schema=kinds, orient="row")
    after = pl.col("time").shift(-1).over("ticker", order_by="time")
    silent = rows.with_columns(after=after).join(told, on=origin)
    end = pl.col("time") + pl.duration(microseconds="silence")
    unknown = [pl.lit(None, dtype=Levels).alias(side) for side in ("bids", "asks")]
    found = silent.filter((pl.col("after") > end).fill_null(True)).with_columns(time=end)
    return found.select(*BOOKS.key, *unknown).sort(BOOKS.key)
