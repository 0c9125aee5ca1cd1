"""Prices of an underlying from a CSV file, as a stand-in for the index a market settles on."""

import csv
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kalshi_bt.data.kalshi.download import DownloadReport
from kalshi_bt.data.kalshi.download_pages import Lost
from kalshi_bt.data.kalshi.download_rows import Piece, Sink
from kalshi_bt.data.kalshi.parse import Unusable
from kalshi_bt.data.kalshi.parse_cells import EPOCH, UnreadableError, number, time
from kalshi_bt.data.spot import FIELDS, bar_rows
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds of an epoch's unit
TIMES = ("time", "timestamp", "date", "datetime", "open_time", "close_time")
_NULL = {"", "na", "n/a", "nan", "null", "none"}


def import_spot_csv(
    into: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    symbol: str,
    source: str = "csv",
    seconds: int = 60,
    label: str = "start",
    unit: str = "s",
) -> DownloadReport:
    r"""Read bars from a CSV file into a dataset's references, all or nothing.

    Parameters
    ----------
    into : path
        The dataset; made if it is absent.
    path : path
        A file with a header: a time (any of `TIMES`; ISO 8601 with a zone, or a number since 1970)
        and close, with or without open, high, low and volume, in any order and case.
    symbol : str
        What the prices are of.
    source : str
        Where they are from; stored as ``proxy:`` and this.
    seconds : int
        Length of a bar.
    label : str
        Whether a time is the start or the end of its bar; rows are known at the end.
    unit : str
        Of times that are numbers: s, ms or us.

    Raises
    ------
    UsageError
        If an argument is not one of those.
    DataError
        If the file cannot be read, lacks a column, or no row of it can be used.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "btc.csv")
    ...     _ = file.write_text("time,close\n2026-01-05T12:00:00Z,61000.5\n")
    ...     report = import_spot_csv(Path(folder, "dataset"), file, symbol="BTC")
    >>> report.tables["references"].added
    1
    """
    if label not in {"start", "end"} or unit not in UNITS or seconds < 1:
        raise UsageError(
            f"a label is start or end, a unit one of {', '.join(UNITS)}, and a bar at least a "
            f"second long; found {label!r}, {unit!r} and {seconds}"
        )
    file = Path(path)
    later = timedelta(seconds=seconds if label == "start" else 0)
    bars, lost = _read(file, later, UNITS[unit])
    name = source if source.startswith("proxy:") else f"proxy:{source}"
    frame = bar_rows(bars, name, symbol, file.name, lost)
    if frame.is_empty():
        why = lost[0].rows[0].found if lost else "it has no rows"
        raise DataError(f"no row of {file} can be used ({why})")
    dataset = os.fspath(into).rstrip("/").rpartition("/")[2] or "spot"
    sink = Sink(Store.create(into, name=dataset, exist_ok=True))
    sink.add(Piece({"references": frame}, {}, lost))
    sink.flush()
    quarantined = {table: dict(why) for table, why in sink.quarantined.items()}
    return DownloadReport(sink.counts, quarantined, 0)


def _read(file: Path, later: timedelta, unit: int) -> tuple[list[dict[str, Any]], list[Lost]]:
    """Return the bars of a file, and the rows that are none."""
    bars, bad = [], []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            columns = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
            when = next((columns[name] for name in TIMES if name in columns), None)
            if when is None or "close" not in columns:
                raise DataError(
                    f"{file} has the columns {', '.join(columns) or 'none'}; expected a time "
                    "(or timestamp, date) and close"
                )
            for row, cells in enumerate(reader):
                try:
                    bar: dict[str, Any] = {n: _value(cells, columns.get(n)) for n in FIELDS}
                    bars.append(bar | {"row": row, "time": _time(cells[when], unit) + later})
                except UnreadableError as error:
                    bad.append(Unusable(row, error.reason, error.found))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read ({' '.join(str(error).split())})") from None
    return bars, [Lost("references", file.name, bad)] if bad else []


def _value(cells: Mapping[str, str | None], column: str | None) -> float | None:
    text = (cells.get(column) or "").strip() if column is not None else ""
    return None if text.lower() in _NULL else number(text)


def _time(text: str | None, unit: int) -> datetime:
    plain = (text or "").strip()
    if plain.isdecimal():
        try:
            return EPOCH + timedelta(microseconds=int(plain) * unit)
        except OverflowError:
            raise UnreadableError("time_range", plain) from None
    found = time(plain)
    if found is None:
        raise UnreadableError("null_key", "no time")
    return found
