"""What a feed tells, in the order in which it became known.

Whoever keeps books by it with `kalshi_bt.data.fold.Fold` applies what was `Received`, loses the
subscription of a `Lost` (`Fold.lose`) and everything when it is `Down` (`Fold.restart`). What the
fold then finds lost without a gap, a crossed book say, it asks for with `Feed.refresh`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

Frame = Mapping[str, Any]


class Received(NamedTuple):
    """A message of the exchange.

    Attributes
    ----------
    time : datetime
        When it came, UTC; never before the one before it.
    raw : bytes
        Its text as it was sent; empty where only the decoded message is known.
    frame : mapping
        The decoded message; numbers with a fraction are Decimal.
    """

    time: datetime
    raw: bytes
    frame: Frame


@dataclass(frozen=True, slots=True)
class Lost:
    """Books are not known from here on, until their snapshots come.

    Attributes
    ----------
    time : datetime
        When that became known, UTC.
    sid : int or None
        The subscription they belong to; None: all of them.
    why : str
        gap, restart, terminal; overflow: the reader was too slow.
    """

    time: datetime
    sid: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Down:
    """The connection ended: nothing is known from here on, until it is up again."""

    time: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Up:
    """A connection was made; what is wanted is being subscribed to."""

    time: datetime


FeedEvent = Received | Lost | Down | Up
