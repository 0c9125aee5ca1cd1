"""Tallies of trades in words, for the sections that group them."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import chance, micro, tone

GROUPED = "groups"  # the table of the metrics with a row a group
SUMS = ("trades", "wins", "losses", "pnl")


def in_order(groups: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return a tally with a row for every name, counts of zero where nothing was traded."""
    listed = pl.DataFrame({"group": list(names)})
    joined = listed.join(groups, on="group", how="left", maintain_order="left")
    return joined.with_columns(pl.col(*SUMS, "told").fill_null(0))


def chances(run: Run, by: str) -> dict[str, str]:
    """Return group to its p-value among all groups, in words, where there is one.

    Parameters
    ----------
    run : Run
    by : str
        A name of `trade_groups.GROUPS`; any other has none.
    """
    tested = run.tables.get(GROUPED)
    if tested is None:
        return {}
    rows = tested.filter(pl.col("by") == by, pl.col("q").is_not_null()).select("group", "q")
    return {group: chance(q) for group, q in rows.iter_rows()}


def told(groups: pl.DataFrame, among: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a tally in words, with the width of their bars and their `chances`."""
    known = among or {}
    widest = max((abs(pnl) for pnl in groups["pnl"]), default=0) or 1
    return [
        {
            "name": row["group"],
            "trades": f"{row['trades']:,}",
            "won": won(row["wins"], row["losses"]),
            "pnl": micro(row["pnl"], signed=True),
            "chance": known.get(row["group"], ""),
            "tone": tone(row["pnl"]),
            "width": f"{50 * abs(row['pnl']) / widest:.2f}",
        }
        for row in groups.iter_rows(named=True)
    ]


def won(wins: int, losses: int) -> str:
    """Return the share of the trades won; pushes count in neither."""
    return f"{wins / (wins + losses):.0%}" if wins + losses else "n/a"
