"""A session over real sockets, whatever goes wrong there, is the backtest of what it recorded."""

from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from papered import agree, planned
from socketed import Place, both, imported, trade

from kalshi_bt.data.store import Store
from live_adapter.parity import parity
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

MINUTE = timedelta(minutes=1)
FAULTS = (
    *("gap:every=97", "duplicate:every=5", "garbled:every=131", "reorder:every=9"),
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
    batch, session = both(imported(place), plan, place)
    assert session.orders.height > 3
    assert session.fills.height
    agree(batch, session)
    assert parity(place.session, plan, 60) is None
