"""A random exchange: its draws, and what they do to orders."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_market import START, at, bars, ends, fills, intent, minutes, run

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import FILLS, FillModel, RandomExchange, Rules
from kalshi_bt.simulator.draws import Draws, draws

DEFAULT, HASHED = RandomExchange(), RandomExchange.hashed()
MANY = np.zeros(40_000, np.int64)
SEEDS = st.integers(0, 2**63 - 1)


def columns(drawn: Draws) -> tuple[np.ndarray[Any, Any], ...]:
    return drawn.delay, drawn.slip_in, drawn.slip_out, drawn.ratio


def same(a: Draws, b: Draws, *rows: int) -> bool:
    return all((x[list(rows)] == y).all() for x, y in zip(columns(a), columns(b), strict=True))


# --- draws --------------------------------------------------------------------------------------


def test_draws_are_the_words_of_a_block_for_each_intent_of_a_ticker() -> None:
    """The third intent of B reads the third block keyed by (seed, first 8 bytes of the hash)."""
    drawn = draws(7, ["A", "B"], np.array([1, 0, 1, 1]), DEFAULT)
    key = [7, int.from_bytes(sha256(b"B").digest()[:8], "big")]
    words = np.random.Philox(key=np.array(key, np.uint64)).random_raw(12).tolist()
    delay, slip_in, slip_out, ratio = words[8:]

    def slip(word: int) -> int:
        low, span = (5, 6) if word >> 32 < 0.15 * 2**32 else (1, 3)
        return 100 * (low + ((word % 2**32) * span >> 32))

    assert drawn.delay[3] == 1_000 * (100 + ((delay % 2**32) * 401 >> 32))
    assert drawn.slip_in[3] == slip(slip_in)
    assert drawn.slip_out[3] == slip(slip_out)
    part = 3_000 + ((ratio % 2**32) * 7_001 >> 32)
    assert drawn.ratio[3] == (part if ratio >> 32 < 0.05 * 2**32 else 10_000)


@settings(deadline=None)
@given(SEEDS, st.lists(st.integers(0, 4), max_size=20), st.sampled_from([DEFAULT, HASHED]))
def test_other_tickers_change_nothing(seed: int, who: list[int], exchange: RandomExchange) -> None:
    names = [f"T{k}" for k in range(5)]
    together = draws(seed, names, np.array(who, np.int64), exchange)
    for market, name in enumerate(names):
        rows = [i for i, m in enumerate(who) if m == market]
        alone = draws(seed, [name], np.zeros(len(rows), np.int64), exchange)
        assert same(together, alone, *rows)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 30), st.integers(0, 30))
def test_later_intents_change_nothing(seed: int, first: int, more: int) -> None:
    whole = draws(seed, ["A"], np.zeros(first + more, np.int64), DEFAULT)
    assert same(whole, draws(seed, ["A"], np.zeros(first, np.int64), DEFAULT), *range(first))


def test_another_seed_draws_otherwise() -> None:
    a, b = (draws(seed, ["A"], MANY[:100], DEFAULT) for seed in (0, 1))
    assert (a.delay != b.delay).any()


def test_purposes_are_independent() -> None:
    drawn = draws(3, ["A"], MANY, DEFAULT)
    parts = np.corrcoef(np.stack([drawn.delay, drawn.slip_in, drawn.slip_out, drawn.ratio]))
    # Four deviations of a correlation of 40,000 independent pairs.
    assert np.abs(parts - np.eye(4)).max() < 4 / 200


def test_the_default_exchange_draws_what_it_says() -> None:
    drawn = draws(11, ["A"], MANY, DEFAULT)
    assert (drawn.delay.min(), drawn.delay.max()) == (100_000, 500_000)
    assert set(drawn.slip_in.tolist()) == {100, 200, 300, 500, 600, 700, 800, 900, 1_000}
    # 40,000 tries of 0.15: deviation 71; of 0.05: 44.
    assert abs((drawn.slip_in >= 500).sum() - 6_000) < 4 * 72
    cut = drawn.ratio[drawn.ratio < 10_000]
    assert abs(len(cut) - 2_000) < 4 * 44
    assert cut.min() >= 3_000
    # Uniform from 0.3 to 1: mean 0.65, deviation 0.202 / sqrt(2000).
    assert abs(cut.mean() - 6_500) < 4 * 2_021 / len(cut) ** 0.5


def test_the_hashed_exchange_draws_what_it_says() -> None:
    drawn = draws(11, ["A"], MANY, HASHED)
    assert (drawn.delay.min(), drawn.delay.max()) == (40_000, 219_000)
    assert (drawn.slip_in.min(), drawn.slip_in.max()) == (-35, 35)
    values, counts = np.unique(drawn.ratio, return_counts=True)
    assert values.tolist() == [0, 3_500, 6_500, 10_000]
    # 40,000 tries of 1/4: deviation 87.
    assert np.abs(counts - 10_000).max() < 4 * 87


@pytest.mark.parametrize(
    "values",
    [
        {"latency_ms": (5, 1)},
        {"stress": 1.1},
        {"ratio": (0.5, 1.5)},
        {"ratios": (0.5, 2.0)},
        {"slip_bps": -1},
    ],
)
def test_an_exchange_without_sense_is_an_error(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        RandomExchange(**values)


# --- what they do -------------------------------------------------------------------------------


def certain(**values: Any) -> RandomExchange:
    """An exchange that always takes three ticks, after two minutes, and fills whole."""
    steady = {"latency_ms": (120_000, 120_000), "stress": 0.0, "slip_ticks": (3, 3), "partial": 0.0}
    return RandomExchange(**steady | values)


def rules(exchange: RandomExchange, **values: Any) -> Rules:
    return Rules(fill=FillModel(exchange=exchange, participation=1.0), pauses=False, **values)


STEADY = rules(certain())
SHARED = rules(certain(partial=1.0, ratio=(0.35, 0.35)))


def test_the_preset_is_the_cross_model_with_that_exchange() -> None:
    assert FILLS["random"] == FillModel(exchange=RandomExchange(), participation=0.10)


def test_an_order_arrives_when_drawn_and_pays_the_slip() -> None:
    result = run(bars({}, {}, {}, {}), [intent()], STEADY)
    # Arrives at minute two: the next bar is the third; 0.51 and three ticks.
    assert fills(result) == [("entry", "taker", 1_000, 5_400)]
    assert minutes(result) == [3]


def test_a_limit_is_asked_of_the_quote_and_bounds_the_slip() -> None:
    rows = bars({}, {}, {}, {})
    assert fills(run(rows, [intent(limit=5_200)], STEADY), "price") == [(5_200,)]
    assert fills(run(rows, [intent(limit=5_100)], STEADY), "price") == [(5_100,)]
    assert ends(run(rows, [intent(limit=5_099)], STEADY)) == [("canceled", "beyond_limit", 0)]


def test_the_slip_ends_at_a_dollar() -> None:
    dear = {"ask": 9_800, "bid": 9_700}
    assert fills(run(bars(dear, *[dear] * 3), [intent()], STEADY), "price") == [(9_999,)]
    # NO at 1 - 0.49 = 0.51 and three ticks is 0.54: YES sold at 0.46.
    assert fills(run(bars({}, {}, {}, {}), [intent(side=-1)], STEADY), "price") == [(4_600,)]


def test_a_marketable_limit_slips_to_its_limit_and_a_maker_not_at_all() -> None:
    order = intent(kind="limit", limit=5_250, valid_bars=3)
    assert fills(run(bars({}, {}, {}, {}), [order], STEADY))[0][1:] == ("taker", 1_000, 5_250)
    low = {"ask": (5_100, 5_100, 4_400, 4_600), "bid": 4_300}
    order = intent(kind="limit", limit=4_500, valid_bars=3)
    result = run(bars({}, {}, {}, {}, low), [order], STEADY)
    assert fills(result) == [("entry", "maker", 1_000, 4_500)]


def test_exits_by_stop_time_and_signal_slip_and_a_target_does_not() -> None:
    rows = [{}, {}, {}, {}]
    stop = run(bars(*rows, {"bid": 4_000}), [intent(stop=4_200)], STEADY)
    assert fills(stop)[1] == ("stop", "taker", -1_000, 3_700)
    target = run(bars(*rows, {"bid": 6_001, "ask": 6_100}), [intent(target=6_000)], STEADY)
    assert fills(target)[1] == ("target", "maker", -1_000, 6_000)
    # In at minute 3, due then, sold after two more minutes: at 0.49 less three ticks.
    timed = run(bars(*[{}] * 8), [intent(exit_time=at(3))], STEADY)
    assert fills(timed)[1] == ("time", "taker", -1_000, 4_600)
    assert minutes(timed) == [3, 6]
    close = intent(time=at(4), side=0, quantity=None)
    signal = run(bars(*[{}] * 9), [intent(), close], STEADY)
    assert fills(signal)[1] == ("signal", "taker", -1_000, 4_600)
    assert minutes(signal) == [3, 7]


def test_an_exit_never_falls_below_the_least_price() -> None:
    cheap = {"bid": 200, "ask": 400}
    fine = replace(STEADY, balance_precision=100)  # ten at 0.0001 would not bring a whole cent
    result = run(bars(*[{}] * 4, cheap), [intent(stop=4_200)], fine)
    assert fills(result)[1][3] == 1


@pytest.mark.slow
def test_basis_points_take_a_part_of_the_price_and_give_nothing() -> None:
    """Whatever was drawn from -35 to 35: at 0.51 a loss of x bps is 0.51 x, rounded up."""
    exchange = certain(slip_bps=35, latency_ms=(0, 0))
    seen = set()
    for seed in range(60):
        result = run(bars({}, {}, {"bid": 4_000}), [intent(stop=4_200)], rules(exchange, seed=seed))
        drawn = draws(seed, ["M0"], np.zeros(1, np.int64), exchange)
        lost = [
            max(0, -(-price * int(bps[0]) // 10_000))
            for price, bps in ((5_100, drawn.slip_in), (4_000, drawn.slip_out))
        ]
        assert fills(result, "price") == [(5_100 + lost[0],), (4_000 - lost[1],)]
        seen.add(lost[0])
    assert {0, 18} <= seen  # 0.51 x 35 bps = 17.85, a hundredth of a cent being one


def test_a_share_bounds_the_first_bar_only() -> None:
    # 35 % of ten contracts is 3.5: three. An order for at once loses the rest, a resting one waits.
    rows = bars(*[{}] * 6)
    result = run(rows, [intent()], SHARED)
    assert ends(result) == [("partial", "no_volume", 300)]
    low = {"ask": (5_100, 5_100, 4_400, 4_600), "bid": 4_300}
    order = intent(kind="limit", limit=4_500, valid_bars=9)
    result = run(bars({}, {}, {}, {}, low, low), [order], SHARED)
    assert fills(result, "quantity") == [(300,), (700,)]
    assert minutes(result) == [4, 5]


def test_a_share_of_nothing_cancels_at_once_and_lets_a_resting_order_wait() -> None:
    none = rules(certain(ratios=(0.0,)))
    assert ends(run(bars(*[{}] * 4), [intent()], none)) == [("canceled", "no_volume", 0)]
    low = {"ask": (5_100, 5_100, 4_400, 4_600), "bid": 4_300}
    order = intent(kind="limit", limit=4_500, valid_bars=9)
    assert minutes(run(bars({}, {}, {}, {}, low, low), [order], none)) == [5]
    once = run(bars({}, {}, {}, {}, low), [order], none)
    assert ends(once) == [("expired", "no_volume", 0)]


def test_a_bar_without_volume_is_not_the_first_try() -> None:
    low = {"ask": (5_100, 5_100, 4_400, 4_600), "bid": 4_300}
    order = intent(kind="limit", limit=4_500, valid_bars=9)
    result = run(bars({}, {}, {}, {}, low | {"volume": 0}, low, low), [order], SHARED)
    assert fills(result, "quantity") == [(300,), (700,)]
    assert minutes(result) == [5, 6]


def test_the_same_seed_repeats_a_run_and_another_does_not() -> None:
    rows = bars(*[{}] * 30)
    orders = [intent(time=at(k), exit_time=at(k + 1)) for k in range(0, 25, 5)]
    once, again, other = (
        run(rows, orders, Rules(fill=FILLS["random"], seed=seed)).fills for seed in (0, 0, 1)
    )
    assert once.equals(again)
    assert not once.equals(other)
    assert once["time"].min() > START


def test_naive_fills_know_no_chance() -> None:
    naive = FillModel(naive=True, participation=None, exchange=certain())
    result = run(bars({"price": 5_000}, {}), [intent()], Rules(fill=naive))
    assert fills(result) == [("entry", "taker", 1_000, 5_000)]


def test_a_queue_and_chance_go_together() -> None:
    both = replace(SHARED, fill=replace(SHARED.fill, queue=True))
    first = {"bid": 4_400, "ask": 4_700}  # better than the best bid: nobody ahead
    touch = {"price": (4_700, 4_700, 4_500, 4_600), "bid": 4_400, "ask": 4_700, "volume": 8_000}
    order = intent(kind="limit", limit=4_500, valid_bars=9)
    result = run(bars(first, {}, {}, {}, touch, touch), [order], both)
    assert fills(result, "role", "quantity") == [("maker", 300), ("maker", 700)]
