"""A section before it is markup."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kalshi_bt.report.certainty import between
from kalshi_bt.report.figures import Figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import label, shown, why_absent


@dataclass(frozen=True)
class Part:
    """What one section puts on the page.

    Attributes
    ----------
    anchor : str
        Its id on the page and the name of its template.
    title : str
        Its heading.
    link : str
        Its name in the list of sections.
    values : mapping
        What the template shows, escaped there.
    figures : mapping
        Element id to the figure drawn in it.
    tables : mapping
        Name to data the page's script reads.
    """

    anchor: str
    title: str
    link: str
    values: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)


Section = Callable[[Run], Part]


def numbers(run: Run, names: Iterable[str]) -> list[dict[str, str]]:
    """Return those metrics of the run that it has, in words."""
    return [
        {
            "key": name,
            "name": label(name),
            "value": shown(run.scores, name),
            "between": between(run.scores, name),
            "why": why_absent(run.scores, name),
            "doc": run.metric_docs.get(name, ""),
        }
        for name in names
        if name in run.scores
    ]
