"""Recordings on disk: which files make one, and their lines as messages with receive times.

A line is a JSON object in one of these shapes:

- a receive time (``recv_ms``, ``recv_us``, ``recv_ns`` or ``recv_ts_ns``) and the message, decoded
  (``event`` or ``message``) or as its text (``raw``);
- the message alone: then the exchange's time stands for the receive time;
- a book that was asked for (``yes_levels`` and ``no_levels``, prices in 1e-6 dollars, sizes in
  hundredths), or a trade that was (``yes_price_micros``, ``size_hundredths``).

The files of one folder are one recording, merged by receive time; files that are numbered
(``frames-000001.jsonl``) follow each other, whatever a clock that was set back says. A folder that
bears the ticker of its messages is one market cut out of a larger recording.
"""

import gzip
import heapq
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from kalshi_bt.data.manifest import one_line
from kalshi_bt.errors import DataError

LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
BOOK_MESSAGES = frozenset({"orderbook_delta", "orderbook_snapshot"})
OVERFLOW, CAUGHT_UP = "overflow", "caught_up"  # why books are lost, and until when
RESUMED = "recorder"  # why all are lost where one recorder follows another
_TIMES = {"recv_ns": 1_000, "recv_ts_ns": 1_000, "recv_us": 1, "recv_ms": -1_000}
_NUMBERED = re.compile(r"(^|/)frames-\d{6}\.jsonl(\.gz)?$")
_POLLED = "ts_ingest_ms"
_DECODE = json.JSONDecoder(parse_float=Decimal).decode  # fees are money: no binary fractions
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def _none(constant: str) -> None:
    """Refuse what is no JSON, as whoever listens does."""
    raise ValueError(constant)


_SENT = json.JSONDecoder(parse_float=Decimal, parse_constant=_none).decode  # as it was sent


class Line(NamedTuple):
    """A message, when it came (microseconds since 1970; None: not recorded) and where it stands."""

    time: int | None
    frame: dict[str, Any]
    source: str
    row: int
    polled: bool = False  # asked for, not sent on its own


class Flaw(NamedTuple):
    """A line that is no message, or (`torn`) the cut end of a file."""

    source: str
    row: int
    found: str
    torn: bool


@dataclass(frozen=True)
class Recording:
    """Files that were written by one connection after the other; `names` are their short names."""

    files: tuple[Path, ...]
    names: tuple[str, ...]

    def cut(self) -> bool:
        """Return whether the recording holds one market of a subscription to several."""
        for line in self.lines(lambda _: None):
            inner = line.frame.get("msg")
            if isinstance(inner, dict) and "market_ticker" in inner:
                return bool(inner["market_ticker"] == self.files[0].parent.name)
        return False

    def lines(self, flawed: Callable[[Flaw], None]) -> Iterator[Line]:
        """Return the messages of all files in the order in which they came."""
        pairs = zip(self.files, self.names, strict=True)
        streams = [read_lines(path, name, flawed) for path, name in pairs]
        if all(map(_NUMBERED.search, self.names)):
            return chain.from_iterable(streams)
        return heapq.merge(*streams, key=lambda line: line.time or 0)


def recordings(sources: Sequence[Path]) -> tuple[list[Recording], list[tuple[Path, str]]]:
    """Return the recordings in files and folders, and the JSON documents beside them.

    Raises
    ------
    DataError
        If a source does not exist or holds neither.
    """
    folders: dict[Path, list[tuple[Path, str]]] = {}
    documents: list[tuple[Path, str]] = []
    for given in sources:
        if not given.exists():
            raise DataError(f"source {given} does not exist")
        root = given if given.is_dir() else given.parent
        paths = sorted(p for p in given.rglob("*") if p.is_file()) if given.is_dir() else [given]
        found = 0
        for path in paths:
            name = path.relative_to(root).as_posix()
            if path.name.endswith(LINES):
                folders.setdefault(path.parent, []).append((path, name))
                found += 1
            elif path.suffix == ".json":
                documents.append((path, name))
                found += 1
        if not found:
            raise DataError(
                f"{given} holds no recording: no file ends in {', '.join(LINES)} or .json"
            )
    made = [Recording(*zip(*sorted(files), strict=True)) for _, files in sorted(folders.items())]
    return made, documents


def read_lines(path: Path, name: str, flawed: Callable[[Flaw], None]) -> Iterator[Line]:
    """Return the messages of one file; a cut end is told and forgiven."""
    row = -1
    try:
        with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as file:
            for row, text in enumerate(file):
                if not text.strip():
                    continue
                try:
                    yield _line(_DECODE(text.decode()), name, row)
                except _UNREADABLE:
                    torn = not text.endswith(b"\n")
                    flawed(Flaw(name, row, text[:80].decode("utf-8", "replace").strip(), torn))
    except (EOFError, zlib.error) as error:
        flawed(Flaw(name, row + 1, one_line(error), torn=True))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from None


def heard(lines: Iterable[Line], counts: Counter[str]) -> Iterator[Line]:
    """Return what reached whoever recorded it: not the books that it was too slow for.

    They are lost from the line that says so (``feed_lost``) until the one that says that it had
    caught up, or a new connection. Old recordings say where books were lost, and no more.

    Parameters
    ----------
    lines : iterable of Line
    counts : Counter
        Told how many messages are left out, as ``shed``.
    """
    behind = False
    for line in lines:
        if line.frame.get("type") == "feed_lost":
            inner = line.frame.get("msg")
            said = inner if isinstance(inner, dict) else {}
            if said.get("why") == CAUGHT_UP:
                behind = False
                continue
            behind = "until" in said or (behind and "sid" in line.frame)
        elif behind and str(line.frame.get("type")) in BOOK_MESSAGES:
            counts["shed"] += 1
            continue
        yield line


def _line(said: dict[str, Any], name: str, row: int) -> Line:
    """Return a line's message, whatever its shape."""
    for key, divisor in _TIMES.items():
        if key in said:
            stamp = int(said[key])
            time = stamp * -divisor if divisor < 0 else stamp // divisor
            frame = said.get("event") or said.get("message") or _SENT(said["raw"])
            return Line(time, _object(frame), name, row)
    if _POLLED in said:
        return Line(said[_POLLED] * 1_000, _asked(said), name, row, polled=True)
    if "type" not in said:
        raise KeyError("type")
    return Line(None, said, name, row)


def _object(frame: Any) -> dict[str, Any]:
    if not isinstance(frame, dict):
        raise TypeError(frame)
    return frame


def _asked(said: dict[str, Any]) -> dict[str, Any]:
    """Return a book or a trade that was asked for as the message that would have told it."""
    if "trade_id" in said:
        stamp = datetime.fromisoformat(said["ts_iso"])
        told = {
            "trade_id": said["trade_id"],
            "market_ticker": said["ticker"],
            "yes_price_dollars": _dollars(said["yes_price_micros"]),
            "count_fp": _hundredths(said["size_hundredths"]),
            "taker_book_side": said["taker_book_side"],
            "ts": stamp.isoformat(),
        }
        return {"type": "trade", "msg": told}
    sides = {
        f"{side}_dollars_fp": [[_dollars(p), _hundredths(s)] for p, s in said[f"{side}_levels"]]
        for side in ("yes", "no")
    }
    return {"type": "orderbook_snapshot", "msg": {"market_ticker": said["ticker"], **sides}}


def _dollars(micro: int) -> str:
    return f"{micro // 1_000_000}.{micro % 1_000_000:06d}"


def _hundredths(count: int) -> str:
    return f"{count // 100}.{count % 100:02d}"
