"""What trading cost, how much was traded, and how much of what was asked for was had."""

from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.trading import NO_CASH, net_pnl, over, trade_sums
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE

NO_QUOTES = "no closed trade with both sides quoted at its decisions"


def _fill_sums(book: Book) -> dict[str, Any]:
    """Return fees, and micro-dollars paid and received on the exchange, own side."""
    yes = (pl.col("leg") == "entry") == (pl.col("quantity") > 0)
    price = pl.col("price").cast(pl.Int64)
    money = pl.col("quantity").abs() * pl.when(yes).then(price).otherwise(PRICE_SCALE - price)
    return book.fills.select(
        fees=pl.col("fee").sum(), traded=money.filter(pl.col("kind") == "trade").sum()
    ).row(0, named=True)


def _order_sums(book: Book) -> dict[str, Any]:
    refused = pl.col("status") == "rejected"
    sent = ~refused & (pl.col("side") != 0)
    return book.orders.select(
        refused=refused.sum(),
        wanted=pl.col("quantity").filter(sent).sum(),
        filled=pl.col("filled").filter(sent).sum(),
    ).row(0, named=True)


def _context_sums(book: Book) -> dict[str, Any]:
    """Return the sums over trades whose quotes were two-sided, in micro-dollars."""
    parts = ("gross_mid", "spread", "slippage")
    quoted = book.context.select(parts).drop_nulls()
    money = {part: np.rint(quoted[part].to_numpy() * MONEY_SCALE) for part in parts}
    return {"n": quoted.height} | {part: int(m.astype(np.int64).sum()) for part, m in money.items()}


def _fees(book: Book) -> int:
    return int(book.once(_fill_sums)["fees"])


def _quoted(part: str, book: Book) -> int | Undefined:
    sums = book.once(_context_sums)
    return int(sums[part]) if sums["n"] else Undefined(NO_QUOTES)


def _drag(part: str, book: Book) -> Value:
    found = _quoted(part, book)
    return found if isinstance(found, Undefined) else over(found, book.initial_cash, NO_CASH)


def _fill_rate(book: Book) -> Value:
    sums = book.once(_order_sums)
    return over(sums["filled"], sums["wanted"], "no order was sent")


COSTS: dict[str, Metric] = {
    "gross_pnl": Metric(
        lambda b: net_pnl(b) + _fees(b), "dollars", "dollar", "Net P&L with the fees added back."
    ),
    "fees": Metric(_fees, "dollars", "dollar", "Exchange fees of all fills."),
    "spread_paid": Metric(
        lambda b: int(b.once(trade_sums)["spread"]),
        "dollars",
        "dollar",
        "Half the quoted spread of every taker fill of closed trades; resting orders pay none.",
    ),
    "pnl_at_mid": Metric(
        lambda b: _quoted("gross_mid", b),
        "dollars",
        "dollar",
        "P&L before fees had every fill been at the middle of the quotes at its decision; closed "
        "trades with both sides quoted then.",
    ),
    "spread_cost": Metric(
        lambda b: _quoted("spread", b),
        "dollars",
        "dollar",
        "Of that, lost from the middle to the quotes at the decisions; the same trades.",
    ),
    "slippage_cost": Metric(
        lambda b: _quoted("slippage", b),
        "dollars",
        "dollar",
        "Of that, lost from the quotes at the decisions to the fills; negative: gained.",
    ),
    "one_sided": Metric(
        lambda b: b.trades_closed.height - int(b.once(_context_sums)["n"]),
        "trades",
        "trade",
        "Closed trades left out of P&L at the middle, spread and slippage: a side was not quoted.",
    ),
    "fee_drag": Metric(
        lambda b: over(_fees(b), b.initial_cash, NO_CASH),
        "fraction",
        "dollar",
        "Fees over initial cash: the return on cash lost to fees.",
    ),
    "spread_drag": Metric(
        lambda b: _drag("spread", b),
        "fraction",
        "dollar",
        "Spread cost over initial cash: the return on cash lost from the middle to the quotes.",
    ),
    "slippage_drag": Metric(
        lambda b: _drag("slippage", b),
        "fraction",
        "dollar",
        "Slippage cost over initial cash: the return on cash lost from the quotes to the fills.",
    ),
    "turnover": Metric(
        lambda b: over(int(b.once(_fill_sums)["traded"]), b.initial_cash, NO_CASH),
        "ratio",
        "dollar",
        "Money paid and received on the exchange over initial cash; settlements do not count.",
    ),
    "n_orders": Metric(
        lambda b: b.orders.height, "orders", "order", "Orders the strategy asked for."
    ),
    "n_rejected": Metric(
        lambda b: int(b.once(_order_sums)["refused"]),
        "orders",
        "order",
        "Orders refused before they reached the exchange.",
    ),
    "fill_rate": Metric(
        _fill_rate, "fraction", "contract", "Contracts filled over contracts sent to be opened."
    ),
    "n_fills": Metric(lambda b: b.fills.height, "fills", "fill", "Executions and settlements."),
}
