"""The tables that say what a run's fills and opinions were worth, beside those of `schema`.

Prices here are dollars (Float64) as the signal saw them; they describe, and no money is counted
from them.
"""

from typing import Final

import polars as pl

from kalshi_bt.schema import Table, Time

# Moments at which one opinion a market is kept: the first, and fixed times before the scheduled
# close. Scores never mix moments: near the close every forecast looks good.
HORIZONS: Final[dict[str, int]] = {
    "1d": 86_400,
    "6h": 21_600,
    "1h": 3_600,
    "15m": 900,
    "5m": 300,
}
FIRST: Final = "first"  # the first bar on which the signal spoke and both sides were quoted

FORECASTS = Table(
    "forecasts",
    {
        "ticker": pl.String,
        "point": pl.String,  # FIRST, or a name of HORIZONS
        "time": Time,  # end of the bar whose opinion and quotes these are
        "event": pl.String,
        "series": pl.String,
        "category": pl.String,
        "close_time": Time,  # scheduled
        "settled": Time,
        "fair": pl.Float64,  # of YES
        "bid": pl.Float64,
        "ask": pl.Float64,
        "mid": pl.Float64,
        "outcome": pl.Float64,  # payout of one YES, dollars
    },
    key=("ticker", "point"),
    nullable={
        "category": "not known",
        "close_time": "schedule not known",
        "settled": "not settled in this data",
        "fair": "the signal states no probability",
        "bid": "that side of the book was empty",
        "ask": "that side of the book was empty",
        "mid": "a side of the book was empty",
        "outcome": "not settled in this data",
    },
)

# One row a row of `schema.TRADES_CLOSED`: what was known when it was decided, and what it became.
CONTEXT = Table(
    "context",
    {
        "trade_id": pl.Int64,
        "decided": Time,  # close of the bar on which the entry was decided
        "category": pl.String,
        "close_time": Time,  # scheduled
        "settled": Time,
        "outcome": pl.Float64,  # payout of one contract of the side held
        "fair": pl.Float64,  # of the side held, at the decision
        "bid": pl.Float64,  # of the side held, at the decision
        "ask": pl.Float64,
        "expected": pl.Float64,  # dollars a contract: fair less entry price and entry fee
        "gross_mid": pl.Float64,  # dollars of the trade had every fill been at its decision's mid
        "spread": pl.Float64,  # dollars lost from the mid to the quote at the decisions
        "slippage": pl.Float64,  # dollars lost from the quote at the decisions to the fills
    },
    key=("trade_id",),
    nullable={
        "category": "not known",
        "close_time": "schedule not known",
        "settled": "not settled in this data",
        "outcome": "not settled in this data",
        "fair": "the signal stated no probability",
        "bid": "that side of the book was empty",
        "ask": "that side of the book was empty",
        "expected": "the signal stated no probability",
        "gross_mid": "a side of the book was empty at a decision",
        "spread": "a side of the book was empty at a decision",
        "slippage": "the side to be taken was empty at a decision",
    },
)

# Seconds after a fill at which the mid is looked up.
MARKOUTS: Final[dict[str, int]] = {"1m": 60, "5m": 300, "30m": 1_800, "1h": 3_600}

# One row a fill that is a trade: what it cost against the quotes, in dollars a contract.
FILL_QUALITY = Table(
    "fill_quality",
    {
        "order_id": pl.Int64,
        "seq": pl.Int32,
        "time": Time,
        "decided": Time,  # end of the last bar that ended by the order's decision
        "half_spread": pl.Float64,  # at the decision
        "slippage": pl.Float64,  # paid beyond the quote at the decision; negative: less
        # mid at the named time after the fill less the price paid, in the direction of the fill
        **{f"markout_{name}": pl.Float64 for name in MARKOUTS},
        "markout_final": pl.Float64,  # against the payout
    },
    key=("order_id", "seq"),
    nullable={
        "decided": "an exit that no bar of the panel decided",
        "half_spread": "a side of the book was empty, or no decision is known",
        "slippage": "the side to be taken was empty, or no decision is known",
        **{f"markout_{name}": "no two-sided quote then" for name in MARKOUTS},
        "markout_final": "not settled in this data",
    },
)

# The same intents once more under one changed assumption each.
SENSITIVITY = Table(
    "sensitivity",
    {
        "case": pl.String,  # base, optimistic, pessimistic, tick_worse, tick_better, fees_1_5 ...
        "what": pl.String,  # in words
        "net_pnl": pl.Int64,
        "fees": pl.Int64,
        "trades": pl.Int64,
        "contracts": pl.Int64,  # centi-contracts of the closed trades
        "win_rate": pl.Float64,
        "max_drawdown": pl.Int64,
    },
    key=("case",),
    nullable={"win_rate": "no trade won or lost"},
)

# Runs of luck: what they make in place of all closed trades together, micro-dollars.
CONTROLS = Table(
    "controls",
    {
        "draw": pl.Int64,
        "random_entry": pl.Int64,  # the same sides and sizes, entered at random times
        "random_side": pl.Int64,  # the same times and sizes, sides by a coin a cluster
    },
    key=("draw",),
)
