"""Single fills worked out by the documented rules, and random orders against exact fractions.

Amounts are micro-dollars, prices centi-cents, quantities centi-contracts, rates parts per million.
"""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, ceil_to, cent_fee, exact_fee, fill_fee

TAKER, MAKER, COMBO = 70_000, 17_500, 35_000
CENT, CENTICENT, MICRO = 10_000, 100, 1

Ints = NDArray[np.int64]

# By price and quantity, for takers, makers, makers of combinations: the fee up to $0.000001, the
# charge of one fill that opens an order at balances of $0.0001 and of $0.01, and the fee by the
# cent. From 0.07, 0.0175 and 0.035 x C x P x (1 - P); the balance gives up what is left of
# -C x P - fee below a whole step.
SINGLE = {
    (100, 100): (
        (693, 700, 10_000, 10_000), (174, 200, 10_000, 10_000), (347, 400, 10_000, 10_000)),
    (100, 10_000): (
        (69_300, 69_300, 70_000, 70_000), (17_325, 17_400, 20_000, 20_000),
        (34_650, 34_700, 40_000, 40_000)),
    (500, 100): (
        (3_325, 3_400, 10_000, 10_000), (832, 900, 10_000, 10_000), (1_663, 1_700, 10_000, 10_000)),
    (500, 10_000): (
        (332_500, 332_500, 340_000, 340_000), (83_125, 83_200, 90_000, 90_000),
        (166_250, 166_300, 170_000, 170_000)),
    (1_000, 1_000): (
        (63_000, 63_000, 70_000, 70_000), (15_750, 15_800, 20_000, 20_000),
        (31_500, 31_500, 40_000, 40_000)),
    (2_500, 100): (
        (13_125, 13_200, 20_000, 20_000), (3_282, 3_300, 10_000, 10_000),
        (6_563, 6_600, 10_000, 10_000)),
    (2_500, 10_000): (
        (1_312_500, 1_312_500, 1_320_000, 1_320_000), (328_125, 328_200, 330_000, 330_000),
        (656_250, 656_300, 660_000, 660_000)),
    (5_000, 100): (
        (17_500, 17_500, 20_000, 20_000), (4_375, 4_400, 10_000, 10_000),
        (8_750, 8_800, 10_000, 10_000)),
    (5_000, 1_000): (
        (175_000, 175_000, 180_000, 180_000), (43_750, 43_800, 50_000, 50_000),
        (87_500, 87_500, 90_000, 90_000)),
    (5_000, 10_000): (
        (1_750_000, 1_750_000, 1_750_000, 1_750_000), (437_500, 437_500, 440_000, 440_000),
        (875_000, 875_000, 880_000, 880_000)),
    (5_000, 50): (
        (8_750, 8_800, 10_000, 10_000), (2_188, 2_200, 10_000, 10_000),
        (4_375, 4_400, 10_000, 10_000)),
    (9_000, 10_000): (
        (630_000, 630_000, 630_000, 630_000), (157_500, 157_500, 160_000, 160_000),
        (315_000, 315_000, 320_000, 320_000)),
    (9_900, 10_000): (
        (69_300, 69_300, 70_000, 70_000), (17_325, 17_400, 20_000, 20_000),
        (34_650, 34_700, 40_000, 40_000)),
    (50, 10_000): (
        (34_825, 34_900, 40_000, 40_000), (8_707, 8_800, 10_000, 10_000),
        (17_413, 17_500, 20_000, 20_000)),
    (9_990, 10_000): (
        (6_993, 7_000, 10_000, 10_000), (1_749, 1_800, 10_000, 10_000),
        (3_497, 3_500, 10_000, 10_000)),
    (3_300, 700): (
        (108_339, 108_400, 110_000, 110_000), (27_085, 27_100, 30_000, 30_000),
        (54_170, 54_200, 60_000, 60_000)),
}  # fmt: skip


def opening(quantum: int, precision: int, rate: int, quantity: int, price: int) -> int:
    """The fee of the first fill of an order to buy."""
    spent = -quantity * price
    return fill_fee(EXCHANGE, quantum, precision, rate, quantity, price, spent, 0, 0)[0]


@pytest.mark.parametrize(("price", "quantity"), SINGLE)
def test_single_fills_by_every_rounding(price: int, quantity: int) -> None:
    for rate, (fine, direct, cleared, cents) in zip(
        (TAKER, MAKER, COMBO), SINGLE[price, quantity], strict=True
    ):
        assert ceil_to(*exact_fee(rate, quantity, price), MICRO) == fine
        assert opening(MICRO, CENTICENT, rate, quantity, price) == direct
        assert opening(MICRO, CENT, rate, quantity, price) == cleared
        assert cent_fee(rate, quantity, price) == cents


def test_small_fills_of_a_cleared_account_get_their_cent_back_at_the_third() -> None:
    """0.30 at 0.50 cost 0.00525 each: 0.00475 goes into the cent three times, 0.01 comes back."""
    seen, paid = [], 0
    for _ in range(3):
        fee, paid, _ = fill_fee(EXCHANGE, MICRO, CENT, TAKER, 30, 5_000, -150_000, paid, 0)
        seen.append((fee, paid))
    assert seen == [(10_000, 4_750), (10_000, 9_500), (0, 4_250)]


# --- random orders --------------------------------------------------------------------------------


@njit  # type: ignore[untyped-decorator]
def charges(
    rounding: int, quantum: int, precision: int, first: Ints, trades: Ints, fees: Ints
) -> None:
    """The compiled engine over many orders: `first` marks the fills that open one."""
    paid, rest = 0, 0
    for i in range(len(fees)):
        if first[i]:
            paid, rest = 0, 0
        rate, quantity, price, revenue = trades[i]
        fees[i], paid, rest = fill_fee(
            rounding, quantum, precision, rate, quantity, price, revenue, paid, rest
        )


def drawn(count: int, length: int, key: int) -> tuple[Ints, Ints]:
    """Fills of all magnitudes, half of them whole contracts at whole cents, `length` an order."""
    rng = np.random.Generator(np.random.Philox(key))
    rate = rng.choice([TAKER, MAKER, COMBO, 8_750, 140_000, 0], count)
    quantity = np.exp(rng.uniform(0, np.log(10**8), count)).astype(np.int64)
    price = rng.integers(1, 10_000, count)
    whole = rng.random(count) < 0.5
    quantity = np.where(whole, quantity // 100 * 100 + 100, quantity)
    price = np.where(whole, price // 100 * 100 + 50 * (price % 2), price).clip(1, 9_999)
    revenue = quantity * price * rng.choice([-1, 1], count)
    first = (rng.random(count) * length < 1).astype(np.int64)
    first[0] = 1
    return first, np.stack([rate, quantity, price, revenue], axis=1)


def exactly(rounding: int, quantum: int, precision: int, first: Ints, trades: Ints) -> list[int]:
    """The plain twin in fractions."""
    fees: list[int] = []
    total, gathered = Fraction(0), 0
    for opens, (rate, quantity, price, revenue) in zip(
        first.tolist(), trades.tolist(), strict=True
    ):
        if opens:
            total, gathered = Fraction(0), 0
        exact = Fraction(rate * quantity * price * (10_000 - price), 10**10)
        if rounding == ORDER_CENT:
            before, total = total, total + exact
            fees.append((ceil(total / CENT) - ceil(before / CENT)) * CENT)
            continue
        fee = ceil(exact / quantum) * quantum
        taken = (revenue - fee) % precision
        gathered += taken
        step = CENT if quantum == CENTICENT else precision
        rebate = min(gathered // step, (fee + taken) // step) * step
        gathered -= rebate
        fees.append(fee + taken - rebate)
    return fees


RULES = {
    "order_cent": (ORDER_CENT, CENT, CENT),
    "march_2026": (EXCHANGE, CENTICENT, CENT),
    "may_2026": (EXCHANGE, CENTICENT, CENTICENT),
    "september_2026_cleared": (EXCHANGE, MICRO, CENT),
    "september_2026_direct": (EXCHANGE, MICRO, CENTICENT),
}


def assert_no_difference(rule: str, count: int) -> None:
    # Centicents gather to a whole cent, the step of rebates in May 2026, in long orders only.
    length = 500 if rule == "may_2026" else 3
    first, trades = drawn(count, length, key=sorted(RULES).index(rule))
    fees = np.empty(count, np.int64)
    charges(*RULES[rule], first, trades, fees)
    expected = exactly(*RULES[rule], first, trades)
    assert fees.tolist() == expected
    alone = exactly(*RULES[rule], np.ones_like(first), trades)
    # What earlier fills left behind matters, or the order would not have been tested.
    assert sum(a != b for a, b in zip(alone, expected, strict=True)) > count // 1_000


@pytest.mark.parametrize("rule", RULES)
def test_random_orders_equal_fractions(rule: str) -> None:
    assert_no_difference(rule, 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_hundred_thousand_random_fills_equal_fractions(rule: str) -> None:
    assert_no_difference(rule, 100_000)
