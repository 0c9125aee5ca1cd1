"""From the exchange into a dataset: series and fees, markets and how they ended, bars and trades.

A run asks for what the dataset's `coverage` does not have: new markets and those that may have
changed, and of each market the time that is missing. Rows and what they cover are committed
together, some dozens of answers at a time, so that a run that is killed goes on where it was. What
is settled and complete is never asked for again.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import polars as pl

from kalshi_bt.data.kalshi import parse, parse_routes
from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import HOSTS, Client, Retry
from kalshi_bt.data.kalshi.download_fees import fees, own_fees
from kalshi_bt.data.kalshi.download_listing import (
    PAID_AFTER,
    Listing,
    Wanted,
    determination_rows,
    listing,
    market_rows,
)
from kalshi_bt.data.kalshi.download_market import Market, Task, candles, trades
from kalshi_bt.data.kalshi.download_pages import Reader
from kalshi_bt.data.kalshi.download_pool import parallel
from kalshi_bt.data.kalshi.download_rows import Piece, Sink, Span, covered
from kalshi_bt.data.kalshi.limits import BASIC
from kalshi_bt.data.lifecycle import corrections
from kalshi_bt.data.progress import OnProgress, Progress, silent
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.errors import DataError, UsageError

WHAT = ("series", "markets", "candles", "trades")
PERIODS = (60, 3_600, 86_400)
HOURS = int(PAID_AFTER.total_seconds()) // 3_600


@dataclass(frozen=True)
class DownloadReport:
    """What a download did.

    Attributes
    ----------
    tables : mapping of table name to Counts
        Rows added, updated and met again unchanged.
    quarantined : mapping of table name to mapping of reason to int
        Rows that were set aside.
    requests : int
        Questions asked, those asked again included.
    unknown_fields : tuple of str
        Fields the exchange sent that this package does not know, as object.field.
    warnings : tuple of str
        What a user should look at; one line each.
    """

    tables: Mapping[str, Counts]
    quarantined: Mapping[str, Mapping[str, int]]
    requests: int
    unknown_fields: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def download(
    into: str | os.PathLike[str],
    *,
    series: Sequence[str],
    start: datetime | None = None,
    end: datetime | None = None,
    what: Sequence[str] = WHAT,
    period: int = 60,
    env: str = "prod",
    base_url: str | None = None,
    credentials: Credentials | None = None,
    concurrency: int = 8,
    on_progress: OnProgress = silent,
    combos: bool = False,
    retry: Retry | None = None,
    timeout: float = 30.0,
) -> DownloadReport:
    """Fetch what a dataset does not have yet of some series, and return what became of it.

    Parameters
    ----------
    into : path
        The dataset; made if it is absent.
    series : sequence of str
        Series as the exchange names them.
    start, end : datetime, optional
        Rows with start < time <= end, of markets that traded in between; without them from the
        first there is, and to the last.
    what : sequence of str
        Any of `WHAT`. Markets and how they ended come with candles and trades in any case.
    period : int
        Seconds of a bar, one of `PERIODS`.
    env : str
        prod or demo.
    base_url : str, optional
        Another exchange that speaks the same.
    credentials : Credentials, optional
        Signs every request; the limits of the account are read then.
    concurrency : int
        At most this many requests are under way at once.
    on_progress : callable
        Told how far it is.
    combos : bool
        Whether markets made of several others are fetched too.
    retry, timeout
        As of `Client`.

    Raises
    ------
    UsageError
        If an argument is not one of those.
    DataError
        If the exchange does not answer, answers in another format, or the dataset cannot be
        written. What was committed before stays.
    """
    _check(series, what, period, env, start, end, concurrency)
    client = Client(
        base_url or HOSTS[env],
        credentials=credentials,
        connections=concurrency,
        timeout=timeout,
        retry=retry,
    )
    with client:
        wanted = _wanted(client, start, end, combos=combos)
        name = os.fspath(into).rstrip("/").rpartition("/")[2] or "kalshi"
        sink = Sink(Store.create(into, name=name, exist_ok=True))
        run = _Run(Reader(client), sink, wanted, tuple(what), period, concurrency, on_progress)
        run.fetch(sorted(set(series)))
        return run.report()


def _check(
    series: Sequence[str],
    what: Sequence[str],
    period: int,
    env: str,
    start: datetime | None,
    end: datetime | None,
    concurrency: int,
) -> None:
    if isinstance(series, str) or not series or not all(series):
        raise UsageError("name the series to download, such as KXHIGHNY")
    for word in what:
        if word not in WHAT:
            raise UsageError.unknown("kind of data", word, WHAT)
    if period not in PERIODS:
        raise UsageError(f"the exchange has bars of 1m, 1h and 1d, not of {period} seconds")
    if env not in HOSTS:
        raise UsageError.unknown("environment", env, HOSTS)
    if concurrency < 1:
        raise UsageError(f"concurrency is {concurrency}; at least one request must be under way")
    for time in (start, end):
        if time is not None and time.tzinfo is None:
            raise UsageError(f"{time} has no time zone; give it in UTC")
    if start is not None and end is not None and start >= end:
        raise UsageError(f"the download ends at {end}, not after its start {start}")


def _wanted(
    client: Client, start: datetime | None, end: datetime | None, *, combos: bool
) -> Wanted:
    """Return what to fetch, with the exchange's time, tiers and limits."""
    if client.signed:
        client.bucket.set(parse.read_limit(client.get(parse_routes.ACCOUNT)) or BASIC)
    markets, trades = parse.cutoff(client.get(parse_routes.CUTOFF))
    if client.time is None:
        raise DataError(f"{client.base_url} does not say what time it is (no Date in its answers)")
    return Wanted(start, end, client.time, markets, trades, combos)


@dataclass
class _Run:
    """One download on its way."""

    reader: Reader
    sink: Sink
    wanted: Wanted
    what: tuple[str, ...]
    period: int
    concurrency: int
    on_progress: OnProgress
    notes: list[str] = field(default_factory=list)

    def fetch(self, names: list[str]) -> None:
        """Fetch everything of some series."""
        if "series" in self.what:
            piece, notes = fees(self.reader, names, self.wanted.now)
            self.sink.add(piece)
            self.notes += notes
        if {"markets", "candles", "trades"} & set(self.what):
            for done, name in enumerate(names):
                self.on_progress(Progress("series", done, len(names), self.sink.rows))
                self._series(name)
                self.on_progress(Progress("series", done + 1, len(names), self.sink.rows))
        self.sink.flush()

    def report(self) -> DownloadReport:
        """Return the account of the run."""
        reader, sink = self.reader, self.sink
        self.notes += corrections(sink.counts)
        blocks = reader.skipped["trades"]
        if blocks:
            self.notes.append(f"{blocks:,} block trades are left out: they print off the book")
        if reader.unknown:
            names = ", ".join(sorted(reader.unknown))
            self.notes.append(f"the exchange sends fields that are not known here: {names}")
        return DownloadReport(
            dict(sorted(sink.counts.items())),
            {name: dict(sorted(why.items())) for name, why in sorted(sink.quarantined.items())},
            reader.client.requests,
            tuple(sorted(reader.unknown)),
            tuple(self.notes),
        )

    def _series(self, name: str) -> None:
        """Fetch the markets of a series, then their bars and trades."""
        store = self.sink.store
        known = covered(store)
        span = known.get(self._listed(name))
        found = listing(self.reader, name, self.wanted, span, self._stored(name))
        self._list(name, found, span)
        self._note_fees(name)
        tasks = list(self._tasks(name, found, known))
        self._work(name, tasks)

    def _listed(self, name: str) -> tuple[str, str, int]:
        """Return the key of what is covered of the markets of a series."""
        return "markets", f"{name} and combos" if self.wanted.combos else name, 0

    def _stored(self, name: str) -> pl.DataFrame:
        """Return the stored markets of a series and how they ended."""
        store, mine = self.sink.store, pl.col("series") == name
        ends = store.read("settlements", ["ticker", "time", "close_time"])
        columns = ("ticker", "event", "mutually_exclusive", "open_time", "close_time")
        return (
            store.scan("markets")
            .filter(mine)
            .select(columns)
            .join(ends.lazy(), on="ticker", how="left", suffix="_really")
            .with_columns(settled=pl.col("time").is_not_null())
            .collect()
            .sort("ticker")
        )

    def _list(self, name: str, found: Listing, span: Span | None) -> None:
        """Commit the markets and settlements of a series."""
        lost = list(found.lost)
        markets, settlements = market_rows(name, found, self._stored(name), lost)
        known_results = self.sink.store.read("determinations")
        said = determination_rows(name, found, known_results, lost)
        tables = {"markets": markets, "settlements": settlements, "determinations": said}
        overridden = [e for e in found.events.values() if e["fee_type"] is not None]
        if overridden and "series" in self.what:
            logged = self.sink.store.read("event_fees")
            tables["event_fees"] = own_fees(overridden, logged)
        end = found.newest() or (span.end if span else None)
        known = {}
        if end is not None:
            end = min(end, self.wanted.now, self.wanted.end or self.wanted.now)
            start = self.wanted.start
            if span is not None:
                start = span.start if span.reaches(start) else start
                end = max(end, span.end)
            known[self._listed(name)] = Span(start, end)
        paid = [row for row in found.rows.values() if row["status"] in parse.PAID]
        undated = sum(row["settled_time"] is None for row in paid)
        if undated:
            self.notes.append(
                f"{undated:,} markets of {name} do not say when they paid: {HOURS} hours after the "
                "close are taken"
            )
        self.sink.add(Piece(tables, known, lost))
        self.sink.flush()

    def _note_fees(self, name: str) -> None:
        """Warn of markets that opened before the first fee that is known."""
        mine = self.sink.store.read("series").filter(pl.col("series") == name)
        first = mine["effective_from"].min()
        if not isinstance(first, datetime):
            return
        opens = self._stored(name).filter(pl.col("open_time") < first).height
        if opens:
            self.notes.append(
                f"{opens:,} markets of {name} opened before {first:%Y-%m-%d %H:%M} UTC, the first "
                "time for which the exchange tells its fees"
            )

    def _tasks(
        self, name: str, found: Listing, known: Mapping[tuple[str, str, int], Span]
    ) -> Iterator[Callable[[], Iterator[Piece]]]:
        """Yield what is missing of each market, newest last."""
        gone = 0
        makers = [(candles, "candles", self.period), (trades, "trades", 0)]
        for row in self._stored(name).iter_rows(named=True):
            told = found.rows.get(row["ticker"])
            gone += told is None and row["time"] is None
            closes = told["close_time"] if told else row["close_time"]
            closes = row["close_time_really"] or closes
            market = Market(row["ticker"], name, row["open_time"], closes, row["time"])
            for make, table, period in makers:
                key = (table, market.ticker, period)
                task = Task(market, self.wanted, period, known.get(key))
                if table in self.what and task.gaps():
                    yield partial(make, self.reader, task)
        if gone:
            self.notes.append(f"{gone:,} unsettled markets of {name} are gone from the exchange")

    def _work(self, name: str, tasks: list[Callable[[], Iterator[Piece]]]) -> None:
        """Do the tasks, and commit what they bring, also when they are broken off."""
        if not tasks:
            return
        try:
            for piece, done in parallel(tasks, self.concurrency, self.reader.client.stop):
                if piece is not None:
                    self.sink.add(piece)
                self.on_progress(Progress(name, done, len(tasks), self.sink.rows))
        finally:
            self.sink.flush()
