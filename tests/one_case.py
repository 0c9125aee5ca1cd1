"""A random case as the walk and as the plain simulator play it, and the same case told in NO."""

from dataclasses import replace
from typing import Any

import naive
import naive_depth
import numpy as np
import polars as pl
from strategies_random import Case

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import Limit, Risk
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape, prepare

OTHER_END = {"open": "open", "high": "low", "low": "high", "close": "close"}
OTHER_SIDE = {"price": "price", "bid": "ask", "ask": "bid"}


def tape_of(case: Case) -> Tape:
    tables = (case.markets, case.settlements, case.rates, case.determinations)
    if case.books is None:
        return prepare(case.bars, *tables)
    return prepare_books(case.books, case.trades, *tables)


def walked(case: Case) -> tuple[Tape, Simulation]:
    tape = tape_of(case)
    return tape, simulate(tape, case.intents, case.rules)


def played(case: Case) -> Any:
    """The plain simulator at its end: orders, fills as they happened, cash, markets."""
    bars = case.bars
    if case.books is not None:
        bars = naive_depth.read_books(case.books, case.trades, case.markets, case.settlements)
    tables = (case.markets, case.settlements, case.rates, case.intents)
    return naive.played(bars, *tables, case.rules, case.determinations)


def met_exactly(case: Case, rng: np.random.Generator) -> Case:
    """The case with one limit on losses, which is what a decision of it sees, to the last digit."""
    free = replace(case, rules=replace(case.rules, risk=Risk()))
    judged = played(free).judged
    seen = [
        *(("daily_loss", Limit(dollars=lost.day)) for lost in judged if lost.day > 0),
        *(("weekly_loss", Limit(dollars=lost.week)) for lost in judged if lost.week > 0),
        *(("session_loss", Limit(dollars=lost.session)) for lost in judged if lost.session > 0),
        *(("max_drawdown", lost.fallen / lost.peak) for lost in judged if lost.fallen > 0),
    ]
    names = sorted({name for name, _ in seen})
    if not names:
        return free
    name = names[int(rng.integers(len(names)))]
    limits = [limit for of, limit in seen if of == name]
    drawn = case.rules.risk
    risk = Risk(
        **{name: limits[int(rng.integers(len(limits)))]},
        breaker_reset=drawn.breaker_reset,
        drawdown_reset=drawn.drawdown_reset,
    )
    return replace(case, rules=replace(case.rules, risk=risk))


def other(name: str) -> pl.Expr:
    return (10_000 - pl.col(name)).cast(schema.Price)


def turned(levels: str) -> pl.Expr:
    """The bids as asks or the asks as bids: the best stays the first."""
    price = (10_000 - pl.element().struct.field("price")).cast(schema.Price).alias("price")
    return pl.col(levels).list.eval(pl.struct(price, pl.element().struct.field("size")))


def mirrored(case: Case) -> Case:
    """The same case told in NO: p becomes 1 - p, bids become asks, sides are swapped."""
    told = {
        f"{a}_{x}": other(f"{b}_{y}") for a, b in OTHER_SIDE.items() for x, y in OTHER_END.items()
    }
    told |= {"bid_size": pl.col("ask_size"), "ask_size": pl.col("bid_size")}
    levels = {name: other(name) for name in ("limit", "stop", "target")}
    books, trades, determinations = case.books, case.trades, case.determinations
    if books is not None and trades is not None:
        books = books.with_columns(bids=turned("asks"), asks=turned("bids"))
        trades = trades.with_columns(price=other("price"), taker_side=-pl.col("taker_side"))
    if determinations is not None:
        determinations = determinations.with_columns(payout=other("payout"))
    return replace(
        case,
        bars=case.bars.with_columns(**told),
        settlements=case.settlements.with_columns(payout=other("payout")),
        intents=case.intents.with_columns(-pl.col("side"), fair=1 - pl.col("fair"), **levels),
        books=books,
        trades=trades,
        determinations=determinations,
    )
