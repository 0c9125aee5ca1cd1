"""What a run earned and risked: one definition of each number, computed from the run's tables.

Money is summed as integer micro-dollars and leaves as a decimal string; a number that does not
exist (a Sharpe ratio of one day, a win rate of no trade) leaves as null with its reason.
"""

import json
import math
from collections.abc import Mapping
from fractions import Fraction

import polars as pl

from kalshi_bt.metrics.book import Book, Metric, Score, Undefined, Value
from kalshi_bt.metrics.equity import drawdown_days, max_drawdown, max_drawdown_pct, sharpe, sortino
from kalshi_bt.units import PRICE_SCALE, SECOND, format_money

__all__ = ["METRICS", "Book", "Metric", "Score", "score", "to_json"]

NO_TRADE = "no closed trade"
NO_WIN = "no winning trade"
NO_LOSS = "no losing trade"
NO_CASH = "initial cash is zero"


def _over(top: float, bottom: float, reason: str) -> Value:
    return top / bottom if bottom else Undefined(reason)


def _mean_money(values: pl.Series, reason: str) -> Value:
    """Mean in whole micro-dollars, half to even."""
    if values.is_empty():
        return Undefined(reason)
    return round(Fraction(int(values.sum()), values.len()))


def _final(book: Book) -> int:
    return book.initial_cash if book.equity.is_empty() else int(book.equity["equity"][-1])


def _net(book: Book) -> int:
    return _final(book) - book.initial_cash


def _fees(book: Book) -> int:
    return int(book.fills["fee"].sum())


def _pnl(book: Book) -> pl.Series:
    return book.trades_closed.sort("exit_time", "trade_id")["pnl"]


def _wins(book: Book) -> pl.Series:
    return book.trades_closed["pnl"].filter(book.trades_closed["pnl"] > 0)


def _losses(book: Book) -> pl.Series:
    return book.trades_closed["pnl"].filter(book.trades_closed["pnl"] < 0)


def _streak(book: Book, sign: int) -> int:
    """Longest run of one sign in order of exit; pushes are passed over."""
    signs = _pnl(book).sign()
    runs = signs.filter(signs != 0).rle()
    lengths = runs.struct.field("len").filter(runs.struct.field("value") == sign)
    return max(lengths, default=0)


def _win_rate(book: Book) -> Value:
    wins, losses = len(_wins(book)), len(_losses(book))
    return _over(wins, wins + losses, "no trade won or lost")


def _break_even_rate(book: Book) -> Value:
    wins, losses = _wins(book), _losses(book)
    if wins.is_empty() or losses.is_empty():
        return Undefined(NO_WIN if wins.is_empty() else NO_LOSS)
    win = Fraction(int(wins.sum()), wins.len())
    loss = Fraction(-int(losses.sum()), losses.len())
    return float(loss / (win + loss))


def _profit_factor(book: Book) -> Value:
    if book.trades_closed.is_empty():
        return Undefined(NO_TRADE)
    return _over(int(_wins(book).sum()), -int(_losses(book).sum()), NO_LOSS)


def _traded(book: Book) -> int:
    """Micro-dollars paid and received for contracts on the exchange, own side; no settlements."""
    yes = (pl.col("leg") == "entry") == (pl.col("quantity") > 0)
    price = pl.col("price").cast(pl.Int64)
    own = pl.when(yes).then(price).otherwise(PRICE_SCALE - price)
    fills = book.fills.filter(pl.col("kind") == "trade")
    return int(fills.select((pl.col("quantity").abs() * own).sum()).item())


def _holding_time(book: Book) -> Value:
    held = book.trades_closed.select(pl.col("exit_time") - pl.col("entry_time")).to_series()
    if held.is_empty():
        return Undefined(NO_TRADE)
    return int(held.dt.total_microseconds().sum()) / (held.len() * SECOND)


def _fill_rate(book: Book) -> Value:
    sent = book.orders.filter(pl.col("status") != "rejected", pl.col("side") != 0)
    wanted = int(sent["quantity"].sum())
    return _over(int(sent["filled"].sum()), wanted, "no order was sent")


def _extreme(values: pl.Series, reason: str, *, high: bool) -> Value:
    found = values.max() if high else values.min()
    return found if isinstance(found, int) else Undefined(reason)


METRICS: dict[str, Metric] = {
    "net_pnl": Metric(_net, "dollars", "dollar", "Final equity less initial cash, after fees."),
    "gross_pnl": Metric(
        lambda b: _net(b) + _fees(b), "dollars", "dollar", "Net P&L with the fees added back."
    ),
    "fees": Metric(_fees, "dollars", "dollar", "Exchange fees of all fills."),
    "spread_paid": Metric(
        lambda b: int(b.trades_closed["spread_paid"].sum()),
        "dollars",
        "dollar",
        "Half the quoted spread of every taker fill of closed trades; resting orders pay none.",
    ),
    "initial_cash": Metric(
        lambda b: b.initial_cash, "dollars", "dollar", "Cash at the start of the run."
    ),
    "final_equity": Metric(
        _final,
        "dollars",
        "dollar",
        "Cash at the end, plus open positions at the side to which they could be sold.",
    ),
    "roi": Metric(
        lambda b: _over(_net(b), b.initial_cash, NO_CASH),
        "fraction",
        "dollar",
        "Net P&L over initial cash.",
    ),
    "roi_stake": Metric(
        lambda b: _over(
            int(b.trades_closed["pnl"].sum()), int(b.trades_closed["stake"].sum()), NO_TRADE
        ),
        "fraction",
        "dollar",
        "P&L of closed trades over the money paid for their contracts.",
    ),
    "fee_drag": Metric(
        lambda b: _over(_fees(b), b.initial_cash, NO_CASH),
        "fraction",
        "dollar",
        "Fees over initial cash: the return on cash lost to fees.",
    ),
    "turnover": Metric(
        lambda b: _over(_traded(b), b.initial_cash, NO_CASH),
        "ratio",
        "dollar",
        "Money paid and received on the exchange over initial cash; settlements do not count.",
    ),
    "exposure_max": Metric(
        lambda b: max(b.equity["locked"], default=0),
        "dollars",
        "dollar",
        "Highest cost of what was held at one time.",
    ),
    "max_drawdown": Metric(
        max_drawdown,
        "dollars",
        "dollar",
        "Largest fall of equity from its running peak, at every recorded time; positive.",
    ),
    "max_drawdown_pct": Metric(
        max_drawdown_pct,
        "percent",
        "dollar",
        "Largest fall of equity as a percentage of its running peak; positive.",
    ),
    "drawdown_days": Metric(
        drawdown_days,
        "days",
        "day",
        "Longest time from a peak of equity until it was regained, or until the end.",
    ),
    "sharpe": Metric(
        sharpe,
        "ratio",
        "day",
        "Mean over standard deviation (n - 1) of daily returns at UTC midnights, idle days "
        "included, times the square root of 365.",
    ),
    "sortino": Metric(
        sortino,
        "ratio",
        "day",
        "Mean daily return over the root mean square of the negative ones, times the square root "
        "of 365.",
    ),
    "n_trades": Metric(lambda b: b.trades_closed.height, "trades", "trade", "Closed round trips."),
    "win_rate": Metric(
        _win_rate, "fraction", "trade", "Wins over wins and losses; pushes count in neither."
    ),
    "break_even_rate": Metric(
        _break_even_rate,
        "fraction",
        "trade",
        "Win rate at which the average win and the average loss cancel.",
    ),
    "pushes": Metric(
        lambda b: int((b.trades_closed["pnl"] == 0).sum()),
        "trades",
        "trade",
        "Trades that ended at exactly zero.",
    ),
    "profit_factor": Metric(
        _profit_factor, "ratio", "dollar", "Sum of the wins over the sum of the losses."
    ),
    "expectancy": Metric(
        lambda b: _mean_money(b.trades_closed["pnl"], NO_TRADE),
        "dollars",
        "trade",
        "Mean P&L of a closed trade after fees.",
    ),
    "average_win": Metric(
        lambda b: _mean_money(_wins(b), NO_WIN), "dollars", "trade", "Mean P&L of the wins."
    ),
    "average_loss": Metric(
        lambda b: _mean_money(_losses(b), NO_LOSS),
        "dollars",
        "trade",
        "Mean P&L of the losses; negative.",
    ),
    "largest_win": Metric(
        lambda b: _extreme(_wins(b), NO_WIN, high=True), "dollars", "trade", "Best trade."
    ),
    "largest_loss": Metric(
        lambda b: _extreme(_losses(b), NO_LOSS, high=False),
        "dollars",
        "trade",
        "Worst trade; negative.",
    ),
    "max_wins": Metric(
        lambda b: _streak(b, 1),
        "trades",
        "trade",
        "Most wins in a row by time of exit; a push neither extends nor breaks a row.",
    ),
    "max_losses": Metric(
        lambda b: _streak(b, -1),
        "trades",
        "trade",
        "Most losses in a row by time of exit; a push neither extends nor breaks a row.",
    ),
    "holding_time": Metric(
        _holding_time, "seconds", "trade", "Mean time from entry to exit of a closed trade."
    ),
    "n_orders": Metric(
        lambda b: b.orders.height, "orders", "order", "Orders the strategy asked for."
    ),
    "n_rejected": Metric(
        lambda b: int((b.orders["status"] == "rejected").sum()),
        "orders",
        "order",
        "Orders refused before they reached the exchange.",
    ),
    "fill_rate": Metric(
        _fill_rate, "fraction", "contract", "Contracts filled over contracts sent to be opened."
    ),
    "n_fills": Metric(lambda b: b.fills.height, "fills", "fill", "Executions and settlements."),
    "unsettled": Metric(
        lambda b: b.unsettled,
        "positions",
        "position",
        "Positions still open at the end; in the equity, in no count of trades.",
    ),
    "unsettled_value": Metric(
        lambda b: b.unsettled_value,
        "dollars",
        "dollar",
        "The open positions at the end, at the bid or at the payout that was determined.",
    ),
    "determined": Metric(
        lambda b: b.determined,
        "positions",
        "position",
        "Of the open positions, those with a result that was determined and never paid: no wins.",
    ),
    "quarantined_rows": Metric(
        lambda b: b.quarantined_rows, "rows", "row", "Rows of the data that were set aside."
    ),
}


def score(book: Book) -> dict[str, Score]:
    """Return every registered metric of a run, in the order of the registry.

    Parameters
    ----------
    book : Book
        The run's tables.

    Returns
    -------
    dict of str to Score
        Money as a decimal string of dollars, counts as int, the rest as finite float; a value that
        does not exist is None with the reason.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> idle = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...             trades_closed=TRADES_CLOSED.empty(), initial_cash=10_000_000)
    >>> score(idle)["final_equity"].value, score(idle)["win_rate"].reason
    ('10.00', 'no trade won or lost')
    """
    return {name: _scored(metric, book) for name, metric in METRICS.items()}


def _scored(metric: Metric, book: Book) -> Score:
    value = metric.function(book)
    if isinstance(value, float) and not math.isfinite(value):
        value = Undefined("not a finite number")
    if isinstance(value, Undefined):
        return Score(None, metric.unit, metric.weight, value.reason)
    if metric.unit == "dollars":
        return Score(format_money(int(value)), metric.unit, metric.weight)
    return Score(value, metric.unit, metric.weight)


def to_json(scores: Mapping[str, Score]) -> str:
    """Return scores as JSON text, the same bytes for the same scores.

    Examples
    --------
    >>> print(to_json({"fees": Score("1.50", "dollars", "dollar")}), end="")
    {
      "fees": {
        "value": "1.50",
        "unit": "dollars",
        "weight": "dollar"
      }
    }
    """
    rows = {
        name: {"value": s.value, "unit": s.unit, "weight": s.weight}
        | ({"reason": s.reason} if s.value is None else {})
        for name, s in scores.items()
    }
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"
