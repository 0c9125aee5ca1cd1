"""Raw WebSocket recordings: books at every change, bars of any length, trades, markets, results.

Sources are folders or files of messages (see `ws_lines` for the shapes) and JSON documents of the
exchange beside them (events, markets, trades, candlesticks, series). Known-at times are receive
times. What happens to a recording's flaws:

- A missing number of a subscription loses its books: a row of BOOKS without sides opens a hole
  right after the last message before it, the next snapshot ends it. A number that falls begins a
  new connection and loses every book; so does what whoever recorded noted as lost (``feed_lost``);
  books that it was too slow for (see `ws_lines.heard`) are left out and counted.
- A size below nothing, a crossed book or a message about a book that cannot be read lose that book.
- Unknown types are counted; a message that cannot be read goes into the quarantine; the cut last
  line of a file is forgiven and counted.
- Several changes of a book within one receive time leave one row: the last state.
- Trades of one receive time are a microsecond apart, in the order in which they came.
- Answers that were asked for (polls) keep the exchange's time of their trades, and bars of polled
  books have ``quote_source`` snapshot: what happened between two polls was not seen.
- A result pays when a message says that it was settled; what was determined before, and determined
  anew with another payout, is kept in `determinations`.
- Where only ticker messages were recorded, the best prices make a book of one level a side.
- What a paper session recorded comes out as it saw it (see `ws_sittings`): a bar that it closed
  stands, whatever was noticed later, while it did not run there are no bars, and what came to one
  that ended before it acted on anything is left out.

Books are gathered in memory: some 250 bytes for a row of ten levels a side.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import polars as pl

from kalshi_bt.data.books import bars
from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.account import ImportReport, TableReport
from kalshi_bt.data.importers.made import looked_at
from kalshi_bt.data.importers.ws_intake import Intake
from kalshi_bt.data.importers.ws_lines import Flaw, Recording, recordings
from kalshi_bt.data.importers.ws_markets import Registry
from kalshi_bt.data.importers.ws_shelf import first, unknown
from kalshi_bt.data.importers.ws_sittings import handed, is_resumed, sittings
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.data.lifecycle import corrections, sift_steps
from kalshi_bt.data.progress import OnProgress, Progress, silent
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import checks, sift
from kalshi_bt.errors import UsageError
from kalshi_bt.schema import BOOKS, CANDLES, QUARANTINE, STORED, TRADES, Schema, Time
from kalshi_bt.units import SECOND

_EVERY = 50_000  # messages between two words on the progress


def import_ws(
    sources: Sequence[Path],
    into: Path,
    *,
    bar_seconds: int = 60,
    depth: int = 10,
    on_progress: OnProgress = silent,
) -> ImportReport:
    """Read recordings into a dataset, all or nothing, and return what became of the messages.

    Parameters
    ----------
    sources : sequence of Path
        Files or folders of messages and of JSON documents.
    into : Path
        The dataset's folder; made if it is absent or empty.
    bar_seconds : int
        Length of the bars that are made of books and trades.
    depth : int
        Levels of each side of a book that are kept.
    on_progress : callable
        Told how far the import is.

    Raises
    ------
    DataError
        If a source cannot be read or the dataset cannot be written. Nothing is stored then.
    UsageError
        If a bar has no length or a book no depth.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> line = (
    ...     '{"recv_ms": 1767614400000, "event": {"type": "orderbook_snapshot", "sid": 1, '
    ...     '"seq": 1, "msg": {"market_ticker": "S-E-A", "yes_dollars_fp": [["0.4500", "10.00"]]}}}'
    ... )
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "frames.jsonl").write_text(line)
    ...     report = import_ws([Path(folder, "frames.jsonl")], Path(folder, "dataset"))
    >>> report.tables["books"].added
    1
    """
    if bar_seconds <= 0 or depth <= 0:
        raise UsageError(f"bars of {bar_seconds} s, {depth} levels: give at least 1 of both")
    found, documents = recordings(sources)
    work = _Work(bar_seconds, depth, on_progress)
    for path, name in documents:
        work.registry.document(path, name)
    for number, recording in enumerate(found):
        work.fold(recording, number, len(found))
    return work.commit(into)


@dataclass
class _Work:
    """Everything on its way into the dataset."""

    bar_seconds: int
    depth: int
    on_progress: OnProgress
    registry: Registry = field(default_factory=Registry)
    books: list[pl.DataFrame] = field(default_factory=list)
    trades: list[pl.DataFrame] = field(default_factory=list)
    candles: list[pl.DataFrame] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    flaws: list[tuple[str, str, int, str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    rows: int = 0
    uncheckable: int = 0

    def fold(self, recording: Recording, number: int, total: int) -> None:
        """Fold one recording and keep its rows."""
        self.names |= set(recording.names)
        cut = recording.cut()
        self.uncheckable += cut
        for sitting in sittings(recording, self._flawed, self.counts):
            if sitting.vain:
                self.counts["vain"] += sum(1 for _ in sitting.lines)
                continue
            fold = Fold(whole=not cut)
            intake = Intake(fold, self.registry, self.depth)
            for line in sitting.lines:
                paid, acted = handed(line.frame)
                if sitting.acting and not is_resumed(line.frame):  # bars that ended stand
                    length = self.bar_seconds * SECOND
                    intake.stand(max(acted, ((line.time or 1) - 1) // length * length))
                intake.take(line)
                self.registry.paid(paid, acted)
                self.rows += 1
                if self.rows % _EVERY == 0:
                    self.on_progress(Progress("messages", number, total, self.rows))
            self._keep(intake, cut=cut, acting=sitting.acting)
            for name, count in fold.counts.items():
                if name != "rebased" or not intake.polled:  # polls are expected to differ
                    self.counts[name] += count
        self.on_progress(Progress("messages", number + 1, total, self.rows))

    def _flawed(self, flaw: Flaw) -> None:
        if flaw.torn:
            self.counts["torn"] += 1
        else:
            self.counts["unreadable"] += 1
            self.flaws.append(("books", flaw.source, flaw.row, "unreadable_line", flaw.found))

    def commit(self, into: Path) -> ImportReport:
        """Store all and return the account."""
        store = Store.create(into, name=into.resolve().name, exist_ok=True)
        given, skipped = self._tables(store)
        lost = self._quarantine()
        pairs = sorted({(table, name) for table in STORED for name in self.names})
        drop = pl.DataFrame(pairs, schema={"table": pl.String, "source": pl.String}, orient="row")
        counts = store.commit({**given, "quarantine": lost}, drop={"quarantine": drop})
        reasons: dict[str, Counter[str]] = {}
        for table, reason in lost.select("table", "reason").iter_rows():
            reasons.setdefault(table, Counter())[reason] += 1
        report = {}
        for name in STORED:
            if name == "quarantine" or not (name in given or reasons.get(name)):
                continue
            done, bad = counts.get(name), reasons.get(name, Counter())
            stored = (done.added, done.updated, done.unchanged) if done else (0, 0, 0)
            left = skipped.get(name, Counter())
            read = sum(stored) + left.total() + bad.total()
            report[name] = TableReport(
                read, *stored, dict(sorted(left.items())), dict(sorted(bad.items()))
            )
        self.counts += Counter({"messages": self.rows})
        warnings = (*self._warnings(), *corrections(counts))
        messages = dict(sorted(self.counts.items()))
        return ImportReport(report, warnings, store.fingerprint(), messages)

    def _tables(self, store: Store) -> tuple[dict[str, pl.DataFrame], dict[str, Counter[str]]]:
        """Return what is to be stored, and what is left out because it is known."""
        skipped = {name: Counter(c) for name, c in self.registry.skipped.items()}
        trades = first([TRADES.empty(), *self.trades, self.registry.trades()], "trades")
        trades, known = unknown(trades, store)
        again = known + self.counts["trade_repeated"]
        if again:
            skipped.setdefault("trades", Counter())["known"] += again
        books = first([BOOKS.empty(), *self.books], "books")
        candles = first([CANDLES.empty(), *self.candles, self.registry.candles()], "candles")
        tickers = pl.concat([f["ticker"].unique() for f in (books, trades, candles)]).to_list()
        markets, others = self.registry.markets(tickers)
        markets = pl.concat([markets, others.join(store.read("markets"), on="ticker", how="anti")])
        known_series = set(store.read("series", ["series"])["series"])
        series, assumed = self.registry.series(set(markets["series"]) - known_series)
        if assumed:
            self.counts["series_assumed"] += len(assumed)
        given = {
            "series": series,
            "event_fees": self.registry.event_fees(),
            "markets": markets.sort("ticker"),
            "settlements": self.registry.settlements(),
            "candles": candles,
            "trades": trades,
            "books": books,
        }
        for name, frame in given.items():
            given[name] = self._sound(name, *sift(frame, checks(name)))
        said = self.registry.determinations()
        said = self._sound("determinations", *sift(said, checks("determinations")))
        steps = sift_steps(said, store.read("determinations"))
        given["determinations"] = self._sound("determinations", steps.good, steps.bad)
        if steps.repeated:
            skipped.setdefault("determinations", Counter())["known"] += steps.repeated
        return {name: frame for name, frame in given.items() if frame.height}, skipped

    def _sound(self, name: str, good: pl.DataFrame, bad: pl.DataFrame) -> pl.DataFrame:
        """Return the good rows of a table, and note the flaws of the others."""
        where = pl.concat_str(STORED[name].key[0]).alias("source")
        found = bad.select(where, "reason", "found").iter_rows()
        self.flaws += [(name, source, row, *flaw) for row, (source, *flaw) in enumerate(found)]
        return good

    def _quarantine(self) -> pl.DataFrame:
        rows = [*self.flaws, *self.registry.flaws]
        frame = pl.DataFrame(rows, schema=QUARANTINE.columns, orient="row")
        return frame.unique(QUARANTINE.key, keep="first").sort(QUARANTINE.key)

    def _warnings(self) -> list[str]:
        said = {
            "gap": "gaps in a subscription's numbers: its books are not known until a snapshot",
            "restart": "new connections: no book is known until a snapshot",
            "impossible": "changes would leave less than nothing: the book is dropped",
            "crossed": "books crossed: they are dropped",
            "before_snapshot": "changes of a book that is not known",
            "feed_lost": "times whoever recorded lost books: they are not known until a snapshot",
            "shed": "messages of books that whoever recorded was too slow for: left out",
            "rebased": "snapshots differ from the book they replace",
            "torn": "files end in the middle of a line",
            "vain": "messages came to a session that ended before it acted on any: left out",
            "back": "messages have an earlier receive time than the one before; moved up to it",
            "series_assumed": "series are taken to have the usual fees (quadratic, 1)",
        }
        found = [f"{self.counts[n]:,} {words}" for n, words in said.items() if self.counts[n]]
        found += [
            f"{count:,} messages of the unknown type {name.removeprefix('unknown:')!r}"
            for name, count in sorted(self.counts.items())
            if name.startswith("unknown:")
        ]
        if self.uncheckable:
            found.append(
                f"{self.uncheckable:,} recordings are cut by market: lost messages can be told "
                "only where a subscription's numbers fall"
            )
        return found

    def _keep(self, intake: Intake, *, cut: bool, acting: bool) -> None:
        """Keep the rows of a sitting and its bars."""
        books, trades, stated = intake.taken()
        self.books.append(books)
        self.trades.append(trades)
        made = bars(
            self.bar_seconds,
            books=books,
            trades=trades if intake.trading else None,
            interest=stated,
            until=self._until(intake, cut=cut),
        )
        if acting:  # whoever trades on books has no bar without one
            made = made.filter(pl.col("quote_source") != "none")
        self.candles.append(looked_at(made) if intake.polled else made)
        self.counts += intake.counts
        self.counts["trade_repeated"] += intake.repeated
        self.flaws += intake.flaws

    def _until(self, intake: Intake, *, cut: bool) -> pl.DataFrame:
        """Return how far each market was recorded, or traded where that ended earlier."""
        length, closes = self.bar_seconds * SECOND, self.registry.closes()
        rows = []
        for ticker, last in intake.last.items():
            until = last if cut else intake.now or last
            if ticker in closes:
                close = (closes[ticker] - EPOCH) // timedelta(microseconds=1)
                until = min(until, -(-close // length) * length)
            rows.append((ticker, EPOCH + timedelta(microseconds=until)))
        kinds: Schema = {"ticker": pl.String, "until": Time}
        return pl.DataFrame(rows, schema=kinds, orient="row")
