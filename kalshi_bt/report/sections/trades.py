"""The closed trades, sorted, filtered and paged by the page's script, and their markets."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from kalshi_bt.report.figures import packed
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.markets import market_charts
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.verdict import why_no_trade
from kalshi_bt.report.wording import cents, contracts, micro, moment, titles, tone
from kalshi_bt.units import PRICE_SCALE

ROOM: Final = 300_000  # characters of the list: what keeps the page below six megabytes
ROW: Final = 26  # of them for a trade, without the name of its market
TITLE: Final = 80  # of them of a title, which a pointer shows and a search finds
LISTED: Final = 50  # trades of the list of a page whose script does not run
COLUMNS: Final = {
    "id": pl.col("trade_id"),
    "side": pl.col("side"),
    "entry": pl.col("entry_time").dt.epoch("s"),
    "exit": pl.col("exit_time").dt.epoch("s"),
    "quantity": pl.col("quantity").abs(),
    "paid": (pl.col("entry_price") * PRICE_SCALE).round(),
    "got": (pl.col("exit_price") * PRICE_SCALE).round(),
    "fees": pl.col("fees"),
    "spread": pl.col("spread_paid"),
    "pnl": pl.col("pnl"),
}


def trades(run: Run) -> Part:
    """Return those trades that won or lost most, and charts: as many as there is room for."""
    total = run.trades_closed.height
    charts = market_charts(run)
    kept = _fitting(run.trades_closed, titles(run))
    values = {
        "total": f"{total:,}",
        "rows": f"{kept.height:,}",
        "cut": total > kept.height,
        "empty": why_no_trade(run) if not total else "",
        "reasons": run.trades_closed["exit_reason"].unique().sort().to_list(),
        "charted": f"{len(charts['tickers']):,}" if charts else "",
        "stored": f"{len(run.charts):,}",
        "traded": f"{run.fills['ticker'].n_unique():,}",
        "left_out": bool(charts) and len(charts["tickers"]) < run.fills["ticker"].n_unique(),
        "run": run.run_id,
        "largest": [_listed(trade) for trade in kept.head(LISTED).iter_rows(named=True)],
    }
    tables: dict[str, Any] = {"charts": charts}
    if total:
        tables["trades"] = _columns(kept, titles(run))
    return Part("trades", "Trade explorer", "Trades", values, tables=tables)


def _fitting(trades: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the trades that won or lost most, as many as there is room for."""
    largest = pl.col("pnl").abs()
    ranked = trades.sort(largest, "trade_id", descending=[True, False])
    ticker = pl.col("ticker")
    title = ticker.replace_strict(names, default="", return_dtype=pl.String).str.head(TITLE)
    name = pl.when(ticker.is_first_distinct()).then(ticker.str.len_bytes() + title.str.len_bytes())
    taken = ranked.select(taken=(name.fill_null(0) + ROW).cum_sum())["taken"]
    return ranked.head(int((taken <= ROOM).sum()))


def _listed(trade: Mapping[str, Any]) -> dict[str, str]:
    return {
        "entry": moment(trade["entry_time"]),
        "ticker": trade["ticker"],
        "side": "YES" if trade["side"] > 0 else "NO",
        "contracts": contracts(trade["quantity"]),
        "paid": cents(trade["entry_price"] * PRICE_SCALE),
        "got": cents(trade["exit_price"] * PRICE_SCALE),
        "reason": trade["exit_reason"],
        "pnl": micro(trade["pnl"], signed=True),
        "tone": tone(trade["pnl"]),
    }


def _columns(kept: pl.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    kept = kept.sort("exit_time", "trade_id")
    texts = {name: kept[name].unique().sort().to_list() for name in ("ticker", "exit_reason")}
    code = {
        name: packed(kept[name].replace_strict(known, range(len(known)), return_dtype=pl.Int64))
        for name, known in texts.items()
    }
    numbers = {name: packed(column) for name, column in _integers(kept).items()}
    return {
        "tickers": texts["ticker"],
        "titles": [names.get(ticker, "")[:TITLE] for ticker in texts["ticker"]],
        "reasons": texts["exit_reason"],
        "columns": numbers | {"ticker": code["ticker"], "reason": code["exit_reason"]},
    }


def _integers(kept: pl.DataFrame) -> dict[str, pl.Series]:
    return {
        name: kept.select(column.cast(pl.Int64)).to_series() for name, column in COLUMNS.items()
    }
