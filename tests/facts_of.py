"""The tables of what fills and opinions were worth, of a case or of one market told by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.decisions import decisions
from kalshi_bt.fill_quality import fill_quality
from kalshi_bt.opinions import opinions
from kalshi_bt.quoted import Facts, Quoted
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.trade_context import trade_context

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def categories(*rows: tuple[str, datetime, str | None]) -> pl.DataFrame:
    """Series with what they were called from when on."""
    words = [
        {"series": s, "effective_from": t, "category": c, "fee_type": "q", "fee_multiplier": 1}
        for s, t, c in rows
    ]
    return pl.DataFrame(words, schema.SERIES.columns)


PLAIN = categories(("S", LONG_AGO, "Weather"))


def quoted_of(bars: pl.DataFrame, run: Simulation) -> Quoted:
    return Quoted(run.tape, bars)


def facts_of(
    run: Simulation, settlements: pl.DataFrame, series: pl.DataFrame | None = None
) -> Facts:
    return Facts(run.tape.table, PLAIN if series is None else series, settlements)


def tables_of(
    bars: pl.DataFrame, run: Simulation, settlements: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    quoted, facts = quoted_of(bars, run), facts_of(run, settlements)
    trades = closed_trades(run.tape, run)
    decided = decisions(quoted, run.intents, run.fills)
    return {
        "trades": trades,
        "decided": decided,
        "context": trade_context(facts, run.intents, decided, trades),
        "fill_quality": fill_quality(quoted, facts, decided),
    }


def said_of(
    bars: pl.DataFrame,
    run: Simulation,
    settlements: pl.DataFrame,
    fair: Sequence[float | None] | None = None,
    period: int = 60,
    series: pl.DataFrame | None = None,
) -> pl.DataFrame:
    said = bars.select("market")
    if fair is not None:
        said = said.with_columns(fair=pl.Series(list(fair), dtype=pl.Float64))
    facts = facts_of(run, settlements, series)
    return opinions(quoted_of(bars, run), facts, said, period)


def differing(found: pl.DataFrame, told: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What two tables do not agree on; numbers as closely as sums of floats allow."""
    rows = found.to_dicts()
    if len(rows) != len(told):
        return [("rows", len(rows), len(told))]
    return [
        (i, name, row[name], other[name])
        for i, (row, other) in enumerate(zip(rows, told, strict=True))
        for name in row
        if not same(row[name], other[name])
    ]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    return bool(a == b)
