"""Which numbers are told first, and where they lie: by clusters of trades or forecasts, by days."""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from kalshi_bt.metrics.arrays import Floats, cluster_sums
from kalshi_bt.metrics.book import Book, Interval, Undefined
from kalshi_bt.metrics.clusters import trade_clusters
from kalshi_bt.metrics.equity import DAYS_PER_YEAR, daily_returns
from kalshi_bt.metrics.intervals import Formula, Ratio, of_days, of_ratios
from kalshi_bt.metrics.opinions import SIGNAL, first_opinions
from kalshi_bt.metrics.paths import drawdown_intervals
from kalshi_bt.metrics.trading import PAID_SCALE, net_pnl

Intervals = dict[str, Interval | Undefined]

_PART = 2**30  # scores and prices are summed in whole parts of this
_MILLISECONDS = 1_000  # in a second


def trade_intervals(book: Book) -> Intervals:
    """Return the intervals of what closed trades earned; what is open stays as it stands."""
    found = book.once(trade_clusters)
    pnl, won, wins = pl.col("pnl"), pl.col("won"), pl.col("wins")
    whole = found.sums.with_columns(
        one=1,
        ahead=wins * _PART - pl.col("paid") // (PAID_SCALE // _PART),
        lost=won - pnl,
        moved=2 * won - pnl,
        losses=pl.col("decided") - wins,
    )
    names = ("one", "n", "wins", "decided", "losses", "pnl", "won", "lost", "moved", "stake",
             "ahead", "held")  # fmt: skip
    columns = {name: whole[name].to_numpy().astype(np.float64) for name in names}
    count, cash = whole.height, book.initial_cash or 1
    still_open = net_pnl(book) - int(whole["pnl"].sum())
    ratios: dict[str, Ratio | Formula] = {
        "net_pnl": Ratio("pnl", "one", count, still_open),
        "roi": Ratio("pnl", "one", count / cash, still_open / cash),
        "roi_stake": Ratio("pnl", "stake"),
        "expectancy": Ratio("pnl", "n"),
        "win_rate": Ratio("wins", "decided"),
        "win_rate_excess": Ratio("ahead", "decided", 1 / _PART),
        "break_even_rate": Formula(_break_even),
        "profit_factor": Ratio("won", "moved", odds=True),
        "holding_time": Ratio("held", "n", 1 / _MILLISECONDS),
    }
    return of_ratios(columns, ratios, found.kind)


def _break_even(sums: Mapping[str, Floats]) -> Floats:
    """Return the mean loss over the mean loss and the mean win."""
    loss, win = sums["lost"] / sums["losses"], sums["won"] / sums["wins"]
    return loss / (loss + win)


def forecast_intervals(book: Book) -> Intervals:
    """Return the intervals of the Brier scores of the first forecast of each market."""
    judged = book.once(first_opinions)
    forecast = judged.of(SIGNAL)
    if isinstance(forecast, Undefined):
        forecast = judged.price
    ours, theirs = (np.rint((p - judged.outcome) ** 2 * _PART) for p in (forecast, judged.price))
    table = np.stack([np.ones_like(ours), ours, theirs, ours - theirs], axis=1)
    several = len(table) > 0 and judged.cluster.max() > 0
    sums = cluster_sums(table, judged.cluster) if several else table[:1]
    columns = dict(zip(("n", "ours", "theirs", "difference"), sums.T, strict=True))
    ratios = {
        "brier": Ratio("ours", "n", 1 / _PART),
        "brier_price": Ratio("theirs", "n", 1 / _PART),
        "brier_difference": Ratio("difference", "n", 1 / _PART),
        "brier_skill": Ratio("difference", "theirs", -1),
    }
    return of_ratios(columns, ratios, judged.kind)


def daily_intervals(book: Book) -> Intervals:
    """Return the intervals of the Sharpe and the Sortino ratio."""
    returns = book.once(daily_returns)
    known = [] if isinstance(returns, Undefined) else returns
    return of_days(np.asarray(known, dtype=np.float64), DAYS_PER_YEAR)


def counted(_: Book) -> Undefined:
    """Return why a number that adds up what happened has no interval."""
    return Undefined("counted from orders and fills: nothing is estimated")


def _of(find: Callable[[Book], Intervals], name: str) -> Callable[[Book], Interval | Undefined]:
    return lambda book: book.once(find)[name]


# Every number of a report's first screen is here: where it lies, in its unit (money in
# micro-dollars), or why that is not asked.
HEADLINE: dict[str, Callable[[Book], Interval | Undefined]] = {
    **{
        name: _of(find, name)
        for find, names in (
            (trade_intervals, "net_pnl roi roi_stake expectancy win_rate win_rate_excess"),
            (trade_intervals, "break_even_rate profit_factor holding_time"),
            (forecast_intervals, "brier brier_price brier_difference brier_skill"),
            (daily_intervals, "sharpe sortino"),
            (drawdown_intervals, "max_drawdown max_drawdown_pct"),
        )
        for name in names.split()
    },
    **dict.fromkeys(
        ("n_trades", "fees", "fee_drag", "spread_paid", "turnover", "n_orders", "n_rejected",
         "unsettled", "unsettled_value"),
        counted,
    ),
}  # fmt: skip
