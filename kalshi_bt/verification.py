"""Whether a run comes out the same again: run once more, then every file compared byte by byte."""

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt import run_folder
from kalshi_bt.artifacts import trial
from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.metrics.book import Book
from kalshi_bt.plan import Plan, plan
from kalshi_bt.run import execute, execute_longshot
from kalshi_bt.trial_days import TABLE, retold
from kalshi_bt.trials import Trial

__all__ = ["Verification", "verify"]

_SHOWN = 120  # letters of a line that differs


@dataclass(frozen=True)
class Verification:
    """What came of running a run once more.

    Attributes
    ----------
    run : str
        Its id.
    changed : tuple of str
        What the run depends on and is not what it was: code, data, libraries, the strategy's file.
    differences : mapping
        File to the first difference in it; empty: every file came out the same.
    files : int
        How many were compared.
    """

    run: str
    changed: tuple[str, ...]
    differences: Mapping[str, str]
    files: int

    @property
    def identical(self) -> bool:
        """Whether every file came out the same."""
        return not self.differences

    def json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "run": self.run,
            "identical": self.identical,
            "files": self.files,
            "changed": list(self.changed),
            "differences": dict(self.differences),
        }

    def text(self) -> str:
        """Return it in words."""
        lines = [f"changed since: {what}" for what in self.changed]
        if self.identical:
            lines.append(f"{self.run}: identical, all {self.files} files")
        else:
            count = f"{len(self.differences)} of {self.files} files differ"
            lines.append(f"{self.run}: {count}")
        return "\n".join([*lines, *(f"  {file}: {why}" for file, why in self.differences.items())])


def verify(folder: Path, data: str | None = None) -> Verification:
    """Run a run once more in a temporary folder and compare what it left.

    Parameters
    ----------
    folder : Path
        Of a run.
    data : str, optional
        Where its dataset lies now; without it, where it lay.

    Raises
    ------
    DataError
        If the folder is no run, or its dataset or strategy is not there.
    UsageError
        If its signal was handed over as an object, so that no name leads to it.
    """
    told = run_folder.manifest(folder)
    config = layered(folder / "config.toml", {}, {}, [])  # nothing of who verifies it
    made = plan(replace(config, strategy_sha256=None))
    root = Path(data or config.data)
    with tempfile.TemporaryDirectory(prefix="verify-") as desk:
        again = _again(made, Path(desk), root, _before(folder))
        changed = [*_changed(told["hashed"], run_folder.manifest(again)["hashed"])]
        then, now = (_contents(place) for place in (folder, again))
        found = {name: _first(name, then.get(name), now.get(name)) for name in sorted(then | now)}
    differences = {name: why for name, why in found.items() if why}
    return Verification(told["run_id"], tuple(changed), differences, len(found))


def _before(folder: Path) -> list[Trial]:
    """Return the trials that were registered before a run, as it counted them."""
    path = folder / "run.json"
    try:
        rows = json.loads(path.read_text("utf-8"))["trials"]
        return retold(rows, pl.read_parquet(folder / f"tables-{TABLE}.parquet"))[:-1]
    except FileNotFoundError:  # of documented agents
        return []
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} is damaged ({error}); run it again") from None


def _again(made: Plan, out: Path, root: Path, before: list[Trial]) -> Path:
    """Run a plan after the trials it had before it, register nothing, and return its folder."""

    def tried(book: Book) -> list[Trial]:
        return [*before, trial(made, Store.open(root)).of(book)]

    def tell(_: str) -> None:
        return None

    if made.config.format is None:
        return execute(made, out, tell, tried=tried, root=root).run_dir
    return Path(execute_longshot(made, out, tell=tell, tried=tried, root=root)["folder"])


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say what a run depends on that is not what it was."""
    found = []
    for what, name, key in (("code", "code", "sources"), ("data", "data", "fingerprint")):
        old, new = then[name][key], now[name][key]
        if old != new:
            found.append(f"{what}: {old[:12]} then, {new[:12]} now")
    old, new = (told["config"].get("strategy_sha256") for told in (then, now))
    if old != new:
        file = now["config"]["strategy"]
        found.append(f"{file}: {str(old)[:12]} then, {str(new)[:12]} now")
    for library, version in now["libraries"].items():
        earlier = then["libraries"].get(library, "not recorded")
        if earlier != version:
            found.append(f"{library}: {earlier} then, {version} now")
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    """Return file name to content, the manifest without the time it took."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    told = json.loads(files[run_folder.MANIFEST])
    told.pop("wall_time_seconds", None)
    files[run_folder.MANIFEST] = json.dumps(told, indent=2, sort_keys=True).encode()
    return files


def _first(name: str, then: bytes | None, now: bytes | None) -> str:
    """Return the first difference between two contents of a file; empty if there is none."""
    if then == now:
        return ""
    if then is None or now is None:
        return "it is there now, and was not" if then is None else "it was there, and is not now"
    return (_row if name.endswith(".parquet") else _line)(then, now)


def _row(then: bytes, now: bytes) -> str:
    """Return the first row and column in which two tables differ."""
    fresh = pl.read_parquet(io.BytesIO(now))
    try:
        old = pl.read_parquet(io.BytesIO(then))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return "what was there is no table any more"
    if old.schema != fresh.schema:
        return f"columns {dict(old.schema)} then, {dict(fresh.schema)} now"
    both = min(old.height, fresh.height)
    unlike = {name: old[name].head(both).ne_missing(fresh[name].head(both)) for name in old.columns}
    firsts = [(int(rows.arg_true()[0]), name) for name, rows in unlike.items() if rows.any()]
    if firsts:
        row = min(row for row, _ in firsts)
        name = next(name for at, name in firsts if at == row)
        was, is_ = (_shown(table[row, name]) for table in (old, fresh))
        return f"row {row + 1}, {name}: {was} then, {is_} now"
    if old.height != fresh.height:
        return f"{old.height:,} rows then, {fresh.height:,} now"
    return "the same rows in other bytes"


def _shown(value: object) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else repr(value)


def _line(then: bytes, now: bytes) -> str:
    """Return the first line in which two texts differ, from a little before the difference on."""
    olds, news = (text.decode(errors="replace").split("\n") for text in (then, now))
    pairs = enumerate(zip(olds, news, strict=False), start=1)
    line, (old, new) = next(
        ((n, pair) for n, pair in pairs if pair[0] != pair[1]),
        (min(len(olds), len(news)) + 1, ("", "")),
    )
    same = next(
        (n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
        min(len(old), len(new)),
    )
    start = max(0, same - _SHOWN // 2)
    old, new = (text[start : start + _SHOWN] for text in (old, new))
    return f"line {line}: {old!r} then, {new!r} now"
