"""What is kept of the past of each market is what a plain count of its bars says."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.schema import MARKETS, SERIES, Time
from live_adapter import windows
from live_adapter.moments import BARS, EPOCH, Moment
from live_adapter.trader import told_fees
from live_adapter.windows import Windows

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOOKBACK = 5


def markets(tickers: list[str]) -> pl.DataFrame:
    rows = [{"ticker": t, "event": t.rpartition("-")[0], "series": "S"} for t in tickers]
    return MARKETS.filled(pl.DataFrame(rows))


def bars(tickers: list[str], time: datetime, price: int) -> pl.DataFrame:
    rows = [{"ticker": t, "time": time, "bid_close": price} for t in tickers]
    made = [{name: row.get(name) for name in (*BARS, "spot")} for row in rows]
    return pl.DataFrame(made, schema={**BARS, "spot": pl.Float64}, orient="row")


@pytest.mark.parametrize("seed", range(4))
def test_panels_are_those_of_a_plain_count_while_markets_come_and_go(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "_SPARE", 10)  # old bars are dropped often
    monkeypatch.setattr(windows, "_PIECES", 3)
    draws = np.random.Generator(np.random.Philox(seed))
    read = ["bid_close", "volume"]
    kept = Windows(LOOKBACK, 60, ["spot"], read) if seed % 2 else Windows(LOOKBACK, 60, ["spot"])
    names = [f"S-E{n % 4}-{n}" for n in range(12)]
    listed: dict[str, list[tuple[datetime, int]]] = {}
    for step in range(1, 80):
        now = NOON + step * MINUTE
        if step == 1 or draws.random() < 0.2:
            new = [name for name in names if name not in listed and draws.random() < 0.5]
            kept.list_markets(markets(new) if new else MARKETS.empty())
            listed |= {name: [] for name in new}
        if len(listed) > 3 and draws.random() < 0.1:
            gone = [name for name in listed if draws.random() < 0.3]
            kept.drop(gone)
            listed = {name: seen for name, seen in listed.items() if name not in gone}
        quoted = [name for name in names if draws.random() < 0.6]
        told = kept.numbered(bars(quoted, now, step))
        kept.add(told)
        for name in quoted:
            if name in listed:
                listed[name].append((now, step))
        since = now - 3 * MINUTE if draws.random() < 0.3 else None
        events = {n.rpartition("-")[0] for n in quoted if n in listed}
        plain: list[tuple[Any, ...]] = []
        for number, name in enumerate(sorted(listed)):
            later = [row for row in listed[name] if since is None or row[0] > since]
            if name.rpartition("-")[0] in events:
                plain += [(number, time, price) for time, price in later[-LOOKBACK:]]
        made = kept.panel(now, since)
        assert made.bars.select("market", "time", "bid_close").rows() == plain
        assert made.markets["ticker"].to_list() == sorted(listed)
        assert made.bars.columns[-1] == "spot"
        assert seed % 2 == 0 or set(made.bars.columns) == {"market", "time", *read, "spot"}


def test_fees_that_a_restart_tells_otherwise_hold_from_then_on() -> None:
    def told(minute: int, multiplier: int) -> Moment:
        row = {"series": "S", "effective_from": EPOCH, "fee_type": "quadratic"}
        rows = pl.DataFrame([row], schema_overrides={"effective_from": Time})
        fees = SERIES.filled(rows.with_columns(fee_multiplier=pl.lit(multiplier, pl.Int64)))
        return Moment(NOON + minute * MINUTE, series=fees)

    moments = [told(1, 1_000_000), told(2, 1_000_000), told(3, 0), told(4, 0)]
    known = reduce(told_fees, moments, SERIES.empty())
    rows = known.select("effective_from", "fee_multiplier").rows()
    assert rows == [(EPOCH, 1_000_000), (NOON + 3 * MINUTE, 0)]
