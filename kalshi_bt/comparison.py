"""Runs beside each other: their metrics, how far differences can be trusted, what else differs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kalshi_bt import run_folder, trials
from kalshi_bt.errors import UsageError
from kalshi_bt.listing import standing
from kalshi_bt.metrics.book import Book, Interval
from kalshi_bt.metrics.pairs import PAIRED, paired_differences
from kalshi_bt.report.comparison import Cell, Comparison, in_words
from kalshi_bt.report.comparison import names as short_names
from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import difference_text, label, shown
from kalshi_bt.tables import rendered
from kalshi_bt.units import format_money, parse_money

__all__ = ["as_json", "compare", "text"]

BESIDE = 3  # runs that stand beside the first in one table of a terminal


def compare(folders: Sequence[Path]) -> Comparison:
    """Return runs beside each other, the first being what the others are compared with.

    Parameters
    ----------
    folders : sequence of Path
        Two or more folders of different runs.

    Raises
    ------
    UsageError
        If there are fewer than two, or one is named twice.
    DataError
        If a folder cannot be read as that of a run.
    """
    if len(folders) < 2:
        raise UsageError("compare needs two runs or more, the first to compare the others with")
    runs = [run_folder.load(folder) for folder in folders]
    ids = [run.run_id for run in runs]
    twice = next((run for n, run in enumerate(ids) if run in ids[:n]), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice; compare needs different runs")
    manifests = [run_folder.manifest(folder) for folder in folders]
    return Comparison(
        runs=runs,
        differences=_differences(runs),
        settings=_settings([told["hashed"]["config"] for told in manifests]),
        standings=[
            standing(trials.read(folder.parent), run.run_id)
            for folder, run in zip(folders, runs, strict=True)
        ],
        notes=[*_notes(runs, manifests)],
    )


def _differences(runs: Sequence[Run]) -> dict[str, list[Cell]]:
    first, *others = runs
    books = [_book(run) for run in runs]
    paired = [paired_differences(books[0], book) for book in books[1:]]
    found: dict[str, list[Cell]] = {}
    for name in dict.fromkeys(name for run in runs for name in run.scores):
        values = [_less(run, first, name) for run in others]
        if name not in PAIRED:
            found[name] = [Cell(value=value) for value in values]
            continue
        found[name] = []
        for run, value, intervals in zip(others, values, paired, strict=True):
            interval = intervals[name]
            still = name == "net_pnl" and (_open(run) or _open(first))
            if still:
                found[name].append(Cell(value=value, reason="positions were open at the end"))
            elif isinstance(interval, Interval):
                found[name].append(Cell(value=value, interval=asdict(interval)))
            else:
                found[name].append(Cell(value=value, reason=interval.reason))
    return found


def _book(run: Run) -> Book:
    cash = run.scores.get("initial_cash", {}).get("value") or "0"
    return Book(
        orders=run.orders,
        fills=run.fills,
        trades_closed=run.trades_closed,
        equity=run.equity,
        initial_cash=parse_money(cash),
        context=run.context,
    )


def _open(run: Run) -> int:
    return int(run.scores.get("unsettled", {}).get("value") or 0)


def _less(run: Run, first: Run, name: str) -> int | float | str | None:
    """Return a metric of a run less that of the first; money exactly."""
    mine, theirs = (r.scores.get(name, {}).get("value") for r in (run, first))
    if mine is None or theirs is None:
        return None
    if isinstance(mine, str) and isinstance(theirs, str):
        return format_money(parse_money(mine) - parse_money(theirs))
    found: int | float = mine - theirs
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(value) if isinstance(value, list) else str(value)


def _settings(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    flat = [dict(_flat(config)) for config in configs]
    names = dict.fromkeys(name for rows in flat for name in rows)
    beside = {name: [rows.get(name, "-") for rows in flat] for name in names}
    return {name: values for name, values in beside.items() if len(set(values)) > 1}


def _notes(runs: Sequence[Run], manifests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say what differs besides the settings, of runs that differ alike in one sentence."""
    first, told = runs[0], manifests[0]
    alike: dict[str, list[str]] = {}
    for run, manifest in zip(runs[1:], manifests[1:], strict=True):
        for what in _differing(first.run_id, told, manifest):
            alike.setdefault(what, []).append(run.run_id)
    for what, names in alike.items():
        yield f"{', '.join(names)} {what}"
    for run in runs:
        if _open(run):
            yield (
                f"{run.run_id} ends with {_open(run)} open positions: they are in its net P&L and "
                "in no number of trades"
            )
    if any(run.synthetic for run in runs):
        yield "some of this data is synthetic: it says nothing about real markets"


def _differing(first: str, told: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say in what a run differs from the first besides the settings."""
    own, theirs = manifest["hashed"], told["hashed"]
    if own["data"]["fingerprint"] != theirs["data"]["fingerprint"]:
        yield (
            f"ran on other data than {first}: {_named(own['data'])}, not "
            f"{_named(theirs['data'])}; their difference is no effect of settings alone"
        )
    if manifest["span"] != told["span"]:
        spans = [" to ".join(t[:16] for t in m["span"]) for m in (manifest, told)]
        yield f"saw another span than {first}: {spans[0]}, not {spans[1]}"
    for part in ("code", "libraries"):
        if own[part] != theirs[part]:
            yield f"was made with other {part} than {first}"


def _named(data: Mapping[str, Any]) -> str:
    return f"{data['name']} ({data['fingerprint'][:12]})"


def as_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON has it."""
    return {
        "runs": [
            {"run": run.run_id, "strategy": run.strategy, "dataset": run.dataset, **place}
            for run, place in zip(found.runs, found.standings, strict=True)
        ],
        "metrics": {
            name: {
                "unit": next(r.scores[name]["unit"] for r in found.runs if name in r.scores),
                "values": [run.scores.get(name, {}).get("value") for run in found.runs],
                "differences": [asdict(cell) for cell in found.differences[name]],
            }
            for name in found.metrics()
        },
        "settings": {name: list(values) for name, values in found.settings.items()},
        "notes": list(found.notes),
    }


def text(found: Comparison) -> str:
    """Return a comparison for a terminal, of many runs some `BESIDE` the first at a time."""
    names = short_names(len(found.runs))
    named = [
        (name, run.run_id, run.dataset, *in_words(place).values())
        for name, run, place in zip(names, found.runs, found.standings, strict=True)
    ]
    parts = [
        rendered("", ["", "run", "dataset", "trial", "deflated Sharpe"], named),
        "".join(f"note: {note}\n" for note in found.notes),
    ]
    beside = [range(n, min(n + BESIDE, len(names))) for n in range(1, len(names), BESIDE)]
    for others in beside:
        header = ["metric", names[0]]
        for n in others:
            header += [names[n], f"{names[n]} - {names[0]}", "95 % (paired)"]
        parts.append(rendered("", header, [_row(found, name, others) for name in found.metrics()]))
    for others in beside if found.settings else ():
        shown_ones = (0, *others)
        rows = [(name, *(v[n] for n in shown_ones)) for name, v in found.settings.items()]
        header = ["setting", *(names[n] for n in shown_ones)]
        parts.append(rendered("settings that differ", header, rows))
    if not found.settings:
        parts.append("no setting differs\n")
    return "\n".join(part for part in parts if part)


def _row(found: Comparison, name: str, others: Iterable[int]) -> list[str]:
    unit = str(next(r.scores[name]["unit"] for r in found.runs if name in r.scores))
    row = [label(name), shown(found.runs[0].scores, name)]
    for n in others:
        cell = found.differences[name][n - 1]
        row.append(shown(found.runs[n].scores, name))
        row += difference_text(name, unit, cell.value, cell.interval)
    return row
