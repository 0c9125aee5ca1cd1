"""What an audit reports: findings, and the verdict they make together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CURES = {
    "rows": "return the rows that came in, in their order; add columns with with_columns",
    "hidden_columns": "use what was known at the bar: an outcome reaches a signal only through fit",
    "truncate": "use rows up to the bar's own: shift(1) and not shift(-1), rolling windows that "
    "end at the bar, no mean, max, rank, fill or count over the whole frame",
    "perturb": "use rows up to the bar's own: shift(1) and not shift(-1), rolling windows that "
    "end at the bar, no mean, max, rank, fill or count over the whole frame",
    "events": "compute within a market or an event: .over('ticker', order_by='time')",
    "order": "order by time within a market: .over('ticker', order_by='time')",
    "warm_up": "raise lookback to the bars that the newest value needs, or forget older ones",
    "repeat": "depend on the quotes alone: no generator without a seed, no clock, no memory",
    "state": "keep nothing between calls: no cache of what earlier quotes said",
    "zone": "name the zone: .dt.convert_time_zone('America/New_York')",
    "outside": "take it as a column: declare a Need, which is joined as of the time it was known",
    "samples": "a sample must follow from rows up to its own time",
    "fit": "fit with rows whose known_at lies before the fit",
}
"""Check to what to do about its finding."""

_NOT_AHEAD = {"rows", "events", "order", "warm_up", "repeat", "state", "zone"}
# A panel comes sorted, in a run and live: an order taken for granted there is untidy, no fault.
_HARMLESS = {"order"}


@dataclass(frozen=True)
class Finding:
    """The first opinion by which a check found the signal out.

    Attributes
    ----------
    check : str
        One of `CURES`.
    column, ticker : str
        Which of the signal's columns, and of which market.
    time : datetime
        Of the bar.
    before, after : object
        What the column said, and what it says after the change that must not matter.
    change : str
        What was changed.
    rows : int
        How many opinions of the audited bars moved.
    """

    check: str
    column: str
    ticker: str
    time: datetime
    before: Any
    after: Any
    change: str
    rows: int = 1

    @property
    def cure(self) -> str:
        """What to do about it."""
        return CURES[self.check]

    def json(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {
            "check": self.check,
            "column": self.column,
            "ticker": self.ticker,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "before": _plain(self.before),
            "after": _plain(self.after),
            "change": self.change,
            "rows": self.rows,
            "cure": self.cure,
        }

    def text(self) -> str:
        """Return the finding in three lines."""
        place = f"{self.check}: {self.column} of {self.ticker} at {self.time:%Y-%m-%d %H:%M:%S}"
        moved = f": {shown(self.before)} became {shown(self.after)} ({self.rows:,} in all)"
        told = "" if self.before is None and self.after is None else moved
        return f"{place}{told}\n    because {self.change}\n    cure: {self.cure}"


@dataclass(frozen=True)
class Verdict:
    """What an audit came to.

    Attributes
    ----------
    findings : sequence of Finding
        The first of each check that found something.
    markets, bars, opinions : int
        What was audited, and in how many bars the signal said something.
    universe : int
        Markets of the panel.
    checks : sequence of str
        Those that were made.
    notes : sequence of str
        What was not checked, and why.
    by_design : str
        What the mode does knowingly with later outcomes; empty otherwise.
    warnings : sequence of Finding
        What moves no opinion of a run.
    """

    findings: Sequence[Finding]
    markets: int
    bars: int
    opinions: int
    universe: int
    checks: Sequence[str]
    notes: Sequence[str] = ()
    by_design: str = ""
    warnings: Sequence[Finding] = ()

    @classmethod
    def of(cls, found: Sequence[Finding], **said: Any) -> "Verdict":
        """Return the verdict on what was found; alone, some faults are no more than warnings."""
        harmless = all(each.check in _HARMLESS for each in found)
        findings, warnings = ((), found) if harmless else (found, ())
        return cls(findings, **said, warnings=warnings)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        if self.findings:
            first = self.findings[0]
            names = [f.check for f in self.findings]
            fault = "LOOK-AHEAD: no result of this signal can be believed."
            if set(names) <= _NOT_AHEAD:
                fault = "UNSOUND SIGNAL: what it says here it would not say live."
            place = f"{first.column} of {first.ticker} at {first.time:%Y-%m-%d %H:%M}"
            failed = f"checks that failed: {', '.join(names)}"
            return f"{fault} First found: {place} ({first.change}; {failed})."
        if not self.checks:
            return f"Look-ahead: not audited ({'; '.join(self.notes)})."
        seen = f"{self.markets:,} of {self.universe:,} markets"
        if not self.opinions:
            return f"Look-ahead: nothing found, but the signal said nothing in {seen} audited."
        if "truncate" not in self.checks:
            return f"Look-ahead: audited in part only ({'; '.join(self.notes)})."
        told = f"Look-ahead: nothing found in {self.opinions:,} opinions on {seen}."
        return f"{told} By design: {self.by_design}." if self.by_design else told

    @property
    def tone(self) -> str:
        """``clean``, ``leak`` or, where it does not answer the question, ``open``."""
        if self.findings:
            return "leak"
        whole = "truncate" in self.checks and self.opinions and not self.by_design
        return "clean" if whole else "open"

    def json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        return {
            "clean": self.clean,
            "findings": [found.json() for found in self.findings],
            "warnings": [found.json() for found in self.warnings],
            "headline": self.headline,
            "markets": self.markets,
            "universe": self.universe,
            "bars": self.bars,
            "opinions": self.opinions,
            "checks": list(self.checks),
            "notes": list(self.notes),
            "by_design": self.by_design,
        }

    @property
    def details(self) -> Sequence[str]:
        """The findings, the checks that were made, and what was not checked."""
        notes = [f"note: {note}" for note in self.notes]
        checks = [f"checks: {', '.join(self.checks)}"] if self.checks else []
        warned = [f"warning: {found.text()}" for found in self.warnings]
        return [*(found.text() for found in self.findings), *warned, *checks, *notes]

    def text(self) -> str:
        """Return the verdict for a terminal."""
        return "\n".join([self.headline, *(f"  {line}" for line in self.details)]) + "\n"


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it; NaN, which it does not have, as text."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "NaN" if isinstance(value, float) and value != value else value  # noqa: PLR0124 - NaN


def shown(value: Any) -> str:
    """Return a value for a reader; every digit, because leaks may sit in the last ones."""
    return "nothing" if value is None else str(value)
