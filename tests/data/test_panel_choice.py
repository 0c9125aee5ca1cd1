"""Which bars a panel holds, and what is read to make it."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from panel_rows import (
    HOUR,
    NOON,
    Row,
    at,
    candle,
    made_store,
    market,
    reference,
    seen,
    settlement,
    trade,
)

from kalshi_bt import schema
from kalshi_bt.data.panel import Reference, outcomes, panel
from kalshi_bt.data.scope import Scope
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import DAY, SECOND

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


@pytest.mark.parametrize("span", [{"start": at(10)}, {"end": at(-10)}, {"series": ["KXB"]}])
def test_an_empty_choice_is_an_error(build: Build, span: dict[str, Any]) -> None:
    store = build([candle("KXA-1-A", 1, bid=10)], [market("KXA-1-A"), market("KXB-1-A")])
    with pytest.raises(DataError, match="made has no candles, books or trades in the chosen"):
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


# --- what is read ---------------------------------------------------------------------------------


def many_parts(folder: Path) -> Store:
    """Three series over three months, with their candles, trades and references."""
    months = [at(k * 60 * 24 * 30) - NOON for k in range(3)]
    rows: dict[str, list[Row]] = {"candles": [], "trades": [], "references": [], "settlements": []}
    for n, series in enumerate(("KXA", "KXB", "KXC")):
        for k, later in enumerate(months):
            ticker = f"{series}-{k}-A"
            bar = candle(ticker, 1, bid=1_000 * n + k + 1, ask=9_000)
            rows["candles"].append(bar | {"time": bar["time"] + later})
            rows["trades"].append(trade(ticker, 1, 5_000, 1, time=at(1) + later))
            rows["references"].append(reference(0, 10.0 * k, source=series, time=NOON + later))
            rows["settlements"].append(settlement(ticker, 2, 0, "no"))
    return made_store(folder, rows)


def spoilt(store: Store, *kept: str) -> None:
    """Overwrite every file but those whose path has one of some texts, keeping their sizes."""
    files = list(Path(store.root).rglob("*.parquet"))
    spared = [path for path in files if any(text in str(path) for text in kept)]
    assert 0 < len(spared) < len(files)
    for path in set(files) - set(spared):
        path.write_bytes(b"x" * path.stat().st_size)


SPAN: Row = {"series": ["KXB"], "start": at(60 * 24 * 29), "end": at(60 * 24 * 31)}


@pytest.mark.parametrize("kind", ["auto", "candles", "trades"])
def test_files_of_other_series_and_months_are_not_opened(tmp_path: Path, kind: Any) -> None:
    store = many_parts(tmp_path)
    spot = Reference("KXC", "BTC", "close", "spot", timedelta(hours=1))
    options = {**SPAN, "quotes": kind, "references": [spot]}
    whole = panel(store, **options)
    assert seen(whole, "ticker", "spot") == [("KXB-1-A", 10.0)]
    table = "trades" if kind == "trades" else "candles"
    spoilt(store, f"{table}/KXB/2026-06", "markets/KXB", "references/KXC/2026-06")
    again = panel(Store.open(store.root), **options)
    assert again.quotes().collect().equals(whole.quotes().collect())


def test_outcomes_are_read_from_the_parts_of_their_series(tmp_path: Path) -> None:
    store = many_parts(tmp_path)
    markets = panel(store, **SPAN).markets
    spoilt(store, "settlements/KXB")
    assert outcomes(Store.open(store.root), markets)["ticker"].to_list() == ["KXB-1-A"]


def test_what_is_chosen_reaches_the_files(tmp_path: Path) -> None:
    """Rows are chosen and columns left out while files are read, not after."""
    scope = Scope.of(many_parts(tmp_path), ["KXB"], SPAN["start"], SPAN["end"])
    plan = scope.rows("candles", scope.start, scope.end, ordered=False)
    text = plan.filter(pl.col("period") == 60).select("ticker", "bid_close").explain()
    assert "FILTER" not in text
    (chosen,) = re.findall(r"SELECTION: (.*)", text)
    assert all(name in chosen for name in ("ticker", "time", "period"))
    (columns,) = re.findall(r"PROJECT (\d+)/", text)
    assert int(columns) < len(schema.CANDLES.columns) / 2
    assert "KXB/2026-06" in text
    assert "KXA" not in text.replace(chosen, "")


def test_a_series_that_its_tickers_do_not_begin_with_is_found(tmp_path: Path) -> None:
    rows = [candle("KXOLD-1-A", 1, bid=10), candle("KXNEW-1-A", 1, bid=20)]
    listed = [market("KXOLD-1-A", series="KXNAMED"), market("KXNEW-1-A")]
    store = made_store(tmp_path, {"candles": rows, "markets": listed})
    assert seen(panel(store, series=["KXNAMED"]), "ticker") == ["KXOLD-1-A"]
