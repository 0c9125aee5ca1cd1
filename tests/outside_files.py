"""A folder of outside files, the mappings they are read by, and rows that are sound."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.table import ImportReport, import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())

FEES = """
[[series]]
prefix = "*"
fee_type = "quadratic"
"""

MARKETS = """
[[table]]
into = "markets"
source = "markets.*"
[table.columns]
ticker = "ticker"
event = { column = "ticker", pattern = "^([^-]+-[^-]+)" }
series = { column = "ticker", pattern = "^([^-]+)" }
close_time = { column = "close", unit = "s" }
"""

BARS = """
[[table]]
into = "candles"
source = "bars.*"
price_unit = "cents"
quotes = "candle"
[table.columns]
ticker = "ticker"
period = { value = "1h" }
time = { column = "ts", unit = "s" }
price_open = "o"
price_high = "h"
price_low = "l"
price_close = "c"
bid_open = "bo"
bid_high = "bh"
bid_low = "bl"
bid_close = "bc"
ask_open = "ao"
ask_high = "ah"
ask_low = "al"
ask_close = "ac"
volume = "v"
open_interest = "oi"
"""

TRADES = """
[[table]]
into = "trades"
source = "trades.*"
price_unit = "UNIT"
[table.columns]
ticker = { value = "S-E-A" }
trade_id = "id"
time = { column = "ts", unit = "s" }
price = "p"
quantity = "q"
taker_side = "side"
"""

RESULTS = """
[[table]]
into = "settlements"
source = "results.*"
price_unit = "dollars"
[table.columns]
ticker = "ticker"
result = "result"
payout = "payout"
close_time = { column = "close", unit = "s" }
"""


class Folder:
    """A folder of outside files and the dataset they go into."""

    def __init__(self, root: Path) -> None:
        self.root, self.files, self.into = root, root / "files", root / "dataset"
        self.files.mkdir()

    def put(self, **tables: pl.DataFrame | list[dict[str, Any]]) -> None:
        for name, rows in tables.items():
            frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)
            frame.write_parquet(self.files / f"{name}.parquet")

    def bring(self, text: str, *sources: Path) -> ImportReport:
        path = self.root / "mapping.toml"
        path.write_text(text)
        return import_tables(path, sources or [self.files], self.into)

    def read(self, table: str) -> pl.DataFrame:
        return Store.open(self.into).read(table)

    def fails(self, text: str, *words: str, sources: tuple[Path, ...] = ()) -> None:
        with pytest.raises(DataError) as caught:
            self.bring(text, *sources)
        message = str(caught.value)
        assert "\n" not in message
        for word in words:
            assert word in message
        assert not self.into.exists()

    def set_aside(self, table: str) -> list[tuple[int, str]]:
        rows = self.read("quarantine").filter(pl.col("table") == table).sort("source", "row")
        return rows.select("row", "reason").rows()


def bar(**changes: Any) -> dict[str, Any]:
    """A sound bar in cents, but for the changes."""
    sound = {"ticker": "S-E-A", "ts": EPOCH, "o": 50.0, "h": 60.0, "l": 40.0, "c": 55.0}
    sound |= {"bo": 48.0, "bh": 58.0, "bl": 38.0, "bc": 53.0}
    sound |= {"ao": 52.0, "ah": 62.0, "al": 42.0, "ac": 57.0, "v": 10.0, "oi": 7.5}
    return sound | changes


def trade(**changes: Any) -> dict[str, Any]:
    return {"id": "t", "ts": EPOCH, "p": 0.5, "q": 1, "side": "yes"} | changes
