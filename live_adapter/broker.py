"""Who takes intents: on paper the simulator's own account, fed moment by moment."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Protocol

import polars as pl

from kalshi_bt.plan import Plan
from kalshi_bt.simulator.assumptions import Risk
from kalshi_bt.simulator.leaving import Gone
from kalshi_bt.simulator.session import Session
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import SECOND
from live_adapter.moments import Moment
from live_adapter.trader import Fees

__all__ = ["Broker", "PaperBroker"]


class Broker(Protocol):
    """An account that takes intents and knows what became of them."""

    def take(self, moment: Moment) -> None:
        """Learn what became known."""

    def submit(self, intents: pl.DataFrame) -> None:
        """Take the intents of the moment that was told last: schema.INTENTS with `ticker`."""

    @property
    def cash(self) -> int:
        """Micro-dollars."""

    @property
    def equity(self) -> int:
        """Cash and what is held, marked at the moment that was told last, micro-dollars."""

    @property
    def held(self) -> pl.DataFrame:
        """What is held: ticker, side, quantity, cost (micro-dollars, before fees), trade_id."""


class PaperBroker:
    """The account of a backtest, under its fill, fee and risk rules.

    Parameters
    ----------
    plan : Plan
    period : int
        Seconds of a bar.

    """

    def __init__(self, plan: Plan, period: int) -> None:
        self.rules = replace(plan.rules, bar=period * SECOND)
        self._risk, self._fees = plan.risk, Fees()
        self._now: date | None = None
        self._session = Session(self.rules, self._fees.rates)

    def take(self, moment: Moment) -> None:
        """Let all happen that happened up to a moment; of markets not listed nothing is taken."""
        if self._fees.learn(moment):
            self._session.set_rates(self._fees.rates)
        if moment.listed.height:
            self._session.list_markets(moment.listed)
        tickers = self._session.tickers.implode()
        told = (moment.bars, moment.settled, moment.determined, moment.books, moment.trades)
        bars, settled, said, books, trades = (
            rows.filter(pl.col("ticker").is_in(tickers)) if rows.height else rows for rows in told
        )
        listed = set(self._session.tickers) if moment.closes else ()
        # A bar executes only if it ended before its market did, so ends come first.
        self._session.close({t: end for t, end in moment.closes.items() if t in listed})
        self._session.settle(settled)
        self._session.determine(said)
        if books.height or trades.height:
            self._session.add_books(books, trades)
        self._session.add_bars(bars)
        self._session.advance(moment.time)
        self._now = moment.time.date()

    def submit(self, intents: pl.DataFrame) -> None:
        """Decide the intents of the moment that was told last.

        Raises
        ------
        DataError
            If a market has no bar that ends at that moment.
        """
        self._session.ask(intents)

    @property
    def cash(self) -> int:
        """Micro-dollars."""
        return self._session.cash

    @property
    def equity(self) -> int:
        """Cash and what is held, marked at the moment that was told last, micro-dollars."""
        return self._session.equity

    @property
    def breaker(self) -> str:
        """Which limit of the strategy refuses entries, and until when; "" if none does."""
        return "" if self._now is None else told_of(self._session.latched, self._risk, self._now)

    @property
    def held(self) -> pl.DataFrame:
        """What is held, as `Session.held`."""
        return self._session.held

    @property
    def booked(self) -> list[str]:
        """Markets whose recorded book is known, by ticker."""
        return self._session.booked

    def so_far(self) -> Simulation:
        """Return the orders and fills up to now."""
        return self._session.so_far()

    def let_go(self, kept: pl.Series) -> Gone:
        """Forget what is over, but for markets that are `kept`; see `Session.let_go`."""
        left = self._session.let_go(kept)
        self._fees.keep(self._session.events)
        return left

    def state(self) -> dict[str, Any]:
        """Return all that it knows; `restore` takes it back."""
        told = {"session": self._session.state(), "fees": self._fees.state()}
        return {**told, "now": None if self._now is None else self._now.isoformat()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._fees.restore(state["fees"])
        self._session.restore(state["session"])
        self._now = None if state["now"] is None else date.fromisoformat(state["now"])

    def end(self) -> Simulation:
        """Let all that is pending happen, and return the orders and fills; nothing can follow."""
        return self._session.end()


def told_of(latched: tuple[str, date] | None, risk: Risk, today: date) -> str:
    """Return since and until when a latched breaker refuses entries; "" if none does.

    Parameters
    ----------
    latched : (str, date) or None
        As `Session.latched`.
    risk : Risk
        What ends it.
    today : date
        UTC.
    """
    if latched is None:
        return ""
    name, day = latched
    drawdown, weekly = name == "breaker_drawdown", name == "breaker_weekly_loss"
    reset = risk.drawdown_reset if drawdown else risk.breaker_reset
    if reset == "never" or name == "breaker_session_loss":
        return f"{name} since {day}, for good: another --session begins anew"
    ends = day + timedelta(days=7 - day.weekday() if weekly else 1)
    return "" if today >= ends else f"{name} since {day}, until {ends}, 00:00 UTC"
