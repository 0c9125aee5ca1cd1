"""A reader that is too slow loses books, and is told so; what is told once is never dropped."""

import asyncio
from datetime import UTC, datetime, timedelta

from live_adapter.backlog import Backlog
from live_adapter.frames import Down, FeedEvent, Lost, Received

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def received(number: int, kind: str, sid: int) -> Received:
    return Received(NOON + timedelta(seconds=number), b"", {"type": kind, "sid": sid})


async def drained(backlog: Backlog) -> list[FeedEvent | None]:
    return [await backlog.get() for _ in range(len(backlog))]


def test_books_give_way_where_they_stood_and_everything_else_stays_in_order() -> None:
    async def scene() -> list[FeedEvent | None]:
        backlog = Backlog(5)
        for event in events:
            backlog.put(event)
        assert backlog.full()
        assert backlog.give_way() == {1, 4}
        assert (backlog.full(), backlog.peak, backlog.shed) == (False, 7, 4)
        return await drained(backlog)

    events = [
        received(0, "trade", 2),
        received(1, "orderbook_delta", 1),
        received(2, "orderbook_snapshot", 4),
        Down(NOON, "why"),
        received(3, "orderbook_delta", 1),
        received(4, "market_lifecycle_v2", 3),
        received(5, "orderbook_snapshot", 1),
    ]
    assert asyncio.run(scene()) == [
        events[0],
        Lost(events[1].time, 1, "overflow"),
        Lost(events[2].time, 4, "overflow"),
        events[3],
        events[5],
    ]


def test_whoever_fills_it_waits_until_half_of_it_was_read() -> None:
    async def scene() -> None:
        backlog = Backlog(4)
        await backlog.wait_for_room()
        for number in range(5):
            backlog.put(received(number, "trade", 1))
        waiting = asyncio.create_task(backlog.wait_for_room())
        for left in (4, 3, 2):
            await asyncio.sleep(0)
            assert not waiting.done()
            await backlog.get()
            assert len(backlog) == left
        await waiting

    asyncio.run(scene())


def test_a_reader_waits_for_the_first_event() -> None:
    async def scene() -> tuple[FeedEvent | None, FeedEvent | None]:
        backlog = Backlog(4)
        reading = asyncio.create_task(backlog.get())
        await asyncio.sleep(0)
        backlog.put(Down(NOON, "why"))
        backlog.end()
        return await reading, await backlog.get()

    assert asyncio.run(scene()) == (Down(NOON, "why"), None)
