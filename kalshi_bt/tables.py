"""Plain-text tables of what a dataset and the registry hold, for a terminal."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from kalshi_bt.settings import plain
from kalshi_bt.signals import parameters
from kalshi_bt.strategies import STRATEGIES


def rendered(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as plain text.

    Examples
    --------
    >>> print(rendered("", ["a", "b"], [[1, "x"]]).splitlines()[-1].split())
    ['1', 'x']
    """
    table = Table(*header, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if cell is None else _cell(cell) for cell in row))
    console = Console(width=200, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return f"{value:,}"


def info_text(facts: Mapping[str, Any]) -> str:
    """Return what `kalshi-bt info` prints of the facts of a dataset."""
    kind = "synthetic" if facts["synthetic"] else "imported"
    span = facts["span"]
    lines = [f"{facts['name']} ({kind})", facts["note"] or "", ""]
    lines.append(f"markets {facts['markets']:,}, settled {facts['settled']:,}, ")
    lines[-1] += f"open {facts['unsettled']:,}; {span['first']} to {span['last']}"
    parts = ["\n".join(line for line in lines if line is not None)]
    parts.append(
        rendered("tables", ["table", "rows"], [(n, t["rows"]) for n, t in facts["tables"].items()])
    )
    coverage = facts["series"]
    if coverage:
        header = list(coverage[0])
        parts.append(rendered("series", header, [[row[h] for h in header] for row in coverage]))
    if facts["quarantined"]:
        parts.append(rendered("quarantined", ["reason", "rows"], facts["quarantined"].items()))
    return "\n".join(parts)


def import_text(tables: Mapping[str, Any], warnings: Iterable[str]) -> str:
    """Return what `kalshi-bt import` prints: rows by table and fate, reasons, warnings."""
    counts = ("read", "added", "updated", "unchanged")
    rows = [
        (
            name,
            *(getattr(t, c) for c in counts),
            sum(t.skipped.values()),
            sum(t.quarantined.values()),
        )
        for name, t in tables.items()
    ]
    parts = [rendered("rows", ["table", *counts, "skipped", "quarantined"], rows)]
    reasons = [
        (name, fate, reason, count)
        for name, t in tables.items()
        for fate, found in (("skipped", t.skipped), ("quarantined", t.quarantined))
        for reason, count in found.items()
    ]
    if reasons:
        parts.append(rendered("reasons", ["table", "fate", "reason", "rows"], reasons))
    parts += [f"warning: {text}\n" for text in warnings]
    return "\n".join(parts)


def strategy_facts() -> list[dict[str, Any]]:
    """Return name, idea, parameters and limits of every registered strategy."""
    return [
        {
            "name": name,
            "idea": chosen.idea,
            "parameters": [
                {k: v for k, v in dataclasses.asdict(p).items() if v not in (None, ())}
                for p in parameters(chosen.signal)
            ],
            "sizing": plain(chosen.sizing),
            "risk": plain(chosen.risk),
        }
        for name, chosen in sorted(STRATEGIES.items())
    ]


def strategies_text(facts: Sequence[Mapping[str, Any]]) -> str:
    """Return what `kalshi-bt list strategies` prints."""
    parts = []
    for row in facts:
        listed = [
            (p["name"], p.get("default"), p["kind"], _range(p), p["doc"]) for p in row["parameters"]
        ]
        parts.append(f"{row['name']}: {row['idea']}\n")
        parts.append(rendered("", ["parameter", "default", "type", "range", "meaning"], listed))
        parts.append(rendered("", ["sizing", "default"], row["sizing"].items()))
        parts.append(rendered("", ["limit (risk.NAME)", "default"], row["risk"].items()))
    return "\n".join(parts)


def _range(p: Mapping[str, Any]) -> str:
    if p.get("choices"):
        return " | ".join(p["choices"])
    low, high = p.get("low"), p.get("high")
    return (
        "" if low is None and high is None else f"{low if low is not None else ''} … {high or ''}"
    )
