"""Which forecasts can be judged: one a market at one moment, of markets that paid 0 or 1."""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.metrics.arrays import Codes, Floats
from kalshi_bt.metrics.book import Book, Undefined
from kalshi_bt.metrics.clusters import coarser
from kalshi_bt.run_schema import FIRST

SIGNAL, PRICE = "signal", "price"
SILENT = "the signal states no probability"
NOTHING = "no market that was quoted and paid 0 or 1"


@dataclass(frozen=True, eq=False)
class Opinions:
    """Forecasts of the signal and of the price at one moment, on the same markets.

    Attributes
    ----------
    signal : Float64 (n,) or Undefined
        Probability of YES it stated.
    price : Float64 (n,)
        Middle of the quotes at that moment.
    outcome : Float64 (n,)
        0 or 1.
    cluster : Int64 (n,)
        By event or settlement instant, whichever is coarser.
    kind : str
        What makes a cluster.
    scalar, unsettled : int
        Markets left out: of a payout between 0 and 1, and not settled in this data.
    """

    signal: Floats | Undefined
    price: Floats
    outcome: Floats
    cluster: Codes
    kind: str
    scalar: int
    unsettled: int

    def of(self, source: str) -> Floats | Undefined:
        """Return the forecasts of `SIGNAL` or `PRICE`, or why there are none."""
        found = self.signal if source == SIGNAL else self.price
        return found if isinstance(found, Undefined) or len(found) else Undefined(NOTHING)


def opinions(book: Book, point: str) -> Opinions:
    """Return what can be judged of the forecasts at a named moment.

    Parameters
    ----------
    book : Book
    point : str
        `run_schema.FIRST` or a name of `run_schema.HORIZONS`.
    """
    rows = book.forecasts.filter(pl.col("point") == point)
    binary = pl.col("outcome").is_in([0.0, 1.0])
    usable = binary & pl.col("mid").is_between(0, 1)
    speaks = rows["fair"].is_not_null().any()
    if speaks:
        usable &= pl.col("fair").is_between(0, 1)
    judged = rows.filter(usable)
    cluster, kind = coarser(judged["event"], judged["settled"])
    silent = Undefined(SILENT if len(rows) else NOTHING)
    return Opinions(
        signal=judged["fair"].to_numpy() if speaks else silent,
        price=judged["mid"].to_numpy(),
        outcome=judged["outcome"].to_numpy(),
        cluster=cluster.to_numpy(),
        kind=kind,
        scalar=int((rows["outcome"].is_not_null() & ~rows["outcome"].is_in([0.0, 1.0])).sum()),
        unsettled=rows["outcome"].null_count(),
    )


def first_opinions(book: Book) -> Opinions:
    """Return what can be judged of the first forecast of each market: the headline."""
    return opinions(book, FIRST)
