"""An exchange as a source: what of it is subscribed to, and until when."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import pytest
from rolling_series import moments, mover

from live_adapter.clock import StreamClock
from live_adapter.moments import Moment
from live_adapter.sources import Fed

pytestmark = pytest.mark.usefixtures("settings_only_from_here")


class Exchange:
    """A feed and a client in one; what is wanted of it is a set of markets."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.wanted: set[str] = set()
        self.counts: Counter[str] = Counter()

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        del channels
        self.wanted |= set(tickers)

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        del channels
        self.wanted -= set(tickers)

    def get(self, path: str, asked: Any = None, *, absent_ok: bool = False) -> dict[str, Any]:
        del asked, absent_ok
        found = [{"ticker": ticker} for ticker in self.open]
        return {"markets": found} if path == "/markets" else {}


def test_markets_of_a_rolling_series_are_subscribed_to_until_they_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, markets = 5, 3
    exchange, plan = Exchange(), mover(tmp_path)
    clock = StreamClock()
    fed = Fed("here", exchange, clock, plan, client=exchange)  # type: ignore[arg-type]
    fed._series = ("KXR",)
    most = 0

    async def told() -> AsyncGenerator[Moment, None]:
        for moment in moments(1, windows, markets, 3):
            if moment.listed.height:
                exchange.open = moment.listed["ticker"].to_list()
            clock.advance(moment.time)
            await fed._look()
            yield moment

    async def follow() -> None:
        nonlocal most
        async for _ in fed.moments(None):
            most = max(most, len(exchange.wanted))

    monkeypatch.setattr(fed, "_all", told)
    asyncio.run(follow())
    assert most == 2 * markets  # the next window is there before the last one has paid
    assert exchange.wanted == set(exchange.open)
    assert fed._known == set(exchange.open)
