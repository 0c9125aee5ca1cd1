"""Stakes on markets that settle at the same instant, which are nearly one bet."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.kelly import kelly, kelly_programs
from kalshi_bt.schema import EntryKind
from kalshi_bt.sizing import better_side, orders

__all__ = ["GroupKelly", "common_states"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Key = tuple[int | None, int]  # an instant, or a market alone
Ordered = dict[Key, dict[int, float]]  # the largest stake ordered on each market so far

_MOST = 10  # bets of a group: twice the states for each
_BATCH = 1_000  # groups solved at once


def common_states(p: ArrayLike, rho: float) -> tuple[Floats, Flags]:
    """Return the states of n events that share a part of their luck, and who happens in each.

    With probability `rho` one draw, even on [0, 1], decides all: an event of probability p happens
    if it is below p. Otherwise each has its own. Any two events that are equally likely are then
    correlated by `rho`, others by that part of the most their probabilities allow.

    Parameters
    ----------
    p : float (..., n)
        Probabilities.
    rho : float
        In [0, 1].

    Returns
    -------
    probability : Float64 (..., states)
        Of each state; they sum to 1.
    happens : Boolean (..., states, n)

    Examples
    --------
    >>> probability, happens = common_states([0.6, 0.6], 0.25)
    >>> round(float(probability[happens.all(axis=1)].sum()), 9)  # p² + rho·p(1 - p)
    0.42
    """
    chances = np.asarray(p, np.float64)
    own = np.array(list(product([True, False], repeat=chances.shape[-1])), np.bool_)
    alone = np.where(own, chances[..., None, :], 1 - chances[..., None, :]).prod(axis=-1)
    ends = (np.zeros_like(chances[..., :1]), chances, np.ones_like(chances[..., :1]))
    edges = np.sort(np.concatenate(ends, axis=-1), axis=-1)
    shared = edges[..., :-1, None] < chances[..., None, :]
    both = np.concatenate([(1 - rho) * alone, rho * np.diff(edges, axis=-1)], axis=-1)
    each = np.broadcast_to(own, (*chances.shape[:-1], *own.shape))
    return both, np.concatenate([each, shared], axis=-2)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKelly:
    """A part of the joint Kelly stakes on all that settles at one instant, under one cap.

    The side of each market is chosen as by `sizing.Kelly`. Of what is decided at one time and
    closes at one instant, the best edge of each event takes part, and of those the best `max_bets`;
    their outcomes are correlated by `rho` as in `common_states`. Whatever was ordered before on
    other markets that close then counts towards the cap of a group.

    Parameters
    ----------
    scale : float
        Part of the joint Kelly stakes, above 0, at most 1.
    max_fraction, max_group : float
        Most of the equity in one market, and in all that settle at one instant.
    rho : float
        Correlation of two outcomes, from 0 to 1: YES with YES, except that a strike that pays below
        it is taken the other way round. The default is that of six coins over a quarter hour.
    min_edge : float
        Least probability beyond the cost, dollars of payout.
    max_price : float
        Dearest contract that is bought, dollars.
    max_bets : int
        Bets decided together, at most ten.

    Notes
    -----
    A market whose scheduled close is not known is a group of its own. Stakes ordered count as if
    they were held, the largest for each market: what was not filled leaves room unused, never too
    much used.

    References
    ----------
    E. O. Thorp, The Kelly Criterion in Blackjack, Sports Betting and the Stock Market, in: Handbook
    of Asset and Liability Management 1, 2006, doi:10.1016/B978-044453248-0.50015-0.

    Examples
    --------
    >>> GroupKelly(max_group=0.04).rho
    0.5455
    """

    weighs: ClassVar[str] = "fair"
    asks: ClassVar[tuple[str, ...]] = ("close_time", "strike_type")

    scale: float = 0.25
    max_fraction: float = 0.02
    max_group: float = 0.05
    rho: float = 0.5455
    min_edge: float = 0.0
    max_price: float = 0.99
    max_bets: int = 6

    def __post_init__(self) -> None:
        for name in ("scale", "max_fraction", "max_group"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UsageError(f"{name} is {value}; expected above 0, at most 1")
        if not 0 <= self.rho <= 1:
            raise UsageError(f"rho is {self.rho}; expected 0 to 1")
        if not 0 < self.max_price < 1:
            raise UsageError(f"max_price is {self.max_price}; expected above 0, below 1")
        if not 1 <= self.max_bets <= _MOST:
            raise UsageError(f"max_bets is {self.max_bets}; expected 1 to {_MOST}")

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each market that gets a stake.

        Parameters
        ----------
        setups : frame
            As for `sizing.Kelly`, and `event`, `close_time` (null: not known) and `strike_type`.
        """
        return self._made(setups, {})

    def after(self, ordered: pl.DataFrame) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
        """Return this sizing as it decides after other decisions, whose set-ups it need not see.

        Parameters
        ----------
        ordered : frame (market, close_time, stake)
            The largest stake ordered before on each market, all that matters of the past; `market`
            (Int64) is the number that set-ups have, or any other of a market they do not have.

        Examples
        --------
        >>> before = pl.DataFrame(schema={"market": pl.Int64, "close_time": pl.Datetime("us"),
        ...     "stake": pl.Float64})
        >>> sizing = GroupKelly().after(before)
        """
        before: Ordered = {}
        instants = ordered["close_time"].to_physical()
        for market, instant, stake in zip(
            ordered["market"], instants, ordered["stake"], strict=True
        ):
            before.setdefault(_key(instant, market), {})[market] = stake
        return lambda setups: self._made(setups, before)

    def _made(self, setups: pl.LazyFrame, ordered: Ordered) -> pl.LazyFrame:
        """Return the intents of set-ups that come after some orders."""
        worth = better_side(setups, self.max_price).filter(
            (pl.col("edge") > self.min_edge) & (pl.col("edge") > 0)
        )
        # Rounded, because YES of one outcome and NO of the other are worth the same.
        falling = pl.col("edge").round(12).neg()
        best = pl.struct(falling, "market").rank("ordinal").over("time", "event")
        offers = worth.with_columns(best=best).filter(pl.col("best") == 1)
        known = offers.sort("time", "close_time", falling, "market").collect()
        told = known.with_columns(pl.Series("stake", self._stakes(known, ordered), pl.Float64))
        made = orders(told.lazy().filter(pl.col("stake") > 0), 0, stake=pl.col("stake"))
        return made.with_columns(kind=pl.lit("ioc").cast(EntryKind))

    def _stakes(self, offers: pl.DataFrame, ordered: Ordered) -> Floats:
        """Return stakes of offers sorted by time, instant and falling edge."""
        time = offers["time"].to_physical().to_numpy()
        instants = offers["close_time"].to_physical()
        instant, known = instants.fill_null(0).to_numpy(), instants.is_not_null().to_numpy()
        with_last = (np.diff(time) == 0) & (np.diff(instant) == 0) & known[1:] & known[:-1]
        first = np.flatnonzero(np.insert(~with_last, 0, values=True)[: len(time)])
        size = np.minimum(np.diff(np.append(first, len(time))), self.max_bets)
        full = self._full(offers, first, size)
        before = {key: dict(stakes) for key, stakes in ordered.items()}
        markets, ends = offers["market"].to_list(), instants.to_list()
        return self._capped(markets, ends, full, first, size, before)

    def _full(self, offers: pl.DataFrame, first: Ints, size: Ints) -> Floats:
        """Return the Kelly stakes on what is decided together, 0 for what takes no part."""
        below = offers["strike_type"].cast(pl.String).is_in(["less", "less_or_equal"])
        up = ~below.fill_null(value=False).to_numpy()
        fair, yes = offers["fair"].to_numpy(), offers["side"].to_numpy() > 0
        cost = (offers["won"] - offers["edge"]).to_numpy()
        full = np.zeros(len(fair))
        alone = first[size == 1]
        full[alone] = kelly(np.where(yes, fair, 1 - fair)[alone], cost[alone])
        for count in range(2, self.max_bets + 1):
            starts = first[size == count]
            for part in np.array_split(starts, len(starts) // _BATCH + 1):
                legs = part[:, None] + np.arange(count)
                # What is drawn is how far prices rise; a strike that pays below hopes they do not.
                q, happens = common_states(np.where(up, fair, 1 - fair)[legs], self.rho)
                pays = (happens == (up == yes)[legs][:, None, :]).swapaxes(1, 2)
                bets = np.insert(pays / cost[legs][:, :, None], 0, 1.0, axis=1)
                full[legs] = kelly_programs(q, bets)[:, 1:]
        return full

    def _capped(
        self,
        markets: list[int],
        instants: list[int | None],
        full: Floats,
        first: Ints,
        size: Ints,
        ordered: Ordered,
    ) -> Floats:
        """Return a part of the stakes that keeps every market and every instant under its cap."""
        wanted = np.minimum(self.scale * full, self.max_fraction).tolist()
        stake = np.zeros(len(full))
        for start, count in zip(first.tolist(), size.tolist(), strict=True):
            legs = range(start, start + count)
            own = {markets[leg] for leg in legs}
            instant = instants[start]
            before = ordered.setdefault(_key(instant, markets[start]), {})
            # Exact, hence the same in whatever order the markets came up.
            used = math.fsum(part for market, part in before.items() if market not in own)
            total = sum(wanted[leg] for leg in legs)
            room = max(self.max_group - used, 0.0)
            part = min(1.0, room / total) if total > 0 else 0.0
            for leg in legs:
                stake[leg] = wanted[leg] * part
                before[markets[leg]] = max(before.get(markets[leg], 0.0), wanted[leg] * part)
        return stake


def _key(instant: int | None, market: int) -> Key:
    return instant, market if instant is None else 0
