"""The rows of an archive on their way into a dataset, and the account of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from kalshi_bt.data.bulk import Bulk
from kalshi_bt.data.importers import becker_markets, becker_trades
from kalshi_bt.data.importers.account import ImportReport, TableReport
from kalshi_bt.data.importers.becker_fees import fee_rows
from kalshi_bt.data.importers.becker_files import FILE, ROW, Files, chunks
from kalshi_bt.data.lifecycle import corrections
from kalshi_bt.data.parts import Counts, series_of
from kalshi_bt.data.progress import OnProgress
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import sift
from kalshi_bt.schema import MARKETS, QUARANTINE, STORED

_ORDER = ("series", "markets", "trades", "settlements")
_SEEN = {
    becker_trades.REPAIRED: "trades had lost a cent (28, 56, 57), which was given back",
    becker_trades.CUT: "trades have prices with parts of a cent, stored as whole cents",
    "ended": "markets ended without a result (probably paid neither 0 nor 1 dollar)",
    "derived": "markets are known by the ticker of their trades only",
    "assumed": "series have the general fee schedule, the archive has none",
}


def _counters() -> dict[str, Counter[str]]:
    return {name: Counter() for name in STORED}


@dataclass
class Archive:
    """Rows on their way into a dataset.

    Attributes
    ----------
    store : Store
        The dataset as it was before.
    bulk : Bulk
        Where rows go.
    chunk : int
        Rows to type and check at once.
    on_progress : callable
        Told after each file.
    """

    store: Store
    bulk: Bulk
    chunk: int
    on_progress: OnProgress
    _read: Counter[str] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)
    _skipped: dict[str, Counter[str]] = field(default_factory=_counters)
    _lost: dict[str, Counter[str]] = field(default_factory=_counters)
    _listed: list[pl.DataFrame] = field(default_factory=list)
    _strange: set[str] = field(default_factory=set)
    _series: set[str] = field(default_factory=set)

    def add_markets(self, files: Files, lags: Mapping[str, str], punctual: Sequence[str]) -> None:
        """Add the newest row of every market, and how it ended."""
        dated = chunks(files, self.chunk, self.on_progress, "dating markets", becker_markets.DATED)
        rows = list(dated)
        if not rows:
            return
        newest = becker_markets.newest(pl.concat(rows))
        del rows
        for chunk in chunks(files, self.chunk, self.on_progress, "reading markets"):
            last = chunk.join(newest, on=[FILE, ROW], maintain_order="left")
            self._read["markets"] += chunk.height
            self._skip("markets", "stale", chunk.height - last.height)
            found = becker_markets.listed(last, punctual)
            good, bad = sift(found, becker_markets.asked_of_markets())
            self._set_aside("markets", bad, files.names)
            self._put_markets(becker_markets.stored(good, "markets"))
            self._settle(good, files.names, lags)

    def _settle(self, listed: pl.DataFrame, names: Sequence[str], lags: Mapping[str, str]) -> None:
        waiting, ended = becker_markets.unsettled()
        self._read["settlements"] += listed.height
        self._seen["ended"] += int(listed.select(ended.sum()).item())
        some = listed.filter(~waiting)
        self._skip("settlements", "open", listed.height - some.height)
        found = becker_markets.settled(some, lags)
        good, bad = sift(found, becker_markets.asked_of_settlements())
        self._set_aside("settlements", bad, names)
        self.bulk.add("settlements", becker_markets.stored(good, "settlements"))

    def add_trades(self, files: Files) -> None:
        """Add the trades, after a look at which markets have prices with parts of a cent."""
        # Texts that are kept are copied: a view of a few would hold the memory of a whole chunk.
        fine: set[str] = set()
        looking = "looking at prices"
        for chunk in chunks(files, self.chunk, self.on_progress, looking, becker_trades.LOOKED_AT):
            fine.update(becker_trades.fine(chunk))
        tickers = pl.Series(sorted(fine), dtype=pl.String)
        known = pl.concat([*self._listed, self.store.read("markets", ["ticker"])])
        for chunk in chunks(files, self.chunk, self.on_progress, "reading trades"):
            rows = self._checked(chunk, tickers, files.names)
            self.bulk.add("trades", rows)
            found = rows.select("ticker").unique()
            # Of the two this is the way round that makes a small hash table.
            listed = known.join(found, on="ticker", how="semi")
            self._strange.update(found.join(listed, on="ticker", how="anti")["ticker"])

    def _checked(self, chunk: pl.DataFrame, fine: pl.Series, names: Sequence[str]) -> pl.DataFrame:
        """Return the trades of a chunk that can be stored."""
        self._read["trades"] += chunk.height
        marked = pl.col("ticker").is_in(fine.implode()).alias(becker_trades.FINE)
        good, bad = sift(becker_trades.typed(chunk.with_columns(marked)), becker_trades.asked())
        self._set_aside("trades", bad, names)
        for name in (becker_trades.REPAIRED, becker_trades.CUT):
            self._seen[name] += int(good[name].sum())
        return becker_trades.stored(good)

    def add_derived(self) -> None:
        """Add the markets that only trades speak of."""
        rows = becker_markets.derived(sorted(self._strange))
        if rows.is_empty():
            return
        self._read["markets"] += rows.height
        self._seen["derived"] = rows.height
        self._put_markets(rows)

    def add_series(self) -> None:
        """Add the fees of the series that have none."""
        stored = set(self.store.read("series", ["series"])["series"])
        rows, assumed = fee_rows(sorted(self._series - stored))
        self._read["series"] += rows.height
        self._seen["assumed"] = assumed
        self.bulk.add("series", rows)

    def report(self, fingerprint: str) -> ImportReport:
        """Return the account of all rows, once they are stored."""
        tables = {name: self._account(name) for name in _ORDER if self._read[name]}
        warnings = (f"{self._seen[name]:,} {text}" for name, text in _SEEN.items())
        told = (text for name, text in zip(_SEEN, warnings, strict=True) if self._seen[name])
        return ImportReport(tables, (*told, *corrections(self.bulk.counts)), fingerprint)

    def _account(self, name: str) -> TableReport:
        done = self.bulk.counts.get(name, Counts())
        kept = done.added + done.updated + done.unchanged
        lost = dict(sorted(self._lost[name].items()))
        skipped = Counter(self._skipped[name])
        # Whatever was read and is neither stored nor set aside had the key of a later row.
        skipped["duplicate"] = self._read[name] - kept - skipped.total() - sum(lost.values())
        skipped = +skipped
        return TableReport(
            self._read[name], done.added, done.updated, done.unchanged,
            dict(sorted(skipped.items())), lost,
        )  # fmt: skip

    def _put_markets(self, rows: pl.DataFrame) -> None:
        """Store markets, with what is stored of them where the archive has nothing to say."""
        self._series |= set(rows["series"])
        self._listed.append(rows.select("ticker"))
        names = rows.select(series_of("ticker").unique()).to_series().to_list()
        before = self.store.scan("markets", ordered=False, series=names)
        known = before.join(rows.select("ticker").lazy(), on="ticker", how="semi").collect()
        self.bulk.add("markets", _completed(rows, known) if known.height else rows)

    def _skip(self, table: str, reason: str, rows: int) -> None:
        self._skipped[table][reason] += rows

    def _set_aside(self, table: str, bad: pl.DataFrame, names: Sequence[str]) -> None:
        """Put rows into the quarantine."""
        if bad.is_empty():
            return
        for reason, rows in bad.group_by("reason").len().rows():
            self._lost[table][reason] += rows
        files = pl.Series(names, dtype=pl.String)
        rows = bad.select(
            pl.lit(table).alias("table"),
            pl.lit(files).gather(pl.col(FILE)).alias("source"),
            pl.col(ROW).alias("row"),
            "reason",
            "found",
        )
        self.bulk.add("quarantine", rows.select(list(QUARANTINE.columns)))


def _completed(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    names = list(MARKETS.nullable)
    both = rows.join(stored.select("ticker", *names), on="ticker", how="left", suffix=" stored")
    kept = (pl.coalesce(name, f"{name} stored").alias(name) for name in names)
    return both.with_columns(*kept).select(list(MARKETS.columns)).sort(MARKETS.key)
