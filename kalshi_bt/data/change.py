"""A change of a dataset: parts are rewritten one by one, and count once all of them are there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from kalshi_bt.data.manifest import Manifest, Part, whole_part, write_file
from kalshi_bt.data.parts import NAMED_BY, Counts, Place, Upsert, digest, split, upsert
from kalshi_bt.data.reading import rows_of
from kalshi_bt.data.roots import Root
from kalshi_bt.schema import REVISIONS, SETTLEMENTS, STORED, Table

FILES = 8  # of a part; another is not added, the part is merged instead
SMALL = 65_536  # a part of so few rows is rewritten whole: that costs less than reading two files


@dataclass
class Change:
    """What becomes of the parts of a dataset; nothing counts before `manifest` is written."""

    root: Root
    before: Manifest
    counts: dict[str, Counts] = field(default_factory=dict)
    collateral: bool | None = None  # what the dataset is to be marked as
    _parts: dict[str, dict[Place, Part]] = field(default_factory=dict)
    _replaced: list[pl.DataFrame] = field(default_factory=list)

    def commit(self, tables: Mapping[str, pl.DataFrame], drop: Mapping[str, pl.DataFrame]) -> None:
        """Add rows, each table sorted and checked, after `drop`."""
        for name, table in STORED.items():
            rows = tables.get(name)
            if rows is not None or name in drop:
                pieces = () if rows is None else split(table, rows)
                self.table(table, pieces, drop.get(name))

    def table(
        self,
        table: Table,
        pieces: Iterator[tuple[Place, pl.DataFrame]] | tuple[()],
        drop: pl.DataFrame | None = None,
    ) -> None:
        """Add the rows of one table, part by part, and drop others from any part."""
        self.counts.setdefault(table.name, Counts())
        seen = set()
        for place, rows in pieces:
            seen.add(place)
            self._upsert(table, place, rows, drop)
        if drop is not None:
            for place in sorted(self._of(table.name).keys() - seen):
                if _may_hold(table, place, drop):
                    self._upsert(table, place, table.empty(), drop)
        if table is SETTLEMENTS and self._replaced:
            self._revise()

    def merge(self, table: Table) -> tuple[int, int]:
        """Merge the files of every part into one; return the files before and after."""
        parts = self._of(table.name)
        before = sum(len(part.files) for part in parts.values())
        for place, part in parts.items():
            if len(part.files) > 1:
                file = write_file(self.root, table, place, rows_of(self.root, table, part))
                parts[place] = replace(part, files=(file,))
        return before, len(parts)

    def manifest(self, note: str = "") -> Manifest:
        """Return the manifest after the change, with a remark more."""
        tables = dict(self.before.tables)
        for name, parts in self._parts.items():
            tables[name] = tuple(parts[place] for place in sorted(parts))
        tables = {name: parts for name, parts in tables.items() if parts}
        kept = self.before.collateral if self.collateral is None else self.collateral
        note = _with_line(self.before.note, note)
        return replace(self.before, tables=tables, note=note, collateral=kept)

    def _of(self, table: str) -> dict[Place, Part]:
        if table not in self._parts:
            self._parts[table] = {part.place: part for part in self.before.parts(table)}
        return self._parts[table]

    def _upsert(
        self, table: Table, place: Place, rows: pl.DataFrame, drop: pl.DataFrame | None
    ) -> None:
        """Put rows into one part, and write what that changes."""
        parts = self._of(table.name)
        part = parts.get(place)
        stored = table.empty() if part is None else rows_of(self.root, table, part)
        done = upsert(table, stored, rows, drop)
        self.counts[table.name] += done.counts
        if done.counts != Counts(unchanged=rows.height):
            parts.pop(place, None)
            for new in self._written(table, place, part, done):
                parts[place] = new
        if table is SETTLEMENTS and done.replaced.height:
            self._replaced.append(done.replaced)

    def _written(
        self, table: Table, place: Place, part: Part | None, done: Upsert
    ) -> tuple[Part, ...]:
        """Write a part whole, or only new rows where it is large and nothing else changed."""
        counts = done.counts
        only_new = part is not None and not counts.updated and not counts.removed
        if part is None or not only_new or len(part.files) >= FILES or done.rows.height <= SMALL:
            return whole_part(self.root, table, place, done.rows)
        file = write_file(self.root, table, place, done.added)
        return (Part(place, digest(done.rows), (*part.files, file)),)

    def _revise(self) -> None:
        """Keep the settlements that were replaced; say so only if there are any."""
        rows = pl.concat(self._replaced).sort(REVISIONS.key)
        self._replaced.clear()
        self.table(REVISIONS, split(REVISIONS, rows))


def _may_hold(table: Table, place: Place, drop: pl.DataFrame) -> bool:
    """Return whether a part can hold rows that agree with one to be dropped."""
    name = NAMED_BY.get(table.name)
    if name is None or name not in drop.columns:
        return True
    names = drop[name] if name == "source" else drop[name].str.extract(r"^([^-]*)", 1)
    return not place.series or place.series in set(names)


def _with_line(note: str, line: str) -> str:
    return note if line in note.splitlines() or not line else f"{note}\n{line}".strip()
