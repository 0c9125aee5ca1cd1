"""The panel: what a signal sees, in dollars, and nothing of the outcome."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from panel_rows import Row, at, candle, filled, made_store, market, seen, settlement
from strategies_random import random_case, seeded

from kalshi_bt import schema
from kalshi_bt.data.panel import outcomes, panel, read_for
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


def test_quotes_of_some_columns_need_no_more_of_the_bars_than_is_said(store: Store) -> None:
    made = panel(store)
    for name, column in made.quotes().collect().to_dict().items():
        bars = made.bars.select("market", *read_for([name]))
        found = replace(made, bars=bars).quotes([name]).collect()
        assert found.equals(column.to_frame()), name


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
    assert made.period == 60
    assert made.sources == {"candle": 3, "snapshot": 1}
    assert made.notes == ("where the quotes of the bars come from: 3 candle, 1 snapshot",)


@pytest.mark.parametrize("known", [True, False])
def test_a_panel_of_one_market_and_one_bar_is_like_any_other(build: Build, known: bool) -> None:  # noqa: FBT001
    facts = {"close_time": at(9), "floor_strike": 1.5, "strike_type": "less"} if known else {}
    made = panel(build([candle("KXA-1-A", 1, bid=10, ask=20)], [market("KXA-1-A", **facts)]))
    names = ("ticker", "event", "close_time", "floor_strike", "strike_type", "mid")
    late, strike, kind = (at(9), 1.5, "less") if known else (None, None, None)
    assert seen(made, *names) == [("KXA-1-A", "KXA-1", late, strike, kind, 0.0015)]


@pytest.mark.slow
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
        tables = {"candles": schema.CANDLES.filled(bars), "markets": case.markets}
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
