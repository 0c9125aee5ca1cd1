"""Several runs side by side: what the text and the page of a comparison show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kalshi_bt.report.certainty import counted_clusters
from kalshi_bt.report.figures.overlay import overlay_figure
from kalshi_bt.report.html import standalone
from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import difference_text, label, shown, tone


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The difference of a run to the first, in one metric.

    Attributes
    ----------
    value : int, float, str or None
        In the unit of the metric; money is a decimal string, null where either has no value.
    interval : mapping or None
        The fields of `metrics.book.Interval` by name.
    reason : str
        Why there is no interval where there could be one; empty otherwise.
    """

    value: int | float | str | None
    interval: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a comparison shows.

    Attributes
    ----------
    runs : sequence of Run
        The first is what the others are compared with.
    differences : mapping
        Metric to a `Cell` for every run but the first.
    settings : mapping
        Setting to its text in every run, of those that differ; ``-`` where a run has no such one.
    standings : sequence of mapping
        Of every run ``trial``, ``trials`` and ``deflated_sharpe`` over all trials to date; nulls
        where its ledger does not know it.
    notes : sequence of str
        What a reader must know before believing a difference.
    """

    runs: Sequence[Run]
    differences: Mapping[str, Sequence[Cell]]
    settings: Mapping[str, Sequence[str]]
    standings: Sequence[Mapping[str, Any]]
    notes: Sequence[str]

    def metrics(self) -> list[str]:
        """Return the names of all metrics, in the order of the first run."""
        return list(dict.fromkeys(name for run in self.runs for name in run.scores))


def names(count: int) -> list[str]:
    """Return short names of so many runs.

    Examples
    --------
    >>> names(3)
    ['A', 'B', 'C']
    """
    return [chr(ord("A") + n) if n < 26 else f"Run {n + 1}" for n in range(count)]


def render_comparison(found: Comparison) -> str:
    """Return a comparison as the text of one self-contained HTML file."""
    short = names(len(found.runs))
    figure = overlay_figure(dict(zip(short, found.runs, strict=True)))
    strategies = [run.strategy for run in found.runs]
    values = {
        "title": f"{len(found.runs)} runs of {' and '.join(dict.fromkeys(strategies))}",
        "synthetic": any(run.synthetic for run in found.runs),
        "notes": found.notes,
        "runs": [
            {"name": name, "run": run.run_id, "strategy": run.strategy, "dataset": run.dataset}
            | in_words(place)
            for name, run, place in zip(short, found.runs, found.standings, strict=True)
        ],
        "drawn": figure is not None,
        "level": "95 %",
        "clusters": _clusters(found, short),
        "metrics": [_metric(found, name) for name in found.metrics()],
        "settings": found.settings,
    }
    figures = {} if figure is None else {"plot-equity": figure}
    return standalone("comparison.html.j2", {"figures": figures, "tables": {}}, v=values)


def in_words(place: Mapping[str, Any]) -> dict[str, str]:
    """Return the place of a run among the trials in words; empty where it is not known."""
    known, deflated = place["trial"] is not None, place["deflated_sharpe"]
    return {
        "trial": f"{place['trial']} of {place['trials']}" if known else "",
        "deflated": "" if deflated is None else f"{deflated:.2f}",
    }


def _clusters(found: Comparison, short: Sequence[str]) -> list[str]:
    """Say on what the intervals of each run rest, or why it has none."""
    told: dict[str, str] = {}
    for cells in found.differences.values():
        for name, cell in zip(short[1:], cells, strict=True):
            if cell.interval is not None:
                n, kind = cell.interval["n_clusters"], cell.interval["clusters"]
                method = cell.interval["method"]
                told[name] = f"{name}: {counted_clusters(n, kind)}, {method}."
            elif cell.reason:
                told.setdefault(name, f"{name}: no interval, {cell.reason}.")
    return list(told.values())


def _metric(found: Comparison, name: str) -> dict[str, Any]:
    first, *others = found.runs
    unit = str(next(r.scores[name]["unit"] for r in found.runs if name in r.scores))
    cells = []
    for run, cell in zip(others, found.differences[name], strict=True):
        value, interval = difference_text(name, unit, cell.value, cell.interval)
        sure = cell.interval is not None and not _around_zero(cell.interval)
        cells.append(
            {
                "value": shown(run.scores, name),
                "difference": value,
                "interval": interval,
                "tone": tone(cell.value) if sure else "",
                "why": cell.reason,
            }
        )
    return {"label": label(name), "name": name, "first": shown(first.scores, name), "cells": cells}


def _around_zero(interval: Mapping[str, Any]) -> bool:
    return Decimal(str(interval["low"])) <= 0 <= Decimal(str(interval["high"]))
