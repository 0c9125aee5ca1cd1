"""From a request to a reply, faults included; nothing here knows of sockets."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any

from kalshi_bt.errors import KalshiBtError, UsageError
from live_adapter.exchange.archive import Archive
from live_adapter.exchange.asked import Asked, Limits
from live_adapter.exchange.cents import SHAPES, older
from live_adapter.exchange.faults import STATUSES, Fault, Faults, has_rows, spoiled
from live_adapter.exchange.query import AnswerError, Query
from live_adapter.exchange.routes import Route, route
from live_adapter.exchange.signatures import PublicKey, check
from live_adapter.exchange.venue import status_body
from live_adapter.exchange.wire import Json, moment

ROOT = "/trade-api/v2"
CONTROL = "/sandbox"


@dataclass(frozen=True)
class Reply:
    """What goes back.

    Attributes
    ----------
    status : int
        Of HTTP.
    body : bytes
        All of it.
    headers : dict
        Besides those of every reply.
    delay : float
        Seconds to wait before it goes.
    cut : bool
        Whether the connection ends in the middle of the body.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


class Service:
    """The exchange without its sockets.

    Parameters
    ----------
    archive : Archive
        What it knows.
    faults : iterable of Fault or str
        In force from the start.
    key : public key or None
        What signatures are checked with; None accepts any.
    shape : str
        `dollars`, or an older one: `both`, `cents`.
    limits : Limits
        Told to whoever asks; nothing enforces them.

    Raises
    ------
    UsageError
        If a fault or the shape is not known.
    """

    def __init__(
        self,
        archive: Archive,
        *,
        faults: Iterable[Fault | str] = (),
        key: PublicKey | None = None,
        shape: str = "dollars",
        limits: Limits | None = None,
    ) -> None:
        if shape not in SHAPES:
            raise UsageError.unknown("shape", shape, SHAPES)
        self.archive, self.faults = archive, Faults(faults)
        self._key, self._shape, self._limits = key, shape, limits or Limits()
        self._lock = Lock()
        self._requests: Counter[str] = Counter()
        self.streamed: Callable[[], Json] = dict  # what the WebSocket half counts
        self.move: Callable[[datetime], None] = self._move  # how `now` is set

    def requests(self) -> dict[str, int]:
        """Return how often each path of the API was asked, without its parameters."""
        with self._lock:
            return dict(sorted(self._requests.items()))

    def forget_requests(self) -> None:
        """Count requests anew."""
        with self._lock:
            self._requests.clear()

    def reply(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Return the reply to a request.

        Parameters
        ----------
        method, target : str
            As in the first line of the request.
        headers : mapping
            Of the request; any case.
        body : bytes
            Only control requests have one.
        """
        path, _, text = target.partition("?")
        try:
            if path.startswith(f"{CONTROL}/"):
                return self._control(method, path.removeprefix(CONTROL), body)
            if path.startswith(f"{ROOT}/"):
                return self._api(method, path, text, headers)
        except AnswerError as error:
            return _failed(error)
        return _failed(AnswerError(404, "not_found", f"no endpoint {path}; the API is at {ROOT}"))

    def _api(self, method: str, full: str, text: str, headers: Mapping[str, str]) -> Reply:
        path = full.removeprefix(ROOT)
        with self._lock:
            self._requests[path] += 1
        paged = ("cursor",) if "cursor=" in text else ()
        struck = self.faults.strike(path, "any", *paged)
        delay = sum(fault.seconds for fault in struck if fault.kind == "slow")
        kinds = {fault.kind: fault for fault in struck}
        if "rate" in kinds:
            kinds["429"] = replace(kinds["rate"], kind="429", retry_after=None)
        for kind in STATUSES:
            if kind in kinds:
                return replace(_refused(kinds[kind], path), delay=delay)
        if method != "GET":
            raise AnswerError(405, "method_not_allowed", f"{method} is not served here")
        known, names = route(path)
        check(self._key, method, full, headers, needed=known.secured)
        answer = self._answer(known, names, text)
        if {"repeat", "loop"} & kinds.keys():
            first = self._answer(known, names, _without_cursor(text))
            answer = first | {"cursor": answer["cursor"]} if "repeat" in kinds else answer
            answer = answer | {"cursor": first["cursor"]} if "loop" in kinds else answer
        answer = older(answer, self._shape)
        for fault in self.faults.strike(path, "rows") if has_rows(answer) else ():
            answer = spoiled(answer, fault)
        written = _body(answer)
        if "malformed" in kinds:
            written = written[: len(written) // 2]
        return Reply(200, written, delay=delay, cut="cut" in kinds)

    def _answer(self, known: Route, names: Mapping[str, str], text: str) -> Json:
        query = Query(text, known.parameters)
        return known.answer(Asked(self.archive, query, names, self._limits))

    def _move(self, time: datetime) -> None:
        self.archive.now = time

    def _control(self, method: str, path: str, body: bytes) -> Reply:
        """Answer the requests that steer the sandbox itself."""
        given = _given(body) if method in {"POST", "PUT"} else {}
        try:
            if path == "/faults" and method != "GET":
                self.faults.set(_texts(given.get("faults", [])))
            elif path == "/requests" and method == "DELETE":
                self.forget_requests()
            elif path == "/now" and method != "GET":
                self.move(parse_time(str(given.get("now"))))
        except KalshiBtError as error:
            raise AnswerError(400, "bad_request", str(error)) from None
        counted = self.requests()
        known: dict[str, Json] = {
            "/faults": {"faults": self.faults.counts()},
            "/requests": {"total": sum(counted.values()), "paths": counted},
            "/now": {"now": moment(self.archive.now)},
            "/stream": self.streamed(),
        }
        if path not in known:
            raise AnswerError(404, "not_found", f"no control {path}; there are {', '.join(known)}")
        return Reply(200, _body(known[path]))


def parse_time(text: str) -> datetime:
    """Return a moment from ISO 8601 text with a time zone.

    Raises
    ------
    UsageError
        If it is something else.

    Examples
    --------
    >>> parse_time("2026-05-05T04:00:00Z").isoformat()
    '2026-05-05T04:00:00+00:00'
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time, such as 2026-05-05T04:00:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"{text!r} has no time zone; append Z for UTC")
    return time


def _given(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise AnswerError(400, "bad_request", "expected a JSON object")
    return given


def _texts(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise AnswerError(400, "bad_request", "faults must be a list of texts")
    return given


def _without_cursor(text: str) -> str:
    return "&".join(part for part in text.split("&") if not part.startswith("cursor="))


def _refused(fault: Fault, path: str) -> Reply:
    """Return the reply with the status of a fault."""
    if fault.kind == "429":
        after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return Reply(429, _body({"error": "too many requests"}), after)
    if path == "/exchange/status":
        return Reply(int(fault.kind), _body(status_body(active=False)))
    return _failed(AnswerError(int(fault.kind), "internal_server_error", "internal server error"))


def _failed(error: AnswerError) -> Reply:
    inner = {"code": error.code, "message": error.message, "details": error.message}
    return Reply(error.status, _body({"error": inner}))


def _body(answer: Json) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
