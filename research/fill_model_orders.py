"""The orders that `fill_model` asks about, and what comes of them on books and on bars."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.fees import market_rates
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.books import prepare_books
from kalshi_bt.simulator.simulate import simulate
from kalshi_bt.simulator.tape import Tape, prepare
from kalshi_bt.units import SECOND

TICK = 100  # centi-cents
SEED = 4
BARS = (15, 60)
SIZES = (1, 10, 50, 200)
HOLDS = (180, 300)
REST, SPARE = 120, 60  # seconds that an order rests, and that are left after the longest hold
GROUPS = {
    "take": ("any", "quote", "plus"),
    "stop": ("stop",),
    "rest": ("inside", "best", "outside"),
}


@dataclass(frozen=True)
class Recording:
    """The tapes of one recording: its books, and bars of several lengths made of them.

    Attributes
    ----------
    quotes : frame (market, ticker, event, time, bid, ask, close_time)
        Both sides at the end of each minute, centi-cents.
    books : Tape
    bars : dict of int to Tape
        By seconds.
    """

    quotes: pl.DataFrame
    books: Tape
    bars: dict[int, Tape]


def recording(store: Store) -> Recording:
    """Return the tapes of a dataset with recorded books."""
    made = {seconds: panel(store, period=seconds, quotes="books") for seconds in BARS}
    markets = made[BARS[0]].markets
    if not all(p.markets["ticker"].equals(markets["ticker"]) for p in made.values()):
        raise DataError(f"{store.name}: bars of {BARS} seconds are of different markets")
    paid = outcomes(store, markets)
    rates = market_rates(markets, store.read("series"), store.read("event_fees"))
    listed = markets.select("ticker", "event", "close_time").with_row_index("market")
    quotes = made[max(BARS)].bars.select("market", "time", bid="bid_close", ask="ask_close")
    return Recording(
        quotes.join(listed, on="market").sort("market", "time"),
        prepare_books(store.read("books"), store.read("trades"), markets, paid, rates),
        {seconds: prepare(p.bars, markets, paid, rates) for seconds, p in made.items()},
    )


def decisions(quotes: pl.DataFrame, draws: int, seed: int = SEED) -> pl.DataFrame:
    """Return random decisions: market, event, time, side, hold, distance, draw, own bid and ask.

    Parameters
    ----------
    quotes : frame
        As in `Recording`.
    draws : int
        Decisions of each market; a market never quoted in time has none.
    seed : int
        With the ticker it keys a Philox generator, whose block n is decision n.
    """
    left = pl.duration(seconds=max(HOLDS) + SPARE)
    inside = pl.col("bid").is_between(2 * TICK, 9_800) & pl.col("ask").is_between(2 * TICK, 9_800)
    open_ones = quotes.filter(inside & (pl.col("time") + left <= pl.col("close_time")))
    parts = []
    for (ticker,), rows in open_ones.group_by("ticker", maintain_order=True):
        name = int.from_bytes(sha256(str(ticker).encode()).digest()[:8], "big")
        words = np.random.Philox(key=np.array([seed, name], np.uint64)).random_raw(4 * draws)
        row, side, hold, stop = words.reshape(-1, 4).T
        parts.append(
            rows[(row % np.uint64(rows.height)).astype(np.int64)].with_columns(
                draw=pl.int_range(draws),
                side=pl.Series(1 - 2 * (side % np.uint64(2)).astype(np.int8)),
                hold=pl.Series(np.array(HOLDS)[hold % np.uint64(len(HOLDS))]),
                distance=pl.Series(TICK * (2 + (stop % np.uint64(7)).astype(np.int64))),
            )
        )
    if not parts:
        raise DataError("no market is quoted on both sides early enough to decide on anything")
    yes = pl.col("side") > 0
    return pl.concat(parts).with_columns(
        own_bid=pl.when(yes).then("bid").otherwise(10_000 - pl.col("ask")).cast(pl.Int64),
        own_ask=pl.when(yes).then("ask").otherwise(10_000 - pl.col("bid")).cast(pl.Int64),
    )


def orders(decided: pl.DataFrame) -> pl.DataFrame:
    """Return the orders of each decision, one a style and size, numbered by `order`.

    Returns
    -------
    frame
        What `decisions` returns, order, group, style, size, kind, limit and stop (of YES), and
        walk: orders of one walk are of different markets.
    """
    bid, ask, yes = pl.col("own_bid"), pl.col("own_ask"), pl.col("side") > 0
    limits = {"quote": ask, "plus": ask + TICK}
    limits |= {"inside": bid + TICK, "best": bid, "outside": bid - TICK}
    parts = []
    for group, styles in GROUPS.items():
        for style in styles:
            stop = bid - pl.col("distance") if group == "stop" else pl.lit(None, pl.Int64)
            made = decided.with_columns(
                group=pl.lit(group),
                style=pl.lit(style),
                kind=pl.lit("limit" if group == "rest" else "ioc", dtype=schema.EntryKind),
                limit=limits.get(style, pl.lit(None, pl.Int64)),
                stop=stop.clip(lower_bound=TICK),
            )
            parts.append(made.filter(pl.col("limit") < ask) if style == "inside" else made)
    every = pl.concat(parts).join(pl.DataFrame({"size": SIZES}), how="cross")
    mirrored = [
        pl.when(yes).then(name).otherwise(10_000 - pl.col(name)).cast(schema.Price).alias(name)
        for name in ("limit", "stop")
    ]
    walk = pl.struct("style", "size", "draw").rank("dense")
    return every.with_columns(*mirrored, walk=walk).with_row_index("order")


def intents(asked: pl.DataFrame, seconds: int) -> Iterator[tuple[Any, pl.DataFrame]]:
    """Yield the orders of each walk: their numbers, and the intents (frame of schema.INTENTS)."""
    told = asked.sort("walk", "time", "market").select(
        "order",
        "walk",
        *("market", "time", "side", "kind", "limit", "stop"),
        quantity=(pl.col("size") * 100).cast(pl.Int64),
        valid_bars=pl.lit(REST // seconds, pl.Int32),
        exit_time=pl.col("time") + pl.duration(seconds="hold"),
    )
    for part in told.partition_by("walk", maintain_order=True):
        yield part["order"].to_numpy(), schema.INTENTS.filled(part.drop("order", "walk"))


def legs(tape: Tape, asked: pl.DataFrame, rules: Rules, seconds: int) -> pl.DataFrame:
    """Return what came of each order that filled.

    Returns
    -------
    frame
        order, filled (contracts), entry and exit (mean own price, cents; exit is null where all was
        held to settlement), fee and pnl (cents per contract, net).
    """
    rules = replace(rules, bar=seconds * SECOND)
    names = ("order", "bar", "reason", "quantity", "price", "fee")
    found = []
    for numbers, told in intents(asked, seconds):
        placed = simulate(tape, told, rules).placed
        found.append({name: placed[name] for name in names} | {"order": numbers[placed["order"]]})
    columns = {name: np.concatenate([part[name] for part in found]) for name in names}
    fills = pl.DataFrame(columns).join(asked.select("order", "side"), on="order")
    count, yes = pl.col("quantity").abs(), pl.col("side") > 0
    worth = count * pl.when(yes).then("price").otherwise(10_000 - pl.col("price"))
    entered, left = pl.col("reason") == 0, (pl.col("reason") > 0) & (pl.col("bar") >= 0)
    done = fills.group_by("order").agg(
        held=pl.col("quantity").sum(),
        units=count.filter(entered).sum(),  # centi-contracts
        entry=worth.filter(entered).sum() / count.filter(entered).sum() / 100,
        exit=pl.when(left.any()).then(worth.filter(left).sum() / count.filter(left).sum() / 100),
        fees=pl.col("fee").sum(),
        gain=-(pl.col("quantity") * pl.col("price")).sum() - pl.col("fee").sum(),
    )
    if done.select((pl.col("held") != 0).any()).item():
        raise DataError("an order was still held at the end: a market of the study never settled")
    cents = (pl.col(name) / pl.col("units") / 100 for name in ("fees", "gain"))
    fee, pnl = cents
    return done.select(
        "order", "entry", "exit", filled=pl.col("units") / 100, fee=fee, pnl=pnl
    ).sort("order")
