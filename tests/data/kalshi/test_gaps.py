"""What is known of a market stays one span, and grows to what is wanted without a hole."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.data.kalshi.download_listing import Wanted
from kalshi_bt.data.kalshi.download_market import Market, Side, Task, chunks
from kalshi_bt.data.kalshi.download_rows import Span

OPENS = datetime(2026, 9, 1, tzinfo=UTC)
HOURS = st.integers(-5, 60).map(lambda n: OPENS + timedelta(hours=n))
MAYBE = st.none() | HOURS


@given(
    known=st.none() | st.tuples(MAYBE, HOURS, st.booleans()),
    start=MAYBE,
    end=MAYBE,
    closes=st.integers(1, 40),
    settled=st.booleans(),
    period=st.sampled_from([0, 60, 3600]),
)
def test_gaps_join_what_is_known_and_reach_what_is_wanted(
    *,
    known: tuple[datetime | None, datetime, bool] | None,
    start: datetime | None,
    end: datetime | None,
    closes: int,
    settled: bool,
    period: int,
) -> None:
    close = OPENS + timedelta(hours=closes)
    wanted = Wanted(start, end, OPENS + timedelta(hours=50), OPENS, OPENS)
    market = Market("A-1", "A", OPENS, close, close if settled else None)
    span = None
    if known is not None and (known[0] is None or OPENS < known[0] < known[1]):
        span = Span(known[0], max(known[1], OPENS), final=known[2])
    task = Task(market, wanted, period, span)
    low = high = None
    if span is not None:
        low, high = span.start or OPENS, span.end
    for since, upto, side in task.gaps():
        assert since < upto
        if low is None or high is None:
            assert side is Side.NEW
            low, high = since, upto
        elif side is Side.LOWER:
            assert upto >= low  # no hole below what is known
            low = since
        else:
            assert since <= high  # no hole above it
            high = max(high, upto)
    if task.since < task.last:
        assert low is not None
        assert high is not None
        assert low <= task.since
        assert high >= task.last or (span is not None and span.final)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**5))
def test_windows_follow_each_other_and_none_is_too_long(first: int, length: int, most: int) -> None:
    start = OPENS + timedelta(seconds=first)
    end, step = start + timedelta(seconds=length), timedelta(seconds=max(most, length // 50))
    found = chunks(start, end, step)
    assert (found[0][0], found[-1][1]) == (start, end)
    assert all(low < high <= low + step for low, high in found)
    assert all(one[1] == two[0] for one, two in pairwise(found))
