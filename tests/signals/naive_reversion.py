"""Mean reversion bar by bar, in plain Python; borrows nothing but the naive samples."""

import math
from statistics import NormalDist
from typing import Any

from tests.signals.naive_volatility import micro, samples

Row = dict[str, Any]
Options = dict[str, Any]
PHI = NormalDist().cdf


def window(found: list[tuple[int, float]], options: Options) -> list[tuple[int, float]] | None:
    """Return the samples before the newest, of the lookback up to the last of them."""
    before = found[:-1]
    if not before:
        return None
    newest = before[-1][0]
    own = [s for s in before if (newest - s[0]) / 1e6 <= options["lookback_seconds"]]
    span = (newest - own[0][0]) / 1e6
    enough = len(own) >= options["least"]
    return own if enough and span >= options["coverage"] * options["lookback_seconds"] else None


def score(found: list[tuple[int, float]], options: Options) -> tuple[float, float, float] | None:
    """Return z of the newest sample, and mean and spread of those before it."""
    own = window(found, options)
    if own is None:
        return None
    values = [value for _, value in own]
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return ((found[-1][1] - mean) / spread, mean, spread) if spread > 0 else None


def speed(found: list[tuple[int, float]], options: Options) -> float | None:
    """Return the speed of reversion a second, None where the fit does not show one."""
    own = window(found, options)
    if own is None or len(own) < 4:
        return None
    x = [value for _, value in own]
    y = [*x[1:], found[-1][1]]
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    sxx = sum((a - mx) ** 2 for a in x)
    slope = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sxx
    rest = sum((b - my - slope * (a - mx)) ** 2 for a, b in zip(x, y, strict=True))
    phi = slope + (1 + 3 * slope) / n
    error = math.sqrt(rest / (n - 2) / sxx)
    if phi >= 1 or (1 - phi) / error <= options["min_t"]:
        return None
    return -math.log(max(phi, 0.01)) / ((found[-1][0] - own[0][0]) / 1e6 / n)


def reference(own: list[Row], options: Options) -> tuple[float, float] | None:
    """Return z and the documented probability at the last of a market's rows."""
    row, found = own[-1], samples(own)
    if row["spot"] is None or row["floor_strike"] is None or len(found) <= options["min_samples"]:
        return None
    scored = score(found, options)
    if scored is None:
        return None
    z, mean, _ = scored
    spot, strike, size = found[-1][1], row["floor_strike"], abs(scored[0])
    if z < 0:
        p = 0.5 + (min(0.45, 0.15 * size) if spot < strike <= mean else 0.10 * size)
    else:
        p = 0.5 - (min(0.45, 0.15 * size) if spot > strike >= mean else 0.10 * size)
    return z, min(max(p, 0.01), 0.99)


def on_price(own: list[Row], options: Options) -> tuple[float, float] | None:
    """Return z and the fair value of a mid that reverts, at the last of a market's rows."""
    found = []
    for row in own:
        if row["bid"] is None or row["ask"] is None:
            continue
        mid = (row["bid"] + row["ask"]) / 2
        if 0 < mid < 1:
            found.append((micro(row["time"]), math.log(mid / (1 - mid))))
    if not found or found[-1][0] != micro(own[-1]["time"]):
        return None
    scored, k = score(found, options), speed(found, options)
    if scored is None or k is None:
        return None
    close = own[-1]["close_time"]
    left = math.inf if close is None else (micro(close) - found[-1][0]) / 1e6
    drawn = scored[1] + (found[-1][1] - scored[1]) * math.exp(-k * left)
    return scored[0], min(max(1 / (1 + math.exp(-drawn)), 0.01), 0.99)
