"""The runtime state of a session: the day so far, what is open, which orders were seen."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE
from live_adapter import files
from live_adapter.account import Names

_RECENT = timedelta(minutes=1)


def runtime(
    now: datetime,
    orders: pl.DataFrame,
    held: pl.DataFrame,
    names: Names,
    *,
    realized: int,
    recent: Iterable[datetime],
    seen: Iterable[str],
) -> dict[str, Any]:
    """Return the state at a moment, as it stands in ``state.json``.

    Parameters
    ----------
    now : datetime
        UTC; the day is that of it.
    orders : frame of schema.ORDERS
        Those that are open.
    held : frame
        As `broker.Broker.held`.
    names : Names
    realized : int
        By the fills of the day, micro-dollars.
    recent : iterable of datetime
        When orders were sent.
    seen : iterable of str
        Names of orders.

    Returns
    -------
    dict
        ``day``, ``daily_realized_pnl`` and ``open_exposure_notional`` (dollars),
        ``recent_order_unix_secs`` (those sent within a minute, of this day),
        ``seen_client_order_ids`` (of this day, and of what is open), and ``open_orders``.
    """
    waiting = [_waiting(row, names) for row in orders.iter_rows(named=True)]
    exposure = int(held["cost"].sum()) / MONEY_SCALE + sum(row["notional"] for row in waiting)
    return {
        "day": now.date().isoformat(),
        "daily_realized_pnl": realized / MONEY_SCALE,
        "open_exposure_notional": round(exposure, 6),
        "recent_order_unix_secs": [
            int(time.timestamp()) for time in recent if is_recent(time, now)
        ],
        "seen_client_order_ids": list(seen),
        "open_orders": waiting,
    }


def is_recent(time: datetime, now: datetime) -> bool:
    """Return whether an order of a time counts as recent: within a minute, and of the day."""
    return time > now - _RECENT and time.date() == now.date()


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace the file of a state or of a book."""
    files.replace(path, pretty(state))


def pretty(state: dict[str, Any]) -> bytes:
    r"""Return a state as it stands in its file: what ``json.dumps(state, indent=1)`` makes.

    That makes it in Python, position by position, which is slow.

    Examples
    --------
    >>> pretty({"cash": 1e-07, "positions": {}})
    b'{\n "cash": 1e-07,\n "positions": {}\n}\n'
    """
    return msgspec.json.format(json.dumps(state, allow_nan=False).encode(), indent=1) + b"\n"


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
