"""The run itself: how to repeat it, its settings, its data, and every number of it."""

from typing import Any

from kalshi_bt.report.certainty import between
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.fills import counted
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import BAND, label, shown, why_absent


def run_info(run: Run) -> Part:
    """Return the command, the settings, the quality of the data, and the table of all metrics."""
    values = {
        "command": run.command,
        "config": dict(run.config),
        "quarantined": shown(run.scores, "quarantined_rows"),
        "quarantine": counted(run.quarantine),
        "unsettled": shown(run.scores, "unsettled"),
        "unsettled_value": shown(run.scores, "unsettled_value"),
        "determined": shown(run.scores, "determined"),
        "audit": run.audit,
        "audit_details": list(run.audit_details),
        "models": [BAND[name] for name in BAND if name in run.bands],
        "metrics": [_metric(run, name) for name in run.scores],
    }
    return Part("run", "Run", "Run", values)


def _metric(run: Run, name: str) -> dict[str, Any]:
    models = [model for model in BAND if model in run.bands]
    return {
        "name": label(name),
        "key": name,
        "value": shown(run.scores, name),
        "between": between(run.scores, name),
        "why": why_absent(run.scores, name),
        "cases": [
            {"value": shown(run.bands[m], name), "why": why_absent(run.bands[m], name)}
            for m in models
        ],
        "weight": run.scores[name].get("weight", ""),
        "doc": run.metric_docs.get(name, ""),
    }
