"""Shares of one decision's capital: against a slow twin, by hand, and the traps."""

import itertools
import math
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.allocation import Allocation, JointKelly, allocate
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.signals.event_value import EventValue
from tests.quotes_random import START
from tests.signals.naive_event_value import allocation
from tests.signals.test_event_value import told

SCHEMA: dict[str, Any] = {
    "market": pl.UInt32,
    "time": schema.Time,
    "event": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "taker": pl.Int64,
    "fair": pl.Float64,
    "confidence": pl.Float64,
}


def setups(*rows: dict[str, Any]) -> pl.LazyFrame:
    usual = {"time": START, "taker": 0, "bid": 0.50, "ask": 0.50, "confidence": 1.0}
    full = [{"market": i, "event": f"E{i}"} | usual | row for i, row in enumerate(rows)]
    return pl.DataFrame(full, schema=SCHEMA).lazy()


def stakes(sizing: Any, *rows: dict[str, Any]) -> dict[int, float]:
    made = schema.INTENTS.check(sizing(setups(*rows)).collect())
    return dict(zip(made["market"], made["stake"], strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_equals_its_twin(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=[seed, 5]))
    n = 120
    rows = [
        (
            int(rng.integers(0, 9)),
            int(rng.integers(0, 6)),
            round(float(rng.uniform(0.02, 0.98)), 2),
            round(float(rng.uniform(0.02, 1.05)), 2),
            round(float(rng.uniform(0, 0.2)), 2),
            round(float(rng.uniform(0, 1.2)), 1),
        )
        for _ in range(n)
    ]
    for cut, mutex, passes in itertools.product(("after", "before"), (True, False), (1, 2)):
        rules = Allocation(
            cut=cut,  # type: ignore[arg-type]
            mutex=mutex,
            passes=passes,
            max_trades=int(rng.integers(1, 7)),
            max_cycle=float(rng.choice([0.05, 0.2, 1.0])),
        )
        found = allocate(*np.array(rows).T, rules)  # type: ignore[call-arg]
        assert found == pytest.approx(allocation(rows, rules), abs=1e-12)
        assert (found > 0).any()


def test_double_kelly_illustration() -> None:
    """Of 10 000, p 0.62 at 0.53, confidence 0.62: 372.00; a second pass leaves 22.32 (T10)."""
    case = ([0], [0], [0.62], [0.53], [0.09], [0.62])
    assert 10_000 * allocate(*case, Allocation())[0] == pytest.approx(372.00, abs=1e-9)
    twice = allocate(*case, Allocation.reference())[0]
    assert 10_000 * twice == pytest.approx(22.32, abs=1e-9)


def test_no_edge_no_stake() -> None:
    assert stakes(Allocation(), {"fair": 0.5}) == {}
    # With the fee of 0.0175 an edge of 0.01 is a loss.
    assert stakes(Allocation(), {"fair": 0.51, "taker": 70_000}) == {}


def test_edge_is_net_of_the_fee_on_either_side() -> None:
    """YES: (0.6 - 0.5175) / 0.4825 = 0.170984, capped at 0.06; NO at 1 - 0.5 is its mirror."""
    rules = Allocation(max_fraction=1.0, max_cycle=1.0)
    for fair, side in ((0.6, 1), (0.4, -1)):
        made = rules(setups({"fair": fair, "taker": 70_000})).collect().row(0, named=True)
        assert made["side"] == side
        assert made["stake"] == pytest.approx(0.170984, abs=1e-6)
        assert (made["limit"], made["kind"]) == (5_000, "ioc")


def test_the_best_of_an_event_is_taken_and_ties_go_to_the_first_market() -> None:
    same = {"event": "E", "fair": 0.6}
    assert list(stakes(Allocation(), same, same | {"fair": 0.7})) == [1]
    assert list(stakes(Allocation(), same, same)) == [0]
    assert list(stakes(Allocation(mutex=False), same, same)) == [0, 1]


@pytest.mark.parametrize("cents", [20, 33, 45, 58, 67, 73])
def test_two_outcomes_that_mirror_each_other_tie(cents: int) -> None:
    """YES of one is NO of the other: the same price, chance, fee; floats differ in the last bit."""
    first = {"event": "E", "fair": (cents + 9) / 100, "bid": 0.01, "ask": cents / 100}
    other = {"event": "E", "fair": (91 - cents) / 100, "bid": (100 - cents) / 100, "ask": 0.99}
    pair = [row | {"taker": 70_000} for row in (first, other)]
    for sizing in (Allocation(), Allocation(preferred_edge=0.5, min_candidates=1)):
        assert list(stakes(sizing, *pair)) == [0]


def test_the_cycle_is_not_exceeded() -> None:
    found = stakes(Allocation(max_trades=9), *({"fair": 0.8} for _ in range(6)))
    assert list(found.values()) == pytest.approx([0.06, 0.06, 0.06, 0.02])


def test_those_passed_over_take_nobodys_place() -> None:
    """Best ranked: five outcomes of one event. As documented they fill all five places."""
    event = [{"event": "E", "fair": 0.7} for _ in range(5)]
    other = {"fair": 0.6}
    assert list(stakes(Allocation(), *event, other)) == [0, 5]
    assert list(stakes(Allocation(cut="before"), *event, other)) == [0]


def test_one_too_small_to_trade_does_not_block_its_event() -> None:
    """First by rank, but Kelly (0.504 - 0.5) / 0.5 = 0.008, times 0.2, is below 0.005."""
    case = ([0, 0], [7, 7], [0.504, 0.6], [0.5, 0.5], [0.9, 0.1], [0.2, 1.0])
    assert allocate(*case, Allocation()).tolist() == [0.0, 0.06]
    assert allocate(*case, Allocation(cut="before")).tolist() == [0.0, 0.0]


def test_preferred_edges_come_first_and_others_fill_up() -> None:
    rows = [{"fair": 0.5 + edge} for edge in (0.03, 0.09, 0.05)]
    rules = Allocation(preferred_edge=0.08)
    assert list(stakes(rules, *rows)) == [1]
    rules = Allocation(preferred_edge=0.08, min_candidates=2)
    assert list(stakes(rules, *rows)) == [1, 2]


def test_one_threshold_governs() -> None:
    """Whatever the signal says gets through the sizing, however low the threshold (T11)."""
    for low in (0.0, 0.02, 0.08):
        signal = EventValue(min_edge=low, min_volume=0.0, adaptive=True, providers="any")
        said = signal(told(2, bars=30).lazy()).filter(pl.col("fair").is_not_null()).collect()
        frame = said.with_columns(
            market=pl.col("ticker").rank("dense").cast(pl.UInt32), taker=pl.lit(70_000)
        ).with_columns(time=pl.col("time") + pl.duration(days=pl.col("market")))  # each for itself
        rules = Allocation(max_cycle=1.0, min_fraction=0.0)
        edged = frame.filter(
            pl.max_horizontal(
                pl.col("fair") - pl.col("ask") - 0.07 * pl.col("ask") * (1 - pl.col("ask")),
                pl.col("bid") - pl.col("fair") - 0.07 * pl.col("bid") * (1 - pl.col("bid")),
            )
            > 1e-9
        )
        assert rules(edged.lazy()).collect().height == edged.height > 0


def test_random_fair_values_lose_the_fees() -> None:
    """A replay that draws outcomes (T20): prices are fair, opinions noise, the fee is what is lost.

    Price 0.5, fee 0.0175 a contract: each trade loses 0.0175 / 0.5175 of its stake on average.
    """
    rng = np.random.Generator(np.random.Philox(key=[20, 20]))
    n = 40_000
    rows = {
        "market": np.arange(n, dtype=np.uint32),
        "time": [START + timedelta(minutes=int(i)) for i in range(n)],
        "event": [f"E{i}" for i in range(n)],
        "fair": rng.uniform(0.3, 0.7, n),
    }
    frame = pl.DataFrame(rows).with_columns(
        pl.col("time").cast(schema.Time),
        bid=pl.lit(0.5),
        ask=pl.lit(0.5),
        taker=pl.lit(70_000),
        confidence=pl.lit(1.0),
    )
    made = Allocation(max_fraction=0.06)(frame.lazy()).collect()
    won = rng.random(made.height) < 0.5
    pnl = np.where(won, 1.0, 0.0) / 0.5175 - 1
    loss = float(np.average(pnl, weights=made["stake"].to_numpy()))
    assert loss == pytest.approx(-0.0175 / 0.5175, abs=4 / np.sqrt(made.height))
    assert loss < 0


def test_a_mirror_image_gets_the_same_stake() -> None:
    rows = [{"fair": 0.62, "bid": 0.49, "ask": 0.52}, {"fair": 0.38, "bid": 0.48, "ask": 0.51}]
    found = stakes(Allocation(), *(row | {"taker": 70_000} for row in rows))
    assert found[0] == pytest.approx(found[1], abs=1e-12)


def test_as_documented_the_mid_is_the_price() -> None:
    row = {"fair": 0.60, "bid": 0.40, "ask": 0.60, "taker": 70_000}
    assert stakes(Allocation(), row) == {}
    made = Allocation.reference()(setups(row)).collect().row(0, named=True)
    # Kelly (0.6 - 0.5) / 0.5 = 0.2, capped at 0.06, and again; a cent above the mid.
    assert (made["limit"], made["stake"]) == (5_100, pytest.approx(0.0036))


@pytest.mark.parametrize("sizing", [Allocation(), Allocation.reference(), JointKelly()])
def test_empty_and_one_sided(sizing: Any) -> None:
    assert sizing(setups()).collect().height == 0
    blind = {"bid": None, "ask": None, "fair": 0.9}
    assert sizing(setups(blind)).collect().height == 0
    assert sizing(setups({"fair": None})).collect().height == 0
    with pytest.raises(DataError, match="setups lacks 'event'"):
        sizing(setups().drop("event"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_cycle": 0}, "max_cycle is 0; expected above 0, at most 1"),
        ({"min_fraction": 0.5}, "min_fraction is 0.5; expected 0 to 0.06"),
        ({"max_trades": 0}, "max_trades is 0"),
        ({"passes": 3}, "passes is 3"),
    ],
)
def test_parameters_out_of_range_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Allocation(**fields)


def test_joint_kelly_of_exclusive_outcomes() -> None:
    """p (.5, .2, .1) at (.4, .18, .2): full Kelly 0.2143, 0.0714, 0; NO is not worth buying."""
    rows = [
        {"event": "E", "fair": p, "ask": k, "bid": 0.01}
        for p, k in ((0.5, 0.4), (0.2, 0.18), (0.1, 0.2))
    ]
    found = stakes(JointKelly(scale=1.0, max_event=1.0, min_edge=0.0), *rows)
    assert found == pytest.approx({0: 0.2142857, 1: 0.0714286}, abs=1e-6)


def test_joint_kelly_sells_what_is_too_dear() -> None:
    """Alone in its event: p 0.2 sold at 0.5 is NO with p 0.8 at 0.5, Kelly 0.6."""
    made = JointKelly(scale=0.5, max_event=1.0)(
        setups({"fair": 0.2, "bid": 0.5, "ask": 0.52})
    ).collect()
    row = made.row(0, named=True)
    assert (row["side"], row["limit"]) == (-1, 5_000)
    assert row["stake"] == pytest.approx(0.3, abs=1e-8)


def test_joint_kelly_needs_the_least_edge_after_the_fee() -> None:
    """Ask 0.50 with a fee of 0.0175: 0.5475 is worth 0.03, 0.5474 less."""
    rows = {"taker": 70_000}
    assert list(stakes(JointKelly(), rows | {"fair": 0.5475})) == [0]
    assert stakes(JointKelly(), rows | {"fair": 0.5474}) == {}


def test_joint_kelly_keeps_to_the_most_of_an_event() -> None:
    rows = [{"event": "E", "fair": p, "bid": 0.3, "ask": 0.32} for p in (0.6, 0.05, 0.35)]
    found = stakes(JointKelly(scale=1.0, max_event=0.1), *rows)
    assert sum(found.values()) == pytest.approx(0.1)
    assert len(found) >= 2


def test_joint_kelly_of_both_sides_is_the_best_of_all_stakes() -> None:
    """YES of one outcome and NO of another: no stakes nearby make capital grow more."""
    rows = [
        {"event": "E", "fair": 0.55, "ask": 0.45, "bid": 0.43},
        {"event": "E", "fair": 0.15, "ask": 0.32, "bid": 0.30},
    ]
    found = stakes(JointKelly(scale=1.0, max_event=1.0, min_edge=0.0), *rows)

    def growth(yes: float, no: float) -> float:
        held = 1 - yes - no
        wealth = (held + yes / 0.45 + no / 0.70, held, held + no / 0.70)
        return sum(p * math.log(w) for p, w in zip((0.55, 0.15, 0.30), wealth, strict=True))

    best = growth(found[0], found[1])
    steps = (-0.01, 0.0, 0.01)
    near = [growth(found[0] + a, found[1] + b) for a in steps for b in steps if a or b]
    assert found[0] > 0 < found[1]
    assert max(near) < best


def test_joint_kelly_scales_probabilities_of_more_than_one_down() -> None:
    """0.7 twice is 0.5 each: at 0.45, R = 0 of all outcomes bought, hence 0.5 each; capped."""
    row = {"event": "E", "fair": 0.7, "bid": 0.40, "ask": 0.45}
    found = stakes(JointKelly(scale=1.0, max_event=1.0), row, row)
    assert found == pytest.approx({0: 0.5, 1: 0.5})
