"""Messages of the exchange's WebSocket, read into stored units; only here their fields have names.

`read` turns one decoded JSON frame into one of the types below, whatever the year it was sent in:
decimal strings (``price_dollars``, ``delta_fp``) or whole cents and contracts (``price``,
``delta``). Decode numbers with a fraction as Decimal: binary ones are refused where they would be
money. `kalshi_bt.data.fold` keeps the books; importers and the live feed share both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kalshi_bt.data.kalshi.parse_cells import (
    EPOCH,
    Cells,
    UnreadableError,
    flag,
    number,
    price,
    quantity,
    rate,
    seconds,
    text,
    time,
)
from kalshi_bt.units import PRICE_SCALE

Frame = Mapping[str, Any]
Levels = dict[int, int]  # price of YES, centi-cents -> size, centi-contracts
_END = 253_402_300_800_000_000  # the year 10000, microseconds: later ones are of another unit
_SHOWN = 40  # letters of a type that nobody knows
_ENDS = (0, PRICE_SCALE)  # where nobody bids, asks or trades
_SIDES = {"yes": 1, "bid": 1, "no": -1, "ask": -1}
_MARKET = {"title": text, "yes_sub_title": text, "can_close_early": flag, "strike_type": text}
_STRIKES = {"floor_strike": number, "cap_strike": number}
_NAMES = {"yes_sub_title": "subtitle"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book: bids and asks of YES."""

    ticker: str
    bids: Levels
    asks: Levels


@dataclass(frozen=True, slots=True)
class Delta:
    """One level of a book grew or shrank; `side` is +1 for bids of YES, -1 for asks of YES."""

    ticker: str
    side: int
    price: int
    change: int


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade; `time` is the exchange's, microseconds since 1970, if it was sent."""

    ticker: str
    trade_id: str
    price: int
    quantity: int
    taker_side: int
    time: int | None
    block: bool = False  # printed off the book


@dataclass(frozen=True, slots=True)
class Quote:
    """Best prices, last price and totals of a market; None where a side is empty or not sent."""

    ticker: str
    bid: int | None
    ask: int | None
    bid_size: int | None
    ask_size: int | None
    last: int | None
    volume: int | None
    open_interest: int | None
    time: int | None


@dataclass(frozen=True, slots=True)
class MarketNews:
    """A step in the life of a market; `told` holds what it says under the names of the schema."""

    ticker: str
    kind: str
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventNews:
    """An event that was made."""

    event: str
    series: str
    title: str | None
    mutually_exclusive: bool


@dataclass(frozen=True, slots=True)
class FeeNews:
    """Fees of an event; None: those of its series again."""

    event: str
    fee_type: str | None
    fee_multiplier: int | None


@dataclass(frozen=True, slots=True)
class Control:
    """An answer of the server: subscribed, unsubscribed, ok, error.

    Two are none of the server's, but of whoever recorded its messages: ``feed_lost`` says that
    books are not known from there on, those of a subscription or, with the connection, all;
    ``feed_time`` that it was that late, and nothing had come.
    """

    kind: str
    channel: str | None = None
    code: int | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the exchange answered when whoever recorded its messages asked (``feed_answer``)."""

    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type nobody knows."""

    kind: str


Body = (
    Snapshot | Delta | Trade | Quote | MarketNews | EventNews | FeeNews | Control | Answer | Unknown
)


def order(frame: Frame) -> tuple[int, int] | None:
    """Return subscription and sequence number of a message; None if it has none.

    Examples
    --------
    >>> order({"type": "trade", "sid": 12, "seq": 7, "msg": {}})
    (12, 7)
    """
    sid, seq = frame.get("sid"), frame.get("seq")
    return (sid, seq) if isinstance(sid, int) and isinstance(seq, int) else None


def moment(frame: Frame) -> int | None:
    """Return the exchange's time of a message, microseconds since 1970; None if it has none.

    Raises
    ------
    UnreadableError
        If it cannot be read.

    Examples
    --------
    >>> moment({"type": "trade", "msg": {"ts": 1669149841, "ts_ms": 1669149841250}})
    1669149841250000
    """
    inner = frame.get("msg")
    return _moment(Cells(inner)) if isinstance(inner, Mapping) else None


def read(frame: Frame, *, yes_prices: bool = False) -> Body:
    """Return what a message says, in stored units.

    Parameters
    ----------
    frame : mapping
        A decoded JSON frame.
    yes_prices : bool
        Whether the subscription asked for prices of YES on both sides of the book.

    Raises
    ------
    UnreadableError
        If something the message needs is absent or cannot be read.

    Examples
    --------
    >>> msg = {"market_ticker": "S-E-A", "side": "no", "price_dollars": "0.4800", "delta_fp": "-40"}
    >>> read({"type": "orderbook_delta", "msg": msg})
    Delta(ticker='S-E-A', side=-1, price=5200, change=-4000)
    """
    kind = frame.get("type")
    if not isinstance(kind, str):
        raise UnreadableError("null_value", "a message without a type")
    if kind in _CONTROLS:
        return _control(kind, frame)
    if kind == "feed_answer":
        inner = frame.get("msg")
        return Answer(inner if isinstance(inner, Mapping) else {})
    reader = _READ.get(kind)
    if reader is None:
        return Unknown(kind[:_SHOWN])
    cells = Cells(frame.get("msg"), f"{kind}.")
    return _book(cells, kind, yes_prices) if kind in _BOOKS else reader(cells)


_CONTROLS = frozenset({"subscribed", "unsubscribed", "ok", "error", "feed_lost", "feed_time"})
_BOOKS = frozenset({"orderbook_snapshot", "orderbook_delta"})


def _control(kind: str, frame: Frame) -> Control:
    inner = frame.get("msg")
    said: Frame = inner if isinstance(inner, Mapping) else {}
    channel, code, words = said.get("channel"), said.get("code"), said.get("msg")
    return Control(
        kind,
        channel if isinstance(channel, str) else None,
        code if isinstance(code, int) else None,
        words if isinstance(words, str) else None,
    )


def _book(cells: Cells, kind: str, yes_prices: bool) -> Body:  # noqa: FBT001 - passed on as it is
    if kind == "orderbook_snapshot":
        return Snapshot(
            cells.need(text, "market_ticker"),
            _levels(cells, "yes", mirrored=False),
            _levels(cells, "no", mirrored=not yes_prices),
        )
    said = cells.need(_side, "side")
    at = cells.need(price, "price_dollars", "price")
    if at in _ENDS:
        raise UnreadableError("price_range", f"{kind} at {at}")
    return Delta(
        cells.need(text, "market_ticker"),
        said,
        at if said == 1 or yes_prices else PRICE_SCALE - at,
        cells.need(quantity, "delta_fp", "delta"),
    )


def _levels(cells: Cells, side: str, *, mirrored: bool) -> Levels:
    """Return one side of a snapshot, which lacks the key of an empty one."""
    pairs = cells.may(_pairs, f"{side}_dollars_fp", f"{side}_dollars", side) or ()
    found: Levels = {}
    for at, size in pairs:
        if size < 0 or at in _ENDS:
            raise UnreadableError("negative_quantity", f"{side} {at}: {size}")
        if size:
            found[PRICE_SCALE - at if mirrored else at] = size
    return found


def _pairs(cell: Any) -> list[tuple[int, int]]:
    if not isinstance(cell, list) or not all(isinstance(p, list) and len(p) == 2 for p in cell):
        raise UnreadableError("unparsable_number", cell)
    return [(price(at), quantity(size)) for at, size in cell]


def _side(cell: Any) -> int:
    if not isinstance(cell, str) or cell not in _SIDES:
        raise UnreadableError("unknown_side", cell)
    return _SIDES[cell]


def _moment(cells: Cells) -> int | None:
    """Return the exchange's time of a message in microseconds, if it says any."""
    milli, second = cells.values.get("ts_ms"), cells.values.get("ts")
    if isinstance(milli, int):
        found, told = milli * 1_000, milli
    elif isinstance(second, int):
        found, told = second * 1_000_000, second
    elif isinstance(second, str):
        moment = time(second)
        return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)
    else:
        return None
    if not 0 <= found < _END:
        raise UnreadableError("time_range", told)
    return found


def _trade(cells: Cells) -> Trade:
    at = cells.may(price, "yes_price_dollars", "yes_price")
    if at is None:
        at = PRICE_SCALE - cells.need(price, "no_price_dollars", "no_price")
    size = cells.need(quantity, "count_fp", "count")
    if at in _ENDS or size <= 0:  # an importer of tables sets such trades aside, too
        raise UnreadableError("trade_at_limit" if at in _ENDS else "negative_quantity", size)
    return Trade(
        cells.need(text, "market_ticker"),
        cells.need(text, "trade_id"),
        at,
        size,
        cells.need(_side, "taker_outcome_side", "taker_book_side", "taker_side"),
        _moment(cells),
        bool(cells.may(flag, "is_block_trade")),
    )


def _quote(cells: Cells) -> Quote:
    bid = cells.may(price, "yes_bid_dollars", "yes_bid")
    ask = cells.may(price, "yes_ask_dollars", "yes_ask")
    last = cells.may(price, "price_dollars", "price")
    return Quote(
        cells.need(text, "market_ticker"),
        bid or None,
        None if ask == PRICE_SCALE else ask,
        cells.may(quantity, "yes_bid_size_fp") if bid else None,
        cells.may(quantity, "yes_ask_size_fp") if ask != PRICE_SCALE else None,
        last or None,
        cells.may(quantity, "volume_fp", "volume"),
        cells.may(quantity, "open_interest_fp", "open_interest"),
        _moment(cells),
    )


def _market(cells: Cells) -> MarketNews:
    """Return what a life-cycle message says; made, moved, determined, settled or described anew."""
    told: dict[str, Any] = {
        "open_time": cells.may(seconds, "open_ts"),
        "close_time": cells.may(seconds, "close_ts"),
        "result": cells.may(text, "result"),
        "payout": cells.may(price, "settlement_value"),
        "determined_time": cells.may(seconds, "determination_ts"),
        "settled_time": cells.may(seconds, "settled_ts"),
        "price_ranges": cells.may(_bands, "price_ranges"),
    }
    more = cells.values.get("additional_metadata")
    for part in (cells, *([Cells(more, "additional_metadata.")] if more else [])):
        found = {n: part.may(how, n) for n, how in (_MARKET | _STRIKES).items()}
        found |= {"event": part.may(text, "event_ticker"), "rules": _rules(part)}
        told |= {_NAMES.get(n, n): value for n, value in found.items() if value is not None}
    return MarketNews(
        cells.need(text, "market_ticker"),
        cells.need(text, "event_type"),
        {name: value for name, value in told.items() if value is not None},
    )


def _rules(cells: Cells) -> str | None:
    parts = (cells.may(text, "rules_primary"), cells.may(text, "rules_secondary"))
    return "\n".join(part for part in parts if part) or None


def _bands(cell: Any) -> list[dict[str, int]]:
    if not isinstance(cell, list):
        raise UnreadableError("unparsable_number", cell)
    return [{n: Cells(band).need(price, n) for n in ("start", "end", "step")} for band in cell]


def _event(cells: Cells) -> EventNews:
    return EventNews(
        cells.need(text, "event_ticker"),
        cells.need(text, "series_ticker"),
        cells.may(text, "title"),
        cells.may(text, "collateral_return_type") == "MECNET",
    )


def _fees(cells: Cells) -> FeeNews:
    return FeeNews(
        cells.need(text, "event_ticker"),
        cells.may(text, "fee_type_override"),
        cells.may(rate, "fee_multiplier_override"),
    )


_READ: dict[str, Any] = {
    "orderbook_snapshot": _book,
    "orderbook_delta": _book,
    "trade": _trade,
    "ticker": _quote,
    "market_lifecycle_v2": _market,
    "event_lifecycle": _event,
    "event_fee_update": _fees,
}

KINDS = _CONTROLS | {"feed_answer"} | frozenset(_READ)  # every type of message that is known
