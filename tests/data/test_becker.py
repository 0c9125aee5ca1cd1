import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.becker import import_becker
from kalshi_bt.data.importers.table import ImportReport
from kalshi_bt.data.progress import Progress
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

Row = dict[str, Any]
Rows = Sequence[Row] | pl.DataFrame
Importing = Callable[..., tuple[Store, ImportReport]]

CLOSE = datetime(2025, 11, 8, 21, 0)  # without a zone, as in the archive  # noqa: DTZ001
AFTER = datetime(2025, 11, 20)  # noqa: DTZ001
GAME = "KXNBAGAME-25NOV08PHXLAL-PHX"
TIMES = ("created_time", "open_time", "close_time", "_fetched_at")


def market(ticker: str = GAME, **changes: object) -> Row:
    row = {
        "ticker": ticker,
        "event_ticker": ticker.rpartition("-")[0],
        "market_type": "binary",
        "title": "Phoenix at Los Angeles",
        "yes_sub_title": "Phoenix",
        "no_sub_title": "Phoenix",
        "status": "finalized",
        "yes_bid": 1,
        "yes_ask": 100,
        "no_bid": 0,
        "no_ask": 99,
        "last_price": 99,
        "volume": 500,
        "volume_24h": 400,
        "open_interest": 300,
        "result": "yes",
        "created_time": CLOSE - timedelta(days=9),
        "open_time": CLOSE - timedelta(days=7),
        "close_time": CLOSE,
        "_fetched_at": AFTER,
    }
    return row | changes


def trade(
    number: int, yes: int = 60, no: int | None = None, ticker: str = GAME, **changes: object
) -> Row:
    row = {
        "trade_id": f"id-{number:04}",
        "ticker": ticker,
        "count": 10,
        "yes_price": yes,
        "no_price": 100 - yes if no is None else no,
        "taker_side": "yes",
        "created_time": CLOSE - timedelta(hours=5) + timedelta(seconds=number),
        "_fetched_at": AFTER,
    }
    return row | changes


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    found = pl.DataFrame(rows, infer_schema_length=None)
    return found.with_columns(
        pl.col(name).cast(pl.Datetime("us"))
        for name in TIMES
        if name in found.columns and found.schema[name] == pl.Null
    )


def write(root: Path, markets: Rows = (), trades: Rows = (), part: str = "0") -> Path:
    for name, rows in (("markets", markets), ("trades", trades)):
        (root / name).mkdir(parents=True, exist_ok=True)
        if len(rows):
            found = rows if isinstance(rows, pl.DataFrame) else frame(rows)
            found.write_parquet(root / name / f"{name}_{part}.parquet")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Importing:
    """Import rows into a new dataset; return the store and the report."""

    def importing(
        markets: Rows = (), trades: Rows = (), into: str = "set", **options: Any
    ) -> tuple[Store, ImportReport]:
        root = write(tmp_path / f"archive of {into}", markets, trades)
        report = import_becker([root], tmp_path / into, **options)
        return Store.open(tmp_path / into), report

    return importing


def utc(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micro: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


def lost(store: Store) -> list[tuple[Any, ...]]:
    return store.read("quarantine").select("table", "source", "row", "reason", "found").rows()


def test_a_lost_cent_is_given_back_on_the_side_that_lost_it(run: Importing) -> None:
    pairs = [(28, 71), (71, 28), (56, 43), (43, 56), (57, 42), (42, 57), (29, 71), (28, 72)]
    store, report = run([market()], [trade(n, *pair) for n, pair in enumerate(pairs)])
    prices = [2900, 7100, 5700, 4300, 5800, 4200, 2900, 2800]
    assert store.read("trades")["price"].to_list() == prices
    assert "6 trades had lost a cent (28, 56, 57), which was given back" in report.warnings
    assert not any("parts of a cent" in text for text in report.warnings)


def test_prices_with_parts_of_a_cent_stay_as_they_are_and_are_counted(run: Importing) -> None:
    # A market with 30.5 cents has such prices everywhere: there 28 may be 28.4.
    fine = [trade(1, 30, 69), trade(2, 28, 71)]
    # One with 5.5 cents may have them at the edges only: 28 was 29.
    edges = [trade(n, *p, ticker="KXB-1-A") for n, p in ((3, (5, 94)), (4, (28, 71)))]
    store, report = run([market(), market("KXB-1-A")], fine + edges)
    by_id = dict(store.read("trades").select("trade_id", "price").rows())
    assert by_id == {"id-0001": 3000, "id-0002": 2800, "id-0003": 500, "id-0004": 2900}
    assert "3 trades have prices with parts of a cent, stored as whole cents" in report.warnings
    assert "1 trades had lost a cent (28, 56, 57), which was given back" in report.warnings


def test_unusable_trades_are_kept_apart_with_their_place_and_reason(run: Importing) -> None:
    trades = [
        trade(0),
        trade(1, count=0),
        trade(2, 60, 60),
        trade(3, 0, 0),
        trade(4, taker_side="maybe"),
        trade(5, 0, 99),
        trade(6, taker_side=None),
        trade(7, count=-3),
        trade(8, trade_id=None),
        trade(9, created_time=datetime(1970, 1, 21)),  # noqa: DTZ001
    ]
    store, report = run([market()], trades)
    assert store.read("trades")["trade_id"].to_list() == ["id-0000"]
    reasons = {row[2]: row[3] for row in lost(store)}
    assert reasons == {
        1: "sub_contract",
        2: "price_sum",
        3: "price_sum",
        4: "unknown_side",
        5: "trade_at_limit",
        6: "null_value",
        7: "negative_quantity",
        8: "null_key",
        9: "time_range",
    }
    assert {row[:2] for row in lost(store)} == {("trades", "trades/trades_0.parquet")}
    done = report.tables["trades"]
    assert (done.read, done.added, sum(done.quarantined.values())) == (10, 1, 9)
    assert done.quarantined["sub_contract"] == 1


def test_trades_are_stored_in_yes_centicents_and_sides_are_signs(run: Importing) -> None:
    trades = [trade(1, 93, taker_side="no", count=7), trade(2, 8, taker_side="Yes")]
    store, _ = run([market()], trades)
    columns = ["ticker", "time", "trade_id", "price", "quantity", "taker_side"]
    assert store.read("trades", columns).rows() == [
        (GAME, utc(2025, 11, 8, 16, 0, 1), "id-0001", 9300, 700, -1),
        (GAME, utc(2025, 11, 8, 16, 0, 2), "id-0002", 800, 1000, 1),
    ]


def test_the_newest_row_of_a_market_counts(run: Importing) -> None:
    early = AFTER - timedelta(days=30)
    rows = [
        market(_fetched_at=AFTER, result="no", title="new"),
        market(_fetched_at=early, result="", status="active", title="old"),
        market(_fetched_at=None, result="yes", title="of no age"),
    ]
    store, report = run(rows)
    assert store.read("markets")["title"].to_list() == ["new"]
    assert store.read("settlements")["result"].to_list() == ["no"]
    assert report.tables["markets"].skipped == {"stale": 2}
    assert report.tables["markets"].read == 3


def test_what_a_market_was_quoted_when_it_was_fetched_changes_nothing(run: Importing) -> None:
    seen = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "volume", "open_interest")
    _, one = run([market()], [trade(1)], into="one")
    poison: Row = dict.fromkeys((*seen, "volume_24h"), 77)
    store, other = run([market(**poison)], [trade(1)], into="other")
    assert one.fingerprint == other.fingerprint
    assert set(store.sizes()) == {"series", "markets", "settlements", "trades"}
    assert store.read("candles").is_empty()


def test_the_close_that_came_is_an_outcome_not_the_schedule(run: Importing) -> None:
    store, _ = run([market()])
    assert store.read("markets")["close_time"].to_list() == [None]
    settled = store.read("settlements")
    assert settled["close_time"].to_list() == [utc(2025, 11, 8, 21)]
    assert settled["time"].to_list() == [utc(2025, 11, 9, 21)]


def test_a_row_fetched_before_its_close_knew_the_schedule(run: Importing) -> None:
    planned = datetime(2025, 11, 22, 5)  # noqa: DTZ001
    rows = [
        market(_fetched_at=CLOSE - timedelta(days=3), close_time=planned, result=""),
        market(_fetched_at=CLOSE - timedelta(days=1), close_time=AFTER, result=""),
        market(),
    ]
    store, _ = run(rows)
    assert store.read("markets")["close_time"].to_list() == [utc(2025, 11, 22, 5)]
    assert store.read("settlements")["close_time"].to_list() == [utc(2025, 11, 8, 21)]


@pytest.mark.parametrize(
    ("ticker", "recorded", "expected"),
    [
        # Eastern standard time is five hours behind, daylight time four.
        ("KXBTC15M-26FEB150330-30", None, utc(2026, 2, 15, 8, 30)),
        ("KXBTC15M-26JUL150330-30", None, utc(2026, 7, 15, 7, 30)),
        ("KXBTC15M-26FEB150330-30", utc(2026, 2, 15, 8, 21), utc(2026, 2, 15, 8, 30)),
        # Half past one came twice on the second of November 2025.
        ("KXETH15M-25NOV020130-30", utc(2025, 11, 2, 5, 30), utc(2025, 11, 2, 5, 30)),
        ("KXETH15M-25NOV020130-30", utc(2025, 11, 2, 6, 30), utc(2025, 11, 2, 6, 30)),
        ("KXETH15M-25NOV020130-30", None, None),
        ("KXBTCD-25AUG1417-T126499.99", utc(2025, 8, 14, 21), utc(2025, 8, 14, 21)),
        ("KXINX-25AUG15H1600-B6462", utc(2025, 8, 15, 20), utc(2025, 8, 15, 20)),
        ("KXINX-25AUG15H1600-B6462", utc(2025, 8, 15, 19), None),
        ("KXMLBX-25AUG151905-NYY", utc(2025, 8, 16, 2, 11), None),  # the clock of its start
        ("KXHIGHNY-26APR01-B74.5", utc(2026, 4, 2, 4, 59), None),
    ],
)
def test_the_ticker_states_the_scheduled_close_of_markets_that_end_on_the_clock(
    run: Importing, ticker: str, recorded: datetime | None, expected: object
) -> None:
    closed = None if recorded is None else recorded.replace(tzinfo=None)
    late = datetime(2026, 12, 1)  # noqa: DTZ001
    store, _ = run([market(ticker, close_time=closed, open_time=None, _fetched_at=late)])
    assert store.read("markets")["close_time"].to_list() == [expected]


def test_the_recorded_close_of_punctual_series_is_the_schedule(run: Importing) -> None:
    rows = [market("KXHIGHNY-25NOV08-T60"), market()]
    store, _ = run(rows, punctual=["KXHIGH"])
    closes = dict(store.read("markets").select("series", "close_time").rows())
    assert closes == {"KXHIGHNY": utc(2025, 11, 8, 21), "KXNBAGAME": None}


def test_results_are_known_an_hour_after_the_close_of_fast_series_and_a_day_after_others(
    run: Importing,
) -> None:
    tickers = {
        "KXBTC15M-25NOV081600-00": 3_600,
        "KXBTCD-25NOV0816-T99999.99": 3_600,
        "KXINXU-25NOV08H1600-T6500": 3_600,
        "KXHIGHNY-25NOV08-T60": 86_400,
    }
    rows = [market(ticker) for ticker in tickers]
    store, _ = run(rows)
    settled = store.read("settlements")
    wait = (settled["time"] - settled["close_time"]).dt.total_seconds()
    assert dict(zip(settled["ticker"], wait, strict=True)) == tickers
    store, _ = run(rows, into="own", lags={"KX": "2h", "KXHIGH": "3h", "KXBTC15M": "10s"})
    settled = store.read("settlements")
    wait = (settled["time"] - settled["close_time"]).dt.total_seconds()
    assert wait.to_list() == [10, 7_200, 10_800, 7_200]


@pytest.mark.parametrize(
    ("ticker", "said", "expected"),
    [
        ("KXBTCD-25AUG1417-T79499.99", "$79,500 or above", ("greater", 79_499.99, None)),
        ("KXHIGHNY-26APR01-T72", "71° or below", ("less", None, 72.0)),
        ("KXCPI-25AUG-T-0.1", "Above -0.1%", ("greater", -0.1, None)),
        ("KXHURCAT-WENDY-T2", "Category 2 or above", ("greater_or_equal", 2.0, None)),
        ("KXUSDX-25-T95", "95 or below", ("less_or_equal", None, 95.0)),
        ("KXUSDX-25-T95", "Below 95", ("less", None, 95.0)),
        ("KXHIGHNY-26APR01-B74.5", "74° to 75°", ("between", 74.0, 75.0)),
        ("KXBTC-25AUG1322-B101875", "$101,750 to 101,999.99", ("between", 101_750.0, 101_999.99)),
        # the last number is the minute of the close
        ("KXBTC15M-26FEB150330-30", "Target Price: $77,314.22",
         ("greater_or_equal", 77_314.22, None)),
        ("KXSOL15M-26FEB150330-30", "Price to beat: $65.3523", ("greater_or_equal", 65.3523, None)),
        ("KXBTC15M-26FEB150330-30", "Target price: TBD", (None, None, None)),
        # ticker and subtitle do not fit, or one says nothing
        ("KXCUTS-25DEC31-T15", "14 or more cuts", (None, None, None)),
        ("KXCUTS-25DEC31-T3", "Exactly 3 cuts", (None, None, None)),
        ("KXBTC-25AUG1322-B101875", "$1 to 2", (None, None, None)),
        ("KXBTC-25AUG1322-B101875", "", (None, None, None)),
        ("KXWORLDS-25-T1", "T1", (None, None, None)),
        (GAME, "Phoenix", (None, None, None)),
    ],
)  # fmt: skip
def test_strikes_come_from_ticker_and_subtitle_together(
    run: Importing, ticker: str, said: str, expected: object
) -> None:
    store, _ = run([market(ticker, yes_sub_title=said)])
    kept = store.read("markets").select("strike_type", "floor_strike", "cap_strike")
    assert kept.row(0) == expected


def test_markets_without_a_result_stay_unsettled_and_are_counted(run: Importing) -> None:
    rows = [
        market("KXA-1-A", result="", status="active"),
        market("KXA-1-B", result="", status="finalized"),
        market("KXA-1-C", result=None, status="closed"),
        market("KXA-1-D", result="no", status="determined"),
        market("KXA-1-E", result="yes", status="disputed"),
        market("KXA-1-F", result="scalar"),
        market("KXA-1-G", result="maybe"),
        market("KXA-1-H", result="yes", close_time=None),
    ]
    store, report = run(rows)
    assert store.read("markets").height == 8
    assert store.read("settlements").select("ticker", "payout").rows() == [("KXA-1-D", 0)]
    done = report.tables["settlements"]
    assert done.skipped == {"open": 4}
    assert done.quarantined == {"no_close_time": 1, "null_value": 1, "unknown_result": 1}
    assert done.read == 8
    assert any(text.startswith("1 markets ended without a result") for text in report.warnings)


def test_the_series_is_the_prefix_of_the_event(run: Importing) -> None:
    store, _ = run([market("KXTOPMODEL-26MAR07-CLAUDE46"), market("FED-25DEC-T4.75")])
    kept = store.read("markets").select("ticker", "event", "series").rows()
    assert kept == [
        ("FED-25DEC-T4.75", "FED-25DEC", "FED"),
        ("KXTOPMODEL-26MAR07-CLAUDE46", "KXTOPMODEL-26MAR07", "KXTOPMODEL"),
    ]


def test_trades_of_no_market_make_one_from_the_ticker_alone(run: Importing) -> None:
    store, report = run([market()], [trade(1), trade(2, ticker="KXNEW-25NOV08-A")])
    made = store.read("markets").filter(pl.col("ticker") == "KXNEW-25NOV08-A")
    assert made.select("event", "series", "title", "open_time", "close_time").rows() == [
        ("KXNEW-25NOV08", "KXNEW", None, None, None)
    ]
    assert store.read("trades").height == 2
    assert store.read("settlements").height == 1
    assert "1 markets are known by the ticker of their trades only" in report.warnings
    # Once the market is there, it takes the place of the made one.
    store, report = run([market("KXNEW-25NOV08-A", title="there")], [])
    assert "there" in store.read("markets")["title"].to_list()
    assert report.tables["markets"].updated == 1


def test_times_without_a_zone_are_utc_and_others_are_converted(run: Importing) -> None:
    zoned = frame([trade(1)]).with_columns(
        pl.col("created_time").dt.replace_time_zone("America/New_York")
    )
    text = frame([trade(2)]).with_columns(pl.lit("2025-11-08T16:00:02.5Z").alias("created_time"))
    store, _ = run([market()], zoned)
    assert store.read("trades")["time"].to_list() == [utc(2025, 11, 8, 21, 0, 1)]
    store, _ = run([market()], text, into="text")
    assert store.read("trades")["time"].to_list() == [utc(2025, 11, 8, 16, 0, 2, 500_000)]
    rows = frame([market()]).drop("open_time", "close_time", "_fetched_at")
    seconds = rows.with_columns(open_ts=1_762_000_000, close_ts=1_762_635_600)
    store, _ = run(seconds, into="seconds")
    assert store.read("settlements")["close_time"].to_list() == [utc(2025, 11, 8, 21)]
    assert store.read("markets")["open_time"].to_list() == [utc(2025, 11, 1, 12, 26, 40)]


def test_known_series_have_their_published_fees_and_others_the_general_schedule(
    run: Importing,
) -> None:
    tickers = (GAME, "KXBTC15M-25NOV081600-00", "KXINX-25NOV08H1600-B6462", "KXHIGHNY-25NOV08-T60")
    store, report = run([market(ticker) for ticker in tickers])
    kept = store.read("series", ["series", "effective_from", "fee_type", "fee_multiplier"])
    start = utc(1970, 1, 1)
    assert kept.rows() == [
        ("KXBTC15M", start, "quadratic", 1_000_000),
        ("KXHIGHNY", start, "quadratic", 1_000_000),
        ("KXINX", start, "quadratic", 500_000),
        ("KXINX", utc(2026, 7, 3, 17), "quadratic", 1_000_000),
        ("KXNBAGAME", start, "quadratic_with_maker_fees", 1_000_000),
    ]
    assert "1 series have the general fee schedule, the archive has none" in report.warnings


def test_importing_again_changes_nothing(run: Importing) -> None:
    rows = [market(), market("KXA-1-A", result="")]
    trades = [trade(1), trade(2, count=0), trade(3, 28, 71), trade(4, ticker="KXNEW-1-A")]
    _, first = run(rows, trades)
    _, again = run(rows, trades)
    assert again.fingerprint == first.fingerprint
    for name, done in again.tables.items():
        assert (done.added, done.updated) == (0, 0), name
    assert again.tables["trades"].unchanged == 3
    assert again.tables["markets"].unchanged == 2


def test_new_files_only_add(run: Importing, tmp_path: Path) -> None:
    run([market()], [trade(1), trade(2)])
    root = tmp_path / "archive of set"
    write(root, [market("KXA-1-A")], [trade(3), trade(4, ticker="KXA-1-A")], part="1")
    report = import_becker([root], tmp_path / "set")
    assert report.tables["trades"].added == 2
    assert report.tables["trades"].unchanged == 2
    assert report.tables["markets"].added == 1
    trades = [trade(1), trade(2), trade(3), trade(4, ticker="KXA-1-A")]
    whole, _ = run([market(), market("KXA-1-A")], trades, into="whole")
    assert Store.open(tmp_path / "set").read("trades").equals(whole.read("trades"))
    assert report.fingerprint == whole.fingerprint()


def test_a_later_result_settles_a_market_and_a_corrected_one_keeps_the_first(
    run: Importing, tmp_path: Path
) -> None:
    run([market(result="", status="active", _fetched_at=CLOSE)])
    write(tmp_path / "archive of set", [market()], part="1")
    report = import_becker([tmp_path / "archive of set"], tmp_path / "set")
    assert report.tables["settlements"].added == 1
    write(tmp_path / "archive of set", [market(result="no", _fetched_at=AFTER + timedelta(1))],
          part="2")  # fmt: skip
    report = import_becker([tmp_path / "archive of set"], tmp_path / "set")
    assert report.tables["settlements"].updated == 1
    assert report.warnings[-1].startswith("1 settlements were replaced by others")
    store = Store.open(tmp_path / "set")
    assert store.read("settlements")["result"].to_list() == ["no"]
    assert store.read("revisions")["result"].to_list() == ["yes"]


def test_what_another_source_knows_of_a_market_stays(run: Importing, tmp_path: Path) -> None:
    store, _ = run([market()])
    plan = pl.lit(utc(2025, 11, 22, 5)).dt.cast_time_unit("us")
    richer = store.read("markets").with_columns(rules=pl.lit("If Phoenix wins"), close_time=plan)
    store.commit({"markets": richer})
    run([market()])
    kept = Store.open(tmp_path / "set").read("markets")
    assert kept.equals(richer)


def test_a_trade_fetched_again_counts_once_as_the_last_file_has_it(tmp_path: Path) -> None:
    root = write(tmp_path / "in", [market()], [trade(1), trade(2), trade(2)])
    write(root, [], [trade(2), trade(1, 61)], part="1")
    report = import_becker([root], tmp_path / "set")
    store = Store.open(tmp_path / "set")
    assert store.read("trades")["price"].to_list() == [6100, 6000]
    done = report.tables["trades"]
    assert (done.read, done.added, done.skipped) == (5, 2, {"duplicate": 3})


def many() -> tuple[list[Row], list[Row]]:
    """Return markets of three series and their trades over four months."""
    start = datetime(2025, 9, 28)  # noqa: DTZ001
    tickers = [f"KX{s}-{n // 3:02}-S{n % 3}" for s in ("A", "B", "C") for n in range(12)]
    markets = [market(t, close_time=start + timedelta(days=90)) for t in tickers]
    trades = [
        trade(
            n,
            1 + n * 7 % 99,
            ticker=tickers[n * 5 % 36],
            created_time=start + timedelta(hours=n * 13 % 2_100),
        )
        for n in range(3_000)
    ]
    return markets, trades


def test_the_dataset_does_not_depend_on_how_the_rows_are_cut(
    run: Importing, tmp_path: Path
) -> None:
    markets, trades = many()
    whole, report = run(markets, trades, memory="2GB")
    expected = frame(trades).sort("ticker", "created_time", "trade_id")
    stored = whole.read("trades")
    assert stored["trade_id"].to_list() == expected["trade_id"].to_list()
    assert stored["price"].to_list() == (expected["yes_price"] * 100).to_list()
    root = tmp_path / "files" / "becker"
    for part in range(30):
        write(root, markets[part * 2 : part * 2 + 2], trades[part::30], part=str(part))
    seen: list[Progress] = []
    cut = import_becker([root.parent], tmp_path / "cut", memory="100kB", on_progress=seen.append)
    assert cut.fingerprint == report.fingerprint
    assert cut.tables == report.tables
    read = [step for step in seen if step.label == "reading trades"]
    assert [(step.done, step.total) for step in read] == [(n, 30) for n in range(1, 31)]
    assert read[-1].rows == 3_000


def test_a_source_is_the_archive_or_what_holds_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        import_becker([tmp_path / "nowhere"], tmp_path / "set")
    with pytest.raises(DataError, match="holds no folder markets or trades"):
        import_becker([tmp_path], tmp_path / "set")
    (tmp_path / "markets").mkdir()
    with pytest.raises(DataError, match=r"no markets/\*.parquet or trades/\*.parquet"):
        import_becker([tmp_path], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_file_without_a_needed_column_is_named(run: Importing) -> None:
    rows = frame([trade(1)]).drop("count")
    with pytest.raises(DataError, match=r"trades_0.parquet lacks column 'count'; it has trade_id"):
        run([market()], rows)


def test_memory_is_a_size_and_lags_are_durations(run: Importing) -> None:
    with pytest.raises(UsageError, match="'much' is not a size"):
        run([market()], memory="much")
    with pytest.raises(UsageError, match="'soon' is not a duration"):
        run([market()], lags={"KX": "soon"})


def test_a_failed_import_leaves_the_dataset_as_it_was(run: Importing, tmp_path: Path) -> None:
    _, before = run([market()], [trade(1)])
    root = tmp_path / "archive of set"
    path = write(root, [market("KXA-1-A")], [trade(2)], part="1") / "trades" / "trades_1.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[4:200] = bytes(196)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"trades_1.parquet cannot be read"):
        import_becker([root], tmp_path / "set")
    assert Store.open(tmp_path / "set").fingerprint() == before.fingerprint


# Not ru_maxrss: a new process starts with that of the one that made it.
PEAK = """
import json, sys
from pathlib import Path
from kalshi_bt.data.importers.becker import import_becker
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
before = peak()
report = import_becker([Path(sys.argv[1])], Path(sys.argv[2]), memory=sys.argv[3])
print(json.dumps({"rows": report.tables["trades"].added, "peak": peak() - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.slow
def test_memory_stays_bounded_when_the_archive_does_not_fit(tmp_path: Path) -> None:
    per_file, files = 10_000, 150
    count = per_file * files
    rows = pl.DataFrame({"n": range(count)}).select(
        trade_id=pl.format("{}-{}", pl.col("n").cast(pl.String).str.zfill(26), pl.lit("a" * 9)),
        ticker=pl.format("KXEVENT-{}-S{}", (pl.col("n") // 200).cast(pl.String).str.zfill(8),
                         pl.col("n") // 40 % 5),
        count=pl.lit(3, dtype=pl.Int64),
        yes_price=pl.col("n") * 31 % 99 + 1,
        no_price=99 - pl.col("n") * 31 % 99,
        taker_side=pl.lit("yes"),
        # Neighbours are months apart: every file holds trades of every part.
        created_time=pl.lit(CLOSE) + pl.duration(minutes=pl.col("n") // 40 * 7_919 % 525_600),
        _fetched_at=pl.lit(AFTER),
    )  # fmt: skip
    for part in range(files):
        write(tmp_path / "in", [], rows.slice(part * per_file, per_file), part=f"{part:04}")
    peaks = {}
    for memory in ("60MB", "8GB"):
        command = [sys.executable, "-c", PEAK, str(tmp_path / "in"), str(tmp_path / memory), memory]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
        line = json.loads(done.stdout)
        assert line["rows"] == count
        peaks[memory] = line["peak"]
    assert peaks["60MB"] < 450, peaks
    assert peaks["8GB"] > 500, peaks  # all at once
