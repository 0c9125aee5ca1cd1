"""What trading cost: from the result at the mid over spread, slippage and fees to the net one."""

import polars as pl

from kalshi_bt.report.figures import waterfall_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import micro, shown
from kalshi_bt.units import MONEY_SCALE, parse_money

KNOWN = ("gross_mid", "spread", "slippage")
TITLE = "From gross to net"


def costs(run: Run) -> Part:
    """Return the way from the result at the mid to the net result."""
    steps = waterfall(run)
    values = {
        "fees": shown(run.scores, "fees"),
        "drag": shown(run.scores, "fee_drag"),
        "turnover": shown(run.scores, "turnover"),
        "empty": why_no_trade(run) if run.fills.is_empty() else "",
        "steps": [(name, micro(amount, signed=True), kind) for name, amount, kind in steps],
        "blind": f"{_blind(run).height:,}",
    }
    if values["empty"] or not steps:
        return Part("costs", TITLE, "Costs", values)
    return Part("costs", TITLE, "Costs", values, {"plot-costs": waterfall_figure(steps)})


def waterfall(run: Run) -> list[tuple[str, int, str]]:
    """Return name, micro-dollars and kind of each step from the mid to the net result.

    Trades of which a quote was one-sided when they were decided have no mid: what they made before
    fees is one step. What open positions were worth, less what they cost, is the last one.
    """
    net = run.scores.get("net_pnl", {}).get("value")
    if net is None or run.fills.is_empty():
        return []
    seen = run.trades_closed.join(run.context, on="trade_id").drop_nulls(KNOWN)
    at_mid, spread, slippage = (_micro(seen[name]) for name in KNOWN)
    gross, fees = (int(run.trades_closed[name].sum()) for name in ("gross_pnl", "fees"))
    blind = int(_blind(run)["gross_pnl"].sum())
    rounding = gross - blind - (at_mid - spread - slippage)  # of the floats of the context
    steps = [
        ("At the mid", at_mid + rounding, "absolute"),
        ("Spread", -spread, "relative"),
        ("Slippage", -slippage, "relative"),
        ("Mid not known", blind, "relative"),
        ("Before fees", gross, "total"),
        ("Fees", -fees, "relative"),
        ("Still open", parse_money(net) - (gross - fees), "relative"),
        ("Net", parse_money(net), "total"),
    ]
    optional = {"Mid not known", "Still open"}
    return [step for step in steps if step[1] or step[0] not in optional]


def _blind(run: Run) -> pl.DataFrame:
    """Trades without a mid at every decision."""
    seen = run.context.drop_nulls(KNOWN)
    return run.trades_closed.join(seen, on="trade_id", how="anti")


def _micro(dollars: pl.Series) -> int:
    return round(float(dollars.sum()) * MONEY_SCALE)
