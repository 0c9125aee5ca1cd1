"""The signal under audit: asked anew on a frame, each time as a copy that remembers nothing."""

import dataclasses
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError, KalshiBtError
from kalshi_bt.forecasting import Learned
from kalshi_bt.signal_file import is_signal_file, load_signal

KEY = ("ticker", "time")


class SignalError(DataError):
    """A signal that cannot answer, with the column it asked for if that is why."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Subject:
    """A signal that can be asked again and again; if it learns, as it was fitted last.

    Attributes
    ----------
    name : str
        As the user gave it: a registered name or ``FILE.py:CLASS``.
    learned : Learned
    columns : list of str
        Of the signal, as far as they were met; filled by the first answer.
    """

    name: str
    learned: Learned
    columns: list[str] = field(default_factory=list)

    @property
    def signal(self) -> Any:
        """The signal; of one that learns, the newest, which has most to say."""
        return self.learned.steps[-1][1]

    @property
    def short(self) -> str:
        """Its name without the folder of its file."""
        return Path(self.name).name

    @property
    def lookback(self) -> int | None:
        """Bars of a market that suffice, as the signal states; None if it does not."""
        found = getattr(self.signal, "lookback", None)
        return found if isinstance(found, int) and found >= 1 else None

    def says(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what a copy of the signal says of quotes: their keys and its columns.

        Raises
        ------
        SignalError
            If it raises, or returns no frame with a column of a signal.
        """
        return self.asked(frame, copy(self.signal))

    def asked(self, frame: pl.DataFrame, signal: Any) -> pl.DataFrame:
        """Return what this very signal says of quotes; see `says`."""
        try:
            answer = signal(frame.lazy())
            names = answer.collect_schema().names()
            added = [c for c in schema.SIGNALS if c in names and c not in frame.columns]
            # The streaming engine would cut the frame into pieces that the signal has to join.
            said: pl.DataFrame = answer.lazy().select(*KEY, *added).collect(engine="in-memory")
        except Exception as error:  # noqa: BLE001 - a user's signal may raise anything
            raise self.failure(error, frame) from None
        if not added:
            raise SignalError(f"{self.short} added none of {', '.join(schema.SIGNALS)}")
        self.columns.extend(c for c in added if c not in self.columns)
        return said

    def failure(self, error: Exception, frame: pl.DataFrame) -> SignalError:
        """Return an error of the signal in one line, with the column that it missed."""
        text = str(error).split("\n", maxsplit=1)[0]
        absent = _absent(error, text, frame)
        if isinstance(error, KalshiBtError):
            return SignalError(text, absent)
        file = is_signal_file(self.name) and self.name.rpartition(":")[0]
        rows = traceback.extract_tb(error.__traceback__)
        own = [r for r in rows if file and Path(r.filename).name == Path(file).name]
        where = f" (line {own[-1].lineno})" if own else ""
        return SignalError(f"{self.short} raises {type(error).__name__}{where}: {text}", absent)

    def renewed(self) -> Any:
        """Return a copy of the signal, with nothing left of earlier calls in its module."""
        return copy(self.signal, rerun(self.name) if is_signal_file(self.name) else None)


def copy(signal: Any, cls: type | None = None) -> Any:
    """Return an equal signal that no earlier call of it has touched."""
    if not dataclasses.is_dataclass(signal):
        return signal
    names = (f.name for f in dataclasses.fields(signal) if f.init)
    return (cls or type(signal))(**{name: getattr(signal, name) for name in names})


def rerun(spec: str) -> type:
    """Return the class of a signal file from a run of that file of its own."""
    name = load_signal(spec).__module__
    usual = sys.modules.pop(name)
    try:
        return load_signal(spec)
    finally:
        sys.modules[name] = usual


def _absent(error: Exception, text: str, frame: pl.DataFrame) -> str:
    """Return the column that was asked for and is not there; empty if that was not it."""
    kinds = (pl.exceptions.ColumnNotFoundError, KeyError, DataError)
    if not isinstance(error, kinds):
        return ""
    words = text.replace('"', "'").split("'")
    return next((word for word in words[1:2] if word not in frame.columns), "")
