"""What a signal wants to know from outside its quotes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """A column of numbers from the dataset's references, joined as of the time each was known.

    Attributes
    ----------
    column : str
        Its name among the quotes.
    source, field : str
        Where it comes from, and what of it, as in `schema.REFERENCES`.
    symbol : str or tuple of (series, symbol)
        The symbol; by series where markets differ. Other series have none.
    max_age_seconds : int, optional
        An older value is null.
    with_age : bool
        Whether a column ``<column>_age`` says how old it is, in seconds.

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
