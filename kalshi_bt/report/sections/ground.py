"""What the result stands on: assumptions, the data set aside, the settings of the run."""

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.orders import counted
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import shown

# What `research/fill_model.py` measured at a latency of one second.
MEASURED = (
    "How far bars can be believed (research/fill_model.py): on nine recorded gold markets (9 "
    "events: little evidence), base fills on 1-minute bars were kinder than recorded depth by 0.3 "
    "cents a contract for takers (95 % interval -0.0 to 0.7) and by 2.2 cents (0.8 to 4.1) for "
    "positions with a stop; the band spans about 21 cents for takers and holds the recorded "
    "result. An order fills at the open of the first bar that ends after its arrival, a price "
    "that may be older than the arrival."
)


def assumptions(run: Run) -> Part:
    """Return the assumptions in force and the warnings of the run."""
    values = {
        "rows": list(run.assumptions),
        "notes": list(run.notes),
        "measured": MEASURED,
    }
    return Part("assumptions", "Assumptions in force", values)


def quality(run: Run) -> Part:
    """Return the rows of data that were set aside, by reason."""
    values = {
        "rows": counted(run.quarantine),
        "quarantined": shown(run.scores, "quarantined_rows"),
        "unsettled": shown(run.scores, "unsettled"),
        "unsettled_value": shown(run.scores, "unsettled_value"),
        "determined": shown(run.scores, "determined"),
        "audit": run.audit,
        "audit_details": list(run.audit_details),
    }
    return Part("quality", "Data quality", values)


def run_info(run: Run) -> Part:
    """Return the settings and the command that reproduces the run."""
    values = {"config": dict(run.config), "command": run.command, "run_id": run.run_id}
    return Part("run", "Run", values)
