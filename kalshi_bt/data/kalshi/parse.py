"""The exchange's objects as rows: the only place, with `parse_cells`, that knows its field names.

Every shape the exchange has used is read: decimal strings with `_dollars` and `_fp` names (2026),
whole cents and contracts under bare names (until March 2026, both for a while), decimal strings
under bare names (historical candles). Names that are not known are reported, never an error; a row
without something it needs is set aside with a reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kalshi_bt.data.kalshi.limits import Limit
from kalshi_bt.data.kalshi.parse_cells import (
    Cells,
    UnreadableError,
    flag,
    listed,
    number,
    price,
    price_number,
    quantity,
    rate,
    seconds,
    stated,
    text,
    time,
    traded,
)
from kalshi_bt.data.kalshi.parse_names import INNER, KNOWN
from kalshi_bt.errors import DataError
from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE

Row = dict[str, Any]

OPEN = frozenset({"initialized", "active", "inactive", "unopened", "open", "paused"})
PAID = frozenset({"finalized", "settled"})
_OVER = frozenset({"closed", "determined", "disputed", "amended"})


@dataclass(frozen=True)
class Unusable:
    """A row that was set aside: its place in the answer, why, and what stood there."""

    row: int
    reason: str
    found: str


@dataclass
class Page:
    """What one answer said.

    Attributes
    ----------
    rows : list of dict
        Usable rows.
    unusable : list of Unusable
        The others.
    items : list
        As they were sent.
    cursor : str
        Where the next page begins; empty at the end.
    unknown : set of str
        Fields nobody knows, as object.field.
    skipped : int
        Rows that are fine and not wanted.
    places : list of int
        Of `rows`: which of the items they were.
    before : int
        Items of earlier pages of the same list.
    """

    rows: list[Row] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    cursor: str = ""
    unknown: set[str] = field(default_factory=set)
    skipped: int = 0
    places: list[int] = field(default_factory=list)
    before: int = 0


Parse = Callable[[Any], Page]


def series(payload: Any) -> Page:
    """Return the one series of an answer: series, category, title, sources, fees as of today."""
    return _page(_wrapped(payload, "series"), "series", "series", _series)


def series_fees(payload: Any) -> Page:
    """Return dated fees of series."""
    return _page(payload, "series_fee_change_arr", "series_fee_change", _series_fee)


def event_fees(payload: Any) -> Page:
    """Return dated fees of events that differ from those of their series."""
    return _page(payload, "event_fee_changes", "event_fee_change", _event_fee)


def events(payload: Any) -> Page:
    """Return events: event, series, mutually_exclusive and fees, where they are its own."""
    return _page(payload, "events", "event", _event)


def markets(payload: Any) -> Page:
    """Return markets, with what is known of their end."""
    return _page(payload, "markets", "market", _market)


def trades(payload: Any) -> Page:
    """Return trades; those printed off the book are skipped, they say nothing of it."""
    return _page(payload, "trades", "trade", _trade)


def candles(payload: Any) -> Page:
    """Return bars of one market, without its ticker."""
    return _page(payload, "candlesticks", "candlestick", _candle)


def cutoff(payload: Any) -> tuple[datetime, datetime]:
    """Return the times before which settled markets, and trades, are in the historical tier."""
    try:
        cells = Cells(payload)
        return cells.need(time, "market_settled_ts"), cells.need(time, "trades_created_ts")
    except UnreadableError as error:
        raise DataError(f"the historical cutoff cannot be read: {error.found}") from None


def read_limit(payload: Any) -> Limit | None:
    """Return what the account may read; None if the answer does not say."""
    try:
        cells = Cells(payload).within("read")
        limit = Limit(cells.need(number, "refill_rate"), cells.need(number, "bucket_capacity"))
    except UnreadableError:
        return None
    return limit if limit.rate > 0 and limit.capacity > 0 else None


def _page(payload: Any, array: str, kind: str, read: Callable[[Cells, Page], Row | None]) -> Page:
    """Read the objects of an array."""
    items = payload.get(array) if isinstance(payload, Mapping) else None
    if not isinstance(items, list):
        raise DataError(f"an answer has no list {array!r}: the exchange changed its format")
    cursor = payload.get("cursor") or ""
    page = Page(items=items, cursor=cursor if isinstance(cursor, str) else str(cursor))
    for row, item in enumerate(items):
        try:
            cells = Cells(item)
            page.unknown |= _unknown(kind, cells.values)
            found = read(cells, page)
            if found is not None:
                page.rows.append(found)
                page.places.append(row)
        except UnreadableError as error:
            page.unusable.append(Unusable(row, error.reason, error.found))
    return page


def _unknown(kind: str, values: Mapping[str, Any]) -> set[str]:
    """Return the fields of an object that nobody knows."""
    new = {f"{kind}.{name}" for name in values.keys() - KNOWN[kind]}
    for name, names in INNER.get(kind, {}).items():
        inner = values.get(name)
        if isinstance(inner, Mapping):
            new |= {f"{kind}.{name}.{n}" for n in inner.keys() - names}
    return new


def _wrapped(payload: Any, name: str) -> Any:
    """Return an answer about one object as if it were a list of one."""
    one = payload.get(name) if isinstance(payload, Mapping) else None
    return {name: [one]} if isinstance(one, Mapping) else payload


def _series(cells: Cells, _page: Page) -> Row:
    sources = cells.may(listed, "settlement_sources") or ()
    names = (Cells(source).may(text, "name") for source in sources)
    return {
        "series": cells.need(text, "ticker"),
        "category": cells.may(text, "category"),
        "title": cells.may(text, "title"),
        "settlement_sources": "; ".join(name for name in names if name) or None,
        "fee_type": cells.need(text, "fee_type"),
        "fee_multiplier": cells.need(rate, "fee_multiplier"),
    }


def _series_fee(cells: Cells, _page: Page) -> Row:
    return {
        "series": cells.need(text, "series_ticker"),
        "effective_from": cells.need(time, "scheduled_ts"),
        "fee_type": cells.need(text, "fee_type"),
        "fee_multiplier": cells.need(rate, "fee_multiplier"),
    }


def _event_fee(cells: Cells, _page: Page) -> Row:
    return {
        "event": cells.need(text, "event_ticker"),
        "series": cells.need(text, "series_ticker"),
        "effective_from": cells.need(time, "scheduled_ts"),
        "fee_type": cells.may(text, "fee_type_override"),
        "fee_multiplier": cells.may(rate, "fee_multiplier_override"),
    }


def _event(cells: Cells, _page: Page) -> Row:
    return {
        "event": cells.need(text, "event_ticker"),
        "series": cells.need(text, "series_ticker"),
        "mutually_exclusive": cells.may(flag, "mutually_exclusive"),
        "fee_type": cells.may(text, "fee_type_override"),
        "fee_multiplier": cells.may(rate, "fee_multiplier_override"),
    }


def _market(cells: Cells, page: Page) -> Row:
    rules = [cells.may(text, "rules_primary"), cells.may(text, "rules_secondary")]
    status = cells.need(text, "status")
    if status not in OPEN | PAID | _OVER:
        page.unknown.add(f"market.status={status}")
    return {
        "ticker": cells.need(text, "ticker"),
        "event": cells.need(text, "event_ticker"),
        "title": cells.may(text, "title"),
        "subtitle": cells.may(text, "yes_sub_title", "subtitle"),
        "rules": "\n".join(part for part in rules if part) or None,
        "open_time": cells.may(time, "open_time"),
        "close_time": cells.need(time, "close_time"),
        "latest_time": cells.may(time, "latest_expiration_time", "expiration_time"),
        "updated_time": cells.may(time, "updated_time", "settlement_ts", "created_time"),
        "can_close_early": cells.may(flag, "can_close_early"),
        "strike_type": cells.may(text, "strike_type"),
        "floor_strike": cells.may(number, "floor_strike"),
        "cap_strike": cells.may(number, "cap_strike"),
        "price_ranges": _price_ranges(cells),
        "combo": cells.may(text, "mve_collection_ticker") is not None,
        "status": status,
        "result": cells.may(text, "result"),
        "payout": cells.may(price, "settlement_value_dollars", "settlement_value"),
        "settled_time": cells.may(time, "settlement_ts"),
        "value": cells.may(stated, "expiration_value"),
    }


def _price_ranges(cells: Cells) -> list[dict[str, int]] | None:
    """Return the price grid; None if it is not stated, as before there were others than cents."""
    bands = cells.may(listed, "price_ranges")
    if not bands:
        return None
    found = []
    for place, band in enumerate(bands):
        inner = Cells(band, f"price_ranges[{place}].")
        found.append({name: inner.need(price, name) for name in ("start", "end", "step")})
    return found


def _trade(cells: Cells, page: Page) -> Row | None:
    if cells.may(flag, "is_block_trade"):
        page.skipped += 1
        return None
    yes = cells.may(price, "yes_price_dollars", "yes_price")
    if yes is None:
        no = cells.may(price, "no_price_dollars", "no_price")
        yes = cells.need(price_number, "price") if no is None else PRICE_SCALE - no
    return {
        "ticker": cells.need(text, "ticker"),
        "time": cells.need(time, "created_time"),
        "trade_id": cells.need(text, "trade_id"),
        "price": yes,
        "quantity": cells.need(quantity, "count_fp", "count"),
        "taker_side": cells.need(_side, "taker_outcome_side", "taker_book_side", "taker_side"),
    }


def _side(cell: Any) -> int:
    sides = {"yes": 1, "bid": 1, "no": -1, "ask": -1}
    if not isinstance(cell, str) or cell not in sides:
        raise UnreadableError("unknown_side", cell)
    return sides[cell]


def _candle(cells: Cells, _page: Page) -> Row:
    row: Row = {"time": cells.need(seconds, "end_period_ts")}
    prices = cells.within("price")
    for part in OHLC:
        row[f"price_{part}"] = prices.may(traded, f"{part}_dollars", part)
    for name, empty in (("bid", 0), ("ask", PRICE_SCALE)):
        quotes = cells.within(f"yes_{name}")
        for part in OHLC:
            quote = quotes.need(price, f"{part}_dollars", part)
            row[f"{name}_{part}"] = None if quote == empty else quote
    row["volume"] = cells.need(quantity, "volume_fp", "volume")
    row["open_interest"] = cells.need(quantity, "open_interest_fp", "open_interest")
    return row
