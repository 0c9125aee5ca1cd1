"""One walk of the simulator, and what its fills add up to."""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape


@dataclass(frozen=True)
class Walk:
    """What a table of intents led to under some rules.

    Attributes
    ----------
    tape : Tape
    rules : Rules
    run : Simulation
        Its orders and fills.
    trades : frame of schema.TRADES_CLOSED
    curve : Curve
    """

    tape: Tape
    rules: Rules
    run: Simulation
    trades: pl.DataFrame
    curve: Curve


def walk(tape: Tape, intents: pl.DataFrame, rules: Rules) -> Walk:
    """Return the walk of intents (`schema.INTENTS`) over a tape; raises as `simulate`."""
    return added_up(tape, simulate(tape, intents, rules), rules)


def added_up(tape: Tape, run: Simulation, rules: Rules) -> Walk:
    """Return a walk from its fills."""
    return Walk(tape, rules, run, closed_trades(tape, run), equity_curve(tape, run, rules.cash))
