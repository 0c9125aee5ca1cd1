"""What the result stands on: the assumptions, and what it would have been under others."""

from typing import Any

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.tallies import in_order
from kalshi_bt.report.wording import contracts, micro, tone

# What `research/fill_model.py` measured at a latency of one second.
MEASURED = (
    "How far bars can be believed (research/fill_model.py): on nine recorded gold markets (9 "
    "events: little evidence), base fills on 1-minute bars were kinder than recorded depth by 0.3 "
    "cents a contract for takers (95 % interval -0.0 to 0.7) and by 2.2 cents (0.8 to 4.1) for "
    "positions with a stop; the band spans about 21 cents for takers and holds the recorded "
    "result. An order fills at the open of the first bar that ends after its arrival, a price "
    "that may be older than the arrival."
)
BASE = "base"


def assumptions(run: Run) -> Part:
    """Return the result under changed assumptions, those in force and the warnings of the run."""
    cases = _cases(run)
    values = {
        "cases": cases,
        "told": _told(run),
        "empty": "" if cases else _why_none(run),
        "rows": list(run.assumptions),
        "notes": list(run.notes),
        "measured": MEASURED,
    }
    return Part("assumptions", "Assumptions and sensitivity", "Sensitivity", values)


def _cases(run: Run) -> list[dict[str, Any]]:
    """One row a case, its result beside that of the base."""
    nets = dict(run.sensitivity.select("case", "net_pnl").iter_rows())
    widest = max((abs(net) for net in nets.values()), default=0) or 1
    return [
        {
            "case": row["case"],
            "what": row["what"],
            "net": micro(row["net_pnl"], signed=True),
            "change": ""
            if row["case"] == BASE or BASE not in nets
            else micro(row["net_pnl"] - nets[BASE], signed=True),
            "fees": micro(row["fees"]),
            "trades": f"{row['trades']:,}",
            "contracts": contracts(row["contracts"]),
            "won": "n/a" if row["win_rate"] is None else f"{row['win_rate']:.1%}",
            "fall": micro(row["max_drawdown"]),
            "tone": tone(row["net_pnl"]),
            "width": f"{50 * abs(row['net_pnl']) / widest:.2f}",
        }
        for row in in_order(run.sensitivity).iter_rows(named=True)
    ]


def _told(run: Run) -> str:
    """Say in how many of the cases the run would have made money."""
    made = int((run.sensitivity["net_pnl"] > 0).sum())
    return f"The same orders make money in {made} of {run.sensitivity.height} cases."


def _why_none(run: Run) -> str:
    if run.orders.is_empty():
        return "Not compared: the strategy asked for no order, so no assumption matters."
    return "Not compared: the run was not repeated under changed assumptions (sensitivity=false)."
