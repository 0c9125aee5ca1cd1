"""In which steps a market trades: whole contracts, or the hundredths that came with fractions."""

from typing import Any

from kalshi_bt.simulator.compiling import inner, int64
from kalshi_bt.simulator.context import market_at, terms_of, times

FRACTIONS_FROM = 1_776_384_000_000_000  # 2026-04-17, from when on every market trades in hundredths


@inner
def lot_of(c: Any, market: int) -> int:
    """Return the step of a quantity in a market, centi-contracts."""
    terms = terms_of(c)
    if terms.fractional and times(c)[market_at(c, market).begin] >= FRACTIONS_FROM:
        return int64(1)
    return terms.lot
