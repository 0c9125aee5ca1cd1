"""A slow reader makes books give way and the others wait; all that waits keeps its order."""

import asyncio
from datetime import UTC, datetime, timedelta

from live_adapter.backlog import Backlog
from live_adapter.frames import Down, FeedEvent, Received

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def received(number: int) -> Received:
    return Received(NOON + timedelta(seconds=number), b"", {"type": "trade", "sid": 1})


def test_it_is_crowded_beyond_its_limit_and_eased_at_half_of_it() -> None:
    backlog = Backlog(4)
    states = []
    for number in range(6):
        backlog.put(received(number))
        states.append((backlog.crowded(), backlog.eased()))
    assert states == [(False, True)] * 2 + [(False, False)] * 2 + [(True, False)] * 2
    taken = [backlog.next() for _ in range(4)]
    assert taken == [received(number) for number in range(4)]
    assert (len(backlog), backlog.peak, backlog.eased()) == (2, 6, True)


def test_whoever_fills_it_twice_over_waits_until_it_is_no_longer_crowded() -> None:
    async def scene() -> None:
        backlog = Backlog(2)
        for number in range(4):
            backlog.put(received(number))
            await backlog.wait_for_room()
        backlog.put(received(4))
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
