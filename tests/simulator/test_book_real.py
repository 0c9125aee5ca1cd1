"""Every fill of a run on recorded books, held against the raw messages by a plain replay."""

import gzip
import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.fees import market_rates
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.simulate import Simulation, simulate

pytestmark = [pytest.mark.real, pytest.mark.slow]

LATENCY = 250_000
DEPTH = 10  # levels of a side that an import keeps
Row = dict[str, Any]
Side = dict[int, int]  # price to size, centi-cents and centi-contracts


@dataclass
class Recording:
    """What the raw files say of one market: times in microseconds, prices of YES."""

    moments: list[int] = field(default_factory=list)
    books: list[tuple[Side, Side]] = field(default_factory=list)  # bids, asks after each moment
    trades: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    taken: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    seen: int = 0  # the time of its last message

    def before(self, time: int) -> tuple[Side, Side]:
        return self.books[bisect_left(self.moments, time) - 1]

    def keep(self, time: int, book: tuple[Side, Side], walked: list[Row]) -> None:
        """Keep what a moment leaves to take, then take what is walked on it."""
        self.moments.append(time - 1)
        sold, bought = self.taken
        bids = {p: q - sold[p] for p, q in book[0].items()}
        self.books.append((bids, {p: q - bought[p] for p, q in book[1].items()}))
        for fill in walked:
            self.taken[fill["quantity"] > 0][fill["price"]] += abs(fill["quantity"])

    def trim(self, book: tuple[Side, Side]) -> None:
        """Forget what others have taken too, or what is too deep to be recorded."""
        for half, gone in enumerate(self.taken):
            best = sorted((p for p, q in book[half].items() if q > 0), reverse=not half)[:DEPTH]
            for price in list(gone):
                gone[price] = min(gone[price], book[half][price] if price in best else 0)


def scaled(text: str, places: int) -> int:
    whole, _, rest = text.partition(".")
    sign = -1 if whole.startswith("-") else 1
    return sign * (abs(int(whole)) * 10**places + int(rest.ljust(places, "0")[:places] or 0))


def messages(folder: Path) -> Iterator[tuple[int, Row]]:
    for path in sorted((folder / "events").rglob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                told = json.loads(line)
                yield told["recv_ms"] * 1_000, told["event"]


Moments = dict[str, dict[int, list[Row]]]  # by ticker and time: what takers filled, as it happened


def replay(folder: Path, wanted: Moments) -> dict[str, Recording]:
    """Fold the messages; a book is kept where a fill asks what was displayed just before it."""
    found: dict[str, Recording] = defaultdict(Recording)
    live: dict[str, tuple[Side, Side]] = {}
    open_: dict[str, list[int]] = {t: sorted(times) for t, times in wanted.items()}
    for time, event in messages(folder):
        told = event["msg"]
        ticker = told.get("market_ticker")
        due, market = open_.get(ticker, []), found[ticker]
        book = live.get(ticker, ({}, {}))
        if time > market.seen:
            market.trim(book)
            market.seen = time
        while due and due[0] <= time:
            market.keep(due[0], book, wanted[ticker][due.pop(0)])
        if event["type"] == "orderbook_snapshot":
            yes, no = (
                {scaled(p, 4): scaled(q, 2) for p, q in told.get(f"{name}_dollars_fp", [])}
                for name in ("yes", "no")
            )
            live[ticker] = (yes, {10_000 - p: q for p, q in no.items()})
        elif event["type"] == "orderbook_delta":
            price, change = scaled(told["price_dollars"], 4), scaled(told["delta_fp"], 2)
            side = live[ticker][told["side"] == "no"]
            price = 10_000 - price if told["side"] == "no" else price
            side[price] = side.get(price, 0) + change
        elif event["type"] == "trade":
            trade = scaled(told["yes_price_dollars"], 4), scaled(told["count_fp"], 2)
            found[ticker].trades[time // 1_000].append(trade)
    for ticker, due in open_.items():
        found[ticker].trim(live[ticker])
        for time in due:
            found[ticker].keep(time, live[ticker], wanted[ticker][time])
    return found


def orders(markets: pl.DataFrame, first: dict[str, datetime], seed: int) -> pl.DataFrame:
    """Entries of all kinds at random moments of each market, some of them closed by hand."""
    rng = np.random.Generator(np.random.Philox(seed))
    rows = []
    for market, close in enumerate(markets["close_time"]):
        for moment in sorted(rng.integers(60, 880, 90).tolist()):
            side = int(rng.choice([1, -1, 0], p=[0.45, 0.45, 0.1]))
            kind = str(rng.choice(["ioc", "limit", "stop"], p=[0.4, 0.45, 0.15]))
            level, below, above = rng.integers(5, 95), rng.integers(1, 40), rng.integers(1, 40)
            own = {"limit": level, "stop": level - below, "target": level + above}
            kept = {
                "limit": kind != "ioc" or rng.random() < 0.3,
                "stop": rng.random() < 0.4,
                "target": rng.random() < 0.4,
            }
            yes = {
                name: 100 * int(value if side >= 0 else 100 - value)
                for name, value in own.items()
                if kept[name] and kind != "ioc" and 0 <= value <= 100
            }
            time = close - timedelta(minutes=15) + timedelta(seconds=moment, microseconds=3)
            if time < first[markets["ticker"][market]]:
                continue  # nothing was recorded yet
            left = timedelta(seconds=int(rng.integers(5, 200)))
            rows.append(
                dict.fromkeys(schema.INTENTS.columns)
                | {"market": market, "time": time, "side": side, "kind": kind, "valid_bars": 3}
                | {"quantity": 100 * int(rng.integers(1, 2_500)), "exit_time": time + left}
                | yes
            )
    made = pl.DataFrame(rows, schema.INTENTS.columns).sort("time", "market")
    return made.unique(["time", "market"], keep="first", maintain_order=True)


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "gold15m-ws"


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    into = tmp_path_factory.mktemp("gold") / "dataset"
    import_ws([folder], into)
    store = Store.open(into)
    markets = store.read("markets")
    books = store.read("books")
    first = dict(books.group_by("ticker").agg(pl.col("time").min()).iter_rows())
    tape = prepare_books(
        books,
        store.read("trades"),
        markets,
        store.read("settlements"),
        market_rates(markets, store.read("series")),
    )
    rules = Rules(latency=LATENCY, fill=FILLS["book"], bar=60_000_000, cash=10**13)
    return simulate(tape, orders(markets, first, 17), rules)


def test_every_fill_was_displayed_or_traded(folder: Path, result: Simulation) -> None:
    fills = result.fills.filter(pl.col("kind") == "trade").with_columns(
        pl.selectors.enum().cast(pl.String), pl.col("time").dt.timestamp("us")
    )
    happened = zip(result.placed["order"].tolist(), result.placed["seq"].tolist(), strict=True)
    placed = {key: n for n, key in enumerate(happened)}
    told = sorted(fills.to_dicts(), key=lambda f: placed[f["order_id"], f["seq"]])
    wanted: Moments = defaultdict(lambda: defaultdict(list))
    for fill in told:
        moment = wanted[fill["ticker"]][fill["time"]]
        if fill["role"] == "taker":
            assert fill["source"] == "book"
            moment.append(fill)
    recorded = replay(folder, wanted)
    kinds = Counter(fills["role"])
    assert kinds["taker"] > 300
    assert kinds["maker"] > 30
    assert Counter(fills["reason"])["netting"] > 30
    for fill in told:
        if fill["role"] == "maker":
            check_maker(fill, recorded[fill["ticker"]])
    walks = 0
    for ticker, moments in wanted.items():
        for time, moment in moments.items():
            book = recorded[ticker].before(time)
            for _, walk in groupby(moment, key=lambda f: (f["order_id"], f["quantity"] > 0)):
                walks = max(walks, check_walk(list(walk), book))
    assert walks >= 3  # some walks take several levels


def check_maker(fill: Row, recorded: Recording) -> None:
    """Trades came to the price or through it, and were at least as many."""
    trades = recorded.trades[fill["time"] // 1_000]
    buys = fill["quantity"] > 0
    reached = [q for p, q in trades if (p <= fill["price"] if buys else p >= fill["price"])]
    assert sum(reached) >= abs(fill["quantity"])


def check_walk(walk: list[Row], book: tuple[Side, Side]) -> int:
    """Whole lots of what the levels leave, best first, none passed over; return how many levels."""
    buys = walk[0]["quantity"] > 0
    side = book[1] if buys else book[0]
    shown = [(p, q // 100 * 100) for p, q in sorted(side.items(), reverse=not buys) if q >= 100]
    taken: Counter[int] = Counter()  # a level that nets and opens is two fills
    for fill in walk:
        taken[fill["price"]] += abs(fill["quantity"])
    for n, ((at, quantity), (price, size)) in enumerate(zip(taken.items(), shown, strict=False)):
        assert at == price
        assert quantity == size or (n == len(taken) - 1 and quantity < size)
        side[at] -= quantity
    return len(taken)


def test_nothing_fills_sooner_than_the_latency(result: Simulation) -> None:
    decided = dict(zip(result.orders["order_id"], result.orders["time"], strict=True))
    entries = result.fills.filter(pl.col("leg") == "entry")
    assert entries.height > 300
    for fill in entries.iter_rows(named=True):
        assert fill["time"] - decided[fill["order_id"]] > timedelta(microseconds=LATENCY)


def test_no_limit_is_bettered_against_its_owner(result: Simulation) -> None:
    bounded = result.orders.filter(pl.col("kind") != "stop", pl.col("limit").is_not_null())
    owned = result.fills.filter(pl.col("leg") == "entry").join(
        bounded.select("order_id", "limit", "side"), on="order_id"
    )
    worse = pl.when(pl.col("side") > 0).then(pl.col("price") > pl.col("limit"))
    assert owned.height > 100
    assert not owned.select(worse.otherwise(pl.col("price") < pl.col("limit"))).to_series().any()
