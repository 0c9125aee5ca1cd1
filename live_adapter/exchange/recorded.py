"""Raw frames as a tape: they are told again as they came, at the moments at which they came."""

from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from pathlib import Path
from typing import Any

from kalshi_bt.data.importers.ws_lines import Recording, recordings
from kalshi_bt.errors import UsageError
from live_adapter.exchange.frames import CHANNELS
from live_adapter.exchange.happenings import Frame, Happening
from live_adapter.exchange.life import micros


class Recorded:
    """The messages of a recording, in its files and folders; several are told together.

    Numbers are given anew, to each subscription its own. Where those of a recording show that
    messages are lost, so do the new ones, and no book is known to whoever subscribes then; of a
    recording that was cut by market that cannot be told. Answers to commands are left out.

    Parameters
    ----------
    path : Path
        A file or a folder, as `kalshi-bt import` reads them. Prices of NO are taken to be those of
        the exchange's default, of the NO leg.

    Raises
    ------
    DataError
        If it does not exist or holds no recording.
    UsageError
        If no line of it is a message of a channel.
    """

    def __init__(self, path: Path) -> None:
        self._recordings, _ = recordings([path])
        begin = next(self._merged(), None)
        if begin is None:
            raise UsageError(f"{path} holds no message of a channel; nothing to play")
        self._first = begin.time - 1

    def first(self) -> int:
        """Return a moment before the first message."""
        return self._first

    def standing(self, now: int) -> Iterator[Happening]:
        """Return the messages up to a moment."""
        for frame in self._merged():
            if frame.time > now:
                return
            yield frame

    def after(self, now: int) -> Iterator[Happening]:
        """Return the messages after a moment."""
        return (frame for frame in self._merged() if frame.time > now)

    def _merged(self) -> Iterator[Frame]:
        return merge(*map(_frames, self._recordings), key=lambda frame: frame.time)


def _frames(recording: Recording) -> Iterator[Frame]:
    """Yield the messages of one recording that are of a channel, in the order of time."""
    whole, now = not recording.cut(), 0
    numbers: dict[int, int] = {}
    lost: set[int] = set()  # subscriptions that lost messages since their last frame
    for line in recording.lines(lambda _: None):
        kind, body = line.frame.get("type"), line.frame.get("msg")
        sid, seq = line.frame.get("sid"), line.frame.get("seq")
        if isinstance(sid, int) and isinstance(seq, int):
            last = numbers.get(sid, seq)
            if seq < last or (whole and seq > last + 1):
                lost.add(sid)
            numbers[sid] = seq
        if kind not in CHANNELS or not isinstance(body, dict):
            continue
        now = max(now, _moment(line.time, body, now))
        yield Frame(now, kind, body, sid in lost)
        lost.discard(sid)


def _moment(received: int | None, body: dict[str, Any], before: int) -> int:
    """Return when a message came; where that was not recorded, the exchange's time."""
    if received is not None:
        return received
    milli, second = body.get("ts_ms"), body.get("ts")
    if isinstance(milli, int):
        return milli * 1_000
    if isinstance(second, int):
        return second * 1_000_000
    return micros(datetime.fromisoformat(second)) if isinstance(second, str) else before
