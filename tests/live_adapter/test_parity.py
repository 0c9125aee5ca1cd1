"""A paper session does what the backtest of the same data and settings does, row for row."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from board_rows import CALM, boards
from mover import MOVER
from papered import Traded, agree, batch, compared, opened, papered, planned
from polars.testing import assert_frame_equal

from kalshi_bt import schema
from kalshi_bt.archive import add_opinions
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.leaderboard_sample import quoted_boards
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from live_adapter.history import History
from live_adapter.moments import INTENTS
from live_adapter.panels import Replay, replay
from live_adapter.paper import PaperSession
from live_adapter.parity import parity

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

EARLY = "2026-05-04T05:10:00Z"  # the sample begins at 04:00
NOON = "2026-05-04T12:00:00Z"
EAGER = (  # a table of few outcomes that speaks all the same
    *("group=all", "gate=none", "kappa=0", "min_price=0.5", "assumptions.refit=3h"),
    *("z=0", "bandwidth=10"),
)
SHORT = ("period=8", "width=1.2", "min_time_to_close=0")
# What a strategy is asked beside its defaults so that it trades in the time given.
CASES: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "bollinger": ("bollinger", (*SHORT, "risk.max_losses=none"), {}),
    "limits": ("bollinger", (*SHORT, "width=1.0"), {"preset": "small_account"}),
    "stops": ("bollinger", (*SHORT, "geometry=reversal_break", "valid_bars=4"), {}),
    "volatility": ("kelly_volatility", ("min_edge=0.02",), {}),
    "conviction": ("kelly_volatility", ("sizing.min_edge=0.0",), {"preset": "high_conviction"}),
    "documented": ("kelly_volatility", (), {"mode": "reference"}),
    "reversion": ("mean_reversion", ("min_z=0.2", "min_t=0", "sizing.min_edge=0"), {}),
    "reverting price": (
        "mean_reversion",
        ("on=price", "reach_seconds=1800", "min_t=0", "fallback=true"),
        {},
    ),
    "edge stake": ("mean_reversion", ("min_samples=5",), {"mode": "reference"}),
    "valuations": ("event_value", ("min_volume=50", "min_edge=0.02"), {}),
    "netting": ("event_value", ("min_volume=0", "min_edge=0"), {}),
    "collateral": ("event_value", ("min_volume=0", "assumptions.collateral=true"), {}),
    "longshot": ("longshot", EAGER, {}),
    "longshot by market": ("longshot", (*EAGER, "unit=market", "method=logit"), {}),
    "every trade": ("longshot", (*EAGER, "unit=contract", "hours=1,24"), {}),
    "own": ("MOVER", (), {}),
    "own stake": ("MOVER", ("sizing.method=fixed_stake",), {}),
    "resting": (
        "bollinger",
        (*SHORT, "valid_bars=9", "risk.max_losses=none"),
        {"fills": "passive"},
    ),
}
FILLS = ("optimistic", "pessimistic", "passive", "random", "naive")


@pytest.fixture(scope="module")
def data(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first day of the sample with what a forecaster and a model say."""
    folder = tmp_path_factory.mktemp("datasets") / "told"
    shutil.copytree(one_day, folder)
    add_opinions(folder, 0)
    return folder


Planned = Callable[..., Plan]


@pytest.fixture(scope="module")
def case(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    file = tmp_path_factory.mktemp("own") / "own.py"
    file.write_text(MOVER)

    def of(name: str, **flags: str) -> Plan:
        strategy, sets, more = CASES[name]
        strategy = f"{file}:Mover" if strategy == "MOVER" else strategy
        return planned(strategy, data, sets, **{"end": EARLY} | more | flags)

    return of


@pytest.mark.parametrize("name", ["own", pytest.param("bollinger", marks=pytest.mark.slow)])
def test_paper_equals_batch(case: Planned, name: str, tmp_path: Path) -> None:
    agree(*compared(tmp_path, case(name)))


def test_a_leaderboard_on_paper_equals_its_batch(tmp_path: Path) -> None:
    """Boards change within the events, before the check that decides and after it."""
    moved = CALM | {"x-1": 1510.0}
    folder = tmp_path / "boards"
    store = Store.create(folder, name="boards", synthetic=True)
    store.commit(quoted_boards(boards(CALM, CALM, moved, moved, CALM), seed=1))
    whole, piecewise = compared(
        tmp_path / "paper", planned("leaderboard", folder, ("places=4", "audit=false"))
    )
    assert whole.fills.height > 2
    agree(whole, piecewise)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_paper_equals_batch_over_a_day(case: Planned, name: str, tmp_path: Path) -> None:
    whole, piecewise = compared(tmp_path, case(name, end=NOON))
    assert whole.fills.height  # else nothing was shown
    agree(whole, piecewise)


@pytest.mark.slow
@pytest.mark.parametrize("fills", FILLS)
def test_every_fill_model_is_the_same_on_paper(case: Planned, fills: str, tmp_path: Path) -> None:
    agree(*compared(tmp_path, case("stops", fills=fills)))


def test_a_session_that_is_killed_goes_on_as_if_it_had_not_been(
    case: Planned, tmp_path: Path
) -> None:
    plan = case("own", end="2026-05-04T04:40:00Z")
    whole = papered(tmp_path / "whole", plan)
    assert whole.orders.height
    agree(whole, papered(tmp_path / "killed", plan, np.random.Generator(np.random.Philox(5))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["longshot", "netting", "volatility", "edge stake", "stops"])
def test_any_session_survives_being_killed(case: Planned, name: str, tmp_path: Path) -> None:
    plan = case(name, end="2026-05-04T06:00:00Z")  # each restart feeds all of it again
    agree(
        papered(tmp_path / "whole", plan),
        papered(tmp_path / "killed", plan, np.random.Generator(np.random.Philox(6))),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["longshot", "every trade", "netting", "volatility", "edge stake"])
def test_any_session_goes_on_from_its_state(case: Planned, name: str, tmp_path: Path) -> None:
    plan = case(name, end=NOON)
    killed = papered(tmp_path, plan, np.random.Generator(np.random.Philox(8)), kept=True)
    assert killed.orders.height
    agree(batch(compute(Store.open(Path(plan.config.data)), plan)), killed)


def test_what_was_asked_before_a_crash_is_not_decided_again(
    case: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker fails once it was asked: the next session asks the same, and decides nothing."""
    plan = case("own")
    session, told = opened(tmp_path, plan)
    steps = told.moments()
    for moment in steps:
        if session.take(moment).asked.height:
            break
    asked = session.broker.so_far().intents
    again, _ = opened(tmp_path, plan)
    monkeypatch.setattr(again.trader, "decide", None)
    assert again.broker.so_far().intents.equals(asked)
    assert again.now == moment.time
    with pytest.raises(DataError, match="was fed after one of"):
        again.take(moment)


@pytest.mark.slow
def test_a_line_that_was_cut_off_is_dropped_and_told_anew(case: Planned, tmp_path: Path) -> None:
    """Cut the log at any byte: the session goes on from what is whole."""
    plan = case("own", end="2026-05-04T04:12:00Z")
    whole = papered(tmp_path / "whole", plan)
    text = next((tmp_path / "whole" / "moments").glob("*.jsonl")).read_bytes()
    rng = np.random.Generator(np.random.Philox(7))
    for n, cut in enumerate(sorted(rng.integers(1, len(text), 6))):
        folder = tmp_path / f"cut{n}"
        (folder / "moments").mkdir(parents=True)
        (folder / "moments" / "2026-05-04.jsonl").write_bytes(text[:cut])
        session, told = opened(folder, plan)
        for moment in told.moments(session.now):
            session.take(moment)
        run = session.broker.end()
        assert run.orders.equals(whole.orders)
        assert run.fills.equals(whole.fills)
        found = (folder / "moments" / "2026-05-04.jsonl").read_bytes()
        assert found.splitlines()[-1] == text.splitlines()[-1]


def test_a_refusal_keeps_intents_from_the_broker_for_good(case: Planned, tmp_path: Path) -> None:
    plan = case("own", end="2026-05-04T04:12:00Z")
    session, told = opened(tmp_path, plan)
    refusing = type(session)(
        tmp_path, plan, told.period, sources=told.sources, allow=lambda _, wanted: wanted.clear()
    )
    wanted = [refusing.take(moment).decided.height for moment in told.moments()]
    assert sum(wanted)
    again, _ = opened(tmp_path, plan)
    assert again.broker.end().orders.is_empty()


def test_a_fit_with_outcomes_of_the_future_is_refused(case: Planned, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody knows in time"):
        opened(tmp_path, case("longshot", mode="reference"))


def test_moments_hold_the_whole_dataset_once(data: Path, case: Planned, tmp_path: Path) -> None:
    """Nothing is told twice, nothing before it was known, and times rise."""
    _, told = opened(tmp_path, case("volatility", end=NOON))
    moments = list(told.moments())
    times = [moment.time for moment in moments]
    assert times == sorted(set(times))
    store = Store.open(data)
    bars = pl.concat([moment.bars for moment in moments])
    stored = store.read("candles").filter(pl.col("time") <= times[-1])
    assert bars.height == stored.filter(pl.col("time") <= bars["time"].max()).height
    for moment in moments:
        assert (moment.bars["time"] == moment.time).all()
        for frame in (moment.references, moment.settled, moment.determined):
            assert (frame["time"] <= moment.time).all()
    listed = pl.concat([moment.listed for moment in moments])["ticker"]
    assert listed.n_unique() == len(listed) == bars["ticker"].n_unique()


def odd(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Schedules that were extended, cut short or never known, results that were said before they
    were paid and disputed, bars of polls and bars without quotes, and markets never settled."""
    number = pl.int_range(pl.len())
    minutes = pl.duration(minutes=pl.when(number % 5 == 0).then(-4).otherwise(7))
    closes = pl.when(number % 5 < 2).then(pl.col("close_time") + minutes)
    markets = tables["markets"].with_columns(
        close_time=pl.when(number % 5 == 2)
        .then(None)
        .otherwise(closes.fill_null(pl.col("close_time")))
    )
    kinds = ["candle", "snapshot", "none"]
    which = pl.col("ticker").rank("dense") % 3
    source = pl.lit(pl.Series(kinds, dtype=schema.QuoteSource)).gather(which.cast(pl.UInt32))
    paid = tables["settlements"].filter(number % 7 != 3)
    said = [
        paid.select(
            "ticker",
            time=pl.col("close_time") + pl.duration(seconds=seconds),
            status=pl.lit(status, schema.DeterminationStatus),
            payout=pl.when(pl.lit(status != "disputed")).then("payout"),
        )
        for seconds, status in ((2, "determined"), (3, "disputed"), (4, "amended"))
    ]
    finalized = paid.select(
        "ticker", "time", status=pl.lit("finalized", schema.DeterminationStatus), payout="payout"
    )
    return tables | {
        "markets": markets,
        "candles": tables["candles"].with_columns(quote_source=source),
        "settlements": paid,
        "determinations": pl.concat([*said, finalized]).sort("ticker", "time"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("quotes", ["candles", "trades"])
def test_whatever_can_happen_to_a_market_is_the_same_on_paper(
    case: Planned, quotes: str, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    Store.create(folder, name="odd", synthetic=True).commit(odd(sample(days=1)))
    plan = case("own", end=NOON)
    sets = (f"assumptions.quotes={quotes}", "bars=2")
    plan = planned(plan.config.strategy, folder, sets, end=NOON)
    whole, piecewise = compared(tmp_path / "paper", plan)
    assert whole.fills.height
    agree(whole, piecewise)


def taught(folder: Path, plan: Plan) -> tuple[PaperSession, Replay]:
    """Open a session on the dataset of its plan, which also knows what it held before."""
    store = Store.open(Path(plan.config.data))
    told = replay(store, plan)
    folder.mkdir(exist_ok=True)
    history = History(Path(plan.config.data), plan, told.period, folder)
    return PaperSession(folder, plan, told.period, sources=told.sources, history=history.past), told


@pytest.mark.slow
def test_a_session_begins_with_what_past_data_teach(case: Planned, tmp_path: Path) -> None:
    """Killed in between or not, it is the backtest of its span, which knows the same past.

    A backtest of all there is fits with the same outcomes at 10:01, as every three hours, and from
    then on decides the same: no fit of the past may know more or less.
    """
    span = {"start": "2026-05-04T10:00:00Z", "end": "2026-05-04T10:30:00Z"}
    plan = case("longshot", **span)
    store = Store.open(Path(plan.config.data))
    session, told = taught(tmp_path / "paper", plan)
    for n, moment in enumerate(told.moments()):
        if n == 12:
            session, told = taught(tmp_path / "paper", plan)
        session.take(moment)
    assert parity(tmp_path / "paper", plan, told.period) is None
    run, done = session.broker.end(), compute(store, plan)
    agree(batch(done), Traded.on_paper(run, session.broker.rules.cash))
    whole = compute(store, case("longshot", end=span["end"]))
    first = done.panel.bars["time"].min()
    names = pl.lit(whole.panel.markets["ticker"]).gather(pl.col("market"))
    expected = whole.intents.with_columns(ticker=names).filter(pl.col("time") > first)
    decided = done.intents.filter(pl.col("time") > first)
    assert decided.height > 10
    # Sums of floats over other rows besides differ in their last bit.
    columns = [name for name in INTENTS if name != "ticker"]
    assert_frame_equal(decided.select(columns), expected.select(columns), rel_tol=1e-9, abs_tol=0)
