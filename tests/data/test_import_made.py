"""Books, bars made of them, and what a mapping may derive."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from outside_files import BARS, EPOCH, FEES, MARKETS, NOON, RESULTS, TRADES, Folder, bar, trade

from kalshi_bt import schema
from kalshi_bt.data.importers.table import import_tables

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
