"""The documented longshot files: trades, cash after each, a summary, and decision objects.

Columns of the reference come first. Where a run knows more, fee, fill_time, settle_time and event
follow at the end.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt.schema import Schema, Time
from kalshi_bt.units import CENT, MONEY_SCALE, PRICE_SCALE

TRADES: Schema = {
    "trade_n": pl.Int64,  # from 1
    "time": Time,
    "ticker": pl.String,
    "action": pl.String,  # BET_NO | BET_YES
    "side": pl.String,
    "yes_price": pl.Int64,  # centi-cents
    "entry_price": pl.Int64,  # of the side bought
    "quantity": pl.Int64,  # centi-contracts
    "cost": pl.Int64,  # micro-dollars, as all that follow
    "result": pl.String,  # null: not settled, or sold before
    "payout": pl.Int64,
    "pnl": pl.Int64,
    "cash": pl.Int64,
    "note": pl.String,  # won | lost
    "fee": pl.Int64,
    "fill_time": Time,
    "settle_time": Time,
    "event": pl.String,
}
_COLUMNS = {
    "trade_n": "trade_n",
    "timestamp": "time",
    "market_ticker": "ticker",
    "action": "action",
    "side": "side",
    "yes_price": "yes_price",
    "entry_price_cents": "entry_price",
    "qty": "quantity",
    "cost": "cost",
    "result": "result",
    "payout": "payout",
    "pnl": "pnl",
    "cash": "cash",
    "note": "note",
}
_MORE = ("fee", "fill_time", "settle_time", "event")
_QUANT = (
    *("verdict", "implied_prob", "actual_win_rate", "calibration_gap", "sample_size"),
    *("no_win_rate", "taker_win_rate", "yes_no_asymmetry"),
)


def settle(approved: pl.DataFrame, bankroll: int, stake: int | pl.Expr) -> pl.DataFrame:
    """Return the trades of the documented paper broker: each settled at once, cash unasked.

    Parameters
    ----------
    approved : frame
        ticker, event, time, settle_time, action, side, yes_price (cents), result.
    bankroll : int
        Micro-dollars.
    stake : int or expression
        Micro-dollars; a trade buys as many contracts as the stake pays for, and at least one.

    Returns
    -------
    frame of TRADES
    """
    price = pl.col("yes_price")
    entry = pl.when(pl.col("side") == "YES").then(price).otherwise(100 - price)
    bought = approved.with_columns(entry=entry).with_columns(
        count=(stake // (pl.col("entry") * CENT)).clip(1),
        won=pl.col("result") == pl.col("side").str.to_lowercase(),
    )
    paid = bought.with_columns(
        cost=pl.col("count") * pl.col("entry") * CENT,
        payout=pl.when("won").then(pl.col("count") * MONEY_SCALE).otherwise(0),
    ).with_columns(pnl=pl.col("payout") - pl.col("cost"))
    return _trades(
        paid,
        bankroll,
        yes_price=price * 100,
        entry_price=pl.col("entry") * 100,
        quantity=pl.col("count") * 100,
        note=_note("won"),
        fee=pl.lit(0),
        fill_time=pl.col("time"),
    )


def of_run(trades_closed: pl.DataFrame, settlements: pl.DataFrame, bankroll: int) -> pl.DataFrame:
    """Return the round trips of a run as such trades, in the order in which they ended.

    Parameters
    ----------
    trades_closed, settlements : frame of schema.TRADES_CLOSED, schema.SETTLEMENTS
    bankroll : int
        Micro-dollars at the start.

    Returns
    -------
    frame of TRADES
        `payout` is what came back before fees, `pnl` is net of them; `note` goes by `pnl`.
    """
    results = settlements.select("ticker", "result")
    yes = pl.col("side") > 0
    own = (pl.col("entry_price") * PRICE_SCALE).round().cast(pl.Int64)
    ended = trades_closed.join(results, on="ticker", how="left").sort("exit_time", "trade_id")
    made = ended.with_columns(
        entry=own,
        yes_price=pl.when(yes).then(own).otherwise(PRICE_SCALE - own),
        payout=pl.col("stake") + pl.col("gross_pnl"),
        result=pl.when(pl.col("exit_reason") == "settlement").then("result"),
        action=pl.when(yes).then(pl.lit("BET_YES")).otherwise(pl.lit("BET_NO")),
        side=pl.when(yes).then(pl.lit("YES")).otherwise(pl.lit("NO")),
        time=pl.col("exit_time"),
        settle_time=pl.col("exit_time"),
        won=pl.col("pnl") > 0,
    )
    return _trades(
        made,
        bankroll,
        entry_price=pl.col("entry"),
        cost=pl.col("stake"),
        note=_note("won"),
        fee=pl.col("fees"),
        fill_time=pl.col("entry_time"),
    )


def _trades(made: pl.DataFrame, bankroll: int, **columns: pl.Expr) -> pl.DataFrame:
    full = made.with_columns(
        **columns,
        trade_n=pl.int_range(1, pl.len() + 1),
        cash=bankroll + pl.col("pnl").cum_sum(),
    )
    return full.select(pl.col(name).cast(kind) for name, kind in TRADES.items())


def _note(won: str) -> pl.Expr:
    return pl.when(won).then(pl.lit("won")).otherwise(pl.lit("lost"))


def files(trades: pl.DataFrame, bankroll: int, *, more: bool = False) -> dict[str, bytes]:
    """Return backtest_trades.csv, backtest_equity.csv and backtest_book.json.

    Parameters
    ----------
    trades : frame of TRADES
    bankroll : int
        Micro-dollars.
    more : bool
        Whether fee, fill_time, settle_time and event follow at the end.

    Returns
    -------
    dict of file name to content
        UTF-8, lines end with a line feed. Dollars with four decimals (half up), prices in cents,
        times in ISO 8601 with offset: simulated ones only.

    Examples
    --------
    >>> written = files(pl.DataFrame(schema=TRADES), 1_000_000_000)
    >>> json.loads(written["backtest_book.json"])["final_cash"]
    1000.0
    >>> written["backtest_equity.csv"].decode().splitlines()
    ['trade_n,timestamp,cash']
    """
    columns = _COLUMNS | ({name: name for name in _MORE} if more else {})
    told = trades.select(_told(source).alias(name) for name, source in columns.items())
    return {
        "backtest_trades.csv": told.write_csv().encode(),
        "backtest_equity.csv": told.select("trade_n", "timestamp", "cash").write_csv().encode(),
        "backtest_book.json": (json.dumps(book(trades, bankroll), indent=2) + "\n").encode(),
    }


def book(trades: pl.DataFrame, bankroll: int) -> dict[str, float | int]:
    """Return the summary of trades, dollars with four decimals; max_drawdown is positive.

    Examples
    --------
    >>> book(pl.DataFrame(schema=TRADES), 1_000_000_000)["win_rate"]
    0.0
    """
    cash = pl.concat([pl.Series([bankroll]), trades["cash"]])
    pnl, wins = int(trades["pnl"].sum()), int((trades["note"] == "won").sum())
    fall = int((cash.cum_max() - cash).max() or 0)  # type: ignore[arg-type]
    return {
        "bankroll": _dollars(bankroll),
        "final_cash": _dollars(bankroll + pnl),
        "total_pnl": _dollars(pnl),
        "n_trades": trades.height,
        "n_wins": wins,
        "win_rate": _share(wins, max(trades.height, 1)),
        "roi": _share(pnl, bankroll),
        "max_drawdown": _dollars(fall),
    }


def _dollars(micro: int) -> float:
    return (micro + 50) // 100 / 10_000


def _share(part: int, whole: int) -> float:
    """Return a quotient with four decimals, half up."""
    return (20_000 * part + whole) // (2 * whole) / 10_000


def _told(source: str) -> pl.Expr:
    """Return a column of TRADES as text or number of a file."""
    column = pl.col(source)
    if TRADES[source] == Time:
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
    if source in {"yes_price", "entry_price", "quantity"}:
        whole = (column // 100).cast(pl.String)
        part = (column % 100).cast(pl.String).str.zfill(2).str.strip_chars_end("0")
        return pl.when(column % 100 == 0).then(whole).otherwise(whole + "." + part)
    if source in {"cost", "payout", "pnl", "cash", "fee"}:
        units = (column + 50) // 100
        sign = pl.when(units < 0).then(pl.lit("-")).otherwise(pl.lit(""))
        part = (units.abs() % 10_000).cast(pl.String).str.zfill(4)
        return sign + (units.abs() // 10_000).cast(pl.String) + "." + part
    return column


def objects(decisions: pl.DataFrame, trades: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the decision object of every market that was not bounced, ready for JSON.

    Parameters
    ----------
    decisions, trades : frame
        Of a `longshot_chain.Chain`.
    """
    done = {row["ticker"]: row for row in trades.iter_rows(named=True)}
    for row in decisions.filter(pl.col("status") != "BOUNCED").iter_rows(named=True):
        yield _object(row, done.get(row["ticker"]))


def _object(row: dict[str, Any], trade: dict[str, Any] | None) -> dict[str, Any]:
    status = row["status"]
    quant = {name: row[name] for name in _QUANT}
    quant["sample_size"] = row["sample_size"] or 0
    quant["historical_edge"] = row["calibration_gap"]
    short = row["verdict"] == "INSUFFICIENT_DATA"
    quant["data_quality"] = "INSUFFICIENT" if short else "SUFFICIENT"
    return {
        "action": row["action"] if status == "APPROVED" else "PASS",
        "ticker": row["ticker"],
        "side": row["side"],
        "confidence": row["confidence"],
        "edge": row["calibration_gap"],
        "price": row["yes_price"],
        "kelly_fraction": row["kelly_fraction"],
        "quant_summary": quant,
        "timestamp": _iso(row["time"]),
        "status": status,
        "reason": row["reason"],
        "critic": _critic(row) if status in {"VETOED", "APPROVED"} else None,
        "execution": _execution(trade) if trade and status == "APPROVED" else None,
    }


def _critic(row: dict[str, Any]) -> dict[str, Any]:
    vetoed = row["status"] == "VETOED"
    return {
        "decision": "VETO" if vetoed else "APPROVE",
        "veto_reason": row["veto_reason"],
        "concerns": row["concerns"],
        "risk_score": row["risk_score"],
        "summary": f"vetoed: {row['veto_reason']}" if vetoed else "no rule against it",
    }


def _execution(trade: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": "SETTLED",
        "qty": trade["quantity"] // 100,
        "result": trade["result"],
        **{name: _dollars(trade[name]) for name in ("cost", "payout", "pnl", "cash")},
    }


def _iso(time: datetime) -> str:
    return time.isoformat()
