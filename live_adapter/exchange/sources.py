"""What a sandbox is told to serve: a dataset, a recording, or a made-up load."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from kalshi_bt.data.importers.ws_lines import LINES
from kalshi_bt.data.store import MANIFEST, Store
from kalshi_bt.errors import UsageError
from live_adapter.exchange.archive import EPOCH
from live_adapter.exchange.happenings import Tape
from live_adapter.exchange.recorded import Recorded
from live_adapter.exchange.stored import Stored
from live_adapter.exchange.walk import Walk


@dataclass(frozen=True)
class Source:
    """A dataset for the REST half and a tape for the WebSocket."""

    store: Store
    tape: Callable[[], Tape]

    def begin(self) -> datetime:
        """Return a moment before anything happens."""
        return EPOCH + timedelta(microseconds=self.tape().first())


def opened(data: Path | None, synthetic: str | None, kept: ExitStack) -> Source:
    """Return what is to be served.

    Parameters
    ----------
    data : Path or None
        A dataset or a recording.
    synthetic : str or None
        As `Walk.parse` reads it; exactly one of the two is given.
    kept : ExitStack
        Removes what was made for it in the end.

    Raises
    ------
    UsageError
        If not exactly one is given.
    DataError
        If there is neither a dataset nor a recording.
    """
    if (data is None) == (synthetic is None):
        raise UsageError("give either --data or --synthetic")
    if data is None:
        walk = Walk.parse(synthetic or "")
        return Source(walk.store(_folder(kept)), lambda: walk)
    if is_recording(data):
        return recorded(data, _folder(kept))
    store = Store.open(data)
    return Source(store, cache(lambda: Stored(store)))


def is_recording(path: Path) -> bool:
    """Return whether a path holds raw frames, and is no dataset."""
    if path.is_file():
        return True
    found = (file for file in path.rglob("*") if file.name.endswith(LINES))
    return not (path / MANIFEST).exists() and next(found, None) is not None


def recorded(path: Path, folder: Path) -> Source:
    """Return a recording as a source; its dataset is imported into a folder.

    What REST says of it has gone through the client's own reading of frames; the frames of the
    WebSocket have not.
    """
    from kalshi_bt.data.importers.ws import import_ws  # noqa: PLC0415 - the client's, only here

    import_ws([path], folder)
    return Source(Store.open(folder), cache(lambda: Recorded(path)))


def speed_of(text: str) -> float:
    """Return simulated seconds in a real one; infinity for ``max``.

    Raises
    ------
    UsageError
        If it is neither ``max`` nor a positive number.

    Examples
    --------
    >>> speed_of("60"), speed_of("max")
    (60.0, inf)
    """
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise UsageError(f"speed {text!r} is no positive number, nor max")
    return speed


def _folder(kept: ExitStack) -> Path:
    return Path(kept.enter_context(TemporaryDirectory(prefix="sandbox-"))) / "dataset"
