"""As documented the scalper never trades: its geometry cannot pass its own gate, on any data."""

from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.config import layered
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import plan

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {
    "weather": "weather",
    "nba_minute": "nba",
    "nba_hourly": "nba",
    "analytics_aug2025": "kalshi-analytics-aug2025",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_no_trade_can_be_executed_on_recorded_data(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    """The corrected strategy finds a hundred set-ups and more in the same bars, and trades."""
    import_tables(MAPPINGS / f"{name}.toml", [real_data / FOLDERS[name]], tmp_path / name)
    store = Store.open(tmp_path / name)
    flags = {"strategy": "bollinger"}
    literal = compute(store, plan(layered(None, {}, flags | {"mode": "reference"}, [])))
    # Every long is refused by its ratio; what is left is short, with a stop that is none.
    assert literal.intents.height > 20
    assert set(literal.intents["side"]) == {-1}
    for outcome in (literal.base, *literal.band.values()):
        assert outcome.fills.is_empty()
        assert outcome.trades_closed.is_empty()
        assert outcome.orders.height == literal.intents.height
        assert set(outcome.orders["status"].cast(pl.String)) == {"rejected"}
    corrected = compute(store, plan(layered(None, {}, flags, [])))
    assert corrected.base.orders.height > 100
    assert corrected.base.fills.height > 20
