"""Events on recorded leaderboards: who is listed at the opening, who is on top at the check."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from kalshi_bt.signals.leaderboard_names import ORGANIZATIONS, organization_key, organization_of
from kalshi_bt.signals.leaderboard_rules import ResolutionRule, Standing, standing

__all__ = ["MAKERS", "MODELS", "Event", "events_on"]

MODELS: Final = "SYNTOPMODEL"  # series, as the signal knows them
MAKERS: Final = "SYNLLM1"  # organisations
OTHER: Final = "Other"
_STALE = timedelta(days=2)  # a board older than this decides nothing
_PRODUCTS = {maker: product for product, maker in reversed(list(ORGANIZATIONS.items()))}


@dataclass(frozen=True, eq=False)
class Event:
    """An event on the boards.

    Attributes
    ----------
    series : str
    opens, check : datetime
    names : tuple of str
        As contracts say them, "Other" last.
    listed : tuple of str
        Models.
    owner : tuple of int
        Of each listed model its place in `names`.
    won : tuple of bool, or None
        Of each name; None where the rule leaves it undecided.
    """

    series: str
    opens: datetime
    check: datetime
    names: tuple[str, ...]
    listed: tuple[str, ...]
    owner: tuple[int, ...]
    won: tuple[bool, ...] | None

    @property
    def name(self) -> str:
        """The event's ticker."""
        return f"{self.series}-{self.check.astimezone(UTC):%y%b%d}".upper()

    @property
    def tickers(self) -> list[str]:
        """Of its markets."""
        short = ["".join(c for c in name.upper() if c.isalnum()) for name in self.names]
        often = Counter(short)
        return [
            f"{self.name}-{code}{number if often[code] > 1 else ''}"
            for number, code in enumerate(short)
        ]


def events_on(board: pl.DataFrame, rule: ResolutionRule, days: int, listed: int) -> Iterator[Event]:
    """Return the events that boards allow, in order of their checks.

    Parameters
    ----------
    board : frame
        As `leaderboard_board.snapshots` returns it.
    rule : ResolutionRule
        Who is on top, and at which time of day it is asked.
    days : int
        From opening to check.
    listed : int
        Models listed by name, those with the highest scores at the opening.
    """
    seen = board["time"].unique().sort().to_list()
    if not seen:
        return
    clock, zone = rule.check.split(" ")
    span = range((seen[-1] - seen[0]).days + 2)
    for day in (seen[0].date() + timedelta(days=n) for n in span):
        local = datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone))
        check = local.astimezone(UTC)
        opens = check - timedelta(days=days)
        ends = [_newest(seen, moment) for moment in (opens, check)]
        if check > seen[-1] or None in ends:
            continue
        first, last = (board.filter(pl.col("time") == moment) for moment in ends)
        if first["score"].count() >= 2:
            yield from _pair(opens, check, first, standing(last, rule), listed)


def _newest(seen: Sequence[datetime], moment: datetime) -> datetime | None:
    """Return the newest board known at a moment, if it is not too old."""
    known = [one for one in seen if moment - _STALE <= one <= moment]
    return known[-1] if known else None


def _pair(
    opens: datetime, check: datetime, first: pl.DataFrame, top: Standing, listed: int
) -> Iterator[Event]:
    """Return the event of models and that of organisations on one check."""
    best = first.drop_nulls("score").sort(pl.col("score").neg(), "model").head(listed)
    models = tuple(best["model"])
    makers = [_maker(*row) for row in best.select("model", "organization").iter_rows()]
    groups = {
        MODELS: (models, list(models), list(top.models)),
        MAKERS: (
            tuple(dict.fromkeys(maker for maker in makers if maker)),
            makers,
            [organization_key(name) for name in top.organizations]
            or [m for m in (organization_of(name) for name in top.models) if m],
        ),
    }
    for series, (keys, of_model, winners) in groups.items():
        names = [_PRODUCTS.get(key, key) if series == MAKERS else key for key in keys]
        won = [key in winners for key in keys]
        rest = any(winner not in keys for winner in winners)
        yield Event(
            series=series,
            opens=opens,
            check=check,
            names=(*names, OTHER),
            listed=models,
            owner=tuple(keys.index(key) if key else len(keys) for key in of_model),
            won=None if top.undecided else (*won, rest),
        )


def _maker(model: str, organization: str | None) -> str | None:
    """Return the key of a model's organisation as the board states it, or as its name says."""
    return organization_key(organization) if organization else organization_of(model)
