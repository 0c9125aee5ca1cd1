"""A moment: all that became known at one time, in the form that a trader and its broker take.

Feeds of messages, recordings and stored panels all end in moments, so that whoever trades on them
cannot tell them apart.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.proxy import SOURCES
from kalshi_bt.errors import DataError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BARS: Final[schema.Schema] = {
    "ticker": pl.String,
    **{name: dtype for name, dtype in schema.BARS.columns.items() if name != "market"},
    "quote_source": SOURCES,
}
INTENTS: Final[schema.Schema] = {
    "ticker": pl.String,
    **{name: dtype for name, dtype in schema.INTENTS.columns.items() if name != "market"},
}
NO_INTENTS: Final = pl.DataFrame(schema=dict(INTENTS))
TABLES: Final[Mapping[str, schema.Schema]] = {
    "listed": schema.MARKETS.columns,
    "bars": BARS,
    "determined": schema.DETERMINATIONS.columns,
    "settled": schema.SETTLEMENTS.columns,
    "references": schema.REFERENCES.columns,
    "series": schema.SERIES.columns,
    "event_fees": schema.EVENT_FEES.columns,
    "books": schema.BOOKS.columns,
    "trades": schema.TRADES.columns,
}
_DEEP = ("books", "trades")
_SIDE = schema.BOOKS.columns["bids"]


def _none(table: str) -> Callable[[], pl.DataFrame]:
    return lambda: pl.DataFrame(schema=dict(TABLES[table]))


@dataclass(frozen=True)
class Resumed:
    """What a session has that goes on after a stop, for whoever tells it more.

    Attributes
    ----------
    after : datetime or None
        The newest moment that it acted on; None before the first.
    closes : mapping of ticker to datetime
        The markets that it trades, and when they close.
    booked : collection of str
        Those whose recorded book it holds to be known. Nobody listened since: it is not any more.
    """

    after: datetime | None = None
    closes: Mapping[str, datetime | None] = field(default_factory=dict)
    booked: Collection[str] = ()


@dataclass(frozen=True)
class Moment:
    """What became known at a time, since the moment before.

    Attributes
    ----------
    time : datetime
        Of moments that follow each other it rises.
    listed : frame of schema.MARKETS
        Markets that are traded from now on.
    bars : frame of schema.BARS
        With `ticker` instead of `market`, and `quote_source`. They end at `time`, each market at
        most once.
    closes : mapping of ticker to datetime
        When trading in a market really ends, or ended; a close that is put off is told before the
        one it replaces.
    determined, settled : frames of schema.DETERMINATIONS, schema.SETTLEMENTS
        What was said of results, and what was paid.
    references : frame of schema.REFERENCES
        Known by `time`.
    series, event_fees : frames of schema.SERIES, schema.EVENT_FEES
        Fees, dated.
    books, trades : frames of schema.BOOKS, schema.TRADES
        Of listed markets, where recorded depth is walked: all since the moment before.

    Examples
    --------
    >>> at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    >>> Moment(at, closes={"S-E-A": at}).bars.height
    0
    """

    time: datetime
    listed: pl.DataFrame = field(default_factory=_none("listed"))
    bars: pl.DataFrame = field(default_factory=_none("bars"))
    closes: Mapping[str, datetime] = field(default_factory=dict)
    determined: pl.DataFrame = field(default_factory=_none("determined"))
    settled: pl.DataFrame = field(default_factory=_none("settled"))
    references: pl.DataFrame = field(default_factory=_none("references"))
    series: pl.DataFrame = field(default_factory=_none("series"))
    event_fees: pl.DataFrame = field(default_factory=_none("event_fees"))
    books: pl.DataFrame = field(default_factory=_none("books"))
    trades: pl.DataFrame = field(default_factory=_none("trades"))


def micros(time: datetime) -> int:
    """Return microseconds since 1970.

    Examples
    --------
    >>> micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (time - EPOCH) // timedelta(microseconds=1)


def at(time: int) -> datetime:
    """Return the time of so many microseconds since 1970."""
    return EPOCH + timedelta(microseconds=time)


def to_json(moment: Moment) -> bytes:
    """Return a moment as one line of JSON, times in microseconds; what is empty is left out."""
    told: dict[str, Any] = {"time": micros(moment.time)}
    for name in TABLES:
        frame: pl.DataFrame = getattr(moment, name)
        if frame.height:
            told[name] = rows(frame, TABLES[name])
    if moment.closes:
        told["closes"] = {ticker: micros(time) for ticker, time in moment.closes.items()}
    # Depth is a million whole numbers, which `json` is slow at.
    deep = {name: told.pop(name) for name in _DEEP if name in told}
    line = json.dumps(told, separators=(",", ":")).encode()
    return line[:-1] + b"," + msgspec.json.encode(deep)[1:] if deep else line


def from_json(line: bytes) -> Moment:
    """Return the moment of a line that `to_json` wrote.

    Raises
    ------
    DataError
        If the line holds something else.
    """
    try:
        told = json.loads(line)
        closes = {ticker: at(time) for ticker, time in told.pop("closes", {}).items()}
        time = at(told.pop("time"))
        frames = {name: frame(cells, TABLES[name]) for name, cells in told.items()}
        return Moment(time, closes=closes, **frames)
    except (ValueError, TypeError, KeyError, AttributeError, pl.exceptions.PolarsError):
        found = line[:60].decode("utf-8", "replace")
        raise DataError(f"{found!r} is no moment that was fed; the log was changed") from None


def rows(frame: pl.DataFrame, columns: schema.Schema) -> list[tuple[Any, ...]]:
    """Return the cells of a frame, times as microseconds, levels as price, size, price, size ..."""
    cells = [
        _flat(frame[name])
        if dtype == _SIDE
        else (frame[name].to_physical() if dtype == schema.Time else frame[name]).to_list()
        for name, dtype in columns.items()
    ]
    return list(zip(*cells, strict=True))


def _flat(side: pl.Series) -> list[list[int] | None]:
    """Return the levels of each row as price, size, price, size ..., None where it is null."""
    count = side.list.len().fill_null(0).to_numpy().astype(np.int64)
    levels = side.filter(pl.Series(count > 0)).explode().struct
    both = (levels.field(name).cast(pl.Int64).to_numpy() for name in ("price", "size"))
    flat: list[int] = np.column_stack(tuple(both)).ravel().tolist()
    ends = np.cumsum(2 * count).tolist()
    return [
        None if none else flat[first:end]
        for none, first, end in zip(side.is_null(), [0, *ends], ends, strict=False)
    ]


def frame(cells: list[Any], columns: schema.Schema) -> pl.DataFrame:
    """Return the frame of cells that `rows` made."""
    plain = {
        name: pl.Int64() if dtype == schema.Time else pl.List(pl.Int64) if dtype == _SIDE else dtype
        for name, dtype in columns.items()
    }
    price = pl.element().gather_every(2).cast(schema.Price)
    levels = pl.struct(price=price, size=pl.element().gather_every(2, 1))
    sides = [pl.col(name).list.eval(levels) for name in columns if columns[name] == _SIDE]
    made = pl.DataFrame(cells, schema=plain, orient="row").with_columns(sides)
    return made.cast(dict(columns))  # type: ignore[arg-type]
