"""What became of the orders: filled, unfilled, refused, and why."""

from typing import Any

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import reason

STATUSES = ("filled", "partial", "expired", "canceled", "rejected")


def orders(run: Run) -> Part:
    """Return orders by status, refusals by reason, and unfilled orders by reason."""
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
    values = {
        "total": f"{run.orders.height:,}",
        "shares": shares,
        "rejected": counted(run.rejections),
        "unfilled": counted(unfilled),
    }
    return Part("orders", "Orders and rejections", values)


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
