"""The closed trades, sorted, filtered and paged by the page's script, and their markets."""

from typing import Any

import polars as pl

from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.markets import market_charts
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import titles
from kalshi_bt.units import PRICE_SCALE

ROWS = 2_000
TITLE = (
    80  # characters of a title in the list, where it is what the pointer shows and a search finds
)


def trades(run: Run) -> Part:
    """Return the trades, at most `ROWS`: those that won or lost most; and a chart a market."""
    total = run.trades_closed.height
    choices, charts = market_charts(run)
    values = {
        "total": f"{total:,}",
        "rows": f"{ROWS:,}",
        "cut": total > ROWS,
        "empty": why_no_trade(run) if not total else "",
        "reasons": run.trades_closed["exit_reason"].unique().sort().to_list(),
        "choices": choices,
        "traded": f"{run.fills['ticker'].n_unique():,}",
    }
    tables: dict[str, Any] = {"charts": charts, "choices": choices}
    if total:
        largest = pl.col("pnl").abs()
        kept = run.trades_closed.sort(largest, "trade_id", descending=[True, False]).head(ROWS)
        tables["trades"] = _columns(kept, titles(run))
    return Part("trades", "Trade explorer", "Trades", values, tables=tables)


def _columns(kept: pl.DataFrame, names: Any) -> dict[str, Any]:
    kept = kept.sort("exit_time", "trade_id")
    tickers = kept["ticker"].unique().sort().to_list()
    reasons = kept["exit_reason"].unique().sort().to_list()
    code = {ticker: number for number, ticker in enumerate(tickers)}
    kind = {reason: number for number, reason in enumerate(reasons)}
    return {
        "tickers": tickers,
        "titles": [names.get(ticker, "")[:TITLE] for ticker in tickers],
        "reasons": reasons,
        "columns": {
            "id": kept["trade_id"].to_list(),
            "ticker": [code[ticker] for ticker in kept["ticker"]],
            "side": kept["side"].to_list(),
            "entry": kept["entry_time"].dt.epoch("s").to_list(),
            "exit": kept["exit_time"].dt.epoch("s").to_list(),
            "quantity": kept["quantity"].abs().to_list(),
            "paid": _centicents(kept["entry_price"]),
            "got": _centicents(kept["exit_price"]),
            "reason": [kind[reason] for reason in kept["exit_reason"]],
            "fees": kept["fees"].to_list(),
            "spread": kept["spread_paid"].to_list(),
            "pnl": kept["pnl"].to_list(),
        },
    }


def _centicents(prices: pl.Series) -> list[int]:
    return (prices * PRICE_SCALE).round().cast(pl.Int64).to_list()
