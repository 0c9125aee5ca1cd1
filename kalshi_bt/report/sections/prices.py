"""Profit and loss by what a contract cost, and whether the edge expected there came."""

from typing import Any

from kalshi_bt.report.figures import edge_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.groups import chances, in_order, won
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.tallies import decided_trades, tally
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import MINUS, micro, tone
from kalshi_bt.trade_groups import BUCKET, BUCKETS


def prices(run: Run) -> Part:
    """Return P&L by entry price, and the edge expected there beside the one that came."""
    title = "By entry price: expected and realised edge"
    if run.trades_closed.is_empty():
        return Part("prices", title, "Entry price", {"empty": why_no_trade(run)})
    found = in_order(tally(decided_trades(run), BUCKET), BUCKETS)
    among = chances(run, "entry price")
    rows = [_priced(row, among) for row in found.iter_rows(named=True)]
    hover = [f"{r['pnl']}, {r['trades']} trades, expected {r['expected']}, realised "
             f"{r['realised']} a contract" for r in rows]  # fmt: skip
    values = {
        "empty": "",
        "rows": [row for row in rows if row["trades"] != "0"],
        "told": bool(found["told"].sum()),
        "tested": bool(among),
    }
    figure = edge_figure(found, BUCKETS, hover)
    return Part("prices", title, "Entry price", values, {"plot-prices": figure})


def _priced(row: dict[str, Any], among: dict[str, str]) -> dict[str, str]:
    return {
        "name": f"{row['group']}¢",
        "trades": f"{row['trades']:,}",
        "won": won(row["wins"], row["losses"]),
        "paid": _edge(row["paid"]),
        "expected": _edge(row["expected"], signed=True),
        "realised": _edge(row["realised"], signed=True),
        "pnl": micro(row["pnl"], signed=True),
        "tone": tone(row["pnl"]),
        "chance": among.get(row["group"], ""),
    }


def _edge(dollars: float | None, *, signed: bool = False) -> str:
    """Dollars a contract in cents."""
    if dollars is None:
        return "n/a"
    text = f"{100 * dollars:+.2f}¢" if signed else f"{100 * dollars:.2f}¢"
    return text.replace("-", MINUS)
