"""Rows for the tests of the dataset, and what several of them ask of it."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError

ROOT = Path(__file__).parents[1]
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def references(values: dict[int, float], symbol: str = "BTC") -> pl.DataFrame:
    """Rows of the smallest table; the key is the minute."""
    rows = [
        ("index", symbol, "close", NOON + timedelta(minutes=m), float(v)) for m, v in values.items()
    ]
    types = {n: t for n, t in schema.REFERENCES.columns.items() if n != "text"}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return frame.with_columns(text=pl.lit(None, dtype=pl.String))


def filled(table: schema.Table, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Rows with every column that is not given as null."""
    return pl.DataFrame(rows, schema={n: table.columns[n] for n in rows[0]}).select(
        pl.col(n) if n in rows[0] else pl.lit(None, dtype=t).alias(n)
        for n, t in table.columns.items()
    )


def candles(*bars: tuple[str, datetime, int]) -> pl.DataFrame:
    """One-minute bars of a ticker, a time, and a bid in centi-cents."""
    rows = [
        {"ticker": t, "period": 60, "time": at, "bid_close": bid, "quote_source": "candle"}
        for t, at, bid in bars
    ]
    return filled(schema.CANDLES, rows) if rows else schema.CANDLES.empty()


def settlement(ticker: str, payout: int, hours: int = 0) -> pl.DataFrame:
    """A result that was known some hours after noon."""
    row = {
        "ticker": ticker,
        "time": NOON + timedelta(hours=hours),
        "close_time": NOON,
        "payout": payout,
        "result": "yes" if payout else "no",
    }
    return filled(schema.SETTLEMENTS, [row])


def stored_values(store: Store) -> dict[int, float]:
    frame = store.read("references")
    minutes = (frame["time"] - NOON).dt.total_minutes()
    return dict(zip(minutes, frame["value"], strict=True))


def data_files(root: Path) -> list[str]:
    paths = (p for p in root.rglob("*") if p.is_file() and p.name not in {"dataset.json", ".lock"})
    return sorted(p.relative_to(root).as_posix() for p in paths)


def fails(action: Callable[[], object], *words: str, kind: type[Exception] = DataError) -> str:
    """Run what must fail, in one line that holds all words."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def start(code: str, *args: str) -> subprocess.Popen[str]:
    """Run Python code in a process of its own."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
