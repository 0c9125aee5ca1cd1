"""What a paper account did, in the words of the files of a session: orders, fills, round trips.

All of it is made of the broker's own orders and fills, so it can be made again at any time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.state import AC, BC, NONE, REJECTED, Ints
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE
from live_adapter.journal import Entry, client_order_id
from live_adapter.moments import micros

_STATUS = {"filled": "Filled", "partial": "PartiallyFilled", "rejected": "Rejected"}
_ACTION = {1: ("BET_YES", "SELL_YES"), -1: ("BET_NO", "SELL_NO")}


@dataclass(frozen=True)
class Names:
    """Who orders: what the names of orders are made of."""

    session: str
    strategy: str
    mode: str = "paper"

    def order(self, ticker: str, side: int, time: datetime) -> str:
        """Return the name of an order; a market is decided at most once at a time."""
        return client_order_id(self.session, self.strategy, ticker, side, time)


@dataclass(frozen=True)
class Fill:
    """A fill and what it did to the account, micro-dollars.

    Attributes
    ----------
    row : mapping
        Of schema.FILLS.
    side : int
        Of the position it opened or closed.
    price : int
        Of that side, centi-cents.
    flow : int
        What came in, fee included.
    realized : int
        What an exit brought beyond its cost, less the fee.
    cash : int
        After it.
    """

    row: dict[str, Any]
    side: int
    price: int
    flow: int
    realized: int
    cash: int


class Tally:
    """Cash and cost over the fills of an account, as they come.

    Parameters
    ----------
    cash : int
        Micro-dollars at the start.

    Attributes
    ----------
    count : int
        Fills so far.
    realized : dict of str to int
        By day of the fills, the last day and those after it alone.
    """

    def __init__(self, cash: int) -> None:
        self.count, self._cash = 0, cash
        self.realized: dict[str, int] = {}
        self._held: dict[int, tuple[int, int]] = {}  # trade -> quantity, cost

    def take(self, run: Simulation) -> list[Fill]:
        """Return the fills since the last time, in the order in which they happened."""
        new = run.placed[max(self.count - run.gone, 0) :]
        fills = replace(run, placed=new).fills.iter_rows(named=True)
        rows = {(row["order_id"], row["seq"]): row for row in fills}
        keys = zip(run.numbered(new["order"]).to_list(), new["seq"].tolist(), strict=True)
        made = [self._fill(rows[key]) for key in keys]
        self.count = run.gone + len(run.placed)
        return made

    def forget_before(self, day: str) -> None:
        """Know no more of what days before one realised."""
        self.realized = {name: sum_ for name, sum_ in self.realized.items() if name >= day}

    def state(self) -> dict[str, Any]:
        """Return what it knows; `restore` takes it back."""
        held = [[trade, *have] for trade, have in self._held.items()]
        return {
            "count": self.count,
            "cash": self._cash,
            "realized": self.realized,
            "held": held,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.count, self._cash = state["count"], state["cash"]
        self.realized = dict(state["realized"])
        self._held = {trade: (quantity, cost) for trade, quantity, cost in state["held"]}

    def _fill(self, row: dict[str, Any]) -> Fill:
        entry, quantity, trade = row["leg"] == "entry", abs(row["quantity"]), row["trade_id"]
        side = 1 if (row["quantity"] > 0) == entry else -1
        price = row["price"] if side > 0 else PRICE_SCALE - row["price"]
        have, cost = self._held.pop(trade, (0, 0))
        if entry:
            flow, realized = -quantity * price - row["fee"], -row["fee"]
            self._held[trade] = have + quantity, cost + quantity * price
        else:
            freed = cost * quantity // have
            flow = quantity * price - row["fee"]
            realized = flow - freed
            if have > quantity:
                self._held[trade] = have - quantity, cost - freed
        self._cash += flow
        day = row["time"].date().isoformat()
        self.realized[day] = self.realized.get(day, 0) + realized
        return Fill(row, side, price, flow, realized, self._cash)


def trade_row(fill: Fill, names: Names, order_time: datetime, order_side: int) -> str:
    """Return a fill as a line of ``trades.csv``."""
    row = fill.row
    settled = row["kind"] == "settlement"
    action = "SETTLE" if settled else _ACTION[fill.side][row["leg"] == "exit"]
    quantity = abs(row["quantity"])
    cells = (
        row["time"].isoformat(),
        row["ticker"],
        "YES" if fill.side > 0 else "NO",
        action,
        _hundredths(fill.price),
        _hundredths(quantity),
        f"{quantity * fill.price / MONEY_SCALE:.4f}",
        f"{fill.cash / MONEY_SCALE:.4f}",
        f"{row['reason']} {names.order(row['ticker'], order_side, order_time)}",
    )
    return ",".join(cells)


def _hundredths(count: int) -> str:
    """Return so many hundredths as a decimal without idle zeros."""
    whole, rest = divmod(count, 100)
    return f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)


def entries(run: Simulation, names: Names, now: datetime, rows: Ints) -> Iterator[Entry]:
    """Return what the journal says of some orders and of the round trips that they began.

    Parameters
    ----------
    run : Simulation
    names : Names
    now : datetime
        When it became known.
    rows : Int64 (k,)
        Of the orders, rising.
    """
    ts = now.isoformat()
    orders = {row["order_id"]: row for row in run.orders_of(rows).rows(named=True)}
    chosen = np.zeros(len(run.placed_orders), np.bool_)
    chosen[rows] = True
    made = replace(run, placed=run.placed[chosen[run.placed["order"]]]).fills
    bought = (pl.col("leg") == "entry") | (pl.col("reason") == "netting")
    size = pl.col("quantity").abs()
    sums = (size.sum(), (size * pl.col("price")).sum().alias("paid"), pl.col("fee").sum())
    by_order = {k: got for k, *got in made.filter(bought).group_by("order_id").agg(*sums).rows()}
    left = dict(made.filter(~bought).group_by("order_id").agg(pl.col("fee").sum()).iter_rows())
    for (n, order), intent in zip(orders.items(), run.intents[rows].rows(named=True), strict=True):
        name = names.order(order["ticker"], order["side"], order["time"])
        told = _intent(order, intent["fair"], _quote(run, intent), name, names)
        yield Entry(order["time"].isoformat(), "order_intent", told)
        ack = {"order_id": n, "client_order_id": name, "received_at": order["time"].isoformat()}
        yield Entry(order["time"].isoformat(), "order_ack", {"ack": ack})
        yield Entry(ts, "order_report", {"report": _report(order, by_order.get(n), name, ts)})
    trips = replace(run, placed=run.placed[chosen[run.placed["trade"]]])
    for trade in closed_trades(run.tape, trips).iter_rows(named=True):
        order = orders[trade["trade_id"]]
        told = _closed(trade, order, names)
        told["exit_fees"] = left.get(trade["trade_id"], 0) / MONEY_SCALE
        yield Entry(ts, "trade_closed", told)


def is_open(order: dict[str, Any]) -> bool:
    """Return whether an order may still fill: the walk has neither ended nor refused it."""
    return order["status"] == "rejected" and order["reason"] is None


def open_orders(run: Simulation) -> pl.DataFrame:
    """Return the orders of a run that may still fill: frame of schema.ORDERS."""
    placed = run.placed_orders
    return run.orders_of(
        np.flatnonzero((placed["status"] == REJECTED) & (placed["reason"] == NONE))
    )


Quote = tuple[float | None, float | None]  # bid and ask, dollars; None where nobody offers


def _intent(
    order: dict[str, Any], fair: float | None, quote: Quote, name: str, names: Names
) -> dict[str, Any]:
    """Return an order as it was wanted, in terms of the side that is bought."""
    side, (bid, ask) = order["side"] or 1, quote
    seen = ask if side > 0 else None if bid is None else 1 - bid
    if fair is not None and side < 0:
        fair = round(1 - fair, 10)
    limit, quantity = order["limit"], order["quantity"]
    told = {
        "client_order_id": name,
        "market_id": order["ticker"],
        "outcome_id": "yes" if side > 0 else "no",
        "side": "buy" if order["side"] else "close",
        "order_type": "market" if limit is None else "stop" if order["kind"] == "stop" else "limit",
        "limit_price": None if limit is None else _own(limit, side) / PRICE_SCALE,
        "quantity": None if quantity is None else quantity / QUANTITY_SCALE,
        "time_in_force": "ioc" if order["kind"] == "ioc" else "gtt",
        "created_at": order["time"].isoformat(),
    }
    return {
        "order": told,
        "mode": names.mode,
        "signal_edge_pct": None if fair is None or seen is None else round(fair - seen, 10),
        "signal_fair_price": fair,
        "signal_observed_price": None if seen is None else round(seen, 4),
    }


def _own(price: int, side: int) -> int:
    return price if side > 0 else PRICE_SCALE - price


def _quote(run: Simulation, intent: dict[str, Any]) -> Quote:
    """Return the bid and the ask at which an intent was decided, dollars."""
    tape, market = run.tape, intent["market"]
    first = int(tape.markets["begin"][market])
    ends = tape.time[first : int(tape.markets["last"][market])]
    at = first + int(np.searchsorted(ends, micros(intent["time"])))
    if at >= first + len(ends):
        return None, None
    bid, ask = (int(tape.prices[at, column]) for column in (BC, AC))
    return (None if bid < 0 else bid / PRICE_SCALE), (None if ask < 0 else ask / PRICE_SCALE)


def _report(order: dict[str, Any], filled: list[int] | None, name: str, now: str) -> dict[str, Any]:
    """Return the state of an order: what it bought, not what was sold of that again.

    `filled` is how much that is, what YES of it cost and the fee.
    """
    status = _STATUS.get(order["status"], "Canceled")
    if is_open(order):
        status = "PartiallyFilled" if order["filled"] else "New"
    average, fee = None, 0
    if filled is not None:
        quantity, paid, fee = filled
        own = paid if order["side"] > 0 else quantity * PRICE_SCALE - paid
        average = own / quantity / PRICE_SCALE
    return {
        "order_id": order["order_id"],
        "client_order_id": name,
        "status": status,
        "filled_qty": order["filled"] / QUANTITY_SCALE,
        "avg_fill_price": average,
        "fee_paid": fee / MONEY_SCALE,
        "updated_at": now,
        "note": order["reason"],
    }


def _closed(trade: dict[str, Any], order: dict[str, Any], names: Names) -> dict[str, Any]:
    return {
        "client_order_id": names.order(order["ticker"], order["side"], order["time"]),
        "market_id": trade["ticker"],
        "outcome_id": "yes" if trade["side"] > 0 else "no",
        "quantity": trade["quantity"] / QUANTITY_SCALE,
        "entry_price": trade["entry_price"],
        "exit_price": trade["exit_price"],
        "exit_reason": trade["exit_reason"],
        "fees": trade["fees"] / MONEY_SCALE,
        "pnl": trade["pnl"] / MONEY_SCALE,
        "closed_at": trade["exit_time"].isoformat(),
    }


def wanted(intents: pl.DataFrame, bars: pl.DataFrame, names: Names) -> Iterator[Entry]:
    """Return what the journal says of intents that nobody is asked to execute.

    Parameters
    ----------
    intents : frame of schema.INTENTS with `ticker`
    bars : frame
        Those of the moment, with ``ticker``, ``bid_close`` and ``ask_close``.
    names : Names
    """
    quotes = {t: (b, a) for t, b, a in bars.select("ticker", "bid_close", "ask_close").iter_rows()}
    for row in intents.iter_rows(named=True):
        bid, ask = (
            None if x is None else x / PRICE_SCALE for x in quotes.get(row["ticker"], (None, None))
        )
        name = names.order(row["ticker"], row["side"], row["time"])
        told = _intent(row, row["fair"], (bid, ask), name, names)
        yield Entry(row["time"].isoformat(), "order_intent", told)
