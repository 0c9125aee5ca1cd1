"""The mappings of the studies on the recorded data: every row, against the raw files.

Expected values come from the raw files by other means than the importer's: exact decimal
arithmetic, one value at a time, and counts of the raw rows.
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data.importers.table import ImportReport, import_tables
from kalshi_bt.data.store import Store, info
from kalshi_bt.data.validate import checks

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {
    "weather": "weather",
    "nba_minute": "nba",
    "nba_hourly": "nba",
    "analytics_aug2025": "kalshi-analytics-aug2025",
    "crypto15m": "crypto15m-2026",
}
Bring = Callable[[str], tuple[ImportReport, Store]]


@pytest.fixture(scope="module")
def bring(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bring:
    """Import a dataset once."""
    done: dict[str, tuple[ImportReport, Store]] = {}
    root = tmp_path_factory.mktemp("real")

    def import_once(name: str) -> tuple[ImportReport, Store]:
        if name not in done:
            source = real_data / FOLDERS[name]
            report = import_tables(MAPPINGS / f"{name}.toml", [source], root / name)
            done[name] = report, Store.open(root / name)
        return done[name]

    return import_once


def exact(values: pl.Series, scale: int) -> pl.Series:
    """Each number times `scale` by decimal arithmetic; it must come out whole."""
    table = {}
    for value in values.drop_nulls().unique().to_list():
        product = Decimal(str(value)) * scale
        assert product == int(product)
        table[value] = int(product)
    return values.replace_strict(
        pl.Series(list(table), dtype=values.dtype),
        pl.Series(list(table.values()), dtype=pl.Int64),
        default=None,
    )


def without(values: pl.Series, word: int) -> list[int | None]:
    """The values, with null for `word`."""
    return [None if value == word else value for value in values.to_list()]


def same(found: pl.DataFrame, name: str, expected: pl.Series | list[int | None]) -> None:
    values = expected.to_list() if isinstance(expected, pl.Series) else expected
    assert found[name].cast(pl.Int64).to_list() == values, name


@pytest.mark.parametrize("name", FOLDERS)
def test_every_row_read_is_stored_skipped_or_set_aside(bring: Bring, name: str) -> None:
    report, store = bring(name)
    for table, account in report.tables.items():
        aside = sum(account.quarantined.values())
        assert account.read == account.added + sum(account.skipped.values()) + aside
        assert store.read(table).height == account.added
        for check in checks(table):
            assert store.read(table).filter(check.fails).is_empty()
    store.verify()
    assert json.loads(json.dumps(info(store))) == info(store)


@pytest.mark.parametrize("name", FOLDERS)
def test_importing_again_changes_nothing(bring: Bring, real_data: Path, name: str) -> None:
    report, store = bring(name)
    again = import_tables(MAPPINGS / f"{name}.toml", [real_data / FOLDERS[name]], store.root)
    assert again.fingerprint == report.fingerprint
    assert all(t.added == t.updated == 0 for t in again.tables.values())


# --- weather --------------------------------------------------------------------------------------


def test_weather_bars_equal_the_raw_ones_but_for_the_one_that_is_crossed(
    bring: Bring, real_data: Path
) -> None:
    report, store = bring("weather")
    raw = pl.read_parquet(real_data / "weather" / "kalshi_candles_nyc.parquet")
    crossed = [k for k, r in enumerate(raw.to_dicts()) if r["yes_bid_high"] > r["yes_ask_high"]]
    assert len(crossed) == 1
    aside = store.read("quarantine")
    assert aside.select("table", "source", "row", "reason").rows() == [
        ("candles", "kalshi_candles_nyc.parquet", crossed[0], "crossed")
    ]
    assert "bid_high=7600, ask_high=3900" in aside["found"][0]
    assert report.tables["candles"].read == raw.height == 21_407
    kept = raw.with_row_index().filter(~pl.col("index").is_in(crossed)).sort("ticker", "end_ts")
    found = store.read("candles")
    assert found["ticker"].to_list() == kept["ticker"].to_list()
    assert found["time"].dt.epoch("s").to_list() == kept["end_ts"].to_list()
    for part in schema.OHLC:
        same(found, f"price_{part}", exact(kept[f"price_{part}"], 10_000))
        same(found, f"bid_{part}", without(exact(kept[f"yes_bid_{part}"], 10_000), 0))
        same(found, f"ask_{part}", without(exact(kept[f"yes_ask_{part}"], 10_000), 10_000))
    for name in ("volume", "open_interest"):
        hundredths = [round(Decimal(str(v)) * 100) for v in kept[name].to_list()]
        same(found, name, hundredths)


def test_weather_times_are_utc_and_ends_of_bars(bring: Bring, real_data: Path) -> None:
    _, store = bring("weather")
    raw = pl.read_parquet(real_data / "weather" / "kalshi_candles_nyc.parquet")
    assert (raw["end_time"].dt.epoch("s") == raw["end_ts"]).all()
    opens = store.read("markets").select("ticker", "open_time")
    firsts = store.read("candles").group_by("ticker").agg(pl.col("time").min())
    waits = firsts.join(opens, on="ticker").select(pl.col("time") - pl.col("open_time"))
    assert waits.to_series().unique().to_list() == [timedelta(hours=1)]


def test_weather_events_pay_exactly_one_of_their_markets(bring: Bring, real_data: Path) -> None:
    _, store = bring("weather")
    raw = pl.read_parquet(real_data / "weather" / "kalshi_markets_nyc.parquet")
    settled = store.read("settlements").join(store.read("markets"), on="ticker")
    assert settled.height == raw.height == 564
    assert settled.filter(pl.col("payout") == 10_000).height == (raw["result"] == "yes").sum()
    assert settled.group_by("event").agg(pl.col("payout").sum())["payout"].unique().to_list() == [
        10_000
    ]
    lag = store.read("settlements").select(pl.col("time") - pl.col("close_time")).to_series()
    assert timedelta(hours=9) <= lag.min() <= lag.max() <= timedelta(hours=16)


# --- nba ------------------------------------------------------------------------------------------


def test_minute_bars_equal_the_raw_ones(bring: Bring, real_data: Path) -> None:
    report, store = bring("nba_minute")
    raw = pl.read_parquet(real_data / "nba" / "minute_trade_candles_2025.parquet")
    raw, found = raw.sort("ticker", "time"), store.read("candles")
    assert report.tables["candles"].quarantined == {}
    assert found.height == raw.height == 488_566
    assert found.select("ticker", "time").equals(raw.select("ticker", "time"))
    for part in schema.OHLC:
        same(found, f"price_{part}", exact(raw[part], 100))
    same(found, "volume", exact(raw["volume"], 100))
    assert found.select(pl.col("^(bid|ask)_.*$").is_null().all()).row(0) == (True,) * 10


def test_minute_bars_are_labelled_by_their_end(bring: Bring, real_data: Path) -> None:
    """A recording of ticker messages of one game tells the last price before each label."""
    _, store = bring("nba_minute")
    path = real_data / "nba" / "ticks_KXNBAGAME-25NOV22LACCHA-LAC.jsonl.gz"
    ticks = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    moments = sorted((tick["kalshi_ts"], tick["price_prob"]) for tick in ticks)
    bars = store.read("candles").filter(
        pl.col("ticker") == "KXNBAGAME-25NOV22LACCHA-LAC", pl.col("price_close").is_not_null()
    )
    agreeing = {}
    for shift in (-60, 0, 60):
        hits = []
        for time, close in bars.select(pl.col("time").dt.epoch("s"), "price_close").rows():
            before = [p for t, p in moments if time + shift - 60 <= t <= time + shift]
            hits += [abs(before[-1] * 10_000 - close) < 1] if before else []
        agreeing[shift] = sum(hits) / len(hits)
    assert agreeing[0] > 0.9
    assert max(agreeing[-60], agreeing[60]) < 0.5


def test_results_of_games_without_bars_are_skipped(bring: Bring, real_data: Path) -> None:
    results = pl.read_parquet(real_data / "nba" / "results_derived.parquet")
    files = {"nba_minute": "minute_trade_candles_2025", "nba_hourly": "hourly_candles_2025-26"}
    for name, file in files.items():
        report, store = bring(name)
        raw = pl.read_parquet(real_data / "nba" / f"{file}.parquet")
        tickers = set(raw["ticker"])
        wanted = [row for row in results.to_dicts() if row["ticker"] in tickers]
        account = report.tables["settlements"]
        assert account.added == len(wanted)
        assert account.skipped == {"unknown_ticker": results.height - len(wanted)}
        paid = dict(store.read("settlements").select("ticker", "payout").iter_rows())
        assert paid == {r["ticker"]: 10_000 * (r["result"] == "yes") for r in wanted}
        ends = dict(raw.group_by("ticker").agg(pl.col("time").max()).iter_rows())
        for ticker, time, close in (
            store.read("settlements").select("ticker", "time", "close_time").iter_rows()
        ):
            assert close == ends[ticker]
            assert time - close == timedelta(hours=24)
        assert info(store)["unsettled"] == len(tickers) - len(wanted)


def test_hourly_bars_without_trades_have_no_price(bring: Bring, real_data: Path) -> None:
    report, store = bring("nba_hourly")
    raw = pl.read_parquet(real_data / "nba" / "hourly_candles_2025-26.parquet")
    raw, found = raw.sort("ticker", "time"), store.read("candles")
    assert report.tables["candles"].quarantined == {}
    assert found.height == raw.height == 37_867
    traded = raw["volume"].to_list()
    assert traded.count(0) == found["price_close"].null_count() == 3_981
    for part in schema.OHLC:
        prices = exact(raw[part], 10_000).to_list()
        expected = [p if v else None for p, v in zip(prices, traded, strict=True)]
        same(found, f"price_{part}", expected)
        same(found, f"bid_{part}", without(exact(raw["yes_bid"], 10_000), 0))
        same(found, f"ask_{part}", without(exact(raw["yes_ask"], 10_000), 10_000))
    assert found["quote_source"].unique().to_list() == ["snapshot"]


def test_hourly_bars_are_labelled_by_their_end(bring: Bring, real_data: Path) -> None:
    """No bar ends after the close, and in half of the games the last one is still undecided."""
    _, store = bring("nba_hourly")
    summary = pl.read_parquet(real_data / "nba" / "hourly_summary_2025-26.parquet")
    closed = {r["ticker"]: datetime.fromisoformat(r["close_time"]) for r in summary.to_dicts()}
    last = store.read("candles").group_by("ticker").agg(pl.all().sort_by("time").last())
    late = [row["time"] > closed[row["ticker"]] for row in last.to_dicts()]
    assert not any(late)
    undecided = [
        row
        for row in last.to_dicts()
        if row["bid_close"]
        and row["ask_close"]
        and 600 <= row["bid_close"] + row["ask_close"] <= 19_400
    ]
    assert len(undecided) > 0.45 * last.height


# --- analytics ------------------------------------------------------------------------------------


def test_bars_of_open_markets_equal_the_raw_ones(bring: Bring, real_data: Path) -> None:
    report, store = bring("analytics_aug2025")
    folder = real_data / "kalshi-analytics-aug2025"
    raw = pl.read_parquet(folder / "candles_long_cents.parquet")
    seconds = {"1m": 60, "1h": 3_600}
    raw = raw.with_columns(period=pl.col("interval").replace_strict(seconds))
    raw, found = raw.sort("ticker", "period", "end_period_ts"), store.read("candles")
    assert report.tables["candles"].quarantined == {}
    assert found.height == raw.height == 207_112
    assert found["ticker"].to_list() == raw["ticker"].to_list()
    assert found["period"].to_list() == raw["period"].to_list()
    assert found["time"].dt.epoch("s").to_list() == raw["end_period_ts"].to_list()
    for part in schema.OHLC:
        same(found, f"price_{part}", exact(raw[f"price_{part}"], 100))
        same(found, f"bid_{part}", without(exact(raw[f"yes_bid_{part}"], 100), 0))
        same(found, f"ask_{part}", without(exact(raw[f"yes_ask_{part}"], 100), 10_000))
    for name in ("volume", "open_interest"):
        same(found, name, exact(raw[name], 100))


def test_markets_not_listed_are_derived_and_none_is_settled(bring: Bring, real_data: Path) -> None:
    report, store = bring("analytics_aug2025")
    folder = real_data / "kalshi-analytics-aug2025"
    listed = set(pl.read_parquet(folder / "active_markets.parquet")["ticker"])
    barred = set(pl.read_parquet(folder / "candles_long_cents.parquet")["ticker"])
    markets = store.read("markets")
    assert set(markets["ticker"]) == listed | barred
    assert (len(listed), len(barred - listed)) == (3_815, 725)
    assert report.tables["markets"].skipped == {"known": len(barred & listed)}
    derived = markets.filter(pl.col("close_time").is_null())
    assert set(derived["ticker"]) == barred - listed
    assert store.read("settlements").is_empty()
    named = {"KXLLM1", "KXINX", "KXINXU", "KXNASDAQ100", "KXNASDAQ100U"}
    by_default = set(markets["series"]) - named
    assert report.warnings == (f"{len(by_default):,} series have the fees of prefix = '*'",)


def test_volumes_of_minutes_add_up_to_those_of_hours(bring: Bring) -> None:
    """Both are labelled by their end, or they would not."""
    _, store = bring("analytics_aug2025")
    bars = store.read("candles").select("ticker", "period", "time", "volume")
    hours = {(t, e): v for t, p, e, v in bars.iter_rows() if p == 3_600 and v}
    sums = dict.fromkeys(hours, 0)
    reached = set()
    for ticker, period, time, volume in bars.iter_rows():
        if period == 60:
            start = (time - timedelta(minutes=1)).replace(minute=0)
            key = ticker, start + timedelta(hours=1)
            if key in sums:
                sums[key] += volume
                reached.add(key)
    agreeing = sum(sums[key] == hours[key] for key in reached)
    assert len(reached) > 1_000
    assert agreeing >= 0.99 * len(reached)


# --- crypto ---------------------------------------------------------------------------------------


def test_crypto_quotes_equal_the_raw_ones_and_end_at_the_close(
    bring: Bring, real_data: Path
) -> None:
    report, store = bring("crypto15m")
    folder = real_data / "crypto15m-2026"
    markets = pl.read_parquet(folder / "markets_15m.parquet")
    closes = dict(markets.select("ticker", "close_time").iter_rows())
    raw = pl.read_parquet(folder / "quotes_1min_paths.parquet")
    raw = raw.sort(["ticker", "minutes_left"], descending=[False, True])
    assert report.tables["candles"].quarantined == {}
    found = store.read("candles")
    assert found.height == raw.height == 68_443
    assert found["ticker"].to_list() == raw["ticker"].to_list()
    assert found["time"].to_list() == [
        closes[t] - timedelta(minutes=m) for t, m in raw.select("ticker", "minutes_left").rows()
    ]
    bid, high = exact(raw["yes_bid_close"], 10_000), exact(raw["yes_bid_high"], 10_000)
    ask, low = exact(raw["yes_ask_close"], 10_000), exact(raw["yes_ask_low"], 10_000)
    for name, values in (("open", bid), ("high", high), ("low", bid), ("close", bid)):
        same(found, f"bid_{name}", without(values, 0))
    for name, values in (("open", ask), ("high", ask), ("low", low), ("close", ask)):
        same(found, f"ask_{name}", without(values, 10_000))
    assert found["volume"].null_count() == found.height
    assert found["price_close"].null_count() == found.height
    assert set(found["quote_source"]) == {"snapshot"}


def test_crypto_bars_run_from_fourteen_minutes_to_the_close_where_a_side_is_empty(
    bring: Bring,
) -> None:
    """Of 15 minutes of life every bar ends within; the book is one-sided only at the close."""
    _, store = bring("crypto15m")
    bars = store.read("candles").join(store.read("markets"), on="ticker")
    left = bars.select(((pl.col("close_time") - pl.col("time")).dt.total_minutes()).alias("left"))
    assert sorted(left["left"].unique()) == list(range(15))
    empty = (
        bars.with_columns(left)
        .group_by("left")
        .agg((pl.col("bid_close").is_null() | pl.col("ask_close").is_null()).mean().alias("share"))
    )
    shares = dict(empty.select("left", "share").iter_rows())
    assert shares[0] > 0.9
    assert max(shares[minute] for minute in range(1, 15)) < 0.5


def test_crypto_markets_open_fifteen_minutes_and_are_paid_a_minute_later(
    bring: Bring, real_data: Path
) -> None:
    report, store = bring("crypto15m")
    raw = pl.read_parquet(real_data / "crypto15m-2026" / "markets_15m.parquet").sort("ticker")
    markets, settled = store.read("markets"), store.read("settlements")
    assert report.tables["markets"].added == raw.height == 40_641
    assert markets["floor_strike"].equals(raw["floor_strike"])
    assert (markets["close_time"] - markets["open_time"]).unique().to_list() == [
        timedelta(minutes=15)
    ]
    paid = [10_000 * (result == "yes") for result in raw["result"].to_list()]
    same(settled, "payout", paid)
    assert settled["close_time"].equals(raw["close_time"])
    assert (settled["time"] - settled["close_time"]).unique().to_list() == [timedelta(minutes=1)]
    assert report.warnings == ()


def test_every_crypto_quote_is_on_the_grid_of_its_market(bring: Bring) -> None:
    _, store = bring("crypto15m")
    (grid,) = store.read("markets")["price_ranges"].unique(maintain_order=True).to_list()
    steps = [range(band["start"], band["end"] + 1, band["step"]) for band in grid]
    valid = {price for band in steps for price in band}
    quotes = store.read("candles").select(pl.col("^(bid|ask)_.*$"))
    seen = {price for column in quotes for price in column.drop_nulls().to_list()}
    assert seen <= valid
    assert any(price % 100 for price in seen)


def test_all_stored_times_lie_in_the_span_of_the_recordings(bring: Bring) -> None:
    spans = {
        "weather": (datetime(2026, 2, 25, tzinfo=UTC), datetime(2026, 4, 15, tzinfo=UTC)),
        "nba_minute": (datetime(2025, 4, 19, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)),
        "nba_hourly": (datetime(2025, 10, 10, tzinfo=UTC), datetime(2026, 1, 25, tzinfo=UTC)),
        "analytics_aug2025": (
            datetime(2024, 12, 20, tzinfo=UTC),
            datetime(2025, 8, 15, tzinfo=UTC),
        ),
        "crypto15m": (datetime(2026, 5, 24, tzinfo=UTC), datetime(2026, 7, 20, tzinfo=UTC)),
    }
    for name, (start, end) in spans.items():
        times = bring(name)[1].read("candles", ["time"])["time"]
        assert start <= times.min() <= times.max() <= end
