"""What the variants of a strategy made of each day, side by side, as a run keeps it.

The numbers of a run depend on the trials before it; so its folder holds what it took of them, and
the run can be repeated when the ledger has grown or is gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from kalshi_bt.schema import Schema
from kalshi_bt.trials import Trial

__all__ = ["MOST", "TABLE", "days_of", "retold", "rows_of", "side_by_side"]

TABLE: Final = "trial_days"
MOST: Final = 200  # variants whose days are compared, and kept with a run
_DAYS: Final[Schema] = {"trial": pl.Int64, "day": pl.Date, "pnl": pl.Int64}
_APART: Final = {"first", "daily"}  # what the table has of a trial


def side_by_side(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the same days as the last, which is one of them; the latest `MOST`.

    Examples
    --------
    >>> from dataclasses import replace
    >>> one = Trial(trial="x", strategy="a", data="d", run_id="a-1", first="2026-01-01", daily=(1,))
    >>> longer, last = replace(one, daily=(1, 2)), replace(one, trial="y", daily=(3,))
    >>> [trial.daily for trial in side_by_side([one, longer, last])]
    [(1,), (3,)]
    """
    own = (trials[-1].first, len(trials[-1].daily))
    return [t for t in trials if t.daily and (t.first, len(t.daily)) == own][-MOST:]


def rows_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return trials as ``run.json`` has them, without their days, which `days_of` has."""
    return [{k: v for k, v in asdict(t).items() if k not in _APART} for t in trials]


def days_of(trials: Sequence[Trial]) -> pl.DataFrame:
    """Return what each of the trials `side_by_side` made of each day.

    Returns
    -------
    polars.DataFrame
        trial (its number from 1 among `trials`), day, pnl (micro-dollars).
    """
    number = {t.run_id: place for place, t in enumerate(trials, 1)}
    rows = [
        (number[t.run_id], date.fromisoformat(t.first or "") + timedelta(days=day), pnl)
        for t in side_by_side(trials)
        for day, pnl in enumerate(t.daily)
    ]
    return pl.DataFrame(rows, schema=_DAYS, orient="row")


def retold(rows: Sequence[Mapping[str, Any]], days: pl.DataFrame) -> list[Trial]:
    """Return trials from what `rows_of` and `days_of` made of them.

    One that the table has no days of comes back without any.

    Raises
    ------
    TypeError
        If a row is no trial.
    """
    parts = days.sort("trial", "day").partition_by("trial", as_dict=True)
    known = {
        place: {"first": part["day"][0].isoformat(), "daily": tuple(part["pnl"].to_list())}
        for (place,), part in parts.items()
    }
    return [Trial(**row, **known.get(place, {})) for place, row in enumerate(rows, 1)]
