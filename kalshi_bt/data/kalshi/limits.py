"""How fast one may ask: a token bucket that many threads share."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

COST = 10  # tokens of an ordinary request


@dataclass(frozen=True)
class Limit:
    """What an account may ask.

    Attributes
    ----------
    rate : float
        Tokens that come back each second; an ordinary request costs `COST`.
    capacity : float
        Tokens that can be saved up.
    """

    rate: float
    capacity: float


# Without a key the limit is not published; from some four requests a second on, some are refused.
PUBLIC = Limit(rate=30, capacity=30)
BASIC = Limit(rate=200, capacity=200)


class TokenBucket:
    """A bucket of tokens; whoever takes more than it holds waits until they have come back.

    Parameters
    ----------
    limit : Limit, optional
        Without one nobody waits, except for a pause the exchange asked for.
    clock : callable
        Seconds, never going back.
    sleep : callable
        Waits for a number of seconds.

    Examples
    --------
    >>> waits = []
    >>> bucket = TokenBucket(Limit(rate=10, capacity=10), clock=lambda: 0.0, sleep=waits.append)
    >>> bucket.take(), bucket.take()
    (None, None)
    >>> waits
    [1.0]
    """

    def __init__(
        self,
        limit: Limit | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._seen = clock()
        self._tokens = limit.capacity if limit else 0.0
        self._held_until = self._seen

    def set(self, limit: Limit) -> None:
        """Go on with another limit, and a full bucket."""
        with self._lock:
            self._limit, self._tokens, self._seen = limit, limit.capacity, self._clock()

    def take(self, tokens: float = COST) -> None:
        """Take tokens, and wait until they were there."""
        wait = self._reserve(tokens)
        if wait > 0:
            self._sleep(wait)

    def hold(self, seconds: float) -> None:
        """Let nobody pass for a while; who waits already is not called back."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def _reserve(self, tokens: float) -> float:
        """Take tokens, if need be ones that are still to come; return the seconds until then."""
        with self._lock:
            now = self._clock()
            wait = max(0.0, self._held_until - now)
            if self._limit is None:
                return wait
            back = (now - self._seen) * self._limit.rate
            self._tokens = min(self._limit.capacity, self._tokens + back) - tokens
            self._seen = now
            return max(wait, -self._tokens / self._limit.rate)
