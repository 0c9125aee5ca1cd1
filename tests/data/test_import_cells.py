"""Cells of outside tables: prices, quantities and times, read exactly or set aside."""

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from outside_files import BARS, EPOCH, FEES, MARKETS, NOON, TRADES, Folder, bar, trade

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
