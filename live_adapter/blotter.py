"""The files of a session that say what its account did and has: brought up to date at each moment.

`Blotter.note` writes what is not written yet. What it writes follows from the account alone, so a
session that was stopped anywhere, even within a write, leaves the files it would have left.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.state import ORDER, Ints
from kalshi_bt.units import MONEY_SCALE, QUANTITY_SCALE
from live_adapter import account, files, state
from live_adapter.account import Names, Tally
from live_adapter.files import Lines
from live_adapter.journal import Journal

TRADES = "timestamp,market_ticker,side,action,price,contracts,notional,cash_after,note"
EQUITY = "timestamp,cash,unrealized_pnl,realized_pnl,equity,n_positions"
_NEW = {"trades.csv": 0, "equity.csv": 0, "journal.jsonl": 0}
_STATE = ("ordered", "_written", "until", "_days", "_sent", "_names_of", "_ids", "_placed")


class Account(Protocol):
    """What is asked of a broker."""

    @property
    def cash(self) -> int:
        """Micro-dollars."""

    @property
    def equity(self) -> int:
        """Micro-dollars."""

    @property
    def held(self) -> pl.DataFrame:
        """As `broker.Broker.held`."""

    def so_far(self) -> Simulation:
        """Return the orders and fills up to now."""


class Blotter:
    """``book.json``, ``trades.csv``, ``equity.csv``, ``journal.jsonl`` and ``state.json``.

    Parameters
    ----------
    folder : Path
    names : Names
    cash : int
        Micro-dollars at the start.
    since : mapping, optional
        As `state` returned it, of a blotter of the same folder: only what was written after it is
        read.

    Attributes
    ----------
    journal : Journal
    dropped : int
        Bytes of torn lines that were dropped at the opening.
    ordered : int
        How many orders there were by the last note.
    until : datetime or None
        The last moment that ``equity.csv`` has.
    """

    def __init__(
        self, folder: Path, names: Names, cash: int, since: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self._names, self._start = folder, names, cash
        sizes = _NEW if since is None else since["sizes"]
        self._trades = Lines(folder / "trades.csv", TRADES, since=sizes["trades.csv"])
        self._equity = Lines(folder / "equity.csv", EQUITY, since=sizes["equity.csv"])
        told = () if since is None else since["told"]
        self.journal = Journal(folder / "journal.jsonl", sizes["journal.jsonl"], told)
        self.dropped = self._trades.dropped + self._equity.dropped + self.journal.dropped
        self._tally, self._written, self.ordered = Tally(cash), 0, 0
        self.until: datetime | None = None
        self._days: dict[str, float] = {}  # equity at the end of the last days
        self._sent: list[datetime] = []  # orders of the last minute
        self._names_of: dict[str, str] = {}  # orders of the day and those that are open
        self._ids, self._placed = np.empty(0, np.int64), np.empty(0, ORDER)
        if since is not None:
            self._restore(since)
        self._written += len(self._trades.read())
        for row in self._equity.read():
            self.until, equity = _equity_of(row, folder)
            self._count_day(self.until, equity)
        self._seen: tuple[int, pl.DataFrame] | None = None
        self._run: Simulation | None = None
        self._open = schema.ORDERS.empty()
        self._state = state.read(folder / "state.json")
        self._book_of_now = _without_time(state.read(folder / "book.json"))

    def note(self, broker: Account, now: datetime, *, asked: bool = True) -> None:
        """Write what happened up to a moment.

        Parameters
        ----------
        broker : Account
        now : datetime
            The moment the broker was told last.
        asked : bool
            Whether the broker was asked for something since the last note.
        """
        cash, held, equity = broker.cash, broker.held, broker.equity
        same = self._seen is not None and self._seen[0] == cash and self._seen[1].equals(held)
        if asked or not same or self._state.get("open_orders"):
            self._learn(broker.so_far(), now)
        self._seen = cash, held
        cost = int(held["cost"].sum())
        realized = cash + cost - self._start
        if self.until is None or now > self.until:
            row = (cash, equity - cash - cost, realized, equity)
            cells = [f"{value / MONEY_SCALE:.4f}" for value in row]
            self._equity.append([",".join([now.isoformat(), *cells, str(held.height)])])
            self.until = now
            self._count_day(now, float(cells[-1]))  # as a restart reads it
        if not same:
            self._book(cash, realized, held, now)
        told = self._runtime(now, held)
        if told != self._state:
            state.write(self.folder / "state.json", told)
            self._state = told

    def equity_before(self, now: datetime) -> int:
        """Return the equity with which the day of a moment began, micro-dollars."""
        earlier = [day for day in self._days if day < now.date().isoformat()]
        return round(self._days[max(earlier)] * MONEY_SCALE) if earlier else self._start

    @property
    def equity(self) -> int:
        """Equity as of the last note, also of one before a restart, micro-dollars."""
        return round(self._days[max(self._days)] * MONEY_SCALE) if self._days else self._start

    @property
    def recent(self) -> list[int]:
        """When orders were sent within a minute before the last note, seconds since 1970."""
        found: list[int] = self._state.get("recent_order_unix_secs", [])
        return found

    @property
    def run(self) -> Simulation | None:
        """The orders and fills as of the last note."""
        return self._run

    @property
    def filled(self) -> int:
        """How many fills there were by the last note."""
        return self._tally.count

    def restore(self, broker: Account, time: datetime) -> None:
        """Note a moment that is fed again, if ``equity.csv`` lacks it."""
        if self.until is None or time > self.until:
            self.note(broker, time)

    def forget(self, run: Simulation) -> None:
        """Know only of orders that an account still has, as `Session.let_go` left them."""
        self._run, self._open = run, account.open_orders(run)
        self._ids, self._placed = run.orders["order_id"].to_numpy(), run.placed_orders
        self.journal.forget({self._name(row) for row in run.orders.rows(named=True)})

    @staticmethod
    def fits(folder: Path, since: Mapping[str, Any]) -> bool:
        """Tell whether the files of a folder have what they had at a state."""
        return all(files.holds(folder / name, size) for name, size in since["sizes"].items())

    def state(self) -> dict[str, Any]:
        """Return all that it knows, for another one in the same folder to go on from."""
        lines = {"trades.csv": self._trades, "equity.csv": self._equity}
        sizes = {name: part.size for name, part in lines.items()}
        known = {name: getattr(self, name) for name in _STATE}
        return {
            **known,
            "sizes": {**sizes, "journal.jsonl": self.journal.size},
            "told": self.journal.keys,
            "tally": self._tally.state(),
        }

    def _restore(self, since: Mapping[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, since[name])
        self._tally.restore(since["tally"])

    def _learn(self, run: Simulation, now: datetime) -> None:
        self._run, self._open = run, account.open_orders(run)
        before, made = self._tally.count, self._tally.take(run)
        changed = self._changed(run, [fill.row["trade_id"] for fill in made])
        self.journal.tell(account.entries(run, self._names, now, changed))
        columns = run.orders_of(changed).select("order_id", "time", "side")
        sent = {n: (time, side) for n, time, side in columns.rows()}
        new = made[max(self._written - before, 0) :]
        self._trades.append(
            [account.trade_row(f, self._names, *sent[f.row["order_id"]]) for f in new]
        )
        self._written = max(self._written, self._tally.count)

    def _changed(self, run: Simulation, trades: list[int]) -> Ints:
        """Return the rows of orders that changed since the last time, and of some round trips."""
        numbers = run.numbered(np.arange(len(run.placed_orders))).to_numpy()
        _, old, new = np.intersect1d(self._ids, numbers, assume_unique=True, return_indices=True)
        other = new[self._placed[old] != run.placed_orders[new]]
        fresh = np.flatnonzero(numbers >= self.ordered)
        for row in run.orders_of(fresh).iter_rows(named=True):
            self._names_of[self._name(row)] = row["time"].date().isoformat()
            if row["quantity"]:
                self._sent.append(row["time"])
        self._ids, self._placed = numbers, run.placed_orders
        if len(numbers):
            self.ordered = max(self.ordered, int(numbers[-1]) + 1)
        return np.unique(np.concatenate([fresh, other, run.rows_of(np.array(trades, np.int64))]))

    def _runtime(self, now: datetime, held: pl.DataFrame) -> dict[str, Any]:
        """Return the state of a moment; what it no longer asks for is forgotten."""
        day = now.date().isoformat()
        waits = {self._name(row) for row in self._open.iter_rows(named=True)}
        self._names_of = {n: d for n, d in self._names_of.items() if d >= day or n in waits}
        self._sent = [time for time in self._sent if state.is_recent(time, now)]
        self._tally.forget_before(day)
        return state.runtime(
            *(now, self._open, held, self._names),
            realized=self._tally.realized.get(day, 0),
            recent=self._sent,
            seen=self._names_of,
        )

    def _name(self, order: Mapping[str, Any]) -> str:
        return self._names.order(order["ticker"], order["side"], order["time"])

    def _count_day(self, time: datetime, equity: float) -> None:
        """Keep the equity with which the newest day ends so far, and that of the day before it."""
        self._days[time.date().isoformat()] = equity
        self._days = {day: self._days[day] for day in sorted(self._days)[-2:]}

    def _book(self, cash: int, realized: int, held: pl.DataFrame, now: datetime) -> None:
        positions = {
            row["ticker"]: {
                "side": "YES" if row["side"] > 0 else "NO",
                "contracts": _contracts(row["quantity"]),
                "avg_price": row["cost"] / row["quantity"] / 100,
            }
            for row in held.iter_rows(named=True)
        }
        book = {
            "cash": cash / MONEY_SCALE,
            "positions": positions,
            "realized_pnl": realized / MONEY_SCALE,
        }
        if book != self._book_of_now:
            state.write(self.folder / "book.json", {**book, "updated_at": now.isoformat()})
            self._book_of_now = book


def _without_time(book: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in book.items() if name != "updated_at"}


def _contracts(quantity: int) -> int | float:
    whole, rest = divmod(quantity, QUANTITY_SCALE)
    return quantity / QUANTITY_SCALE if rest else whole


def _equity_of(row: str, folder: Path) -> tuple[datetime, float]:
    """Return time and equity of a line of ``equity.csv``."""
    cells = row.split(",")
    try:
        return datetime.fromisoformat(cells[0]), float(cells[4])
    except ValueError:
        raise DataError(f"{folder / 'equity.csv'} has no equity in {row!r}: damaged") from None
