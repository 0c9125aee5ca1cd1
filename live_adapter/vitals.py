"""How a session is doing, told to the log: closes that took long, silence, counts every minute."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from kalshi_bt.errors import KalshiBtError
from kalshi_bt.plan import Plan
from live_adapter.account import Names
from live_adapter.clock import Clock
from live_adapter.latency import Latencies
from live_adapter.logs import note, warn
from live_adapter.paper import Step
from live_adapter.sources import Source

_MINUTE = timedelta(minutes=1)
_SLOW = timedelta(seconds=1)  # from the message or timer that closed a bar to the last order
_NAMED = 20  # tickers in a line
_GAUGES = ("depth", "peak", "markets", "feed")


class Vitals:
    """What is watched while a session is fed.

    Parameters
    ----------
    source : Source
    clock : Clock
        That of this machine.
    folder : Path
        Of the session.
    silence : timedelta
        After which a feed counts as stale.
    """

    def __init__(self, source: Source, clock: Clock, folder: Path, silence: timedelta) -> None:
        self._source, self._clock, self._silence = source, clock, silence
        self.latencies = Latencies(folder)
        self._told: dict[str, int] = {}
        self._minute = clock.now()
        self._stale: datetime | None = None
        self._steps = self._bars = 0

    def began(self, plan: Plan, names: Names, *, again: int) -> None:
        """Log that a session begins, or goes on after `again` moments, and with what."""
        wanted = ("kalshi-bt", "polars", "numba", "websockets")
        note(
            "session_start",
            f"{plan.name} on {self._source.name}",
            session=names.session,
            mode=names.mode,
            strategy=plan.name,
            series=list(plan.config.series),
            source=self._source.name,
            bar_seconds=self._source.period,
            settings=plan.digest(),
            moments=again,
            versions={"python": python_version(), **{name: version(name) for name in wanted}},
        )

    def ended(self, cause: str) -> None:
        """Log what ended the session, with the last counts."""
        self.count()
        note("session_end", f"ended: {cause}", cause=cause)

    @contextmanager
    def until_ended(self) -> Iterator[None]:
        """Log what went wrong, if something does."""
        try:
            yield
        except BaseException as error:
            # The words of other errors may be anything; those of ours were chosen.
            words = f": {error}" if isinstance(error, KalshiBtError) else ""
            self.ended(f"{type(error).__name__}{words}")
            raise

    def take(self, step: Step) -> None:
        """Note what a moment led to, once all of it is done."""
        moment = step.moment
        self._steps += 1
        self._bars += moment.bars.height
        listens = self._source.listens
        level = logging.INFO if listens else logging.DEBUG  # a replay tells all at once
        for name, event in (("listed", "markets_listed"), ("settled", "markets_settled")):
            tickers = getattr(moment, name)["ticker"].to_list()
            if tickers:
                words = f"{len(tickers)} {event.replace('_', ' ')}"
                note(event, words, level=level, count=len(tickers), tickers=tickers[:_NAMED])
        if not listens or moment.bars.is_empty():
            return
        told, came = self._source.came
        work = self._clock.now() - came
        self.latencies.work.add(work)
        self.latencies.close.add(told - moment.time + work)
        if work > _SLOW:
            warn(
                "slow_close",
                f"bars of {moment.time:%H:%M:%S} took {work.total_seconds():.1f} s",
                seconds=round(work.total_seconds(), 3),
                markets=moment.bars.height,
                orders=step.asked.height,
            )

    def beat(self) -> None:
        """Look at the feed; call it about every second."""
        if not self._source.listens:
            return
        now = self._clock.now()
        heard = self._source.heard
        silent = heard is not None and now - heard > self._silence
        if silent and self._stale is None:
            self._stale = heard
            warn("feed_stale", f"nothing heard since {heard}", since=str(heard))
        elif not silent and self._stale is not None:
            lasted = (now - self._stale).total_seconds()
            note("feed_fresh", f"the feed is heard again after {lasted:.0f} s", seconds=lasted)
            self._stale = None
        if now - self._minute >= _MINUTE:
            self._minute = now
            self.count()

    def count(self) -> None:
        """Log what came since the last time, and keep the latencies."""
        if not self._source.listens:
            return
        health = self._source.health()
        counts = {n: c for n, c in health.items() if isinstance(c, int) and n not in _GAUGES}
        new = {name: count - self._told.get(name, 0) for name, count in sorted(counts.items())}
        self._told = counts
        rest: dict[str, Any] = {name: health[name] for name in _GAUGES if name in health}
        note(
            "counts",
            f"{sum(n for name, n in new.items() if name.startswith('type:'))} messages",
            moments=self._steps,
            bars=self._bars,
            new={name: count for name, count in new.items() if count},
            **rest,
            **self.latencies.summary(),
        )
        if new.get("rest:429"):
            words = f"{new['rest:429']} questions were refused for their number; asked again"
            warn("throttled", words, count=new["rest:429"])
        self._steps = self._bars = 0
        self.latencies.keep()
