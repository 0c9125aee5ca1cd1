"""What luck makes of a run's trades: entered at random times, and on sides drawn by coins.

The runs of luck trade the same markets, in the same sizes and for as long, and pay what a taker
pays. So where a run's own result lies among theirs says what its choices were worth, not its
markets.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from kalshi_bt.metrics.clusters import coarser
from kalshi_bt.run_schema import CONTROLS
from kalshi_bt.schema import Time
from kalshi_bt.simulator.rules import EXACT
from kalshi_bt.simulator.state import AC, AO, BC, BO, NEVER, Floats, Ints
from kalshi_bt.simulator.tape import Tape, times
from kalshi_bt.units import PRICE_SCALE, SECOND
from kalshi_bt.walks import Walk

__all__ = ["LEAST", "MOST", "controls"]

LEAST, MOST = 200, 1_000  # runs of luck: the fewer, the more trades each of them has
_TRADES = 2_000_000  # of all runs of luck together, where that leaves `LEAST` of them
_CELLS = 2**18  # drawn at one time
_ENTRY, _SIDE = 1, 2  # streams of the seed


def controls(base: Walk, tape: Tape, seed: int) -> pl.DataFrame:
    """Return what runs of luck make in place of the closed trades: `run_schema.CONTROLS`.

    Parameters
    ----------
    base : Walk
        Under the chosen fill model.
    tape : Tape
        Of the bars, from which `base` may not be: recorded books have a tape of their own.
    seed : int
        Of the run.

    Notes
    -----
    A trade with random entry begins on a bar of its market that is drawn among all with both sides
    quoted before it closed, holds the same side and size for the same time, or to the settlement if
    the trade did or the market settles first, and is left at the first quotes after that time.

    A trade with a random side is entered and left when it was; by a coin for all trades that hang
    together (`metrics.clusters.coarser`) it keeps its result or has that of the other side.

    Both take the quotes at the opening of a bar, as `cross` fills do, and pay a taker's fee that
    is not rounded. So a run that rested its orders is ahead of them by what that saved, and one
    that filled at once is not. A trade whose market has no bar with both sides quoted keeps its
    result in every draw.
    """
    trades = base.trades
    if trades.is_empty():
        return CONTROLS.empty()
    own = _Trades(base, tape)
    draws = int(np.clip(_TRADES // trades.height, LEAST, MOST))
    found = {
        "draw": np.arange(draws),
        "random_entry": own.entered_by_chance(draws, _stream(seed, _ENTRY)),
        "random_side": own.turned_by_coins(draws, _stream(seed, _SIDE)),
    }
    return CONTROLS.check(pl.DataFrame(found, CONTROLS.columns))


def _stream(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, purpose], np.uint64)))


@dataclass(frozen=True)
class _Trades:
    """The closed trades of a run, and the bars on which others in their place could trade."""

    base: Walk
    tape: Tape

    @cached_property
    def market(self) -> Ints:
        intents = self.base.run.intents
        return intents["market"].gather(self.base.trades["trade_id"]).cast(pl.Int64).to_numpy()

    @cached_property
    def side(self) -> Ints:
        return self.base.trades["side"].cast(pl.Int64).to_numpy()

    @cached_property
    def rows(self) -> Ints:
        """The bars with both sides quoted and not closed, by market and time."""
        facts, bid, ask = self.tape.markets, self.bid, self.ask
        number = np.repeat(np.arange(len(facts)), np.diff([*facts["begin"], len(self.tape.time)]))
        open_then = np.arange(len(self.tape.time)) < facts["last"][number]
        return np.flatnonzero((bid >= 0) & (ask >= 0) & open_then)

    @cached_property
    def bid(self) -> Ints:
        return _opening(self.tape, BO, BC)

    @cached_property
    def ask(self) -> Ints:
        return _opening(self.tape, AO, AC)

    @cached_property
    def first(self) -> Ints:
        """Where the bars of each trade's market begin in `rows`."""
        found: Ints = np.searchsorted(self.rows, self.tape.markets["begin"][self.market])
        return found

    @cached_property
    def count(self) -> Ints:
        """How many bars of each trade's market are in `rows`."""
        last = np.searchsorted(self.rows, self.tape.markets["last"][self.market])
        found: Ints = np.maximum(last - self.first, 0)
        return found

    @cached_property
    def keys(self) -> Ints:
        """Market and second of each of `rows`, in one number that rises with them."""
        facts = self.tape.markets
        number = np.searchsorted(facts["begin"], self.rows, "right") - 1
        return self.key(number, self.tape.time[self.rows])

    def key(self, market: Ints, time: Ints) -> Ints:
        origin, end = int(self.tape.time.min()), int(self.tape.time.max())
        second = -((origin - np.minimum(time, end + SECOND)) // SECOND)
        found: Ints = market * ((end - origin) // SECOND + 3) + second
        return found

    @cached_property
    def rate(self) -> Floats:
        """A taker's fee rate when each trade was entered, parts per million."""
        if self.base.rules.fill.naive:
            return np.zeros(len(self.market))
        facts, rates = self.tape.markets, self.tape.rates
        known = pl.DataFrame(
            {
                "market": np.repeat(np.arange(len(facts)), facts["rate_end"] - facts["rate_begin"]),
                "time": rates["since"],
                "rate": rates["taker"].astype(np.float64),
            }
        )
        asked = {"market": self.market, "time": times(self.base.trades["entry_time"], -NEVER)}
        found = pl.DataFrame(asked).with_row_index("row").sort("time")
        found = found.join_asof(
            known.sort("time"), on="time", by="market", check_sortedness=False
        ).sort("row")
        return found["rate"].fill_null(0.0).to_numpy()

    def following(self, trade: Ints, time: Ints) -> Ints:
        """Return the places in `rows` of the first bars that end at a time or after it.

        -1 where the market has none.
        """
        place = np.searchsorted(self.keys, self.key(self.market[trade], time))
        return np.where(place < self.first[trade] + self.count[trade], place, -1)

    def made(self, trade: Ints, side: Ints, begun: Ints, until: Ints) -> Ints:
        """Return the micro-dollars of trades that are entered on `rows[begun]`.

        They are left on the first bar that ends at `until` or after it; at the payout where there
        is none and the market was settled, else on its last bar.
        """
        facts, market = self.tape.markets, self.market[trade]
        left = self.following(trade, until)
        paid = (left < 0) & (facts["settle"][market] < NEVER)
        left = np.where(left < 0, self.first[trade] + self.count[trade] - 1, left)
        enter, leave = self.rows[begun], self.rows[left]
        yes = side > 0
        price = np.where(yes, self.ask[enter], PRICE_SCALE - self.bid[enter])
        back = np.where(yes, self.bid[leave], PRICE_SCALE - self.ask[leave])
        payout = np.where(yes, facts["payout"][market], PRICE_SCALE - facts["payout"][market])
        quantity = self.base.trades["quantity"].to_numpy()[trade]
        weight = price * (PRICE_SCALE - price) + np.where(paid, 0, back * (PRICE_SCALE - back))
        fee = np.rint(self.rate[trade] * quantity * weight / EXACT).astype(np.int64)
        found: Ints = quantity * (np.where(paid, payout, back) - price) - fee
        return found

    @cached_property
    def held(self) -> Ints:
        """Microseconds each trade was held; for ever where it was settled."""
        trades = self.base.trades
        lasted = times(trades["exit_time"], 0) - times(trades["entry_time"], 0)
        return np.where(trades["exit_reason"] == "settlement", NEVER // 2, lasted)

    def entered_by_chance(self, draws: int, rng: np.random.Generator) -> Ints:
        """Return what all trades make together, each entered at a random time; (draws,)."""
        pnl = self.base.trades["pnl"].to_numpy()
        known = np.flatnonzero(self.count)
        total = np.full(draws, pnl[self.count == 0].sum(), np.int64)
        for part in np.split(known, range(step := max(1, _CELLS // draws), len(known), step)):
            trade = np.repeat(part, draws)
            place = (rng.random(len(trade)) * self.count[trade]).astype(np.int64)
            begun = self.first[trade] + place
            until = self.tape.time[self.rows[begun]] + self.held[trade]
            made = self.made(trade, self.side[trade], begun, until)
            total += made.reshape(len(part), draws).sum(axis=0)
        return total

    def turned_by_coins(self, draws: int, rng: np.random.Generator) -> Ints:
        """Return what all trades make together, whole clusters on the other side; (draws,)."""
        trades = self.base.trades
        pnl = trades["pnl"].to_numpy()
        trade = np.arange(len(pnl))
        entry = times(trades["entry_time"], 0)
        begun = self.following(trade, entry)
        quoted = begun >= 0
        other = pnl.copy()
        trade = trade[quoted]
        until = np.where(self.held >= NEVER // 2, NEVER, entry + self.held)[quoted]
        other[quoted] = self.made(trade, -self.side[trade], begun[quoted], until)
        settle = self.tape.markets["settle"][self.market]
        instant = pl.Series(np.where(settle < NEVER, settle, 0)).cast(Time)
        cluster, _ = coarser(trades["event"], instant.set(pl.Series(settle == NEVER), None))
        # Whole micro-dollars below 2^53: a float sum of them is exact.
        change = np.bincount(cluster.to_numpy(), weights=other - pnl)
        total = np.empty(draws, np.int64)
        for start in range(0, draws, step := max(1, _CELLS // len(change))):
            coins = rng.integers(0, 2, (min(step, draws - start), len(change)), dtype=np.int8)
            total[start : start + step] = pnl.sum() + (coins @ change).astype(np.int64)
        return total


def _opening(tape: Tape, opening: int, closing: int) -> Ints:
    """Return what a side was quoted at when each bar began, at its end where that is not known."""
    first, last = (tape.prices[:, column].astype(np.int64) for column in (opening, closing))
    return np.where(first >= 0, first, last)
