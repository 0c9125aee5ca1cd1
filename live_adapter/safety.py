"""What stands between a decision and the broker, beside the simulator's own limits.

A stop is latched: it survives a restart, and new entries are refused until it ends. The file of the
kill switch stops until it is gone and the operator resumes, a daily loss until the next UTC day.
A silent feed, a wrong clock and orders that come too fast refuse only what is wanted meanwhile.
What closes a position is never refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import format_money
from live_adapter import state
from live_adapter.account import Names
from live_adapter.journal import Entry
from live_adapter.logs import note, warn

KILL_SWITCH, DAILY_LOSS = "kill_switch", "daily_loss"
_CURES = {KILL_SWITCH: "remove it, then --resume", DAILY_LOSS: "over with the UTC day"}
_MINUTE = 60  # seconds


Tell = Callable[[list[Entry]], object]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When nothing new is begun.

    Attributes
    ----------
    kill_switch : Path or None
        A file: while it is there, and until the operator resumes.
    max_silence : timedelta
        Since the feed was heard last.
    max_skew : timedelta
        Between this clock and the times of the exchange.
    daily_loss : int or None
        Micro-dollars below the equity with which the UTC day began.
    max_orders_minute : int or None
        Orders within a minute.
    """

    kill_switch: Path | None = None
    max_silence: timedelta = timedelta(seconds=90)
    max_skew: timedelta = timedelta(seconds=5)
    daily_loss: int | None = None
    max_orders_minute: int | None = 60


def explained(name: str, stop: Mapping[str, str]) -> str:
    """Return why a latched stop holds, and what ends it.

    Examples
    --------
    >>> explained("daily_loss", {"reason": "6.00 dollars lost today"})
    '6.00 dollars lost today; over with the UTC day'
    """
    return f"{stop['reason']}; {_CURES.get(name, '--resume ends it')}"


@dataclass(frozen=True)
class Seen:
    """What is known when orders are wanted.

    Attributes
    ----------
    now : datetime
        By this clock.
    heard : datetime or None
        When the feed was heard last; None where nothing is listened to.
    told : datetime or None
        The newest time the exchange put on a message that came at `heard`.
    equity, began : int
        Now and with the day's beginning, micro-dollars.
    recent : sequence of int
        When orders were sent, seconds since 1970.
    """

    now: datetime
    heard: datetime | None
    told: datetime | None
    equity: int
    began: int
    recent: Sequence[int] = ()


class Safety:
    """The stops of a session and what they refuse.

    Parameters
    ----------
    folder : Path
        Stops are kept in its ``stops.json``.
    limits : Limits
    names : Names
    tell : callable, optional
        Given what the journal is told of a stop that is about to end.

    Attributes
    ----------
    limits : Limits
    stops : dict of str to dict
        Latched stops by name, with ``since``, ``day`` and ``reason``.

    Raises
    ------
    DataError
        If the stops cannot be read: what is not known to be free to trade is not.
    """

    def __init__(self, folder: Path, limits: Limits, names: Names, tell: Tell = list) -> None:
        self._path, self.limits, self._names = folder / "stops.json", limits, names
        self._tell = tell
        found = state.read(self._path)
        if not all(isinstance(stop, dict) and "reason" in stop for stop in found.values()):
            raise DataError(f"{self._path} holds no stops: damaged; mend it or remove it to trade")
        self.stops: dict[str, dict[str, str]] = found

    @property
    def latched(self) -> list[Entry]:
        """What the journal is told of the stops that hold; it may know it."""
        return [
            Entry(stop["since"], "stop", {"name": name, **stop})
            for name, stop in self.stops.items()
        ]

    def resume(self, now: datetime) -> list[Entry]:
        """End all stops because the operator says so; return what the journal is told.

        Raises
        ------
        UsageError
            If the file of the kill switch is still there.
        """
        switch = self.limits.kill_switch
        if switch is not None and switch.exists():
            raise UsageError(f"{switch} is there: trading is stopped; remove it, then --resume")
        return self._end(list(self.stops), now, "resumed by the operator")

    def watch(self, seen: Seen) -> list[Entry]:
        """Latch what is due and end what is over; return what the journal is told."""
        today = seen.now.date().isoformat()
        loss = self.stops.get(DAILY_LOSS)
        told = []
        if loss is not None and loss["day"] != today:
            told += self._end([DAILY_LOSS], seen.now, "a new day")
        switch, most = self.limits.kill_switch, self.limits.daily_loss
        if switch is not None and switch.exists():
            told += self._stop(KILL_SWITCH, seen, f"{switch} is there")
        if most is not None and seen.began - seen.equity >= most:
            lost = format_money(seen.began - seen.equity)
            told += self._stop(DAILY_LOSS, seen, f"{lost} dollars lost today")
        return told

    def allow(self, intents: pl.DataFrame, seen: Seen) -> tuple[pl.DataFrame, list[Entry]]:
        """Return what of some intents may reach the broker, and what the journal is told.

        Parameters
        ----------
        intents : frame of schema.INTENTS with `ticker`
            Of one moment.
        seen : Seen
        """
        told = self.watch(seen)
        why = self._refusal(seen)
        room = self._room(seen)
        keep = []
        for row in intents.iter_rows(named=True):
            reason = why
            if row["side"] == 0:
                reason = None
            elif reason is None and room is not None and room <= 0:
                reason = f"order_rate: {self.limits.max_orders_minute} orders within a minute"
            keep.append(reason is None)
            if reason is not None:
                told.append(self._refused(row, reason, seen.now))
            elif row["side"] and room is not None:
                room -= 1
        return intents.filter(pl.Series(keep, dtype=pl.Boolean)), told

    def _refusal(self, seen: Seen) -> str | None:
        """Return why no entry is allowed now; None if one is."""
        for name in (KILL_SWITCH, DAILY_LOSS):
            if name in self.stops:
                return f"{name}: {self.stops[name]['reason']}"
        if seen.heard is not None and seen.now - seen.heard > self.limits.max_silence:
            silent = (seen.now - seen.heard).total_seconds()
            return f"feed_stale: nothing heard for {silent:.0f} s"
        if seen.told is not None and seen.heard is not None:
            skew = abs(seen.heard - seen.told)
            if skew > self.limits.max_skew:
                return f"clock_skew: {skew.total_seconds():.1f} s from the exchange's time"
        return None

    def _room(self, seen: Seen) -> int | None:
        most = self.limits.max_orders_minute
        recent = sum(1 for time in seen.recent if time > seen.now.timestamp() - _MINUTE)
        return None if most is None else most - recent

    def _refused(self, row: dict[str, object], reason: str, now: datetime) -> Entry:
        ticker, side, time = str(row["ticker"]), int(str(row["side"])), row["time"]
        assert isinstance(time, datetime)
        payload = {
            "client_order_id": self._names.order(ticker, side, time),
            "market_id": ticker,
            "outcome_id": "yes" if side > 0 else "no",
            "reason": reason,
        }
        return Entry(now.isoformat(), "refusal", payload)

    def _stop(self, name: str, seen: Seen, reason: str) -> list[Entry]:
        if name in self.stops:
            return []
        since = seen.now.isoformat()
        stop = {"since": since, "day": seen.now.date().isoformat(), "reason": reason}
        self.stops[name] = stop
        state.write(self._path, self.stops)
        warn("stop", f"nothing new is begun: {name}, {reason}", name=name, reason=reason)
        return [entry for entry in self.latched if entry.payload["name"] == name]

    def _end(self, names: list[str], now: datetime, why: str) -> list[Entry]:
        """End stops; whoever is killed within has told of it and is still stopped."""
        told = []
        for name in names:
            payload = {"name": name, "since": self.stops[name]["since"], "reason": why}
            told.append(Entry(now.isoformat(), "resume", payload))
        if names:
            self._tell(told)
            self.stops = {name: stop for name, stop in self.stops.items() if name not in names}
            state.write(self._path, self.stops)
        for entry in told:
            name, since = entry.payload["name"], entry.payload["since"]
            note("resume", f"{name} is over: {why}", name=name, since=since)
        return told
