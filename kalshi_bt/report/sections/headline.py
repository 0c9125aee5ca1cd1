"""What came out, in one screen: the verdict, the band of fill models, the numbers asked first."""

from decimal import Decimal

from kalshi_bt.report.certainty import between, grounds
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import band, verdict
from kalshi_bt.report.wording import ABSENT, label, money, shown, tone, why_absent

FIRST = (
    ("net_pnl", "roi", "{} on initial cash"),
    ("n_trades", "holding_time", "held {} on average"),
    ("win_rate", "break_even_rate", "{} would break even"),
    ("profit_factor", "expectancy", "{} a trade"),
    ("sharpe", "sortino", "Sortino {}"),
    ("max_drawdown", "max_drawdown_pct", "{} of the peak"),
    ("fees", "fee_drag", "{} of initial cash"),
    ("spread_paid", "turnover", "turnover {}×"),
    ("n_orders", "n_rejected", "{} refused"),
    ("unsettled", "unsettled_value", "could be sold for {}"),
)


def headline(run: Run) -> Part:
    """Return the verdict strip."""
    cards = [
        {
            "name": label(name),
            "value": shown(run.scores, name),
            "between": between(run.scores, name),
            "tone": _tone(run, name),
            "why": why_absent(run.scores, name),
            "doc": run.metric_docs.get(name, ""),
            "under": _under(run, under, words),
            "under_between": between(run.scores, under),
        }
        for name, under, words in FIRST
    ]
    values = {
        "run": run,
        "verdict": verdict(run),
        "cards": cards,
        "band": _scale(band(run)),
        "grounds": grounds(run.scores, [name for card in FIRST for name in card[:2]]),
    }
    return Part("headline", "Result", "Result", values)


def _under(run: Run, name: str, words: str) -> str:
    value = shown(run.scores, name)
    return "" if value == ABSENT else words.format(value)


def _tone(run: Run, name: str) -> str:
    return tone(run.scores.get(name, {}).get("value")) if name in {"net_pnl", "sharpe"} else "flat"


def _scale(cases: dict[str, Decimal]) -> dict[str, object] | None:
    """Place the cases and zero on a line from 0 to 100."""
    if not any(cases.values()):
        return None
    low, high = min(*cases.values(), Decimal(0)), max(*cases.values(), Decimal(0))
    width = high - low or Decimal(1)

    def place(amount: Decimal) -> str:
        return f"{float((amount - low) / width * 92 + 4):.2f}"

    return {
        "zero": place(Decimal(0)),
        "left": place(min(cases.values())),
        "right": f"{100 - float(place(max(cases.values()))):.2f}",
        "cases": [
            {"name": name, "at": place(net), "net": money(net, signed=True), "tone": tone(net)}
            for name, net in cases.items()
        ],
    }
