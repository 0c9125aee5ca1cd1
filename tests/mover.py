"""A signal of its own that trades often, as the text of its file."""

MOVER = '''
from dataclasses import dataclass

import polars as pl

from kalshi_bt.signals import parameter
from kalshi_bt.signals.expr import per_market


@dataclass(frozen=True)
class Mover:
    """Follow the mid of the bars before."""

    bars: int = parameter(3, "bars looked back", low=1)

    @property
    def lookback(self) -> int:
        return self.bars + 1

    def __call__(self, quotes):
        moved = pl.col("mid") - per_market(pl.col("mid").shift(self.bars))
        told = quotes.with_columns(moved=moved)
        return told.with_columns(fair=(pl.col("mid") + pl.col("moved")).clip(0, 1)).drop("moved")
'''
