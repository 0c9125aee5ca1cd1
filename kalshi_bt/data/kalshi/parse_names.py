"""Every field the exchange has been seen to send, by object; what is not here is new."""

from typing import Final


def _both(*names: str) -> set[str]:
    """Return names of amounts with and without the unit that came in 2025."""
    return {f"{name}{unit}" for name in names for unit in ("", "_dollars")}


def _counts(*names: str) -> set[str]:
    """Return names of numbers of contracts with and without the mark that came in 2026."""
    return {f"{name}{mark}" for name in names for mark in ("", "_fp")}


KNOWN: Final = {
    "series": frozenset(
        {"ticker", "title", "category", "categories", "tags", "frequency", "settlement_sources"}
        | {"contract_url", "contract_terms_url", "fee_type", "fee_multiplier", "product_metadata"}
        | {"additional_prohibitions", "last_updated_ts", "exchange_index", *_counts("volume")}
    ),
    "series_fee_change": frozenset(
        {"id", "series_ticker", "fee_type", "fee_multiplier", "scheduled_ts"}
    ),
    "event_fee_change": frozenset(
        {"id", "event_ticker", "series_ticker", "fee_type_override", "fee_multiplier_override"}
        | {"scheduled_ts"}
    ),
    "event": frozenset(
        {"event_ticker", "series_ticker", "title", "sub_title", "mutually_exclusive", "category"}
        | {"collateral_return_type", "strike_date", "strike_period", "markets", "product_metadata"}
        | {"settlement_sources", "last_updated_ts", "fee_type_override", "fee_multiplier_override"}
        | {"exchange_index", "available_on_brokers", "price_level_structure", "milestones"}
    ),
    "market": frozenset(
        {"ticker", "event_ticker", "market_type", "title", "subtitle", "yes_sub_title"}
        | {"no_sub_title", "created_time", "updated_time", "open_time", "close_time", "status"}
        | {"latest_expiration_time", "expected_expiration_time", "expiration_time", "result"}
        | {"settlement_timer_seconds", "settlement_ts", "expiration_value", "occurrence_datetime"}
        | {"can_close_early", "early_close_condition", "strike_type", "floor_strike", "cap_strike"}
        | {"functional_strike", "custom_strike", "rules_primary", "rules_secondary", "tick_size"}
        | {"fee_waiver_expiration_time", "price_level_structure", "price_ranges", "category"}
        | {"mve_collection_ticker", "mve_selected_legs", "primary_participant_key"}
        | {"is_provisional", "exchange_index", "settlement_bounds_type", "risk_limit_cents"}
        | {"response_price_units", "fractional_trading_enabled", "series_ticker"}
        | _both("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "notional_value")
        | _both("previous_yes_bid", "previous_yes_ask", "previous_price", "liquidity")
        | _both("settlement_value", "settlement_floor", "yes_topbook_liquidity")
        | _both("no_topbook_liquidity")
        | _counts("volume", "volume_24h", "open_interest", "yes_bid_size", "yes_ask_size")
    ),
    "trade": frozenset(
        {"trade_id", "ticker", "created_time", "taker_side", "taker_outcome_side", "price"}
        | {"taker_book_side", "is_block_trade", *_counts("count"), *_both("yes_price", "no_price")}
    ),
    "candlestick": frozenset(
        {"end_period_ts", "price", "yes_bid", "yes_ask", *_counts("volume", "open_interest")}
    ),
}
_OHLC = _both("open", "high", "low", "close")
# Objects within the objects above.
INNER: Final = {
    "candlestick": {
        "price": frozenset(_OHLC | _both("mean", "previous", "min", "max")),
        "yes_bid": frozenset(_OHLC),
        "yes_ask": frozenset(_OHLC),
    }
}
