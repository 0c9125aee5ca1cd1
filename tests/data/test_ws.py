"""Recordings of messages become books, bars, trades, markets and results; every flaw is counted."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.books import bars
from kalshi_bt.data.importers.table import ImportReport
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.progress import Progress
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
T = "S-E-A"


def ms(seconds: float) -> int:
    return int(NOON.timestamp() * 1_000) + round(seconds * 1_000)


def at(seconds: float, micro: int = 0) -> datetime:
    return NOON + timedelta(seconds=seconds, microseconds=micro)


def line(seconds: float, kind: str, sid: int | None = 1, seq: int | None = None, **msg: Any) -> str:
    numbers = {} if seq is None else {"sid": sid, "seq": seq}
    event = {"type": kind, **numbers, "msg": {"market_ticker": T, **msg}}
    return json.dumps({"recv_ms": ms(seconds), "event": event})


def snapshot(seconds: float, seq: int, yes: Any = (), no: Any = (), ticker: str = T) -> str:
    told = {"yes_dollars_fp": list(yes), "no_dollars_fp": list(no), "market_ticker": ticker}
    return line(seconds, "orderbook_snapshot", 1, seq, **told)


def delta(seconds: float, seq: int, side: str, price: str, change: str) -> str:
    told = {"price_dollars": price, "delta_fp": change, "side": side}
    return line(seconds, "orderbook_delta", 1, seq, **told)


def trade(seconds: float, seq: int, name: str, price: str = "0.4500", **more: Any) -> str:
    told = {"trade_id": name, "yes_price_dollars": price, "count_fp": "2.00", **more}
    return line(seconds, "trade", 2, seq, **{"taker_outcome_side": "yes", **told})


class Folder:
    def __init__(self, root: Path) -> None:
        self.files, self.into = root / "files", root / "dataset"
        self.files.mkdir()

    def put(self, name: str, *lines: str, end: str = "\n") -> Path:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = ("\n".join(lines) + end).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    def bring(self, **options: Any) -> ImportReport:
        return import_ws([self.files], self.into, **{"bar_seconds": 10, **options})

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)

    def books(self) -> list[tuple[Any, ...]]:
        def plain(side: list[dict[str, int]] | None) -> list[tuple[int, int]] | None:
            return None if side is None else [(level["price"], level["size"]) for level in side]

        rows = self.read("books").select("time", "bids", "asks").rows()
        return [(time, plain(bids), plain(asks)) for time, bids, asks in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# --- books ----------------------------------------------------------------------------------------


def test_a_book_is_kept_at_every_change_in_prices_of_yes(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.40", "10"], ["0.30", "5"]], [["0.50", "7"]]),
        delta(2, 2, "no", "0.52", "1.50"),
        delta(3, 3, "yes", "0.40", "-10"),
    )
    report = folder.bring()
    assert folder.books() == [
        (at(1), [(4000, 1000), (3000, 500)], [(5000, 700)]),
        (at(2), [(4000, 1000), (3000, 500)], [(4800, 150), (5000, 700)]),
        (at(3), [(3000, 500)], [(4800, 150), (5000, 700)]),
    ]
    assert report.tables["books"].added == 3
    assert report.messages["messages"] == 3


def test_changes_of_one_receive_time_leave_the_last_state(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.40", "10"]]),
        delta(1, 2, "yes", "0.41", "1"),
        delta(1, 3, "yes", "0.42", "1"),
        delta(2, 4, "yes", "0.42", "-1"),
        delta(2, 5, "yes", "0.42", "1"),
    )
    folder.bring()
    state = [(4200, 100), (4100, 100), (4000, 1000)]
    assert folder.books() == [(at(1), state, []), (at(2), state, [])]


def test_only_the_best_levels_are_kept_and_what_lies_behind_them_makes_no_row(
    folder: Folder,
) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.40", "1"], ["0.30", "1"], ["0.20", "1"]]),
        delta(2, 2, "yes", "0.20", "1"),  # the third level
        delta(3, 3, "yes", "0.30", "-1"),  # lets the third one up
    )
    folder.bring(depth=2)
    assert folder.books() == [
        (at(1), [(4000, 100), (3000, 100)], []),
        (at(3), [(4000, 100), (2000, 200)], []),
    ]


def test_a_missing_number_opens_a_hole_after_the_last_good_message(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.40", "1"]]),
        delta(12, 2, "yes", "0.41", "1"),
        delta(14, 4, "yes", "0.42", "1"),
        delta(15, 5, "yes", "0.42", "1"),
        snapshot(16, 6, [["0.30", "1"]]),
        delta(41, 7, "yes", "0.30", "1"),
    )
    report = folder.bring()
    assert folder.books() == [
        (at(1), [(4000, 100)], []),
        (at(12), [(4100, 100), (4000, 100)], []),
        (at(12, 1), None, None),
        (at(16), [(3000, 100)], []),
        (at(41), [(3000, 200)], []),
    ]
    assert (report.messages["gap"], report.messages["before_snapshot"]) == (1, 2)
    assert any("gaps" in words for words in report.warnings)
    made = folder.read("candles")
    assert made["time"].to_list() == [at(10), at(30), at(40)]


def test_a_gap_is_a_hole_even_if_a_snapshot_reveals_it(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(1, 5, [["0.4", "1"]]), snapshot(31, 1, [["0.5", "1"]]))
    report = folder.bring()
    expected = [(at(1), [(4000, 100)], []), (at(1, 1), None, None), (at(31), [(5000, 100)], [])]
    assert folder.books() == expected
    assert report.messages["restart"] == 1
    assert folder.read("candles").is_empty()


def test_what_whoever_recorded_noted_as_lost_is_a_hole(folder: Folder) -> None:
    note = {"recv_ms": ms(7), "event": {"type": "feed_lost", "sid": 1, "msg": {"why": "overflow"}}}
    folder.put("a.jsonl", snapshot(1, 5, [["0.4", "1"]]), json.dumps(note))
    report = folder.bring()
    assert folder.books() == [(at(1), [(4000, 100)], []), (at(1, 1), None, None)]
    assert report.messages["feed_lost"] == 1
    assert any("whoever recorded" in words for words in report.warnings)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (delta(2, 2, "yes", "0.40", "-1.01"), "impossible"),
        (delta(2, 2, "yes", "0.60", "1"), "crossed"),
        (delta(2, 2, "yes", "high", "1"), "unreadable"),
    ],
)
def test_what_cannot_be_opens_a_hole_and_is_counted(folder: Folder, bad: str, word: str) -> None:
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]], [["0.5", "1"]]), bad, trade(9, 1, "t"))
    report = folder.bring()
    assert folder.books()[1:] == [(at(1, 1), None, None)]
    assert report.messages[word] == 1
    if word == "unreadable":
        assert report.tables["books"].quarantined == {"unparsable_number": 1}
        aside = folder.read("quarantine")
        assert aside.select("table", "source", "row").row(0) == ("books", "a.jsonl", 1)
        assert "high" in aside["found"][0]


def test_markets_of_one_connection_are_kept_apart(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.4", "1"]]),
        snapshot(1, 2, [["0.2", "1"]], ticker="S-E-B"),
        delta(5, 3, "yes", "0.4", "1"),
    )
    folder.bring()
    rows = folder.read("books").select("ticker", "time").rows()
    assert rows == [(T, at(1)), (T, at(5)), ("S-E-B", at(1))]


def test_recordings_cut_by_market_are_known_by_their_folder(folder: Folder) -> None:
    folder.put(f"{T}/2026-01-04.ndjson.gz", snapshot(1, 10, [["0.4", "1"]]))
    folder.put(f"{T}/2026-01-05.ndjson.gz", delta(2, 70, "yes", "0.4", "1"))
    folder.put("whole/a.ndjson.gz", snapshot(1, 10, ticker="B"), snapshot(2, 70, ticker="B"))
    report = folder.bring()
    assert folder.books()[-2:] == [(at(1), [(4000, 100)], []), (at(2), [(4000, 200)], [])]
    assert report.messages["gap"] == 1
    assert any("1 recordings are cut by market" in words for words in report.warnings)


# --- lines ----------------------------------------------------------------------------------------


def test_receive_times_come_in_several_units_and_shapes(folder: Folder) -> None:
    told = json.loads(snapshot(0, 1, [["0.4", "1"]]))["event"]
    stamp = ms(3)
    folder.put(
        "a/x.jsonl", json.dumps({"recv_ts_ns": stamp * 10**6 + 999, "raw": json.dumps(told)})
    )
    folder.put("b/x.jsonl", json.dumps({"recv_us": stamp * 1_000 + 7, "message": told}))
    told["msg"]["market_ticker"], told["msg"]["ts_ms"] = "S-E-C", stamp
    folder.put("c/x.jsonl", json.dumps(told))
    folder.bring()
    rows = folder.read("books").select("ticker", "time").rows()
    assert rows == [(T, at(3)), (T, at(3, 7)), ("S-E-C", at(3))]


def test_a_torn_end_is_forgiven_and_counted_and_rubbish_is_set_aside(folder: Folder) -> None:
    folder.put("a/a.jsonl", snapshot(1, 1, [["0.4", "1"]]), '{"recv_ms": 17', end="")
    folder.put("b/b.jsonl", "", "rubbish", "[]", '{"recv_ms": 5, "event": 7}', "{}")
    path = folder.put("c/c.jsonl.gz", *(snapshot(k, k, ticker="S-E-C") for k in range(1, 400)))
    path.write_bytes(path.read_bytes()[:-60])
    report = folder.bring()
    assert report.messages["torn"] == 2
    assert folder.read("quarantine").select("source", "row", "reason").rows() == [
        ("b/b.jsonl", row, "unreadable_line") for row in (1, 2, 3, 4)
    ]
    assert {T, "S-E-C"} == set(folder.read("books")["ticker"])


def test_a_message_that_whoever_listened_could_not_read_is_set_aside(folder: Folder) -> None:
    texts = ['{"more": NaN}', '{"more": -Infinity}', "[" * 100_000]
    stamp = int(at(2).timestamp() * 1_000)
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.4", "1"]]),
        *(json.dumps({"recv_ms": stamp, "raw": text}) for text in texts),
        json.dumps({"recv_ms": "Infinity"}),
        '{"recv_ms": 1e999, "event": {}}',
        delta(3, 2, "yes", "0.4", "1"),
    )
    folder.bring()
    assert folder.read("quarantine")["row"].to_list() == [1, 2, 3, 4, 5]
    assert folder.books() == [(at(1), [(4000, 100)], []), (at(3), [(4000, 200)], [])]


def test_files_of_a_folder_are_merged_by_time(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]]), delta(8, 3, "yes", "0.4", "1"))
    folder.put("b.jsonl", delta(4, 2, "yes", "0.4", "1"))
    assert "gap" not in folder.bring().messages
    assert [time for time, _, _ in folder.books()] == [at(1), at(4), at(8)]


def test_a_clock_that_goes_back_is_held_and_counted(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(5, 1, [["0.4", "1"]]), delta(3, 2, "yes", "0.4", "1"))
    assert folder.bring().messages["back"] == 1
    assert folder.books() == [(at(5), [(4000, 200)], [])]


def test_unknown_types_are_counted_and_harmless(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(1, 1), line(2, "weather", 1, 2), line(3, "weather", 1, 3))
    report = folder.bring()
    assert report.messages["unknown:weather"] == 2
    assert any("2 messages of the unknown type 'weather'" in w for w in report.warnings)


# --- trades and bars ------------------------------------------------------------------------------


def test_trades_keep_side_id_and_the_order_in_which_they_came(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        trade(5, 1, "z", "0.4500", ts_ms=ms(4)),
        trade(5, 2, "a", "0.4600", taker_outcome_side="no"),
        trade(5, 3, "z", "0.4500"),
        trade(11, 4, "m", "0.4700", is_block_trade=True),
    )
    report = folder.bring()
    assert folder.read("trades").rows() == [
        (T, at(5), "z", 4500, 200, 1),
        (T, at(5, 1), "a", 4600, 200, -1),
    ]
    assert report.tables["trades"].skipped == {"known": 1}
    assert report.messages["block"] == 1
    (bar,) = folder.read("candles").to_dicts()
    assert (bar["time"], bar["price_open"], bar["price_close"], bar["volume"]) == (
        at(10),
        4500,
        4600,
        400,
    )
    assert bar["quote_source"] == "none"


def test_bars_are_those_of_the_stored_books_and_trades(folder: Folder) -> None:
    folder.put(
        "a.jsonl",
        snapshot(1, 1, [["0.4", "1"]], [["0.5", "1"]]),
        trade(12, 1, "a"),
        delta(15, 2, "yes", "0.41", "1"),
        trade(31, 2, "b"),
    )
    folder.bring()
    until = pl.DataFrame({"ticker": [T], "until": [at(31)]})
    again = bars(10, books=folder.read("books"), trades=folder.read("trades"), until=until)
    assert folder.read("candles").equals(again)
    assert again.select("time", "bid_close", "volume").rows() == [
        (at(10), 4000, 0),
        (at(20), 4100, 200),
        (at(30), 4100, 0),
    ]


def test_without_a_trade_channel_volume_is_not_known(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]]), delta(11, 2, "yes", "0.4", "1"))
    folder.bring()
    assert folder.read("candles")["volume"].to_list() == [None]
    told = {"recv_ms": ms(0), "event": {"type": "subscribed", "msg": {"channel": "trade"}}}
    folder.put("a.jsonl", json.dumps(told), snapshot(1, 1), delta(11, 2, "yes", "0.4", "1"))
    folder.bring()
    assert folder.read("candles")["volume"].to_list() == [0]


def test_ticker_messages_tell_open_interest_and_quotes_where_there_is_no_book(
    folder: Folder,
) -> None:
    quotes = {"yes_bid_dollars": "0.4000", "yes_ask_dollars": "1.0000", "yes_bid_size_fp": "3.00"}
    folder.put(
        "a.jsonl",
        line(1, "ticker", **quotes, open_interest_fp="7.00"),
        line(2, "ticker", **quotes, market_ticker="S-E-B", open_interest_fp="8.00"),
        snapshot(3, 1, [["0.3", "1"]]),
        delta(12, 2, "yes", "0.3", "1"),
    )
    folder.bring()
    rows = folder.read("candles").select("ticker", "bid_close", "bid_size", "open_interest").rows()
    assert rows == [(T, 3000, 100, 700), ("S-E-B", 4000, 300, 800)]
    assert folder.read("books").filter(pl.col("ticker") == "S-E-B").rows() == [
        ("S-E-B", at(2), [{"price": 4000, "size": 300}], [])
    ]


def test_quotes_without_a_book_are_lost_with_the_connection_too(folder: Folder) -> None:
    quote = {"yes_bid_dollars": "0.4000", "yes_ask_dollars": "1.0000"}
    folder.put(
        "a.jsonl",
        trade(0, 5, "a", market_ticker="S-E-B"),
        line(1, "ticker", **quote),
        trade(20, 1, "b", market_ticker="S-E-B"),
        line(21, "ticker", **quote),
    )
    folder.bring()
    known = [{"price": 4000, "size": None}]
    assert folder.read("books").filter(pl.col("ticker") == T).rows() == [
        (T, at(1), known, []),
        (T, at(1, 1), None, None),
        (T, at(21), known, []),
    ]


def test_books_that_were_asked_for_are_snapshots_and_their_trades_keep_their_time(
    folder: Folder,
) -> None:
    book = {"ticker": T, "yes_levels": [[400_000, 1_000]], "no_levels": [[455_000, 250]]}
    sold = {
        "ticker": T,
        "trade_id": "t",
        "yes_price_micros": 430_000,
        "size_hundredths": 657,
        "taker_book_side": "ask",
        "ts_iso": "2026-01-05T12:00:02.5Z",
    }
    folder.put("books.jsonl", *(json.dumps({"ts_ingest_ms": ms(s), **book}) for s in (1, 6, 11)))
    folder.put("trades.jsonl", json.dumps({"ts_ingest_ms": ms(6), **sold}))
    report = folder.bring()
    assert folder.books()[0] == (at(1), [(4000, 1000)], [(5450, 250)])
    assert folder.read("trades").rows() == [(T, at(2, 500_000), "t", 4300, 657, -1)]
    (bar,) = folder.read("candles").to_dicts()
    assert (bar["quote_source"], bar["volume"], bar["ask_close"]) == ("snapshot", 657, 5450)
    assert "rebased" not in report.messages


# --- markets --------------------------------------------------------------------------------------

MARKET = {
    "ticker": T,
    "event_ticker": "S-E",
    "title": "Up?",
    "yes_sub_title": "4,000 or more",
    "rules_primary": "As the index says.",
    "open_time": "2026-01-05T11:45:00Z",
    "close_time": "2026-01-05T12:00:15Z",
    "can_close_early": False,
    "strike_type": "greater_or_equal",
    "floor_strike": 4000.5,
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
    "status": "finalized",
    "result": "yes",
    "settlement_value_dollars": "1.0000",
    "settlement_ts": "2026-01-05T12:00:20.5Z",
    "expiration_value": "4,001.25",
}
EVENT = {"event_ticker": "S-E", "series_ticker": "SER", "mutually_exclusive": True}


def test_documents_beside_the_messages_tell_markets_and_results(folder: Folder) -> None:
    document = {"status": 200, "response": {"event": EVENT, "markets": [MARKET]}}
    folder.put("metadata/S-E.json", json.dumps(document))
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]]), delta(45, 2, "yes", "0.4", "1"))
    report = folder.bring()
    (row,) = folder.read("markets").to_dicts()
    assert (row["event"], row["series"], row["mutually_exclusive"]) == ("S-E", "SER", True)
    assert (row["close_time"], row["floor_strike"]) == (at(15), 4000.5)
    assert (row["subtitle"], row["rules"]) == ("4,000 or more", "As the index says.")
    assert row["price_ranges"] == [{"start": 0, "end": 10_000, "step": 10}]
    assert folder.read("settlements").rows() == [
        (T, at(20, 500_000), at(15), 10_000, "yes", 4001.25)
    ]
    # The bar in which the market closed is the last one.
    assert folder.read("candles")["time"].to_list() == [at(10), at(20)]
    assert folder.read("series").select("series", "fee_type", "fee_multiplier").rows() == [
        ("SER", "quadratic", 1_000_000)
    ]
    assert any("usual fees" in words for words in report.warnings)


def test_other_documents_give_trades_bars_and_fees(folder: Folder) -> None:
    sold = {
        "ticker": T,
        "trade_id": "t",
        "created_time": "2026-01-05T12:00:02Z",
        "yes_price_dollars": "0.4300",
        "count_fp": "6.57",
        "taker_side": "no",
    }
    quote = dict.fromkeys(("open", "high", "low", "close"), 40)
    bar = {
        "end_period_ts": ms(60) // 1_000,
        "price": {},
        "yes_bid": quote,
        "yes_ask": dict.fromkeys(quote, 45),
        "volume": 3,
        "open_interest": 4,
    }
    fees = {"ticker": "S", "fee_type": "quadratic_with_maker_fees", "fee_multiplier": 2}
    meta = {"_metadata": {"ticker": T, "period_interval": 1}}
    folder.put("trades.json", json.dumps({"trades": [sold]}))
    folder.put("bars.json", json.dumps({**meta, "response": {"candlesticks": [bar]}}))
    folder.put("series.json", json.dumps({"series": fees}))
    folder.put("balance.json", json.dumps({"balance": 7}))
    report = folder.bring()
    assert folder.read("trades").rows() == [(T, at(2), "t", 4300, 657, -1)]
    (row,) = folder.read("candles").to_dicts()
    assert (row["period"], row["bid_open"], row["ask_low"]) == (60, 4000, 4500)
    assert row["quote_source"] == "candle"
    assert folder.read("series")["fee_multiplier"].to_list() == [2_000_000]
    assert folder.read("markets")["ticker"].to_list() == [T]
    assert report.tables["markets"].skipped == {"other_document": 1}


def life(seconds: float, kind: str, **told: Any) -> str:
    return line(seconds, "market_lifecycle_v2", event_type=kind, **told)


def test_the_life_of_a_market_is_told_by_messages(folder: Folder) -> None:
    more = {"event_ticker": "S-E", "title": "Up?", "strike_type": "greater", "floor_strike": 5}
    folder.put(
        "a.jsonl",
        json.dumps(
            {
                "recv_ms": ms(0),
                "event": {
                    "type": "event_lifecycle",
                    "msg": {
                        "event_ticker": "S-E",
                        "series_ticker": "SER",
                        "collateral_return_type": "MECNET",
                        "title": "What?",
                    },
                },
            }
        ),
        life(
            1, "created", open_ts=ms(0) // 1000, close_ts=ms(900) // 1000, additional_metadata=more
        ),
        life(2, "metadata_updated", floor_strike=6, yes_sub_title="6 or more"),
        life(300, "close_date_updated", close_ts=ms(299) // 1000),
        life(
            301,
            "determined",
            result="no",
            settlement_value="0.0000",
            determination_ts=ms(300) // 1000,
        ),
        life(305, "settled", settled_ts=ms(304) // 1000),
        json.dumps(
            {
                "recv_ms": ms(400),
                "event": {
                    "type": "event_fee_update",
                    "msg": {
                        "event_ticker": "S-E",
                        "fee_type_override": "quadratic",
                        "fee_multiplier_override": 0.5,
                    },
                },
            }
        ),
    )
    folder.bring()
    (row,) = folder.read("markets").to_dicts()
    assert (row["series"], row["title"], row["floor_strike"]) == ("SER", "Up?", 6.0)
    assert (row["open_time"], row["close_time"]) == (at(0), at(900))  # not the moved one
    assert (row["subtitle"], row["mutually_exclusive"]) == ("6 or more", True)
    assert folder.read("settlements").rows() == [(T, at(305), at(299), 0, "no", None)]
    assert folder.read("determinations").rows() == [
        (T, at(301), "determined", 0),
        (T, at(305), "finalized", 0),
    ]
    assert folder.read("event_fees").rows() == [("S-E", at(400), "quadratic", 500_000)]


def test_a_scalar_result_without_a_value_is_set_aside(folder: Folder) -> None:
    folder.put("a.jsonl", life(1, "determined", result="scalar"), life(2, "settled"))
    report = folder.bring()
    assert report.tables["settlements"].quarantined == {"null_value": 1}


# --- the dataset ----------------------------------------------------------------------------------


def test_importing_again_changes_nothing(folder: Folder) -> None:
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]]), trade(12, 1, "a"), "rubbish")
    first = folder.bring()
    again = folder.bring()
    assert again.fingerprint == first.fingerprint
    assert all(t.added == t.updated == 0 for t in again.tables.values())
    for account in (*first.tables.values(), *again.tables.values()):
        kept = account.added + account.updated + account.unchanged
        left = sum(account.skipped.values()) + sum(account.quarantined.values())
        assert account.read == kept + left


def test_a_trade_that_another_recording_told_is_not_stored_twice(folder: Folder) -> None:
    folder.put("a.jsonl", trade(12, 1, "a"), trade(13, 2, "b"))
    folder.bring()
    folder.put("a.jsonl", trade(12.25, 1, "a"), trade(14, 2, "c"))
    assert folder.bring().tables["trades"].skipped == {"known": 1}
    assert folder.read("trades")["trade_id"].to_list() == ["a", "b", "c"]


def test_known_markets_and_fees_are_not_replaced_by_guesses(folder: Folder) -> None:
    folder.put(
        "S-E.json", json.dumps({"event": EVENT | {"series_ticker": "S"}, "markets": [MARKET]})
    )
    folder.bring()
    (folder.files / "S-E.json").unlink()
    folder.put("a.jsonl", snapshot(1, 1, [["0.4", "1"]]))
    report = folder.bring()
    assert folder.read("markets")["title"].to_list() == ["Up?"]
    assert "series" not in report.tables


def test_progress_is_told_and_wrong_sources_are_refused(folder: Folder) -> None:
    told: list[Progress] = []
    with pytest.raises(DataError, match="holds no recording"):
        folder.bring()
    with pytest.raises(DataError, match="does not exist"):
        import_ws([folder.files / "none"], folder.into)
    folder.put("a.jsonl", snapshot(1, 1))
    for wrong in ({"bar_seconds": 0}, {"depth": 0}):
        with pytest.raises(UsageError):
            folder.bring(**wrong)
    folder.put("x.json", "{")
    with pytest.raises(DataError, match=r"x\.json cannot be read"):
        folder.bring()
    assert not folder.into.exists()
    (folder.files / "x.json").unlink()
    folder.bring(on_progress=told.append)
    assert told[-1] == Progress("messages", 1, 1, 1)
