"""Tables of any layout through a mapping: every row is stored exactly, set aside, or counted."""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_files import BARS, EPOCH, FEES, MARKETS, NOON, RESULTS, Folder, bar

from kalshi_bt.data.validate import REASONS, checks

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
