"""The folder of a run: everything its report shows, written once, and read back to the last bit.

Every frame of a `report.Run` is a parquet file of its name, the charts of its markets are one file,
its scores are ``metrics.json``, and the rest stands in ``run.json``. ``manifest.json`` comes last
and holds the hash of every other file, so what was damaged or edited since is noticed.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.report.model import Run, Scores

__all__ = [
    "FORMAT",
    "GROUPS",
    "MANIFEST",
    "find",
    "hashes",
    "load",
    "manifest",
    "metrics_text",
    "names",
    "told",
    "write",
]

FORMAT = 1  # of the folder; another one is refused
MANIFEST = "manifest.json"
_REST, _SCORES, _CHARTS = "run.json", "metrics.json", "charts.parquet"
_FRAMES = tuple(f.name for f in fields(Run) if f.type is pl.DataFrame)
GROUPS = tuple(  # of frames by name, each frame a file of its own
    f.name for f in fields(Run) if f.type == Mapping[str, pl.DataFrame] and f.name != "charts"
)
_CURE = "run it again"


def metrics_text(scores: Mapping[str, Any]) -> str:
    """Return the scores of a run as ``metrics.json`` has them.

    Examples
    --------
    >>> print(metrics_text({"n_trades": {"value": 3}}), end="")
    {
      "n_trades": {
        "value": 3
      }
    }
    """
    return json.dumps(scores, indent=2, allow_nan=False) + "\n"


def write(run: Run, folder: Path) -> None:
    """Write what a report shows into a folder that exists; the manifest is not part of it."""
    for name in _FRAMES:
        getattr(run, name).write_parquet(folder / f"{name}.parquet", compression="zstd")
    for group in GROUPS:
        for name, frame in getattr(run, group).items():
            frame.write_parquet(folder / _member(group, name), compression="zstd")
    _stacked(run.charts).write_parquet(folder / _CHARTS, compression="zstd")
    rest = {"format": FORMAT} | {f.name: getattr(run, f.name) for f in fields(run)}
    for name in (*_FRAMES, "scores"):
        del rest[name]
    rest |= {name: list(getattr(run, name)) for name in (*GROUPS, "charts")}
    texts = {
        _SCORES: metrics_text(run.scores),
        _REST: json.dumps(rest, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _member(group: str, name: str) -> str:
    return f"{group}-{name}.parquet"


def _stacked(charts: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the charts of all markets below each other, each row with its ticker."""
    named = [
        frame.select(pl.lit(ticker, dtype=pl.String).alias("ticker"), pl.all())
        for ticker, frame in charts.items()
    ]
    return pl.concat(named) if named else pl.DataFrame(schema={"ticker": pl.String})


def hashes(folder: Path) -> dict[str, str]:
    """Return file name to SHA-256 of every file of a folder but the manifest, by name."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def load(folder: Path) -> Run:
    """Return what the report of a run shows, from its folder.

    Parameters
    ----------
    folder : Path
        As `kalshi_bt.backtest` or a command left it; it may have been moved or renamed.

    Returns
    -------
    Run
        Equal to the one that was written: its renderings are the files of the folder, byte by byte.

    Raises
    ------
    DataError
        If the folder is no run, was left by another version, or a file of it is missing or not what
        the run wrote.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> from tempfile import TemporaryDirectory
    >>> run = Run(run_id="a-1", strategy="a", dataset="none", synthetic=True, scores={},
    ...           orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...           trades_closed=TRADES_CLOSED.empty())
    >>> with TemporaryDirectory() as place:
    ...     folder = Path(place)
    ...     write(run, folder)
    ...     told = {"run_id": "a-1", "files": hashes(folder)}
    ...     _ = (folder / MANIFEST).write_text(json.dumps(told))
    ...     load(folder).run_id
    'a-1'
    """
    files = manifest(folder)["files"]
    rest, scores = told(folder)
    shown = {name: _tuples(value) for name, value in rest.items()} | {"scores": scores}
    shown |= {name: _frame(folder, f"{name}.parquet", files) for name in _FRAMES}
    try:
        shown["charts"] = _split(_frame(folder, _CHARTS, files), rest["charts"])
        for group in GROUPS:
            names = {name: _member(group, name) for name in rest[group]}
            shown[group] = {name: _frame(folder, file, files) for name, file in names.items()}
        return Run(**shown)
    except (KeyError, TypeError):
        raise _other_version(folder) from None


def told(folder: Path) -> tuple[dict[str, Any], Scores]:
    """Return what ``run.json`` has of a run, and its scores; reads no table.

    Raises
    ------
    DataError
        As for `load`.
    """
    files = manifest(folder)["files"]
    if _REST not in files:
        raise DataError(
            f"{folder} has no simulation: documented agents left their files in it and no report"
        )
    rest = _json(folder, _REST, files)
    if not isinstance(rest, dict) or rest.pop("format", None) != FORMAT:
        raise _other_version(folder)
    return rest, _json(folder, _SCORES, files)


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run: ``run_id``, ``hashed``, ``files`` and the like.

    Raises
    ------
    DataError
        If the folder is no run, or one without hashes of its files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected that of a run, such as reports/<run_id>")
    try:
        text = (folder / MANIFEST).read_text("utf-8")
    except FileNotFoundError:
        raise DataError(f"{folder} is not the folder of a run: it has no {MANIFEST}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / MANIFEST} cannot be read ({error}); {_CURE}") from None
    found = _parsed(folder / MANIFEST, text)
    if not isinstance(found, dict) or not isinstance(found.get("run_id"), str):
        raise DataError(f"{folder / MANIFEST} names no run_id: it is damaged; {_CURE}")
    if not isinstance(found.get("files"), dict):
        raise _other_version(folder)
    return found


def _other_version(folder: Path) -> DataError:
    return DataError(f"{folder} was left by another version of kalshi-bt; {_CURE} to read it here")


def _content(folder: Path, name: str, committed: Mapping[str, str]) -> bytes:
    """Return the bytes of a file as the run wrote them."""
    path = folder / name
    if name not in committed:
        raise _other_version(folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_CURE}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {_CURE}") from None
    if hashlib.sha256(content).hexdigest() != committed[name]:
        raise DataError(f"{path} is not what the run wrote: damaged or edited; {_CURE}")
    return content


def _json(folder: Path, name: str, committed: Mapping[str, str]) -> Any:
    return _parsed(folder / name, _content(folder, name, committed).decode())


def _parsed(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is damaged ({error}); {_CURE}") from None


def _frame(folder: Path, name: str, committed: Mapping[str, str]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(_content(folder, name, committed)))


def _split(stacked: pl.DataFrame, order: list[str]) -> dict[str, pl.DataFrame]:
    parts = stacked.partition_by("ticker", as_dict=True, include_key=False)
    empty = stacked.clear().drop("ticker")
    return {ticker: parts.get((ticker,), empty) for ticker in order}


def _tuples(value: Any) -> Any:
    """Return a list as a tuple, which is how a run holds what it lists."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def names(place: Path) -> list[str]:
    """Return the names of the folders in a place that are, or were meant to be, runs."""
    try:
        found = [path for path in place.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{place} cannot be listed ({error.strerror})") from None
    return sorted(path.name for path in found if not path.name.startswith("."))


def find(run: str, place: Path) -> Path:
    """Return the folder of a run.

    Parameters
    ----------
    run : str
        A folder; or the id of a run in `place`, or the beginning of one.
    place : Path
        Where runs lie, such as ``reports``.

    Raises
    ------
    UsageError
        If there is none, or several begin so.
    """
    if not run.strip():
        raise UsageError("the run has an empty name; give a folder, or the beginning of its id")
    known = names(place)
    if run in known:
        return place / run
    if Path(run).is_dir():
        return Path(run)
    begun = [name for name in known if name.startswith(run)]
    if len(begun) > 1:
        raise UsageError(f"{run!r} begins {len(begun)} runs in {place}: {', '.join(begun[:6])}")
    if not begun:
        raise UsageError.unknown(f"run in {place}", run, known)
    return place / begun[0]
