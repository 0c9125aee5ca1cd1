"""Fees: exact integers against fractions, and every number the exchange has published.

Amounts are micro-dollars, prices centi-cents, quantities centi-contracts, rates parts per million.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fees import (
    EXCHANGE_ROUNDING_FROM,
    FEE_TYPES,
    MICRO_FEE_FROM,
    market_rates,
    rates,
    taker_fee,
)
from kalshi_bt.simulator.rules import (
    EXACT,
    EXCHANGE,
    ORDER_CENT,
    cent_fee,
    exact_fee,
    fill_fee,
)

TAKER, MAKER, COMBO = 70_000, 17_500, 35_000
CENT, CENTICENT, MICRO = 10_000, 100, 1
CASES = 100_000

Fill = tuple[int, int, int, int]  # rate, quantity, price, revenue


def philox(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key))


def drawn(count: int, most: int, key: int) -> Iterator[tuple[int, int, int]]:
    """Rates, quantities of all magnitudes up to `most`, and prices with the ends among them."""
    rng = philox(key)
    rate = rng.choice([TAKER, MAKER, COMBO, 8_750, 140_000, 1, 0], count)
    quantity = np.exp(rng.uniform(0, np.log(most), count)).astype(np.int64)
    quantity = np.where(rng.random(count) < 0.5, quantity // 100 * 100 + 100, quantity)
    price = np.where(
        rng.random(count) < 0.5, rng.integers(1, 100, count) * 100, rng.integers(0, 10_001, count)
    )
    return zip(rate.tolist(), quantity.tolist(), price.tolist(), strict=True)


def model(rate: int, quantity: int, price: int) -> Fraction:
    """The fee before rounding: rate x contracts x p x (1 - p), in dollars times a million."""
    p = Fraction(price, 10_000)
    return Fraction(rate * quantity, 100) * p * (1 - p)


def up(amount: Fraction, step: int) -> int:
    return ceil(amount / step) * step


def down(amount: int, step: int) -> int:
    return floor(Fraction(amount, step)) * step


def charged(rounding: int, quantum: int, precision: int, fills: list[Fill]) -> list[int]:
    """Fees of the fills of one order, by the engine."""
    fees, paid, rest = [], 0, 0
    for rate, quantity, price, revenue in fills:
        fee, paid, rest = fill_fee(
            rounding, quantum, precision, rate, quantity, price, revenue, paid, rest
        )
        fees.append(fee)
    return fees


def by_order_cent(fills: list[Fill]) -> list[int]:
    """The plain twin: exact fees add up, the sum is charged by whole cents."""
    totals = [Fraction(0)]
    for rate, quantity, price, _ in fills:
        totals.append(totals[-1] + model(rate, quantity, price))
    return [up(b, CENT) - up(a, CENT) for a, b in pairwise(totals)]


def by_exchange(quantum: int, precision: int, fills: list[Fill]) -> list[int]:
    """The plain twin of the rule as published in September 2026, step by step.

    Round the trade fee up, align the balance down, gather what that took, hand back whole steps of
    the balance's precision, never more than the fill was charged.
    """
    fees, gathered = [], 0
    for rate, quantity, price, revenue in fills:
        trade_fee = up(model(rate, quantity, price), quantum)
        aligned = down(revenue - trade_fee, precision)
        rounding = revenue - trade_fee - aligned
        gathered += rounding
        rebate = min(down(gathered, precision), down(trade_fee + rounding, precision))
        gathered -= rebate
        fees.append(trade_fee + rounding - rebate)
    return fees


# --- the engine against fractions -----------------------------------------------------------------


def test_exact_fee_equals_fractions_for_up_to_three_billion_contracts() -> None:
    for rate, quantity, price in drawn(CASES, 3 * 10**11, key=1):
        micro, rest = exact_fee(rate, quantity, price)
        assert 0 <= rest < EXACT
        assert micro * EXACT + rest == rate * quantity * price * (10_000 - price)


@pytest.mark.slow
def test_one_fill_by_the_cent_equals_fractions() -> None:
    for rate, quantity, price in drawn(CASES, 10**9, key=2):
        assert cent_fee(rate, quantity, price) == up(model(rate, quantity, price), CENT)


@pytest.mark.slow
def test_taker_fee_of_whole_orders_equals_fractions() -> None:
    cases = [c for c in drawn(CASES, 5_000_000, key=3) if c[0] <= TAKER]
    rate, quantity, price = np.array(cases).T
    found = taker_fee(price, quantity, rate).tolist()
    assert found == [up(model(*case), CENT) for case in cases]
    assert len(cases) > CASES // 2


def test_a_rate_for_all_orders_is_that_rate_for_each() -> None:
    price, quantity = np.array([100, 5_000, 9_900]), np.array([100, 1_000, 10_000])
    each = taker_fee(price, quantity, np.full(3, MAKER))
    assert taker_fee(price, quantity, MAKER).tolist() == each.tolist()


def orders(key: int) -> Iterator[list[Fill]]:
    """Orders of one to five fills at their own prices, roles and directions."""
    rng = philox(key)
    fills = drawn(CASES // 2, 10**7, key)
    buys = iter(rng.random(CASES // 2) < 0.6)
    lengths = rng.integers(1, 6, CASES)
    for length in lengths:
        order = [
            (rate, quantity, price, quantity * price * (-1 if buy else 1))
            for _, (rate, quantity, price), buy in zip(range(length), fills, buys, strict=False)
        ]
        if len(order) < length:
            return
        yield order


@pytest.mark.slow
def test_fills_of_an_order_by_the_cent_equal_fractions() -> None:
    count = 0
    for order in orders(4):
        assert charged(ORDER_CENT, CENTICENT, CENTICENT, order) == by_order_cent(order)
        count += len(order)
    assert count > 0.9 * CASES // 2


@pytest.mark.slow
@pytest.mark.parametrize("quantum", [CENTICENT, MICRO])
def test_fills_of_an_order_by_the_cent_of_a_balance_equal_fractions(quantum: int) -> None:
    rebated = 0
    for order in orders(5):
        expected = by_exchange(quantum, CENT, order)
        assert charged(EXCHANGE, quantum, CENT, order) == expected
        rebated += sum(expected) != sum(by_exchange(quantum, CENT, [f])[0] for f in order)
    assert rebated > 1_000


@pytest.mark.slow
def test_fills_of_an_order_by_the_centicent_of_a_balance_equal_fractions() -> None:
    rebated = 0
    for order in orders(6):
        expected = by_exchange(MICRO, CENTICENT, order)
        assert charged(EXCHANGE, MICRO, CENTICENT, order) == expected
        rebated += sum(expected) != sum(by_exchange(MICRO, CENTICENT, [f])[0] for f in order)
    assert rebated > 1_000


# --- properties -----------------------------------------------------------------------------------

PRICE, QUANTITY = st.integers(0, 10_000), st.integers(1, 10**7)
RATE = st.sampled_from([TAKER, MAKER, COMBO, 8_750, 0])
STEP = st.sampled_from([MICRO, CENTICENT, CENT])


@given(RATE, QUANTITY, PRICE)
def test_a_fee_does_not_tell_yes_from_no(rate: int, quantity: int, price: int) -> None:
    assert exact_fee(rate, quantity, price) == exact_fee(rate, quantity, 10_000 - price)
    assert cent_fee(rate, quantity, price) == cent_fee(rate, quantity, 10_000 - price)
    prices = np.array([price, 10_000 - price])
    yes, no = taker_fee(prices, np.full(2, min(quantity, 5_000_000)), rate)
    assert yes == no


@given(RATE, QUANTITY, QUANTITY, PRICE)
def test_a_larger_order_never_pays_less(rate: int, a: int, b: int, price: int) -> None:
    small, large = min(a, b), max(a, b)
    assert cent_fee(rate, small, price) <= cent_fee(rate, large, price)
    assert exact_fee(rate, small, price) <= exact_fee(rate, large, price)


@given(QUANTITY, PRICE)
def test_a_higher_rate_never_costs_less(quantity: int, price: int) -> None:
    fees = [cent_fee(rate, quantity, price) for rate in (0, MAKER, COMBO, TAKER)]
    assert fees == sorted(fees)
    assert fees[0] == 0


@given(RATE, st.lists(QUANTITY, min_size=1, max_size=6), PRICE)
def test_partial_fills_at_one_price_pay_the_fee_of_the_whole_order(
    rate: int, parts: list[int], price: int
) -> None:
    fills = [(rate, q, price, -q * price) for q in parts]
    assert sum(charged(ORDER_CENT, CENT, CENT, fills)) == cent_fee(rate, sum(parts), price)


@given(st.lists(st.tuples(RATE, QUANTITY, PRICE, st.booleans()), max_size=6), STEP, STEP)
def test_no_fee_is_negative_no_order_underpays_and_balances_are_aligned(
    drawn_fills: list[tuple[int, int, int, bool]], quantum: int, precision: int
) -> None:
    fills = [(r, q, p, -q * p if buy else q * p) for r, q, p, buy in drawn_fills]
    for rounding in (ORDER_CENT, EXCHANGE):
        fees = charged(rounding, quantum, precision, fills)
        assert all(fee >= 0 for fee in fees)
        if rounding == EXCHANGE:
            moves = [revenue - fee for (*_, revenue), fee in zip(fills, fees, strict=True)]
            assert all(move % precision == 0 for move in moves)
            assert sum(fees) >= sum(model(*fill[:3]) for fill in fills)


# --- published numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contracts", "cents", "rate", "dollars"),
    [
        (10, 50, TAKER, "0.18"),  # 0.1750 before rounding
        (1, 50, TAKER, "0.02"),
        (1, 10, TAKER, "0.01"),
        (100, 10, TAKER, "0.63"),
        (11, 90, TAKER, "0.07"),  # 0.0693
        (20, 85, TAKER, "0.18"),  # 0.1785
        (100, 99, TAKER, "0.07"),
        (10, 50, MAKER, "0.05"),  # 0.04375
        (100, 10, MAKER, "0.16"),
        (100, 50, TAKER, "1.75"),  # Bürgi, Deng and Whelan (2025) quote the formula to the cent
        (1, 5, TAKER, "0.01"),
        (1_000, 5, TAKER, "3.33"),
        (3, 90, TAKER, "0.02"),
    ],
)
def test_orders_rounded_up_to_the_cent(contracts: int, cents: int, rate: int, dollars: str) -> None:
    expected = int(Fraction(dollars) * 1_000_000)
    assert cent_fee(rate, contracts * 100, cents * 100) == expected
    found = taker_fee(np.array([cents * 100]), np.array([contracts * 100]), rate)
    assert found.tolist() == [expected]


# Kalshi fee schedule (PDF, editions effective 2026-02-05 and 2026-07-07): fee of 1 and of 100
# contracts in cents, by price in cents.
TABLE = {
    1: (1, 7),
    5: (1, 34),
    10: (1, 63),
    15: (1, 90),
    20: (2, 112),
    25: (2, 132),
    30: (2, 147),
    35: (2, 160),
    40: (2, 168),
    45: (2, 174),
    50: (2, 175),
    55: (2, 174),
    60: (2, 168),
    65: (2, 160),
    70: (2, 147),
    75: (2, 132),
    80: (2, 112),
    85: (1, 90),
    90: (1, 63),
    95: (1, 34),
    99: (1, 7),
}


def test_the_published_fee_table() -> None:
    assert len(TABLE) == 21
    price = np.array(list(TABLE)) * 100
    for column, quantity in enumerate((100, 10_000)):
        expected = [fees[column] * CENT for fees in TABLE.values()]
        assert taker_fee(price, np.full(21, quantity), TAKER).tolist() == expected
        assert [cent_fee(TAKER, quantity, p) for p in price.tolist()] == expected


@pytest.mark.parametrize(
    ("fee_type", "role", "multiplier", "least", "most"),
    [  # kalshi.com fee page: cents a hundred contracts, at 1 and at 50 cents
        ("quadratic", 0, 1_000_000, 7, 175),
        ("quadratic", 0, 500_000, 4, 88),
        ("quadratic_with_maker_fees", 1, 1_000_000, 2, 44),
        ("quadratic_with_maker_fees", 1, 500_000, 1, 22),
    ],
)
def test_the_published_ranges_by_role_and_multiplier(
    fee_type: str, role: int, multiplier: int, least: int, most: int
) -> None:
    rate = rates(fee_type, multiplier)[role]
    assert cent_fee(rate, 10_000, 100) == least * CENT
    assert cent_fee(rate, 10_000, 5_000) == most * CENT


def buys(rate: int, quantity: int, price: int, times: int = 1) -> list[Fill]:
    return [(rate, quantity, price, -quantity * price)] * times


def test_the_worked_example_of_a_cleared_account() -> None:
    """docs.kalshi.com, fee rounding, edition of September 2026.

    One contract at 0.055: model fee 0.00363825, trade fee 0.003639, the balance moves by 0.06, so
    that rounding takes 0.001361 and the fill costs 0.005.
    """
    (fee, gathered, _) = fill_fee(EXCHANGE, MICRO, CENT, TAKER, 100, 550, -55_000, 0, 0)
    assert (fee, gathered) == (5_000, 1_361)
    assert fee - gathered == 3_639
    assert -55_000 - fee == -60_000


def test_the_worked_example_of_an_accumulator() -> None:
    """The same page: rounding takes 0.004 three times, the third fill hands 0.01 back.

    Any fill will do that costs a trade fee of 0.016 and brings a whole cent: the rate is chosen so.
    """
    fills = buys(64_000, 100, 5_000, 3)
    assert model(*fills[0][:3]) == 16_000
    paid, seen = 0, []
    for rate, quantity, price, revenue in fills:
        fee, paid, _ = fill_fee(EXCHANGE, MICRO, CENT, rate, quantity, price, revenue, paid, 0)
        seen.append((fee, paid))
    assert seen == [(20_000, 4_000), (20_000, 8_000), (10_000, 2_000)]


@pytest.mark.parametrize(
    ("rate", "quantity", "price", "fees", "carried"),
    [
        # Three 1-lots at 0.055, trade fee 0.0085 each. That fee is given, it is not 0.07 x p(1 - p)
        # (0.0037): the rate is the one that leads to it. Shown before the rebate: 65, 130, 95.
        (163_540, 100, 550, (15_000, 5_000, 15_000), (6_500, 3_000, 9_500)),
        # Three lots of 0.30 at 0.50, trade fee 0.0041, given as well (by formula 0.0053).
        (54_600, 30, 5_000, (10_000, 0, 10_000), (5_900, 1_800, 7_700)),
        # Three lots of 0.03 at 0.3301, trade fee 0.0005 by formula.
        (TAKER, 3, 3_301, (10_097, 97, 97), (9_597, 9_194, 8_791)),
    ],
)
def test_the_worked_examples_of_the_first_edition(
    rate: int,
    quantity: int,
    price: int,
    fees: tuple[int, ...],
    carried: tuple[int, ...],
) -> None:
    """docs.kalshi.com, fee rounding, editions of March to June 2026: $0.01 precision."""
    paid, seen = 0, []
    for _ in fees:
        fee, paid, _ = fill_fee(
            EXCHANGE, CENTICENT, CENT, rate, quantity, price, -quantity * price, paid, 0
        )
        seen.append((fee, paid))
    assert seen == list(zip(fees, carried, strict=True))


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [
        (100, 4_270, 17_200),
        (300, 4_500, 52_000),
        (100, 3_000, 14_700),
        (500, 5_400, 87_000),
        (100, 6_800, 15_300),
    ],
)
def test_measured_charges_of_takers(quantity: int, price: int, fee: int) -> None:
    """Charges published by traders in July 2026: direct accounts, either step of the trade fee."""
    for quantum in (CENTICENT, MICRO):
        assert charged(EXCHANGE, quantum, CENTICENT, buys(TAKER, quantity, price)) == [fee]


def test_small_fills_of_a_direct_account_get_their_centicent_back() -> None:
    # 0.30 at 0.50: fee 0.00525 exactly, the balance of 0.15525 is aligned to 0.1553, and the second
    # time two halves of a centicent are one to hand back.
    assert charged(EXCHANGE, MICRO, CENTICENT, buys(TAKER, 30, 5_000, 3)) == [5_300, 5_200, 5_300]


# --- the schedule ---------------------------------------------------------------------------------


def test_rates_are_the_published_ones() -> None:
    """0.07 for takers; for makers nothing, a quarter, or (combos, since August 2026) a half."""
    million = 1_000_000
    assert {kind: rates(kind, million) for kind in FEE_TYPES} == {
        "quadratic": (70_000, 0),
        "quadratic_with_maker_fees": (70_000, 17_500),
        "quadratic_with_combo_maker_fees": (70_000, 35_000),
    }
    assert rates("quadratic_with_maker_fees", million // 2) == (35_000, 8_750)


def test_a_multiplier_of_zero_is_a_value() -> None:
    assert rates("quadratic_with_maker_fees", 0) == (0, 0)
    assert cent_fee(0, 10**9, 5_000) == 0
    assert taker_fee(np.array([5_000]), np.array([10_000]), 0).tolist() == [0]


def test_an_unknown_fee_type_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown fee type 'quadratc'; did you mean 'quadratic'"):
        rates("quadratc", 1_000_000)
    with pytest.raises(UsageError, match="unknown fee type 'flat'"):
        rates("flat", 1_000_000)


@pytest.mark.parametrize(
    ("fee_type", "multiplier"), [("quadratic", 1), ("quadratic_with_maker_fees", 500_020)]
)
def test_a_multiplier_without_a_whole_rate_is_an_error(fee_type: str, multiplier: int) -> None:
    with pytest.raises(UsageError, match=f"{multiplier} ppm gives no whole rate for {fee_type}"):
        rates(fee_type, multiplier)


def test_rounding_changes_at_the_documented_days() -> None:
    for moment, day in ((EXCHANGE_ROUNDING_FROM, (2026, 3, 4)), (MICRO_FEE_FROM, (2026, 9, 1))):
        assert datetime.fromtimestamp(moment / 1e6, UTC) == datetime(*day, tzinfo=UTC)


def series(*rows: tuple[str, datetime, str, int]) -> pl.DataFrame:
    names = ("series", "effective_from", "fee_type", "fee_multiplier")
    frame = pl.DataFrame(rows, schema={n: schema.SERIES.columns[n] for n in names}, orient="row")
    return frame.with_columns(category=pl.lit("Sports"))


EPOCH, CHANGE = datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 7, 3, 17, tzinfo=UTC)
DATED = series(
    # The halved rate of the index series ended on 2026-07-03; given here out of order.
    ("KXINX", CHANGE, "quadratic", 1_000_000),
    ("KXINX", EPOCH, "quadratic", 500_000),
    ("KXFREE", EPOCH, "quadratic_with_maker_fees", 0),
    ("KXUNUSED", EPOCH, "quadratic_with_maker_fees", 1_000_000),
)


def test_every_market_gets_the_dated_rows_of_its_series() -> None:
    markets = pl.DataFrame(
        {"ticker": ["KXFREE-A", "KXINX-A", "KXINX-B"], "series": ["KXFREE", "KXINX", "KXINX"]}
    )
    found = market_rates(markets, DATED)
    assert dict(found.schema) == {
        "market": pl.UInt32,
        "from_time": schema.Time,
        "taker": pl.Int64,
        "maker": pl.Int64,
    }
    assert found.rows() == [
        (0, EPOCH, 0, 0),
        (1, EPOCH, 35_000, 0),
        (1, CHANGE, 70_000, 0),
        (2, EPOCH, 35_000, 0),
        (2, CHANGE, 70_000, 0),
    ]


def test_a_series_without_a_row_is_an_error_and_never_free() -> None:
    markets = pl.DataFrame({"ticker": ["KXINX-A", "KXNEW-A"], "series": ["KXINX", "KXNEW"]})
    with pytest.raises(
        DataError,
        match=r"series 'KXNEW' \(market KXNEW-A\) has no fee row; add it .*\[\[series\]\]",
    ):
        market_rates(markets, DATED)


def test_a_wrong_row_of_the_schedule_is_an_error() -> None:
    markets = pl.DataFrame({"ticker": ["KXINX-A"], "series": ["KXINX"]})
    with pytest.raises(UsageError, match="unknown fee type 'flat'"):
        market_rates(markets, series(("KXINX", EPOCH, "flat", 1_000_000)))


def test_no_markets_have_no_rates() -> None:
    none = pl.DataFrame(schema={"ticker": pl.String, "series": pl.String})
    assert market_rates(none, DATED).height == 0
