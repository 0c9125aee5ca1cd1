"""What an account holds, by market, and what stops it."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from kalshi_bt.simulator.memory import Memory
from kalshi_bt.simulator.state import REASONS, Ints


def held(memory: Memory, tickers: pl.Series, numbers: Ints) -> pl.DataFrame:
    """Return what is held: ticker, side, quantity, cost (micro-dollars, before fees), trade_id.

    Parameters
    ----------
    memory : Memory
    tickers : Series of str
        By market.
    numbers : Int64 (orders,)
        Of the orders that the memory has.
    """
    slots = memory.arrays["slots"][: int(memory.arrays["account"]["slots"][0])]
    slots = slots[slots["held"] > 0]
    return pl.DataFrame(
        {
            "ticker": tickers.gather(pl.Series(slots["market"], dtype=pl.UInt32)),
            "side": slots["side"].astype(np.int8),
            "quantity": slots["held"].copy(),
            "cost": slots["cost"].copy(),
            "trade_id": numbers[slots["order"]],
        }
    ).sort("ticker")


def latched(memory: Memory) -> tuple[str, date] | None:
    """Return the breaker that was latched last, as a reason, and the UTC day; None: none was.

    A later day may have cleared it, which the walk finds when an entry is asked for next.
    """
    account = memory.arrays.get("account")
    if account is None or not account["latched"][0]:
        return None
    reason, day = int(account["latched"][0]), int(account["latch_day"][0])
    return REASONS[reason], date(1970, 1, 1) + timedelta(days=day)
