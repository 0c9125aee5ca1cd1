"""The draws of a random exchange: counter-based, so that one order's luck is its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from kalshi_bt.simulator.assumptions import RandomExchange
from kalshi_bt.simulator.state import Ints

_WORDS = 4  # of one block of the generator: delay, slip in, slip out, share
_MILLISECOND = 1_000
_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)
_WHOLE = 10_000
_Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Draws:
    """What chance holds for each intent; all Int64 (intents,).

    Attributes
    ----------
    delay : array
        Microseconds between the decision and its arrival.
    slip_in, slip_out : array
        What a taker loses on the way in and out: centi-cents, or basis points of the price where
        the exchange has `slip_bps` (negative is a gain, which is not granted).
    ratio : array
        Share of the order that the first bar it fills on may fill, in 1/10 000.
    """

    delay: Ints
    slip_in: Ints
    slip_out: Ints
    ratio: Ints


def draws(
    seed: int,
    tickers: Sequence[str],
    market_of_intent: Ints,
    exchange: RandomExchange,
    before: Ints | None = None,
) -> Draws:
    """Return the draws of each intent.

    The n-th intent of a ticker reads block n of a Philox generator keyed by the seed and the
    ticker: other tickers, and what became of earlier intents, change nothing.

    Parameters
    ----------
    seed : int
        0 to 2^63 - 1.
    tickers : sequence of str
        Of all markets.
    market_of_intent : Int64 (intents,)
        Positions in `tickers`, in the order of the intents; closing intents count too.
    exchange : RandomExchange
    before : Int64 (markets,), optional
        How many intents of each market came before these; none by default.

    References
    ----------
    Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3.

    Examples
    --------
    >>> both = draws(0, ["A", "B"], np.array([0, 1, 0]), RandomExchange())
    >>> alone = draws(0, ["A"], np.array([0, 0]), RandomExchange())
    >>> bool((both.delay[[0, 2]] == alone.delay).all())
    True
    >>> later = draws(0, ["A"], np.array([0]), RandomExchange(), before=np.array([1]))
    >>> bool(later.delay == alone.delay[1])
    True
    """
    words = np.empty((len(market_of_intent), _WORDS), np.uint64)
    order = np.argsort(market_of_intent, kind="stable")
    markets, first = np.unique(market_of_intent[order], return_index=True)
    for market, rows in zip(markets, np.split(order, first)[1:], strict=True):
        name = int.from_bytes(sha256(tickers[market].encode()).digest()[:8], "big")
        generator = np.random.Philox(key=np.array([seed, name], np.uint64))
        if before is not None:
            generator.advance(int(before[market]))  # whole blocks
        words[rows] = generator.random_raw(_WORDS * len(rows)).reshape(-1, _WORDS)
    return Draws(
        delay=_MILLISECOND * _between(words[:, 0], *exchange.latency_ms),
        slip_in=_slip(words[:, 1], exchange),
        slip_out=_slip(words[:, 2], exchange),
        ratio=_ratio(words[:, 3], exchange),
    )


def _between(word: _Words, low: int, high: int) -> Ints:
    """Return whole numbers from `low` to `high`, each as likely, from the low halves of words."""
    spread = np.uint64(high - low + 1)
    return low + ((word & _LOW) * spread >> _HALF).astype(np.int64)


def _happens(word: _Words, chance: float) -> NDArray[np.bool_]:
    """Return whether something of that chance happens, from the high halves of words."""
    return (word >> _HALF).astype(np.float64) < chance * 2.0**32


def _slip(word: _Words, exchange: RandomExchange) -> Ints:
    if exchange.slip_bps is not None:
        return _between(word, -exchange.slip_bps, exchange.slip_bps)
    stressed = _happens(word, exchange.stress)
    calm = _between(word, *exchange.slip_ticks)
    return exchange.tick * np.where(stressed, _between(word, *exchange.stress_ticks), calm)


def _ratio(word: _Words, exchange: RandomExchange) -> Ints:
    if exchange.ratios:
        parts = np.array([round(share * _WHOLE) for share in exchange.ratios], np.int64)
        return parts[_between(word, 0, len(parts) - 1)]
    low, high = (round(share * _WHOLE) for share in exchange.ratio)
    return np.where(_happens(word, exchange.partial), _between(word, low, high), _WHOLE)
