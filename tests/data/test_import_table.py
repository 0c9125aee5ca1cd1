"""Tables of any layout through a mapping: every row is stored exactly, set aside, or counted."""

import gzip
import json
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_bt import schema
from kalshi_bt.data.importers.mapping import read_mapping
from kalshi_bt.data.importers.table import ImportReport, import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import REASONS, checks
from kalshi_bt.errors import DataError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())

FEES = """
[[series]]
prefix = "*"
fee_type = "quadratic"
"""

MARKETS = """
[[table]]
into = "markets"
source = "markets.*"
[table.columns]
ticker = "ticker"
event = { column = "ticker", pattern = "^([^-]+-[^-]+)" }
series = { column = "ticker", pattern = "^([^-]+)" }
close_time = { column = "close", unit = "s" }
"""

BARS = """
[[table]]
into = "candles"
source = "bars.*"
price_unit = "cents"
quotes = "candle"
[table.columns]
ticker = "ticker"
period = { value = "1h" }
time = { column = "ts", unit = "s" }
price_open = "o"
price_high = "h"
price_low = "l"
price_close = "c"
bid_open = "bo"
bid_high = "bh"
bid_low = "bl"
bid_close = "bc"
ask_open = "ao"
ask_high = "ah"
ask_low = "al"
ask_close = "ac"
volume = "v"
open_interest = "oi"
"""

TRADES = """
[[table]]
into = "trades"
source = "trades.*"
price_unit = "UNIT"
[table.columns]
ticker = { value = "S-E-A" }
trade_id = "id"
time = { column = "ts", unit = "s" }
price = "p"
quantity = "q"
taker_side = "side"
"""

RESULTS = """
[[table]]
into = "settlements"
source = "results.*"
price_unit = "dollars"
[table.columns]
ticker = "ticker"
result = "result"
payout = "payout"
close_time = { column = "close", unit = "s" }
"""


class Folder:
    """A folder of outside files and the dataset they go into."""

    def __init__(self, root: Path) -> None:
        self.root, self.files, self.into = root, root / "files", root / "dataset"
        self.files.mkdir()

    def put(self, **tables: pl.DataFrame | list[dict[str, Any]]) -> None:
        for name, rows in tables.items():
            frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
            frame.write_parquet(self.files / f"{name}.parquet")

    def bring(self, text: str, *sources: Path) -> ImportReport:
        path = self.root / "mapping.toml"
        path.write_text(text)
        return import_tables(path, sources or [self.files], self.into)

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)

    def fails(self, text: str, *words: str, sources: tuple[Path, ...] = ()) -> None:
        with pytest.raises(DataError) as caught:
            self.bring(text, *sources)
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message
        assert not self.into.exists()

    def set_aside(self, table: str) -> list[tuple[int, str]]:
        rows = self.read("quarantine").filter(pl.col("table") == table).sort("source", "row")
        return rows.select("row", "reason").rows()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.put(markets=[{"ticker": "S-E-A", "close": EPOCH + 86_400}])
    return made


def bar(**changes: Any) -> dict[str, Any]:
    """A sound bar in cents, but for the changes."""
    sound = {"ticker": "S-E-A", "ts": EPOCH, "o": 50.0, "h": 60.0, "l": 40.0, "c": 55.0}
    sound |= {"bo": 48.0, "bh": 58.0, "bl": 38.0, "bc": 53.0}
    sound |= {"ao": 52.0, "ah": 62.0, "al": 42.0, "ac": 57.0, "v": 10.0, "oi": 7.5}
    return sound | changes


def trade(**changes: Any) -> dict[str, Any]:
    return {"id": "t", "ts": EPOCH, "p": 0.5, "q": 1, "side": "yes"} | changes


# --- prices and quantities ------------------------------------------------------------------------

UNITS = {"dollars": 10_000, "cents": 100, "centi-cents": 1}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["float64", "float32", "text", "decimal"])
def test_every_price_of_the_grid_is_read_exactly(folder: Folder, unit: str, kind: str) -> None:
    prices = list(range(1, 10_000))
    exact = [Decimal(price) / UNITS[unit] for price in prices]
    cells = {
        "float64": pl.Series([float(v) for v in exact]),
        "float32": pl.Series([float(v) for v in exact], dtype=pl.Float32),
        "text": pl.Series([str(v) for v in exact]),
        "decimal": pl.Series(exact, dtype=pl.Decimal(12, 4)),
    }[kind]
    rows = pl.DataFrame([trade(id=f"{price:05d}") for price in prices]).with_columns(p=cells)
    folder.put(trades=rows)
    report = folder.bring(FEES + MARKETS + TRADES.replace("UNIT", unit))
    assert report.tables["trades"].quarantined == {}
    assert folder.read("trades")["price"].to_list() == prices


def test_prices_between_the_grid_are_set_aside_with_what_was_found(folder: Folder) -> None:
    close = {0: 0.29, 1: 0.2900005, 2: 0.2899995, 3: 0.290002, 4: 0.28999, 5: 0.2901}
    folder.put(trades=[trade(id=str(k), p=p) for k, p in close.items()])
    folder.bring(FEES + MARKETS + TRADES.replace("UNIT", "dollars"))
    assert folder.read("trades").select("trade_id", "price").rows() == [
        ("0", 2900),
        ("1", 2900),
        ("2", 2900),
        ("5", 2901),
    ]
    assert folder.set_aside("trades") == [(3, "off_grid"), (4, "off_grid")]
    assert "0.290002" in folder.read("quarantine")["found"][0]


def test_prices_at_or_beyond_the_ends_are_no_trades(folder: Folder) -> None:
    prices = [-1.0, 0.0, 100.0, 101.0, 1e9, 1e300, float("inf"), None]
    folder.put(trades=[trade(id=str(k), p=p) for k, p in enumerate(prices)])
    folder.bring(FEES + MARKETS + TRADES.replace("UNIT", "cents"))
    assert folder.read("trades").is_empty()
    assert folder.set_aside("trades") == [
        (0, "price_range"),
        (1, "trade_at_limit"),
        (2, "trade_at_limit"),
        (3, "price_range"),
        (4, "price_range"),
        (5, "unparsable_number"),
        (6, "unparsable_number"),
        (7, "null_value"),
    ]


def test_quantities_are_hundredths_of_contracts_and_never_negative(folder: Folder) -> None:
    texts = ["3", "0.01", "126478.49", "0.005", "0", "-1", "three"]
    folder.put(trades=[trade(id=str(k), q=q) for k, q in enumerate(texts)])
    folder.bring(FEES + MARKETS + TRADES.replace("UNIT", "dollars"))
    assert folder.read("trades")["quantity"].to_list() == [300, 1, 12_647_849]
    assert folder.set_aside("trades") == [
        (3, "off_grid"),
        (4, "negative_quantity"),
        (5, "negative_quantity"),
        (6, "unparsable_number"),
    ]


def test_quantities_may_be_counted_in_hundredths(folder: Folder) -> None:
    folder.put(trades=[trade(q=250)])
    text = TRADES.replace("UNIT", "dollars").replace(
        "[table.columns]", 'quantity_unit = "centi-contracts"\n[table.columns]'
    )
    folder.bring(FEES + MARKETS + text)
    assert folder.read("trades")["quantity"].to_list() == [250]


@pytest.mark.parametrize(
    ("side", "stored"), [("yes", 1), ("NO", -1), ("1", 1), ("-1", -1), ("buy", None), (None, None)]
)
def test_the_side_of_the_taker_is_yes_or_no(folder: Folder, side: str, stored: int) -> None:
    folder.put(trades=pl.DataFrame([trade()]).with_columns(side=pl.lit(side, dtype=pl.String)))
    folder.bring(FEES + MARKETS + TRADES.replace("UNIT", "dollars"))
    reason = "null_value" if side is None else "unknown_side"
    assert folder.read("trades")["taker_side"].to_list() == ([] if stored is None else [stored])
    assert folder.set_aside("trades") == ([(0, reason)] if stored is None else [])


# --- times ----------------------------------------------------------------------------------------

CLOCK = """
[[table]]
into = "references"
source = "clock.*"
[table.columns]
source = { value = "index" }
symbol = "name"
value = { value = 1.0 }
time = { column = "t", HOW }
"""


def clock(folder: Folder, cells: Any, how: str) -> list[datetime | None]:
    """Import times and return them in the order of the cells; null where set aside."""
    column = cells if isinstance(cells, pl.Series) else pl.Series(cells)
    names = [f"{k:03d}" for k in range(len(column))]
    folder.put(clock=pl.DataFrame({"name": names, "t": column}))
    (folder.files / "markets.parquet").unlink(missing_ok=True)
    folder.bring(CLOCK.replace(", HOW", f", {how}" if how else ""))
    stored = dict(folder.read("references").select("symbol", "time").iter_rows())
    return [stored.get(name) for name in names]


@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_numbers_of_an_epoch_in_each_unit(folder: Folder, unit: str, per_second: int) -> None:
    assert clock(folder, [EPOCH * per_second], f'unit = "{unit}"') == [NOON]


def test_numbers_of_an_epoch_may_be_text_or_have_a_fraction(folder: Folder) -> None:
    quarter = NOON + timedelta(milliseconds=250)
    assert clock(folder, [str(EPOCH), f"{EPOCH}.25", "noon"], 'unit = "s"') == [NOON, quarter, None]
    assert folder.set_aside("references") == [(2, "unparsable_time")]


def test_a_number_in_another_unit_than_said_is_set_aside(folder: Folder) -> None:
    numbers = [EPOCH, EPOCH * 10**3, EPOCH * 10**9, EPOCH // 10**3, -(2**63)]
    assert clock(folder, numbers, 'unit = "s"') == [NOON, None, None, None, None]
    reasons = {reason for _, reason in folder.set_aside("references")}
    assert reasons == {"time_range", "unparsable_time"}


def test_iso_text_with_and_without_fraction_and_offset(folder: Folder) -> None:
    texts = [
        "2026-01-05T12:00:00Z",
        "2026-01-05 12:00:00+00:00",
        "2026-01-05T17:30:00+0530",
        "2026-01-05T07:00:00-05:00",
        "2026-01-05T12:00Z",
        "2026-01-05T12:00:00.000001Z",
        "2026-01-05",
        "2026-02-30T12:00:00Z",
        "soon",
    ]
    micro = NOON + timedelta(microseconds=1)
    assert clock(folder, texts, "") == [NOON] * 5 + [micro] + [None] * 3
    assert [row for row, _ in folder.set_aside("references")] == [6, 7, 8]


def test_local_times_are_read_in_their_zone_and_dubious_hours_set_aside(folder: Folder) -> None:
    # New York: 02:30 on 8 March 2026 does not exist, 01:30 on 1 November 2026 comes twice.
    texts = [
        "2026-01-05T07:00:00",
        "2026-03-08T02:30:00",
        "2026-11-01T01:30:00",
        "2026-07-05T08:00:00",
    ]
    summer = datetime(2026, 7, 5, 12, tzinfo=UTC)
    expected = [NOON, None, None, summer]
    zone = 'zone = "America/New_York"'
    assert clock(folder, texts, zone) == expected
    shutil.rmtree(folder.into)
    stamps = pl.Series(texts).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ns")
    assert clock(folder, stamps, zone) == expected
    assert folder.set_aside("references") == [(1, "unparsable_time"), (2, "unparsable_time")]


def test_timestamps_with_a_zone_need_no_word(folder: Folder) -> None:
    stamps = pl.Series([NOON]).dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ms")
    assert clock(folder, stamps, "") == [NOON]


@pytest.mark.parametrize(
    ("cells", "how", "words"),
    [
        ([datetime(2026, 1, 5)], "", ["without a zone", "zone = 'UTC'", "'t'"]),  # noqa: DTZ001
        (["2026-01-05T12:00:00Z", "2026-01-05T12:00:00"], "", ["without a zone", "T12:00:00'"]),
        ([EPOCH], "", ["without a unit"]),
        ([date(2026, 1, 5)], "", ["Date"]),
        ([True], 'unit = "s"', ["Boolean"]),
        ([EPOCH], 'unit = "iso"', ["Int64", "'iso'"]),
        ([NOON], 'unit = "s"', ["Datetime", "'s'"]),
    ],
)
def test_times_that_say_too_little_are_refused(
    folder: Folder, cells: list[Any], how: str, words: list[str]
) -> None:
    folder.put(clock=pl.DataFrame({"name": [str(k) for k in range(len(cells))], "t": cells}))
    (folder.files / "markets.parquet").unlink()
    folder.fails(CLOCK.replace(", HOW", f", {how}" if how else ""), "clock.parquet", "time", *words)


def test_a_bar_labelled_by_its_start_is_known_a_period_later(folder: Folder) -> None:
    folder.put(bars=[bar(p="1h"), bar(p="15m", ts=EPOCH + 60), bar(p="1d")])
    text = BARS.replace('unit = "s"', 'unit = "s", label = "start"')
    folder.bring(FEES + MARKETS + text.replace('{ value = "1h" }', '"p"'))
    assert set(folder.read("candles").select("period", "time").rows()) == {
        (3_600, NOON + timedelta(hours=1)),
        (900, NOON + timedelta(minutes=16)),
        (86_400, NOON + timedelta(days=1)),
    }


def test_a_time_may_be_counted_back_from_the_close(folder: Folder) -> None:
    folder.put(
        markets=[{"ticker": "S-E-A", "close": EPOCH}, {"ticker": "S-E-B", "close": None}],
        bars=[bar(left=14.0), bar(left=0.5), bar(left=1.0, ticker="S-E-B"), bar(left=None)],
    )
    text = BARS.replace('{ column = "ts", unit = "s" }', '{ close_less = "left", unit = "m" }')
    folder.bring(FEES + MARKETS + text)
    expected = [NOON - timedelta(minutes=14), NOON - timedelta(seconds=30)]
    assert folder.read("candles")["time"].to_list() == expected
    assert folder.set_aside("candles") == [(2, "no_close_time"), (3, "null_key")]


def test_the_close_is_also_looked_up_in_the_dataset(folder: Folder) -> None:
    folder.bring(FEES + MARKETS)
    (folder.files / "markets.parquet").unlink()
    folder.put(bars=[bar(left=60)])
    text = BARS.replace('{ column = "ts", unit = "s" }', '{ close_less = "left", unit = "s" }')
    folder.bring(text)
    assert folder.read("candles")["time"].to_list() == [NOON + timedelta(seconds=86_340)]


def test_a_close_just_read_counts_before_the_one_stored(folder: Folder) -> None:
    folder.bring(FEES + MARKETS)
    folder.put(markets=[{"ticker": "S-E-A", "close": EPOCH}], bars=[bar(left=60)])
    text = BARS.replace('{ column = "ts", unit = "s" }', '{ close_less = "left", unit = "s" }')
    folder.bring(FEES + MARKETS + text)
    assert folder.read("candles")["time"].to_list() == [NOON - timedelta(seconds=60)]


_QUOTES = [f"{side}_{part}" for side in ("bid", "ask") for part in schema.OHLC]

# --- bars -----------------------------------------------------------------------------------------


def test_a_sound_bar_is_stored_as_it_stands(folder: Folder) -> None:
    folder.put(bars=[bar()])
    report = folder.bring(FEES + MARKETS + BARS)
    (row,) = folder.read("candles").rows()
    prices = (5000, 6000, 4000, 5500), (4800, 5800, 3800, 5300), (5200, 6200, 4200, 5700)
    flat = tuple(p for side in prices for p in side)
    assert row == ("S-E-A", 3_600, NOON, *flat, 1_000, 750, "candle", None, None)
    assert report.warnings == ("1 series have the fees of prefix = '*'",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"h": 54.0}, "ohlc_disorder"),
        ({"h": 39.0}, "ohlc_disorder"),
        ({"l": 51.0}, "ohlc_disorder"),
        ({"bh": 47.0}, "ohlc_disorder"),
        ({"al": 53.0}, "ohlc_disorder"),
        ({"bh": 0.0}, "ohlc_disorder"),  # the highest bid cannot be missing when others are there
        ({"al": 100.0}, "ohlc_disorder"),
        ({"bo": 53.0}, "crossed"),
        ({"bh": 63.0}, "crossed"),
        ({"bl": 43.0, "bo": 48.0}, "crossed"),
        ({"bc": 58.0}, "crossed"),
        ({"o": None}, "partial_price"),
        ({"l": 0.0}, "trade_at_limit"),
        ({"h": 100.0}, "trade_at_limit"),
        ({"ah": 100.01}, "price_range"),
        ({"bl": -1.0}, "price_range"),
        ({"bh": 100.0, "ah": 100.0}, "quote_at_limit"),
        ({"al": 0.0}, "quote_at_limit"),
        ({"c": 55.001}, "off_grid"),
        ({"v": -1.0}, "negative_quantity"),
        ({"oi": -0.01}, "negative_quantity"),
        ({"ticker": "S-E-Z"}, "unknown_ticker"),
        ({"ticker": None}, "null_key"),
        ({"ts": None}, "null_key"),
        ({"ts": 17}, "time_range"),
    ],
)
def test_each_defect_of_a_bar_is_set_aside_under_its_reason(
    folder: Folder, changes: dict[str, Any], reason: str
) -> None:
    folder.put(bars=[bar(ts=EPOCH - 3_600), bar(**changes)])
    report = folder.bring(FEES + MARKETS + BARS)
    assert report.tables["candles"].added == 1
    assert report.tables["candles"].quarantined == {reason: 1}
    assert folder.set_aside("candles") == [(1, reason)]
    assert reason in REASONS


@pytest.mark.parametrize(
    "changes",
    [
        {"bh": 57.0},
        {"o": 60.0, "c": 40.0},
        {"bl": 38.0, "al": 38.0},
        {"v": 0.0},
        {"bc": 57.0},
        {"v": None, "oi": None},
    ],
)
def test_bars_at_the_edge_of_a_rule_are_kept(folder: Folder, changes: dict[str, Any]) -> None:
    folder.put(bars=pl.DataFrame([bar(), bar(ts=EPOCH + 60, **changes)], infer_schema_length=None))
    assert folder.bring(FEES + MARKETS + BARS).tables["candles"].added == 2


def test_zero_bids_and_dollar_asks_are_empty_sides(folder: Folder) -> None:
    folder.put(
        bars=[
            bar(bo=0.0, bl=0.0, ah=100.0),
            bar(ts=EPOCH + 60, **dict.fromkeys(("bo", "bh", "bl", "bc"), 0.0)),
        ]
    )
    folder.bring(FEES + MARKETS + BARS)
    found = folder.read("candles").select(_QUOTES).rows()
    assert found == [
        (None, 5800, None, 5300, 5200, None, 4200, 5700),
        (None, None, None, None, 5200, 6200, 4200, 5700),
    ]


def test_other_values_may_mean_an_empty_side(folder: Folder) -> None:
    folder.put(bars=[bar(bo=1.0, bl=1.0, ah=99.0)])
    text = BARS.replace("quotes =", "empty_bid = 1\nempty_ask = 99\nquotes =")
    folder.bring(FEES + MARKETS + text)
    found = folder.read("candles").select("bid_open", "bid_low", "ask_high").row(0)
    assert found == (None, None, None)


def test_where_nothing_traded_repeated_prices_are_null(folder: Folder) -> None:
    folder.put(bars=[bar(v=0.0, o=99.99999), bar(v=0.0, ts=EPOCH + 60, h=1.0), bar(ts=EPOCH + 120)])
    text = BARS.replace("quotes =", 'no_trade = { column = "v", equals = 0 }\nquotes =')
    report = folder.bring(FEES + MARKETS + text)
    assert report.tables["candles"].quarantined == {}
    assert folder.read("candles")["price_close"].to_list() == [None, None, 5500]


def test_the_parts_a_snapshot_did_not_see_span_those_it_saw(folder: Folder) -> None:
    folder.put(bars=[bar(bh=60.0, ac=57.0, al=42.0), bar(ts=EPOCH + 60, bc=0.0, bh=5.0, ac=100.0)])
    text = BARS.replace('"candle"', '"snapshot"')
    for unseen in ("bid_open", "bid_low", "ask_open", "ask_high"):
        text = "\n".join(line for line in text.splitlines() if not line.startswith(unseen))
    folder.bring(FEES + MARKETS + text)
    found = folder.read("candles").select(*_QUOTES, "quote_source").rows()
    assert found == [
        # A bid of 60 above an ask of 57 at another moment is no defect of a snapshot.
        (5300, 6000, 5300, 5300, 5700, 5700, 4200, 5700, "snapshot"),
        (None, 500, None, None, None, None, 4200, None, "snapshot"),
    ]


def test_high_and_low_of_a_snapshot_span_open_and_close(folder: Folder) -> None:
    folder.put(bars=[bar(bo=48.0, bc=53.0, ao=62.0, ac=57.0)])
    lines = BARS.replace('"candle"', '"snapshot"').splitlines()
    unseen = ("bid_high", "bid_low", "ask_high", "ask_low")
    folder.bring(FEES + MARKETS + "\n".join(n for n in lines if not n.startswith(unseen)))
    found = folder.read("candles").select("bid_high", "bid_low", "ask_high", "ask_low").row(0)
    assert found == (5300, 4800, 6200, 5700)


def test_a_snapshot_crossed_at_its_close_is_set_aside(folder: Folder) -> None:
    folder.put(bars=[bar(bc=57.0, bh=58.0), bar(bc=58.0, ts=EPOCH + 60)])
    folder.bring(FEES + MARKETS + BARS.replace('"candle"', '"snapshot"'))
    assert folder.set_aside("candles") == [(1, "crossed")]


def test_without_quotes_bid_and_ask_are_null(folder: Folder) -> None:
    folder.put(bars=[bar()])
    lines = BARS.replace('"candle"', '"none"').splitlines()
    kept = [line for line in lines if not line.startswith(("bid_", "ask_"))]
    folder.bring(FEES + MARKETS + "\n".join(kept))
    (row,) = folder.read("candles").select(*_QUOTES, "quote_source").rows()
    assert row == (None,) * 8 + ("none",)


def test_bars_after_the_close_are_kept_and_counted(folder: Folder) -> None:
    close = EPOCH + 86_400
    folder.put(bars=[bar(ts=close), bar(ts=close + 3_599), bar(ts=close + 3_600)])
    report = folder.bring(FEES + MARKETS + BARS)
    assert report.tables["candles"].added == 3
    assert "1 candles begin at or after their market's close" in report.warnings


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    prints = []
    rows = [bar(ts=EPOCH + 60 * k, c=50.0 + k % 5) for k in range(50)]
    for name, ordered in (("up", rows), ("down", rows[::-1])):
        (tmp_path / name).mkdir()
        made = Folder(tmp_path / name)
        made.put(markets=[{"ticker": "S-E-A", "close": EPOCH}], bars=ordered)
        prints.append(made.bring(FEES + MARKETS + BARS).fingerprint)
    assert prints[0] == prints[1]


# --- duplicates, updates, accounts ----------------------------------------------------------------


def test_of_rows_with_one_key_the_first_stays(folder: Folder) -> None:
    folder.put(bars=[bar(), bar(c=54.0), bar(), bar(ts=EPOCH + 60), bar(ts=EPOCH + 60, c=99.0)])
    report = folder.bring(FEES + MARKETS + BARS)
    assert folder.read("candles")["price_close"].to_list() == [5500, 5500]
    assert folder.set_aside("candles") == [
        (1, "duplicate_key"),
        (2, "duplicate"),
        (4, "ohlc_disorder"),
    ]
    assert report.tables["candles"].quarantined == {
        "duplicate": 1,
        "duplicate_key": 1,
        "ohlc_disorder": 1,
    }


def test_an_unusable_row_does_not_take_the_place_of_a_sound_one(folder: Folder) -> None:
    folder.put(bars=[bar(c=99.0), bar()])
    folder.bring(FEES + MARKETS + BARS)
    assert folder.read("candles")["price_close"].to_list() == [5500]


def test_duplicates_are_found_across_files(folder: Folder) -> None:
    folder.put(bars_1=[bar()], bars_2=[bar(), bar(ts=EPOCH + 60)])
    folder.bring(FEES + MARKETS + BARS.replace("bars.*", "bars_*.parquet"))
    found = folder.read("quarantine").select("source", "row", "reason").rows()
    assert found == [("bars_2.parquet", 0, "duplicate")]


def test_importing_again_changes_nothing_and_a_correction_updates(folder: Folder) -> None:
    folder.put(bars=[bar(), bar(ts=EPOCH + 60, c=99.0)])
    first = folder.bring(FEES + MARKETS + BARS)
    again = folder.bring(FEES + MARKETS + BARS)
    assert again.fingerprint == first.fingerprint
    assert (again.tables["candles"].added, again.tables["candles"].unchanged) == (0, 1)
    folder.put(bars=[bar(c=54.0), bar(ts=EPOCH + 60)])
    third = folder.bring(FEES + MARKETS + BARS).tables["candles"]
    assert (third.added, third.updated, third.unchanged) == (1, 1, 0)
    assert folder.set_aside("candles") == []  # the corrected file has no unusable row any more


def test_files_of_one_name_in_two_folders_are_told_apart(folder: Folder) -> None:
    for name in ("a", "b"):
        (folder.files / name).mkdir()
        pl.DataFrame([bar(c=99.0)]).write_parquet(folder.files / name / "bars.parquet")
    text = FEES + MARKETS + BARS.replace("bars.*", "*/bars.parquet")
    folder.bring(text)
    assert folder.read("quarantine")["source"].to_list() == ["a/bars.parquet", "b/bars.parquet"]
    shutil.rmtree(folder.into)
    files = (
        folder.files / "markets.parquet",
        folder.files / "a/bars.parquet",
        folder.files / "b/bars.parquet",
    )
    folder.fails(text, "same name", "one by one", sources=files)


cell = st.one_of(
    st.none(),
    st.sampled_from(["", "50", "0.5", "-1", "1e400", "nan", "x", "1", "0", "100", "99.999"]),
    st.integers(-2, 101).map(str),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "ticker": st.sampled_from(["S-E-A", "S-E-B", "", "-"]),
                "ts": st.sampled_from([str(EPOCH), str(EPOCH + 60), "1", "", "9" * 30, "now"]),
                **dict.fromkeys(["o", "h", "l", "c", "bo", "bh", "bl", "bc"], cell),
                **dict.fromkeys(["ao", "ah", "al", "ac", "v", "oi"], cell),
            }
        ),
        max_size=12,
    )
)
def test_of_any_rubbish_every_row_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    made = Folder(tmp_path_factory.mktemp("f"))
    made.put(markets=[{"ticker": "S-E-A", "close": EPOCH}])
    made.put(bars=pl.DataFrame(rows, schema=dict.fromkeys(bar(), pl.String)))
    report = made.bring(FEES + MARKETS + BARS).tables["candles"]
    assert report.read == len(rows)
    assert report.read == report.added + sum(report.quarantined.values())
    stored = made.read("candles")
    assert stored.height == report.added
    for check in checks("candles"):
        assert stored.filter(check.fails).is_empty()
    aside = made.read("quarantine")
    assert aside.height == sum(report.quarantined.values())
    assert set(aside["reason"]) <= set(REASONS)


# --- markets and fees -----------------------------------------------------------------------------


def test_markets_take_texts_strikes_flags_and_constants(folder: Folder) -> None:
    folder.put(
        markets=[
            {
                "ticker": " S-E-A ",
                "close": EPOCH,
                "open": EPOCH - 60,
                "f": "80.5",
                "c": float("nan"),
                "x": "TRUE",
                "k": "gt",
                "sub": "80 or more",
                "early": "false",
            }
        ]
    )
    text = (
        MARKETS
        + """
open_time = { column = "open", unit = "s" }
title = { value = "Rain?" }
floor_strike = "f"
cap_strike = "c"
mutually_exclusive = "x"
subtitle = "sub"
rules = { value = "As the station says." }
can_close_early = "early"
strike_type = { column = "k", map = { gt = "greater", lt = "less" } }
"""
    )
    text = text.replace(
        "[table.columns]", "price_ranges = [{ start = 0, end = 1, step = 0.001 }]\n[table.columns]"
    )
    folder.bring(FEES + text)
    (row,) = folder.read("markets").rows()
    grid = [{"start": 0, "end": 10_000, "step": 10}]
    minute = timedelta(minutes=1)
    assert row == (
        "S-E-A",
        "S-E",
        "S",
        "Rain?",
        NOON - minute,
        NOON,
        "greater",
        80.5,
        None,
        True,
        grid,
        "80 or more",
        "As the station says.",
        False,
    )


def test_markets_that_cannot_be_are_set_aside(folder: Folder) -> None:
    folder.put(
        markets=[
            {"ticker": "S-E-A", "close": EPOCH, "open": EPOCH},
            {"ticker": "S", "close": 1, "open": 1},
            {"ticker": None, "close": None, "open": None},
            {"ticker": "S-E-B", "close": 5, "open": 1},
        ]
    )
    folder.bring(FEES + MARKETS + 'open_time = { column = "open", unit = "s" }\n')
    assert folder.set_aside("markets") == [
        (0, "close_before_open"),
        (1, "no_match"),
        (2, "null_key"),
        (3, "time_range"),
    ]


DERIVED = """
[[table]]
into = "markets"
source = "bars.*"
derived = true
[table.columns]
ticker = "ticker"
event = { column = "ticker", pattern = "^([^-]+-[^-]+)" }
series = { column = "ticker", pattern = "^([^-]+)" }
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_markets_taken_from_bars_do_not_replace_those_listed(folder: Folder, order: str) -> None:
    folder.put(bars=[bar(), bar(ticker="S-E-B"), bar(ticker="S-E-B", ts=EPOCH + 60)])
    tables = (DERIVED, MARKETS) if order == "before" else (MARKETS, DERIVED)
    report = folder.bring(FEES + "".join(tables) + BARS)
    assert report.tables["candles"].added == 3
    closes = folder.read("markets").select("ticker", "close_time").rows()
    assert closes == [("S-E-A", NOON + timedelta(days=1)), ("S-E-B", None)]
    assert report.tables["markets"].read == 3  # one listed, two tickers in the bars
    assert report.tables["markets"].skipped == {"known": 1}


def test_a_series_takes_the_closest_entry_and_its_whole_history(folder: Folder) -> None:
    folder.put(markets=[{"ticker": t, "close": EPOCH} for t in ("KXINX-1-A", "KXIN-1-A", "Z-1-A")])
    text = (
        FEES
        + """
[[series]]
prefix = "KXI"
fee_type = "quadratic_with_maker_fees"
[[series]]
series = "KXINX"
fee_type = "quadratic"
fee_multiplier = 0.5
category = "Financials"
[[series]]
series = "KXINX"
fee_type = "quadratic"
effective_from = 2026-07-03T17:00:00Z
"""
    )
    report = folder.bring(text + MARKETS)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert folder.read("series").drop("title", "settlement_sources").rows() == [
        ("KXIN", epoch, None, "quadratic_with_maker_fees", 1_000_000),
        ("KXINX", epoch, "Financials", "quadratic", 500_000),
        ("KXINX", datetime(2026, 7, 3, 17, tzinfo=UTC), None, "quadratic", 1_000_000),
        ("Z", epoch, None, "quadratic", 1_000_000),
    ]
    assert report.warnings == ("1 series have the fees of prefix = '*'",)


def test_a_series_without_fees_is_an_error_with_the_cure(folder: Folder) -> None:
    folder.fails(MARKETS, "fees of S", "[[series]]", "series = 'S'", "prefix = '*'")


def test_fees_that_are_stored_need_not_be_said_again(folder: Folder) -> None:
    folder.bring(FEES + MARKETS)
    assert "series" not in folder.bring(MARKETS).tables


def test_fees_may_come_from_a_table(folder: Folder) -> None:
    folder.put(
        fees=[
            {"s": "S", "t": "quadratic", "m": 0.5, "w": "2026-01-05T12:00:00Z", "n": "Rain"},
            {"s": "T", "t": "flat", "m": 1.0, "w": "2026-01-05T12:00:00Z", "n": None},
        ]
    )
    report = folder.bring(
        """
[[table]]
into = "series"
source = "fees.*"
[table.columns]
series = "s"
fee_type = "t"
fee_multiplier = "m"
effective_from = "w"
title = "n"
"""
        + MARKETS
    )
    assert folder.read("series").rows() == [("S", NOON, None, "quadratic", 500_000, "Rain", None)]
    assert report.tables["series"].quarantined == {"unknown_fee_type": 1}


# --- settlements ----------------------------------------------------------------------------------


def test_results_become_payouts_and_open_markets_are_skipped(folder: Folder) -> None:
    results = [
        ("yes", None),
        ("No", None),
        ("scalar", 0.35),
        ("", None),
        (None, None),
        ("void", None),
        ("scalar", None),
        ("yes", 0.0),
        ("no", 0.0),
        ("yes", 1.0),
    ]
    names = [f"S-E-{k}" for k in range(len(results))]
    folder.put(
        markets=[{"ticker": name, "close": EPOCH} for name in names],
        results=[
            {"ticker": n, "result": r, "payout": p, "close": EPOCH, "v": "81.5"}
            for n, (r, p) in zip(names, results, strict=True)
        ],
    )
    report = folder.bring(FEES + MARKETS + RESULTS + 'value = "v"\n')
    day = NOON + timedelta(days=1)
    assert folder.read("settlements").rows() == [
        ("S-E-0", day, NOON, 10_000, "yes", 81.5),
        ("S-E-1", day, NOON, 0, "no", 81.5),
        ("S-E-2", day, NOON, 3_500, "scalar", 81.5),
        ("S-E-8", day, NOON, 0, "no", 81.5),
        ("S-E-9", day, NOON, 10_000, "yes", 81.5),
    ]
    assert report.tables["settlements"].skipped == {"open": 2}
    assert folder.set_aside("settlements") == [
        (5, "null_value"),
        (6, "null_value"),
        (7, "payout_conflict"),
    ]


def test_a_result_with_a_payout_but_an_unknown_word_is_set_aside(folder: Folder) -> None:
    folder.put(results=[{"ticker": "S-E-A", "result": "void", "payout": 0.5, "close": EPOCH}])
    folder.bring(FEES + MARKETS + RESULTS)
    assert folder.set_aside("settlements") == [(0, "unknown_result")]


def test_the_time_of_payment_is_a_column_or_the_close_and_a_lag(folder: Folder) -> None:
    rows = [
        {"ticker": "S-E-A", "result": "yes", "payout": None, "close": EPOCH, "paid": EPOCH + 90}
    ]
    folder.put(results=pl.DataFrame(rows, schema_overrides={"payout": pl.Float64}))
    folder.bring(FEES + MARKETS + RESULTS.replace("[table.c", 'settlement_lag = "1m"\n[table.c'))
    assert folder.read("settlements")["time"].to_list() == [NOON + timedelta(minutes=1)]
    folder.bring(FEES + MARKETS + RESULTS + 'time = { column = "paid", unit = "s" }\n')
    assert folder.read("settlements")["time"].to_list() == [NOON + timedelta(seconds=90)]
    folder.put(results=pl.DataFrame(rows).with_columns(paid=EPOCH - 1, payout=1.0))
    report = folder.bring(FEES + MARKETS + RESULTS + 'time = { column = "paid", unit = "s" }\n')
    assert report.tables["settlements"].quarantined == {"settled_before_close": 1}


def test_the_last_bar_may_stand_for_the_close(folder: Folder) -> None:
    tickers = ("S-E-A", "S-E-B")
    folder.put(
        markets=[{"ticker": t, "close": EPOCH + 86_400} for t in tickers],
        bars=[bar(ts=EPOCH + 60), bar()],
        results=[{"ticker": t, "result": "yes", "payout": 1.0} for t in (*tickers, "S-E-Z")],
    )
    text = RESULTS.replace('{ column = "close", unit = "s" }', "{ last_candle = true }")
    report = folder.bring(FEES + MARKETS + BARS + text)
    minute = NOON + timedelta(minutes=1)
    assert folder.read("settlements").select("close_time", "time").rows() == [
        (minute, minute + timedelta(days=1)),
    ]
    assert folder.set_aside("settlements") == [(1, "no_candle"), (2, "unknown_ticker")]
    skipping = text.replace("price_unit", "skip_unknown = true\nprice_unit")
    report = folder.bring(FEES + MARKETS + BARS + skipping)
    assert report.tables["settlements"].skipped == {"unknown_ticker": 1}
    assert report.tables["settlements"].quarantined == {"no_candle": 1}


# --- files ----------------------------------------------------------------------------------------


def test_csv_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame([bar(c=None, o=None, h=None, l=None), bar(ts=EPOCH + 60, v=0.07)])
    lines = "".join(json.dumps(row) + "\n" for row in frame.to_dicts())
    written = {
        "bars.parquet": b"",
        "bars.csv": frame.write_csv().encode(),
        "bars.csv.gz": gzip.compress(frame.write_csv().encode()),
        "bars.tsv": frame.write_csv(separator=";").encode(),
        "bars.jsonl": lines.encode(),
        "bars.ndjson.gz": gzip.compress(lines.encode()),
        "bars.txt": b"\xef\xbb\xbf" + frame.write_csv().encode(),  # with a byte order mark
    }
    prints = set()
    for name, content in written.items():
        (tmp_path / name).mkdir()
        made = Folder(tmp_path / name)
        made.put(markets=[{"ticker": "S-E-A", "close": EPOCH}])
        if content:
            (made.files / name).write_bytes(content)
        else:
            frame.write_parquet(made.files / name)
        text = BARS.replace("quotes =", 'separator = ";"\nquotes =') if "tsv" in name else BARS
        report = made.bring(FEES + MARKETS + text)
        assert report.tables["candles"].added == 2
        prints.add(report.fingerprint)
    assert len(prints) == 1


def test_words_for_null_may_be_chosen(folder: Folder) -> None:
    frame = pl.DataFrame([bar()]).cast(pl.String).with_columns(v=pl.lit("-"), oi=pl.lit("NA"))
    frame.write_csv(folder.files / "bars.csv")
    text = BARS.replace("quotes =", 'null = ["-", "NA"]\nquotes =')
    folder.bring(FEES + MARKETS + text)
    assert folder.read("candles").select("volume", "open_interest").row(0) == (None, None)
    again = folder.bring(FEES + MARKETS + BARS)
    assert again.tables["candles"].quarantined == {"unparsable_number": 1}


def test_a_missing_column_is_answered_with_the_nearest(folder: Folder) -> None:
    folder.put(bars=pl.DataFrame([bar()]).rename({"ticker": "tickers"}))
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "'ticker'", "did you mean 'tickers'?")


@pytest.mark.parametrize("content", [True, [50], NOON])
def test_a_column_of_the_wrong_type_is_refused(folder: Folder, content: object) -> None:
    folder.put(bars=[bar(c=content)])
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "column 'c'", "expected numbers")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bars.parquet", b"PAR1 half of a file"),
        ("bars.parquet", b""),
        ("bars.csv", b""),
        ("bars.csv", b'a,b\n"1,2\n3,4,5,6\n'),
        ("bars.jsonl", b'{"a": 1}\n{"a": '),
        ("bars.csv.gz", b"no gzip"),
        ("bars.xlsx", b"PK"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder: Folder, name: str, content: bytes) -> None:
    (folder.files / name).write_bytes(content)
    folder.fails(FEES + MARKETS + BARS, name)


def test_a_truncated_parquet_is_named(folder: Folder) -> None:
    folder.put(bars=[bar(ts=EPOCH + 60 * k) for k in range(500)])
    path = folder.files / "bars.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "cannot be read")


def test_sources_and_entries_must_meet(folder: Folder) -> None:
    folder.put(bars=[bar()])
    files = {name: folder.files / f"{name}.parquet" for name in ("markets", "bars")}
    text = FEES + MARKETS
    folder.fails(text, "bars.parquet", "markets.*", sources=(files["markets"], files["bars"]))
    folder.fails(text + BARS, "table 2 (candles)", "'bars.*'", sources=(files["markets"],))
    folder.fails(text, "does not exist", sources=(folder.files / "gone.parquet",))
    (folder.root / "empty").mkdir()
    folder.fails(text, "empty", "markets.*", sources=(folder.files, folder.root / "empty"))
    folder.bring(text, files["markets"], folder.files)  # the same file twice is one file


def test_a_failing_import_leaves_the_dataset_as_it_was(folder: Folder) -> None:
    before = folder.bring(FEES + MARKETS).fingerprint
    folder.put(bars=pl.DataFrame([bar()]).drop("oi"), markets=[{"ticker": "S-E-Z", "close": 1}])
    with pytest.raises(DataError, match="'oi'"):
        folder.bring(FEES + MARKETS + BARS)
    assert Store.open(folder.into).fingerprint() == before


def test_a_file_without_rows_is_read_as_none(folder: Folder) -> None:
    folder.put(bars=pl.DataFrame([bar()]).clear())
    report = folder.bring(FEES + MARKETS + BARS)
    assert (report.tables["candles"].read, report.tables["candles"].added) == (0, 0)
    assert folder.read("candles").is_empty()


def test_when_no_row_is_usable_the_reader_is_warned(folder: Folder) -> None:
    folder.put(bars=[bar(ts=EPOCH * 1_000), bar(ts=EPOCH * 1_000 + 1)])
    report = folder.bring(FEES + MARKETS + BARS)
    assert "no row of bars.parquet is usable for candles (time_range)" in report.warnings


def test_the_dataset_takes_name_and_note_of_the_mapping(folder: Folder) -> None:
    folder.bring('name = "weather"\nnote = "from hand"\n' + FEES + MARKETS)
    store = Store.open(folder.into)
    assert (store.name, store.note, store.synthetic) == ("weather", "from hand", False)


def test_without_a_name_the_dataset_is_called_as_its_folder(folder: Folder) -> None:
    folder.bring(FEES + MARKETS)
    assert Store.open(folder.into).name == "dataset"


# --- mappings -------------------------------------------------------------------------------------

GOOD = FEES + MARKETS + BARS


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('into = "candles"', 'into = "candels"', ["table 2", "into", "did you mean 'candles'?"]),
        ("quotes =", "qoutes =", ["table 2 (candles)", "'qoutes'", "did you mean 'quotes'?"]),
        ('quotes = "candle"\n', "", ["quotes is missing"]),
        ('quotes = "candle"', 'quotes = "none"', ["'none'", "bid_open"]),
        ('price_unit = "cents"\n', "", ["price_unit is missing"]),
        ('"cents"', '"cent"', ["did you mean 'cents'?"]),
        ("price_open =", "price_opne =", ["did you mean 'price_open'?"]),
        ('price_open = "o"\n', "", ["all of price_open"]),
        ('bid_low = "bl"\n', "", ["needs all of bid_open"]),
        ('period = { value = "1h" }\n', "", ["lacks period"]),
        ('unit = "s" }\nprice', 'unti = "s" }\nprice', ["columns.time", "did you mean 'unit'?"]),
        ('unit = "s" }\nprice', 'unit = "sec" }\nprice', ["'sec'"]),
        ('unit = "s" }\nprice', 'unit = "m" }\nprice', ["no known epoch"]),
        ('unit = "s" }\nprice', 'zone = "America/New_Yrok" }\nprice', ["America/New_York"]),
        ('volume = "v"', 'volume = { column = "v", unit = "s" }', ["unit is for columns of times"]),
        ('volume = "v"', "volume = { }", ["exactly one of"]),
        ('volume = "v"', 'volume = { column = "v", value = 1 }', ["exactly one of"]),
        ('volume = "v"', "volume = { last_candle = true }", ["last_candle is for"]),
        ('volume = "v"', 'volume = { column = "v", pattern = "x" }', ["group"]),
        ('volume = "v"', 'volume = { column = "v", pattern = "(" }', ["group"]),
        ('volume = "v"', "volume = 5", ["columns.volume"]),
        ('"quadratic"', '"quadratik"', ["series 1", "did you mean 'quadratic'?"]),
        ('prefix = "*"', 'prefix = "*"\nseries = "S"', ["exactly one of series and prefix"]),
        ('prefix = "*"', 'prefix = "*"\nfee_multiplier = -1', ["fee_multiplier", "0"]),
        ('prefix = "*"', 'prefix = "*"\neffective_from = 2026-01-05T12:00:00', ["no zone"]),
        ('source = "bars.*"', "", ["table 2 (candles), source is missing"]),
        ('source = "bars.*"', 'source = "/bars"', ["'/bars'"]),
        ("quotes =", 'settlement_lag = "1h"\nquotes =', ["settlement_lag is for settlements"]),
        ("quotes =", "derived = true\nquotes =", ["derived is for markets"]),
        ("[[table]]", "[table", ["is no TOML"]),
        (GOOD, "", ["table is missing"]),
        (GOOD, "table = []", ["table"]),
    ],
)
def test_a_wrong_mapping_is_answered_with_the_place_and_the_cure(
    folder: Folder, old: str, new: str, words: list[str]
) -> None:
    assert old in GOOD
    folder.put(bars=[bar()])
    folder.fails(GOOD.replace(old, new), "mapping.toml", *words)


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.toml cannot be read"):
        import_tables(tmp_path / "gone.toml", [tmp_path], tmp_path / "x")


def test_the_mappings_of_the_studies_are_sound() -> None:
    found = sorted((Path(__file__).parents[2] / "research" / "mappings").glob("*.toml"))
    assert len(found) == 20
    for path in found:
        assert read_mapping(path).name == path.stem


def test_every_reason_a_check_gives_is_explained() -> None:
    given = {check.reason for table in schema.STORED for check in checks(table)}
    assert given < set(REASONS)


# --- books, and bars made of them -----------------------------------------------------------------

QUOTES = """
[[table]]
into = "books"
source = "quotes.*"
price_unit = "cents"
MORE
[table.columns]
ticker = { value = "S-E-A" }
time = { column = "ts", unit = "s" }
bid = "b"
ask = "a"
bid_size = "n"
"""


def quotes(*rows: tuple[float, float | None, float | None]) -> list[dict[str, Any]]:
    return [{"ts": EPOCH + ts, "b": bid, "a": ask, "n": 5.0} for ts, bid, ask in rows]


def level(price: int, size: int | None) -> list[dict[str, int | None]]:
    return [{"price": price, "size": size}]


def test_best_quotes_become_books_of_one_level_a_side(folder: Folder) -> None:
    folder.put(quotes=quotes((0, 40, 45.5), (1, 0, 45), (2, None, 100)))
    folder.bring(FEES + MARKETS + QUOTES.replace("MORE", ""))
    assert folder.read("books").drop("ticker").rows() == [
        (NOON, level(4000, 500), level(4550, None)),
        (NOON + timedelta(seconds=1), [], level(4500, None)),
        (NOON + timedelta(seconds=2), [], []),
    ]


def test_each_defect_of_a_quote_is_set_aside_under_its_reason(folder: Folder) -> None:
    rows = quotes((0, 46, 45), (1, -1, 45), (2, 40, 101), (3, 100, None), (4, 40, 0), (5, 45, 45))
    rows += [{"ts": EPOCH + 6, "b": 40, "a": 45, "n": -1.0}, {"ts": None, "b": 1, "a": 2, "n": 1}]
    rows += quotes((5, 45, 45), (5, 44, 45))
    folder.put(quotes=pl.DataFrame(rows, infer_schema_length=None))
    folder.bring(FEES + MARKETS + QUOTES.replace("MORE", ""))
    assert folder.set_aside("books") == [
        (0, "crossed"),
        (1, "price_range"),
        (2, "price_range"),
        (3, "quote_at_limit"),
        (4, "quote_at_limit"),
        (6, "negative_quantity"),
        (7, "null_key"),
        (8, "duplicate"),
        (9, "duplicate_key"),
    ]
    assert folder.read("books").height == 1


def test_after_a_silence_the_book_is_not_known(folder: Folder) -> None:
    folder.put(quotes=quotes((0, 40, 45), (30, 41, 45), (61, 42, 45)))
    folder.bring(FEES + MARKETS + QUOTES.replace("MORE", 'silence = "30s"'))
    found = folder.read("books").select("time", pl.col("bids").is_null()).rows()
    seconds = [(time - NOON).total_seconds() for time, _ in found]
    assert seconds == [0, 30, 60, 61, 91]
    assert [hole for _, hole in found] == [False, False, True, False, True]


@pytest.mark.parametrize(("looks", "source"), [("", "book"), ('quotes = "snapshot"', "snapshot")])
def test_bars_are_made_of_books_and_trades(folder: Folder, looks: str, source: str) -> None:
    folder.put(
        quotes=quotes((-30, 40, 45), (-20, 41, 44)),
        trades=[trade(ts=EPOCH - 10, p=0.42), trade(ts=EPOCH - 70, p=0.43, id="early")],
    )
    text = FEES + MARKETS + QUOTES.replace("MORE", f'bars = "1m"\n{looks}')
    report = folder.bring(text + TRADES.replace("UNIT", "dollars"))
    names = ["time", "bid_open", "bid_close", "price_close", "volume", "bid_size", "quote_source"]
    assert folder.read("candles").select(names).rows() == [
        (NOON, 4000, 4100, 4200, 100, 500, source)
    ]
    assert report.tables["candles"].read == 1


def test_bars_of_trades_alone_and_of_another_length(folder: Folder) -> None:
    folder.put(trades=[trade(ts=EPOCH - 10), trade(ts=EPOCH - 70, id="b")])
    text = FEES + MARKETS + TRADES.replace("UNIT", 'dollars"\nbars = "1h')
    folder.bring(text)
    assert folder.read("candles").select("period", "volume", "quote_source").rows() == [
        (3_600, 200, "none")
    ]
    import_tables(folder.root / "mapping.toml", [folder.files], folder.into, bar_seconds=15)
    assert folder.read("candles")["period"].to_list() == [15, 15, 3_600]


def test_bars_of_a_file_come_before_those_made(folder: Folder) -> None:
    folder.put(trades=[trade(ts=EPOCH - 10)], bars=[bar()])
    report = folder.bring(FEES + MARKETS + BARS + TRADES.replace("UNIT", 'dollars"\nbars = "1h'))
    assert report.tables["candles"].skipped == {"known": 1}
    assert folder.read("candles")["quote_source"].to_list() == ["candle"]


# --- more of the language -------------------------------------------------------------------------


def test_an_identifier_may_be_made_of_several_columns(folder: Folder) -> None:
    folder.put(trades=[trade(), trade(), trade(q=2), trade(side="no")])
    text = TRADES.replace("UNIT", "dollars").replace('"id"', '{ join = ["p", "q", "side"] }')
    folder.bring(FEES + MARKETS + text)
    assert folder.read("trades")["trade_id"].to_list() == ["0.5|1|no", "0.5|1|yes", "0.5|2|yes"]
    assert folder.set_aside("trades") == [(1, "duplicate")]


def test_times_may_have_a_format_of_their_own_and_be_moved(folder: Folder) -> None:
    how = 'pattern = "-(.+)", format = "%y%b%d", zone = "America/New_York", plus = "16h"'
    texts = ["S-26JAN05", "S-26JUL06", "S-26XXX05", "S"]
    summer = datetime(2026, 7, 6, 20, tzinfo=UTC)
    assert clock(folder, texts, how) == [NOON + timedelta(hours=9), summer, None, None]
    assert folder.set_aside("references") == [(2, "unparsable_time"), (3, "no_match")]


def test_numbers_of_an_epoch_may_count_a_local_clock(folder: Folder) -> None:
    how = 'unit = "s", zone = "America/New_York"'
    lost = datetime(2026, 3, 8, 2, 30, tzinfo=UTC)  # that clock skips this half hour
    found = clock(folder, [EPOCH, int(lost.timestamp())], how)
    assert found == [NOON + timedelta(hours=5), None]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ('format = "%y%b%d"', ("zone = 'UTC'",)),
        ('format = "%y", unit = "s"', ("one of format and unit",)),
        ('plus = "soon"', ("'soon'",)),
    ],
)
def test_a_wrong_format_or_shift_is_refused(folder: Folder, how: str, words: tuple[str]) -> None:
    folder.put(clock=pl.DataFrame({"name": ["a"], "t": ["26JAN05"]}))
    folder.fails(CLOCK.replace("HOW", how), *words)


def test_prices_of_no_become_prices_of_yes(folder: Folder) -> None:
    folder.put(
        bars=[
            bar(s="yes"),
            bar(s="NO", ts=EPOCH + 60),
            bar(s="both", ts=EPOCH + 120),
        ]
    )
    folder.bring(FEES + MARKETS + BARS.replace("quotes =", 'side = "s"\nquotes ='))
    rows = folder.read("candles").select(*PRICES_OF_A_BAR).rows()
    assert rows == [
        (5000, 6000, 4000, 5500, 4800, 5800, 3800, 5300, 5200, 6200, 4200, 5700),
        # open, close: a dollar less; high and low, and bid and ask, change places
        (5000, 6000, 4000, 4500, 4800, 5800, 3800, 4300, 5200, 6200, 4200, 4700),
    ]
    assert folder.set_aside("candles") == [(2, "unknown_side")]


PRICES_OF_A_BAR = [f"{name}_{part}" for name in ("price", "bid", "ask") for part in schema.OHLC]


def test_results_may_be_derived_from_rows_of_trades(folder: Folder) -> None:
    folder.put(results=[{"ticker": "S-E-A", "result": "yes", "payout": None, "close": EPOCH}] * 3)
    text = RESULTS.replace("[table.columns]", "derived = true\n[table.columns]")
    assert folder.bring(FEES + MARKETS + text).tables["settlements"].read == 1
    assert folder.read("settlements")["payout"].to_list() == [10_000]


def test_a_reference_may_be_words_of_a_field_but_not_nothing(folder: Folder) -> None:
    folder.put(board=[{"m": "a", "t": EPOCH, "o": "Lab"}, {"m": "b", "t": EPOCH, "o": None}])
    folder.bring(
        """
[[table]]
into = "references"
source = "board.*"
[table.columns]
source = { value = "x" }
symbol = "m"
field = { value = "maker" }
time = { column = "t", unit = "s" }
text = "o"
"""
    )
    assert folder.read("references").rows() == [("x", "a", "maker", NOON, None, "Lab")]
    assert folder.set_aside("references") == [(1, "null_value")]


def test_a_corrected_mapping_corrects_the_markets_it_derived(folder: Folder) -> None:
    derived = MARKETS.replace("[table.columns]", "derived = true\n[table.columns]")
    folder.bring(FEES + derived.replace('"^([^-]+-[^-]+)"', '"^([^-]+)"'))
    assert folder.read("markets")["event"].to_list() == ["S"]
    report = folder.bring(FEES + derived)
    assert folder.read("markets")["event"].to_list() == ["S-E"]
    assert report.tables["markets"].updated == 1


def test_markets_of_which_more_is_known_are_not_derived_anew(folder: Folder) -> None:
    folder.bring(FEES + MARKETS + 'title = { value = "Rain?" }\n')
    derived = MARKETS.replace("[table.columns]", "derived = true\n[table.columns]")
    assert folder.bring(FEES + derived).tables["markets"].skipped == {"known": 1}
    assert folder.read("markets")["title"].to_list() == ["Rain?"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (QUOTES.replace("MORE", 'bars = "90"'), ("'90'", "duration")),
        (QUOTES.replace("MORE", 'bars = "1500ms"'), ("whole number of seconds",)),
        (QUOTES.replace("MORE", 'quotes = "none"'), ("'snapshot'",)),
        (QUOTES.replace("MORE", 'side = "s"'), ("side is for candles",)),
        (QUOTES.replace("MORE", "").replace('ask = "a"', ""), ("lacks ask",)),
        (BARS.replace("quotes =", 'bars = "1m"\nquotes ='), ("bars is for books and trades",)),
        (BARS.replace('"candle"', '"book"'), ("quotes is missing",)),
    ],
)
def test_keys_where_they_mean_nothing_are_refused(
    folder: Folder, text: str, words: tuple[str, ...]
) -> None:
    folder.put(quotes=quotes((0, 40, 45)))
    folder.fails(FEES + text, *words)
