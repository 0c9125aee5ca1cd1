"""What is said at a bar, with other events, the order of rows or the warm-up changed."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import polars as pl

from kalshi_bt.lookahead.compare import TOLERANCE, Mask, earliest
from kalshi_bt.lookahead.finding import Finding, shown
from kalshi_bt.lookahead.sampling import Ints
from kalshi_bt.lookahead.trial import Trial

_FORGOTTEN = 1e-6  # dollars, a hundredth of the finest tick: what a fading memory may leave


def events(trial: Trial) -> Finding | None:
    """Return the first opinion that is another one without the other events."""
    code = trial.quotes["event"].cast(pl.String).rank("dense").to_numpy().astype(np.int64)
    alone = code == 1
    parts = [kept for kept in (alone, code % 2 == 0, code % 2 == 1) if not kept.all()]
    return earliest(_among_fewer(trial, kept) for kept in parts if kept.any())


def _among_fewer(trial: Trial, kept: Mask) -> Finding | None:
    said = trial.subject.says(trial.quotes.filter(pl.Series(kept)))
    return _confirmed(trial, "events", "other events were removed", np.flatnonzero(kept), said)


def order(trial: Trial, *, every: bool) -> Finding | None:
    """Return the first opinion, or row, that is another one when rows come in another order."""
    for name, rows in islice(_orders(trial.quotes), None if every else 1):
        said = trial.subject.says(trial.quotes[rows])
        found = _confirmed(trial, "order", f"rows came {name}", rows, said)
        if found is not None:
            return found
    return None


def _orders(quotes: pl.DataFrame) -> Iterator[tuple[str, Ints]]:
    rng = np.random.Generator(np.random.Philox(key=[5, quotes.height]))
    by_time = quotes.select(pl.arg_sort_by("time", "ticker")).to_series().to_numpy()
    yield "shuffled", rng.permutation(quotes.height)
    yield "sorted by time", by_time.astype(np.int64)
    yield "backwards", np.arange(quotes.height)[::-1].copy()


def warm_up(trial: Trial) -> Finding | None:
    """Return the first newest opinion for which the stated lookback does not suffice."""
    bars = trial.subject.lookback
    if bars is None:
        return None
    return earliest(_short(trial, cut, bars) for cut in trial.late_cuts)


def _short(trial: Trial, cut: Ints, bars: int) -> Finding | None:
    """Return the first newest opinion that the last `bars` bars of each market do not give."""
    kept, newest = tail(trial, cut, bars)
    if not newest.any():
        return None
    said = trial.subject.says(trial.quotes.filter(pl.Series(kept)))
    change = f"only the last {bars:,} bars of each market were given, as lookback says"
    rows = np.flatnonzero(kept)
    found = _confirmed(trial, "warm_up", change, rows, said, newest[rows], _FORGOTTEN)
    if found is None:
        return None
    told = []
    for more in (2 * bars, 4 * bars):
        kept, _ = tail(trial, cut, more)
        other = trial.subject.says(trial.quotes.filter(pl.Series(kept)))
        same = (pl.col("ticker").cast(pl.String) == found.ticker) & (pl.col("time") == found.time)
        if found.column in other.columns:
            value = other.filter(same)[found.column][0]
            value = f"{value:.9g}" if isinstance(value, float) else shown(value)
            told.append(f"{more:,} bars say {value}")
    return Finding(**{**vars(found), "change": f"{found.change} ({'; '.join(told)})"})


def tail(trial: Trial, cut: Ints, bars: int) -> tuple[Mask, Mask]:
    """Return the last `bars` bars of each market up to a cut, and the newest that had more."""
    place, start = trial.places
    past = trial.times <= cut
    before = np.concatenate([[0], np.cumsum(past)])
    end = np.concatenate([start[1:][start[1:] != start[:-1]], [len(start)]])
    market = np.cumsum(np.concatenate([[0], start[1:] != start[:-1]]))
    count = before[end[market]] - before[start]  # bars of the market up to the cut
    return past & (place >= count - bars), (place == count - 1) & (count > bars)


def _confirmed(
    trial: Trial,
    check: str,
    change: str,
    kept: Ints,
    said: pl.DataFrame,
    rows: Mask | None = None,
    tolerance: float = TOLERANCE,
) -> Finding | None:
    """Return the first opinion that moved, unless it stood on a knife's edge."""
    found = trial.differs(check, change, kept, said, rows=rows, tolerance=tolerance)
    if found is None or found.column == "rows":
        return found
    steady = trial.steady[kept]
    rows = steady if rows is None else steady & rows
    return trial.differs(check, change, kept, said, rows=rows, tolerance=tolerance)
