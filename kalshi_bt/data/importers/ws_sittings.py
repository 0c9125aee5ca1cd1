"""Sittings: what of a recording one session saw, from when it was begun until it ended or died.

A session that records notes at its beginning by which clock it goes, and how far it had acted when
it was interrupted, if it was (``feed_time``). Between two sittings nobody listened: bars begin anew
with the second one, and of the first counts what was acted on, since what came in its last moments
died with it; right after that its books are lost. What came to the second one counts from there on,
whatever a clock that was set back says. A session that ended before it had acted on anything saw
nothing. By the clock of the exchange, as beside a local one that plays a dataset, messages came
when they say that they were sent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any

from kalshi_bt.data.importers.ws_lines import (
    RESUMED,
    Flaw,
    Line,
    Recording,
    heard,
    read_lines,
)
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import moment

_HEAD = 2  # lines in which a sitting says what it is
_SURE = 2  # moments that were handed out: the first of them was acted on


@dataclass(frozen=True)
class Sitting:
    """Lines of one session, or of whoever recorded without one.

    Attributes
    ----------
    lines : iterator of Line
        To be read before the next sitting is asked for. The last one says that another follows.
    acting : bool
        Whether a session acted on it: bars that it closed stand, whatever was noticed later.
    vain : bool
        Whether that session ended before it had acted on anything.
    """

    lines: Iterator[Line]
    acting: bool
    vain: bool = False


@dataclass(frozen=True)
class _Told:
    """What a session says at its beginning, and how many moments it was handed, as far as needed.

    A moment is noted before it is handed out: of the last one it is not known whether it was taken.
    """

    acting: bool = False
    by_exchange: bool = False
    after: int | None = None  # how far the one before had acted, microseconds
    moments: int = 0

    def in_vain(self, following: "_Told | None") -> bool:
        """Return whether nothing was acted on, as the one that follows says if there is one."""
        anew = following is not None and following.acting and following.after is None
        return self.acting and self.moments < (_SURE if anew else 1)


def sittings(
    recording: Recording, flawed: Callable[[Flaw], None], counts: Counter[str]
) -> Iterator[Sitting]:
    """Return the sittings of a recording in the order of time.

    Parameters
    ----------
    recording : Recording
    flawed : callable
        Told of lines that are no messages.
    counts : Counter
        Told how many messages did not reach it, as ``shed``.
    """
    told = _told(recording)
    lines = heard(recording.lines(flawed), counts)
    for own, following in zip_longest(told, told[1:]):
        after = None if following is None else following.after
        mine = _until_resumed(lines)
        timed = _by_exchange(mine) if own.by_exchange else mine
        ahead = timed if own.after is None else _later(timed, own.after)
        seen = ahead if after is None else _acted(ahead, after)
        yield Sitting(seen, own.acting, own.in_vain(following))


def is_resumed(frame: Mapping[str, Any]) -> bool:
    """Return whether a message says that another recorder goes on."""
    inner = frame.get("msg")
    why = inner.get("why") if isinstance(inner, Mapping) else None
    return frame.get("type") == "feed_lost" and why == RESUMED


def handed(frame: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return whose payouts a session was handed with a moment that it notes, and the time of that.

    Examples
    --------
    >>> handed({"type": "feed_time", "msg": {"until_us": 7, "paid": ["S-E-A"]}})
    (['S-E-A'], 7)
    >>> handed({"type": "trade", "msg": {}})
    ([], 0)
    """
    said = _noted(frame)
    return said.get("paid", []), said.get("until_us", 0)


def _told(recording: Recording) -> list[_Told]:
    """Return what each sitting says of itself; the first one may say nothing."""
    found: list[_Told] = []
    for path, name in zip(recording.files, recording.names, strict=True):
        lines = read_lines(path, name, lambda _: None)
        head = list(islice(lines, _HEAD))
        if not found or (head and is_resumed(head[0].frame)):
            found.append(_begun(head))
        own = found[-1]
        if own.acting and own.moments < _SURE:
            noted = (line for line in lines if "until_us" in _noted(line.frame))
            more = sum(1 for _ in islice(noted, _SURE))
            found[-1] = replace(own, moments=own.moments + more)
    return found


def _begun(head: Iterable[Line]) -> _Told:
    """Return what the first lines of a sitting say of it."""
    said = next((inner for line in head if (inner := _noted(line.frame))), None)
    if said is None:
        return _Told()
    after = said.get("after_us")
    known = after if isinstance(after, int) else None
    return _Told(acting=True, by_exchange=said.get("clock") == "exchange", after=known)


def _noted(frame: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a session noted of itself, if that is what a message is."""
    inner = frame.get("msg")
    if frame.get("type") == "feed_time" and isinstance(inner, Mapping):
        return inner
    return {}


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


def _later(lines: Iterable[Line], after: int) -> Iterator[Line]:
    """Return lines as a session took them that had acted up to a time: after its books are lost."""
    for line in lines:
        yield line if line.time is None else line._replace(time=max(line.time, after + 2))


def _acted(lines: Iterable[Line], after: int) -> Iterator[Line]:
    """Return what came up to a time, and that nothing is known from then on."""
    for line in lines:
        if is_resumed(line.frame):
            until = {"type": "feed_time", "msg": {"until_us": after}}
            yield line._replace(time=after, frame=until)
            yield line._replace(time=after + 1)
        elif (line.time is None or line.time <= after) and handed(line.frame)[1] <= after:
            yield line


def _sent(frame: Mapping[str, Any]) -> int | None:
    try:
        return moment(frame)
    except UnreadableError:
        return None
