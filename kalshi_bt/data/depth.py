"""What was recorded beyond the best prices of the markets of a panel."""

from datetime import datetime

import polars as pl

from kalshi_bt.data.panel import Panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError


def recorded(
    store: Store, made: Panel, start: datetime | None, end: datetime | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the books and trades beside the bars of a panel.

    Parameters
    ----------
    store : Store
    made : Panel
    start, end : datetime or None
        As the panel was asked for. From a start on the books are those of its first bar and later.

    Returns
    -------
    tuple of frame
        schema.BOOKS and schema.TRADES. They go on after the last bar: what was decided on it may
        still fill.

    Raises
    ------
    DataError
        If no book was recorded.
    """
    first = made.bars["time"].min()
    assert isinstance(first, datetime)
    mine = pl.col("ticker").is_in(made.markets["ticker"].cast(pl.String).implode())
    books = store.scan("books", end=end).filter(mine).collect()
    if books.is_empty():
        raise DataError(f"{store.name} has no recorded books; --fills book needs them")
    if start is not None:
        early = pl.col("time") <= first
        stand = books.filter(early).group_by("ticker", maintain_order=True).last()
        books = pl.concat([stand.select(books.columns), books.filter(~early)])
        books = books.sort("ticker", "time")
    return books, store.scan("trades", start=first, end=end).filter(mine).collect()
