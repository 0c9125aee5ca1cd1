"""What the daily Sharpe ratio is worth: confidence, length of record, and trials before it."""

import math
import statistics
from collections.abc import Callable, Sequence

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.aggregation import autocorrelations, lo_factor
from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.equity import DAYS_PER_YEAR, daily_returns, daily_sharpe
from kalshi_bt.metrics.sharpe_ratio import (
    Convention,
    Moments,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
)
from kalshi_bt.metrics.trials import deflated_sharpe

LEAST = 10  # daily returns below which skew, kurtosis and autocorrelation mean nothing

_PSR_2012 = "doi:10.21314/JOR.2012.255"
_PSR_2025 = "doi:10.2139/ssrn.5520741"
_DSR = "doi:10.3905/jpm.2014.40.5.094"


def daily_moments(book: Book) -> Moments | Undefined:
    """Return the moments of the daily returns, or why there are none."""
    returns, ratio = book.once(daily_returns), book.once(daily_sharpe)
    if isinstance(returns, Undefined) or isinstance(ratio, Undefined):
        return ratio if isinstance(ratio, Undefined) else Undefined("no daily returns")
    if len(returns) < LEAST:
        return Undefined(f"fewer than {LEAST} daily returns")
    return moments(returns)


def _of_moments(compute: Callable[[Moments, Book], Value]) -> Callable[[Book], Value]:
    def function(book: Book) -> Value:
        found = book.once(daily_moments)
        if isinstance(found, Undefined):
            return found
        try:
            return compute(found, book)
        except UsageError as error:  # such as returns of two values at the one ratio without error
            return Undefined(str(error))

    return function


def _sharpe_lo(found: Moments, book: Book) -> Value:
    returns = book.once(daily_returns)
    assert not isinstance(returns, Undefined)
    rho = float(autocorrelations(returns, 1)[0])
    return float(found.sharpe * lo_factor(DAYS_PER_YEAR, rho=rho))


def _psr(convention: Convention) -> Callable[[Book], Value]:
    return _of_moments(
        lambda m, _: probabilistic_sharpe(m.sharpe, m.n, m.skew, m.kurtosis, convention=convention)
    )


def _track(convention: Convention) -> Callable[[Book], Value]:
    def days(found: Moments, _: Book) -> Value:
        if found.sharpe <= 0:
            return Undefined("the Sharpe ratio is not above zero")
        return minimum_track_record(found.sharpe, found.skew, found.kurtosis, convention=convention)

    return _of_moments(days)


def _n_trials(book: Book) -> int:
    return max(1, len(book.trials))


def deflated_among(
    trials: Sequence[float | None], sharpe: float, n: int, skew: float, kurtosis: float
) -> float | Undefined:
    """Return `deflated_sharpe` among the ratios of all trials, itself one of them.

    A trial without a ratio counts as one that was made, and not for their variance.
    """
    known = [ratio for ratio in trials if ratio is not None and math.isfinite(ratio)]
    count = max(1, len(trials))
    if count > 1 and len(known) < 2:
        return Undefined("the Sharpe ratios of the other trials do not exist")
    variance = statistics.variance(known) if count > 1 else 0.0
    return deflated_sharpe(sharpe, n, count, variance, skew, kurtosis)


def _deflated(m: Moments, book: Book) -> Value:
    return deflated_among(book.trials, m.sharpe, m.n, m.skew, m.kurtosis)


TRACK_RECORD: dict[str, Metric] = {
    "sharpe_lo": Metric(
        _of_moments(_sharpe_lo),
        "ratio",
        "day",
        "Sharpe ratio of a year allowing for daily returns that follow each other, by their first "
        "autocorrelation.",
        "doi:10.2469/faj.v58.n4.2453",
    ),
    "psr_2012": Metric(
        _psr("2012"),
        "fraction",
        "day",
        "Confidence that the true Sharpe ratio is above zero, variance at the ratio observed "
        "(Bailey and Lopez de Prado); for one trial.",
        _PSR_2012,
    ),
    "psr_2025": Metric(
        _psr("2025"),
        "fraction",
        "day",
        "Confidence that the true Sharpe ratio is above zero, variance at a ratio of zero (Lopez "
        "de Prado, Lipton and Zoonekynd); for one trial.",
        _PSR_2025,
    ),
    "min_track_2012": Metric(
        _track("2012"),
        "days",
        "day",
        "Days of such returns needed for a confidence of 95 % that the ratio is above zero, "
        "variance at the ratio observed.",
        _PSR_2012,
    ),
    "min_track_2025": Metric(
        _track("2025"),
        "days",
        "day",
        "Days of such returns needed for a confidence of 95 % that the ratio is above zero, "
        "variance at a ratio of zero.",
        _PSR_2025,
    ),
    "n_trials": Metric(
        _n_trials,
        "trials",
        "trial",
        "Variants of this strategy that were tried up to this one, itself included.",
        _DSR,
    ),
    "deflated_sharpe": Metric(
        _of_moments(_deflated),
        "fraction",
        "day",
        "Confidence that the Sharpe ratio is above the best to expect of so many trials of nothing "
        "(variance at the ratio observed).",
        _DSR,
    ),
}
