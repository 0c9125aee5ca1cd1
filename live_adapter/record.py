"""Recordings: every message as it came, with its receive time, safe on disk soon after.

A line is ``{"recv_us": 1767614400000000, "raw": "…"}``: microseconds since 1970 and the text of the
message, whatever it is. Between them stand messages of the recorder's own: what the feed knows it
has lost (``feed_lost``), what the exchange answered when it was asked for markets (``feed_answer``)
and that time passed (``feed_time``). `kalshi_bt.data.importers.ws` and `live_adapter.replay` read
all of them.

Files are only ever added to, and a new one is begun by size, by time and by every new recorder, so
that a line torn by a crash is the last one of its file. Only what the exchange sent is recorded: no
header, no key.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from kalshi_bt.data.importers.ws_lines import CAUGHT_UP, OVERFLOW, RESUMED
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.errors import DataError
from live_adapter.frames import Down, Frame, Lost

_MICROSECOND = timedelta(microseconds=1)
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_MOST = 500_000  # messages that may wait for a slow disk


def note(event: Lost | Down) -> Frame:
    """Return what was lost as a message, as it stands in a recording.

    Examples
    --------
    >>> note(Lost(EPOCH, 2, "overflow"))
    {'type': 'feed_lost', 'sid': 2, 'msg': {'why': 'overflow', 'until': 'caught_up'}}
    >>> note(Down(EPOCH, "closed"))
    {'type': 'feed_lost', 'msg': {'why': 'closed'}}
    """
    sid = event.sid if isinstance(event, Lost) else None
    until = {"until": CAUGHT_UP} if event.why == OVERFLOW else {}
    whose = {} if sid is None else {"sid": sid}
    return {"type": "feed_lost", **whose, "msg": {"why": event.why, **until}}


class Recorder:
    """A recording that is being written, while its context lasts.

    A thread of its own writes, so that a disk that hesitates delays no message.

    Parameters
    ----------
    folder : Path
        Where its files go; made if it is absent, and taken away if nothing comes. One recording a
        folder.
    size : int
        Bytes after which a new file is begun.
    span : timedelta
        Receive time after which a new file is begun.
    safe_within : timedelta
        How long a message waits at most until it is safe on disk.

    Raises
    ------
    DataError
        If the folder cannot be written to; from `write`, `note` and the end of the context also if
        the disk fails or falls behind.

    Examples
    --------
    >>> import json
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with Recorder(Path(folder)) as recorder:
    ...         recorder.write(EPOCH + _MICROSECOND, b'{"type":"ok"}')
    ...     [file] = Path(folder).iterdir()
    ...     file.name, json.loads(file.read_text())
    ('frames-000001.jsonl', {'recv_us': 1, 'raw': '{"type":"ok"}'})
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: int = 256 * 2**20,
        span: timedelta = timedelta(hours=1),
        safe_within: timedelta = timedelta(milliseconds=250),
    ) -> None:
        self._folder, self._size, self._span = folder, size, span
        self._within = safe_within.total_seconds()
        self._lines: deque[tuple[datetime, bytes | Frame]] = deque()
        self._file: BinaryIO | None = None
        self._written, self._begun = 0, EPOCH
        self._failed: str | None = None
        self._over, self._due = threading.Event(), threading.Event()
        self._taken, self._kept = 0, 0  # lines; the second counts those that are safe
        self._written_down = threading.Condition()
        with self._told():
            self._made = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            names = (p.name[7:13] for p in folder.glob("frames-*.jsonl*"))
            self._number = max((int(n) for n in names if n.isdecimal()), default=0)
        self._check()
        self._resumed = self._number > 0
        self._thread = threading.Thread(target=self._keep, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._due.set()
        self._thread.join()
        if self._made and not self._taken:
            with suppress(OSError):  # others wrote to it
                self._folder.rmdir()
        if error is None:
            self._check()

    @property
    def behind(self) -> int:
        """Messages that are not on disk yet."""
        return self._taken - self._kept

    def write(self, time: datetime, raw: bytes) -> None:
        """Record a message as it came."""
        self._line_up(time, raw)

    def note(self, event: Lost | Down) -> None:
        """Record that something was lost."""
        self.tell(event.time, note(event))

    def tell(self, time: datetime, said: Frame) -> None:
        """Record a message of one's own."""
        self._line_up(time, said)

    def safe(self) -> None:
        """Return once all that was recorded is on disk.

        Raises
        ------
        DataError
            If the disk fails.
        """
        wanted = self._taken
        with self._written_down:
            while self._kept < wanted and self._failed is None:
                self._due.set()
                self._written_down.wait(self._within)
        self._check()

    def _line_up(self, time: datetime, said: bytes | Frame) -> None:
        self._check()
        if self._resumed:  # what came between the one before and this one is not known
            self._resumed = False
            self.note(Down(time, RESUMED))
        with self._written_down:  # a thread may ask the exchange while another listens
            self._lines.append((time, said))
            self._taken += 1

    def _check(self) -> None:
        if self._failed is None and self.behind > _MOST:
            self._failed = f"the disk is {self.behind:,} messages behind"
        if self._failed is not None:
            raise DataError(f"recording {self._folder} cannot be written ({self._failed})")

    def _keep(self) -> None:
        """Write what came, and see it safe, until the end."""
        over = False
        while not over and self._failed is None:
            self._due.wait(self._within)
            self._due.clear()
            over = self._over.is_set()
            with self._told():
                count = len(self._lines)
                for _ in range(count):
                    self._line(*self._lines.popleft())
                self._safe()
                with self._written_down:
                    self._kept += count
                    self._written_down.notify_all()
        with self._told():
            self._close()

    def _line(self, time: datetime, said: bytes | Frame) -> None:
        stamp = (time - EPOCH) // _MICROSECOND
        if isinstance(said, bytes):
            text = msgspec.json.encode(said.decode("utf-8", "backslashreplace"))
            line = b'{"recv_us":%d,"raw":%s}\n' % (stamp, text)
        else:
            line = b'{"recv_us":%d,"event":%s}\n' % (stamp, _ENCODE(said))
        if self._file is not None and (
            self._written + len(line) > self._size or time - self._begun >= self._span
        ):
            self._close()
        if self._file is None:
            self._number += 1
            self._file = (self._folder / f"frames-{self._number:06d}.jsonl").open("xb")
            self._written, self._begun = 0, time
            _safe_folder(self._folder)
        self._file.write(line)
        self._written += len(line)

    def _safe(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with file:  # closed whatever happens
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Keep why the disk failed, for whoever writes next."""
        try:
            yield
        except OSError as error:
            self._failed = error.strerror or type(error).__name__


def _safe_folder(folder: Path) -> None:
    """See the name of a new file safe, where folders can be told to."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
