"""Bars of outside tables: what is stored, set aside, and made null."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from outside_files import BARS, EPOCH, FEES, MARKETS, NOON, Folder, bar

from kalshi_bt import schema
from kalshi_bt.data.validate import REASONS

_QUOTES = [f"{side}_{part}" for side in ("bid", "ask") for part in schema.OHLC]


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
