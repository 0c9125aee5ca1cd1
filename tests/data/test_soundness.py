"""The audit as a whole: what it says of sound datasets, of stores, and of times that are odd."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from soundness_dataset import (
    FIRST,
    GAME,
    STEPS,
    Memory,
    Tables,
    both,
    clean,
    copy,
    ladder,
    put,
    utc,
    without,
)

from kalshi_bt import schema
from kalshi_bt.data.parts import Place, path_of
from kalshi_bt.data.soundness import Audit, Example, audit, text
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import Planted, sample
from kalshi_bt.errors import DataError

EVER = pl.lit(value=True)
ticker, time = pl.col("ticker"), pl.col("time")


def dirty() -> Tables:
    """Faults of several kinds, in several markets."""
    tables = clean()
    both(
        put("candles", ticker.str.starts_with("KXLOW") & (time == utc(5, 3)), bid_high=9_900),
        put("candles", ticker == FIRST, volume=1),
        without("candles", (ticker == f"{ladder(7)}-T40") & (time == utc(7, 3))),
        copy("trades", ticker == FIRST, trade_id=pl.col("trade_id") + "x"),
        put("settlements", ticker == f"{GAME}-AAA", result="no", payout=0),
        put("markets", pl.col("event") == ladder(8), close_time=utc(9, 4)),
    )(tables)
    return tables


def stored(folder: Path, tables: Tables) -> Store:
    store = Store.create(folder, name="memory")
    store.commit(tables)
    return store


# --- what is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted", [Planted(), Planted(stale_lag=3, longshot_bias=0.2)], ids=["fair", "odd"]
)
def test_nothing_is_found_in_the_synthetic_sample(planted: Planted) -> None:
    found = audit(Memory(sample(3, planted=planted, days=3)))
    assert found.sound
    assert found.findings == ()


def test_an_empty_dataset_is_sound_and_says_that_nothing_was_looked_at() -> None:
    found = audit(Memory({}))
    assert found.sound
    assert all(c.rows == 0 for c in found.checked)
    assert f"{len(found.checked)} had nothing to look at" in text(found)
    assert {c["verdict"] for c in found.to_dict()["checked"]} == {"nothing to look at"}


def test_warnings_and_notes_leave_a_dataset_sound_and_an_error_does_not() -> None:
    tables = clean()
    without("candles", (ticker == FIRST) & (time == utc(5, 15, 5)))(tables)
    put("candles", (ticker == f"{ladder(6)}-T40") & (time == utc(6, 3)), volume=0)(tables)
    mild = audit(Memory(tables))
    assert {f.severity for f in mild.findings} == {"warning", "note"}
    assert mild.sound
    put("candles", (ticker == f"{ladder(6)}-T40") & (time == utc(6, 4)), bid_high=9_900)(tables)
    assert not audit(Memory(tables)).sound


# --- what is found depends on the rows alone ------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 40, 300])
def test_findings_do_not_depend_on_how_the_rows_are_cut(batch: int) -> None:
    whole = audit(Memory(dirty()))
    assert len(whole.findings) >= 6
    assert audit(Memory(dirty()), batch=batch) == whole


@pytest.mark.slow
def test_a_row_without_a_ticker_is_seen_in_every_cut() -> None:
    tables = clean()
    put("trades", (ticker == FIRST) & (time == utc(5, 15, 9, 20)), ticker=None)(tables)
    cut = audit(Memory(tables), batch=40)
    assert cut == audit(Memory(tables))
    assert any(f.rule == "null_key" and f.count == 1 for f in cut.findings)


@pytest.mark.slow
def test_a_store_is_judged_like_the_tables_it_was_made_of(tmp_path: Path) -> None:
    store = stored(tmp_path / "whole", dirty())
    assert audit(store) == audit(Memory(dirty()))
    parts = Store.create(tmp_path / "parts", name="memory")
    tables = dirty()
    for rest in range(3):  # three commits: parts of several files
        every = {
            n: f.with_row_index().filter(pl.col("index") % 3 == rest) for n, f in tables.items()
        }
        parts.commit({name: frame.drop("index") for name, frame in every.items()})
    assert audit(parts) == audit(Memory(dirty()))


# --- files ----------------------------------------------------------------------------------------


def rewritten(store: Store, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Store:
    """Replace the one file of January's trades by another with a manifest that agrees."""
    folder = Path(store.root)
    stem = path_of("trades", Place("KXBTC15M", "2026-01"))
    (path,) = folder.glob(f"{stem}*.parquet")
    before = path.stat().st_size
    change(pl.read_parquet(path)).write_parquet(path)
    manifest = folder / "dataset.json"
    content = manifest.read_text("utf-8")
    assert content.count(f'"bytes": {before},') == 1
    manifest.write_text(content.replace(f'"bytes": {before},', f'"bytes": {path.stat().st_size},'))
    return Store.open(folder)


def test_a_file_that_is_not_sorted_is_found_although_its_rows_are_read_in_order(
    tmp_path: Path,
) -> None:
    store = rewritten(stored(tmp_path, clean()), lambda trades: trades.reverse())
    found = {f.rule: f for f in audit(store).findings if f.table == "trades"}
    assert found["key_order"].count == 59


def test_a_file_with_a_key_twice_is_found(tmp_path: Path) -> None:
    store = rewritten(stored(tmp_path, clean()), lambda t: pl.concat([t, t[-1:]]))
    found = {f.rule: f for f in audit(store).findings if f.table == "trades"}
    assert found["key_twice"].count == 1
    assert found["key_twice"].of == 61


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = stored(tmp_path, clean())
    (path,) = (tmp_path / "candles" / "KXGAME").glob("*.parquet")
    content = bytearray(path.read_bytes())
    content[4:-8] = bytes(len(content) - 12)
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        audit(store)


# --- quarantine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "severity"), [(6, "note"), (7, "warning")])
def test_rows_set_aside_are_a_note_up_to_one_in_a_hundred(lost: int, severity: str) -> None:
    tables = clean()
    cells = {"table": "candles", "source": "a.csv", "reason": "crossed", "found": "bid=2, ask=1"}
    rows = [{**cells, "row": row} for row in range(lost)]
    tables["quarantine"] = pl.DataFrame(rows, schema=schema.QUARANTINE.columns)
    bars = tables["candles"].height
    assert 6 / (bars + 6) < 0.01 < 7 / (bars + 7)
    (finding,) = audit(Memory(tables)).findings
    assert (finding.rule, finding.table) == ("quarantined_crossed", "candles")
    assert (finding.severity, finding.count, finding.of) == (severity, lost, bars + lost)
    assert finding.examples[1] == Example("a.csv:1", None, "bid=2, ask=1")


# --- scheduled times ------------------------------------------------------------------------------


def scheduled(event: str, close: datetime) -> set[str]:
    """What is said of a market with this close."""
    row = {
        "ticker": f"{event}-A",
        "event": event,
        "series": event.split("-", maxsplit=1)[0],
        "close_time": close,
    }
    markets = schema.MARKETS.filled(
        pl.DataFrame([row], schema_overrides={"close_time": schema.Time})
    )
    found = audit(Memory({"markets": markets})).findings
    return {f.rule for f in found if f.rule.startswith("close_")}


@pytest.mark.parametrize(
    ("event", "close"),
    [
        ("KXBTC15M-26FEB150330", datetime(2026, 2, 15, 8, 30, tzinfo=UTC)),
        ("KXBTC15M-26JUL150330", datetime(2026, 7, 15, 7, 30, tzinfo=UTC)),
        ("KXBTC15M-26NOV010130", datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),
        ("KXBTC15M-26NOV010130", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
        ("KXBTCD-26JUL1517", datetime(2026, 7, 15, 21, tzinfo=UTC)),
        ("KXINX-26JAN02H1600", datetime(2026, 1, 2, 21, tzinfo=UTC)),
        ("KXNBAGAME-25APR19DETNYK", datetime(2025, 4, 20, 1, 30, tzinfo=UTC)),
        ("KXMLBGAME-26APR101910PHIATL", datetime(2026, 4, 11, 3, 0, tzinfo=UTC)),
        ("KXFED-26MAR", datetime(2026, 3, 18, 18, tzinfo=UTC)),
        ("KXBTC15M-26MAR080230", datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),  # no such local time
        ("CONTROLH-2026", datetime(2027, 2, 1, 15, tzinfo=UTC)),
    ],
)
def test_closes_that_fit_their_ticker_pass(event: str, close: datetime) -> None:
    assert scheduled(event, close) == set()


@pytest.mark.parametrize(
    ("event", "close", "rule"),
    [
        ("KXBTC15M-26JUL150330", datetime(2026, 7, 15, 8, 30, tzinfo=UTC), "close_shifted"),
        ("KXBTC15M-26FEB150330", datetime(2026, 2, 15, 3, 30, tzinfo=UTC), "close_shifted"),
        ("KXBTC15M-26NOV010130", datetime(2026, 11, 1, 7, 30, tzinfo=UTC), "close_shifted"),
        ("KXBTC15M-26FEB150330", datetime(2026, 2, 15, 8, 35, tzinfo=UTC), "close_off_ticker"),
        ("KXINX-26JAN02H1600", datetime(2026, 1, 3, 21, tzinfo=UTC), "close_off_ticker"),
        ("KXHIGHNY-26JAN05", datetime(2026, 1, 4, 4, 59, tzinfo=UTC), "close_before_ticker_date"),
        (
            "KXMLBGAME-26APR011215ATHATL",
            datetime(2026, 4, 1, 15, 21, tzinfo=UTC),
            "close_before_start",
        ),
    ],
)
def test_closes_that_do_not_fit_their_ticker_are_found(
    event: str, close: datetime, rule: str
) -> None:
    assert scheduled(event, close) == {rule}


@pytest.mark.parametrize("clock", ["UTC", "America/New_York"])
def test_a_schedule_may_follow_either_clock_over_a_change(clock: str) -> None:
    days = pl.Series([datetime(2026, 3, day, 4, 59) for day in range(4, 13)])  # noqa: DTZ001
    close = days.dt.replace_time_zone(clock).dt.convert_time_zone("UTC")
    shifted = pl.Series([*close[:-1], close[-1] + timedelta(hours=1)])
    for times, off in ((close, []), (shifted, ["KXHIGHNY-26MAR11"])):
        events = [f"KXHIGHNY-26MAR{day:02d}" for day in range(3, 12)]
        markets = pl.DataFrame({"event": events, "close_time": times}).with_columns(
            pl.col("close_time").cast(schema.Time),
            ticker=pl.col("event") + "-T40",
            series=pl.lit("KXHIGHNY"),
        )
        found = audit(Memory({"markets": schema.MARKETS.filled(markets)})).findings
        named = [f for f in found if f.rule == "close_off_schedule"]
        assert [e.ticker for f in named for e in f.examples] == off


# --- prices on grids ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "fits"),
    [(10, True), (15, False), (1_000, True), (1_010, False), (1_100, True), (9_010, True)],
)
def test_a_price_fits_if_any_range_of_the_grid_has_it(price: int, fits: bool) -> None:  # noqa: FBT001
    tables = clean()
    put("markets", ticker == f"{GAME}-AAA", price_ranges=pl.lit(STEPS))(tables)
    where = (ticker == f"{GAME}-AAA") & (time == utc(5, 14))
    put("candles", where, **{f"bid_{part}": price for part in schema.OHLC})(tables)
    put("candles", where, **{f"ask_{part}": 9_900 for part in schema.OHLC})(tables)
    assert ("off_market_grid" not in {f.rule for f in audit(Memory(tables)).findings}) == fits


# --- what is said ---------------------------------------------------------------------------------


def test_the_text_names_counts_meanings_and_examples() -> None:
    tables = clean()
    put("candles", (ticker == FIRST) & (time == utc(5, 15, 10)), volume=20_001)(tables)
    lines = text(audit(Memory(tables))).splitlines()
    assert lines[0].startswith("memory: NOT SOUND · errors 1, warnings 0, notes 0 · ")
    assert lines[2] == "error   candles: volume_is_not_traded  1 of 30 (3.33 %)"
    assert "sum of the stored trades" in lines[3]
    assert lines[4] == (f"    {FIRST} 2026-01-05T15:10:00Z  volume=20001, trades sum to 20010")
    every = text(audit(Memory(tables)), checked=True)
    assert f"candles: crossed  passed ({tables['candles'].height} rows)" in every


def test_the_json_says_the_same() -> None:
    found = audit(Memory(dirty()))
    content = json.loads(found.to_json())
    assert content == found.to_dict()
    assert content["sound"] is False
    assert content["errors"] == sum(f.severity == "error" for f in found.findings)
    assert [f["rule"] for f in content["findings"]] == [f.rule for f in found.findings]
    example = content["findings"][0]["examples"][0]
    assert datetime.fromisoformat(example["time"]).tzinfo is not None


def test_errors_come_first_and_examples_are_in_order() -> None:
    found = audit(Memory(dirty()))
    ranks = [("error", "warning", "note").index(f.severity) for f in found.findings]
    assert ranks == sorted(ranks)
    for finding in found.findings:
        places = [(e.ticker, e.time) for e in finding.examples]
        assert places == sorted(places)
        assert len(places) == min(5, finding.count) or finding.rule == "trade_repeated"


def test_an_audit_cannot_be_changed() -> None:
    found = audit(Memory({}))
    assert isinstance(found, Audit)
    with pytest.raises(AttributeError):
        found.dataset = "other"  # type: ignore[misc]


def test_copies_of_trades_are_counted_without_their_originals() -> None:
    tables = clean()
    first = (ticker == FIRST) & (time == utc(5, 15, 9, 20))
    copy("trades", first, trade_id="x")(tables)
    copy("trades", first & (pl.col("trade_id") == "x"), trade_id="y")(tables)
    named = [f for f in audit(Memory(tables)).findings if f.rule == "trade_repeated"]
    assert [(f.count, f.of) for f in named] == [(2, 62)]


def test_a_gap_is_asked_of_open_markets_only() -> None:
    tables = clean()
    last = (ticker == f"{GAME}-AAA") & (time == utc(5, 20))
    copy("candles", last, time=utc(5, 23))(tables)
    found = {f.rule for f in audit(Memory(tables)).findings}
    assert "gap_while_open" not in found
    assert "bar_after_close" in found
