"""What a session is done with: orders, fills and round trips that its account no longer holds.

Lines of a file that grows with the checkpoints, for the ledger; one that was written after the
last checkpoint is dropped, for it comes again.
"""

import json
from pathlib import Path

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.leaving import Gone
from live_adapter import files
from live_adapter.files import Lines
from live_adapter.moments import frame, rows

PAST = "past.jsonl"
_TABLES = {"orders": schema.ORDERS, "fills": schema.FILLS, "trades": schema.TRADES_CLOSED}


class Past:
    """The rows that left a session.

    Parameters
    ----------
    folder : Path
        Of the session.
    size : int
        Bytes that the checkpoint knows of; what is beyond them is dropped.

    Raises
    ------
    DataError
        If it cannot be written.
    """

    def __init__(self, folder: Path, size: int = 0) -> None:
        self._path = folder / PAST
        files.cut(self._path, size)
        self._lines = Lines(self._path, since=size)

    @property
    def size(self) -> int:
        """Bytes there are."""
        return self._lines.size

    def take(self, gone: Gone) -> None:
        """Write rows down, on disk when this returns."""
        told = {name: rows(getattr(gone, name), _TABLES[name].columns) for name in _TABLES}
        if any(told.values()):
            self._lines.append([json.dumps(told, separators=(",", ":"))])

    def read(self) -> Gone:
        """Return all rows.

        Raises
        ------
        DataError
            If the file was changed.
        """
        parts: dict[str, list[pl.DataFrame]] = {n: [t.empty()] for n, t in _TABLES.items()}
        for line in self._path.read_bytes().splitlines():
            try:
                told = json.loads(line)
                for name, table in _TABLES.items():
                    parts[name].append(frame(told[name], table.columns))
            except (ValueError, TypeError, KeyError, pl.exceptions.PolarsError):
                raise DataError(f"{self._path} holds a line that cannot be read: damaged") from None
        return Gone(**{name: pl.concat(found) for name, found in parts.items()})
