"""Random quotes under `schema.QUOTES`: what a signal may meet, the same for the same seed."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.schema import QUOTES
from kalshi_bt.signals import Signal

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRICES = ("open", "high", "low", "close")
BOOK = tuple(f"{side}{end}" for side in ("bid", "ask") for end in ("_open", "_high", "_low", ""))
MOVING = (*PRICES, *BOOK, "mid", "volume", "open_interest", "bid_size", "ask_size")


def sample_quotes(signal: Signal, seed: int = 1) -> pl.DataFrame:
    """Return quotes of four random markets, long enough that `lookback` bars are fewer than all.

    Parameters
    ----------
    signal : Signal
        Asked for its `lookback`, and for the outside series it needs: they become random columns.
    seed : int
        Of a Philox stream; the same seed gives the same quotes.

    Returns
    -------
    frame of schema.QUOTES

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> frame = sample_quotes(Bollinger(period=8))
    >>> frame["ticker"].n_unique(), frame.equals(sample_quotes(Bollinger(period=8)))
    (4, True)
    """
    bars = 40 + signal.lookback * 3 // 2
    frame = quotes(seed, bars=bars, absent=0.1, snapshots=0.1)
    return frame.with_columns(_outside(signal, frame))


def _outside(signal: Signal, frame: pl.DataFrame) -> list[pl.Series]:
    """Return a column of numbers for each outside series that the signal asks for."""
    columns = []
    rng = np.random.Generator(np.random.Philox(7))
    for need in getattr(signal, "references", ()):
        columns.append(pl.Series(need.column, np.round(rng.uniform(1, 100, frame.height), 2)))
        if need.with_age:
            columns.append(pl.Series(f"{need.column}_age", np.zeros(frame.height)))
    return columns


def quotes(
    seed: int,
    *,
    bars: int = 60,
    events: int = 2,
    markets: int = 2,
    seconds: int = 60,
    empty: float = 0.25,
    absent: float = 0.0,
    snapshots: float = 0.0,
    one_sided: float = 0.1,
) -> pl.DataFrame:
    """Return `events` x `markets` random markets of at most `bars` bars, sorted by (ticker, time).

    Prices walk in whole cents (every third market in tenths of a cent) and like to stand still, so
    that ties are common. `empty`, `absent`, `snapshots` and `one_sided` are the shares of bars
    without a trade, bars left out, bars with one quote only and bars with half a book. Some markets
    close soon after their last bar, and of some the schedule is not known.
    """
    shares = (empty, absent, snapshots, one_sided)
    return _drawn(seed, (events, markets), (bars, seconds), shares).clone()


@lru_cache(maxsize=64)
def _drawn(
    seed: int,
    counts: tuple[int, int],
    shape: tuple[int, int],
    shares: tuple[float, float, float, float],
) -> pl.DataFrame:
    """Quotes are kept: a test asks for the same ones at each check of a signal."""
    events, markets = counts
    rows = [
        row
        for event in range(events)
        for market in range(markets)
        for row in _market(
            np.random.Generator(np.random.Philox(key=[seed, event * markets + market])),
            f"KXRANDOM-{event}",
            event * markets + market,
            shape,
            shares,
        )
    ]
    return pl.DataFrame(rows, schema=QUOTES, orient="row").sort("ticker", "time")


def _market(
    rng: np.random.Generator,
    event: str,
    number: int,
    shape: tuple[int, int],
    shares: tuple[float, float, float, float],
) -> list[tuple[Any, ...]]:
    bars, seconds = shape
    empty, absent, snapshots, one_sided = shares
    step = 0.001 if number % 3 == 2 else 0.01
    top = round(1 / step) - 1
    price = int(rng.integers(1, top + 1))
    closing = START + timedelta(seconds=seconds * bars + int(rng.integers(0, 1_800)))
    static = {
        "ticker": f"{event}-{number}",
        "event": event,
        "series": "KXRANDOM",
        "open_time": None if rng.random() < 0.3 else START,
        "close_time": None if rng.random() < 0.3 else closing,
        "strike_type": "greater",
        "floor_strike": 100.0 + number,
    }
    found = []
    for i in range(bars):
        path = []
        for _ in range(4):
            jump = int(rng.integers(-9, 10)) if rng.random() < 0.3 else int(rng.integers(-1, 2))
            price = min(max(price + jump, 1), top)
            path.append(round(price * step, 4))
        row = dict.fromkeys(QUOTES) | static
        row |= {"time": START + timedelta(seconds=seconds * (i + 1)), "quote_source": "candle"}
        row |= _book(rng, path, step)
        if rng.random() < one_sided:
            side = "bid" if rng.random() < 0.5 else "ask"
            row |= {"mid": None, **{name: None for name in BOOK if name.startswith(side)}}
        seen = rng.random() < 0.5  # some datasets record trades beside snapshots of the book
        if rng.random() < snapshots:
            row |= {"quote_source": "snapshot"}
            row |= {name: None for name in BOOK if "_" in name and rng.random() < 0.7}
        elif rng.random() >= empty:
            ends = (path[0], max(path), min(path), path[-1])
            row |= dict(zip(PRICES, ends, strict=True))
        row["volume"] = 0.0 if row["open"] is None else float(rng.integers(1, 500))
        if row["quote_source"] == "snapshot" and not seen:
            row["volume"] = None
        row["open_interest"] = float(rng.integers(0, 5_000))
        if i == 0 or rng.random() >= absent:
            found.append(tuple(row[name] for name in QUOTES))
    return found


def _book(rng: np.random.Generator, path: list[float], step: float) -> dict[str, float]:
    """Quotes around a path that its trades could have hit."""
    bids = [max(round(p - step * int(rng.integers(0, 3)), 4), 0.0) for p in path]
    asks = [min(round(p + step * int(rng.integers(0, 3)), 4), 1.0) for p in path]
    book: dict[str, float] = {}
    for side, ladder in (("bid", bids), ("ask", asks)):
        book |= {f"{side}_open": ladder[0], side: ladder[-1]}
        book |= {f"{side}_high": max(ladder), f"{side}_low": min(ladder)}
    return book | {"mid": round((bids[-1] + asks[-1]) / 2, 6)}
