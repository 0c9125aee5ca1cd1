"""Intervals of headline numbers: other libraries, other routes, and where there is none."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from metric_rows import DOLLAR, Plain, book, context, equity, forecast, rows, trade

from kalshi_bt.metrics import METRICS, Interval, Score, cluster_bootstrap, score
from kalshi_bt.metrics.clusters import coarser
from kalshi_bt.metrics.headline import HEADLINE, counted, trade_intervals
from kalshi_bt.metrics.intervals import MANY, RESAMPLES, Ratio, of_days, of_ratios, stationary_picks
from kalshi_bt.metrics.paths import day_shapes, deepest_falls


def drawn(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def traded(events: int, each: int = 3, seed: int = 0, **more: Any) -> Plain:
    """Trades of events that win or lose whole, at 40 cents a contract."""
    rng = drawn(seed)
    trades = []
    for i in range(events * each):
        won = rng.random() < 0.5 if i % each == 0 else won  # noqa: F821  of the same event
        pnl = 600_000 if won else -400_000
        trades.append(
            trade(i, pnl, ticker=f"M{i}", event=f"E{i // each}", stake=400_000, fees=0, **more)
        )
    return rows(trades=trades, path=[equity(0, 100 * DOLLAR + sum(t["pnl"] for t in trades))])


def interval(found: Score) -> Interval:
    assert found.interval is not None, found.interval_reason
    return found.interval


def test_each_is_that_of_its_number_alone_on_the_rows() -> None:
    plain = traded(40)
    found = score(book(plain))
    trades = plain["trades_closed"]
    pnl = [t["pnl"] for t in trades]
    events = [t["event"] for t in trades]
    alone = cluster_bootstrap(pnl, events, [t["stake"] for t in trades])
    assert interval(found["roi_stake"]).low == pytest.approx(alone.low)
    assert interval(found["roi_stake"]).high == pytest.approx(alone.high)
    wins = cluster_bootstrap([p > 0 for p in pnl], events)
    for name, shift in (("win_rate", 0.0), ("win_rate_excess", -0.4)):
        assert interval(found[name]).low == pytest.approx(wins.low + shift, abs=1e-8)
        assert interval(found[name]).high == pytest.approx(wins.high + shift, abs=1e-8)
    mean = cluster_bootstrap(pnl, events)
    assert float(interval(found["expectancy"]).low) == pytest.approx(mean.low / DOLLAR, abs=1e-6)
    # events have as many trades each, so the total is 120 means
    assert float(interval(found["net_pnl"]).high) == pytest.approx(
        120 * mean.high / DOLLAR, abs=1e-5
    )
    assert interval(found["roi"]).high == pytest.approx(120 * mean.high / (100 * DOLLAR))


def uneven(events: int = 60, seed: int = 8) -> Plain:
    """Trades of unequal results and lengths, two an event."""
    rng = drawn(seed)
    pnl = (rng.normal(100, 900, 2 * events) * 1_000).round().astype(int).tolist()
    hours = rng.integers(1, 90, 2 * events).tolist()
    return rows(
        trades=[
            trade(i, p, hours=h, ticker=f"M{i}", event=f"E{i // 2}")
            for i, (p, h) in enumerate(zip(pnl, hours, strict=True))
        ]
    )


def test_those_of_several_sums_are_those_of_their_formula_on_the_rows() -> None:
    plain = uneven()
    found = score(book(plain))
    trades = plain["trades_closed"]
    pnl = np.array([t["pnl"] for t in trades])
    events = [int(t["event"][1:]) for t in trades]  # resampled in the order of their ends
    won, lost = np.maximum(pnl, 0), np.maximum(-pnl, 0)
    table = np.stack([won, lost, pnl > 0, pnl < 0], axis=1)
    odds = cluster_bootstrap(table, events, statistic=lambda s: s[:, 0] / (s[:, 0] + s[:, 1]))
    factor = interval(found["profit_factor"])
    assert [factor.low, factor.high] == pytest.approx(
        [end / (1 - end) for end in (odds.low, odds.high)]
    )
    assert float(factor.low) < float(str(found["profit_factor"].value)) < float(factor.high)

    def even(s: np.ndarray) -> np.ndarray:
        win, loss = s[:, 0] / s[:, 2], s[:, 1] / s[:, 3]
        found: np.ndarray = loss / (win + loss)
        return found

    rate = cluster_bootstrap(table, events, statistic=even)
    ends = interval(found["break_even_rate"])
    assert [ends.low, ends.high] == pytest.approx([rate.low, rate.high])
    held = cluster_bootstrap(
        [(t["exit_time"] - t["entry_time"]).total_seconds() for t in trades], events
    )
    time = interval(found["holding_time"])
    assert [time.low, time.high] == pytest.approx([held.low, held.high])
    assert {f.clusters for f in (factor, ends, time)} == {"event"}


def test_of_hardly_a_loss_a_profit_factor_has_no_upper_end() -> None:
    trades = [
        trade(i, -DOLLAR if i == 7 else (1 + i % 3) * DOLLAR, event=f"E{i}", ticker=f"M{i}")
        for i in range(40)
    ]
    found = score(book(rows(trades=trades)))["profit_factor"]
    assert found.interval is None
    assert "no upper end" in (found.interval_reason or "")
    assert "it lies above" in (found.interval_reason or "")


def test_both_sides_of_the_limit_agree_on_what_is_no_plain_ratio() -> None:
    gains = drawn(9).normal(0.3, 2, MANY)

    def found(gains: np.ndarray) -> dict[str, Any]:
        trades = [
            trade(i, round(g * DOLLAR), event=f"E{i}", ticker=f"M{i}")
            for i, g in enumerate(gains.tolist())
        ]
        return trade_intervals(book(rows(trades=trades)))

    below, above = found(gains), found(np.append(gains, 0.3))
    for name in ("profit_factor", "break_even_rate"):
        assert "BCa" in below[name].method
        assert "CR1" in above[name].method
        width = below[name].high - below[name].low
        assert below[name].low == pytest.approx(above[name].low, abs=0.08 * width)
        assert below[name].high == pytest.approx(above[name].high, abs=0.08 * width)


def test_an_interval_says_what_it_rests_on() -> None:
    found = interval(score(book(traded(40)))["net_pnl"])
    assert (found.level, found.clusters, found.n_clusters) == (0.95, "event", 40)
    assert f"{RESAMPLES:,}" in found.method
    assert isinstance(found.low, str)
    assert "too short" in interval(score(book(traded(12)))["net_pnl"]).method


def test_what_settles_at_one_instant_is_one_cluster() -> None:
    plain = traded(40)
    plain["context"] = [
        context(t["trade_id"], settled_hour=int(t["event"][1:]) // 4)
        for t in plain["trades_closed"]
    ]
    found = score(book(plain))
    assert interval(found["net_pnl"]).clusters == "settlement instant"
    assert interval(found["net_pnl"]).n_clusters == found["n_clusters"].value == 10
    pnl = [t["pnl"] for t in plain["trades_closed"]]
    alone = cluster_bootstrap(pnl, [i // 12 for i in range(120)])
    assert float(interval(found["expectancy"]).low) == pytest.approx(alone.low / DOLLAR, abs=1e-6)


@pytest.mark.parametrize(
    ("event", "settled", "clusters", "kind"),
    [
        ("AABB", [1, 1, 2, 2], [0, 0, 1, 1], "event"),
        ("AABB", [1, 1, 1, 1], [0, 0, 0, 0], "settlement instant"),
        ("AABC", [1, 2, 2, 3], [0, 0, 0, 1], "event or settlement instant"),
        ("AABC", [None, None, 2, 2], [0, 0, 1, 1], "event or settlement instant"),
        ("ABC", [None, None, None], [0, 1, 2], "event"),
    ],
)
def test_clusters_hold_what_hangs_together(
    event: str, settled: list[int | None], clusters: list[int], kind: str
) -> None:
    found, named = coarser(pl.Series(list(event)), pl.Series(settled, dtype=pl.Int64))
    same = [[a == b for b in clusters] for a in clusters]
    assert [[a == b for b in found] for a in found] == same
    assert named == kind


def test_open_positions_move_the_interval_and_do_not_widen_it() -> None:
    plain = traded(40)
    before = interval(score(book(plain))["net_pnl"])
    plain["equity"][0]["equity"] += 7 * DOLLAR
    after = interval(score(book(plain))["net_pnl"])
    assert float(after.low) - float(before.low) == pytest.approx(7)
    assert float(after.high) - float(before.high) == pytest.approx(7)


def test_fewer_than_five_clusters_have_a_reason_and_no_interval() -> None:
    found = score(book(traded(4, each=30)))
    for name in ("net_pnl", "roi", "roi_stake", "expectancy", "win_rate", "win_rate_excess"):
        assert found[name].value is not None
        assert found[name].interval is None
        assert found[name].interval_reason == "4 independent clusters (event): an interval needs 5"


def test_wins_only_are_no_certainty() -> None:
    trades = [trade(i, DOLLAR, event=f"E{i}", ticker=f"M{i}") for i in range(50)]
    found = score(book(rows(trades=trades)))
    for name in ("win_rate", "expectancy", "net_pnl"):
        assert found[name].interval is None
        assert "do not differ" in (found[name].interval_reason or "")


def test_a_number_some_resamples_lack_has_no_interval() -> None:
    trades = [trade(i, int(i > 4) * (-1) ** i, event=f"E{i}", ticker=f"M{i}") for i in range(7)]
    found = score(book(rows(trades=trades)))["win_rate"]
    assert found.value == 0.5
    assert found.interval_reason == "some resamples of the clusters have no such number"


def test_many_clusters_take_the_standard_error_of_statsmodels() -> None:
    from statsmodels.regression.linear_model import OLS

    rng, count = drawn(3), MANY + 1
    size = rng.integers(1, 5, count)
    gain = rng.normal(1, 9, count)
    columns = {"pnl": gain * size, "n": size.astype(float)}
    found = of_ratios(columns, {"mean": Ratio("pnl", "n")}, "event")["mean"]
    assert isinstance(found, Interval)
    assert "CR1" in found.method
    group = np.repeat(np.arange(count), size)
    fit = OLS(np.repeat(gain, size), np.ones(size.sum())).fit(
        cov_type="cluster", cov_kwds={"groups": group}
    )
    assert [found.low, found.high] == pytest.approx(fit.conf_int()[0].tolist(), rel=1e-9)


def test_both_sides_of_the_limit_agree() -> None:
    rng = drawn(4)
    columns = {"pnl": rng.normal(1, 5, MANY), "n": np.ones(MANY)}
    below = of_ratios(columns, {"x": Ratio("pnl", "n")}, "event")["x"]
    above = of_ratios(
        {name: np.append(part, part.mean()) for name, part in columns.items()},
        {"x": Ratio("pnl", "n")},
        "event",
    )["x"]
    assert isinstance(below, Interval)
    assert isinstance(above, Interval)
    assert below.low == pytest.approx(above.low, abs=0.01)
    assert below.high == pytest.approx(above.high, abs=0.01)


# --- of forecasts ---------------------------------------------------------------------------------


def opinions(markets: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = drawn(seed)
    made = []
    for i in range(markets):
        truth = round(float(rng.uniform(0.1, 0.9)), 2)
        outcome = float(rng.random() < truth)
        made.append(forecast(f"M{i:03}", truth, 0.45 + i % 2 / 10, outcome, event=f"E{i // 2:03}"))
    return made


def test_the_difference_of_scores_is_paired() -> None:
    found = score(book(rows(forecasts=opinions(200))))
    both = interval(found["brier_difference"])
    assert both.n_clusters == 100
    assert float(both.high) < 0  # the signal knows the truth, the price nothing
    apart = sum(
        float(interval(found[n]).high) - float(interval(found[n]).low)
        for n in ("brier", "brier_price")
    )
    assert float(both.high) - float(both.low) < apart * 2
    ours, theirs = (
        np.array([(r[name] - r["outcome"]) ** 2 for r in opinions(200)]) for name in ("fair", "mid")
    )
    events = [i // 2 for i in range(200)]
    alone = cluster_bootstrap(ours - theirs, events)
    assert both.low == pytest.approx(alone.low, abs=1e-7)
    skill = cluster_bootstrap(
        np.stack([ours, theirs], axis=1), events, statistic=lambda s: 1 - s[:, 0] / s[:, 1]
    )
    saved = interval(found["brier_skill"])
    assert [saved.low, saved.high] == pytest.approx([skill.low, skill.high], abs=1e-6)


# --- of paths -------------------------------------------------------------------------------------


def long_run(days: int = 40, seed: int = 2) -> Plain:
    """Trades and a path that goes both ways, several times a day, some days without a row."""
    rng = drawn(seed)
    plain = uneven(seed=seed)
    at = np.sort(rng.choice(days * 24, 3 * days, replace=False))
    worth = 100 * DOLLAR + np.cumsum(rng.integers(-3, 4, 3 * days)) * DOLLAR
    path = [equity(float(h), int(v)) for h, v in zip(at, worth, strict=True)]
    return {**plain, "equity": path}


def put_in_a_row(plain: Plain, days: list[int], *, parts: bool) -> float:
    """The deepest fall of a path of these days, each as its rows went, in plain loops."""
    path = plain["equity"]
    midnight = path[0]["time"].replace(hour=0, minute=0)
    shapes: dict[int, list[float]] = {}
    last = plain["initial_cash"]
    for day in range(max(days) + 1):
        until = midnight + timedelta(days=day + 1)
        since = midnight + timedelta(days=day)
        today = [r["equity"] for r in path if since < r["time"] <= until]
        shapes[day] = [(e / last if parts else e - last) for e in today]
        last = today[-1] if today else last
    level, peak, worst = (1.0, 1.0, 0.0) if parts else (0.0, 0.0, 0.0)
    for day in days:
        begun = level
        for step in shapes[day]:
            level = begun * step if parts else begun + step
            peak = max(peak, level)
            worst = max(worst, 100 * (peak - level) / peak if parts else peak - level)
    return worst


@pytest.mark.parametrize("parts", [False, True])
def test_paths_of_days_fall_as_far_as_when_they_are_walked_row_by_row(*, parts: bool) -> None:
    plain = long_run()
    shapes = day_shapes(book(plain))[parts]
    picks = next(stationary_picks(len(shapes), 3.0))[:50]
    found = deepest_falls(shapes, picks, parts=parts) * (100 if parts else 1)
    slow = [put_in_a_row(plain, pick, parts=parts) for pick in picks.tolist()]
    assert found == pytest.approx(slow, rel=1e-12)


def test_the_days_as_they_came_fall_as_far_as_the_run() -> None:
    plain = long_run()
    found = score(book(plain), intervals=False)
    dollars, parts = day_shapes(book(plain))
    own = np.arange(len(dollars))[None]
    assert deepest_falls(dollars, own, parts=False)[0] / DOLLAR == pytest.approx(
        float(str(found["max_drawdown"].value))
    )
    assert 100 * deepest_falls(parts, own, parts=True)[0] == pytest.approx(
        float(str(found["max_drawdown_pct"].value))
    )


def test_a_drawdown_says_that_its_interval_is_of_paths() -> None:
    found = score(book(long_run()))
    for name in ("max_drawdown", "max_drawdown_pct"):
        ends = interval(found[name])
        assert (ends.clusters, ends.n_clusters) == ("day", found["n_days"].value)
        assert "paths" in ends.method
        assert 0 < float(ends.low) < float(ends.high)
    plain = long_run(days=8)
    for name in ("max_drawdown", "max_drawdown_pct"):
        assert "fewer than 10 days" in (score(book(plain))[name].interval_reason or "")


def test_a_path_that_loses_all_has_no_fall_in_per_cent_on_other_paths() -> None:
    plain = long_run()
    plain["equity"][60]["equity"] = 0
    found = score(book(plain))
    assert "equity fell to zero" in (found["max_drawdown_pct"].interval_reason or "")
    assert interval(found["max_drawdown"]).n_clusters >= 10


# --- of days --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_days_agree_with_another_stationary_bootstrap() -> None:
    from arch.bootstrap import StationaryBootstrap

    r = drawn(5).normal(0.001, 0.02, 216)  # blocks of 6 days

    def ratios(x: np.ndarray) -> np.ndarray:
        mean = x.mean()
        return np.array([mean / x.std(ddof=1), mean / math.sqrt((np.minimum(x, 0) ** 2).mean())])

    theirs = StationaryBootstrap(6, r, seed=drawn(6)).apply(ratios, 4_000) * math.sqrt(365)
    ours = of_days(r, 365)
    for name, column in zip(("sharpe", "sortino"), theirs.T, strict=True):
        found = ours[name]
        assert isinstance(found, Interval)
        spread = column.std()
        for end, tail in ((found.low, 0.025), (found.high, 0.975)):
            assert float(end) == pytest.approx(np.quantile(column, tail), abs=0.15 * spread)


def test_blocks_run_on_and_last_as_long_as_asked() -> None:
    picks = next(stationary_picks(50, 5.0))
    follows = (picks[:, 1:] - picks[:, :-1]) % 50 == 1
    # a new block begins with 1/5, and one in fifty of those by chance where the last one went on
    assert follows.mean() == pytest.approx(1 - 1 / 5 * 49 / 50, abs=0.002)
    assert np.bincount(picks.ravel()) / picks.size == pytest.approx(1 / 50, abs=0.001)


def test_few_days_or_few_losses_have_a_reason() -> None:
    short = of_days(np.array([0.01, -0.01] * 4), 365)
    assert short["sharpe"] == short["sortino"]
    one_loss = of_days(np.append(np.linspace(0.01, 0.02, 40), -0.01), 365)
    assert isinstance(one_loss["sharpe"], Interval)
    assert "no risk" in getattr(one_loss["sortino"], "reason", "")


def test_only_numbers_that_exist_have_an_interval_or_a_reason_for_none() -> None:
    for plain in (rows(), traded(3), traded(30)):
        for name, found in score(book(plain)).items():
            told = (found.interval is not None) + (found.interval_reason is not None)
            assert told == (METRICS[name].headline and found.value is not None), name
            assert found.interval is None or found.interval.clusters, name


def test_only_what_is_counted_has_no_way_to_an_interval() -> None:
    found = score(book(long_run()))
    without = {n for n, s in found.items() if METRICS[n].headline and s.interval is None}
    judged = {"brier", "brier_price", "brier_difference", "brier_skill"}  # no opinions in it
    assert without - judged == {n for n, find in HEADLINE.items() if find is counted}
    assert "estimated" in (found["fees"].interval_reason or "")


def test_no_interval_is_computed_where_none_is_asked_for() -> None:
    plain = traded(40)
    bare = score(book(plain), intervals=False)
    whole = score(book(plain))
    assert all(found.interval is None for found in bare.values())
    for name, found in whole.items():
        assert replace(found, interval=None, interval_reason=None) == bare[name]
