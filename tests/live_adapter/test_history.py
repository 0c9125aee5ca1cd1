"""A dataset beside a session tells outside series once they are known, and what is written late."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from papered import planned

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from live_adapter.history import History, own_past

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def valued(*rows: tuple[float, float]) -> dict[str, pl.DataFrame]:
    """Return valuations of one market: minutes after noon, dollars."""
    told = [("valuation", "S-E-A", "fair", NOON + m * MINUTE, value, None) for m, value in rows]
    return {"references": pl.DataFrame(told, schema=schema.REFERENCES.columns, orient="row")}


def test_what_is_written_while_a_session_runs_is_known_when_it_is_there(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "said", name="said")
    store.commit(valued((1, 0.1), (2, 0.2), (9, 0.9)))
    plan = planned("event_value", tmp_path / "said")
    history = History(tmp_path / "said", plan, 60, tmp_path)

    def told(after: float | None, until: float) -> list[tuple[float, float]]:
        since = None if after is None else NOON + after * MINUTE
        found = history.known(since, NOON + until * MINUTE)
        times = ((row[0] - NOON) / MINUTE for row in found.select("time").rows())
        return list(zip(times, found["value"], strict=True))

    assert history.sources == ("valuation",)
    assert told(None, 1) == [(1, 0.1)]
    assert told(1, 3) == [(2, 0.2)]
    assert told(3, 4) == []
    store.commit(
        valued((3.5, 0.35), (3.6, 0.36), (4.5, 0.45))
    )  # two of them for a time that is over
    assert told(4, 5) == [(4.5, 0.45), (5, 0.36)]
    assert told(5, 10) == [(9, 0.9)]


def test_a_replay_from_a_time_on_begins_with_what_the_dataset_held_before(
    one_day: Path, tmp_path: Path
) -> None:
    """Of the first half hour two quarters are over, and what they paid is known."""
    begin = datetime(2026, 5, 4, 4, tzinfo=UTC)  # of the sample
    plan = planned("longshot", one_day, start="2026-05-04T04:31:00Z", series="SYNBTC15M")
    history = own_past(one_day, plan, 60, tmp_path)
    assert history is not None
    past = history(begin + 32 * MINUTE)
    assert past is not None
    assert past.visits["time"].is_between(begin, begin + 31 * MINUTE).sum() > 3
    assert past.settled["close_time"].to_list() == [begin + 15 * MINUTE, begin + 30 * MINUTE]
    whole = planned("longshot", one_day, series="SYNBTC15M")
    assert own_past(one_day, whole, 60, tmp_path) is None
    assert own_past(tmp_path / "frames.jsonl", plan, 60, tmp_path) is None
