"""Variance, known values and fair values bar by bar, in plain Python; borrows nothing."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import NormalDist
from typing import Any

Row = dict[str, Any]
Options = dict[str, Any]
Sample = tuple[int, float]  # microseconds, price
PHI = NormalDist().cdf


def samples(rows: list[Row]) -> list[Sample]:
    """Return what rows of one market, oldest first, saw: each price once, when it was seen."""
    found: list[Sample] = []
    for row in rows:
        if row["spot"] is None or row["spot_age"] is None:
            continue
        at = micro(row["time"]) - round(row["spot_age"] * 1e6)
        if not found or at > found[-1][0]:
            found.append((at, row["spot"]))
    return found


def micro(time: Any) -> int:
    """Return whole microseconds."""
    return round(time.timestamp()) * 1_000_000 + time.microsecond


def variance(found: list[Sample], half_life: float, max_gap: float) -> float | None:
    """Return the variance per second at the newest sample."""
    squares = seconds = 0.0
    for (old, before), (new, after) in pairwise(found):
        dt = (new - old) / 1e6
        if dt <= max_gap:
            weight = 0.5 ** ((found[-1][0] - new) / 1e6 / half_life)
            squares += weight * math.log(after / before) ** 2
            seconds += weight * dt
    return squares / seconds if seconds else None


def stepped(returns: list[float], lam: float, recursion: str) -> float:
    """Return the documented recursions over returns, oldest first."""
    if recursion == "seeded":
        v = returns[0] ** 2
        for r in returns[1:]:
            v = lam * v + (1 - lam) * r * r
        return v
    v = 0.0
    for r in reversed(returns) if recursion == "reversed" else returns:
        v = lam * v + (1 - lam) * r * r
    return v / (1 - lam ** len(returns)) if recursion == "unbiased" else v


def values(found: list[Sample], close: int, window: int, max_gap: float) -> tuple[float, float]:
    """Return mean of the values known so far and the variance of their sum, NaN if not told.

    A value between two samples is that of the line; two of them share the covariance of a bridge.
    """
    now = found[-1][0]
    moments = [close - k * 1_000_000 for k in range(window - 1, -1, -1)]
    moments = [moment for moment in moments if moment <= now]
    total = unsure = 0.0
    placed: dict[int, list[float]] = {}
    for moment in moments:
        exact = [price for at, price in found if at == moment]
        around = [i for i in range(1, len(found)) if found[i - 1][0] < moment <= found[i][0]]
        if around:
            (old, before), (new, after) = found[around[0] - 1], found[around[0]]
            gap, offset = (new - old) / 1e6, (moment - old) / 1e6
        if around and gap <= max_gap:
            total += before + (after - before) * offset / gap
            placed.setdefault(around[0], []).append(offset)
        elif exact:
            total += exact[0]
        else:
            return math.nan, math.nan
    for i, offsets in placed.items():
        gap = (found[i][0] - found[i - 1][0]) / 1e6
        unsure += sum(min(a, b) - a * b / gap for a in offsets for b in offsets)
    return total / len(moments) if moments else 0.0, unsure


def probability(
    spot: float, bound: float, left: float, sigma: float, known: float, window: int
) -> float:
    """Return P(average >= bound) by sums over all pairs of values to come."""
    if math.isinf(bound):
        return float(bound < 0)
    offsets = [left - k for k in range(window) if left - k > 0]
    n = len(offsets)
    needed = (window * bound - (window - n) * known) / n
    if needed <= 0:
        return 1.0
    total = sum(math.expm1(sigma**2 * min(a, b)) for a in offsets for b in offsets)
    s2 = math.log1p(total / n**2)
    if s2 == 0:
        return float(spot >= needed)
    return PHI((math.log(spot / needed) - s2 / 2) / math.sqrt(s2))


def interval(row: Row, decimals: dict[str, int]) -> tuple[float, float] | None:
    """Return between which averages YES pays."""
    half = 0.5 * 10.0 ** -decimals[row["series"]] if row["series"] in decimals else 0.0
    floor, cap, kind = row["floor_strike"], row["cap_strike"], row["strike_type"]
    if kind == "greater_or_equal" and floor is not None:
        return floor - half, math.inf
    if kind == "greater" and floor is not None:
        return floor + half, math.inf
    if kind == "less" and cap is not None:
        return -math.inf, cap - half
    if kind == "between" and floor is not None and cap is not None:
        return floor - half, cap + half
    return None


def fairs(rows: list[Row], options: Options) -> Iterator[tuple[tuple[str, Any], float | None]]:
    """Yield (ticker, time), fair value for each row, all parameters given."""
    markets: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        markets.setdefault(row["ticker"], []).append(row)
        yield (row["ticker"], row["time"]), fair(recent(markets[row["ticker"]], options), options)


def recent(rows: list[Row], options: Options) -> list[Row]:
    """Return the rows that ended within the last `lookback_seconds`."""
    now = micro(rows[-1]["time"])
    return [row for row in rows if now - micro(row["time"]) <= options["lookback_seconds"] * 1e6]


def fair(own: list[Row], options: Options) -> float | None:
    """Return the fair value of the last of these rows."""
    row, found = own[-1], samples(own)
    pays = interval(row, options["decimals"])
    if row["spot"] is None or row["close_time"] is None or pays is None:
        return None
    if row["open_time"] is not None and row["time"] < row["open_time"]:
        return None
    close = micro(row["close_time"])
    left, end = (close - found[-1][0]) / 1e6, (close - micro(row["time"])) / 1e6
    used = sum((b[0] - a[0]) / 1e6 <= options["max_gap"] for a, b in pairwise(found))
    if left <= 0 or not options["min_left"] <= end <= options["max_left"]:
        return None
    v = variance(found, options["half_life"], options["max_gap"])
    if v is None or used < options["min_returns"]:
        return None
    window = options["average"]
    offsets = [left - k for k in range(window) if left - k > 0]
    n = len(offsets)
    known, unsure = (0.0, 0.0) if n == window else values(found, close, window, options["max_gap"])
    if math.isnan(known):
        return None
    span = sum(min(a, b) for a in offsets for b in offsets) / n**2
    walk = v * (span + unsure / n**2)
    total = walk + options["eta"] ** 2
    sigma = math.sqrt(total / span)
    low, high = (probability(found[-1][1], b, left, sigma, known, window) for b in pays)
    return min(max(low - high, options["clamp"]), 1 - options["clamp"])
