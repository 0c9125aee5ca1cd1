"""The journal of a session: what was wanted, refused, ordered and filled, one JSON object a line.

Everything that happens has a key, and is told once: telling it again, as a session does that goes
on after a stop, changes nothing.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = Lines(path)
        self.dropped = self._lines.dropped
        self._told = {_key(entry) for entry in read(path)}

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


def read(path: Path) -> Iterator[Entry]:
    """Return the entries of a journal in order, without a torn last line.

    Raises
    ------
    DataError
        If it cannot be read, or a whole line of it is no entry.
    """
    try:
        whole = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    for number, line in enumerate(whole, start=1):
        try:
            found = json.loads(line)
            entry = Entry(found["ts"], found["event"], found["payload"])
            _key(entry)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path}, line {number} is no entry of a journal: damaged") from None
        yield entry


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
    >>> from datetime import UTC
    >>> client_order_id("a", "bollinger", "KXHIGHNY-T65", 1, datetime(2026, 6, 1, tzinfo=UTC))
    '16718570-87d8-5819-9557-fc8ba2f87f18'
    """
    told = json.dumps([session, strategy, ticker, side, time.isoformat(), sequence])
    return str(uuid.uuid5(_ORDERS, told))


def _line(entry: Entry) -> str:
    return json.dumps(entry._asdict(), separators=(",", ":"), allow_nan=False)


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
