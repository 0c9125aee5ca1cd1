"""The structured log of a session: what an operator needs to know, one JSON object a line.

All of the adapter logs through `note`; the file is bounded, the oldest part of it goes first.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from kalshi_bt.errors import DataError
from kalshi_bt.terminal import say
from live_adapter.clock import Clock
from live_adapter.files import mend
from live_adapter.moments import EPOCH

_OURS = logging.getLogger("live_adapter")
_EVENT, _FIELDS = "told_event", "told_fields"
LARGEST, OLDER = 8 * 2**20, 4  # bytes of a file, and files beside it
_LONGEST = 2_000  # characters of a message


def note(event: str, message: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log that something happened.

    Parameters
    ----------
    event : str
        What, in one word that a script can look for.
    message : str
        The same for a reader.
    level : int
        Of `logging`; warnings are shown on the terminal, too.
    **fields
        Numbers, texts, lists of them. Never a key or a header.
    """
    _OURS.log(level, message, extra={_EVENT: event, _FIELDS: fields})


def warn(event: str, message: str, /, **fields: Any) -> None:
    """Log what an operator may have to act on."""
    note(event, message, level=logging.WARNING, **fields)


class _JsonLines(logging.Formatter):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        now = self._clock.now()
        line = {
            "ts": None if now < EPOCH else now.isoformat(),  # a stream told no time yet
            "level": record.levelname.lower(),
            "event": getattr(record, _EVENT, record.name),
            "message": record.getMessage()[:_LONGEST],
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
        return json.dumps(line, default=str)


class _File(RotatingFileHandler):
    """A file of bounded size; a disk that is full stops the log, not the session."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # as its base calls it
        del record
        if not self.failed:
            say(f"warning: {self.baseFilename} cannot be written; the session goes on without it")
        self.failed = True


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def kept(path: Path, clock: Clock, *, aloud: bool) -> Iterator[None]:
    """Write what is logged to a file while the block lasts; warnings to the terminal, too.

    Parameters
    ----------
    path : Path
        Appended to; at `LARGEST` bytes it becomes ``<path>.1`` and a new one begins, of which
        `OLDER` are kept. A torn last line is dropped.
    clock : Clock
        Whose time the lines have.
    aloud : bool
        Whether the terminal is free for warnings.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    try:
        mend(path)
        file = _File(path, maxBytes=LARGEST, backupCount=OLDER, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); choose --out") from None
    file.setFormatter(_JsonLines(clock))
    handlers: list[logging.Handler] = [file]
    if aloud:
        handlers.append(_Said(logging.WARNING))
    level, spread = _OURS.level, _OURS.propagate
    _OURS.setLevel(logging.INFO)
    _OURS.propagate = False
    for handler in handlers:
        _OURS.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            _OURS.removeHandler(handler)
            handler.close()
        _OURS.setLevel(level)
        _OURS.propagate = spread
