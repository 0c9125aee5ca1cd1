"""Whether a dataset can be trusted for a backtest: `kalshi-bt validate`.

What an importer already refuses is counted from the quarantine; everything else is asked of the
stored rows by rules, one for each fault, in the modules beside this one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from kalshi_bt.data.roots import BROKEN, one_line
from kalshi_bt.data.soundness import (
    bars,
    columns,
    determinations,
    keys,
    life,
    schedule,
    series,
    strikes,
    trades,
)
from kalshi_bt.data.soundness.rows import Readable, Rows
from kalshi_bt.data.soundness.rule import EXAMPLES, Answer, Example, Rule, Severity, ask
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import REASONS
from kalshi_bt.errors import DataError

__all__ = ["RULES", "Audit", "Checked", "Example", "Finding", "audit", "text"]

RULES: tuple[Rule, ...] = (
    *columns.RULES,
    *bars.RULES,
    *trades.RULES,
    *life.RULES,
    *determinations.RULES,
    *strikes.RULES,
    *schedule.RULES,
    *series.RULES,
)
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}
_LARGE_SHARE = 0.01  # of a table in quarantine: more than a few bad rows


@dataclass(frozen=True)
class Finding:
    """A rule that found something.

    Attributes
    ----------
    rule, table : str
        Which rule, and where the fault lies.
    severity : str
        error, warning or note.
    count, of : int
        Rows at fault, and rows the rule was asked of.
    examples : tuple of Example
        The first of them, five at most.
    meaning : str
        The fault in a sentence.
    """

    rule: str
    severity: Severity
    table: str
    count: int
    of: int
    examples: tuple[Example, ...]
    meaning: str

    @property
    def share(self) -> float:
        """Rows at fault of those asked."""
        return self.count / self.of


@dataclass(frozen=True)
class Checked:
    """A rule that was asked, of how many rows (none: it had nothing to look at)."""

    rule: str
    table: str
    severity: Severity
    rows: int
    count: int


@dataclass(frozen=True)
class Audit:
    """What the audit of a dataset found.

    Attributes
    ----------
    dataset : str
        Its name.
    findings : tuple of Finding
        Errors first, then warnings and notes; most rows first.
    checked : tuple of Checked
        Every rule, with the rows it saw.
    """

    dataset: str
    findings: tuple[Finding, ...]
    checked: tuple[Checked, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing found makes a backtest untrustworthy."""
        return not any(finding.severity == "error" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain values that JSON can carry."""
        return {
            "dataset": self.dataset,
            "sound": self.sound,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "findings": [_plain(finding) for finding in self.findings],
            "checked": [
                {
                    "rule": c.rule,
                    "table": c.table,
                    "severity": c.severity,
                    "rows": c.rows,
                    "count": c.count,
                    "verdict": _verdict(c),
                }
                for c in self.checked
            ],
        }

    def to_json(self) -> str:
        """Return the audit as JSON text."""
        return json.dumps(self.to_dict(), indent=1)


def _verdict(checked: Checked) -> str:
    if not checked.rows:
        return "nothing to look at"
    return "found" if checked.count else "passed"


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "table": finding.table,
        "count": finding.count,
        "of": finding.of,
        "share": round(finding.share, 6),
        "meaning": finding.meaning,
        "examples": [
            {"ticker": e.ticker, "time": _iso(e), "found": e.found} for e in finding.examples
        ],
    }


def _iso(example: Example) -> str | None:
    return None if example.time is None else example.time.isoformat().replace("+00:00", "Z")


def audit(store: Readable, *, batch: int | None = None) -> Audit:
    """Return everything that is wrong with a dataset, by rule, with counts and examples.

    Parameters
    ----------
    store : Store
        The dataset.
    batch : int, optional
        Rows of bars and trades to compare at a time; what is found does not depend on it.

    Raises
    ------
    DataError
        If a file of the dataset cannot be read.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from kalshi_bt.data.store import Store
    >>> from kalshi_bt.data.synthetic import sample
    >>> with TemporaryDirectory() as folder:
    ...     store = Store.create(folder, name="sample", synthetic=True)
    ...     _ = store.commit(sample(days=1))
    ...     audit(store).sound
    True
    """
    try:
        return _audit(store, batch)
    except BROKEN as error:
        if isinstance(store, Store):
            store.verify()
        raise DataError(f"{store.name} cannot be read ({one_line(error)})") from error


def _audit(store: Readable, batch: int | None) -> Audit:
    whole = Rows.of(store)
    stored = keys.answers(whole)
    whole = whole.without(keys.unusable(stored))
    batches = whole.batches() if batch is None else whole.batches(batch)
    answers = [*stored, *ask(RULES, batches)]
    found = [_finding(answer) for answer in answers if answer.count]
    found += _quarantined(whole)
    found.sort(key=lambda f: (_ORDER[f.severity], -f.count, f.table, f.rule))
    return Audit(store.name, tuple(found), tuple(_checked(answer) for answer in answers))


def _finding(answer: Answer) -> Finding:
    rule, examples = answer.rule, tuple(answer.examples)
    return Finding(
        rule.name, rule.severity, rule.table, answer.count, answer.rows, examples, rule.meaning
    )


def _checked(answer: Answer) -> Checked:
    rule = answer.rule
    return Checked(rule.name, rule.table, rule.severity, answer.rows, answer.count)


def _quarantined(rows: Rows) -> list[Finding]:
    """Return what importers set aside, by table and reason."""
    reasons = (
        rows.scan("quarantine")
        .sort("table", "source", "row", "reason")
        .group_by("table", "reason", maintain_order=True)
        .agg(pl.len(), pl.col("source", "row", "found").head(EXAMPLES))
        .collect()
    )
    lost = dict(reasons.group_by("table").agg(pl.col("len").sum()).iter_rows())
    found = []
    for row in reasons.iter_rows(named=True):
        table, reason, count = row["table"], row["reason"], row["len"]
        of = rows.sizes.get(table, 0) + lost[table]
        severity: Severity = "warning" if count > of * _LARGE_SHARE else "note"
        places = zip(row["source"], row["row"], row["found"], strict=True)
        examples = tuple(Example(f"{s}:{n}", None, f) for s, n, f in places)
        meaning = f"set aside at import: {REASONS.get(reason, reason)}"
        found.append(
            Finding(f"quarantined_{reason}", severity, table, count, of, examples, meaning)
        )
    return found


def text(audit: Audit, *, checked: bool = False) -> str:
    """Return an audit as lines for a terminal.

    Parameters
    ----------
    audit : Audit
        What was found.
    checked : bool
        Name also the rules that found nothing and those that had nothing to look at.
    """
    idle = sum(not c.rows for c in audit.checked)
    verdict = "sound" if audit.sound else "NOT SOUND"
    counts = ", ".join(f"{name}s {audit.count(name)}" for name in _ORDER)
    asked = f"{len(audit.checked)} rules, {idle} had nothing to look at"
    lines = [f"{audit.dataset}: {verdict} · {counts} · {asked}"]
    for finding in audit.findings:
        lines += _lines(finding)
    if checked:
        lines += ["", *_rules(audit.checked)]
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    many = f"{finding.count:,} of {finding.of:,} ({100 * finding.share:.3g} %)"
    shown = [
        f"    {' '.join(filter(None, (e.ticker, _iso(e))))}  {e.found}" for e in finding.examples
    ]
    head = f"{finding.severity:<8}{finding.table}: {finding.rule}  {many}"
    return ["", head, f"  {finding.meaning}", *shown]


def _rules(checked: Sequence[Checked]) -> list[str]:
    quiet = [c for c in checked if not c.count]
    return [f"{c.table}: {c.rule}  {_verdict(c)} ({c.rows:,} rows)" for c in quiet]
