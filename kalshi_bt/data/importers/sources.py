"""Outside files: which of them feed which entry of a mapping, and their columns as they stand."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePath

import polars as pl

from kalshi_bt.data.importers.cells import RAW, SIDE, clean
from kalshi_bt.data.importers.mapping import Entry, Mapping
from kalshi_bt.data.manifest import BROKEN, one_line
from kalshi_bt.errors import DataError, UsageError

ROW, TRADELESS = "row", "tradeless"
_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv", ".txt")
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


@dataclass(frozen=True)
class Source:
    """A file that feeds an entry; `name` is its path below the folder it was found in."""

    entry: Entry
    path: Path
    name: str


def match(mapping: Mapping, name: str, sources: Sequence[Path]) -> list[Source]:
    """Return which file feeds which entry, in the order of the entries.

    Parameters
    ----------
    mapping : Mapping
        Its entries name files or globs.
    name : str
        What messages call the mapping.
    sources : sequence of Path
        Files, or folders in which the entries' globs are looked up.

    Raises
    ------
    DataError
        If a source is absent or no entry reads it, or an entry has no file.
    """
    found: dict[tuple[int, Path], Source] = {}
    for given in sources:
        hits = {
            (number, source.path): source
            for number, entry in enumerate(mapping.table, 1)
            for source in _hits(given, entry)
        }
        if not hits:
            patterns = ", ".join(sorted({entry.source for entry in mapping.table}))
            raise DataError(f"mapping {name} reads nothing of {given}; it names {patterns}")
        found |= hits
    fed = {number for number, _ in found}
    for number, entry in enumerate(mapping.table, 1):
        if number not in fed:
            listed = ", ".join(str(source) for source in sources) or "none"
            raise DataError(
                f"mapping {name}: table {number} ({entry.into}) reads {entry.source!r}, "
                f"which is not among the sources ({listed})"
            )
    paths: dict[str, Path] = {}
    for source in found.values():
        if paths.setdefault(source.name, source.path) != source.path:
            raise DataError(
                f"{paths[source.name]} and {source.path} have the same name; import them one by one"
            )
    return [found[key] for key in sorted(found)]


def _hits(given: Path, entry: Entry) -> list[Source]:
    """Return the files of a source that an entry reads."""
    if given.is_dir():
        paths = sorted(path for path in given.glob(entry.source) if path.is_file())
        return [Source(entry, path, path.relative_to(given).as_posix()) for path in paths]
    if not given.exists():
        raise DataError(f"source {given} does not exist")
    fits = fnmatchcase(given.name, PurePath(entry.source).name)
    return [Source(entry, given, given.name)] if fits else []


def read_source(source: Source) -> pl.DataFrame:
    """Return the mapped columns of a file as `raw:<name>`, and `row`, the number of each row.

    Words for null are null, texts are trimmed. With a condition `no_trade` the column `tradeless`
    says where it holds.

    Raises
    ------
    DataError
        If the file cannot be read, is of no known kind or lacks a column.
    """
    entry, path = source.entry, source.path
    wanted = {name: c.source for name, c in entry.columns.items() if c.source is not None}
    joined = {name: c.join for name, c in entry.columns.items() if c.join is not None}
    others = [entry.no_trade.column if entry.no_trade else None, entry.side]
    needed = [*wanted.values(), *chain.from_iterable(joined.values()), *filter(None, others)]
    try:
        frame = _open(entry, path, sorted(set(needed)))
    except BROKEN as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from None
    frame = frame.select(clean(c, d, entry.null).alias(c) for c, d in frame.schema.items())
    cells = [pl.col(source).alias(RAW + name) for name, source in wanted.items()]
    cells += [
        pl.lit(c.value).alias(RAW + n) for n, c in entry.columns.items() if c.value is not None
    ]
    cells += [
        pl.concat_str(
            *(pl.col(part).cast(pl.String).fill_null("") for part in parts), separator="|"
        ).alias(RAW + name)
        for name, parts in joined.items()
    ]
    cells += [pl.col(entry.side).alias(SIDE)] if entry.side else []
    cells += [_tradeless(entry, frame, path.name).alias(TRADELESS)] if entry.no_trade else []
    # One piece: Polars 2.1 fails to format text that lies in several.
    return frame.with_columns(cells).drop(frame.columns).with_row_index(ROW).rechunk()


def _open(entry: Entry, path: Path, needed: list[str]) -> pl.DataFrame:
    """Return the needed columns of a file; text of a CSV file stays text."""
    name = path.name.lower()
    if name.endswith(_PARQUET):
        known = list(pl.read_parquet_schema(path))
        _require(path, needed, known)
        return pl.read_parquet(path, columns=needed, glob=False)
    if name.endswith(_CSV):
        frame = pl.read_csv(path, infer_schema=False, separator=entry.separator, glob=False)
    elif name.endswith(_LINES):
        text = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
        frame = pl.read_ndjson(text, infer_schema_length=None)
    else:
        kinds = ", ".join((*_PARQUET, *_CSV, *_LINES))
        raise DataError(f"{path} is of no kind that can be read ({kinds})")
    _require(path, needed, frame.columns)
    return frame.select(needed)


def _require(path: Path, needed: list[str], known: list[str]) -> None:
    for name in needed:
        if name not in known:
            raise DataError(f"{path.name}: {UsageError.unknown('column', name, known)}")


def _tradeless(entry: Entry, frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return where the condition `no_trade` holds."""
    assert entry.no_trade is not None
    cell, word = pl.col(entry.no_trade.column), entry.no_trade.equals
    if isinstance(word, str):
        return cell.cast(pl.String) == word
    dtype = frame.schema[entry.no_trade.column]
    if not (dtype.is_numeric() or dtype == pl.String):
        raise DataError(
            f"{name}: no_trade compares {entry.no_trade.column!r} ({dtype}) to a number"
        )
    return cell.cast(pl.Float64, strict=False) == word
