"""Faults on demand, counted and therefore the same every time."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from threading import Lock
from time import monotonic
from typing import Any

from kalshi_bt.errors import UsageError
from live_adapter.exchange.wire import Json

# Kind to what it strikes: any answer, one to a cursor, one with rows; the handshake of a WebSocket,
# a frame that was not asked for.
KINDS = {
    "429": ("any", "handshake"),
    "rate": ("any",),
    "500": ("any", "handshake"),
    "503": ("any", "handshake"),
    "slow": ("any", "handshake"),
    "cut": ("any",),
    "malformed": ("any",),
    "repeat": ("cursor",),
    "loop": ("cursor",),
    "missing": ("rows",),
    "unknown": ("rows",),
    "broken": ("rows",),
    "disconnect": ("frame",),
    "gap": ("frame",),
    "duplicate": ("frame",),
    "garbled": ("frame",),
    "late": ("frame",),
    "reorder": ("frame",),
    "overflow": ("frame",),
}
STATUSES = ("429", "500", "503")
LISTS = (
    "candlesticks", "trades", "markets", "events", "series", "orderbooks",
    "series_fee_change_arr", "event_fee_changes", "market", "event",
)  # fmt: skip
IDENTITIES = ("trade_id", "end_period_ts", "ticker", "event_ticker", "market_ticker", "id")
UNKNOWN = "sandbox_unknown"  # name of the field that no client knows


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    kind : str
        `429`, `500`, `503`: that status. `rate`: 429 to what is more than `per_second` requests
        within a second, as real time goes. `slow`: `seconds` late. `cut`: the connection ends in
        the middle of the body. `malformed`: the body ends in the middle. `repeat`: the rows of the
        first page again. `loop`: a cursor that was given out before. `missing`: the first row
        lacks a field. `unknown`: every row has a field more. `broken`: no row has a field the
        client knows. Of the WebSocket: `disconnect`: it ends without a word. `gap`: a frame is
        lost, its number used. `duplicate`: it comes twice. `garbled`: it ends in the middle.
        `late`: it and all behind it come `seconds` late. `reorder`: a frame of another
        subscription overtakes it. `overflow`: the client was too slow, its subscription ends.
    path : str
        Pattern of the paths it happens on, such as ``/markets`` or ``/markets/*``; ``/ws`` is the
        handshake, ``/ws/trade`` frames of that channel.
    every, first, skip : int
        Of the requests it could happen on, `skip` go well, then of the next `first` (0: all) every
        `every`-th goes wrong.
    seconds : float
        Of `slow` and `late`.
    retry_after : int or None
        Seconds in the header of `429`; None for no header, as the exchange does it.
    field : str
        Of `missing`; empty for what identifies the row.
    per_second : int
        Of `rate`.
    """

    kind: str
    path: str = "*"
    every: int = 1
    first: int = 0
    skip: int = 0
    seconds: float = 1.0
    retry_after: int | None = 1
    field: str = ""
    per_second: int = 10

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Return a fault from text such as ``500:every=3,path=/markets``.

        Raises
        ------
        UsageError
            If the kind or an option is not known, or its value cannot be used.

        Examples
        --------
        >>> Fault.parse("500:every=3,path=/markets")
        Fault('500', path='/markets', every=3)
        """
        kind, _, rest = text.partition(":")
        if kind not in KINDS:
            raise UsageError.unknown("fault", kind, KINDS)
        options: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            name, _, value = part.partition("=")
            if name not in _OPTIONS:
                raise UsageError.unknown("option of a fault", name, _OPTIONS)
            try:
                options[name] = _OPTIONS[name](value)
            except ValueError:
                raise UsageError(f"fault {text!r}: {name} cannot be {value!r}") from None
        return replace(cls(kind), **options)

    def __repr__(self) -> str:
        """Return what makes it again, without what is default."""
        plain = Fault(self.kind)
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in _OPTIONS
            if getattr(self, name) != getattr(plain, name)
        ]
        return f"Fault({', '.join([repr(self.kind), *shown])})"

    def strikes(self, number: int) -> bool:
        """Return whether it happens on a request, the `number`-th (from 1) it could happen on."""
        place = number - self.skip
        return 0 < place <= (self.first or place) and place % self.every == 0


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 3_600:
        raise ValueError(text)
    return number


_OPTIONS: dict[str, Any] = {
    "path": str,
    "every": _positive,
    "first": _positive,
    "skip": _natural,
    "seconds": _seconds,
    "retry_after": lambda text: None if text == "none" else _natural(text),
    "field": str,
    "per_second": _positive,
}


class Faults:
    """The faults in force, and how often each could have happened and did.

    Parameters
    ----------
    faults : iterable of Fault or str
        As `Fault.parse` reads them.
    clock : callable
        Seconds, for the faults of kind `rate`.
    """

    def __init__(
        self, faults: Iterable[Fault | str] = (), clock: Callable[[], float] = monotonic
    ) -> None:
        self._lock, self._clock = Lock(), clock
        self.set(faults)

    def set(self, faults: Iterable[Fault | str]) -> None:
        """Replace all faults; counting begins anew."""
        parsed = [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]
        with self._lock:
            self._faults = parsed
            self._met = [0] * len(parsed)
            self._struck = [0] * len(parsed)
            self._served: list[deque[float]] = [deque() for _ in parsed]

    def strike(self, path: str, *needs: str) -> list[Fault]:
        """Count a request for the faults that need one of `needs`; return those that happen."""
        found = []
        with self._lock:
            for place, fault in enumerate(self._faults):
                if not set(needs).isdisjoint(KINDS[fault.kind]) and fnmatchcase(path, fault.path):
                    self._met[place] += 1
                    struck = fault.strikes(self._met[place])
                    if struck and (fault.kind != "rate" or self._too_many(place, fault)):
                        self._struck[place] += 1
                        found.append(fault)
        return found

    def _too_many(self, place: int, fault: Fault) -> bool:
        """Tell whether a request is one too many within a second; those that are do not count."""
        now, served = self._clock(), self._served[place]
        while served and served[0] <= now - 1:
            served.popleft()
        if len(served) >= fault.per_second:
            return True
        served.append(now)
        return False

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._faults)

    def counts(self) -> list[Json]:
        """Return each fault with the requests it met and those it struck."""
        with self._lock:
            found = zip(self._faults, self._met, self._struck, strict=True)
            return [{"fault": repr(f), "met": met, "struck": struck} for f, met, struck in found]


def has_rows(answer: Json) -> bool:
    """Return whether an answer has rows that a fault can spoil."""
    return any(answer.get(name) for name in LISTS)


def spoiled(answer: Json, fault: Fault) -> Json:
    """Return an answer with its rows spoiled."""
    name = next(name for name in LISTS if answer.get(name))
    rows = answer[name]
    if not isinstance(rows, list):
        return answer | {name: _spoiled([rows], fault)[0]}
    return answer | {name: _spoiled(rows, fault)}


def _spoiled(rows: list[Json], fault: Fault) -> list[Json]:
    if fault.kind == "unknown":
        return [{**row, UNKNOWN: {"nested": [1, None]}} for row in rows]
    if fault.kind == "broken":
        return [{f"renamed_{name}": value for name, value in row.items()} for row in rows]
    lacking = fault.field or next(name for name in IDENTITIES if name in rows[0])
    return [{n: v for n, v in rows[0].items() if n != lacking}, *rows[1:]]
