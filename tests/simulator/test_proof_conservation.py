"""Nothing appears and nothing is lost: what must hold at every fill of every fill model.

A plain ledger replays the fills one by one, in the order in which they happened.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import pytest
from one_case import tape_of
from strategies_random import Case
from strategies_random_books import kept_case

from kalshi_bt.simulator.assumptions import FILLS
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.state import AC, BC
from kalshi_bt.simulator.tape import Tape

FEW, MANY = range(20), range(1_000, 1_500)
Row = dict[str, Any]


def drawn(model: str, seed: int) -> Case:
    case = kept_case(seed, "books" if model == "book" else None)
    # With collateral returned cash may be negative; `test_collateral` is about that.
    return replace(case, rules=replace(case.rules, fill=FILLS[model], collateral=False))


def in_order(run: Simulation) -> list[Row]:
    """Fills as they happened, with the bar of each (-1: settlement), prices of YES."""
    names = ("order", "trade", "market", "time", "bar", "quantity", "price", "fee")
    return [{n: int(fill[n]) for n in names} for fill in run.placed]


@dataclass
class Ledger:
    """Cash, and of each market the signed contracts held and what they cost."""

    cash: int
    held: Counter[int] = field(default_factory=Counter)
    cost: Counter[int] = field(default_factory=Counter)

    def book(self, fill: Row) -> None:
        market, quantity = fill["market"], fill["quantity"]
        before = self.held[market]
        opens = before * quantity >= 0
        # An exit is a trade against the side held.
        side = (1 if quantity > 0 else -1) * (1 if opens else -1)
        own = fill["price"] if side > 0 else 10_000 - fill["price"]
        size = abs(quantity)
        if opens:
            self.cash -= size * own
            self.cost[market] += size * own
        else:
            assert size <= abs(before)  # nothing is sold that is not held
            part = self.cost[market] * size // abs(before)
            self.cash += size * own
            self.cost[market] -= part
        self.held[market] += quantity
        self.cash -= fill["fee"]

    @property
    def locked(self) -> int:
        return sum(self.cost.values())


def said_of(case: Case) -> dict[int, list[tuple[int, int | None]]]:
    """By market: when something was said of its result, and the payout of YES; None: disputed."""
    said: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    if case.determinations is not None:
        number = {ticker: m for m, ticker in enumerate(case.markets["ticker"])}
        rows = case.determinations.with_columns(pl.col("time").to_physical())
        for ticker, time, payout in rows.select("ticker", "time", "payout").iter_rows():
            said[number[ticker]].append((time, payout))
    return said


def marked(tape: Tape, held: Counter[int], time: int, said: Any) -> int:
    """What is held, at what was said of it by a time, else at the last bid of its side."""
    worth = 0
    for market, quantity in held.items():
        facts = tape.markets[market]
        rows = range(int(facts["begin"]), int(facts["last"]))
        seen = [row for row in rows if tape.time[row] <= time]
        if quantity == 0 or not seen:
            continue
        bid, ask = int(tape.prices[seen[-1], BC]), int(tape.prices[seen[-1], AC])
        price = max(bid, 0) if quantity > 0 else 10_000 - ask if ask >= 0 else 0
        heard = [payout for t, payout in said[market] if t <= time]
        own = [p if quantity > 0 else 10_000 - p for p in heard if p is not None]
        if own:
            price = min(price, own[-1]) if heard[-1] is None else own[-1]
        worth += abs(quantity) * price
    return worth


def replayed(case: Case) -> int:
    """Replay a run and hold it against its own curve and trades; return how many fills it had."""
    tape = tape_of(case)
    run = simulate(tape, case.intents, case.rules)
    fills, ledger = in_order(run), Ledger(case.rules.cash)
    assert [fill["time"] for fill in fills] == sorted(fill["time"] for fill in fills)
    todo, said = list(fills), said_of(case)
    curve = equity_curve(tape, run, case.rules.cash)
    for point in curve.equity.with_columns(pl.col("time").to_physical()).iter_rows(named=True):
        while todo and todo[0]["time"] <= point["time"]:
            booked(ledger, tape, todo.pop(0))
        worth = marked(tape, ledger.held, point["time"], said)
        found = (ledger.cash, ledger.locked, worth, ledger.cash + worth)
        assert found == tuple(point[n] for n in ("cash", "locked", "marked", "equity"))
    assert not todo
    open_at_end = [market for market, quantity in ledger.held.items() if quantity]
    heard = [m for m in open_at_end if any(time <= point["time"] for time, _ in said[m])]
    assert (curve.unsettled, curve.determined) == (len(open_at_end), len(heard))
    trades, whole = closed_trades(tape, run), Counter[int]()
    for fill in fills:
        whole[fill["trade"]] += fill["quantity"]
    closed = {order for order, quantity in whole.items() if quantity == 0}
    assert set(trades["trade_id"]) == closed
    assert int(trades["fees"].sum()) == sum(f["fee"] for f in fills if f["trade"] in closed)
    if len(closed) == len(whole):  # all is cash again
        assert case.rules.cash + int(trades["pnl"].sum()) == ledger.cash
    as_ordered(run, fills)
    return len(fills)


def booked(ledger: Ledger, tape: Tape, fill: Row) -> None:
    """Book one fill, and hold what is left against what cannot be."""
    ledger.book(fill)
    assert ledger.cash >= 0
    assert fill["fee"] >= 0
    assert min(ledger.cost.values()) >= 0
    if fill["bar"] < 0:  # paid what the market pays, when it pays, for all that was held
        facts = tape.markets[fill["market"]]
        assert (fill["price"], fill["time"]) == (int(facts["payout"]), int(facts["settle"]))
        assert (ledger.held[fill["market"]], ledger.cost[fill["market"]]) == (0, 0)


def as_ordered(run: Simulation, fills: list[Row]) -> None:
    """Hold entries against their orders: never more than was sent, never beyond the limit."""
    bought: dict[int, int] = defaultdict(int)
    orders = run.orders.with_columns(pl.col("time").to_physical()).to_dicts()
    for fill in fills:
        order = orders[fill["order"]]
        if fill["quantity"] * order["side"] <= 0:
            continue
        bought[fill["order"]] += abs(fill["quantity"])
        assert fill["time"] >= order["time"]
        if order["kind"] != "stop" and order["limit"] is not None:
            assert fill["price"] * order["side"] <= order["limit"] * order["side"]
    for order in orders:
        assert bought[order["order_id"]] == order["filled"] or order["side"] == 0
        assert order["filled"] <= order["quantity"]
        if order["side"] != 0:
            assert (order["status"] == "filled") == (order["filled"] == order["quantity"] > 0)


@pytest.mark.parametrize("model", FILLS)
def test_fills_replay_to_cash_positions_and_equity_at_each_time(model: str) -> None:
    assert sum(replayed(drawn(model, seed)) for seed in FEW) > len(FEW)


@pytest.mark.slow
@pytest.mark.parametrize("model", FILLS)
def test_many_more_fills_replay_to_cash_positions_and_equity(model: str) -> None:
    assert sum(replayed(drawn(model, seed)) for seed in MANY) > len(MANY)
