"""What fills cost against the quotes and what came after; what became of the other orders."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import Figure, markout_figure, slippage_figure
from kalshi_bt.report.markouts import (
    AFTER,
    ROLES,
    mean_by_event,
    quality_of_fills,
    slippage_counts,
)
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import MINUS, reason

STATUSES = ("filled", "partial", "expired", "canceled", "rejected")
COSTS = {"half_spread": "Half spread", "slippage": "Slippage"}


def fills(run: Run) -> Part:
    """Return slippage and mark-outs by role, orders by status, and refusals by reason."""
    rows = quality_of_fills(run)
    values = _orders(run) | {"roles": _roles(rows), "after": list(AFTER.values())}
    values |= {"empty": "" if values["roles"] else _why_none(run)}
    figures: dict[str, Figure] = {}
    counts = slippage_counts(rows)
    if not counts.is_empty():
        figures["plot-slippage"] = slippage_figure(counts)
    means = {
        role: [mean_by_event(rows.filter(pl.col("role") == role), column) for column in AFTER]
        for role in ROLES
    }
    if any(found["mean"] is not None for row in means.values() for found in row):
        figures["plot-markouts"] = markout_figure(list(AFTER.values()), means)
    values |= {"slipped": "plot-slippage" in figures, "marked": "plot-markouts" in figures}
    return Part("fills", "Fill quality and rejections", "Fills", values, figures)


def _roles(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """One row a role: what it paid, and where the mid stood after."""
    found = []
    for role in ROLES:
        own = rows.filter(pl.col("role") == role)
        if own.is_empty():
            continue
        cells = [_mean(mean_by_event(own, column)) for column in (*COSTS, *AFTER)]
        events = own["event"].n_unique()
        found.append(
            {"role": role, "fills": f"{own.height:,}", "events": f"{events:,}", "cells": cells}
        )
    return found


def _mean(found: dict[str, float | int | None]) -> dict[str, str]:
    mean, low, high = found["mean"], found["low"], found["high"]
    if mean is None:
        return {"mean": "n/a", "between": ""}
    between = "" if low is None or high is None else f"[{_cents(low)}, {_cents(high)}]"
    return {"mean": _cents(mean) + "¢", "between": between}


def _cents(dollars: float) -> str:
    return f"{100 * dollars:+.2f}".replace("-", MINUS)


def _why_none(run: Run) -> str:
    if run.fills.is_empty():
        return "No fill: nothing to judge."
    return "Not judged: the run kept no quotes for its fills."


def _orders(run: Run) -> dict[str, Any]:
    by_status = dict(run.orders.group_by(pl.col("status").cast(pl.String)).len().iter_rows())
    shares = [
        {
            "name": status,
            "count": f"{by_status[status]:,}",
            "share": f"{100 * by_status[status] / run.orders.height:.3f}",
            "percent": f"{by_status[status] / run.orders.height:.1%}",
        }
        for status in STATUSES
        if status in by_status
    ]
    short = run.orders.filter(pl.col("status").is_in(["partial", "expired", "canceled"]))
    unfilled = short.group_by("reason").len("count")
    return {
        "total": f"{run.orders.height:,}",
        "shares": shares,
        "rejected": counted(run.rejections),
        "unfilled": counted(unfilled),
    }


def counted(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of a (reason, count) table, most frequent first, with the width of their bars."""
    ranked = table.sort("count", "reason", descending=[True, False]).select("reason", "count")
    most = max(ranked["count"], default=1)
    return [
        {
            "code": code or "",
            "reason": reason(code),
            "count": f"{count:,}",
            "width": f"{100 * count / most:.2f}" if most else "0",
        }
        for code, count in ranked.iter_rows()
    ]
