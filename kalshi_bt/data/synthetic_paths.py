"""Arrays behind the synthetic sample: true probabilities, and the quotes and trades around them.

Randomness comes from Philox streams keyed by (seed, series, event, purpose), so no draw depends on
how many others were made: a longer sample begins with the shorter one, and a plant moves quotes
only. Spot prices need no transcendental function; probabilities do, and are rounded to nine
decimals before they are put on a tick grid, so that the last bit of a libm decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE, SECOND

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

STEPS = 6  # moments a bar of 60 s is made of
STEP_SECONDS = 10
WINDOW = 60  # one-second values in a settlement average
QUARTER = 900  # seconds
QUARTERS = 96  # in a day
SPOT_STREAM = 0  # as a series; the three series of markets are 1, 2 and 3
TRUTH, PLANT, QUOTES, TRADES, OPINIONS = range(5)  # purposes of a stream

SPOT_START = 80_000.0  # dollars
SPOT_SIGMA = 9e-5  # of a one-second return, about 50 % a year
BRACKETS, LADDER_SD = 6, 3.0  # of a temperature ladder; degrees a day's forecast is off
REVERSION_HALF_LIFE = 5  # bars
LEAN_BARS = 30  # how long quotes lean to one side
MAX_SPREAD = 4  # ticks
EMPTY_RATE = 0.004  # share of bars in which one side is pulled
CLIPS = np.array([1, 5, 20, 100, 500])  # contracts


@dataclass(frozen=True)
class Planted:
    """What the quotes of a sample get wrong, on purpose; all zero is a fair market.

    Attributes
    ----------
    longshot_bias : float
        b in logit q = (1 − b) · logit p, without unit, above −1 and below 1: positive overprices
        longshots and underprices favourites.
    mean_reversion : float
        Standard deviation, in dollars at p = 0.5, of a temporary error with a half-life of
        `REVERSION_HALF_LIFE` bars; from 0 to 0.2.
    stale_lag : int
        Bars by which quotes lag the truth; 0 or more.

    Raises
    ------
    UsageError
        If a value is outside its range.
    """

    longshot_bias: float = 0.0
    mean_reversion: float = 0.0
    stale_lag: int = 0

    def __post_init__(self) -> None:
        if not -1 < self.longshot_bias < 1:
            raise UsageError(f"longshot_bias is {self.longshot_bias}; expected between -1 and 1")
        if not 0 <= self.mean_reversion <= 0.2:
            raise UsageError(f"mean_reversion is {self.mean_reversion}; expected 0 to 0.2 dollars")
        if self.stale_lag < 0 or self.stale_lag % 1:
            raise UsageError(f"stale_lag is {self.stale_lag}; expected 0, 1, 2 … bars")


def stream(seed: int, series: int, event: int, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of one event, whatever else was drawn."""
    words = np.array([seed, (series << 48) | (event << 8) | purpose], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def normal_cdf(x: Floats) -> Floats:
    """Return Φ(x) elementwise by the C library's ``erfc`` (error about 1e-16), −inf and inf too.

    Examples
    --------
    >>> normal_cdf(np.array([-np.inf, 0.0, 1.0])).round(6).tolist()
    [0.0, 0.5, 0.841345]
    """
    scaled = (-x / math.sqrt(2.0)).ravel().tolist()
    return 0.5 * np.fromiter(map(math.erfc, scaled), float, len(scaled)).reshape(x.shape)


def threshold_probability(distance: Floats, sd: Floats) -> Floats:
    """Return Φ(distance / sd), and at sd = 0 whether the distance is at least 0."""
    done = np.where(distance >= 0, np.inf, -np.inf)
    return normal_cdf(np.divide(distance, sd, out=done, where=sd > 0))


def averaged_digital(
    spot: Floats, strike: float, sigma: float, left: Ints, known: Floats
) -> Floats:
    """Return the probability that the mean of the last 60 one-second values reaches the strike.

    Parameters
    ----------
    spot : array (n,)
        Newest value, any unit of money.
    strike : float
        Same unit; reached when the mean is at least this.
    sigma : float
        Standard deviation of a one-second return.
    left : array (n,)
        Seconds to the close, 0 or more.
    known : array (n,)
        Sum of the values that already count; 0 before the window.

    Notes
    -----
    With m = 60, n = min(left, m) values to come and arithmetic Brownian spot S of scale sigma·S,
    E = (known + n·S)/m, Var = (sigma·S)²·(max(left − m, 0) + n(n+1)(2n+1)/(6m²)), and the
    probability is Φ((E − strike)/√Var). A walk of returns differs from it by about 1e-4.

    Examples
    --------
    >>> year = 365 * 86_400
    >>> averaged_digital(
    ...     np.array([60_000.0]), 60_060, 0.5 / year**0.5, np.array([300]), np.array([0.0])
    ... ).round(6).tolist()
    [0.243256]
    """
    ahead = np.minimum(left, WINDOW)
    mean = (known + ahead * spot) / WINDOW
    inside = ahead * (ahead + 1) * (2 * ahead + 1) / (6 * WINDOW**2)
    return threshold_probability(
        mean - strike, sigma * spot * np.sqrt(np.maximum(left - WINDOW, 0) + inside)
    )


def spot_walk(seed: int, days: int) -> tuple[Ints, Floats]:
    """Return the spot in cents each second, and the return scale of each quarter hour.

    Element 59 of the spot is the opening moment of the first day; the 59 before it complete the
    first opening average. The scale is constant in a quarter hour and persists between them.
    """
    scales, factors = [], [np.ones(1)]
    level = 1.0
    for day in range(days):
        rng = stream(seed, SPOT_STREAM, day, TRUTH)
        shocks = 0.12 * rng.standard_normal(QUARTERS)
        for shock in shocks.tolist():
            level = min(max(1 + 0.9 * (level - 1) + shock, 0.5), 2.0)
            scales.append(SPOT_SIGMA * level)
        scale = np.repeat(scales[-QUARTERS:], QUARTER)
        factors.append(1 + scale * rng.standard_normal(scale.size))
    lead = stream(seed, SPOT_STREAM, 0, QUOTES).standard_normal(WINDOW - 1)
    factors.insert(1, 1 + SPOT_SIGMA * lead)
    walk = SPOT_START * np.cumprod(np.concatenate(factors))
    return np.rint(100 * walk).astype(np.int64), np.array(scales)


def average_cents(cents: Ints) -> int:
    """Return the mean of whole cents rounded half up to a cent, in integers.

    Examples
    --------
    >>> average_cents(np.array([100, 101]))
    101
    """
    return int((2 * cents.sum() + cents.size) // (2 * cents.size))


def updown_truth(cents: Ints, sigma: float, opening: int) -> tuple[Floats, int]:
    """Return the probability path (1, n) and the strike in cents of one quarter hour.

    `opening` is the element of `cents` at the market's open. Rounding half up makes the rounded
    mean reach the strike exactly when the mean is at least half a cent below it.
    """
    close = opening + QUARTER
    strike = average_cents(cents[opening - WINDOW + 1 : opening + 1])
    left = np.arange(QUARTER, -1, -STEP_SECONDS)
    sums = np.concatenate([[0], np.cumsum(cents[close - WINDOW + 1 : close + 1])])
    known = sums[np.maximum(WINDOW - left, 0)].astype(float)
    now = cents[close - left].astype(float)
    return averaged_digital(now, strike - 0.5, sigma, left, known)[None, :], strike


def game_truth(rng: np.random.Generator, bars: int) -> Floats:
    """Return the probability path (2, n) of a game's two teams: Φ(x_t / √(1 − t)), x a Brownian."""
    steps = bars * STEPS
    moves = rng.standard_normal(steps + 1) * np.where(np.arange(steps + 1), steps**-0.5, 0.8)
    left = np.arange(steps, -1, -1) / steps
    first = threshold_probability(np.cumsum(moves), np.sqrt(left))
    return np.stack([first, 1 - first])


def ladder_walk(
    rng: np.random.Generator, bars: int, brackets: int, sd: float
) -> tuple[Floats, int]:
    """Return the forecast at each moment (n,) and the lowest bracket's cap in whole degrees."""
    steps = bars * STEPS
    opening = rng.uniform(55, 85)
    cap = int(np.rint(opening + rng.uniform(-2, 2))) - (brackets - 2)
    moves = rng.standard_normal(steps + 1) * (sd * steps**-0.5)
    moves[0] = opening
    return np.cumsum(moves), cap


def ladder_truth(
    rng: np.random.Generator, bars: int, brackets: int = BRACKETS, sd: float = LADDER_SD
) -> tuple[Floats, int]:
    """Return the probability path (brackets, n) and the lowest bracket's cap in whole degrees.

    The forecast is Brownian and ends, rounded to a degree, as the reading. Brackets are two
    degrees wide and lie around the opening forecast; the first and the last are open-ended.
    """
    steps = bars * STEPS
    walk, cap = ladder_walk(rng, bars, brackets, sd)
    left = sd * np.sqrt(np.arange(steps, -1, -1) / steps)
    edges = cap - 0.5 + 2.0 * np.arange(brackets - 1)
    distance = walk - edges[:, None]
    above = threshold_probability(distance, np.broadcast_to(left, distance.shape))
    ends = np.ones((1, steps + 1))
    below = np.diff(np.concatenate([0 * ends, 1 - above, ends]), axis=0)
    return np.maximum(below, 0), cap


def quoted_probability(truth: Floats, planted: Planted, rng: np.random.Generator) -> Floats:
    """Return what the quotes believe (k, n): the truth, made stale, then biased, then in error."""
    moments = np.arange(truth.shape[1])
    q = truth[:, np.maximum(moments - int(planted.stale_lag) * STEPS, 0)]
    if planted.longshot_bias:
        yes, no = q ** (1 - planted.longshot_bias), (1 - q) ** (1 - planted.longshot_bias)
        q = yes / (yes + no)
    if planted.mean_reversion:
        decay = 2.0 ** (-1 / (REVERSION_HALF_LIFE * STEPS))
        shocks = rng.standard_normal(q.shape)
        shocks[:, 1:] *= math.sqrt(1 - decay**2)
        weights = decay**moments  # 2^-288 after a day of minutes: far from underflow
        error = weights * np.cumsum(shocks / weights, axis=1)
        q = np.clip(q + planted.mean_reversion * 4 * q * (1 - q) * error, 0, 1)
    return q


def grid(ranges: Sequence[tuple[int, int, int]]) -> Ints:
    """Return all prices from 0 to 10 000 of (start, end, step) ranges in centi-cents."""
    parts = [np.arange(start, end, step) for start, end, step in ranges]
    return np.concatenate([*parts, [PRICE_SCALE]])


def book(q: Floats, levels: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return best bid and ask (k, n) in centi-cents around `q`; 0 and 10 000 are empty sides.

    A market's spread is n ticks, 1 to `MAX_SPREAD`. With u, |u| <= (n − 1)/2 ticks, redrawn every
    `LEAN_BARS` bars, bid = floor(q + u − (n − 1)/2 ticks) and ask = bid + n ticks: bid <= q <= ask.
    """
    markets, moments = q.shape
    spread = rng.integers(1, MAX_SPREAD + 1, (markets, 1))
    room = (spread - 1) / 2
    span = LEAN_BARS * STEPS
    lean = np.repeat(rng.uniform(-1, 1, (markets, moments // span + 1)), span, axis=1)
    position = np.interp(q, levels / PRICE_SCALE, np.arange(levels.size))
    floor = np.floor(np.round(position + room * (lean[:, :moments] - 1), 9)).astype(np.int64)
    top = levels.size - 1
    bid, ask = levels[np.clip(floor, 0, top - 1)], levels[np.clip(floor + spread, 1, top)]
    pulled = rng.random((2, markets, moments // STEPS + 1)) < EMPTY_RATE
    spell = np.repeat(pulled, STEPS, axis=2)[:, :, STEPS // 2 :][:, :, :moments]
    return np.where(spell[0], 0, bid), np.where(spell[1], PRICE_SCALE, ask)


@dataclass(frozen=True, eq=False)
class Prints:
    """At most one trade a step, at the quote standing since its beginning; arrays (k, n − 1)."""

    happened: Flags
    buys: Flags  # the taker bought YES
    price: Ints  # centi-cents
    quantity: Ints  # centi-contracts
    opened: Flags  # raised the open interest
    delay: Ints  # microseconds after the step's beginning


def prints(
    q: Floats, bid: Ints, ask: Ints, rate: tuple[float, float], rng: np.random.Generator
) -> Prints:
    """Return the trades of an event; each market's chance of a trade in a step lies in `rate`.

    A taker buys where `q` is above the mid and sells where it is below, else by a coin.
    """
    shape = (bid.shape[0], bid.shape[1] - 1)
    chance = rng.uniform(*rate, (shape[0], 1))
    happened, coin = rng.random(shape) < chance, rng.random(shape) < 0.5
    above = np.round(2 * PRICE_SCALE * q - bid - ask, 5)[:, :-1]
    buys = np.where(above == 0, coin, above > 0)
    price = np.where(buys, ask[:, :-1], bid[:, :-1])
    whole = 100 * CLIPS[rng.integers(0, CLIPS.size, shape)] * rng.integers(1, 10, shape)
    fraction = np.where(rng.random(shape) < 0.05, rng.integers(0, 100, shape), 0)
    return Prints(
        happened=happened & (price > 0) & (price < PRICE_SCALE),
        buys=buys,
        price=price,
        quantity=whole + fraction,
        opened=rng.random(shape) < 0.6,
        delay=rng.integers(1, STEP_SECONDS * SECOND, shape),
    )


def quote_range(levels: Ints) -> tuple[Ints, ...]:
    """Return open, high, low, close (k, bars) of a quote path; a bar opens at the last close."""
    markets = levels.shape[0]
    opens, closes = levels[:, :-1:STEPS], levels[:, STEPS::STEPS]
    inside = levels[:, :-1].reshape(markets, -1, STEPS)
    highs, lows = inside.max(axis=2), inside.min(axis=2)
    return opens, np.maximum(highs, closes), np.minimum(lows, closes), closes


def price_range(tape: Prints) -> tuple[Ints, ...]:
    """Return open, high, low, close (k, bars) of the trades; -1 where there were none."""
    shape = (tape.price.shape[0], -1, STEPS)
    price, traded = tape.price.reshape(shape), tape.happened.reshape(shape)
    first = traded.argmax(axis=2)[:, :, None]
    last = STEPS - 1 - traded[:, :, ::-1].argmax(axis=2)[:, :, None]
    ends = [np.take_along_axis(price, at, axis=2)[:, :, 0] for at in (first, last)]
    high = np.where(traded, price, -1).max(axis=2)
    low = np.where(traded, price, PRICE_SCALE).min(axis=2)
    some = traded.any(axis=2)
    return tuple(np.where(some, part, -1) for part in (ends[0], high, low, ends[1]))


def bar_columns(bid: Ints, ask: Ints, tape: Prints) -> dict[str, Ints]:
    """Return the market columns of candles, market after market, empties as -1, 0 and 10 000."""
    quantity = np.where(tape.happened, tape.quantity, 0).reshape(len(bid), -1, STEPS)
    opened = (quantity * tape.opened.reshape(quantity.shape)).sum(axis=2)
    ranges = {"price": price_range(tape), "bid": quote_range(bid), "ask": quote_range(ask)}
    return {
        f"{side}_{part}": levels.ravel()
        for side, parts in ranges.items()
        for part, levels in zip(OHLC, parts, strict=True)
    } | {"volume": quantity.sum(axis=2).ravel(), "open_interest": opened.cumsum(axis=1).ravel()}


def trade_columns(tape: Prints) -> dict[str, Ints]:
    """Return the market columns of trades, market after market, times since the open."""
    market, step = at = np.nonzero(tape.happened)
    return {
        "market": market,
        "time": step * STEP_SECONDS * SECOND + tape.delay[at],
        "price": tape.price[at],
        "quantity": tape.quantity[at],
        "taker_side": np.where(tape.buys[at], 1, -1),
    }
