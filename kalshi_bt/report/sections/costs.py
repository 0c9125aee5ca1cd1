"""What trading cost: the spread and the fees between the gross and the net result."""

from kalshi_bt.report.figures import waterfall_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import shown, why_no_trade
from kalshi_bt.units import parse_money

NEEDED = ("gross_pnl", "spread_paid", "fees", "net_pnl")


def costs(run: Run) -> Part:
    """Return the way from the result at the mid to the net result."""
    found = {name: run.scores.get(name, {}).get("value") for name in NEEDED}
    values = {
        "fees": shown(run.scores, "fees"),
        "spread": shown(run.scores, "spread_paid"),
        "drag": shown(run.scores, "fee_drag"),
        "turnover": shown(run.scores, "turnover"),
        "empty": why_no_trade(run) if run.fills.is_empty() else "",
    }
    if values["empty"] or None in found.values():
        return Part("costs", "Costs", values)
    amounts = {name: parse_money(value) for name, value in found.items() if value is not None}
    figure = waterfall_figure(
        [
            ("At the mid", amounts["gross_pnl"] + amounts["spread_paid"], "absolute"),
            ("Spread", -amounts["spread_paid"], "relative"),
            ("Before fees", amounts["gross_pnl"], "total"),
            ("Fees", -amounts["fees"], "relative"),
            ("Net", amounts["net_pnl"], "total"),
        ]
    )
    return Part("costs", "Costs", values, {"plot-costs": figure})
