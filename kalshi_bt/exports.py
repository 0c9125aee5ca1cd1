"""Tables of a run as CSV for other programs: times in UTC, money and sizes as exact decimals.

``trades`` and ``daily`` are what a reader of a trading record expects; every other table is that of
the run's folder, with integers of money, prices and quantities written out in dollars and
contracts.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.report.model import Run
from kalshi_bt.run_folder import GROUPS
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE

__all__ = ["TABLES", "csv", "daily", "trades"]

MONEY: Final = {"cash", "locked", "marked", "equity", "fee", "fees", "stake", "gross_pnl", "pnl",
                "spread_paid", "net_pnl", "max_drawdown", "total_pnl", "depth", "random_entry",
                "random_side"}  # fmt: skip
CONTRACTS: Final = {"quantity", "wanted", "filled", "contracts"}
PRICES: Final = {"limit", "stop", "target", "price"}


def trades(run: Run) -> pl.DataFrame:
    """Return the closed round trips, a row each, in order of their exit.

    Returns
    -------
    polars.DataFrame
        timestamp (of the exit, when the P&L is known), ticker, side (yes or no), entry_price and
        exit_price (dollars of the side held, averages over fills), contracts and pnl (as integers
        of `schema.TRADES_CLOSED`, net of fees), exit_reason.
    """
    return run.trades_closed.sort("exit_time", "trade_id").select(
        pl.col("exit_time").alias("timestamp"),
        "ticker",
        pl.when(pl.col("side") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("side"),
        "entry_price",
        "exit_price",
        pl.col("quantity").alias("contracts"),
        "pnl",
        "exit_reason",
    )


def daily(run: Run) -> pl.DataFrame:
    """Return the closed round trips by the UTC day of their exit; days without one are left out.

    Returns
    -------
    polars.DataFrame
        date, total_pnl (micro-dollars, net of fees), total_trades, winning_trades, win_rate (over
        wins and losses, as in the metrics; null where a day had pushes only).
    """
    pnl = pl.col("pnl")
    wins, losses = (pnl > 0).sum().cast(pl.Int64), (pnl < 0).sum().cast(pl.Int64)
    decided = wins + losses
    return (
        run.trades_closed.group_by(pl.col("exit_time").dt.date().alias("date"))
        .agg(
            total_pnl=pnl.sum(),
            total_trades=pl.len().cast(pl.Int64),
            winning_trades=wins,
            win_rate=pl.when(decided > 0).then(wins / decided),
        )
        .sort("date")
    )


def _charts(run: Run) -> pl.DataFrame:
    named = [frame.with_columns(ticker=pl.lit(name)) for name, frame in run.charts.items()]
    return pl.concat(named).select("ticker", pl.exclude("ticker")) if named else pl.DataFrame()


def _stored(name: str) -> Callable[[Run], pl.DataFrame]:
    return lambda run: getattr(run, name)


TABLES: Final[Mapping[str, Callable[[Run], pl.DataFrame]]] = {
    "trades": trades,
    "daily": daily,
    **{f.name: _stored(f.name) for f in fields(Run) if f.type is pl.DataFrame},
    "charts": _charts,
}


def csv(run: Run, table: str) -> str:
    r"""Return a table of a run as CSV; null is an empty field.

    Parameters
    ----------
    run : Run
    table : str
        A name of `TABLES`.

    Raises
    ------
    UsageError
        If the run has no such table.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> run = Run(run_id="a-1", strategy="a", dataset="none", synthetic=True, scores={},
    ...           orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...           trades_closed=TRADES_CLOSED.empty())
    >>> csv(run, "trades")
    'timestamp,ticker,side,entry_price,exit_price,contracts,pnl,exit_reason\n'
    """
    found = _grouped(run)
    if table not in TABLES and table not in found:
        raise UsageError.unknown("table of a run", table, [*TABLES, *found])
    frame = TABLES[table](run) if table in TABLES else found[table]
    return frame.select(_written(name, kind) for name, kind in frame.schema.items()).write_csv()


def _grouped(run: Run) -> dict[str, pl.DataFrame]:
    """Return the frames that a run holds by name, such as the tables of its metrics."""
    return {name: frame for group in GROUPS for name, frame in getattr(run, group).items()}


def _written(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    if kind.is_integer():
        if name in MONEY:
            return _decimal(name, MONEY_SCALE, places=2)
        if name in PRICES:
            return _decimal(name, PRICE_SCALE, places=2)
        if name in CONTRACTS:
            return _decimal(name, QUANTITY_SCALE, places=0)
    return column.cast(pl.String) if isinstance(kind, pl.Enum) else column


def _decimal(name: str, scale: int, places: int) -> pl.Expr:
    """Return integers over a power of ten as text, exact, with at least so many decimals."""
    column = pl.col(name).cast(pl.Int64)
    size, digits = column.abs(), len(str(scale)) - 1
    rest = (size % scale).cast(pl.String).str.zfill(digits).str.strip_chars_end("0")
    rest = rest.str.pad_end(places, "0")
    sign = pl.when(column < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = pl.concat_str(sign, (size // scale).cast(pl.String))
    text = pl.when(rest == "").then(whole).otherwise(pl.concat_str(whole, pl.lit("."), rest))
    return text.alias(name)
