"""The tables of a dataset."""

import polars as pl

from kalshi_bt.schema.table import OHLC, Price, Schema, Table, Time

QuoteSource = pl.Enum(["candle", "snapshot", "none", "trades", "book"])
DeterminationStatus = pl.Enum(["determined", "disputed", "amended", "finalized"])
PriceRanges = pl.List(pl.Struct({"start": Price, "end": Price, "step": Price}))


def _ohlc(prefix: str) -> Schema:
    return {f"{prefix}_{part}": Price for part in OHLC}


_NO_TRADE = {f"price_{part}": "no trade in the bar" for part in OHLC}
_EMPTY_BID = {f"bid_{part}": "that side of the book was empty" for part in OHLC}
_EMPTY_ASK = {f"ask_{part}": "that side of the book was empty" for part in OHLC}

SERIES = Table(
    "series",
    {
        "series": pl.String,
        "effective_from": Time,  # the row holds from this time on
        "category": pl.String,
        "fee_type": pl.String,  # as the exchange names it; see kalshi_bt.fees
        "fee_multiplier": pl.Int64,  # parts per million; 0 is a value
        "title": pl.String,
        "settlement_sources": pl.String,  # names, separated by "; "
    },
    key=("series", "effective_from"),
    nullable={
        "category": "not known",
        "title": "not known",
        "settlement_sources": "not known",
    },
)

EVENT_FEES = Table(
    "event_fees",  # where an event's fees differ from those of its series
    {
        "event": pl.String,
        "effective_from": Time,
        "fee_type": pl.String,
        "fee_multiplier": pl.Int64,
    },
    key=("event", "effective_from"),
    nullable={
        "fee_type": "that of the series again",
        "fee_multiplier": "that of the series again",
    },
)

MARKETS = Table(
    "markets",
    {
        "ticker": pl.String,
        "event": pl.String,
        "series": pl.String,
        "title": pl.String,
        "open_time": Time,
        "close_time": Time,  # as scheduled at listing: the actual close is an outcome
        "strike_type": pl.String,
        "floor_strike": pl.Float64,
        "cap_strike": pl.Float64,
        "mutually_exclusive": pl.Boolean,
        "price_ranges": PriceRanges,
        "subtitle": pl.String,  # what YES means
        "rules": pl.String,
        "can_close_early": pl.Boolean,
    },
    key=("ticker",),
    nullable={
        "title": "not known",
        "subtitle": "not known",
        "rules": "not known",
        "can_close_early": "not known",
        "open_time": "not known",
        "close_time": "schedule not known",
        "strike_type": "no strike",
        "floor_strike": "no lower strike",
        "cap_strike": "no upper strike",
        "mutually_exclusive": "not known",
        "price_ranges": "whole cents",
    },
)

SETTLEMENTS = Table(
    "settlements",
    {
        "ticker": pl.String,
        "time": Time,  # when the payout was known and paid
        "close_time": Time,  # when trading really ended
        "payout": Price,  # of one YES: 0, 10 000, or in between
        "result": pl.String,  # yes | no | scalar
        "value": pl.Float64,  # of what the market asks about, as the exchange states it
    },
    key=("ticker",),
    nullable={"value": "not stated"},
)

# Settlements that another one of the same market has replaced; several may have been known at one
# time. Of two that differ in the stated value alone the later replaced one is kept.
REVISIONS = Table(
    "revisions",
    SETTLEMENTS.columns,
    key=("ticker", "time", "close_time", "payout", "result"),
    nullable=SETTLEMENTS.nullable,
)

# What was said of a result before and when it was paid; `kalshi_bt.data.lifecycle` tells the order.
DETERMINATIONS = Table(
    "determinations",
    {
        "ticker": pl.String,
        "time": Time,  # when it was known
        "status": DeterminationStatus,
        "payout": Price,  # of one YES, as it stood then; money moves only with a settlement
    },
    key=("ticker", "time"),
    nullable={"payout": "disputed: not known"},
)

CANDLES = Table(
    "candles",
    {
        "ticker": pl.String,
        "period": pl.Int32,  # seconds
        "time": Time,  # end of the bar
        **_ohlc("price"),
        **_ohlc("bid"),
        **_ohlc("ask"),
        "volume": pl.Int64,
        "open_interest": pl.Int64,
        # candle: quotes recorded as OHLC; book: from every change of the book; snapshot: one quote,
        # at the end; trades: from the sides takers took; none: no quotes recorded
        "quote_source": QuoteSource,
        "bid_size": pl.Int64,  # at the end of the bar, at the best price
        "ask_size": pl.Int64,
    },
    key=("ticker", "period", "time"),
    nullable={
        **_NO_TRADE,
        **_EMPTY_BID,
        **_EMPTY_ASK,
        "volume": "not recorded",
        "open_interest": "not recorded",
        "bid_size": "not recorded, or that side was empty",
        "ask_size": "not recorded, or that side was empty",
    },
)

TRADES = Table(
    "trades",
    {
        "ticker": pl.String,
        "time": Time,
        "trade_id": pl.String,  # unique within its market; orders trades of one time
        "price": Price,
        "quantity": pl.Int64,
        "taker_side": pl.Int8,  # +1 bought YES, -1 bought NO
    },
    key=("ticker", "time", "trade_id"),
)

Levels = pl.List(pl.Struct({"price": Price, "size": pl.Int64}))
BOOKS = Table(
    "books",
    {
        "ticker": pl.String,
        "time": Time,  # when the recorder had it
        "bids": Levels,  # of YES, best first
        "asks": Levels,  # of YES (10 000 less the bids of NO), best first
    },
    key=("ticker", "time"),
    nullable={
        "bids": "the book is not known from here to the next row",
        "asks": "the book is not known from here to the next row",
    },
)

REFERENCES = Table(
    "references",
    {
        "source": pl.String,  # "proxy:" before a name: not what the market settles on
        "symbol": pl.String,
        "field": pl.String,  # what of it: close, score, rank ...
        "time": Time,
        "value": pl.Float64,
        "text": pl.String,
    },
    key=("source", "symbol", "field", "time"),
    nullable={"value": "not a number", "text": "no words"},
)

# What has been fetched: all rows of `table` about `subject` with start < time <= end.
COVERAGE = Table(
    "coverage",
    {
        "table": pl.String,
        "subject": pl.String,  # a ticker or a series
        "period": pl.Int32,  # seconds of a bar; 0 where there are no bars
        "start": Time,
        "end": Time,
        "final": pl.Boolean,  # nothing more will come
    },
    key=("table", "subject", "period"),
    nullable={"start": "from the first row there is"},
)

QUARANTINE = Table(
    "quarantine",
    {
        "table": pl.String,
        "source": pl.String,  # file name
        "row": pl.Int64,  # 0-based row of that file
        "reason": pl.String,
        "found": pl.String,
    },
    key=("table", "source", "row", "reason"),
)

STORED = {
    t.name: t
    for t in (
        SERIES,
        EVENT_FEES,
        MARKETS,
        SETTLEMENTS,
        REVISIONS,
        DETERMINATIONS,
        CANDLES,
        TRADES,
        BOOKS,
        REFERENCES,
        COVERAGE,
        QUARANTINE,
    )
}
