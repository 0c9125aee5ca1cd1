"""Weighted sums of the last returns of each row, at a cost that does not grow with their number.

Time is cut into blocks. A window is the end of one block, whole blocks, and the beginning of the
one its row lies in; the sums of all these are made once for all rows, and only added up for each.
Nothing is ever taken out of a sum again, so that nothing is lost to rounding. Where blocks begin
depends on the times of samples alone: no value looks further back than its oldest row, and what
older rows can change is the last bits of windows shorter than a block. What is said of a row does
not depend on which others are asked for: for the newest one alone few of the sums are made.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalshi_bt.signals.volatility_kernels import jit, returns_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ELAPSED, UNBIASED, SEEDED, ZERO, REVERSED = range(5)
VANISHED = 2.0**-60  # a weight that changes no bit of a sum that has one of weight 1


class Rule(NamedTuple):
    """How returns are weighed.

    Attributes
    ----------
    recursion : int
        ELAPSED, UNBIASED, SEEDED, ZERO or REVERSED.
    fixed : float
        What a return weighs beside the next if each is a step.
    rate : float
        Log of what a second leaves of a weight.
    step, max_gap : float
        Seconds that a sample stands for; seconds of the longest return that counts.
    length : int
        Microseconds of a block.
    enough : int
        Returns that are counted even where they weigh nothing any more.
    """

    recursion: int
    fixed: float
    rate: float
    step: float
    max_gap: float
    length: int
    enough: int


# Sums of returns, the newest of which has weight 1: of weights times squares, of weights times
# seconds, of weights, of squared weights times squared seconds; what the return before them weighs,
# how many they are, and the square of the oldest.
Sums = tuple[float, float, float, float, float, float, float]
NOTHING = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@jit
def first_of_blocks(at: Ints, length: int, block: Ints) -> None:
    """Write to `block` for each of some times where its block of `length` begins."""
    start = -1
    begun = ended = 0
    for i in range(len(at)):
        if start < 0 or not begun <= at[i] < ended:
            begun = at[i] // length * length
            ended = begun + length
            start = i
        block[i] = start


@jit
def longest(starts: Ints) -> int:
    """Return the most rows of a market."""
    most = 0
    for market in range(len(starts) - 1):
        most = max(most, starts[market + 1] - starts[market])
    return most


@jit
def of_return(change: float, seconds: float, fade: float, rule: Rule) -> Sums:
    """Return the sums of one return.

    One too long to use has made what lies before it older all the same.
    """
    if seconds > rule.max_gap:
        return 0.0, 0.0, 0.0, 0.0, fade if rule.recursion == ELAPSED else 1.0, 0.0, 0.0
    square = change * change
    part = (1 - rule.fixed) * square if rule.recursion == REVERSED else square
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
def said(sums: Sums, rule: Rule) -> tuple[float, float]:
    """Return the variance per second that sums come to, and the effective number of returns."""
    squares, lengths, weights, heavy, weight, count, oldest = sums
    if rule.recursion == REVERSED:
        return squares / rule.step, count
    effective = lengths * lengths / heavy
    if rule.recursion == ELAPSED:
        return squares / lengths, effective
    if rule.recursion == UNBIASED:
        return squares / weights / rule.step, effective
    if rule.recursion == ZERO:
        return (1 - rule.fixed) * squares / rule.step, effective
    # Seeded with the oldest square, which is then not taken in a second time.
    seed = weight / rule.fixed * oldest
    return ((1 - rule.fixed) * (squares - seed) + seed) / rule.step, effective


@jit
def faded(rule: Rule, before: Ints, seconds: Floats, fade: Floats) -> None:
    """Write what the return before each return weighs beside it."""
    usual, weight = -1.0, 1.0
    for i in range(len(before)):
        fade[i] = rule.fixed
        if rule.recursion == ELAPSED and before[i] >= 0:
            if seconds[i] != usual:
                usual, weight = seconds[i], math.exp(rule.rate * seconds[i])
            fade[i] = weight


@jit
def to_ends(
    rule: Rule,
    base: int,
    before: Ints,
    change: Floats,
    seconds: Floats,
    fade: Floats,
    block: Ints,
    following: Ints,
    rest: Floats,
) -> None:
    """Write the sums from each row to the end of its block, and the first return from it on.

    Rows older than `base`, where a block begins, are left out.
    """
    sums = NOTHING
    following[len(before)] = len(before)
    for i in range(len(before) - 1, base - 1, -1):
        if i + 1 < len(before) and block[i + 1] == i + 1:
            sums = NOTHING
        following[i] = following[i + 1]
        if before[i] >= 0:
            following[i] = i
            one = of_return(change[i], seconds[i], fade[i], rule)
            sums = joined(sums, one, rule.recursion)
        rest[i, 0], rest[i, 1], rest[i, 2], rest[i, 3] = sums[0], sums[1], sums[2], sums[3]
        rest[i, 4], rest[i, 5], rest[i, 6] = sums[4], sums[5], sums[6]


@jit
def weighed(
    rule: Rule,
    rows: Ints,
    low: Ints,
    before: Ints,
    change: Floats,
    seconds: Floats,
    fade: Floats,
    block: Ints,
    following: Ints,
    rest: Floats,
    variance: Floats,
    effective: Floats,
    number: Ints,
) -> None:
    """Write what the returns from `low` to each of `rows` of a market come to."""
    begun, done = NOTHING, -1  # the sums from the beginning of a block to the row `done`
    vanished = -1.0 if rule.recursion == REVERSED else VANISHED
    for r in range(len(rows)):
        i = rows[r]
        if done < block[i]:
            begun, done = NOTHING, block[i] - 1
        while done < i:
            done += 1
            if before[done] >= 0:
                one = of_return(change[done], seconds[done], fade[done], rule)
                begun = joined(one, begun, rule.recursion)
        oldest = following[low[r]]
        if oldest <= i and before[oldest] < low[r]:
            oldest = following[oldest + 1]
        variance[r], effective[r], number[r] = np.nan, 0.0, 0
        if oldest > i:
            continue
        sums, j = begun, block[i]
        if following[j] < oldest:
            # The window begins inside the block that it ends in.
            sums, j = NOTHING, i + 1
            while j > oldest and not (sums[4] < vanished and sums[5] >= rule.enough):
                j -= 1
                if before[j] >= 0:
                    one = of_return(change[j], seconds[j], fade[j], rule)
                    sums = joined(sums, one, rule.recursion)
        while j > oldest and not (sums[4] < vanished and sums[5] >= rule.enough):
            j = max(block[j - 1], oldest)
            s = rest[j]
            older = (s[0], s[1], s[2], s[3], s[4], s[5], s[6])
            sums = joined(sums, older, rule.recursion)
        number[r] = int(sums[5])
        if number[r] > 0:
            variance[r], effective[r] = said(sums, rule)


@jit
def ewma(
    rule: Rule,
    starts: Ints,
    rows: Ints,
    low: Ints,
    at: Ints,
    log_price: Floats,
    variance: Floats,
    effective: Floats,
    number: Ints,
) -> None:
    """Write the variance per second at `rows`, its effective and its plain number of returns.

    `low` is the oldest row that counts for each. The variance is NaN where there is no return. Once
    weights have vanished and enough returns were counted, older ones are not looked at.
    """
    most = longest(starts)
    before, block = np.empty(most, np.int64), np.empty(most, np.int64)
    change, seconds, fade = np.empty(most), np.empty(most), np.empty(most)
    following = np.empty(most + 1, np.int64)
    rest = np.empty((most, 7))
    end = 0
    for market in range(len(starts) - 1):
        first, last = starts[market], starts[market + 1]
        begin = end
        while end < len(rows) and rows[end] < last:
            end += 1
        if begin == end:
            continue
        n = rows[end - 1] + 1 - first
        first_of_blocks(at[first : first + n], rule.length, block)
        returns_of(at[first : first + n], log_price[first : first + n], before, change, seconds)
        faded(rule, before[:n], seconds, fade)
        base = block[low[begin] - first]
        to_ends(rule, base, before[:n], change, seconds, fade, block, following, rest)
        weighed(
            rule,
            rows[begin:end] - first,
            low[begin:end] - first,
            before,
            change,
            seconds,
            fade,
            block,
            following,
            rest,
            variance[begin:end],
            effective[begin:end],
            number[begin:end],
        )
