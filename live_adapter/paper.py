"""A paper session: moments to intents to an account, and the same again after a restart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.plan import Plan
from kalshi_bt.simulator.leaving import Gone
from live_adapter.broker import PaperBroker
from live_adapter.learning import History
from live_adapter.log import MomentLog
from live_adapter.moments import NO_INTENTS, Moment, Resumed
from live_adapter.trader import Trader

__all__ = ["PaperSession", "Step"]

Allow = Callable[[Moment, pl.DataFrame], pl.DataFrame]


def _nobody(broker: PaperBroker, time: datetime) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Step:
    """What a moment led to.

    Attributes
    ----------
    moment : Moment
    decided, asked : frames of schema.INTENTS with `ticker`
        What the strategy wants, and what of it reached the broker.
    """

    moment: Moment
    decided: pl.DataFrame
    asked: pl.DataFrame


class PaperSession:
    """A plan that trades on paper, in a folder from which it goes on after a restart.

    Parameters
    ----------
    folder : Path
        What was fed and asked for is kept in it; if there is something, it is fed again first,
        that is what came after `state`.
    plan : Plan
    period : int
        Seconds of a bar.
    sources : sequence of str
        Whose references will come.
    history : callable, optional
        See `learning.Learning`.
    allow : callable, optional
        Given a moment and what is wanted, returns what of it may reach the broker. Of what was
        asked before a restart it is not asked again.
    fed : callable, optional
        Given the broker and the time of each moment that is fed again, once it was.
    state : mapping, optional
        As `state` returned it, of a session in that folder: see `fits`.

    Attributes
    ----------
    again : int
        How many moments were fed again.

    Raises
    ------
    DataError
        If the folder cannot be written or what it holds was changed.
    UsageError
        If the plan cannot be traded in time: see `Trader` and `PaperBroker`.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        period: int,
        *,
        sources: Sequence[str] = (),
        history: History | None = None,
        allow: Allow | None = None,
        fed: Callable[[PaperBroker, datetime], object] = _nobody,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.trader = Trader(plan, period, sources=sources, history=history)
        self.broker = PaperBroker(plan, period)
        self._allow = allow
        self._log = MomentLog(folder)
        self._now: datetime | None = None
        self.again = 0
        if state is not None:
            self._now = state["now"]
            self.trader.restore(state["trader"])
            self.broker.restore(state["broker"])
        for moment, asked in self._log.after(None if state is None else state["position"]):
            self._learn(moment)
            self.again += 1
            if asked is not None:
                self.trader.recall(asked, moment.time)
                self.broker.submit(asked)
            elif moment.bars.height:
                self._act(moment)
            fed(self.broker, moment.time)

    @staticmethod
    def fits(folder: Path, state: Mapping[str, Any]) -> bool:
        """Tell whether what was fed to a session in a folder is what led to a state, or goes on."""
        return MomentLog(folder).holds(state["position"])

    def state(self) -> dict[str, Any]:
        """Return all that it knows, for another one in the same folder to go on from."""
        return {
            "now": self._now,
            "position": self._log.position,
            "trader": self.trader.state(),
            "broker": self.broker.state(),
        }

    def let_go(self) -> Gone:
        """Forget what is over, and return what the account had of it."""
        self.trader.forget()
        return self.broker.let_go(self.trader.tickers)

    @property
    def now(self) -> datetime | None:
        """The newest moment that was fed; None before the first."""
        return self._now

    @property
    def resumed(self) -> Resumed:
        """What it has, for a source to go on from."""
        return Resumed(self._now, self.trader.closes, self.broker.booked)

    def take(self, moment: Moment) -> Step:
        """Learn of a moment, decide, and ask the broker for what is allowed.

        Raises
        ------
        DataError
            If the moment is not later than the one before.
        """
        if self._now is not None and moment.time <= self._now:
            raise DataError(f"a moment of {moment.time} was fed after one of {self._now}")
        self._log.moment(moment)
        self._learn(moment)
        if moment.bars.is_empty():  # decisions are made where bars close
            return Step(moment, NO_INTENTS, NO_INTENTS)
        return self._act(moment)

    def _learn(self, moment: Moment) -> None:
        self._now = moment.time
        self.broker.take(moment)
        self.trader.take(moment)

    def _act(self, moment: Moment) -> Step:
        decided = self.trader.decide(moment.time)
        asked = decided
        if decided.height and self._allow is not None:
            asked = self._allow(moment, decided)
        self._log.asked(asked)
        self.trader.ordered(asked, moment.time)
        self.broker.submit(asked)
        return Step(moment, decided, asked)
