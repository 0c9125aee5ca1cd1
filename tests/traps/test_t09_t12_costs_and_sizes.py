"""T9 fees, T10 Kelly, T11 thresholds, T12 caps."""

from math import ceil, floor
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.allocation import Allocation, JointKelly, allocate
from kalshi_bt.fees import taker_fee
from kalshi_bt.kelly import kelly, kelly_exclusive
from kalshi_bt.signals.event_threshold import candidates
from kalshi_bt.signals.event_value import EventValue
from kalshi_bt.simulator.assumptions import Limit, Risk, Rules
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.sizing import Kelly
from kalshi_bt.strategies import STRATEGIES
from tests.one_market import START, at, bars, ends, intent, run
from tests.quotes_random import flat

RULES = Rules(fee_rounding="order_cent")
TAKER = 70_000
DOLLAR = 1_000_000

# --- T9 -------------------------------------------------------------------------------------------

# (contracts, cents, parts per million) -> dollars, by hand: rounded up to the cent once an order.
FEES = {
    (10, 50, TAKER): 0.18,
    (1, 50, TAKER): 0.02,
    (1, 10, TAKER): 0.01,
    (100, 10, TAKER): 0.63,
    (11, 90, TAKER): 0.07,
    (20, 85, TAKER): 0.18,
    (100, 99, TAKER): 0.07,
    (10, 50, 17_500): 0.05,
    (100, 10, 17_500): 0.16,
}


def ours(count: int, cents: int, rate: int) -> float:
    return int(taker_fee(np.array([100 * cents]), np.array([100 * count]), rate)[0]) / DOLLAR


def naive_bps(count: int, cents: int, rate: int) -> float:
    """Fifteen basis points of notional, at whatever price and rate."""
    return 0.0015 * count * cents / 100 if rate else 0.0


def naive_per_contract(count: int, cents: int, rate: int) -> float:
    return count * ceil(rate / 1e6 * cents / 100 * (100 - cents)) / 100


def naive_floats(count: int, cents: int, rate: int) -> float:
    return ceil(rate / 1e6 * count * (cents / 100) * (1 - cents / 100) * 100) / 100


def test_t09_a_fee_is_rounded_up_once_an_order() -> None:
    for case, dollars in FEES.items():
        assert ours(*case) == dollars, case
    wrong = {
        naive.__name__: [case for case, dollars in FEES.items() if naive(*case) != dollars]
        for naive in (naive_bps, naive_per_contract)
    }
    assert len(wrong["naive_bps"]) == len(FEES)
    assert len(wrong["naive_per_contract"]) >= len(FEES) - 3  # right for orders of one
    assert naive_per_contract(1, 50, TAKER) == FEES[1, 50, TAKER]


def test_t09_a_fee_in_binary_fractions_is_a_cent_too_high() -> None:
    """Four contracts at 50 cents cost seven cents exactly."""
    assert ours(4, 50, TAKER) == 0.07
    assert naive_floats(4, 50, TAKER) == 0.08


def test_t09_leaving_costs_a_fee_as_entering_does() -> None:
    quotes = {"bid": 5_000, "ask": 5_000}
    result = run(bars({}, quotes, quotes, quotes), [intent(exit_time=at(2))], RULES)
    [trip] = closed_trades(result.tape, result).to_dicts()
    assert trip["gross_pnl"] == 0
    entry_only = int(FEES[10, 50, TAKER] * DOLLAR)
    assert trip["fees"] == 2 * entry_only
    assert trip["pnl"] == -2 * entry_only


# --- T10 ------------------------------------------------------------------------------------------

KELLY = {
    (0.93, 0.90): 0.3000,
    (0.93, 0.9063): 0.2529,
    (0.70, 0.50): 0.40,
    (0.62, 0.53): 0.19149,
    (0.20, 0.10): 0.11111,
}


def naive_capped_edge(p: float, k: float) -> float:
    return min(p - k, 0.15)


def naive_edge_over_price(p: float, k: float) -> float:
    return (p - k) / k


def naive_even_money(p: float, k: float) -> float:
    return max(2 * p - 1, 0.0) if k else 0.0


def naive_contracts(bankroll: float, p: float, k: float) -> int:
    """A contract at least, whatever the stake says."""
    return max(1, floor(bankroll * max(naive_edge_over_price(p, k), 0.0) / k))


def setup(**values: Any) -> pl.LazyFrame:
    row = {"market": 0, "time": START, "event": "E", "confidence": None, "taker": TAKER} | values
    row |= {"close_time": START, "strike_type": "greater_or_equal"}
    types: Any = {"market": pl.UInt32, "time": pl.Datetime("us", "UTC"), "confidence": pl.Float64}
    return pl.LazyFrame([row], schema_overrides=types)


def test_t10_the_kelly_stake() -> None:
    for (p, k), stake in KELLY.items():
        assert float(kelly(p, k)) == pytest.approx(stake, abs=5e-5)
        for naive in (naive_capped_edge, naive_edge_over_price, naive_even_money):
            # Two of them are right where the price is even.
            right = naive is not naive_capped_edge and k == 0.5
            assert (abs(naive(p, k) - stake) < 5e-5) == right, (naive.__name__, p, k)


def test_t10_the_wrong_stake_is_nine_times_off_at_either_end() -> None:
    extremes = ((0.2, 0.1), (0.95, 0.9))
    cheap, dear = (naive_edge_over_price(p, k) / float(kelly(p, k)) for p, k in extremes)
    assert cheap == pytest.approx(9)
    assert dear == pytest.approx(1 / 9)


def test_t10_kelly_is_applied_once() -> None:
    """A bankroll of 10 000, p 0.62 at 53 cents, confidence 0.62: 372.00 dollars."""
    p, cost, sure = 0.62, 0.53, 0.62
    share = allocate([0], [0], [p], [cost], [p - cost], [sure], Allocation())
    notional = 10_000 * float(share[0])
    assert notional == pytest.approx(372.00)
    naive_second_pass = notional * min(float(kelly(p, cost)), 0.06)
    assert naive_second_pass == pytest.approx(22.32)
    made = Allocation()(setup(fair=p, bid=0.51, ask=0.53, confidence=sure)).collect()
    # With the taker's fee in the cost, still the largest fraction times the confidence.
    assert 10_000 * made["stake"].item() == pytest.approx(372.00)


def test_t10_no_edge_is_no_order() -> None:
    fee = 0.07 * 0.5 * 0.5
    for fair in (0.5, 0.5 + fee, 0.5 - fee):
        for sizing in (Kelly(), Allocation(), JointKelly(min_edge=0.0)):
            made = sizing(setup(fair=fair, bid=0.5, ask=0.5)).collect()
            assert made["stake"].fill_null(0.0).sum() == pytest.approx(0, abs=1e-12)
    assert kelly_exclusive([0.3, 0.3], [0.3, 0.3]).tolist() == [0, 0]
    assert naive_contracts(10_000, 0.5, 0.5) == 1


def test_t10_a_stake_below_a_contract_is_no_contract() -> None:
    """Two tenths of a percent of ten dollars buy no contract at 51 cents."""
    poor = Rules(fee_rounding="order_cent", cash=10 * DOLLAR)
    result = run(bars({}, {}, {}), [intent(quantity=None, stake=0.002)], poor)
    [(status, _, filled)] = ends(result)
    assert (status, filled) == ("rejected", 0)
    assert naive_contracts(10, 0.511, 0.51) == 1


# --- T11 ------------------------------------------------------------------------------------------


def valuation(fair: float, bid: float, ask: float, **fields: Any) -> pl.LazyFrame:
    """A market valued by a model, at these quotes."""
    frame = flat(
        [(bid, ask, bid, ask)], bid=bid, ask=ask, mid=(bid + ask) / 2, volume=60_000.0, **fields
    )
    said = dict.fromkeys(need.column for need in EventValue().references)
    said |= {"model_fair": fair, "model_confidence": 0.9, "model_cutoff": 0.0}
    return frame.with_columns(pl.lit(v, dtype=pl.Float64).alias(n) for n, v in said.items()).lazy()


def naive_gross(fair: float, bid: float, ask: float, threshold: float = 0.08) -> bool:
    return abs(fair - (bid + ask) / 2) - 0.0035 >= threshold


def orders_of(signal: EventValue, quotes: pl.LazyFrame) -> int:
    """How many orders the signal and its sizing make of a market."""
    said = signal(quotes).with_columns(
        market=pl.lit(0, dtype=pl.UInt32), taker=pl.lit(TAKER, dtype=pl.Int64)
    )
    return STRATEGIES["event_value"].sizing(said).collect().height


def test_t11_the_threshold_is_on_the_edge_after_the_fee() -> None:
    """Worth 59 at 49 to 51 cents: nine from the mid, little over six after spread and fee."""
    book = {"bid": 0.49, "ask": 0.51}
    assert orders_of(EventValue(), valuation(0.59, **book)) == 0
    assert naive_gross(0.59, **book)
    assert orders_of(EventValue(), valuation(0.615, **book)) == 1


def test_t11_what_passes_the_threshold_meets_no_second_one() -> None:
    """Five cents net pass a threshold of four; the naive engine asks for eight again."""
    signal = EventValue(min_edge=0.04)
    assert orders_of(signal, valuation(0.575, bid=0.49, ask=0.51)) == 1
    seen = pl.LazyFrame({
        "time": [START], "ticker": ["A"], "fair": [0.575], "confidence": [0.9], "mid": [0.50],
        "volume": [60_000.0], "spread": [0.02],
    })  # fmt: skip
    found = candidates(seen, signal.threshold).collect()
    naive_sent = found.filter(pl.col("edge") >= 0.08)
    assert (found.height, naive_sent.height) == (1, 0)


def test_t11_every_strategy_has_one_threshold() -> None:
    """What judges the edge is the signal or the sizing; the limits do not judge it again."""
    for name, entry in STRATEGIES.items():
        assert entry.risk.min_edge is None, name
        gates = [getattr(part, "min_edge", 0.0) > 0 for part in (entry.signal, entry.sizing)]
        assert sum(gates) <= 1, name


@pytest.mark.parametrize("name", ["kelly_volatility", "mean_reversion", "leaderboard"])
def test_t11_sizings_ask_for_the_edge_after_the_fee(name: str) -> None:
    sizing = STRATEGIES[name].sizing
    least = sizing.min_edge  # type: ignore[attr-defined]
    fee = 0.07 * 0.5 * 0.5
    gross, net = least + fee / 2, least + 1.5 * fee
    for edge, height in ((gross, 0), (net, 1)):
        assert sizing(setup(fair=0.5 + edge, bid=0.48, ask=0.50)).collect().height == height
    assert gross >= least  # the naive gate lets the first one through


# --- T12 ------------------------------------------------------------------------------------------

CAP = 1_000


def naive_engine(price: int, notional: float) -> float:
    """Trims to the cap at the price, then holds the limit, a cent above, against it."""
    count = min(notional, CAP) / (price / 100)
    return 0.0 if count * (price + 1) / 100 > CAP + 1e-9 else count


@pytest.mark.parametrize("price", [10, 51, 90])
def test_t12_an_order_beyond_a_cap_is_placed_at_the_cap(price: int) -> None:
    rules = Rules(
        fee_rounding="order_cent",
        cash=10**12,
        risk=Risk(max_market=Limit(dollars=CAP * DOLLAR)),
    )
    quotes = {"bid": 100 * price - 100, "ask": 100 * price, "volume": 10**8}
    order = intent(limit=100 * price, quantity=100 * 20_000)
    result = run(bars(quotes, quotes, quotes), [order], rules)
    [(status, reason, filled)] = ends(result)
    assert status in {"filled", "partial"}
    assert reason == "market_cap"
    spent = filled * price * 100 / DOLLAR
    assert CAP - price / 100 < spent <= CAP
    assert naive_engine(price, 5_000.0) == 0.0
