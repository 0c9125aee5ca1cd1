"""Whether a signal depends on its quotes alone: asked again, after others, elsewhere, watched."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import polars as pl

from kalshi_bt.lookahead.compare import first_moved
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.subject import KEY
from kalshi_bt.lookahead.trial import Trial
from kalshi_bt.lookahead.watch import watched

_TURN = Lock()
_ELSEWHERE = "FAR-13:37"  # hours and minutes east of UTC, as POSIX writes it


def repeat(trial: Trial, data: str = "") -> tuple[Finding | None, Finding | None]:
    """Return the first opinion that a second call gives otherwise, and what it read meanwhile.

    Parameters
    ----------
    trial : Trial
    data : str
        Folder of the dataset, of which not even the loading of a signal's file may read.
    """
    with watched() as loading:
        signal = trial.subject.renewed()
    with watched() as calling:
        said = trial.subject.asked(trial.quotes, signal)
    sights = [*calling, *(sight for sight in loading if sight.within(data))]
    change = "the same quotes were given again"
    shaky = first_moved("repeat", change, trial.said, said, trial.subject.columns)
    if not sights:
        return shaky, None
    first = trial.quotes.sort("time", "ticker").select(*KEY).row(0)
    place = (trial.subject.columns[0], str(first[0]), first[1])
    return shaky, Finding("outside", *place, None, None, sights[0].text, len(sights))


def state(trial: Trial) -> Finding | None:
    """Return the first opinion that depends on what was asked before.

    A signal that keeps the mean of the first frame it met hides a leak from all other checks; so a
    copy, made by running its file anew, meets the past of the sample first and then all of it.
    """
    signal, columns = trial.subject.renewed(), trial.subject.columns
    past = trial.quotes.filter(pl.Series(trial.times <= trial.cuts[0]))
    if past.height:
        early = trial.subject.asked(past, signal)
        change = "the file was run anew, and met these quotes first"
        found = first_moved("state", change, trial.subject.says(past), early, columns)
        if found is not None:
            return found
    later = trial.subject.asked(trial.quotes, signal)
    return first_moved("state", "it had met other quotes before", trial.said, later, columns)


def zone(trial: Trial) -> Finding | None:
    """Return the first opinion that is another one on a machine of another time zone."""
    with _elsewhere():
        said = trial.subject.asked(trial.quotes, trial.subject.renewed())
    change = f"this machine was told to be elsewhere ({_ELSEWHERE})"
    return first_moved("zone", change, trial.said, said, trial.subject.columns)


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Set the time zone of this process to one where nobody lives, for a while.

    The zone is one of all threads: audits take turns.
    """
    with _TURN:
        before = os.environ.get("TZ")
        os.environ["TZ"] = _ELSEWHERE
        time.tzset()
        try:
            yield
        finally:
            del os.environ["TZ"]
            if before is not None:
                os.environ["TZ"] = before
            time.tzset()
