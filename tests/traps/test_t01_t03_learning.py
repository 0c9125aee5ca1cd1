"""T1 outcomes that are not known yet, T2 quotes that were fetched later, T3 trades counted twice.

In this folder a trap is shown in both: `naive_…` falls into it, the package does not.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.data.importers.becker import import_becker
from kalshi_bt.data.panel import panel
from kalshi_bt.data.proxy import quotes_from_trades
from kalshi_bt.data.store import Store
from kalshi_bt.schema import MARKETS, TRADES
from kalshi_bt.signals.longshot import Longshot
from tests.panel_rows import at, filled, trade
from tests.quotes_random import START, flat, quotes

ANY = Longshot(
    min_price=0.005, max_price=0.995, bandwidth=9, kappa=0.0, z=0.0, gate="none", min_depth=0.0
)
EVENTS, CUT = 6, START + timedelta(hours=4)
Payouts = dict[str, float]


def an_event_an_hour() -> pl.DataFrame:
    """Quotes of markets that live an hour, each event after the one before it."""
    hour = pl.col("event").str.tail(1).cast(pl.Int64)
    shifted = quotes(4, bars=60, events=EVENTS, markets=4)
    return shifted.with_columns(time=pl.col("time") + pl.duration(hours=hour))


def outcomes(sample: pl.DataFrame) -> tuple[Payouts, dict[str, datetime]]:
    rng = np.random.Generator(np.random.Philox(key=[1, 1]))
    ends = sample.group_by("ticker", maintain_order=True).agg(pl.col("time").max())
    known = {ticker: time + timedelta(minutes=20) for ticker, time in ends.iter_rows()}
    return {ticker: float(rng.integers(0, 2)) for ticker in known}, known


def swapped_after_the_cut(payouts: Payouts, known: dict[str, datetime]) -> Payouts:
    return {t: 1 - paid if known[t] >= CUT else paid for t, paid in payouts.items()}


# --- T1 -------------------------------------------------------------------------------------------

Said = Callable[[pl.DataFrame, Payouts, dict[str, datetime]], pl.DataFrame]


def walked_forward(
    sample: pl.DataFrame, payouts: Payouts, known: dict[str, datetime]
) -> pl.DataFrame:
    """What the signal says of each hour, fitted with what was known when it began."""
    ended = pl.LazyFrame(
        {"ticker": list(known), "payout": list(payouts.values()), "known_at": known.values()},
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    history = ANY.samples(sample.lazy()).join(ended, on="ticker")
    times = [START + timedelta(hours=h) for h in range(1, EVENTS + 1)]
    parts = [
        signal(sample.lazy().filter(pl.col("time") > t, pl.col("time") <= t + timedelta(hours=1)))
        for t, signal in ANY.refits(history, times)
    ]
    return pl.concat(parts).select("ticker", "time", "fair").collect()


def naive_table(sample: pl.DataFrame, payouts: Payouts, known: dict[str, datetime]) -> pl.DataFrame:
    """Every finalised market of the archive, a cell a cent; the traded market is among them."""
    assert known
    paid = pl.col("ticker").replace_strict(payouts, return_dtype=pl.Float64)
    fair = paid.mean().over((pl.col("ask") * 100).round())
    return sample.with_columns(fair=fair).select("ticker", "time", "fair")


def changes_the_past(say: Said) -> bool:
    sample = an_event_an_hour()
    payouts, known = outcomes(sample)
    early = pl.col("time") <= CUT
    whole = [
        say(sample, paid, known).sort("ticker", "time")
        for paid in (payouts, swapped_after_the_cut(payouts, known))
    ]
    assert whole[0].filter(early)["fair"].drop_nulls().len() > 100
    assert not whole[0].equals(whole[1])  # later on, the outcomes do count
    return not whole[0].filter(early).equals(whole[1].filter(early))


def test_t01_outcomes_known_later_change_no_earlier_signal() -> None:
    assert not changes_the_past(walked_forward)
    assert changes_the_past(naive_table)


def test_t01_the_outcome_of_the_traded_market_is_not_in_its_table() -> None:
    sample = an_event_an_hour()
    payouts, known = outcomes(sample)
    for ticker in sample["ticker"].unique().sort()[::5]:
        own = pl.col("ticker") == ticker
        other = payouts | {ticker: 1 - payouts[ticker]}
        found = [walked_forward(sample, paid, known).filter(own) for paid in (payouts, other)]
        assert found[0].equals(found[1])
        naive = [naive_table(sample, paid, known).filter(own) for paid in (payouts, other)]
        assert not naive[0].equals(naive[1])


# --- T2 -------------------------------------------------------------------------------------------

CLOSE = datetime(2025, 11, 8, 21, 0)  # noqa: DTZ001 - archives have no zone
FETCHED = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price", "volume", "open_interest")


def archive(root: Path, fetched: int) -> Path:
    """One market of an archive, whose quotes are those of the day it was fetched."""
    row = {
        "ticker": "KXNBAGAME-25NOV08PHXLAL-PHX", "event_ticker": "KXNBAGAME-25NOV08PHXLAL",
        "market_type": "binary", "title": "Phoenix at Los Angeles", "yes_sub_title": "Phoenix",
        "no_sub_title": "Phoenix", "status": "finalized", "result": "yes", "volume_24h": 10,
        "created_time": CLOSE - timedelta(days=9), "open_time": CLOSE - timedelta(days=7),
        "close_time": CLOSE, "_fetched_at": CLOSE + timedelta(days=12),
    } | dict.fromkeys(FETCHED, fetched)  # fmt: skip
    trades = [
        {
            "trade_id": f"{n:04}", "ticker": row["ticker"], "count": 10, "yes_price": 40 + n,
            "no_price": 60 - n, "taker_side": "yes" if n % 3 else "no",
            "created_time": CLOSE - timedelta(minutes=60 - n), "_fetched_at": row["_fetched_at"],
        }
        for n in range(30)
    ]  # fmt: skip
    for name, rows in (("markets", [row]), ("trades", trades)):
        (root / name).mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(root / name / f"{name}_0_10000.parquet")
    return root


def naive_quotes(root: Path) -> pl.DataFrame:
    """The market's own columns as the quotes of every moment of its life."""
    listed = pl.read_parquet(root / "markets" / "*.parquet").select("ticker", *FETCHED)
    return pl.read_parquet(root / "trades" / "*.parquet").join(listed, on="ticker")


def test_t02_quotes_fetched_later_are_no_quotes_of_then(tmp_path: Path) -> None:
    ours, naive = [], []
    for fetched in (1, 99):
        root = archive(tmp_path / f"archive {fetched}", fetched)
        import_becker([root], tmp_path / f"set {fetched}")
        made = panel(Store.open(tmp_path / f"set {fetched}"), period=60, quotes="trades")
        ours.append(made.quotes().collect())
        naive.append(naive_quotes(root))
    assert ours[0]["ask"].drop_nulls().len() > 10
    assert ours[0].equals(ours[1])
    assert not naive[0].equals(naive[1])


def test_t02_what_trades_tell_of_a_moment_needs_no_later_trade() -> None:
    sides = [trade("A", n, 4_000 + 10 * n, 1 if n % 3 else -1, n) for n in range(40)]
    poisoned = [*sides[:20], *(row | {"price": 9_900} for row in sides[20:])]
    until = pl.col("time") < at(20)
    ours, naive = [], []
    for rows in (sides, poisoned):
        tape = filled(TRADES, rows)
        ours.append(quotes_from_trades(tape, MARKETS.empty()).filter(until))
        last = tape.with_columns(ask=pl.col("price").filter(taker_side=1).last().over("ticker"))
        naive.append(last.select("time", "ask").filter(until))
    assert ours[0]["ask"].drop_nulls().len() > 10
    assert ours[0].equals(ours[1])
    assert not naive[0].equals(naive[1])


# --- T3 -------------------------------------------------------------------------------------------


def naive_cells(rows: pl.DataFrame, payouts: Payouts) -> dict[int, tuple[int, float]]:
    """Number of trades and standard error of their mean outcome, cent by cent of YES."""
    cells: dict[int, list[float]] = defaultdict(list)
    for row in rows.drop_nulls("ask").iter_rows(named=True):
        cells[round(100 * row["ask"])].append(payouts[row["ticker"]] - row["ask"])
    return {
        cent: (len(x), float(np.std(x, ddof=1)) / len(x) ** 0.5)
        for cent, x in cells.items()
        if len(x) > 1
    }


def test_t03_a_market_that_trades_a_thousand_times_counts_once() -> None:
    """A market's trades repeat one outcome: they are no thousand observations."""
    each: dict[str, Any] = {"bid": 0.88, "ask": 0.90, "close": 0.90, "volume": 10.0}
    single = pl.concat(
        [flat([None], ticker=f"E{n}-A", event=f"E{n}", **each) for n in range(20)]
    ).sort("ticker", "time")
    often = pl.concat(
        [single.filter(ticker="E3-A").with_columns(time=pl.col("time") + pl.duration(seconds=s))
         for s in range(1, 1_001)]
    )  # fmt: skip
    repeated = pl.concat([single, often]).sort("ticker", "time")
    payouts = {f"E{n}-A": float(n % 4 > 0) for n in range(20)}
    paid = pl.col("ticker").replace_strict(payouts, return_dtype=pl.Float64).alias("payout")
    one, many = (
        ANY.fit(ANY.samples(rows.lazy()).with_columns(paid)).table for rows in (single, repeated)
    )
    assert one.filter(side=1, cent=90)["events"].item() == 20
    assert many.equals(one)
    before, after = (naive_cells(rows, payouts)[90] for rows in (single, repeated))
    assert (before[0], after[0]) == (20, 1_020)
    assert after[1] < before[1] / 5  # seven times as sure, of nothing new
