"""The files of a session that say what its account did and has: brought up to date at each moment.

`Blotter.note` writes what is not written yet. What it writes follows from the account alone, so a
session that was stopped anywhere, even within a write, leaves the files it would have left.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import MONEY_SCALE, QUANTITY_SCALE
from live_adapter import account, state
from live_adapter.account import Fill, Names
from live_adapter.files import Lines
from live_adapter.journal import Journal

TRADES = "timestamp,market_ticker,side,action,price,contracts,notional,cash_after,note"
EQUITY = "timestamp,cash,unrealized_pnl,realized_pnl,equity,n_positions"


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

    Attributes
    ----------
    journal : Journal
    dropped : int
        Bytes of torn lines that were dropped at the opening.
    orders : frame of schema.ORDERS
        As of the last note.
    fills : list of Fill
    """

    def __init__(self, folder: Path, names: Names, cash: int) -> None:
        self.folder, self._names, self._start = folder, names, cash
        self._trades = Lines(folder / "trades.csv", TRADES)
        self._equity = Lines(folder / "equity.csv", EQUITY)
        self.journal = Journal(folder / "journal.jsonl")
        self.dropped = self._trades.dropped + self._equity.dropped + self.journal.dropped
        self._written = len(self._trades.read())
        rows = self._equity.read()
        self._until = _time(rows[-1]) if rows else None
        self._days = {_time(row).date(): float(row.split(",")[4]) for row in rows}
        self._seen: tuple[Any, ...] | None = None
        self._placed: Any = None
        self._run: Simulation | None = None
        self._state = state.read(folder / "state.json")
        self._book_of_now = _without_time(state.read(folder / "book.json"))
        self.orders = pl.DataFrame()
        self.fills: list[Fill] = []

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
        seen = (cash, *held.iter_rows())
        if asked or seen != self._seen or self._state.get("open_orders"):
            self._learn(broker.so_far(), now)
        self._seen = seen
        cost = int(held["cost"].sum())
        realized = cash + cost - self._start
        if self._until is None or now > self._until:
            row = (cash, equity - cash - cost, realized, equity)
            cells = ",".join(f"{value / MONEY_SCALE:.4f}" for value in row)
            self._equity.append([f"{now.isoformat()},{cells},{held.height}"])
            self._until = now
            self._days[now.date()] = equity / MONEY_SCALE
        self._book(cash, realized, held, now)
        told = state.runtime(now, self.orders, self.fills, held, self._names)
        if told != self._state:
            state.write(self.folder / "state.json", told)
            self._state = told

    def equity_before(self, now: datetime) -> int:
        """Return the equity with which the day of a moment began, micro-dollars."""
        earlier = [day for day in self._days if day < now.date()]
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

    def _learn(self, run: Simulation, now: datetime) -> None:
        self._run, self.orders = run, run.orders
        self.fills = account.fills(run, self._start)
        changed = self._changed(run)
        self.journal.tell(account.entries(run, self._names, now, changed))
        new = self.fills[self._written :]
        times = self.orders.select("time", "side").rows()
        self._trades.append(
            [account.trade_row(f, self._names, *times[f.row["order_id"]]) for f in new]
        )
        self._written += len(new)

    def _changed(self, run: Simulation) -> set[int]:
        """Return the orders that changed, or whose round trips did, since the last time."""
        before, self._placed = self._placed, (run.placed_orders, len(run.placed))
        if before is None:
            return set(range(len(run.placed_orders)))
        old, fills = before
        same = run.placed_orders[: len(old)] == old
        fresh = set(range(len(old), len(run.placed_orders)))
        return (
            fresh | set(np.flatnonzero(~same).tolist()) | set(run.placed["trade"][fills:].tolist())
        )

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


def _time(row: str) -> datetime:
    return datetime.fromisoformat(row.split(",", 1)[0])
