"""What a signal wants to know from outside its quotes."""

from dataclasses import dataclass
from typing import Protocol

import polars as pl


class Derivation(Protocol):
    """Numbers made of a series before it is joined, each from what was known by its own time."""

    @property
    def history(self) -> float:
        """Seconds of the series before a number that it may depend on."""

    def __call__(self, known: pl.DataFrame) -> pl.DataFrame:
        """Return rows (symbol, time, value) made of such rows, sorted by symbol and time.

        A value at a time may depend on rows up to that time alone.
        """


@dataclass(frozen=True)
class Need:
    """A column of numbers from the dataset's references, joined as of the time each was known.

    Attributes
    ----------
    column : str
        Its name among the quotes.
    source, field : str
        Where it comes from, and what of it, as in `schema.REFERENCES`; of several sources, by
        commas, the first that a dataset has.
    symbol : str or tuple of (series, symbol)
        The symbol; by series where markets differ. Other series have none.
    max_age_seconds : int, optional
        An older value is null.
    with_age : bool
        Whether a column ``<column>_age`` says how old it is, in seconds.
    derive : Derivation, optional
        What is made of the series; it sees all of it, not only what the bars of a market saw.

    Examples
    --------
    >>> Need("spot", "proxy:coinbase", "BTC-USD", "close").column
    'spot'
    """

    column: str
    source: str
    symbol: str | tuple[tuple[str, str], ...]
    field: str
    max_age_seconds: int | None = None
    with_age: bool = False
    derive: Derivation | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns among the quotes."""
        return (self.column, f"{self.column}_age") if self.with_age else (self.column,)
