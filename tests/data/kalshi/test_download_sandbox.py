"""Against the sandbox exchange: what comes out is what was served, whatever goes wrong."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from local_exchange import QUICK
from polars.testing import assert_frame_equal

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.download import DownloadReport, download
from kalshi_bt.data.kalshi.download_rows import MOST_ANSWERS
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError

pytestmark = pytest.mark.slow

sandbox = pytest.importorskip("live_adapter.sandbox")

SERIES = ("SYNBTC15M", "SYNGAME", "SYNHIGH")
MIDDAY = datetime(2026, 5, 4, 20, 30, tzinfo=UTC)
TABLES = ("series", "event_fees", "markets", "settlements", "candles", "trades")
NOTHING: Mapping[str, tuple[str, ...]] = {}
IN_2025 = {  # the exchange did not say when it paid, nor parts of a contract
    "settlements": ("time",),
    "candles": ("volume", "open_interest"),
    "trades": ("quantity",),
}


@pytest.fixture(scope="module")
def served(one_day: Path) -> Store:
    return Store.open(one_day)


@pytest.fixture(scope="module")
def exchange(served: Store) -> Iterator[Any]:
    with sandbox.Exchange(served) as found:
        yield found


def run(exchange: Any, into: Path, *series: str, **options: Any) -> DownloadReport:
    names = series or ("SYNGAME",)
    return download(into, series=names, base_url=exchange.url, **{"retry": QUICK, **options})


def rows(store: Store, table: str, *series: str) -> pl.DataFrame:
    """Return what a store has of some series; what the exchange has no word for is left out."""
    frame = store.read(table)
    wanted = series or ("SYNGAME",)
    if table == "markets":
        # An unset truth value of the dataset is told as false: the field is never absent.
        frame = frame.with_columns(pl.col("can_close_early").fill_null(value=False))
    name = {"series": "series", "event_fees": "event"}.get(table, "ticker")
    kept = frame.filter(pl.col(name).str.extract("^([^-]+)").is_in(list(wanted)))
    return kept.filter(pl.col("period") == 60) if table == "candles" else kept


def assert_served(
    served: Store,
    into: Path,
    *series: str,
    unsaid: Mapping[str, tuple[str, ...]] = NOTHING,
) -> None:
    found = Store.open(into)
    for table in TABLES:
        left, right = (rows(store, table, *series) for store in (found, served))
        left_out = unsaid.get(table, ())
        assert_frame_equal(left.drop(left_out), right.drop(left_out))


def test_what_comes_out_is_what_was_served(served: Store, exchange: Any, tmp_path: Path) -> None:
    report = run(exchange, tmp_path / "all", *SERIES)
    assert_served(served, tmp_path / "all", *SERIES)
    assert (report.unknown_fields, report.quarantined) == ((), {})


@pytest.mark.parametrize("shape", ["dollars", "both"])
@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(hours=2)])
def test_both_tiers_in_every_shape_give_the_same(
    served: Store, tmp_path: Path, shape: str, overlap: timedelta
) -> None:
    with sandbox.Exchange(served, cutoff=MIDDAY, overlap=overlap, shape=shape) as exchange:
        run(exchange, tmp_path / "data")
        asked = exchange.requests()
    assert_served(served, tmp_path / "data", unsaid=IN_2025 if shape == "both" else NOTHING)
    assert asked["/historical/trades"] > 0
    assert asked["/markets/trades"] > 0


def test_a_second_run_asks_little_and_changes_nothing(exchange: Any, tmp_path: Path) -> None:
    run(exchange, tmp_path / "data")
    before = Store.open(tmp_path / "data").fingerprint()
    exchange.forget_requests()
    report = run(exchange, tmp_path / "data")
    found = Store.open(tmp_path / "data")
    going_on = found.read("markets").height - found.read("settlements").height
    assert going_on == 2
    assert sum(exchange.requests().values()) == report.requests == 6 + 2 * going_on
    assert Store.open(tmp_path / "data").fingerprint() == before


def test_runs_from_hour_to_hour_add_up_to_one(served: Store, tmp_path: Path) -> None:
    first = MIDDAY - timedelta(hours=6)
    with sandbox.Exchange(served, now=first) as exchange:
        for _ in range(4):
            run(exchange, tmp_path / "data")
            exchange.now += timedelta(hours=3, minutes=7)
        exchange.now = MIDDAY + timedelta(days=3)
        report = run(exchange, tmp_path / "data")
        assert report.tables["settlements"].added > 0
    assert_served(served, tmp_path / "data")


def test_nothing_of_the_future_is_stored(served: Store, tmp_path: Path) -> None:
    with sandbox.Exchange(served, now=MIDDAY) as exchange:
        run(exchange, tmp_path / "data")
    found = Store.open(tmp_path / "data")
    for table in ("candles", "trades", "settlements"):
        assert found.read(table)["time"].max() <= MIDDAY  # type: ignore[operator]


@pytest.mark.parametrize(
    "fault",
    [
        "429:every=5,retry_after=0",
        "429:every=6,retry_after=none",
        "500:every=4",
        "503:every=5",
        "cut:every=4",
        "malformed:every=5",
        "slow:every=20,seconds=0.5",
    ],
)
def test_faults_that_pass_leave_no_trace(
    served: Store, exchange: Any, tmp_path: Path, fault: str
) -> None:
    exchange.set_faults(fault)
    try:
        # Of requests under way at once one may meet the fault several times in a row.
        patient = replace(QUICK, attempts=20)
        slow = 0.3 if "slow" in fault else 30.0
        run(exchange, tmp_path / "data", timeout=slow, retry=patient)
    finally:
        exchange.set_faults()
    assert_served(served, tmp_path / "data")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("503", "failed 4 times: 503"),
        ("broken:path=/markets", "no row of"),
        ("broken:path=*/candlesticks", "no row of"),
    ],
)
def test_faults_that_stay_are_told_in_one_line(
    exchange: Any, tmp_path: Path, fault: str, told: str
) -> None:
    exchange.set_faults(fault)
    try:
        with pytest.raises(DataError, match=told) as error:
            run(exchange, tmp_path / "data")
    finally:
        exchange.set_faults()
    assert "\n" not in str(error.value)


def test_fields_nobody_knows_are_told(exchange: Any, tmp_path: Path) -> None:
    exchange.set_faults("unknown:path=/markets/trades")
    try:
        report = run(exchange, tmp_path / "data")
    finally:
        exchange.set_faults()
    assert report.unknown_fields == ("trade.sandbox_unknown",)


def test_a_missing_field_costs_its_row_only(served: Store, exchange: Any, tmp_path: Path) -> None:
    exchange.set_faults("missing:path=/markets/trades,field=count_fp,first=1")
    try:
        report = run(exchange, tmp_path / "data")
    finally:
        exchange.set_faults()
    assert report.quarantined == {"trades": {"null_value": 1}}
    found = Store.open(tmp_path / "data").read("trades")
    assert found.height == rows(served, "trades").height - 1


def test_signed_questions_are_accepted_and_the_limits_read(served: Store, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    limits = sandbox.Limits(read=(100_000, 100_000))
    with sandbox.Exchange(served, key=key.public_key(), limits=limits) as exchange:
        run(exchange, tmp_path / "data", credentials=Credentials("a-key", key))
        assert exchange.requests()["/account/limits"] == 1
        other = Credentials("a-key", Ed25519PrivateKey.generate())
        with pytest.raises(DataError, match="check the key"):
            run(exchange, tmp_path / "other", credentials=other)


PROGRAM = """
import sys
from datetime import datetime
from kalshi_bt.data.kalshi.download import download
end = datetime.fromisoformat(sys.argv[3])
download(sys.argv[1], series=["SYNBTC15M"], base_url=sys.argv[2], end=end, concurrency=1)
"""


def test_a_killed_run_goes_on_where_it_was(served: Store, tmp_path: Path) -> None:
    until = datetime(2026, 5, 4, 12, tzinfo=UTC)
    with sandbox.Exchange(served, faults=["slow:seconds=0.01"]) as exchange:
        needed = run(exchange, tmp_path / "whole", "SYNBTC15M", end=until).requests
        asked: list[int] = []
        for upto in (needed // 2, needed // 3):
            exchange.forget_requests()
            into = str(tmp_path / "data")
            words = [sys.executable, "-c", PROGRAM, into, exchange.url, until.isoformat()]
            with subprocess.Popen(words, cwd=Path(__file__).parents[3]) as process:
                while sum(exchange.requests().values()) < upto and process.poll() is None:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
            asked.append(sum(exchange.requests().values()))
            Store.open(tmp_path / "data").verify()
        exchange.set_faults()
        asked.append(run(exchange, tmp_path / "data", "SYNBTC15M", end=until).requests)
    # Each start asks for the lists again, and for what was on its way and not yet committed.
    assert sum(asked) < needed + 2 * (10 + MOST_ANSWERS)
    assert asked[-1] < needed
    found, whole = (Store.open(tmp_path / name) for name in ("data", "whole"))
    assert found.fingerprint() == whole.fingerprint()
    assert found.read("trades").height > 500
