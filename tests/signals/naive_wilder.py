"""Wilder's indices as his book computes them, in exact fractions, step by step; borrows nothing."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

Bar = dict[str, Any]


def rsi(closes: list[Fraction], n: int) -> Fraction | None:
    """Return 100 - 100 / (1 + average rise / average fall) at the last close."""
    changes = [after - before for before, after in pairwise(closes)]
    if len(changes) < n:
        return None
    rises, falls = [max(c, Fraction(0)) for c in changes], [max(-c, Fraction(0)) for c in changes]
    up, down = sum(rises[:n]) / Fraction(n), sum(falls[:n]) / Fraction(n)
    for rise, fall in zip(rises[n:], falls[n:], strict=True):
        up, down = (up * (n - 1) + rise) / n, (down * (n - 1) + fall) / n
    if up == down == 0:
        return Fraction(50)
    return Fraction(100) if down == 0 else 100 - 100 / (1 + up / down)


def adx(bars: list[Bar], n: int) -> Fraction | None:
    """Return the average of DX at the last bar, from the indicators and the true range."""
    zero = Fraction(0)
    plus, minus, ranges = [], [], []
    for before, bar in pairwise(bars):
        rise, fall = bar["high"] - before["high"], before["low"] - bar["low"]
        plus.append(rise if rise > fall and rise > 0 else zero)
        minus.append(fall if fall > rise and fall > 0 else zero)
        ends = (
            bar["high"] - bar["low"],
            bar["high"] - before["close"],
            before["close"] - bar["low"],
        )
        ranges.append(max(ends))
    smooth = [smoothed(moves, n) for moves in (plus, minus, ranges)]
    found = []
    for up, down, span in zip(*smooth, strict=True):
        pdi, mdi = (100 * up / span, 100 * down / span) if span else (zero, zero)
        found.append(100 * abs(pdi - mdi) / (pdi + mdi) if pdi + mdi else zero)
    if len(found) < n:
        return None
    index = sum(found[:n]) / Fraction(n)
    for dx in found[n:]:
        index = (index * (n - 1) + dx) / n
    return index


def smoothed(values: list[Fraction], n: int) -> list[Fraction]:
    """Return Wilder's running sums, from the n-th value on."""
    if len(values) < n:
        return []
    sums = [sum(values[:n], Fraction(0))]
    for value in values[n:]:
        sums.append(sums[-1] - sums[-1] / n + value)
    return sums


def confirms(side: int, recent: list[Bar], options: dict[str, Any]) -> bool:
    """Tell whether the indices of the bars up to a set-up confirm its side."""
    bars = [with_range(bar) for bar in recent]
    if options["rsi"]:
        index = rsi([bar["close"] for bar in bars], options["rsi_period"])
        level = Fraction(str(options["rsi_level"]))
        if index is None or (index > level if side > 0 else index < 100 - level):
            return False
    if options["adx"] != "off":
        trend = adx(bars, options["adx_period"])
        level = Fraction(str(options["adx_level"]))
        if trend is None or (trend < level) != (options["adx"] == "below"):
            return False
    return True


def with_range(bar: Bar) -> Bar:
    """Return a bar whose range holds its body, where no range is known just its body."""
    ends = (bar["open"], bar["close"])
    high = max([*ends, bar["high"]] if bar["high"] is not None else ends)
    low = min([*ends, bar["low"]] if bar["low"] is not None else ends)
    return {"high": high, "low": low, "close": bar["close"]}
