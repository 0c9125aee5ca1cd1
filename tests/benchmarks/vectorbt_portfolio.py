"""What vectorbt makes of orders and of signals: JSON on standard input, JSON on standard output.

Runs under any interpreter that has vectorbt, and needs nothing of this project. Input: `price` and
`close` in dollars, `orders` (signed sizes), `long`, `short` and `leave` (signals), each a list of
rows, a column a market, and `size` and `cash`. Output for `orders` and `signals`: round trips as
[market, entry row, exit row (null: open), size, entry price, exit price, P&L, side], and the final
cash and value of each market, which all have a purse of their own.
"""

import json
import sys
from typing import Any


def told(portfolio: Any) -> dict[str, Any]:
    """Return the trips, final cash and final values of a portfolio."""
    found = portfolio.exit_trades.records
    names = ["col", "entry_idx", "exit_idx", "size", "entry_price", "exit_price", "pnl"]
    trips = [
        [int(m), int(a), int(b) if status else None, *map(float, rest), 1 - 2 * int(direction)]
        for (m, a, b, *rest), direction, status in zip(
            found[names].to_numpy().tolist(), found["direction"], found["status"], strict=True
        )
    ]
    cash = portfolio.cash().iloc[-1].tolist()
    return {"trips": trips, "cash": cash, "value": portfolio.final_value().tolist()}


def main() -> None:
    """Read, run both ways, write."""
    import numpy as np
    import pandas as pd
    import vectorbt as vbt

    asked = json.load(sys.stdin)
    price, close, orders = (
        pd.DataFrame(asked[n], dtype=float) for n in ("price", "close", "orders")
    )
    flags = {n: pd.DataFrame(asked[n], dtype=bool) for n in ("long", "short", "leave")}
    purse = {"init_cash": asked["cash"], "freq": "1min", "fees": 0.0, "slippage": 0.0}
    by_orders = vbt.Portfolio.from_orders(
        close, size=orders.replace(0.0, np.nan), price=price, **purse
    )
    by_signals = vbt.Portfolio.from_signals(
        close,
        entries=flags["long"],
        exits=flags["leave"],
        short_entries=flags["short"],
        short_exits=flags["leave"],
        price=price,
        size=asked["size"],
        upon_opposite_entry="ignore",
        **purse,
    )
    json.dump({"orders": told(by_orders), "signals": told(by_signals)}, sys.stdout)


if __name__ == "__main__":
    main()
