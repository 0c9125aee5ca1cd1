"""Faithful, vectorised backtests of Kalshi event contracts.

A signal adds columns to a table of quotes, a sizing turns them into intents, the simulator turns
intents into fills, and everything else reads tables in or writes tables out.

>>> import kalshi_bt
>>> sorted(kalshi_bt.__all__)
['DataError', 'KalshiBtError', 'Result', 'Store', 'UsageError', 'backtest', 'load']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_bt.data.store import Store
    from kalshi_bt.errors import DataError, KalshiBtError, UsageError
    from kalshi_bt.result import Result, load
    from kalshi_bt.run import backtest

__all__ = ["DataError", "KalshiBtError", "Result", "Store", "UsageError", "backtest", "load"]

_HOME = {
    "DataError": "kalshi_bt.errors",
    "KalshiBtError": "kalshi_bt.errors",
    "UsageError": "kalshi_bt.errors",
    "Result": "kalshi_bt.result",
    "backtest": "kalshi_bt.run",
    "load": "kalshi_bt.result",
    "Store": "kalshi_bt.data.store",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import kalshi_bt`` and ``--help`` stay fast."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kalshi_bt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
