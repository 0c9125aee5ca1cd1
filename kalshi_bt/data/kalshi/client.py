"""Questions to the exchange over HTTP: within the limits, again after a fault, or one clear line.

Connections are reused and their number is bounded. Broken connections, slow answers, 429, 5xx and
bodies that are no JSON are tried again with growing, jittered waits; a Retry-After is honoured.
JSON numbers with a point arrive as decimals, so that nothing on the way to an integer is a float.
"""

import ipaddress
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import stamina

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.limits import PUBLIC, Limit, TokenBucket
from kalshi_bt.errors import DataError, UsageError

API = "/trade-api/v2"
HOSTS = {
    "prod": f"https://external-api.kalshi.com{API}",
    "demo": f"https://external-api.demo.kalshi.co{API}",
}
STRANGE = 3  # times an address is tried that nobody ever answered at
LONGEST_PAUSE = 300.0  # seconds; an exchange that asks for more is asked again all the same

Params = Mapping[str, str | int]

# Retries are told of by whoever shows progress, not by lines of a library.
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Retry:
    """How often, and after what waits, a question is asked again.

    Attributes
    ----------
    attempts : int
        Times it is asked in all.
    first, longest, jitter : float
        Seconds: the first wait (it doubles), the longest, and what chance adds at most.
    """

    attempts: int = 8
    first: float = 0.25
    longest: float = 20.0
    jitter: float = 0.5


class Stopped(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The client was told to stop."""


class _FaultError(Exception):
    """An answer that may be another the next time.

    Attributes
    ----------
    wait : float, optional
        Seconds the exchange asked to wait.
    """

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class Client:
    """A connection to one exchange.

    Parameters
    ----------
    base_url : str
        As in `HOSTS`.
    root : str
        Path of an address that has none.
    credentials : Credentials, optional
        Every request is signed with them.
    connections : int
        At most this many requests are under way at once.
    timeout : float
        Seconds until an answer must begin, and between its parts.
    retry : Retry
        What to do after a fault.
    limit : Limit
        Of requests; there is none for an address on this machine.
    clock : callable
        Nanoseconds since 1970, UTC, for signatures.

    Attributes
    ----------
    requests, throttled, failed : int
        How many were asked, how many of them were answered 429, how many 5xx.
    """

    def __init__(
        self,
        base_url: str,
        *,
        root: str = API,
        credentials: Credentials | None = None,
        connections: int = 8,
        timeout: float = 30.0,
        retry: Retry | None = None,
        limit: Limit = PUBLIC,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        try:
            parts, httpx_url = urlsplit(base_url), httpx.URL(base_url)
        except (ValueError, httpx.InvalidURL):
            parts, httpx_url = urlsplit(""), httpx.URL("")
        if httpx_url.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{base_url!r} is no address, such as {HOSTS['prod']}")
        self.base_url = base_url.rstrip("/") + ("" if parts.path.strip("/") else root)
        self.requests = self.throttled = self.failed = 0
        self.bucket = TokenBucket(None if _local(parts.hostname) else limit)
        self.time: datetime | None = None
        self._root = urlsplit(self.base_url).path
        self._credentials = credentials
        self._retry = retry or Retry()
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._http = httpx.Client(
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"Accept": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    @property
    def signed(self) -> bool:
        """Whether requests are signed."""
        return self._credentials is not None

    def stop(self) -> None:
        """Let every question that is not on its way yet fail."""
        self._stop.set()

    def get(self, path: str, params: Params | None = None, *, absent_ok: bool = False) -> Any:
        """Return the JSON of an answer; None if there is no such thing and `absent_ok`.

        Parameters
        ----------
        path : str
            Below the base address.
        params : mapping
            The query.
        absent_ok : bool
            Whether a 404 is an answer.

        Raises
        ------
        DataError
            If the exchange cannot be reached, or answers with an error or no JSON.
        """
        asked = f"{path}?{httpx.QueryParams(dict(params))}" if params else path
        tried = 0

        def again(error: Exception) -> bool | float:
            # An address that never answered is probably wrong: it is given up soon.
            strange = isinstance(error, httpx.ConnectError) and self.time is None
            return _again(error) if not strange or tried < STRANGE else False

        attempts = stamina.retry_context(
            on=again,
            attempts=self._retry.attempts,
            timeout=None,
            wait_initial=self._retry.first,
            wait_max=self._retry.longest,
            wait_jitter=self._retry.jitter,
        )
        try:
            for attempt in attempts:
                tried = attempt.num
                with attempt:
                    return self._once(path, params, asked, absent_ok=absent_ok)
        except (httpx.HTTPError, _FaultError) as error:
            what = " ".join(str(error).split()) or type(error).__name__
            times = "once" if tried == 1 else f"{tried} times"
            raise DataError(f"GET {self.base_url}{asked} failed {times}: {what}") from None
        raise AssertionError("the loop above returns or raises")

    def _once(self, path: str, params: Params | None, asked: str, *, absent_ok: bool) -> Any:
        self.bucket.take()
        if self._stop.is_set():
            raise Stopped
        signature = {}
        if self._credentials:
            now = self._clock() // 1_000_000
            signature = self._credentials.headers("GET", self._root + path, now)
        with self._lock:
            self.requests += 1
        answer = self._http.get(self.base_url + path, params=params, headers=signature)
        self._keep_time(answer)
        if answer.status_code == httpx.codes.NOT_FOUND and absent_ok:
            return None
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.status_code >= 500:
            wait = _retry_after(answer)
            with self._lock:
                self.throttled += answer.status_code == httpx.codes.TOO_MANY_REQUESTS
                self.failed += answer.status_code >= 500
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self.bucket.hold(self._retry.first if wait is None else wait)
            raise _FaultError(_said(answer), wait)
        if answer.status_code != httpx.codes.OK:
            raise DataError(f"GET {self.base_url}{asked} was refused: {_said(answer)}")
        try:
            return json.loads(answer.content, parse_float=Decimal)
        except ValueError:
            raise _FaultError(f"the answer is no JSON ({answer.content[:40]!r})") from None

    def _keep_time(self, answer: httpx.Response) -> None:
        stamp = _date(answer.headers.get("Date", ""))
        if stamp is not None:
            with self._lock:
                self.time = stamp if self.time is None else max(self.time, stamp)


def _again(error: Exception) -> bool | float:
    """Tell stamina whether to ask again, and when if the exchange said so."""
    if isinstance(error, _FaultError):
        return True if error.wait is None else error.wait
    return isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.UnsupportedProtocol
    )


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "").strip()
    try:
        wait = float(text)
    except ValueError:
        until, now = _date(text), _date(answer.headers.get("Date", ""))
        if until is None or now is None:
            return None
        wait = (until - now).total_seconds()
    return min(max(wait, 0.0), LONGEST_PAUSE) if wait == wait else None  # noqa: PLR0124  # NaN


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _said(answer: httpx.Response) -> str:
    """Return the status and what the body says, on one short line."""
    text = " ".join(answer.text.split())
    try:
        body = json.loads(answer.content)
        told = body.get("error", body)
        text = told if isinstance(told, str) else str(told.get("message", text))
    except (ValueError, AttributeError):
        pass
    cure = {401: "; check the key", 403: "; check the key's scopes"}.get(answer.status_code, "")
    return f"{answer.status_code} {text[:160]}".strip() + cure


def _local(host: str) -> bool:
    """Tell whether an exchange is on this machine: nobody limits that one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
