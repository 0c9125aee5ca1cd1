"""The journal of a session: what was wanted, refused, ordered and filled, one JSON object a line.

Everything that happens has a key, and is told once: telling it again, as a session does that goes
on after a stop, changes nothing.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from kalshi_bt.errors import DataError
from live_adapter.files import Lines

_ORDERS = uuid.UUID("5c1a7a52-5bd0-4c1b-9a0a-5f2f2b6c8b11")  # the name space of order names


class Entry(NamedTuple):
    """One line of the journal.

    Attributes
    ----------
    ts : str
        When it was known, ISO 8601.
    event : str
        order_intent, order_ack, order_report, trade_closed, refusal, stop, resume; of a session
        that listens also feed_up, feed_down, feed_hole, and reconcile_order after a restart.
    payload : mapping
    """

    ts: str
    event: str
    payload: Mapping[str, Any]


class Journal:
    """Entries on disk, each once.

    Parameters
    ----------
    path : Path
        Made where it is absent; a torn last line is dropped.
    since : int
        Bytes of it that nobody may tell again, but for what is in `told`.
    told : iterable
        Keys of what is there by `since`, as `keys` returned them.

    Attributes
    ----------
    dropped : int
        Bytes of the torn line.

    Raises
    ------
    DataError
        If it cannot be written, or a whole line of it is no entry.

    Examples
    --------
    >>> from datetime import UTC
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     journal = Journal(Path(folder, "journal.jsonl"))
    ...     at = datetime(2026, 6, 1, tzinfo=UTC)
    ...     entry = Entry(at.isoformat(), "order_ack", {"ack": {"client_order_id": "a"}})
    ...     journal.tell([entry]), journal.tell([entry])
    (1, 0)
    """

    def __init__(self, path: Path, since: int = 0, told: Iterable[Iterable[Any]] = ()) -> None:
        self._lines = Lines(path, since=since)
        self.dropped = self._lines.dropped
        self._told = {tuple(key) for key in told} | {_key(entry) for entry in read(path, since)}

    def tell(self, entries: Iterable[Entry]) -> int:
        """Write the entries that are not there yet; return how many those are."""
        new: dict[tuple[Any, ...], Entry] = {}
        for entry in entries:
            key = _key(entry)
            if key not in self._told:
                new.setdefault(key, entry)
        self._lines.append([_line(entry) for entry in new.values()])
        self._told |= new.keys()
        return len(new)

    @property
    def size(self) -> int:
        """Bytes there are."""
        return self._lines.size

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """What is known to be told."""
        return sorted(self._told, key=str)

    def has_refused(self, order: str) -> bool:
        """Tell whether an order of a name was refused, and that is not forgotten."""
        return any(key[:2] == ("refusal", order) for key in self._told)

    def forget(self, orders: Collection[str]) -> None:
        """Know no more of what was told but of stops and orders of some names; others are over."""
        self._told = {key for key in self._told if key[0] in _STOPS or key[1] in orders}


def read(path: Path, since: int = 0) -> Iterator[Entry]:
    """Return the entries of a journal in order, without a torn last line.

    Parameters
    ----------
    path : Path
    since : int
        Bytes that are passed over.

    Raises
    ------
    DataError
        If it cannot be read, or a whole line of it is no entry.
    """
    try:
        with path.open("rb") as file:
            file.seek(since)
            whole = file.read().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    for number, line in enumerate(whole, start=1):
        try:
            found = json.loads(line)
            entry = Entry(found["ts"], found["event"], found["payload"])
            _key(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            at = _lines(path, since) + number
            raise DataError(f"{path}, line {at} is no entry of a journal: damaged") from None
        yield entry


@lru_cache(maxsize=10_000)  # a moment's orders are named again in each of its files
def client_order_id(
    session: str, strategy: str, ticker: str, side: int, time: datetime, sequence: int = 0
) -> str:
    """Return the name of an order, the same however often it is asked for.

    Parameters
    ----------
    session, strategy, ticker : str
    side : int
        1 buys YES, -1 buys NO, 0 closes.
    time : datetime
        Of the decision.
    sequence : int
        How many orders of the same market, side and time came before it.

    Returns
    -------
    str
        In the form of a UUID, as the exchange advises.

    Examples
    --------
    >>> client_order_id("a", "bollinger", "KXHIGHNY-T65", 1, datetime(2026, 6, 1, tzinfo=UTC))
    '16718570-87d8-5819-9557-fc8ba2f87f18'
    """
    at = time.astimezone(UTC).isoformat()  # of an instant, not of the zone it is told in
    told = json.dumps([session, strategy, ticker, side, at, sequence])
    return str(uuid.uuid5(_ORDERS, told))


def _lines(path: Path, size: int) -> int:
    """Return how many lines the first bytes of a file are."""
    with path.open("rb") as file:
        return file.read(size).count(b"\n")


def _line(entry: Entry) -> str:
    return json.dumps(entry._asdict(), separators=(",", ":"), allow_nan=False)


_STOPS = ("stop", "resume")
_NAMED = ("client_order_id", "status", "filled_qty", "reason", "since")


def _key(entry: Entry) -> tuple[Any, ...]:
    """Return what makes an entry one and the same."""
    inner = entry.payload
    for name in ("order", "ack", "report"):
        inner = inner.get(name, inner)
    found = tuple(inner.get(name) for name in _NAMED)
    return (entry.event, *found) if any(x is not None for x in found) else tuple(_plain(entry))


def _plain(entry: Entry) -> list[Any]:
    return [entry.event, entry.ts, json.dumps(entry.payload, sort_keys=True)]
