"""The first row in which what a session did and what its backtest does differ."""

from dataclasses import asdict, dataclass
from datetime import datetime

import polars as pl

_KEY = ["time", "ticker"]


@dataclass(frozen=True)
class Difference:
    """The first thing that differs.

    Attributes
    ----------
    what : str
        ``decision``, ``order``, ``fill``, or what the session's files say of one: ``written
        order``, ``written fill``, ``written equity``.
    time : datetime
    ticker : str
        Of the market; "" of equity.
    session, batch : str
        What either has there; ``nothing`` if only the other has something.
    cause : str
        In words.
    """

    what: str
    time: datetime
    ticker: str
    session: str
    batch: str
    cause: str

    def json(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {name: str(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """Return the difference as one line."""
        where = f"{self.ticker} at {self.time}" if self.ticker else f"{self.time}"
        return (
            f"first different {self.what}: {where}: {self.cause} "
            f"(session: {self.session}; backtest: {self.batch})"
        )


def first(what: str, session: pl.DataFrame, batch: pl.DataFrame) -> Difference | None:
    """Return the first row in which two tables differ, by time, ticker and order; None: nowhere."""
    if session.equals(batch):
        return None
    keyed = [
        frame.with_columns(nth=pl.int_range(pl.len()).over(_KEY)) for frame in (session, batch)
    ]
    rows = [{tuple(row[k] for k in (*_KEY, "nth")): row for row in f.iter_rows(named=True)}
            for f in keyed]  # fmt: skip
    for key in sorted(rows[0].keys() | rows[1].keys()):
        one, other = (found.get(key) for found in rows)
        if one is None:
            cause = f"the session has no such {what}"
        elif other is None:
            cause = f"the backtest has no such {what}"
        else:
            names = [name for name in one if one[name] != other[name]]
            if not names:
                continue
            cause = f"they differ in {', '.join(names)}"
        return Difference(what, key[0], key[1], _told(one, other), _told(other, one), cause)
    return None


def _told(row: dict[str, object] | None, beside: dict[str, object] | None) -> str:
    """Return what a row says that the other does not."""
    if row is None:
        return "nothing"
    own = {k: v for k, v in row.items() if k not in (*_KEY, "nth") and v is not None}
    if beside is not None:
        own = {k: v for k, v in own.items() if beside[k] != v}
    return ", ".join(f"{name} {value}" for name, value in own.items()) or "nothing"
