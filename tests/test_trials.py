"""The ledger of trials: appended, never changed, whole whatever happens to who writes it."""

import json
import math
import multiprocessing
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import kalshi_bt
from kalshi_bt import trial_days, trials
from kalshi_bt.errors import DataError
from kalshi_bt.metrics import Book
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
from kalshi_bt.trials import Trial

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def trial(number: int, run: str = "", **changes: object) -> Trial:
    made = Trial(trial=f"t{number}", strategy="a", data="d", run_id=run or f"a-{number}")
    return replace(made, **changes)  # type: ignore[arg-type]


def book(equity: list[int], cash: int = 10_000_000) -> Book:
    """A book whose equity is this at noon of days in a row."""
    rows = [(START + timedelta(days=n), e, 0, 0, e) for n, e in enumerate(equity)]
    return Book(
        orders=ORDERS.empty(),
        fills=FILLS.empty(),
        trades_closed=TRADES_CLOSED.empty(),
        equity=pl.DataFrame(rows, schema=EQUITY.columns, orient="row"),
        initial_cash=cash,
    )


# --- what is kept ---------------------------------------------------------------------------------


@given(st.lists(st.integers(5_000_000, 20_000_000), min_size=3, max_size=30))
def test_moments_are_those_of_the_daily_returns(equity: list[int]) -> None:
    found = trial(1).of(book(equity))
    path = [10_000_000, *equity]
    returns = [after / before - 1 for before, after in pairwise(path)]
    assert found.days == len(equity)
    assert found.net == equity[-1] - 10_000_000
    if max(returns) - min(returns) < 1e-9:
        assert (found.sharpe, found.skew, found.kurtosis) == (None, None, None)
        return
    assert found.sharpe == pytest.approx(stats.tmean(returns) / stats.tstd(returns), abs=1e-9)
    assert found.skew == pytest.approx(stats.skew(returns), abs=1e-6)
    assert found.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-6)


@pytest.mark.parametrize(
    ("equity", "days"), [([], 0), ([11_000_000], 1), ([10_000_000] * 5, 5), ([0, 1_000_000], 2)]
)
def test_what_has_no_sharpe_ratio_has_none(equity: list[int], days: int) -> None:
    found = trial(1).of(book(equity))
    assert (found.days, found.sharpe, found.skew, found.kurtosis) == (days, None, None, None)
    assert found.net == (equity[-1] - 10_000_000 if equity else 0)


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    made = trial(1, sharpe=0.1 + 0.2, days=3, skew=-1e-300, kurtosis=math.pi, net=-5)
    trials.register(tmp_path / "new", made)
    trials.register(tmp_path / "new", trial(2))
    assert trials.read(tmp_path / "new") == [made, trial(2)]
    assert trials.read(tmp_path / "absent") == []


@given(st.lists(st.integers(5_000_000, 20_000_000), max_size=30))
def test_what_was_made_of_each_day_is_kept(equity: list[int]) -> None:
    found = trial(1).of(book(equity))
    assert found.daily == tuple(after - before for before, after in pairwise([10_000_000, *equity]))
    assert found.first == ("2026-01-01" if equity else None)


def test_lines_that_know_no_days_are_read(tmp_path: Path) -> None:
    made = trial(1, sharpe=0.5, days=3)
    line = {k: v for k, v in asdict(made).items() if k not in {"first", "daily"}}
    (tmp_path / trials.LEDGER).write_text(json.dumps(line) + "\n")
    assert trials.read(tmp_path) == [made]
    later = trial(2, first="2026-01-01", daily=(1, -2))
    assert trials.register(tmp_path, later) == trials.read(tmp_path) == [made, later]


# --- side by side ---------------------------------------------------------------------------------


def days(number: int, *daily: int, first: str = "2026-01-31") -> Trial:
    return trial(number, first=first, daily=daily)


def test_only_variants_over_the_same_days_are_side_by_side() -> None:
    own = days(9, 5, 6)
    others = [days(1, 1, 2), days(2, 1), days(3, 1, 2, first="2026-02-01"), trial(4)]
    assert trial_days.side_by_side([*others, own]) == [others[0], own]
    assert trial_days.side_by_side([*others, trial(5)]) == []
    many = [days(n, n, n) for n in range(300)]
    assert trial_days.side_by_side(many) == many[100:]


@given(st.lists(st.tuples(st.booleans(), st.integers(-9, 9)), min_size=1, max_size=9))
def test_trials_come_back_from_the_rows_and_days_of_a_run(drawn: list[tuple[bool, int]]) -> None:
    made = [days(n, pnl, 2) if known else trial(n, net=pnl) for n, (known, pnl) in enumerate(drawn)]
    own = days(99, 3, 4)
    table = trial_days.days_of([*made, own])
    assert table.filter(trial=len(made) + 1)["day"].to_list() == [
        date(2026, 1, 31),
        date(2026, 2, 1),
    ]
    rows = json.loads(json.dumps(trial_days.rows_of([*made, own])))
    assert trial_days.retold(rows, table) == [*made, own]


# --- what counts ----------------------------------------------------------------------------------


def test_a_run_counts_what_came_before_it_and_itself(tmp_path: Path) -> None:
    seen = []
    for number in (1, 2, 3):
        ledger = trials.register(tmp_path, trial(number))
        seen.append([t.trial for t in trials.up_to(ledger, trial(number))])
    assert seen == [["t1"], ["t1", "t2"], ["t1", "t2", "t3"]]


def test_other_strategies_and_other_data_do_not_count(tmp_path: Path) -> None:
    for other in (trial(1, strategy="b"), trial(2, data="e"), trial(3)):
        ledger = trials.register(tmp_path, other)
    assert trials.up_to(ledger, trial(4)) == [trial(3), trial(4)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=25))
def test_the_same_run_again_counts_the_same_whatever_came_between(
    runs: list[tuple[int, int]],
) -> None:
    ledger: list[Trial] = []
    first: dict[str, list[Trial]] = {}
    for variant, code in runs:
        made = trial(variant, run=f"a-{variant}-{code}", net=code)
        if all(t.run_id != made.run_id for t in ledger):  # as `register` does
            ledger.append(made)
        found = trials.up_to(ledger, made)
        assert found[-1] == made
        assert first.setdefault(made.run_id, found) == found
        assert len({t.trial for t in found}) == len(found)


def test_new_code_is_no_new_trial_and_keeps_its_place(tmp_path: Path) -> None:
    for number in (1, 2):
        trials.register(tmp_path, trial(number, net=1))
    again = trial(1, run="a-1-new", net=2)
    ledger = trials.register(tmp_path, again)
    assert trials.up_to(ledger, again) == [again]
    assert trials.variants(ledger, again) == [again, trial(2, net=1)]
    assert trials.up_to(ledger, trial(3)) == [again, trial(2, net=1), trial(3)]


# --- what happens to the file ---------------------------------------------------------------------


@pytest.mark.parametrize("kept", range(0, 400, 7))
def test_a_torn_last_line_is_dropped_and_nothing_before_it(kept: int, tmp_path: Path) -> None:
    for number in (1, 2):
        trials.register(tmp_path, trial(number))
    path = tmp_path / trials.LEDGER
    content = path.read_bytes()
    path.write_bytes(content[:kept])
    whole = content[:kept].count(b"\n")
    assert trials.read(tmp_path) == [trial(1), trial(2)][:whole]
    trials.register(tmp_path, trial(3))
    assert trials.read(tmp_path) == [*[trial(1), trial(2)][:whole], trial(3)]
    assert path.read_bytes().startswith(b"".join(content[:kept].splitlines(keepends=True)[:whole]))


WHOLE = asdict(trial(1))
LINES = [b"", b"{}", b"\x00\x00", b"[1]", b"3", b"{"]
CHANGES = ({"days": "3"}, {"more": 3}, {"daily": 3}, {"daily": [0.5]})
LINES += [json.dumps(WHOLE | changed).encode() for changed in CHANGES]


@pytest.mark.parametrize("line", LINES)
def test_a_damaged_line_is_said_and_left_alone(line: bytes, tmp_path: Path) -> None:
    trials.register(tmp_path, trial(1))
    path = tmp_path / trials.LEDGER
    path.write_bytes(path.read_bytes() + line + b"\n")
    before = path.read_bytes()
    for touch in (lambda: trials.read(tmp_path), lambda: trials.register(tmp_path, trial(2))):
        with pytest.raises(DataError, match=r"trials.jsonl, line 2 is no trial.*mend the line"):
            touch()
    assert path.read_bytes() == before


def _many(out: Path, who: int) -> None:
    for number in range(40):
        trials.register(out, trial(1_000 * who + number, net=who))


@pytest.mark.slow
def test_processes_at_once_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_many, args=(tmp_path, who)) for who in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    found = trials.read(tmp_path)
    assert len(found) == len({t.run_id for t in found}) == 160
    for who in range(4):  # each in its own order
        own = [t.trial for t in found if t.net == who]
        assert own == [f"t{1_000 * who + number}" for number in range(40)]


ENDLESS = """
import sys
from pathlib import Path
from kalshi_bt.trials import Trial, register
for number in range(10**6):
    made = Trial(trial=f"t{number}", strategy="a", data="d", run_id=str(number))
    register(Path(sys.argv[1]), made)
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise there")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_loses_no_line_it_had_written(how: signal.Signals, tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with writer:
        assert writer.stdout is not None
        told = [next(writer.stdout) for _ in range(20)]
        writer.send_signal(how)
        told += list(writer.stdout)
    trials.register(tmp_path, trial(1, run="after"))
    found = [t.run_id for t in trials.read(tmp_path)]
    assert found[: len(told)] == [line.strip() for line in told]
    assert found[-1] == "after"
    assert len(found) <= len(told) + 2


def test_a_ledger_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / trials.LEDGER).mkdir()
    with pytest.raises(DataError, match=r"trials.jsonl cannot be written .*choose another --out"):
        trials.register(tmp_path, trial(1))


# --- runs -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_runs_are_registered_and_count_their_variants(one_day: Path, tmp_path: Path) -> None:
    widths = (1.5, 2.0, 1.5, 2.5)
    made = [kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, width=w) for w in widths]
    ledger = trials.read(tmp_path)
    ids = [made[n].run_dir.name for n in (0, 1, 3)]
    assert [t.run_id for t in ledger] == ids
    for number, run in zip((1, 2, 1, 3), made, strict=True):
        assert [t["run_id"] for t in run.run.trials] == ids[:number]
    for run, line in zip((made[0], made[1], made[3]), ledger, strict=True):
        own = run.run.tables["trial_days"].filter(trial=len(run.run.trials))
        assert tuple(own["pnl"]) == line.daily
        assert run.metrics["n_compared"]["value"] == run.metrics["n_trials"]["value"]
        net = round(float(str(run.metrics["net_pnl"]["value"])) * 1e6)
        assert line.net == sum(line.daily) == net
        sharpe = run.metrics["sharpe"]["value"]
        if sharpe is None:
            assert line.sharpe is None
        else:
            assert line.sharpe == pytest.approx(float(str(sharpe)) / math.sqrt(365))


@pytest.mark.slow
def test_the_place_of_the_data_and_the_code_are_no_part_of_a_trial(
    one_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(one_day)
    kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path / "out")
    kalshi_bt.backtest("bollinger", data=tmp_path / "link", out=tmp_path / "out")
    assert len(trials.read(tmp_path / "out")) == 1
    monkeypatch.setattr("kalshi_bt.artifacts.code_version", lambda: "changed")
    found = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path / "out")
    first, second = trials.read(tmp_path / "out")
    assert (first.trial, first.net) == (second.trial, second.net)
    assert first.run_id != second.run_id == found.run_dir.name
    assert [t["run_id"] for t in found.run.trials] == [second.run_id]


def test_a_damaged_ledger_stops_a_run_before_the_work(
    one_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / trials.LEDGER).write_text("mine\n")
    monkeypatch.setattr("kalshi_bt.pipeline.compute", None)  # not reached
    with pytest.raises(DataError, match=r"line 1 is no trial"):
        kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path)
