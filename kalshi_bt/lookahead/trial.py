"""One signal on one sample of quotes, with the answer that all others are held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.lookahead.compare import Mask, first_moved, moved
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.sampling import Ints, bars_of
from kalshi_bt.lookahead.subject import KEY, Subject

_KNOWN = (*KEY, "event", "series", "open_time", "close_time", "strike_type", "floor_strike")
MOVING = tuple(c for c in schema.QUOTES if c not in (*_KNOWN, "cap_strike", "quote_source"))
_TREMBLE = 1e-12  # dollars


@dataclass(frozen=True)
class Trial:
    """A subject, the quotes it is asked about, and what it said of them.

    Attributes
    ----------
    subject : Subject
    quotes : frame of schema.QUOTES
        Sorted by (ticker, time), and outside series.
    said : frame
        The answer, row by row about the same bars.
    cuts : sequence of Int64 (n,)
        See `sampling.cuts`.
    late_cuts : sequence of Int64 (n,)
        The same where more bars than the stated lookback came before; none if there are no such.
    """

    subject: Subject
    quotes: pl.DataFrame
    said: pl.DataFrame
    cuts: Sequence[Ints]
    late_cuts: Sequence[Ints]

    @cached_property
    def times(self) -> Ints:
        """The time of each bar, microseconds."""
        return self.quotes["time"].to_physical().to_numpy()

    @cached_property
    def places(self) -> tuple[Ints, Ints]:
        """See `sampling.bars_of`."""
        return bars_of(self.quotes)

    @property
    def outside(self) -> list[str]:
        """The columns of outside series."""
        return [c for c in self.quotes.columns if c not in schema.QUOTES]

    def differs(
        self, check: str, change: str, kept: Mask | Ints, other: pl.DataFrame, **limits: Any
    ) -> Finding | None:
        """Return the first opinion on the `kept` bars that another answer about them moves.

        Parameters
        ----------
        check, change : str
            Of the finding.
        kept : bool (n,) or Int64 (kept,)
            The bars of the trial that the other answer is about, in its order.
        other : frame
            The other answer.
        **limits
            `rows` (bool (kept,)) in which a difference counts, and its `tolerance`.
        """
        rows = np.flatnonzero(kept) if kept.dtype == bool else kept
        said = self.said[rows]
        return first_moved(check, change, said, other, self.subject.columns, **limits)

    @cached_property
    def steady(self) -> Mask:
        """Where opinions stay if all prices tremble by far less than a tick.

        On a knife's edge, such as a price exactly on a band, the order in which floats are summed
        decides. That proves nothing about rows, events or warm-up.
        """
        rng = np.random.Generator(np.random.Philox(key=[6, self.quotes.height]))
        tremor = rng.uniform(-_TREMBLE, _TREMBLE, self.quotes.height)  # in means it does not cancel
        trembled = np.zeros(self.quotes.height, dtype=bool)
        for factor in (1 + tremor, 1 - tremor):  # the edge lies on one side
            floats = [c for c in MOVING if self.quotes.schema[c] == pl.Float64]
            moving = (pl.col(c) * pl.lit(pl.Series(factor)) for c in floats)
            other = self.subject.says(self.quotes.with_columns(moving))
            for name in self.subject.columns:
                if name in other.columns and name in self.said.columns:
                    trembled |= moved(self.said[name], other[name])
        return ~trembled
