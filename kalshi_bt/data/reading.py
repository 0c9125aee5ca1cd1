"""Reading the data files of a dataset, and saying which of them is not what was committed."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from itertools import pairwise

import polars as pl

from kalshi_bt.data.manifest import DataFile, Part, microseconds
from kalshi_bt.data.roots import BROKEN, Root, one_line
from kalshi_bt.errors import DataError
from kalshi_bt.schema import Table


def lazily(
    root: Root, table: Table, files: Sequence[DataFile], *, ordered: bool = True
) -> pl.LazyFrame:
    """Return the rows of files, sorted by key if that is asked for.

    No file is opened here: the types are those declared, and Polars refuses a file that differs.

    Raises
    ------
    DataError
        If a file is missing or has another size than committed.
    """
    if not files:
        return table.empty().lazy()
    require_sizes(root, files)
    files = sorted(files, key=lambda file: (file.first, file.last))
    frame = pl.scan_parquet(
        [root.uri(file.path) for file in files],
        glob=False,
        schema=table.columns,
        storage_options=root.options,
    )
    apart = all(one.last < two.first for one, two in pairwise(files))
    return frame if apart or not ordered else frame.sort(table.key)


def within(
    files: Sequence[DataFile], start: datetime | None, end: datetime | None
) -> list[DataFile]:
    """Return the files that may hold rows of these times."""
    least = None if start is None else microseconds(start)
    most = None if end is None else microseconds(end)
    return [
        file
        for file in files
        if (least is None or file.end is None or file.end > least)
        and (most is None or file.start is None or file.start <= most)
    ]


def rows_of(root: Root, table: Table, part: Part) -> pl.DataFrame:
    """Return the rows of a part, sorted by key."""
    with naming_damage(root, table, part.files):
        return lazily(root, table, part.files).collect()


@contextmanager
def naming_damage(root: Root, table: Table, files: Sequence[DataFile]) -> Iterator[None]:
    """If reading files fails, say which of them is damaged."""
    try:
        yield
    except BROKEN as error:
        for file in files:
            inspect(root, table, file)
        why = one_line(error)
        raise DataError(f"{table.name} of {root.where} cannot be read ({why})") from None


def inspect(root: Root, table: Table, file: DataFile) -> None:
    """Read a file whole, and raise a DataError if it is not what was committed."""
    path = root.uri(file.path)
    require_sizes(root, [file])
    try:
        content = root.get(file.path)
        found = pl.read_parquet_schema(BytesIO(content))
    except BROKEN as error:
        raise DataError(f"{path} is damaged ({one_line(error)}); import it again") from None
    for name, dtype in table.columns.items():
        if found.get(name) != dtype:
            raise DataError(
                f"{path}: column {name!r} is {found.get(name, 'absent')}, expected {dtype}; "
                "it was written by another version, import it again"
            )
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path} is not what was committed, it is damaged; import it again")


def require_sizes(root: Root, files: Sequence[DataFile]) -> None:
    """Raise a DataError if a file is missing or has another size than committed."""
    for file in files:
        try:
            size = root.size(file.path)
        except OSError as error:
            path, why = root.uri(file.path), one_line(error)
            raise DataError(f"{path} cannot be read ({why}); import it again") from None
        if size is not None and size != file.bytes:
            raise DataError(
                f"{root.uri(file.path)} has {size:,} bytes, {file.bytes:,} were committed; "
                "import it again"
            )
