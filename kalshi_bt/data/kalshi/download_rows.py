"""From parsed rows to rows that can be stored, and their way into the dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt.data.kalshi.download_pages import Lost
from kalshi_bt.data.kalshi.parse import Unusable
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.data.validate import checks, duplicates, sift
from kalshi_bt.schema import COVERAGE, QUARANTINE, STORED

MOST_ROWS = 100_000  # that wait to be committed
MOST_ANSWERS = 24  # that wait to be committed: asked for again if the run is killed


@dataclass(frozen=True)
class Span:
    """What is known of a subject: all rows with start < time <= end.

    Attributes
    ----------
    start : datetime, optional
        None: from the first row there is.
    end : datetime
        Up to here.
    final : bool
        Nothing more will come.
    """

    start: datetime | None
    end: datetime
    final: bool = False

    def reaches(self, start: datetime | None) -> bool:
        """Tell whether everything since `start` is known."""
        return self.start is None or (start is not None and self.start <= start)


Covered = dict[tuple[str, str, int], Span]


@dataclass
class Piece:
    """What belongs together into one commit: rows, what they cover, and what was set aside."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    covered: Covered = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(frame.height for frame in self.tables.values())


def usable(
    table: str,
    rows: Sequence[Mapping[str, Any]],
    places: Sequence[int],
    source: str,
    lost: list[Lost],
    constant: Mapping[str, pl.Expr] | None = None,
) -> pl.DataFrame:
    """Return parsed rows as a table, without those that fail its checks.

    Parameters
    ----------
    table : str
        A name of `schema.STORED`.
    rows : sequence of mappings
        Columns of the table, others are left out.
    places : sequence of int
        Place of each row in the answer.
    source : str
        The question.
    lost : list of Lost
        Rows that fail a check, or contradict an earlier one with the same key, are added to it; one
        that repeats an earlier one is dropped.
    constant : mapping of str to expression, optional
        Columns that are the same in all rows.
    """
    declared, constant = STORED[table], constant or {}
    given = [name for name in declared.columns if name not in constant]
    schema = {name: declared.columns[name] for name in given}
    columns = {name: [row.get(name) for row in rows] for name in given}
    place = pl.Series("place", places, pl.Int64)
    frame = pl.DataFrame(columns, schema=schema).with_columns(place, **constant)
    frame = frame.select("place", *(pl.col(n).cast(t) for n, t in declared.columns.items()))
    names = list(declared.columns)
    good, bad = sift(frame, [*checks(table), *duplicates(table, names)])
    bad = bad.filter(pl.col("reason") != "duplicate")
    if bad.height:
        found = [Unusable(*row) for row in bad.select("place", "reason", "found").iter_rows()]
        lost.append(Lost(table, source, found))
    return good.select(names).sort(declared.key)


class Sink:
    """Takes pieces and commits them, some at a time, each with what it covers.

    Parameters
    ----------
    store : Store
        The dataset.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.counts: dict[str, Counts] = {}
        self.quarantined: dict[str, Counter[str]] = {}
        self.rows = 0
        self._pieces: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Take a piece; commit if enough are waiting."""
        self._pieces.append(piece)
        self.rows += piece.rows
        answers = sum(bool(waiting.tables) for waiting in self._pieces)
        if answers >= MOST_ANSWERS or sum(p.rows for p in self._pieces) >= MOST_ROWS:
            self.flush()

    def flush(self) -> None:
        """Commit what is waiting."""
        pieces, self._pieces = self._pieces, []
        tables: dict[str, pl.DataFrame] = {}
        for name, declared in STORED.items():
            frames = [piece.tables[name] for piece in pieces if name in piece.tables]
            if frames:
                key = list(declared.key)
                tables[name] = pl.concat(frames).unique(key, keep="first", maintain_order=True)
        covered: Covered = {}
        for piece in pieces:
            covered |= piece.covered
        lost = [lost for piece in pieces for lost in piece.lost]
        if covered:
            tables["coverage"] = _coverage(covered)
        if lost:
            tables["quarantine"] = _quarantine(lost)
        if not tables:
            return
        self._count(self.store.commit(tables), lost)

    def _count(self, counts: Mapping[str, Counts], lost: Sequence[Lost]) -> None:
        for name, new in counts.items():
            if name not in {"coverage", "quarantine"}:
                old = self.counts.get(name, Counts())
                self.counts[name] = Counts(
                    old.added + new.added,
                    old.updated + new.updated,
                    old.unchanged + new.unchanged,
                    old.removed + new.removed,
                )
        for rows in lost:
            reasons = self.quarantined.setdefault(rows.table, Counter())
            reasons.update(row.reason for row in rows.rows)


def covered(store: Store) -> Covered:
    """Return what a dataset has been told to hold."""
    return {
        (row["table"], row["subject"], row["period"]): Span(row["start"], row["end"], row["final"])
        for row in store.read("coverage").iter_rows(named=True)
    }


def _coverage(known: Covered) -> pl.DataFrame:
    rows = [(*key, span.start, span.end, span.final) for key, span in known.items()]
    return pl.DataFrame(rows, schema=COVERAGE.columns, orient="row")


def _quarantine(lost: Sequence[Lost]) -> pl.DataFrame:
    rows = [(one.table, one.source, r.row, r.reason, r.found) for one in lost for r in one.rows]
    frame = pl.DataFrame(rows, schema=QUARANTINE.columns, orient="row")
    return frame.unique(QUARANTINE.key, keep="first", maintain_order=True)
