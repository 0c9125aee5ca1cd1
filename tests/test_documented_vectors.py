"""Numbers that were worked out elsewhere, each with its source, where no other test has them.

Those of single subjects stand beside their tests: fees in `test_fees.py` and
`test_fees_vectors.py`, Kelly in `test_kelly.py`, averaged digitals in `test_pricing.py`, variances
in `signals/test_volatility.py`, the leaderboard in `signals/test_leaderboard_rules.py`.
"""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from kalshi_bt.fees import taker_fee
from kalshi_bt.kelly import kelly, kelly_exclusive, kelly_program, kelly_shrunk
from kalshi_bt.signals.underlying import DECIMALS, bounds, places
from kalshi_bt.signals.volatility import ewma_variance
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.units import MONEY_SCALE
from tests.one_market import Row, bars, fills, intent, run

# --- fees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "price", "cent", "centicent"),
    [
        (1, 0.50, 0.02, 0.0175),
        (100, 0.50, 1.75, 1.75),
        (1, 0.05, 0.01, 0.0034),
        (1_000, 0.05, 3.33, 3.325),
        (3, 0.90, 0.02, 0.0189),
    ],
)
def test_quadratic_fee_by_the_cent_and_by_its_hundredth(
    count: int, price: float, cent: float, centicent: float
) -> None:
    """ceil(0.07 C P (1 - P)) to the cent, as until March 2026, or to $0.0001 (Kalshi's schedule).

    By the hundredth of a cent it is what one fill of an order is charged in the simulator.
    """
    at = round(10_000 * price)
    found = taker_fee(np.array([at]), np.array([100 * count]), 70_000)
    assert int(found[0]) == round(cent * MONEY_SCALE)
    quotes = {"ask": at, "bid": at - 100, "volume": 10**9}
    rules = Rules(fee_rounding="exchange", balance_precision=100, cash=10**12)
    bought = run(bars(quotes, quotes), [intent(quantity=100 * count)], rules)
    assert fills(bought, "quantity", "fee") == [(100 * count, round(centicent * MONEY_SCALE))]


# --- queue ----------------------------------------------------------------------------------------


def test_queue_of_a_hundred_and_sellers_of_80_30_and_50() -> None:
    """NautilusTrader's documentation of queue positions: nothing, then 10 of 50, then 40."""
    whole = replace(FILLS["passive"], touch_share=1.0, participation=1.0)
    book = {"bid": 4_500, "ask": 4_700}
    rows: list[Row] = [book | {"bid_size": 10_000, "price": None, "volume": 0}] * 2
    rows += [book | {"price": 4_500, "volume": 100 * sold} for sold in (80, 30, 50)]
    order = intent(kind="limit", limit=4_500, valid_bars=9, quantity=5_000)
    result = run(bars(*rows), [order], Rules(latency=0, fill=whole))
    assert fills(result, "quantity") == [(1_000,), (4_000,)]


# --- Kelly ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "cost", "stakes"),
    [  # checked against a numerical maximum of the expected logarithm
        ([0.5, 0.2, 0.1], [0.40, 0.18, 0.20], [0.2143, 0.0714, 0.0]),
        ([0.3, 0.3, 0.2], [0.25, 0.35, 0.10], [0.1333, 0.0667, 0.1333]),
        ([0.65], [0.55], [0.2222]),
        ([0.3, 0.2, 0.5], [0.3, 0.3, 0.6], [0.0, 0.0, 0.0]),
    ],
)
def test_stakes_on_outcomes_that_exclude_each_other(
    p: list[float], cost: list[float], stakes: list[float]
) -> None:
    found = kelly_exclusive(p, cost)
    assert found.tolist() == pytest.approx(stakes, abs=5e-5)
    assert found.sum() <= 1


@pytest.mark.parametrize(
    ("rho", "each"),
    [(0.0, 0.192307692308), (0.25, 0.15625), (0.5455, 0.127903407347), (1.0, 0.1)],
)
def test_stakes_on_two_bets_that_tend_to_win_together(rho: float, each: float) -> None:
    """Even money at 0.6, the outcomes correlated by rho; sized one by one each would get 0.2."""
    both, neither, one = 0.36 + rho * 0.24, 0.16 + rho * 0.24, (1 - rho) * 0.24
    wins = [[1, 1, 0, 0], [1, 0, 1, 0]]
    found = kelly_program([both, one, one, neither], wins, [0.5, 0.5])
    assert found.tolist() == pytest.approx([each, each], abs=1e-9)


def test_the_shrunk_stake_is_near_the_exact_optimum() -> None:
    """Baker and McHale (2013) approximate; integrated over a beta estimate it is 0.796603."""
    factor = float(kelly_shrunk(0.6, 0.5, 0.05)) / float(kelly(0.6, 0.5))
    assert factor == pytest.approx(0.8)
    assert factor == pytest.approx(0.796603, abs=0.005)


# --- variance -------------------------------------------------------------------------------------


def prices(*returns: float) -> list[float]:
    found: list[float] = np.exp(np.cumsum([0.0, *returns])).tolist()
    return found


def test_one_step_of_the_textbook() -> None:
    """0.94 x (1.8 %)^2 + 0.06 x (2.3 %)^2 = 0.0003363."""
    half_life = math.log(0.5) / math.log(0.94)
    at = 1_000_000 * np.arange(3)
    found = ewma_variance(at, prices(0.018, -0.023), half_life, recursion="seeded")[-1]
    assert found == pytest.approx(0.0003363, rel=1e-9)


@pytest.mark.parametrize(
    ("half_life", "seconds", "weight"),
    [
        (300, 1, 0.99769217652702),
        (300, 60, 0.87055056329612),
        (1_800, 1, 0.99961499236749),
        (1_800, 60, 0.97715996843425),
        (7_200, 1, 0.99990373419211),
        (7_200, 60, 0.99424042381755),
    ],
)
def test_a_step_forgets_by_its_seconds(half_life: float, seconds: int, weight: float) -> None:
    """Of a return and a quiet step after it: w r^2 / (dt (1 + w)), w = 2^(-dt/h)."""
    at = seconds * 1_000_000 * np.arange(3)
    path = prices(0.01, 0.0)
    found = ewma_variance(at, path, half_life, max_gap=1e6)[-1]
    assert found == pytest.approx(weight * 1e-4 / (seconds * (1 + weight)), rel=1e-9)


# --- settlement of quarter hours ------------------------------------------------------------------

# Settled markets near their strike: opening mean (the strike), closing mean, result.
NEAR = [
    ("KXBTC15M-26JUN132100-00", 64531.96, 64531.95, "no"),
    ("KXBTC15M-26JUN090530-30", 62809.2, 62809.19, "no"),
    ("KXBTC15M-26JUN150030-30", 65689.03, 65689.05, "yes"),
    ("KXDOGE15M-26MAY311645-45", 0.099552, 0.0995519, "no"),
    ("KXSOL15M-26AUG040715-15", 73.5308, 73.5307, "no"),
    ("KXHYPE15M-26JUL032100-00", 71.1614, 71.1615, "yes"),
    ("KXETH15M-26JUN021400-00", 1920.69, 1920.7, "yes"),
    ("KXETH15M-26AUG020345-45", 1876.06, 1876.05, "no"),
    ("KXXRP15M-26MAY251330-30", 1.3617, 1.3616, "no"),
    ("KXXRP15M-26MAY250645-45", 1.3588, 1.3589, "yes"),
    # Ties pay YES.
    ("KXETH15M-26AUG010215-15", 1865.73, 1865.73, "yes"),
    ("KXSOL15M-26JUL192315-15", 76.9395, 76.9395, "yes"),
    ("KXXRP15M-26AUG051330-30", 1.0669, 1.0669, "yes"),
    ("KXDOGE15M-26JUL141030-30", 0.073872, 0.073872, "yes"),
    ("KXHYPE15M-26AUG010900-00", 52.1288, 52.1288, "yes"),
]


def test_settled_quarter_hours_pay_as_their_bounds_say() -> None:
    asked = pl.DataFrame(
        {
            "series": [ticker.split("-", maxsplit=1)[0] for ticker, *_ in NEAR],
            "strike_type": "greater_or_equal",
            "floor_strike": [strike for _, strike, *_ in NEAR],
            "cap_strike": None,
        },
        schema_overrides={"cap_strike": pl.Float64},
    )
    lower, upper = bounds(asked, places(DECIMALS, "decimals"))
    means = np.array([mean for _, _, mean, _ in NEAR])
    pays = (means >= lower) & (means < upper)
    assert pays.tolist() == [result == "yes" for *_, result in NEAR]
