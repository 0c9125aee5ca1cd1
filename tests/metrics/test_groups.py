"""Groups of trades: their p-values by another library, and what they are worth among many."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from metric_rows import DOLLAR, START, book, context, random_rows, rows, trade
from scipy.stats import false_discovery_control

from kalshi_bt.metrics import tables
from kalshi_bt.trade_groups import GROUPS

CATEGORIES = ("Sports", "Climate", None)


def many(events: int = 60, each: int = 4, seed: int = 0, edge: float = 0.0) -> list[dict[str, Any]]:
    """Trades of events that share a part of their luck, some for YES and some for NO."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    shared = np.repeat(rng.normal(0, 3, events), each)
    pnl = shared + rng.normal(0, 5, events * each) + edge
    side = rng.choice([-1, 1], events * each).tolist()
    hour = rng.integers(0, 200, events * each).tolist()
    price = rng.uniform(0.02, 0.98, events * each).round(2).tolist()
    return [
        trade(i, round(p * DOLLAR), exit_hour=hour[i], ticker=f"M{i // 2}",
              event=f"E{i // each}", side=side[i], entry_price=price[i])
        for i, p in enumerate(pnl.tolist())
    ]  # fmt: skip


def groups(trades: list[dict[str, Any]], settled: bool = False) -> pl.DataFrame:  # noqa: FBT001, FBT002
    contexts = [
        context(t["trade_id"], 500 + int(t["event"][1:]) // 3 if settled else None,
                category=CATEGORIES[t["trade_id"] % 3], close_time=START)
        for t in trades
    ]  # fmt: skip
    return tables(book(rows(trades=trades, contexts=contexts)))["groups"]


@pytest.mark.parametrize("settled", [False, True])
def test_p_values_are_those_of_a_clustered_regression(*, settled: bool) -> None:
    from statsmodels.regression.linear_model import OLS

    trades = many()
    found = groups(trades, settled)
    compared = 0
    for side, name in ((1, "YES"), (-1, "NO")):
        own = [t for t in trades if t["side"] == side]
        cluster = [int(t["event"][1:]) // (3 if settled else 1) for t in own]
        fit = OLS([t["pnl"] / DOLLAR for t in own], np.ones(len(own))).fit(
            cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True
        )
        row = found.row(
            by_predicate=(pl.col("by") == "side") & (pl.col("group") == name), named=True
        )
        assert (row["n"], row["n_clusters"]) == (len(own), len(set(cluster)))
        assert row["mean"] == pytest.approx(fit.params[0])
        assert row["error"] == pytest.approx(fit.bse[0])
        assert row["p"] == pytest.approx(fit.pvalues[0])
        compared += 1
    assert compared == 2


def test_every_group_that_could_be_tested_is_adjusted_for() -> None:
    found = groups(many())
    tested = found.filter(pl.col("p").is_not_null())
    assert tested.height > 30
    assert tested["q"].to_list() == pytest.approx(false_discovery_control(tested["p"], method="by"))
    assert found.filter(pl.col("p").is_null())["q"].null_count() == found.height - tested.height
    assert (tested["q"] >= tested["p"]).all()


def test_groups_that_are_not_judged_may_come_first() -> None:
    # The first category is of four events, the others of all.
    trades = [t for t in many() if t["trade_id"] % 3 != 1 or int(t["event"][1:]) < 4]
    found = groups(trades)
    assert found[0, "group"] == "Climate"
    assert found["p"].is_null()[:3].to_list() == [True, False, False]
    tested = found.drop_nulls("p")
    assert tested.height >= 5
    assert tested["q"].to_list() == pytest.approx(false_discovery_control(tested["p"], method="by"))


def test_the_best_of_groups_that_are_nothing_does_not_stand_out_and_one_that_is_does() -> None:
    luckiest = [groups(many(seed=seed))["p"].min() for seed in range(12)]
    assert sum(p < 0.05 for p in luckiest) > 6  # whoever picks the best cell finds something
    assert sum(groups(many(seed=seed))["q"].min() < 0.05 for seed in range(12)) <= 1
    trades = many()
    for t in trades:
        t["pnl"] += 9 * DOLLAR * (t["entry_price"] < 0.2)
    found = groups(trades).filter(pl.col("q") < 0.05)
    assert {"0–10", "10–20"} <= set(found.filter(by="entry price")["group"])


def test_each_trade_is_in_one_group_of_each_kind() -> None:
    for seed in range(8):
        drawn = book(random_rows(seed))
        found = tables(drawn)["groups"].group_by("by").agg(pl.col("n", "pnl").sum())
        trades = drawn.trades_closed
        whole = {(trades.height, trades["pnl"].sum())} if trades.height else set()
        assert {(n, pnl) for _, n, pnl in found.iter_rows()} == whole
        assert set(found["by"]) == (set(GROUPS) if trades.height else set())


def test_few_clusters_and_clusters_that_do_not_differ_are_not_judged() -> None:
    few = groups(many(events=4))
    same = groups([{**t, "pnl": DOLLAR} for t in many()])
    for found in (few, same):
        assert found.height > 6
        assert found.select("error", "p", "q").null_count().row(0) == (found.height,) * 3
    assert same["mean"].unique().to_list() == [1.0]
