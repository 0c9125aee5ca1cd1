"""A paper session of a stored dataset beside the backtest of the same settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import Backtest, compute
from kalshi_bt.plan import Plan
from kalshi_bt.plan import plan as made_concrete
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation
from live_adapter.checkpoint import packed, unpacked
from live_adapter.panels import replay
from live_adapter.paper import PaperSession


def planned(strategy: str, data: Path, sets: tuple[str, ...] = (), **flags: str) -> Plan:
    given = {
        "strategy": strategy,
        "data": str(data),
        **{k.rstrip("_"): v for k, v in flags.items()},
    }
    return made_concrete(layered(None, {}, given, list(sets)))


@dataclass(frozen=True)
class Traded:
    """What came of either."""

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades: pl.DataFrame
    equity: pl.DataFrame

    @staticmethod
    def on_paper(run: Simulation, cash: int) -> "Traded":
        curve = equity_curve(run.tape, run, cash)
        return Traded(run.orders, run.fills, closed_trades(run.tape, run), curve.equity)


def batch(done: Backtest) -> Traded:
    found = done.base
    return Traded(found.orders, found.fills, found.trades_closed, found.equity)


def opened(
    folder: Path, plan: Plan, state: Mapping[str, Any] | None = None
) -> tuple[PaperSession, Any]:
    """Open a session on the dataset of its plan."""
    told = replay(Store.open(Path(plan.config.data)), plan)
    return PaperSession(folder, plan, told.period, sources=told.sources, state=state), told


def papered(
    folder: Path, plan: Plan, stops: np.random.Generator | None = None, *, kept: bool = False
) -> Traded:
    """Trade a dataset on paper; `stops` kills the session now and then, its files are kept.

    With `kept` it goes on from the state it had some moments before, and is fed what came since.
    """
    session, told = opened(folder, plan)
    state: bytes | None = None
    for n, moment in enumerate(told.moments()):
        if stops is not None and stops.random() < 0.03:
            session, told = opened(folder, plan, None if state is None else unpacked(state))
            assert state is None or session.again < 10
        session.take(moment)
        if kept and n % 10 == 9:
            state = packed(session.state())
    run = session.broker.end()
    return Traded.on_paper(run, session.broker.rules.cash)


def compared(folder: Path, plan: Plan) -> tuple[Traded, Traded]:
    """Return what came of the backtest and of the paper session."""
    done = compute(Store.open(Path(plan.config.data)), plan)
    return batch(done), papered(folder, plan)


def agree(first: Traded, second: Traded) -> None:
    """Demand that both are the same, row for row."""
    for name in ("orders", "fills", "trades", "equity"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.equals(other), f"{name}\n{one}\n{other}"
