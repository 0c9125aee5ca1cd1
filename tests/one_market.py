"""One market told bar by bar, orders in it, and what became of them: for cases worked by hand.

Prices are centi-cents of YES, quantities centi-contracts. A price of a bar is one number, (open,
high, low, close), or None; what is not told is a quiet market at 0.49 to 0.51.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import prepare

START = datetime(2026, 5, 4, 12, tzinfo=UTC)  # a Monday
MINUTE = 60_000_000
QUIET = {"price": None, "bid": 4_900, "ask": 5_100, "volume": 100_000}
Row = dict[str, Any]


def at(minute: float, start: datetime = START) -> datetime:
    return start + timedelta(minutes=minute)


def bars(*rows: Row, start: datetime = START, market: int = 0, minutes: float = 1) -> pl.DataFrame:
    """A bar a minute, or as many minutes as asked."""
    records = []
    for n, told in enumerate(rows):
        row = QUIET | told
        record = {"market": market, "time": at(n * minutes, start), "volume": row["volume"]}
        for name in ("price", "bid", "ask"):
            parts = row[name] if isinstance(row[name], tuple) else (row[name],) * 4
            record |= {f"{name}_{p}": v for p, v in zip(schema.OHLC, parts, strict=True)}
        records.append(
            record | {name: row.get(name) for name in ("open_interest", "bid_size", "ask_size")}
        )
    return pl.DataFrame(records, schema=schema.BARS.columns)


def intent(**values: Any) -> Row:
    """Ten contracts of YES, decided in the first bar, at any price."""
    row = dict.fromkeys(schema.INTENTS.columns) | {"market": 0, "time": START, "side": 1}
    return row | {"kind": "ioc", "valid_bars": 0, "quantity": 1_000} | values


def paid(minute: float, payout: int, ticker: str = "M0") -> Row:
    end = {"time": at(minute), "close_time": at(minute)}
    return {"ticker": ticker, "payout": payout, "result": "yes", "value": None} | end


def told(minute: float, status: str, payout: int | None = None, ticker: str = "M0") -> Row:
    """What was said of a result."""
    return {"ticker": ticker, "time": at(minute), "status": status, "payout": payout}


def run(
    tape: pl.DataFrame,
    orders: Sequence[Row],
    rules: Rules,
    *,
    taker: int = 70_000,
    maker: int = 0,
    outcomes: Sequence[Row] = (),
    listed: Sequence[Row] = (),
    said: Sequence[Row] = (),
) -> Simulation:
    """Walk the bars; markets are M0, M1, ... of one event unless `listed` says otherwise."""
    count = int(tape["market"].max()) + 1  # type: ignore[arg-type]
    rows = listed or [{"ticker": f"M{m}", "event": "E", "series": "S"} for m in range(count)]
    markets = schema.MARKETS.empty().drop("title")
    markets = pl.DataFrame([dict.fromkeys(markets.columns) | r for r in rows], markets.schema)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    columns = {"market": pl.UInt32, "from_time": schema.Time, "taker": pl.Int64, "maker": pl.Int64}
    rates = [(m, since, taker, maker) for m in range(count)]
    return simulate(
        prepare(
            tape,
            markets,
            pl.DataFrame(list(outcomes), schema.SETTLEMENTS.columns),
            pl.DataFrame(rates, columns, orient="row"),
            pl.DataFrame(list(said), schema.DETERMINATIONS.columns),
        ),
        pl.DataFrame(list(orders), schema.INTENTS.columns),
        rules,
    )


def fills(result: Simulation, *names: str) -> list[tuple[Any, ...]]:
    """Reason, role, quantity and price of each fill, or the columns asked for."""
    columns = names or ("reason", "role", "quantity", "price")
    texts = pl.selectors.enum().cast(pl.String)
    return result.fills.with_columns(texts).select(columns).rows()


def minutes(result: Simulation, start: datetime = START) -> list[float]:
    """Minutes from the start to each fill."""
    return [(t - start) / timedelta(minutes=1) for t in result.fills["time"]]


def ends(result: Simulation) -> list[tuple[Any, ...]]:
    """Status, reason and filled quantity of each order."""
    return result.orders.select(pl.col("status").cast(pl.String), "reason", "filled").rows()
