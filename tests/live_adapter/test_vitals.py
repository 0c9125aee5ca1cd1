"""What an operator is told of a session: how long decisions took, silence, counts."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.errors import DataError
from live_adapter import vitals
from live_adapter.clock import StreamClock
from live_adapter.desk import Pulse
from live_adapter.journal import Entry
from live_adapter.latency import Latencies, Latency
from live_adapter.moments import BARS, NO_INTENTS, Moment, Resumed
from live_adapter.paper import Step
from live_adapter.vitals import Vitals

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Told:
    """A source that says what a test wants it to."""

    name, period = "told", 60
    sources: Sequence[str] = ()
    listens = True
    came = NOON, NOON
    heard: datetime | None = NOON
    tell: Callable[[list[Entry]], object] = staticmethod(lambda _: None)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def moments(self, after: datetime | None) -> Any:
        raise NotImplementedError

    def pulse(self, time: datetime) -> Pulse:
        return Pulse(time)

    def adopt(self, resumed: Resumed) -> None:
        raise NotImplementedError

    def health(self) -> dict[str, Any]:
        return {"feed": "up", "depth": 3, **self.counts}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is logged."""
    found: list[tuple[str, dict[str, Any]]] = []

    def keep(event: str, _: str, **fields: Any) -> None:
        found.append((event, fields))

    monkeypatch.setattr(vitals, "note", keep)
    monkeypatch.setattr(vitals, "warn", keep)
    return found


def closed(time: datetime) -> Step:
    row = {name: [None] for name in BARS} | {"ticker": ["S-A"], "time": [time]}
    return Step(Moment(time, bars=pl.DataFrame(row, schema=dict(BARS))), NO_INTENTS, NO_INTENTS)


def test_quantiles_are_those_of_all_times_within_one_percent() -> None:
    spans = np.random.Generator(np.random.Philox(3)).lognormal(3, 1.5, 2_000)
    counted = Latency()
    for span in spans.tolist():
        counted.add(timedelta(milliseconds=span))
    found = counted.summary()
    assert found is not None
    for name, level in (("p50", 0.5), ("p99", 0.99)):
        true = np.quantile(spans, level, method="inverted_cdf")
        assert true * 0.999 <= found[name] <= true * 1.0101
    assert found["max"] == pytest.approx(spans.max(), abs=1e-3)
    assert found["count"] == 2_000
    assert len(counted.told()["counts"]) < 1_500  # in little memory, however many there were
    assert Latency.of(counted.told()).summary() == found


@pytest.mark.parametrize(
    "told", [None, [], {}, {"counts": [["a", 1]], "longest": 2}, {"counts": 3}]
)
def test_latencies_that_cannot_be_read_begin_anew(told: object, tmp_path: Path) -> None:
    assert Latency.of(told).summary() is None
    (tmp_path / "latency.json").write_text("{")
    assert Latencies(tmp_path).summary() == {"decision_latency_ms": None, "decision_work_ms": None}


def test_a_decision_is_timed_from_the_bars_close_and_from_what_closed_it(
    tmp_path: Path, said: list[tuple[str, dict[str, Any]]]
) -> None:
    source, clock = Told(), StreamClock(NOON)
    watched = Vitals(source, clock, tmp_path, 90 * SECOND)
    # The timer of a bar that ended at noon came a quarter of a second later, by a clock that goes
    # two minutes ahead of this machine's; the last order was written 10 ms after that.
    source.came = NOON + SECOND / 4, NOON - 120 * SECOND
    clock = StreamClock(NOON - 120 * SECOND + SECOND / 100)
    watched._clock = clock
    watched.take(closed(NOON))
    found = watched.latencies.summary()
    assert found["decision_latency_ms"]["max"] == pytest.approx(260)
    assert found["decision_work_ms"]["max"] == pytest.approx(10)
    assert not said
    clock.advance(NOON)  # two minutes of work
    watched.take(closed(NOON))
    [(event, fields)] = said
    assert (event, fields["markets"]) == ("slow_close", 1)
    watched.count()
    again = Latencies(tmp_path).summary()  # as a session that goes on finds it
    assert again == watched.latencies.summary()
    assert again["decision_work_ms"]["count"] == 2


def test_of_a_replay_no_time_is_taken(tmp_path: Path) -> None:
    source = Told()
    source.listens = False
    watched = Vitals(source, StreamClock(NOON), tmp_path, 90 * SECOND)
    watched.take(closed(NOON))
    watched.beat()
    watched.ended("over")
    assert watched.latencies.summary()["decision_latency_ms"] is None
    assert not list(tmp_path.iterdir())


def test_silence_is_told_when_it_begins_and_when_it_ends(
    tmp_path: Path, said: list[tuple[str, dict[str, Any]]]
) -> None:
    source, clock = Told(), StreamClock(NOON)
    watched = Vitals(source, clock, tmp_path, 20 * SECOND)
    for seconds in range(1, 50):
        clock.advance(NOON + seconds * SECOND)
        if seconds == 40:
            source.heard = clock.now()
        watched.beat()
    assert [event for event, _ in said] == ["feed_stale", "feed_fresh"]
    assert said[1][1]["seconds"] == 40


def test_every_minute_it_is_told_what_came_since_the_last(
    tmp_path: Path, said: list[tuple[str, dict[str, Any]]]
) -> None:
    source, clock = Told(), StreamClock(NOON)
    watched = Vitals(source, clock, tmp_path, 900 * SECOND)
    for seconds in range(1, 181):
        clock.advance(NOON + seconds * SECOND)
        source.counts["type:trade"] += 2
        source.counts["rest:429"] = 3 if seconds > 100 else 0
        watched.beat()
    counts = [fields for event, fields in said if event == "counts"]
    assert [c["new"] for c in counts] == [
        {"type:trade": 120},
        {"rest:429": 3, "type:trade": 120},
        {"type:trade": 120},
    ]
    assert counts[0]["depth"] == 3
    assert [fields for event, fields in said if event == "throttled"] == [{"count": 3}]


def test_the_cause_of_an_end_is_told_and_a_strange_error_by_its_kind_alone(
    tmp_path: Path, said: list[tuple[str, dict[str, Any]]]
) -> None:
    watched = Vitals(Told(), StreamClock(NOON), tmp_path, SECOND)
    for error in (DataError("no disk"), ValueError("a planted secret")):
        with pytest.raises(type(error)), watched.until_ended():
            raise error
    causes = [fields["cause"] for event, fields in said if event == "session_end"]
    assert causes == ["DataError: no disk", "ValueError"]
