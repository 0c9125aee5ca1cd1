"""Bets that settle together: stakes by hand, states that add up, and a cap for each instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.kelly import kelly_program
from kalshi_bt.settling import GroupKelly, common_states
from kalshi_bt.sizing import Kelly
from kalshi_bt.strategies import STRATEGIES

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
END = NOON + timedelta(minutes=15)
WHOLE: dict[str, Any] = {"scale": 1.0, "max_fraction": 1.0, "max_group": 1.0}
EVEN = {"fair": 0.60, "bid": 0.49, "ask": 0.50}


def offers(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of markets, each an event of its own at 0.49/0.50, worth 0.60, closing at END."""
    usual = {"time": NOON, "close_time": END, "taker": 0, "strike_type": "greater_or_equal", **EVEN}
    return pl.DataFrame(
        [{"market": i, "event": f"E{i}", **usual, **row} for i, row in enumerate(rows)],
        schema={
            "market": pl.UInt32, "event": pl.String, "time": schema.Time, "close_time": schema.Time,
            "taker": pl.Int64, "strike_type": pl.String,
            **dict.fromkeys(("fair", "bid", "ask"), pl.Float64),
        },
    )  # fmt: skip


def stakes(sizing: GroupKelly, *rows: dict[str, Any]) -> list[tuple[int, int, float]]:
    made = schema.INTENTS.check(sizing(offers(*rows).lazy()).collect())
    assert set(made["kind"]) <= {"ioc"}
    return made.select("market", "side", pl.col("stake").round(9)).rows()


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5455, 1.0])
def test_two_equal_bets_of_one_instant_by_hand(rho: float) -> None:
    # f = (a - d) / (2 (a + d)), a = p² + rho·pq, d = q² + rho·pq.
    a, d = 0.36 + rho * 0.24, 0.16 + rho * 0.24
    each = round((a - d) / (2 * (a + d)), 9)
    assert stakes(GroupKelly(**WHOLE, rho=rho), {}, {}) == [(0, 1, each), (1, 1, each)]


def test_bets_on_opposite_sides_insure_each_other() -> None:
    # At rho 1 YES on one coin wins below 0.6 of the draw, NO on the other above 0.4: at even money
    # one of them always pays for both, and the fifth of the time in which both win is free.
    other = {"fair": 0.40, "bid": 0.50, "ask": 0.51}
    found = stakes(GroupKelly(**WHOLE, rho=1.0), {}, other)
    assert [row[:2] for row in found] == [(0, 1), (1, -1)]
    assert [row[2] for row in found] == pytest.approx([0.5, 0.5], abs=1e-6)


def test_a_strike_that_pays_below_is_the_other_side_of_the_same_luck() -> None:
    below = {"fair": 0.40, "bid": 0.50, "ask": 0.51, "strike_type": "less"}
    sizing = GroupKelly(**WHOLE, rho=0.5455)
    same = stakes(sizing, {}, {})
    mirrored = stakes(sizing, {}, below)  # NO on "below" is YES on "at least"
    assert [row[2] for row in mirrored] == pytest.approx([row[2] for row in same], abs=1e-9)
    assert mirrored[1][1] == -1


def test_six_coins_get_far_less_than_six_times_one() -> None:
    six = stakes(GroupKelly(**WHOLE), *[{}] * 6)
    assert len({row[2] for row in six}) == 1
    apart = stakes(GroupKelly(**WHOLE, rho=0.0), *[{}] * 6)
    assert sum(row[2] for row in six) < 0.5 * sum(row[2] for row in apart)
    assert 0.2 < sum(row[2] for row in six) < 0.4  # one bet at even money is 0.2


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6), st.floats(0, 1))
def test_states_keep_every_probability_and_correlate_what_is_equally_likely(
    p: list[float], rho: float
) -> None:
    q, happens = common_states(p, rho)
    assert q.min() >= 0
    assert q.sum() == pytest.approx(1)
    assert q @ happens == pytest.approx(p)
    twice, both = common_states([p[0], p[0]], rho)
    joint = float(twice[both.all(axis=1)].sum())
    assert joint - p[0] ** 2 == pytest.approx(rho * p[0] * (1 - p[0]))


def test_unequal_bets_are_the_best_of_a_grid() -> None:
    # Expected log wealth, state by state, on a grid of stakes a hundredth apart.
    p, cost, rho = [0.7, 0.55], [0.60, 0.50], 0.5455
    q, happens = common_states(p, rho)
    f, g = np.meshgrid(np.arange(0, 0.4, 0.01), np.arange(0, 0.4, 0.01))
    growth = sum(
        chance * np.log(1 + f * (a / cost[0] - 1) + g * (b / cost[1] - 1))
        for chance, (a, b) in zip(q, happens, strict=True)
    )
    best = np.unravel_index(np.argmax(growth), growth.shape)
    rows = ({"fair": 0.7, "bid": 0.59, "ask": 0.60}, {"fair": 0.55})
    found = [row[2] for row in stakes(GroupKelly(**WHOLE, rho=rho), *rows)]
    assert found == pytest.approx([f[best], g[best]], abs=0.01)
    exact = kelly_program(q, happens.T.astype(float), cost)
    assert found == pytest.approx(exact.tolist(), abs=1e-9)


def test_alone_at_an_instant_it_is_the_plain_kelly_stake() -> None:
    rng = np.random.Generator(np.random.Philox(key=4))
    fair, bid = rng.uniform(0.01, 0.99, 200), rng.integers(1, 98, 200) / 100
    rows = [
        {
            "fair": f,
            "bid": b,
            "ask": b + 0.01,
            "taker": 70_000,
            "close_time": END + i * (END - NOON),
        }
        for i, (f, b) in enumerate(zip(fair.tolist(), bid.tolist(), strict=True))
    ]
    options: dict[str, Any] = {"scale": 0.5, "max_fraction": 0.1, "min_edge": 0.02}
    frame = offers(*rows).lazy()
    grouped, plain = GroupKelly(**options, max_group=0.1)(frame), Kelly(**options)(frame)
    assert_frame_equal(grouped.collect(), plain.collect(), rel_tol=1e-12)
    assert plain.collect().height > 100


def test_an_instant_has_one_cap_however_many_markets_and_times() -> None:
    capped = GroupKelly(scale=1.0, max_fraction=0.05, max_group=0.12)
    together = stakes(capped, *[{}] * 4)
    assert [row[2] for row in together] == [0.03] * 4
    later = NOON + timedelta(minutes=1)
    # Two at noon take 0.05 each; of two more a minute later 0.02 is left, 0.01 for each.
    apart = stakes(capped, {}, {}, {"time": later}, {"time": later})
    assert [row[2] for row in apart] == [0.05, 0.05, 0.01, 0.01]
    # Another instant has a cap of its own.
    other = {"close_time": END + timedelta(minutes=15)}
    assert [row[2] for row in stakes(capped, {}, {}, other, other)] == [0.05] * 4


def test_asking_for_the_same_market_again_does_not_use_the_cap_twice() -> None:
    capped = GroupKelly(scale=1.0, max_fraction=0.05, max_group=0.08)
    again = [{"market": 0, "event": "E", "time": NOON + timedelta(minutes=m)} for m in range(5)]
    assert [row[2] for row in stakes(capped, *again)] == [0.05] * 5


def test_what_comes_later_changes_nothing_before_it() -> None:
    rng = np.random.Generator(np.random.Philox(key=9))
    fair, late = rng.uniform(0.3, 0.8, 50).tolist(), rng.integers(0, 2, 50).tolist()
    rows = [
        {
            "time": NOON + timedelta(minutes=i // 5),
            "market": i % 5,
            "event": f"E{i % 5}",
            "close_time": END + late[i] * timedelta(minutes=15),
            "fair": fair[i],
        }
        for i in range(50)
    ]
    sizing = GroupKelly(max_fraction=0.1, max_group=0.12)
    whole = sizing(offers(*rows).lazy()).collect()
    cut = NOON + timedelta(minutes=4)
    head = sizing(offers(*[row for row in rows if row["time"] <= cut]).lazy()).collect()
    assert head.equals(whole.filter(pl.col("time") <= cut))
    assert 0 < head.height < whole.height


def test_an_event_gives_one_bet_and_a_group_its_best() -> None:
    ladder = [{"event": "L", "fair": f} for f in (0.58, 0.62, 0.60)]
    assert [row[0] for row in stakes(GroupKelly(**WHOLE), *ladder)] == [1]
    many = [{"fair": 0.55 + 0.01 * i} for i in range(6)]
    assert [row[0] for row in stakes(GroupKelly(**WHOLE, max_bets=2, rho=0.0), *many)] == [4, 5]


@pytest.mark.parametrize("cents", [20, 33, 41, 58, 64, 79])
def test_of_two_outcomes_that_mirror_each_other_the_first_is_bet_on(cents: int) -> None:
    first = {"event": "E", "fair": (cents + 9) / 100, "bid": 0.01, "ask": cents / 100}
    other = {"event": "E", "fair": (91 - cents) / 100, "bid": (100 - cents) / 100, "ask": 0.99}
    pair = [row | {"taker": 70_000} for row in (first, other)]
    assert [row[0] for row in stakes(GroupKelly(**WHOLE), *pair)] == [0]


def test_a_market_of_unknown_schedule_is_a_group_of_its_own() -> None:
    alone = {"close_time": None}
    assert [row[2] for row in stakes(GroupKelly(**WHOLE), alone, alone)] == [0.2, 0.2]


@pytest.mark.parametrize(
    "wrong", [{"scale": 0}, {"max_group": 1.5}, {"rho": -0.1}, {"max_bets": 11}, {"max_price": 1}]
)
def test_out_of_range_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is "):
        GroupKelly(**wrong)


def test_it_is_how_the_strategy_on_six_coins_is_sized() -> None:
    assert isinstance(STRATEGIES["kelly_volatility"].sizing, GroupKelly)


def test_what_was_ordered_is_all_that_matters_of_the_past() -> None:
    """Decided time by time, each knowing the largest stakes before, it is what is decided at once.

    Six markets close at one of two instants, or nobody knows when.
    """
    rng = np.random.Generator(np.random.Philox(key=[5, 41]))
    ends = [END, END + timedelta(minutes=15), None]
    rows = [
        {
            "market": market,
            "event": f"E{market}",
            "time": NOON + timedelta(minutes=minute),
            "close_time": ends[market % 3],
            "fair": float(rng.uniform(0.3, 0.9)),
        }
        for minute in range(8)
        for market in rng.permutation(6)[:3].tolist()
    ]
    setups, sizing = offers(*rows), GroupKelly(max_fraction=0.1, max_group=0.12)
    whole = sizing(setups.lazy()).collect()
    closes = setups.select("market", "close_time").unique()
    parts = [whole.clear()]
    for minute in range(8):
        past = pl.concat(parts).join(closes, on="market")
        ordered = past.group_by("market", "close_time").agg(pl.col("stake").max())
        # How the markets of the past are numbered says nothing, and neither does their order.
        known = ordered.select("close_time", "stake", pl.col("market").cast(pl.Int64)).reverse()
        now = setups.filter(pl.col("time") == NOON + timedelta(minutes=minute))
        parts.append(sizing.after(known)(now.lazy()).collect())
    assert pl.concat(parts).equals(whole)
    alone = [sizing(now.lazy()).collect() for now in setups.partition_by("time")]
    assert not pl.concat(alone).equals(whole)
