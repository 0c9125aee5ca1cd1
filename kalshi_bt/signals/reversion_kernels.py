"""A fit of each sample on the one before it, over the samples of a moving window.

The sums that a fit needs are added up from blocks of time, as in `window_kernels`. Levels are told
as distances from a level of their block, and moved to the row's own level when they are added: what
the squares of large levels would lose is never there.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kalshi_bt.signals.window_kernels import MICROSECONDS, SECOND, first_of_blocks, jit, longest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLAT = 1e-12  # share of squares that rounding leaves of a level that never moved
PARTS = 16  # blocks in a lookback
FEW = 2 * PARTS  # samples that are added one by one

# Of neighbouring samples, as distances from an anchor: how many, their sum, that of squares, that
# of the products of neighbours; the oldest and the newest of them.
Sums = tuple[float, float, float, float, float, float]
NOTHING = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@jit
def moved(sums: Sums, by: float) -> Sums:
    """Return sums of distances that are all `by` larger."""
    n, total, squares, pairs, oldest, newest = sums
    if n == 0:
        return sums
    inner = 2 * total - oldest - newest  # of the neighbours in all pairs
    return (
        n,
        total + n * by,
        squares + by * (2 * total + n * by),
        pairs + by * (inner + (n - 1) * by),
        oldest + by,
        newest + by,
    )


@jit
def joined(old: Sums, new: Sums) -> Sums:
    """Return the sums of samples and of those that follow them, told from the same anchor."""
    if old[0] == 0:
        return new
    if new[0] == 0:
        return old
    return (
        old[0] + new[0],
        old[1] + new[1],
        old[2] + new[2],
        old[3] + new[3] + old[5] * new[4],
        old[4],
        new[5],
    )


@jit
def samples_of(
    at: Ints, level: Floats, first: int, last: int, time: Ints, value: Floats, row: Ints
) -> int:
    """Write the samples of a market, each as its newest row shows it; return how many they are.

    -1 where the times of its rows fall.
    """
    count = 0
    for i in range(first, last):
        if math.isnan(level[i]):
            continue
        if count > 0 and at[i] < time[count - 1]:
            return -1
        if count == 0 or at[i] > time[count - 1]:
            count += 1
        time[count - 1], value[count - 1], row[count - 1] = at[i], level[i], i
    return count


@jit
def fitted(sums: Sums, seconds: float) -> tuple[float, float, float, float, float]:
    """Return mean, spread, phi, t and step; the sums are told from the row's own level."""
    n, total, squares, pairs, last, _ = sums
    middle = total / n
    around = squares - n * middle * middle
    if around <= FLAT * squares:
        around = 0.0
    spread = math.sqrt(around / n)
    if n < 4 or around <= 0.0:
        return middle, spread, np.nan, np.nan, np.nan
    # Each sample is followed by the next; all but the oldest follow, and the row itself.
    follow = (total - last) / n
    cross = pairs - n * middle * follow
    slope = cross / around
    rest = squares - last * last - n * follow * follow - slope * cross
    error = math.sqrt(max(rest, 0.0) / (n - 2) / around)
    phi = slope + (1 + 3 * slope) / n
    t = (1 - phi) / error if error > 0.0 else np.nan
    return middle, spread, phi, t, seconds / n


@jit
def from_both_ends(value: Floats, count: int, block: Ints, rest: Floats, begun: Floats) -> None:
    """Write the sums from each sample to the end of its block, and from its beginning to it.

    The former are told from the last sample of the block, the latter from the first.
    """
    sums, anchor = NOTHING, 0.0
    for k in range(count - 1, -1, -1):
        if k + 1 == count or block[k + 1] == k + 1:
            sums, anchor = NOTHING, value[k]
        distance = value[k] - anchor
        sums = joined((1.0, distance, distance * distance, 0.0, distance, distance), sums)
        store(rest, k, sums)
    for k in range(count):
        if block[k] == k:
            sums, anchor = NOTHING, value[k]
        distance = value[k] - anchor
        sums = joined(sums, (1.0, distance, distance * distance, 0.0, distance, distance))
        store(begun, k, sums)


@jit
def store(table: Floats, k: int, sums: Sums) -> None:
    """Write sums to a row of a table."""
    table[k, 0], table[k, 1], table[k, 2] = sums[0], sums[1], sums[2]
    table[k, 3], table[k, 4], table[k, 5] = sums[3], sums[4], sums[5]


@jit
def stored(table: Floats, k: int, by: float) -> Sums:
    """Return sums of a row of a table, with distances larger by `by`."""
    r = table[k]
    return moved((r[0], r[1], r[2], r[3], r[4], r[5]), by)


@jit
def between(
    value: Floats, block: Ints, rest: Floats, begun: Floats, oldest: int, newest: int, own: float
) -> Sums:
    """Return the sums of the samples from `oldest` to `newest`, as distances from `own`."""
    start = block[newest]
    if start <= oldest or newest - oldest < FEW:
        sums = NOTHING
        for k in range(newest, oldest - 1, -1):
            distance = value[k] - own
            sums = joined((1.0, distance, distance * distance, 0.0, distance, distance), sums)
        return sums
    sums = stored(begun, newest, value[start] - own)
    while start > oldest:
        end = start - 1
        start = max(block[end], oldest)
        sums = joined(stored(rest, start, value[end] - own), sums)
    return sums


@jit
def looked_back(
    at: Ints, level: Floats, i: int, low: int, lookback: float
) -> tuple[Sums, float, float]:
    """Return sums over the window of row `i`, sample by sample; its span, its seconds to the row.

    For rows whose times do not rise: of those, what is older than all that came after it counts.
    """
    sums, newest, oldest = NOTHING, at[i], at[i]
    for j in range(i - 1, low - 1, -1):
        if math.isnan(level[j]) or at[j] >= oldest:
            continue
        if sums[0] == 0:
            newest = at[j]
        if (newest - at[j]) * SECOND > lookback:
            break
        distance = level[j] - level[i]
        one = (1.0, distance, distance * distance, 0.0, distance, distance)
        sums = joined(one, sums)
        oldest = at[j]
    return sums, (newest - oldest) * SECOND, (at[i] - oldest) * SECOND


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
    length = max(int(lookback * MICROSECONDS / PARTS), 1)
    most = longest(starts)
    time, value, row = np.empty(most, np.int64), np.empty(most), np.empty(most, np.int64)
    block = np.empty(most, np.int64)
    rest, begun = np.empty((most, 6)), np.empty((most, 6))
    for market in range(len(starts) - 1):
        first, last = starts[market], starts[market + 1]
        count = samples_of(at, level, first, last, time, value, row)
        first_of_blocks(time, 0, count, length, block)
        from_both_ends(value, count, block, rest, begun)
        oldest = newest = 0
        for i in range(first, last):
            if math.isnan(level[i]):
                continue
            low = max(first, i - reach)
            if count < 0:
                sums, span, seconds = looked_back(at, level, i, low, lookback)
            else:
                while newest < count and time[newest] < at[i]:
                    newest += 1  # one past the newest before the row
                while oldest < newest and (
                    row[oldest] < low or (time[newest - 1] - time[oldest]) * SECOND > lookback
                ):
                    oldest += 1
                if oldest == newest:
                    continue
                sums = between(value, block, rest, begun, oldest, newest - 1, level[i])
                span = (time[newest - 1] - time[oldest]) * SECOND
                seconds = (at[i] - time[oldest]) * SECOND
            if sums[0] < max(least, 1) or span < coverage * lookback:
                continue
            middle, spread[i], phi[i], t[i], step[i] = fitted(sums, seconds)
            mean[i] = level[i] + middle
    return mean, spread, phi, t, step
