"""Messages of the stream as the exchange writes them, in its present shape and in older ones.

A message has a body (`msg`), to which each subscription adds its number, its count of messages and
the time of sending. Times on the wire are whole milliseconds, rounded up: nothing is told to have
been known before it was, and what fell within a bar of whole milliseconds stays within it.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from uuid import NAMESPACE_OID, uuid5

import msgspec

from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE
from live_adapter.exchange import wire
from live_adapter.exchange.archive import EPOCH
from live_adapter.exchange.happenings import Levels, Printed
from live_adapter.exchange.wire import Json

LIFE = "market_lifecycle_v2"
CHANNELS = {  # type of a message to its channel
    "orderbook_snapshot": "orderbook_delta",
    "orderbook_delta": "orderbook_delta",
    "trade": "trade",
    "ticker": "ticker",
    LIFE: LIFE,
    "event_lifecycle": LIFE,
    "event_fee_update": LIFE,
}
encode = msgspec.json.Encoder(decimal_format="number").encode


def milliseconds(time: int) -> int:
    """Return a time in whole milliseconds.

    Examples
    --------
    >>> milliseconds(1_000), milliseconds(1_001)
    (1, 2)
    """
    return -(-time // 1_000)


@lru_cache(65_536)
def market_id(ticker: str) -> str:
    """Return the identity of a market, which no dataset keeps: the same for the same ticker."""
    return str(uuid5(NAMESPACE_OID, ticker))


def named(ticker: str) -> Json:
    """Return what names a market in a body."""
    return {"market_ticker": ticker, "market_id": market_id(ticker)}


def snapshot(ticker: str, bids: Levels, asks: Levels, *, yes_prices: bool = False) -> Json:
    """Return the body of a whole book; a side without levels has no key."""
    no = asks if yes_prices else {PRICE_SCALE - price: size for price, size in asks.items()}
    sides = (("yes_dollars_fp", bids), ("no_dollars_fp", no))
    return named(ticker) | {name: _pairs(found) for name, found in sides if found}


def _pairs(levels: Levels) -> list[list[str]]:
    return [[wire.price(price), wire.count(levels[price])] for price in sorted(levels)]


def change(ticker: str, side: int, price: int, by: int, time: int) -> Json:
    """Return the body of one level that grew or shrank, with prices of YES on both sides."""
    said = "yes" if side == 1 else "no"
    return named(ticker) | {
        "price_dollars": wire.price(price),
        "delta_fp": signed(by),
        "side": said,
        "ts": wire.moment(EPOCH + timedelta(microseconds=time)),
        "ts_ms": milliseconds(time),
    }


def mirrored(body: Json) -> Json:
    """Return the body of a change with the price of the other leg where it is one of NO."""
    if body["side"] == "yes":
        return body
    return body | {"price_dollars": _other(body["price_dollars"])}


def _other(dollars: str) -> str:
    return wire.price(PRICE_SCALE - units(dollars, PRICE_SCALE))


def signed(by: int) -> str:
    """Return a change of a quantity, in contracts with two decimals.

    Examples
    --------
    >>> signed(-5_405), signed(20)
    ('-54.05', '0.20')
    """
    return f"-{wire.count(-by)}" if by < 0 else wire.count(by)


def trade(said: Printed) -> Json:
    """Return the body of a trade."""
    bought = said.taker_side > 0
    side = "yes" if bought else "no"
    stamp = milliseconds(said.time)
    return {
        "trade_id": said.trade_id,
        "market_ticker": said.ticker,
        "yes_price_dollars": wire.price(said.price),
        "no_price_dollars": wire.price(PRICE_SCALE - said.price),
        "count_fp": wire.count(said.quantity),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": "bid" if bought else "ask",
        "is_block_trade": False,
        "ts": stamp // 1_000,
        "ts_ms": stamp,
    }


def envelope(kind: str, sid: int, seq: int | None, body: bytes, time: int | None) -> bytes:
    """Return a message of a subscription.

    Parameters
    ----------
    kind : str
        Its type.
    sid, seq : int
        Number of the subscription, and of the message in it; None where none are counted.
    body : bytes
        The encoded `msg`.
    time : int or None
        When it was sent; None in a shape that did not say so yet.

    Examples
    --------
    >>> envelope("trade", 2, 7, b"{}", 1_001)
    b'{"type":"trade","sid":2,"seq":7,"msg":{},"sending_ts_ms":2}'
    """
    counted = b"" if seq is None else b'"seq":%d,' % seq
    sent = b"" if time is None else b',"sending_ts_ms":%d' % milliseconds(time)
    return b'{"type":"%b","sid":%d,%b"msg":%b%b}' % (kind.encode(), sid, counted, body, sent)


def units(cell: object, scale: int) -> int:
    """Return a decimal string, or a number of an older shape, in units of 1/`scale`.

    Examples
    --------
    >>> units("0.5600", 10_000), units("-54.00", 100), units(8, 100)
    (5600, -5400, 800)
    """
    text = str(cell)
    whole, _, part = text.lstrip("-").partition(".")
    places = len(str(scale)) - 1
    found = int(whole or 0) * scale + int(part[:places].ljust(places, "0") or 0)
    return -found if text.startswith("-") else found


def read_levels(body: Mapping[str, object], side: str) -> Levels:
    """Return one side of a recorded book, in prices of its own leg, whatever its shape."""
    for name in (f"{side}_dollars_fp", f"{side}_dollars", side):
        found = body.get(name)
        if isinstance(found, list):
            return {_at(price, name): units(size, QUANTITY_SCALE) for price, size in found}
    return {}


def read_change(body: Mapping[str, object]) -> tuple[int, int, int]:
    """Return side, price of its own leg and change of a recorded change, whatever its shape."""
    name = "price_dollars" if "price_dollars" in body else "price"
    by = body["delta_fp"] if "delta_fp" in body else body["delta"]
    side = 1 if body["side"] == "yes" else -1
    return side, _at(body[name], name), units(by, QUANTITY_SCALE)


def _at(cell: object, name: str) -> int:
    return units(cell, PRICE_SCALE) if "dollars" in name else 100 * units(cell, 1)


# --- older shapes ---------------------------------------------------------------------------------


def aged(kind: str, body: Json, shape: str) -> Json:
    """Return a body in an older shape; as it is for `dollars`.

    Before 2026-03-12 prices were whole cents and quantities whole contracts; `both` has three
    decimals of a dollar beside them. What is less is cut off.
    """
    if shape == "dollars" or kind not in _AGED:
        return body
    return _AGED[kind](body, shape == "both")


def _thousandths(dollars: str) -> str:
    return dollars[:-1]


def _cents(dollars: str) -> int:
    return units(dollars, PRICE_SCALE) // 100


def _contracts(count: str) -> int:
    return int(units(count, QUANTITY_SCALE) / QUANTITY_SCALE)


def _old_book(body: Json, both: bool) -> Json:  # noqa: FBT001 - called by a table
    made: Json = {name: body[name] for name in ("market_ticker", "market_id")}
    for side in ("yes", "no"):
        found = body.get(f"{side}_dollars_fp")
        if found:
            made[side] = [[_cents(price), _contracts(size)] for price, size in found]
            if both:
                pairs = [[_thousandths(price), size] for price, size in found]
                made[f"{side}_dollars"] = [[price, _contracts(size)] for price, size in pairs]
                made[f"{side}_dollars_fp"] = pairs
    return made


def _old_change(body: Json, both: bool) -> Json:  # noqa: FBT001 - called by a table
    made = named(body["market_ticker"]) | {
        "price": _cents(body["price_dollars"]),
        "delta": _contracts(body["delta_fp"]),
        "side": body["side"],
        "ts": body["ts"],
    }
    more = {"price_dollars": _thousandths(body["price_dollars"]), "delta_fp": body["delta_fp"]}
    return made | more if both else made


def _old_numbers(body: Json, both: bool) -> Json:  # noqa: FBT001 - called by a table
    """Return a trade or a ticker with cents and contracts, and thousandths beside them."""
    made: Json = {}
    for name, value in body.items():
        if name in _LATER:
            continue
        if name.endswith("_dollars"):
            made[name.removesuffix("_dollars")] = _cents(value)
            if both:
                made[name] = _thousandths(value)
        elif name.endswith("_fp"):
            made[name.removesuffix("_fp")] = _contracts(value)
            if both:
                made[name] = value
        else:
            made[name] = value
    return made


_LATER = frozenset({
    "ts_ms", "time", "taker_outcome_side", "taker_book_side", "is_block_trade",
    "yes_bid_size_fp", "yes_ask_size_fp", "last_trade_size_fp",
})  # fmt: skip
_AGED = {
    "orderbook_snapshot": _old_book,
    "orderbook_delta": _old_change,
    "trade": _old_numbers,
    "ticker": _old_numbers,
}
