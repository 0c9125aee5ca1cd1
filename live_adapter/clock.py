"""What time it is: that of this machine, or that of a stream that is played again.

Whoever needs the time is given a clock. Times are UTC and never go back.
"""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime
from typing import Protocol

from kalshi_bt.errors import UsageError


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> datetime:
        """Return the time, UTC."""
        ...

    async def sleep_until(self, time: datetime) -> None:
        """Return once it is `time`; at once if that is over."""
        ...


class SystemClock:
    """The clock of this machine, the only one that is read anywhere.

    Examples
    --------
    >>> clock = SystemClock()
    >>> clock.now() <= clock.now()
    True
    """

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time, UTC; a clock that is set back stands still until it catches up."""
        self._last = max(self._last, datetime.now(UTC))  # noqa: TID251  # the clock others are given
        return self._last

    async def sleep_until(self, time: datetime) -> None:
        """Return once it is `time`."""
        while (left := (time - self.now()).total_seconds()) > 0:  # noqa: ASYNC110  # nobody else knows when it is time
            await asyncio.sleep(left)


class StreamClock:
    """The time a stream last told, so that a recording plays at any speed with the same result.

    Parameters
    ----------
    start : datetime, optional
        The time until the stream tells one; the earliest there is by default.

    Examples
    --------
    >>> clock = StreamClock()
    >>> clock.advance(datetime(2026, 1, 5, 12, tzinfo=UTC))
    >>> str(clock.now())
    '2026-01-05 12:00:00+00:00'
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = datetime.min.replace(tzinfo=UTC) if start is None else start
        self._waiting: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        """Return the time the stream last told."""
        return self._now

    def advance(self, time: datetime) -> None:
        """Set the time, unless it is over, and let go who waited for it, the earliest first.

        Raises
        ------
        UsageError
            If the time has no zone.
        """
        if time.tzinfo is None:
            raise UsageError(f"{time} has no time zone; give UTC")
        self._now = max(self._now, time)
        while self._waiting and self._waiting[0][0] <= self._now:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def sleep_until(self, time: datetime) -> None:
        """Return once the stream told `time` or a later one."""
        if time <= self._now:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (time, next(self._order), future))
        await future
