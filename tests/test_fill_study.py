"""The study of fill models on books told by hand: every number expected is worked out here."""

import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data.books import bars
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.tape import Tape, prepare

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
BIDS = [(48, 10), (47, 20), (40, 100)]  # cents, contracts
ASKS = [(52, 10), (53, 20), (60, 100)]
LATER_BIDS, LATER_ASKS = [(50, 500)], [(54, 500)]  # from second 200 on


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "research"))
    yield import_module("fill_model_orders")
    for name in ("fill_model_orders", "fill_model"):
        sys.modules.pop(name, None)


@pytest.fixture
def study(asked: ModuleType) -> ModuleType:
    assert asked
    return import_module("fill_model")


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def levels(told: list[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"price": 100 * cents, "size": 100 * contracts} for cents, contracts in told]


def tapes(paid: int | None = 10_000) -> tuple[Tape, Tape]:
    """The tape of the books and that of one-minute bars; 100 contracts trade in each minute."""
    told = [(0, BIDS, ASKS), (200, LATER_BIDS, LATER_ASKS)]
    books = pl.DataFrame(
        [("M", second(t), levels(b), levels(a)) for t, b, a in told],
        schema.BOOKS.columns,
        orient="row",
    )
    trades = pl.DataFrame(
        [("M", second(60 * n + 30), f"{n:04}", 5_000, 10_000, 1) for n in range(10)],
        schema.TRADES.columns,
        orient="row",
    )
    markets = pl.DataFrame({"ticker": ["M"], "event": ["E"], "series": ["S"]}).with_columns(
        close_time=pl.lit(second(600), dtype=schema.Time)
    )
    ended = [] if paid is None else [("M", second(605), second(600), paid, "yes", None)]
    settled = pl.DataFrame(ended, schema.SETTLEMENTS.columns, orient="row")
    free = {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64}
    rates = pl.DataFrame([(0, second(-3_600), 0, 0)], free, orient="row")
    made = bars(60, books=books, trades=trades).with_columns(market=pl.lit(0, pl.UInt32))
    made = schema.BARS.filled(made.select(n for n in schema.BARS.columns if n in made.columns))
    by_bars = prepare(made, markets, settled, rates)
    return prepare_books(books, trades, markets, settled, rates), by_bars


def order(**values: Any) -> pl.DataFrame:
    row = {"order": 7, "walk": 1, "market": 0, "time": second(60), "side": 1, "size": 50}
    row |= {"kind": "ioc", "limit": None, "stop": None, "hold": 180} | values
    types = {"market": pl.UInt32, "time": schema.Time, "side": pl.Int8, "kind": schema.EntryKind}
    types |= {"limit": schema.Price, "stop": schema.Price}
    return pl.DataFrame([row], schema_overrides=types)


def filled(asked: ModuleType, tape: Tape, model: str, **values: Any) -> dict[str, Any]:
    made = asked.legs(tape, order(**values), Rules(fill=FILLS[model]), 60)
    return made.row(0, named=True) if made.height else {}


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 9) for name, value in row.items()}


def test_book_pays_level_by_level_and_sells_where_it_bids_then(asked: ModuleType) -> None:
    # 10 at 52, 20 at 53 and 20 at 60 are 55.6 each; out at 50 after second 240.
    expected = {"order": 7, "entry": 55.6, "exit": 50.0, "filled": 50.0, "fee": 0.0, "pnl": -5.6}
    assert rounded(filled(asked, tapes()[0], "book")) == expected


def test_a_no_order_is_told_in_prices_of_no(asked: ModuleType) -> None:
    # Bids of 48, 47 and 40 are NO at 52, 53 and 60; out at one less the ask of 54.
    expected = {"order": 7, "entry": 55.6, "exit": 46.0, "filled": 50.0, "fee": 0.0, "pnl": -9.6}
    assert rounded(filled(asked, tapes()[0], "book", side=-1)) == expected


def test_cross_fills_its_share_of_the_next_bar_at_its_first_quote(asked: ModuleType) -> None:
    expected = {"order": 7, "entry": 52.0, "exit": 50.0, "filled": 10.0, "fee": 0.0, "pnl": -2.0}
    assert rounded(filled(asked, tapes()[1], "cross")) == expected


def test_what_is_held_to_the_payout_has_no_exit_price(asked: ModuleType) -> None:
    row = filled(asked, tapes()[0], "book", hold=10_000, size=10)
    assert (row["exit"], round(row["pnl"], 9)) == (None, 48.0)


def test_an_order_beyond_its_limit_is_not_among_the_legs(asked: ModuleType) -> None:
    assert filled(asked, tapes()[0], "book", limit=5_100) == {}


def test_a_market_that_never_pays_is_refused(asked: ModuleType) -> None:
    with pytest.raises(DataError, match="never settled"):
        filled(asked, tapes(paid=None)[0], "book", hold=10_000)


def quotes(minutes: int = 15, bid: int = 4_800, ask: int = 5_200) -> pl.DataFrame:
    rows = [(0, "M", "E", second(60 * n), bid, ask, second(900)) for n in range(minutes)]
    names = ["market", "ticker", "event", "time", "bid", "ask", "close_time"]
    types = {"market": pl.UInt32, "time": schema.Time, "bid": schema.Price, "ask": schema.Price}
    return pl.DataFrame(
        rows, names, orient="row", schema_overrides=types | {"close_time": schema.Time}
    )


def test_decisions_come_while_there_is_time_and_vary(asked: ModuleType) -> None:
    made = asked.decisions(quotes(), 200)
    assert made["time"].unique().sort().to_list() == [second(60 * n) for n in range(10)]
    assert set(made["side"]) == {1, -1}
    assert set(made["hold"]) == {180, 300}
    assert set(made["distance"]) == {100 * n for n in range(2, 9)}


def test_more_draws_leave_the_first_ones_as_they_were(asked: ModuleType) -> None:
    assert asked.decisions(quotes(), 30).head(10).equals(asked.decisions(quotes(), 10))
    assert not asked.decisions(quotes(), 10).equals(asked.decisions(quotes(), 10, seed=5))


def test_nothing_quoted_in_time_is_refused(asked: ModuleType) -> None:
    late = quotes().filter(pl.col("time") > second(600))
    with pytest.raises(DataError, match="no market is quoted"):
        asked.decisions(late, 10)


def test_limits_and_stops_are_those_of_the_style(asked: ModuleType) -> None:
    decided = asked.decisions(quotes(), 40)
    made = asked.orders(decided).filter(pl.col("size") == 10)
    yes = {"any": None, "quote": 5_200, "plus": 5_300, "stop": None}
    yes |= {"inside": 4_900, "best": 4_800, "outside": 4_700}
    # NO is bid at 48 and offered at 52 too, and one less is the price of YES.
    no = {style: None if limit is None else 10_000 - limit for style, limit in yes.items()}
    for style, side, limit in made.select("style", "side", "limit").rows():
        assert limit == (yes if side > 0 else no)[style]
    stops = made.filter(pl.col("style") == "stop").select("side", "stop", "distance").rows()
    for side, stop, distance in stops:
        assert stop == (4_800 - distance if side > 0 else 5_200 + distance)
    assert made.filter(pl.col("style") != "stop")["stop"].null_count() == 40 * 6


def test_an_order_inside_a_spread_of_one_tick_is_not_asked_for(asked: ModuleType) -> None:
    made = asked.orders(asked.decisions(quotes(ask=4_900), 5))
    assert "inside" not in made["style"]
    assert made.height == 5 * 6 * 4


def test_orders_of_one_walk_are_of_different_markets(asked: ModuleType) -> None:
    other = quotes().with_columns(market=pl.lit(1, pl.UInt32), ticker=pl.lit("N"))
    made = asked.orders(asked.decisions(pl.concat([quotes(), other]), 5))
    assert made.select(pl.struct("walk", "market").is_duplicated().any()).item() is False
    assert made["walk"].n_unique() == 5 * 7 * 4


FOUR = pl.DataFrame(
    {
        "order": [0, 1, 2, 3],
        "event": ["E", "E", "F", "F"],
        "group": ["take"] * 4,
        "style": ["any", "any", "any", "quote"],
        "size": [10] * 4,
    }
)


def leg(*rows: tuple[int, float, float, float | None, float, float]) -> pl.DataFrame:
    names = ["order", "filled", "entry", "exit", "fee", "pnl"]
    types = {"exit": pl.Float64}
    return pl.DataFrame(list(rows), names, orient="row", schema_overrides=types)


MODEL = leg((0, 5, 50, 55, 1, 4), (1, 10, 52, None, 1, 47), (2, 10, 40, 38, 2, -4))
BOOK = leg((0, 10, 51, 54, 2, 1), (2, 10, 43, 38, 1, -6), (3, 4, 60, 61, 1, 0))


def test_differences_are_told_in_the_traders_favour(study: ModuleType) -> None:
    made = study.compared(FOUR, MODEL, BOOK)
    assert made["share"].to_list() == [0.5, 1.0, 1.0, 0.0]
    assert made["truth"].to_list() == [1.0, 0.0, 1.0, 0.4]
    assert made["entry"].to_list() == [1.0, None, 3.0, None]
    assert made["exit"].to_list() == [1.0, None, 0.0, None]
    assert made["fee"].to_list() == [1.0, None, -1.0, None]
    assert made["pnl"].to_list() == [3.0, None, 2.0, None]


def test_estimates_pool_orders_and_count_events(study: ModuleType) -> None:
    made = study.estimates(study.compared(FOUR, MODEL, BOOK), ["E", "F", "G"])
    take = made.filter(pl.col("orders") == "take")
    found = {name: round(v, 9) for name, v in take.select("measure", "value").rows()}
    own = round(47 / 3 + 5 / 3, 9)  # (4 + 47 - 4) / 3 less (1 - 6 + 0) / 3
    expected = {"quantity": round(2.5 / 2.4, 9), "entry": 2.0, "exit": 0.5, "fee": 0.0, "pnl": 2.5}
    assert found == expected | {"own_pnl": own}
    assert take["count"].unique().to_list() == [4]
    assert take.filter(pl.col("measure") == "pnl").select("same", "events").row(0) == (2, 2)


def test_a_style_is_told_alone_and_by_size(study: ModuleType) -> None:
    labels = study.labelled(FOUR).group_by("orders").len().rows()
    assert dict(labels) == {
        "take": 4,
        "take 10": 4,
        "any": 3,
        "any 10": 3,
        "quote": 1,
        "quote 10": 1,
    }


def test_an_interval_spans_what_the_resamples_say(study: ModuleType) -> None:
    sums = np.array([[2.0, 1, 0, 1], [9, 3, 2, 1]])
    weights = np.array([[2, 0], [0, 2], [1, 1]])
    # 2/1 - 0/1 = 2; 9/3 - 2/1 = 1; together 11/4 - 2/2 = 1.75.
    assert study.estimate(sums, weights, 0.0) == (1.75, 1.0, 2.0, 2, 2)
    assert study.estimate(sums, weights, 1.5)[3:] == (1, 2)


def test_without_orders_there_is_no_estimate(study: ModuleType) -> None:
    found = study.estimate(np.array([[0.0, 0, 0, 1]]), np.array([[1]]), 0.0)
    assert math.isnan(found[0])
    assert study.verdict(*found[1:], 0.0) == ""


def test_events_are_resampled_with_replacement_and_in_full(study: ModuleType) -> None:
    drawn = study.resamples(9, 500)
    assert drawn.shape == (500, 9)
    assert (drawn.sum(axis=1) == 9).all()
    assert abs(drawn.mean() - 1) < 1e-12
    assert drawn.max() > 1
    assert (drawn == study.resamples(9, 500)).all()


@pytest.mark.parametrize(
    ("low", "high", "same", "events", "said"),
    [
        (0.1, 0.9, 8, 9, "kind"),  # 2 (9 + 1) / 512 = 0.039
        (0.1, 0.9, 7, 9, ""),  # 2 (36 + 9 + 1) / 512 = 0.18
        (-0.9, -0.1, 9, 9, "hard"),
        (-0.1, 0.9, 9, 9, ""),
        (0.1, 0.9, 5, 5, ""),  # 2 / 32
        (0.1, 0.9, 6, 6, "kind"),  # 2 / 64
    ],
)
def test_a_difference_needs_interval_and_signs(
    study: ModuleType, low: float, high: float, same: int, events: int, said: str
) -> None:
    assert study.verdict(low, high, same, events, 0.0) == said


@pytest.mark.parametrize(
    ("truth", "value"),
    [(0.2, 0.05), (0.4, 0.1), (0.6, 0.3), (0.8, 0.5), (0.9, math.inf), (0.0, 0.0)],
)
def test_participation_is_solved_between_the_grid(
    study: ModuleType, truth: float, value: float
) -> None:
    shares = np.array([0.4, 0.8, 0.8])
    assert study.unbiased(shares, truth, (0.1, 0.5, 1.0)) == pytest.approx(value)


def test_participation_is_told_for_every_event_left_out(study: ModuleType) -> None:
    # The book fills half in E and all in F; cross fills twice its participation, at most all.
    shares = {str(share): [min(1.0, 2 * share)] * 2 for share in study.GRID}
    rows = pl.DataFrame(
        {"event": ["E", "F"], "group": ["take"] * 2, "style": ["any"] * 2, "size": [10, 10]}
        | {"truth": [0.5, 1.0]}
        | shares
    )
    row = study.participation(rows, ["E", "F"]).row(0, named=True)
    assert row["truth"] == 0.75
    assert row["today"] == pytest.approx(0.2)
    assert row["value"] == pytest.approx(0.375)
    assert (row["least"], row["most"]) == (pytest.approx(0.25), pytest.approx(0.5))
    assert (row["low"], row["high"]) == (pytest.approx(0.25), pytest.approx(0.5))


@pytest.mark.parametrize(
    ("least", "most", "result"),
    [(0.2, 0.4, 0.25), (0.01, 0.04, 0.05), (0.05, 0.2, 0.10), (0.6, 0.9, 0.25)],
)
def test_the_default_moves_one_step_and_only_if_all_agree(
    study: ModuleType, least: float, most: float, result: float
) -> None:
    rows = {"orders": ["take 10", "take 50"], "least": [least] * 2, "most": [most] * 2}
    assert study.next_participation(pl.DataFrame(rows)) == result
    mixed = {"orders": ["take 10", "take 50"], "least": [0.2, 0.01], "most": [0.4, 0.04]}
    assert study.next_participation(pl.DataFrame(mixed)) == 0.10


def test_slippage_follows_only_where_all_are_called_kind(study: ModuleType) -> None:
    rows = {"model": ["cross"] * 2, "measure": ["entry"] * 2, "orders": ["any 10", "any 50"]}
    kind = rows | {"value": [0.4, 0.8], "says": ["kind", "kind"]}
    assert study.next_slippage(pl.DataFrame(kind)) == 1  # 0.6 cents are 1.2 half ticks
    assert study.next_slippage(pl.DataFrame(kind | {"says": ["kind", ""]})) == 0
