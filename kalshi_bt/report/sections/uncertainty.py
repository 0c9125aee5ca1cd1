"""How sure the numbers are, and how many tries stand behind them."""

from typing import Any

from kalshi_bt.report.certainty import between, counted_clusters, without
from kalshi_bt.report.figures import Figure, evidence_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.chance import luck, standing_out
from kalshi_bt.report.sections.part import Part, numbers
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import label, shown

# How the names of the metrics begin that weigh the evidence.
WEIGHED = ("sharpe_lo", "psr", "min_track", "n_trials", "deflated", "n_compared", "pbo", "spa",
           "e_process", "e_value", "permutation", "power", "random")  # fmt: skip
EVIDENCE = "evidence"
TITLE = "Uncertainty and multiplicity"


def uncertainty(run: Run) -> Part:
    """Return every interval, the numbers that weigh the evidence, and the earlier tries."""
    values: dict[str, Any] = {
        "intervals": _intervals(run),
        "without": without(run.scores, run.scores),
        "weighed": numbers(run, (name for name in run.scores if name.startswith(WEIGHED))),
        "trials": [_trial(number, row) for number, row in enumerate(run.trials, 1)],
        "empty": why_no_trade(run) if run.trades_closed.is_empty() else "",
    }
    figures: dict[str, Figure] = {}
    path = run.tables.get(EVIDENCE)
    if path is not None and not path.is_empty():
        figures["plot-evidence"] = evidence_figure(path)
    values["path"] = bool(figures)
    drawn, found = luck(run)
    values |= drawn | standing_out(run)
    figures |= found
    return Part("uncertainty", TITLE, "Uncertainty", values, figures)


def _intervals(run: Run) -> list[dict[str, str]]:
    rows = []
    for name, entry in run.scores.items():
        found = entry.get("interval")
        if not found:
            continue
        row = {"name": label(name), "key": name, "value": shown(run.scores, name)}
        row |= {"between": between(run.scores, name), "method": found["method"]}
        row |= {"level": f"{found['level']:.0%}"}
        row |= {"clusters": counted_clusters(found["n_clusters"], found["clusters"])}
        rows.append(row)
    return rows


def _trial(number: int, row: Any) -> dict[str, str]:
    sharpe = row.get("sharpe")
    return {
        "number": f"{number:,}",
        "run": str(row["run_id"]),
        "sharpe": "n/a" if sharpe is None else f"{sharpe:.4f}".replace("-", "\N{MINUS SIGN}"),
        "days": "n/a" if row.get("days") is None else f"{row['days']:,}",
    }
