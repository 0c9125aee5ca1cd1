"""Whole runs: their tables of what fills and opinions were worth, against the plain twins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import naive_facts
import polars as pl
import pytest
from facts_of import differing

from kalshi_bt.config import layered
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.forecasting import forecasts
from kalshi_bt.pipeline import Backtest, compute
from kalshi_bt.plan import Plan, plan

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

MAPPINGS = Path(__file__).parents[1] / "research" / "mappings"
FREE = {"max_losses": "none", "max_positions": "none", "daily_loss": "none", "max_exposure": "none"}


def done(store: Store, strategy: str, *sets: str, **more: Any) -> tuple[Backtest, Plan]:
    """A run with neither breakers nor an audit, so that much is traded."""
    flags = {"strategy": strategy, "data": str(store.root), "risk": FREE, **more}
    made = plan(layered(None, {}, flags, [*sets, "audit=false"]))
    return compute(store, made), made


def check(store: Store, run: Backtest, made: Plan) -> Mapping[str, int]:
    """Compare all tables of all fill models with the twins; return how many rows they have."""
    world = naive_facts.World(
        run.panel.bars, run.panel.markets, run.settlements, store.read("series")
    )
    said = forecasts(run.panel, made, run.settlements)[0]
    fair = said["fair"].to_list() if "fair" in said.columns else None
    assert differing(run.forecasts, naive_facts.opinions(world, fair, run.panel.period)) == []
    texts, intents = pl.selectors.enum().cast(pl.String), run.intents.to_dicts()
    counts = {"forecasts": run.forecasts.height, "context": 0, "fill_quality": 0}
    for each in (run.base, *run.band.values()):
        fills = each.fills.with_columns(texts).to_dicts()
        trades = each.trades_closed.to_dicts()
        wanted = naive_facts.trade_context(world, intents, fills, trades)
        assert differing(each.context, wanted) == []
        wanted = naive_facts.fill_quality(world, intents, fills)
        assert differing(each.fill_quality, wanted) == []
        parts = pl.col("gross_mid") - pl.col("spread") - pl.col("slippage")
        rows = each.context.join(each.trades_closed, on="trade_id")
        known = rows.filter(parts.is_not_null())
        left = known.select((parts * 1e6 - pl.col("fees") - pl.col("pnl")).abs()).to_series()
        assert (left < 0.01).all()
        counts["context"] += known.height
        counts["fill_quality"] += each.fill_quality.height
    return counts


@pytest.mark.parametrize(
    ("strategy", "fills"), [("bollinger", "passive"), ("kelly_volatility", "cross")]
)
def test_a_day_of_the_sample(one_day: Path, strategy: str, fills: str) -> None:
    store = Store.open(one_day)
    sets = ("valid_bars=3", "width=1") if fills == "passive" else ()
    counts = check(store, *done(store, strategy, *sets, fills=fills))
    assert min(counts.values()) > 3


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["bollinger", "kelly_volatility", "mean_reversion"])
@pytest.mark.parametrize("fills", ["cross", "random"])
def test_the_sample(tmp_path: Path, strategy: str, fills: str) -> None:
    store = Store.create(tmp_path / "data", name="data", synthetic=True)
    store.commit(sample(days=3))
    counts = check(store, *done(store, strategy, fills=fills))
    assert min(counts.values()) > 20


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder"), [("weather", "weather"), ("nba_minute", "nba"), ("nba_hourly", "nba")]
)
def test_recorded_markets(real_data: Path, tmp_path: Path, name: str, folder: str) -> None:
    import_tables(MAPPINGS / f"{name}.toml", [real_data / folder], tmp_path / name)
    store = Store.open(tmp_path / name)
    counts = check(store, *done(store, "bollinger"))
    assert min(counts.values()) > 50


def test_nothing_of_an_outcome_moves_an_opinion(one_day: Path, tmp_path: Path) -> None:
    """The same days without any settlement: rows of open markets stay, outcomes are unknown.

    Every market of that day closed when it was scheduled to.
    """
    store = Store.open(one_day)
    tables = {name: store.read(name) for name in store.sizes()}
    blind = Store.create(tmp_path / "blind", name="blind", synthetic=True)
    blind.commit({n: t for n, t in tables.items() if n not in {"settlements", "determinations"}})
    known = done(store, "bollinger")[0].forecasts
    unknown = done(blind, "bollinger")[0].forecasts
    outcome = ("settled", "outcome")
    assert unknown.drop(outcome).equals(known.drop(outcome))
    assert unknown["outcome"].null_count() == unknown.height > known["outcome"].null_count()
