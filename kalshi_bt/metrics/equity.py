"""Numbers of the equity path: returns on a daily grid, drawdown at every recorded time."""

import math
from datetime import timedelta
from itertools import pairwise

import polars as pl

from kalshi_bt.metrics.book import Book, Undefined, Value

DAYS_PER_YEAR = 365  # the exchange trades every day
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


def _returns(book: Book) -> list[float] | Undefined:
    days = daily_equity(book)["equity"].to_list()
    if len(days) < 3:
        return Undefined("fewer than 2 daily returns")
    if min(days[:-1]) <= 0:
        return Undefined("equity fell to zero: a return needs a base above it")
    return [after / before - 1 for before, after in pairwise(days)]


def sharpe(book: Book) -> Value:
    """Mean over standard deviation of the daily returns, annualised."""
    returns = _returns(book)
    if isinstance(returns, Undefined):
        return returns
    if max(returns) - min(returns) <= FLAT:
        return Undefined("the daily returns do not vary")
    mean = math.fsum(returns) / len(returns)
    variance = math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1)
    return mean / math.sqrt(variance) * math.sqrt(DAYS_PER_YEAR)


def sortino(book: Book) -> Value:
    """Mean daily return over the downside deviation about zero, annualised."""
    returns = _returns(book)
    if isinstance(returns, Undefined):
        return returns
    if min(returns) >= -FLAT:
        return Undefined("no day with a loss")
    mean = math.fsum(returns) / len(returns)
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    return mean / downside * math.sqrt(DAYS_PER_YEAR)


def _underwater(book: Book) -> pl.DataFrame:
    """Each equity row with the highest equity so far, the initial cash being the first."""
    peak = pl.col("equity").cum_max().clip(lower_bound=book.initial_cash)
    return book.equity.select("time", "equity", peak.alias("peak")).with_columns(
        fall=pl.col("peak") - pl.col("equity")
    )


def max_drawdown(book: Book) -> Value:
    """Largest fall from the running peak in micro-dollars."""
    falls = _underwater(book)["fall"]
    return int(falls.max()) if len(falls) else 0  # type: ignore[arg-type]


def max_drawdown_pct(book: Book) -> Value:
    """Largest fall from the running peak in percent of it."""
    path = _underwater(book)
    if path.is_empty():
        return 0.0
    if path["peak"][0] <= 0:
        return Undefined("the peak of equity is zero")
    return float((100 * path["fall"] / path["peak"]).max())  # type: ignore[arg-type]


def drawdown_days(book: Book) -> Value:
    """Longest time from the last row at a peak to the row that regains it, or to the end."""
    path = _underwater(book)
    if path.is_empty():
        return 0.0
    below = pl.col("fall") > 0
    at_peak = pl.when(~below).then("time").forward_fill().shift(1).fill_null(path["time"][0])
    concerned = below | below.shift(1, fill_value=False)
    spans = path.select(pl.when(concerned).then(pl.col("time") - at_peak)).to_series()
    longest = spans.max()
    return longest / timedelta(days=1) if isinstance(longest, timedelta) else 0.0
