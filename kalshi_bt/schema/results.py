"""What a run leaves: orders, fills, round trips and equity."""

import polars as pl

from kalshi_bt.schema.stages import EntryKind
from kalshi_bt.schema.table import Price, Table, Time

OrderStatus = pl.Enum(["rejected", "filled", "partial", "expired", "canceled"])
ORDERS = Table(
    "orders",
    {
        "order_id": pl.Int64,
        "ticker": pl.String,
        "time": Time,
        "side": pl.Int8,
        "kind": EntryKind,
        "limit": Price,
        "stop": Price,
        "target": Price,
        "wanted": pl.Int64,  # quantity sized, before limits
        "quantity": pl.Int64,  # quantity sent
        "filled": pl.Int64,
        "status": OrderStatus,
        "reason": pl.String,
    },
    key=("order_id",),
    nullable={
        "limit": "any price",
        "stop": "no stop",
        "target": "no target",
        "reason": "filled whole and never trimmed",
    },
)

FILLS = Table(
    "fills",
    {
        "order_id": pl.Int64,  # what was executed
        "trade_id": pl.Int64,  # the entry order of its round trip; another only where it nets
        "seq": pl.Int32,
        "ticker": pl.String,
        "time": Time,
        "kind": pl.Enum(["trade", "settlement"]),
        "role": pl.Enum(["taker", "maker", "none"]),
        "leg": pl.Enum(["entry", "exit"]),
        "reason": pl.Enum(["entry", "target", "stop", "time", "signal", "settlement", "netting"]),
        "quantity": pl.Int64,  # signed: + buys YES
        "price": Price,  # YES
        "fee": pl.Int64,
        "source": pl.String,  # where the price came from
    },
    key=("order_id", "seq"),
)

TRADES_CLOSED = Table(
    "trades_closed",
    {
        "trade_id": pl.Int64,  # the entry order
        "ticker": pl.String,
        "event": pl.String,
        "series": pl.String,
        "side": pl.Int8,
        "entry_time": Time,
        "exit_time": Time,
        "quantity": pl.Int64,
        "entry_price": pl.Float64,  # average, dollars of the side held
        "exit_price": pl.Float64,
        "exit_reason": pl.String,
        "stake": pl.Int64,  # micro-dollars paid for the contracts, before fees
        "gross_pnl": pl.Int64,
        "fees": pl.Int64,
        "pnl": pl.Int64,
        "spread_paid": pl.Int64,  # half the quoted spread of each taker fill; 0 where not known
    },
    key=("trade_id",),
)

EQUITY = Table(
    "equity",
    {
        "time": Time,
        "cash": pl.Int64,
        "locked": pl.Int64,  # cost of what is held
        "marked": pl.Int64,  # value of what is held at the side it could be sold to
        "equity": pl.Int64,  # cash + marked
    },
    key=("time",),
)
