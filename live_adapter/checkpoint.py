"""A session's state on disk, so that a restart feeds only what came after it.

It is a convenience: what was fed is kept as a whole, so one that is torn, of other code or other
settings is passed over, and everything is fed again.
"""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

import kalshi_bt
from live_adapter import files

CHECKPOINT = "checkpoint.bin"
_ARRAY, _FRAME = 1, 2
_HASH = hashlib.sha256().digest_size


def write(folder: Path, of: str, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint of a session.

    Parameters
    ----------
    folder : Path
        Of the session.
    of : str
        What it is good for: it is read only where the same is asked for.
    state : mapping
        Frames, arrays, times, and what JSON knows; names are strings.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    content = packed({"of": of, "state": state})
    files.replace(folder / CHECKPOINT, hashlib.sha256(content).digest() + content)


def read(folder: Path, of: str) -> tuple[dict[str, Any] | None, str]:
    """Return the state of a session's checkpoint, and why there is none: "" if nothing is amiss.

    Parameters
    ----------
    folder : Path
    of : str
        As for `write`.
    """
    try:
        content = (folder / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"it cannot be read ({error.strerror})"
    if hashlib.sha256(content[_HASH:]).digest() != content[:_HASH]:
        return None, "it is damaged"
    found = unpacked(content[_HASH:])
    if found["of"] != of:
        return None, "it is of other code or settings"
    state: dict[str, Any] = found["state"]
    return state, ""


def code() -> str:
    """Return a hash of the sources that make and read a state, and of the libraries' versions."""
    digest = hashlib.sha256(f"{pl.__version__} {np.__version__}".encode())
    for home in (Path(kalshi_bt.__file__).parent, Path(__file__).parent):
        for path in sorted(home.rglob("*.py")):
            digest.update(path.relative_to(home).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def packed(state: Mapping[str, Any]) -> bytes:
    """Return a state as MessagePack, arrays and frames as extensions.

    Examples
    --------
    >>> told = {"time": np.array([1, 2]), "bars": pl.DataFrame({"close": [3]}), "n": None}
    >>> found = unpacked(packed(told))
    >>> found["time"].tolist(), found["bars"].equals(told["bars"]), found["n"]
    ([1, 2], True, None)
    """
    return msgspec.msgpack.encode(state, enc_hook=_extension)


def unpacked(content: bytes) -> dict[str, Any]:
    """Return the state that `packed` packed; what was a tuple is a list."""
    found: dict[str, Any] = msgspec.msgpack.decode(content, ext_hook=_content)
    return found


def _extension(value: Any) -> Any:
    buffer = BytesIO()
    if isinstance(value, np.ndarray):
        np.save(buffer, value, allow_pickle=False)
        return msgspec.msgpack.Ext(_ARRAY, buffer.getvalue())
    if isinstance(value, pl.DataFrame):
        value.write_ipc(buffer)
        return msgspec.msgpack.Ext(_FRAME, buffer.getvalue())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint holds no {type(value).__name__}")


def _content(code: int, data: memoryview) -> Any:
    buffer = BytesIO(data)
    return np.load(buffer, allow_pickle=False) if code == _ARRAY else pl.read_ipc(buffer)
