"""Every recorded dataset comes in by its mapping or layout, and every row is accounted for.

Expected numbers are those that the datasets' own pages state, or counts of the raw files by other
means than the importer's.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.data.books import top
from kalshi_bt.data.importers.arena import import_arena
from kalshi_bt.data.importers.table import ImportReport, import_tables
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import checks
from kalshi_bt.schema import STORED

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {
    "analytics_aug2025": "kalshi-analytics-aug2025",
    "cross_category": "cross-category",
    "crypto15m": "crypto15m-2026",
    "crypto15m_favourites": "crypto15m-2026",
    "crypto15m_ticks": "crypto15m-ticks-aug2026",
    "index_spx": "index-spx-trades-2026",
    "btc15m_notes": "misc-ticks",
    "ncaab_quotes": "misc-ticks",
    "worldcup_quotes": "misc-ticks",
    "mlb_closing": "mlb-closing",
    "nba_hourly": "nba",
    "nba_minute": "nba",
    "nba_ticks": "nba",
    "sports_trades": "sports-crypto-trades-nov2025",
    "weather": "weather",
    "weather_book": "weather",
    "weather_forecasts": "weather",
    "weather_highs": "weather",
    "weather_mids": "weather",
    "weather_sfo": "weather",
}
RECORDINGS = ("crypto15m-2026/book_capture", "rest-fixtures", "gold15m-ws")
SLOW = {"gold15m-ws", "weather_book", "index_spx", "analytics_aug2025", "cross_category"}
EVERY = [*FOLDERS, *RECORDINGS, "arena"]
Bring = Callable[[str], tuple[ImportReport, Store]]


def some(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in names]


@pytest.fixture(scope="module")
def bring(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bring:
    """Import a dataset once."""
    done: dict[str, tuple[ImportReport, Store]] = {}
    root = tmp_path_factory.mktemp("shared")

    def import_once(name: str) -> tuple[ImportReport, Store]:
        if name not in done:
            into = root / name.replace("/", "_")
            if name in FOLDERS:
                mapping, source = MAPPINGS / f"{name}.toml", real_data / FOLDERS[name]
                report = import_tables(mapping, [source], into)
            elif name in RECORDINGS:
                report = import_ws([real_data / name], into)
            else:
                report = import_arena([real_data / name], into)
            done[name] = report, Store.open(into)
        return done[name]

    return import_once


def test_every_dataset_and_every_mapping_has_its_place(real_data: Path) -> None:
    assert set(FOLDERS) == {path.stem for path in MAPPINGS.glob("*.toml")}
    folders = {path.name for path in real_data.iterdir() if path.is_dir()}
    assert folders == {n.split("/")[0] for n in (*FOLDERS.values(), *RECORDINGS, "arena")}


@pytest.mark.parametrize("name", some(EVERY))
def test_every_row_is_stored_skipped_or_set_aside(bring: Bring, name: str) -> None:
    report, store = bring(name)
    for table, account in report.tables.items():
        left = sum(account.skipped.values()) + sum(account.quarantined.values())
        assert account.read == account.added + left
        assert (account.updated, account.unchanged) == (0, 0)
        rows = store.read(table)
        assert rows.height == account.added
        STORED[table].check(rows)
        assert all(rows.filter(check.fails).is_empty() for check in checks(table))
    known = set(store.read("markets")["ticker"])
    for table in ("candles", "trades", "books", "settlements"):
        assert set(store.read(table)["ticker"]) <= known
    fees = set(store.read("series")["series"])
    assert set(store.read("markets")["series"]) <= fees


def added(report: ImportReport) -> dict[str, int]:
    return {name: account.added for name, account in report.tables.items()}


# --- mappings -------------------------------------------------------------------------------------


def test_favourites_become_quotes_of_yes(bring: Bring, real_data: Path) -> None:
    report, store = bring("crypto15m_favourites")
    assert added(report)["markets"] == 40_641  # as stated
    raw = pl.read_parquet(real_data / "crypto15m-2026" / "quotes_14min_before_close.parquet")
    found = store.read("candles").join(raw, on="ticker")
    assert found.height == raw.height
    dollars = pl.when(pl.col("side") == "yes").then("bid").otherwise(1 - pl.col("ask"))
    assert found.filter((pl.col("bid_close") / 10_000 - dollars).abs() > 1e-9).is_empty()
    left = pl.from_epoch("close_ts").dt.replace_time_zone("UTC") - pl.duration(minutes="ml")
    assert found.filter(pl.col("time") != left).is_empty()


def test_values_of_the_index_are_kept_and_decide_the_results(bring: Bring) -> None:
    _, store = bring("crypto15m")
    rows = store.read("settlements").join(store.read("markets"), on="ticker")
    above = pl.col("value") >= pl.col("floor_strike")
    assert rows.select((above == (pl.col("result") == "yes")).mean()).item() > 0.999


def test_crypto_ticks_keep_every_quote_and_open_holes(bring: Bring, real_data: Path) -> None:
    _, store = bring("crypto15m_ticks")
    raw = pl.read_parquet(real_data / "crypto15m-ticks-aug2026" / "snapshots.parquet")
    books = store.read("books")
    assert books.filter(pl.col("bids").is_not_null()).height == raw.height
    gaps = raw.sort("ticker", "ts").select(pl.col("ts").diff().over("ticker") > 30).to_series()
    assert books["bids"].null_count() == gaps.sum() + raw["ticker"].n_unique()
    bids = top(books).filter("known").collect()["bid"]
    assert bids.cast(pl.Int64).sum() == round(raw["yb"].sum() * 10_000)
    late = store.read("markets").join(books, on="ticker")
    assert not late.filter(pl.col("time") >= pl.col("close_time")).is_empty()


def test_games_of_baseball_have_results_and_some_have_quotes(bring: Bring, real_data: Path) -> None:
    report, store = bring("mlb_closing")
    raw = pl.read_csv(real_data / "mlb-closing" / "kalshi_history.csv")
    timed = raw["ticker"].str.contains(r"-\d\d[A-Z]{3}\d{6}").sum()
    assert added(report) == {
        "series": 2,
        "markets": raw.height,
        "candles": timed,
        "settlements": raw.height,
    }
    assert report.tables["candles"].quarantined == {"no_match": raw.height - timed}
    quotes = store.read("candles").join(store.read("settlements"), on="ticker")
    lasted = (quotes["close_time"] - quotes["time"]).dt.total_minutes()
    assert 180 < lasted.median() < 220  # a game takes three hours and a half
    assert (lasted <= 0).mean() < 0.01  # a few were played at another hour


def test_tapes_of_sports_are_whole(bring: Bring, real_data: Path) -> None:
    report, store = bring("sports_trades")
    raw = pl.read_parquet(real_data / "sports-crypto-trades-nov2025" / "trades.parquet")
    assert added(report)["trades"] == raw.height
    trades, bars = store.read("trades"), store.read("candles")
    assert trades["quantity"].sum() == round(raw["count"].sum() * 100)
    assert bars["volume"].sum() == trades["quantity"].sum()
    paid = store.read("settlements")
    assert paid["payout"].sum() == 10_000 * paid.filter(pl.col("result") == "yes").height


@pytest.mark.slow
def test_index_trades_leave_their_repetitions_aside(bring: Bring, real_data: Path) -> None:
    report, store = bring("index_spx")
    folder = real_data / "index-spx-trades-2026"
    raw = [pl.read_parquet(folder / f"kalshi_{n}_clean.parquet") for n in ("kxinx", "kxinxu")]
    repeated = sum(frame.height - frame.n_unique() for frame in raw)
    assert report.tables["trades"].quarantined == {"duplicate": repeated}
    closes = store.read("markets")["close_time"].dt.convert_time_zone("America/New_York")
    assert set(closes.dt.hour()) == {16}
    assert added(report)["references"] == pl.read_parquet(folder / "vix_1s.parquet").height


@pytest.mark.slow
def test_quotes_of_weather_begin_when_the_markets_open(bring: Bring) -> None:
    report, store = bring("weather_book")
    assert report.tables["books"].quarantined == {"crossed": 2}
    markets = store.read("markets").select("ticker", "event")
    first = store.read("books").join(markets, on="ticker").group_by("event").agg(pl.min("time"))
    first = first.sort("time")["time"].dt.convert_time_zone("America/New_York")[1:]
    assert set(first.dt.hour()) == {10}
    assert first.dt.minute().max() < 5


def test_small_files_of_weather_are_whole(bring: Bring) -> None:
    assert added(bring("weather_mids")[0])["markets"] == 292  # as stated
    assert bring("weather_mids")[0].tables["settlements"].skipped == {"open": 192}
    report, store = bring("weather_highs")
    assert added(report)["settlements"] == 594
    winners = store.read("settlements").join(store.read("markets"), on="ticker")
    assert winners.group_by("event").agg(pl.sum("payout"))["payout"].unique().to_list() == [10_000]
    assert added(bring("weather_sfo")[0])["markets"] == 612


@pytest.mark.parametrize(
    ("name", "pattern", "column"),
    [
        ("nba_ticks", "nba/ticks_*.jsonl.gz", "yes_bid_prob"),
        ("worldcup_quotes", "misc-ticks/worldcup_*.jsonl.gz", "yes_bid"),
    ],
)
def test_quotes_in_lines_are_kept(
    bring: Bring, real_data: Path, name: str, pattern: str, column: str
) -> None:
    _, store = bring(name)
    lines = [
        json.loads(line)
        for path in sorted(real_data.glob(pattern))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    key = ["market_ticker", "kalshi_ts"] if name == "nba_ticks" else ["ticker", "ts"]
    distinct = {tuple(line[k] for k in key): line for line in reversed(lines)}
    known = top(store.read("books")).filter("known").collect()
    assert known.height == len(distinct)
    assert known["bid"].null_count() == sum(not line[column] for line in distinct.values())


def test_what_has_no_time_is_not_made_to_have_one(bring: Bring) -> None:
    report, _ = bring("btc15m_notes")
    assert added(report)["candles"] == 5
    assert report.tables["candles"].quarantined == {"unparsable_time": 1_277}
    assert set(added(bring("cross_category")[0])) == {"series", "markets"}


# --- recordings -----------------------------------------------------------------------------------


def test_polled_books_and_trades_are_those_stated(bring: Bring) -> None:
    report, store = bring("crypto15m-2026/book_capture")
    assert (added(report)["books"], added(report)["trades"]) == (150, 6_607)
    assert set(store.read("candles")["quote_source"]) == {"snapshot"}


def test_fixtures_of_the_exchange_are_read(bring: Bring) -> None:
    report, store = bring("rest-fixtures")
    assert report.messages["type:orderbook_delta"] == 61
    assert not report.messages.keys() & {"gap", "restart", "impossible", "crossed", "unreadable"}
    assert not store.read("quarantine").height
    assert added(report)["trades"] == 5
    assert {60, 86_400} == set(store.read("candles")["period"])
    assert "KXELONMARS-99" in set(store.read("markets")["ticker"])


@pytest.mark.slow
def test_no_book_of_gold_is_ever_crossed_or_impossible(bring: Bring) -> None:
    report, store = bring("gold15m-ws")
    assert not report.messages.keys() & {"crossed", "impossible", "unreadable", "torn", "back"}
    assert report.messages["restart"] == 1
    both = top(store.read("books")).filter(pl.col("bid") >= pl.col("ask")).collect()
    assert both.is_empty()


@pytest.mark.slow
def test_results_and_volumes_of_gold_agree_with_the_list(bring: Bring, real_data: Path) -> None:
    _, store = bring("gold15m-ws")
    listed = pl.read_csv(real_data / "gold15m-ws" / "MARKETS.csv").rename({"window": "ticker"})
    rows = store.read("settlements").join(store.read("markets"), on="ticker")
    rows = rows.join(listed, on="ticker", suffix=" listed")
    assert rows.height == listed.height
    assert rows["result"].equals(rows["result listed"].rename("result"))
    assert rows["value"].equals(rows["expiration_value"].rename("value"))
    above = pl.col("value") >= pl.col("floor_strike")
    assert rows.select((above == (pl.col("result") == "yes")).all()).item()
    traded = store.read("trades").group_by("ticker").agg(pl.sum("quantity"))
    share = rows.join(traded, on="ticker").select(pl.col("quantity") / 100 / pl.col("volume_fp"))
    assert 0.85 <= share.to_series().min() <= share.to_series().max() <= 1.000001


@pytest.mark.slow
def test_books_of_gold_equal_the_grid_recorded_beside_them(bring: Bring, real_data: Path) -> None:
    _, store = bring("gold15m-ws")
    (path,) = (real_data / "gold15m-ws" / "snapshots").rglob("*.parquet")
    raw = pl.read_parquet(path)
    price = (
        pl.when(pl.col("side") == "yes").then("price_1e4").otherwise(10_000 - pl.col("price_1e4"))
    )
    raw = raw.with_columns(
        price=price, time=pl.from_epoch("ts_ms", "ms").dt.replace_time_zone("UTC")
    )
    best = raw.group_by("time").agg(
        grid_bid=pl.col("price").filter(pl.col("side") == "yes").max(),
        grid_ask=pl.col("price").filter(pl.col("side") == "no").min(),
    )
    states = top(store.read("books").filter(pl.col("ticker") == raw["ticker"][0])).collect()
    seen = best.cast({"time": pl.Datetime("us", "UTC")}).sort("time")
    both = seen.join_asof(states.sort("time"), on="time").filter("known")
    agree = both.select(
        (
            pl.col("bid").eq_missing(pl.col("grid_bid"))
            & pl.col("ask").eq_missing(pl.col("grid_ask"))
        ).mean()
    ).item()
    assert both.height > 8_000
    assert agree > 0.97  # the grid is sampled a few milliseconds off the receive times


# --- leaderboards ---------------------------------------------------------------------------------


def test_boards_are_known_when_they_were_seen(bring: Bring, real_data: Path) -> None:
    report, store = bring("arena")
    folder = real_data / "arena"
    hourly = pl.read_parquet(folder / "arena_text_hourly_feb2026.parquet")
    catalog = pl.read_parquet(folder / "arena_catalog_overall_2025.parquet")
    history = pl.read_parquet(folder / "arena_rating_history_2023-2025.parquet")
    undated = pl.read_csv(folder / "arena_text_snapshot_mid2025_votes_org.csv")
    scores = store.read("references").filter(pl.col("field") == "score")
    assert scores.height == hourly.height + catalog.height + history.height
    assert report.tables["references"].quarantined == {"null_key": undated.height}
    assert added(report)["markets"] == 24
    first = hourly.sort("fetched_at", "rank").row(0, named=True)
    board = scores.filter(
        (pl.col("symbol") == first["model"])
        & (pl.col("time").dt.to_string("%Y-%m-%dT%H:%M:%SZ") == first["fetched_at"])
    )
    assert board["value"].to_list() == [first["score"]]
