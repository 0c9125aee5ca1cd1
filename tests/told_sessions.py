"""Sessions of random cases, told moment by moment, and kills while files are written."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from strategies_random import Case, random_case, seeded

from kalshi_bt.simulator.session import Session
from live_adapter import files


class Killed(BaseException):
    """The process ended here."""


class Killer:
    """Ends the process within, before or after some of the writes of `files`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
        self._write, self._swap, self._rng = files._write, files._swap, rng
        self.count, self.only, self.odds = 0, -1, 0.0
        monkeypatch.setattr(files, "_write", self._written)
        monkeypatch.setattr(files, "_swap", self._swapped)

    def _due(self) -> bool:
        self.count += 1
        return self.count - 1 == self.only or self._rng.random() < self.odds

    def _written(self, handle: int, content: bytes) -> None:
        if self._due():
            self._write(handle, content[: int(self._rng.integers(len(content) + 1))])
            raise Killed
        self._write(handle, content)

    def _swapped(self, draft: Path, path: Path) -> None:
        due = self._due()
        if not due or self._rng.random() < 0.5:
            self._swap(draft, path)
        if due:
            raise Killed


def rates_of(case: Case) -> Any:
    numbers = case.markets.select("ticker").with_row_index("old")

    def rates(markets: pl.DataFrame) -> pl.DataFrame:
        mine = markets.select("ticker").with_row_index("new").join(numbers, on="ticker")
        told = case.rates.join(mine, left_on="market", right_on="old").drop("ticker", "market")
        return told.rename({"new": "market"}).sort("market", "from_time")

    return rates


def told(case: Case) -> Iterator[tuple[Session, datetime, bool]]:
    """Tell a session a case; yield it after each moment, and whether it was asked for orders."""
    named = pl.lit(pl.Series(case.markets["ticker"], dtype=pl.String)).gather(pl.col("market"))
    bars, intents = case.bars.with_columns(ticker=named), case.intents.with_columns(ticker=named)
    session = Session(case.rules, rates_of(case))
    session.list_markets(case.markets)
    times = set(bars["time"]) | set(case.settlements["time"]) | set(case.settlements["close_time"])
    schedule = case.markets.select("ticker", scheduled="close_time")
    for time in sorted(times):
        session.add_bars(bars.filter(pl.col("time") == time))
        ends = case.settlements.join(schedule, on="ticker").filter(
            (pl.col("close_time") == time) | (pl.col("close_time") > pl.col("scheduled"))
        )
        session.close(dict(ends.select("ticker", "close_time").iter_rows()))
        if case.determinations is not None:
            session.determine(case.determinations.filter(pl.col("time") <= time))
        session.settle(case.settlements.filter(pl.col("time") <= time))
        session.advance(time)
        asked = intents.filter(pl.col("time") == time).drop("market")
        session.ask(asked)
        yield session, time, asked.height > 0


def traded_case(seed: int, feature: str | None = None, bars: int = 12) -> Case:
    """Return a random case in which something is bought."""
    for n in range(seed, seed + 1_000, 17):
        case = random_case(seeded(n), bars=bars, feature=feature)
        *_, (session, _, _) = told(case)
        if len(session.so_far().placed) >= 3:
            return case
    raise AssertionError
