"""Numbers of the equity path: returns on a daily grid, drawdown at every recorded time."""

import math
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

import polars as pl

from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.trading import net_pnl

DAYS_PER_YEAR = 365  # the exchange trades every day
SEASON = 30  # days below which nothing is said of a year
FLAT = 1e-12  # returns closer than this do not vary: a micro-dollar on a million dollars


def daily_equity(book: Book) -> pl.DataFrame:
    """Return equity at every UTC midnight of the run, idle days included.

    The first midnight, at or before the first row, holds the initial cash; each later one holds the
    last equity known by then. The day of the last row counts as a whole day.

    Parameters
    ----------
    book : Book
        Only its equity table and initial cash are read.

    Returns
    -------
    polars.DataFrame
        time (UTC midnight), equity (Int64, micro-dollars); no row if the run has no equity row.

    Examples
    --------
    >>> from datetime import datetime, timezone
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> at = datetime(2025, 1, 1, 12, tzinfo=timezone.utc)
    >>> row = pl.DataFrame([(at, 7, 0, 0, 7)], schema=EQUITY.columns, orient="row")
    >>> book = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=row, initial_cash=5,
    ...             trades_closed=TRADES_CLOSED.empty())
    >>> daily_equity(book)["equity"].to_list()
    [5, 7]
    """
    known = book.equity.select("time", "equity")
    if known.is_empty():
        return known
    midnight, last = known["time"].dt.truncate("1d")[0], known["time"][-1]
    days = max(1, math.ceil((last - midnight) / timedelta(days=1)))
    grid = pl.DataFrame({"time": [midnight + timedelta(days=day) for day in range(days + 1)]})
    sampled = grid.cast({"time": known.schema["time"]}).join_asof(known, on="time")
    opening = pl.lit(book.initial_cash, dtype=pl.Int64)
    return sampled.with_columns(
        equity=pl.when(pl.col("time") == midnight).then(opening).otherwise("equity")
    )


def daily_returns(book: Book) -> list[float] | Undefined:
    """Return the return of every UTC day of the run, idle days included, or why there is none."""
    days = daily_equity(book)["equity"].to_list()
    if len(days) < 3:
        return Undefined("fewer than 2 daily returns")
    if min(days[:-1]) <= 0:
        return Undefined("equity fell to zero: a return needs a base above it")
    return [after / before - 1 for before, after in pairwise(days)]


def daily_sharpe(book: Book) -> float | Undefined:
    """Return mean over standard deviation of the daily returns, not annualised."""
    returns = book.once(daily_returns)
    if isinstance(returns, Undefined):
        return returns
    if max(returns) - min(returns) <= FLAT:
        return Undefined("the daily returns do not vary")
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1)
    return mean / math.sqrt(variance)


def _sharpe(book: Book) -> Value:
    daily = book.once(daily_sharpe)
    return daily if isinstance(daily, Undefined) else daily * math.sqrt(DAYS_PER_YEAR)


def _sortino(book: Book) -> Value:
    returns = book.once(daily_returns)
    if isinstance(returns, Undefined):
        return returns
    if min(returns) >= -FLAT:
        return Undefined("no day with a loss")
    mean = math.fsum(returns) / len(returns)
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    return mean / downside * math.sqrt(DAYS_PER_YEAR)


def _n_days(book: Book) -> int:
    return max(0, book.once(daily_equity).height - 1)


def underwater(book: Book) -> pl.DataFrame:
    """Return each equity row with the highest so far, initial cash the first, and the fall."""
    peak = pl.col("equity").cum_max().clip(lower_bound=book.initial_cash)
    return book.equity.select("time", "equity", peak.alias("peak")).with_columns(
        fall=pl.col("peak") - pl.col("equity")
    )


def _max_drawdown(book: Book) -> int:
    return int(book.once(underwater)["fall"].max() or 0)  # type: ignore[arg-type]


def _max_drawdown_pct(book: Book) -> Value:
    path = book.once(underwater)
    if path.is_empty():
        return 0.0
    if path["peak"][0] <= 0:
        return Undefined("the peak of equity is zero")
    return float((100 * path["fall"] / path["peak"]).max())  # type: ignore[arg-type]


def _drawdown_days(book: Book) -> Value:
    """Return the longest time from a last row at a peak to the row that regains it, or the end."""
    path = book.once(underwater)
    if path.is_empty():
        return 0.0
    below = pl.col("fall") > 0
    at_peak = pl.when(~below).then("time").forward_fill().shift(1).fill_null(path["time"][0])
    concerned = below | below.shift(1, fill_value=False)
    spans = path.select(pl.when(concerned).then(pl.col("time") - at_peak)).to_series()
    longest = spans.max()
    return longest / timedelta(days=1) if isinstance(longest, timedelta) else 0.0


def _locked_time(book: Book) -> tuple[int, int, int]:
    """Return micro-dollars held at cost times their time, the time with any, and all of it.

    Times are microseconds; each row stands until the next.
    """
    time, locked = pl.col("time").to_physical(), pl.col("locked")
    lasts = (time.shift(-1) - time).cast(pl.Int128)
    area, held, span = book.equity.select(
        area=(locked * lasts).sum(), held=lasts.filter(locked > 0).sum(), span=lasts.sum()
    ).row(0)
    return int(area), int(held), int(span)


def _exposure_mean(book: Book) -> Value:
    area, _, span = book.once(_locked_time)
    if not span:
        return Undefined("fewer than 2 rows of equity: no time has passed")
    return round(Fraction(area, span))


def _return_locked(book: Book) -> Value:
    area, held, _ = book.once(_locked_time)
    if not held:
        return Undefined("no money was locked for any time")
    return net_pnl(book) * held / area


def _return_locked_annual(book: Book) -> Value:
    found = _return_locked(book)
    if isinstance(found, Undefined):
        return found
    days: float = (book.equity["time"][-1] - book.equity["time"][0]) / timedelta(days=1)
    if days < SEASON:
        return Undefined(f"the run lasts less than {SEASON} days: too little to speak of a year")
    if abs(found) > 1:
        return Undefined("the result is larger than what was locked: no rate of a year follows")
    return found * DAYS_PER_YEAR / days


EQUITY: dict[str, Metric] = {
    "exposure_max": Metric(
        lambda b: int(b.equity["locked"].max() or 0),  # type: ignore[arg-type]
        "dollars",
        "dollar",
        "Highest cost of what was held at one time.",
    ),
    "exposure_mean": Metric(
        _exposure_mean,
        "dollars",
        "dollar",
        "Average over time of the cost of what was held, idle time included.",
    ),
    "return_locked": Metric(
        _return_locked,
        "fraction",
        "dollar",
        "Net P&L over what was locked in positions, averaged over the time in which anything was.",
    ),
    "return_locked_annual": Metric(
        _return_locked_annual,
        "fraction",
        "dollar",
        "Return on locked money times 365 over the days of the run, idle ones included, without "
        "compounding: on as much as was usually locked, kept ready all the time; only of runs of "
        "30 days or more in which no more than that was won or lost.",
    ),
    "max_drawdown": Metric(
        _max_drawdown,
        "dollars",
        "dollar",
        "Largest fall of equity from its running peak, at every recorded time; positive.",
    ),
    "max_drawdown_pct": Metric(
        _max_drawdown_pct,
        "percent",
        "dollar",
        "Largest fall of equity as a percentage of its running peak; positive.",
    ),
    "drawdown_days": Metric(
        _drawdown_days,
        "days",
        "day",
        "Longest time from a peak of equity until it was regained, or until the end.",
    ),
    "n_days": Metric(
        _n_days, "days", "day", "UTC days of the run, from which the daily returns are taken."
    ),
    "sharpe": Metric(
        _sharpe,
        "ratio",
        "day",
        "Mean over standard deviation (n - 1) of daily returns at UTC midnights, idle days "
        "included, times the square root of 365.",
        "doi:10.3905/jpm.1994.409501",
    ),
    "sortino": Metric(
        _sortino,
        "ratio",
        "day",
        "Mean daily return over the root mean square of the negative ones, times the square root "
        "of 365.",
        "doi:10.3905/joi.3.3.59",
    ),
}
