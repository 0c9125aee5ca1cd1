"""What a Sharpe ratio is worth, once more: sums over days, formulas as their authors print.

A twin takes a dict of lists of dicts (one dict a row) and returns a number, or None where the
number does not exist. Daily returns are those of the twin of the Sharpe ratio.
"""

import runpy
from math import e, sqrt
from pathlib import Path
from statistics import NormalDist, stdev
from typing import Any

Plain = dict[str, Any]
Number = int | float | None

daily_returns = runpy.run_path(str(Path(__file__).with_name("naive_trading.py")))["daily_returns"]
NORMAL = NormalDist()


def returns(book: Plain) -> list[float] | None:
    found = daily_returns(book)
    if found is None or len(found) < 10 or all(r == found[0] for r in found):
        return None
    return [float(r) for r in found]


def shape(r: list[float]) -> tuple[float, float, float]:
    """Sharpe ratio of a day, skew and kurtosis (3 for a normal)."""
    n, mean = len(r), sum(r) / len(r)
    two, three, four = (sum((x - mean) ** k for x in r) / n for k in (2, 3, 4))
    return mean / stdev(r), three / two**1.5, four / two**2


def psr(book: Plain, benchmark: float, *, at_null: bool) -> Number:
    r = returns(book)
    if r is None:
        return None
    sharpe, skew, kurtosis = shape(r)
    at = benchmark if at_null else sharpe
    variance = 1 - skew * at + (kurtosis - 1) / 4 * at**2
    periods = len(r) if at_null else len(r) - 1
    return NORMAL.cdf((sharpe - benchmark) * sqrt(periods / variance))


def track(book: Plain, *, at_null: bool) -> Number:
    r = returns(book)
    if r is None:
        return None
    sharpe, skew, kurtosis = shape(r)
    if sharpe <= 0:
        return None
    z = NORMAL.inv_cdf(0.95)
    if at_null:
        return (z / sharpe) ** 2
    return 1 + (1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) * (z / sharpe) ** 2


def sharpe_lo(book: Plain) -> Number:
    r = returns(book)
    if r is None:
        return None
    mean = sum(r) / len(r)
    rho = sum((r[i] - mean) * (r[i - 1] - mean) for i in range(1, len(r)))
    rho /= sum((x - mean) ** 2 for x in r)
    year = 365
    both = sum((year - k) * rho**k for k in range(1, year))
    return shape(r)[0] * year / sqrt(year + 2 * both)


def deflated(book: Plain) -> Number:
    trials = book["trials"]
    known = [ratio for ratio in trials if ratio is not None]
    if len(trials) <= 1:
        return psr(book, 0, at_null=False)
    if len(known) < 2:
        return None
    gamma = 0.5772156649015329
    far = NORMAL.inv_cdf(1 - 1 / len(trials))
    farther = NORMAL.inv_cdf(1 - 1 / (len(trials) * e))
    return psr(book, stdev(known) * ((1 - gamma) * far + gamma * farther), at_null=False)


TWINS = {
    "sharpe_lo": sharpe_lo,
    "psr_2012": lambda b: psr(b, 0, at_null=False),
    "psr_2025": lambda b: psr(b, 0, at_null=True),
    "min_track_2012": lambda b: track(b, at_null=False),
    "min_track_2025": lambda b: track(b, at_null=True),
    "n_trials": lambda b: max(1, len(b["trials"])),
    "deflated_sharpe": deflated,
}
