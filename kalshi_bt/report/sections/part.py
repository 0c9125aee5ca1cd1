"""A section before it is markup."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kalshi_bt.report.figures import Figure
from kalshi_bt.report.model import Run


@dataclass(frozen=True)
class Part:
    """What one section puts on the page.

    Attributes
    ----------
    anchor : str
        Its id on the page and the name of its template.
    title : str
        Its heading.
    values : mapping
        What the template shows, escaped there.
    figures : mapping
        Element id to the figure drawn in it.
    tables : mapping
        Name to data the page's script reads.
    """

    anchor: str
    title: str
    values: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)


Section = Callable[[Run], Part]
