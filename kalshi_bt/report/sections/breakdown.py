"""Where the profit and loss of the closed trades came from."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import bars_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.wording import micro, tone, why_no_trade
from kalshi_bt.units import PRICE_SCALE

DECILES = [f"{low}–{low + 10}" for low in range(0, 100, 10)]
GROUPED = (
    pl.len().alias("trades"),
    (pl.col("pnl") > 0).sum().alias("wins"),
    (pl.col("pnl") < 0).sum().alias("losses"),
    pl.col("pnl").sum(),
)


def breakdown(run: Run) -> Part:
    """Return P&L by reason of exit, by series and by entry price."""
    if run.trades_closed.is_empty():
        return Part("breakdown", "Where it came from", {"empty": why_no_trade(run)})
    values = {
        "empty": "",
        "exits": _rows(run.trades_closed, "exit_reason"),
        "series": _rows(run.trades_closed, "series"),
        "sides": _rows(
            run.trades_closed.with_columns(
                held=pl.when(pl.col("side") > 0).then(pl.lit("YES")).otherwise(pl.lit("NO"))
            ),
            "held",
        ),
    }
    return Part("breakdown", "Where it came from", values, {"plot-prices": _by_price(run)})


def _rows(trades: pl.DataFrame, by: str, most: int = 8) -> list[dict[str, Any]]:
    """One row a group, the most traded first; the rest of many groups is summed up."""
    groups = trades.group_by(by).agg(GROUPED).sort("trades", by, descending=[True, False])
    if groups.height > most:
        rest = groups[most - 1 :].select(
            pl.lit("all others").alias(by), pl.col(groups.columns[1:]).sum()
        )
        groups = pl.concat([groups[: most - 1], rest])
    widest = max(1, int(groups["pnl"].abs().max() or 1))  # type: ignore[arg-type]
    return [
        {
            "name": name,
            "trades": f"{count:,}",
            "won": f"{wins / (wins + losses):.0%}" if wins + losses else "n/a",
            "pnl": micro(pnl, signed=True),
            "tone": tone(pnl),
            "width": f"{50 * abs(pnl) / widest:.2f}",
        }
        for name, count, wins, losses, pnl in groups.iter_rows()
    ]


def _by_price(run: Run) -> dict[str, Any]:
    """Trades in ten buckets of what one contract of the side held cost."""
    price = (pl.col("entry_price") * PRICE_SCALE).round().cast(pl.Int64)
    bucket = (price // (PRICE_SCALE // 10)).clip(0, 9)
    found = {
        row["bucket"]: row
        for row in run.trades_closed.group_by(bucket=bucket).agg(GROUPED).iter_rows(named=True)
    }
    pnl, hover = [], []
    for number in range(10):
        row = found.get(number, {"trades": 0, "wins": 0, "losses": 0, "pnl": 0})
        pnl.append(row["pnl"])
        wins, losses = row["wins"], row["losses"]
        hover.append(
            f"{micro(row['pnl'], signed=True)}, {row['trades']} trades, {wins} won, {losses} lost"
        )
    return bars_figure(DECILES, pnl, hover, "Entry price, ¢")
