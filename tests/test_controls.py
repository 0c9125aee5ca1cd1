"""Who knows nothing loses what trading costs; who knows the truth earns what was planted.

Every sample has a fixed seed, so nothing here passes or fails by luck of the day. `bound` says how
unlikely a right simulator was to fail when the seeds were chosen: at most 1 % a test, over all of
its comparisons. Per seed only gains are judged: held to the settlement, a cheap contract mostly
loses, and in few trades the error of a mean is then too small for a loss and too large for a gain.
"""

from functools import cache

import polars as pl
import pytest
from control_strategies import (
    BEFORE_COSTS,
    CONTROLS,
    COSTS,
    NET,
    Mean,
    World,
    asked,
    bound,
    informed,
    mean,
    once,
)

from kalshi_bt.data.synthetic import FAIR, Planted, sample, truth

SEEDS = range(20)
PLANTS = {
    "longshot_bias": Planted(longshot_bias=0.5),
    "mean_reversion": Planted(mean_reversion=0.1),
    "stale_lag": Planted(stale_lag=5),
}


@cache
def world(seed: int, days: int, planted: Planted = FAIR) -> World:
    return World.stored(sample(seed, planted=planted, days=days))


@cache
def known(seed: int, days: int) -> pl.DataFrame:
    """What is planted does not move the truth."""
    return truth(seed, days=days)


@cache
def earned(control: str, seed: int, days: int) -> pl.DataFrame:
    made = world(seed, days)
    trades = made.trades(CONTROLS[control](made, seed))
    return trades.with_columns(event=pl.format("{} {}", pl.lit(seed), "event"))


def judge_seed_by_seed(days: int) -> None:
    comparisons = len(CONTROLS) * len(SEEDS)
    for control in CONTROLS:
        for seed in SEEDS:
            trades = earned(control, seed, days)
            assert mean(trades, NET).z < bound(comparisons, sides=1), (control, seed)


def judge_all_together(days: int) -> None:
    for control in CONTROLS:
        trades = pl.concat([earned(control, seed, days) for seed in SEEDS])
        before = mean(trades, BEFORE_COSTS)
        assert abs(before.z) < bound(len(CONTROLS), sides=2), control
        assert mean(trades, NET).value < 0, control
        assert mean(trades, COSTS).value > 0.1, control  # dollars, of ten contracts


@pytest.mark.slow
def test_no_control_earns_anything_in_any_of_twenty_fair_samples() -> None:
    judge_seed_by_seed(days=2)


@pytest.mark.slow
def test_controls_lose_their_costs_over_twenty_fair_samples() -> None:
    judge_all_together(days=2)


@pytest.mark.slow
def test_no_control_earns_anything_in_any_of_twenty_long_fair_samples() -> None:
    judge_seed_by_seed(days=10)


@pytest.mark.slow
def test_controls_lose_their_costs_over_twenty_long_fair_samples() -> None:
    judge_all_together(days=10)


def test_short_holdings_lose_their_costs_to_within_a_few_cents() -> None:
    """Where noise is small the costs are visible: the loss is clear, and so is its size."""
    for control in ("random_entry", "shuffled_signal"):
        trades = pl.concat([earned(control, seed, 2) for seed in SEEDS])
        net, costs = mean(trades, NET), mean(trades, COSTS)
        assert net.z < -5
        assert net.value == pytest.approx(-costs.value, rel=0.25)


# --- the same judgement finds what is there -------------------------------------------------------


def test_in_a_fair_sample_even_the_truth_beats_no_quote() -> None:
    for seed in SEEDS:
        assert informed(world(seed, 2), known(seed, 2), 1e-9).is_empty()


def planted_trades(plant: str, seed: int, days: int) -> pl.DataFrame:
    """What knowing the truth earns, once a market, to the settlement, and what it should earn."""
    made = world(seed, days, PLANTS[plant])
    chosen = once(informed(made, known(seed, days), 0.04), seed)
    trades = made.trades(asked(chosen))
    number = {t: m for m, t in enumerate(made.panel.markets["ticker"])}
    market = pl.col("ticker").replace_strict(number, return_dtype=pl.UInt32)
    trades = trades.with_columns(market=market, event=pl.format("{} {}", pl.lit(seed), "event"))
    trades = trades.join(chosen.select("market", "p"), on="market")
    own = pl.when(pl.col("side") > 0).then("p").otherwise(1 - pl.col("p"))
    worth = own * pl.col("quantity") * 10_000  # micro-dollars of so many centi-contracts
    return trades.with_columns(edge=worth - pl.col("stake"))


def recovered(plant: str, seeds: range, days: int) -> Mean:
    """Hold what was earned against what was planted; return what was left after costs."""
    trades = pl.concat([planted_trades(plant, seed, days) for seed in seeds])
    found, planted = mean(trades, pl.col("gross_pnl")), mean(trades, pl.col("edge"))
    left = mean(trades, pl.col("gross_pnl") - pl.col("edge"))
    assert planted.value > 0.2  # dollars, of ten contracts
    assert abs(left.z) < bound(len(PLANTS), sides=2)
    assert abs(found.value - planted.value) < bound(len(PLANTS), sides=2) * found.error
    return mean(trades, NET)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_edge_is_recovered_inside_its_interval(plant: str) -> None:
    assert recovered(plant, range(4), days=5).value > 0


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_edge_is_recovered_inside_its_narrow_interval(plant: str) -> None:
    net = recovered(plant, range(100, 120), days=10)
    # The judgement that no control may pass is passed.
    assert net.z > bound(len(CONTROLS) * len(SEEDS), sides=1)


@pytest.mark.slow
def test_an_edge_as_large_as_the_costs_would_not_pass_for_none() -> None:
    """The comparison with costs has the power to fail: costs that are not paid are noticed."""
    trades = pl.concat([earned("random_entry", seed, 2) for seed in SEEDS])
    free = mean(trades, BEFORE_COSTS + COSTS)
    assert free.z > bound(len(CONTROLS), sides=2)
    unpaid = mean(trades, BEFORE_COSTS + pl.col("spread_paid"))
    assert unpaid.z > bound(len(CONTROLS), sides=2)
