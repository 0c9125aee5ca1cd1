"""The runtime state of a session: the day so far, what is open, which orders were seen."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE
from live_adapter import files
from live_adapter.account import Fill, Names, is_open

_RECENT = timedelta(minutes=1)


def runtime(
    now: datetime, orders: pl.DataFrame, filled: Iterable[Fill], held: pl.DataFrame, names: Names
) -> dict[str, Any]:
    """Return the state at a moment, as it stands in ``state.json``.

    Parameters
    ----------
    now : datetime
        UTC; the day is that of it.
    orders : frame of schema.ORDERS
        All up to now.
    filled : iterable of Fill
        All up to now.
    held : frame
        As `broker.Broker.held`.
    names : Names

    Returns
    -------
    dict
        ``day``, ``daily_realized_pnl`` and ``open_exposure_notional`` (dollars),
        ``recent_order_unix_secs`` (those sent within a minute, of this day),
        ``seen_client_order_ids``, and ``open_orders``.
    """
    day = now.date()
    rows = orders.rows(named=True)
    realized = sum(fill.realized for fill in filled if fill.row["time"].date() == day)
    waiting = [_waiting(row, names) for row in rows if is_open(row)]
    recent = [
        int(row["time"].timestamp())
        for row in rows
        if row["quantity"] and row["time"] > now - _RECENT and row["time"].date() == day
    ]
    exposure = int(held["cost"].sum()) / MONEY_SCALE + sum(row["notional"] for row in waiting)
    return {
        "day": day.isoformat(),
        "daily_realized_pnl": realized / MONEY_SCALE,
        "open_exposure_notional": round(exposure, 6),
        "recent_order_unix_secs": recent,
        "seen_client_order_ids": [names.order(r["ticker"], r["side"], r["time"]) for r in rows],
        "open_orders": waiting,
    }


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace the file of a state or of a book."""
    files.replace(path, (json.dumps(state, indent=1, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """Return a state; empty where there is none.

    Raises
    ------
    DataError
        If the file is no state.
    """
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path} is no state: damaged; move it away to begin without it")
    return found


def _waiting(row: dict[str, Any], names: Names) -> dict[str, Any]:
    limit = PRICE_SCALE if row["limit"] is None else row["limit"]
    own = limit if row["side"] > 0 or row["limit"] is None else PRICE_SCALE - limit
    return {
        "order_id": row["order_id"],
        "client_order_id": names.order(row["ticker"], row["side"], row["time"]),
        "market_id": row["ticker"],
        "notional": (row["quantity"] - row["filled"]) * own / MONEY_SCALE,
        "created_at": row["time"].isoformat(),
    }
