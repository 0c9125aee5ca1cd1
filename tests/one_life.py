"""A stored dataset of one market and how it ends, and what becomes of orders in it.

One market of an hour, a bar a minute, bid 0.49 and asked 0.51, from the seventh minute on bid 0.33
and asked 0.35; nothing costs a fee.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from one_market import intent

from kalshi_bt import schema
from kalshi_bt.data.panel import determinations, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.fees import market_rates
from kalshi_bt.metrics import score
from kalshi_bt.metrics.book import Book
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import prepare

T = "S-E-A"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DOLLAR = 1_000_000
CASH = 100 * DOLLAR
COST = 10 * 510_000  # ten contracts at 0.51
Row = dict[str, Any]


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def settled(minute: float, payout: int, close: float = 60) -> Row:
    word = {0: "no", 10_000: "yes"}.get(payout, "scalar")
    times = {"time": at(minute), "close_time": at(close)}
    return {"ticker": T, "payout": payout, "result": word, "value": None, **times}


def said(*steps: tuple[float, str, int | None]) -> list[Row]:
    names = ("time", "status", "payout")
    return [{"ticker": T, **dict(zip(names, (at(m), s, p), strict=True))} for m, s, p in steps]


def _quotes(bid: int) -> Row:
    sides = ("bid", bid), ("ask", bid + 200)
    return {f"{side}_{part}": price for side, price in sides for part in schema.OHLC}


class Market:
    """A dataset of one market, and runs on it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.create(folder, name="one")
        known = {"event": "S-E", "series": "S", "open_time": at(-1), "close_time": at(60)}
        fees = {"effective_from": at(-9), "fee_type": "quadratic", "fee_multiplier": 0}
        bar = {"ticker": T, "period": 60, "quote_source": "candle", "volume": 100_000}
        self.put(
            markets=[{"ticker": T, **known}],
            series=[{"series": "S", **fees}],
            candles=[
                bar | {"time": at(n), **_quotes(4_900 if n < 7 else 3_300)} for n in range(61)
            ],
        )

    def put(self, **tables: list[Row]) -> None:
        """Store rows; what they do not say is null."""
        self.store.commit(
            {
                name: pl.DataFrame(
                    [dict.fromkeys(schema.STORED[name].columns) | row for row in rows],
                    schema=schema.STORED[name].columns,
                )
                for name, rows in tables.items()
            }
        )

    def run(self, *orders: Row, end: datetime | None = None) -> "Played":
        made = panel(self.store, end=end)
        rates = market_rates(made.markets, self.store.read("series"))
        settlements = outcomes(self.store, made.markets, end)
        heard = determinations(self.store, made.markets, end)
        tape = prepare(made.bars, made.markets, settlements, rates, determinations=heard)
        wanted = orders or (intent(time=at(0)),)
        intents = pl.DataFrame(list(wanted), schema.INTENTS.columns)
        done = simulate(tape, intents, Rules(cash=CASH))
        return Played(done, closed_trades(tape, done), equity_curve(tape, done, CASH))


class Played:
    """What became of one run."""

    def __init__(self, run: Simulation, trades: pl.DataFrame, curve: Curve) -> None:
        self.run, self.trades, self.curve = run, trades, curve

    def money(self) -> list[tuple[float, str, int, int]]:
        """Return minute, kind, signed quantity and price of each fill."""
        rows = self.run.fills.cast({"kind": pl.String})
        columns = rows.select("time", "kind", "quantity", "price").iter_rows()
        return [((t - NOON) / timedelta(minutes=1), k, q, p) for t, k, q, p in columns]

    def cash(self) -> list[int]:
        """Return the values the cash went through."""
        return self.curve.equity["cash"].rle().struct.field("value").to_list()  # type: ignore[no-any-return]

    def scores(self) -> Mapping[str, Any]:
        book = Book(
            orders=self.run.orders,
            fills=self.run.fills,
            trades_closed=self.trades,
            equity=self.curve.equity,
            initial_cash=CASH,
            unsettled=self.curve.unsettled,
            unsettled_value=self.curve.unsettled_value,
            determined=self.curve.determined,
        )
        return {name: found.value for name, found in score(book).items()}
