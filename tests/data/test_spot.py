"""Prices of one venue become references that say they are a proxy, known at the end of a bar."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_exchange import QUICK, Local, local

from kalshi_bt.data.kalshi.download import DownloadReport
from kalshi_bt.data.spot import download_spot
from kalshi_bt.data.spot_csv import import_spot_csv
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError

__all__ = ["local"]

NOW = datetime(2026, 9, 20, 12, 0, 30, tzinfo=UTC)
T0 = datetime(2026, 9, 20, 11, tzinfo=UTC)
FIELDS = {"open": 10.5, "high": 12.0, "low": 9.25, "close": 11.0, "volume": 3.5}


def bars(start: datetime, count: int, step: int = 60) -> list[int]:
    return [int(start.timestamp()) + n * step for n in range(count)]


def coinbase(query: dict[str, str]) -> Any:
    """Newest first, at most 300, and one before the start: as the venue's page warns."""
    low, high = (datetime.fromisoformat(query[n]).timestamp() for n in ("start", "end"))
    length = int(query["granularity"])
    assert (high - low) / length + 1 <= 300
    stamps = range(int(low) - length, min(int(high), int(NOW.timestamp())) + 1, length)
    return [[stamp, 9.25, 12, 10.5, 11.0, 3.5] for stamp in reversed(stamps)]


def kraken(query: dict[str, str]) -> Any:
    last = int(NOW.timestamp()) // 60 * 60
    stamps = [s for s in range(last - 719 * 60, last + 1, 60) if s > int(query["since"])]
    rows = [[s, "10.5", "12.0", "9.25", "11.0", "10.9", "3.5", 23] for s in stamps]
    return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}


def binance(query: dict[str, str]) -> Any:
    length = {"1m": 60_000, "1s": 1_000}[query["interval"]]
    stamps = range(int(query["startTime"]), int(query["endTime"]) + 1, length)
    return [
        [s, "10.5", "12.0", "9.25", "11.0", "3.5", s + length - 1, "1", 3, "1", "1", "0"]
        for s in stamps[: int(query["limit"])]
    ]


ANSWERS = {
    "coinbase": ("BTC-USD", {"/time": {}, "/products/BTC-USD/candles": coinbase}),
    "kraken": ("XBTUSD", {"/0/public/Time": {}, "/0/public/OHLC": kraken}),
    "binance": ("BTCUSDT", {"/api/v3/time": {}, "/api/v3/klines": binance}),
}


def fetch(local: Local, into: Path, venue: str, **options: Any) -> DownloadReport:
    symbol, answers = ANSWERS[venue]
    local.answers.update(answers)
    local.date = format_datetime(NOW, usegmt=True)
    local.asked.clear()
    span = {"start": T0, "end": T0 + timedelta(minutes=3)} | options
    return download_spot(
        into / "data", venue=venue, symbols=[symbol], base_url=local.url, retry=QUICK, **span
    )


def read(into: Path) -> pl.DataFrame:
    return Store.open(into / "data").read("references")


@pytest.mark.parametrize("venue", ANSWERS)
def test_bars_are_known_at_their_end_and_labelled_as_a_proxy(
    local: Local, tmp_path: Path, venue: str
) -> None:
    report = fetch(local, tmp_path, venue)
    assert report.tables["references"].added == 15
    found = read(tmp_path)
    assert set(found["source"]) == {f"proxy:{venue}"}
    assert set(found["symbol"]) == {ANSWERS[venue][0]}
    ends = [T0 + timedelta(minutes=n) for n in (1, 2, 3)]
    for name, value in FIELDS.items():
        mine = found.filter(pl.col("field") == name)
        assert mine["time"].to_list() == ends
        assert mine["value"].to_list() == [value] * 3


@pytest.mark.parametrize(("venue", "asked"), [("coinbase", 4), ("binance", 2)])
def test_long_spans_are_split_and_every_bar_comes_once(
    local: Local, tmp_path: Path, venue: str, asked: int
) -> None:
    span = {"start": T0 - timedelta(minutes=999), "end": T0 + timedelta(minutes=1)}
    report = fetch(local, tmp_path, venue, **span)
    assert report.requests - 1 == asked - (venue == "binance")
    assert report.tables["references"].added == 5 * 1000
    assert report.tables["references"].unchanged == 0


def test_a_bar_that_has_not_ended_is_not_stored(local: Local, tmp_path: Path) -> None:
    for venue in ANSWERS:
        fetch(local, tmp_path, venue, end=None)
    assert read(tmp_path).group_by("source").agg(pl.col("time").max())[
        "time"
    ].unique().to_list() == [NOW.replace(second=0)]


def test_seconds_come_from_binance_only(local: Local, tmp_path: Path) -> None:
    fetch(local, tmp_path, "binance", seconds=1)
    assert read(tmp_path).filter(pl.col("field") == "close").height == 180
    with pytest.raises(UsageError, match="bars of 60 seconds, not of 1"):
        fetch(local, tmp_path, "coinbase", seconds=1)


def test_a_later_run_fetches_what_is_new_on_both_sides(local: Local, tmp_path: Path) -> None:
    fetch(local, tmp_path, "coinbase")
    assert fetch(local, tmp_path, "coinbase").requests == 1
    report = fetch(
        local,
        tmp_path,
        "coinbase",
        start=T0 - timedelta(minutes=2),
        end=T0 + timedelta(minutes=5),
    )
    assert (report.requests, report.tables["references"].added) == (3, 4 * 5)
    assert report.tables["references"].unchanged == 0


@pytest.mark.parametrize("venue", ANSWERS)
def test_runs_at_odd_seconds_leave_no_gap(local: Local, tmp_path: Path, venue: str) -> None:
    for minute in (2, 4, 9):
        fetch(local, tmp_path, venue, end=T0 + timedelta(minutes=minute, seconds=17 * minute))
    ends = read(tmp_path).filter(pl.col("field") == "close")["time"].to_list()
    assert ends == [T0 + timedelta(minutes=n) for n in range(1, 12)]


def test_what_kraken_does_not_keep_is_told(local: Local, tmp_path: Path) -> None:
    report = fetch(local, tmp_path, "kraken", start=T0 - timedelta(days=3), end=None)
    assert "keeps its newest 720 bars" in report.warnings[0]
    # Of 720 entries the newest, from 12:00, has not ended; the oldest is from 00:01.
    assert read(tmp_path)["time"].min() == NOW.replace(second=0) - timedelta(minutes=718)


def test_one_bad_bar_is_set_aside_and_a_changed_format_stops(local: Local, tmp_path: Path) -> None:
    symbol, path = "BTC-USD", "/products/BTC-USD/candles"
    good = [[stamp, 9.25, 12, 10.5, 11.0, 3.5] for stamp in bars(T0, 3)]
    fetch(local, tmp_path / "x", "coinbase")
    local.answers[path] = [*good[:2], [good[2][0], None, 12, 10.5, 11.0, 3.5]]
    given: dict[str, Any] = {"venue": "coinbase", "symbols": [symbol], "base_url": local.url}
    span = {"start": T0, "end": T0 + timedelta(minutes=3)}
    report = download_spot(tmp_path / "one", **given, **span)
    assert report.quarantined == {"references": {"unparsable_number": 1}}
    for answer in ({"message": "moved"}, [{"time": 1}, {"time": 2}]):
        local.answers[path] = answer
        with pytest.raises(DataError, match="changed its format"):
            download_spot(tmp_path / "two", **given, **span)


def test_an_error_of_kraken_is_told(local: Local, tmp_path: Path) -> None:
    fetch(local, tmp_path, "kraken")
    local.answers["/0/public/OHLC"] = {"error": ["EQuery:Unknown asset pair"]}
    with pytest.raises(DataError, match="Unknown asset pair"):
        download_spot(tmp_path / "y", venue="kraken", symbols=["NO"], start=T0, base_url=local.url)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"venue": "coinbas"}, "did you mean 'coinbase'"),
        ({"symbols": []}, "name the symbols"),
        ({"symbols": "BTC-USD"}, "name the symbols"),
        ({"start": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
    ],
)
def test_a_wrong_argument_is_told(
    local: Local, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    given: dict[str, Any] = {"venue": "coinbase", "symbols": ["BTC-USD"], "start": T0}
    with pytest.raises(UsageError, match=told):
        download_spot(tmp_path / "data", base_url=local.url, **(given | options))
    assert local.asked == []


# --- files ----------------------------------------------------------------------------------------


def csv(into: Path, text: str, **options: Any) -> DownloadReport:
    file = into / "btc.csv"
    file.write_text(text, encoding="utf-8")
    return import_spot_csv(into / "data", file, symbol="BTC", **options)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("time,close\n2026-09-20T11:00:00Z,11.0\n", {}),
        ("Timestamp,Close\n1789902000,11.0\n", {}),
        ("open_time,close\n1789902000000,11.0\n", {"unit": "ms"}),
        ("close,Date\n11.0,2026-09-20T07:01:00-04:00\n", {"label": "end"}),
        ("\ufefftime,close,other\n2026-09-20 11:00:00+00:00,11,x\n", {"source": "proxy:csv"}),
    ],
)
def test_a_file_in_any_order_and_unit_of_time_is_the_same(
    tmp_path: Path, text: str, options: dict[str, Any]
) -> None:
    csv(tmp_path, text, **options)
    assert read(tmp_path).rows() == [
        ("proxy:csv", "BTC", "close", T0 + timedelta(minutes=1), 11.0, None)
    ]


def test_rows_that_cannot_be_used_are_set_aside_with_their_place(tmp_path: Path) -> None:
    text = (
        "time,close,volume\n2026-09-20T11:00:00Z,11.0,\nyesterday,1,1\n"
        "2026-09-20T11:00:00,1,1\n2026-09-20T11:01:00Z,inf,1\n2026-09-20T11:02:00Z,NaN,2\n"
    )
    report = csv(tmp_path, text)
    assert report.quarantined == {"references": {"unparsable_time": 2, "unparsable_number": 1}}
    bad = Store.open(tmp_path / "data").read("quarantine")
    assert bad.select("source", "row").rows() == [("btc.csv", 1), ("btc.csv", 2), ("btc.csv", 3)]
    assert read(tmp_path).select("field", "value").rows() == [("close", 11.0), ("volume", 2.0)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has the columns none"),
        ("time,price\n1,2\n", "has the columns time, price"),
        ("time,close\n", "it has no rows"),
        ("time,close\nx,1\n", "no row of"),
    ],
)
def test_a_file_without_prices_is_told_and_makes_no_dataset(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        csv(tmp_path, text)
    assert not (tmp_path / "data").exists()


def test_an_absent_file_and_wrong_options_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        import_spot_csv(tmp_path / "data", tmp_path / "absent.csv", symbol="BTC")
    for wrong in ({"label": "middle"}, {"unit": "ns"}, {"seconds": 0}):
        with pytest.raises(UsageError, match="a label is start or end"):
            csv(tmp_path, "time,close\n", **wrong)
    assert not (tmp_path / "data").exists()
