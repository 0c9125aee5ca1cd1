"""The live table shows what there is: quotes, signals, positions, results, stops, the feed."""

from io import StringIO
from pathlib import Path

import pytest
from papered import planned
from rich.console import Console

from kalshi_bt.data.store import Store
from live_adapter.account import Names
from live_adapter.desk import Desk
from live_adapter.panels import replay
from live_adapter.safety import Limits
from live_adapter.screen import Board, shown

pytestmark = pytest.mark.usefixtures("settings_only_from_here")
EARLY = "2026-05-04T04:40:00Z"
SETS = ("period=5", "width=1.0", "min_time_to_close=0", "risk.max_losses=none")


def text(board: Board, desk: Desk, **health: object) -> str:
    file = StringIO()
    Console(width=160, file=file).print(board.draw(desk, health))
    return file.getvalue()


def test_what_is_held_quoted_wanted_and_stopped_is_shown(one_day: Path, tmp_path: Path) -> None:
    plan = planned("bollinger", one_day, SETS, end=EARLY)
    told = replay(Store.open(one_day), plan)
    limits = Limits(kill_switch=tmp_path / "STOP", max_orders_minute=None)
    names = Names("one", "bollinger")
    board = Board("one: replay")
    with Desk(tmp_path / "one", plan, told.period, names, "replay", limits=limits) as desk:
        seen = False
        for moment in told.moments():
            step = desk.take(moment)
            board.learn(step)
            held = desk.session.broker.held
            if held.height and not seen:
                seen = True
                shown_now = text(board, desk, feed="up", depth=7)
                ticker, side, quantity = held.select("ticker", "side", "quantity").row(0)
                (line,) = (x for x in shown_now.splitlines() if ticker in x)
                assert f"{quantity / 100:g} {'YES' if side > 0 else 'NO'}" in line
                quote = moment.bars.filter(ticker=ticker)
                for name in ("bid_close", "ask_close"):
                    price = quote[name].item() if quote.height else None
                    assert price is None or f"{price / 100:g}" in line
                assert f"cash {desk.session.broker.cash / 1e6:,.2f}" in shown_now
                assert "feed up  depth 7" in shown_now
        assert seen
        (tmp_path / "STOP").touch()
        desk.safety.watch(desk._seen(moment.time))
        assert "STOPPED kill_switch" in text(board, desk)


def test_without_a_terminal_nothing_is_drawn() -> None:
    with shown(None) as show:
        assert show is None
    with shown(Console(file=StringIO())) as show:
        assert show is None
