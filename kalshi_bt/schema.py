"""The tables: columns, types, keys, and what null means in each.

Prices are Int16 centi-cents of the YES side, quantities Int64 centi-contracts, money Int64
micro-dollars, times UTC microseconds at which a row was known (bars are labelled by their end).
A table is declared once, here; stages agree on nothing else.
"""

from dataclasses import dataclass, field

import polars as pl

from kalshi_bt.errors import DataError

Time = pl.Datetime("us", "UTC")
Price = pl.Int16
OHLC = ("open", "high", "low", "close")
QuoteSource = pl.Enum(["candle", "snapshot", "none", "trades", "book"])
DeterminationStatus = pl.Enum(["determined", "disputed", "amended", "finalized"])
Schema = dict[str, pl.DataType | type[pl.DataType]]


@dataclass(frozen=True)
class Table:
    """A declared table.

    Attributes
    ----------
    name : str
        Its name in the store and in messages.
    columns : dict
        Column name to Polars type, key columns first.
    key : tuple of str
        The columns that make a row unique; rows are sorted by them.
    nullable : dict
        Columns that may be null, and what null means there.
    """

    name: str
    columns: Schema
    key: tuple[str, ...]
    nullable: dict[str, str] = field(default_factory=dict)

    def empty(self) -> pl.DataFrame:
        """Return the table without rows."""
        return pl.DataFrame(schema=self.columns)

    def filled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` in the order of the key, absent columns that may be null as nulls.

        Examples
        --------
        >>> SERIES.filled(SERIES.empty().drop("title")).columns == list(SERIES.columns)
        True
        """
        absent = (
            pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in self.columns.items()
            if name in self.nullable and name not in frame.columns
        )
        return self.check(frame.with_columns(*absent).sort(self.key))

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with its columns in declared order, or say what is wrong with it.

        Raises
        ------
        DataError
            If a column is missing or has another type, a value is null where null has no meaning,
            or the key is not unique and sorted.
        """
        for name, dtype in self.columns.items():
            if name not in frame.columns:
                raise DataError(f"{self.name} lacks column {name!r} ({dtype})")
            if frame.schema[name] != dtype:
                raise DataError(f"{self.name}.{name} is {frame.schema[name]}, expected {dtype}")
            if name not in self.nullable and frame[name].null_count():
                row = frame.with_row_index().filter(pl.col(name).is_null()).row(0, named=True)
                at = ", ".join(f"{k}={row[k]}" for k in self.key)
                raise DataError(f"{self.name}.{name} is null at {at}; null has no meaning there")
        frame = frame.select(list(self.columns))
        if frame.height > 1:
            self._check_order(frame)
        return frame

    def _check_order(self, frame: pl.DataFrame) -> None:
        keys = frame.select(pl.struct(self.key).alias("key"))["key"]
        ordered = frame.select(self.key).equals(frame.select(self.key).sort(self.key))
        if not ordered:
            raise DataError(f"{self.name} is not sorted by ({', '.join(self.key)})")
        if keys.n_unique() < frame.height:
            twice = frame.select(self.key).filter(keys.is_duplicated()).row(0)
            raise DataError(f"{self.name} has the key {twice} more than once")


def _ohlc(prefix: str) -> Schema:
    return {f"{prefix}_{part}": Price for part in OHLC}


_NO_TRADE = {f"price_{part}": "no trade in the bar" for part in OHLC}
_EMPTY_BID = {f"bid_{part}": "that side of the book was empty" for part in OHLC}
_EMPTY_ASK = {f"ask_{part}": "that side of the book was empty" for part in OHLC}
PriceRanges = pl.List(pl.Struct({"start": Price, "end": Price, "step": Price}))

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

# --- in memory ------------------------------------------------------------------------------------

# The integer panel: one row a bar, sorted by (market, time); market is a row of panel.markets.
BARS = Table(
    "bars",
    {
        "market": pl.UInt32,
        "time": Time,
        **_ohlc("price"),
        **_ohlc("bid"),
        **_ohlc("ask"),
        "volume": pl.Int64,
        "open_interest": pl.Int64,
        "bid_size": pl.Int64,  # at the end of the bar, at the best price
        "ask_size": pl.Int64,
    },
    key=("market", "time"),
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

# --- what a run leaves ----------------------------------------------------------------------------

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
