"""Books kept from snapshots and changes, and the sequence numbers that tell when one is lost.

Nothing here has a clock: whoever feeds messages knows when they came. A book is dropped, never
repaired, when a number is missing, a size falls below nothing or the sides cross; it comes back
with the next snapshot.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from dataclasses import dataclass

from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import Body, Control, Delta, Frame, Levels, Snapshot, order, read


class Side:
    """One side of a book; `sign` is +1 for bids, -1 for asks.

    Keys are signed prices, so that on both sides the best one is the greatest.
    """

    __slots__ = ("_keys", "_sign", "_sizes")

    def __init__(self, sign: int, levels: Levels) -> None:
        self._sign = sign
        self._sizes = {sign * price: size for price, size in levels.items()}
        self._keys = sorted(self._sizes)

    def change(self, price: int, change: int) -> int:
        """Change the size at a price; return how many levels are better.

        Raises
        ------
        UnreadableError
            If less than nothing would be left.
        """
        key = self._sign * price
        before = self._sizes.get(key, 0)
        after = before + change
        if after < 0:
            raise UnreadableError("negative_quantity", f"{price}: {before} {change:+}")
        better = len(self._keys) - bisect_right(self._keys, key)
        if after:
            self._sizes[key] = after
            if not before:
                insort(self._keys, key)
        elif before:
            del self._sizes[key]
            del self._keys[bisect_left(self._keys, key)]
        return better

    def best(self) -> int | None:
        """Return the best price; None of an empty side."""
        return self._sign * self._keys[-1] if self._keys else None

    def levels(self, depth: int | None = None) -> list[tuple[int, int]]:
        """Return price and size of the best levels, best first."""
        keys = self._keys[::-1] if depth is None else self._keys[: -depth - 1 : -1]
        return [(self._sign * key, self._sizes[key]) for key in keys]


class Book:
    """The resting orders of a market, in prices of YES."""

    __slots__ = ("asks", "bids")

    def __init__(self, bids: Levels, asks: Levels) -> None:
        self.bids = Side(1, bids)
        self.asks = Side(-1, asks)

    def crossed(self) -> bool:
        """Return whether somebody bids what somebody asks."""
        bid, ask = self.bids.best(), self.asks.best()
        return bid is not None and ask is not None and bid >= ask


@dataclass(frozen=True, slots=True)
class News:
    """What a message did.

    Attributes
    ----------
    body : Body, optional
        What it said; None if it was a repetition.
    changed : str, optional
        The market whose book it changed.
    better : int
        Levels of that side that are better than the changed one; 0 after a snapshot.
    lost : tuple of str
        Markets whose books are not known from here on. The message may bring one of them back.
    """

    body: Body | None = None
    changed: str | None = None
    better: int = 0
    lost: tuple[str, ...] = ()


class Numbers:
    """Sequence numbers of the subscriptions of a connection, and what is wrong with one.

    Parameters
    ----------
    whole : bool
        As of `Fold`.

    Examples
    --------
    >>> numbers = Numbers()
    >>> [numbers.take(1, seq) for seq in (1, 2, 2, 5, 3)]
    [None, None, 'repeated', 'gap', 'restart']
    """

    def __init__(self, *, whole: bool = True) -> None:
        self._whole = whole
        self._last: dict[int, int] = {}

    def __contains__(self, sid: int) -> bool:
        return sid in self._last

    def take(self, sid: int, seq: int) -> str | None:
        """Keep a number; return repeated, gap or restart, None if nothing is wrong with it."""
        last = self._last.get(sid)
        if last is not None and seq == last and seq != 1:
            return "repeated"
        if last is not None and seq <= last:
            self._last = {sid: seq}
            return "restart"
        self._last[sid] = seq
        return "gap" if self._whole and last is not None and seq != last + 1 else None

    def last(self, sid: int) -> int | None:
        """Return the last number of a subscription; None before the first."""
        return self._last.get(sid)

    def forget(self, sid: int | None = None) -> None:
        """Forget the number of a subscription, or all."""
        if sid is None:
            self._last.clear()
        else:
            self._last.pop(sid, None)


class Fold:
    """The books of one connection.

    Parameters
    ----------
    whole : bool
        Whether every message of a subscription is there, so that numbers rise by one. A recording
        cut by market lacks the others' messages: then numbers must rise, no more can be told.
    yes_prices : bool
        As in `wire.read`.

    Attributes
    ----------
    books : dict of ticker to Book
        Those that are known.
    counts : Counter
        gap, restart, repeated, impossible, crossed, before_snapshot, rebased (a snapshot differed
        from the book it replaced), unreadable, feed_lost (noted by whoever recorded).

    Examples
    --------
    >>> fold = Fold()
    >>> msg = {"market_ticker": "S-E-A", "yes": [[45, 10]]}
    >>> fold.apply({"type": "orderbook_snapshot", "sid": 1, "seq": 1, "msg": msg}).changed
    'S-E-A'
    >>> fold.apply({"type": "ok", "sid": 1, "seq": 3}).lost
    ('S-E-A',)
    """

    def __init__(self, *, whole: bool = True, yes_prices: bool = False) -> None:
        self.books: dict[str, Book] = {}
        self.counts: Counter[str] = Counter()
        self._yes_prices = yes_prices
        self._numbers = Numbers(whole=whole)
        self._sids: dict[str, int | None] = {}

    def apply(self, frame: Frame) -> News:
        """Fold one message.

        Raises
        ------
        UnreadableError
            If it cannot be read. Call `unreadable` then: its book is lost.
        """
        numbered = order(frame)
        lost: tuple[str, ...] = ()
        if numbered is not None:
            state = self._numbers.take(*numbered)
            if state == "repeated" and frame.get("type") != "orderbook_snapshot":
                self.counts["repeated"] += 1
                return News()
            if state in {"gap", "restart"}:
                self.counts[state] += 1
                lost = self.lose(None if state == "restart" else numbered[0])
        body = read(frame, yes_prices=self._yes_prices)
        if isinstance(body, Delta):
            return self._delta(body, lost)
        if isinstance(body, Snapshot):
            return self._snapshot(body, lost, None if numbered is None else numbered[0])
        if isinstance(body, Control) and body.kind in {"subscribed", "unsubscribed"}:
            lost += self._subscription(body, frame)
        elif isinstance(body, Control) and body.kind == "feed_lost":
            lost += self._noted(frame.get("sid"))
        return News(body, lost=lost)

    def lose(self, sid: int | None = None) -> tuple[str, ...]:
        """Drop the books of a subscription, or all; return their markets."""
        gone = tuple(t for t in self.books if sid is None or self._sids.get(t) == sid)
        for ticker in gone:
            del self.books[ticker]
        return gone

    def restart(self) -> tuple[str, ...]:
        """Begin a new connection: drop all books and numbers; return the markets."""
        self.counts["restart"] += 1
        self._numbers.forget()
        return self.lose()

    def unreadable(self, frame: Frame) -> tuple[str, ...]:
        """Drop what a message that cannot be read was about; return the markets."""
        self.counts["unreadable"] += 1
        inner = frame.get("msg")
        ticker = inner.get("market_ticker") if isinstance(inner, dict) else None
        if not str(frame.get("type", "")).startswith("orderbook"):
            return ()
        if isinstance(ticker, str):
            return (ticker,) if self.books.pop(ticker, None) else ()
        numbered = order(frame)
        return self.lose(numbered[0] if numbered else None)

    def _noted(self, sid: int | None) -> tuple[str, ...]:
        """Lose what whoever recorded the messages noted as lost."""
        if sid is None:
            return self.restart()
        self.counts["feed_lost"] += 1
        self._numbers.forget(sid)  # those that are missing are accounted for
        return self.lose(sid)

    def _subscription(self, body: Control, frame: Frame) -> tuple[str, ...]:
        """Forget the numbers of a subscription that begins or ends."""
        inner = frame.get("msg")
        sid = frame.get("sid", inner.get("sid") if isinstance(inner, dict) else None)
        if not isinstance(sid, int) or sid not in self._numbers:
            return ()
        if body.kind == "subscribed":  # the same number again: a new connection
            return self.restart()
        self._numbers.forget(sid)
        return self.lose(sid)

    def _snapshot(self, body: Snapshot, lost: tuple[str, ...], sid: int | None) -> News:
        book, before = Book(body.bids, body.asks), self.books.get(body.ticker)
        if before is not None and (
            before.bids.levels() != book.bids.levels() or before.asks.levels() != book.asks.levels()
        ):
            self.counts["rebased"] += 1
        if book.crossed():
            return self._broken("crossed", body, lost)
        self.books[body.ticker] = book
        self._sids[body.ticker] = sid
        return News(body, body.ticker, 0, lost)

    def _delta(self, body: Delta, lost: tuple[str, ...]) -> News:
        book = self.books.get(body.ticker)
        if book is None:
            self.counts["before_snapshot"] += 1
            return News(body, lost=lost)
        try:
            better = (book.bids if body.side == 1 else book.asks).change(body.price, body.change)
        except UnreadableError:
            return self._broken("impossible", body, lost)
        if book.crossed():
            return self._broken("crossed", body, lost)
        return News(body, body.ticker, better, lost)

    def _broken(self, why: str, body: Snapshot | Delta, lost: tuple[str, ...]) -> News:
        self.counts[why] += 1
        known = self.books.pop(body.ticker, None) is not None
        return News(body, lost=(*lost, body.ticker) if known else lost)
