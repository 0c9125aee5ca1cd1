"""A session that is recorded: what it acts on is on disk first, so an import tells what it saw.

Beside the messages of the socket the recording holds by which clock the session goes, what the
exchange answered when it was asked for markets, and every moment that was acted on.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import Client, Params
from live_adapter.beside import Beside
from live_adapter.clock import Clock
from live_adapter.frames import Frame
from live_adapter.moments import Moment, micros
from live_adapter.record import Recorder
from live_adapter.sources import Source

_LISTS = {"markets": "ticker", "events": "event_ticker"}
# What of a market counts as news; its quotes come with the messages.
_FACTS = ("close_time", "status", "result", "settlement_ts", "expected_expiration_time")


class Asked(Client):
    """A client whose answers about markets are recorded, each fact once.

    Parameters
    ----------
    url : str
    clock : Clock
        That of the recording.
    credentials : Credentials
    """

    def __init__(self, url: str, clock: Clock, *, credentials: Credentials) -> None:
        super().__init__(url, credentials=credentials)
        self._here = clock
        self._recorder: Recorder | None = None
        self._early: list[Frame] = []  # answers from before the recording
        self._known: dict[tuple[str, str], tuple[Any, ...]] = {}

    def record(self, recorder: Recorder) -> None:
        """Record what was answered so far, and all answers from now on."""
        self._recorder = recorder
        for news in self._early:
            self._tell(recorder, news)
        self._early.clear()

    def get(self, path: str, params: Params | None = None, *, absent_ok: bool = False) -> Any:
        """Return an answer, as `Client.get`."""
        told = super().get(path, params, absent_ok=absent_ok)
        if isinstance(told, dict):
            news = self._news(told)
            if news and self._recorder is None:
                self._early.append(news)
            elif news and self._recorder is not None:
                self._tell(self._recorder, news)
        return told

    def _tell(self, recorder: Recorder, news: Frame) -> None:
        recorder.tell(self._here.now(), {"type": "feed_answer", "msg": news})

    def _news(self, told: dict[str, Any]) -> Frame:
        """Return what of an answer was not recorded yet."""
        found: dict[str, Any] = {"series": told["series"]} if "series" in told else {}
        for name, key in _LISTS.items():
            rows = [row for row in told.get(name) or () if self._is_new(name, str(row[key]), row)]
            if rows:
                found[name] = rows
        return found

    def _is_new(self, name: str, key: str, row: dict[str, Any]) -> bool:
        facts = tuple(row.get(fact) for fact in _FACTS)
        before = self._known.get((name, key))
        self._known[name, key] = facts
        return facts != before


class Recorded(Beside):
    """A source whose moments are handed out once all they are made of is on disk.

    Parameters
    ----------
    source : Source
    asked : Asked
        What the source asks by.
    recorder : Recorder
    clock : Clock
        That of the recording.
    by_exchange : bool
        Whether the session goes by the times that messages tell.
    """

    def __init__(
        self, source: Source, asked: Asked, recorder: Recorder, clock: Clock, *, by_exchange: bool
    ) -> None:
        super().__init__(source)
        self._asked, self._recorder, self._clock = asked, recorder, clock
        self._goes_by = "exchange" if by_exchange else "system"

    async def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield the moments of the source."""
        acted = {} if after is None else {"after_us": micros(after)}
        self._note({"clock": self._goes_by, **acted})  # an import looks for it at the beginning
        self._asked.record(self._recorder)
        async with aclosing(self._source.moments(after)) as moments:
            async for moment in moments:
                paid = moment.settled["ticker"].to_list()
                told = {"paid": paid} if paid else {}
                self._note({"until_us": micros(moment.time), **told})
                self._recorder.safe()
                yield moment

    def _note(self, told: dict[str, Any]) -> None:
        self._recorder.tell(self._clock.now(), {"type": "feed_time", "msg": told})
