"""The markets as they stand, and what clients are told when something happens in them."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE
from live_adapter.exchange import frames, wire
from live_adapter.exchange.archive import EPOCH
from live_adapter.exchange.frames import CHANNELS
from live_adapter.exchange.happenings import (
    Counted,
    Frame,
    Grown,
    Happening,
    Levels,
    Printed,
    Seen,
    Stood,
    Told,
)
from live_adapter.exchange.wire import Json

CENT, CONTRACT = PRICE_SCALE // 100, QUANTITY_SCALE


class Message(NamedTuple):
    """What subscribers of a channel are told.

    Attributes
    ----------
    kind : str
        Its type.
    ticker : str or None
        The market it is about; None for what all subscribers of the channel are told.
    body : bytes
        The encoded `msg`.
    yes_body : bytes or None
        The same with prices of YES on both sides; None where it is the same.
    lost : int
        Messages that are lost before it: numbers no subscriber will see.
    """

    kind: str
    ticker: str | None
    body: bytes
    yes_body: bytes | None = None
    lost: int = 0


@dataclass(slots=True)
class Market:
    """One market; its book is not known while `bids` is None."""

    bids: Levels | None = None
    asks: Levels = field(default_factory=dict)
    volume: int = 0
    money: int = 0  # micro-dollars that were traded
    price: int | None = None
    quantity: int = 0  # of the last trade
    open_interest: int = 0
    ticked: tuple[object, ...] = ()  # what the last message of the ticker said
    ticker_said: Json | None = None  # as it was recorded


class Floor:
    """All markets.

    Parameters
    ----------
    shape : str
        As of `frames.aged`. In an older one books hold whole cents and contracts only.

    Attributes
    ----------
    tickers_wanted : bool
        Whether messages of the channel `ticker` are made.
    """

    def __init__(self, shape: str = "dollars") -> None:
        self._shape = shape
        self._markets: dict[str, Market] = {}
        self.tickers_wanted = False

    def stand(self, said: Stood | Happening) -> None:
        """Put a market as it stood at some moment, or let something happen; nobody is told."""
        if not isinstance(said, Stood):
            deque(self.apply(said), maxlen=0)
            return
        market, book = self._market(said.ticker), said.book
        if book is not None and book.bids is not None:
            market.bids, market.asks = self._whole(book.bids, 1), self._whole(book.asks or {}, -1)
        market.volume, market.money, market.price, market.open_interest = said.totals

    def apply(self, said: Happening) -> Iterator[Message]:
        """Let something happen, and yield what clients are told of it."""
        if isinstance(said, Grown):
            yield from self._grown(said)
        elif isinstance(said, Seen):
            yield from self._seen(said)
        elif isinstance(said, Printed):
            market = self._market(said.ticker)
            market.volume += said.quantity
            market.money += said.quantity * said.price
            market.price, market.quantity = said.price, said.quantity
            if self._shape != "cents" or said.quantity >= QUANTITY_SCALE:  # it says no less
                yield self._message("trade", said.ticker, frames.trade(said))
        elif isinstance(said, Counted):
            self._market(said.ticker).open_interest = said.open_interest
        elif isinstance(said, Told):
            yield self._message(said.kind, None, said.msg)
        else:
            yield from self._recorded(said)
            return
        if self.tickers_wanted and not isinstance(said, Told):
            yield from self._ticked(said.ticker, said.time)

    def snapshot(self, ticker: str, *, yes_prices: bool) -> bytes | None:
        """Return the body of a market's book; None while it is not known."""
        market = self._markets.get(ticker)
        if market is None or market.bids is None:
            return None
        body = frames.snapshot(ticker, market.bids, market.asks, yes_prices=yes_prices)
        return self._encoded("orderbook_snapshot", body)

    def known(self, ticker: str) -> bool:
        """Return whether a market's book is known."""
        market = self._markets.get(ticker)
        return market is not None and market.bids is not None

    def ticker(self, ticker: str, time: int) -> bytes | None:
        """Return the body of a market's ticker; None of one that is not known."""
        market = self._markets.get(ticker)
        if market is None:
            return None
        return self._encoded("ticker", market.ticker_said or _ticker(ticker, market, time))

    def _market(self, ticker: str) -> Market:
        return self._markets.setdefault(ticker, Market())

    def _encoded(self, kind: str, body: Json) -> bytes:
        return frames.encode(frames.aged(kind, body, self._shape))

    def _message(self, kind: str, ticker: str | None, body: Json) -> Message:
        return Message(kind, ticker, self._encoded(kind, body))

    def _whole(self, levels: Levels, side: int) -> Levels:
        """Return levels as an older shape can say them: of what is less, the worse price."""
        if self._shape == "dollars":
            return dict(levels)
        made: Levels = {}
        for price, size in levels.items():
            at = side * (side * price // CENT * CENT)
            if 0 < at < PRICE_SCALE:
                made[at] = made.get(at, 0) + size
        return {p: size // CONTRACT * CONTRACT for p, size in made.items() if size >= CONTRACT}

    def _grown(self, said: Grown) -> Iterator[Message]:
        market = self._market(said.ticker)
        if market.bids is None:
            return
        levels = market.bids if said.side == 1 else market.asks
        left = levels.get(said.price, 0) + said.change
        if left > 0:
            levels[said.price] = left
        else:
            levels.pop(said.price, None)
        yield Message("orderbook_delta", said.ticker, said.body, said.yes_body)

    def _seen(self, said: Seen) -> Iterator[Message]:
        """Tell how a book became another."""
        market = self._market(said.ticker)
        if said.bids is None:
            yield from self._unknown(said, market)
            return
        bids, asks = self._whole(said.bids, 1), self._whole(said.asks or {}, -1)
        if market.bids is None:
            market.bids, market.asks = bids, asks
            yield Message("orderbook_snapshot", said.ticker, b"")  # each subscription has its own
            return
        for side, price, by in _steps((market.bids, market.asks), (bids, asks)):
            yield self._change(said, side, price, by)
        market.bids, market.asks = bids, asks

    def _unknown(self, said: Seen, market: Market) -> Iterator[Message]:
        """Tell that a book is not known: a change that takes more than there is, as only loss can.

        The protocol has no words for it, and a number left out would lose all books at once.
        """
        if market.bids is None:
            return
        by = -CONTRACT - market.bids.get(CENT, 0)
        market.bids = None
        yield self._change(said, 1, CENT, by)

    def _change(self, said: Seen, side: int, price: int, by: int) -> Message:
        body = frames.change(said.ticker, side, price, by, said.time)
        told = self._encoded("orderbook_delta", frames.mirrored(body))
        yes = self._encoded("orderbook_delta", body) if side == -1 else None
        return Message("orderbook_delta", said.ticker, told, yes)

    def _ticked(self, ticker: str, time: int) -> Iterator[Message]:
        """Tell best prices, last price and totals of a market where any of them changed."""
        market = self._market(ticker)
        now = (_best(market), market.price, market.volume, market.open_interest)
        if now != market.ticked:
            market.ticked = now
            yield self._message("ticker", ticker, _ticker(ticker, market, time))

    def _recorded(self, said: Frame) -> Iterator[Message]:
        """Tell a recorded message as it is, and keep the book it is about."""
        if said.gap and CHANNELS[said.kind] == "orderbook_delta":
            for market in self._markets.values():
                market.bids = None
        found = said.msg.get("market_ticker")
        ticker = found if isinstance(found, str) else None
        yes: Json | None = None
        if ticker is not None and said.kind in _KEPT:
            try:
                yes = _KEPT[said.kind](self._market(ticker), said.msg)
            except (KeyError, TypeError, ValueError):  # told as it is; what it did is not known
                self._market(ticker).bids = None
        channel = CHANNELS[said.kind]
        yield Message(
            said.kind,
            None if channel == frames.LIFE else ticker,
            frames.encode(said.msg),
            None if yes is None else frames.encode(yes),
            int(said.gap),
        )


def _steps(
    before: tuple[Levels, Levels], after: tuple[Levels, Levels]
) -> Iterator[tuple[int, int, int]]:
    """Yield side, price and change of the levels that make one book of another.

    A side gets its new levels before it loses old ones, so that it has no best price in between but
    the two; and where bids rise to old asks, asks rise first. So the book never crosses.
    """
    rising = bool(after[0]) and max(after[0]) >= min(before[1], default=PRICE_SCALE)
    for place in (1, 0) if rising else (0, 1):
        old, new = before[place], after[place]
        changes = ((p, new.get(p, 0) - old.get(p, 0)) for p in sorted(old.keys() | new.keys()))
        for price, by in sorted(changes, key=lambda change: change[1] < 0):
            if by:
                yield (-1 if place else 1), price, by


def _best(market: Market) -> tuple[int | None, int | None, int, int]:
    bid = max(market.bids, default=None) if market.bids else None
    ask = min(market.asks, default=None) if market.bids is not None else None
    sizes = (0 if bid is None else (market.bids or {})[bid], 0 if ask is None else market.asks[ask])
    return (bid, ask, *sizes)


def _ticker(ticker: str, market: Market, time: int) -> Json:
    bid, ask, bid_size, ask_size = _best(market)
    stamp = frames.milliseconds(time)
    return frames.named(ticker) | {
        "price_dollars": wire.price(market.price),
        "yes_bid_dollars": wire.price(bid),
        "yes_ask_dollars": wire.price(ask, PRICE_SCALE),
        "volume_fp": wire.count(market.volume),
        "open_interest_fp": wire.count(market.open_interest),
        "dollar_volume": market.money // MONEY_SCALE,
        "dollar_open_interest": market.open_interest * (market.price or 0) // MONEY_SCALE,
        "yes_bid_size_fp": wire.count(bid_size),
        "yes_ask_size_fp": wire.count(ask_size),
        "last_trade_size_fp": wire.count(market.quantity),
        "ts": stamp // 1_000,
        "ts_ms": stamp,
        "time": wire.moment(EPOCH + timedelta(milliseconds=stamp)),
    }


def _keep_book(market: Market, body: Json) -> Json:
    """Keep a recorded book; return it with prices of YES on both sides."""
    market.bids = frames.read_levels(body, "yes")
    no = frames.read_levels(body, "no")
    market.asks = {PRICE_SCALE - price: size for price, size in no.items()}
    plain = {name: cell for name, cell in body.items() if not name.startswith(("yes", "no"))}
    ticker = str(body["market_ticker"])
    return plain | frames.snapshot(ticker, market.bids, market.asks, yes_prices=True)


def _keep_change(market: Market, body: Json) -> Json | None:
    """Keep a recorded change; return it with the price of YES where it is one of NO."""
    side, price, by = frames.read_change(body)
    at = price if side == 1 else PRICE_SCALE - price
    if market.bids is not None:
        levels = market.bids if side == 1 else market.asks
        left = levels.get(at, 0) + by
        if left > 0:
            levels[at] = left
        else:
            levels.pop(at, None)
    return None if side == 1 else body | {"price_dollars": wire.price(at)}


def _keep_ticker(market: Market, body: Json) -> None:
    market.ticker_said = body


_KEPT = {
    "orderbook_snapshot": _keep_book,
    "orderbook_delta": _keep_change,
    "ticker": _keep_ticker,
}
