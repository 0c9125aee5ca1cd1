"""What a session was fed and what it asked for, in the order of time: enough to begin it again.

One file a day under ``moments/``, appended to only, a line of JSON a record and on disk before the
record counts. A moment comes first, then what was asked for at it. A line that was cut off when the
machine stopped is dropped when the log is opened: nobody acted on it.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.errors import DataError
from live_adapter import files
from live_adapter.moments import INTENTS, Moment, frame, from_json, rows, to_json

__all__ = ["MomentLog", "Position"]

Position = tuple[str, int, str]  # the newest file, its bytes, and a hash of the last of them
_LAST = 4_096  # bytes that tell a log from another one
_ASKED = b'{"asked":'


class MomentLog:
    """The moments of a session folder and the intents of each.

    Parameters
    ----------
    folder : Path
        Of the session; made if it is absent.

    Attributes
    ----------
    dropped : int
        Bytes of a torn last line that were dropped at the opening.

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
        self._day, self.dropped = "", 0  # the file of the newest moment
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._files()[-1:]:
                self.dropped = files.mend(path)
                self._day = path.stem
        except OSError as error:
            raise DataError(f"{self._folder} cannot be written ({error.strerror})") from None

    def __iter__(self) -> Iterator[tuple[Moment, pl.DataFrame | None]]:
        """Return each moment with what was asked for at it; None: that was not decided yet."""
        return self.after(None)

    @property
    def position(self) -> Position:
        """Where the log ends, and what stands before that."""
        if not self._day:
            return "", 0, ""
        path = self._folder / f"{self._day}.jsonl"
        size = path.stat().st_size
        return self._day, size, _before(path, size)

    def holds(self, position: Position) -> bool:
        """Tell whether the log is one that ended at a position, or went on from it."""
        day, size, before = position
        path = self._folder / f"{day}.jsonl"
        return not day or (files.holds(path, size) and _before(path, size) == before)

    def after(self, position: Position | None) -> Iterator[tuple[Moment, pl.DataFrame | None]]:
        """Return what was fed after a position, all of it if that is None."""
        moment: Moment | None = None
        asked: pl.DataFrame | None = None
        day, size, _ = position or ("", 0, "")
        for path in self._files():
            if path.stem < day:
                continue
            with path.open("rb") as file:
                file.seek(size if path.stem == day else 0)
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
        files.append(self._folder / f"{day}.jsonl", line + b"\n")

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def _before(path: Path, size: int) -> str:
    """Return a hash of what stands before a position in a file."""
    with path.open("rb") as file:
        file.seek(max(size - _LAST, 0))
        return hashlib.sha256(file.read(min(size, _LAST))).hexdigest()


def _intents(line: bytes, path: Path) -> pl.DataFrame:
    try:
        cells: list[Any] = json.loads(line)["asked"]
        return frame(cells, INTENTS)
    except (ValueError, TypeError, KeyError, pl.exceptions.PolarsError):
        raise DataError(f"{path} holds a decision that cannot be read; it was changed") from None
