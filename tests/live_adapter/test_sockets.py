"""A session over real sockets, whatever goes wrong there, is the backtest of what it recorded."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from board_rows import CALM, boards
from papered import agree, planned
from socketed import Place, both, imported, trade

from kalshi_bt.archive import add_opinions
from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.leaderboard_events import MODELS
from kalshi_bt.leaderboard_sample import quoted_boards
from live_adapter.parity import parity
from live_adapter.record import Recorder
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

MINUTE = timedelta(minutes=1)
FAULTS = (
    *("gap:every=193", "duplicate:every=5", "garbled:every=257", "reorder:every=9"),
    *("late:every=40,seconds=0.01", "overflow:first=1,skip=90,path=/ws/orderbook_delta"),
    "disconnect:first=1,skip=120",
)
MOVER = '''
from dataclasses import dataclass

import polars as pl

from kalshi_bt.signals.expr import per_market


@dataclass(frozen=True)
class Mover:
    """Follow the last change of the mid."""

    lookback = 2

    def __call__(self, quotes):
        moved = pl.col("mid") - per_market(pl.col("mid").shift(1))
        return quotes.with_columns(fair=(pl.col("mid") + 4 * moved).clip(0, 1))
'''


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def begun(store: Store, series: str) -> datetime:
    found = store.read("markets").filter(series=series)["open_time"].min()
    assert isinstance(found, datetime)
    return found


def test_faults_and_a_kill_leave_the_backtest_of_what_was_seen(one_day: Path, place: Place) -> None:
    """Both have the same holes: those of the feed, and the time in which nobody listened."""
    store = Store.open(one_day)
    begin = begun(store, "SYNHIGH")
    (place.root / "mover.py").write_text(MOVER)
    series = "SYNBTC15M,SYNHIGH"
    plan = planned(f"{place.root}/mover.py:Mover", one_day, series=series, bar="1m")
    with Exchange(store, now=begin, faults=FAULTS) as exchange:
        trade(exchange, plan, place, begin + 20 * MINUTE, life=6)
        exchange.play_until(exchange.now + 0.4 * MINUTE)
        trade(exchange, plan, place, begin + 20 * MINUTE)
        faults = httpx.get(f"{exchange.origin}/sandbox/faults").json()["faults"]
    assert all(row["struck"] for row in faults), faults
    batch, session = both(imported(place, plan), plan, place)
    assert session.orders.height > 3
    assert session.fills.height
    agree(batch, session)
    assert parity(place.session, plan, 60) is None


@pytest.mark.slow
def test_depth_over_a_faulty_feed_is_walked_as_in_the_backtest(one_day: Path, place: Place) -> None:
    """A number is missing and the connection ends; a lone series hands over to its next window."""
    store = Store.open(one_day)
    begin = begun(store, "SYNHIGH")
    (place.root / "mover.py").write_text(MOVER)
    strategy = f"{place.root}/mover.py:Mover"
    plan = planned(strategy, one_day, series="SYNBTC15M", bar="1m", fills="book")
    faults = ("gap:every=97", "disconnect:first=1,skip=60")
    with Exchange(store, now=begin, faults=faults) as exchange:
        for life in (-7, 9):
            trade(exchange, plan, place, begin + 25 * MINUTE, life=life)
            exchange.play_until(exchange.now + 2.4 * MINUTE)
        trade(exchange, plan, place, begin + 25 * MINUTE)
        told = httpx.get(f"{exchange.origin}/sandbox/faults").json()["faults"]
    assert all(row["struck"] for row in told), told
    batch, session = both(imported(place, plan), plan, place)
    assert session.fills["ticker"].n_unique() > 1  # it went on with the next window by itself
    agree(batch, session)
    assert parity(place.session, plan, 60) is None


def test_a_start_that_is_refused_leaves_nothing(one_day: Path, place: Place) -> None:
    store = Store.open(one_day)
    plan = planned("bollinger", one_day, series="SYNNONE", bar="1m")
    refused = pytest.raises(UsageError, match="has no series SYNNONE")
    with Exchange(store, now=begun(store, "SYNHIGH")) as exchange, refused:
        trade(exchange, plan, place, exchange.now)
    assert not place.frames.exists()
    with Recorder(place.frames):
        assert place.frames.exists()
    assert not place.frames.exists()


SELDOM = (
    *("gap:every=397", "duplicate:every=5", "garbled:every=431", "reorder:every=9"),
    *("late:every=90,seconds=0.01", "overflow:first=1,skip=190,path=/ws/orderbook_delta"),
    "disconnect:first=1,skip=320",
)
# Hours after the sample begins, and what a strategy is asked beside its defaults so that it trades
# within 40 minutes of it.
STRATEGIES: dict[str, tuple[int, tuple[str, ...]]] = {
    "bollinger": (0, ("period=8", "width=1.2", "min_time_to_close=0", "risk.max_losses=none")),
    "longshot": (
        6,
        (
            *("group=all", "gate=none", "kappa=0", "min_price=0.5", "assumptions.refit=10m"),
            *("z=0", "bandwidth=10"),
        ),
    ),
    "kelly_volatility": (0, ("min_edge=0", "sizing.min_edge=0")),
    "mean_reversion": (0, ("min_z=0.1", "min_t=0", "sizing.min_edge=0")),
    "event_value": (0, ("min_volume=0", "min_edge=0")),
}


@pytest.fixture(scope="module")
def told(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first day of the sample with what a forecaster and a model say."""
    folder = tmp_path_factory.mktemp("datasets") / "told"
    shutil.copytree(one_day, folder)
    add_opinions(folder, 0)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_its_backtest_over_a_faulty_feed(
    name: str, told: Path, place: Place
) -> None:
    """They know the past and what is said outside; the feed fails, and the session is killed."""
    hours, sets = STRATEGIES[name]
    begin = begun(Store.open(told), "SYNHIGH") + hours * 60 * MINUTE
    end = begin + 40 * MINUTE
    plan = planned(name, told, sets, series="SYNBTC15M,SYNHIGH", bar="1m", fills="optimistic")
    with Exchange(Store.open(told), now=begin, faults=SELDOM) as exchange:
        for life in (-14, 14):
            trade(exchange, plan, place, end, life=life, history=told)
            exchange.play_until(exchange.now + 0.4 * MINUTE)
        trade(exchange, plan, place, end, history=told)
    batch, session = both(imported(place, plan, told), plan, place)
    assert session.orders.height
    agree(batch, session)
    assert parity(place.session, plan, 60) is None


@pytest.mark.slow
def test_a_leaderboard_is_its_backtest_over_a_faulty_feed(place: Place) -> None:
    """Boards come from the dataset beside the feed, bars of an hour over the socket."""
    moved = CALM | {"x-1": 1510.0}
    data = place.root / "boards"
    store = Store.create(data, name="boards", synthetic=True)
    store.commit(quoted_boards(boards(CALM, CALM, moved, moved, CALM), seed=1))
    begin = begun(store, MODELS)
    plan = planned("leaderboard", data, ("places=4",), series=MODELS, bar="1h")
    faults = ("duplicate:every=5", "reorder:every=9", "gap:every=211")
    with Exchange(store, now=begin, faults=faults) as exchange:
        trade(exchange, plan, place, begin + 20 * 60 * MINUTE, life=8, history=data)
        exchange.play_until(exchange.now + 20 * MINUTE)
        trade(exchange, plan, place, begin + 20 * 60 * MINUTE, history=data)
    batch, session = both(imported(place, plan, data), plan, place)
    assert session.orders.height
    agree(batch, session)
    assert parity(place.session, plan, 3600) is None
