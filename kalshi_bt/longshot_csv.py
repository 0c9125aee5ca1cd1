"""The documented longshot files and counters, of the documented agents or of a run.

``--mode reference`` asks the documented agents (`longshot_chain`), which fill at the last price of
a market and settle at once. Otherwise the files tell what a run did: its round trips under the
chosen fill model, with fees, in the same columns.
"""

import json
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from kalshi_bt.data.store import Store
from kalshi_bt.longshot_chain import backtest
from kalshi_bt.longshot_chain_files import book, files, objects, of_run
from kalshi_bt.pipeline import Backtest
from kalshi_bt.plan import Plan
from kalshi_bt.settings import amount
from kalshi_bt.units import PRICE_SCALE

__all__ = ["COUNTERS", "documented", "horizon", "of_backtest", "shown"]

COUNTERS = ("processed", "bounced", "passed", "vetoed", "approved", "settled")
Written = tuple[dict[str, bytes], dict[str, Any]]


def documented(store: Store, plan: Plan) -> Written:
    """Return the files of the documented agents, and their counters with the book.

    Parameters
    ----------
    store : Store
        Its markets, settlements and trades are read, and candles and books where there are some.
    plan : Plan
        Of a configuration in reference mode with ``format = "longshot-csv"``.

    Returns
    -------
    files : dict of file name to content
        The three documented ones, and a decision object a line of each market not bounced.
    told : dict
        ``counters`` and ``book``.

    Raises
    ------
    DataError
        If there is no trade of a settled market.
    """
    c = plan.config
    series = c.series or None
    rows = partial(store.scan, series=series, start=c.start, end=c.end)
    bankroll, stake = plan.rules.cash, amount("stake", c.stake or "10")
    done = backtest(
        store.read("markets"),
        store.read("settlements"),
        rows("trades"),
        candles=rows("candles"),
        books=rows("books"),
        rules=plan.chain,
        n=c.n or 0,
        bankroll=bankroll,
        stake=stake,
    )
    lines = (json.dumps(found) + "\n" for found in objects(done.decisions, done.trades))
    made = files(done.trades, bankroll, more=True)
    made["backtest_decisions.jsonl"] = "".join(lines).encode()
    return made, {"counters": done.counters, "book": book(done.trades, bankroll)}


def horizon(store: Store, plan: Plan) -> datetime | None:
    """Return when the first `n` markets with a result, by their closes, were all settled.

    A run that ends then has seen as many; None if there are fewer, and nothing ends it.
    """
    c = plan.config
    ended = store.read("settlements").filter(pl.col("result").is_in(["yes", "no"]))
    if c.series:
        markets = store.read("markets").filter(pl.col("series").is_in(list(c.series)))
        ended = ended.join(markets.select("ticker"), on="ticker", how="semi")
    if c.start is not None:
        ended = ended.filter(pl.col("close_time") > c.start)
    if c.n is None or ended.height <= c.n:
        return c.end
    moment: datetime = ended.sort("close_time", "ticker").head(c.n)["time"].max()  # type: ignore[assignment]
    return moment if c.end is None else min(moment, c.end)


def of_backtest(done: Backtest, plan: Plan) -> Written:
    """Return the same files of a run, and what became of its markets.

    Every market that had its result by the end is processed. It is bounced if no side of it ever
    cost what the signal looks at, passed if the signal had no opinion worth an order, vetoed if the
    limits refused all its orders, approved otherwise; settled are the round trips that ended with
    the result.
    """
    ended = set(done.settlements.filter(pl.col("result").is_in(["yes", "no"]))["ticker"])
    orders = done.base.orders.filter(pl.col("ticker").is_in(list(ended)))
    asked = set(orders["ticker"])
    sent = set(orders.filter(pl.col("status") != "rejected")["ticker"])
    near = (_near(done, plan) & ended) | asked
    closed = done.base.trades_closed
    counts = {
        "processed": len(ended),
        "bounced": len(ended - near),
        "passed": len(near - asked),
        "vetoed": len(asked - sent),
        "approved": len(sent),
        "settled": closed.filter(pl.col("exit_reason") == "settlement").height,
    }
    trades = of_run(closed, done.settlements, plan.rules.cash)
    told = {"counters": counts, "book": book(trades, plan.rules.cash)}
    return files(trades, plan.rules.cash, more=True), told


def _near(done: Backtest, plan: Plan) -> set[str]:
    """Return the markets of which a side was ever offered in the signal's range of prices."""
    low, high = (
        round(getattr(plan.signal, name) * PRICE_SCALE) for name in ("min_price", "max_price")
    )
    yes, no = pl.col("ask_close"), PRICE_SCALE - pl.col("bid_close")
    inside = yes.is_between(low, high) | no.is_between(low, high)
    rows = done.panel.bars.filter(inside)["market"].unique()
    return set(done.panel.markets["ticker"].gather(rows))


def shown(told: dict[str, Any]) -> str:
    """Return counters, book and folder as lines of text.

    Examples
    --------
    >>> print(shown({"counters": {"processed": 3}, "book": {"roi": 0.1}, "folder": "reports/a"}))
    processed 3
    roi 0.1000
    files: reports/a
    """
    lines = [f"{name} {count}" for name, count in told["counters"].items()]
    for name, value in told["book"].items():
        lines.append(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}")
    lines.append(f"files: {told['folder']}")
    return "\n".join([*lines, *([f"report: {told['report']}"] if "report" in told else [])])
