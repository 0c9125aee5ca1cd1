"""Structured logs: what libraries and the adapter say while they work, one JSON object a line."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kalshi_bt.terminal import say
from live_adapter.clock import Clock
from live_adapter.files import Lines

_OURS = "live_adapter"


class _JsonLines(logging.Handler):
    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(logging.INFO)
        self._lines, self._clock = Lines(path), clock

    def emit(self, record: logging.LogRecord) -> None:
        told = {
            "ts": self._clock.now().isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = repr(record.exc_info[1])
        self._lines.append([json.dumps(told)])


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def kept(path: Path, clock: Clock, *, aloud: bool) -> Iterator[logging.Logger]:
    """Write what is logged to a file while the block lasts; warnings to the terminal, too.

    Parameters
    ----------
    path : Path
        Appended to.
    clock : Clock
        Whose time the lines have.
    aloud : bool
        Whether the terminal is free for warnings.
    """
    logger = logging.getLogger(_OURS)
    handlers: list[logging.Handler] = [_JsonLines(path, clock)]
    if aloud:
        handlers.append(_Said(logging.WARNING))
    level, spread = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield logger
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = spread
