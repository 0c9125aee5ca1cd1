"""Moments survive their log to the last bit, and what is dropped of the past is not missed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from papered import planned

from kalshi_bt import schema
from kalshi_bt.data.asof import Reference, as_of
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from live_adapter.log import MomentLog
from live_adapter.moments import TABLES, Moment, from_json, to_json
from live_adapter.outside import Outside
from live_adapter.panels import replay
from live_adapter.trader import Trader

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def same(one: Moment, other: Moment) -> bool:
    frames = all(getattr(one, name).equals(getattr(other, name)) for name in TABLES)
    schemas = all(getattr(one, name).schema == getattr(other, name).schema for name in TABLES)
    return frames and schemas and (one.time, one.closes) == (other.time, other.closes)


def test_a_moment_comes_back_from_its_line(one_day: Path) -> None:
    plan = planned("kelly_volatility", one_day, end="2026-05-04T04:30:00Z")
    moments = list(replay(Store.open(one_day), plan).moments())
    assert {name for moment in moments for name in TABLES if getattr(moment, name).height} >= {
        "listed", "bars", "settled", "references", "series",
    }  # fmt: skip
    for moment in moments:
        assert same(from_json(to_json(moment)), moment)


def test_numbers_and_absences_come_back_bit_for_bit() -> None:
    awkward = [0.1 + 0.2, 1e-300, -0.0, 5e22, None]
    rows = {"source": "s", "symbol": "x", "field": "f", "value": awkward, "text": None}
    told = pl.DataFrame(rows, schema_overrides={"text": pl.String}).with_columns(
        time=pl.lit(NOON, schema.Time) + pl.duration(microseconds=pl.int_range(5))
    )
    moment = Moment(NOON, closes={"A": NOON}, references=told.select(list(TABLES["references"])))
    assert same(from_json(to_json(moment)), moment)


def test_sides_of_books_come_back_whether_unknown_empty_or_deep() -> None:
    sides: list[list[dict[str, int]] | None] = [None, [], [{"price": 9_999, "size": 10**12}]]
    sides.append([{"price": 4_400 - n, "size": n} for n in range(3)])
    rows = [(bids, asks) for bids in sides for asks in sides]
    told = pl.DataFrame(
        {
            "ticker": ["A"] * len(rows),
            "time": [NOON + timedelta(seconds=n) for n in range(len(rows))],
            "bids": [bids for bids, _ in rows],
            "asks": [asks for _, asks in rows],
        },
        schema=dict(TABLES["books"]),
    )
    for books in (told, told.head(1), told.slice(5, 1)):
        line = to_json(Moment(NOON, books=books))
        assert same(from_json(line), Moment(NOON, books=books))
    cells = json.loads(line)["books"]
    assert cells == [["A", 1_780_315_205_000_000, [], []]]


@pytest.mark.parametrize("line", [b"{}\n", b'{"time":1,"bars":[[1]]}\n', b"[1]\n", b"nothing\n"])
def test_a_log_that_was_changed_is_refused(tmp_path: Path, line: bytes) -> None:
    log = MomentLog(tmp_path)
    log.moment(Moment(NOON))
    path = next((tmp_path / "moments").iterdir())
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(DataError, match="changed"):
        list(MomentLog(tmp_path))


def test_a_log_of_several_days_is_one(tmp_path: Path) -> None:
    log = MomentLog(tmp_path)
    times = [NOON + timedelta(hours=9 * n) for n in range(6)]
    for time in times:
        log.moment(Moment(time))
    assert [moment.time for moment, _ in MomentLog(tmp_path)] == times
    assert len(list((tmp_path / "moments").iterdir())) == 3


def test_old_references_are_dropped_and_not_missed() -> None:
    """Told piece by piece, what is beside a bar is what the whole series says of it."""
    rng = np.random.Generator(np.random.Philox(11))
    count = 40_000
    seconds = np.sort(rng.uniform(0, 40_000, count))
    told = pl.DataFrame(
        {
            "source": rng.choice(["a", "b"], count),
            "symbol": rng.choice(["X", "Y"], count, p=[0.999, 0.001]),
            "field": "close",
            "value": rng.normal(size=count),
        }
    ).with_columns(
        time=pl.lit(NOON, schema.Time)
        + pl.duration(microseconds=pl.Series((seconds * 1e6).astype(np.int64))),
        text=pl.lit(None, pl.String),
    )
    told = told.select(list(TABLES["references"]))
    asked = (
        Reference("none,a", {"KXA": "X", "KXB": "Y"}, "close", "young", timedelta(seconds=90)),
        Reference("b", "Y", "close", "old", with_age=True),
    )
    markets = pl.DataFrame({"ticker": ["A", "B"], "series": ["KXA", "KXB"], "event": ["A", "B"]})
    outside, last = Outside(asked, ("a", "b")), NOON
    for minute in range(1, 600, 19):
        now = NOON + timedelta(minutes=minute)
        outside.learn(told.filter((pl.col("time") > last) & (pl.col("time") <= now)))
        last = now
        bars = pl.DataFrame({"market": [0, 1], "time": [now, now]}, schema_overrides={
            "market": pl.UInt32, "time": schema.Time})  # fmt: skip
        found = outside.beside(bars, markets, now)
        for reference, source in zip(asked, "ab", strict=True):
            known = told.filter(pl.col("source") == source).select("symbol", "time", "value")
            expected = as_of(bars, reference.symbols(markets), known, reference)
            assert found.select(expected.columns).equals(expected)
    assert sum(kept._rows.height for kept in outside._rows.values()) < count / 2


def test_settled_markets_leave_a_trader(one_day: Path) -> None:
    """A day of quarter hours: what is known of markets stays as large as what is traded."""
    plan = planned("longshot", one_day, end="2026-05-04T08:00:00Z")
    told = replay(Store.open(one_day), plan)
    trader = Trader(plan, told.period, sources=told.sources)
    listed, most = 0, 0
    for moment in told.moments():
        trader.take(moment)
        listed += moment.listed.height
        most = max(most, trader._windows.markets.height)
    assert listed > 20
    assert most <= listed - 12
