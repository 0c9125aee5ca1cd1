"""One connection's messages on their way to rows: books, trades, open interest, news of markets.

Nothing here knows whether the messages come from a file or as they are sent.
"""

from collections import Counter
from typing import NamedTuple

import polars as pl

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws_lines import Line
from kalshi_bt.data.importers.ws_markets import Registry
from kalshi_bt.data.importers.ws_shelf import Shelf, Tape, interest
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import (
    Answer,
    Control,
    EventNews,
    FeeNews,
    MarketNews,
    Quote,
    Trade,
    Unknown,
    moment,
)

_NOTES = ("feed_answer", "feed_time")  # of whoever recorded: books stand as they did
_SHOWN = 40  # letters of a type
_TABLE = {"trade": "trades", "market_lifecycle_v2": "markets", "event_lifecycle": "markets"}


class Rows(NamedTuple):
    """What messages came to.

    Attributes
    ----------
    books, trades : frames of schema.BOOKS and schema.TRADES
    interest : frame or None
        ticker, time, open_interest; None if nobody stated any.
    """

    books: pl.DataFrame
    trades: pl.DataFrame
    interest: pl.DataFrame | None


class Intake:
    """Messages of one connection while they are folded.

    Parameters
    ----------
    fold : Fold
    registry : Registry
        Told what messages say of markets.
    depth : int
        Levels of each side of a book that are kept.
    quoted : bool
        Whether the best prices of ticker messages stand in for books that are not sent.

    Attributes
    ----------
    now : int or None
        When the last message came, microseconds; later ones never come earlier.
    last : dict of ticker to int
        When the last message about a book or a trade of each market came.
    polled, trading : bool
        Whether some were asked for, and whether trades are sent.
    broken : set of str
        Markets whose books messages showed to be wrong; for whoever asks for them anew.
    counts : Counter
        What came, and what became of it.
    flaws : list of (table, source, row, reason, found)
        What could not be read.
    """

    def __init__(self, fold: Fold, registry: Registry, depth: int, *, quoted: bool = True) -> None:
        self._fold, self._registry, self._depth, self._quoted = fold, registry, depth, quoted
        self._shelf, self._tape = Shelf(depth), Tape()
        self._quotes: list[tuple[int, Quote | None]] = []
        self._alone: dict[str, None] = {}
        self._interest: list[tuple[str, int, int]] = []
        self._booked: set[str] = set()
        self._restarts = 0
        self.now: int | None = None
        self._stood: int | None = None  # up to when books stand, whatever is noticed later
        self.last: dict[str, int] = {}
        self.polled = self.trading = False
        self.broken: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.flaws: list[tuple[str, str, int, str, str]] = []

    def take(self, line: Line) -> object:
        """Fold one line; return what it said, None if that cannot be read or is repeated."""
        kind = str(line.frame.get("type"))
        time, sent = self.now, None
        try:
            time, sent = self._moment(line, kind)
            if time != self.now:
                self._shelf.flush(self._fold.books)
            news = self._fold.apply(line.frame)
        except UnreadableError as error:
            table, found = _TABLE.get(kind, "books"), f"{kind[:_SHOWN]}: {error.found}"
            self.flaws.append((table, line.source, line.row, error.reason, found))
            lost = self._fold.unreadable(line.frame)
            self.broken.update(lost)
            if time is not None:
                self.lose(lost, time)
                self.now = time
                self.stand(time)
            return None
        self.lose(news.lost, time)
        self.broken.update(news.lost)
        self.now = time
        if kind not in _NOTES:
            self.stand(time)
        self.polled |= line.polled
        self.counts[f"type:{kind[:_SHOWN]}"] += 1
        if news.changed is not None:
            self._booked.add(news.changed)
            self.last[news.changed] = time
            if news.better < self._depth:
                self._shelf.touch(news.changed, time)
        elif news.body is not None:
            self._other(news.body, time, sent)
        return news.body

    def lose(self, tickers: tuple[str, ...], time: int) -> None:
        """Open a hole in some books right after the last message before `time`."""
        hole = time if self._stood is None else min(self._stood + 1, time)
        for ticker in tickers:
            if hole < time:
                self._shelf.lose(ticker, hole)
            else:
                self._shelf.touch(ticker, time)
        if self._fold.counts["restart"] > self._restarts:
            self._restarts = self._fold.counts["restart"]
            self._quotes.append((hole, None))

    def drop(self, sid: int | None, time: int) -> None:
        """Lose the books of a subscription, or the connection: whoever listens knows of it."""
        if self.now is None or time > self.now:
            self._shelf.flush(self._fold.books)
        time = max(time, self.now or time)
        self.lose(self._fold.restart() if sid is None else self._fold.lose(sid), time)
        self.now = time
        self.stand(time)

    def stand(self, time: int) -> None:
        """Let books stand up to a time: a loss that is noticed later begins after it."""
        self._stood = time if self._stood is None else max(self._stood, time)

    def taken(self) -> Rows:
        """Return the rows since the last call, and forget them."""
        self._shelf.flush(self._fold.books)
        self._from_quotes()
        stated = interest(self._interest) if self._interest else None
        self._interest.clear()
        return Rows(self._shelf.taken(), self._tape.taken(), stated)

    def forget(self, tickers: set[str]) -> None:
        """Forget markets of which nothing more will come."""
        self._tape.forget(tickers)
        self._booked -= tickers
        for ticker in tickers:
            self.last.pop(ticker, None)
            self._alone.pop(ticker, None)

    @property
    def repeated(self) -> int:
        """How many trades came again."""
        return self._tape.repeated

    def _moment(self, line: Line, kind: str) -> tuple[int, int | None]:
        """Return when a message was known, and the exchange's time where that is what counts."""
        sent = moment(line.frame) if line.time is None or line.polled else None
        time = next((t for t in (line.time, sent, self.now) if t is not None), None)
        if time is None:
            raise UnreadableError("null_key", f"{kind} without a time")
        if self.now is not None and time < self.now:
            self.counts["back"] += 1
            time = self.now
        return time, sent if line.polled else None

    def _other(self, body: object, time: int, sent: int | None) -> None:
        """Keep what is not about a book."""
        registry, counts = self._registry, self.counts
        if isinstance(body, Trade):
            self.trading = True
            if body.block:
                counts["block"] += 1
            else:
                self.last[body.ticker] = max(time, self.last.get(body.ticker, 0))
                self._tape.add(body, sent or time, ordered=sent is None)
        elif isinstance(body, Quote):
            self.last[body.ticker] = time
            if self._quoted:
                self._quotes.append((time, body))
            if body.open_interest is not None:
                self._interest.append((body.ticker, time, body.open_interest))
        elif isinstance(body, MarketNews):
            registry.learn(body, time)
        elif isinstance(body, EventNews):
            registry.event(body)
        elif isinstance(body, FeeNews):
            registry.fees(body, time)
        elif isinstance(body, Answer):
            registry.answer(dict(body.told), "feed_answer", time)
        elif isinstance(body, Control):
            self.trading |= body.channel == "trade"
        elif isinstance(body, Unknown):
            counts[f"unknown:{body.kind}"] += 1

    def _from_quotes(self) -> None:
        """Make books of the best prices of markets whose books are not sent."""
        for time, said in self._quotes:
            if said is None:
                for ticker in self._alone:
                    self._shelf.lose(ticker, time)
            elif said.ticker not in self._booked:
                self._alone[said.ticker] = None
                self._shelf.quote(said, time)
        self._quotes.clear()
