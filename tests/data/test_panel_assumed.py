"""Quotes that were not recorded: assumed around trades, or told by the end of a bar."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from panel_rows import Row, at, candle, made_store, seen

from kalshi_bt import schema
from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store

Build = Callable[..., Store]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def made(
        candles: Sequence[Row],
        markets: Sequence[Row] | None = None,
        settlements: Sequence[Row] = (),
    ) -> Store:
        tables = {"candles": candles, "settlements": settlements}
        return made_store(tmp_path, tables if markets is None else tables | {"markets": markets})

    return made


# --- quotes that were not recorded ----------------------------------------------------------------


def quiet(minute: float, ticker: str = "KXA-1-A") -> Row:
    return candle(ticker, minute, volume=0, quote_source="none")


def traded(minute: float, *price: int, ticker: str = "KXA-1-A") -> Row:
    given = price if len(price) == 4 else price * 4
    return candle(ticker, minute, price=given, volume=100, quote_source="none")


def test_quotes_are_assumed_around_the_trades_of_a_bar(build: Build) -> None:
    made = panel(build([traded(1, 5_000, 5_500, 4_500, 5_200)]), half_spread=150)
    row = made.bars.row(0, named=True)
    assert [row[f"bid_{p}"] for p in schema.OHLC] == [4_850, 5_350, 4_350, 5_050]
    assert [row[f"ask_{p}"] for p in schema.OHLC] == [5_150, 5_650, 4_650, 5_350]
    assert row["quote_source"] == "assumed"
    assert made.notes == (
        (
            "1 of 1 bars have no recorded quotes: bid and ask are assumed 0.0150 dollars either "
            "side of the last trade"
        ),
    )


def test_a_quiet_bar_repeats_the_last_trade_of_its_own_market(build: Build) -> None:
    rows = [quiet(1), traded(2, 6_000, 6_100, 5_900, 6_050), quiet(3), quiet(5)]
    made = panel(build([*rows, quiet(4, "KXA-1-B"), traded(6, 700, ticker="KXA-1-B")]))
    names = ("bid_open", "bid_high", "bid_low", "bid", "ask_open", "ask_high", "ask_low", "ask")
    found = [tuple(v and round(v, 6) for v in row) for row in seen(made, *names)]
    nobody, last = (None,) * 8, (0.585,) * 4 + (0.625,) * 4
    assert found == [
        nobody,  # nothing has traded yet
        (0.58, 0.59, 0.57, 0.585, 0.62, 0.63, 0.61, 0.625),
        last,
        last,
        nobody,  # the other market's trades say nothing
        (0.05,) * 4 + (0.09,) * 4,
    ]
    assert seen(made, "close")[2] is None  # the trade itself is not repeated


@pytest.mark.parametrize(
    ("price", "bid", "ask"),
    [
        (100, None, 300),
        (200, None, 400),
        (201, 1, 401),
        (9_799, 9_599, 9_999),
        (9_800, 9_600, None),
        (9_900, 9_700, None),
        (0, None, 200),
        (10_000, 9_800, None),
    ],
)
def test_nobody_is_assumed_to_quote_at_or_beyond_nothing_and_a_dollar(
    build: Build, price: int, bid: int | None, ask: int | None
) -> None:
    made = panel(build([traded(1, price), quiet(2)]))
    for row in made.bars.to_dicts():
        assert {row[f"bid_{p}"] for p in schema.OHLC} == {bid}
        assert {row[f"ask_{p}"] for p in schema.OHLC} == {ask}


def test_assumed_bars_stand_beside_recorded_ones(build: Build) -> None:
    recorded = candle("KXA-1-A", 2, price=5_000, bid=4_000, ask=None)
    made = panel(build([traded(1, 3_000), recorded, quiet(3)]))
    assert made.bars["bid_close"].to_list() == [2_800, 4_000, 4_800]
    assert made.bars["ask_close"].to_list() == [3_200, None, 5_200]
    assert seen(made, "quote_source") == ["assumed", "candle", "assumed"]
    assert made.notes[0].startswith("2 of 3 bars have no recorded quotes")


def test_a_spread_is_never_assumed_where_quotes_were_recorded(build: Build) -> None:
    store = build([candle("KXA-1-A", k, bid=4_000, ask=4_100 if k else None) for k in range(3)])
    wide, narrow = panel(store, half_spread=4_000), panel(store, half_spread=0)
    assert wide.bars.equals(narrow.bars)


def test_a_cut_off_dataset_shows_no_trade_of_before(build: Build) -> None:
    """A run that starts later knows nothing of trades before its first bar."""
    store = build([traded(1, 5_000), quiet(2), quiet(3)])
    assert panel(store, start=at(1)).bars["bid_close"].to_list() == [None, None]


def test_the_start_of_a_snapshot_is_not_known(build: Build) -> None:
    """Its one quote was seen at the end: a taker who comes at the start cannot have it."""
    rows = [
        candle("KXA-1-A", k, bid=4_000 + k, ask=4_100 + k, quote_source=source)
        for k, source in enumerate(("snapshot", "candle", "snapshot"))
    ]
    made = panel(build(rows))
    assert seen(made, "bid_open", "ask_open") == [(None, None), (0.4001, 0.4101), (None, None)]
    assert seen(made, "bid", "ask_low") == [(0.4, 0.41), (0.4001, 0.4101), (0.4002, 0.4102)]


@pytest.mark.parametrize(
    ("source", "price", "bid_low", "ask_high"),
    [
        ("snapshot", (5_000, 7_000, 2_000, 4_500), 2_000, 7_000),
        ("snapshot", (4_500, 4_600, 4_400, 4_500), 4_000, 5_000),  # within what was quoted
        ("snapshot", None, 4_000, 5_000),
        ("candle", (5_000, 7_000, 2_000, 4_500), 4_000, 5_000),  # recorded: left as it is
    ],
)
def test_trades_tell_how_far_the_quotes_of_a_snapshot_went(
    build: Build, source: str, price: tuple[int, ...] | None, bid_low: int, ask_high: int
) -> None:
    """A trade lies between bid and ask: once the bid was not above it, and the ask not below."""
    made = panel(
        build([candle("KXA-1-A", 1, price=price, bid=4_000, ask=5_000, quote_source=source)])
    )
    row = made.bars.row(0, named=True)
    assert (row["bid_low"], row["ask_high"]) == (bid_low, ask_high)
    assert (row["bid_high"], row["bid_close"]) == (4_000, 4_000)
    assert (row["ask_low"], row["ask_close"]) == (5_000, 5_000)


@pytest.mark.parametrize(("empty", "price"), [("ask", 9_900), ("bid", 100)])
def test_a_trade_does_not_bring_back_a_side_that_was_empty(
    build: Build, empty: str, price: int
) -> None:
    """The last trade may have taken all there was: nobody can be traded with at its price."""
    quotes = {"bid": price, "ask": price, empty: None}
    made = panel(
        build([candle("KXA-1-A", 1, price=(price,) * 4, **quotes, quote_source="snapshot")])
    )
    row = made.bars.row(0, named=True)
    assert {row[f"{empty}_{part}"] for part in schema.OHLC} == {None}
