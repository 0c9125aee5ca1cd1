"""Opinions on the sample: right where they are to be, and worth nothing against fair quotes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt import cli
from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, START, Planted, sample, truth
from kalshi_bt.data.synthetic_opinions import CONFIDENCE, opinions
from kalshi_bt.errors import UsageError
from kalshi_bt.pipeline import Backtest, compute
from kalshi_bt.plan import plan
from kalshi_bt.schema import REFERENCES
from kalshi_bt.signals.event_providers import bracket_probability
from kalshi_bt.terminal import invoke

Run = Callable[..., Backtest]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run event_value on a sample with opinions."""

    def once(
        planted: Planted = FAIR, *sets: str, seed: int = 1, days: int = 1, **said: Any
    ) -> Backtest:
        tables = sample(seed, planted=planted, days=days)
        told = opinions(seed, days=days, **said)
        tables["references"] = REFERENCES.filled(pl.concat([tables["references"], told]))
        store = Store.create(tmp_path / f"d{len(list(tmp_path.iterdir()))}", name="d")
        store.commit(tables)
        return compute(store, plan(layered(None, {}, {"strategy": "event_value"}, sets)))

    return once


def test_a_right_forecast_is_the_truth_of_every_bracket() -> None:
    told = opinions(2, days=2).filter(source="forecast/temperature")
    wide = told.pivot("field", index=["symbol", "time"], values="value")
    markets = sample(2, days=2)["markets"].filter(series="SYNHIGH")
    p = (
        markets.join(wide, left_on="event", right_on="symbol")
        .with_columns(p=bracket_probability(pl.col("mean"), pl.col("sd")))
        .join(truth(2, days=2), on=["ticker", "time"])
    )
    assert p.height == 2 * 6 * 3  # the opening is not the end of a bar
    assert ((p["p"] - p["probability"]).abs() < 1e-8).all()


def test_a_right_valuation_is_the_truth_and_both_teams_sum_to_one() -> None:
    fair = opinions(2, days=1).filter(source="valuation", field="fair")
    both = fair.join(truth(2, days=1), left_on=["symbol", "time"], right_on=["ticker", "time"])
    assert both.height > 200
    assert ((both["value"] - both["probability"].clip(0.01, 0.99)).abs() < 1e-8).all()
    wrong = opinions(2, days=1, valuation_error=0.2).filter(source="valuation", field="fair")
    assert not wrong.equals(fair)
    event = pl.col("symbol").str.extract("^(.+)-[^-]+$", 1)
    sums = wrong.group_by(event, "time").agg(pl.col("value").sum())["value"]
    assert ((sums - 1).abs() < 1e-8).all()


def test_longer_samples_begin_with_shorter_ones_and_seeds_differ() -> None:
    short, long = (opinions(3, days=days, temperature_error=1.0) for days in (1, 3))
    assert short.join(long, on=list(REFERENCES.columns), nulls_equal=True).height == short.height
    assert not short.equals(opinions(4, days=1, temperature_error=1.0))


def test_what_is_known_is_stated_with_its_time() -> None:
    told = opinions(0, days=1, cutoff=datetime(2026, 1, 1, tzinfo=UTC))
    said = told.filter(field="cutoff")["value"].unique().to_list()
    assert said == [datetime(2026, 1, 1, tzinfo=UTC).timestamp()]
    assert told.filter(field="confidence")["value"].unique().to_list() == [CONFIDENCE]
    assert told["time"].min() == START


@pytest.mark.parametrize(
    "asked", [{"temperature_error": -1.0}, {"valuation_error": 1.5}, {"days": 0}]
)
def test_what_cannot_be_said_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        opinions(**asked)


FRESH = ("valuation_age=0", "forecast_age=0", "min_volume=0")


@pytest.mark.slow
def test_the_truth_is_worth_nothing_against_fair_quotes(run: Run) -> None:
    """Whatever the threshold: bid and ask lie around it."""
    assert run(FAIR, *FRESH, "min_edge=0").intents.is_empty()


@pytest.mark.slow
def test_the_truth_finds_quotes_that_are_biased(run: Run) -> None:
    done = run(Planted(longshot_bias=0.5), *FRESH, "min_edge=0.02")
    assert done.intents.height > 20
    assert done.base.trades_closed.height > 5
    known = {(ticker, time): p for ticker, time, p in truth(1, days=1).iter_rows()}
    for row in done.intents.to_dicts():
        ticker = done.panel.markets["ticker"][row["market"]]
        p, price = known[ticker, row["time"]], row["limit"] / 10_000
        assert row["fair"] == pytest.approx(min(max(p, 0.01), 0.99), abs=1e-8)
        worth = p - price if row["side"] > 0 else price - p
        assert worth - 0.07 * price * (1 - price) >= 0.02 - 0.01  # the fair value is cut at a cent
        # Longshots are too dear and favourites too cheap.
        assert (row["side"] > 0) == (p > 0.5)


@pytest.mark.slow
def test_a_model_that_may_know_the_outcome_is_not_heard(run: Run) -> None:
    late = {"cutoff": START + timedelta(days=2)}
    planted = Planted(longshot_bias=0.5)
    asked = (*FRESH, "min_edge=0.02", "providers=model")
    assert run(planted, *asked).intents.height > 20
    assert run(planted, *asked, **late).intents.is_empty()


@pytest.mark.slow
def test_what_is_earned_is_what_was_expected(run: Run) -> None:
    """What every entry would have been paid, next to what was expected, held to their spread.

    Some were netted before: what they were sold for is told by a later opinion, not by this one.
    """
    done = run(Planted(longshot_bias=0.5), *FRESH, "min_edge=0.02", days=20)
    at = done.intents.with_columns(
        ticker=pl.lit(done.panel.markets["ticker"]).gather("market")
    ).select("ticker", "fair", decided="time")
    orders = done.base.orders.select("ticker", decided="time", trade_id="order_id")
    trades = done.base.trades_closed.join(
        orders.join(at, on=["ticker", "decided"]).drop("ticker"), on="trade_id"
    )
    assert trades.height > 100
    yes = trades.join(done.settlements.select("ticker", "payout"), on="ticker", validate="m:1")
    own, worth = pl.col("side") > 0, pl.col("payout") / 10_000
    held = yes.with_columns(
        p=pl.when(own).then("fair").otherwise(1 - pl.col("fair")),
        paid=pl.when(own).then(worth).otherwise(1 - worth),
        count=pl.col("quantity") / 100,
    ).with_columns(
        expected=pl.col("count") * (pl.col("p") - pl.col("entry_price")) - pl.col("fees") / 1e6,
        gained=pl.col("count") * (pl.col("paid") - pl.col("entry_price")) - pl.col("fees") / 1e6,
    )
    whole = held.filter(pl.col("exit_price").is_in([0.0, 1.0]))  # none of it was netted
    assert whole.height > 100
    assert whole["gained"].round(6).equals((whole["pnl"] / 1e6).round(6))
    events = held.group_by("event").agg(off=(pl.col("gained") - pl.col("expected")).sum())["off"]
    assert held["expected"].sum() > 0
    assert abs(float(events.sum())) < 3 * float((events**2).sum()) ** 0.5


@pytest.mark.slow
def test_an_old_opinion_earns_nothing(run: Run) -> None:
    """Right when it was said; ten minutes and six hours later the quotes know better."""
    done = run(FAIR, "min_edge=0.02", "min_volume=0", days=20)
    trades = done.base.trades_closed
    assert trades.height > 100
    events = trades.group_by("event").agg(pl.col("pnl").sum() / 1e6)["pnl"]
    error = float(((events - events.mean()) ** 2).sum()) ** 0.5
    assert float(events.sum()) < 1.645 * error


def test_the_command_adds_opinions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kalshi_bt.data.synthetic.sample", lambda seed: sample(seed, days=1))
    into = tmp_path / "d"
    assert invoke(cli.app, ["sample", "--into", str(into), "--seed", "5", "--opinions"]) == 0
    stored = Store.open(into).read("references").filter(pl.col("source") != "synthetic")
    assert stored.equals(opinions(5))
    both = ["sample", "--into", str(tmp_path / "e"), "--opinions", "--boards", str(into)]
    assert invoke(cli.app, both) == 2
    assert "--boards" in capsys.readouterr().err
