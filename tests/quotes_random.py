"""Quotes for tests: random ones, one market bar by bar, and the same seen from NO."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from kalshi_bt.schema import QUOTES
from kalshi_bt.signals.random_quotes import PRICES, START, quotes

__all__ = ["PRICES", "START", "flat", "mirrored", "quotes"]


def flat(
    bars: Sequence[tuple[float, float, float, float] | None], *, seconds: int = 60, **fields: Any
) -> pl.DataFrame:
    """Return one market from (open, high, low, close) or None for a bar without a trade."""
    rows = []
    for i, bar in enumerate(bars):
        row = dict.fromkeys(QUOTES) | {
            "ticker": "A",
            "event": "E",
            "series": "S",
            "quote_source": "candle",
            "time": START + timedelta(seconds=seconds * (i + 1)),
        }
        rows.append(row | dict(zip(PRICES, bar or (None,) * 4, strict=True)) | fields)
    return pl.DataFrame(rows, schema=QUOTES)


def mirrored(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the quotes of NO as if they were of YES: p becomes 1 - p, and bid 1 - ask."""
    of = {"open": "open", "high": "low", "low": "high", "close": "close", "mid": "mid"}
    for end, other in (("_open", "_open"), ("_high", "_low"), ("_low", "_high"), ("", "")):
        of |= {f"bid{end}": f"ask{other}", f"ask{end}": f"bid{other}"}
    return frame.with_columns(
        **{name: (1 - pl.col(source)).round(6) for name, source in of.items()}
    )
