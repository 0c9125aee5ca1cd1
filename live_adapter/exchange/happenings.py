"""What happens on the exchange, one after the other: the rows of a stream before it has frames.

Times are microseconds since 1970. A tape is where they come from: a dataset (`stored`), raw frames
(`recorded`) or a walk that was made up (`walk`).
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from live_adapter.exchange.wire import Json

Levels = dict[int, int]  # price of YES, centi-cents -> size, centi-contracts


class Seen(NamedTuple):
    """A whole book as it is from now on; None: it is not known from now on."""

    time: int
    ticker: str
    bids: Levels | None
    asks: Levels | None


class Grown(NamedTuple):
    """One level grew or shrank; `side` is +1 for bids of YES, -1 for asks.

    `body` is its message, `yes_body` that with prices of YES on both sides.
    """

    time: int
    ticker: str
    side: int
    price: int
    change: int
    body: bytes
    yes_body: bytes


class Printed(NamedTuple):
    """A trade."""

    time: int
    ticker: str
    trade_id: str
    price: int
    quantity: int
    taker_side: int


class Counted(NamedTuple):
    """The open interest of a market."""

    time: int
    ticker: str
    open_interest: int


class Told(NamedTuple):
    """News of a market or an event: the type of the message and what it says."""

    time: int
    kind: str
    msg: Json


class Frame(NamedTuple):
    """A message as it was recorded; `gap`: messages before it are lost, and with them all books."""

    time: int
    kind: str
    msg: Json
    gap: bool = False


Happening = Seen | Grown | Printed | Counted | Told | Frame


class Totals(NamedTuple):
    """What was traded in a market by some moment, in contracts and micro-dollars.

    The price is None where nothing was traded.
    """

    volume: int
    money: int
    price: int | None
    open_interest: int


class Stood(NamedTuple):
    """How a market stood at a moment; its book is None where it was not known."""

    ticker: str
    book: Seen | None
    totals: Totals


class Tape(Protocol):
    """Where happenings come from."""

    def first(self) -> int:
        """Return a moment before the first of them that is no news."""

    def standing(self, now: int) -> Iterator[Stood | Happening]:
        """Return how the markets stood at a moment, or what had happened by then to make it so."""

    def after(self, now: int) -> Iterator[Happening]:
        """Return what happens after a moment, in the order of time."""
