"""What the result stands on: assumptions, the data set aside, the settings of the run."""

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.orders import counted
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import shown


def assumptions(run: Run) -> Part:
    """Return the assumptions in force and the warnings of the run."""
    values = {"rows": list(run.assumptions), "notes": list(run.notes)}
    return Part("assumptions", "Assumptions in force", values)


def quality(run: Run) -> Part:
    """Return the rows of data that were set aside, by reason."""
    values = {
        "rows": counted(run.quarantine),
        "quarantined": shown(run.scores, "quarantined_rows"),
        "unsettled": shown(run.scores, "unsettled"),
        "unsettled_value": shown(run.scores, "unsettled_value"),
    }
    return Part("quality", "Data quality", values)


def run_info(run: Run) -> Part:
    """Return the settings and the command that reproduces the run."""
    values = {"config": dict(run.config), "command": run.command, "run_id": run.run_id}
    return Part("run", "Run", values)
