"""Recorded leaderboards: who led, what changed, and whether stated chances beat the documented."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kalshi_bt.data.asof import Reference, as_of
from kalshi_bt.data.importers.arena import import_arena
from kalshi_bt.data.store import Store
from kalshi_bt.signals.leaderboard import Leaderboard, resolve_top_model
from kalshi_bt.signals.leaderboard_board import (
    changes,
    contracts,
    derived,
    rank_differences,
    ranked,
    snapshots,
)
from kalshi_bt.signals.leaderboard_odds import with_entrant
from kalshi_bt.signals.leaderboard_reference import rank_probability
from tests.quotes_random import flat

pytestmark = pytest.mark.real

HOURLY = "arena_text_hourly_feb2026.parquet"
HISTORY = "arena_rating_history_2023-2025.parquet"
LISTED = "kalshi_llm_markets_2025-08-13.parquet"


@pytest.fixture(scope="module")
def raw(real_data: Path) -> pl.DataFrame:
    return pl.read_parquet(real_data / "arena" / HOURLY)


@pytest.fixture(scope="module")
def store(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    into = tmp_path_factory.mktemp("arena") / "boards"
    import_arena([real_data / "arena" / name for name in (HOURLY, LISTED)], into)
    return Store.open(into)


@pytest.fixture(scope="module")
def board(store: Store) -> pl.DataFrame:
    return snapshots(store.read("references"))


def test_snapshots_are_the_raw_rows(board: pl.DataFrame, raw: pl.DataFrame) -> None:
    assert board.height == raw.unique(["fetched_at", "model"]).height
    assert board["time"].n_unique() == raw["fetched_at"].n_unique()


@pytest.mark.slow
def test_the_leader_is_the_highest_score_and_changes_once_a_board(
    board: pl.DataFrame, raw: pl.DataFrame
) -> None:
    """The cascade is the best rank and then the score, which is the first row of each page."""
    leads = {
        day: resolve_top_model(one)
        for (day,), one in board.partition_by("time", as_dict=True).items()
    }
    page = raw.filter(pl.col("rank") == pl.col("rank").min().over("fetched_at"))
    for text, names in page.group_by("fetched_at").agg(pl.col("model")).iter_rows():
        time = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert leads[time] in names
    order = [leads[time] for time in sorted(leads)]
    switches = sum(a != b for a, b in pairwise(order))
    said = changes(board)
    assert said.filter(event_type="new_leader").height == switches
    assert switches >= 1


@pytest.mark.slow
def test_an_unchanged_page_changes_nothing(board: pl.DataFrame, raw: pl.DataFrame) -> None:
    """Sixty looks at four boards: only looks at another board than before may say anything."""
    dated = raw.select("fetched_at", "leaderboard_date").unique().sort("fetched_at")
    moves = int((dated["leaderboard_date"] != dated["leaderboard_date"].shift(1)).sum())
    assert changes(board)["time"].n_unique() <= moves + 3  # pages were corrected in place, rarely


def test_the_best_rank_shown_is_the_one_of_the_intervals(board: pl.DataFrame) -> None:
    """Of the first five of each page always; further down rounding costs up to six ranks."""
    wrong = rank_differences(board)
    first = wrong.join(board.filter(pl.col("rank") <= 5), on=["time", "model"], how="semi")
    assert first.height == 0
    assert ((wrong["computed"] - wrong["rank_ub"]).abs() <= 6).all()


def test_contracts_of_the_exchange_are_named(store: Store) -> None:
    named = contracts(store.read("markets"))
    markets = store.read("markets").filter(pl.col("series").is_in(["KXTOPMODEL", "KXLLM1"]))
    assert set(named["symbol"]) == set(markets["ticker"])
    assert (named["value"] > 0).all()


def test_derived_rows_can_be_stored(store: Store) -> None:
    rows = derived(store.read("references"), store.read("markets"))
    counts = store.commit({"references": rows})["references"]
    assert counts.added == rows.height
    assert {"contract", "arena/text/places"} == set(rows["source"])
    places = rows.filter(source="arena/text/places", field="score")
    assert places["symbol"].n_unique() == 10
    falling = places.sort("time", pl.col("symbol").cast(pl.Int64)).select(
        pl.col("value").diff().over("time") <= 0
    )
    assert falling["value"].drop_nulls().all()


def test_chances_of_an_event_through_the_columns(board: pl.DataFrame) -> None:
    """Organisation markets on recorded boards: the chances sum to 1 less the outsiders' part."""
    signal = Leaderboard(board_age=7_200)
    close = datetime(2026, 2, 28, 15, tzinfo=UTC)
    makers = ["anthropic", "google", "openai", "xai", "bytedance", "alibaba", "baidu", "zhipu"]
    hours = board["time"].unique().sort().to_list()
    times = [hours[0] + timedelta(hours=6 * k) for k in range(15)]
    base = pl.concat(
        flat([None], ticker=f"KXLLM1-26FEB28-{m}", event="KXLLM1-26FEB28", series="KXLLM1",
             close_time=close, time=time)
        for m in makers
        for time in times
    )  # fmt: skip
    known = ranked(board, signal.places)
    bars = base.select(pl.lit(0, pl.UInt32).alias("market"), "time")
    columns = []
    for need in signal.references[1:]:
        assert isinstance(need.symbol, str)
        own = known.filter(field=need.field, symbol=need.symbol).select("symbol", "time", "value")
        reference = Reference(need.source, need.symbol, need.field, need.column, timedelta(hours=2))
        columns.append(as_of(bars, pl.Series([need.symbol]), own, reference).to_series())
    names = pl.Series("contract_name", [code_of(t) for t in base["ticker"]], pl.Float64)
    said = signal(base.with_columns(*columns, names).lazy()).collect()
    sums = said.drop_nulls("fair").group_by("time").agg(pl.col("fair").sum())["fair"]
    assert sums.len() >= 5
    assert ((sums > 0.8) & (sums <= 1 + 1e-9)).all()
    lead = said.filter(pl.col("ticker").str.ends_with("anthropic")).drop_nulls("fair")
    assert (lead["fair"] > 0.5).all()  # both leading models are theirs, twenty points ahead


def code_of(ticker: str) -> float:
    from kalshi_bt.signals.leaderboard_names import code

    return code(ticker.rsplit("-", 1)[1])


@pytest.mark.parametrize("ahead", [7, 30])
def test_stated_chances_beat_the_documented_table(real_data: Path, ahead: int) -> None:
    """Log loss of the leader a week and a month later, boards of 2023 to 2025.

    The table, made to sum to one with a twentieth for newcomers, knows no time. Volatility and
    hazard were chosen on these boards: this shows that the form fits, not that it will pay.
    """
    history = pl.read_parquet(real_data / "arena" / HISTORY).with_columns(
        day=pl.col("date").str.strptime(pl.Date, "%Y%m%d")
    )
    boards = {
        day: one.sort("rating", descending=True)
        for (day,), one in history.partition_by("day", as_dict=True).items()
    }
    signal = Leaderboard()
    table = np.append(rank_probability(np.arange(1, 11)), 0.05)
    losses = []
    for day, one in boards.items():
        later = [u for u in boards if abs((u - day).days - ahead) <= 3]
        if not later or one.height < 10:
            continue
        then = min(later, key=lambda u: (abs((u - day).days - ahead), u))
        names, top = one["model"][:10].to_list(), boards[then]["model"][0]
        place = names.index(top) if top in names else 10
        days = (then - day).days
        score = one["rating"][:10].to_numpy()[None, :]
        p, unlisted = with_entrant(
            score,
            np.full_like(score, signal.volatility * days**0.5),
            np.arange(10)[None, :],
            np.zeros_like(score),
            [1 - np.exp(-signal.hazard * days)],
            signal.entrant_gap,
            signal.entrant_sd,
            1.0,
        )
        stated = np.append(p[0], unlisted[0])
        assert stated.sum() == pytest.approx(1)
        losses.append(-np.log([max(stated[place], 1e-3), table[place] / table.sum()]))
    mean = np.mean(losses, axis=0)
    assert len(losses) > 50
    assert mean[0] < mean[1] - 0.1
