"""What one stage of a run hands to the next, in memory."""

import polars as pl

from kalshi_bt.schema.stored import CANDLES
from kalshi_bt.schema.table import Price, Schema, Table, Time

# The integer panel: one row a bar, sorted by (market, time); market is a row of panel.markets.
_STORED_ONLY = {"ticker", "period", "time", "quote_source"}
_BAR = {name: dtype for name, dtype in CANDLES.columns.items() if name not in _STORED_ONLY}
BARS = Table(
    "bars",
    {"market": pl.UInt32, "time": Time, **_BAR},
    key=("market", "time"),
    nullable=CANDLES.nullable,
)

# What a signal sees. Dollars as Float64; never an outcome column, never an integer scale.
QUOTES: Schema = {
    "ticker": pl.String,  # or an Enum of tickers
    "time": Time,
    "event": pl.String,
    "series": pl.String,
    "open_time": Time,
    "close_time": Time,
    "strike_type": pl.String,
    "floor_strike": pl.Float64,
    "cap_strike": pl.Float64,
    # candle | book | snapshot | trades | assumed (a spread put around the last trade)
    "quote_source": pl.String,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "bid_open": pl.Float64,
    "bid_high": pl.Float64,
    "bid_low": pl.Float64,
    "bid": pl.Float64,  # at the end of the bar
    "ask_open": pl.Float64,
    "ask_high": pl.Float64,
    "ask_low": pl.Float64,
    "ask": pl.Float64,  # at the end of the bar
    "mid": pl.Float64,
    "volume": pl.Float64,  # contracts
    "open_interest": pl.Float64,
    "bid_size": pl.Float64,  # contracts at the best price, at the end of the bar
    "ask_size": pl.Float64,
}

# Columns a signal may add. `fair` is a probability of YES, levels are YES dollars.
SIGNALS: Schema = {
    "fair": pl.Float64,
    "side": pl.Int8,  # +1 buy YES, -1 buy NO, 0 close; null = no new opinion
    "entry": pl.Float64,
    "stop": pl.Float64,
    "target": pl.Float64,
    "confidence": pl.Float64,
    "entry_stop": pl.Boolean,  # true: the entry is a stop order at `entry`
    "exit_time": Time,  # leave at the first bar closing at or after this time
}

EntryKind = pl.Enum(["ioc", "limit", "stop"])
INTENTS = Table(
    "intents",
    {
        "market": pl.UInt32,
        "time": Time,
        "side": pl.Int8,
        "kind": EntryKind,
        "limit": Price,  # YES centi-cents; of a stop entry: its trigger
        "stop": Price,
        "target": Price,
        # target = fill + reward/10 000 x (fill - stop); used where target is null
        "reward": pl.Int64,
        "quantity": pl.Int64,
        "stake": pl.Float64,
        "risk": pl.Float64,
        "valid_bars": pl.Int32,
        "exit_time": Time,
        "fair": pl.Float64,
        "confidence": pl.Float64,
    },
    key=("time", "market"),
    nullable={
        "limit": "any price",
        "stop": "no stop",
        "target": "no target",
        "reward": "no target relative to the fill",
        "quantity": "sized by stake or risk",
        "stake": "not sized by stake (fraction of equity to spend)",
        "risk": "not sized by risk (fraction of equity lost at the stop)",
        "exit_time": "no time exit",
        "fair": "no probability stated",
        "confidence": "not stated",
    },
)
