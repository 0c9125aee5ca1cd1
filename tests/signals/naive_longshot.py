"""The longshot table row by row in plain Python: slow, and sharing nothing with the package."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

Row = dict[str, Any]
Cell = tuple[str, int, int, int]


def visits(rows: Iterable[Row], group: Callable[[Row], str], unit: str = "event") -> list[Row]:
    """Every first visit of an event (or market) to a cell of side and cent; quotes only, no bands.

    A row is a quote with ticker, event, time, bid and ask in dollars or None.
    """
    ordered = sorted(rows, key=lambda row: row["time"])
    seen: dict[Any, datetime] = {}
    came: dict[Any, list[Row]] = defaultdict(list)
    found = []
    for row in ordered:
        costs = {
            1: None if row["ask"] is None else row["ask"],
            -1: None if row["bid"] is None else round(1 - row["bid"], 4),
        }
        for side, cost in costs.items():
            if cost is None:
                continue
            cent = math.floor(cost * 100 + 0.5 + 1e-9)
            if not 1 <= cent <= 99:
                continue
            who = row["ticker" if unit in {"market", "trade"} else "event"]
            key = (who, group(row), side, cent)
            if unit != "trade" and seen.setdefault(key, row["time"]) != row["time"]:
                continue
            visit = {
                "ticker": row["ticker"],
                "event": row["event"],
                "time": row["time"],
                "cell": (group(row), 0, side, cent),
                "cost": cost,
            }
            came[key].append(visit)
            found.append(visit)
    for together in came.values():
        for visit in together:
            visit["weight"] = 1.0 if unit == "trade" else 1 / len(together)
    return found


def table(
    history: Iterable[Row], payouts: dict[str, float], bandwidth: int
) -> dict[Cell, tuple[int, float, float, float]]:
    """Visits, effective events, gap and error of every cell, one visit after the other."""
    own: dict[Cell, int] = defaultdict(int)
    mass: dict[Cell, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    gain: dict[Cell, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for visit in history:
        group, band, side, cent = visit["cell"]
        paid = payouts[visit["ticker"]]
        paid = paid if side > 0 else 1 - paid
        own[visit["cell"]] += 1
        for by in range(-bandwidth, bandwidth + 1):
            weight = visit["weight"] * (1 - abs(by) / (bandwidth + 1))
            cell = (group, band, side, cent + by)
            if 1 <= cent + by <= 99:
                mass[cell][visit["event"]] += weight
                gain[cell][visit["event"]] += weight * (paid - visit["cost"])
    found = {}
    for cell, events in mass.items():
        total = sum(events.values())
        gap = sum(gain[cell].values()) / total
        effective = total**2 / sum(m**2 for m in events.values())
        count = len(events)
        square = sum((gain[cell][e] - gap * m) ** 2 for e, m in events.items())
        clustered = math.sqrt(square * count / (count - 1)) / total if count > 1 else 0.0
        price = cell[3] / 100
        error = max(clustered, math.sqrt(price * (1 - price) / effective))
        found[cell] = (own[cell], effective, gap, error)
    return found
