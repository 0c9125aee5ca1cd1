"""On recorded markets, who knows nothing loses what trading costs.

Coins and shuffled sides earn nought before costs on average, whatever the market. That buying what
is cheap does so too is a fact about these markets: no longshot bias shows in them at this size.
Seeds are fixed; `bound` leaves a right simulator 1 % for each kind of comparison in a test.
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from control_strategies import BEFORE_COSTS, CONTROLS, COSTS, NET, World, bound, mean

from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {"weather": "weather", "nba_minute": "nba"}
SEEDS = range(20)
BRIEF = ("random_entry", "shuffled_signal")
Bring = Callable[[str], World]


@pytest.fixture(scope="module")
def bring(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bring:
    """Lay out a dataset once."""
    root, done = tmp_path_factory.mktemp("controls"), {}

    def laid_out(name: str) -> World:
        if name not in done:
            import_tables(MAPPINGS / f"{name}.toml", [real_data / FOLDERS[name]], root / name)
            store = Store.open(root / name)
            made = panel(store)
            tables = {table: store.read(table) for table in ("series", "event_fees")}
            settled = outcomes(store, made.markets, None)
            done[name] = World.of(made, tables | {"settlements": settled})
        return done[name]

    return laid_out


@pytest.mark.parametrize("name", FOLDERS)
def test_who_knows_nothing_loses_what_trading_costs(bring: Bring, name: str) -> None:
    world = bring(name)
    for control, strategy in CONTROLS.items():
        runs = [world.trades(strategy(world, seed)) for seed in SEEDS]
        gains = [mean(trades, NET).z for trades in runs]
        assert max(gains) < bound(len(CONTROLS) * len(SEEDS), sides=1), control
        # All seeds together; trades in one event stay one cluster whatever the seed.
        trades = pl.concat(runs)
        net, costs, off = (mean(trades, amount) for amount in (NET, COSTS, BEFORE_COSTS))
        assert trades["event"].n_unique() > 50
        assert costs.value > 0.1, control  # dollars, of ten contracts
        limit = bound(len(CONTROLS), sides=2)
        assert abs(off.z) < limit, control
        assert abs(net.value + costs.value) < limit * net.error, control
        assert net.value < 0, control
        if control in BRIEF:  # so little noise that the loss is beyond doubt
            assert net.z < -5, control
