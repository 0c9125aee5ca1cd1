"""The shapes of before 2026-03-12: whole cents and whole contracts.

`both` is that of January 2026, cents beside dollar strings; `cents` that of before September 2025,
without the strings. Neither can say what is less than a cent or a contract: it is cut off.
"""

from collections.abc import Callable, Mapping
from typing import Any

from live_adapter.exchange.wire import Json

SHAPES = ("dollars", "both", "cents")
_LATER = (  # fields the exchange did not have yet
    "yes_bid_size_fp", "yes_ask_size_fp", "taker_outcome_side", "taker_book_side",
    "is_block_trade", "exchange_index", "updated_time", "settlement_ts", "fee_type_override",
    "fee_multiplier_override", "last_updated_ts",
)  # fmt: skip


def older(answer: Json, shape: str) -> Json:
    """Return an answer in an older shape; as it is for `dollars`."""
    if shape == "dollars":
        return answer
    if "orderbook_fp" in answer:
        answer = {"orderbook": answer["orderbook_fp"]}
    for key, make in _MAKERS.items():
        if key in answer:
            found = answer[key]
            made = [make(row) for row in found] if isinstance(found, list) else make(found)
            answer = answer | {key: made}
    return _bare(answer) if shape == "cents" else answer


def _cents(text: str | None) -> int | None:
    return None if text is None else int(text.replace(".", "")) // 100


def _contracts(text: str) -> int:
    return int(text.partition(".")[0])


def _twins(row: Mapping[str, Any]) -> Json:
    """Return a row with cents beside dollars, and counts instead of decimal ones."""
    made: Json = {}
    for name, value in row.items():
        if name in _LATER:
            continue
        if name.endswith("_fp"):
            made[name.removesuffix("_fp")] = _contracts(value)
        elif name.endswith("_dollars"):
            made[name.removesuffix("_dollars")] = _cents(value)
            made[name] = value
        else:
            made[name] = value
    return made


def _market(row: Json) -> Json:
    if "candlesticks" in row:  # of the batch endpoint
        return {**row, "candlesticks": [_candle(bar) for bar in row["candlesticks"]]}
    more = {"subtitle": "", "liquidity": 0, "liquidity_dollars": "0.0000", "tick_size": 1}
    made = {**_twins(row), **more, "response_price_units": "usd_cent"}
    return {**made, "result": ""} if made["result"] == "scalar" else made


def _candle(bar: Json) -> Json:
    def side(found: Json, *, lacking: tuple[str, ...] = ()) -> Json:
        made = {part.removesuffix("_dollars"): value for part, value in found.items()}
        named = {f"{part}_dollars": value for part, value in made.items() if value is not None}
        cents = {part: _cents(made.get(part)) for part in {*made, *lacking}}
        return dict(sorted((cents | named).items()))

    always = ("open", "high", "low", "close", "mean", "min", "max", "previous")
    return {
        "end_period_ts": bar["end_period_ts"],
        "yes_bid": side(bar["yes_bid"]),
        "yes_ask": side(bar["yes_ask"]),
        "price": side(bar["price"], lacking=always),
        "volume": _contracts(bar["volume_fp" if "volume_fp" in bar else "volume"]),
        "open_interest": _contracts(
            bar["open_interest_fp" if "open_interest_fp" in bar else "open_interest"]
        ),
    }


def _trade(row: Json) -> Json:
    made = _twins(row)
    return {**made, "price": made["yes_price"] / 100}


def _event(row: Json) -> Json:
    made = _twins(row)
    del made["settlement_sources"]
    nested = {"markets": [_market(market) for market in row["markets"]]} if "markets" in row else {}
    return {**made, **nested}


def _book(row: Json) -> Json:
    made: Json = {}
    for side in ("yes", "no"):
        found = [[price, _contracts(size)] for price, size in row[f"{side}_dollars"]]
        made[side] = [[_cents(price), size] for price, size in found] or None
        made[f"{side}_dollars"] = found or None
    return made


def _bare(value: Any) -> Any:
    """Return an answer without the dollar strings."""
    if isinstance(value, list):
        return [_bare(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {name: _bare(part) for name, part in value.items() if not name.endswith("_dollars")}


_MAKERS: dict[str, Callable[[Json], Json]] = {
    "market": _market,
    "markets": _market,
    "candlesticks": _candle,
    "trades": _trade,
    "event": _event,
    "events": _event,
    "orderbook": _book,
    "series": lambda row: {k: v for k, v in row.items() if k not in _LATER},
}
