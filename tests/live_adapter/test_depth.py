"""Recorded depth on paper: the rows of the import, and the orders and fills of the backtest."""

import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from papered import Traded, agree, batch, papered, planned

from kalshi_bt import cli
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.importers.ws_lines import recordings
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from kalshi_bt.terminal import invoke
from live_adapter.bars import Bars
from live_adapter.moments import Moment, Resumed, at, from_json, micros, to_json
from live_adapter.paper import PaperSession
from live_adapter.parity import parity

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

START = micros(datetime(2026, 6, 1, 12, tzinfo=UTC))
TICKER = "KXA-26JUN01-A"
GOLD = "KXGOLD15M-26AUG101800-00"
EAGER = (
    *("on=price", "reach_seconds=450", "min_t=0", "fallback=true", "min_z=0.3", "least=3"),
    *("sizing.min_edge=0", "lookback_seconds=120", "min_left=0"),
)
Frame = dict[str, Any]


def book(kind: str, seq: int, **told: Any) -> Frame:
    return {
        "type": f"orderbook_{kind}",
        "sid": 1,
        "seq": seq,
        "msg": {"market_ticker": TICKER} | told,
    }


def changed(seq: int, cents: int, count: int) -> Frame:
    told = {"price_dollars": f"{cents / 100:.4f}", "delta_fp": f"{count}.00", "side": "yes"}
    return book("delta", seq, **told)


def messages() -> list[tuple[float, Frame]]:
    """Changes at the top and below what is kept, two at one time, a lost message, and trades."""
    bids = [[f"{cents / 100:.4f}", "10.00"] for cents in (45, 44, 42, 40)]
    whole = {"yes_dollars_fp": bids, "no_dollars_fp": [["0.5000", "7.00"]]}
    printed = {"market_ticker": TICKER, "yes_price_dollars": "0.5000", "count_fp": "3.00"}
    sides = {"taker_side": "yes", "taker_book_side": "bid"}
    trades = [
        {"type": "trade", "sid": 2, "msg": printed | sides | {"trade_id": f"t{n}"}} for n in (1, 2)
    ]
    return [
        (1, book("snapshot", 1, **whole)),
        (20, changed(2, 45, -4)),
        (25, changed(3, 40, 6)),  # the fourth level: not kept
        (30, changed(4, 44, 1)),
        (30, changed(5, 43, 2)),
        (60, trades[0]),
        (60, trades[1]),  # a microsecond later, in the next bar
        (75, changed(7, 45, 1)),  # number 6 is missing
        (80, book("snapshot", 8, **whole)),
        (121, changed(9, 45, -10)),
    ]  # fmt: skip


def told(made: Bars, lines: Iterable[tuple[int, Frame]], *first: Frame) -> list[Moment]:
    """Feed messages, after answers, to their end and an hour on."""
    moments: list[Moment] = []
    last = 0
    for time, frame in lines:
        if not last:
            for answer in first:
                moments += made.describe(at(time), answer)
        moments += made.take(at(time), frame)
        last = time
    moments += [*made.until(at(last + 1)), *made.rest()]
    return [*moments, *made.until(at(last + 3_600_000_000))]


def same_rows(moments: list[Moment], store: Store) -> None:
    for name in ("books", "trades"):
        rows = pl.concat([getattr(moment, name) for moment in moments]).sort("ticker", "time")
        assert rows.equals(store.read(name)), f"{rows}\n{store.read(name)}"


def test_moments_tell_the_depth_that_an_import_stores(tmp_path: Path) -> None:
    sent = [(START + round(time * 1e6), frame) for time, frame in messages()]
    lines = [json.dumps({"recv_us": time, "event": frame}) for time, frame in sent]
    (tmp_path / "frames.jsonl").write_text("\n".join(lines))
    import_ws([tmp_path / "frames.jsonl"], tmp_path / "data", depth=3)
    moments = told(Bars(60, depth=3), sent)
    same_rows(moments, Store.open(tmp_path / "data"))
    assert not [m for m in moments for f in (m.books, m.trades) if (f["time"] > m.time).any()]
    times = [moment.time for moment in moments]
    assert times == sorted(set(times))
    for moment in moments:
        kept = from_json(to_json(moment))
        assert kept.books.equals(moment.books)
        assert kept.trades.equals(moment.trades)
    assert all(moment.books.is_empty() for moment in told(Bars(60), sent))


def test_books_that_a_stopped_session_held_are_lost_right_after_it() -> None:
    made, other = Bars(60, depth=3), "KXA-26JUN01-B"
    closes = {TICKER: at(START + 3_600_000_000), other: None}
    made.adopt(Resumed(at(START + 5_000_000), closes, booked=[TICKER]))
    first = (2 * 1_000_000, messages()[0][1])  # by a clock that was set back
    rows = pl.concat([m.books for m in told(made, [(START + time, f) for time, f in [first]])])
    assert rows["ticker"].to_list() == [TICKER, TICKER]
    assert rows["time"].to_list() == [at(START + 5_000_001), at(START + 5_000_002)]
    assert rows["bids"].is_null().to_list() == [True, False]


# --- recorded -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(real_data: Path) -> list[Path]:
    folder = real_data / "gold15m-ws"
    return [folder / "events" / GOLD, folder / "metadata" / f"{GOLD.rpartition('-')[0]}.json"]


@pytest.fixture(scope="module")
def data(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gold") / "data"
    import_ws(sources, folder, bar_seconds=15)
    return folder


@pytest.fixture(scope="module")
def plan(data: Path) -> Plan:
    return planned("mean_reversion", data, EAGER, fills="book")


@pytest.fixture(scope="module")
def whole(plan: Plan, data: Path) -> Traded:
    done = compute(Store.open(data), plan)
    assert done.base.fills.height
    assert set(done.base.fills["source"]) <= {"book", "limit", "payout"}
    return batch(done)


@pytest.mark.real
@pytest.mark.slow
def test_a_recording_on_paper_is_the_backtest_of_its_import(
    sources: list[Path], data: Path, plan: Plan, whole: Traded, tmp_path: Path
) -> None:
    found, _ = recordings(sources[:1])
    lines = [(line.time or 0, line.frame) for line in found[0].lines(lambda _: None)]
    answer = json.loads(sources[1].read_text(), parse_float=Decimal)
    moments = told(Bars(15, whole=not found[0].cut(), depth=10), lines, answer)
    same_rows(moments, Store.open(data))
    rng, session = np.random.Generator(np.random.Philox(3)), PaperSession(tmp_path, plan, 15)
    for n, moment in enumerate(moments):
        if n in rng.integers(1, len(moments), 3):
            session = PaperSession(tmp_path, plan, 15)
        session.take(moment)
    agree(whole, Traded.on_paper(session.broker.end(), session.broker.rules.cash))
    assert parity(tmp_path, plan, 15) is None


@pytest.mark.real
@pytest.mark.slow
def test_a_dataset_with_depth_on_paper_is_its_backtest(
    plan: Plan, whole: Traded, tmp_path: Path
) -> None:
    agree(whole, papered(tmp_path, plan))


@pytest.mark.real
@pytest.mark.slow
def test_a_changed_level_is_told(data: Path, tmp_path: Path) -> None:
    """The session wrote down what it bought; of the frame that is changed it could not have."""
    flags = [f"--set={pair}" for pair in EAGER]
    command = ["--replay", str(data), "--strategy", "mean_reversion", "--fills", "book", *flags]
    out = tmp_path / "told"
    subprocess.run(
        [sys.executable, "-m", "live_adapter.run", *command, "--once", "--json", "--out", str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    compare = ["compare", "--parity", str(out)]
    assert invoke(cli.app, compare) == 0
    fill = (out / "trades.csv").read_text().splitlines()[1].split(",")
    bought, side = micros(datetime.fromisoformat(fill[0])), 3 if fill[2] == "YES" else 2
    [path] = (out / "moments").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for line in lines for row in line.get("books", ()) if row[1] < bought]
    max(rows, key=lambda row: row[1])[side][1] = 100
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    assert invoke(cli.app, compare) == 1
