"""Every metric with its definition, under every fill model."""

from typing import Any

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import BAND, label, shown, why_absent


def scores(run: Run) -> Part:
    """Return the table of all metrics."""
    models = [name for name in BAND if name in run.bands]
    rows: list[dict[str, Any]] = [
        {
            "name": label(name),
            "key": name,
            "value": shown(run.scores, name),
            "why": why_absent(run.scores, name),
            "cases": [
                {"value": shown(run.bands[m], name), "why": why_absent(run.bands[m], name)}
                for m in models
            ],
            "weight": run.scores[name].get("weight", ""),
            "doc": run.metric_docs.get(name, ""),
        }
        for name in run.scores
    ]
    values = {"rows": rows, "models": [BAND[name] for name in models]}
    return Part("scores", "All metrics", values)
