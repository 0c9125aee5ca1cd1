"""Rows as the exchange writes them: decimal strings, RFC 3339 times, its field names.

What a dataset does not hold is written as the smallest valid value: an empty text, a zero, the
exchange's own zero time (0001-01-01T00:00:00Z).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE, RATE_SCALE

Json = dict[str, Any]
Row = Mapping[str, Any]

ZERO_TIME = "0001-01-01T00:00:00Z"
WHOLE_CENTS = ({"start": 0, "end": PRICE_SCALE, "step": 100},)
STRUCTURES = {  # names of price grids, by their steps from 0 to 1
    (100,): "linear_cent",
    (10,): "deci_cent",
    (10, 100, 10): "tapered_deci_cent",
}
EXPECTED_AFTER = timedelta(minutes=5)  # of the close: when a result is expected, and the last
LATEST_AFTER = timedelta(days=7)  # moment for one; as in recorded markets
_PRICES = tuple(f"{p // PRICE_SCALE}.{p % PRICE_SCALE:04d}" for p in range(PRICE_SCALE + 1))


def price(value: int | None, empty: int = 0) -> str:
    """Return a price in dollars with four decimals.

    Examples
    --------
    >>> price(5_600), price(None, PRICE_SCALE)
    ('0.5600', '1.0000')
    """
    return _PRICES[empty if value is None else value]


def count(value: int | None) -> str:
    """Return a quantity in contracts with two decimals; 0 where it is not known.

    Examples
    --------
    >>> count(894), count(None)
    ('8.94', '0.00')
    """
    whole, part = divmod(value or 0, QUANTITY_SCALE)
    return f"{whole}.{part:02d}"


def moment(time: datetime | None) -> str:
    """Return a time with as many decimals of a second as it needs.

    Examples
    --------
    >>> from datetime import UTC
    >>> moment(datetime(2026, 5, 4, 4, 0, 5, 203_670, tzinfo=UTC))
    '2026-05-04T04:00:05.20367Z'
    """
    if time is None:
        return ZERO_TIME
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time.microsecond:06d}".rstrip("0").rstrip(".") + "Z"


def number(value: float) -> str:
    """Return a number as text, without decimals it does not need."""
    return str(int(value)) if value == int(value) else repr(value)


def rate(value: int) -> float:
    """Return parts per million as a multiplier, a whole number where it is one.

    Examples
    --------
    >>> rate(1_000_000), rate(500_000), rate(0)
    (1, 0.5, 0)
    """
    return value // RATE_SCALE if value % RATE_SCALE == 0 else value / RATE_SCALE


def market(row: Row, quotes: Row) -> Json:
    """Return a market, from a row of `Archive.markets` and one of `Archive.quotes`."""
    trading = row["status"] == "active"
    bid = quotes.get("bid") if trading else None
    ask = quotes.get("ask") if trading else None
    close, scheduled = row["close"], row["close_time"]
    expiry = scheduled or close
    result: Json = {
        "ticker": row["ticker"],
        "event_ticker": row["event"],
        "market_type": "binary",
        "yes_sub_title": row["subtitle"] or "",
        "no_sub_title": "",
        "created_time": moment(row["created"]),
        "updated_time": moment(row["updated"]),
        "open_time": moment(row["open_time"]),
        "close_time": moment(close),
        "latest_expiration_time": moment(expiry and expiry + LATEST_AFTER),
        "settlement_timer_seconds": 0,
        "status": row["status"],
        "yes_bid_dollars": price(bid),
        "yes_bid_size_fp": count(quotes.get("bid_size") if trading else None),
        "yes_ask_dollars": price(ask, PRICE_SCALE),
        "yes_ask_size_fp": count(quotes.get("ask_size") if trading else None),
        "no_bid_dollars": price(PRICE_SCALE - (PRICE_SCALE if ask is None else ask)),
        "no_ask_dollars": price(PRICE_SCALE - (bid or 0)),
        "last_price_dollars": price(quotes.get("price")),
        "volume_fp": count(quotes.get("volume")),
        "volume_24h_fp": count(quotes.get("volume_24h")),
        "result": row["result"] or "",
        "can_close_early": bool(row["can_close_early"]),
        "open_interest_fp": count(quotes.get("open_interest")),
        "notional_value_dollars": price(PRICE_SCALE),
        "previous_yes_bid_dollars": price(quotes.get("previous_bid")),
        "previous_yes_ask_dollars": price(quotes.get("previous_ask")),
        "previous_price_dollars": price(quotes.get("previous_price")),
        "expiration_value": "" if row["value"] is None else number(row["value"]),
        "rules_primary": row["rules"] or "",
        "rules_secondary": "",
        **grid(row["price_ranges"]),
        "exchange_index": 0,
    }
    result |= {
        name: row[stored]
        for name, stored in (
            ("title", "title"),
            ("strike_type", "strike_type"),
            ("floor_strike", "floor_strike"),
            ("cap_strike", "cap_strike"),
        )
        if row[stored] is not None
    }
    if scheduled is not None:
        result["expected_expiration_time"] = moment(scheduled + EXPECTED_AFTER)
        result["expiration_time"] = moment(scheduled + LATEST_AFTER)
    if row["settled"] is not None:
        result["settlement_ts"] = moment(row["settled"])
    if row["payout"] is not None:
        result["settlement_value_dollars"] = price(row["payout"])
    return result


def grid(ranges: Sequence[Mapping[str, int]] | None) -> Json:
    """Return the price grid of a market and its name."""
    ranges = WHOLE_CENTS if ranges is None else ranges
    name = STRUCTURES.get(tuple(r["step"] for r in ranges), "custom")
    return {
        "price_level_structure": name,
        "price_ranges": [
            {edge: price(r[edge]) for edge in ("start", "end", "step")} for r in ranges
        ],
    }


def candle(row: Row, *, historical: bool) -> Json:
    """Return a bar, from a row of `bars`, with the field names of its tier."""
    dollars, fixed = ("", "") if historical else ("_dollars", "_fp")
    prices = {part: row[f"price_{part}"] for part in OHLC}
    prices |= {"mean": None, "previous": row["previous"]}
    return {
        "end_period_ts": int(row["time"].timestamp()),
        "yes_bid": {f"{part}{dollars}": price(row[f"bid_{part}"]) for part in OHLC},
        "yes_ask": {f"{part}{dollars}": price(row[f"ask_{part}"]) for part in OHLC},
        "price": {
            f"{part}{dollars}": None if value is None else price(value)
            for part, value in prices.items()
            if historical or value is not None
        },
        f"volume{fixed}": count(row["volume"]),
        f"open_interest{fixed}": count(row["open_interest"]),
    }


def trade(row: Row) -> Json:
    """Return a trade, from a row of the stored table."""
    side = "yes" if row["taker_side"] > 0 else "no"
    return {
        "trade_id": row["trade_id"],
        "ticker": row["ticker"],
        "count_fp": count(row["quantity"]),
        "yes_price_dollars": price(row["price"]),
        "no_price_dollars": price(PRICE_SCALE - row["price"]),
        "taker_side": side,
        "taker_outcome_side": side,
        "taker_book_side": "bid" if side == "yes" else "ask",
        "created_time": moment(row["time"]),
        "is_block_trade": False,
    }


def series(row: Row) -> Json:
    """Return a series, from the stored row that holds."""
    return {
        "ticker": row["series"],
        "frequency": "",
        "title": row["title"] or "",
        "category": row["category"] or "",
        "tags": None,
        "settlement_sources": sources(row["settlement_sources"]),
        "contract_url": "",
        "contract_terms_url": "",
        "fee_type": row["fee_type"],
        "fee_multiplier": rate(row["fee_multiplier"]),
        "additional_prohibitions": None,
        "last_updated_ts": moment(row["effective_from"]),
        "exchange_index": 0,
    }


def sources(names: str | None) -> list[Json] | None:
    """Return settlement sources, from their names separated by semicolons."""
    return None if names is None else [{"name": name, "url": ""} for name in names.split("; ")]


def series_fee_change(row: Row) -> Json:
    """Return a change of a series' fees, from a dated row."""
    return {
        "id": f"{row['series']}-{int(row['effective_from'].timestamp())}",
        "series_ticker": row["series"],
        "fee_type": row["fee_type"],
        "fee_multiplier": rate(row["fee_multiplier"]),
        "scheduled_ts": moment(row["effective_from"]),
    }


def event_fee_change(row: Row) -> Json:
    """Return a change of an event's fees, from a dated row; null where the override ends."""
    multiplier = row["fee_multiplier"]
    return {
        "id": f"{row['event']}-{int(row['effective_from'].timestamp())}",
        "event_ticker": row["event"],
        "series_ticker": row["series"],
        "fee_type_override": row["fee_type"],
        "fee_multiplier_override": None if multiplier is None else rate(multiplier),
        "scheduled_ts": moment(row["effective_from"]),
    }


def event(row: Row, fees: Row | None, settlement_sources: str | None) -> Json:
    """Return an event, from what its markets agree on and the fee override that holds."""
    exclusive = bool(row["mutually_exclusive"])
    multiplier = None if fees is None else fees["fee_multiplier"]
    return {
        "event_ticker": row["event"],
        "series_ticker": row["series"],
        "title": "",
        "sub_title": "",
        "collateral_return_type": "MECNET" if exclusive else "",
        "mutually_exclusive": exclusive,
        "available_on_brokers": False,
        "category": row["category"] or "",
        "strike_period": "",
        "settlement_sources": sources(settlement_sources),
        "last_updated_ts": moment(row["updated"]),
        "fee_type_override": None if fees is None else fees["fee_type"],
        "fee_multiplier_override": None if multiplier is None else rate(multiplier),
        "exchange_index": 0,
    }


def levels(book: Mapping[str, Iterable[Mapping[str, int]] | None], depth: int) -> Json:
    """Return a book, from levels of YES: bids of both sides, ascending, the best `depth` or all."""
    yes = [(level["price"], level["size"]) for level in book["bids"] or ()]
    no = [(PRICE_SCALE - level["price"], level["size"]) for level in book["asks"] or ()]
    return {
        f"{side}_dollars": [[price(p), count(s)] for p, s in sorted(found)[-depth:]]
        for side, found in (("yes", yes), ("no", no))
    }
