"""The leaderboard strategy from recorded boards to its report, single trades done by hand.

Boards, names and outcomes are recorded, quotes are invented (`kalshi_bt.leaderboard_sample`): what
is tested is that each trade follows from the board of its hour, not that it paid.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import cli
from kalshi_bt.config import RunConfig
from kalshi_bt.data.asof import Reference
from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.forecasting import references
from kalshi_bt.pipeline import Backtest, compute
from kalshi_bt.plan import plan
from kalshi_bt.signals.leaderboard import Leaderboard
from kalshi_bt.terminal import invoke

pytestmark = [pytest.mark.real, pytest.mark.slow]

HOURLY = "arena_text_hourly_feb2026.parquet"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def raw(real_data: Path) -> pl.DataFrame:
    form = "%Y-%m-%dT%H:%M:%SZ"
    return pl.read_parquet(real_data / "arena" / HOURLY).with_columns(
        time=pl.col("fetched_at").str.strptime(pl.Datetime("us"), form).dt.replace_time_zone("UTC")
    )


@pytest.fixture(scope="module")
def store(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two commands of a user: boards in, quotes on them."""
    root = tmp_path_factory.mktemp("boards")
    source = str(real_data / "arena" / HOURLY)
    words = ["import", "--layout", "arena", source, "--into", str(root / "boards")]
    assert invoke(cli.app, words) == 0
    made = ["sample", "--boards", str(root / "boards"), "--into", str(root / "quoted")]
    assert invoke(cli.app, made) == 0
    return Store.open(root / "quoted")


@pytest.fixture(scope="module")
def run(store: Store) -> dict[str, Backtest]:
    return {
        mode: compute(store, plan(RunConfig(strategy="leaderboard", mode=mode)))
        for mode in ("corrected", "reference")
    }


def board_of(raw: pl.DataFrame, moment: datetime) -> list[Row]:
    """Return the ten best of the newest page known at a moment."""
    page = raw.filter(pl.col("time") <= moment).filter(pl.col("time") == pl.col("time").max())
    assert (moment - page["time"][0]).total_seconds() <= 172_800
    return page.sort(["score", "model"], descending=[True, False]).head(10).to_dicts()


def chance(board: list[Row], days: float, wins: list[bool], *, models: bool) -> float:
    """Return how often the marked rows of a board lead at the check, by drawing boards."""
    rng = np.random.Generator(np.random.Philox(key=[7, 7]))
    score = np.array([float(row["score"]) for row in board])
    sd = np.array([math.hypot(2 * row["ci95"] / 3.92, 2.0 * days**0.5) for row in board])
    draws = 400_000
    drawn = score + sd * rng.standard_normal((draws, len(board)))
    lead = np.array(wins)[drawn.argmax(1)]
    enters = rng.random(draws) < 1 - math.exp(-0.08 * days)
    new = score.max() + 15.0 * rng.standard_normal(draws)
    over = enters & (new > drawn.max(1))
    outside = np.ones(draws, bool) if models else rng.random(draws) < 0.2
    inside = np.array(wins)[rng.integers(0, len(board), draws)] & ~outside
    return float(np.where(over, inside, lead).mean())


def meant(store: Store, ticker: str, board: list[Row]) -> tuple[list[bool], bool]:
    """Return which rows of a board a contract is on, and whether it is on a model."""
    subtitle = store.read("markets").filter(ticker=ticker)["subtitle"][0]
    if ticker.startswith("SYNTOPMODEL"):
        return [row["model"] == subtitle for row in board], True
    maker = {"claude": "Anthropic", "gemini": "Google", "grok": "xAI", "ernie": "Baidu",
             "dola": "Bytedance", "chatgpt": "OpenAI"}[subtitle]  # fmt: skip
    return [row["organization"].lower() == maker.lower() for row in board], False


def test_every_order_follows_from_the_board_of_its_hour(
    run: dict[str, Backtest], store: Store, raw: pl.DataFrame
) -> None:
    """Recorded board → odds by drawing → edge after the fee of at least three cents."""
    done = run["corrected"]
    markets = done.panel.markets
    intents = done.intents.sort("time", "market").gather_every(6)
    assert intents.height >= 15
    for row in intents.to_dicts():
        ticker = markets["ticker"][row["market"]]
        close = markets["close_time"][row["market"]]
        board = board_of(raw, row["time"])
        wins, models = meant(store, ticker, board)
        left = (close - row["time"]).total_seconds() / 86_400
        assert row["fair"] == pytest.approx(chance(board, left, wins, models=models), abs=0.004)
        price = row["limit"] / 10_000
        worth = row["fair"] - price if row["side"] > 0 else price - row["fair"]
        assert worth - 0.07 * price * (1 - price) >= 0.03 - 1e-9


@pytest.mark.parametrize("mode", ["corrected", "reference"])
def test_fills_are_quotes_and_results_follow_from_the_boards(
    run: dict[str, Backtest], store: Store, raw: pl.DataFrame, mode: str
) -> None:
    base = run[mode].base
    bars = {(r["ticker"], r["time"]): r for r in store.read("candles").to_dicts()}
    fills = base.fills.filter(pl.col("leg").cast(pl.String) == "entry")
    assert fills.height >= 5
    for fill in fills.to_dicts():
        bar = bars[fill["ticker"], fill["time"]]
        quote = bar["ask_open"] if fill["quantity"] > 0 else bar["bid_open"]
        assert fill["price"] == quote
        assert abs(fill["quantity"]) <= bar["volume"] // 10
    closes = dict(store.read("markets").select("ticker", "close_time").iter_rows())
    settled = base.trades_closed.filter(pl.col("exit_reason") != "netting")
    assert settled.height >= 5
    for trade in settled.to_dicts():
        assert trade["exit_reason"] == "settlement"
        board = board_of(raw, closes[trade["ticker"]])
        wins, _ = meant(store, trade["ticker"], board)
        yes = bool(wins[0])  # the highest score is first, and within the best ranks
        assert trade["exit_price"] == float(yes == (trade["side"] > 0))


def test_as_documented_only_yes_is_bought_by_the_cent_of_edge(run: dict[str, Backtest]) -> None:
    done = run["reference"]
    assert set(done.intents["side"]) == {1}
    fair = (done.intents["fair"] * 100).round()
    edge = fair - done.intents["limit"] / 100
    assert (done.intents["quantity"] == 100 * (edge - 2)).all()
    assert set(fair) <= {70.0, 65.0, 49.0, 46.0, 22.0, 15.0, 10.0, 7.0, 6.0, 4.0, 3.0, 2.0, 1.0}


def test_chances_of_an_event_sum_to_one_less_who_is_not_listed(store: Store) -> None:
    """As a run joins them; without newcomers, and with all ten places listed, to one exactly."""
    for hazard in (0.0, 0.08):
        signal = Leaderboard(hazard=hazard)
        wanted: tuple[Reference, ...] = references(signal)
        said = signal(panel(store, references=wanted).quotes()).collect()
        sums = said.group_by("event", "time").agg(
            pl.col("fair").sum(), pl.col("fair").count().alias("named"), pl.col("series").first()
        ).filter(pl.col("named") > 0)  # fmt: skip
        assert sums.height > 100
        assert (sums["fair"] <= 1 + 1e-9).all()
        least = 0.995 if hazard == 0 else 0.90
        assert (
            sums.filter(pl.col("series").cast(pl.String) == "SYNTOPMODEL")["fair"] > least
        ).all()


def test_a_single_trade_done_by_hand(run: dict[str, Backtest], store: Store) -> None:
    """The first trade of a run to the last cent: bought below a dollar, paid a dollar."""
    trade = run["corrected"].base.trades_closed.sort("entry_time", "ticker").to_dicts()[0]
    assert trade["ticker"] == "SYNLLM1-26FEB17-CLAUDE"
    assert trade["entry_time"] == datetime(2026, 2, 16, 17, tzinfo=UTC)
    count, price = trade["quantity"] / 100, trade["entry_price"]
    fee = math.ceil(7 * count * price * (1 - price) - 1e-9)  # whole cents an order, until March
    assert trade["fees"] == fee * 10_000
    assert trade["pnl"] == round(count * (1 - price) * 1e6) - fee * 10_000
    settled = store.read("settlements").filter(ticker=trade["ticker"])
    assert settled["payout"].to_list() == [10_000]
