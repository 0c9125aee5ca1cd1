"""Wilder's RSI and ADX, as he defined them, over the last bars of a market.

Both are averages that forget slowly: the first is the plain mean of n values, each later one
``(n - 1)/n`` of the one before plus ``1/n`` of the new value. Because such an average never forgets
entirely, it begins a stated number of bars back, so that what is said of a bar depends on no more.

J. W. Wilder, New Concepts in Technical Trading Systems, Trend Research, 1978: sections IV
(directional movement) and VI (relative strength index).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

SKIP, FFILL, NAN = 0, 1, 2  # what a bar without a trade is, as `kernels` numbers it
OFF, BELOW, ABOVE = 0, 1, 2
SLACK = 1e-9  # levels are inclusive, and sums of cents are not exact

jit = njit(cache=True, nogil=True, error_model="numpy")


class Confirm(NamedTuple):
    """What must confirm a set-up.

    Attributes
    ----------
    mode : int
        SKIP, FFILL or NAN.
    reach : int
        Bars back with which the averages begin.
    step : int
        Microseconds from one bar to the next; 0 if no bar is missing from the table.
    rsi_n : int
        Changes in the averages of the RSI; 0 if it is not asked.
    rsi_level : float
        At most this for a long, at least 100 less this for a short.
    adx_n : int
        Bars in the averages of the ADX.
    adx_side : int
        OFF, BELOW (less than the level) or ABOVE (at least the level).
    adx_level : float
        From 0 to 100.
    """

    mode: int
    reach: int
    step: int
    rsi_n: int
    rsi_level: float
    adx_n: int
    adx_side: int
    adx_level: float


@jit
def rsi(close: Floats, n: int) -> float:
    """Return the relative strength index at the last of the closes.

    Parameters
    ----------
    close : Float64 (bars,)
        Oldest first, without NaN.
    n : int
        Changes in an average.

    Returns
    -------
    float
        100·U/(U + D) with U and D the averages of rises and falls, which is 100 - 100/(1 + U/D);
        50 where nothing moved, NaN with fewer than n changes.

    Examples
    --------
    >>> rsi(np.array([0.50, 0.52, 0.51, 0.51, 0.50]), 4)  # 2 cents up, 2 down
    50.0
    """
    if len(close) < n + 1:
        return math.nan
    up = down = 0.0
    for k in range(1, len(close)):
        change = close[k] - close[k - 1]
        rise, fall = max(change, 0.0), max(-change, 0.0)
        if k <= n:
            up, down = up + rise / n, down + fall / n
        else:
            up, down = ((n - 1) * up + rise) / n, ((n - 1) * down + fall) / n
    return 100.0 * up / (up + down) if up + down > 0.0 else 50.0


@jit
def adx(high: Floats, low: Floats, close: Floats, n: int) -> float:
    """Return the average directional index at the last of the bars.

    Parameters
    ----------
    high, low, close : Float64 (bars,)
        Oldest first, without NaN.
    n : int
        Bars in an average.

    Returns
    -------
    float
        From 0 to 100; NaN with fewer than 2n bars.

    Notes
    -----
    A bar moves up by H - H' if that is positive and more than L' - L, down by L' - L if that is
    positive and more than H - H'. With p and m the averages of both, DX = 100·|p - m|/(p + m), 0
    where nothing moved, and the ADX is the average of DX. The true range, by which Wilder divides p
    and m to get his directional indicators, cancels.

    Examples
    --------
    >>> rising = np.arange(0.30, 0.40, 0.01)
    >>> adx(rising + 0.005, rising - 0.005, rising, 3)
    100.0
    """
    if len(close) < 2 * n:
        return math.nan
    up = down = index = 0.0
    for k in range(1, len(close)):
        rise, fall = high[k] - high[k - 1], low[k - 1] - low[k]
        # Equal moves cancel out; in cents they are equal, in floating point nearly so.
        plus = rise if rise > 0.0 and rise - fall > SLACK else 0.0
        minus = fall if fall > 0.0 and fall - rise > SLACK else 0.0
        if k <= n:
            up, down = up + plus, down + minus
        else:
            up, down = up - up / n + plus, down - down / n + minus
        if k < n:
            continue
        dx = 100.0 * abs(up - down) / (up + down) if up + down > 0.0 else 0.0
        if k < 2 * n:
            index += dx / n
        else:
            index = ((n - 1) * index + dx) / n
    return index


@jit
def _window(
    rule: Confirm,
    first: int,
    row: int,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    time: Ints,
    most: float,
    bars: Floats,
) -> int:
    """Write high, low and close of the bars up to `row`, oldest first; return how many there are.

    The oldest is a bar with a trade: what was carried into the window came from before it. A price
    above `most` is none.
    """
    count, begin, away = 0, row, 0
    while begin > first:
        apart = (time[begin] - time[begin - 1]) // rule.step if rule.step > 0 else 1
        away += max(apart, 1)
        if away > rule.reach:
            break
        begin -= 1
    for j in range(begin, row + 1):
        traded = 0.0 <= open_[j] <= most and 0.0 <= close[j] <= most
        silent = 0 if traded else 1
        if rule.step > 0 and j > begin:
            silent += max((time[j] - time[j - 1]) // rule.step, 1) - 1
        if silent > 0 and rule.mode == NAN:
            count = 0
        if rule.mode == FFILL and count > 0:
            for _ in range(silent):
                bars[:, count] = bars[2, count - 1]
                count += 1
        if traded:
            top, bottom = max(open_[j], close[j]), min(open_[j], close[j])
            bars[0, count] = np.fmax(high[j], top)  # a range that is not known is that of the body
            bars[1, count] = np.fmin(low[j], bottom)
            bars[2, count] = close[j]
            count += 1
    return count


@jit
def confirmed(
    rule: Confirm,
    starts: Ints,
    rows: Ints,
    beyond: Ints,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    time: Ints,
) -> Flags:
    """Tell which bars outside their bands the indices confirm; one that is not known does not.

    Parameters
    ----------
    rule : Confirm
    starts : Int64 (markets + 1,)
        First bar of each market, and the end of the last.
    rows, beyond : Int64 (hits,)
        The bars, rising, and on which side of the bands they are: negative below.
    open_, high, low, close : Float64 (n,)
        Dollars; NaN where nothing traded.
    time : Int64 (n,)
        Microseconds; not read if ``rule.step`` is 0.
    """
    kept = np.ones(len(rows), np.bool_)
    step = rule.step if rule.mode != SKIP else 0
    own = Confirm(
        rule.mode, rule.reach, step, rule.rsi_n, rule.rsi_level,
        rule.adx_n, rule.adx_side, rule.adx_level,
    )  # fmt: skip
    bars = np.empty((3, rule.reach + 2))
    market = 0
    for i in range(len(rows)):
        while starts[market + 1] <= rows[i]:
            market += 1
        count = _window(own, starts[market], rows[i], open_, high, low, close, time, 1.0, bars)
        if rule.rsi_n > 0:
            strength = rsi(bars[2, :count], rule.rsi_n)
            if beyond[i] > 0:
                strength = 100.0 - strength
            kept[i] &= strength <= rule.rsi_level + SLACK
        if rule.adx_side != OFF:
            trend = adx(bars[0, :count], bars[1, :count], bars[2, :count], rule.adx_n)
            weak = trend < rule.adx_level - SLACK
            kept[i] &= weak if rule.adx_side == BELOW else trend >= rule.adx_level - SLACK
    return kept


@jit
def indices(
    rule: Confirm,
    starts: Ints,
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    time: Ints,
) -> Floats:
    """Return the RSI at each bar, or the ADX if ``rule.rsi_n`` is 0; NaN where it is not known.

    Parameters
    ----------
    rule : Confirm
        Its levels are not looked at.
    starts, time : Int64
        As for `confirmed`.
    open_, high, low, close : Float64 (n,)
        Prices of any size; NaN for none.
    """
    found = np.full(len(close), np.nan)
    bars = np.empty((3, rule.reach + 2))
    for series in range(len(starts) - 1):
        for i in range(starts[series], starts[series + 1]):
            count = _window(rule, starts[series], i, open_, high, low, close, time, math.inf, bars)
            if rule.rsi_n > 0:
                found[i] = rsi(bars[2, :count], rule.rsi_n)
            else:
                found[i] = adx(bars[0, :count], bars[1, :count], bars[2, :count], rule.adx_n)
    return found


@jit
def beyond(
    starts: Ints, slot: Ints, open_: Floats, close: Floats, n: int, lag: int, reach: int
) -> Floats:
    """Return how far from the mean of its window the body of each bar lies, in deviations.

    Parameters
    ----------
    starts : Int64 (series + 1,)
        First bar of each series, and the end of the last.
    slot : Int64 (bars,)
        Number of a bar's interval, rising; one that is missing repeats the close before it.
    open_, close : Float64 (bars,)
        Prices of any size.
    n, lag, reach : int
        Closes in a window, intervals from its first to the bar, intervals back beyond which a close
        is stale.

    Returns
    -------
    Float64 (bars,)
        Of the nearer end of the body, negative below the mean, 0 across it, infinite where closes
        do not vary; NaN where the window is not full.
    """
    found = np.full(len(close), np.nan)
    for series in range(len(starts) - 1):
        first = starts[series]
        for i in range(first, starts[series + 1]):
            end = slot[i] if lag < n else slot[i] - 1
            begin = slot[i] - lag
            # Around the newest close of the window, so that closes which do not vary give nought.
            total = squares = centre = 0.0
            left, j, until = n, i, end
            while left > 0 and j >= first and slot[i] - slot[j] <= reach:
                held = until - max(slot[j], begin) + 1
                if held > 0:
                    centre = close[j] if left == n else centre
                    distance = close[j] - centre
                    total += held * distance
                    squares += held * distance * distance
                    left -= held
                    until = slot[j] - 1
                j -= 1
            if left > 0:
                continue
            mean = total / n
            spread = math.sqrt(max(squares / n - mean * mean, 0.0))
            top = max(open_[i], close[i]) - centre - mean
            bottom = min(open_[i], close[i]) - centre - mean
            if top < 0.0:
                found[i] = top / spread if spread > 0.0 else -math.inf
            elif bottom > 0.0:
                found[i] = bottom / spread if spread > 0.0 else math.inf
            else:
                found[i] = 0.0
    return found
