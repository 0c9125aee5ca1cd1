"""What is expected of the longshot bias on recorded markets.

Temperature brackets open too dear at the cheap end. In quarter hours of coins nothing is left of a
bias after fees. And a table knows nothing that became known after its time.
"""

import math
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.config import layered
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import plan
from kalshi_bt.signals.longshot import Longshot

pytestmark = pytest.mark.real

RESEARCH = Path(__file__).parents[2] / "research"


def brought(name: str, folder: Path, into: Path) -> Store:
    import_tables(RESEARCH / "mappings" / f"{name}.toml", [folder], into)
    return Store.open(into)


@pytest.fixture(scope="module")
def coins(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return brought("crypto15m", real_data / "crypto15m-2026", tmp_path_factory.mktemp("c") / "d")


@pytest.fixture(scope="module")
def study() -> Any:
    return import_module("longshot_bias")


def test_cheap_temperature_brackets_open_too_dear(real_data: Path, tmp_path: Path) -> None:
    store = brought("weather_highs", real_data / "weather", tmp_path / "d")
    opened = store.read("references").filter(field="first_price").rename({"symbol": "ticker"})
    ended = store.read("settlements", ["ticker", "payout"])
    cheap = (
        opened.join(ended, on="ticker")
        .join(store.read("markets", ["ticker", "event"]), on="ticker")
        .filter(pl.col("value").is_between(0.005, 0.205))
        .with_columns(off=pl.col("payout") / 10_000 - pl.col("value"))
    )
    events = cheap.group_by("event").agg(w=pl.len(), x=pl.col("off").sum())
    mean = float(events["x"].sum()) / cheap.height
    error = math.sqrt(((events["x"] - mean * events["w"]) ** 2).sum()) / cheap.height
    assert events.height >= 90
    assert mean / error < -1.645


def test_the_study_finds_the_bias_at_the_open_and_none_later(
    study: Any, real_data: Path, tmp_path: Path
) -> None:
    """Days of brackets by what they first traded at; then hours of quotes of such brackets."""
    opened, later = (
        study.study(study.visits(brought(name, real_data / "weather", tmp_path / name)))
        for name in ("weather_highs", "weather")
    )
    row = opened.filter(by="all", role="price", band="longshot").row(0, named=True)
    assert row["clusters"] >= 90
    assert row["high"] < 0
    assert row["each_high"] < 0
    assert row["adjusted"] < 0.01
    for band in ("longshot", "favourite"):
        row = later.filter(by="all", role="price", band=band).row(0, named=True)
        assert row["low"] < 0 < row["high"]
        assert row["each_low"] < 0 < row["each_high"]


@pytest.mark.slow
def test_favourites_among_quarter_hours_earn_nothing_after_fees(study: Any, coins: Store) -> None:
    table = study.study(study.visits(coins))
    row = table.filter(by="all", role="taker", band="favourite").row(0, named=True)
    assert row["clusters"] > 2_000
    assert row["net"] / row["error"] < 1.645
    assert not study.after_fees(table).endswith("a gain")
    takers = table.filter(role="taker")
    assert set(takers["by"]) == {"all", "horizon", "season"}
    assert (takers["net"] - 1.96 * takers["error"] < 0).all()


@pytest.mark.slow
def test_a_fit_uses_nothing_after_its_time(coins: Store) -> None:
    made = panel(coins)
    ended = outcomes(coins, made.markets).lazy()
    paid = ended.select("ticker", payout=pl.col("payout") / 10_000, known_at="time")
    signal = Longshot()
    history = signal.samples(made.quotes()).join(paid, on="ticker").collect()
    first: Any = history["known_at"].min()
    now = first + timedelta(days=20)
    later = pl.col("known_at") >= now
    other = history.with_columns(
        payout=pl.when(later).then(1 - pl.col("payout")).otherwise("payout")
    )
    told, again = (signal.refits(frame.lazy(), [now])[0][1] for frame in (history, other))
    assert told.table.height > 100
    assert told == again
    assert signal.fit(history.lazy()) != signal.fit(other.lazy())


@pytest.mark.slow
@pytest.mark.parametrize("days", [38, 42])
def test_a_run_decides_nothing_by_outcomes_to_come(coins: Store, tmp_path: Path, days: int) -> None:
    """Whatever becomes of the markets after a moment, the orders until then are the same."""
    flags = {"strategy": "longshot"}
    told = compute(coins, plan(layered(None, {}, flags, []))).intents
    ended = coins.read("settlements")
    first: Any = ended["time"].min()
    now = first + timedelta(days=days)
    late = pl.col("time") >= now
    turned = ended.with_columns(
        payout=pl.when(late).then(10_000 - pl.col("payout")).otherwise("payout"),
        result=pl.when(late & (pl.col("result") == "yes"))
        .then(pl.lit("no"))
        .when(late)
        .then(pl.lit("yes"))
        .otherwise("result"),
    )
    other = Store.create(tmp_path / "turned", name="turned")
    tables = {name: coins.read(name) for name in ("series", "markets", "candles")}
    other.commit({**tables, "settlements": turned.cast(ended.schema)})  # type: ignore[arg-type]
    again = compute(other, plan(layered(None, {}, flags, []))).intents
    early = pl.col("time") <= now
    assert told.filter(early).height > 10
    assert told.filter(early).equals(again.filter(early))
    assert not told.equals(again)
