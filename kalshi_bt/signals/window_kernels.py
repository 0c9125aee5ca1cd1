"""Weighted sums of the last returns of each row, at a cost that does not grow with their number.

Time is cut into blocks. A window is the end of one block, whole blocks, and the beginning of the
one its row lies in; the sums of all these are made once for all rows, and only added up for each.
Nothing is ever taken out of a sum again, so that nothing is lost to rounding. Where blocks begin
depends on the times of samples alone: no value looks further back than `reach` rows, and what older
rows can change is the last bits of windows shorter than a block.
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
PARTS = 16  # blocks of a lookback

# Sums of returns, the newest of which has weight 1: of weights times squares, of weights times
# seconds, of weights, of squared weights times squared seconds; what the return before them weighs,
# how many they are, and the square of the oldest.
Sums = tuple[float, float, float, float, float, float, float]
NOTHING = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)

jit = njit(cache=True, nogil=True, error_model="numpy")


@jit
def first_of_blocks(at: Ints, first: int, last: int, length: int, block: Ints) -> None:
    """Write to `block` for each row from `first` to before `last` where its block begins."""
    for i in range(first, last):
        same = i > first and at[i] // length == at[i - 1] // length
        block[i - first] = block[i - 1 - first] if same else i


@jit
def longest(starts: Ints) -> int:
    """Return the most rows of a market."""
    most = 0
    for market in range(len(starts) - 1):
        most = max(most, starts[market + 1] - starts[market])
    return most


@jit
def of_return(
    change: float, seconds: float, fade: float, fixed: float, max_gap: float, recursion: int
) -> Sums:
    """Return the sums of one return.

    One too long to use has made what lies before it older all the same.
    """
    if seconds > max_gap:
        return 0.0, 0.0, 0.0, 0.0, fade if recursion == ELAPSED else 1.0, 0.0, 0.0
    square = change * change
    part = (1 - fixed) * square if recursion == REVERSED else square
    return part, seconds, 1.0, seconds * seconds, fade, 1.0, square


@jit
def joined(new: Sums, old: Sums, recursion: int) -> Sums:
    """Return the sums of returns and of older ones."""
    squares, lengths, weights, heavy, weight, count, oldest = new
    if recursion == REVERSED:
        # Iterated from the newest, each older return is taken in later.
        squares = old[4] * squares + old[0]
    else:
        squares += weight * old[0]
        lengths += weight * old[1]
        weights += weight * old[2]
        heavy += weight * weight * old[3]
    if old[5] > 0:
        oldest = old[6]
    return squares, lengths, weights, heavy, weight * old[4], count + old[5], oldest


@jit
def said(sums: Sums, fixed: float, step: float, recursion: int) -> tuple[float, float]:
    """Return the variance per second that sums come to, and the effective number of returns."""
    squares, lengths, weights, heavy, weight, count, oldest = sums
    if recursion == REVERSED:
        return squares / step, count
    effective = lengths * lengths / heavy
    if recursion == ELAPSED:
        return squares / lengths, effective
    if recursion == UNBIASED:
        return squares / weights / step, effective
    if recursion == ZERO:
        return (1 - fixed) * squares / step, effective
    # Seeded with the oldest square, which is then not taken in a second time.
    seed = weight / fixed * oldest
    return ((1 - fixed) * (squares - seed) + seed) / step, effective


@jit
def ewma(
    starts: Ints,
    at: Ints,
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
    parts = 32 if recursion == REVERSED else 4  # of a half-life; a reversed window never fades
    length = max(int(parts * half_life * MICROSECONDS), 1)
    most = longest(starts)
    block = np.empty(most, np.int64)
    following = np.empty(most + 1, np.int64)  # the first return at or after a row
    rest = np.empty((most, 7))  # from each row to the end of its block
    fade = np.exp(rate * seconds) if recursion == ELAPSED else np.full(rows, fixed)
    vanished = -1.0 if recursion == REVERSED else VANISHED
    for market in range(len(starts) - 1):
        first, last = starts[market], starts[market + 1]
        first_of_blocks(at, first, last, length, block)
        following[last - first] = last
        sums = NOTHING
        for i in range(last - 1, first - 1, -1):
            k = i - first
            if i + 1 < last and block[k + 1] == i + 1:
                sums = NOTHING
            following[k] = following[k + 1]
            if before[i] >= 0:
                following[k] = i
                one = of_return(change[i], seconds[i], fade[i], fixed, max_gap, recursion)
                sums = joined(sums, one, recursion)
            rest[k, 0], rest[k, 1], rest[k, 2], rest[k, 3] = sums[0], sums[1], sums[2], sums[3]
            rest[k, 4], rest[k, 5], rest[k, 6] = sums[4], sums[5], sums[6]
        begun = NOTHING
        for i in range(first, last):
            k = i - first
            if block[k] == i:
                begun = NOTHING
            if before[i] >= 0:
                one = of_return(change[i], seconds[i], fade[i], fixed, max_gap, recursion)
                begun = joined(one, begun, recursion)
            low = max(first, i - reach)
            oldest = following[low - first]
            if oldest <= i and before[oldest] < low:
                oldest = following[oldest + 1 - first]
            if oldest > i:
                continue
            sums, j = begun, block[k]
            if following[j - first] < oldest:
                # The window begins inside the block that it ends in.
                sums, j = NOTHING, i + 1
                while j > oldest and not (sums[4] < vanished and sums[5] >= enough):
                    j -= 1
                    if before[j] >= 0:
                        one = of_return(change[j], seconds[j], fade[j], fixed, max_gap, recursion)
                        sums = joined(sums, one, recursion)
            while j > oldest and not (sums[4] < vanished and sums[5] >= enough):
                j = max(block[j - 1 - first], oldest)
                r = rest[j - first]
                older = (r[0], r[1], r[2], r[3], r[4], r[5], r[6])
                sums = joined(sums, older, recursion)
            number[i] = int(sums[5])
            if number[i] > 0:
                variance[i], effective[i] = said(sums, fixed, step, recursion)
    return variance, effective, number
