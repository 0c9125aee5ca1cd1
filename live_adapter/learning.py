"""A signal as it learns: fitted with what paid by then, at the times a backtest fits it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.errors import UsageError
from kalshi_bt.forecasting import Learned, Past, history_of, known_first, timed, together
from kalshi_bt.plan import Plan
from kalshi_bt.signals import reads
from live_adapter.logs import note

History = Callable[[datetime], Past | None]
_STATE = ("_visits", "_settled", "_next")


class Learning:
    """What a plan's signal has seen and what paid, and what it makes of it.

    A signal that learns nothing stays as it is. One that does may say how visits of later bars are
    joined to those before, with ``together(earlier, later)``; without, every sample counts.

    Parameters
    ----------
    plan : Plan
    period : int
        Seconds of a bar.
    history : callable, optional
        Given the time of the first bar, returns what was seen and paid before, if anything: the
        signal is fitted with it at once.

    Raises
    ------
    UsageError
        If the plan fits with outcomes that nobody knows yet: the documented mistake of a reference.
    """

    def __init__(self, plan: Plan, period: int, history: History | None = None) -> None:
        self._signal: Any = timed(plan.signal, period)
        self.learns = hasattr(self._signal, "fit")
        if self.learns and plan.config.mode == "reference":
            raise UsageError(
                f"{plan.name} in reference mode is fitted with the outcomes of the markets it "
                "judges, which nobody knows in time; use mode corrected"
            )
        self._every, self._history = plan.refit, history
        self._visits: pl.DataFrame | None = None
        self._settled = schema.SETTLEMENTS.empty()
        self._next: datetime | None = None
        self._fitted: tuple[datetime, int] | None = None  # when, and with how many results
        self._speaks: tuple[datetime | None, Any] = (None, self._signal)

    def speaks(self, now: datetime) -> Learned:
        """Return the signal that decides at a time, with since when it does if not from the start.

        Parameters
        ----------
        now : datetime
            Of the bars that are decided on; it never falls.
        """
        if not self.learns:
            return Learned([(now, self._signal)])
        if self._next is None:
            self._begin(now)
        while self._next is not None and self._next < now:
            time, self._next = self._next, self._next + self._every
            if self._next >= now:
                self._fit(time)
        since, signal = self._speaks
        return Learned([(since or now, signal)])

    @property
    def since(self) -> datetime | None:
        """The last fit: the signal that speaks now knows no bar up to then."""
        return self._speaks[0]

    def see(self, made: Panel, now: datetime) -> None:
        """Keep what the bars that end at a time are samples of."""
        if not self.learns:
            return
        newest = made.quotes(reads(self._signal)).filter(pl.col("time") == now)
        found = self._signal.samples(newest).collect()
        if self._visits is None:
            self._visits = found
            return
        self._visits = together(self._signal, self._visits, found)

    def settle(self, rows: pl.DataFrame) -> None:
        """Learn what was paid; the first payout of a market stands."""
        if self.learns and rows.height:
            self._settled = known_first(self._settled, rows)

    def _begin(self, now: datetime) -> None:
        self._next = now + self._every
        past = None if self._history is None else self._history(now)
        if past is not None:
            self._visits, self._settled = past.visits, known_first(past.settled, self._settled)
            self._fit(now)
            self._speaks = (None, self._speaks[1])

    def _fit(self, time: datetime) -> None:
        self._fitted = time, self._settled.height
        if self._visits is not None:
            paid = history_of(self._visits, self._settled)
            self._speaks = (time, self._signal.refits(paid.lazy(), [time])[-1][1])
            words = f"fitted with {paid.height} samples known by {time}"
            note("fitted", words, time=time.isoformat(), samples=paid.height)

    def state(self) -> dict[str, Any]:
        """Return what it knows, but for the fit; `restore` takes it back and fits anew."""
        known = {name: getattr(self, name) for name in _STATE}
        return {**known, "since": self._speaks[0], "fitted": self._fitted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in _STATE:
            setattr(self, name, state[name])
        if state["fitted"] is not None:
            time, count = state["fitted"]
            settled, self._settled = self._settled, self._settled.head(count)
            self._fit(time)
            self._settled = settled
            self._speaks = (state["since"], self._speaks[1])
