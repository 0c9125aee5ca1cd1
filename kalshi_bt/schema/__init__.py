"""The tables: columns, types, keys, and what null means in each.

Prices are Int16 centi-cents of the YES side, quantities Int64 centi-contracts, money Int64
micro-dollars, times UTC microseconds at which a row was known (bars are labelled by their end).
A table is declared once, in this package; stages agree on nothing else.
"""

from kalshi_bt.schema.results import EQUITY, FILLS, ORDERS, TRADES_CLOSED, OrderStatus
from kalshi_bt.schema.stages import BARS, INTENTS, QUOTES, SIGNALS, EntryKind
from kalshi_bt.schema.stored import (
    BOOKS,
    CANDLES,
    COVERAGE,
    DETERMINATIONS,
    EVENT_FEES,
    MARKETS,
    QUARANTINE,
    REFERENCES,
    REVISIONS,
    SERIES,
    SETTLEMENTS,
    STORED,
    TRADES,
    DeterminationStatus,
    Levels,
    PriceRanges,
    QuoteSource,
)
from kalshi_bt.schema.table import OHLC, Price, Schema, Table, Time

__all__ = [
    "BARS",
    "BOOKS",
    "CANDLES",
    "COVERAGE",
    "DETERMINATIONS",
    "EQUITY",
    "EVENT_FEES",
    "FILLS",
    "INTENTS",
    "MARKETS",
    "OHLC",
    "ORDERS",
    "QUARANTINE",
    "QUOTES",
    "REFERENCES",
    "REVISIONS",
    "SERIES",
    "SETTLEMENTS",
    "SIGNALS",
    "STORED",
    "TRADES",
    "TRADES_CLOSED",
    "DeterminationStatus",
    "EntryKind",
    "Levels",
    "OrderStatus",
    "Price",
    "PriceRanges",
    "QuoteSource",
    "Schema",
    "Table",
    "Time",
]
