"""A made-up load: many markets whose books change all the time, encoded beforehand.

It is there to measure clients, not to learn from: prices mean nothing, and each market goes through
the same changes again and again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.schema import STORED
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE
from live_adapter.exchange import frames, wire
from live_adapter.exchange.archive import EPOCH
from live_adapter.exchange.happenings import Grown, Happening, Levels, Printed, Seen, Stood, Totals
from live_adapter.exchange.life import micros

BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC)
SERIES, EVENT = "SYNLOAD", "SYNLOAD-26JAN05"
DEPTH, CENT, SIZE = 10, PRICE_SCALE // 100, 100 * QUANTITY_SCALE
STEPS = 64  # changes of a market before its book is as it was
PRINTS = 20  # every so many messages one is a trade
_OPTIONS = ("markets", "rate")


@dataclass(frozen=True)
class Walk:
    """A tape of changes without an end.

    Parameters
    ----------
    markets : int
        How many.
    rate : int
        Messages in a second of simulated time, all markets together.
    seed : int
        Of the changes.
    """

    markets: int = 500
    rate: int = 5_000
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> "Walk":
        """Return a walk from text such as ``markets=500,rate=5000``.

        Raises
        ------
        UsageError
            If an option is not known or no positive whole number.

        Examples
        --------
        >>> Walk.parse("rate=100")
        Walk(markets=500, rate=100, seed=0)
        """
        given = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in _OPTIONS:
                raise UsageError.unknown("option of a synthetic load", name, _OPTIONS)
            if not value.isascii() or not value.isdecimal() or int(value) == 0:
                raise UsageError(f"{name}={value}: expected a whole number of at least 1")
            given[name] = int(value)
        return cls(**given)

    def store(self, folder: Path) -> Store:
        """Return a new dataset of the markets, for the REST half."""
        store = Store.create(folder, name="load", synthetic=True)
        opened = {"open_time": BEGIN - timedelta(hours=1), "close_time": BEGIN + timedelta(days=30)}
        named = {"event": EVENT, "series": SERIES, "mutually_exclusive": False}
        rows = [{"ticker": ticker, **named, **opened} for ticker in self.tickers()]
        fees = {"fee_type": "quadratic", "fee_multiplier": 1_000_000}
        series = [{"series": SERIES, "effective_from": EPOCH, **fees}]
        given = {"markets": rows, "series": series}
        tables = {name: pl.DataFrame(made, orient="row") for name, made in given.items()}
        store.commit({name: STORED[name].filled(frame) for name, frame in tables.items()})
        return store

    def tickers(self) -> list[str]:
        """Return the tickers of the markets."""
        return [f"{EVENT}-T{number}" for number in range(self.markets)]

    def first(self) -> int:
        """Return the moment at which it begins."""
        return micros(BEGIN)

    def standing(self, now: int) -> Iterator[Stood]:
        """Return the books that all markets begin with."""
        for ticker in self.tickers():
            yield Stood(ticker, Seen(now, ticker, *_book()), Totals(0, 0, None, 0))

    def after(self, now: int) -> Iterator[Happening]:
        """Return changes and trades, evenly spread over time."""
        rings = [cycle(self._ring(number)) for number in range(self.markets)]
        tickers = self.tickers()
        for number in count():
            time = now + (number + 1) * 1_000_000 // self.rate
            at = number % self.markets
            if number % PRINTS == PRINTS - 1:
                price = (50 + number % 2) * CENT
                side = 1 if number % 2 else -1
                yield Printed(time, tickers[at], str(UUID(int=number)), price, SIZE, side)
            else:
                yield next(rings[at])._replace(time=time)

    def _ring(self, number: int) -> list[Grown]:
        """Return changes of a market after which its book is as it was."""
        ticker = f"{EVENT}-T{number}"
        draws = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        bids, asks = _book()
        levels = [*((1, price) for price in bids), *((-1, price) for price in asks)]
        taken: list[tuple[int, int, int]] = []
        for place in draws.integers(0, len(levels), STEPS // 2).tolist():
            gone = sum(by for side, price, by in taken if (side, price) == levels[place])
            by = -SIZE if gone == 0 else SIZE
            taken.append((*levels[place], by))
        back = [(side, price, -by) for side, price, by in reversed(taken)]
        return [_grown(ticker, *step) for step in (*taken, *back)]


def _book() -> tuple[Levels, Levels]:
    """Return a book of ten levels a side around half a dollar."""
    bids = {(50 - level) * CENT: SIZE for level in range(DEPTH)}
    return bids, {(51 + level) * CENT: SIZE for level in range(DEPTH)}


def _grown(ticker: str, side: int, price: int, by: int) -> Grown:
    """Return a change with its messages; the exchange's time in them is optional, and left out."""
    body = frames.named(ticker) | {
        "price_dollars": wire.price(price),
        "delta_fp": frames.signed(by),
        "side": "yes" if side == 1 else "no",
    }
    yes = frames.encode(body)
    return Grown(0, ticker, side, price, by, frames.encode(frames.mirrored(body)), yes)
