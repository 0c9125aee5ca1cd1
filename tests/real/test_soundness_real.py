"""The audit on recorded data: it finds what is known to be wrong with each dataset.

Expected counts are those the notes that come with the data state, or are counted in the raw files.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from soundness_dataset import Memory

from kalshi_bt import schema
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.soundness import Audit, Finding, audit
from kalshi_bt.data.store import Store

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {
    "weather": "weather",
    "nba_minute": "nba",
    "nba_hourly": "nba",
    "analytics_aug2025": "kalshi-analytics-aug2025",
    "crypto15m": "crypto15m-2026",
}
EASTERN = ZoneInfo("America/New_York")
Findings = dict[str, Finding]
Judge = Callable[[str], Audit]


@pytest.fixture(scope="module")
def judge(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Import a dataset and audit it, once."""
    root, done = tmp_path_factory.mktemp("judged"), dict[str, Audit]()

    def judge_once(name: str) -> Audit:
        if name not in done:
            import_tables(MAPPINGS / f"{name}.toml", [real_data / FOLDERS[name]], root / name)
            done[name] = audit(Store.open(root / name))
        return done[name]

    return judge_once


def by_rule(found: Audit) -> Findings:
    return {f"{f.table} {f.rule}": f for f in found.findings}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_datasets_of_the_studies_are_sound(judge: Judge, name: str) -> None:
    assert judge(name).sound


def test_every_weather_market_has_a_bar_that_ends_after_its_close(
    judge: Judge, real_data: Path
) -> None:
    found = by_rule(judge("weather"))
    folder = real_data / "weather"
    closes = pl.read_parquet(
        folder / "kalshi_markets_nyc.parquet", columns=["ticker", "close_time"]
    )
    close = {t: c.replace(tzinfo=UTC) for t, c in closes.iter_rows()}
    bars = pl.read_parquet(folder / "kalshi_candles_nyc.parquet", columns=["ticker", "end_ts"])
    after: Counter[str] = Counter()
    late = set()
    for name, end in bars.iter_rows():
        ends = datetime.fromtimestamp(end, UTC)
        if ends > close[name]:
            late.add(name)
            after["over" if ends - timedelta(hours=1) < close[name] else "after"] += 1
    assert len(late) == 564
    assert found["candles bar_after_close"].count == after["after"]
    assert found["candles bar_over_close"].count == after["over"]


def test_the_crossed_weather_bar_is_reported_from_the_quarantine(judge: Judge) -> None:
    finding = by_rule(judge("weather"))["candles quarantined_crossed"]
    assert (finding.count, finding.of, finding.severity) == (1, 21_407, "note")


def test_weather_closes_that_moved_an_hour_with_the_clocks_are_found(
    judge: Judge, real_data: Path
) -> None:
    path = real_data / "weather" / "kalshi_markets_nyc.parquet"
    closes = pl.read_parquet(path, columns=["event_ticker", "close_time"]).unique()
    usual = {"KXHIGHNY": (4, 59), "KXLOWTNYC": (5, 0)}
    moved = {
        event
        for event, close in closes.iter_rows()
        if (close.hour, close.minute) != usual[event.split("-")[0]]
    }
    finding = by_rule(judge("weather"))["markets close_off_schedule"]
    assert finding.count == len(moved) > 0
    assert {e.ticker for e in finding.examples} <= moved
    assert all("-3600 s off" in e.found for e in finding.examples)


def test_bars_of_no_volume_that_repeat_a_price_are_found(real_data: Path, tmp_path: Path) -> None:
    text = (MAPPINGS / "nba_hourly.toml").read_text("utf-8")
    line = 'no_trade = { column = "volume", equals = 0 }\n'
    assert line in text
    mapping = tmp_path / "repeating.toml"
    mapping.write_text(text.replace(line, ""), "utf-8")
    import_tables(mapping, [real_data / "nba"], tmp_path / "dataset")
    raw = pl.read_parquet(real_data / "nba" / "hourly_candles_2025-26.parquet")
    empty = raw.filter(pl.col("volume") == 0, pl.col("close").is_not_null()).height
    assert empty > 0
    finding = by_rule(audit(Store.open(tmp_path / "dataset")))["candles price_without_volume"]
    assert finding.count == empty


def test_games_without_a_result_are_found(judge: Judge, real_data: Path) -> None:
    raw = pl.read_parquet(real_data / "nba" / "hourly_candles_2025-26.parquet")
    known = set(pl.read_parquet(real_data / "nba" / "results_derived.parquet")["ticker"])
    last: dict[str, datetime] = {}
    for name, time in raw.select("ticker", "time").iter_rows():
        last[name] = max(time, last.get(name, time))
    end = max(last.values())
    lost = [t for t in last if t not in known]
    assert len(lost) == 144
    old = [t for t in lost if end - last[t] > timedelta(days=7)]
    assert by_rule(judge("nba_hourly"))["settlements unsettled"].count == len(old)


def test_bars_without_quotes_are_found(judge: Judge) -> None:
    finding = by_rule(judge("nba_minute"))["candles quotes_not_recorded"]
    assert [(e.ticker, e.found) for e in finding.examples] == [
        ("KXNBAGAME", "488566 of 488566 bars")
    ]


def test_hours_that_disagree_with_their_minutes_are_found(judge: Judge) -> None:
    assert by_rule(judge("analytics_aug2025"))["candles periods_disagree"].count == 2


def test_open_markets_are_found_to_have_no_results(judge: Judge) -> None:
    finding = by_rule(judge("analytics_aug2025"))["settlements unsettled"]
    assert finding.count == finding.of


def test_the_chain_of_quarter_hours_holds_but_for_ties_of_cut_digits(
    judge: Judge, real_data: Path
) -> None:
    columns = ["series", "open_time", "close_time", "floor_strike", "result"]
    raw = pl.read_parquet(real_data / "crypto15m-2026" / "markets_15m.parquet", columns=columns)
    opening = {(r["series"], r["open_time"]): r["floor_strike"] for r in raw.to_dicts()}
    ties = [
        row
        for row in raw.to_dicts()
        if opening.get((row["series"], row["close_time"])) == row["floor_strike"]
    ]
    found = by_rule(judge("crypto15m"))
    assert found["settlements tie_paid_no"].of == len(ties)
    assert found["settlements tie_paid_no"].count == sum(r["result"] == "no" for r in ties)
    assert "settlements result_against_next_strike" not in found


# --- recordings that are not bars -----------------------------------------------------------------


def closing(ticker: str) -> datetime:
    """The close that a quarter hour's ticker names."""
    local = datetime.strptime(ticker.split("-")[1], "%y%b%d%H%M").replace(tzinfo=EASTERN)
    return local.astimezone(UTC)


def test_snapshots_that_are_crossed_or_late_are_found(real_data: Path) -> None:
    raw = pl.read_parquet(real_data / "crypto15m-ticks-aug2026" / "snapshots.parquet")
    time = (pl.col("ts") * 1e6).cast(pl.Int64).cast(pl.Datetime("us"))
    books = raw.select(
        "ticker",
        time=time.dt.replace_time_zone("UTC"),
        bids=(pl.col("yb") * 10_000).round().cast(schema.Price),
        asks=(pl.col("ya") * 10_000).round().cast(schema.Price),
    ).with_columns(
        pl.concat_list(pl.struct(price=side, size=pl.lit(100, dtype=pl.Int64))).alias(side)
        for side in ("bids", "asks")
    )
    closes = {name: closing(name) for name in raw["ticker"].unique().sort()}
    markets = pl.DataFrame({"ticker": list(closes), "close_time": list(closes.values())})
    markets = markets.with_columns(
        pl.col("close_time").cast(schema.Time),
        event=pl.col("ticker").str.extract("^(.+)-[^-]+$"),
        series=pl.col("ticker").str.extract("^([^-]+)"),
    )
    tables = {"books": books.sort("ticker", "time"), "markets": schema.MARKETS.filled(markets)}
    found = {name: f.count for name, f in by_rule(audit(Memory(tables))).items()}
    rows = raw.select("ticker", "ts", "yb", "ya").rows()
    late = sum(ts > closes[name].timestamp() for name, ts, _, _ in rows)
    assert found["books after_close"] == late > 0
    assert found.get("books crossed", 0) == sum(bid > ask for _, _, bid, ask in rows)


@pytest.mark.parametrize("half", ["above", "bracket"])
def test_rows_of_index_trades_that_stand_twice_are_found(real_data: Path, half: str) -> None:
    folder = real_data / "index-spx-trades-2026"
    names = {"above": "kalshi_kxinxu_clean", "bracket": "kalshi_kxinx_clean"}
    raw = pl.read_parquet(folder / f"{names[half]}.parquet")
    trades = raw.with_row_index().select(
        "ticker",
        time=pl.col("ts").dt.convert_time_zone("UTC"),
        trade_id=pl.col("index").cast(pl.String),
        price=(pl.col("price") * 10_000).round().cast(schema.Price),
        quantity=(pl.col("quantity") * 100).round().cast(pl.Int64),
        taker_side=pl.when(pl.col("direction") == "yes_taker").then(1).otherwise(-1).cast(pl.Int8),
    )
    found = by_rule(audit(Memory({"trades": trades.sort("ticker", "time", "trade_id")})))
    seen = Counter(raw.select("ticker", "ts", "price", "quantity", "direction").iter_rows())
    finding = found["trades trade_repeated"]
    assert finding.count == sum(seen.values()) - len(seen)
