"""The panel: what a signal sees, in dollars, and nothing of the outcome."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from strategies_random import random_case, seeded

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import DAY, SECOND

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = 3_600
Build = Callable[..., Store]
Row = dict[str, Any]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def filled(table: schema.Table, rows: Sequence[Row]) -> pl.DataFrame:
    complete = [dict.fromkeys(table.columns) | row for row in rows]
    return pl.DataFrame(complete, schema=table.columns)


def candle(ticker: str, minute: float, period: int = 60, **values: Any) -> Row:
    """A bar; `price`, `bid` and `ask` are open, high, low and close, or one value for all."""
    row: Row = {"ticker": ticker, "time": at(minute), "period": period, "quote_source": "candle"}
    for name in ("price", "bid", "ask"):
        given = values.pop(name, None)
        parts = given if isinstance(given, tuple) else (given,) * 4
        row |= {f"{name}_{p}": v for p, v in zip(schema.OHLC, parts, strict=True)}
    return row | values


def market(ticker: str, **values: Any) -> Row:
    words = {"ticker": ticker, "event": ticker[:-2], "series": ticker.split("-", maxsplit=1)[0]}
    return words | values


def settlement(ticker: str, minute: float, payout: int, result: str) -> Row:
    times = {"time": at(minute), "close_time": at(minute - 1)}
    return {"ticker": ticker, "payout": payout, "result": result} | times


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def made(
        candles: Sequence[Row],
        markets: Sequence[Row] | None = None,
        settlements: Sequence[Row] = (),
        name: str = "made",
    ) -> Store:
        listed = markets
        if listed is None:
            listed = [market(ticker) for ticker in {row["ticker"] for row in candles}]
        store = Store.create(tmp_path / name, name=name)
        store.commit(
            {
                "candles": filled(schema.CANDLES, candles),
                "markets": filled(schema.MARKETS, listed),
                "settlements": filled(schema.SETTLEMENTS, settlements),
            }
        )
        return store

    return made


def seen(made: Panel, *columns: str) -> list[Any]:
    rows = made.quotes().select(columns).collect().rows()
    return [row[0] for row in rows] if len(columns) == 1 else rows


# --- what a signal sees ---------------------------------------------------------------------------


@pytest.fixture
def store(build: Build) -> Store:
    """Two series, three markets, given out of order."""
    return build(
        [
            candle("KXB-1-A", 1, bid=3_000, ask=3_200, volume=1_234, open_interest=50),
            candle(
                "KXA-1-B",
                2,
                price=(5_000, 5_600, 4_800, 5_250),
                bid=(4_900, 5_500, 4_700, 5_200),
                ask=(5_100, 5_700, 4_900, 5_301),
                volume=12_345,
                open_interest=700_000,
            ),
            candle("KXA-1-B", 1, bid=4_800, ask=None),
            candle("KXA-1-A", 2, bid=100, ask=9_900, quote_source="snapshot"),
        ],
        [
            market("KXA-1-B", close_time=at(9), open_time=at(-9), strike_type="greater"),
            market("KXB-1-A", floor_strike=61.5, cap_strike=63.0),
            market("KXA-1-A"),
            market("KXA-1-C"),  # has no bars
        ],
        [settlement("KXA-1-B", 5, 10_000, "yes")],
    )


def test_quotes_have_exactly_the_declared_columns(store: Store) -> None:
    found = panel(store).quotes().collect_schema()
    assert found.names() == list(schema.QUOTES)
    for name, dtype in schema.QUOTES.items():
        enum = dtype == pl.String and isinstance(found[name], pl.Enum)
        assert found[name] == dtype or enum, name
    collected = panel(store).quotes().collect()
    assert collected.schema == found


def test_quotes_are_in_dollars_and_contracts(store: Store) -> None:
    last = panel(store).quotes().collect().row(2, named=True)
    assert last["ticker"] == "KXA-1-B"
    assert last["time"] == at(2)
    prices = [last[name] for name in schema.OHLC]
    assert prices == pytest.approx([0.50, 0.56, 0.48, 0.525], abs=1e-12)
    bids = [last[name] for name in ("bid_open", "bid_high", "bid_low", "bid")]
    assert bids == pytest.approx([0.49, 0.55, 0.47, 0.52], abs=1e-12)
    asks = [last[name] for name in ("ask_open", "ask_high", "ask_low", "ask")]
    assert asks == pytest.approx([0.51, 0.57, 0.49, 0.5301], abs=1e-12)
    assert last["mid"] == pytest.approx(0.52505, abs=1e-12)
    assert (last["volume"], last["open_interest"]) == (123.45, 7_000.0)


def test_what_is_missing_is_null_and_never_zero(store: Store) -> None:
    first = panel(store).quotes().collect().row(1, named=True)
    assert first["ticker"] == "KXA-1-B"
    assert first["bid"] == pytest.approx(0.48)
    absent = [*schema.OHLC, "ask", "ask_open", "ask_high", "ask_low"]
    absent += ["mid", "volume", "open_interest", "floor_strike", "cap_strike"]
    assert {name: first[name] for name in absent} == dict.fromkeys(absent)


def test_each_bar_carries_what_was_known_of_its_market(store: Store) -> None:
    names = ("ticker", "event", "series", "close_time", "open_time", "strike_type", "floor_strike")
    assert seen(panel(store), *names) == [
        ("KXA-1-A", "KXA-1", "KXA", None, None, None, None),
        ("KXA-1-B", "KXA-1", "KXA", at(9), at(-9), "greater", None),
        ("KXA-1-B", "KXA-1", "KXA", at(9), at(-9), "greater", None),
        ("KXB-1-A", "KXB-1", "KXB", None, None, None, 61.5),
    ]
    assert seen(panel(store), "quote_source") == ["snapshot", "candle", "candle", "candle"]


def test_bars_are_a_declared_table_and_markets_are_numbered_by_row(store: Store) -> None:
    made = panel(store)
    schema.BARS.check(made.bars)
    assert made.markets["ticker"].to_list() == ["KXA-1-A", "KXA-1-B", "KXB-1-A"]
    assert made.bars["market"].to_list() == [0, 1, 1, 2]
    assert made.bars["time"].equals(made.quotes().collect()["time"])
    schema.MARKETS.check(made.markets)
    assert (made.period, made.notes) == (60, ())


@pytest.mark.parametrize("known", [True, False])
def test_a_panel_of_one_market_and_one_bar_is_like_any_other(build: Build, known: bool) -> None:  # noqa: FBT001
    facts = {"close_time": at(9), "floor_strike": 1.5, "strike_type": "less"} if known else {}
    made = panel(build([candle("KXA-1-A", 1, bid=10, ask=20)], [market("KXA-1-A", **facts)]))
    names = ("ticker", "event", "close_time", "floor_strike", "strike_type", "mid")
    late, strike, kind = (at(9), 1.5, "less") if known else (None, None, None)
    assert seen(made, *names) == [("KXA-1-A", "KXA-1", late, strike, kind, 0.0015)]


def test_quotes_equal_the_stored_candles_row_by_row(tmp_path: Path) -> None:
    """Against a plain reading of the same rows, one value at a time."""
    for seed in range(30):
        case = random_case(seeded(seed), markets=4, bars=20)
        tickers = case.markets["ticker"]
        bars = case.bars.with_columns(
            ticker=pl.lit(tickers).gather(pl.col("market")),
            period=pl.lit(60, dtype=pl.Int32),
            quote_source=pl.lit("candle").cast(schema.QuoteSource),
        )
        store = Store.create(tmp_path / str(seed), name="random")
        tables = {"candles": bars.select(list(schema.CANDLES.columns)), "markets": case.markets}
        store.commit(tables)
        quotes = panel(store).quotes().collect().to_dicts()
        names = {"bid": "bid_close", "ask": "ask_close"}
        names |= {p: f"price_{p}" for p in schema.OHLC}
        names |= {f"{s}_{p}": f"{s}_{p}" for s in ("bid", "ask") for p in schema.OHLC[:3]}
        expected = sorted(bars.to_dicts(), key=lambda row: (row["ticker"], row["time"]))
        assert len(quotes) == len(expected) > 0
        for found, row in zip(quotes, expected, strict=True):
            assert (found["ticker"], found["time"]) == (row["ticker"], row["time"])
            for name, source in names.items():
                value = row[source]
                assert found[name] == (None if value is None else value / 10_000)
            sides = (row["bid_close"], row["ask_close"])
            middle = None if None in sides else sum(sides) / 20_000
            assert found["mid"] == (middle if middle is None else pytest.approx(middle, abs=1e-12))
            for name in ("volume", "open_interest"):
                assert found[name] == (None if row[name] is None else row[name] / 100)


# --- nothing of the outcome -----------------------------------------------------------------------


def test_no_column_names_an_outcome(store: Store) -> None:
    made = panel(store)
    outcome = {"payout", "result", "settled", "settlement", "actual_close"}
    for frame in (made.quotes().collect(), made.bars, made.markets):
        assert not outcome & set(frame.columns)
    assert set(schema.SETTLEMENTS.columns) & set(schema.QUOTES) == {"ticker", "time", "close_time"}
    # The market closed early, at minute 4; what is shown is the schedule.
    assert set(seen(made, "close_time")) == {None, at(9)}


def test_other_outcomes_leave_the_quotes_as_they_are(store: Store) -> None:
    before = panel(store)
    given = {"markets": before.markets, "bars": before.bars, "quotes": before.quotes().collect()}
    changes = [
        [settlement("KXA-1-B", 5, 0, "no")],
        [settlement("KXA-1-B", 1, 3_700, "scalar"), settlement("KXB-1-A", 2, 10_000, "yes")],
    ]
    for rows in changes:
        store.commit({"settlements": filled(schema.SETTLEMENTS, rows)})
        after = panel(store)
        now = {"markets": after.markets, "bars": after.bars, "quotes": after.quotes().collect()}
        assert all(now[name].equals(given[name]) for name in given)
        assert after.notes == before.notes
        assert outcomes(store, after.markets).height == len(rows)


def test_outcomes_are_those_of_the_panel_known_by_its_end(build: Build) -> None:
    tickers = ("KXA-1-A", "KXA-1-B", "KXA-1-C", "KXA-1-D")
    settled = [settlement(t, 5 * k, 0, "no") for k, t in enumerate(tickers)]
    store = build([candle(t, 1, bid=10) for t in tickers[1:]], None, settled[1:])
    made = panel(store)
    assert outcomes(store, made.markets)["ticker"].to_list() == list(tickers[1:])
    assert outcomes(store, made.markets, at(10))["ticker"].to_list() == ["KXA-1-B", "KXA-1-C"]
    assert outcomes(store, made.markets, at(9.99))["ticker"].to_list() == ["KXA-1-B"]
    fewer = made.markets.filter(ticker="KXA-1-C")
    assert outcomes(store, fewer)["ticker"].to_list() == ["KXA-1-C"]
    schema.SETTLEMENTS.check(outcomes(store, made.markets))


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


def test_a_spread_is_never_assumed_where_quotes_were_recorded(store: Store) -> None:
    wide, narrow = panel(store, half_spread=4_000), panel(store, half_spread=0)
    assert wide.bars.equals(narrow.bars)


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


# --- choosing -------------------------------------------------------------------------------------


def test_the_commonest_bar_length_is_taken_and_the_others_are_named(build: Build) -> None:
    rows = [candle("KXA-1-A", k, bid=10) for k in range(3)]
    rows += [candle("KXA-1-A", 60 * k, HOUR, bid=20) for k in range(2)]
    store = build(rows)
    made = panel(store)
    assert (made.period, made.bars.height) == (60, 3)
    assert made.notes == ("bars of [60, 3600] seconds are stored; this run uses 60",)
    asked = panel(store, period=HOUR)
    assert (asked.period, asked.notes) == (HOUR, ())
    assert asked.bars["bid_close"].to_list() == [20, 20]
    with pytest.raises(UsageError, match=r"made has no bars of 900 seconds; it has \[60, 3600\]"):
        panel(store, period=900)


def test_as_many_bars_of_each_length_give_the_longer(build: Build) -> None:
    store = build([candle("KXA-1-A", 60, p, bid=10) for p in (60, HOUR)])
    assert panel(store).period == HOUR


def test_the_length_is_that_of_the_bars_chosen(build: Build) -> None:
    rows = [candle("KXA-1-A", k, bid=10) for k in range(3)]
    store = build([*rows, candle("KXB-1-A", 60, HOUR, bid=20)])
    only = panel(store, series=["KXB"])
    assert (only.period, only.notes) == (HOUR, ())
    late = panel(store, start=at(30))
    assert late.markets["ticker"].to_list() == ["KXB-1-A"]


def test_only_the_series_asked_for(store: Store) -> None:
    assert set(seen(panel(store, series=["KXB"]), "ticker")) == {"KXB-1-A"}
    both = panel(store, series=["KXB", "KXA"])
    assert both.bars.equals(panel(store).bars)
    with pytest.raises(UsageError, match="unknown series in made 'KXBB'; did you mean 'KXB'"):
        panel(store, series=["KXA", "KXBB"])


def test_bars_end_after_the_start_and_not_after_the_end(build: Build) -> None:
    store = build([candle("KXA-1-A", k, bid=10 + k) for k in range(5)])
    assert panel(store, start=at(1), end=at(3)).bars["bid_close"].to_list() == [12, 13]
    assert panel(store, start=at(3)).bars["bid_close"].to_list() == [14]
    assert panel(store, end=at(0)).bars["bid_close"].to_list() == [10]


def test_a_cut_off_dataset_shows_no_trade_of_before(build: Build) -> None:
    """A run that starts later knows nothing of trades before its first bar."""
    store = build([traded(1, 5_000), quiet(2), quiet(3)])
    assert panel(store, start=at(1)).bars["bid_close"].to_list() == [None, None]


@pytest.mark.parametrize("span", [{"start": at(10)}, {"end": at(-10)}, {"series": ["KXB"]}])
def test_an_empty_choice_is_an_error(build: Build, span: dict[str, Any]) -> None:
    store = build([candle("KXA-1-A", 1, bid=10)], [market("KXA-1-A"), market("KXB-1-A")])
    with pytest.raises(DataError, match="made has no candles in the chosen series and time span"):
        panel(store, **span)


def test_an_empty_dataset_is_an_error(build: Build) -> None:
    with pytest.raises(DataError, match="made has no candles"):
        panel(build([], []))


def test_a_candle_without_its_market_is_an_error_that_counts(build: Build) -> None:
    rows = [candle(t, 1, bid=10) for t in ("KXA-1-A", "KXA-1-B", "KXA-1-C")]
    store = build(rows, [market("KXA-1-B")])
    with pytest.raises(
        DataError, match=r"candles of KXA-1-A have no row in markets \(2 such tickers\)"
    ):
        panel(store)


# --- lazily ---------------------------------------------------------------------------------------


def test_one_column_is_read_without_the_others(store: Store) -> None:
    quotes = panel(store).quotes()

    def read(*names: str) -> set[str]:
        (columns,) = re.findall(r"PROJECT\[(.*?)\]", quotes.select(names).explain())
        return set(columns.replace('"', "").split(", "))

    assert read("time") == {"time"}
    assert read("mid") == {"bid_close", "ask_close"}
    assert read("close", "event") == {"price_close", "market"}


def test_quotes_do_not_depend_on_the_panel_being_made_again(store: Store) -> None:
    made = panel(store)
    assert made.quotes().collect().equals(made.quotes().collect())
    assert made.quotes().collect().equals(panel(store).quotes().collect())


def test_times_are_kept_to_the_microsecond(build: Build) -> None:
    odd = NOON + timedelta(microseconds=1)
    store = build([candle("KXA-1-A", 0, bid=10) | {"time": odd}])
    (found,) = seen(panel(store), "time")
    assert found == odd
    assert int(odd.timestamp()) * SECOND % DAY == DAY // 2
