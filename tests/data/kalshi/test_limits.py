"""Nobody gets more tokens than the account has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.data.kalshi.limits import Limit, TokenBucket


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@given(
    rate=st.integers(1, 1000),
    capacity=st.integers(10, 400),
    asks=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), max_size=40),
)
def test_never_more_than_the_bucket_and_what_flowed_back(
    rate: int, capacity: int, asks: list[tuple[float, int]]
) -> None:
    clock = Clock()
    bucket = TokenBucket(Limit(rate, capacity), clock=clock, sleep=clock.wait)
    taken = 0
    for pause, tokens in asks:
        clock.wait(pause)
        bucket.take(tokens)
        taken += tokens
        assert taken <= max(capacity, tokens) + rate * clock.now + 1e-6


def test_a_full_bucket_lets_a_burst_through_at_once() -> None:
    clock = Clock()
    bucket = TokenBucket(Limit(10, 30), clock=clock, sleep=clock.wait)
    for _ in range(3):
        bucket.take(10)
    assert clock.now == 0
    bucket.take(10)
    assert clock.now == pytest.approx(1)


@pytest.mark.parametrize("limit", [None, Limit(1000, 1000)])
def test_a_pause_holds_for_everybody(limit: Limit | None) -> None:
    clock = Clock()
    bucket = TokenBucket(limit, clock=clock, sleep=clock.wait)
    bucket.hold(5)
    bucket.take()
    assert clock.now == pytest.approx(5)


def test_another_limit_begins_with_a_full_bucket() -> None:
    clock = Clock()
    bucket = TokenBucket(Limit(1, 10), clock=clock, sleep=clock.wait)
    bucket.take(10)
    bucket.set(Limit(100, 20))
    bucket.take(20)
    assert clock.now == 0
