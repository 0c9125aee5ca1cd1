"""What the closed round trips earned: counts, rates, sizes and rows of wins and losses."""

from fractions import Fraction
from typing import Any

import polars as pl

from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, SECOND

NO_TRADE = "no closed trade"
NO_WIN = "no winning trade"
NO_LOSS = "no losing trade"
NO_CASH = "initial cash is zero"
UNDECIDED = "no trade won or lost"

# Prices paid are summed in whole 2^-36 of a dollar: a sum that no order of the rows can change.
PAID_SCALE = 2**36


def over(top: float, bottom: float, reason: str) -> Value:
    """Return the ratio, or why there is none."""
    return top / bottom if bottom else Undefined(reason)


def mean_money(total: int, count: int, reason: str) -> Value:
    """Return the mean in whole micro-dollars, half to even."""
    return round(Fraction(total, count)) if count else Undefined(reason)


def paid_prices(book: Book) -> pl.Series:
    """Return what a contract of each trade cost with all its fees, Int64 in `PAID_SCALE`."""
    dollars = (pl.col("stake") + pl.col("fees")) / (pl.col("quantity").abs() * PRICE_SCALE)
    paid = (dollars * PAID_SCALE).round().cast(pl.Int64)
    return book.trades_closed.select(paid=paid)["paid"]


def trade_sums(book: Book) -> dict[str, Any]:
    """Return every sum over the closed trades that a metric needs, in one pass."""
    pnl = pl.col("pnl")
    won, lost = pnl > 0, pnl < 0
    held = (pl.col("exit_time") - pl.col("entry_time")).dt.total_microseconds()
    decided = book.trades_closed.select(
        n=pl.len(),
        wins=won.sum(),
        losses=lost.sum(),
        pnl=pnl.sum(),
        won=pnl.filter(won).sum(),
        lost=pnl.filter(lost).sum(),
        best=pnl.filter(won).max(),
        worst=pnl.filter(lost).min(),
        stake=pl.col("stake").sum(),
        spread=pl.col("spread_paid").sum(),
        held=held.sum(),
        paid=pl.lit(book.once(paid_prices)).filter(won | lost).sum(),
    )
    return decided.row(0, named=True)


def final_equity(book: Book) -> int:
    """Return equity at the end in micro-dollars."""
    return book.initial_cash if book.equity.is_empty() else int(book.equity["equity"][-1])


def net_pnl(book: Book) -> int:
    """Return final equity less initial cash in micro-dollars."""
    return final_equity(book) - book.initial_cash


def _sum(name: str, book: Book) -> int:
    return int(book.once(trade_sums)[name])


def _decided(book: Book) -> int:
    return _sum("wins", book) + _sum("losses", book)


def by_exit(book: Book) -> pl.DataFrame:
    """Return exit_time and pnl of the closed trades by time of exit, those of one time by trade."""
    trades = book.trades_closed.select("exit_time", "trade_id", "pnl")
    if not trades["trade_id"].is_sorted():
        trades = trades.sort("trade_id")
    return trades.select("exit_time", "pnl").sort("exit_time", maintain_order=True)


def _runs(book: Book) -> dict[int, int]:
    """Return the longest run of each sign in order of exit; pushes are passed over."""
    sign = book.once(by_exit)["pnl"].sign().cast(pl.Int8)  # a byte each is quicker to compare
    runs = sign.filter(sign != 0).rle().struct.unnest().group_by("value").agg(pl.col("len").max())
    return dict(runs.select("value", "len").iter_rows())


def _win_rate(book: Book) -> Value:
    return over(_sum("wins", book), _decided(book), UNDECIDED)


def _price_paid(book: Book) -> Value:
    paid = Fraction(_sum("paid", book) * MONEY_SCALE, PAID_SCALE)
    return round(paid / _decided(book)) if _decided(book) else Undefined(UNDECIDED)


def _win_rate_excess(book: Book) -> Value:
    ahead = _sum("wins", book) - _sum("paid", book) / PAID_SCALE
    return over(ahead, _decided(book), UNDECIDED)


def _break_even_rate(book: Book) -> Value:
    wins, losses = _sum("wins", book), _sum("losses", book)
    if not wins or not losses:
        return Undefined(NO_WIN if not wins else NO_LOSS)
    win = Fraction(_sum("won", book), wins)
    loss = Fraction(-_sum("lost", book), losses)
    return float(loss / (win + loss))


def _profit_factor(book: Book) -> Value:
    if not _sum("n", book):
        return Undefined(NO_TRADE)
    return over(_sum("won", book), -_sum("lost", book), NO_LOSS)


def _extreme(name: str, book: Book, reason: str) -> Value:
    found = book.once(trade_sums)[name]
    return Undefined(reason) if found is None else int(found)


TRADING: dict[str, Metric] = {
    "net_pnl": Metric(net_pnl, "dollars", "dollar", "Final equity less initial cash, after fees."),
    "initial_cash": Metric(
        lambda b: b.initial_cash, "dollars", "dollar", "Cash at the start of the run."
    ),
    "final_equity": Metric(
        final_equity,
        "dollars",
        "dollar",
        "Cash at the end, plus open positions at the side to which they could be sold.",
    ),
    "roi": Metric(
        lambda b: over(net_pnl(b), b.initial_cash, NO_CASH),
        "fraction",
        "dollar",
        "Net P&L over initial cash.",
    ),
    "roi_stake": Metric(
        lambda b: over(_sum("pnl", b), _sum("stake", b), NO_TRADE),
        "fraction",
        "dollar",
        "P&L of closed trades over the money paid for their contracts.",
    ),
    "n_trades": Metric(lambda b: _sum("n", b), "trades", "trade", "Closed round trips."),
    "n_wins": Metric(
        lambda b: _sum("wins", b), "trades", "trade", "Trades that ended above zero, after fees."
    ),
    "n_losses": Metric(
        lambda b: _sum("losses", b), "trades", "trade", "Trades that ended below zero, after fees."
    ),
    "pushes": Metric(
        lambda b: _sum("n", b) - _decided(b),
        "trades",
        "trade",
        "Trades that ended at exactly zero.",
    ),
    "win_rate": Metric(
        _win_rate, "fraction", "trade", "Wins over wins and losses; pushes count in neither."
    ),
    "break_even_rate": Metric(
        _break_even_rate,
        "fraction",
        "trade",
        "Win rate at which the average win and the average loss cancel.",
    ),
    "price_paid": Metric(
        _price_paid,
        "dollars",
        "trade",
        "Mean price of a contract with all its fees, of trades that won or lost.",
    ),
    "win_rate_excess": Metric(
        _win_rate_excess,
        "fraction",
        "trade",
        "Win rate less the mean price paid with all fees: the edge of trades held to settlement; "
        "where stops and targets end trades, compare the win rate with the break-even rate.",
        "arithmetic",
    ),
    "profit_factor": Metric(
        _profit_factor, "ratio", "dollar", "Sum of the wins over the sum of the losses."
    ),
    "expectancy": Metric(
        lambda b: mean_money(_sum("pnl", b), _sum("n", b), NO_TRADE),
        "dollars",
        "trade",
        "Mean P&L of a closed trade after fees.",
    ),
    "gross_profit": Metric(
        lambda b: _sum("won", b), "dollars", "dollar", "Sum of the wins, after fees."
    ),
    "gross_loss": Metric(
        lambda b: _sum("lost", b), "dollars", "dollar", "Sum of the losses, after fees; negative."
    ),
    "average_win": Metric(
        lambda b: mean_money(_sum("won", b), _sum("wins", b), NO_WIN),
        "dollars",
        "trade",
        "Mean P&L of the wins.",
    ),
    "average_loss": Metric(
        lambda b: mean_money(_sum("lost", b), _sum("losses", b), NO_LOSS),
        "dollars",
        "trade",
        "Mean P&L of the losses; negative.",
    ),
    "largest_win": Metric(lambda b: _extreme("best", b, NO_WIN), "dollars", "trade", "Best trade."),
    "largest_loss": Metric(
        lambda b: _extreme("worst", b, NO_LOSS), "dollars", "trade", "Worst trade; negative."
    ),
    "max_wins": Metric(
        lambda b: b.once(_runs).get(1, 0),
        "trades",
        "trade",
        "Most wins in a row by time of exit; a push neither extends nor breaks a row.",
    ),
    "max_losses": Metric(
        lambda b: b.once(_runs).get(-1, 0),
        "trades",
        "trade",
        "Most losses in a row by time of exit; a push neither extends nor breaks a row.",
    ),
    "holding_time": Metric(
        lambda b: over(_sum("held", b), _sum("n", b) * SECOND, NO_TRADE),
        "seconds",
        "trade",
        "Mean time from entry to exit of a closed trade.",
    ),
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
