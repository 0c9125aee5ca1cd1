"""Strategies that know nothing, a trader who knows the truth, and how what they earn is judged.

All of them take ten contracts at the market. Money is in micro-dollars, prices in centi-cents.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel
from kalshi_bt.fees import market_rates
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import simulate
from kalshi_bt.simulator.tape import Tape, prepare

TEN = 1_000  # centi-contracts
RICH = 10**13  # ten million dollars: cash decides nothing


def seeded(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


# --- a world to trade in --------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """Bars of markets, and the tape made of them."""

    panel: Panel
    tape: Tape

    @staticmethod
    def of(panel: Panel, tables: dict[str, pl.DataFrame]) -> "World":
        """Lay out a panel whose settlements, series and event fees are `tables`."""
        rates = market_rates(panel.markets, tables["series"], tables["event_fees"])
        tape = prepare(panel.bars, panel.markets, tables["settlements"], rates)
        return World(panel, tape)

    @staticmethod
    def stored(tables: dict[str, pl.DataFrame]) -> "World":
        """Lay out the tables of a sample, whose candles are sorted by ticker as its markets are."""
        number = {t: m for m, t in enumerate(tables["markets"]["ticker"])}
        market = pl.col("ticker").replace_strict(number, return_dtype=pl.UInt32)
        columns = [name for name in schema.BARS.columns if name != "market"]
        bars = tables["candles"].select(market.alias("market"), *columns, "quote_source")
        fees = {"event_fees": schema.EVENT_FEES.empty()}
        return World.of(Panel(bars, tables["markets"], 60), tables | fees)

    @property
    def bars(self) -> pl.DataFrame:
        """What a control sees: the quotes at the end of each bar, two-sided and not extreme."""
        return self.panel.bars.select("market", "time", bid="bid_close", ask="ask_close").filter(
            (pl.col("bid") >= 500) & (pl.col("ask") <= 9_500)
        )

    def trades(self, intents: pl.DataFrame) -> pl.DataFrame:
        """Walk intents under the default fills, without limits; return the round trips."""
        bar = self.panel.period * 1_000_000
        rules = Rules(cash=RICH, fill=FILLS["cross"], bar=bar)
        return closed_trades(self.tape, simulate(self.tape, intents, rules))


def asked(rows: pl.DataFrame, hold: timedelta | None = None) -> pl.DataFrame:
    """Return intents to take ten contracts of `side` at each (market, time), left after `hold`."""
    empty = {name: pl.lit(None, dtype=dtype) for name, dtype in schema.INTENTS.columns.items()}
    made = {
        "market": pl.col("market"),
        "time": pl.col("time"),
        "side": pl.col("side").cast(pl.Int8),
        "kind": pl.lit("ioc").cast(schema.EntryKind),
        "quantity": pl.lit(TEN, dtype=pl.Int64),
        "valid_bars": pl.lit(0, dtype=pl.Int32),
    }
    if hold is not None:
        made["exit_time"] = pl.col("time") + hold
    return schema.INTENTS.check(rows.sort("time", "market").select(**(empty | made)))


# --- strategies without an edge -------------------------------------------------------------------

Control = Callable[[World, int], pl.DataFrame]


def coins(world: World, seed: int, share: float) -> pl.DataFrame:
    """Return some bars by chance, and a side by another coin."""
    bars, rng = world.bars, seeded(seed)
    chosen = rng.random(bars.height) < share
    side = np.where(rng.random(bars.height) < 0.5, 1, -1)
    return bars.with_columns(side=side).filter(chosen)


def random_entry(world: World, seed: int) -> pl.DataFrame:
    """Either side at any time, for ten bars."""
    return asked(coins(world, seed, 0.05), timedelta(seconds=10 * world.panel.period))


def random_hold(world: World, seed: int) -> pl.DataFrame:
    """Either side at any time, to the settlement."""
    return asked(coins(world, seed, 0.02))


def shuffled_signal(world: World, seed: int) -> pl.DataFrame:
    """As often and as long as the bands say, and as often on either side, but at other times."""
    marked = Bollinger(width=1.5, bar_seconds=world.panel.period)(world.panel.quotes())
    sides = marked.select("side").collect(engine="in-memory")["side"].drop_nulls().to_numpy()
    bars, rng = world.bars, seeded(seed)
    count = min(len(sides), bars.height)
    rows = rng.permutation(bars.height)[:count]
    shuffled = bars[rows].with_columns(side=rng.permutation(sides)[:count])
    return asked(shuffled.filter(pl.col("side") != 0), timedelta(seconds=10 * world.panel.period))


def once(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return one row of each market, the first that a coin falls on.

    Any one of them would be a look ahead: how many there are to choose from, the future decides.
    """
    coin = pl.Series(seeded(seed).random(rows.height) < 0.3)
    return rows.filter(coin).sort("time", "market").unique("market", keep="first")


def buy_low(world: World, seed: int) -> pl.DataFrame:
    """YES where it is cheap, once a market, to the settlement."""
    cheap = world.bars.filter(pl.col("ask").is_between(1_000, 3_000))
    return asked(once(cheap, seed).with_columns(side=pl.lit(1)))


CONTROLS: dict[str, Control] = {
    "random_entry": random_entry,
    "random_hold": random_hold,
    "shuffled_signal": shuffled_signal,
    "buy_low": buy_low,
}


# --- judgement ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mean:
    """A mean in dollars and its standard error, clustered by event."""

    value: float
    error: float

    @property
    def z(self) -> float:
        return self.value / self.error


def mean(trades: pl.DataFrame, amount: pl.Expr) -> Mean:
    """Return the mean of an amount in micro-dollars over round trips.

    Trips of one event share its outcome: residuals are added up by event before they are squared,
    with the usual correction for the number of events.
    """
    rows = trades.select("event", x=amount / 1_000_000)
    centre = float(rows["x"].mean())  # type: ignore[arg-type]
    sums = rows.group_by("event").agg(left=(pl.col("x") - centre).sum())["left"]
    few = len(sums) / (len(sums) - 1)
    return Mean(centre, math.sqrt(few * float((sums**2).sum())) / rows.height)


COSTS = pl.col("fees") + pl.col("spread_paid")
NET = pl.col("pnl")
BEFORE_COSTS = NET + COSTS  # nought for who knows nothing


def bound(tests: int, *, sides: int, chance: float = 0.01) -> float:
    """Return the z that any of so many tests exceeds by luck with at most this chance (Bonferroni).

    Whatever the tests have to do with each other.
    """
    return NormalDist().inv_cdf(1 - chance / tests / sides)


# --- who knows the truth --------------------------------------------------------------------------


def informed(world: World, truth: pl.DataFrame, margin: float) -> pl.DataFrame:
    """Return the quotes that the truth beats by more than `margin` dollars, with a side to take.

    `truth` has a row a bar, in the order of the bars.
    """
    known = world.panel.bars.select("market", "time", bid="bid_close", ask="ask_close")
    known = known.with_columns(p=truth["probability"])
    above, below = pl.col("p") - pl.col("ask") / 10_000, pl.col("bid") / 10_000 - pl.col("p")
    side = pl.when(above > margin).then(1).when(below > margin).then(-1)
    return known.with_columns(side=side).filter(pl.col("side").is_not_null())
