"""SQL over a dataset: views for DuckDB, and a catalogue file that any DuckDB can open.

Each stored table is a view of its name (`references` is a word of SQL: quote it, or write
`references_`). Prices, which are stored in 1/10 000 dollars, come a second time as `*_dollars`, and
quantities, stored in 1/100 contracts, as `*_contracts`. Times are `TIMESTAMP WITH TIME ZONE`, shown
in UTC. `fees` holds the fees of series and of events, told apart by `scope`.

`catalogue.duckdb` in a dataset's folder holds the same views. DuckDB takes relative paths from the
folder in which a process happens to run, so the views name their files by absolute paths: the
catalogue of a dataset that was moved, copied or written to is out of date until it is rebuilt,
which `Store.sql` does, and `refresh`. It is no part of the dataset: delete it at any time. A view
`about` says which folder and which state it was made for. Datasets in buckets have none.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from kalshi_bt.data.manifest import Manifest
from kalshi_bt.data.reading import require_sizes
from kalshi_bt.data.roots import CATALOGUE, Folder, Root, one_line
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import STORED, Levels, Price, PriceRanges, Table

if TYPE_CHECKING:
    from kalshi_bt.data.store import Store

_QUANTITIES = ("volume", "open_interest", "quantity", "bid_size", "ask_size")
_TYPES = {
    pl.String: "VARCHAR",
    pl.Enum: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.Float64: "DOUBLE",
    pl.Datetime: "TIMESTAMP WITH TIME ZONE",
}
_FEES = """
select 'series' as scope, series as subject, effective_from, fee_type, fee_multiplier from series
union all
select 'event', event, effective_from, fee_type, fee_multiplier from event_fees
"""
_READS = re.compile(r"(?:select|with|from|pivot|pivot_wider|unpivot)\b", re.IGNORECASE)
_BLANK = re.compile(r"\A(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_EXPLAIN = re.compile(r"\Aexplain\s*(?:analyze\b|\([^)]*\))?", re.IGNORECASE)


def sql(store: "Store", query: str) -> pl.DataFrame:
    """Return the answer to one SQL query on the views of a dataset.

    Parameters
    ----------
    store : Store
        The dataset, in the state in which it was opened.
    query : str
        One query that reads.

    Returns
    -------
    frame
        Whole numbers beyond 64 bits in DuckDB, as its sums are, come as 64 bits where they fit.

    Raises
    ------
    UsageError
        If the query is wrong, or is none that reads; with what DuckDB says of it.
    DataError
        If a file is missing or damaged.
    """
    place, manifest = store.place, store.manifest
    refresh(place)
    require_sizes(place, [file for name in STORED for file in manifest.files(name)])
    with duckdb.connect(config={"python_enable_replacements": "false"}) as connection:
        try:
            _require_reading(query)
            connection.execute("SET TimeZone = 'UTC'")
            if place.filesystem is not None:
                connection.register_filesystem(place.filesystem)
            for statement in _views(place, manifest):
                connection.execute(statement)
            return _narrowed(connection.sql(query).pl())
        except duckdb.OperationalError as error:  # of files, not of the query
            raise DataError(f"{place.where}: {_said(error)}") from None
        except duckdb.Error as error:
            raise UsageError(_said(error)) from None
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"Polars has no type for a column: {_said(error)}") from None


def refresh(place: Root) -> Path | None:
    """Rebuild the catalogue file of a folder if it is out of date, and return its path.

    Returns
    -------
    Path
        None where there can be no file: in a bucket, in a folder that cannot be written, and while
        another process has the catalogue open for writing.
    """
    if not isinstance(place, Folder):
        return None
    path = place.where / CATALOGUE
    try:
        state = hashlib.sha256(place.manifest()[0]).hexdigest()
        about = (str(place.where.resolve()), state)
        if not path.exists() or _about(path) != about:
            _rebuild(path, Folder(place.where.resolve()), Manifest.read(place)[0], about)
    except (OSError, duckdb.Error):
        return None
    return path


def _rebuild(path: Path, place: Folder, manifest: Manifest, about: tuple[str, str]) -> None:
    """Write the catalogue beside its place, then put it there in one step."""
    draft = path.with_name(f".{CATALOGUE}.{os.getpid()}.tmp")
    for left in path.parent.glob(f".{CATALOGUE}.*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    try:
        with duckdb.connect(draft) as connection:
            for statement in _views(place, manifest):
                connection.execute(statement)
            root, state = (_text(value) for value in about)
            connection.execute(f"create view about as select {root} as root, {state} as state")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _about(path: Path) -> tuple[str, str] | None:
    """Return what a catalogue was made for; none if it is not one."""
    try:
        with duckdb.connect(path, read_only=True) as connection:
            found = connection.execute("select root, state from about").fetchone()
    except duckdb.Error:
        return None
    return None if found is None else (found[0], found[1])


def _views(place: Root, manifest: Manifest) -> Iterator[str]:
    """Return the statements that make all views."""
    for name, table in STORED.items():
        files = [place.uri(file.path) for file in manifest.files(name)]
        yield f'create view "{name}" as {_select(table, files)}'
    yield 'create view references_ as select * from "references"'
    yield f"create view fees as {_FEES}"


def _select(table: Table, files: list[str]) -> str:
    """Return the query that gives the rows of a table."""
    if not files:
        typed = ", ".join(f'null::{_type(t)} as "{n}"' for n, t in table.columns.items())
        source = f"(select {typed} where false)"
    else:
        names = ", ".join(_text(re.sub(r"[\[*?]", r"[\g<0>]", file)) for file in files)
        source = f"read_parquet([{names}], hive_partitioning = false)"
    columns = ", ".join(part for name in table.columns for part in _columns(table, name))
    return f"select {columns} from {source}"  # noqa: S608 - no word of it comes from a user


def _columns(table: Table, name: str) -> Iterator[str]:
    """Return a column, and the same in dollars or contracts."""
    dtype = table.columns[name]
    yield f'"{name}"'
    if dtype == Price:
        yield f'"{name}" / 1e4 as "{name}_dollars"'
    elif name in _QUANTITIES:
        yield f'"{name}" / 1e2 as "{name}_contracts"'
    elif dtype == Levels:
        cells = "{'price': x.price / 1e4, 'size': x.size / 1e2}"
        yield f'list_transform("{name}", lambda x: {cells}) as "{name}_dollars"'
    elif dtype == PriceRanges:
        cells = "{'start': x.start / 1e4, 'end': x.\"end\" / 1e4, 'step': x.step / 1e4}"
        yield f'list_transform("{name}", lambda x: {cells}) as "{name}_dollars"'


def _type(dtype: Any) -> str:
    """Return DuckDB's name of a declared type."""
    if isinstance(dtype, pl.List):
        return f"{_type(dtype.inner)}[]"
    if isinstance(dtype, pl.Struct):
        fields = ", ".join(f'"{field.name}" {_type(field.dtype)}' for field in dtype.fields)
        return f"STRUCT({fields})"
    return _TYPES[dtype.base_type()]


def _text(value: str) -> str:
    """Return a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def _require_reading(query: str) -> None:
    """Refuse what is not one query that reads."""
    found = duckdb.extract_statements(query)
    if len(found) != 1:
        raise UsageError(f"give one query, not {len(found)}")
    kind, text = found[0].type, _BLANK.sub("", query, count=1)
    if kind == duckdb.StatementType.EXPLAIN:
        _require_reading(_EXPLAIN.sub("", text, count=1))
        return
    pivots = kind == duckdb.StatementType.MULTI and _READS.match(text)  # DuckDB runs it in steps
    if kind != duckdb.StatementType.SELECT and not pivots:
        word = text.split()[0].upper()
        raise UsageError(f"{word} is refused: SQL only reads a dataset; use a query (SELECT, ...)")


def _narrowed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return 128-bit whole numbers as 64-bit ones, where they fit."""
    wide = [column for column in frame.iter_columns() if column.dtype == pl.Decimal(38, 0)]
    narrow = (column.cast(pl.Int64, strict=False) for column in wide)
    fits = [
        n for n, column in zip(narrow, wide, strict=True) if n.null_count() == column.null_count()
    ]
    return frame.with_columns(fits)


def _said(error: BaseException) -> str:
    """Return what DuckDB says in one line, without its picture of the query."""
    text = str(error).partition("\n\nLINE ")[0]
    return " ".join(line.strip() for line in text.splitlines() if line.strip())[:500] or one_line(
        error
    )
