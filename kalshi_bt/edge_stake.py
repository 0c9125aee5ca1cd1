"""The stake documented for strategies on a spot, with its mistakes."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.sizing import LARGEST, orders
from kalshi_bt.units import QUANTITY_SCALE

__all__ = ["EdgeStake"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStake:
    """The documented stake: a part of the edge over the price, of a bankroll that never changes.

    The market's price is that of its last trade, m, and the edge fair - m, before any fee. With c
    the price of the side, m or 1 - m, the order is for ``bankroll * scale * |edge| / c / c`` whole
    contracts, at least one. It rests a cent inside the ask of its side.

    Parameters
    ----------
    scale : float
        Part of the edge over the price, above 0, at most 1.
    bankroll : float
        Dollars, whatever was won or lost, above 0.
    min_edge : float
        Least size of the edge, dollars.
    inside : float
        Dollars below the ask at which the order rests; without an ask, at the last trade.
    valid_bars : int
        Bars an order rests before it expires, at least 1; documented is until the market closes.

    Notes
    -----
    Edge over price is not the Kelly stake, which is edge over one less the price: it is nine times
    too much at 10 cents and a ninth at 90. A side that the signal states is kept even against its
    own edge, as documented; the size does not know the difference.

    Examples
    --------
    >>> EdgeStake(bankroll=500.0).min_edge
    0.05
    """

    weighs: ClassVar[str] = "fair"
    asks: ClassVar[tuple[str, ...]] = ("last",)

    scale: float = 0.25
    bankroll: float = 10_000.0
    min_edge: float = 0.05
    inside: float = 0.01
    valid_bars: int = 900

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise UsageError(f"scale is {self.scale}; expected above 0, at most 1")
        if not 0 < self.bankroll <= LARGEST:
            raise UsageError(f"bankroll is {self.bankroll}; expected above 0, at most {LARGEST:,}")
        for name in ("min_edge", "inside"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more, below 1")
        if self.valid_bars < 1:
            raise UsageError(f"valid_bars is {self.valid_bars}; expected at least 1")

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row with enough of an edge.

        Parameters
        ----------
        setups : frame
            `market`, `time`, `fair`, `bid`, `ask`, `last` (dollars; null: none), and where the
            signal states them `side` and `entry`.
        """
        found = setups.collect_schema().names()
        last, none = pl.col("last"), pl.lit(None, pl.Float64)
        edge = (pl.col("fair") - last).round(9)
        side = pl.col("side") if "side" in found else pl.when(edge > 0).then(1).otherwise(-1)
        buy = (pl.col("ask") - self.inside).clip(0.01, 0.99)
        sell = (pl.col("bid") + self.inside).clip(0.01, 0.99)
        stated = pl.col("entry") if "entry" in found else none
        paid = pl.when(pl.col("side") > 0).then(last).otherwise(1 - last)
        spent = pl.lit(self.bankroll * self.scale) * edge.abs() / paid
        count = (spent / paid).round(6).floor().clip(1, LARGEST).cast(pl.Int64)
        asked = (edge.abs() >= self.min_edge) & (last > 0) & (last < 1)
        sided = setups.filter(asked).with_columns(side=side.cast(pl.Int8), stop=none, target=none)
        limit = pl.when(pl.col("side") > 0).then(buy).otherwise(sell)
        rested = sided.with_columns(entry=stated.fill_null(limit).fill_null(last))
        return orders(rested, self.valid_bars, quantity=count * QUANTITY_SCALE)
