"""The band workload W1: one-minute bars of fair markets, a dip signal, brackets, ten contracts.

At the close of a bar that traded and whose body lies below mean - w x deviation of the last n
closes (carried over quiet bars), buy ten contracts at the next bar's open; stop one cent below that
bar's low, target at twice the risk taken; what is still held settles. Trades stand in for quotes.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FillModel, Rules
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape, prepare

FIRST = datetime(2025, 10, 9, 9, tzinfo=UTC)
MODEL = FillModel(touch=True, participation=None)
RULES = Rules(cash=10**15, latency=0, fill=MODEL, fee_rounding="order_cent")


@dataclass(frozen=True)
class Workload:
    """A panel in memory: what a signal sees, and the tape the simulator walks."""

    quotes: pl.DataFrame  # open, low, close in centi-cents, a row a bar; null: no trade
    tape: Tape
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]


def generate(markets: int, bars: int, seed: int = 7) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (candles, markets) of fair markets: prices in cents, null without a trade."""
    rng = np.random.Generator(np.random.Philox(seed))
    steps = rng.standard_normal((markets, bars, 4), dtype=np.float32) / np.sqrt(4 * bars)
    path = np.cumsum(steps.reshape(markets, -1), axis=1) + 0.6 * rng.standard_normal((markets, 1))
    left = np.sqrt(1.0 - np.arange(4 * bars) / (4 * bars))
    # A logistic curve close to the normal one: only its shape matters here.
    chance = 1.0 / (1.0 + np.exp(-1.702 * path / left))
    cents = np.clip(np.rint(100 * chance + rng.integers(-1, 2, path.shape)), 1, 99)
    cents = cents.astype(np.int16).reshape(markets, bars, 4)
    quiet = rng.random((markets, bars)) < 0.15
    flat = {
        "open": cents[:, :, 0],
        "high": cents.max(axis=2),
        "low": cents.min(axis=2),
        "close": cents[:, :, 3],
    }
    names = [f"SYN-{i // 5:06d}-{i % 5}" for i in range(markets)]
    minutes = np.arange(1, bars + 1) * 60
    start = int(FIRST.timestamp()) + rng.integers(0, 2_880, markets)[:, None] * 900
    candles = pl.DataFrame(
        {"ticker": np.repeat(np.arange(markets), bars), "ts": (start + minutes).ravel()}
        | {k: v.ravel() for k, v in flat.items()}
        | {"quiet": quiet.ravel()}
    ).with_columns(
        pl.lit(pl.Series(names)).gather(pl.col("ticker")).alias("ticker"),
        *(pl.when("quiet").then(None).otherwise(pl.col(k)).alias(k) for k in flat),
    )
    result = np.where(path[:, -1] > 0, "yes", "no")
    listed = pl.DataFrame({"ticker": names, "result": result})
    return candles.drop("quiet"), listed


def read(folder: Path) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """Return (candles, markets) of a folder written by a generator of the same columns."""
    listed = pl.read_parquet(folder / "markets.parquet", columns=["ticker", "result"])
    return pl.scan_parquet(folder / "candles.parquet"), listed


def workload(candles: pl.LazyFrame | pl.DataFrame, listed: pl.DataFrame) -> Workload:
    """Return the panel of the workload, trades standing in for quotes."""
    parts = schema.OHLC
    number = pl.col("ticker").cast(pl.Enum(listed["ticker"])).to_physical().cast(pl.UInt32)
    time = pl.from_epoch("ts", time_unit="s").dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    prices = ((pl.col(p) * 100).cast(schema.Price).alias(p) for p in parts)
    cents = candles.lazy().select(number.alias("market"), time.alias("time"), *prices).collect()
    starts = np.searchsorted(cents["market"].to_numpy(), np.arange(listed.height + 1))
    tape = _tape(cents, listed)
    quotes = cents.select("open", "low", "close")
    return Workload(quotes.rechunk(), tape, starts.astype(np.int64))


def _tape(cents: pl.DataFrame, listed: pl.DataFrame) -> Tape:
    parts = schema.OHLC
    last = pl.col("close").forward_fill().over("market")
    bars = cents.lazy().select(
        "market",
        "time",
        *(pl.col(p).alias(f"price_{p}") for p in parts),
        *(pl.col(p).alias(f"bid_{p}") for p in parts),
        *(pl.coalesce(p, last).alias(f"ask_{p}") for p in parts),
        volume=pl.lit(None, dtype=pl.Int64),
        **dict.fromkeys(("open_interest", "bid_size", "ask_size"), pl.lit(None, dtype=pl.Int64)),
    )
    ends = cents.group_by("market", maintain_order=True).agg(pl.col("time").last())["time"]
    settled = pl.DataFrame(
        {
            "ticker": listed["ticker"],
            "time": ends,
            "close_time": ends,
            "payout": (listed["result"] == "yes").cast(schema.Price) * 10_000,
            "result": listed["result"],
            "value": None,
        },
        schema=schema.SETTLEMENTS.columns,
    )
    known = listed.select("ticker", event="ticker", series=pl.lit("SYN")).with_columns(
        close_time=pl.lit(None, dtype=schema.Time)
    )
    rates = pl.DataFrame({"market": np.arange(listed.height, dtype=np.uint32)}).with_columns(
        from_time=pl.lit(datetime(2020, 1, 1, tzinfo=UTC)).cast(schema.Time),
        taker=pl.lit(70_000, dtype=pl.Int64),
        maker=pl.lit(70_000, dtype=pl.Int64),
    )
    return prepare(bars.collect(), known, settled, rates)


def save(work: Workload, folder: Path) -> None:
    """Write a panel so that another process can take it into memory without making it."""
    work.quotes.write_ipc(folder / "quotes.arrow")
    work.tape.table.write_parquet(folder / "table.parquet")
    for name in ("time", "prices", "volume", "markets", "rates"):
        np.save(folder / f"{name}.npy", getattr(work.tape, name))
    np.save(folder / "starts.npy", work.starts)


def load(folder: Path) -> Workload:
    """Return a panel that `save` wrote."""
    names = ("time", "prices", "volume", "markets", "rates")
    tape = Tape(pl.read_parquet(folder / "table.parquet"), *(_array(folder, n) for n in names))
    return Workload(pl.read_ipc(folder / "quotes.arrow"), tape, _array(folder, "starts"))


def _array(folder: Path, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    array: np.ndarray[tuple[int], np.dtype[np.int64]] = np.load(folder / f"{name}.npy")
    array.flags.writeable = False
    return array


BLOCK = 1_024  # markets that are looked at together: what a look makes then stays in the cache


def dips(work: Workload, period: int = 25, width: int = 2) -> pl.LazyFrame:
    """Return `side` for each bar: 1 where there is a dip."""
    from kalshi_bt.signals.kernels import FFILL, Window, windows

    rule = Window(FFILL, period, period - 1, 2**40, 0, width, 1)
    longest = int(np.diff(work.starts).max())
    nothing = np.empty(0, np.int64)

    def flag(frame: pl.DataFrame) -> pl.DataFrame:
        side = np.zeros(frame.height, np.int8)

        def look(first: int) -> None:
            starts = work.starts[first : first + BLOCK + 1]
            begin = int(starts[0])
            bars = frame[begin : int(starts[-1])].select(pl.col("open", "close").fill_null(-1))
            prices = [bars[name].to_numpy() for name in ("open", "close")]  # in centi-cents
            row, beyond, _, _ = windows(rule, starts - begin, longest, *prices, 2.0, nothing, 0)
            side[begin + row[beyond < 0]] = 1

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(look, range(0, len(work.starts) - 1, BLOCK)))
        return pl.DataFrame({"side": side})

    return work.quotes.lazy().map_batches(flag, schema={"side": pl.Int8})


def intents(work: Workload, signal: pl.LazyFrame) -> pl.DataFrame:
    """Return one intent a dip: ten contracts at the next open, stop a cent below the low."""
    columns = schema.INTENTS.columns
    side = signal.collect(engine="in-memory")["side"]
    fixed = {
        "side": pl.lit(1, dtype=pl.Int8),
        "kind": pl.lit("ioc").cast(schema.EntryKind),
        "stop": pl.col("low") - 100,
        "reward": pl.lit(20_000, dtype=pl.Int64),
        "quantity": pl.lit(1_000, dtype=pl.Int64),
        "valid_bars": pl.lit(0, dtype=pl.Int32),
    }
    empty = {
        name: pl.lit(None, dtype=kind)
        for name, kind in columns.items()
        if name not in fixed and name not in ("market", "time")
    }
    rows = (side != 0).arg_true().to_numpy()
    market = np.searchsorted(work.starts, rows, side="right") - 1
    # Rows are in the order of markets, so a stable sort by time is one by (time, market).
    order = np.argsort(work.tape.time[rows], kind="stable")
    rows, market = rows[order], market[order]
    where = {
        "market": pl.Series(market, dtype=pl.UInt32),
        "time": pl.Series(work.tape.time[rows]).cast(schema.Time),
    }
    low = work.quotes.select("low")[rows]
    return low.select(**{name: (where | fixed | empty)[name] for name in columns})


def run(work: Workload) -> tuple[Simulation, pl.DataFrame]:
    """Return the simulation and its closed trades: the whole of W1 on a panel in memory."""
    from kalshi_bt.simulator.ledger import closed_trades

    result = simulate(work.tape, intents(work, dips(work)), RULES)
    return result, closed_trades(work.tape, result)
