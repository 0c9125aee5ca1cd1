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

ELAPSED, UNBIASED, SEEDED, ZERO, REVERSED = range(5)
MICROSECONDS = 1_000_000  # in a second
SECOND = 1 / MICROSECONDS
FLAT = 1e-12  # share of squares that rounding leaves of a level that never moved
VANISHED = 2.0**-60  # a weight that changes no bit of a sum that has one of weight 1

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
def ewma(
    starts: Ints,
    before: Ints,
    change: Floats,
    seconds: Floats,
    reach: int,
    max_gap: float,
    half_life: float,
    step: float,
    recursion: int,
    enough: int,
) -> tuple[Floats, Floats, Ints]:
    """Return each row's variance per second, its effective and its plain number of returns.

    The variance is NaN where there is no return. Once weights have vanished and `enough` returns
    were counted, older ones are not looked at.
    """
    rows = len(before)
    variance = np.full(rows, np.nan)
    effective = np.zeros(rows)
    number = np.zeros(rows, np.int64)
    rate = -math.log(2.0) / half_life
    fixed = math.exp(rate * step)
    fade = np.exp(rate * seconds) if recursion == ELAPSED else np.full(rows, fixed)
    for market in range(len(starts) - 1):
        first = starts[market]
        for i in range(first, starts[market + 1]):
            squares = weights = lengths = heavy = 0.0
            weight = 1.0
            count = 0
            oldest = 0.0
            low = max(first, i - reach)
            for j in range(i, low, -1):
                if before[j] < low or seconds[j] > max_gap:
                    # A return too long to use has made what lies before it older all the same.
                    if before[j] >= low and recursion == ELAPSED:
                        weight *= fade[j]
                    continue
                square = change[j] * change[j]
                count += 1
                if recursion == REVERSED:
                    # Iterated from the newest, each older return is taken in later: the recursion
                    # v = fixed * v + (1 - fixed) * r² in the order of this loop.
                    squares = fixed * squares + (1 - fixed) * square
                    continue
                squares += weight * square
                weights += weight
                lengths += weight * seconds[j]
                heavy += (weight * seconds[j]) ** 2
                oldest = square
                weight *= fade[j]
                if weight < VANISHED and count >= enough:
                    break
            number[i] = count
            if count == 0:
                continue
            if recursion == REVERSED:
                variance[i] = squares / step
                effective[i] = count
                continue
            effective[i] = lengths * lengths / heavy
            if recursion == ELAPSED:
                variance[i] = squares / lengths
            elif recursion == UNBIASED:
                variance[i] = squares / weights / step
            elif recursion == ZERO:
                variance[i] = (1 - fixed) * squares / step
            else:
                # Seeded with the oldest square, which is then not taken in a second time.
                seed = weight / fixed
                variance[i] = ((1 - fixed) * (squares - seed * oldest) + seed * oldest) / step
    return variance, effective, number


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
def autoregression(
    starts: Ints, at: Ints, level: Floats, lookback: float, coverage: float, least: int, reach: int
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return the mean and spread of the samples before each row, and phi, t and step of a fit.

    The fit is by least squares, of a sample on the one before it, the row's own included: phi is
    corrected for its bias, t is its distance from one in standard errors, a step is in seconds. The
    spread is that of the population. The samples are those of the `lookback` seconds up to the
    newest before the row; all is NaN where they are fewer than `least`, or do not span `coverage`
    of the lookback.
    """
    rows = len(at)
    mean, spread = np.full(rows, np.nan), np.full(rows, np.nan)
    phi, t, step = np.full(rows, np.nan), np.full(rows, np.nan), np.full(rows, np.nan)
    for market in range(len(starts) - 1):
        first = starts[market]
        for i in range(first, starts[market + 1]):
            if math.isnan(level[i]):
                continue
            n, newest, oldest = 0, at[i], at[i]
            # Distances from the row's own level, newest first; the row itself has none.
            total = squares = pairs = last = 0.0
            for j in range(i - 1, max(first, i - reach) - 1, -1):
                if math.isnan(level[j]) or at[j] >= oldest:
                    continue
                if n == 0:
                    newest = at[j]
                if (newest - at[j]) * SECOND > lookback:
                    break
                n += 1
                distance = level[j] - level[i]
                total += distance
                squares += distance * distance
                pairs += distance * last
                last = distance
                oldest = at[j]
            if n < max(least, 1) or (newest - oldest) * SECOND < coverage * lookback:
                continue
            middle = total / n
            around = squares - n * middle * middle
            if around <= FLAT * squares:
                around = 0.0
            mean[i], spread[i] = level[i] + middle, math.sqrt(around / n)
            if n < 4 or around <= 0.0:
                continue
            # Each sample is followed by the next; all but the oldest follow, and the row itself.
            follow = (total - last) / n
            cross = pairs - n * middle * follow
            slope = cross / around
            rest = squares - last * last - n * follow * follow - slope * cross
            error = math.sqrt(max(rest, 0.0) / (n - 2) / around)
            phi[i] = slope + (1 + 3 * slope) / n
            t[i] = (1 - phi[i]) / error if error > 0.0 else np.nan
            step[i] = (at[i] - oldest) * SECOND / n
    return mean, spread, phi, t, step


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
