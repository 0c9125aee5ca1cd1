"""What the later revision of the documented chain adds: stakes by Kelly, and soft concerns."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from kalshi_bt.longshot_chain import Chain, ChainRules, backtest, decide, win_rates
from tests.test_longshot_chain import Tables, one, rated, tables

LATER = ChainRules.later()


def games(count: int = 12) -> Tables:
    """Games an hour apart, at 15 c and taken by NO 30 times; all but the first end NO."""
    prints = [(1500, -1)] * 30
    return tables(
        [(f"KXNBAGAME-25NOV{i:02}AB-A", "no" if i else "yes", prints) for i in range(count)]
    )


def settled_after(hours: list[float], rules: ChainRules = LATER) -> Chain:
    """The chain on games whose results are known so long after their closes."""
    markets, settlements, trades = games(len(hours))
    lag = pl.Series([timedelta(hours=h) for h in hours])
    late = settlements.sort("close_time").with_columns(time=pl.col("close_time") + lag)
    return backtest(markets, late.sort("ticker"), trades.lazy(), rules=rules)


def concerned(done: Chain) -> list[bool]:
    return ["more than 50 dollars open" in row for row in done.decisions["concerns"].to_list()]


def test_the_stake_is_a_thousand_times_kelly_within_two_and_twenty_dollars() -> None:
    # 11 of 12 win: (.9167 - .85) / .15 = .44, capped at .15; 150 dollars are capped at 20.
    done = settled_after([1.0] * 12)
    assert done.trades["quantity"].to_list() == [2_300] * 12  # 23 at 85 c are 19.55
    low = ChainRules.later()
    for cap, contracts in ((0.01, 11), (0.001, 2)):  # 10 dollars; 1 dollar is raised to 2
        rules = ChainRules(**{n: getattr(low, n) for n in low.__slots__} | {"kelly_cap": cap})
        assert set(settled_after([1.0] * 12, rules).trades["quantity"]) == {contracts * 100}


@pytest.mark.parametrize(
    ("hours", "first"),
    [
        (10.0, 3),  # before the fourth, three of 19.55 are open
        (2.5, None),  # two are open at a time
        (3.0, None),  # the third before is settled at that very moment
        (3.01, 3),
        (0.0, None),
    ],
)
def test_more_than_fifty_dollars_open_is_a_concern(hours: float, first: int | None) -> None:
    done = settled_after([hours] * 12)
    assert concerned(done) == [first is not None and i >= first for i in range(12)]
    assert done.counters["approved"] == 12  # and no more than a concern


@pytest.mark.parametrize("seed", range(3))
def test_open_dollars_are_those_of_a_plain_loop(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
    hours = [float(h) for h in rng.choice([0, 0.5, 1, 2, 3, 4, 8], 30)]
    done = settled_after(hours)
    expected = []
    for i in range(30):
        held = [19.55 for j in range(i) if hours[j] > 0 and j + hours[j] > i]
        expected.append(sum(held) > 50)
    assert concerned(done) == expected
    assert len(set(expected)) == 2


def test_the_first_revision_counts_nothing_open() -> None:
    assert not any(concerned(settled_after([10.0] * 12, ChainRules())))


def test_trades_of_several_seasons_or_kinds_of_markets_are_a_concern() -> None:
    row = [("KXNBAGAME-1-A", "no", [(1500, -1)] * 2), ("KXNBAGAME-2-A", "no", [(1500, -1)])]
    mixed = [*row, ("KXNBAWINS-3-A", "no", [(1500, -1)]), ("KXNBAWINS-4-A", "no", [(1500, 1)])]

    def cell(rows: list[tuple[str, str, list[tuple[int, int]]]], days: int = 0) -> tuple[int, int]:
        _, settlements, trades = tables(rows)
        moved = trades.with_columns(
            time=pl.when(pl.col("ticker") == "KXNBAGAME-2-A")
            .then(pl.col("time") + timedelta(days=days))
            .otherwise("time")
        )
        found = win_rates(settlements, moved.lazy(), "KXNBA")
        own = found.filter(action="BET_NO", yes_price=15)
        kinds, seasons = own.select("kinds", "seasons").row(0)
        return kinds, seasons

    assert cell(row) == (1, 1)
    assert cell(mixed) == (2, 1)
    assert cell(row, days=54) == (1, 1)  # November 2025 and New Year's Day: one season
    assert cell(row, days=365) == (1, 2)
    for name, text in (("kinds", "kinds of markets"), ("seasons", "seasons")):
        rates = rated(300, 0.03).with_columns(pl.lit(2).alias(name))
        (concerns,) = decide(one(), rates, ChainRules())["concerns"].to_list()
        assert concerns == [f"trades of several {text}"]
