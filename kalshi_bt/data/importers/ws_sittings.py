"""Sittings: what of a recording one session saw, from when it was begun until it ended or died.

A session that records notes at its beginning by which clock it goes, and how far it had acted when
it was interrupted, if it was (``feed_time``). Between two sittings nobody listened: bars begin anew
with the second one, and of the first counts what was acted on, since what came in its last moments
died with it. By the clock of the exchange, as beside a local one that plays a dataset, messages
came when they say that they were sent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kalshi_bt.data.importers.ws_lines import Flaw, Line, Recording, read_lines
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import moment

_HEAD = 2  # lines in which a sitting says what it is


@dataclass(frozen=True)
class Sitting:
    """Lines of one session, or of whoever recorded without one.

    Attributes
    ----------
    lines : iterator of Line
        To be read before the next sitting is asked for. The last one says that another follows.
    acting : bool
        Whether a session acted on it: bars that it closed stand, whatever was noticed later.
    """

    lines: Iterator[Line]
    acting: bool


@dataclass(frozen=True)
class _Told:
    """What a session says at its beginning."""

    acting: bool = False
    by_exchange: bool = False
    after: int | None = None  # how far the one before had acted, microseconds


def sittings(recording: Recording, flawed: Callable[[Flaw], None]) -> Iterator[Sitting]:
    """Return the sittings of a recording in the order of time.

    Parameters
    ----------
    recording : Recording
    flawed : callable
        Told of lines that are no messages.
    """
    told = _told(recording)
    lines = recording.lines(flawed)
    for number, own in enumerate(told):
        after = told[number + 1].after if number + 1 < len(told) else None
        mine = _until_resumed(lines)
        timed = _by_exchange(mine) if own.by_exchange else mine
        yield Sitting(timed if after is None else _acted(timed, after), own.acting)


def is_resumed(frame: Mapping[str, Any]) -> bool:
    """Return whether a message says that another recorder goes on."""
    inner = frame.get("msg")
    why = inner.get("why") if isinstance(inner, Mapping) else None
    return frame.get("type") == "feed_lost" and why == "recorder"


def _told(recording: Recording) -> list[_Told]:
    """Return what each sitting says of itself; the first one may say nothing."""
    found: list[_Told] = []
    for path, name in zip(recording.files, recording.names, strict=True):
        head = list(islice(read_lines(path, name, lambda _: None), _HEAD))
        if found and not (head and is_resumed(head[0].frame)):
            continue
        said = [h.frame.get("msg") for h in head if h.frame.get("type") == "feed_time"]
        inner = said[0] if said and isinstance(said[0], Mapping) else {}
        after = inner.get("after_us")
        known = after if isinstance(after, int) else None
        found.append(_Told(bool(said), inner.get("clock") == "exchange", known))
    return found


def _until_resumed(lines: Iterator[Line]) -> Iterator[Line]:
    for line in lines:
        yield line
        if is_resumed(line.frame):
            return


def _by_exchange(lines: Iterable[Line]) -> Iterator[Line]:
    """Return lines with the newest time that the exchange told by each; none before the first."""
    early: list[Line] = []
    now: int | None = None
    for line in lines:
        told = _sent(line.frame)
        if told is not None:
            now = told if now is None else max(now, told)
        early.append(line)
        if now is not None:
            yield from (each._replace(time=now) for each in early)
            early = []


def _acted(lines: Iterable[Line], after: int) -> Iterator[Line]:
    """Return what came up to a time, and that nothing is known from then on."""
    for line in lines:
        if is_resumed(line.frame):
            yield line._replace(time=after, frame={"type": "feed_time"})
            yield line._replace(time=max(after, line.time or after))
        elif line.time is None or line.time <= after:
            yield line


def _sent(frame: Mapping[str, Any]) -> int | None:
    try:
        return moment(frame)
    except UnreadableError:
        return None
