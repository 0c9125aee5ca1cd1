"""The files of the layout: where they are, and their rows in typed chunks of bounded size.

Every chunk carries `file` and `row`, the place of each row, so that a bad one can be named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_bt.data.progress import OnProgress, Progress
from kalshi_bt.errors import DataError
from kalshi_bt.schema import Time

FILE, ROW = "file", "row"
_NEEDED = {
    "markets": ("ticker", "event_ticker", "status", "result"),
    "trades": (
        "trade_id", "ticker", "count", "yes_price", "no_price", "taker_side", "created_time",
    ),
}  # fmt: skip
_TEXT = (
    "trade_id", "ticker", "taker_side", "event_ticker", "title", "yes_sub_title", "status",
    "result",
)  # fmt: skip
_NUMBERS = ("count", "yes_price", "no_price")
_TIMES = ("created_time", "open_time", "close_time", "_fetched_at")
# Some copies of the layout give these times as seconds of the epoch.
_SECONDS = {"open_ts": "open_time", "close_ts": "close_time"}
_MARKET_TIMES = ("open_time", "close_time", "_fetched_at")
_BROKEN = (pa.ArrowException, OSError)


@dataclass(frozen=True)
class Files:
    """The parquet files of one table, in the order of their names.

    Attributes
    ----------
    table : str
        markets or trades.
    paths : tuple of Path
        The files.
    names : tuple of str
        What reports call them: their paths below the root of the archive.
    rows : int
        Rows of all of them.
    """

    table: str
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    rows: int


def find(sources: Sequence[Path]) -> tuple[Files, Files]:
    """Return the files of markets and of trades below the roots given.

    Parameters
    ----------
    sources : sequence of Path
        Folders that hold `markets` and `trades`, or whose folder `becker` or `kalshi` does.

    Raises
    ------
    DataError
        If a source holds neither, no file of either table is found, two have one name, or a file
        cannot be read or lacks a column.
    """
    found: dict[str, dict[str, Path]] = {table: {} for table in _NEEDED}
    for source in sources:
        root = _root(source)
        for table, paths in found.items():
            for path in sorted((root / table).glob("*.parquet")):
                name = path.relative_to(root).as_posix()
                if paths.setdefault(name, path) != path:
                    raise DataError(
                        f"{paths[name]} and {path} have the same name; import them one by one"
                    )
    if not any(found.values()):
        listed = ", ".join(str(source) for source in sources) or "none"
        raise DataError(f"no markets/*.parquet or trades/*.parquet in the sources ({listed})")
    markets, trades = (_files(table, paths) for table, paths in found.items())
    return markets, trades


def chunks(
    files: Files,
    size: int,
    on_progress: OnProgress,
    label: str,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Return the rows of a table in frames of about `size` rows, typed.

    Parameters
    ----------
    files : Files
        Where they are.
    size : int
        Rows of a frame, at least, but for the last; at most one less than twice as many.
    on_progress : callable
        Told after each file.
    label : str
        What it is told.
    columns : sequence of str, optional
        Only these; all that the importer knows without any.
    """
    held: list[pl.DataFrame] = []
    rows = 0
    for number, path in enumerate(files.paths):
        try:
            with pq.ParquetFile(path) as file:
                wanted = _wanted(files.table, file.schema_arrow.names, columns)
                start = 0
                for batch in file.iter_batches(size, columns=wanted):
                    frame = pl.DataFrame(pa.Table.from_batches([batch]))
                    held.append(_typed(frame, number, start, files.table, columns))
                    start += frame.height
                    if sum(part.height for part in held) >= size:
                        yield pl.concat(held)
                        held = []
        except _BROKEN as error:
            raise _unreadable(path, error) from None
        rows += start
        on_progress(Progress(label, number + 1, len(files.paths), rows))
    if held:
        yield pl.concat(held)


def _root(source: Path) -> Path:
    if not source.exists():
        raise DataError(f"source {source} does not exist")
    for root in (source, source / "becker", source / "kalshi"):
        if any((root / table).is_dir() for table in _NEEDED):
            return root
    raise DataError(f"{source} holds no folder markets or trades; name the one that holds them")


def _files(table: str, paths: dict[str, Path]) -> Files:
    """Read only the ends of the files: their schemas and numbers of rows."""
    rows = 0
    for path in paths.values():
        try:
            with pq.ParquetFile(path) as file:
                known = file.schema_arrow.names
                rows += file.metadata.num_rows
        except _BROKEN as error:
            raise _unreadable(path, error) from None
        for name in _NEEDED[table]:
            if name not in known:
                raise DataError(f"{path} lacks column {name!r}; it has {', '.join(known)}")
    return Files(table, tuple(paths.values()), tuple(paths), rows)


def _unreadable(path: Path, error: BaseException) -> DataError:
    why = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return DataError(f"{path} cannot be read ({why}); remove it or fetch it again")


def _wanted(table: str, known: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    names = columns or (*_NEEDED[table], *_TEXT, *_MARKET_TIMES)
    old = {new: name for name, new in _SECONDS.items()}
    spelt = [name if name in known else old.get(name, "") for name in dict.fromkeys(names)]
    return [name for name in spelt if name in known]


def _typed(
    frame: pl.DataFrame, number: int, start: int, table: str, columns: Sequence[str] | None
) -> pl.DataFrame:
    """Return a batch with the same columns and types whatever the file."""
    frame = frame.rename(_SECONDS, strict=False)
    usual = (*_NEEDED[table], *(("title", "yes_sub_title", *_MARKET_TIMES) * (table == "markets")))
    cells = [
        (_cell(name, frame.schema[name]) if name in frame.columns else _absent(name)).alias(name)
        for name in columns or usual
    ]
    place = [
        pl.lit(number, dtype=pl.UInt32).alias(FILE),
        pl.int_range(start, start + pl.len(), dtype=pl.Int64).alias(ROW),
    ]
    return frame.select(*cells, *place)


def _absent(name: str) -> pl.Expr:
    return pl.lit(None, dtype=Time if name in _TIMES else pl.String)


def _cell(name: str, dtype: pl.DataType) -> pl.Expr:
    cell = pl.col(name)
    if name in _TEXT:
        return cell.cast(pl.String)
    if name in _NUMBERS:
        whole = cell == cell.round() if dtype.is_float() else pl.lit(True)
        return pl.when(whole).then(cell).cast(pl.Int64, strict=False)
    if isinstance(dtype, pl.Datetime):  # without a zone: UTC, as the layout says
        naive = cell.dt.cast_time_unit("us")
        return naive.dt.convert_time_zone("UTC") if dtype.time_zone else _utc(naive)
    if dtype.is_integer():
        return _utc((cell.cast(pl.Int64) * 1_000_000).cast(pl.Datetime("us")))
    if isinstance(dtype, pl.String):
        return cell.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    return cell.cast(Time, strict=False)


def _utc(naive: pl.Expr) -> pl.Expr:
    return naive.dt.replace_time_zone("UTC")
