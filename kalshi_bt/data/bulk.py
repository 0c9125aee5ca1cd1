"""Many rows into a dataset in bounded memory: sorted by part on disk, then merged part by part."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import polars as pl

from kalshi_bt.data.change import Change
from kalshi_bt.data.parts import Counts, Place, placed, runs, split
from kalshi_bt.data.roots import saying_refusal
from kalshi_bt.errors import UsageError
from kalshi_bt.schema import STORED, Table


@dataclass
class _Run:
    """Rows in the order of their parts, and where each part begins."""

    rows: pl.LazyFrame
    bytes: int
    begins: dict[Place, int]
    lengths: dict[Place, int]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "_Run":
        """Return `placed` rows as a run in memory."""
        lengths = dict(runs(frame))
        begins = dict(zip(lengths, accumulate(lengths.values(), initial=0), strict=False))
        return cls(frame.lazy(), int(frame.estimated_size()), begins, lengths)

    def take(self, places: list[Place]) -> pl.DataFrame | None:
        """Return the rows of neighbouring parts, if there are any."""
        found = [place for place in places if place in self.lengths]
        if not found:
            return None
        length = sum(self.lengths[place] for place in found)
        return self.rows.slice(self.begins[found[0]], length).collect()


@dataclass
class Bulk:
    """Rows on their way into a dataset; nothing of them counts before the end.

    Attributes
    ----------
    folder : Path
        For the rows that do not fit into memory.
    memory : int
        Bytes of rows that are held at a time.
    counts : dict
        What changed in each table; known after the end.
    """

    folder: Path
    memory: int
    counts: dict[str, Counts] = field(default_factory=dict)
    _held: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    _bytes: int = 0
    _runs: dict[str, list[_Run]] = field(default_factory=lambda: defaultdict(list))
    _spilled: int = 0

    def add(self, table: str, frame: pl.DataFrame) -> None:
        """Add rows of any parts, in any order; later ones replace earlier ones with the same key.

        Parameters
        ----------
        table : str
            A name of `schema.STORED`.
        frame : frame
            The declared columns; no key twice.

        Raises
        ------
        DataError
            If the frame is not as declared.
        UsageError
            If no such table is declared.
        """
        if table not in STORED:
            raise UsageError.unknown("table", table, STORED)
        declared = STORED[table]
        rows = declared.check(frame.sort(declared.key))
        self._held[table].append(rows)
        self._bytes += int(rows.estimated_size())
        if self._bytes > self.memory:
            self._spill()

    def pour(self, change: Change) -> None:
        """Merge all rows into the dataset, a few parts at a time."""
        for name, table in STORED.items():
            held = self._held.pop(name, None)
            if held:
                self._runs[name].append(_Run.of(placed(table, pl.concat(held))))
            if name in self._runs:
                change.table(table, self._pieces(table))
        self.counts = change.counts

    def _spill(self) -> None:
        """Move what is held to the disk."""
        for name, held in self._held.items():
            ordered = placed(STORED[name], pl.concat(held))
            held.clear()
            file = self.folder / f"{self._spilled}.parquet"
            with saying_refusal(self.folder):
                ordered.write_parquet(file, compression="lz4", row_group_size=16_384)
            self._spilled += 1
            self._runs[name].append(replace(_Run.of(ordered), rows=pl.scan_parquet(file)))
        self._held.clear()
        self._bytes = 0

    def _pieces(self, table: Table) -> Iterator[tuple[Place, pl.DataFrame]]:
        """Return the rows of each part, the last of every key, sorted."""
        found = self._runs.pop(table.name)
        for places in self._groups(found):
            taken = [rows for rows in (run.take(places) for run in found) if rows is not None]
            rows = pl.concat(taken).select(list(table.columns))
            del taken
            if len(places) == 1:  # a large part: every copy of it counts
                rows = _last(table, rows)
                yield places[0], rows
                continue
            for place, part in split(table, rows):
                yield place, _last(table, part)

    def _groups(self, found: list[_Run]) -> Iterator[list[Place]]:
        """Return neighbouring parts whose rows fit into memory together."""
        rows: Counter[Place] = Counter()
        for run in found:
            rows.update(run.lengths)
        most = self.memory / 2 / max(1, sum(run.bytes for run in found)) * rows.total()
        group, height = list[Place](), 0
        for place in sorted(rows):
            if group and height + rows[place] > most:
                yield group
                group, height = [], 0
            group.append(place)
            height += rows[place]
        if group:
            yield group


def _last(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows sorted by key, of several with one key the last."""
    rows = rows.sort(table.key, maintain_order=True)
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in table.key)
    return rows.filter(~again.fill_null(False)) if rows.select(again.any()).item() else rows
