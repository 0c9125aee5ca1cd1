"""What is fetched, what is asked for again, what stops a run; the exchange is the tests' own."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_exchange import QUICK, Local, Raw, Small, candle, stamp, trade

from kalshi_bt.data.kalshi.download import DownloadReport, download
from kalshi_bt.data.store import Counts, Store
from kalshi_bt.errors import DataError, UsageError

pytestmark = pytest.mark.slow

DAY = datetime(2026, 9, 10, tzinfo=UTC)
A = "KXA-26SEP101015-15"


@pytest.fixture
def small(local: Local) -> Small:
    exchange = Small(local)
    exchange.add_series("KXA", category="Crypto", settlement_sources=[{"name": "An index"}])
    return exchange


@pytest.fixture
def settled(small: Small) -> Small:
    """One settled market with three bars and three trades."""
    small.add_market(A)
    small.candles["live"][A] = [candle(f"2026-09-10T10:0{n}:00Z", f"0.5{n}00") for n in (1, 2, 9)]
    small.trades["live"][A] = [
        trade(A, f"2026-09-10T10:0{n}:30.{n}Z", f"id-{n}", f"0.5{n}00") for n in (1, 2, 9)
    ]
    return small


def run(small: Small, into: Path, **options: Any) -> DownloadReport:
    """Download, and forget what was asked before."""
    small.local.asked.clear()
    given = {"series": ["KXA"], "retry": QUICK, "concurrency": 2} | options
    return download(into / "data", base_url=small.local.url, **given)


def read(into: Path, table: str) -> pl.DataFrame:
    return Store.open(into / "data").read(table)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-09-{text}+00:00")


# --- what comes out -------------------------------------------------------------------------------


def test_every_table_is_what_the_exchange_told(settled: Small, tmp_path: Path) -> None:
    report = run(settled, tmp_path)
    added = {name: counts.added for name, counts in report.tables.items() if counts.added}
    rows = {"series": 1, "markets": 1, "settlements": 1, "determinations": 1}
    assert added == rows | {"candles": 3, "trades": 3}
    assert (report.warnings, report.quarantined, report.unknown_fields) == ((), {}, ())
    assert report.requests == len(settled.local.asked)
    assert read(tmp_path, "series").rows(named=True) == [
        {
            "series": "KXA",
            "effective_from": datetime(1970, 1, 1, tzinfo=UTC),
            "category": "Crypto",
            "fee_type": "quadratic",
            "fee_multiplier": 1_000_000,
            "title": "Kxa",
            "settlement_sources": "An index",
        }
    ]
    market = read(tmp_path, "markets").row(0, named=True)
    assert market["event"] == "KXA-26SEP101015"
    assert market["mutually_exclusive"] is True
    assert (market["open_time"], market["close_time"]) == (at("10T10:00"), at("10T10:15"))
    assert read(tmp_path, "settlements").rows() == [
        (A, at("10T10:15:06"), at("10T10:15"), 10_000, "yes", 77350.01)
    ]
    bars = read(tmp_path, "candles")
    assert bars["time"].to_list() == [at("10T10:01"), at("10T10:02"), at("10T10:09")]
    assert bars["price_close"].to_list() == [5100, 5200, 5900]
    assert (
        bars.select("period", "volume", "open_interest", "quote_source").rows()
        == [(60, 100, 700, "candle")] * 3
    )
    tape = read(tmp_path, "trades").select("time", "trade_id", "price", "quantity", "taker_side")
    assert tape.row(0) == (at("10T10:01:30.1"), "id-1", 5100, 100, 1)
    assert tape["trade_id"].to_list() == ["id-1", "id-2", "id-9"]


def test_only_what_is_wanted_is_asked_for(settled: Small, tmp_path: Path) -> None:
    run(settled, tmp_path, what=["series"])
    assert not settled.local.paths("markets")[1:]
    run(settled, tmp_path, what=["markets"])
    assert not settled.local.paths("trades")
    assert not settled.local.paths("candlesticks")
    assert not settled.local.paths("/series/")
    run(settled, tmp_path, what=["trades"])
    assert settled.local.paths("trades")
    assert not settled.local.paths("candlesticks")


@pytest.mark.parametrize(("period", "minutes"), [(60, "1"), (3600, "60"), (86_400, "1440")])
def test_bars_of_every_length_are_asked_for_in_minutes(
    settled: Small, tmp_path: Path, period: int, minutes: str
) -> None:
    run(settled, tmp_path, period=period, what=["candles"])
    asked = [q["period_interval"] for path, q in settled.local.asked if "candlesticks" in path]
    assert asked == [minutes]
    assert set(read(tmp_path, "candles")["period"]) == {period}


@pytest.mark.parametrize(
    ("result", "value", "stored"),
    [
        ("no", "0.0000", ("no", 0)),
        ("scalar", "0.3700", ("scalar", 3700)),
        ("", "0.5970", ("scalar", 5970)),  # until January 2026
        ("yes", None, ("yes", 10_000)),
    ],
)
def test_a_market_pays_what_it_was_settled_at(
    settled: Small, tmp_path: Path, result: str, value: str | None, stored: tuple[str, int]
) -> None:
    settled.markets["live"][0] |= {"result": result, "settlement_value_dollars": value}
    run(settled, tmp_path)
    assert read(tmp_path, "settlements").select("result", "payout").rows() == [stored]


def test_without_a_time_of_payment_a_day_after_the_close_is_taken(
    settled: Small, tmp_path: Path
) -> None:
    del settled.markets["live"][0]["settlement_ts"]
    report = run(settled, tmp_path)
    assert read(tmp_path, "settlements")["time"].to_list() == [at("11T10:15")]
    assert "1 markets of KXA do not say when they paid" in report.warnings[0]


@pytest.mark.parametrize("combos", [False, True])
def test_combos_come_only_when_asked_for(settled: Small, tmp_path: Path, *, combos: bool) -> None:
    settled.add_market("KXA-COMBO-1", mve_collection_ticker="KXMVE")
    settled.local.answers["/events/multivariate"] = settled.local.answers["/events"]
    run(settled, tmp_path, what=["markets"])
    assert "KXA-COMBO-1" not in read(tmp_path, "markets")["ticker"]
    run(settled, tmp_path, combos=combos, what=["markets"])
    assert ("KXA-COMBO-1" in read(tmp_path, "markets")["ticker"]) is combos


# --- fees -----------------------------------------------------------------------------------------


def change(name: str, when: str, multiplier: float, kind: str = "quadratic") -> dict[str, Any]:
    fees = {"fee_type": kind, "fee_multiplier": multiplier}
    return {"id": when, "series_ticker": name, "scheduled_ts": when, **fees}


def fees_of(into: Path) -> list[tuple[Any, ...]]:
    return read(into, "series").select("effective_from", "fee_type", "fee_multiplier").rows()


def test_dated_fees_past_and_to_come_are_rows(settled: Small, tmp_path: Path) -> None:
    settled.fee_log = [
        change("KXA", "2026-12-01T00:00:00Z", 0),
        change("KXA", "2026-01-01T00:00:00Z", 0.5),
        change("KXA", "2026-07-03T17:00:00Z", 1, "quadratic_with_maker_fees"),
        change("KXB", "2026-07-03T17:00:00Z", 2),
    ]
    settled.series["KXA"]["fee_type"] = "quadratic_with_maker_fees"
    report = run(settled, tmp_path)
    assert fees_of(tmp_path) == [
        (datetime(2026, 1, 1, tzinfo=UTC), "quadratic", 500_000),
        (datetime(2026, 7, 3, 17, tzinfo=UTC), "quadratic_with_maker_fees", 1_000_000),
        (datetime(2026, 12, 1, tzinfo=UTC), "quadratic", 0),
    ]
    assert set(read(tmp_path, "series")["category"]) == {"Crypto"}
    assert report.warnings == ()


def test_fees_before_the_log_begins_are_not_made_up(settled: Small, tmp_path: Path) -> None:
    settled.fee_log = [change("KXA", "2026-09-15T00:00:00Z", 1)]
    report = run(settled, tmp_path)
    assert [row[0] for row in fees_of(tmp_path)] == [at("15T00:00")]
    assert "1 markets of KXA opened before 2026-09-15 00:00 UTC" in report.warnings[0]


def test_what_holds_today_counts_where_the_log_says_otherwise(
    settled: Small, tmp_path: Path
) -> None:
    settled.fee_log = [change("KXA", "2026-01-01T00:00:00Z", 0.5)]
    report = run(settled, tmp_path)
    assert fees_of(tmp_path)[1:] == [(settled.now, "quadratic", 1_000_000)]
    assert "not those of the exchange's log" in report.warnings[0]


def test_fees_of_events_are_dated_rows_and_null_where_the_override_ends(
    settled: Small, tmp_path: Path
) -> None:
    rows = [("E1", "quadratic", 0.5, "01"), ("E1", None, None, "02"), ("E2", "perps", 1, "01")]
    settled.event_fee_log = [
        {
            "id": f"{event}{day}",
            "event_ticker": event,
            "series_ticker": "KXA",
            "fee_type_override": kind,
            "fee_multiplier_override": multiplier,
            "scheduled_ts": f"2026-09-{day}T00:00:00Z",
        }
        for event, kind, multiplier, day in rows
    ]
    settled.events[0] |= {"fee_type_override": "quadratic", "fee_multiplier_override": 0}
    settled.page = 2
    report = run(settled, tmp_path)
    assert read(tmp_path, "event_fees").rows() == [
        ("E1", at("01T00:00"), "quadratic", 500_000),
        ("E1", at("02T00:00"), None, None),
        ("KXA-26SEP101015", datetime(2000, 1, 1, tzinfo=UTC), "quadratic", 0),
    ]
    assert report.quarantined == {"event_fees": {"unknown_fee_type": 1}}


def test_a_series_the_exchange_does_not_have_is_told(settled: Small, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no series 'KXNONE'"):
        run(settled, tmp_path, series=["KXNONE"])


# --- the schedule ---------------------------------------------------------------------------------


def closes(into: Path) -> dict[str, Any]:
    return dict(read(into, "markets").select("ticker", "close_time").iter_rows())


def test_a_close_seen_while_open_stays_when_the_market_ends_early(
    small: Small, tmp_path: Path
) -> None:
    small.tick(at("10T10:05"))
    market = small.add_market(
        A, status="active", result="", settlement_value_dollars=None, settlement_ts=None
    )
    run(small, tmp_path)
    small.tick(at("10T11:00"))
    market |= {
        "status": "finalized",
        "result": "no",
        "settlement_value_dollars": "0.0000",
        "close_time": "2026-09-10T10:08:13.5Z",
        "settlement_ts": "2026-09-10T10:09:00Z",
        "updated_time": "2026-09-10T10:09:00Z",
    }
    report = run(small, tmp_path)
    assert closes(tmp_path) == {A: at("10T10:15")}
    assert read(tmp_path, "settlements")["close_time"].to_list() == [at("10T10:08:13.5")]
    assert report.tables["settlements"] == Counts(added=1)


def test_where_others_show_the_usual_distance_an_early_close_gives_the_schedule(
    small: Small, tmp_path: Path
) -> None:
    for hour in (1, 2, 3):
        small.add_market(
            f"KXA-{hour}-X",
            close_time=f"2026-09-10T0{hour}:00:00Z",
            open_time="2026-09-10T00:00:00Z",
            latest_expiration_time=f"2026-09-17T0{hour}:00:00Z",
        )
    early = {"open_time": "2026-09-10T00:00:00Z", "close_time": "2026-09-10T02:20:00Z"}
    small.add_market("KXA-4-X", latest_expiration_time="2026-09-17T05:00:00Z", **early)
    run(small, tmp_path)
    assert closes(tmp_path) == {
        "KXA-1-X": at("10T01:00"),
        "KXA-2-X": at("10T02:00"),
        "KXA-3-X": at("10T03:00"),
        "KXA-4-X": at("10T05:00"),
    }


@pytest.mark.parametrize(
    ("close", "schedule"),
    [("2026-09-10T10:15:00Z", "10T10:15:00"), ("2026-09-10T10:14:59.7Z", "17T10:15:00")],
    ids=["on a whole minute", "at an odd time"],
)
def test_a_market_alone_is_on_schedule_if_it_closed_on_a_whole_minute(
    small: Small, tmp_path: Path, close: str, schedule: str
) -> None:
    small.add_market(A, close_time=close)
    run(small, tmp_path)
    assert closes(tmp_path) == {A: at(schedule)}


# --- a second run ---------------------------------------------------------------------------------


def test_nothing_is_asked_again_of_what_is_settled(settled: Small, tmp_path: Path) -> None:
    run(settled, tmp_path)
    before = Store.open(tmp_path / "data").fingerprint()
    report = run(settled, tmp_path)
    assert not settled.local.paths("candlesticks")
    assert not settled.local.paths("trades")
    assert report.requests == 6  # cutoff, two fee lists, series, markets since, markets changed
    assert not any(c.added or c.updated for c in report.tables.values())
    assert Store.open(tmp_path / "data").fingerprint() == before


def test_a_market_that_goes_on_is_asked_from_its_newest_row(small: Small, tmp_path: Path) -> None:
    small.tick(at("10T10:05"))
    small.add_market(
        A, status="active", result="", settlement_value_dollars=None, settlement_ts=None
    )
    small.candles["live"][A] = [candle(f"2026-09-10T10:0{n}:00Z") for n in (1, 2, 3)]
    small.trades["live"][A] = [trade(A, "2026-09-10T10:02:10Z", "one")]
    run(small, tmp_path)
    small.tick(at("10T10:09"))
    small.candles["live"][A].append(candle("2026-09-10T10:08:00Z"))
    small.trades["live"][A].append(trade(A, "2026-09-10T10:02:11Z", "two"))
    report = run(small, tmp_path)
    windows = {path.rpartition("/")[2]: q for path, q in small.local.asked}
    assert int(windows["candlesticks"]["start_ts"]) > at("10T10:01").timestamp()
    assert report.tables["candles"].added == report.tables["trades"].added == 1
    assert read(tmp_path, "coverage").filter(pl.col("table") != "markets")["final"].any() is False


def test_late_and_corrected_results_come_with_a_later_run(settled: Small, tmp_path: Path) -> None:
    late = settled.add_market("KXA-LATE-1", status="closed", result="", settlement_ts=None)
    late["settlement_value_dollars"] = None
    run(settled, tmp_path)
    assert read(tmp_path, "settlements")["ticker"].to_list() == [A]
    settled.tick(settled.now + timedelta(days=30))
    late |= {"status": "finalized", "result": "yes", "settlement_value_dollars": "1.0000"}
    late |= {"settlement_ts": "2026-09-25T00:00:00Z"}
    settled.markets["live"][0] |= {
        "result": "no",
        "settlement_value_dollars": "0.0000",
        "settlement_ts": "2026-10-01T00:00:00Z",
        "updated_time": "2026-10-01T00:00:00Z",
    }
    report = run(settled, tmp_path)
    assert report.tables["settlements"] == Counts(added=1, updated=1)
    assert "1 settlements were replaced by others; what stood before is in revisions" in (
        report.warnings
    )
    paid = dict(read(tmp_path, "settlements").select("ticker", "result").iter_rows())
    assert paid == {A: "no", "KXA-LATE-1": "yes"}


def test_an_unsettled_market_that_was_archived_is_found_there(
    settled: Small, tmp_path: Path
) -> None:
    market = settled.markets["live"][0]
    market |= {"status": "closed", "result": "", "settlement_value_dollars": None}
    market["settlement_ts"] = None
    run(settled, tmp_path)
    settled.markets["live"].clear()
    market |= {"status": "finalized", "result": "yes", "settlement_ts": "2026-09-11T00:00:00Z"}
    settled.markets["historical"].append(market)
    run(settled, tmp_path)
    assert read(tmp_path, "settlements")["result"].to_list() == ["yes"]


def test_a_market_that_vanished_unsettled_is_told_and_asked_for_no_further_than_its_close(
    settled: Small, tmp_path: Path
) -> None:
    settled.markets["live"][0] |= {"status": "closed", "result": "", "settlement_ts": None}
    run(settled, tmp_path)
    settled.markets["live"].clear()
    settled.candles["live"].clear()
    report = run(settled, tmp_path)
    assert report.warnings == ("1 unsettled markets of KXA are gone from the exchange",)
    ends = {int(q["end_ts"]) for path, q in settled.local.asked if "candlesticks" in path}
    assert ends == {int(at("10T10:15:59").timestamp())}


def test_an_earlier_start_fetches_only_what_is_before(settled: Small, tmp_path: Path) -> None:
    run(settled, tmp_path, start=at("10T10:05"))
    assert read(tmp_path, "candles").height == read(tmp_path, "trades").height == 1
    report = run(settled, tmp_path, start=at("10T10:01:40"))
    ends = [int(q["end_ts"]) for path, q in settled.local.asked if "candlesticks" in path]
    assert ends == [int(at("10T10:05").timestamp())]
    assert report.tables["candles"].added == 1
    assert report.tables["trades"].added == 1
    run(settled, tmp_path)
    assert read(tmp_path, "candles").height == read(tmp_path, "trades").height == 3
    assert not run(settled, tmp_path).tables["markets"].updated
    assert not settled.local.paths("candlesticks")


def test_a_later_end_fetches_only_what_is_after(settled: Small, tmp_path: Path) -> None:
    run(settled, tmp_path, start=at("10T10:00"), end=at("10T10:02"))
    assert read(tmp_path, "candles").height == 2
    report = run(settled, tmp_path, start=at("10T10:00"))
    assert report.tables["candles"].added == 1
    assert report.tables["trades"].added == 2


def test_markets_that_did_not_trade_within_the_span_are_left_out(
    settled: Small, tmp_path: Path
) -> None:
    span = {"start": at("10T10:15"), "end": at("10T12:00")}
    run(settled, tmp_path, **span)
    assert read(tmp_path, "markets").is_empty()
    run(settled, tmp_path, start=at("09T00:00"), end=at("10T10:00"))
    assert read(tmp_path, "markets").is_empty()


# --- windows and tiers ----------------------------------------------------------------------------


def test_long_windows_are_split_and_no_bar_comes_twice(small: Small, tmp_path: Path) -> None:
    opens, days = DAY - timedelta(days=9), 9
    small.add_market(A, open_time=stamp(opens), close_time=stamp(DAY))
    minutes = [1, 4998, 4999, 5000, 5001, 9997, 9998, 9999, 60 * 24 * days]
    times = [opens + timedelta(minutes=n) for n in minutes]
    small.candles["live"][A] = [candle(stamp(time)) for time in times]
    report = run(small, tmp_path, what=["candles"])
    assert len(small.local.paths("candlesticks")) == 3
    assert report.tables["candles"] == Counts(added=len(times))
    assert read(tmp_path, "candles")["time"].to_list() == times


def test_a_bar_sent_twice_is_stored_once_and_a_contradiction_set_aside(
    settled: Small, tmp_path: Path
) -> None:
    bars = settled.candles["live"][A]
    bars += [bars[0], candle("2026-09-10T10:02:00Z", "0.5900")]
    report = run(settled, tmp_path)
    assert read(tmp_path, "candles")["price_close"].to_list() == [5100, 5200, 5900]
    assert report.quarantined == {"candles": {"duplicate_key": 1}}


def test_a_bar_that_has_not_ended_is_left_for_later(settled: Small, tmp_path: Path) -> None:
    settled.tick(at("10T10:08:30"))
    settled.markets["live"][0]["status"] = "active"
    run(settled, tmp_path)
    assert read(tmp_path, "candles")["time"].max() == at("10T10:02")


def test_bars_and_trades_of_both_tiers_are_joined(small: Small, tmp_path: Path) -> None:
    small.cutoff = at("10T10:05")
    old, both = "KXA-OLD-1", A
    small.add_market(
        old,
        tier="historical",
        settlement_ts="2026-09-10T10:04:00Z",
        close_time="2026-09-10T10:03:00Z",
    )
    small.add_market(both)
    small.candles["historical"][old] = [
        candle("2026-09-10T10:01:00Z")
        | {"volume": "2.00", "open_interest": "3.00"}
        | {
            side: {"open": "0.4", "high": "0.4", "low": "0.4", "close": "0.4"}
            for side in ("yes_bid", "yes_ask", "price")
        }
    ]
    small.candles["live"][both] = [candle("2026-09-10T10:06:00Z")]
    overlapping = trade(both, "2026-09-10T10:05:30Z", "both")
    small.trades["historical"] = {
        old: [trade(old, "2026-09-10T10:02:00Z", "old")],
        both: [trade(both, "2026-09-10T10:01:00Z", "early"), overlapping],
    }
    small.trades["live"] = {both: [overlapping, trade(both, "2026-09-10T10:06:00Z", "late")]}
    run(small, tmp_path)
    assert sorted(read(tmp_path, "trades")["trade_id"]) == ["both", "early", "late", "old"]
    assert dict(read(tmp_path, "candles").select("ticker", "price_close").iter_rows()) == {
        old: 4000,
        both: 5000,
    }
    assert small.local.asked[0][0] == "/historical/cutoff"


def test_bars_of_a_market_that_moved_meanwhile_are_found_in_the_other_tier(
    settled: Small, tmp_path: Path
) -> None:
    settled.candles["historical"][A] = settled.candles["live"].pop(A)
    run(settled, tmp_path)
    assert read(tmp_path, "candles").height == 3


def test_many_pages_of_trades_are_read_to_the_end(settled: Small, tmp_path: Path) -> None:
    tape = [trade(A, f"2026-09-10T10:{n // 60:02d}:{n % 60:02d}Z", f"{n}") for n in range(1, 900)]
    settled.trades["live"][A] = tape
    settled.page = 100
    run(settled, tmp_path)
    assert read(tmp_path, "trades").height == 899
    assert len(settled.local.paths("/markets/trades")) == 9


# --- what stops a run -----------------------------------------------------------------------------


def test_a_cursor_that_loops_is_an_error(settled: Small, tmp_path: Path) -> None:
    turns = itertools.count()
    settled.local.answers["/markets/trades"] = lambda _: {
        "trades": [trade(A, "2026-09-10T10:01:00Z", f"id-{next(turns)}")],
        "cursor": "again",
    }
    with pytest.raises(DataError, match="cursor leads nowhere"):
        run(settled, tmp_path)


def test_a_page_that_repeats_is_an_error(settled: Small, tmp_path: Path) -> None:
    turns = itertools.count()
    settled.local.answers["/markets/trades"] = lambda _: {
        "trades": [trade(A, "2026-09-10T10:01:00Z", "the same")],
        "cursor": f"{next(turns)}",
    }
    with pytest.raises(DataError, match="a page came twice"):
        run(settled, tmp_path)


def test_empty_pages_without_end_are_an_error(settled: Small, tmp_path: Path) -> None:
    turns = itertools.count()
    settled.local.answers["/markets/trades"] = lambda _: {
        "trades": [],
        "cursor": f"{next(turns)}",
    }
    with pytest.raises(DataError, match="cursor leads nowhere"):
        run(settled, tmp_path)


def test_one_row_without_what_it_needs_is_set_aside(settled: Small, tmp_path: Path) -> None:
    del settled.trades["live"][A][1]["trade_id"]
    settled.candles["live"][A][0]["yes_bid"] = None
    report = run(settled, tmp_path)
    assert report.quarantined == {"candles": {"null_value": 1}, "trades": {"null_value": 1}}
    assert read(tmp_path, "trades").height == read(tmp_path, "candles").height == 2
    bad = read(tmp_path, "quarantine").row(by_predicate=pl.col("table") == "trades", named=True)
    assert (bad["row"], bad["found"]) == (1, "trade_id is absent")
    assert bad["source"].startswith(f"/markets/trades?limit=1000&ticker={A}&")


def test_a_row_that_fails_a_check_is_set_aside(settled: Small, tmp_path: Path) -> None:
    settled.trades["live"][A][0]["yes_price_dollars"] = "1.0000"
    settled.candles["live"][A][0]["yes_bid"]["high_dollars"] = "0.7000"
    report = run(settled, tmp_path)
    assert report.quarantined == {"candles": {"crossed": 1}, "trades": {"trade_at_limit": 1}}


def test_a_page_of_which_nothing_can_be_read_stops_the_run(settled: Small, tmp_path: Path) -> None:
    for row in settled.trades["live"][A]:
        row["amount"] = row.pop("count_fp")
    with pytest.raises(DataError, match="no row of 3 can be read") as told:
        run(settled, tmp_path)
    assert "(null_value: count_fp|count is absent); the exchange changed" in str(told.value)
    assert "\n" not in str(told.value)
    assert read(tmp_path, "trades").is_empty()


def test_one_bad_row_alone_is_no_change_of_format(settled: Small, tmp_path: Path) -> None:
    other = "KXA-26SEP101015-99"
    settled.add_market(other)
    settled.trades["live"][other] = [trade(other, "2026-09-10T10:01:00Z", "x") | {"count_fp": None}]
    report = run(settled, tmp_path, concurrency=1)
    assert report.quarantined == {"trades": {"null_value": 1}}


def test_unknown_fields_are_told_once(settled: Small, tmp_path: Path) -> None:
    for row in settled.trades["live"][A]:
        row["fresh"] = 1
    settled.markets["live"][0]["newer"] = {}
    report = run(settled, tmp_path)
    assert report.unknown_fields == ("market.newer", "trade.fresh")
    assert [note for note in report.warnings if "not known here" in note] == [
        "the exchange sends fields that are not known here: market.newer, trade.fresh"
    ]


def test_block_trades_are_left_out_and_counted(settled: Small, tmp_path: Path) -> None:
    settled.trades["live"][A][0]["is_block_trade"] = True
    report = run(settled, tmp_path)
    assert read(tmp_path, "trades").height == 2
    assert report.warnings == ("1 block trades are left out: they print off the book",)


def test_what_came_before_a_failure_is_kept_and_the_next_run_goes_on(
    settled: Small, tmp_path: Path
) -> None:
    names = [f"KXA-26SEP102000-{n:02d}" for n in range(40)]
    for name in names:
        settled.add_market(name)
        settled.trades["live"][name] = [trade(name, "2026-09-10T10:01:00Z", "x")]
    whole = settled.local.answers["/markets/trades"]

    def fails(query: dict[str, str]) -> Any:
        return Raw(400, b'{"error":"no"}') if query["ticker"] == names[30] else whole(query)

    settled.local.answers["/markets/trades"] = fails
    with pytest.raises(DataError, match="400 no"):
        run(settled, tmp_path, what=["trades"], concurrency=1)
    kept = read(tmp_path, "trades").height
    assert kept >= 30
    settled.local.answers["/markets/trades"] = whole
    report = run(settled, tmp_path, what=["trades"], concurrency=1)
    assert report.tables["trades"].unchanged == 0
    assert len(settled.local.paths("/markets/trades")) == 43 - kept
    assert read(tmp_path, "trades").height == 43


def test_ctrl_c_leaves_what_was_read_and_the_next_run_goes_on(
    settled: Small, tmp_path: Path
) -> None:
    names = [f"KXA-26SEP102000-{n:02d}" for n in range(20)]
    for name in names:
        settled.add_market(name)
        settled.trades["live"][name] = [trade(name, "2026-09-10T10:01:00Z", "x")]
    calls = itertools.count()

    def interrupt(_progress: object) -> None:
        if next(calls) == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settled, tmp_path, what=["trades"], on_progress=interrupt)
    Store.open(tmp_path / "data").verify()
    assert 0 < read(tmp_path, "trades").height < 23
    run(settled, tmp_path, what=["trades"])
    assert read(tmp_path, "trades").height == 23


def test_two_runs_give_the_same_dataset(settled: Small, tmp_path: Path) -> None:
    prints = set()
    for name, workers in (("one", 1), ("two", 8)):
        run(settled, tmp_path / name, concurrency=workers)
        prints.add(Store.open(tmp_path / name / "data").fingerprint())
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"series": []}, "name the series"),
        ({"series": "KXA"}, "name the series"),
        ({"what": ["candels"]}, "did you mean 'candles'"),
        ({"period": 300}, "1m, 1h and 1d, not of 300 seconds"),
        ({"env": "live"}, "unknown environment"),
        ({"concurrency": 0}, "at least one request"),
        ({"start": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"start": DAY, "end": DAY}, "not after its start"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_asked(
    small: Small, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        run(small, tmp_path, **options)
    assert small.local.asked == []
