"""The registered signals pass every check, where they speak and where they are silent."""

from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.forecasting import Learned
from kalshi_bt.lookahead.audit import Audit
from kalshi_bt.lookahead.command import audited, planned
from kalshi_bt.lookahead.finding import Verdict
from kalshi_bt.lookahead.sampling import COMPLETE, IN_A_RUN, Size
from kalshi_bt.lookahead.subject import Subject
from kalshi_bt.signals import Signal
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.signals.event_value import EventValue
from kalshi_bt.signals.kelly_volatility import KellyVolatility
from kalshi_bt.signals.leaderboard import Leaderboard
from kalshi_bt.signals.mean_reversion import MeanReversion
from kalshi_bt.strategies import STRATEGIES
from tests.lookahead.conftest import Bench
from tests.quotes_random import quotes
from tests.signals.spot_quotes import spot_quotes
from tests.signals.test_event_value import EAGER
from tests.signals.test_event_value import told as valued
from tests.signals.test_leaderboard import told as ranked

SLOW = pytest.mark.slow
MODES = ("corrected", "reference")
SPOT = ["source=synthetic", "symbols=SYNBTC15M=SYNBTC"]
OWN = {"kelly_volatility": SPOT, "mean_reversion": SPOT, "longshot": ["refit=6h", "min_price=0.5"]}
MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"


def verdict(data: Path, name: str, mode: str, sets: list[str], markets: int = 40) -> Verdict:
    plan = planned({"strategy": name, "data": str(data), "mode": mode}, sets)
    return audited(Store.open(data), plan, markets)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_registered_strategy_passes_on_the_sample(one_day: Path, name: str, mode: str) -> None:
    found = verdict(one_day, name, mode, OWN.get(name, []), markets=12)
    assert found.clean, found.text()
    assert {"truncate", "perturb", "hidden_columns", "events", "order", "state"} <= {*found.checks}
    if name in {"bollinger", "kelly_volatility", "mean_reversion"}:
        assert found.opinions > 0
    assert bool(found.by_design) == (name == "longshot" and mode == "reference")
    assert (found.tone == "clean") == (found.opinions > 0 and not found.by_design)


RANDOM = quotes(3, bars=120, absent=0.1, snapshots=0.1)
SPOKEN: dict[str, tuple[Signal, pl.DataFrame]] = {
    "bollinger": (
        Bollinger(period=8, width=1.0, reward=3.0, fee_aware=False, min_time_to_close=60), RANDOM,
    ),
    "mean_reversion on prices": (
        MeanReversion(on="price", reach_seconds=1_800.0, bar_seconds=60, min_t=0.0, min_z=0.3),
        RANDOM,
    ),
    "kelly_volatility": (
        KellyVolatility(lookback_seconds=1_800.0, bar_seconds=60),
        spot_quotes(3, bars=120, events=3),
    ),
    "event_value": (EventValue(**EAGER), valued(3, bars=60)),
    "event_value heuristic": (
        EventValue(**EAGER | {"min_edge": 0.01}, providers="heuristic", edge="mid"),
        valued(3, bars=60),
    ),
    "event_value any": (EventValue(**EAGER, providers="any", adaptive=True), valued(4, bars=60)),
    "leaderboard": (Leaderboard(places=4), ranked(3, Leaderboard(places=4))),
    "leaderboard reference": (Leaderboard.reference(), ranked(3, Leaderboard.reference())),
}  # fmt: skip


@pytest.mark.parametrize(
    "size",
    [pytest.param(IN_A_RUN, id="in a run"), pytest.param(COMPLETE, id="complete", marks=SLOW)],
)
@pytest.mark.parametrize("name", SPOKEN)
def test_a_registered_signal_passes_where_it_speaks(bench: Bench, name: str, size: Size) -> None:
    signal, frame = SPOKEN[name]
    subject = Subject(name, Learned([(frame["time"].min(), signal)]))  # type: ignore[list-item]
    ordered = frame.sort("ticker", "time")
    found = Audit(subject, bench.panel, size).on(ordered, subject.says(ordered))
    assert found.clean, found.text()
    assert found.opinions > 0


@pytest.mark.slow
def test_a_fitted_longshot_passes_where_it_speaks(one_day: Path) -> None:
    sets = ["refit=6h", "min_price=0.5", "gate=none", "kappa=0"]
    found = verdict(one_day, "longshot", "corrected", sets)
    assert found.clean, found.text()
    assert found.opinions > 0
    assert {"samples", "fit"} <= {*found.checks}


@pytest.fixture(scope="module")
def recorded(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("audited")
    folders = {"weather": "weather", "nba_minute": "nba", "crypto15m": "crypto15m-2026"}
    for name, folder in folders.items():
        import_tables(MAPPINGS / f"{name}.toml", [real_data / folder], root / name)
    return {name: root / name for name in folders}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", ["weather", "nba_minute", "crypto15m"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_registered_strategy_passes_on_recorded_markets(
    recorded: dict[str, Path], name: str, data: str, mode: str
) -> None:
    """Those whose outside series were not recorded speak of the price, or stay silent."""
    sets = {
        "mean_reversion": ["on=price"] * (mode == "corrected"),
        "bollinger": ["period=6"] * (data == "crypto15m"),
    }
    found = verdict(recorded[data], name, mode, sets.get(name, []))
    assert found.clean, found.text()
    if name == "bollinger" or (name, data, mode) == ("longshot", "crypto15m", "corrected"):
        assert found.opinions > 0
