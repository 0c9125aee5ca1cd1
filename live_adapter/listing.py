"""Which markets of some series there are, asked of the exchange while it trades.

The exchange tells of a market when it is made, at most once, and only to who listens. So it is also
asked: every minute, when a known market opens or closes, and as soon as news tell of one.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from kalshi_bt.data.kalshi import parse
from kalshi_bt.data.kalshi.client import Client
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fees import rates
from live_adapter.frames import Frame
from live_adapter.moments import EPOCH

Answer = Mapping[str, Any]
Value = TypeVar("Value")
_STATES = ("open", "unopened")
_PAGE, _EVENTS, _NAMED = 1_000, 200, 100  # rows of a page, and tickers in one question
_PAID = ("finalized", "settled")
_OFTEN = timedelta(seconds=60)
_SOON = timedelta(seconds=1)  # after a window opens or closes
_PAID_WITHIN = timedelta(minutes=1)  # of its close, as a rule; then a result is asked for
_FIRST, _LONGEST = timedelta(seconds=2), timedelta(seconds=60)  # waits after failures, doubling


class Listing(Protocol):
    """An exchange that can be asked for markets; answers have the shapes of its API.

    Attributes
    ----------
    counts : dict of str to int
        Questions, and those that were answered 429 or 5xx.
    """

    @property
    def counts(self) -> dict[str, int]:
        """Questions so far, and what went wrong."""
        ...

    def series(self) -> list[Answer]:
        """Return what is told of the series themselves."""
        ...

    def markets(self) -> list[Answer]:
        """Return the events and markets that are traded now, or will be."""
        ...

    def named(self, tickers: Sequence[str]) -> list[Answer]:
        """Return markets as they are now, results included."""
        ...


class RestListing:
    """The exchange's REST interface.

    Parameters
    ----------
    client : Client
    series : sequence of str
    """

    def __init__(self, client: Client, series: Sequence[str]) -> None:
        self._client, self._series = client, tuple(series)
        self._told: list[Answer] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Questions so far, those refused for their number, and those that failed."""
        asked = self._client
        return {"rest": asked.requests, "rest:429": asked.throttled, "rest:5xx": asked.failed}

    def series(self) -> list[Answer]:
        """Return what is told of the series; they are asked for once.

        Raises
        ------
        UsageError
            If there is none of a name.
        DataError
            If the exchange does not answer, or without their fees.
        """
        if self._told is None:
            self._told = [self._one(name) for name in self._series]
        return self._told

    def _one(self, name: str) -> Answer:
        told: Answer | None = self._client.get(f"/series/{quote(name, safe='')}", absent_ok=True)
        if told is None:
            head, dash, _ = name.partition("-")
            cure = f"give a series, such as {head}" if dash else "check --series and --env"
            raise UsageError(f"{self._client.base_url} has no series {name}; {cure}")
        where = f"GET {self._client.base_url}/series/{name}"
        try:  # whoever trades it must know what it costs
            read = parse.series(told)
            for row in read.rows:
                rates(row["fee_type"], row["fee_multiplier"])
        except (DataError, UsageError) as error:
            raise DataError(f"{where}: {error}") from None
        if read.unusable:
            raise DataError(f"{where}: {read.unusable[0].reason}, {read.unusable[0].found}")
        return told

    def markets(self) -> list[Answer]:
        """Return all pages of events and markets that are open or will be.

        Raises
        ------
        DataError
            If the exchange does not answer.
        """
        return [
            page
            for name in self._series
            for path in ("events", "markets")
            for state in _STATES
            for page in self._pages(path, {"series_ticker": name, "status": state})
        ]

    def named(self, tickers: Sequence[str]) -> list[Answer]:
        """Return markets, a hundred in a question.

        Raises
        ------
        DataError
            If the exchange does not answer.
        """
        parts = [tickers[n : n + _NAMED] for n in range(0, len(tickers), _NAMED)]
        return [p for part in parts for p in self._pages("markets", {"tickers": ",".join(part)})]

    def _pages(self, name: str, asked: Mapping[str, str]) -> Iterator[Answer]:
        seen, cursor = {""}, ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            size = _EVENTS if name == "events" else _PAGE
            page = self._rows(name, self._client.get(f"/{name}", {**asked, "limit": size, **more}))
            yield page
            cursor = str(page.get("cursor") or "")
            if cursor in seen or not page[name]:  # a cursor that comes back would never end
                return
            seen.add(cursor)

    def _rows(self, name: str, told: Any) -> Answer:
        """Return the rows of a page, which may be null where there are none, and its cursor."""
        rows = (told.get(name) or []) if isinstance(told, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(
                f"GET {self._client.base_url}/{name} was answered without a list of {name}: "
                f"{' '.join(str(told).split())[:80]}"
            )
        return {name: rows, "cursor": told.get("cursor")}


class Lookout:
    """When markets are to be looked for, and which are known.

    Parameters
    ----------
    series : collection of str
        News of other series are passed over.

    Attributes
    ----------
    known : dict of ticker to close
        Markets that are not over; None where no close is known.

    Examples
    --------
    >>> noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> look = Lookout(["S"])
    >>> market = {"ticker": "S-A", "open_time": "2026-01-05T12:00:30Z"}
    >>> look.learn([{"markets": [market]}], noon), str(look.due)
    (['S-A'], '2026-01-05 12:00:31+00:00')
    >>> look.failed(noon), str(look.due)
    (1, '2026-01-05 12:00:02+00:00')
    """

    def __init__(self, series: Iterable[str]) -> None:
        self._series = frozenset(series)
        self.known: dict[str, datetime | None] = {}
        self.due: datetime = EPOCH
        self._opens: dict[str, datetime] = {}
        self._failed = 0

    def learn(self, answers: Iterable[Answer], now: datetime) -> list[str]:
        """Take the answers of a look; return the tickers that are new, sorted."""
        new = []
        for market in (m for answer in answers for m in answer.get("markets") or ()):
            ticker = market.get("ticker")
            if not isinstance(ticker, str):
                continue
            if market.get("status") in _PAID:
                self.over([ticker])
                continue
            if ticker not in self.known:
                new.append(ticker)
            self.known[ticker] = _time(market.get("close_time"))
            opens = _time(market.get("open_time"))
            if opens is not None and opens > now:
                self._opens[ticker] = opens
        self._failed = 0
        self._next(now)
        return sorted(new)

    def news(self, frame: Frame, now: datetime) -> str | None:
        """Take a message; return the ticker of a market that it tells to be new."""
        inner = frame.get("msg")
        if frame.get("type") != "market_lifecycle_v2" or not isinstance(inner, dict):
            return None
        ticker, kind = inner.get("market_ticker"), inner.get("event_type")
        if not isinstance(ticker, str) or ticker.partition("-")[0] not in self._series:
            return None
        if kind == "settled" and ticker in self.known:
            # Its result was told before, or that message was lost: then it is asked for.
            self.known[ticker] = now - _PAID_WITHIN - _SOON
            self.due = min(self.due, now + _SOON)
        if kind not in ("created", "activated"):
            return None
        if self.due > now:  # what the message leaves out, titles and strikes, is asked for
            self.due = min(self.due, now + _SOON)
        if ticker in self.known:
            return None
        self.known[ticker] = None
        return ticker

    def unpaid(self, now: datetime) -> list[str]:
        """Return the markets that closed a while ago and are not known to be paid."""
        since = now - _PAID_WITHIN
        return sorted(t for t, close in self.known.items() if close is not None and close < since)

    def over(self, tickers: Iterable[str]) -> list[str]:
        """Drop markets; return those that were known."""
        gone = [ticker for ticker in tickers if ticker in self.known]
        for ticker in gone:
            del self.known[ticker]
            self._opens.pop(ticker, None)
        return gone

    def failed(self, now: datetime) -> int:
        """Note that nobody answered; return how often in a row."""
        self.due = now + min(_FIRST * 2 ** min(self._failed, 20), _LONGEST)
        self._failed += 1
        return self._failed

    def _next(self, now: datetime) -> None:
        self._opens = {t: time for t, time in self._opens.items() if time > now}
        closes = [close for close in self.known.values() if close is not None]
        latest = now + _OFTEN
        windows = [time + _SOON for time in (*self._opens.values(), *closes) if time < latest]
        self.due = min([latest, *(time for time in windows if time > now)])


def nothing_open(series: Iterable[str], where: str) -> UsageError:
    """Return what to say of series that have no market."""
    return UsageError(
        f"no market of {', '.join(series)} is open at {where} or will be; name another --series, "
        "or wait"
    )


def aside(work: Callable[[], Value]) -> "asyncio.Future[Value]":
    """Return what comes of work that is done beside the loop; nobody waits for it at the end.

    An executor's thread would be waited for: then Ctrl-C takes as long as a question to a host that
    does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Value] = loop.create_future()

    def settle(value: Value | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(value)  # type: ignore[arg-type]  # of an error there is none
        else:
            done.set_exception(error)

    def run() -> None:
        value, failed = None, None
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001  # whoever awaits it is told
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(settle, value, failed)

    Thread(target=run, daemon=True, name="aside").start()
    return done


def _time(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
