"""What a session was fed and what it asked for, in the order of time: enough to begin it again.

One file a day under ``moments/``, appended to only, a line of JSON a record and on disk before the
record counts. A moment comes first, then what was asked for at it. A line that was cut off when the
machine stopped is dropped when the log is opened: nobody acted on it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.errors import DataError
from live_adapter.moments import INTENTS, Moment, frame, from_json, rows, to_json

__all__ = ["MomentLog"]

_ASKED = b'{"asked":'


class MomentLog:
    """The moments of a session folder and the intents of each.

    Parameters
    ----------
    folder : Path
        Of the session; made if it is absent.

    Raises
    ------
    DataError
        If the folder cannot be written, or a log in it was changed.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     log = MomentLog(Path(folder))
    ...     log.moment(Moment(datetime(2026, 6, 1, tzinfo=UTC)))
    ...     found = list(MomentLog(Path(folder)))
    >>> found[0][0].time.day, found[0][1]
    (1, None)
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "moments"
        self._day = ""  # the file of the newest moment
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._files()[-1:]:
                _mend(path)
                self._day = path.stem
        except OSError as error:
            raise DataError(f"{self._folder} cannot be written ({error.strerror})") from None

    def __iter__(self) -> Iterator[tuple[Moment, pl.DataFrame | None]]:
        """Return each moment with what was asked for at it; None: that was not decided yet."""
        moment: Moment | None = None
        asked: pl.DataFrame | None = None
        for path in self._files():
            with path.open("rb") as file:
                for line in file:
                    if line.startswith(_ASKED):
                        asked = _intents(line, path)
                        continue
                    if moment is not None:
                        yield moment, asked
                    moment, asked = from_json(line), None
        if moment is not None:
            yield moment, asked

    def moment(self, moment: Moment) -> None:
        """Keep a moment before anybody acts on it."""
        self._day = f"{moment.time:%Y-%m-%d}"
        self._append(self._day, to_json(moment))

    def asked(self, intents: pl.DataFrame) -> None:
        """Keep what is asked for at the newest moment before the broker is asked."""
        told = json.dumps(rows(intents, INTENTS), separators=(",", ":")).encode()
        self._append(self._day, _ASKED + told + b"}")

    def _append(self, day: str, line: bytes) -> None:
        with (self._folder / f"{day}.jsonl").open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def _mend(path: Path) -> None:
    """Drop what follows the last whole line of a file."""
    with path.open("r+b") as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)
            os.fsync(file.fileno())


def _intents(line: bytes, path: Path) -> pl.DataFrame:
    try:
        cells: list[Any] = json.loads(line)["asked"]
        return frame(cells, INTENTS)
    except (ValueError, TypeError, KeyError, pl.exceptions.PolarsError):
        raise DataError(f"{path} holds a decision that cannot be read; it was changed") from None
