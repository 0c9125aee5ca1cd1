"""Feeds: where a trader's messages come from."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from live_adapter.frames import FeedEvent


class Feed(Protocol):
    """A source of messages.

    Attributes
    ----------
    counts : Counter
        Messages by type and everything that went wrong, by name.
    """

    @property
    def counts(self) -> Counter[str]:
        """What came and what went wrong, by name."""
        ...

    def events(self) -> AsyncIterator[FeedEvent]:
        """Yield what becomes known, in order, until the feed ends."""
        ...

    async def subscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Ask for channels of markets; without tickers for all there are.

        What is wanted stays wanted over every reconnection, and can be asked for before `events`.
        """
        ...

    async def unsubscribe(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets no longer; without tickers the channels themselves."""
        ...

    async def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for the books of markets anew: whoever folds them found them broken."""
        ...
