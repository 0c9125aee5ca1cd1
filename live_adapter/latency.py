"""How long decisions take after a bar's close: counted, in little memory and over restarts."""

import json
from collections import Counter
from datetime import timedelta
from math import ceil, exp, log
from pathlib import Path
from typing import Any

from live_adapter import state

LATENCY = "latency.json"
_STEP = log(1.01)  # a quantile is at most 1 % above what it was
_LEAST = 0.01  # milliseconds; below that it is nobody's concern


class Latency:
    """Times as counts of what lies within 1 % of each other, and the longest exactly.

    Examples
    --------
    >>> spans = Latency()
    >>> for n in range(1, 101):
    ...     spans.add(timedelta(milliseconds=n))
    >>> found = spans.summary()
    >>> found["count"], found["max"], 50 <= found["p50"] <= 50.5, 99 <= found["p99"] <= 100
    (100, 100.0, True, True)
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._longest = 0.0

    def add(self, span: timedelta) -> None:
        """Count a time; one below zero, of clocks that differ, is none."""
        took = max(span / timedelta(milliseconds=1), 0.0)
        self._longest = max(self._longest, took)
        self._counts[ceil(log(max(took, _LEAST)) / _STEP)] += 1

    def summary(self) -> dict[str, float | int] | None:
        """Return p50, p99, max (milliseconds) and count; None before the first."""
        count = self._counts.total()
        if not count:
            return None
        quantiles = {f"p{q}": self._quantile(q / 100, count) for q in (50, 99)}
        return {**quantiles, "max": round(self._longest, 3), "count": count}

    def _quantile(self, part: float, count: int) -> float:
        """Return the least time that so large a part of all did not exceed."""
        left = ceil(part * count)
        for place, many in sorted(self._counts.items()):
            left -= many
            if left <= 0:
                return round(min(exp(place * _STEP), self._longest), 3)
        return round(self._longest, 3)

    def told(self) -> dict[str, Any]:
        """Return what `of` makes the same from."""
        return {"longest": self._longest, "counts": sorted(self._counts.items())}

    @classmethod
    def of(cls, told: Any) -> "Latency":
        """Return what was kept; nothing where that cannot be read: it is no part of an account."""
        made = cls()
        try:
            made._counts = Counter({int(place): int(many) for place, many in told["counts"]})
            made._longest = float(told["longest"])
        except (TypeError, KeyError, ValueError):
            return cls()
        return made


class Latencies:
    """Of a session: from the close of a bar, and from what told of it, until all was decided.

    Parameters
    ----------
    folder : Path
        Goes on with what its ``latency.json`` holds.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LATENCY
        found = _read(self._path)
        self.close = Latency.of(found.get("close"))
        self.work = Latency.of(found.get("work"))

    def summary(self) -> dict[str, Any]:
        """Return both, as they stand in the summary of a session."""
        return {
            "decision_latency_ms": self.close.summary(),
            "decision_work_ms": self.work.summary(),
        }

    def keep(self) -> None:
        """Write them down.

        Raises
        ------
        DataError
            If that is not possible.
        """
        state.write(self._path, {"close": self.close.told(), "work": self.work.told()})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
