"""A connection to the exchange's WebSocket: signed, patient, and no word of a key anywhere."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from live_adapter.clock import Clock

SOCKETS = {
    "prod": "wss://external-api-ws.kalshi.com/trade-api/ws/v2",
    "demo": "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2",
}
_LARGEST = 64 * 2**20  # bytes of a message, the exchange's own limit
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_REFUSED = {401, 403}

# At its finest level the library logs the headers it sends, signatures among them.
_QUIET = logging.getLogger(f"{__name__}.websockets")
_QUIET.setLevel(logging.INFO)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for what, in seconds.

    Attributes
    ----------
    first, longest, jitter : float
        The first wait before another connection is tried (it doubles), the longest, and the part of
        it that chance takes off.
    strange : int
        Times an address is tried that never answered.
    answer : float
        Until a command must be answered, or the connection is given up.
    silence : float
        Without any message, until the exchange is asked whether it is there.
    hold : float
        Between two tries of what the exchange refused for now, and two questions for one book.
    heartbeat : float
        Between two pings, and until each must be answered.

    Examples
    --------
    >>> patience = Patience(jitter=0)
    >>> [patience.wait(tried, seed=0).total_seconds() for tried in (1, 2, 3, 9)]
    [0.5, 1.0, 2.0, 30.0]
    """

    first: float = 0.5
    longest: float = 30.0
    jitter: float = 0.5
    strange: int = 3
    answer: float = 10.0
    silence: float = 30.0
    hold: float = 1.0
    heartbeat: float = 10.0

    def wait(self, tried: int, *, seed: int) -> timedelta:
        """Return the wait after the `tried`-th try in a row that failed."""
        whole = min(self.first * 2.0 ** min(tried - 1, 60), self.longest)
        chance = np.random.Generator(np.random.Philox(key=seed, counter=tried)).random()
        return timedelta(seconds=whole * (1 - self.jitter * float(chance)))


class RefusedError(Exception):
    """A connection that was not made.

    Attributes
    ----------
    answered : bool
        Whether anybody was there.
    hopeless : KalshiBtError, optional
        What to tell whoever tried, if another try would end the same.
    wait : float
        Seconds the exchange asked to wait.
    """

    def __init__(
        self,
        words: str,
        *,
        answered: bool = False,
        hopeless: KalshiBtError | None = None,
        wait: float = 0.0,
    ) -> None:
        super().__init__(words)
        self.answered, self.hopeless, self.wait = answered, hopeless, wait


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Follow nobody: a signature is for the host that was asked for."""
        return exc


async def open_connection(
    url: str, credentials: Credentials | None, clock: Clock, patience: Patience
) -> ClientConnection:
    """Return a connection.

    Raises
    ------
    RefusedError
        If there is none, now or ever.
    """
    headers = {}
    if credentials is not None:
        milliseconds = (clock.now() - EPOCH) // timedelta(milliseconds=1)
        headers = credentials.headers("GET", urlsplit(url).path, milliseconds)
    try:
        return await _Connect(
            url,
            additional_headers=headers,
            compression=None,  # a message has some 200 bytes; inflating it costs more than it saves
            max_size=_LARGEST,
            open_timeout=patience.answer,
            ping_interval=patience.heartbeat,
            ping_timeout=patience.heartbeat,
            close_timeout=1,
            logger=_QUIET,
        )
    except InvalidURI:
        address = f"{url!r} is no address of a WebSocket, such as {SOCKETS['prod']}"
        raise RefusedError("", hopeless=UsageError(address)) from None
    except InvalidStatus as error:
        raise _status(url, error) from None
    except (OSError, EOFError, InvalidHandshake) as error:
        words = one_line(error)
        told = DataError(f"{url} cannot be reached ({words}); check the address and the network")
        raise RefusedError(words, hopeless=told) from None


async def probe(
    url: str, credentials: Credentials | None, clock: Clock, patience: Patience
) -> None:
    """Return if a connection can be made, or could be another time.

    Raises
    ------
    KalshiBtError
        If nobody is there, or whoever is refuses the key or is no WebSocket.
    """
    for tried in range(1, patience.strange + 1):
        try:
            connection = await open_connection(url, credentials, clock, patience)
        except RefusedError as error:
            if error.hopeless is None:
                return
            if error.answered or tried == patience.strange:
                raise error.hopeless from None
            await clock.sleep_until(clock.now() + patience.wait(tried, seed=0))
        else:
            await connection.close()
            return


def _status(url: str, error: InvalidStatus) -> RefusedError:
    """Return what a refusal means; its body is not repeated."""
    status = error.response.status_code
    words = f"HTTP {status}"
    if status in _MAY_PASS:
        asked = error.response.headers.get("Retry-After", "")
        wait = min(float(asked), 300.0) if asked.isascii() and asked.isdecimal() else 0.0
        return RefusedError(words, answered=True, wait=wait)
    if status in _REFUSED:
        told = f"{url} refuses the key ({words}); check key, scopes, environment and the clock"
    else:
        told = f"{url} answers {words}; expected a WebSocket, check the address"
    return RefusedError(words, answered=True, hopeless=UsageError(told))


def closed(error: ConnectionClosed) -> str:
    """Return why a connection ended, in a few words."""
    frame = error.rcvd or error.sent
    if frame is None:
        return "broken"
    return " ".join(f"closed {frame.code} {frame.reason[:80]}".split())


def one_line(error: BaseException) -> str:
    """Return the words of an error on one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
