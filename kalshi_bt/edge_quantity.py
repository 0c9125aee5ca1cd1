"""A contract for each cent of edge: how the documented leaderboard strategy sizes its orders."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import QUANTITY_SCALE, RATE_SCALE, over

__all__ = ["EdgeQuantity"]

_NEEDED = ("market", "time", "fair", "ask", "taker")
_CENTS, _CENTI_CENTS = 100, 100  # in a dollar, in a cent
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeQuantity:
    """YES is bought where it is worth whole cents more than its ask, one contract more each cent.

    Never is NO bought: the documented strategy sells only what it holds. With `edge` cents, fair
    and ask in whole cents, the order is for min(1 + edge - `least_edge`, `most`) contracts, and
    only where the edge reaches the larger of `least_edge` and the fee of a contract, rounded up.

    Parameters
    ----------
    least_edge : int
        Cents, 1 to 99.
    most : int
        Contracts of an order, at least 1.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    The edge is that before the fee, held against a threshold instead of paying for it, which is the
    documented mistake. An ask between two cents counts as the higher one.

    Examples
    --------
    >>> EdgeQuantity().most
    100
    """

    weighs: ClassVar[str] = "fair"

    least_edge: int = 3
    most: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.least_edge < _CENTS or self.most < 1:
            raise UsageError(
                f"least_edge is {self.least_edge} and most {self.most}; "
                "expected 1 to 99 cents and at least 1"
            )

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row that is worth an order.

        Parameters
        ----------
        setups : frame
            `market`, `time`, `fair` (null: no opinion), `ask` (dollars; null: nobody offers) and
            `taker` (fee rate, parts per million).

        Raises
        ------
        DataError
            If a column is missing.
        """
        found = setups.collect_schema().names()
        for name in _NEEDED:
            if name not in found:
                raise DataError(f"setups lacks {name!r}, which the quantity depends on")
        fair = (pl.col("fair") * _CENTS).round().clip(1, _CENTS - 1)
        price = (pl.col("ask") * _CENTS - _NOTHING).ceil()
        edge = fair - price
        quantity = (1 + (edge - self.least_edge).clip(0)).clip(upper_bound=self.most)
        rate = over(pl.col("taker"), RATE_SCALE)
        fee = (over(rate * quantity * price * (_CENTS - price), _CENTS) - _NOTHING).ceil()
        least = pl.max_horizontal((fee / quantity).ceil(), pl.lit(float(self.least_edge)))
        made = {
            "side": pl.lit(1),
            "kind": pl.lit("ioc"),
            "limit": price * _CENTI_CENTS,
            "quantity": quantity * QUANTITY_SCALE,
            "valid_bars": pl.lit(0),
        }
        kept = ("market", "time", "fair")
        return (
            setups.filter((edge > 0) & (edge >= least) & price.is_between(1, _CENTS - 1))
            .select(
                made.get(name, pl.col(name) if name in kept else pl.lit(None))
                .cast(dtype)
                .alias(name)
                for name, dtype in schema.INTENTS.columns.items()
            )
            .sort("time", "market")
        )
