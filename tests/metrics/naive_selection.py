"""The best of several variants once more: halves by halves, paths day by day, nothing shared.

A twin takes a dict of lists of dicts (one dict a row) and returns a number, or None where the
number does not exist.
"""

from itertools import combinations
from math import inf, log, sqrt
from typing import Any

import numpy as np

Plain = dict[str, Any]
Number = int | float | None


def variants(book: Plain) -> list[Any] | None:
    """Dollars of each variant, day by day."""
    found = book["trial_days"]
    if len(found) < 2 or len(found[0]) < 10:
        return None
    return [[pnl / 1e6 for pnl in days] for days in found]


def fmean(values: list[float]) -> float:
    return sum(values) / len(values)


def ratio(days: list[float]) -> float:
    mean = fmean(days)
    risk = sqrt(sum((x - mean) ** 2 for x in days) / (len(days) - 1))
    if risk < 1e-9:
        return 0.0 if abs(mean) < 1e-9 else inf * mean
    return mean / risk


def pbo(book: Plain) -> Number:
    made = variants(book)
    if made is None:
        return None
    made = sorted(set(map(tuple, made)))
    if len(made) < 2:
        return None
    n = len(made[0])
    count = min(16, n // 2 * 2)
    edges = [n * b // count for b in range(count + 1)]
    blocks = [list(range(edges[b], edges[b + 1])) for b in range(count)]
    below = 0
    ways = list(combinations(range(count), count // 2))
    for inside in ways:
        own = [d for b in inside for d in blocks[b]]
        other = [d for b in range(count) if b not in inside for d in blocks[b]]
        seen = [round(ratio([days[d] for d in own]), 9) for days in made]
        best = seen.index(max(seen))
        later = [round(ratio([days[d] for d in other]), 9) for days in made]
        worse = sum(r < later[best] for r in later)
        same = sum(r == later[best] for r in later)
        rank = worse + (same + 1) / 2
        below += log(rank / (len(made) + 1 - rank)) <= 0
    return below / len(ways)


def spa_p(book: Plain) -> Number:
    """Consistent p-value of Hansen against doing nothing, its paths drawn day after day."""
    made = variants(book)
    if made is None:
        return None
    made = [days for days in made if max(days) > min(days)]
    if not made:
        return None
    n = len(made[0])
    size = next(b for b in range(1, n) if b**3 >= n)
    draw = np.random.Generator(np.random.Philox(key=7))
    made = [[x / sqrt(spread(days)) for x in days] for days in made]  # a mean is a Sharpe ratio
    best = max(fmean(days) for days in made)
    limit = [-sqrt(variance(days, size) / n * 2 * log(log(n))) for days in made]
    centre = [
        fmean(days) if fmean(days) >= least else 0.0
        for days, least in zip(made, limit, strict=True)
    ]
    as_high = 0
    for _ in range(400):
        fresh, new = draw.integers(0, n, n).tolist(), (draw.random(n) < 1 / size).tolist()
        path = [fresh[0]]
        for day in range(1, n):
            path.append(fresh[day] if new[day] else (path[-1] + 1) % n)
        moved = [fmean([days[d] for d in path]) - c for days, c in zip(made, centre, strict=True)]
        as_high += max(moved) > best
    return as_high / 400


def spread(days: list[float]) -> float:
    return sum((x - fmean(days)) ** 2 for x in days) / len(days)


def variance(days: list[float], size: int) -> float:
    """Of the root of n times a mean, under resampling in blocks of that mean length."""
    n, mean = len(days), fmean(days)
    found = spread(days)
    for lag in range(1, n):
        weight = (1 - lag / n) * (1 - 1 / size) ** lag + lag / n * (1 - 1 / size) ** (n - lag)
        both = sum((days[d] - mean) * (days[d + lag] - mean) for d in range(n - lag)) / n
        found += 2 * weight * both
    return found


TWINS = {
    "n_compared": lambda b: max(1, len(b["trial_days"])),
    "pbo": pbo,
    "spa_p": spa_p,
}
