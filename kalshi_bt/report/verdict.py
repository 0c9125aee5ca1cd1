"""What a run shows, in one sentence."""

from dataclasses import dataclass
from decimal import Decimal

from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import BAND, reason, tone


def band(run: Run) -> dict[str, Decimal]:
    """Return net P&L in dollars under each fill model, friendliest first; empty if not compared."""
    ranked = [(order, name) for order, name in enumerate(BAND) if name in run.bands]
    found = {BAND[name]: run.bands[name].get("net_pnl", {}).get("value") for _, name in ranked}
    return {name: Decimal(value) for name, value in found.items() if value is not None}


def why_no_trade(run: Run) -> str:
    """Return in one sentence why a run closed no trade."""
    if run.orders.is_empty():
        return "No trade: the strategy asked for no order."
    if not run.fills.is_empty():
        return "No trade was closed: every position is still open at the end."
    blocked = run.orders.group_by("status", "reason").len().sort("len", "status", "reason")
    status, code, count = blocked.row(-1)
    most = f"of {run.orders.height:,} orders {count:,} {_ENDS.get(status, status)}"
    return f"No trade: {most} ({reason(code)})."


_ENDS = {"rejected": "were rejected", "expired": "expired", "canceled": "were canceled"}


@dataclass(frozen=True)
class Verdict:
    """A result in plain words and whether it is a gain, a loss or neither."""

    headline: str
    tone: str


def verdict(run: Run) -> Verdict:
    """Return what the run shows in one sentence, the fill models compared where they were."""
    if run.trades_closed.is_empty() and run.fills.is_empty():
        return Verdict(why_no_trade(run), "flat")
    cases = band(run)
    if not cases:
        net = run.scores.get("net_pnl", {}).get("value")
        words = {"gain": "Makes money", "loss": "Loses money", "flat": "Ends where it began"}
        return Verdict(f"{words[tone(net)]} under one fill model; no other was tried.", tone(net))
    won = [name for name, net in cases.items() if net > 0]
    lost = [name for name, net in cases.items() if net <= 0]
    if not lost:
        worst = min(cases, key=cases.__getitem__)
        return Verdict(f"Makes money {_even(worst, 'pessimistic')}.", "gain")
    if not won:
        best = max(cases, key=cases.__getitem__)
        return Verdict(f"Loses money {_even(best, 'optimistic')}.", "loss")
    headline = f"Makes money in the {_listed(won)} case, not in the {_listed(lost)} one."
    return Verdict(headline, "gain" if cases.get("base", Decimal(0)) > 0 else "loss")


def _even(case: str, expected: str) -> str:
    """Name the case that speaks against the verdict if it is the one a reader expects there."""
    return f"even in the {case} case" if case == expected else "under every fill model"


def _listed(names: list[str]) -> str:
    return " and ".join(names)
