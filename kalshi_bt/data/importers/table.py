"""Tables of any layout, read through a small mapping the user writes in TOML.

A mapping has three kinds of parts::

    name = "weather"                  # what a new dataset is called; default: its folder's name
    note = "Hourly bars of two series."  # kept with the dataset and shown in reports

    [[series]]                        # fees, needed for every series of the imported markets
    series = "KXHIGHNY"               # or prefix = "KXHIGH", or prefix = "*" for all others
    category = "Climate and Weather"
    fee_type = "quadratic"            # or ..._with_maker_fees, ..._with_combo_maker_fees
    fee_multiplier = 1
    effective_from = 2025-07-01T00:00:00Z  # default: always; several entries make a history

    [[table]]                         # one for each file (or glob) and table it feeds
    into = "candles"     # | markets | settlements | determinations | trades | books | series
                         # | references
    source = "candles_*.parquet"      # parquet, CSV or JSON lines
    price_unit = "dollars"            # | cents | centi-cents
    quotes = "candle"
    [table.columns]                   # stored column = where its cells come from
    ticker = "market_ticker"
    time = { column = "end_ts", unit = "s" }
    period = { value = "1h" }

==================  ================================================================================
a column            meaning
==================  ================================================================================
``"name"``          the column of that name; the same as ``{ column = "name" }``
``value``           the same value in every row
``pattern``         group 1 of a regular expression: ``{ column = "ticker", pattern = "^([^-]+)" }``
``map``             a translation of words: ``{ column = "won", map = { 1 = "yes", 0 = "no" } }``
``unit``            of numbers of an epoch: s, ms, us, ns. Timestamps and ISO 8601 text need none
``zone``            of timestamps and texts that name none; without it they are refused. Of numbers
                    of an epoch: the clock that was counted as if it were UTC
``label``           of a bar: "end" (default), or "start": the period is added
``close_less``      the time is the market's close less this column, counted in ``unit``
``last_candle``     ``close_time = { last_candle = true }``: trading ended with the last bar
``join``            the texts of several columns, "|" between them: ``{ join = ["price", "side"] }``
``format``          of times in text: ``{ column = "day", format = "%y%b%d", zone = "UTC" }``
``plus``            a length of time that is added: ``plus = "16h"``
==================  ================================================================================

==================  ================================================================================
a table             meaning
==================  ================================================================================
``price_unit``      of all its prices; text, floats and decimals are read exactly
``quantity_unit``   contracts (default) or centi-contracts
``null``            the words that mean null; default: empty, NA, N/A, NaN, nan, null, None
``separator``       of CSV files, default a comma
``side``            a column that says yes or no: the prices of a row are those of that side
``bars``            of books and trades: the length of bars to make of them, such as "1m"
``silence``         of books: after so long without a row the book is not known until the next
``quotes``          what bid and ask are. "candle": open, high, low, close of the bar. "snapshot":
                    the close was seen, others may be; a missing open is the close, high and low
                    span what is known. "none": not recorded. Of books: "book" (default: every
                    change was recorded) or "snapshot" (the book was looked at now and then)
``empty_bid/_ask``  the bid and ask that mean an empty side; default 0 and 1 dollar
``no_trade``        ``{ column = "volume", equals = 0 }``: there the prices are null, not repeated
``settlement_lag``  from the close until the payout was known; default 24h. A column ``time`` wins
``price_ranges``    the price grid of its markets: a list of { start, end, step } in dollars
``derived``         markets (or settlements) taken from a file of something else: one row a ticker,
                    and markets only where no more is known of them already
``skip_unknown``    rows of markets that are not imported are skipped, not put in quarantine
==================  ================================================================================

A file of determinations says what was known of results before they were paid: ticker, time (when it
was known, such as that of the request), status and payout. The exchange's own words for the status
are read; markets without a result are skipped, and so is what only repeats what is known. Only
settlements pay.

A file of books has the columns ticker, time, bid and ask, and bid_size and ask_size where known.
Rows that cannot be used go into the quarantine with the file, their number in it (from 0), the
reason and what stood there; `kalshi_bt.data.validate.REASONS` explains the reasons. A settlement
without a result is an open market and is skipped. Importing again updates rows by their key.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.importers.account import ImportReport, TableReport
from kalshi_bt.data.importers.cells import RAW, read_cells
from kalshi_bt.data.importers.made import holes, made_bars
from kalshi_bt.data.importers.mapping import PRICES, Entry, read_mapping
from kalshi_bt.data.importers.mapping import Mapping as Rules
from kalshi_bt.data.importers.rows import finish, unsettled
from kalshi_bt.data.importers.sources import ROW, TRADELESS, Source, match, read_source
from kalshi_bt.data.lifecycle import corrections, sift_steps
from kalshi_bt.data.manifest import MANIFEST
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.data.validate import checks, duplicates, sift, unknown_ticker
from kalshi_bt.errors import DataError
from kalshi_bt.units import SECOND, parse_duration

__all__ = ["ImportReport", "TableReport", "import_tables"]

_ORDER = (
    *("series", "markets", "books", "trades", "candles", "references"),
    *("settlements", "determinations"),
)
_OF_MARKETS = ("books", "trades", "candles", "settlements", "determinations")
_MADE = "bars made of books and trades"  # where a report would name a file
_SOURCE = "source file"


def import_tables(
    mapping: Path, sources: Sequence[Path], into: Path, *, bar_seconds: int | None = None
) -> ImportReport:
    r"""Read outside tables into a dataset, all or nothing, and return what became of the rows.

    Parameters
    ----------
    mapping : Path
        A TOML file in the language above.
    sources : sequence of Path
        Files, or folders that hold them.
    into : Path
        The dataset's folder; made if it is absent or empty.
    bar_seconds : int, optional
        Length of the bars made of books and trades, instead of what the mapping says in ``bars``.

    Raises
    ------
    DataError
        If the mapping is wrong, a file cannot be used as a whole, a series has no fees, or the
        dataset cannot be written. Nothing is stored then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> text = '''
    ... [[table]]
    ... into = "references"
    ... source = "index.csv"
    ... columns = { source = { value = "x" }, symbol = "coin", time = "at", value = "price" }
    ... '''
    >>> with TemporaryDirectory() as folder:
    ...     files = [Path(folder, "rules.toml"), Path(folder, "index.csv")]
    ...     _ = files[0].write_text(text)
    ...     _ = files[1].write_text("coin,at,price\nBTC,2026-01-05T12:00:00Z,61000.5\n")
    ...     report = import_tables(files[0], files[1:], Path(folder, "dataset"))
    >>> report.tables["references"].added
    1
    """
    rules = read_mapping(mapping)
    found = match(rules, mapping.name, sources)
    work = _Import(rules, mapping.name, Store.open(into) if (into / MANIFEST).exists() else None)
    for table in _ORDER:
        chosen = [source for source in found if source.entry.into == table]
        for source in sorted(chosen, key=lambda source: source.entry.derived):
            work.add(source)
        if table == "candles":
            work.make_bars([source.entry for source in found], bar_seconds)
        if table in work.parts:
            work.close(table)
    work.add_series()
    work.add_quarantine()
    store = Store.create(into, name=rules.name or into.resolve().name, exist_ok=True)
    counts = store.commit(work.tables, drop={"quarantine": work.replaced()}, note=rules.note)
    return work.report(counts, store.fingerprint())


@dataclass
class _Import:
    """Rows on their way into a dataset."""

    rules: Rules
    name: str
    stored: Store | None
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    parts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    files: set[tuple[str, str]] = field(default_factory=set)
    read: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, Counter[str]] = field(default_factory=dict)
    unusable: list[pl.DataFrame] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    silences: dict[str, int] = field(default_factory=dict)

    def add(self, source: Source) -> None:
        """Read one file and keep its usable rows."""
        entry, table = source.entry, source.entry.into
        frame = read_source(source)
        if TRADELESS in frame.columns:
            prices = pl.col([RAW + name for name in PRICES if name in entry.columns])
            traded = ~pl.col(TRADELESS).fill_null(False)
            frame = frame.with_columns(pl.when(traded).then(prices).name.keep())
        if entry.derived:
            frame = frame.unique(RAW + "ticker", keep="first", maintain_order=True)
        self.read[table] += frame.height
        self.files.add((table, source.name))
        frame, asked = read_cells(frame, entry, source.name)
        frame, more = finish(frame, entry, self.known)
        frame = self._skip(frame, entry)
        if table in _OF_MARKETS:
            more.insert(0, unknown_ticker(self.known("markets", "ticker")["ticker"]))
        good, bad = sift(frame, [*asked, *more, *checks(table)])
        self._set_aside(table, bad.with_columns(pl.lit(source.name).alias(_SOURCE)))
        if frame.height and good.is_empty():
            why = ", ".join(sorted(set(bad["reason"])))
            self.warnings.append(f"no row of {source.name} is usable for {table} ({why})")
        typed = [pl.col(name).cast(dtype) for name, dtype in schema.STORED[table].columns.items()]
        rows = good.select(ROW, pl.lit(source.name).alias(_SOURCE), *typed)
        self.parts.setdefault(table, []).append(rows)
        if entry.silence is not None:
            self.silences[source.name] = parse_duration(entry.silence)

    def make_bars(self, entries: Sequence[Entry], seconds: int | None) -> None:
        """Make bars of the books and trades read, where the mapping asks for them."""
        wanted = [entry for entry in entries if entry.into in {"books", "trades"}]
        lengths = {parse_duration(e.bars) // SECOND for e in wanted if e.bars is not None}
        chosen = lengths if seconds is None or not wanted else {seconds}
        books, trades = self.tables.get("books"), self.tables.get("trades")
        polled = any(entry.quotes == "snapshot" for entry in wanted)
        for length in sorted(chosen):
            told = self.parts.setdefault("candles", [])
            made = made_bars(length, books, trades, polled=polled)
            key = list(schema.CANDLES.key)
            new = made.join(pl.concat(told), on=key, how="anti") if told else made
            self.read["candles"] += made.height
            if new.height < made.height:
                skipped = self.skipped.setdefault("candles", Counter())
                skipped["known"] += made.height - new.height
            rows = new.with_row_index(ROW).with_columns(pl.lit(_MADE).alias(_SOURCE))
            told.append(rows.select(ROW, _SOURCE, *schema.CANDLES.columns))

    def close(self, table: str) -> None:
        """Keep the first of the rows with the same key; the table is complete then."""
        rows, declared = pl.concat(self.parts[table]), schema.STORED[table]
        if rows.n_unique(subset=list(declared.key)) < rows.height:
            rows, bad = sift(rows, duplicates(table, list(declared.columns)))
            self._set_aside(table, bad)
        if table == "determinations":
            rows = self._steps(rows)
        self.parts[table] = [rows]
        self.tables[table] = rows.select(*declared.columns)
        if table == "books":
            opened = holes(rows, _SOURCE, self.silences)
            self.read["books"] += opened.height
            self.tables["books"] = pl.concat([self.tables["books"], opened]).sort(declared.key)
        if table == "candles":
            self._note_late_bars(self.tables[table])

    def known(self, table: str, *names: str) -> pl.DataFrame:
        """Return columns of the rows read so far and of those stored."""
        parts = [part.select(names) for part in self.parts.get(table, ())]
        if self.stored is not None:
            parts.append(self.stored.read(table, names))
        return pl.concat([*parts, schema.STORED[table].empty().select(names)])

    def add_series(self) -> None:
        """Add the fees of every series of the markets read; each must have some."""
        listed = self.tables.get("series", schema.SERIES.empty())
        given = set(self.known("series", "series")["series"])
        needed = set(self.tables.get("markets", schema.MARKETS.empty())["series"])
        rows, usual = [], 0
        for name in sorted(needed - set(listed["series"])):
            closest = max((entry.fit(name) for entry in self.rules.series), default=0)
            chosen = [entry for entry in self.rules.series if entry.fit(name) == closest > 0]
            if not chosen and name not in given:
                raise DataError(
                    f"mapping {self.name}: no [[series]] gives the fees of {name}; add one with "
                    f"series = {name!r}, or with prefix = '*' for all that are not named"
                )
            usual += closest == 1
            rows += [(name, e.effective_from, e.category, e.fee_type, e.rate) for e in chosen]
        if rows:
            names = ("series", "effective_from", "category", "fee_type", "fee_multiplier")
            types = {name: schema.SERIES.columns[name] for name in names}
            new = schema.SERIES.filled(pl.DataFrame(rows, schema=types, orient="row"))
            self.tables["series"] = pl.concat([listed, new])
            self.read["series"] += new.height
        if usual:
            self.warnings.append(f"{usual:,} series have the fees of prefix = '*'")

    def add_quarantine(self) -> None:
        """Add what is known of the unusable rows."""
        declared = schema.QUARANTINE
        rows = pl.concat([declared.empty(), *self.unusable])
        self.tables["quarantine"] = rows.unique(declared.key, keep="first", maintain_order=True)

    def replaced(self) -> pl.DataFrame:
        """Return the (table, source) pairs whose earlier rows in quarantine are out of date."""
        kinds = {"table": pl.String, "source": pl.String}
        return pl.DataFrame(sorted(self.files), schema=kinds, orient="row")

    def report(self, counts: Mapping[str, Counts], fingerprint: str) -> ImportReport:
        """Return the account of all rows."""
        lost: dict[str, Counter[str]] = {}
        for bad in self.unusable:
            for table, reason in bad.select("table", "reason").iter_rows():
                lost.setdefault(table, Counter())[reason] += 1
        tables = {}
        for name in _ORDER:
            if name in counts:
                done = counts[name]
                skipped = dict(sorted(self.skipped.get(name, Counter()).items()))
                unusable = dict(sorted(lost.get(name, Counter()).items()))
                tables[name] = TableReport(
                    self.read[name], done.added, done.updated, done.unchanged, skipped, unusable
                )
        warnings = (*self.warnings, *corrections(counts))
        return ImportReport(tables, warnings, fingerprint)

    def _skip(self, frame: pl.DataFrame, entry: Entry) -> pl.DataFrame:
        """Leave out, and count, rows that nobody wants."""
        unwanted = unsettled(entry)
        derived = entry.derived and entry.into == "markets"
        if derived or entry.skip_unknown:
            tickers = (
                self._described(entry) if derived else self.known("markets", "ticker")["ticker"]
            )
            found = pl.col("ticker").is_in(tickers.unique().implode())
            unwanted |= {"known": found} if derived else {"unknown_ticker": ~found}
        for reason, fails in unwanted.items():
            kept = frame.filter(~fails.fill_null(False))
            if kept.height < frame.height:
                counter = self.skipped.setdefault(entry.into, Counter())
                counter[reason] += frame.height - kept.height
            frame = kept
        return frame

    def _steps(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Leave out what is known already of results; set aside what cannot follow on it."""
        found = sift_steps(rows, self.known("determinations", *schema.DETERMINATIONS.columns))
        self._set_aside("determinations", found.bad)
        if found.repeated:
            self.skipped.setdefault("determinations", Counter())["known"] += found.repeated
        return found.good

    def _described(self, entry: Entry) -> pl.Series:
        """Return the markets that are known by more than what this entry derives.

        A stored market of which nothing else is known was derived before; it is derived anew, so
        that a corrected mapping corrects it.
        """
        read = [part["ticker"] for part in self.parts.get("markets", ())]
        if self.stored is not None:
            own = {*entry.columns, "ticker", "price_ranges"}
            others = [pl.col(n).is_not_null() for n in schema.MARKETS.columns if n not in own]
            more = pl.any_horizontal(others) if others else pl.lit(False)
            read.append(self.stored.read("markets").filter(more)["ticker"])
        return pl.concat([schema.MARKETS.empty()["ticker"], *read])

    def _set_aside(self, table: str, bad: pl.DataFrame) -> None:
        """Put rows into the quarantine."""
        columns = schema.QUARANTINE.columns.items()
        rows = bad.select(
            pl.lit(table).alias("table"),
            pl.col(_SOURCE).alias("source"),
            pl.col(ROW).alias("row"),
            "reason",
            "found",
        )
        self.unusable.append(rows.select(pl.col(n).cast(t) for n, t in columns))

    def _note_late_bars(self, candles: pl.DataFrame) -> None:
        """Warn of bars that lie wholly after the scheduled close of their market."""
        closes = self.known("markets", "ticker", "close_time").unique("ticker", keep="first")
        start = pl.col("time") - pl.duration(seconds="period")
        late = candles.join(closes, on="ticker").filter(start >= pl.col("close_time")).height
        if late:
            self.warnings.append(f"{late:,} candles begin at or after their market's close")
