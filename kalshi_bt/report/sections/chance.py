"""What chance makes: runs of luck beside the run, and groups of trades among many."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import Figure, luck_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.groups import GROUPED
from kalshi_bt.report.wording import chance, micro, tone

CONTROLS = "controls"
LEVEL = 0.05
MOST = 8  # groups shown, those that stand out most


def luck(run: Run) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Return where the closed trades lie among runs of luck, and the figure of it."""
    drawn = run.tables.get(CONTROLS)
    if drawn is None or drawn.is_empty():
        return {"luck": None}, {}
    own = int(run.trades_closed["pnl"].sum())
    kinds = {"random entries": drawn["random_entry"], "random sides": drawn["random_side"]}
    figure = luck_figure(kinds, own)
    beaten = [
        {"name": name, "count": f"{(amounts < own).sum():,}"} for name, amounts in kinds.items()
    ]
    return {
        "luck": {"draws": f"{drawn.height:,}", "own": micro(own, signed=True), "beaten": beaten}
    }, {"plot-luck": figure}


def standing_out(run: Run) -> dict[str, Any]:
    """Return the groups of trades that stand out most, and among how many they were found."""
    found = run.tables.get(GROUPED)
    if found is None:
        return {"groups": [], "untested": 0}
    tested = found.filter(pl.col("q").is_not_null()).sort("q", "p", "by", "group")
    rows = [
        {
            "by": row["by"],
            "name": row["group"],
            "trades": f"{row['n']:,}",
            "clusters": f"{row['n_clusters']:,}",
            "pnl": micro(row["pnl"], signed=True),
            "tone": tone(row["pnl"]),
            "p": chance(row["p"]),
            "q": chance(row["q"]),
        }
        for row in tested.head(MOST).iter_rows(named=True)
    ]
    few = tested.filter(pl.col("q") <= LEVEL).height
    return {"groups": rows, "tested": tested.height, "untested": found.height - tested.height,
            "found": few}  # fmt: skip
