"""The ledger of what was tried: one line a run, appended and never changed.

The best of many variants looks good by luck alone, so a report counts the variants of its strategy
that were run on its data. A run counts those that were registered before its own first line and
itself; lines before a line never change, so the same run again counts the same.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from kalshi_bt.data.roots import lock
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.metrics.book import Book, Undefined
from kalshi_bt.metrics.equity import daily_equity, daily_returns, daily_sharpe
from kalshi_bt.metrics.sharpe_ratio import moments
from kalshi_bt.metrics.track_record import LEAST, deflated_among
from kalshi_bt.metrics.trading import net_pnl
from kalshi_bt.terminal import uninterrupted

LEDGER = "trials.jsonl"

Tried = Callable[[Book], "Sequence[Trial]"]  # the trials up to this one, itself the last


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One variant of a strategy that was run on some data.

    Attributes
    ----------
    trial : str
        Hash of strategy, settings and data, whatever the version of the code.
    strategy, data : str
        Name of the strategy and fingerprint of the data; trials that agree in both are variants.
    run_id : str
        The run, which depends on the code, too.
    sharpe : float or None
        Mean over standard deviation of the daily returns, not annualised.
    days : int
        Number of the daily returns.
    skew, kurtosis : float or None
        Of the daily returns; 0 and 3 for a normal distribution.
    net : int or None
        Net P&L in micro-dollars.
    first : str or None
        The first UTC day, such as ``2026-05-04``; null if it is not known.
    daily : tuple of int
        Net P&L of that day and of each after it, micro-dollars; empty if it is not known.
    """

    trial: str
    strategy: str
    data: str
    run_id: str
    sharpe: float | None = None
    days: int = 0
    skew: float | None = None
    kurtosis: float | None = None
    net: int | None = None
    first: str | None = None
    daily: tuple[int, ...] = ()

    def of(self, book: Book) -> "Trial":
        """Return the trial with what came out of it."""
        path = book.once(daily_equity)
        daily = tuple(path["equity"].diff().drop_nulls().to_list())
        first = None if path.is_empty() else f"{path['time'][0]:%Y-%m-%d}"
        own = replace(self, days=len(daily), net=net_pnl(book), first=first, daily=daily)
        returns, ratio = book.once(daily_returns), book.once(daily_sharpe)
        if isinstance(returns, Undefined) or isinstance(ratio, Undefined):
            return own
        found = moments(returns)
        return replace(own, sharpe=ratio, skew=found.skew, kurtosis=found.kurtosis)


def alone(book: Book) -> list[Trial]:
    """Return the one trial of a run that is kept nowhere."""
    return [Trial(trial="", strategy="", data="", run_id="").of(book)]


def after(before: Sequence[Trial], own: Trial) -> Tried:
    """Return what tells the trials of a run from those before it, whatever is registered now."""
    return lambda book: [*before, own.of(book)]


def registering(out: Path, own: Trial) -> Tried:
    """Return what registers the first book it is given; all count what was registered before it."""
    before: list[Trial] | None = None

    def tried(book: Book) -> list[Trial]:
        nonlocal before
        found = own.of(book)
        if before is None:
            with uninterrupted():
                before = up_to(register(out, found), found)[:-1]
        return [*before, found]

    return tried


_KINDS: dict[str, Any] = {f.name: f.type for f in fields(Trial)} | {"daily": list}
_LATER = {"first", "daily"}  # which lines of earlier versions lack


def variants(trials: Iterable[Trial], of: Trial) -> list[Trial]:
    """Return the variants of a strategy on its data in order of their first line, as last run.

    Examples
    --------
    >>> one = Trial(trial="x", strategy="a", data="d", run_id="a-1", net=1)
    >>> again = Trial(trial="x", strategy="a", data="d", run_id="a-2", net=2)
    >>> other = Trial(trial="y", strategy="a", data="d", run_id="a-3", net=3)
    >>> [trial.net for trial in variants([one, other, again], of=one)]
    [2, 3]
    """
    same = [t for t in trials if (t.strategy, t.data) == (of.strategy, of.data)]
    return list({t.trial: t for t in same}.values())


def deflated(trials: Sequence[Trial], own: Trial) -> float | None:
    """Return the deflated Sharpe ratio of a trial among all variants to date.

    Returns
    -------
    float or None
        The confidence that its daily Sharpe ratio is above the best to expect of so many trials of
        nothing; null below 10 days, or where too few ratios exist.

    References
    ----------
    `kalshi_bt.metrics.deflated_sharpe`, doi:10.3905/jpm.2014.40.5.094.
    """
    if own.sharpe is None or own.skew is None or own.kurtosis is None or own.days < LEAST:
        return None
    ratios = [t.sharpe for t in variants(trials, own)]
    try:
        found = deflated_among(ratios, own.sharpe, own.days, own.skew, own.kurtosis)
    except UsageError:  # moments of returns that hardly vary
        return None
    return None if isinstance(found, Undefined) else found


def up_to(trials: Sequence[Trial], own: Trial) -> list[Trial]:
    """Return the variants registered before a trial, and the trial itself as the last.

    Parameters
    ----------
    trials : sequence of Trial
        The whole ledger; without a line of this run, all of it came before.
    own : Trial
        With what came out of it.
    """
    line = next((n for n, t in enumerate(trials) if t.run_id == own.run_id), len(trials))
    before = variants(trials[:line], own)
    place = next((n for n, t in enumerate(before) if t.trial == own.trial), len(before))
    return [*before[:place], own]


def read(out: Path) -> list[Trial]:
    """Return the ledger of a folder of runs, line by line; a torn last line counts as absent.

    Raises
    ------
    DataError
        If it cannot be read, or another line than the last is damaged.
    """
    path = out / LEDGER
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    return _trials(path, content)


def register(out: Path, trial: Trial) -> list[Trial]:
    """Add a trial to the ledger of a folder of runs, if this run is not in it; return the ledger.

    Several processes may register at once; a line that a killed one left torn is removed first.

    Raises
    ------
    DataError
        If the ledger cannot be written, or is damaged.
    """
    path = out / LEDGER
    try:
        out.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            lock(file, wait=True)
            file.seek(0)
            content = file.read()
            found, whole = _trials(path, content), content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
            if all(known.run_id != trial.run_id for known in found):
                file.write(json.dumps(asdict(trial), allow_nan=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                found.append(trial)
            return found
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --out"
        ) from None


def _trials(path: Path, content: bytes) -> list[Trial]:
    """Return the trials of all whole lines."""
    lines = content.split(b"\n")[:-1]
    return [_trial(path, number, line) for number, line in enumerate(lines, start=1)]


def _trial(path: Path, number: int, line: bytes) -> Trial:
    try:
        row = json.loads(line)
        fit = _KINDS.keys() - row.keys() <= _LATER and all(
            isinstance(value, _KINDS[name]) for name, value in row.items()
        )
        fit = fit and all(type(pnl) is int for pnl in row.get("daily", ()))
    except (ValueError, AttributeError, KeyError, TypeError):
        fit = False
    if not fit:
        raise DataError(
            f"{path}, line {number} is no trial: it is damaged; mend the line or remove it"
        )
    return Trial(**row | {"daily": tuple(row.get("daily", ()))})
