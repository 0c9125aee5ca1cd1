"""Print what the metrics of a run take beside reading its trades and grouping them once.

    python tests/benchmarks/metrics.py [--trades 1000000] [--repeat 5]

The trades are drawn, each with two fills, an order and a context, over a twentieth as many markets
in events of five. Fastest of the repeats counts; intervals are timed by themselves. On a
busy machine read `cpu_ratio`, which counts processor time in place of the clock's.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.metrics import Book, score
from kalshi_bt.metrics.headline import HEADLINE
from kalshi_bt.run_schema import CONTEXT
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED, Schema
from kalshi_bt.units import DAY, PRICE_SCALE, SECOND

YEAR_2025 = 1_735_689_600 * SECOND


def tables(n: int) -> dict[str, pl.DataFrame]:
    """Return the tables of a run of n trades."""
    rng = np.random.Generator(np.random.Philox(key=0))
    market = rng.integers(0, max(1, n // 20), n)
    entry = np.sort(rng.integers(0, 300 * 86_400, n)) * SECOND + YEAR_2025
    settled = (entry // DAY + 2) * DAY + market % 1_000 * SECOND
    early = rng.random(n) < 0.5
    leave = np.where(early, entry + rng.integers(60, 86_400, n) * SECOND, settled)
    quantity, price = rng.integers(1, 100, n) * 100, rng.integers(500, 9_500, n)
    stake = quantity * price
    gross = np.where(rng.random(n) * PRICE_SCALE < price, quantity * PRICE_SCALE, 0) - stake
    fees = rng.integers(0, 20_000, n)
    names = pl.Series([f"KXHIGHNY-{m // 5:06}-B{m % 5}" for m in range(int(market.max()) + 1)])
    ticker = names.gather(market)
    base = {"trade_id": np.arange(n), "ticker": ticker, "side": np.ones(n, np.int8)}
    trades = {
        **base,
        "event": ticker.str.slice(0, 15),
        "series": pl.repeat("KXHIGHNY", n, eager=True),
        "entry_time": entry,
        "exit_time": leave,
        "quantity": quantity,
        "entry_price": price / PRICE_SCALE,
        "exit_price": (gross > 0).astype(float),
        "exit_reason": pl.Series(np.where(early, "target", "settlement")),
        "stake": stake,
        "gross_pnl": gross,
        "fees": fees,
        "pnl": gross - fees,
        "spread_paid": quantity * 50,
    }
    context = {
        "trade_id": base["trade_id"],
        "decided": entry,
        "settled": settled,
        "gross_mid": gross / 1e6,
        "spread": quantity * 5e-5,
        "slippage": np.zeros(n),
    }
    orders = {
        **{name: base[name] for name in ("ticker", "side")},
        "order_id": base["trade_id"],
        "time": entry,
        "kind": pl.repeat("ioc", n, eager=True),
        "wanted": quantity,
        "quantity": quantity,
        "filled": quantity,
        "status": pl.repeat("filled", n, eager=True),
    }
    fills = {
        "order_id": np.repeat(base["trade_id"], 2),
        "trade_id": np.repeat(base["trade_id"], 2),
        "seq": np.tile([0, 1], n),
        "ticker": names.gather(np.repeat(market, 2)),
        "time": np.stack([entry, leave], axis=1).ravel(),
        "kind": pl.Series(np.tile(["trade", "settlement"], n)),
        "role": pl.Series(np.tile(["taker", "none"], n)),
        "leg": pl.Series(np.tile(["entry", "exit"], n)),
        "reason": pl.Series(np.tile(["entry", "settlement"], n)),
        "quantity": np.stack([quantity, -quantity], axis=1).ravel(),
        "price": np.repeat(price, 2),
        "fee": np.repeat(fees // 2, 2),
        "source": pl.repeat("ask_open", 2 * n, eager=True),
    }
    times = YEAR_2025 + np.arange(303) * DAY
    worth = 10**12 + np.cumsum(np.bincount((leave - YEAR_2025) // DAY, gross - fees, 303))
    path = {
        "time": times,
        "cash": worth.astype(np.int64),
        "locked": np.full(303, 10**9),
        "marked": np.zeros(303, np.int64),
        "equity": worth.astype(np.int64),
    }
    declared = (TRADES_CLOSED, CONTEXT, ORDERS, FILLS, EQUITY)
    filled: tuple[dict[str, Any], ...] = (trades, context, orders, fills, path)
    return {t.name: _typed(part, t.columns) for t, part in zip(declared, filled, strict=True)}


def _typed(part: dict[str, Any], columns: Schema) -> pl.DataFrame:
    frame = pl.DataFrame(part)
    absent = [pl.lit(None).alias(name) for name in columns if name not in frame.columns]
    return frame.with_columns(absent).select(list(columns)).cast(columns)  # type: ignore[arg-type]


def fastest(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Return the least seconds of so many repeats, by the clock and of all processors."""
    times = []
    for _ in range(repeat):
        started, used = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - started, time.process_time() - used))
    return min(wall for wall, _ in times), min(cpu for _, cpu in times)


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    frames = tables(given.trades)

    def book() -> Book:
        return Book(**frames, initial_cash=10**12)  # a new one remembers nothing

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trades_closed.parquet"
        frames["trades_closed"].write_parquet(file, compression="zstd")

        def read() -> object:
            return pl.read_parquet(file).group_by("event").agg(pl.col("pnl").sum())

        reading = fastest(read, given.repeat)
    metrics = fastest(lambda: score(book(), intervals=False), given.repeat)
    known = book()
    score(known, intervals=False)
    intervals, _ = fastest(lambda: [find(known) for find in HEADLINE.values()], 1)
    line = {
        "trades": given.trades,
        "read_and_group_s": round(reading[0], 3),
        "metrics_s": round(metrics[0], 3),
        "ratio": round(metrics[0] / reading[0], 2),
        "cpu_ratio": round(metrics[1] / reading[1], 2),
        "intervals_s": round(intervals, 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
