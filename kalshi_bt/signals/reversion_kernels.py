"""A fit of each sample on the one before it, over the samples of a moving window.

The sums that a fit needs are added up from blocks of time, as in `window_kernels`. Levels are told
as distances from a level of their block, and moved to the row's own level when they are added: what
the squares of large levels would lose is never there.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kalshi_bt.signals.volatility_kernels import MICROSECONDS, SECOND, jit
from kalshi_bt.signals.window_kernels import first_of_blocks, longest

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
def sample(distance: float) -> Sums:
    """Return the sums of one sample."""
    return 1.0, distance, distance * distance, 0.0, distance, distance


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
def samples_of(at: Ints, level: Floats, time: Ints, value: Floats, row: Ints) -> int:
    """Write the samples of a market, each as its newest row shows it; return how many they are.

    -1 where the times of its rows fall.
    """
    count = 0
    for i in range(len(at)):
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
    n, total, squares, pairs, oldest, _ = sums
    middle = total / n
    around = squares - n * middle * middle
    if around <= FLAT * squares:
        around = 0.0
    spread = math.sqrt(around / n)
    if n < 4 or around <= 0.0:
        return middle, spread, np.nan, np.nan, np.nan
    # Each sample is followed by the next; all but the oldest follow, and the row itself.
    follow = (total - oldest) / n
    cross = pairs - n * middle * follow
    slope = cross / around
    rest = squares - oldest * oldest - n * follow * follow - slope * cross
    error = math.sqrt(max(rest, 0.0) / (n - 2) / around)
    phi = slope + (1 + 3 * slope) / n
    t = (1 - phi) / error if error > 0.0 else np.nan
    return middle, spread, phi, t, seconds / n


@jit
def to_ends(value: Floats, block: Ints, base: int, rest: Floats) -> None:
    """Write the sums from each sample to the end of its block, told from the last sample of it.

    Samples older than `base` are left out.
    """
    sums, anchor = NOTHING, 0.0
    for k in range(len(value) - 1, base - 1, -1):
        if k + 1 == len(value) or block[k + 1] == k + 1:
            sums, anchor = NOTHING, value[k]
        sums = joined(sample(value[k] - anchor), sums)
        rest[k, 0], rest[k, 1], rest[k, 2] = sums[0], sums[1], sums[2]
        rest[k, 3], rest[k, 4], rest[k, 5] = sums[3], sums[4], sums[5]


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
        sums = joined(sample(level[j] - level[i]), sums)
        oldest = at[j]
    return sums, (newest - oldest) * SECOND, (at[i] - oldest) * SECOND


@jit
def windows(
    rows: Ints,
    low: Ints,
    at: Ints,
    level: Floats,
    lookback: float,
    time: Ints,
    row: Ints,
    oldest: Ints,
    newest: Ints,
) -> int:
    """Write the first sample of the window of each of `rows`, and one past its last.

    The last is the newest before the row, the first at most `lookback` seconds older, and not seen
    before `low` only. A row without a sample has no window. Returns one past the last of them all.
    """
    begin = end = 0
    for r in range(len(rows)):
        oldest[r] = newest[r] = begin
        if math.isnan(level[rows[r]]):
            continue
        while end < len(time) and time[end] < at[rows[r]]:
            end += 1
        while begin < end and (
            row[begin] < low[r] or (time[end - 1] - time[begin]) * SECOND > lookback
        ):
            begin += 1
        oldest[r], newest[r] = begin, end
    return end


@jit
def summed(
    level: Floats,
    rows: Ints,
    oldest: Ints,
    newest: Ints,
    value: Floats,
    block: Ints,
    rest: Floats,
    sums_of: Floats,
) -> None:
    """Write the sums of the samples of each window, as distances from the row's own level."""
    begun, done = NOTHING, -1  # the sums from the beginning of a block to the sample `done`
    for r in range(len(rows)):
        first, last, own = oldest[r], newest[r] - 1, level[rows[r]]
        if first > last:
            sums_of[r, 0] = 0.0
            continue
        start = block[last]
        sums = NOTHING
        if start <= first or last - first < FEW:
            for k in range(last, first - 1, -1):
                sums = joined(sample(value[k] - own), sums)
        else:
            if done < start:
                begun, done = NOTHING, start - 1
            while done < last:
                done += 1
                begun = joined(begun, sample(value[done] - value[start]))
            sums = moved(begun, value[start] - own)
            while start > first:
                end = start - 1
                start = max(block[end], first)
                s = rest[start]
                older = moved((s[0], s[1], s[2], s[3], s[4], s[5]), value[end] - own)
                sums = joined(older, sums)
        sums_of[r, 0], sums_of[r, 1], sums_of[r, 2] = sums[0], sums[1], sums[2]
        sums_of[r, 3], sums_of[r, 4], sums_of[r, 5] = sums[3], sums[4], sums[5]


@jit
def autoregression(
    starts: Ints,
    rows: Ints,
    low: Ints,
    at: Ints,
    level: Floats,
    lookback: float,
    coverage: float,
    least: int,
    found: Floats,
) -> None:
    """Write mean and spread of the samples before each of `rows`, and phi, t and step of a fit.

    The fit is by least squares, of a sample on the one before it, the row's own included: phi is
    corrected for its bias, t is its distance from one in standard errors, a step is in seconds. The
    spread is that of the population. The samples are those of the `lookback` seconds up to the
    newest before the row, from the row `low` on; all stays NaN where they are fewer than `least`,
    or do not span `coverage` of the lookback.
    """
    length = max(int(lookback * MICROSECONDS / PARTS), 1)
    most = longest(starts)
    time, value, row = np.empty(most, np.int64), np.empty(most), np.empty(most, np.int64)
    block, rest = np.empty(most, np.int64), np.empty((most, 6))
    oldest, newest = np.empty(most, np.int64), np.empty(most, np.int64)
    sums_of = np.empty((most, 6))
    end = 0
    for market in range(len(starts) - 1):
        first, last = starts[market], starts[market + 1]
        begin = end
        while end < len(rows) and rows[end] < last:
            end += 1
        if begin == end:
            continue
        own, back = rows[begin:end] - first, low[begin:end] - first
        seen, shown = at[first:last], level[first:last]
        count = samples_of(seen, shown, time, value, row)
        if count >= 0:
            used = windows(own, back, seen, shown, lookback, time[:count], row, oldest, newest)
            first_of_blocks(time[:count], length, block)
            to_ends(value[:used], block, oldest[0], rest)
            summed(shown, own, oldest, newest, value, block, rest, sums_of)
        for r in range(len(own)):
            i = own[r]
            if count < 0:
                sums, span, seconds = looked_back(seen, shown, i, back[r], lookback)
            elif sums_of[r, 0] > 0:
                s = sums_of[r]
                sums = (s[0], s[1], s[2], s[3], s[4], s[5])
                span = (time[newest[r] - 1] - time[oldest[r]]) * SECOND
                seconds = (seen[i] - time[oldest[r]]) * SECOND
            else:
                continue
            if sums[0] < max(least, 1) or span < coverage * lookback or math.isnan(shown[i]):
                continue
            middle, spread, phi, t, step = fitted(sums, seconds)
            found[0, begin + r], found[1, begin + r] = shown[i] + middle, spread
            found[2, begin + r], found[3, begin + r], found[4, begin + r] = phi, t, step
