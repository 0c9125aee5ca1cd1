"""The live table shows what there is: quotes, signals, positions, results, stops, the feed."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from papered import planned
from rich.console import Console
from rich.text import Text

from kalshi_bt.data.store import Store
from kalshi_bt.schema import MARKETS
from live_adapter.account import Names
from live_adapter.clock import StreamClock
from live_adapter.desk import Desk
from live_adapter.moments import BARS, NO_INTENTS, Moment
from live_adapter.panels import replay
from live_adapter.paper import Step
from live_adapter.safety import Limits
from live_adapter.screen import Board, shown

pytestmark = pytest.mark.usefixtures("settings_only_from_here")
BEGIN, SECOND = datetime(2026, 6, 1, tzinfo=UTC), timedelta(seconds=1)
EARLY = "2026-05-04T04:40:00Z"
SETS = ("period=5", "width=1.0", "min_time_to_close=0", "risk.max_losses=none")


def text(board: Board, desk: Desk, width: int = 160, **health: object) -> str:
    file = StringIO()
    Console(width=width, file=file).print(board.draw(desk, health))
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
                shown_now = text(board, desk, feed="up", depth=7, **{"type:trade": 1_234, "gap": 1})
                ticker, side, quantity = held.select("ticker", "side", "quantity").row(0)
                (line,) = (x for x in shown_now.splitlines() if ticker in x)
                assert f"{quantity / 100:g} {'YES' if side > 0 else 'NO'}" in line
                quote = moment.bars.filter(ticker=ticker)
                for name in ("bid_close", "ask_close"):
                    price = quote[name].item() if quote.height else None
                    assert price is None or f"{price / 100:g}" in line
                assert f"cash {desk.session.broker.cash / 1e6:,.2f}" in shown_now
                assert "feed up  depth 7" in shown_now
                assert "messages: trade 1,234" in shown_now
                assert "counts: gap 1" in shown_now
        assert seen
        (tmp_path / "STOP").touch()
        desk.safety.watch(desk._seen(moment.time))
        assert "STOPPED kill_switch" in text(board, desk)


def listed() -> pl.DataFrame:
    """One market, so that the account can be asked what it holds."""
    row = {"ticker": "SYNHIGH-1-A", "event": "SYNHIGH-1", "series": "SYNHIGH"}
    return MARKETS.filled(pl.DataFrame([row]))


def quoted(count: int) -> Step:
    """A moment of many markets with long names."""
    rows = [{"ticker": f"KXLONGSERIES-26SEP131715-TOMORROW-T{n:04d}.5"} for n in range(count)]
    made = [{name: row.get(name) for name in BARS} | {"time": BEGIN} for row in rows]
    bars = pl.DataFrame(made, schema=dict(BARS), orient="row")
    return Step(Moment(BEGIN, bars=bars), NO_INTENTS, NO_INTENTS)


def test_every_line_fits_whatever_there_is_to_show(one_day: Path, tmp_path: Path) -> None:
    plan = planned("bollinger", one_day, SETS, end=EARLY)
    limits = Limits(kill_switch=tmp_path / "STOP")
    title = "a session with a rather long name: https://demo.exchange.example/trade-api/v2"
    with Desk(tmp_path / "one", plan, 60, Names("one", "b"), "x", limits=limits) as desk:
        for count in (0, 1, 500):
            board = Board(title)
            if count == 1:
                fees = Store.open(one_day).read("series")
                desk.session.broker.take(Moment(BEGIN, listed=listed(), series=fees))
            if count:
                board.learn(quoted(count))
                board._signals = dict.fromkeys(board._quotes, "09:45 buy YES at 0.19, not sent")
            for width in (76, 80, 120):
                told = text(board, desk, width, feed="up", heard="12:00:00", markets=count)
                lines = told.splitlines()
                assert max(map(len, lines)) <= width
                assert len([line for line in lines if "KXLONG" in line]) == min(count, 20)
                assert all(line.endswith("│") for line in lines if line.startswith("│"))
                assert ("and 480 more markets" in told) == (count == 500)
                assert ("nothing came yet" in told) == (count == 0)
                assert "orders a minute 0 of 60" in " ".join(told.split())
                for name in ("market", "bid", "ask", "position", "P&L", "signal"):
                    assert name in told


def test_without_a_terminal_nothing_is_drawn() -> None:
    drawn = []
    for console in (None, Console(file=StringIO())):
        with shown(console, StreamClock()) as show:
            show(lambda: drawn.append(1) or Text("x"))
    assert not drawn


def test_a_terminal_is_drawn_to_four_times_a_second_at_most_and_at_the_end() -> None:
    file, clock = StringIO(), StreamClock(BEGIN)
    drawn = []
    with shown(Console(file=file, force_terminal=True, width=40), clock) as show:
        for number in range(100):  # ten in each second
            clock.advance(BEGIN + number * SECOND / 10)
            show(lambda number=number: drawn.append(number) or Text(f"the {number}th"))
    assert len(drawn) <= 4 * 10 + 1
    assert drawn[0] == 0
    assert drawn[-1] == 99
    assert "the 99th" in file.getvalue()
