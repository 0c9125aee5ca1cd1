"""Compiled loops of the band signal, in whole numbers.

Prices are half centi-cents (20 000 to a dollar), so that the mid of two prices is whole too. Prices
move in whole cents, which makes a body that ends exactly on a band an ordinary event; in floating
point the last bit of a square root would put it on either side. With n closes that sum to s, their
squares to q, a width of w standard deviations and d = s - n·price, a price lies below the lower
band if d > 0 and d² > w²(n·q - s²): no root, no rounding, and no trace of what left the window.

Loops are short, so that most become vector instructions, and only the running sums are serial.
Arrays are passed on once a market, never once a bar: counting references would cost more than the
work.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kalshi_bt.units import PRICE_SCALE, RATE_SCALE

Floats = NDArray[np.float64]
Prices = NDArray[Any]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNIT = 2 * PRICE_SCALE  # half centi-cents in a dollar
FEE_UNIT = RATE_SCALE * UNIT  # what makes rate (ppm) x price x (UNIT - price) a whole price too
SKIP, FFILL, NAN = 0, 1, 2  # what a bar without a trade is
FADE_LIMIT, REVERSAL_BREAK, LITERAL = 0, 1, 2
NEVER = -(2**40)  # bar of a trade that has not been

jit = njit(cache=True, nogil=True, error_model="numpy")


class Window(NamedTuple):
    """Which closes make a window, in whole numbers.

    Attributes
    ----------
    mode : int
        SKIP, FFILL or NAN.
    n : int
        Closes in a window.
    lag : int
        Intervals from its first close to the bar: n - 1, or n if the bar itself is left out.
    reach : int
        Bars back beyond which a close is stale.
    step : int
        Microseconds from one bar to the next; 0 if no bar is missing from the table.
    p, q : int
        The width of the bands is p/q standard deviations.
    """

    mode: int
    n: int
    lag: int
    reach: int
    step: int
    p: int
    q: int


class Bracket(NamedTuple):
    """How entry, stop and target follow from a bar, in whole numbers.

    Attributes
    ----------
    geometry : int
        FADE_LIMIT, REVERSAL_BREAK or LITERAL.
    tick : int
        Half centi-cents.
    capped : int
        1 if the target stays one tick inside the opposite band.
    reward, reward_unit : int
        Distance of the target in ranges of the bar, as a fraction.
    ratio, ratio_unit : int
        Least reward over risk, as a fraction.
    fee : int
        Rate in parts per million.
    """

    geometry: int
    tick: int
    capped: int
    reward: int
    reward_unit: int
    ratio: int
    ratio_unit: int
    fee: int


@jit
def _bodies(open_: Prices, close: Prices, scale: float, x: Ints, top: Ints, bottom: Ints) -> None:
    """Write close, top and bottom of each body; without a trade, -1 and a body never outside."""
    most = UNIT / scale
    for i in range(len(close)):
        traded = (open_[i] >= 0) & (open_[i] <= most) & (close[i] >= 0) & (close[i] <= most)
        start = int((open_[i] if traded else 0) * scale + 0.5)
        end = int((close[i] if traded else 0) * scale + 0.5)
        x[i] = end if traded else -1
        top[i] = max(start, end) if traded else UNIT
        bottom[i] = min(start, end)


@jit
def _squeeze(x: Ints, top: Ints, bottom: Ints, row: Ints) -> int:
    """Move the bars with a trade to the front; return how many there are."""
    kept = 0
    for i in range(len(x)):
        if x[i] >= 0:
            x[kept], top[kept], bottom[kept], row[kept] = x[i], top[i], bottom[i], i
            kept += 1
    return kept


@jit
def _carry(x: Ints, trade: Ints, total: Ints, square: Ints) -> None:
    """Carry closes forward and sum them; `trade` is the bar of the last trade."""
    last, at, s, q = 0, NEVER, 0, 0
    for k in range(len(x)):
        traded = x[k] >= 0
        last = x[k] if traded else last
        at = k if traded else at
        s += last
        q += last * last
        x[k], trade[k], total[k], square[k] = last, at, s, q


@jit
def _plain(rule: Window, x: Ints, total: Ints, square: Ints, s: Ints, v: Ints) -> None:
    """Turn running sums into s and v = n·q - s² of the window that begins `lag` bars ago."""
    own = rule.lag - rule.n + 1  # 1 if the bar's own close is left out
    x_, total_, square_ = x[rule.lag :], total[rule.lag :], square[rule.lag :]
    s_, v_ = s[rule.lag :], v[rule.lag :]
    for k in range(len(x_)):
        a = total_[k] - total[k] + x[k] - own * x_[k]
        b = square_[k] - square[k] + x[k] * x[k] - own * x_[k] * x_[k]
        s_[k] = a
        v_[k] = rule.n * b - a * a


@jit
def _gapped(
    rule: Window,
    time: Ints,
    x: Ints,
    total: Ints,
    square: Ints,
    slot: Ints,
    left: Ints,
    s: Ints,
    v: Ints,
) -> None:
    """Do the same where bars are missing: the close before a gap counts once for each of them.

    `slot` numbers the intervals; `left` is the bar in force in the first interval of the window.
    """
    own = rule.lag - rule.n + 1
    at, more, mores, b = 0, 0, 0, 0
    for k in range(len(x)):
        if k > 0:
            missing = max((time[k] - time[k - 1]) // rule.step, 1) - 1
            at += 1 + missing
            more += missing * x[k - 1]
            mores += missing * x[k - 1] * x[k - 1]
        slot[k] = at
        total[k] += more
        square[k] += mores
        first = at - rule.lag
        while b < k and slot[b + 1] <= first:
            b += 1
        left[k] = b if first >= 0 else -1
        held = slot[b] - first + 1
        s[k] = total[k] - total[b] + held * x[b] - own * x[k]
        q = square[k] - square[b] + held * x[b] * x[b] - own * x[k] * x[k]
        v[k] = rule.n * q - s[k] * s[k]


@jit
def _outside(rule: Window, top: Ints, bottom: Ints, s: Ints, v: Ints, flag: Flags) -> None:
    """Flag the bodies outside their bands."""
    n, pp, qq = rule.n, rule.p * rule.p, rule.q * rule.q
    for k in range(len(flag)):
        d = max(s[k] - n * top[k], n * bottom[k] - s[k])
        flag[k] = (d > 0) & (d * d * qq > pp * v[k])


@jit
def _pick(
    rule: Window, flag: Flags, row: Ints, slot: Ints, left: Ints, trade: Ints, picked: Ints
) -> int:
    """Write the flagged bars whose window has a close in every interval; return how many."""
    count = 0
    for k in range(len(flag)):  # no branch, hence none to mispredict
        picked[count] = k
        count += flag[k]
    kept = 0
    for i in range(count):
        k = picked[i]
        b = left[k]
        if b < 0:
            continue
        if rule.mode == SKIP:
            ready = row[k] - row[b] <= rule.reach
        elif rule.mode == FFILL:
            ready = trade[b] >= 0 and slot[k] - slot[trade[b]] <= rule.reach
        else:
            ready = slot[k] - slot[b] == rule.lag and k - b == rule.lag
            for j in range(b, k + 1):
                ready = ready and trade[j] == j
        picked[kept] = k
        kept += ready
    return kept


@jit
def _tell(
    rule: Window,
    begin: int,
    picked: Ints,
    row: Ints,
    top: Ints,
    bottom: Ints,
    s: Ints,
    v: Ints,
    found: Ints,
) -> None:
    """Write of the picked bars of a market what `windows` returns."""
    for i in range(len(picked)):
        k = picked[i]
        below, above = rule.n * top[k] - s[k], rule.n * bottom[k] - s[k]
        found[0, i], found[1, i] = begin + row[k], below if below < 0 else above
        found[2, i], found[3, i] = s[k], v[k]


@jit
def _three(n: int) -> tuple[Ints, Ints, Ints]:
    """Return room for three numbers of each bar of a market."""
    return np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)


@jit
def windows(
    rule: Window,
    starts: Ints,
    longest: int,
    open_: Prices,
    close: Prices,
    scale: float,
    time: Ints,
    every: int,
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the bars whose body lies outside their bands, with the sums of their windows.

    Parameters
    ----------
    rule : Window
        What a window is.
    starts : Int64 (markets + 1,)
        First bar of each market, and the end of the last.
    longest : int
        Bars of the longest market.
    open_, close : numbers (n,)
        Prices; NaN or negative where nothing traded. Time-ordered within a market.
    scale : float
        Half centi-cents in a unit of them: `UNIT` for dollars.
    time : Int64 (n,)
        Microseconds; not read if ``rule.step`` is 0.
    every : int
        1 to return every bar that has bands instead.

    Returns
    -------
    row, beyond, s, v : Int64 (hits,)
        The bar; n·(body - mean), negative below and positive above; s and n·q - s² of its window.
    """
    x, top, bottom = _three(longest)
    trade, total, square = _three(longest)
    s, v, picked = _three(longest)
    row, slot, left = _three(longest)
    flag = np.ones(longest, np.bool_)
    for k in range(longest):
        row[k], slot[k], left[k] = k, k, k - rule.lag
    found = np.empty((4, starts[-1] - starts[0]), np.int64)  # what is not written is not fetched
    hits = 0
    for m in range(len(starts) - 1):
        begin, end = starts[m], starts[m + 1]
        bars = end - begin
        _bodies(open_[begin:end], close[begin:end], scale, x, top, bottom)
        if rule.mode == SKIP:
            bars = _squeeze(x[:bars], top, bottom, row)
        _carry(x[:bars], trade, total, square)
        if rule.step > 0 and rule.mode != SKIP:
            _gapped(rule, time[begin:end], x[:bars], total, square, slot, left, s, v)
        elif bars > rule.lag:
            _plain(rule, x[:bars], total, square, s, v)
        if not every:
            _outside(rule, top, bottom, s, v, flag[:bars])
        count = _pick(rule, flag[:bars], row, slot, left, trade, picked)
        _tell(rule, begin, picked[:count], row, top, bottom, s, v, found[:, hits:])
        hits += count
    return found[0, :hits], found[1, :hits], found[2, :hits], found[3, :hits]


@jit
def _ceiling(rule: Window, tick: int, s: int, v: int) -> int:
    """Return the highest tick that is not above the upper band, exactly."""
    pp, qq = rule.p * rule.p, rule.q * rule.q
    level = int((s + math.sqrt(v) * rule.p / rule.q) / rule.n) // tick * tick
    level = min(level + tick, UNIT)  # the root may have been rounded down
    d = rule.n * level - s
    while d > 0 and d * d * qq > pp * v:
        level -= tick
        d -= rule.n * tick
    return level


@jit
def _bracket(
    rule: Window, form: Bracket, short: int, low: int, high: int, s: int, v: int
) -> tuple[int, int, int]:
    """Return entry, stop and target of a long set-up; target 0 if the bar offers none.

    A short one is asked for in prices of NO, where it is long; only the literal rule is lopsided.
    """
    span = high - low
    reward = form.reward * span // form.reward_unit
    entry, stop, target = low, low - span, low + reward
    if form.geometry == REVERSAL_BREAK:
        entry, stop, target = high, low, high + reward
    elif form.geometry == LITERAL:
        entry, stop, target = low, high, low - reward if short else low + reward
    if form.capped:
        target = min(target, _ceiling(rule, form.tick, s, v) - form.tick)
    stop = min(max(stop, form.tick), UNIT - form.tick)
    target = min(max(target, form.tick), UNIT - form.tick)
    gain, loss = target - entry, entry - stop
    if form.geometry == LITERAL:
        if loss < 0:  # as documented: reward over risk, both of them signed
            gain, loss = -gain, -loss
        fair = loss > 0 and gain * form.ratio_unit >= form.ratio * loss
    else:
        paid = form.fee * entry * (UNIT - entry)
        won = gain * FEE_UNIT - paid - form.fee * target * (UNIT - target)
        lost = loss * FEE_UNIT + paid + form.fee * stop * (UNIT - stop)
        fair = gain > 0 and loss > 0 and won * form.ratio_unit >= form.ratio * lost
    return entry, stop, target if fair and span >= form.tick else 0


@jit
def brackets(
    rule: Window, form: Bracket, low: Floats, high: Floats, beyond: Ints, sums: Ints, spreads: Ints
) -> tuple[Ints, Floats, Floats, Floats, Floats]:
    """Return the set-ups among the bars outside their bands.

    Parameters
    ----------
    rule, form : Window, Bracket
        What a window is and how levels follow from a bar.
    low, high : Float64 (hits,)
        Dollars; NaN where unknown.
    beyond, sums, spreads : Int64 (hits,)
        As `windows` returns them.

    Returns
    -------
    hit : Int64 (set-ups,)
        Position among the hits.
    entry, stop, target, confidence : Float64 (set-ups,)
        YES dollars, and a number in [0, 1].
    """
    hit = np.empty(len(beyond), np.int64)
    level = np.empty((4, len(beyond)), np.float64)
    count = 0
    for i in range(len(beyond)):
        if not 0.0 <= low[i] <= high[i] <= 1.0:
            continue
        short = beyond[i] > 0
        floor, roof, s = int(low[i] * UNIT + 0.5), int(high[i] * UNIT + 0.5), sums[i]
        if short:
            floor, roof, s = UNIT - roof, UNIT - floor, rule.n * UNIT - s
        entry, stop, target = _bracket(rule, form, short, floor, roof, s, spreads[i])
        if target == 0:
            continue
        if short:
            entry, stop, target = UNIT - entry, UNIT - stop, UNIT - target
        outside = abs(beyond[i]) - math.sqrt(spreads[i]) * rule.p / rule.q
        hit[count] = i
        level[0, count], level[1, count] = entry / UNIT, stop / UNIT
        level[2, count] = target / UNIT
        level[3, count] = min(0.95, 0.6 + 2.0 * max(outside, 0.0) / rule.n / UNIT)
        count += 1
    return hit[:count], level[0, :count], level[1, :count], level[2, :count], level[3, :count]
