"""Loops over samples of a price that a market's bars have seen, one market after another.

A row is a bar; `at` is when its sample was taken, which can be before its end. Rows without a
sample, and rows that repeat the sample of the row before, add nothing. No value looks further back
than `reach` rows: what a row says is the same whether older rows are there or not.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MICROSECONDS = 1_000_000  # in a second
SECOND = 1 / MICROSECONDS

jit = njit(cache=True, nogil=True, error_model="numpy")


@jit
def returns(starts: Ints, at: Ints, log_price: Floats) -> tuple[Ints, Floats, Floats]:
    """Return for each row with a new sample the row of the one before, the return and the seconds.

    The row is -1 where there is no new sample or none before it in its market.
    """
    before = np.full(len(at), -1, np.int64)
    change = np.zeros(len(at))
    seconds = np.zeros(len(at))
    for market in range(len(starts) - 1):
        last = -1
        for i in range(starts[market], starts[market + 1]):
            if math.isnan(log_price[i]) or (last >= 0 and at[i] < at[last]):
                continue
            if last >= 0 and at[i] == at[last]:
                last = i  # the newest row that still shows it
                continue
            if last >= 0:
                before[i] = last
                change[i] = log_price[i] - log_price[last]
                seconds[i] = (at[i] - at[last]) * SECOND
            last = i
    return before, change, seconds


@jit
def running(
    starts: Ints, before: Ints, change: Floats, seconds: Floats, max_gap: float, half_life: float
) -> tuple[Floats, Floats]:
    """Return each row's variance per second, by elapsed time, and its effective number of returns.

    All returns up to a row count. The variance is NaN where there is none.
    """
    variance, effective = np.full(len(before), np.nan), np.zeros(len(before))
    rate = -math.log(2.0) / half_life
    for market in range(len(starts) - 1):
        squares = lengths = heavy = 0.0
        for i in range(starts[market], starts[market + 1]):
            if before[i] >= 0:
                fade = math.exp(rate * seconds[i])
                squares, lengths, heavy = fade * squares, fade * lengths, fade * fade * heavy
                if seconds[i] <= max_gap:
                    squares += change[i] * change[i]
                    lengths += seconds[i]
                    heavy += seconds[i] * seconds[i]
            if lengths > 0.0:
                variance[i] = squares / lengths
                effective[i] = lengths * lengths / heavy
    return variance, effective


@jit
def counted(
    starts: Ints, at: Ints, price: Floats, close: Ints, window: int, reach: int, max_gap: float
) -> tuple[Floats, Floats]:
    """Return the mean of the values of a settlement average known so far, and how sure it is.

    Between two samples a value lies on the line that joins them; what that leaves open is a
    Brownian bridge. The second array is the variance of the sum of the values, in seconds of the
    walk's variance: 0 where there is a sample for each value. The mean is NaN before the window,
    and where samples do not reach back to its start or lie more than `max_gap` seconds apart.
    """
    mean = np.full(len(at), np.nan)
    blur = np.zeros(len(at))
    for market in range(len(starts) - 1):
        first = starts[market]
        for i in range(first, starts[market + 1]):
            newest = -((at[i] - close[i]) // MICROSECONDS)  # the last known, seconds to the close
            if math.isnan(price[i]) or not 0 <= newest < window:
                continue
            wanted = window - newest
            total = unsure = 0.0
            later, count = i, 0
            for j in range(i - 1, max(first, i - reach) - 1, -1):
                if count == wanted or (at[later] - at[j]) * SECOND > max_gap:
                    break
                if math.isnan(price[j]) or at[j] >= at[later]:
                    continue
                gap = (at[later] - at[j]) * SECOND
                behind = (close[i] - at[j]) * SECOND
                oldest = min(-((at[j] - close[i]) // MICROSECONDS) - 1, window - 1)
                n = oldest - newest + 1
                squares = offsets = 0.0
                for k in range(oldest, newest - 1, -1):
                    offset = behind - k
                    total += price[j] + (price[later] - price[j]) * offset / gap
                    n -= 1
                    squares += (2 * n + 1) * offset  # of all pairs, the smaller offset
                    offsets += offset
                    count += 1
                unsure += squares - offsets * offsets / gap
                newest, later = max(newest, oldest + 1), j
            if count == wanted - 1 and close[i] - at[later] == (window - 1) * MICROSECONDS:
                total += price[later]  # the first value is a sample with nothing before it
                count += 1
            if count == wanted:
                mean[i] = total / count
                blur[i] = max(unsure, 0.0)
    return mean, blur


@jit
def recent(
    starts: Ints, at: Ints, log_price: Floats, reach: int, drift: float, calm: float, least: int
) -> tuple[Floats, Floats]:
    """Return each row's log return over `drift` seconds, and how wild the newest returns are.

    The second array is the standard deviation of the newest fifth of the returns of the last `calm`
    seconds over that of the others; NaN where there are fewer than `least` samples.
    """
    gone, ratio = np.full(len(at), np.nan), np.full(len(at), np.nan)
    moves = np.empty(reach + 1)
    for market in range(len(starts) - 1):
        first = starts[market]
        for i in range(first, starts[market + 1]):
            if math.isnan(log_price[i]):
                continue
            later, n = i, 0
            for j in range(i - 1, max(first, i - reach) - 1, -1):
                if math.isnan(log_price[j]) or at[j] >= at[later]:
                    continue
                age = (at[i] - at[j]) * SECOND
                if age >= drift and math.isnan(gone[i]):
                    gone[i] = log_price[i] - log_price[j]
                if age > max(calm, drift):
                    break
                if age <= calm:
                    moves[n] = log_price[later] - log_price[j]
                    n += 1
                later = j
            if n + 1 < least:
                continue
            new = max(n // 5, 2)
            usual = np.std(moves[new:n])
            if usual > 0.0:
                ratio[i] = np.std(moves[:new]) / usual
    return gone, ratio
