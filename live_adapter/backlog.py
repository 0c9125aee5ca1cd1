"""Messages between the socket and their reader, bounded, and what gives way when it is too slow.

Books are states: a snapshot makes them whole again whatever was missed. So they are what gives way,
all from one message on and said so there (`Lost`), until half of what waits was read; then their
snapshots are asked for. What waits already stays in its order, so that whoever reads a recording of
it meets the loss where the reader did. Trades, results and the rest are told once: they are never
dropped, and when they fill the backlog a second time over the socket waits. Then the exchange's
buffer fills, which ends in an error of its own (25) or a broken connection, and those are holes
that are known too.
"""

import asyncio
from collections import deque

from live_adapter.frames import FeedEvent


class Backlog:
    """A queue of events.

    Parameters
    ----------
    limit : int
        Events it holds before books give way; of the others it takes twice as many.

    Attributes
    ----------
    peak : int
        The most it ever held.
    """

    def __init__(self, limit: int) -> None:
        self.peak = 0
        self._limit = limit
        self._ended = False
        self._events: deque[FeedEvent] = deque()
        self._some, self._room = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: FeedEvent) -> None:
        """Add an event; see to `crowded` and `wait_for_room` then."""
        self._events.append(event)
        self.peak = max(self.peak, len(self._events))
        self._some.set()

    def crowded(self) -> bool:
        """Return whether there are more events than there should be."""
        return len(self._events) > self._limit

    def eased(self) -> bool:
        """Return whether there is room for books again."""
        return len(self._events) * 2 <= self._limit

    def end(self) -> None:
        """Say that no more events will come."""
        self._ended = True
        self._some.set()

    async def get(self) -> FeedEvent | None:
        """Return the oldest event, once there is one; None at the end."""
        while not self._events:
            if self._ended:
                return None
            self._some.clear()
            await self._some.wait()
        return self.next()

    def next(self) -> FeedEvent | None:
        """Return the oldest event; None if there is none now."""
        if not self._events:
            return None
        event = self._events.popleft()
        if not self.crowded():
            self._room.set()
        return event

    async def wait_for_room(self) -> None:
        """Return at once if it holds less than twice what it should, else once that was read."""
        if len(self._events) > 2 * self._limit:
            self._room.clear()
            await self._room.wait()
