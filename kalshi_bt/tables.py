"""Plain-text tables of what a dataset and the registry hold, for a terminal."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from kalshi_bt.settings import plain
from kalshi_bt.signals import Parameter, Signal, parameters
from kalshi_bt.signals.needs import Need
from kalshi_bt.strategies import SIZINGS, STRATEGIES, Sizing, Strategy, method_of


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
    console = Console(
        width=200,
        color_system=None,
        force_terminal=False,
        highlight=False,
        markup=False,
        emoji=False,
    )
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
    head = [f"{facts['name']} ({kind}), fingerprint {facts['fingerprint'][:12]}"]
    head += facts["note"].splitlines()
    head += ["collateral is returned"] if facts["collateral"] else []
    head.append(
        f"{facts['markets']:,} markets: {facts['settled']:,} settled, {facts['unsettled']:,} not"
    )
    if facts["start"]:
        head.append(f"{facts['start']} to {facts['end']}")
    stored = [(name, t["rows"], t["bytes"]) for name, t in facts["tables"].items()]
    parts = ["\n".join(head) + "\n", rendered("tables", ["table", "rows", "bytes"], stored)]
    if facts["periods"]:
        parts.append(rendered("bars", ["seconds", "bars"], facts["periods"].items()))
    if facts["series"]:
        header = ("markets", "bars", "first", "last", "quoted")
        rows = [(name, *(row[h] for h in header)) for name, row in facts["series"].items()]
        parts.append(rendered("series", ["series", *header], rows))
    lost = [(t, why, n) for t, found in facts["quarantined"].items() for why, n in found.items()]
    if lost:
        parts.append(rendered("quarantined", ["table", "reason", "rows"], lost))
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


def download_text(report: Any) -> str:
    """Return what a download prints: rows by table and fate, requests, warnings."""
    lost = {name: sum(reasons.values()) for name, reasons in report.quarantined.items()}
    rows = [
        (name, c.added, c.updated, c.unchanged, lost.get(name, 0))
        for name, c in report.tables.items()
    ]
    rows += [(name, 0, 0, 0, count) for name, count in lost.items() if name not in report.tables]
    header = ["table", "added", "updated", "unchanged", "quarantined"]
    parts = [rendered("rows", header, rows), f"{report.requests:,} requests\n"]
    parts += [
        rendered("quarantined", ["table", "reason", "rows"], [(n, r, k) for r, k in why.items()])
        for n, why in report.quarantined.items()
        if why
    ]
    if report.unknown_fields:
        parts.append(f"fields nobody knows here: {', '.join(report.unknown_fields)}\n")
    parts += [f"warning: {text}\n" for text in report.warnings]
    return "\n".join(parts)


def strategy_facts() -> list[dict[str, Any]]:
    """Return name, idea, parameters, sizing, limits and needs of every registered strategy.

    `reference` stands where ``--mode reference`` has another value.
    """
    return [_facts(name, chosen) for name, chosen in sorted(STRATEGIES.items())]


def _facts(name: str, chosen: Strategy) -> dict[str, Any]:
    sizing = chosen.reference_sizing or chosen.sizing
    return {
        "name": name,
        "idea": chosen.idea,
        "parameters": [_parameter(p, chosen) for p in parameters(chosen.signal)],
        "sizing": _sizing(chosen.sizing),
        "sizings": list(SIZINGS),
        "risk": plain(chosen.risk),
        "reference": {"sizing": _sizing(sizing), "risk": plain(chosen.reference_risk)},
        "presets": {
            each: {"idea": preset.idea, **preset.settings}
            for each, preset in chosen.presets.items()
        },
        "needs": _needs(chosen.signal),
        "learns": hasattr(chosen.signal, "fit"),
    }


def _parameter(p: Parameter, chosen: Strategy) -> dict[str, Any]:
    asked = dataclasses.asdict(p).items()
    facts = {k: v for k, v in asked if k == "default" or v not in (None, ())}
    own, documented = (getattr(of, p.name) for of in (chosen.signal, chosen.reference))
    return facts if own == documented else facts | {"reference": documented}


def _sizing(sizing: Sizing) -> dict[str, Any]:
    return {"sizing": method_of(sizing), **plain(sizing)}


def _needs(signal: Signal) -> list[dict[str, Any]]:
    """Return the outside series of a signal: source, fields, symbols and age, a row a source."""
    needs: tuple[Need, ...] = getattr(signal, "references", ())
    return [
        {
            "source": source,
            "fields": list(dict.fromkeys(n.field for n in needs if n.source == source)),
            "symbols": list(dict.fromkeys(s for n in needs if n.source == source for s in _of(n))),
            "max_age_seconds": next(n.max_age_seconds for n in needs if n.source == source),
        }
        for source in dict.fromkeys(n.source for n in needs)
    ]


def _of(need: Need) -> list[str]:
    """Return the symbols of a need, by series or one for all."""
    return [need.symbol] if isinstance(need.symbol, str) else [name for _, name in need.symbol]


def _settings(preset: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what a preset sets, by the names that ``--set`` takes."""
    rows: list[tuple[str, Any]] = []
    for name, value in preset.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{each}", text) for each, text in value.items()]
        elif name != "idea":
            rows.append((name, value))
    return rows


def strategies_text(facts: Sequence[Mapping[str, Any]]) -> str:
    """Return what `kalshi-bt list strategies` prints."""
    parts = []
    for row in facts:
        parts.append(f"{row['name']}: {row['idea']}\n")
        header = ["parameter", "default", "reference", "type", "range", "meaning"]
        parts.append(rendered("", header, map(_line, row["parameters"])))
        for part, title in (("sizing", "sizing"), ("risk", "limit (risk.NAME)")):
            parts.append(rendered("", [title, "default", "reference"], _beside(row, part)))
        parts.append(f"sizings to choose from: {', '.join(row['sizings'])}\n")
        for name, preset in row["presets"].items():
            parts.append(f"preset={name}: {preset['idea']}\n")
            parts.append(rendered("", ["preset sets", "to"], _settings(preset)))
        if row["needs"]:
            header = ["needs from outside", "fields", "symbols", "at most seconds old"]
            parts.append(rendered("", header, map(_need, row["needs"])))
        if row["learns"]:
            parts.append("learns from past outcomes, fitted anew every so often (refit)\n")
    return "\n".join(parts)


def _line(p: Mapping[str, Any]) -> tuple[Any, ...]:
    documented = _default(p["reference"]) if "reference" in p else None
    return (p["name"], _default(p["default"]), documented, p["kind"], _range(p), p["doc"])


def _beside(row: Mapping[str, Any], part: str) -> list[tuple[str, Any, Any]]:
    """Return name, default and, where it differs, the documented value of sizing or limits."""
    own, documented = row[part], row["reference"][part]
    names = dict.fromkeys([*own, *documented])
    pairs = [(name, own.get(name), documented.get(name)) for name in names]
    return [(name, mine, None if mine == theirs else theirs) for name, mine, theirs in pairs]


def _need(row: Mapping[str, Any]) -> tuple[str, str, str, Any]:
    return (
        row["source"],
        ", ".join(row["fields"]),
        ", ".join(row["symbols"]),
        _default(row["max_age_seconds"]),
    )


def _range(p: Mapping[str, Any]) -> str:
    if p.get("choices"):
        return " | ".join(p["choices"])
    ends = ["" if p.get(end) is None else str(p[end]) for end in ("low", "high")]
    return " … ".join(ends) if any(ends) else ""


def _default(value: Any) -> Any:
    return "none" if value is None else value
