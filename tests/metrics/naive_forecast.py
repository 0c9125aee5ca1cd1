"""Every forecast metric once more: plain loops over markets, exact fractions, nothing shared.

A twin takes a dict of lists of dicts (one dict a row) and returns a number, or None where the
number does not exist.
"""

from fractions import Fraction
from functools import cache
from math import exp, floor, log
from typing import Any

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics import mincer_zarnowitz

Plain = dict[str, Any]
Number = int | float | None
Pairs = list[tuple[Fraction, int]]


def first_rows(book: Plain) -> list[Plain]:
    return [row for row in book["forecasts"] if row["point"] == "first"]


def speaks(book: Plain) -> bool:
    return any(row["fair"] is not None for row in first_rows(book))


def judged(book: Plain) -> list[Plain]:
    kept = []
    for row in first_rows(book):
        if row["outcome"] not in (0.0, 1.0) or row["mid"] is None:
            continue
        if row["fair"] is None and speaks(book):
            continue
        kept.append(row)
    return kept


def pairs(book: Plain, column: str) -> Pairs:
    if column == "fair" and not speaks(book):
        return []
    return [(Fraction(str(row[column])), int(row["outcome"])) for row in judged(book)]


def mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def brier(given: Pairs) -> Fraction:
    return mean([(p - y) ** 2 for p, y in given])


def uncertainty(given: Pairs) -> Fraction:
    base = mean([Fraction(y) for _, y in given])
    return mean([(y - base) ** 2 for _, y in given])


def bins(given: Pairs) -> list[Pairs]:
    found: dict[int, Pairs] = {}
    for p, y in given:
        found.setdefault(min(floor(10 * p), 9), []).append((p, y))
    return list(found.values())


def reliability(given: Pairs) -> Fraction:
    total = Fraction(0)
    for group in bins(given):
        gap = mean([p for p, _ in group]) - mean([Fraction(y) for _, y in group])
        total += len(group) * gap**2
    return total / len(given)


def resolution(given: Pairs) -> Fraction:
    base = mean([Fraction(y) for _, y in given])
    total = Fraction(0)
    for group in bins(given):
        total += len(group) * (mean([Fraction(y) for _, y in group]) - base) ** 2
    return total / len(given)


def within_variance(given: Pairs) -> Fraction:
    total = Fraction(0)
    for group in bins(given):
        middle = mean([p for p, _ in group])
        total += sum(((p - middle) ** 2 for p, _ in group), Fraction(0))
    return total / len(given)


def within_covariance(given: Pairs) -> Fraction:
    total = Fraction(0)
    for group in bins(given):
        middle, rate = mean([p for p, _ in group]), mean([Fraction(y) for _, y in group])
        total += sum(((p - middle) * (y - rate) for p, y in group), Fraction(0))
    return 2 * total / len(given)


def log_loss(given: Pairs) -> float:
    total = 0.0
    for p, y in given:
        kept = min(max(float(p), 0.005), 0.995)
        total -= log(kept) if y else log(1 - kept)
    return total / len(given)


def isotonic(given: Pairs) -> list[tuple[Fraction, list[int]]]:
    """The isotonic fit of each different forecast, by the max-min formula, with its outcomes."""
    levels = sorted({p for p, _ in given})
    groups = [[y for p, y in given if p == level] for level in levels]

    @cache  # asked for again at every level between
    def average(start: int, end: int) -> Fraction:
        members = [y for group in groups[start : end + 1] for y in group]
        return Fraction(sum(members), len(members))

    return [
        (max(min(average(a, b) for b in range(i, len(groups))) for a in range(i + 1)), group)
        for i, group in enumerate(groups)
    ]


def recalibrated(given: Pairs) -> Fraction:
    """Brier score of the isotonic fit."""
    squares = [(fit - y) ** 2 for fit, group in isotonic(given) for y in group]
    return sum(squares, Fraction(0)) / len(given)


def recalibrated_log(given: Pairs) -> float:
    """Log loss of the isotonic fit, which is 0 or 1 only where all outcomes are."""
    lost = [-log(fit if y else 1 - fit) for fit, group in isotonic(given) for y in group]
    return sum(lost) / len(given)


def entropy(given: Pairs) -> float:
    base = mean([Fraction(y) for _, y in given])
    return sum(-log(base if y else 1 - base) for _, y in given) / len(given)


def settled_together(book: Plain) -> list[int]:
    """The cluster of each judged market: of its event, or of those that settle when it does."""
    kept = judged(book)
    found = list(range(len(kept)))
    for _ in kept:  # each round spreads the lowest number one step further
        for i, a in enumerate(kept):
            for j, b in enumerate(kept):
                if a["event"] == b["event"] or a["settled"] == b["settled"]:
                    found[j] = min(found[i], found[j])
    return found


def cox(given: Pairs) -> tuple[float, float] | None:
    """Newton's method on the likelihood of logit P = a + b x, from nothing."""
    clipped = [(min(max(float(p), 0.005), 0.995), y) for p, y in given]
    data = [(log(p / (1 - p)), y) for p, y in clipped]
    yes, no = [x for x, y in data if y], [x for x, y in data if not y]
    if not yes or not no or len({x for x, _ in data}) < 2:
        return None
    if max(no) <= min(yes) or max(yes) <= min(no):
        return None
    a = b = 0.0
    for _ in range(50):
        g0 = g1 = h00 = h01 = h11 = 0.0
        for x, y in data:
            fit = 1 / (1 + exp(-a - b * x))
            g0, g1 = g0 + y - fit, g1 + (y - fit) * x
            w = fit * (1 - fit)
            h00, h01, h11 = h00 + w, h01 + w * x, h11 + w * x * x
        det = h00 * h11 - h01**2
        a, b = a + (h11 * g0 - h01 * g1) / det, b + (h00 * g1 - h01 * g0) / det
    return a, b


def regression(index: int, column: str) -> Any:
    def twin(book: Plain) -> Number:
        found = cox(pairs(book, column)) if len(pairs(book, column)) > 2 else None
        return None if found is None else found[index]

    return twin


def line(column: str) -> Any:
    """The test itself has oracles of its own; here: which rows, and what hangs together."""

    def twin(book: Plain) -> Number:
        given = pairs(book, column)
        try:
            found = mincer_zarnowitz(
                [float(p) for p, _ in given], [y for _, y in given], settled_together(book)
            )
        except UsageError:
            return None
        return found.p_value

    return twin


def part(function: Any, column: str) -> Any:
    def twin(book: Plain) -> Number:
        given = pairs(book, column)
        return float(function(given)) if given else None

    return twin


def difference(book: Plain) -> Number:
    ours, theirs = pairs(book, "fair"), pairs(book, "mid")
    return float(brier(ours) - brier(theirs)) if ours else None


def skill(function: Any) -> Any:
    def twin(book: Plain) -> Number:
        ours, theirs = pairs(book, "fair"), pairs(book, "mid")
        if not ours or not function(theirs):
            return None
        return float(1 - function(ours) / function(theirs))

    return twin


PARTS = {
    "brier": brier,
    "reliability": reliability,
    "resolution": resolution,
    "within_bin_variance": within_variance,
    "within_bin_covariance": within_covariance,
    "log_loss": log_loss,
    "miscalibration": lambda given: brier(given) - recalibrated(given),
    "discrimination": lambda given: uncertainty(given) - recalibrated(given),
    "log_miscalibration": lambda given: log_loss(given) - recalibrated_log(given),
    "log_discrimination": lambda given: entropy(given) - recalibrated_log(given),
}

TWINS = {
    "n_forecasts": lambda b: len(judged(b)),
    "forecasts_scalar": lambda b: sum(
        row["outcome"] not in (0.0, 1.0, None) for row in first_rows(b)
    ),
    "forecasts_unsettled": lambda b: sum(row["outcome"] is None for row in first_rows(b)),
    **{name: part(function, "fair") for name, function in PARTS.items()},
    **{f"{name}_price": part(function, "mid") for name, function in PARTS.items()},
    "cox_intercept": regression(0, "fair"),
    "cox_intercept_price": regression(0, "mid"),
    "cox_slope": regression(1, "fair"),
    "cox_slope_price": regression(1, "mid"),
    "mincer_zarnowitz_p": line("fair"),
    "mincer_zarnowitz_p_price": line("mid"),
    "uncertainty": part(uncertainty, "mid"),
    "log_uncertainty": part(entropy, "mid"),
    "brier_difference": difference,
    "brier_skill": skill(brier),
    "log_loss_skill": skill(log_loss),
}
