"""Loops over samples of a price that a market's bars have seen, one market after another.

A row is a bar; `at` is when its sample was taken, which can be before its end. Rows without a
sample, and rows that repeat the sample of the row before, add nothing. Loops that look back are
asked for some `rows` only, rising, and look no further back than `low`, a row of each: what a row
says is the same whether older rows are there or not, and whichever others are asked for.

Loops write to arrays they are given. NumPy has those in large pages; fetching the small ones of an
array that compiled code makes takes longer than the work.
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
def sampled(time: Ints, value: Floats, age: Floats, at: Ints, price: Floats) -> None:
    """Write when the sample of each row was taken, and the sample: NaN unless a price of a past.

    A row without a sample has the end of its bar.
    """
    for i in range(len(time)):  # no branch, so that it becomes vector instructions
        known = (value[i] > 0.0) & (value[i] < np.inf) & (age[i] >= 0.0)
        late = age[i] if known else 0.0
        at[i] = time[i] - int(np.rint(late * MICROSECONDS))
        price[i] = value[i] if known else np.nan


@jit
def oldest_within(starts: Ints, time: Ints, rows: Ints, span: int, low: Ints) -> None:
    """Write the oldest row of the same market within `span` microseconds before each of `rows`."""
    k = 0
    for market in range(len(starts) - 1):
        oldest = starts[market]
        while k < len(rows) and rows[k] < starts[market + 1]:
            while time[oldest] < time[rows[k]] - span:
                oldest += 1
            low[k] = oldest
            k += 1


@jit
def newest_known(rows: Ints, low: Ints, value: Floats, found: Floats) -> None:
    """Write the newest value from `low` to each of `rows`, NaN if there is none."""
    known, searched = -1, -1
    for k in range(len(rows)):
        for j in range(rows[k], max(low[k] - 1, searched), -1):
            if not math.isnan(value[j]):
                known = j
                break
        searched = rows[k]
        found[k] = value[known] if known >= low[k] else np.nan


@jit
def returns_of(at: Ints, log_price: Floats, before: Ints, change: Floats, seconds: Floats) -> None:
    """Write for each row of a market with a new sample the row before, the return and the seconds.

    The row is -1 where there is no new sample or none before it.
    """
    last = -1
    for i in range(len(at)):
        before[i] = -1
        if math.isnan(log_price[i]) or (last >= 0 and at[i] < at[last]):
            continue
        if last >= 0 and at[i] > at[last]:
            before[i] = last
            change[i] = log_price[i] - log_price[last]
            seconds[i] = (at[i] - at[last]) * SECOND
        last = i  # the newest row that shows the sample


@jit
def running(
    starts: Ints,
    at: Ints,
    log_price: Floats,
    max_gap: float,
    half_life: float,
    variance: Floats,
    effective: Floats,
) -> None:
    """Write each row's variance per second, by elapsed time, and its effective number of returns.

    All returns up to a row count. The variance is NaN where there is none.
    """
    rate = -math.log(2.0) / half_life
    for market in range(len(starts) - 1):
        squares = lengths = heavy = 0.0
        last = -1
        for i in range(starts[market], starts[market + 1]):
            if not math.isnan(log_price[i]) and (last < 0 or at[i] >= at[last]):
                if last >= 0 and at[i] > at[last]:
                    change = log_price[i] - log_price[last]
                    seconds = (at[i] - at[last]) * SECOND
                    fade = math.exp(rate * seconds)
                    squares, lengths, heavy = fade * squares, fade * lengths, fade * fade * heavy
                    if seconds <= max_gap:
                        squares += change * change
                        lengths += seconds
                        heavy += seconds * seconds
                last = i
            variance[i] = squares / lengths if lengths > 0.0 else np.nan
            effective[i] = lengths * lengths / heavy if lengths > 0.0 else 0.0


@jit
def counted(
    rows: Ints,
    low: Ints,
    at: Ints,
    price: Floats,
    close: Ints,
    window: int,
    max_gap: float,
    mean: Floats,
    blur: Floats,
) -> None:
    """Write the mean of the values of a settlement average known so far, and how sure it is.

    Between two samples a value lies on the line that joins them; what that leaves open is a
    Brownian bridge. The second array is the variance of the sum of the values, in seconds of the
    walk's variance: 0 where there is a sample for each value. The mean is NaN before the window,
    and where samples do not reach back to its start or lie more than `max_gap` seconds apart.
    `close` is that of each of `rows`.
    """
    for r in range(len(rows)):
        i, end = rows[r], close[r]
        mean[r], blur[r] = np.nan, 0.0
        newest = -((at[i] - end) // MICROSECONDS)  # the last known, seconds to the close
        if math.isnan(price[i]) or not 0 <= newest < window:
            continue
        wanted = window - newest
        total = unsure = 0.0
        later, count = i, 0
        for j in range(i - 1, low[r] - 1, -1):
            if count == wanted or (at[later] - at[j]) * SECOND > max_gap:
                break
            if math.isnan(price[j]) or at[j] >= at[later]:
                continue
            gap = (at[later] - at[j]) * SECOND
            behind = (end - at[j]) * SECOND
            oldest = min(-((at[j] - end) // MICROSECONDS) - 1, window - 1)
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
        if count == wanted - 1 and end - at[later] == (window - 1) * MICROSECONDS:
            total += price[later]  # the first value is a sample with nothing before it
            count += 1
        if count == wanted:
            mean[r] = total / count
            blur[r] = max(unsure, 0.0)


@jit
def recent(
    rows: Ints,
    low: Ints,
    at: Ints,
    log_price: Floats,
    drift: float,
    calm: float,
    least: int,
    gone: Floats,
    ratio: Floats,
) -> None:
    """Write the log return over `drift` seconds to each row, and how wild its newest returns are.

    The second array is the standard deviation of the newest fifth of the returns of the last `calm`
    seconds over that of the others; NaN where there are fewer than `least` samples.
    """
    moves = np.empty(0)
    for r in range(len(rows)):
        i = rows[r]
        gone[r] = ratio[r] = np.nan
        if math.isnan(log_price[i]):
            continue
        if i - low[r] > len(moves):
            moves = np.empty(2 * (i - low[r]))
        later, n = i, 0
        for j in range(i - 1, low[r] - 1, -1):
            if math.isnan(log_price[j]) or at[j] >= at[later]:
                continue
            age = (at[i] - at[j]) * SECOND
            if age >= drift and math.isnan(gone[r]):
                gone[r] = log_price[i] - log_price[j]
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
            ratio[r] = np.std(moves[:new]) / usual
