"""Prices of an underlying at one venue, as a stand-in for the index a market settles on.

The source of every row begins with "proxy:". A single venue is not the index: of 15-minute crypto
markets it names another winner in some 7 of 100, so it may condition a forecast, and never decide
a settlement. Rows are known at the end of their bar; a bar that has not ended is not stored.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt.data.kalshi.client import Client, Retry
from kalshi_bt.data.kalshi.download import DownloadReport
from kalshi_bt.data.kalshi.download_market import chunks
from kalshi_bt.data.kalshi.download_pages import Lost, Reader
from kalshi_bt.data.kalshi.download_rows import Piece, Sink, Span, covered, usable
from kalshi_bt.data.kalshi.limits import Limit
from kalshi_bt.data.kalshi.parse import Page, Unusable
from kalshi_bt.data.kalshi.parse_cells import EPOCH, UnreadableError, number, seconds
from kalshi_bt.data.kalshi.parse_routes import Route
from kalshi_bt.data.progress import OnProgress, Progress, silent
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

FIELDS = ("open", "high", "low", "close", "volume")
PUBLIC = Limit(rate=40, capacity=40)  # four requests a second

Asked = Callable[[str, datetime, datetime, timedelta], Route]


@dataclass(frozen=True)
class Venue:
    """A place where the underlying trades.

    Attributes
    ----------
    host : str
        Its public interface.
    clock : str
        A small answer below it.
    lengths : tuple of int
        Seconds its bars may have.
    most : int
        Bars of one answer.
    ask : callable
        From symbol, start, end and seconds to a question.
    rows : callable
        From an answer to its list of bars.
    places : tuple of int
        Where in a bar its start, open, high, low, close and volume stand.
    unit : int
        Of the start of a bar, in a second.
    forgets : bool
        Whether only the bars of one answer, the newest, can be had.
    """

    host: str
    clock: str
    lengths: tuple[int, ...]
    most: int
    ask: Asked
    rows: Callable[[Any], Any]
    places: tuple[int, int, int, int, int, int]
    unit: int = 1
    forgets: bool = False


def _coinbase(symbol: str, start: datetime, end: datetime, length: timedelta) -> Route:
    window: dict[str, str | int] = {"granularity": int(length.total_seconds())}
    window |= {"start": _iso(start), "end": _iso(end - length)}
    return Route(f"/products/{symbol}/candles", window)


def _kraken(symbol: str, start: datetime, _end: datetime, length: timedelta) -> Route:
    minutes = int(length.total_seconds()) // 60
    since = int(start.timestamp()) - 1
    return Route("/0/public/OHLC", {"pair": symbol, "interval": minutes, "since": since})


def _binance(symbol: str, start: datetime, end: datetime, length: timedelta) -> Route:
    return Route(
        "/api/v3/klines",
        {
            "symbol": symbol,
            "interval": "1s" if length == timedelta(seconds=1) else "1m",
            "startTime": int(start.timestamp()) * 1_000,
            "endTime": int(end.timestamp()) * 1_000 - 1,
            "limit": 1_000,
        },
    )


def _itself(payload: Any) -> Any:
    return payload


def _kraken_rows(payload: Any) -> Any:
    if not isinstance(payload, Mapping):
        return None
    if payload.get("error"):
        raise DataError(f"kraken answered with {payload['error']}; check the name of the pair")
    found = payload.get("result")
    if not isinstance(found, Mapping):
        return None
    return next((value for name, value in found.items() if name != "last"), None)


VENUES: Mapping[str, Venue] = {
    "coinbase": Venue(
        host="https://api.exchange.coinbase.com",
        clock="/time",
        lengths=(60,),
        most=300,
        ask=_coinbase,
        rows=_itself,
        places=(0, 3, 2, 1, 4, 5),
    ),
    "kraken": Venue(
        host="https://api.kraken.com",
        clock="/0/public/Time",
        lengths=(60,),
        most=720,
        ask=_kraken,
        rows=_kraken_rows,
        places=(0, 1, 2, 3, 4, 6),
        forgets=True,
    ),
    "binance": Venue(
        host="https://api.binance.com",
        clock="/api/v3/time",
        lengths=(60, 1),
        most=1_000,
        ask=_binance,
        rows=_itself,
        places=(0, 1, 2, 3, 4, 5),
        unit=1_000,
    ),
}


def download_spot(
    into: str | os.PathLike[str],
    *,
    venue: str,
    symbols: Sequence[str],
    start: datetime,
    end: datetime | None = None,
    seconds: int = 60,
    base_url: str | None = None,
    on_progress: OnProgress = silent,
    retry: Retry | None = None,
) -> DownloadReport:
    """Fetch the bars a dataset does not have yet into its references.

    Parameters
    ----------
    into : path
        The dataset; made if it is absent.
    venue : str
        coinbase, kraken or binance.
    symbols : sequence of str
        As the venue names them: BTC-USD, XBTUSD, BTCUSDT.
    start, end : datetime
        Bars with start < end of the bar <= end; None: up to now.
    seconds : int
        Length of a bar: 60, and 1 at binance.
    base_url : str, optional
        Another address that speaks the same.
    on_progress : callable
        Told how far it is.
    retry
        As of `Client`.

    Raises
    ------
    UsageError
        If an argument is not one of those.
    DataError
        If the venue does not answer, or answers in another format.
    """
    if venue not in VENUES:
        raise UsageError.unknown("venue", venue, VENUES)
    place = VENUES[venue]
    if seconds not in place.lengths:
        known = " and ".join(map(str, place.lengths))
        raise UsageError(f"{venue} has bars of {known} seconds, not of {seconds}")
    if not symbols or isinstance(symbols, str):
        raise UsageError(f"name the symbols to download from {venue}")
    if start.tzinfo is None or (end is not None and end.tzinfo is None):
        raise UsageError("start and end have no time zone; give them in UTC")
    name = os.fspath(into).rstrip("/").rpartition("/")[2] or "spot"
    with Client(base_url or place.host, root="", limit=PUBLIC, retry=retry) as client:
        client.get(place.clock)
        if client.time is None:
            raise DataError(f"{client.base_url} does not say what time it is (no Date)")
        sink = Sink(Store.create(into, name=name, exist_ok=True))
        length = timedelta(seconds=seconds)
        work = _Spot(Reader(client), sink, venue, place, length, on_progress)
        last = _whole(min(end or client.time, client.time), length)
        # The newest bar of an answer has not ended.
        kept = client.time - (place.most - 1) * length if place.forgets else start
        if kept > start:
            work.notes.append(f"{venue} keeps its newest {place.most} bars only, from {kept}")
        for symbol in symbols:
            work.fetch(symbol, _whole(max(start, kept), length), last)
        quarantined = {table: dict(why) for table, why in sink.quarantined.items()}
        return DownloadReport(sink.counts, quarantined, client.requests, (), tuple(work.notes))


@dataclass
class _Spot:
    """Bars of one venue on their way into a dataset."""

    reader: Reader
    sink: Sink
    name: str
    venue: Venue
    length: timedelta
    on_progress: OnProgress
    notes: list[str] = field(default_factory=list)

    def fetch(self, symbol: str, start: datetime, end: datetime) -> None:
        """Fetch what is missing of one symbol."""
        key = ("references", f"proxy:{self.name}:{symbol}", int(self.length.total_seconds()))
        span = covered(self.sink.store).get(key)
        windows = self._windows(start, end, span)
        for done, (low, high) in enumerate(windows):
            self.on_progress(Progress(symbol, done, len(windows), self.sink.rows))
            lost: list[Lost] = []
            frame = self._bars(symbol, low, high, lost)
            # What is known is one span: windows grow it at one of its ends.
            first = low if span is None or span.start is None else min(low, span.start)
            span = Span(first, high if span is None else max(high, span.end))
            self.sink.add(Piece({"references": frame}, {key: span}, lost))
        self.sink.flush()

    def _windows(
        self, start: datetime, end: datetime, span: Span | None
    ) -> list[tuple[datetime, datetime]]:
        step = self.length * self.venue.most
        if span is None or span.start is None:
            return chunks(start, end, step)
        return [*reversed(chunks(start, span.start, step)), *chunks(span.end, end, step)]

    def _bars(self, symbol: str, start: datetime, end: datetime, lost: list[Lost]) -> pl.DataFrame:
        """Return the bars of a window as rows of references."""
        route = self.venue.ask(symbol, start, end, self.length)
        page = self.reader.page("references", route, self._parsed, lost)
        rows = [] if page is None else page.rows
        wanted = [row for row in rows if start < row["time"] <= end]
        return bar_rows(wanted, f"proxy:{self.name}", symbol, str(route), lost)

    def _parsed(self, payload: Any) -> Page:
        """Read an answer: bars by the end of each."""
        items = self.venue.rows(payload)
        if not isinstance(items, list):
            raise DataError(f"an answer of {self.name} has no bars: it changed its format")
        page = Page(items=items)
        for place, item in enumerate(items):
            try:
                page.rows.append(self._bar(item))
                page.places.append(place)
            except UnreadableError as error:
                page.unusable.append(Unusable(place, error.reason, error.found))
        return page

    def _bar(self, item: Any) -> dict[str, Any]:
        at, *cells = self.venue.places
        if not isinstance(item, list) or len(item) <= max(self.venue.places):
            raise UnreadableError("null_value", f"a bar is {str(item)[:60]}")
        start = item[at] // self.venue.unit if isinstance(item[at], int) else item[at]
        time = seconds(start) + self.length
        return {"time": time} | {n: number(item[c]) for n, c in zip(FIELDS, cells, strict=True)}


def bar_rows(
    bars: Sequence[Mapping[str, Any]], source: str, symbol: str, told: str, lost: list[Lost]
) -> pl.DataFrame:
    """Return bars as rows of references, one for each of their values.

    Parameters
    ----------
    bars : sequence of mappings
        time (end of the bar, UTC), any of `FIELDS` (null where not known) and row, its place; by
        default that in the sequence.
    source, symbol : str
        Of all of them.
    told : str
        Where they come from, for what is set aside.
    lost : list of Lost
        Bars that cannot be used are added to it.

    Examples
    --------
    >>> from datetime import UTC
    >>> bar = {"time": datetime(2026, 1, 5, 12, 1, tzinfo=UTC), "close": 61000.5}
    >>> bar_rows([bar], "proxy:x", "BTC", "a.csv", []).select("field", "value").rows()
    [('close', 61000.5)]
    """
    rows, places = [], []
    for place, bar in enumerate(bars):
        for name in FIELDS:
            if bar.get(name) is not None:
                rows.append({"field": name, "time": bar["time"], "value": bar[name]})
                places.append(bar.get("row", place))
    names = {"source": pl.lit(source), "symbol": pl.lit(symbol)}
    return usable("references", rows, places, told, lost, names)


def _whole(time: datetime, length: timedelta) -> datetime:
    """Return the last end of a bar up to a time."""
    return time - (time - EPOCH) % length


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
