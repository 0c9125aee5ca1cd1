"""Recordings played again: the messages, their times and their holes, at any speed."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from kalshi_bt.data.importers.ws_lines import Flaw, Line, recordings
from kalshi_bt.data.importers.ws_sittings import sittings
from kalshi_bt.data.kalshi.parse_cells import EPOCH, UnreadableError
from kalshi_bt.data.wire import moment
from kalshi_bt.errors import UsageError
from live_adapter.clock import Clock, StreamClock
from live_adapter.frames import Down, FeedEvent, Lost, Received


class RecordingFeed:
    """A recording as a feed; see `kalshi_bt.data.importers.ws_lines` for the shapes it may have.

    A message without a receive time came when the exchange says it was sent, and none before the
    one before it, as in an import; what a session recorded comes as it saw it, see
    `kalshi_bt.data.importers.ws_sittings`. `Received.raw` is empty.

    Parameters
    ----------
    sources : sequence of Path
        Files or folders of one recording.
    clock : StreamClock
        Told the time of every event before the event is handed out.
    speed : float, optional
        Seconds of the recording in a second of `pace`; as fast as it is read by default.
    pace : Clock, optional
        The clock that a speed is kept by.

    Attributes
    ----------
    whole : bool
        Whether the recording holds all messages of its subscriptions: see `fold.Fold`.
    acting : bool
        Whether a session made it: then it says by which clock it goes.
    counts : Counter
        Messages by type, malformed and torn lines, times moved up (back), messages of books that
        did not reach whoever recorded them (shed), and those that came to a session that ended
        before it acted on anything (vain).

    Raises
    ------
    DataError
        If the sources cannot be read or hold no recording.
    UsageError
        If they hold several, or a speed is given without a clock to keep it by.

    Examples
    --------
    >>> import asyncio
    >>> from tempfile import TemporaryDirectory
    >>> line = '{"recv_us": 1767614400000000, "event": {"type": "ok"}}'
    >>> async def play(path):
    ...     return [event.frame async for event in RecordingFeed([path], StreamClock()).events()]
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "frames.jsonl")
    ...     _ = path.write_text(line)
    ...     asyncio.run(play(path))
    [{'type': 'ok'}]
    """

    def __init__(
        self,
        sources: Sequence[Path],
        clock: StreamClock,
        *,
        speed: float | None = None,
        pace: Clock | None = None,
    ) -> None:
        found, _ = recordings(sources)
        if len(found) != 1:
            words = ", ".join(map(str, sources))
            raise UsageError(f"{words} hold {len(found)} recordings; play one at a time")
        if speed is not None and (speed <= 0 or pace is None):
            raise UsageError(f"a speed of {speed:g} needs to be above 0 and a clock to be kept by")
        self.counts: Counter[str] = Counter()
        self._recording = found[0]
        self.whole = not self._recording.cut()
        self.acting = next(sittings(self._recording, lambda _: None, Counter())).acting
        self._clock, self._speed, self._pace = clock, speed, pace

    async def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what was recorded, in the order in which it came."""
        first: datetime | None = None
        for event in self._played():
            if self._pace is not None and self._speed is not None:
                if first is None:
                    first, start = event.time, self._pace.now()
                await self._pace.sleep_until(start + (event.time - first) / self._speed)
            self._clock.advance(event.time)
            yield event

    def next(self) -> FeedEvent | None:
        """Return nothing: a recording is read when it is awaited."""
        return None

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Change nothing: what is there was subscribed to when it was recorded."""

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Change nothing."""

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Change nothing: the snapshots that were asked for are in the recording."""

    def _played(self) -> Iterator[FeedEvent]:
        now: int | None = None
        for line in self._lines():
            time = _known(line)
            if time is None and now is None:
                self.counts["malformed"] += 1
                continue
            if now is not None and (time is None or time < now):
                self.counts["back"] += time is not None
                time = now
            now = time
            kind = str(line.frame.get("type"))
            self.counts[f"type:{kind}"] += 1
            at = EPOCH + timedelta(microseconds=now or 0)
            yield _lost(line, at) if kind == "feed_lost" else Received(at, b"", line.frame)

    def _lines(self) -> Iterator[Line]:
        for sitting in sittings(self._recording, self._flawed, self.counts):
            if sitting.vain:
                self.counts["vain"] += sum(1 for _ in sitting.lines)
            else:
                yield from sitting.lines

    def _flawed(self, flaw: Flaw) -> None:
        self.counts["torn" if flaw.torn else "malformed"] += 1


def _known(line: Line) -> int | None:
    """Return when a message was known, microseconds since 1970; None if nothing says so."""
    if line.time is not None:
        return line.time
    try:
        return moment(line.frame)
    except UnreadableError:
        return None


def _lost(line: Line, time: datetime) -> FeedEvent:
    sid, said = line.frame.get("sid"), line.frame.get("msg")
    why = str(said.get("why")) if isinstance(said, dict) else "recorded"
    return Down(time, why) if sid is None else Lost(time, sid, why)
