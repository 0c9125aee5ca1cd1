"""Every shape the exchange has used becomes the same integers, or is set aside with a reason."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.data.kalshi import parse
from kalshi_bt.data.kalshi.limits import Limit
from kalshi_bt.data.kalshi.parse_cells import (
    UnreadableError,
    price,
    price_number,
    quantity,
    rate,
    stated,
    text,
    time,
)
from kalshi_bt.data.validate import REASONS
from kalshi_bt.errors import DataError

OHLC = ("open", "high", "low", "close")
TRADED = {"open": 4500, "high": 4500, "low": 3600, "close": 3700}


def wire(payload: Any) -> Any:
    """Read it as the client does."""
    return json.loads(json.dumps(payload), parse_float=Decimal)


def one(read: parse.Parse, name: str, item: dict[str, Any]) -> dict[str, Any]:
    page = read(wire({name: [item]}))
    assert not page.unusable
    assert not page.unknown
    return page.rows[0]


def lost(read: parse.Parse, name: str, item: Any) -> tuple[str, str]:
    page = read(wire({name: [item]}))
    assert not page.rows
    (bad,) = page.unusable
    assert bad.reason in REASONS
    return bad.reason, bad.found


# --- bars -----------------------------------------------------------------------------------------

LIVE = {
    "end_period_ts": 1785195240,
    "yes_bid": {
        f"{p}_dollars": v for p, v in zip(OHLC, ("0.44", "0.44", "0.36", "0.36"), strict=True)
    },
    "yes_ask": {
        f"{p}_dollars": v for p, v in zip(OHLC, ("0.45", "0.45", "0.37", "0.37"), strict=True)
    },
    "price": {f"{p}_dollars": f"{v / 10000:.4f}" for p, v in TRADED.items()}
    | {"mean_dollars": "0.4020", "previous_dollars": "0.4500"},
    "volume_fp": "98232.62",
    "open_interest_fp": "229447.63",
}
HISTORICAL = {
    "end_period_ts": 1785195240,
    "yes_bid": {"open": "0.4400", "high": "0.4400", "low": "0.3600", "close": "0.3600"},
    "yes_ask": {"open": "0.4500", "high": "0.4500", "low": "0.3700", "close": "0.3700"},
    "price": {"open": "0.4500", "high": "0.4500", "low": "0.3600", "close": "0.3700"}
    | {"mean": "0.4020", "previous": "0.4500"},
    "volume": "98232.62",
    "open_interest": "229447.63",
}
CENTS = {
    "end_period_ts": 1785195240,
    "yes_bid": {"open": 44, "high": 44, "low": 36, "close": 36},
    "yes_ask": {"open": 45, "high": 45, "low": 37, "close": 37},
    "price": {"open": 45, "high": 45, "low": 36, "close": 37, "mean": 40, "previous": 45},
    "volume": 98232,
    "open_interest": 229447,
}
BAR = {
    "time": datetime(2026, 7, 27, 23, 34, tzinfo=UTC),
    **{f"price_{part}": value for part, value in TRADED.items()},
    **{f"bid_{p}": v for p, v in zip(OHLC, (4400, 4400, 3600, 3600), strict=True)},
    **{f"ask_{p}": v for p, v in zip(OHLC, (4500, 4500, 3700, 3700), strict=True)},
    "volume": 9823262,
    "open_interest": 22944763,
}


@pytest.mark.parametrize(
    ("item", "volume", "interest"),
    [
        (LIVE, 9823262, 22944763),
        (HISTORICAL, 9823262, 22944763),
        (CENTS, 9823200, 22944700),
        (LIVE | {"volume": 0, "open_interest": 0}, 9823262, 22944763),  # leftovers of 2026
    ],
    ids=["live", "historical", "cents", "leftovers"],
)
def test_one_bar_in_every_shape_is_one_row(
    item: dict[str, Any], volume: int, interest: int
) -> None:
    found = one(parse.candles, "candlesticks", item)
    assert found == BAR | {"volume": volume, "open_interest": interest}


def test_where_cents_and_dollars_stand_side_by_side_dollars_win() -> None:
    both = CENTS | {
        side: {**CENTS[side], **LIVE[side]}  # type: ignore[dict-item]
        for side in ("yes_bid", "yes_ask", "price")
    }
    deci = json.loads(json.dumps(both).replace('"0.3600"', '"0.3640"'))
    assert one(parse.candles, "candlesticks", deci)["price_low"] == 3640


@pytest.mark.parametrize(
    "price_cells",
    [
        {"previous_dollars": "0.0010"},
        {},
        {"open": None, "high": None, "low": None, "close": None, "previous": 11},
        {"open": 0, "high": 0, "low": 0, "close": 0, "previous_dollars": "0.1100"},
    ],
    ids=["live", "never traded", "nulls", "leftover zeros"],
)
def test_a_bar_without_a_trade_has_no_prices(price_cells: dict[str, Any]) -> None:
    found = one(parse.candles, "candlesticks", LIVE | {"price": price_cells})
    assert [found[f"price_{part}"] for part in OHLC] == [None] * 4


def test_zero_bid_and_one_dollar_ask_are_empty_sides() -> None:
    item = LIVE | {
        "yes_bid": {"open": "0.0000", "high": 12, "low": 0, "close": "0.0000"},
        "yes_ask": {"open": "0.0010", "high": "1.0000", "low": "0.0010", "close": 100},
    }
    found = one(parse.candles, "candlesticks", item)
    assert [found[f"bid_{part}"] for part in OHLC] == [None, 1200, None, None]
    assert [found[f"ask_{part}"] for part in OHLC] == [10, None, 10, None]


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"end_period_ts": None}, "null_value", "end_period_ts is null"),
        ({"yes_bid": None}, "null_value", "yes_bid is null"),
        ({"yes_ask": {"open_dollars": "0.5"}}, "null_value", "yes_ask.high_dollars|high is absent"),
        ({"volume_fp": "many"}, "unparsable_number", "volume_fp=many"),
        ({"volume_fp": "1.005"}, "off_grid", "volume_fp=1.005"),
        ({"volume_fp": True}, "unparsable_number", "volume_fp=True"),
        ({"yes_bid": LIVE["yes_bid"] | {"low_dollars": "0.00005"}}, "off_grid", "yes_bid.low"),
        ({"yes_bid": LIVE["yes_bid"] | {"low_dollars": "1.01"}}, "price_range", "yes_bid.low"),
        ({"yes_bid": LIVE["yes_bid"] | {"low_dollars": -1}}, "price_range", "yes_bid.low"),
        ({"yes_bid": LIVE["yes_bid"] | {"low_dollars": 0.5}}, "unparsable_number", "yes_bid.low"),
        ({"end_period_ts": 10**18}, "time_range", "end_period_ts=1000000000000000000"),
    ],
)
def test_a_bar_that_cannot_be_read_is_set_aside_with_where_and_what(
    change: dict[str, Any], reason: str, told: str
) -> None:
    found = lost(parse.candles, "candlesticks", LIVE | change)
    assert found[0] == reason
    assert told in found[1]


@pytest.mark.parametrize("item", [None, 7, "text", []])
def test_a_row_that_is_no_object_is_set_aside(item: Any) -> None:
    assert lost(parse.trades, "trades", item)[0] == "null_value"


# --- numbers --------------------------------------------------------------------------------------


def test_every_price_is_read_exactly_from_text_and_cents() -> None:
    for value in range(10_001):
        whole, part = divmod(value, 10_000)
        assert price(f"{whole}.{part:04d}") == value
        assert price(f"{whole}.{part:04d}00") == value
        assert price_number(Decimal(f"{whole}.{part:04d}")) == value
    assert [price(cents) for cents in range(101)] == list(range(0, 10_001, 100))


@given(st.integers(0, 10**15))
def test_every_count_is_read_exactly(value: int) -> None:
    assert quantity(f"{value // 100}.{value % 100:02d}") == value
    assert quantity(value) == value * 100


@pytest.mark.parametrize("text", ["nan", "Infinity", "1e400", "1e2", "", " ", "0x10", "1_000", "½"])
def test_text_that_is_no_plain_decimal_is_refused(text: str) -> None:
    for read in (price, quantity, rate):
        with pytest.raises(UnreadableError):
            read(text)


def test_a_multiplier_of_zero_is_a_value() -> None:
    assert [rate(cell) for cell in (0, Decimal("0.5"), 1, "2", Decimal("0.0175"))] == [
        0,
        500_000,
        1_000_000,
        2_000_000,
        17_500,
    ]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("2026-01-12T14:59:36.37315Z", datetime(2026, 1, 12, 14, 59, 36, 373150, UTC)),
        ("2026-01-12T09:59:36-05:00", datetime(2026, 1, 12, 14, 59, 36, tzinfo=UTC)),
        (1768229976, datetime(2026, 1, 12, 14, 59, 36, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_utc_and_year_one_is_none(cell: Any, found: datetime | None) -> None:
    assert time(cell) == found


@pytest.mark.parametrize("cell", ["2026-01-12T14:59:36", "yesterday", True, 1.5, ""])
def test_a_time_without_a_zone_is_refused(cell: Any) -> None:
    with pytest.raises(UnreadableError, match="unparsable_time"):
        time(cell)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("4128.40", 4128.4),
        ("77,314.22", 77314.22),
        ("$5", 5.0),
        ("-2.5%", -2.5),
        ("a", None),
        ("", None),
        ("above 3", None),
        ("67°", None),
    ],
)
def test_what_a_market_settled_on_is_a_number_or_not_stated(cell: str, found: float | None) -> None:
    assert stated(cell) == found


# --- trades ---------------------------------------------------------------------------------------

TRADE = {
    "trade_id": "0723a045",
    "ticker": "KXBTC15M-26SEP261900-00",
    "count_fp": "8.94",
    "yes_price_dollars": "0.7700",
    "no_price_dollars": "0.2300",
    "taker_outcome_side": "yes",
    "taker_book_side": "bid",
    "taker_side": "yes",
    "created_time": "2026-09-26T22:52:42.728645Z",
    "is_block_trade": False,
}
OLD_TRADE = {
    "count": 3,
    "created_time": "2026-01-12T15:00:20.897212Z",
    "no_price": 94,
    "price": 0.06,
    "taker_side": "no",
    "ticker": "KXELONMARS-99",
    "trade_id": "961535f3",
    "yes_price": 6,
}


def test_a_trade_of_today_and_one_of_2025() -> None:
    assert one(parse.trades, "trades", TRADE) == {
        "ticker": "KXBTC15M-26SEP261900-00",
        "time": datetime(2026, 9, 26, 22, 52, 42, 728645, UTC),
        "trade_id": "0723a045",
        "price": 7700,
        "quantity": 894,
        "taker_side": 1,
    }
    old = one(parse.trades, "trades", OLD_TRADE)
    assert (old["price"], old["quantity"], old["taker_side"]) == (600, 300, -1)


@pytest.mark.parametrize(
    "kept",
    [("yes_price", "no_price", "price"), ("no_price",), ("price",), ("yes_price",)],
)
def test_any_of_the_prices_of_a_trade_is_enough(kept: tuple[str, ...]) -> None:
    prices = {"yes_price", "no_price", "price"}
    item = {name: v for name, v in OLD_TRADE.items() if name not in prices or name in kept}
    assert one(parse.trades, "trades", item)["price"] == 600


@pytest.mark.parametrize("kept", ["taker_outcome_side", "taker_book_side", "taker_side"])
def test_any_name_of_the_takers_side_is_enough(kept: str) -> None:
    item = {n: v for n, v in TRADE.items() if not n.startswith("taker") or n == kept}
    assert one(parse.trades, "trades", item)["taker_side"] == 1


def test_trades_off_the_book_are_counted_and_left_out() -> None:
    page = parse.trades(wire({"trades": [TRADE, TRADE | {"is_block_trade": True}], "cursor": ""}))
    assert len(page.rows) == page.skipped == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("trade_id", "null_value"),
        ("ticker", "null_value"),
        ("created_time", "null_value"),
        ("count_fp", "null_value"),
    ],
)
def test_a_trade_without_what_it_needs_is_set_aside(name: str, reason: str) -> None:
    item = {n: v for n, v in TRADE.items() if n != name}
    assert lost(parse.trades, "trades", item)[0] == reason


def test_a_side_nobody_knows_is_set_aside() -> None:
    assert lost(parse.trades, "trades", TRADE | {"taker_outcome_side": "both"}) == (
        "unknown_side",
        "taker_outcome_side=both",
    )


# --- markets, events, series ----------------------------------------------------------------------

MARKET = {
    "ticker": "KXBTC15M-26SEP131715-15",
    "event_ticker": "KXBTC15M-26SEP131715",
    "market_type": "binary",
    "title": "BTC price up in next 15 mins?",
    "yes_sub_title": "Target Price: $77,314.22",
    "created_time": "2026-09-13T20:30:00Z",
    "updated_time": "2026-09-13T21:15:08Z",
    "open_time": "2026-09-13T21:00:00Z",
    "close_time": "2026-09-13T21:15:00Z",
    "latest_expiration_time": "2026-09-20T21:15:00Z",
    "status": "finalized",
    "result": "yes",
    "settlement_value_dollars": "1.0000",
    "settlement_ts": "2026-09-13T21:15:06.5Z",
    "expiration_value": "77350.01",
    "can_close_early": True,
    "strike_type": "greater_or_equal",
    "floor_strike": 77314.22,
    "rules_primary": "If the average is at least.",
    "rules_secondary": "",
    "price_ranges": [
        {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
        {"start": "0.1000", "end": "0.9000", "step": "0.0100"},
        {"start": "0.9000", "end": "1.0000", "step": "0.0010"},
    ],
}


def test_a_market_of_today() -> None:
    assert one(parse.markets, "markets", MARKET) == {
        "ticker": "KXBTC15M-26SEP131715-15",
        "event": "KXBTC15M-26SEP131715",
        "title": "BTC price up in next 15 mins?",
        "subtitle": "Target Price: $77,314.22",
        "rules": "If the average is at least.",
        "open_time": datetime(2026, 9, 13, 21, tzinfo=UTC),
        "close_time": datetime(2026, 9, 13, 21, 15, tzinfo=UTC),
        "latest_time": datetime(2026, 9, 20, 21, 15, tzinfo=UTC),
        "updated_time": datetime(2026, 9, 13, 21, 15, 8, tzinfo=UTC),
        "can_close_early": True,
        "strike_type": "greater_or_equal",
        "floor_strike": 77314.22,
        "cap_strike": None,
        "price_ranges": [
            {"start": 0, "end": 1000, "step": 10},
            {"start": 1000, "end": 9000, "step": 100},
            {"start": 9000, "end": 10000, "step": 10},
        ],
        "combo": False,
        "status": "finalized",
        "result": "yes",
        "payout": 10000,
        "settled_time": datetime(2026, 9, 13, 21, 15, 6, 500000, UTC),
        "value": 77350.01,
    }


def test_what_an_old_market_lacks_is_not_known() -> None:
    old = {"ticker": "A-1", "event_ticker": "A", "close_time": "2022-01-02T00:00:00Z"}
    found = one(parse.markets, "markets", old | {"status": "finalized", "settlement_value": 100})
    assert found["payout"] == 10000
    nulls = ("title", "open_time", "can_close_early", "strike_type", "price_ranges", "value")
    assert [found[name] for name in nulls] == [None] * len(nulls)


@pytest.mark.parametrize("name", ["ticker", "event_ticker", "close_time", "status"])
def test_a_market_without_what_it_needs_is_set_aside(name: str) -> None:
    assert lost(parse.markets, "markets", MARKET | {name: None})[0] == "null_value"


def test_half_a_letter_in_a_text_costs_no_row() -> None:
    """JSON can say it, UTF-8 and tables cannot."""
    assert text("\ud83d up 5°") == "? up 5°"


def test_unknown_fields_and_words_are_told_and_cost_no_row() -> None:
    item = LIVE | {"fresh": 1, "price": LIVE["price"] | {"median_dollars": "0.4"}}  # type: ignore[operator]
    bars = parse.candles(wire({"candlesticks": [item, item]}))
    assert bars.unknown == {"candlestick.fresh", "candlestick.price.median_dollars"}
    assert len(bars.rows) == 2
    market = parse.markets(wire({"markets": [MARKET | {"status": "frozen"}]}))
    assert market.unknown == {"market.status=frozen"}
    assert len(market.rows) == 1


def test_a_combo_is_marked() -> None:
    item = MARKET | {"mve_collection_ticker": "KXMVE", "mve_selected_legs": []}
    assert one(parse.markets, "markets", item)["combo"]


def test_a_series_and_its_dated_fees() -> None:
    item = {
        "ticker": "KXINX",
        "title": "S&P",
        "category": "Financials",
        "tags": None,
        "fee_type": "quadratic",
        "fee_multiplier": 0.5,
        "settlement_sources": [{"name": "S&P", "url": "x"}, {"name": "Dow Jones", "url": "y"}],
    }
    found = parse.series(wire({"series": item})).rows[0]
    assert (found["fee_multiplier"], found["settlement_sources"]) == (500_000, "S&P; Dow Jones")
    change = {
        "id": "1",
        "series_ticker": "KXINX",
        "fee_type": "quadratic",
        "fee_multiplier": 1,
        "scheduled_ts": "2026-07-03T17:00:00Z",
    }
    assert one(parse.series_fees, "series_fee_change_arr", change) == {
        "series": "KXINX",
        "effective_from": datetime(2026, 7, 3, 17, tzinfo=UTC),
        "fee_type": "quadratic",
        "fee_multiplier": 1_000_000,
    }


@pytest.mark.parametrize("name", ["fee_type", "fee_multiplier"])
def test_a_series_without_a_fee_is_set_aside_never_free(name: str) -> None:
    item = {"ticker": "KXINX", "fee_type": "quadratic", "fee_multiplier": 1}
    assert lost(parse.series, "series", item | {name: None})[0] == "null_value"


def test_a_cleared_override_of_an_event_is_null() -> None:
    item = {
        "id": "1",
        "event_ticker": "E-1",
        "series_ticker": "E",
        "fee_type_override": None,
        "fee_multiplier_override": None,
        "scheduled_ts": "2026-07-03T17:00:00Z",
    }
    found = one(parse.event_fees, "event_fee_changes", item)
    assert (found["fee_type"], found["fee_multiplier"]) == (None, None)


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [{}, {"trades": None}, {"trades": {}}, [], None, "x"])
def test_an_answer_without_its_list_is_another_format(payload: Any) -> None:
    with pytest.raises(DataError, match="no list 'trades'"):
        parse.trades(payload)


@pytest.mark.parametrize("payload", [{}, {"market_settled_ts": "soon"}, None])
def test_a_cutoff_that_cannot_be_read_is_told(payload: Any) -> None:
    with pytest.raises(DataError, match="historical cutoff"):
        parse.cutoff(payload)


@pytest.mark.parametrize(
    ("payload", "limit"),
    [
        ({"read": {"refill_rate": 200, "bucket_capacity": 400}}, Limit(200, 400)),
        ({"read": {"refill_rate": 0, "bucket_capacity": 400}}, None),
        ({"usage_tier": "basic"}, None),
    ],
)
def test_the_limits_of_an_account(payload: Any, limit: Limit | None) -> None:
    assert parse.read_limit(payload) == limit


def test_cursors_that_are_empty_or_absent_end_a_list() -> None:
    for end in ({}, {"cursor": ""}, {"cursor": None}):
        assert not parse.trades({"trades": []} | end).cursor
