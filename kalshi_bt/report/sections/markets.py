"""The charts of the trade explorer, of as many markets as the page has room for.

The markets whose trades won or lost most come first. The bars of all stand in one table, cut into
markets by how many rows each has, which is small to write and quick to read.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from kalshi_bt.report.figures import POINTS, market_figure, packed, plain, room, thin
from kalshi_bt.report.figures.market import MARKS
from kalshi_bt.report.model import CHART_COLUMNS, Run
from kalshi_bt.report.wording import titles
from kalshi_bt.units import PRICE_SCALE

ROOM: Final = 500_000  # characters of all charts: what keeps the page below six megabytes
ROWS: Final = 45_000  # of all charts together, if that leaves each its LEAST
LEAST: Final = 200
FILLS: Final = 1_000  # drawn of one market
FILL: Final = 16  # characters of a fill
MARKET: Final = 40  # characters of what is said of a market, without its name
LEVELS: Final = ("bid", "ask", "close", "fair")  # whose extremes stay


def market_charts(run: Run) -> dict[str, Any]:
    """Return the figure of any market and the numbers of those that are shown; empty for none.

    Returns
    -------
    dict
        ``figure``; ``tickers`` and ``titles``; of each market ``about``, and in ``rows`` how many
        rows of the ``columns`` are its own; the fills by kind in ``marks``, cut alike, of which the
        first ``most`` of a market are drawn; ``words`` are what their codes stand for.
    """
    ranked = _ranked(run)
    if ranked.is_empty():
        return {}
    bars = _bars(run, ranked["ticker"].to_list())
    ranked = ranked.head(_fitting(bars, ranked))
    bars = bars.filter(pl.col("market") < ranked.height)
    names = titles(run)
    return {
        "figure": market_figure(),
        "tickers": ranked["ticker"].to_list(),
        "titles": [names.get(ticker, "") for ticker in ranked["ticker"]],
        "about": {
            "trades": packed(ranked["trades"]),
            "fills": packed(ranked["fills"]),
            "pnl": packed(ranked["pnl"]),
            "close": packed(ranked["close_time"].dt.epoch("ms")),
            "payout": packed([_payout(run.payouts.get(ticker)) for ticker in ranked["ticker"]]),
        },
        "rows": _counts(bars, ranked.height),
        "columns": {
            name: packed(bars[name], 1 if name == "time" else PRICE_SCALE)
            for name in ("time", *CHART_COLUMNS)
            if bars[name].null_count() < bars.height
        },
        **_fills(run, ranked),
        "most": FILLS,
    }


def _ranked(run: Run) -> pl.DataFrame:
    """Markets that can be charted, by what their largest trade won or lost."""
    drawable = [ticker for ticker, chart in run.charts.items() if chart.height]
    traded = run.trades_closed.group_by("ticker").agg(
        pl.col("pnl").abs().max().alias("largest"), pl.len().alias("trades"), pl.col("pnl").sum()
    )
    filled = run.fills.group_by("ticker").agg(pl.len().alias("fills"))
    closes = run.markets.select("ticker", "close_time").unique("ticker", keep="first")
    listed = pl.DataFrame({"ticker": drawable}, schema={"ticker": pl.String})
    for facts in (traded, filled, closes):
        listed = listed.join(facts, on="ticker", how="left")
    return listed.with_columns(pl.col("trades", "fills").fill_null(0)).sort(
        "largest", "ticker", descending=[True, False], nulls_last=True
    )


def _bars(run: Run, tickers: Sequence[str]) -> pl.DataFrame:
    """Return the bars of all markets below each other: milliseconds, centi-cents, thinned."""
    charts = [run.charts[ticker] for ticker in tickers]
    rows = pl.concat(charts, how="diagonal_relaxed")
    levels = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(pl.Float64).alias(name)
        for name in CHART_COLUMNS
    ]
    number = np.repeat(np.arange(len(charts)), [chart.height for chart in charts])
    rows = rows.select(
        pl.Series("market", number),
        pl.col("time").dt.epoch("ms"),
        *((level.fill_nan(None) * PRICE_SCALE).round().cast(pl.Int64) for level in levels),
    )
    points = min(POINTS, max(LEAST, ROWS // len(charts)))
    return thin(rows, LEVELS, points, by="market")


def _fitting(bars: pl.DataFrame, ranked: pl.DataFrame) -> int:
    """Return how many of the first markets there is room for, at least one."""
    columns = [room(bars[name]) for name in bars.columns if name != "market"]
    taken = bars.select("market", room=pl.sum_horizontal(columns)).group_by("market").sum()
    fixed = pl.col("fills").clip(upper_bound=FILLS) * FILL + MARKET
    sizes = ranked.select(pl.col("ticker").str.len_bytes() + fixed).to_series()
    total = (sizes + taken.sort("market")["room"]).cum_sum()
    return max(1, int((total <= ROOM).sum()))


def _counts(rows: pl.DataFrame, markets: int) -> dict[str, Any]:
    """Return how many rows each market has."""
    return packed(np.bincount(rows["market"], minlength=markets).tolist())


def _fills(run: Run, ranked: pl.DataFrame) -> dict[str, Any]:
    """Return the fills of the markets by kind, the first `FILLS` of each market."""
    numbers = ranked.select("ticker").with_row_index("market")
    fills = run.fills.join(numbers, on="ticker").sort("market", "time", "order_id", "seq")
    fills = fills.filter(pl.int_range(pl.len()).over("market") < FILLS)
    words = fills.select(pl.col("reason", "role").cast(pl.String))
    known = pl.concat([words["reason"], words["role"]]).unique().sort().to_list()
    codes = words.select(pl.all().replace_strict(known, range(len(known)), return_dtype=pl.Int64))
    fills = fills.with_columns(codes)
    return {
        "words": [plain(word) for word in known],
        "marks": {
            name: {
                "rows": _counts(rows, ranked.height),
                "time": packed(rows["time"].dt.epoch("ms")),
                "price": packed(rows["price"], PRICE_SCALE),
                **{name: packed(rows[name]) for name in ("quantity", "fee", "reason", "role")},
            }
            for name, (_, _, which) in MARKS.items()
            if not (rows := fills.filter(which)).is_empty()
        },
    }


def _payout(payout: float | None) -> int | None:
    """Return dollars as centi-cents; None while a market is not settled."""
    return None if payout is None else round(payout * PRICE_SCALE)
