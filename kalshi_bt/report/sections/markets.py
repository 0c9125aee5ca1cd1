"""One chart a market of the trade explorer, of the markets with the largest trades."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import POINTS, Figure, market_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.wording import cents, micro, moment, titles, tone
from kalshi_bt.units import PRICE_SCALE

MARKETS = 30
ALL_POINTS = 12_000  # rows of quotes in all charts together, which keeps the page small
ALL_FILLS = 3_000


def market_charts(run: Run) -> tuple[list[dict[str, Any]], dict[str, Figure]]:
    """Return what is said of each charted market, the largest stake first, and its figure."""
    ranked = _ranked(run)
    share = max(1, ranked.height)
    points, most = min(POINTS, ALL_POINTS // share), ALL_FILLS // share
    closes = dict(run.markets.select("ticker", "close_time").iter_rows())
    names = titles(run)
    choices: list[dict[str, Any]] = []
    figures: dict[str, Figure] = {}
    for number, market in enumerate(ranked.iter_rows(named=True)):
        ticker = market["ticker"]
        fills = run.fills.filter(pl.col("ticker") == ticker).sort("time", "order_id", "seq")
        figures[f"market-{number}"] = market_figure(run.charts[ticker], fills[:most], points)
        cut = f", the first {most:,} drawn" if fills.height > most else ""
        choices.append(
            {
                "figure": f"market-{number}",
                "ticker": ticker,
                "title": names.get(ticker, ""),
                "trades": f"{market['trades'] or 0:,}",
                "fills": f"{fills.height:,}{cut}",
                "pnl": "none closed"
                if market["pnl"] is None
                else micro(market["pnl"], signed=True),
                "tone": tone(market["pnl"]),
                "close": moment(closes.get(ticker)),
                "payout": _payout(run.payouts.get(ticker)),
            }
        )
    return choices, figures


def _ranked(run: Run) -> pl.DataFrame:
    """Markets that can be charted, by their largest stake."""
    drawable = [ticker for ticker, chart in run.charts.items() if chart.height]
    traded = run.trades_closed.group_by("ticker").agg(
        pl.col("stake").max(), pl.len().alias("trades"), pl.col("pnl").sum()
    )
    listed = pl.DataFrame({"ticker": drawable}, schema={"ticker": pl.String})
    return (
        listed.join(traded, on="ticker", how="left")
        .sort("stake", "ticker", descending=[True, False], nulls_last=True)
        .head(MARKETS)
    )


def _payout(payout: float | None) -> str:
    return "not settled" if payout is None else cents(payout * PRICE_SCALE)
