"""Messages between the socket and their reader, bounded, and what gives way when it is too slow.

Books are states: a snapshot makes them whole again whatever was missed. So they are what gives way,
all at once and said so (`Lost`), never the oldest and never in silence. Trades, results and the
rest are told once: they stay, and when they alone fill the backlog the socket waits. Then the
exchange's buffer fills, which ends in an error of its own (25) or a broken connection, and those
are holes that are known too.
"""

import asyncio
from collections import deque

from live_adapter.frames import FeedEvent, Lost, Received

_BOOKS = ("orderbook_delta", "orderbook_snapshot")


class Backlog:
    """A queue of events.

    Parameters
    ----------
    limit : int
        Events it holds before books give way.

    Attributes
    ----------
    peak : int
        The most it ever held.
    shed : int
        Messages of books that gave way.
    """

    def __init__(self, limit: int) -> None:
        self.peak = 0
        self.shed = 0
        self._limit = limit
        self._ended = False
        self._events: deque[FeedEvent] = deque()
        self._some, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: FeedEvent) -> None:
        """Add an event; call `full` and act on it."""
        self._events.append(event)
        self.peak = max(self.peak, len(self._events))
        self._some.set()

    def full(self) -> bool:
        """Return whether there are more events than there should be."""
        return len(self._events) > self._limit

    def give_way(self) -> set[int | None]:
        """Drop the messages of books; return their subscriptions.

        Where the first one of each was, it now says that these books are lost.
        """
        kept: deque[FeedEvent] = deque()
        lost: set[int | None] = set()
        for event in self._events:
            if not isinstance(event, Received) or event.frame.get("type") not in _BOOKS:
                kept.append(event)
                continue
            self.shed += 1
            number = event.frame.get("sid")
            sid = number if isinstance(number, int) else None
            if sid not in lost:
                lost.add(sid)
                kept.append(Lost(event.time, sid, "overflow"))
        self._events = kept
        return lost

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
        if len(self._events) * 2 <= self._limit:
            self._room.set()
        return event

    async def wait_for_room(self) -> None:
        """Return once half of it was read."""
        if self.full():
            self._room.clear()
            await self._room.wait()
