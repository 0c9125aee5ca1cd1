"""Columns that no signal may see: outcomes, and what a market's metadata say after the fact.

The panel has none of them. A signal that demands one is found out by name; one that takes it where
it happens to be there is found out by offering it invented ones.
"""

import re
from datetime import UTC, datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.lookahead.compare import first_moved
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.subject import KEY, SignalError, Subject
from kalshi_bt.lookahead.trial import Trial

_EARLY, _LATE = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_AMOUNTS = (
    "payout",
    "value",
    "settlement_value",
    "settlement_value_dollars",
    "settlement_price",
    "expiration_value",
    "last_price",
    "last_price_dollars",
    "previous_price",
    "final_price",
    "won",
    "label",
)
_TEXTS = ("result", "market_result", "outcome", "winner", "status")
_TIMES = (
    "settled_time",
    "settled_at",
    "settlement_time",
    "settlement_ts",
    "determination_time",
    "finalized_time",
    "expiration_time",
    "actual_close",
    "actual_close_time",
    "closed_at",
    "known_at",
)
_VALUES: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(_AMOUNTS, (0.0, 1.0)),
    **dict.fromkeys(_TEXTS, ("no", "yes")),
    **dict.fromkeys(_TIMES, (_EARLY, _LATE)),
}
_TELLING = re.compile(
    r"settle|result|payout|outcome|resol|winner|\bwon\b|final|expir|determin|actual|last_price|label"
)


def is_hidden(name: str) -> bool:
    """Tell whether a column of this name would hold an outcome, or tell when it was known.

    Examples
    --------
    >>> is_hidden("payout"), is_hidden("resolved_yes"), is_hidden("spot")
    (True, True, False)
    """
    known = name in _VALUES or (name in schema.SETTLEMENTS.columns and name not in schema.QUOTES)
    return known or _TELLING.search(name.lower()) is not None


def offered(quotes: pl.DataFrame, which: int, names: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return quotes with invented outcomes, the first or the second version of all or of some."""
    absent = (n for n in names or _VALUES if n not in quotes.columns)
    return quotes.with_columns(pl.lit(_VALUES[n][which]).alias(n) for n in absent)


def demanded(subject: Subject, quotes: pl.DataFrame, column: str) -> Finding:
    """Return the finding about a signal that does not answer without a hidden column."""
    change = f"it asks for {column!r}, which no signal can have: an outcome, or known after the bar"
    first = quotes.sort("time", "ticker").row(0, named=True)
    plain = Finding(
        "hidden_columns", column, str(first["ticker"]), first["time"], None, None, change
    )
    if column not in _VALUES:
        return plain
    try:
        low, high = (subject.says(offered(quotes, which)) for which in (0, 1))
    except SignalError:
        return plain
    found = first_moved("hidden_columns", change, low, high, subject.columns)
    return plain if found is None else Finding(**{**vars(found), "column": column})


def hidden_columns(trial: Trial) -> Finding | None:
    """Return the first opinion that is another one where invented outcomes stand beside it."""
    if not any(_asked(trial, which) for which in (0, 1)):
        return None
    for name in (n for n in _VALUES if n not in trial.quotes.columns):
        for which in (0, 1):
            found = _asked(trial, which, name)
            if found is not None:
                return found
    return None


def _asked(trial: Trial, which: int, name: str = "") -> Finding | None:
    """Return what an invented column, or all of them, change."""
    change = f"a column {name!r} was there, which no signal can have" if name else ""
    frame = offered(trial.quotes, which, (name,) if name else ())
    try:
        said = trial.subject.says(frame)
    except SignalError as error:  # it took the column, and stumbled over its type
        row = trial.said.select(*KEY).row(0, named=True)
        place = (str(row["ticker"]), row["time"])
        return Finding("hidden_columns", name, *place, None, str(error), change)
    found = first_moved("hidden_columns", change, trial.said, said, trial.subject.columns)
    return found and Finding(**{**vars(found), "column": name})
