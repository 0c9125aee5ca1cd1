"""What a session's files say is held to what its account did, line by line."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from mover import MOVER
from papered import planned

from kalshi_bt.data.store import Store
from kalshi_bt.simulator.ledger import equity_curve
from kalshi_bt.simulator.simulate import Simulation
from live_adapter import written
from live_adapter.account import Names
from live_adapter.desk import Desk
from live_adapter.differing import Difference
from live_adapter.panels import replay
from live_adapter.safety import Limits

NAMES = Names("s", "Mover")
Lines = list[str]


class Done(NamedTuple):
    """A session that ended, and what its account did."""

    folder: Path
    run: Simulation
    cash: int
    times: list[datetime]
    curve: pl.DataFrame


@pytest.fixture(scope="module")
def done(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("written")
    (root / "own.py").write_text(MOVER)
    plan = planned(f"{root}/own.py:Mover", one_day, end="2026-05-04T04:20:00Z")
    told, limits = replay(Store.open(one_day), plan), Limits(max_orders_minute=None)
    with Desk(root / "session", plan, told.period, NAMES, "replay", limits=limits) as desk:
        moments = list(told.moments())
        for moment in moments:
            desk.take(moment)
        broker = desk.session.broker
        cash, run = broker.rules.cash, broker.so_far()
        curve = equity_curve(run.tape, run, cash).equity
    assert len(run.placed) > 4
    return Done(root / "session", run, cash, [moment.time for moment in moments], curve)


def found(done: Done, folder: Path) -> Difference | None:
    return (
        written.orders(folder, done.run.orders, NAMES, done.times[-1])
        or written.fills(folder, done.run, NAMES, done.cash, len(done.run.placed))
        or written.equity(folder, done.times, done.curve)
    )


def cell(lines: Lines, row: int, column: int, value: str) -> Lines:
    cells = lines[row].split(",")
    cells[column] = value
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


def without(lines: Lines, row: int) -> Lines:
    return lines[:row] + lines[row:][1:]


def first_intent(lines: Lines) -> int:
    return next(n for n, line in enumerate(lines) if json.loads(line)["event"] == "order_intent")


PLANTED: dict[str, tuple[str, Callable[[Lines], Lines], str, str]] = {
    "price": ("trades.csv", lambda t: cell(t, 2, 4, "77"), "written fill", "line 3 of trades.csv"),
    "fee": ("trades.csv", lambda t: cell(t, 1, 7, "1.0000"), "written fill", "line 2"),
    "fill gone": ("trades.csv", lambda t: without(t, 3), "written fill", "line 4"),
    "last gone": ("trades.csv", lambda t: t[:-1], "written fill", "session: nothing"),
    "fill twice": ("trades.csv", lambda t: [*t, t[-1]], "written fill", "backtest: nothing"),
    "equity": ("equity.csv", lambda t: cell(t, 9, 4, "1.0000"), "written equity", "session: 1.0"),
    "row gone": ("equity.csv", lambda t: without(t, 9), "written equity", "session: nothing"),
    "row more": ("equity.csv", lambda t: [*t, "2027" + t[-1][4:]], "written equity", "no moment"),
    "order gone": (
        "journal.jsonl",
        lambda t: without(t, first_intent(t)),
        "written order",
        "does not tell of it",
    ),
    "order more": (
        "journal.jsonl",
        lambda t: [*t, t[first_intent(t)].replace('_id":"', '_id":"x', 1)],
        "written order",
        "nobody decided",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_whatever_was_changed_in_a_file_is_found(done: Done, planted: str, tmp_path: Path) -> None:
    name, change, what, cause = PLANTED[planted]
    folder = tmp_path / "changed"
    folder.mkdir()
    for kept in ("trades.csv", "equity.csv", "journal.jsonl"):
        shutil.copy(done.folder / kept, folder)
    assert found(done, folder) is None
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join(change(lines)) + "\n")
    difference = found(done, folder)
    assert difference is not None
    assert difference.what == what
    assert cause in str(difference)


def test_what_a_stop_kept_from_the_files_is_no_difference(done: Done, tmp_path: Path) -> None:
    """Of the last moment a fill and the row of the equity, of a line a part."""
    for name in ("trades.csv", "equity.csv"):
        lines = (done.folder / name).read_text().splitlines()
        (tmp_path / name).write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:9])
    sure = len(done.run.placed) - 1
    assert written.fills(tmp_path, done.run, NAMES, done.cash, sure) is None
    assert written.equity(tmp_path, done.times, done.curve) is None
