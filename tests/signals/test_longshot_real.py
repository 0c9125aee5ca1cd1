"""What is expected of the longshot bias on recorded markets.

Temperature brackets open too dear at the cheap end. In quarter hours of coins nothing is left of a
bias after fees. And a table knows nothing that became known after its time.
"""

import importlib.util
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.signals.longshot import Longshot

pytestmark = pytest.mark.real

RESEARCH = Path(__file__).parents[2] / "research"


def brought(name: str, folder: Path, into: Path) -> Store:
    import_tables(RESEARCH / "mappings" / f"{name}.toml", [folder], into)
    return Store.open(into)


@pytest.fixture(scope="module")
def coins(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return brought("crypto15m", real_data / "crypto15m-2026", tmp_path_factory.mktemp("c") / "d")


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


def test_favourites_among_quarter_hours_earn_nothing_after_fees(coins: Store) -> None:
    spec = importlib.util.spec_from_file_location("longshot_study", RESEARCH / "longshot.py")
    assert spec is not None
    assert spec.loader is not None
    study: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    table = study.study(study.visits(coins))
    row = table.filter(by="all", role="taker", band="favourite").row(0, named=True)
    assert row["clusters"] > 2_000
    assert row["net"] / row["error"] < 1.645
    assert not study.after_fees(table).endswith("a gain")


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
