"""Clocks: time never goes back, and sleepers wake in the order of what they wait for."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kalshi_bt.errors import UsageError
from live_adapter.clock import StreamClock, SystemClock

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_the_time_of_a_stream_is_the_latest_it_told() -> None:
    clock = StreamClock(NOON)
    clock.advance(NOON + 2 * SECOND)
    clock.advance(NOON + SECOND)
    assert clock.now() == NOON + 2 * SECOND


def test_sleepers_of_a_stream_wake_when_it_is_time_the_earliest_first() -> None:
    woken: list[int] = []

    async def sleeper(clock: StreamClock, seconds: int) -> None:
        await clock.sleep_until(NOON + seconds * SECOND)
        woken.append(seconds)

    async def scene() -> None:
        clock = StreamClock(NOON)
        tasks = [asyncio.create_task(sleeper(clock, n)) for n in (3, 1, 0, 2, 9)]
        await asyncio.sleep(0)
        assert woken == [0]
        clock.advance(NOON + SECOND / 2)
        await asyncio.sleep(0)
        assert woken == [0]
        tasks[-1].cancel()
        clock.advance(NOON + 3 * SECOND)
        await asyncio.gather(*tasks[:-1])
        clock.advance(NOON + 10 * SECOND)  # nobody is left to wake

    asyncio.run(scene())
    assert woken == [0, 1, 2, 3]


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        StreamClock(NOON).advance(datetime(2026, 1, 5, 12))  # noqa: DTZ001


def test_the_clock_of_the_machine_waits_and_never_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from live_adapter import clock as module

    told = [NOON, NOON - SECOND, NOON + SECOND, NOON + SECOND, NOON + 2 * SECOND]
    waited: list[float] = []

    class Told(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # noqa: ARG003
            return told.pop(0)

    async def asleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(module, "datetime", Told)
    monkeypatch.setattr(module.asyncio, "sleep", asleep)
    clock = SystemClock()
    assert [clock.now(), clock.now()] == [NOON, NOON]
    asyncio.run(clock.sleep_until(NOON + 2 * SECOND))
    assert waited == [1.0, 1.0]
