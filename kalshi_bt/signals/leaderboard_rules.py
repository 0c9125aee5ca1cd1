"""How a leaderboard settles a market: who is on top, by rules that are data."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

import polars as pl

from kalshi_bt.errors import DataError, UsageError

__all__ = [
    "RULES",
    "ResolutionRule",
    "Standing",
    "release_interval",
    "resolve_top_model",
    "resolve_top_organization",
    "standing",
]

Rows = Iterable[Mapping[str, Any]] | pl.DataFrame
_LAST = date(9999, 12, 31)
_UNRANKED = 10_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRule:
    """What decides an event.

    Attributes
    ----------
    metric : {"rank_ub", "rank", "score"}
        What is compared: the best rank the intervals allow, the rank displayed, or the score.
    ties : {"cascade", "nobody", "organization", "all"}
        What becomes of models with the same metric: the higher score wins, then more votes, then
        the earlier release, then the name; nobody wins; nobody wins unless all belong to one
        organisation; or all win.
    dates : {"parsed", "text"}
        Whether release dates are compared as dates, or as the words they were written in.
    period : {"at", "any"}
        Whether the board counts at one time, or each check until then.
    check : str
        Time of day and zone of a check.
    source : str
        The board, as a source of references.
    """

    metric: Literal["rank_ub", "rank", "score"] = "rank_ub"
    ties: Literal["cascade", "nobody", "organization", "all"] = "cascade"
    dates: Literal["parsed", "text"] = "parsed"
    period: Literal["at", "any"] = "at"
    check: str = "10:00 America/New_York"
    source: str = "arena/text"


RULES: Final[Mapping[str, ResolutionRule]] = MappingProxyType(
    {
        "cascade": ResolutionRule(),
        "cascade_text": ResolutionRule(dates="text"),
        "alone": ResolutionRule(ties="nobody"),
        "organization": ResolutionRule(ties="organization"),
        "elo": ResolutionRule(metric="score", ties="organization"),
        "ties_win": ResolutionRule(ties="all"),
        "any_day": ResolutionRule(period="any"),
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Who is on top of a board under a rule.

    Attributes
    ----------
    models : tuple of str
        The winners by name; empty where nobody wins.
    organizations : tuple of str
        Theirs, each once.
    undecided : tuple of str
        Models between which the rule cannot decide on what is known; then nobody wins yet.
    """

    models: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    organization: str | None
    metric: float
    score: float
    votes: float
    released: tuple[date, date]
    words: str = field(default="")


def standing(rows: Rows, rule: str | ResolutionRule = "cascade") -> Standing:
    """Return who is on top of a board.

    Parameters
    ----------
    rows : iterable of mappings, or frame
        One a model: `model_name` (or `model`), `organization`, `rank_ub`, `rank`, `score`, `votes`
        and `release_date` (text or date), any of which but the name may be absent or null. A rank
        that is absent, or not above 0, comes last.
    rule : str or ResolutionRule
        One of `RULES`, or another.

    Raises
    ------
    UsageError
        If there is no rule of that name.
    DataError
        If a row has no name.

    Examples
    --------
    >>> tied = [{"model": "a-1", "organization": "A", "rank_ub": 1, "score": 1500.0},
    ...         {"model": "b-1", "organization": "B", "rank_ub": 1, "score": 1498.0}]
    >>> standing(tied).models, standing(tied, "alone").models, standing(tied, "ties_win").models
    (('a-1',), (), ('a-1', 'b-1'))
    """
    chosen = _rule(rule)
    entries = [_entry(row, chosen) for row in _mappings(rows)]
    if not entries:
        return Standing()
    best = min(entry.metric for entry in entries)
    top = sorted((e for e in entries if e.metric == best), key=lambda entry: entry.name)
    if chosen.ties == "cascade":
        return _cascade(top, chosen)
    makers = {entry.organization for entry in top}
    alone = len(top) == 1 or chosen.ties == "all"
    if not alone and (chosen.ties == "nobody" or len(makers) > 1 or None in makers):
        return Standing()
    return _won(top)


def resolve_top_model(rows: Rows, rule: str | ResolutionRule = "cascade") -> str | None:
    """Return the name of the model on top; None if there is none, or not exactly one.

    Parameters
    ----------
    rows, rule
        As for `standing`. The default sorts by rank_ub, then falling score, then falling votes,
        then release, then name.

    Examples
    --------
    >>> resolve_top_model([{"model": "a", "rank_ub": 2}, {"model": "b", "rank_ub": 1}])
    'b'
    """
    models = standing(rows, rule).models
    return models[0] if len(models) == 1 else None


def resolve_top_organization(rows: Rows, rule: str | ResolutionRule = "cascade") -> str | None:
    """Return the organisation on top; None if there is none, or not exactly one.

    Parameters
    ----------
    rows, rule
        As for `standing`.

    Examples
    --------
    >>> resolve_top_organization([{"model": "a", "rank_ub": 1, "organization": "A"}])
    'A'
    """
    found = standing(rows, rule)
    undecided = bool(found.undecided)
    return found.organizations[0] if len(found.organizations) == 1 and not undecided else None


def release_interval(said: str | date | None) -> tuple[date, date]:
    """Return the earliest and the latest day that a release date may mean.

    Examples
    --------
    >>> [day.isoformat() for day in release_interval("2025-03")]
    ['2025-03-01', '2025-03-31']
    >>> [day.isoformat() for day in release_interval("03/04/2025")]
    ['2025-03-04', '2025-04-03']
    >>> [day.isoformat() for day in release_interval("Feb 15, 2026")]
    ['2026-02-15', '2026-02-15']
    """
    if said is None or said == "":
        return _LAST, _LAST
    if isinstance(said, date):
        day = date(said.year, said.month, said.day)
        return day, day
    found = sorted(_readings(str(said).strip()))
    if not found:
        return date.min, _LAST  # it means something, but nobody knows what
    return found[0][0], max(last for _, last in found)


def _readings(said: str) -> list[tuple[date, date]]:
    """Return what a text may mean, as first and last day."""
    if match := re.fullmatch(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?(?:T.*)?", said):
        year, month, day = (int(part) if part else None for part in match.groups())
        return _days(year, month, day)
    if match := re.fullmatch(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})", said):
        one, two, year = map(int, match.groups())
        return [*_days(year, one, two), *_days(year, two, one)]
    if match := re.fullmatch(r"([A-Za-z]{3})[a-z]*\.? (?:(\d{1,2}), ?)?(\d{4})", said):
        name = match[1].lower()
        if name in _MONTHS:
            return _days(
                int(match[3]), _MONTHS.index(name) + 1, int(match[2]) if match[2] else None
            )
    return []


def _days(year: int | None, month: int | None, day: int | None) -> list[tuple[date, date]]:
    try:
        first = date(year or 0, month or 1, day or 1)
    except ValueError:
        return []
    if day is not None:
        return [(first, first)]
    if month is None:
        return [(first, date(first.year, 12, 31))]
    if month == 12:
        return [(first, date(first.year, 12, 31))]
    return [(first, date(first.year, month + 1, 1) - timedelta(days=1))]


def _cascade(top: list[_Entry], rule: ResolutionRule) -> Standing:
    """Return the first by falling score, falling votes, release and name."""
    lead = min((-entry.score, -entry.votes) for entry in top)
    tied = [entry for entry in top if (-entry.score, -entry.votes) == lead]
    if rule.dates == "text":
        return _won([min(tied, key=lambda entry: (entry.words, entry.name))])
    first = min(tied, key=lambda entry: (entry.released, entry.name))
    # Equal days leave it to the name; of days that overlap nobody knows which is the earlier.
    unclear = [
        entry
        for entry in tied
        if entry.released[0] <= first.released[1]
        and not (entry.released == first.released and first.released[0] == first.released[1])
    ]
    if any(entry.name != first.name for entry in unclear):
        return Standing(undecided=tuple(sorted({first.name, *(entry.name for entry in unclear)})))
    return _won([first])


def _won(entries: list[_Entry]) -> Standing:
    makers = sorted({entry.organization for entry in entries if entry.organization})
    return Standing(tuple(entry.name for entry in entries), tuple(makers))


def _entry(row: Mapping[str, Any], rule: ResolutionRule) -> _Entry:
    score = _number(row.get("score"), -math.inf)
    ranks = [_number(row.get(name), math.nan) for name in (rule.metric, "rank")]
    known = [rank for rank in ranks if not math.isnan(rank)]
    rank = known[0] if known and known[0] > 0 else _UNRANKED
    said = row.get("release_date")
    name = row.get("model_name", row.get("model"))
    if name is None:
        raise DataError(
            "a row of the board has neither model_name nor model, only "
            f"{', '.join(map(str, row))}; name the column of names so"
        )
    return _Entry(
        name=str(name),
        organization=row.get("organization") or None,
        metric=-score if rule.metric == "score" else rank,
        score=score,
        votes=max(_number(row.get("votes"), 0.0), 0.0),
        released=release_interval(said),
        words=str(said) if said else _LAST.isoformat(),
    )


def _number(value: Any, absent: float) -> float:
    if value is None:
        return absent
    number = float(value)
    return absent if math.isnan(number) else number


def _mappings(rows: Rows) -> Iterable[Mapping[str, Any]]:
    return rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows


def _rule(rule: str | ResolutionRule) -> ResolutionRule:
    if isinstance(rule, ResolutionRule):
        return rule
    if rule not in RULES:
        raise UsageError.unknown("resolution rule", rule, RULES)
    return RULES[rule]
